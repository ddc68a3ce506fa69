"""Chunked bodies: where they end, however they arrive."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.web.chunks import LINE_BYTES, BadChunk, ChunkedBody

BODY = b"3\r\nabc\r\n0a;name=value\r\n0\r\n\r\n12345\r\n0\r\n\r\n"
WITH_TRAILERS = b"1\r\na\r\n0\r\nX: 1\r\nY: 2\r\n\r\n"
NEXT = b"POST / HTTP/1.1\r\n"


def ends(data: bytes, size: int) -> int:
    """Return at which byte the body ends that arrives in pieces of ``size``."""
    body = ChunkedBody()
    taken = 0
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        count = body.take(piece)
        taken += count
        if body.ended:
            return taken
        assert count == len(piece)
    raise AssertionError("no end was found")


@pytest.mark.parametrize(
    "body", [BODY, WITH_TRAILERS, b"0\r\n\r\n", b"F\r\n" + b"x" * 15 + b"\r\n0 \r\n\r\n"]
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_end_is_found(body: bytes, size: int) -> None:
    """Also where the data looks like an end, and whatever follows."""
    assert ends(body + NEXT, size) == len(body)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 20))
def test_any_body_ends_where_it_ends(parts: list[bytes], size: int) -> None:
    """Chunks of any content, in pieces of any size."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    assert ends(framed + NEXT, size) == len(framed)


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"\r\n",
        b"0x5\r\n",
        b"1" * 16 + b"\r\n",
        b"1;" + b"a" * LINE_BYTES + b"\r\n",
        b"1" + b" " * LINE_BYTES,
        b"0\r\n" + b"a: b\r\n" * 5000,
        b"0\r\na:" + b"b" * LINE_BYTES,
    ],
)
@pytest.mark.parametrize("size", [1, 1000, 10**6])
def test_what_is_no_chunk_or_too_long_is_refused(body: bytes, size: int) -> None:
    """However it arrives, and before much of it is kept."""
    with pytest.raises(BadChunk):
        ends(body, size)


@given(st.binary(max_size=300))
def test_garbage_raises_only_that(garbage: bytes) -> None:
    """Nothing else leaves it."""
    with suppress(BadChunk):
        assert 0 <= ChunkedBody().take(garbage) <= len(garbage)
