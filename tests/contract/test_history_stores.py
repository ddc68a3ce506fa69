"""What every history store promises, checked on each of them."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.servers import PostgresServer

from motehub import parts
from motehub.core.history import FoldIntoHistory, make_fold
from motehub.core.registry import Registry
from motehub.errors import StaleJournal, StorageError
from motehub.frames import (
    Batch,
    Columns,
    DeviceChanged,
    DeviceRemoved,
    Entry,
    EventOccurred,
    Frame,
    HeldDropped,
    HeldReleased,
    PresenceChanged,
    Rejected,
    SeriesAdded,
    TextReadings,
)
from motehub.history_contract import HistoryStore
from motehub.model import Admission, Device, Kind, Series

FOREVER = 2**62


class EmptyLog:
    """A journal of which only the state is left."""

    def __init__(self, state: dict[str, bytes] | None = None) -> None:
        self._state = state or {}

    def head(self) -> int:
        return 0

    def state(self) -> dict[str, bytes]:
        return self._state

    def read(self, after: int, size: int) -> list[tuple[int, bytes]]:
        return []


Opener = Callable[[], HistoryStore]


@pytest.fixture(params=parts.store_names())
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    """Address of a new database, where the store has one."""
    return str(request.getfixturevalue("database")) if parts.store(kind).schemes else ""


@pytest.fixture
def opener(kind: str, url: str, tmp_path: Path) -> Iterator[Opener]:
    """Open the same store again and again, for writing."""
    opened: list[HistoryStore] = []

    def open_store() -> HistoryStore:
        opened.append(parts.store(kind).open(tmp_path, url, False))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> HistoryStore:
    """A new, empty store."""
    return opener()


def device(number: int, name: str, admission: Admission = Admission.ACCEPTED) -> Device:
    return Device(number, name, "dht_stream", (f"address:{name}",), admission, first_seen=5)


def columns(*rows: tuple[int, int, float]) -> Columns:
    made = Columns()
    for series, time, value in rows:
        made.add(series, array("q", [time]), array("d", [value]))
    return made


def frame(
    entries: list[Entry] | None = None,
    readings: Columns | None = None,
    held: Columns | None = None,
    time: int = 1000,
) -> Frame:
    return Frame(time, readings or Columns(), held or Columns(), entries or [])


A: list[Entry] = [DeviceChanged(device(1, "a")), SeriesAdded(Series(1, 1, "temperature", "°C"))]
B: list[Entry] = [DeviceChanged(device(2, "b")), SeriesAdded(Series(2, 2, "temperature", "°C"))]
PENDING: list[Entry] = [
    DeviceChanged(device(1, "a", Admission.PENDING)),
    SeriesAdded(Series(1, 1, "temperature", "°C")),
]


def fold(store: HistoryStore, *frames: Frame) -> tuple[int, int]:
    """Fold frames after the store's position; return what was stored and duplicate."""
    start = store.position()
    known = {series.id: series.device for series in store.registry()[1]}
    made = make_fold([(start + 1 + n, one) for n, one in enumerate(frames)], known)
    result = store.fold(made)
    return result.stored, result.duplicate


def rows(
    store: HistoryStore, series: int, since: int = 0, until: int = FOREVER
) -> list[tuple[int, float]]:
    return [
        pair
        for times, values in store.readings(series, since, until)
        for pair in zip(times, values, strict=True)
    ]


def check_counts(store: HistoryStore) -> None:
    for row in store.devices():
        settled = row.stored + row.duplicate + row.rejected + row.discarded
        assert row.received == settled + row.device.held


def test_readings_come_back_in_order(store: HistoryStore) -> None:
    """What was folded in any order is read by series, oldest first, in a half-open range."""
    given_rows = columns((2, 50, 5.0), (1, 30, 3.0), (1, 10, 1.0), (2, 40, 4.0), (1, 20, 2.0))
    assert fold(store, frame([*A, *B], given_rows)) == (5, 0)
    assert rows(store, 1) == [(10, 1.0), (20, 2.0), (30, 3.0)]
    assert rows(store, 2) == [(40, 4.0), (50, 5.0)]
    assert rows(store, 1, since=20, until=30) == [(20, 2.0)]


