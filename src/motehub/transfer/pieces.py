"""What an import carries at a time, and its bytes on the way to a running hub."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from motehub.core.hub import Hub
from motehub.core.registry import Registry
from motehub.errors import OwnerError
from motehub.model import Delivery, Receipt, Samples, Source, Texts, check_device_name

DIALECT: Final = "import"
"""What devices speak that are only known from an import."""

PIECE_READINGS: Final = 20_000
"""Most readings in a piece."""

TEXT_BYTES: Final = 2**20
"""Longest text in UTF-8 bytes, and most bytes of all texts in a piece, if they are several."""

REASONS: Final = 5
"""How many reasons are kept of rows that can't be imported."""


class DeviceReadings(msgspec.Struct, frozen=True):
    """Readings of the device that has a name, or gets it."""

    device: str
    records: list[Samples | Texts]


class Piece(msgspec.Struct, frozen=True):
    """A bounded part of an import.

    ``rows`` is how many rows (or keys) of the source it takes, rejected ones too. A source that
    can go on after it says where in ``after``.
    """

    readings: list[DeviceReadings]
    rows: int
    after: Place | None = None


class Place(msgspec.Struct, frozen=True):
    """A place in a table: the number of a row and a digest of what is in it."""

    row: int
    digest: str


class Rejections:
    """Rows that can't be imported: how many, and why the first ones can't."""

    def __init__(self) -> None:
        self.count = 0
        self.reasons: list[str] = []

    def add(self, what: str, reason: str, count: int = 1) -> None:
        """Note that ``what`` is rejected."""
        self.count += count
        if len(self.reasons) < REASONS:
            self.reasons.append(f"{what[:80]}: {reason[:200]}")


class Origin(Protocol):
    """A database of an original system, open for reading.

    ``device`` is the one device that all of it is of, if that is so.
    """

    device: str | None
    rejections: Rejections

    def total(self) -> int | None:
        """Return about how many rows there are; None when that can't be told quickly."""
        ...

    def pieces(self, after: Place | None) -> Iterator[Piece]:
        """Yield what there is in pieces, from the beginning or after a place, if that stands.

        Raises:
            MotehubError: it can't be read, or is not what it was said to be.
        """
        ...

    def close(self) -> None:
        """Close it."""
        ...


class _Column(msgspec.Struct, frozen=True, array_like=True):
    metric: str
    unit: str
    times: bytes
    values: bytes


class _TextColumn(msgspec.Struct, frozen=True, array_like=True):
    metric: str
    times: list[int]
    values: list[str]


class _Device(msgspec.Struct, frozen=True, array_like=True):
    name: str
    columns: list[_Column]
    texts: list[_TextColumn]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Device]).decode
_Array = TypeVar("_Array", "array[int]", "array[float]")


def pack(readings: Sequence[DeviceReadings]) -> bytes:
    """Return the bytes of a piece: MessagePack, in which columns of numbers are little-endian."""
    return _encode([_packed(one) for one in readings])


def unpack(content: bytes) -> list[DeviceReadings]:
    """Return what ``pack`` was given.

    Raises:
        OwnerError: these are no such bytes.
    """
    try:
        return [_unpacked(device) for device in _decode(content)]
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise OwnerError(f"What is to be imported can't be read: {error}.") from error


async def take_in(hub: Hub, readings: Sequence[DeviceReadings]) -> list[Receipt]:
    """Give a piece to the hub, and return when it is durable what became of each device's.

    Raises:
        InvalidName: a device can't have that name.
    """
    deliveries = [Delivery(_source(hub.registry, one.device), [*one.records]) for one in readings]
    return await hub.accept(deliveries)


def _source(registry: Registry, name: str) -> Source:
    """Return the source that is the device of this name, or makes it.

    An import is of a name and not of an identity: a device that was renamed since the last one
    must not get what belongs to another one that has its old name now.
    """
    check_device_name(name)
    if registry.has_name(name):
        device = registry.by_name(name)
        for known in device.identities:
            if registry.by_identity(known) is device:
                return Source(DIALECT, known, name, DIALECT, vouched=True)
    identity, number = f"{DIALECT}:{name}", 1
    while registry.by_identity(identity) is not None:
        number += 1
        identity = f"{DIALECT}:{name}/{number}"
    return Source(DIALECT, identity, name, DIALECT, vouched=True)


def _packed(one: DeviceReadings) -> _Device:
    columns, texts = [], []
    for record in one.records:
        if isinstance(record, Samples):
            times, values = _little_endian(record.times), _little_endian(record.values)
            columns.append(_Column(record.metric, record.unit, times.tobytes(), values.tobytes()))
        else:
            texts.append(_TextColumn(record.metric, record.times.tolist(), record.values))
    return _Device(one.device, columns, texts)


def _unpacked(device: _Device) -> DeviceReadings:
    records: list[Samples | Texts] = []
    for column in device.columns:
        times, values = array("q"), array("d")
        times.frombytes(column.times)
        values.frombytes(column.values)
        records.append(
            Samples(column.metric, column.unit, _little_endian(times), _little_endian(values))
        )
    records += [Texts(one.metric, array("q", one.times), one.values) for one in device.texts]
    if any(not one.times or len(one.times) != len(one.values) for one in records):
        raise ValueError("a column is empty, or has not as many times as values")
    return DeviceReadings(device.name, records)


def _little_endian(column: _Array) -> _Array:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column
