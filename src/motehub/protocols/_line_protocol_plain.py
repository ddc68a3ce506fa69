"""Points of one number without anything unusual about them, taken apart a body at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from motehub.protocols._line_protocol_point import WORD_LENGTH

Parts = tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]]
"""Of each point what is before the ``=``, its number and its stamp, all as they are written.

A stamp is empty where there is none. Only the characters of a number have been looked at: what
is none makes ``float`` fail.
"""

_POINT: Final = rb'^([^ \n\\"]+ [^ =,\n\\"]+)=([-+.0-9eE]{1,%d})' % WORD_LENGTH
_DATED: Final = re.compile(_POINT + rb" (-?[0-9]{1,39})$", re.MULTILINE)
_UNDATED: Final = re.compile(_POINT + rb"$()", re.MULTILINE)


def take_apart(body: bytes, lines: int, *, dated: bool) -> Parts | None:
    """Return the points of a body of so many lines, if each is one, all with a stamp or none."""
    points = (_DATED if dated else _UNDATED).findall(body)
    if len(points) != lines:
        return None
    keys, numbers, stamps = zip(*points, strict=True)
    return keys, numbers, stamps
