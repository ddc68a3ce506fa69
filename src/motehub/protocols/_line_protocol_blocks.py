"""The points of a body in the line protocol, cut apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from motehub.protocols._line_protocol_point import skip_space, string_end

_CUT_AT_ONCE: Final = 65_536  # characters

# What a line begins with that may be no point; the empty text is among it too.
_NO_POINT: Final = "# \t"

_HEAD_END: Final = re.compile(r"(?<!\\) ")
_OPENING: Final = re.compile(r'(?<!\\)="')


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Return each point with the number of its first line: a string may hold newlines.

    Empty lines may be among them.
    """
    found = _blocks_with_strings(text) if '"' in text else _lines(text)
    if "\r" in text:
        found = ((line, block.removesuffix("\r")) for line, block in found)
    if text[:1] in _NO_POINT or any(f"\n{mark}" in text for mark in _NO_POINT):
        return ((line, block) for line, block in found if not _is_blank(block))
    return found


def _is_blank(block: str) -> bool:
    """Return True for nothing but space, and for a comment."""
    return block[:1] in _NO_POINT and block.lstrip(" \t")[:1] in ("", "#")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Return each line with its number; a long text is not all cut up at once."""
    if len(text) <= _CUT_AT_ONCE:
        return enumerate(text.split("\n"), 1)
    return enumerate(chain.from_iterable(part.split("\n") for part in _parts(text)), 1)


def _parts(text: str) -> Iterator[str]:
    """Return parts of ``text`` that are whole lines, without the newline that ends each."""
    start = 0
    while start <= len(text):
        end = text.find("\n", start + _CUT_AT_ONCE)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def _blocks_with_strings(text: str) -> Iterator[tuple[int, str]]:
    line, start = 1, 0
    while start <= len(text):
        end = _block_end(text, start)
        yield line, text[start:end]
        line += 1 + text.count("\n", start, end)
        start = end + 1


def _block_end(text: str, start: int) -> int:
    """Return where the point ends that begins at ``start``: at a newline outside strings."""
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    quote = text.find('"', start, end)
    if quote < 0 or text[skip_space(text, start)] == "#":
        return end
    head = _HEAD_END.search(text, skip_space(text, start), end)
    position = head.end() if head else end
    while opening := _OPENING.search(text, position, end):
        position = string_end(text, opening.end())
        if position > end:
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
    return end
