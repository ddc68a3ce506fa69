"""Which time is believed when old readings are deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.clock_watch import (
    DOUBT_SECONDS,
    FILE_NAME,
    MOST_AWAY,
    MOST_RUNNING,
    AgeClock,
    ClockWatch,
    FileNotes,
    Noted,
    Read,
)

SECOND = 1_000_000
DAY = 86_400
YEAR = 365 * DAY
START = 20_000 * DAY


class Machine:
    """A machine whose clock may be wrong, and what is on its disk; times in seconds."""

    def __init__(self, time: float = START) -> None:
        self.time = time
        self.off = 0.0
        self.booted = time
        self.noted: Noted | None = None
        self.saved: list[Noted] = []
        self.heard: int | None = None
        self.start()

    def load(self) -> Noted | None:
        return self.noted

    def save(self, noted: Noted) -> None:
        self.noted = noted
        self.saved.append(noted)

    def start(self, away: float = 0.0) -> None:
        self.time += away
        self.booted = self.time
        self.watch = ClockWatch(
            self,
            lambda: self.heard,
            lambda: round((self.time + self.off) * SECOND),
            lambda: self.time - self.booted,
        )
        self.watch.look()

    def stop(self) -> None:
        self.watch.note()

    def run(self, seconds: float, step: float = 60.0) -> None:
        while seconds > 0:
            self.time += min(step, seconds)
            seconds -= step
            self.watch.look()

    @property
    def moment(self) -> float:
        return self.watch.moment() / SECOND


def test_a_clock_that_goes_as_time_does_is_believed() -> None:
    """And so is one that is set by less than a day, on or back."""
    machine = Machine()
    for off in (0, 0.9 * DAY, -0.05 * DAY, 3600, 0):
        machine.off = off
        machine.run(3 * 3600)
        assert machine.watch.report is None
        assert machine.moment == machine.time + machine.off


def test_a_clock_that_jumps_ahead_makes_nothing_old() -> None:
    """From the first moment on, and not only once somebody has looked."""
    machine = Machine()
    machine.run(3600)
    machine.off = 5 * YEAR
    assert machine.moment == machine.time
    machine.run(23 * 3600 + 60)
    assert machine.moment == machine.time
    report = machine.watch.report
    assert report is not None
    assert report["hours"] == 1
    assert report["believed"].startswith("2024-10-0")
    assert report["clock"].startswith("2029-10-0")


def test_who_deletes_nothing_goes_by_the_same_time() -> None:
    """The journal and the alerts read what the writer noted, and hear of the owner's word."""
    machine = Machine()
    machine.stop()
    machine.off = 5 * YEAR
    machine.start(away=60)
    said: list[int] = []
    watch = ClockWatch(
        Read(machine),
        lambda: None,
        lambda: round((machine.time + machine.off) * SECOND),
        lambda: machine.time - machine.booted,
        quiet=True,
    )
    aging = AgeClock(watch, lambda: max(said, default=None), lambda: machine.time)
    saved = len(machine.saved)
    for _ in range(600):
        machine.time += 60
        # The minute in which nothing ran is not counted.
        assert aging() == round((machine.time - 60) * SECOND)
    assert len(machine.saved) == saved
    said.append(round((machine.time + machine.off) * SECOND))
    machine.time += 61
    assert aging() == round((machine.time + machine.off) * SECOND)
    # It jumps once more, and that is doubted from the first moment on.
    machine.off += YEAR
    assert aging() == round((machine.time + 5 * YEAR) * SECOND)


def test_a_clock_that_is_set_right_again_is_believed_at_once() -> None:
    """Nothing was deleted, and deletion goes on where it was."""
    machine = Machine()
    machine.off = 5 * YEAR
    machine.run(3600)
    machine.off = 0
    assert machine.moment == machine.time
    machine.run(60)
    assert machine.watch.report is None
    machine.off = 5 * YEAR
    assert machine.moment == machine.time


def test_after_a_day_it_is_believed() -> None:
    """A hub that was off for the winter is not kept from deleting for ever."""
    machine = Machine()
    machine.stop()
    machine.start(away=150 * DAY)
    assert machine.moment < machine.time - 149 * DAY
    machine.run(DOUBT_SECONDS - 60)
    assert machine.watch.report is not None
    machine.run(120)
    assert machine.watch.report is None
    assert machine.moment == machine.time


def test_what_the_owner_says_counts_for_the_clock_of_then() -> None:
    """A clock that jumps once more is doubted again, and an old word says nothing of it."""
    machine = Machine()
    machine.off = YEAR
    machine.run(600)
    said = round((machine.time + machine.off) * SECOND)
    machine.run(60)
    machine.watch.look(said)
    assert machine.watch.report is None
    assert machine.moment == machine.time + YEAR
    machine.off = 3 * YEAR
    machine.time += 60
    machine.watch.look(said)
    assert machine.watch.report is not None
    assert machine.moment == machine.time + YEAR


