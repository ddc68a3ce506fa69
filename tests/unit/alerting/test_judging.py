"""A journal, judged into alerts.db: who is told when, and what restarts and failures change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import apsw
import msgspec
import pytest
from tests.unit.core.support import SOURCE, START, FakeClock, open_hub, say, temperature

from motehub.alerting import desk
from motehub.alerting.book import AlertBook
from motehub.alerting.effect import JudgeFrames
from motehub.alerting.wording import Told, compose
from motehub.alerts.rule import Severity, rule_of
from motehub.core.consumer import Consumer
from motehub.core.hub import Hub
from motehub.core.journal import Journal
from motehub.core.notices import Notice
from motehub.errors import StorageError
from motehub.journals.sqlite import SqliteLogReader
from motehub.languages import Words
from motehub.model import MICROSECONDS, Samples
from motehub.schedules.report import report_of
from motehub.sqlite_files import open_database

MINUTE = 60 * MICROSECONDS
CHANNEL = "mail"


class Judge:
    """The consumer of a hub's journal, in this process; the clock is the test's."""

    def __init__(self, folder: Path, hub: Hub, journal: Journal, clock: FakeClock) -> None:
        self.folder, self.hub, self.journal, self.clock = folder, hub, journal, clock
        self.open()

    def open(self) -> None:
        """Open it, as after a crash: what was only in memory is gone."""
        self.book = AlertBook(self.folder)
        self.book.register({CHANNEL: "somebody"})
        reader = SqliteLogReader(self.folder)
        self.effect = JudgeFrames(
            self.book, reader, reader.journal(), self.clock, [CHANNEL], ZoneInfo("Europe/Paris")
        )
        self.consumer = Consumer("alerts", reader, self.effect, may_miss=True)

    def work(self, *, restart: bool = False) -> None:
        if restart:
            self.open()
        assert self.consumer.catch_up(), self.consumer.trouble
        self.effect.pass_time()
        # As the hub does, which would hold senders back otherwise.
        self.journal.follow("alerts", self.effect.committed)

    def due(self) -> list[tuple[str, str]]:
        """Take what is due now: kind and text of each message."""
        batch = self.book.next_batch(CHANNEL, self.clock(), 100)
        if batch:
            self.book.delivered(CHANNEL, batch[0].batch, self.clock(), None)
        told = [msgspec.json.decode(one.body, type=Told) for one in batch]
        return [(one.kind, one.text) for one in told]

    def alerts(self) -> list[desk.AlertShape]:
        return desk.alerts(self.folder, 100, is_open=False)

    def keep(self) -> None:
        """Have all of it kept, so that the journal may forget it."""
        self.effect.flush()
        self.journal.follow("alerts", self.effect.committed)

    async def read(self, value: float, after: int = MINUTE) -> None:
        self.clock.now += after
        await say(self.hub, SOURCE, [temperature(value, time=self.clock.now)])


@asynccontextmanager
async def judging(folder: Path, **fields: Any) -> AsyncIterator[Judge]:
    clock = FakeClock()
    async with open_hub(folder, clock) as (hub, journal):
        judge = Judge(folder, hub, journal, clock)
        if fields:
            await hub.rules.add(rule_of({"name": "r", "metric": "temperature", **fields}))
        yield judge


@pytest.mark.parametrize("restart", [False, True])
async def test_each_state_survives_a_restart(tmp_path: Path, restart: bool) -> None:
    """With a crash after each step, the same is told as without any, and once."""
    async with judging(tmp_path, above=5, clear_for=120, **{"for": 120}) as judge:
        told = []
        for value in (1, 9, 9, 9, 9, 1, 1, 1, 1):
            await judge.read(value)
            judge.work(restart=restart)
            told += [kind for kind, _ in judge.due()]
        assert told == ["begins", "over"]
        (alert,) = judge.alerts()
        assert (alert.state, alert.told) == ("ok", 1)
        assert alert.ended is not None


async def test_rules_and_reports_follow_a_device_that_is_renamed(tmp_path: Path) -> None:
    """What was added goes on under its new name; the configuration is the owner's to change."""
    async with judging(tmp_path, above=5) as judge:
        hub = judge.hub
        await judge.read(1)
        (device,) = hub.registry.devices()
        await hub.rules.change("r", {"devices": [device.name, "other"]})
        hub.rules.configure([rule_of({"name": "c", "silent": "1h", "devices": [device.name]})])
        said = {"name": "weekly", "schedule": "0 8 * * 1", "recipients": ["a@example.org"]}
        await hub.reports.add(report_of({**said, "devices": [device.name]}))
        await hub.rename_device(device.name, "loft")
        assert hub.rules.get("r").rule.devices == ["loft", "other"]
        assert hub.rules.get("c").rule.devices == [device.name]
        assert hub.reports.get("weekly").report.devices == ["loft"]
        await judge.read(9)
        judge.work(restart=True)
        ((kind, text),) = judge.due()
        assert (kind, text.startswith("loft: temperature is 9")) == ("begins", True)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("fields", [{"above": 5}, {"metric": "", "silent": "30s"}])
