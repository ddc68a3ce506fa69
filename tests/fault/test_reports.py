"""Reports while mail servers are away and hubs are killed."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.mail_server import MailServer
from tests.ports import free_port
from tests.report_hub import ReportHub

REPORT: dict[str, object] = {
    "name": "R",
    # Once a year: nobody waits for that while this runs.
    "schedule": "0 7 1 1 *",
    "recipients": ["a@example.org", "b@example.org"],
    "charts": False,
}


def kill(hub: ReportHub) -> None:
    """End the hub and all of its processes at once."""
    with suppress(ProcessLookupError):
        os.killpg(hub.pid, signal.SIGKILL)
    hub.process.wait()


def letters(hub: ReportHub) -> list[str]:
    """Return the states of all letters."""
    return [row["state"] for row in hub.json("reports", "letters")]


def test_killed_meanwhile_each_recipient_gets_each_report_once(tmp_path: Path) -> None:
    """While it is made, while the server hangs, and while it is away."""
    port = free_port()
    with MailServer(port=port) as server:
        hub = ReportHub(tmp_path / "data", server, [REPORT])
        with hub:
            hub.say(hub.token("w"), 21.5)
            assert hub.cli("reports", "send", "R", "--no-wait").returncode == 0
            kill(hub)  # before it is made, or while it is
            hub.start()
            server.wait(2)
            hub.wait_until(lambda: letters(hub) == ["delivered"] * 2, "two were delivered")
            server.hanging.set()
            assert hub.cli("reports", "send", "R").returncode == 0
            hub.wait_until(lambda: letters(hub).count("waiting") == 2, "two wait")
            kill(hub)
            server.hanging.clear()
            hub.start()
            hub.wait_until(lambda: letters(hub) == ["delivered"] * 4, "they were delivered")
            sent = {(str(one["To"]), str(one["Message-ID"])) for one in server.mails}
            assert sorted(one for one, _ in sent) == ["a@example.org"] * 2 + ["b@example.org"] * 2


def test_a_server_that_is_away_holds_up_nothing(tmp_path: Path) -> None:
    """Letters wait for it; one that refuses a recipient for good ends that letter alone."""
    port = free_port()
    with MailServer(port=port) as server:
        hub = ReportHub(tmp_path / "data", server, [REPORT])
    with hub:
        token = hub.token("w")
        hub.say(token, 21.5)
        assert hub.cli("reports", "send", "R").returncode == 0
        hub.wait_until(
            lambda: any(row["trouble"] for row in hub.json("reports", "letters")), "it failed"
        )
        hub.say(token, 22.5)
        server = MailServer(port=port)
        server.answer = "550 never"
        with server:
            hub.wait_until(lambda: letters(hub) == ["given up"] * 2, "they are given up")
            server.answer = "250 OK"
            assert hub.cli("reports", "send", "R").returncode == 0
            server.wait(2)
        assert "never" in hub.json("reports", "letters")[-1]["trouble"]
