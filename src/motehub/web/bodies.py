"""Compressed bodies (RFC 9110 § 8.4), which may not grow beyond the limit for plain ones."""

from __future__ import annotations

import zlib
from typing import Final, Protocol

import zstandard

_GZIP: Final = 16 + zlib.MAX_WBITS
# What a frame may ask the decoder to keep: 8 MiB, as RFC 8878 § 3.1.1.1.2 advises.
_ZSTD_WINDOW: Final = 8 * 1024 * 1024


class BodyError(Exception):
    """A body that can't be unpacked; ``status`` is the HTTP status that says so."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Unpacker(Protocol):
    """Unpacks a body piece by piece."""

    def feed(self, data: bytes, limit: int) -> bytes:
        """Return what ``data`` unpacks to.

        Raises:
            BodyError: it is more than ``limit`` bytes, or not in this form.
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
    plain = one.feed(body, limit)
    one.eof()
    return plain


def _too_long(limit: int) -> BodyError:
    return BodyError(413, f"The body unpacks to more than {limit} bytes. Send it in parts.")


class _Identity:
    def feed(self, data: bytes, limit: int) -> bytes:
        return data

    def eof(self) -> None:
        """Whatever it is, it is whole."""


class _Gzip:
    """Members one after the other, as RFC 1952 § 2.2 allows."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes, limit: int) -> bytes:
        parts: list[bytes] = []
        left = limit
        try:
            while data:
                if self._stream.eof:
                    self._stream = zlib.decompressobj(_GZIP)
                self._begun = True
                # One byte more than may be: whether there is more can't be told otherwise.
                part = self._stream.decompress(data, left + 1)
                left -= len(part)
                if left < 0:
                    raise _too_long(limit)
                parts.append(part)
                data = self._stream.unused_data
        except zlib.error as error:
            raise BodyError(400, f"The body is not gzip: {error}.") from error
        return b"".join(parts)

    def eof(self) -> None:
        if self._begun and not self._stream.eof:
            raise BodyError(400, "The gzip body is cut off.")


class _Zstd:
    """Frames one after the other (RFC 8878 § 3)."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._stream = self._decompressor.decompressobj()
        self._begun = False

    def feed(self, data: bytes, limit: int) -> bytes:
        parts: list[bytes] = []
        left = limit
        try:
            while data:
                if self._stream.eof:
                    self._stream = self._decompressor.decompressobj()
                self._begun = True
                # The decoder has no limit of its own: small pieces bound what one step yields.
                piece, data = data[:_ZSTD_PIECE], data[_ZSTD_PIECE:]
                part = self._stream.decompress(piece)
                left -= len(part)
                if left < 0:
                    raise _too_long(limit)
                parts.append(part)
                data = self._stream.unused_data + data
        except zstandard.ZstdError as error:
            raise BodyError(400, f"The body is not zstd: {error}.") from error
        return b"".join(parts)

    def eof(self) -> None:
        if self._begun and not self._stream.eof:
            raise BodyError(400, "The zstd body is cut off.")


_ZSTD_PIECE: Final = 256
