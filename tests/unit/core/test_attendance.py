"""When the hub was there, as its journal tells."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests.unit.core.support import START, FakeClock, frames, open_hub

from motehub.core.attendance import (
    AWAY_SECONDS,
    BEAT_SECONDS,
    LOOK_SECONDS,
    Attendance,
    last_there,
    last_zone,
    unattended,
)
from motehub.core.journal import Journal
from motehub.frames import Batch, HubAway
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS

SECOND = MICROSECONDS
# Shorter than the journal waits for a consumer, of which there is none here.
WHILE = 600 * SECOND


def last(folder: Path) -> int | None:
    with closing(SqliteLogReader(folder)) as reader:
        return last_there(reader.state(), reader.newest())


def away(folder: Path) -> list[tuple[int, int]]:
    return [
        (entry.since - START, entry.until - START)
        for _, frame in frames(folder)
        for entry in frame.entries
        if isinstance(entry, HubAway)
    ]


async def settled(journal: Journal) -> None:
    await journal.append(Batch())


async def test_what_is_between_two_runs_is_noted_at_the_second(tmp_path: Path) -> None:
    """From the last frame of the first, or its regular end; a first start notes nothing."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (_, journal):
        Attendance(journal, clock, last(tmp_path)).begin()
        assert journal.health.head == 0
        await settled(journal)
    clock.now += WHILE
    async with open_hub(tmp_path, clock) as (_, journal):
        attendance = Attendance(journal, clock, last(tmp_path))
        attendance.begin()
        clock.now += WHILE
        attendance.end()
    clock.now += 3 * WHILE
    async with open_hub(tmp_path, clock) as (_, journal):
        Attendance(journal, clock, last(tmp_path), "Europe/Paris").begin()
    assert away(tmp_path) == [(0, WHILE), (2 * WHILE, 5 * WHILE)]
    with closing(SqliteLogReader(tmp_path)) as reader:
        assert last_zone(reader.state()) == "Europe/Paris"


async def test_a_command_beside_no_hub_is_no_hub(tmp_path: Path) -> None:
    """What it writes to the journal moves the newest frame, not when the hub was there."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (_, journal):
        await settled(journal)
    for _ in range(2):
        clock.now += WHILE
        async with open_hub(tmp_path, clock) as (_, journal):
            journal.before_commit(unattended(last(tmp_path)))
            await settled(journal)
    assert last(tmp_path) == START
    clock.now += WHILE
    async with open_hub(tmp_path, clock) as (_, journal):
        Attendance(journal, clock, last(tmp_path)).begin()
    assert away(tmp_path) == [(0, 3 * WHILE)]
    assert last(tmp_path) == clock.now


async def test_where_nothing_comes_a_frame_tells_that_the_hub_is_there(tmp_path: Path) -> None:
    """Now and then, so that a hub that is killed has been there until a minute before."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (_, journal):
        attendance = Attendance(journal, clock, None)
        attendance.begin()
        for _ in range(40):
            clock.now += round(LOOK_SECONDS * SECOND)
            attendance.look()
            await settled(journal)
            known = last(tmp_path)
            assert known is not None
        busy = journal.health.head
        for _ in range(40):
            clock.now += round(LOOK_SECONDS * SECOND)
            attendance.look()
            newest = last(tmp_path)
            assert newest is not None
            assert clock.now - newest <= (BEAT_SECONDS + 2 * LOOK_SECONDS) * SECOND
            while attendance._beat is not None and not attendance._beat.done():
                await attendance._beat
    assert busy == 40
    assert len(frames(tmp_path)) <= busy + 40 * LOOK_SECONDS / BEAT_SECONDS + 1
    assert away(tmp_path) == []


async def test_a_machine_that_was_asleep_was_not_there(tmp_path: Path) -> None:
    """Nor was one whose clock was set, as far as its own times tell."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (_, journal):
        attendance = Attendance(journal, clock, None)
        attendance.begin()
        clock.now += round((AWAY_SECONDS - 1) * SECOND)
        attendance.look()
        clock.now += WHILE
        attendance.look()
        clock.now -= WHILE // 2
        attendance.look()
        await settled(journal)
    first = round((AWAY_SECONDS - 1) * SECOND)
    assert away(tmp_path) == [
        (first, first + WHILE),
        (first + WHILE // 2, first + WHILE // 2),
    ]
