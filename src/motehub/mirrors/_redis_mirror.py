"""The mirror in Redis: values under the original's keys, a stream, and the cursor beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final

import msgspec

from motehub.logs import Logger, OccasionalLogger
from motehub.mirror_contract import MirrorUpdate, Reflection
from motehub.mirrors._redis_connection import RedisConnection
from motehub.mirrors._redis_layout import Command, Place, Placing, Writes, encoded, placing, shown
from motehub.model import MICROSECONDS, Device

CURSOR: Final = "motehub:cursor"
"""Mark of the journal and position up to which everything is shown."""

TIMES: Final = "motehub:times"
"""Hash: the time (µs) of what is shown, by ``DEVICE/METRIC`` with the device's number."""

DEVICES: Final = "motehub:devices"
"""Hash: where the values of a device are, by its number."""

_FILL: Final = 5_000
# A time that lies so far after its commit is of a clock that was wrong; it holds nothing up.
_FUTURE: Final = 5 * MICROSECONDS

_logger = OccasionalLogger(Logger("motehub.mirror"))
_decode_placing = msgspec.json.Decoder(Placing).decode


class _Memory:
    """What the mirror's own keys in Redis say: where each device is, how new its values are."""

    def __init__(self, cursor: bytes | None, times: list[bytes], devices: list[bytes]) -> None:
        self.cursor = cursor
        self.placed: dict[int, Placing] = {}
        self.times: dict[int, dict[str, int]] = {}
        for number, value in _pairs(devices):
            self.placed[int(number)] = _decode_placing(value)
        for field, value in _pairs(times):
            device, _, metric = field.decode("utf-8", "surrogatepass").partition("/")
            self.times.setdefault(int(device), {})[metric] = int(value)

    def places(self, device: int) -> set[Place]:
        """Return all places at which something of ``device`` is shown."""
        placed = self.placed.get(device)
        metrics = self.times.get(device, ())
        return {place for one in metrics for place in placed.places(one)} if placed else set()

    def all_places(self) -> set[Place]:
        """Return all places at which something is shown."""
        return {place for device in self.placed for place in self.places(device)}


class RedisMirror:
    """See :class:`motehub.mirror_contract.MirrorStore`.

    Raises:
        OwnerError: ``url`` is no address of a Redis.
    """

    def __init__(self, url: str, where: str, stream: str, stream_length: int) -> None:
        self._redis = RedisConnection(url, where)
        self._stream = encoded(stream)
        self._stream_length = stream_length
        self._memory: _Memory | None = None
        self._journal = ""
        self.counts = {"conflicts": 0}

    @property
    def stream_length(self) -> int:
        """How many of the last readings it keeps in the order of arrival."""
        return self._stream_length

    def position(self, journal: str) -> int | None:
        """Return the cursor in ``journal``; None when it has none, and must be filled."""
        self._journal = journal
        if self._memory is not None:
            (cursor,) = self._redis.ask([("GET", CURSOR)])
            if cursor != self._memory.cursor:
                self._memory = None
        if self._memory is None:
            commands: list[Command] = [("GET", CURSOR), ("HGETALL", TIMES), ("HGETALL", DEVICES)]
            *_, found = self._redis.ask([("MULTI",), *commands, ("EXEC",)])
            self._memory = _Memory(*found)
        mark, _, position = (self._memory.cursor or b"").decode("ascii", "replace").partition(" ")
        return int(position) if mark == journal and position.isdecimal() else None

    def apply(self, update: MirrorUpdate) -> bool:
        """Show ``update`` and move the cursor in one transaction."""
        # Until it is done nobody knows what is there: an error leaves it to be looked at.
        memory, self._memory = self._memory, None
        if memory is None or memory.cursor != self._cursor(update.start):
            return False
        change = _Change(memory)
        fresh = [one for one in update.values if _is_newer(one, memory, update.time)]
        devices = {one.id: one for one in (*update.changed, *(one.device for one in fresh))}
        self._rearrange(change, devices, update.removed)
        for one in fresh:
            change.show(one)
        cursor, *types = self._redis.ask([("WATCH", CURSOR), ("GET", CURSOR), *change.questions()])[
            1:
        ]
        if cursor != memory.cursor:
            return False
        memory.cursor = self._cursor(update.end)
        commands = [*change.commands(types), *self._additions(update.readings)]
        commands.append(("SET", CURSOR, memory.cursor))
        *_, done = self._redis.ask([("MULTI",), *commands, ("EXEC",)])
        if done is None:
            return False
        self._memory = memory
        self._count_conflicts(change.left_out)
        return True

    def fill(self, journal: str, position: int, values: Iterable[Reflection]) -> None:
        """Show ``values`` and nothing else of ours, with the cursor at ``position``."""
        self.position(journal)
        old, self._memory = self._memory, None
        assert old is not None
        # Without a cursor it is filled again, should this be broken off.
        self._redis.ask([("DEL", CURSOR)])
        new = _Memory(self._cursor(position), [], [])
        rest = iter(values)
        while part := list(islice(rest, _FILL)):
            change = _Change(new)
            for one in part:
                change.show(one)
            self._redis.ask(change.commands(self._redis.ask(change.questions())))
            self._count_conflicts(change.left_out)
        change = _Change(new)
        change.forget(old)
        types = self._redis.ask(change.questions()) if change.questions() else []
        cursor = self._cursor(position)
        self._redis.ask([("MULTI",), *change.commands(types), ("SET", CURSOR, cursor), ("EXEC",)])
        self._memory = new

    def close(self) -> None:
        """Close the connection; harmless when there is none."""
        self._memory = None
        self._redis.close()

    def _rearrange(self, change: _Change, devices: dict[int, Device], removed: list[int]) -> None:
        """Plan what devices that are called or known otherwise now, or are gone, mean."""
        placed = change.memory.placed
        moved = [
            one for one in devices.values() if one.id in placed and placed[one.id] != placing(one)
        ]
        gone = [one for one in removed if one in placed]
        if moved or gone:
            change.rearrange(moved, gone, self._values_at)

    def _values_at(self, places: list[Place]) -> dict[Place, bytes]:
        """Return what is shown at ``places``, where there is something."""
        types = self._redis.ask([("TYPE", encoded(key)) for key, _ in places])
        wanted: list[tuple[Place, Command]] = []
        for (key, field), kind in zip(places, types, strict=True):
            if field is None and kind == b"string":
                wanted.append(((key, field), ("GET", encoded(key))))
            elif field is not None and kind == b"hash":
                wanted.append(((key, field), ("HGET", encoded(key), encoded(field))))
        found = self._redis.ask([command for _, command in wanted])
        return {
            place: value
            for (place, _), value in zip(wanted, found, strict=True)
            if value is not None
        }

    def _additions(self, readings: list[Reflection]) -> Iterator[Command]:
        for one in readings if self._stream_length else ():
            yield (
                *("XADD", self._stream, "MAXLEN", "~", self._stream_length, "*"),
                *("device", encoded(one.device.name), "metric", encoded(one.metric)),
                *("time", one.time, "value", shown(one.value)),
            )

    def _count_conflicts(self, count: int) -> None:
        if count:
            self.counts["conflicts"] += count
            _logger.warning("values not shown: their keys belong to another program", count=count)

    def _cursor(self, position: int) -> bytes:
        return f"{self._journal} {position}".encode("ascii")


