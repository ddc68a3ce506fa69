"""Whole lines from a stream that arrives in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.points import BadLine
from motehub.protocols.line_splitter import LineSplitter

STREAM = "one\n\ntwo ä\r\nthree is far too long\nfour\nfive".encode()
LIMIT = 12


def split(*pieces: bytes, limit: int = LIMIT) -> tuple[list[tuple[int, bytes]], list[BadLine]]:
    """Return all lines that aren't blank with their numbers, and those that are too long."""
    splitter = LineSplitter(limit)
    lines: list[tuple[int, bytes]] = []
    bad: list[BadLine] = []
    for piece in (*pieces, None):
        block = splitter.eof() if piece is None else splitter.feed(piece)
        assert piece is None or not block or block.endswith(b"\n")
        assert len(splitter.rest) <= limit
        lines += [x for x in enumerate(block.split(b"\n"), splitter.first_line) if x[1]]
        bad += splitter.take_bad()
    return lines, bad


WHOLE = split(STREAM)


def test_lines_have_their_numbers() -> None:
    """Blank lines count, and so do those that are too long."""
    lines, bad = WHOLE
    assert lines == [(1, b"one"), (3, "two ä\r".encode()), (5, b"four"), (6, b"five")]
    assert [(b.line, b.reason) for b in bad] == [(4, "the line is longer than 12 bytes")]
    assert bad[0].payload == b"three is far too long"


@pytest.mark.parametrize("position", range(len(STREAM) + 1))
def test_every_split_point(position: int) -> None:
    """Where the stream is cut changes neither lines nor numbers."""
    lines, bad = split(STREAM[:position], b"", STREAM[position:])
    assert lines == WHOLE[0]
    assert [b.line for b in bad] == [4]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_small_pieces(size: int) -> None:
    """A stream may come byte by byte."""
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert split(*pieces)[0] == WHOLE[0]


def test_a_last_line_that_is_too_long() -> None:
    """The end finds nothing of a line that was given up."""
    lines, bad = split(b"a\n", b"b" * 8, b"b" * 8, b"b" * 800)
    assert lines == [(1, b"a")]
    assert [(b.line, len(b.payload)) for b in bad] == [(2, 16)]


@given(st.lists(st.text("ab\n").map(str.encode)), st.integers(1, 9))
def test_nothing_is_lost(pieces: list[bytes], limit: int) -> None:
    """Every line that isn't blank is returned or too long."""
    lines, bad = split(*pieces, limit=limit)
    expected = [(n, x) for n, x in enumerate(b"".join(pieces).split(b"\n"), 1) if x]
    assert lines == [(n, x) for n, x in expected if len(x) <= limit]
    assert [b.line for b in bad] == [n for n, x in expected if len(x) > limit]
