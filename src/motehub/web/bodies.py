"""Compressed bodies (RFC 9110 § 8.4), which may not grow beyond the limit for plain ones."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import zstandard

_GZIP: Final = 16 + zlib.MAX_WBITS
# What a frame may ask the decoder to keep: 8 MiB, as RFC 8878 § 3.1.1.1.2 advises.
_ZSTD_WINDOW: Final = 8 * 1024 * 1024

PIECE: Final = 65_536
"""Longest piece of an unpacked body, in bytes."""

PARTS: Final = 1_000
"""Most gzip members or zstd frames in a body: each costs work, even one that holds nothing."""

# Bytes that are given to zlib at once: what it leaves of them is copied.
_GZIP_SLICE: Final = 16_384
# zstd has no limit of its own: little at once bounds what one step yields.
_ZSTD_SLICE: Final = 256


class BodyError(Exception):
    """A body that can't be unpacked; ``status`` is the HTTP status that says so."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Unpacker(Protocol):
    """Unpacks a body piece by piece."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` unpacks to, at most ``PIECE`` bytes at a time.

        Nothing is unpacked before it is asked for, so the caller can stop where it likes; only
        after all pieces were taken may more data follow.

        Raises:
            BodyError: it is not in this form, or in more than ``PARTS`` parts.
        """
        ...

    def eof(self) -> None:
        """Check that the body ended where its form says.

        Raises:
            BodyError: it was cut off.
        """
        ...


def unpacker(encoding: bytes) -> Unpacker:
    """Return what unpacks bodies of that ``Content-Encoding``.

    Raises:
        BodyError: 415, it is none of gzip, zstd and identity.
    """
    match encoding.lower():
        case b"" | b"identity":
            return _Identity()
        case b"gzip" | b"x-gzip":
            return _Gzip()
        case b"zstd":
            return _Zstd()
        case other:
            shown = other.decode("latin-1")[:40]
            raise BodyError(415, f"Content-Encoding {shown!r} is not known. Use gzip or zstd.")


def unpack(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return a whole body unpacked.

    Raises:
        BodyError: it can't be, or is longer than ``limit`` bytes then.
    """
    if not encoding:
        return body
    one = unpacker(encoding)
    parts: list[bytes] = []
    left = limit
    for part in one.pieces(body):
        left -= len(part)
        if left < 0:
            raise BodyError(413, f"The body unpacks to more than {limit} bytes. Send it in parts.")
        parts.append(part)
    one.eof()
    return b"".join(parts)


class _Identity:
    def pieces(self, data: bytes) -> Iterator[bytes]:
        return _cut(data)

    def eof(self) -> None:
        """Whatever it is, it is whole."""


def _cut(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


class _Parts:
    """Counts the parts of a body."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0

    def next(self) -> None:
        """Begin one more.

        Raises:
            BodyError: there are too many.
        """
        self.count += 1
        if self.count > PARTS:
            detail = f"The body is in more than {PARTS:,} {self._name}. Pack it as one."
            raise BodyError(400, detail)


class _Gzip:
    """Members one after the other, as RFC 1952 § 2.2 allows."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._members = _Parts("gzip members")

    def pieces(self, data: bytes) -> Iterator[bytes]:
        whole = memoryview(data)
        position, more = 0, False
        while more or position < len(whole):
            if not more and (self._stream.eof or not self._members.count):
                self._members.next()
                self._stream = zlib.decompressobj(_GZIP)
            given = whole[position : position + _GZIP_SLICE]
            try:
                piece = self._stream.decompress(given, PIECE)
            except zlib.error as error:
                raise BodyError(400, f"The body is not gzip: {error}.") from error
            ended = self._stream.eof
            left = self._stream.unused_data if ended else self._stream.unconsumed_tail
            position += len(given) - len(left)
            # zlib may hold back what had no room in a full piece, with nothing left to give it.
            more = len(piece) == PIECE and not ended
            if piece:
                yield piece

    def eof(self) -> None:
        if self._members.count and not self._stream.eof:
            raise BodyError(400, "The gzip body is cut off.")


class _Zstd:
    """Frames one after the other (RFC 8878 § 3)."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._stream = self._decompressor.decompressobj()
        self._frames = _Parts("zstd frames")

    def pieces(self, data: bytes) -> Iterator[bytes]:
        whole = memoryview(data)
        position = 0
        while position < len(whole):
            if self._stream.eof or not self._frames.count:
                self._frames.next()
                self._stream = self._decompressor.decompressobj()
            given = whole[position : position + _ZSTD_SLICE]
            try:
                part = self._stream.decompress(given)
            except zstandard.ZstdError as error:
                raise BodyError(400, f"The body is not zstd: {error}.") from error
            position += len(given) - len(self._stream.unused_data)
            yield from _cut(part)

    def eof(self) -> None:
        if self._frames.count and not self._stream.eof:
            raise BodyError(400, "The zstd body is cut off.")