def test_many_readings_are_read_in_parts(store: HistoryStore) -> None:
    """A range of any length is read whole, without a gap or a repetition between the parts."""
    made = Columns()
    times = array("q", range(0, 300_000, 3))
    made.add(1, times, array("d", times))
    fold(store, frame(A, made))
    assert [time for time, _ in rows(store, 1)] == list(times)
    assert len(list(store.readings(1, 0, FOREVER))) > 1


def test_a_resend_is_a_duplicate(store: HistoryStore) -> None:
    """The same series and time again stores nothing, in one fold or in two; the first stays."""
    assert fold(store, frame(A, columns((1, 10, 1.0), (1, 10, 9.0)))) == (1, 1)
    assert fold(store, frame(readings=columns((1, 10, 5.0), (1, 20, 2.0)))) == (1, 1)
    assert rows(store, 1) == [(10, 1.0), (20, 2.0)]
    (row,) = store.devices()
    assert (row.received, row.stored, row.duplicate) == (4, 2, 2)
    check_counts(store)


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_resends_among_many_readings_are_counted(store: HistoryStore, count: int) -> None:
    """Duplicates are found in long runs too, wherever the store cuts them."""
    first, second = Columns(), Columns()
    first.add(1, array("q", range(0, count, 2)), array("d", range(0, count, 2)))
    second.add(1, array("q", range(count)), array("d", range(count)))
    fold(store, frame(A, first))
    assert fold(store, frame(readings=second)) == (count // 2, (count + 1) // 2)
    assert rows(store, 1) == [(n, float(n)) for n in range(count)]


def test_texts_are_kept_beside_numbers(store: HistoryStore) -> None:
    """A metric may have numbers and texts; each is a series of its own, without doubles."""
    entries: list[Entry] = [
        *A,
        SeriesAdded(Series(3, 1, "temperature", "", Kind.TEXT)),
        TextReadings(3, [30, 10], ["warm", "cold"]),
    ]
    assert fold(store, frame(entries, columns((1, 10, 1.0)))) == (3, 0)
    assert fold(store, frame([TextReadings(3, [10, 20], ["again", "mild"])])) == (1, 1)
    parts_of_texts = list(store.texts(3, 0, FOREVER))
    assert [(list(times), values) for times, values in parts_of_texts] == [
        ([10, 20, 30], ["cold", "mild", "warm"])
    ]
    assert [one.kind for one in store.registry()[1]] == [Kind.GAUGE, Kind.TEXT]
    check_counts(store)


def test_no_character_stops_a_store(store: HistoryStore) -> None:
    """Texts of devices may hold any character; one that can't be stored is shown by another."""
    odd = "\0 \x01 \x1b \u2028 \U0001f321 \\ '"
    entries: list[Entry] = [
        *A,
        SeriesAdded(Series(3, 1, "state", "", Kind.TEXT)),
        TextReadings(3, [10], [odd]),
        EventOccurred(1, 10, "device_error", odd),
        Rejected(1, odd, 10, odd.encode(), odd),
    ]
    fold(store, frame(entries))
    shown = {odd, odd.replace("\0", "\N{SYMBOL FOR NULL}")}
    assert {value for _, values in store.texts(3, 0, FOREVER) for value in values} <= shown
    assert {event.text for event in store.events(None, 10)} <= shown
    (row,) = store.rejected(10)
    assert row.payload == odd.encode()
    assert {row.reason, row.source} <= shown
    assert store.position() == 1


def test_times_of_any_year(store: HistoryStore) -> None:
    """Clocks that are wrong by centuries, and imports of old data, are stored like the rest."""
    year = 365 * 86_400 * 1_000_000
    times = [-(2**62), -1, 0, *(n * year for n in (20, 29, 30, 31, 56, 130, 200)), 2**62 - 1]
    assert fold(store, frame(A, columns(*((1, time, 1.0) for time in times)))) == (len(times), 0)
    assert [time for time, _ in rows(store, 1, -(2**63))] == times


def test_the_view_of_the_original_http_system(opener: Opener, url: str, tmp_path: Path) -> None:
    """``home_data`` gives device, time, °F and %, for programs that read the original table."""
    store = opener()
    humid = SeriesAdded(Series(2, 1, "relative_humidity", "%"))
    moment = 1_767_225_600_000_000
    fold(store, frame([*A, humid], columns((1, moment, 20.5), (2, moment, 55.0))))
    if url:
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT location, extract(epoch FROM timestamp)::bigint, temperature, humidity "
                "FROM home_data"
            ).fetchall()
        assert found == [("a", 1_767_225_600, 68.9, 55.0)]
    else:
        with closing(sqlite3.connect(tmp_path / "motehub.db")) as file:
            found = file.execute("SELECT * FROM home_data").fetchall()
        assert found == [("a", "2026-01-01T00:00:00Z", 68.9, 55.0)]


