"""What one ``accept`` adds to the journal, and the bytes of a journal frame.

A frame is what one commit writes: the batches of all transports that were waiting, merged.

Layout, little-endian: the header below, then for *readings* and again for *held* readings the
columns ``series`` (u32 per run), ``counts`` (u32 per run), ``times`` (i64 per reading, UTC µs),
``values`` (f64 per reading), then the entries in MessagePack. The checksum is CRC-32 of all
bytes after it.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from motehub.command import Command
from motehub.errors import DamagedDatabase
from motehub.model import Device, Runs, Series

_MAGIC: Final = b"MHF1"
# magic, checksum, commit time in µs, runs and readings, runs and readings held
_HEADER: Final = struct.Struct("<4sIqIIII")
_CHECKED_FROM: Final = 8


class Columns:
    """Readings as columns; equal neighbours of the series column are kept as one run."""

    __slots__ = ("counts", "series", "times", "values")

    def __init__(self) -> None:
        self.series = array("I")
        self.counts = array("I")
        self.times = array("q")
        self.values = array("d")

    def __len__(self) -> int:
        return len(self.times)

    def add(self, series: int, times: array[int], values: array[float]) -> None:
        """Append a run of readings of one series."""
        self.series.append(series)
        self.counts.append(len(times))
        self.times.extend(times)
        self.values.extend(values)

    def extend(self, other: Columns | Runs) -> None:
        """Append all readings of ``other``."""
        self.series.extend(other.series)
        self.counts.extend(other.counts)
        self.times.extend(other.times)
        self.values.extend(other.values)


class DeviceChanged(msgspec.Struct, frozen=True, tag="device"):
    """A device is new, or something about it changed."""

    device: Device


class PresenceChanged(msgspec.Struct, frozen=True, tag="presence"):
    """A device is online from now on, or offline."""

    device: int
    online: bool


class SeriesAdded(msgspec.Struct, frozen=True, tag="series"):
    """A device reported a metric for the first time, or its unit is another one now."""

    series: Series


class TextReadings(msgspec.Struct, frozen=True, tag="texts"):
    """Readings of a text series; times in µs. ``held`` ones wait for the owner's approval."""

    series: int
    times: list[int]
    values: list[str]
    held: bool = False


class Spared(msgspec.Struct, frozen=True, tag="spared"):
    """Readings of this frame at ``times`` (µs) that the history need not store, and says so.

    Those at ``recalled`` were spared in a frame before, and are to be stored after all. Only the
    history minds it: others look at each reading of a frame.
    """

    series: int
    times: list[int]
    recalled: list[int]
    values: list[float]


class Written(msgspec.Struct, frozen=True, tag="written"):
    """How a unit wrote readings of this frame, at those times (µs), where their values don't say.

    Its dashboard is told so. The history has nothing to do with it.
    """

    series: int
    times: list[int]
    texts: list[str]


class EventOccurred(msgspec.Struct, frozen=True, tag="event"):
    """Something that is not a reading: a diagnostic, a change of admission."""

    device: int
    time: int
    kind: str
    text: str


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """A payload that was not accepted; ``count`` readings or records are lost with it.

    ``discarded`` says that it belonged to a session that is over: it has a counter of its own.
    """

    device: int | None
    source: str
    time: int
    payload: bytes
    reason: str
    count: int = 1
    discarded: bool = False


class HeldReleased(msgspec.Struct, frozen=True, tag="released"):
    """The owner accepted the device: its held readings become history."""

    device: int


class HeldDropped(msgspec.Struct, frozen=True, tag="dropped"):
    """The owner blocked the device: its held readings are rejected."""

    device: int


class DeviceRemoved(msgspec.Struct, frozen=True, tag="removed"):
    """The owner removed the device with everything stored of it."""

    device: int


class CommandChanged(msgspec.Struct, frozen=True, tag="command"):
    """A command was given, or has come further."""

    command: Command


class HubAway(msgspec.Struct, frozen=True, tag="away"):
    """The hub was not there in ``[since, until)`` (µs), and is at ``until``.

    Nothing that says of a later time that it was not there is true; ``since`` may be ``until``.
    """

    since: int
    until: int


class WebhookPosted(msgspec.Struct, frozen=True, tag="webhook"):
    """A webhook that some part of the hub has worded itself, for who listens at ``destination``.

    The history has nothing to do with it.
    """

    destination: str
    body: bytes


class RuleChanged(msgspec.Struct, frozen=True, tag="rule"):
    """A rule for alerts is there from now on, as ``motehub.alerts.rule`` encodes it, or gone."""

    name: str
    rule: bytes | None


class MaintenanceChanged(msgspec.Struct, frozen=True, tag="maintenance"):
    """Nobody is told of a device's alerts until then (µs)."""

    device: int
    until: int


class AlertAnswered(msgspec.Struct, frozen=True, tag="answered"):
    """Somebody has acknowledged an alert at ``time`` (µs), or wants to hear of it later.

    ``act`` is ``acknowledge`` or ``snooze``, the latter until ``until`` (µs).
    """

    alert: int
    act: str
    until: int
    by: str
    time: int