class _Change:
    """One change of what is shown: in ``memory`` at once, in Redis by its commands."""

    def __init__(self, memory: _Memory) -> None:
        self.memory = memory
        self.left_out = 0
        self._writes = Writes()
        self._notes: dict[str, dict[bytes, bytes]] = {TIMES: {}, DEVICES: {}}
        self._forgotten: list[Command] = []

    def show(self, one: Reflection) -> None:
        """Show a reading at all its places."""
        placed = self.memory.placed.get(one.device.id) or self._place(one.device)
        value = shown(one.value)
        for place in placed.places(one.metric):
            self._writes.put(place, value)
        self.memory.times.setdefault(one.device.id, {})[one.metric] = one.time
        self._notes[TIMES][_field(one.device.id, one.metric)] = b"%d" % one.time

    def rearrange(
        self,
        moved: list[Device],
        gone: list[int],
        values_at: Callable[[list[Place]], dict[Place, bytes]],
    ) -> None:
        """Move the values of devices to where they belong now, and take away those of others."""
        memory = self.memory
        old = {place for one in (*(d.id for d in moved), *gone) for place in memory.places(one)}
        found = values_at(sorted(old, key=str))
        for device in moved:
            before = memory.placed[device.id]
            after = self._place(device)
            for metric in memory.times.get(device.id, ()):
                shown_now = (found[p] for p in before.places(metric) if p in found)
                if (value := next(shown_now, None)) is not None:
                    for place in after.places(metric):
                        self._writes.put(place, value)
        for one in gone:
            self._forget(one, memory.times.pop(one, ()))
            del memory.placed[one]
        self._writes.remove(old - memory.all_places())

    def forget(self, old: _Memory) -> None:
        """Take away what ``old`` says is there and the memory does not know."""
        self._writes.remove(old.all_places() - self.memory.all_places())
        for device, metrics in old.times.items():
            self._forget(device, metrics.keys() - self.memory.times.get(device, {}).keys())

    def questions(self) -> list[Command]:
        """Return the commands whose answers ``commands`` needs."""
        return [("TYPE", encoded(key)) for key in self._writes.keys]

    def commands(self, types: list[bytes]) -> list[Command]:
        """Return the commands of the change; ``types`` are the answers to the questions."""
        kinds = dict(zip(self._writes.keys, types, strict=True))
        commands, self.left_out = self._writes.commands(kinds)
        commands += self._forgotten
        for key, fields in self._notes.items():
            if fields:
                commands.append(("HSET", key, *chain.from_iterable(fields.items())))
        return commands

    def _place(self, device: Device) -> Placing:
        placed = self.memory.placed[device.id] = placing(device)
        self._notes[DEVICES][b"%d" % device.id] = msgspec.json.encode(placed)
        return placed

    def _forget(self, device: int, metrics: Iterable[str]) -> None:
        if fields := [_field(device, one) for one in metrics]:
            self._forgotten.append(("HDEL", TIMES, *fields))
        if device not in self.memory.times:
            self._forgotten.append(("HDEL", DEVICES, device))


def _is_newer(one: Reflection, memory: _Memory, now: int) -> bool:
    """Tell whether a reading is newer than what is shown, as far as that may be believed."""
    known = memory.times.get(one.device.id, {}).get(one.metric)
    return known is None or one.time > known or known > now + _FUTURE


def _field(device: int, metric: str) -> bytes:
    return encoded(f"{device}/{metric}")


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