async def test_an_alert_follows_a_device_that_is_renamed(
    tmp_path: Path, fields: dict[str, Any], restart: bool
) -> None:
    """It stays open under the new name, nobody is told again, and its end is told of that name."""
    async with judging(tmp_path, **fields) as judge:
        hub = judge.hub
        await judge.read(9)
        (device,) = hub.registry.devices()
        await hub.rules.change("r", {"devices": [device.name]})
        judge.work()
        if fields.get("silent"):
            judge.clock.now += MINUTE
        else:
            await judge.read(9)
        judge.work()
        ((kind, text),) = [one for one in judge.due() if one[0] == "begins"][-1:]
        assert text.startswith(f"{device.name}: ")
        open_before = judge.book.open_alerts()
        assert len(open_before) == 1
        judge.work()
        await hub.rename_device(device.name, "loft")
        judge.work(restart=restart)
        (alert,) = judge.book.open_alerts()
        assert (alert.id, alert.device) == (open_before[0].id, "loft")
        assert alert.text == text.replace(device.name, "loft")
        assert judge.due() == []
        await judge.read(1)
        judge.work(restart=restart)
        ((kind, text),) = judge.due()
        assert (kind, text.startswith(("loft ", "loft:"))) == ("over", True)


async def test_what_an_owner_wrote_is_told_as_written(tmp_path: Path) -> None:
    """In mails, on pages and in reports: it is no word of the hub's, though it looks like one."""
    async with judging(tmp_path, above=5, message="pending") as judge:
        await judge.read(9)
        judge.work()
        assert [one.own_words for one in judge.alerts()] == [True]
        batch = judge.book.next_batch(CHANNEL, judge.clock(), 100)
        told = [msgspec.json.decode(one.body, type=Told) for one in batch]
        wording = compose(told, "hub", "", ZoneInfo("UTC"), Words("fr"))
        assert "PENDING" not in wording.text
        assert " pending" in wording.subject
        assert "attente" not in wording.subject + wording.text + wording.html
        await judge.read(1)
        judge.work()
        judge.book.delivered(CHANNEL, batch[0].batch, judge.clock(), None)
        batch = judge.book.next_batch(CHANNEL, judge.clock(), 100)
        told = [msgspec.json.decode(one.body, type=Told) for one in batch]
        assert [(one.kind, one.own) for one in told] == [("over", False)]


async def test_what_is_pending_is_known(tmp_path: Path) -> None:
    """By rule, until it fires or is over; of a folder without alerts nothing is."""
    assert desk.pending(tmp_path) == {}
    async with judging(tmp_path, above=5, **{"for": 600}) as judge:
        for value, known in ((1, {}), (9, {"r": 1}), (1, {}), (9, {"r": 1})):
            await judge.read(value)
            judge.work()
            judge.keep()
            assert desk.pending(tmp_path) == known
        judge.clock.now += 11 * MINUTE
        judge.work()
        assert (desk.pending(tmp_path), judge.alerts()[0].state) == ({}, "firing")


