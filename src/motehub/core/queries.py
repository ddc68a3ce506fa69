"""What the hub asks of its query process, what that answers, and the frames on the pipe between.

A frame is the length of what follows (u32), the number of the query (u32), a mark of one byte,
and a body: MessagePack, or the bytes of an answer as they are.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import msgspec

from motehub.alerts.rule import Facts
from motehub.core.calibrations import Calibration
from motehub.core.days import Day
from motehub.core.profiles import Profile
from motehub.core.retention import Overrides, Plan

_HEADER: Final = struct.Struct(">IIB")
_LENGTH_BYTES: Final = 4
_REST: Final = _HEADER.size - _LENGTH_BYTES

PIECE_BYTES: Final = 64 * 1024
"""Most bytes of an answer in one frame."""

WINDOW: Final = 4
"""Pieces of an answer that are sent before the hub has asked for more."""

MOST_READINGS: Final = 100_000
"""Most readings, or buckets of all series together, in one answer."""

MOST_NEWEST: Final = 1_000
"""Most of the newest readings of each series in one answer."""

MOST_ROWS: Final = 1_000
"""Most events or rejected payloads in one answer."""

HEADER_BYTES: Final = _HEADER.size


class Mark(enum.IntEnum):
    """What a frame is. The first three go to the query process, the others come from it."""

    QUERY = 1
    MORE = 2
    """The client has taken a piece: one more may be sent."""
    CANCEL = 3
    HEAD = 11
    PIECE = 12
    END = 13
    FAILED = 14


class Said(msgspec.Struct, frozen=True):
    """What the history does not know of devices: profiles by id, and the ids of lamps.

    ``identities`` tells whether those are shown to whoever asks.
    """

    profiles: dict[int, Profile] = {}
    lamps: tuple[int, ...] = ()
    identities: bool = False


class Devices(msgspec.Struct, frozen=True, tag="devices"):
    """All devices, or only those of ``names``."""

    names: tuple[str, ...] | None = None
    said: Said = Said()


class OneDevice(msgspec.Struct, frozen=True, tag="device"):
    """The device called ``name``."""

    name: str
    said: Said = Said()


class Overview(msgspec.Struct, frozen=True, tag="overview"):
    """All devices with their series, or only those of ``names``; those of ``order`` (ids) first."""

    names: tuple[str, ...] | None = None
    said: Said = Said()
    order: tuple[int, ...] = ()


class SeriesOf(msgspec.Struct, frozen=True, tag="series"):
    """The series of the device called ``name``; ``calibrations`` has those of them by id."""

    name: str
    calibrations: dict[int, Calibration] = {}


class NewestOf(msgspec.Struct, frozen=True, tag="newest"):
    """The newest ``count`` readings of each series of the device called ``name``."""

    name: str
    count: int


class Readings(msgspec.Struct, frozen=True, tag="readings"):
    """Readings of a device in ``[since, until)`` (µs), of ``metrics`` or of all (empty).

    At most ``limit`` of them, or reduced to ``points`` buckets of time for each series. ``states``
    asks for these of texts, too, and of numbers that are only 0 and 1; the last one lasts until
    ``now`` (µs).
    """

    device: str
    metrics: tuple[str, ...]
    since: int
    until: int
    limit: int
    points: int | None = None
    csv: bool = False
    states: bool = False
    now: int | None = None


class Quality(msgspec.Struct, frozen=True, tag="quality"):
    """What is there of the readings that the device called ``name`` should have sent.

    ``now`` is the hub's (µs), ``interval`` what the owner expects of the device in seconds,
    ``spared`` its series of which not every reading is stored.
    """

    name: str
    days: tuple[Day, ...]
    now: int
    interval: float | None = None
    spared: tuple[int, ...] = ()


class RejectedPayloads(msgspec.Struct, frozen=True, tag="rejected"):
    """The newest rejected payloads, or only those of the devices of ``names``."""

    limit: int
    names: tuple[str, ...] | None = None


class Events(msgspec.Struct, frozen=True, tag="events"):
    """The newest events, or only those of the devices of ``names``."""

    limit: int
    names: tuple[str, ...] | None = None


class RulePreview(msgspec.Struct, frozen=True, tag="rule"):
    """What a rule (encoded) would have found in ``[since, until)`` (µs).

    ``said`` are labels and expected interval of devices, by id.
    """

    rule: bytes
    since: int
    until: int
    said: dict[int, Facts] = {}


class Going(msgspec.Struct, frozen=True, tag="going"):
    """What goes at ``now`` (µs) when rules of retention change, of all and of devices by id."""

    before: tuple[Plan, dict[int, Overrides]]
    after: tuple[Plan, dict[int, Overrides]]
    now: int


Question = (
    Devices
    | OneDevice
    | Overview
    | SeriesOf
    | NewestOf
    | Readings
    | Quality
    | RejectedPayloads
    | Events
    | RulePreview
    | Going
)


class Query(msgspec.Struct, frozen=True):
    """A question with its bounds in seconds.

    It is answered once the history has the journal's ``position``, or ``fold_seconds`` later.
    """

    question: Question
    position: int
    seconds: float
    fold_seconds: float


class Head(msgspec.Struct, frozen=True):
    """What is known before the first byte of an answer; ``next`` is where the rest begins.

    ``complete`` is false when the history had not everything yet that the journal had.
    """

    media_type: str
    complete: bool
    next: str | None = None


class Failed(msgspec.Struct, frozen=True):
    """Why there is no answer, as an HTTP status, and a title and a sentence for people."""

    status: int
    title: str
    detail: str


_encode = msgspec.msgpack.Encoder().encode


def frame(number: int, mark: Mark, body: bytes | msgspec.Struct = b"") -> bytes:
    """Return the frame of ``body``, which belongs to the query ``number``."""
    content = body if isinstance(body, bytes) else _encode(body)
    return _HEADER.pack(_REST + len(content), number, mark) + content


def read_header(header: bytes) -> tuple[int, int, Mark]:
    """Return the body's length, the query's number and the mark of a frame.

    Raises:
        ValueError: it is not the header of a frame.
    """
    length, number, mark = _HEADER.unpack(header)
    return length - _REST, number, Mark(mark)


class Frames:
    """Cuts what arrives into frames; what is not whole yet waits."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, Mark, bytes]]:
        """Return the frames that are whole now: number, mark and body.

        Raises:
            ValueError: these are no frames.
        """
        self._waiting += data
        found = []
        while len(self._waiting) >= HEADER_BYTES:
            length, number, mark = read_header(bytes(self._waiting[:HEADER_BYTES]))
            end = HEADER_BYTES + length
            if len(self._waiting) < end:
                break
            found.append((number, mark, bytes(self._waiting[HEADER_BYTES:end])))
            del self._waiting[:end]
        return found