def test_held_texts_are_released_like_numbers(store: HistoryStore) -> None:
    """Quarantine holds texts too."""
    text = SeriesAdded(Series(3, 1, "state", "", Kind.TEXT))
    fold(store, frame([*PENDING, text, TextReadings(3, [10], ["on"], held=True)]))
    assert list(store.texts(3, 0, FOREVER)) == []
    assert store.devices()[0].device.held == 1
    fold(store, frame([DeviceChanged(device(1, "a")), HeldReleased(1)]))
    assert [values for _, values in store.texts(3, 0, FOREVER)] == [["on"]]
    check_counts(store)


def test_a_history_that_was_lost_learns_the_registry_again(opener: Opener) -> None:
    """Where frames are missing, the registry comes from the journal's state, before readings."""
    registry = Registry([device(1, "a"), device(2, "b")], [Series(1, 1, "t", "°C")])
    batch = Batch()
    registry.describe(batch)
    log = EmptyLog({key: value for key, value in batch.state.items() if value is not None})
    store = opener()
    effect = FoldIntoHistory(store, log, "journal")
    assert effect.position() == 0
    renamed = DeviceChanged(device(2, "a"))
    effect.apply([(41, frame([renamed], columns((1, 10, 1.0), (9, 10, 1.0))))])
    assert store.position() == 41
    assert rows(store, 1) == [(10, 1.0)]
    assert {row.device.id for row in store.devices()} == {1, 2}
    (left_out,) = store.rejected(10)
    assert (left_out.source, left_out.count) == ("journal", 1)
    check_counts(store)


def test_what_is_said_of_unknown_devices_is_left_out(store: HistoryStore) -> None:
    """Events and series of a device that is not there do no harm."""
    gone: list[Entry] = [
        EventOccurred(7, 1, "k", "t"),
        SeriesAdded(Series(7, 7, "t", "°C")),
        Rejected(7, "x", 1, b"p", "r"),
        HeldReleased(7),
        HeldDropped(7),
    ]
    fold(store, frame([*A, *gone]))
    assert store.events(None, 10) == []
    assert [one.id for one in store.registry()[1]] == [1]
    assert [one.device for one in store.rejected(10)] == [None]


def test_the_position_moves_with_the_effect(opener: Opener) -> None:
    """After reopening, the store knows the position of its last fold."""
    store = opener()
    assert store.position() == 0
    fold(store, frame(A), frame(readings=columns((1, 1, 1.0))))
    store.close()
    assert opener().position() == 2


def test_a_fold_that_was_done_is_refused(store: HistoryStore) -> None:
    """A second writer that is behind can't apply the same frames again."""
    made = make_fold([(1, frame(A, columns((1, 10, 1.0))))], {})
    store.fold(made)
    with pytest.raises(StorageError, match="Another process"):
        store.fold(made)
    (row,) = store.devices()
    assert row.received == 1