async def test_an_alert_ends_where_its_rule_is_for_others_now(tmp_path: Path) -> None:
    """At once, without a reading; where it still is for the device it stays."""
    async with judging(tmp_path, above=5) as judge:
        await judge.read(9)
        judge.work()
        (device,) = judge.hub.registry.devices()
        await judge.hub.rules.change("r", {"devices": [device.name, "other"]})
        judge.work()
        assert [one.state for one in judge.alerts()] == ["firing"]
        await judge.hub.rules.change("r", {"devices": ["other"]})
        judge.work()
        assert [one.state for one in judge.alerts()] == ["ok"]
        assert [kind for kind, _ in judge.due()] == ["begins"]


async def test_of_what_was_not_kept_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """The cursor stays behind until something is kept; then the same frames come again."""
    async with judging(tmp_path, above=5) as judge:
        await judge.read(1)
        judge.work()
        await judge.read(2)
        before = judge.effect.committed
        judge.work()
        assert judge.effect.committed == before < judge.consumer.position
        judge.open()
        judge.work()
        await judge.read(9)
        judge.work()
        assert judge.effect.committed == judge.consumer.position
        judge.work(restart=True)
        assert [kind for kind, _ in judge.due()] == ["begins"]


async def test_repeated_until_acknowledged(tmp_path: Path) -> None:
    """And after it was snoozed, once more."""
    async with judging(tmp_path, above=5, repeat=600) as judge:
        await judge.read(9)
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["begins"]
        judge.clock.now += 11 * MINUTE
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["reminds"]
        number = judge.alerts()[0].id
        await judge.hub.rules.answer(number, "snooze", judge.clock.now + 60 * MINUTE, "anna")
        judge.work()
        judge.clock.now += 50 * MINUTE
        judge.work(restart=True)
        assert judge.due() == []
        judge.clock.now += 11 * MINUTE
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["reminds"]
        await judge.hub.rules.answer(number, "acknowledge", 0, "anna")
        judge.work()
        judge.clock.now += 600 * MINUTE
        judge.work(restart=True)
        assert judge.due() == []
        assert judge.alerts()[0].acknowledged_by == "anna"


async def test_quiet_hours_hold_back_until_morning(tmp_path: Path) -> None:
    """Then everything of the night is told, what is over too."""
    # It is 23:13 in Paris.
    async with judging(tmp_path, above=5, quiet="22:00-07:00") as judge:
        await judge.read(9)
        judge.work()
        await judge.read(1)
        judge.work()
        assert judge.due() == []
        judge.clock.now = START + 8 * 60 * MINUTE
        judge.work(restart=True)
        assert [kind for kind, _ in judge.due()] == ["begins", "over"]


async def test_what_is_critical_is_told_in_quiet_hours_too(tmp_path: Path) -> None:
    """A freezer does not wait for the morning."""
    async with judging(tmp_path, above=5, quiet="22:00-07:00", severity="critical") as judge:
        await judge.read(9)
        judge.work()
        await judge.read(1)
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["begins", "over"]


@pytest.mark.parametrize("restart", [False, True])
async def test_what_is_of_the_hub_itself_is_told_to_all_once(tmp_path: Path, restart: bool) -> None:
    """At once, whatever hour it is, and it is no alert that would have to be answered."""
    async with judging(tmp_path) as judge:
        judge.work()
        judge.hub.notices.say(Notice("budget", Severity.WARNING, "the disk budget was used up"))
        await judge.read(1)
        for _ in range(2):
            judge.work(restart=restart)
        assert judge.due() == [("notice", "the disk budget was used up")]
        assert judge.alerts() == []


async def test_what_equals_is_said_once(tmp_path: Path) -> None:
    """With how long it has been so."""
    async with judging(tmp_path, equals="1", **{"for": 60}) as judge:
        for _ in range(3):
            await judge.read(1)
        judge.work()
        assert [text for _, text in judge.due()] == [
            f"{SOURCE.suggested_name}: temperature is 1 °C for 1 min"
        ]


