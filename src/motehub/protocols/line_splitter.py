"""Whole lines from a stream that arrives in pieces, with their numbers."""

from __future__ import annotations

from typing import Final

from motehub.points import BadLine

LINE_LIMIT: Final = 65_536
"""Longest line of a stream in bytes, and so the most that is kept between two calls."""

PAYLOAD_LIMIT: Final = 200
"""Bytes of a rejected line that are passed on."""


class LineSplitter:
    """Cuts a stream into pieces that end with a line; keeps the numbers of its lines.

    A line of more than ``limit`` bytes is left blank in what is returned, and is in ``bad``
    until ``take_bad``.
    """

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._skipping = False
        self._next_line = 1
        self._bad: list[BadLine] = []
        self.first_line = 1
        """The number of the first line of what the last call returned."""

    @property
    def rest(self) -> bytes:
        """The line under way: never more than ``limit`` bytes."""
        return bytes(self._rest)

    def take_bad(self) -> list[BadLine]:
        """Return the lines that were too long since the last call."""
        bad, self._bad = self._bad, []
        return bad

    def feed(self, data: bytes) -> bytes:
        """Return the lines that ``data`` completes, with their newlines; it may be none."""
        self.first_line = self._next_line
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data)
            return b""
        lines = self._complete(data[:end])
        self._next_line += lines.count(b"\n")
        self._keep(data[end:])
        return lines

    def eof(self) -> bytes:
        """Return the last line when no newline ends it."""
        self.first_line = self._next_line
        rest = bytes(self._rest)
        self._rest.clear()
        self._skipping = False
        return rest

    def _complete(self, data: bytes) -> bytes:
        """Return whole lines, the first of which may have begun earlier."""
        if self._skipping:
            self._skipping = False
            data = data[data.index(b"\n") :]
        elif self._rest:
            data = bytes(self._rest) + data
            self._rest.clear()
        if len(data) <= self._limit or all(len(x) <= self._limit for x in data.split(b"\n")):
            return data
        lines = data.split(b"\n")
        for position, line in enumerate(lines):
            if len(line) > self._limit:
                self._too_long(self._next_line + position, line)
                lines[position] = b""
        return b"\n".join(lines)

    def _keep(self, data: bytes) -> None:
        if self._skipping:
            return
        if len(self._rest) + len(data) > self._limit:
            beginning = bytes(self._rest) + data[:PAYLOAD_LIMIT]
            self._too_long(self._next_line, beginning)
            self._rest.clear()
            self._skipping = True
        else:
            self._rest += data

    def _too_long(self, line: int, text: bytes) -> None:
        reason = f"the line is longer than {self._limit} bytes"
        self._bad.append(BadLine(line, text[:PAYLOAD_LIMIT], reason))
