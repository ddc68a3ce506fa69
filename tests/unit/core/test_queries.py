"""Frames between the hub and its query process."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.core.queries import Devices, Frames, Mark, Query, Readings, frame

QUERY = Query(Readings("x", ("a",), 0, 1, 10, 5, True), 7, 30.0, 5.0)

frames = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(Mark), st.binary(max_size=50)), max_size=5
)


@given(frames, st.integers(1, 20))
def test_frames_come_out_as_they_went_in(sent: list[tuple[int, Mark, bytes]], size: int) -> None:
    """Frames are the same however the bytes are cut into parts."""
    data = b"".join(frame(number, mark, body) for number, mark, body in sent)
    decoder = Frames()
    found = []
    for start in range(0, len(data), size):
        found += decoder.feed(data[start : start + size])
    assert found == sent


def test_a_query_comes_through() -> None:
    """A query is the same at the other end."""
    ((number, mark, body),) = Frames().feed(frame(3, Mark.QUERY, QUERY))
    assert (number, mark) == (3, Mark.QUERY)
    assert msgspec.msgpack.decode(body, type=Query) == QUERY
    again = msgspec.structs.replace(QUERY, question=Devices(("x",)))
    ((_, _, body),) = Frames().feed(frame(4, Mark.QUERY, again))
    assert msgspec.msgpack.decode(body, type=Query) == again


def test_what_is_no_frame() -> None:
    """A mark that there is not means that the two programs don't speak the same."""
    with pytest.raises(ValueError, match="99"):
        Frames().feed(b"\0\0\0\x05\0\0\0\1\x63")
