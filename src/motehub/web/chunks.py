"""Where a chunked body ends (RFC 9112 § 7.1): what is behind it belongs to the next request."""

from __future__ import annotations

import re
from typing import Final

LINE_BYTES: Final = 4_096
"""Longest line with the size of a chunk and its extensions, or with a trailer."""

TRAILER_BYTES: Final = 16_384
"""Most bytes of trailers."""

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class BadChunk(ValueError):
    """The body is not framed as chunks, or with too much around them."""


class ChunkedBody:
    """Follows the frames of a body; whether they are right in every way is for the parser."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._skip = 0
        self._in_trailers = False
        self._trailers = 0
        self.ended = False
        """Whether the end was seen."""

    def take(self, data: bytes) -> int:
        """Return how many of the next bytes, ``data``, belong to the body.

        Raises:
            BadChunk: they can't.
        """
        position = 0
        while position < len(data) and not self.ended:
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
            else:
                position = self._take_line(data, position)
        return position

    def _take_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position, position + LINE_BYTES + 1) + 1
        piece = data[position : end or position + LINE_BYTES + 1]
        self._line += piece
        if len(self._line) > LINE_BYTES:
            raise BadChunk("a line is too long")
        if end:
            self._end_line(bytes(self._line).rstrip(b"\r\n"))
            self._line.clear()
        return position + len(piece)

    def _end_line(self, line: bytes) -> None:
        if self._in_trailers:
            self._trailers += len(line)
            if self._trailers > TRAILER_BYTES:
                raise BadChunk("the trailers are too long")
            self.ended = not line
            return
        size = _SIZE.fullmatch(line)
        if size is None:
            raise BadChunk("the size of a chunk is no number")
        length = int(size[1], 16)
        self._in_trailers = not length
        # The chunk's data and the line end behind it.
        self._skip = length + 2 if length else 0