def test_a_history_belongs_to_one_journal(opener: Opener) -> None:
    """Another journal's readings are refused; one that begins after the history is not."""
    store = opener()
    store.bind("one")
    fold(store, frame(A, columns((1, 10, 1.0))))
    other = opener()
    with pytest.raises(StaleJournal, match="another journal"):
        other.bind("two")
    other.bind("one")
    assert other.position() == 1
    other.set_position(1)
    other.bind("two")
    with pytest.raises(StorageError, match="another hub"):
        store.position()


def test_a_history_in_the_place_of_another_is_not_written(opener: Opener) -> None:
    """One that is empty, or another journal's: neither is anything told of its position."""
    store, other = opener(), opener()
    store.bind("one")
    made = make_fold([(1, frame(A, columns((1, 10, 1.0))))], {})
    other.clear(0)
    for whose in ("empty", "another hub"):
        for act in (store.position, partial(store.fold, made)):
            with pytest.raises(StorageError, match=whose):
                act()
        other.bind("two")
    assert (other.position(), other.registry()) == (0, ([], []))


def test_a_fold_that_fails_leaves_nothing(store: HistoryStore) -> None:
    """An error in the middle rolls back readings, registry and position together."""
    whole = make_fold([(1, frame(A, columns((1, 1, 1.0))))], {})
    nameless = DeviceChanged(Device(2, None, "x", (), Admission.ACCEPTED, 5))  # type: ignore[arg-type]
    broken = msgspec.structs.replace(whole, entries=[*whole.entries, nameless])
    with pytest.raises(StorageError):
        store.fold(broken)
    assert (store.position(), store.registry(), rows(store, 1)) == (0, ([], []), [])


def test_held_readings_are_stored_when_the_device_is_accepted(store: HistoryStore) -> None:
    """Quarantine keeps readings out of the history until the release."""
    fold(store, frame(PENDING, held=columns((1, 10, 1.0), (1, 20, 2.0))))
    assert rows(store, 1) == []
    (row,) = store.devices()
    assert (row.received, row.stored, row.device.held) == (2, 0, 2)
    fold(store, frame([DeviceChanged(device(1, "a")), HeldReleased(1)]))
    assert rows(store, 1) == [(10, 1.0), (20, 2.0)]
    (row,) = store.devices()
    assert (row.received, row.stored, row.device.held) == (2, 2, 0)
    check_counts(store)


def test_hold_release_and_more_in_one_fold(store: HistoryStore) -> None:
    """A late writer that folds all at once comes to the same result as one that is on time."""
    frames = (
        frame(PENDING, held=columns((1, 10, 1.0), (1, 10, 1.0))),
        frame([DeviceChanged(device(1, "a")), HeldReleased(1)]),
        frame(readings=columns((1, 10, 1.0), (1, 30, 3.0))),
    )
    assert fold(store, *frames) == (2, 2)
    assert rows(store, 1) == [(10, 1.0), (30, 3.0)]
    check_counts(store)


def test_held_readings_of_a_blocked_device_are_rejected(store: HistoryStore) -> None:
    """What was held when the owner blocked the device counts as rejected and is gone."""
    fold(store, frame(PENDING, held=columns((1, 10, 1.0), (1, 20, 2.0))))
    fold(store, frame([DeviceChanged(device(1, "a", Admission.BLOCKED)), HeldDropped(1)]))
    (row,) = store.devices()
    assert (row.received, row.stored, row.rejected, row.device.held) == (2, 0, 2, 0)
    assert row.device.admission is Admission.BLOCKED
    check_counts(store)