def test_a_word_from_the_future_says_nothing() -> None:
    """The owner has confirmed a wrong clock; set right, it is doubted and not taken for that."""
    machine = Machine()
    machine.off = -YEAR
    machine.run(60)
    assert machine.watch.report is not None
    machine.watch.look(round(machine.time * SECOND))
    assert machine.watch.report is not None


@pytest.mark.parametrize("away", [0, DAY, MOST_AWAY - 60])
def test_a_week_away_is_no_matter(away: float) -> None:
    """A hub that is switched off for a holiday says nothing of it."""
    machine = Machine()
    machine.run(3 * DAY, 600)
    machine.stop()
    machine.start(away)
    assert machine.watch.report is None
    assert machine.moment == machine.time


def test_restarts_neither_end_a_doubt_nor_make_it_last() -> None:
    """What it has waited for counts on, as long as the clock is the same."""
    machine = Machine()
    machine.off = 5 * YEAR
    machine.run(60)
    for _ in range(3):
        machine.run(6 * 3600)
        machine.stop()
        machine.start(away=3600)
        assert machine.watch.report is not None
        assert machine.moment < machine.time
    machine.run(6 * 3600)
    assert machine.watch.report is None
    assert machine.moment == machine.time + 5 * YEAR


def test_another_jump_begins_the_wait_anew() -> None:
    """Whether it comes while the hub runs or while it is off."""
    machine = Machine()
    machine.off = 5 * YEAR
    machine.run(20 * 3600)
    machine.off = 7 * YEAR
    machine.run(20 * 3600)
    assert machine.watch.report is not None
    machine.stop()
    machine.off = 9 * YEAR
    machine.start()
    machine.run(20 * 3600)
    assert machine.watch.report is not None
    assert machine.moment == pytest.approx(machine.time)


def test_a_clock_that_was_set_back_deletes_less() -> None:
    """1970 until the network sets it: what was believed before is remembered meanwhile."""
    machine = Machine()
    machine.stop()
    machine.off = -machine.time
    machine.start(away=DAY)
    machine.run(3600)
    assert machine.watch.report is not None
    assert machine.moment < 2 * DAY
    machine.off = 0
    machine.run(60)
    # A day was lost of which it knew nothing.
    assert machine.moment >= machine.time - DAY - 3600
    assert machine.watch.believed <= machine.time * SECOND


def test_without_a_note_it_goes_by_when_something_came_last() -> None:
    """The note is new, lost, or of a back-up that has none; an empty hub believes its clock."""
    machine = Machine()
    assert machine.watch.report is None
    machine.noted, machine.heard = None, START * SECOND
    machine.off = 5 * YEAR
    machine.start()
    assert machine.watch.report is not None
    assert machine.moment == START


def test_a_note_is_kept_in_the_data_folder(tmp_path: Path) -> None:
    """One that is damaged, or can't be written, is as none."""
    notes = FileNotes(tmp_path)
    assert notes.load() is None
    notes.save(Noted(1, 2, 3.5))
    assert notes.load() == Noted(1, 2, 3.5)
    assert [one.name for one in tmp_path.iterdir()] == [FILE_NAME]
    (tmp_path / FILE_NAME).write_text("{")
    assert notes.load() is None
    FileNotes(tmp_path / "missing").save(Noted(1, 2))


def test_the_time_is_noted_while_the_hub_runs() -> None:
    """A hub that is killed knows it to ten minutes, and writes it no more often than that."""
    machine = Machine()
    machine.saved.clear()
    machine.run(3600)
    assert 5 <= len(machine.saved) <= 7
    assert machine.time - 600 <= machine.saved[-1].believed / SECOND <= machine.time


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["run", "set", "restart"]),
        st.floats(0, 5 * 3600),
        st.one_of(st.just(0.0), st.floats(10 * DAY, 50 * YEAR), st.floats(-50 * YEAR, -2 * DAY)),
    ),
    max_size=30,
)


@given(_STEPS)
def test_no_jump_makes_anything_old_in_less_than_a_day(
    steps: list[tuple[str, float, float]],
) -> None:
    """However often the clock is set and the hub restarted: time itself is the latest believed.

    And a clock that goes evenly for a day is believed, whatever was before.
    """
    machine = Machine()
    evenly = 0.0
    for what, seconds, off in steps:
        if what == "set" and off != machine.off:
            machine.off, evenly = off, 0.0
        elif what == "restart":
            machine.stop()
            machine.start(seconds)
        if evenly + seconds >= DOUBT_SECONDS:
            # Set right before it would be believed after all.
            machine.off = 0.0
        evenly = evenly + seconds if machine.off else 0.0
        machine.run(seconds, 1800)
        assert machine.moment <= machine.time + MOST_RUNNING
    machine.run(DOUBT_SECONDS + 3700, 1800)
    assert machine.watch.report is None
    assert machine.moment == pytest.approx(machine.time + machine.off)
