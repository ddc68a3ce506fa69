"""A device that has spoken regularly for a day goes silent: a real hub tells of it, once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.alert_hub import AlertHub
from tests.mail_server import MailServer, plain
from tests.unit.core import support
from tests.web_hub import WEB

from motehub.alerting.book import AlertBook
from motehub.alerting.effect import JudgeFrames
from motehub.core.consumer import Consumer
from motehub.core.journal import JournalLimits
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS

MINUTE = 60 * MICROSECONDS
SILENCE = 30 * MINUTE
NEARLY = SILENCE - MICROSECONDS


async def live_two_days(folder: Path) -> None:
    """Leave in ``folder`` what a hub leaves that was killed a moment ago, before it was time.

    That is of a device which spoke every ten minutes, and then no more.
    """
    clock = support.FakeClock()
    last = time.time_ns() // 1000 - NEARLY
    clock.now = last - 2 * 1440 * MINUTE
    async with support.open_hub(folder, clock) as (hub, _):
        hub.rules.configure([])
        while clock.now < last:
            clock.now += 10 * MINUTE
            said = [support.temperature(20, time=clock.now)]
            await support.say(hub, support.SOURCE, [*said])
        book, reader = AlertBook(folder), SqliteLogReader(folder)
        effect = JudgeFrames(book, reader, reader.journal(), clock, [], ZoneInfo("UTC"), first=0)
        consumer = Consumer("alerts", reader, effect, may_miss=True)
        assert consumer.catch_up(), consumer.trouble
        clock.now = last + NEARLY
        effect.pass_time()
        effect.flush()
        assert book.open_alerts() == []
        book.close()
        reader.close()


def test_a_device_that_goes_silent_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has said how often it speaks; whoever is killed meanwhile, there is one mail."""
    monkeypatch.setattr(support, "LIMITS", JournalLimits(size=100_000_000, age=10**7))
    data = tmp_path / "data"
    data.mkdir()
    asyncio.run(live_two_days(data))
    warm: dict[str, object] = {"name": "warm", "metric": "temperature", "above": 50}
    with MailServer() as server:
        hub = AlertHub(data, server, [warm], {**WEB, "alerts": {"rate": 3600}})
        with hub:
            token = hub.token("w")

            def told(text: str) -> int:
                mails = {str(one["Message-ID"]): plain(one) for one in list(server.mails)}
                return sum(one.count(text) for one in mails.values())

            missed = "nothing comes any more, for 30 min (estimated)"
            hub.wait_until(lambda: told(missed) > 0, "its silence is told")
            with suppress(ProcessLookupError):
                os.killpg(hub.pid, signal.SIGKILL)
            hub.process.wait()
            hub.start()
            # What comes later is told later.
            hub.say(token, 99, device="oven")
            hub.wait_until(lambda: told("oven: temperature is 99") > 0, "the next alert is told")
            assert told(missed) == 1
            (alert,) = [one for one in hub.json("alerts", "list") if one["rule"] == "no data"]
            assert (alert["state"], alert["text"].endswith(missed)) == ("no data", True)