def test_rejected_payloads_are_listed_and_counted(store: HistoryStore) -> None:
    """Each has its reason, its bytes, its device where known; equal ones of a fold count up."""
    entries: list[Entry] = [
        *A,
        Rejected(1, "192.0.2.1", 10, b"\xff|", "not a record"),
        Rejected(1, "192.0.2.1", 11, b"other", "not a record", 3),
        Rejected(None, "192.0.2.9", 12, b"", "not known"),
    ]
    fold(store, frame(entries))
    unknown, known = store.rejected(10)
    assert (unknown.device, unknown.source, unknown.count) == (None, "192.0.2.9", 1)
    assert (known.device, known.reason, known.payload) == ("a", "not a record", b"\xff|")
    assert known.count == 4
    (row,) = store.devices()
    assert (row.received, row.rejected) == (4, 4)
    check_counts(store)


def test_what_was_discarded_is_listed_and_counted_by_itself(store: HistoryStore) -> None:
    """It is in the list of rejected payloads, but neither rejected nor a contact."""
    fold(store, frame([*A, Rejected(1, "x", 10, b"p", "bad")], columns((1, 10, 1.0)), time=2000))
    late: list[Entry] = [Rejected(1, "x", 20, b"left", "over", n, True) for n in (1, 2)]
    fold(store, frame([*late, Rejected(None, "x", 30, b"?", "unknown", 1, True)], time=3000))
    (row,) = store.devices()
    assert (row.received, row.stored, row.rejected, row.discarded) == (5, 1, 1, 3)
    assert row.last_seen == 2000
    check_counts(store)
    found = [(one.device, one.reason, one.count) for one in store.rejected(10)]
    assert found == [(None, "unknown", 1), ("a", "over", 3), ("a", "bad", 1)]


def test_devices_are_online_or_not_or_do_not_say(opener: Opener) -> None:
    """As they said last, whatever else changes; a lost history learns it from the registry."""
    store = opener()

    def online(opened: HistoryStore) -> list[bool | None]:
        return [row.device.online for row in opened.devices()]

    fold(store, frame([*A, *B]))
    assert online(store) == [None, None]
    changes: list[Entry] = [PresenceChanged(1, True), PresenceChanged(3, True)]
    fold(store, frame([*changes, PresenceChanged(2, True), PresenceChanged(2, False)]))
    assert online(store) == [True, False]
    renamed = msgspec.structs.replace(device(1, "z"), online=True)
    fold(store, frame([DeviceChanged(renamed)]))
    assert online(opener()) == [False, True]
    fold(store, frame([PresenceChanged(1, False)]))
    assert [one.online for one in store.registry()[0]] == [False, False]


def test_the_list_of_rejected_payloads_is_bounded(store: HistoryStore) -> None:
    """The newest thousand of each device stay; the counters know of all."""
    noisy: list[Entry] = [Rejected(1, "x", n, b"p", f"reason {n}") for n in range(1_500)]
    quiet: list[Entry] = [Rejected(2, "y", 1, b"p", "one"), Rejected(None, "z", 1, b"", "two")]
    fold(store, frame([*A, *B, *quiet, *noisy]))
    found = store.rejected(20_000)
    assert found[0].reason == "reason 1499"
    assert [one.reason for one in found[-2:]] == ["two", "one"]
    assert len(found) == 1_002
    assert [row.rejected for row in store.devices()] == [1_500, 1]


def test_the_list_of_events_is_bounded(store: HistoryStore) -> None:
    """The newest ten thousand of each device stay."""
    entries: list[Entry] = [*A, *B, EventOccurred(2, 1, "kind", "of the quiet one")]
    entries += [EventOccurred(1, n, "kind", str(n)) for n in range(10_010)]
    fold(store, frame(entries))
    found = store.events(None, 50_000)
    assert (found[0].text, found[-1].text) == ("10009", "of the quiet one")
    assert len(found) == 10_001


