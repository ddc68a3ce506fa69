"""What a real hub tells its owner of itself, by mail and webhook."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.alert_hub import AlertHub
from tests.mail_server import MailServer, plain
from tests.receivers import Receiver
from tests.web_hub import WEB
from tests.webhook_hub import SECRET, verified

from motehub.clock_watch import FileNotes, Noted

YEAR = 365 * 86_400 * 1_000_000


def test_a_clock_that_has_jumped_is_told_once(tmp_path: Path) -> None:
    """Without any rule; to those who hear of all devices; not again when the hub is killed."""
    data = tmp_path / "data"
    data.mkdir()
    now = time.time_ns() // 1000
    FileNotes(data).save(Noted(now - 5 * YEAR, now))
    with Receiver() as receiver, Receiver() as other, MailServer() as server:
        hub = AlertHub(data, server, (), {**WEB, "alerts": {"rate": 3600}})
        text = hub.config.read_text("utf-8")
        for name, one, more in (("hook", receiver, ""), ("some", other, 'devices = ["x"]\n')):
            text += f'\n[[webhook]]\nname = "{name}"\nurl = "{one.url}"\nsecret = "{SECRET}"\n'
            text += f'events = ["alerts"]\n{more}'
        hub.config.write_text(text, "utf-8")
        with hub:
            server.wait(1)
            (mail,) = server.mails
            assert "Warning: The clock of the hub" in str(mail["Subject"])
            assert "confirm-clock" in plain(mail)
            (request,) = receiver.wait(1)
            body: dict[str, Any] = verified(request)
            assert body["type"] == "hub.notice"
            assert (body["data"]["kind"], body["data"]["severity"]) == ("clock", "warning")
            assert hub.json("alerts", "list", "--all") == []
            with suppress(ProcessLookupError):
                os.killpg(hub.pid, signal.SIGKILL)
            hub.process.wait()
            hub.start()
            hub.wait_until(
                lambda: bool(hub.status()["writer"]["retention"].get("clock")), "it doubts again"
            )
            assert hub.cli("retention", "confirm-clock").returncode == 0
            hub.wait_until(
                lambda: hub.status()["writer"]["retention"]["clock"] is None, "it doubts no more"
            )
            hub.stop()
        assert len({str(one["Message-ID"]) for one in server.mails}) == 1
        assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
        assert not other.received
