"""Where a value lies in Redis, and the commands that put it there: the original key layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from motehub.model import Device

Command = tuple[str | bytes | int, ...]

RESERVED: Final = "motehub:"
"""Keys that begin so are the mirror's own: its cursor, and what it has to remember."""

FLAT: Final = "json_socket.flat:"
"""Beginning of the identity of a device whose programs send flat objects."""

NESTED: Final = "json_socket:"
"""Beginning of the identity of a device that is the outer key of nested objects."""

Place = tuple[str, str | None]
"""A key and the field in it; without a field the key itself has the value."""

_EXACT: Final = 2.0**53


class Placing(msgspec.Struct, frozen=True, array_like=True):
    """Where the metrics of a device are: keys of their own, fields of hashes, or both."""

    flat: bool
    hashes: tuple[str, ...]

    def places(self, metric: str) -> Iterator[Place]:
        """Yield where a metric is shown; keys that are the mirror's own are nobody's."""
        if self.flat and not metric.startswith(RESERVED):
            yield metric, None
        for key in self.hashes:
            if not key.startswith(RESERVED):
                yield key, metric


def placing(device: Device) -> Placing:
    """Return where the values of ``device`` belong.

    As the original put them where programs speak its dialect, under the very keys that they
    send; others have a hash that is called as the device is now.
    """
    flat = any(identity.startswith(FLAT) for identity in device.identities)
    hashes = [i.removeprefix(NESTED) for i in device.identities if i.startswith(NESTED)]
    if not flat and not hashes:
        hashes = [device.name]
    return Placing(flat, tuple(hashes))


def shown(value: float | str) -> bytes:
    """Return a value as the original wrote it: 12, not 12.0."""
    if isinstance(value, str):
        return encoded(value)
    if value.is_integer() and abs(value) < _EXACT:
        return b"%d" % int(value)
    return repr(value).encode()


def encoded(text: str) -> bytes:
    """Return a key or a text in UTF-8; half a surrogate pair, which JSON can hold, stays so."""
    return text.encode("utf-8", "surrogatepass")


class Writes:
    """Changes of one transaction: what is taken away, and then what is put in its place."""

    def __init__(self) -> None:
        self._gone: set[Place] = set()
        self._strings: dict[str, bytes] = {}
        self._hashes: dict[str, dict[str, bytes]] = {}
        # Keys of which a hash takes the place of the string that is put there before.
        self._replaced: set[str] = set()

    @property
    def keys(self) -> list[str]:
        """Keys of which has to be known what they are now."""
        return list({key for key, _ in self._gone} | set(self._hashes))

    def remove(self, places: Iterable[Place]) -> None:
        """Take ``places`` away before anything is put."""
        self._gone.update(places)

    def put(self, place: Place, value: bytes) -> None:
        """Put a value; of a string and a hash that share a key the later one stays."""
        key, field = place
        if field is None:
            self._hashes.pop(key, None)
            self._strings[key] = value
            return
        if self._strings.pop(key, None) is not None:
            self._replaced.add(key)
        self._hashes.setdefault(key, {})[field] = value

    def commands(self, types: dict[str, bytes]) -> tuple[list[Command], int]:
        """Return the commands, and how many values must be left out.

        ``types`` says what each key is now. A string, which only this layout makes beside
        hashes, gives way to the hash; anything else belongs to another program.
        """
        commands: list[Command] = []
        for key, field in self._gone:
            if field is None and types.get(key) == b"string":
                commands.append(("DEL", encoded(key)))
            elif field is not None and types.get(key) == b"hash":
                commands.append(("HDEL", encoded(key), encoded(field)))
        left_out = 0
        for key, fields in self._hashes.items():
            kind = types.get(key, b"none")
            if kind not in (b"hash", b"none", b"string"):
                left_out += len(fields)
                continue
            if kind == b"string" or key in self._replaced:
                commands.append(("DEL", encoded(key)))
            commands.append(("HSET", encoded(key), *_flattened(fields)))
        commands += [("SET", encoded(key), value) for key, value in self._strings.items()]
        return commands, left_out


def _flattened(fields: dict[str, bytes]) -> Iterator[bytes]:
    for field, value in fields.items():
        yield encoded(field)
        yield value