async def test_an_older_copy_of_the_file_goes_on(tmp_path: Path) -> None:
    """What was pending may be over since, in frames that are gone; what it says next is heard."""
    async with judging(tmp_path, above=5, **{"for": 300}) as judge:
        await judge.read(9)
        judge.work()
        judge.effect.flush()
        copy = tmp_path / "copy.db"
        with judge.book.storage() as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        for value in (1, 9, 9, 9, 9, 9, 9, 1):
            await judge.read(value)
        await say(judge.hub, SOURCE, [other(judge.clock())])
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["begins", "over"]
        news = judge.book.news(100)
        await judge.hub.rules.tell(judge.book.source(), news)
        judge.work()
        judge.effect.flush()

        judge.book.close()
        for ending in ("-wal", "-shm"):
            (tmp_path / f"alerts.db{ending}").unlink(missing_ok=True)
        copy.rename(tmp_path / "alerts.db")
        lose_frames(tmp_path)
        judge.clock.now += 60 * MINUTE
        judge.work(restart=True)
        assert judge.effect.missed > 0
        judge.clock.now += 60 * MINUTE
        judge.effect.flush()
        judge.work()
        assert judge.due() == []
        for value in (9, 9, 9, 9):
            await judge.read(value, 2 * MINUTE)
            judge.effect.flush()
            judge.work()
        assert [kind for kind, _ in judge.due()] == ["begins"]
        (told,) = judge.book.news(100)
        assert told.number > news[-1].number


def other(time: int) -> Samples:
    """Return a reading at which no rule looks."""
    return msgspec.structs.replace(temperature(1.0, time=time), metric="humidity")


def lose_frames(folder: Path) -> None:
    """Delete all frames of the journal but the newest, as it does once everyone has them."""
    journal = open_database(folder / "journal.db")
    journal.execute("DELETE FROM frame WHERE position < (SELECT max(position) FROM frame)")
    journal.close()


