"""How often the owner is told of a matter of the hub itself."""

from __future__ import annotations

from pathlib import Path

from tests.unit.core.support import FakeClock, open_hub

from motehub.alerts.rule import Severity
from motehub.core.notices import FIRST_REST, LONGEST_REST, Notice, told_of
from motehub.frames import HubNoticed, decode_frame
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS

DAY = FIRST_REST * MICROSECONDS


def matter(text: str = "it is full", mark: str = "", kind: str = "journal") -> Notice:
    return Notice(kind, Severity.WARNING, text, mark)


async def test_what_goes_on_is_told_again_and_ever_less_often(tmp_path: Path) -> None:
    """After a day, two, four …, and from the beginning once there was a pause."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        told = []
        for hour in range(24 * 120):
            if hub.notices.say(matter()):
                told.append(hour // 24)
            clock.now += DAY // 24
        assert told == [0, 1, 3, 7, 15, 31, 63, 95]
        clock.now += 3 * LONGEST_REST * MICROSECONDS
        assert hub.notices.say(matter())
        clock.now += DAY
        assert hub.notices.say(matter())


async def test_what_has_a_mark_is_told_once(tmp_path: Path) -> None:
    """Another one of its kind a day later; of other kinds it says nothing."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        assert hub.notices.say(matter(mark="1"))
        assert not hub.notices.say(matter(mark="2"))
        assert hub.notices.say(matter(mark="1", kind="clock"))
        clock.now += DAY
        assert not hub.notices.say(matter(mark="1"))
        assert hub.notices.say(matter(mark="2"))


async def test_a_restart_tells_nothing_anew(tmp_path: Path) -> None:
    """And the journal has what was told, for those who carry it on."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        assert hub.notices.say(matter("so it is"))
    reader = SqliteLogReader(tmp_path)
    assert told_of(reader.state())["journal"].time == clock.now
    frames = [decode_frame(body) for _, body in reader.read(0, 10**6)]
    entries = [entry for frame in frames for entry in frame.entries]
    assert HubNoticed("journal", "warning", clock.now, "so it is") in entries
    reader.close()
    async with open_hub(tmp_path, clock) as (hub, _):
        assert not hub.notices.say(matter())


async def test_a_clock_that_was_set_does_not_silence_it(tmp_path: Path) -> None:
    """Years back or ahead: it was told long ago."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        for years in (0, 5, -9):
            clock.now += years * 365 * DAY
            assert hub.notices.say(matter())


async def test_those_who_carry_it_on_are_needed_where_somebody_is_to_be_told(
    tmp_path: Path,
) -> None:
    """A hub without mail and services starts no process for that."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        hub.notices.say(matter())
        assert not hub.rules.needed.is_set()
        hub.notices.to_be_told = True
        hub.notices.say(matter(kind="clock"))
        assert hub.rules.needed.is_set()
