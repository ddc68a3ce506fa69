"""What rules and reports have in common: named definitions, said in TOML, JSON or on a line.

A definition is a frozen struct whose constructor checks it. It has a name, and says with patterns
which devices it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any, Final, Generic, TypeVar

import msgspec

from motehub.errors import OwnerError

NAME_CHARACTERS: Final = 64
"""Longest name of a definition."""

PATTERN_CHARACTERS: Final = 200
"""Longest name, or pattern of names, in one."""

_MOST_PATTERNS: Final = 100

_Kind = TypeVar("_Kind", bound=msgspec.Struct)
Hook = Callable[[type, Any], Any]


class Form(Generic[_Kind]):
    """How definitions of ``kind`` are read and written; what can't be is ``invalid``.

    ``limits`` are fields that are None where there is none. ``quantity`` reads fields of types
    of our own, which are numbers.
    """

    def __init__(
        self,
        kind: type[_Kind],
        invalid: type[OwnerError],
        limits: Collection[str],
        quantity: Hook | None = None,
    ) -> None:
        self._kind = kind
        self._invalid = invalid
        self._limits = limits
        self._quantity = quantity

    def read(self, fields: Mapping[str, Any], base: _Kind | None = None) -> _Kind:
        """Return what ``fields`` describe, or ``base`` with these changed.

        None for a limit means that there is none. It raises what is ``invalid``.
        """
        told = {} if base is None else self.fields(base)
        told |= fields
        told = {key: value for key, value in told.items() if value is not None}
        try:
            return msgspec.convert(told, self._kind, dec_hook=self._quantity)
        except (msgspec.ValidationError, OwnerError) as error:
            reason, _, path = str(error).partition(" - at `$.")
            said = f"{path.rstrip('`')}: {reason}." if path else f"{reason}."
            raise self._invalid(said) from error

    def fields(self, one: _Kind) -> dict[str, Any]:
        """Return it field by field, as JSON can hold it: no limit is None, times are seconds."""
        fields: dict[str, Any] = msgspec.to_builtins(one, enc_hook=float, builtin_types=(float,))
        for key in self._limits:
            if not isfinite(fields[key]):
                fields[key] = None
        return fields

    def encode(self, one: _Kind) -> bytes:
        """Return it as it is kept."""
        return msgspec.json.encode(self.fields(one))

    def decode(self, data: bytes) -> _Kind:
        """Return what ``encode`` has made ``data`` of; it raises what is ``invalid``."""
        return self.read(msgspec.json.decode(data))


def check_name(name: str) -> None:
    """See that a definition may be called so.

    Raises:
        ValueError: it may not.
    """
    if not name.isprintable() or not 0 < len(name.strip()) <= NAME_CHARACTERS:
        raise ValueError(f"name must have 1 to {NAME_CHARACTERS} characters that can be seen")
    if name != name.strip() or "/" in name:
        raise ValueError("name must not have a slash, nor begin or end with a space")


def check_patterns(**patterns: list[str]) -> None:
    """See that lists of names and patterns are not too long, and none of them is.

    Raises:
        ValueError: one is; its name is said.
    """
    for key, texts in patterns.items():
        long = any(len(one) > PATTERN_CHARACTERS or not one for one in texts)
        if long or len(texts) > _MOST_PATTERNS:
            raise ValueError(f"{key} has too many names, or one that is empty or too long")


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a name is one of ``patterns``, or there are none."""
    wanted = list(patterns)
    return not wanted or any(fnmatchcase(name, one) for one in wanted)