def test_events_are_listed_newest_first(store: HistoryStore) -> None:
    """Events of all devices or of one."""
    entries: list[Entry] = [*A, *B]
    entries += [EventOccurred(1, 10, "device_error", "x"), EventOccurred(2, 20, "y", "z")]
    fold(store, frame(entries))
    assert [event.device for event in store.events(None, 10)] == ["b", "a"]
    assert [event.text for event in store.events(1, 10)] == ["x"]
    assert len(store.events(None, 1)) == 1


def test_the_last_contact_is_when_the_device_last_spoke(store: HistoryStore) -> None:
    """Readings, errors and rejected payloads are contacts; what others do is not."""
    fold(store, frame(A, columns((1, 10, 1.0)), time=2000))
    fold(store, frame([EventOccurred(1, 3000, "renamed", "…")], time=3000))
    assert store.devices()[0].last_seen == 2000
    fold(store, frame([Rejected(1, "x", 4000, b"", "bad")], time=4000))
    assert store.devices()[0].last_seen == 4000
    joined: list[Entry] = [EventOccurred(1, 5000, "joined", "…"), PresenceChanged(1, True)]
    fold(store, frame(joined, time=5000))
    # Its will may have spoken, or a stranger.
    kinds = ("left", "contested", "command")
    left: list[Entry] = [EventOccurred(1, 6000, kind, "…") for kind in kinds]
    fold(store, frame([*left, PresenceChanged(1, False)], time=6000))
    assert store.devices()[0].last_seen == 5000


def test_the_registry_comes_back(opener: Opener) -> None:
    """Devices with all identities and their series, as they were last described."""
    store = opener()
    fold(store, frame([*A, *B]))
    renamed = Device(1, "c", "dht_stream", ("address:a", "certificate:x"), Admission.BLOCKED, 5)
    fold(store, frame([DeviceChanged(renamed)]))
    store.close()
    devices, series = opener().registry()
    assert sorted(devices, key=lambda one: one.id) == [device(2, "b"), renamed][::-1]
    assert series == [Series(1, 1, "temperature", "°C"), Series(2, 2, "temperature", "°C")]


def test_an_identity_can_change_hands(store: HistoryStore) -> None:
    """One that a device no longer has may be another's in the same fold."""
    both = Device(1, "pi", "x", ("anonymous:pi", "key:pi"), Admission.ACCEPTED, 5)
    joined = msgspec.structs.replace(both, identities=("key:pi",))
    other = Device(2, "pi-2", "x", ("anonymous:pi",), Admission.PENDING, 5)
    fold(store, frame([DeviceChanged(both)]))
    fold(store, frame([DeviceChanged(joined), DeviceChanged(other)]))
    assert sorted(store.registry()[0], key=lambda one: one.id) == [joined, other]


def test_the_newest_of_every_series(store: HistoryStore) -> None:
    """Numbers and texts, of all devices or of one; what is held is not among them but by itself."""
    entries = [*A, *B, SeriesAdded(Series(3, 1, "door", "", Kind.TEXT))]
    entries.append(SeriesAdded(Series(4, 2, "never", "")))
    entries.append(TextReadings(3, [7, 9, 8], ["first", "last", "middle"]))
    assert store.latest() == []
    year = 31_600_000_000_000
    given_rows = columns((1, 10, 1.0), (1, year, 3.0), (1, 20, 2.0), (2, 5, 5.0))
    fold(store, frame(entries, given_rows, columns((2, 99, 9.0))))
    assert sorted(store.latest()) == [(1, year, 3.0), (2, 5, 5.0), (3, 9, "last")]
    assert sorted(store.latest(1)) == [(1, year, 3.0), (3, 9, "last")]
    assert store.latest(7) == []
    assert store.latest(held=True) == store.latest(2, held=True) == [(2, 99, 9.0)]
    assert store.latest(1, held=True) == []