class AlertChanged(msgspec.Struct, frozen=True, tag="alert"):
    """An alert began, is over or was answered; ``body`` says all of it in JSON, for programs.

    The history has an event of it.
    """

    device: int
    time: int
    state: str
    body: bytes


class HubNoticed(msgspec.Struct, frozen=True, tag="noticed"):
    """The owner should know something of the hub itself, since ``time`` (µs)."""

    kind: str
    severity: str
    time: int
    text: str


Entry = (
    DeviceChanged
    | PresenceChanged
    | SeriesAdded
    | TextReadings
    | Spared
    | Written
    | EventOccurred
    | Rejected
    | HeldReleased
    | HeldDropped
    | DeviceRemoved
    | CommandChanged
    | HubAway
    | WebhookPosted
    | RuleChanged
    | MaintenanceChanged
    | AlertAnswered
    | AlertChanged
    | HubNoticed
)


class Batch:
    """One unit of acceptance: durable as a whole or not at all.

    ``state`` holds the newest value of keys that the journal keeps for good (None deletes one):
    the registry is rebuilt from it, however much of the journal has been trimmed.
    """

    __slots__ = ("entries", "held", "readings", "state")

    def __init__(self) -> None:
        self.readings = Columns()
        self.held = Columns()
        self.entries: list[Entry] = []
        self.state: dict[str, bytes | None] = {}

    def __bool__(self) -> bool:
        return bool(self.readings or self.held or self.entries or self.state)

    @property
    def weight(self) -> int:
        """About how many bytes the batch adds to a commit."""
        weight = 24 * (len(self.readings) + len(self.held)) + 256 * len(self.entries)
        for entry in self.entries:
            if isinstance(entry, TextReadings):
                weight += sum(map(len, entry.values))
            elif isinstance(entry, Written):
                weight += sum(map(len, entry.texts)) + 8 * len(entry.times)
            elif isinstance(entry, Spared):
                weight += 8 * len(entry.times)
            elif isinstance(entry, WebhookPosted | AlertChanged):
                weight += len(entry.body)
        if self.state:
            weight += sum(len(key) + len(value or b"") for key, value in self.state.items())
        return weight

    def merge(self, other: Batch) -> None:
        """Append everything of ``other``, which came later."""
        self.readings.extend(other.readings)
        self.held.extend(other.held)
        self.entries += other.entries
        self.state.update(other.state)


class Frame(msgspec.Struct, frozen=True):
    """A decoded journal frame; ``time`` is when it was committed, in µs.

    ``damaged`` stands for one whose bytes could not be read any more.
    """

    time: int
    readings: Columns
    held: Columns
    entries: list[Entry]
    damaged: bool = False


_Column = TypeVar("_Column", "array[int]", "array[float]")
_entries_encoder = msgspec.msgpack.Encoder()
_entries_decoder = msgspec.msgpack.Decoder(list[Entry])


def encode_frame(batches: Iterable[Batch], time: int) -> bytes:
    """Return the frame of ``batches``, committed at ``time`` (µs)."""
    merged = Batch()
    for batch in batches:
        merged.merge(batch)
    readings, held = merged.readings, merged.held
    rest = b"".join(
        [
            *_column_bytes(readings),
            *_column_bytes(held),
            _entries_encoder.encode(merged.entries),
        ]
    )
    sizes = (len(readings.series), len(readings), len(held.series), len(held))
    header = bytearray(_HEADER.pack(_MAGIC, 0, time, *sizes))
    checksum = zlib.crc32(rest, zlib.crc32(header[_CHECKED_FROM:]))
    struct.pack_into("<I", header, 4, checksum)
    return bytes(header) + rest


def decode_frame(data: bytes) -> Frame:
    """Return the frame in ``data``.

    Raises:
        DamagedDatabase: the bytes are not a frame, or their checksum is wrong.
    """
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise DamagedDatabase("A journal frame does not begin with the mark of a frame.")
    _, checksum, time, runs, readings, held_runs, held = _HEADER.unpack_from(data)
    if zlib.crc32(memoryview(data)[_CHECKED_FROM:]) != checksum:
        raise DamagedDatabase("A journal frame does not match its checksum.")
    columns, position = _read_columns(data, _HEADER.size, runs, readings)
    held_columns, position = _read_columns(data, position, held_runs, held)
    return Frame(time, columns, held_columns, _entries_decoder.decode(data[position:]))


def _column_bytes(columns: Columns) -> list[bytes]:
    return [
        _little_endian(columns.series).tobytes(),
        _little_endian(columns.counts).tobytes(),
        _little_endian(columns.times).tobytes(),
        _little_endian(columns.values).tobytes(),
    ]


def _read_columns(data: bytes, position: int, runs: int, readings: int) -> tuple[Columns, int]:
    columns = Columns()
    for column, length in (
        (columns.series, runs),
        (columns.counts, runs),
        (columns.times, readings),
    ):
        position = _read_column(data, position, length, column)
    return columns, _read_column(data, position, readings, columns.values)


def _read_column(data: bytes, position: int, length: int, column: _Column) -> int:
    end = position + length * column.itemsize
    column.frombytes(memoryview(data)[position:end])
    if sys.byteorder == "big":
        column.byteswap()
    return end


def _little_endian(column: _Column) -> _Column:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column
