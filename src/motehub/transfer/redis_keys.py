"""A Redis database as the original JSON daemon filled it: single strings, and hashes of fields."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from motehub.errors import OwnerError, StorageError
from motehub.model import Samples, Texts, derived_device_name
from motehub.reports.original import NUMBER_IN_TEXT
from motehub.transfer.pieces import TEXT_BYTES, DeviceReadings, Piece, Place, Rejections

try:
    import redis
except ImportError as error:
    raise OwnerError(
        f"The Redis driver can't be loaded ({error}). Install it with: pip install 'motehub[redis]'"
    ) from error

OWN_KEYS: Final = b"motehub:"
"""How the keys begin that motehub keeps for itself in a mirror."""

METRIC_BYTES: Final = 128
"""Longest name of a metric in UTF-8 bytes, as for JSON objects."""

_KEYS: Final = 500
_VALUES: Final = 2_000
_SECONDS: Final = 30


class RedisKeys:
    """The values of a database; see :class:`motehub.transfer.pieces.Origin`.

    A hash is a device and its fields are metrics, single strings are metrics of ``device``, as
    for the JSON objects from which they came. Every reading has the time ``moment`` (µs).

    Raises:
        OwnerError: ``url`` is no address of a Redis server.
        StorageError: it can't be reached, or refuses.
    """

    def __init__(self, url: str, device: str, moment: int) -> None:
        self.device: str | None = None
        self._of_keys = device
        self._moment = moment
        self._where = _without_password(url)
        self.rejections = Rejections()
        try:
            self._redis: Any = redis.Redis.from_url(url, socket_timeout=_SECONDS)
        except ValueError as error:
            raise OwnerError(
                f"{self._where} is not the address of a Redis database: write "
                "redis://HOST:6379/NUMBER."
            ) from error
        with self._plain_errors():
            self._redis.ping()

    def total(self) -> int | None:
        """Return how many keys there are."""
        with self._plain_errors():
            return int(self._redis.dbsize())

    def pieces(self, after: Place | None) -> Iterator[Piece]:
        """Yield the values of all keys."""
        with self._plain_errors():
            scan = self._redis.scan_iter(count=_KEYS)
            while keys := list(islice(scan, _KEYS)):
                yield from self._pieces_of(keys)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()

    def _pieces_of(self, keys: Sequence[bytes]) -> Iterator[Piece]:
        piece = _Gathered(self._moment)
        for key, kind in zip(keys, self._each("type", keys), strict=True):
            piece.rows += 1
            if key.startswith(OWN_KEYS):
                self.rejections.add(_shown(key), "it is motehub's own")
            elif kind == b"string":
                # Lengths first: a string may have 512 MiB.
                if self._redis.strlen(key) > TEXT_BYTES:
                    self.rejections.add(_shown(key), f"it is longer than {TEXT_BYTES} bytes")
                else:
                    yield from self._add(piece, self._of_keys, key, key, self._redis.get(key))
            elif kind == b"hash":
                device = derived_device_name(key.decode("utf-8", "backslashreplace"))
                for field, value in self._redis.hscan_iter(key, count=_KEYS):
                    yield from self._add(piece, device, key, field, value)
            elif kind != b"none":
                self.rejections.add(_shown(key), f"it is a {kind.decode()}")
        yield piece.take()

    def _add(
        self, piece: _Gathered, device: str, key: bytes, field: bytes, value: bytes | None
    ) -> Iterator[Piece]:
        """Put a value into the piece; yield it first when it is full."""
        if value is None:
            # Deleted since its key was seen.
            return
        try:
            metric, text = field.decode(), value.decode()
        except UnicodeDecodeError:
            self.rejections.add(f"{_shown(key)} {_shown(field)}", "it is no text in UTF-8")
            return
        if not metric or len(field) > METRIC_BYTES or not metric.isprintable():
            reason = f"the name of a metric has 1 to {METRIC_BYTES} bytes, all printable"
            self.rejections.add(f"{_shown(key)} {_shown(field)}", reason)
        elif len(value) > TEXT_BYTES:
            reason = f"it is longer than {TEXT_BYTES} bytes"
            self.rejections.add(f"{_shown(key)} {_shown(field)}", reason)
        else:
            if not piece.has_room(len(value)):
                yield piece.take()
            piece.add(device, metric, text)

    def _each(self, command: str, keys: Sequence[bytes]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            getattr(pipeline, command)(key)
        found: list[Any] = pipeline.execute()
        return found

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StorageError(f"The Redis at {self._where} can't be read: {error}.") from error


class _Gathered:
    """The readings of a piece that is being filled."""

    def __init__(self, moment: int) -> None:
        self._times = array("q", (moment,))
        self._clear()

    def _clear(self) -> None:
        self.rows = self._values = self._bytes = 0
        self._devices: dict[str, list[Samples | Texts]] = {}

    def has_room(self, size: int) -> bool:
        return self._values < _VALUES and (not self._bytes or self._bytes + size <= TEXT_BYTES)

    def add(self, device: str, metric: str, text: str) -> None:
        records = self._devices.setdefault(device, [])
        number = float(text) if NUMBER_IN_TEXT.fullmatch(text) else math.nan
        if math.isfinite(number):
            records.append(Samples(metric, "", self._times, array("d", (number,))))
        else:
            records.append(Texts(metric, self._times, [text]))
        self._values += 1
        self._bytes += len(text.encode())

    def take(self) -> Piece:
        """Return the piece, and begin another."""
        piece = Piece([DeviceReadings(*one) for one in self._devices.items()], self.rows)
        self._clear()
        return piece


def _shown(key: bytes) -> str:
    return key[:80].decode("utf-8", "backslashreplace")


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that address"
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
