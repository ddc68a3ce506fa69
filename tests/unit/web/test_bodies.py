"""Compressed bodies: whole, in pieces, cut off, and those that are made to burst."""

from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from motehub.web.bodies import BodyError, unpack, unpacker

PLAIN = b'{"metric": "temperature", "value": 21.5}\n' * 500


def zstd(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(plain)


ENCODINGS: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.compress, b"zstd": zstd}
each_encoding = pytest.mark.parametrize("encoding", list(ENCODINGS))


@each_encoding
def test_a_body_is_unpacked(encoding: bytes) -> None:
    """One piece, upper or lower case, one frame or several behind one another."""
    packed = ENCODINGS[encoding](PLAIN)
    assert unpack(packed, encoding.upper(), len(PLAIN)) == PLAIN
    assert unpack(packed * 3, encoding, 3 * len(PLAIN)) == PLAIN * 3


@each_encoding
@pytest.mark.parametrize("size", [1, 2, 3, 50, 1000])
def test_a_body_may_come_in_pieces(encoding: bytes, size: int) -> None:
    """Where the pieces end means nothing."""
    packed = ENCODINGS[encoding](PLAIN) * 2
    one = unpacker(encoding)
    pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
    assert b"".join(part for piece in pieces for part in one.pieces(piece)) == PLAIN * 2
    one.eof()


@each_encoding
def test_a_body_that_is_cut_off_is_refused(encoding: bytes) -> None:
    """Every beginning but the empty one is known to be incomplete, or to be wrong."""
    packed = ENCODINGS[encoding](PLAIN)
    for end in range(1, len(packed)):
        with pytest.raises(BodyError) as caught:
            unpack(packed[:end], encoding, 10**6)
        assert caught.value.status == 400


@each_encoding
def test_a_bomb_does_not_burst(encoding: bytes) -> None:
    """A few kilobytes that stand for a gigabyte are refused at the limit."""
    bomb = _bomb(encoding)
    assert len(bomb) < 2_000_000
    with pytest.raises(BodyError) as caught:
        unpack(bomb, encoding, 1_000_000)
    assert caught.value.status == 413


def _bomb(encoding: bytes) -> bytes:
    zeros = bytes(1 << 20)
    if encoding == b"zstd":
        return zstandard.ZstdCompressor().compress(zeros * 256)
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(zeros) for _ in range(1024)) + packer.flush()


@each_encoding
def test_the_limit_is_exact(encoding: bytes) -> None:
    """As many bytes as may be are taken, one more is not."""
    packed = ENCODINGS[encoding](PLAIN)
    assert unpack(packed, encoding, len(PLAIN)) == PLAIN
    with pytest.raises(BodyError):
        unpack(packed, encoding, len(PLAIN) - 1)


@pytest.mark.parametrize("encoding", [*ENCODINGS, b"identity"])
def test_a_body_unpacks_to_short_pieces_one_after_the_other(encoding: bytes) -> None:
    """Of a bomb no more is unpacked than the caller asks for, in pieces of 64 KiB at most."""
    plain = random.Random(1).randbytes(300_000) + bytes(3_000_000)
    packed = ENCODINGS.get(encoding, bytes)(plain)
    pieces = list(unpacker(encoding).pieces(packed))
    assert b"".join(pieces) == plain
    assert 0 < min(map(len, pieces)) <= max(map(len, pieces)) <= 65_536
    few = itertools.islice(unpacker(encoding).pieces(packed + b"garbage behind it"), 10)
    assert plain.startswith(b"".join(few))


@each_encoding
@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072])
def test_a_body_as_long_as_its_pieces_is_whole(encoding: bytes, size: int) -> None:
    """What fills the last piece exactly, or one byte more, is not lost, with nothing behind it."""
    for plain in (bytes(size), random.Random(2).randbytes(size)):
        one = unpacker(encoding)
        packed = ENCODINGS[encoding](plain)
        assert b"".join(one.pieces(packed)) == plain
        one.eof()
        assert unpack(packed + packed, encoding, 2 * size) == plain * 2


@each_encoding
def test_a_body_has_a_thousand_parts_at_most(encoding: bytes) -> None:
    """Further members or frames are refused, also those that hold nothing and come singly."""
    empty, full = ENCODINGS[encoding](b""), ENCODINGS[encoding](b"x")
    assert unpack(full * 1000, encoding, 10**6) == b"x" * 1000
    one = unpacker(encoding)
    for _ in range(1000):
        assert not b"".join(one.pieces(empty))
    with pytest.raises(BodyError, match="more than 1,000") as caught:
        list(one.pieces(empty))
    assert caught.value.status == 400


@each_encoding
@given(garbage=st.binary(min_size=1, max_size=200))
def test_garbage_is_refused(encoding: bytes, garbage: bytes) -> None:
    """What is not in that form raises nothing but the documented error."""
    with suppress(BodyError):
        unpack(garbage, encoding, 10**6)


def test_a_window_beyond_the_bound_is_refused() -> None:
    """A zstd frame can't make the hub keep as much as it likes."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(PLAIN) + packer.flush()
    with pytest.raises(BodyError) as caught:
        unpack(packed, b"zstd", 10**6)
    assert caught.value.status == 400


def test_an_unknown_encoding_is_named() -> None:
    """415 says what it was and what may be used."""
    with pytest.raises(BodyError, match=r"'br'.*gzip or zstd") as caught:
        unpacker(b"br")
    assert caught.value.status == 415


def test_without_encoding_the_body_stays_as_it_is() -> None:
    """Identity is what no header means."""
    assert unpack(PLAIN, b"", 1) == PLAIN
    assert b"".join(unpacker(b"identity").pieces(PLAIN * 10)) == PLAIN * 10