def test_the_newest_of_a_series(store: HistoryStore) -> None:
    """The newest readings of one series come newest first, as do texts."""
    text = Series(3, 1, "door", "", Kind.TEXT)
    entries: list[Entry] = [*A, SeriesAdded(text), TextReadings(3, [7, 9, 8], ["a", "c", "b"])]
    fold(store, frame(entries, columns((1, 10, 1.0), (1, 30, 3.0), (1, 20, 2.0))))
    (gauge,) = [one for one in store.registry()[1] if one.id == 1]
    assert store.newest(gauge, 2) == [(30, 3.0), (20, 2.0)]
    assert store.newest(text, 9) == [(9, "c"), (8, "b"), (7, "a")]
    assert store.newest(Series(9, 1, "never", ""), 5) == []


def test_a_unit_that_changes(store: HistoryStore) -> None:
    """A series that is told again has the unit that was told last, and its readings."""
    fold(store, frame(A, columns((1, 10, 1.0))))
    (known,) = store.registry()[1]
    fold(store, frame([SeriesAdded(msgspec.structs.replace(known, unit="lx"))]))
    assert [one.unit for one in store.registry()[1]] == ["lx"]
    assert rows(store, 1) == [(10, 1.0)]


def test_names_can_change_hands(store: HistoryStore) -> None:
    """A name that one device gives up may be another's in the same fold."""
    fold(store, frame([*A, *B]))
    fold(
        store,
        frame([DeviceChanged(device(1, "x")), DeviceChanged(device(2, "a"))]),
    )
    assert [(row.device.id, row.device.name) for row in store.devices()] == [(2, "a"), (1, "x")]


def test_removal_takes_everything_of_the_device_and_nothing_else(store: HistoryStore) -> None:
    """Readings, held readings, events, rejected payloads, series and identities go."""
    entries: list[Entry] = [*A, *B, EventOccurred(1, 1, "k", "t"), Rejected(1, "x", 1, b"", "r")]
    fold(store, frame(entries, columns((1, 10, 1.0), (2, 10, 2.0)), columns((1, 20, 1.0))))
    fold(store, frame([DeviceRemoved(1)]))
    assert [row.device.name for row in store.devices()] == ["b"]
    assert [one.id for one in store.registry()[1]] == [2]
    assert rows(store, 1) == []
    assert rows(store, 2) == [(10, 2.0)]
    assert store.events(None, 10) == []
    assert store.rejected(10) == []


def test_a_reader_sees_what_is_folded_meanwhile(opener: Opener) -> None:
    """A second connection reads beside the writer."""
    writer, reader = opener(), opener()
    fold(writer, frame(A, columns((1, 10, 1.0))))
    assert rows(reader, 1) == [(10, 1.0)]
    fold(writer, frame(readings=columns((1, 20, 2.0))))
    assert rows(reader, 1) == [(10, 1.0), (20, 2.0)]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 2), st.integers(0, 20), st.floats(-5, 5)), max_size=12),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 6),
)
def test_any_readings_in_any_cut_fold_to_the_first_of_each_time(
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresServer,
    batches: list[list[tuple[int, int, float]]],
    at_once: int,
) -> None:
    """However frames are grouped into folds, the result is that of a plain dictionary."""
    expected: dict[tuple[int, int], float] = {}
    for batch in batches:
        for series, time, value in batch:
            expected.setdefault((series, time), value)
    url = postgres.new_database() if parts.store(kind).schemes else ""
    store = parts.store(kind).open(tmp_path_factory.mktemp("store"), url, False)
    effect = FoldIntoHistory(store, EmptyLog(), "journal")
    effect.position()
    frames = [frame([*A, *B])] + [frame(readings=columns(*batch)) for batch in batches]
    numbered = list(enumerate(frames, start=1))
    for start in range(0, len(numbered), at_once):
        effect.apply(numbered[start : start + at_once])
    for series in (1, 2):
        assert dict(rows(store, series)) == {
            time: value for (of, time), value in expected.items() if of == series
        }
    assert effect.total.stored == len(expected)
    assert effect.total.duplicate == sum(map(len, batches)) - len(expected)
    check_counts(store)
    store.close()
    if url:
        postgres.drop(url)