async def test_what_is_kept_no_power_cut_takes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal may forget what alerts say that they have, so it is on the disk by then."""
    asked: list[str] = []
    async with judging(tmp_path, above=5) as judge:
        with judge.book.storage() as db:
            db.trace_v2(
                apsw.SQLITE_TRACE_STMT, lambda event: asked.append(str(event.get("sql", "")))
            )
        monkeypatch.setattr("motehub.alerting.effect.FLUSH_SECONDS", 0.0)
        await judge.read(1)
        before = judge.effect.committed
        judge.work()
        assert judge.effect.committed > before
    writes = [one for one in asked if "synchronous" in one or one.startswith("BEGIN")]
    assert writes[0] == "PRAGMA synchronous=FULL"
    assert "PRAGMA synchronous=NORMAL" not in writes


async def test_maintenance(tmp_path: Path) -> None:
    """What begins and ends in it is told to nobody; what is still so afterwards is."""
    async with judging(tmp_path, above=5) as judge:
        await judge.read(1)
        judge.work()
        until = judge.clock.now + 60 * MINUTE
        await judge.hub.rules.maintain(SOURCE.suggested_name, until)
        for value in (9, 1, 8):
            await judge.read(value)
            judge.work(restart=True)
        assert judge.due() == []
        judge.clock.now = until + 1
        judge.work()
        assert [(k, "8" in text) for k, text in judge.due()] == [("begins", True)]


async def test_a_maintenance_that_ends_at_night_wakes_nobody(tmp_path: Path) -> None:
    """By itself or by its owner; what is critical is told at once."""
    # It is 23:13 in Paris.
    async with judging(tmp_path, above=5, quiet="22:00-07:00") as judge:
        name = SOURCE.suggested_name
        fields = {"name": "bad", "metric": "temperature", "above": 5, "severity": "critical"}
        await judge.hub.rules.add(rule_of(fields))
        await judge.read(1)
        await judge.hub.rules.maintain(name, START + 120 * MINUTE)
        await judge.read(9)
        judge.work()
        assert judge.due() == []
        judge.clock.now = START + 121 * MINUTE
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["begins"]
        await judge.hub.rules.maintain(name, START + 300 * MINUTE)
        judge.work()
        await judge.hub.rules.maintain(name, 0)
        judge.work()
        assert judge.due() == []
        judge.clock.now = START + 8 * 60 * MINUTE
        assert [kind for kind, _ in judge.due()] == ["begins"]


async def test_what_waits_for_the_morning_waits_for_a_maintenance_too(tmp_path: Path) -> None:
    """One that begins in the night and lasts until noon; what was so before is told then."""
    async with judging(tmp_path, above=5, quiet="22:00-07:00") as judge:
        await judge.read(9)
        judge.work()
        await judge.hub.rules.maintain(SOURCE.suggested_name, START + 13 * 60 * MINUTE)
        await judge.read(1)
        judge.work(restart=True)
        judge.clock.now = START + 9 * 60 * MINUTE
        assert judge.due() == []
        judge.clock.now = START + 13 * 60 * MINUTE + 1
        assert [kind for kind, _ in judge.due()] == ["begins", "over"]


async def test_reminders_do_not_pile_up(tmp_path: Path) -> None:
    """Whoever is still to be told is told once; of what is acknowledged nobody is reminded."""
    async with judging(tmp_path, above=5, repeat=60, quiet="22:00-07:00") as judge:
        await judge.read(9)
        for _ in range(5):
            judge.clock.now += 60 * MINUTE
            judge.work()
        judge.clock.now = START + 8 * 60 * MINUTE
        assert [kind for kind, _ in judge.due()] == ["begins"]
        for _ in range(3):
            judge.work()
            judge.clock.now += 2 * MINUTE
        await judge.hub.rules.answer(judge.alerts()[0].id, "acknowledge", 0, "anna")
        judge.work()
        assert judge.due() == []
        assert judge.alerts()[0].told == 2
        await judge.hub.rules.answer(judge.alerts()[0].id, "snooze", judge.clock.now + 1, "anna")
        judge.clock.now += MINUTE
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["reminds"]
        assert judge.alerts()[0].acknowledged_by is None


async def test_of_the_distant_past_nobody_is_told(tmp_path: Path) -> None:
    """A logger brings a year; what of it is still so is told, and what began today."""
    async with judging(tmp_path, above=5) as judge:
        days = [20, 10, 3, 0.5]
        times = [START - round(day * 86_400) * MICROSECONDS for day in days]
        for time in times:
            high, low = temperature(9, time=time), temperature(1, time=time + MINUTE)
            await say(judge.hub, SOURCE, [high, low])
        judge.work()
        judge.clock.now += MINUTE
        assert [kind for kind, _ in judge.due()] == ["begins", "over"]
        assert len(judge.alerts()) == 4
        assert len(judge.book.news(100)) == 8


async def test_what_began_long_ago_and_still_is_so_is_told(tmp_path: Path) -> None:
    """A moment later, since what comes with it may say that it is over."""
    async with judging(tmp_path, above=5) as judge:
        await say(judge.hub, SOURCE, [temperature(9, time=START - 3 * 86_400 * MICROSECONDS)])
        judge.work()
        assert judge.due() == []
        judge.clock.now += MINUTE
        judge.work(restart=True)
        assert [kind for kind, _ in judge.due()] == ["begins"]


async def test_silence_lasts_through_restarts(tmp_path: Path) -> None:
    """The time in which nobody listened doesn't count, all other does."""
    async with judging(tmp_path) as judge:
        await judge.hub.rules.add(rule_of({"name": "s", "silent": "3h"}))
        await judge.read(1)
        for _ in range(3):
            judge.work()
            judge.clock.now += 50 * MINUTE
            judge.work()
            judge.effect.flush()
            judge.clock.now += 24 * 60 * MINUTE
            judge.work(restart=True)
            assert judge.due() == []
        judge.clock.now += 31 * MINUTE
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["begins"]


async def test_a_rule_that_is_removed_ends_its_alerts_quietly(tmp_path: Path) -> None:
    """Also when nobody was there to see it go."""
    async with judging(tmp_path, above=5) as judge:
        await judge.read(9)
        judge.work()
        judge.due()
        await judge.hub.rules.remove("r")
        judge.work(restart=True)
        assert judge.due() == []
        assert judge.alerts()[0].ended is not None
        await judge.read(9)
        judge.work()
        assert len(judge.alerts()) == 1


