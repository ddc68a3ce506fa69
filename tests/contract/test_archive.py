"""Old readings moved to files, on every history store: in one place or the other, never lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.contract.test_retention import Model, Reading
from tests.contract.test_rollups import (
    DAY,
    HOUR,
    SECOND,
    START,
    columns,
    kind,
    opener,
    store,
    table,
    url,
    with_devices,
)
from tests.servers import PostgresServer

from motehub import parts
from motehub.archive.history import WholeHistory
from motehub.archive.making import make_month
from motehub.archived import FOLDER, month_after, month_of
from motehub.archiver import Outcome
from motehub.archiving import Archiving
from motehub.core.history import make_fold
from motehub.core.retention import Plan, Retention, Rule
from motehub.errors import MotehubError, OwnerError
from motehub.frames import Columns, DeviceRemoved, Entry, Frame, SeriesAdded, TextReadings
from motehub.history_contract import Expiring, HistoryStore
from motehub.model import Kind, Series
from motehub.rollups import Kept
from motehub.thinning import Thinning

__all__ = ["kind", "opener", "store", "url"]

ALWAYS = 2**62
DOOR = Series(9, 1, "door", "", Kind.TEXT)


class AtOnce:
    """An archiver that has done its work when it is asked for the first time, or at once."""

    def __init__(
        self, store: HistoryStore, folder: Path, todo: Sequence[Expiring], *, early: bool
    ) -> None:
        self._make: Callable[[], Outcome] = lambda: made(store, folder, todo)
        self._made = self._make() if early else None

    def outcome(self) -> Outcome:
        return self._made or self._make()

    def stop(self) -> None:
        pass


def made(store: HistoryStore, folder: Path, todo: Sequence[Expiring]) -> Outcome:
    try:
        return Outcome(make_month(store, folder, todo))
    except MotehubError as error:
        return Outcome(trouble=str(error))


class Stand:
    """A store that is thinned into an archive, and what it has ever taken in."""

    def __init__(self, store: HistoryStore, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.model = Model(store)
        self.texts: dict[int, str] = {}
        self.now = START
        self.early = True
        self.rule = Rule("30d", "40d", "forever", "forever")
        self.budget: int | None = None
        self.restart()
        self.fold([], [SeriesAdded(DOOR)])

    def restart(self) -> None:
        """Forget all that a writer knows which was killed."""
        archiving = Archiving(
            self.store, lambda todo: AtOnce(self.store, self.folder, todo, early=self.early)
        )
        self.thinning = Thinning(
            self.store,
            lambda: Retention(Plan(self.rule, self.budget), {}),
            lambda: self.now,
            archiving,
            steady=lambda: self.now / SECOND,
        )

    def fold(self, rows: list[Reading], entries: list[Entry] | None = None) -> None:
        there = {(series, time) for series, time, _ in table(self.store, "reading")}
        closed = {row[:2]: self.model._is_closed(*row[:2], there) for row in rows}
        known = {series.id: series.device for series in self.store.registry()[1]}
        frame = Frame(1000, columns(rows), Columns(), entries or [])
        fold = make_fold([(self.store.position() + 1, frame)], known)
        self.thinning.hear(fold)
        self.store.fold(fold)
        for series, time, value in rows:
            if (series, time) not in there and not closed[series, time]:
                self.model.ever.setdefault((series, time), value)

    def say(self, texts: list[tuple[int, str]]) -> None:
        if texts:
            times, values = map(list, zip(*texts, strict=True))
            self.fold([], [TextReadings(DOOR.id, times, values)])
        for time, text in texts:
            self.texts.setdefault(time, text)

    def run(self) -> None:
        """Archive and delete everything that is old enough."""
        self.thinning.begin()
        while self.thinning.step() or self.thinning._is_busy:
            pass

    def check(self) -> None:
        whole = WholeHistory(self.store, self.folder)
        for series in (1, 2, 3):
            expected = sorted(
                (time, value) for (one, time), value in self.model.ever.items() if one == series
            )
            assert rows_of(whole, series) == expected
            for since, until in ((START + DAY, START + 50 * DAY), (START + 7, START + 31 * DAY)):
                part = [row for row in expected if since <= row[0] < until]
                assert rows_of(whole, series, since, until) == part
        found = [
            row
            for times, texts in whole.texts(DOOR.id, -ALWAYS, ALWAYS)
            for row in zip(times, texts, strict=True)
        ]
        assert found == sorted(self.texts.items())
        self.check_files()

    def check_files(self) -> None:
        """No file has a reading that another has too."""
        files = [str(self.folder / FOLDER / one.name) for one in self.store.archive_files()]
        if files:
            with duckdb.connect() as db:
                query = "SELECT count(*), count(DISTINCT (series, time)) FROM read_parquet(?)"
                count, distinct = db.execute(query, [files]).fetchone() or (0, 1)
            assert count == distinct == sum(one.rows for one in self.store.archive_files())


def rows_of(
    whole: WholeHistory, series: int, since: int = -ALWAYS, until: int = ALWAYS
) -> list[tuple[int, float]]:
    return [
        row
        for times, values in whole.readings(series, since, until)
        for row in zip(times, values, strict=True)
    ]


MOMENTS = st.one_of(
    st.integers(0, 60).map(lambda n: START + n * 29 * SECOND),
    st.integers(0, 12).map(lambda n: START + n * 10 * DAY),
    st.integers(-2, 2).map(lambda n: month_after(START) + n),
    st.integers(0, 300).map(lambda n: START + n * 11 * HOUR),
)
ROWS = st.lists(st.tuples(st.integers(1, 2), MOMENTS, st.floats(-1e6, 1e6)), max_size=12)
TEXTS = st.lists(st.tuples(MOMENTS, st.sampled_from(["", "open", 'a "b", c\n', "é"])), max_size=4)
STEP = st.one_of(
    st.tuples(st.just("fold"), ROWS),
    st.tuples(st.just("say"), TEXTS),
    st.tuples(st.just("later"), st.integers(1, 70)),
    st.tuples(st.just("step"), st.integers(1, 6)),
    st.tuples(st.just("step"), st.integers(1, 6)),
    st.tuples(st.just("restart"), st.booleans()),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEP, min_size=4, max_size=14), st.integers(1, 20))
@example(
    # What comes between the archiver's look and the deletion is in no file.
    [
        ("fold", [(1, START, 1.0), (1, START + DAY, 2.0), (1, START + 120 * DAY, 3.0)]),
        ("later", 70),
        ("step", 0),
        ("fold", [(1, START + HOUR, 4.0), (2, START + HOUR, 5.0)]),
        ("step", 9),
    ],
    1,
)
@example(
    # A silent device's newest reading is archived and stays; then it speaks again.
    [
        ("fold", [(1, START, 1.0)]),
        ("later", 70),
        ("step", 0),
        ("fold", [(1, START + 60 * DAY, 2.0)]),
        ("step", 6),
        ("later", 70),
        ("step", 6),
    ],
    20,
)
def test_a_reading_is_found_once_wherever_it_is(
    kind: str,
    url: str,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresServer,
    steps: list[tuple[str, Any]],
    rows: int,
) -> None:
    """Late readings, texts, and a writer that is killed between any two steps."""
    folder = tmp_path_factory.mktemp("store")
    with (
        closing(parts.store(kind).open(folder, url, False)) as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        if url:
            postgres.empty(url)
        patch.setattr("motehub.thinning.ROWS_AT_ONCE", rows)
        with_devices(store)
        stand = Stand(store, folder)
        for what, how in steps:
            if what == "fold":
                stand.fold(how)
            elif what == "say":
                stand.say(how)
            elif what == "later":
                stand.now += how * DAY
            elif what == "restart":
                stand.early = how
                stand.restart()
            else:
                stand.thinning.begin()
                for _ in range(how):
                    stand.thinning.step()
            stand.check()
        stand.run()
        stand.check()


def hourly(days: int) -> list[Reading]:
    return [(1, time, float(time // HOUR % 97)) for time in range(START, START + days * DAY, HOUR)]


@pytest.fixture
def stand(store: HistoryStore, tmp_path: Path) -> Stand:
    """A hundred days of a series, of which the last thirty are kept."""
    made = Stand(store, tmp_path)
    made.fold(hourly(100))
    made.say([(START, "open"), (START + DAY, "shut"), (START + 99 * DAY, "open")])
    made.now = START + 101 * DAY
    return made


def names_of(stand: Stand) -> list[str]:
    return [one.name[:7] for one in stand.store.archive_files()]


def test_old_months_become_files(stand: Stand) -> None:
    """A file for each month that is over, and none of its readings is in the store any more."""
    stand.run()
    edge = month_of(START + 71 * DAY)
    months = {month_of(time) for _, time, _ in hourly(100) if time < edge}
    assert len(names_of(stand)) == len(set(names_of(stand))) == len(months)
    assert min(row[1] for row in table(stand.store, "reading")) == edge
    assert stand.store.kept(1).raw == edge
    stand.check()
    report = stand.thinning.report["archive"]
    assert report["files"] == len(months)
    assert report["trouble"] is None
    assert report["readings"] == sum(1 for row in hourly(100) if row[1] < edge) + 2
    stand.run()
    assert report == stand.thinning.report["archive"]


def test_other_programs_read_the_files(stand: Stand) -> None:
    """Plain columns with names, times with a time zone, numbers and texts apart."""
    stand.run()
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        found = db.execute(
            "SELECT device, metric, unit, epoch_us(time), value, text, series, typeof(time) "
            "FROM read_parquet(?) ORDER BY series, time LIMIT 1",
            [str(stand.folder / FOLDER / "*.parquet")],
        ).fetchall()
        texts = db.execute(
            "SELECT text FROM read_parquet(?) WHERE value IS NULL ORDER BY time",
            [str(stand.folder / FOLDER / "*.parquet")],
        ).fetchall()
    value = float(START // HOUR % 97)
    assert found == [("a", "t", "°C", START, value, None, 1, "TIMESTAMP WITH TIME ZONE")]
    assert texts == [("open",), ("shut",)]


def test_what_comes_late_is_in_a_further_file(stand: Stand) -> None:
    """Of the same month, once the next month goes; what is there already is not written again."""
    stand.run()
    before = names_of(stand)
    stand.fold([(2, START + 7, 1.0), (2, START + HOUR, 2.0)])
    stand.check()
    stand.fold([(2, START + 7, 1.0)])
    stand.now = month_after(stand.now)
    stand.run()
    assert names_of(stand).count(before[0]) == 2
    stand.check()


def test_nothing_goes_when_nothing_can_be_archived(stand: Stand) -> None:
    """The owner is told; once it can be written again, it goes."""
    (stand.folder / FOLDER).write_text("in the way")
    stand.run()
    assert len(table(stand.store, "reading")) == 2_400
    assert stand.store.archive_files() == []
    assert "archive" in stand.thinning.report["archive"]["trouble"]
    stand.check()
    (stand.folder / FOLDER).unlink()
    stand.run()
    assert stand.thinning.report["archive"]["trouble"]
    stand.now += 61 * SECOND
    stand.run()
    assert stand.thinning.report["archive"]["trouble"] is None
    assert len(table(stand.store, "reading")) < 2_400
    stand.check()


def test_a_file_that_is_there_but_not_noted_does_no_harm(stand: Stand) -> None:
    """A writer that is killed before it could note the file has it written again."""
    series = [Expiring(one, Kept(raw=month_after(START))) for one in (1, 2, 3, 9)]
    first = make_month(stand.store, stand.folder, series).file
    stand.restart()
    stand.check()
    stand.run()
    stand.check()
    assert first is not None
    assert first.rows == stand.store.archive_files()[0].rows


def test_the_disk_budget_moves_what_it_takes(stand: Stand, kind: str) -> None:
    """The oldest month first; nothing is lost, and the devices' events say where it is."""
    stand.rule = Rule(*["forever"] * 4)
    stand.budget = 1_000
    stand.run()
    stand.thinning.measure()
    stand.run()
    assert len(names_of(stand)) >= 3
    assert min(row[1] for row in table(stand.store, "reading")) >= month_of(START + 99 * DAY)
    assert "moved to the archive" in stand.store.events(1, 1)[0].text
    stand.check()


def test_a_removed_device_takes_its_archive_along(stand: Stand) -> None:
    """A later one of the same number does not find it; the files stay as they are."""
    stand.run()
    stand.fold([], [DeviceRemoved(1)])
    stand.model.ever.clear()
    stand.texts.clear()
    whole = WholeHistory(stand.store, stand.folder)
    assert rows_of(whole, 1) == []
    assert stand.store.archive_parts(1, -ALWAYS, ALWAYS) == []
    assert len(stand.store.archive_files()) > 1


def test_a_file_that_is_gone_is_told(stand: Stand) -> None:
    """Whoever asks for what it had hears which file it is; what came later can be had."""
    stand.run()
    lost = stand.store.archive_files()[0]
    (stand.folder / FOLDER / lost.name).unlink()
    whole = WholeHistory(stand.store, stand.folder)
    with pytest.raises(OwnerError, match=lost.name):
        rows_of(whole, 1)
    assert rows_of(whole, 1, lost.until)