async def test_what_can_not_be_kept_is_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a moment costs nothing."""
    async with judging(tmp_path, above=5) as judge:
        await judge.read(1)
        judge.work()

        def full(*_: Any, **__: Any) -> None:
            raise StorageError("The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr("motehub.alerting.book.Writing.begin", full)
            await judge.read(9)
            assert not judge.consumer.catch_up()
        assert judge.alerts() == []
        judge.work()
        assert [kind for kind, _ in judge.due()] == ["begins"]


async def test_the_hub_hears_each_piece_of_news_once(tmp_path: Path) -> None:
    """However often it is told, and whoever dies meanwhile."""
    async with judging(tmp_path, above=5) as judge:
        await judge.read(9)
        await judge.read(1)
        judge.work()
        news = judge.book.news(100)
        assert [one.state for one in news] == ["firing", "over"]
        for _ in range(2):
            await judge.hub.rules.tell(judge.book.source(), news)
        assert judge.hub.rules.book.told == (judge.book.source(), news[-1].number)
        judge.book.forget_news(news[-1].number)
        assert judge.book.news(100) == []
        judge.work()


async def test_the_built_in_rule_is_for_whoever_is_expected(tmp_path: Path) -> None:
    """No data for three intervals, of a device of which the owner has said one."""
    async with judging(tmp_path) as judge:
        judge.hub.rules.configure([])
        await judge.read(1)
        judge.work()
        await judge.hub.describe_device(SOURCE.suggested_name, ["cellar"], 60.0)
        await judge.read(1)
        judge.work()
        judge.clock.now += 4 * MINUTE
        judge.work()
        assert [text.endswith("nothing comes any more") for _, text in judge.due()] == [True]


@pytest.mark.parametrize("restart", [False, True])
async def test_who_speaks_regularly_is_missed_without_anybodys_doing(
    tmp_path: Path, restart: bool
) -> None:
    """Once, whenever the process is killed; and its messages say that this is estimated."""
    async with judging(tmp_path) as judge:
        judge.hub.rules.configure([])
        for _ in range(170):
            await judge.read(1, 10 * MINUTE)
            judge.work(restart=restart and judge.clock.now % (240 * MINUTE) < 10 * MINUTE)
            judge.keep()
        # A backdated reading is a sign of life, and nothing else.
        await say(judge.hub, SOURCE, [temperature(1, time=judge.clock.now - 600 * MINUTE)])
        judge.work()
        judge.clock.now += 29 * MINUTE
        judge.work()
        # The time in which nobody listens would be no silence.
        judge.keep()
        judge.work(restart=restart)
        assert judge.alerts() == []
        judge.clock.now += MINUTE
        judge.work()
        ((kind, text),) = judge.due()
        assert kind == "begins"
        assert text.endswith(": nothing comes any more, for 30 min (estimated)")
        (alert,) = judge.alerts()
        assert (alert.rule, alert.state) == ("no data", "no data")
        assert alert.limits == "no data for 30 min (estimated)"
        judge.work(restart=restart)
        await judge.read(1)
        judge.work(restart=restart)
        ((kind, _),) = judge.due()
        assert kind == "over"


async def test_nobody_is_missed_whose_owner_does_not_want_it(tmp_path: Path) -> None:
    """The rule that is there by itself is switched off like any other."""
    async with judging(tmp_path) as judge:
        judge.hub.rules.configure([])
        await judge.hub.rules.change("no data", {"enabled": False})
        for _ in range(170):
            await judge.read(1, 10 * MINUTE)
            judge.work()
            judge.keep()
        judge.clock.now += 600 * MINUTE
        judge.work()
        assert judge.alerts() == []


async def test_rules_are_looked_at_once_a_device_is_an_hour_old(tmp_path: Path) -> None:
    """Until then no process is needed for a hub without any rule."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        hub.rules.look()
        assert not hub.rules.needed.is_set()
        clock.now += 59 * MINUTE
        hub.rules.look()
        assert not hub.rules.needed.is_set()
        clock.now += MINUTE
        hub.rules.look()
        assert hub.rules.needed.is_set()
    async with open_hub(tmp_path, clock) as (hub, _):
        assert hub.rules.needed.is_set()
