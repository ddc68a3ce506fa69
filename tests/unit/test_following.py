"""What a hub writes to its consumers: decoded in whatever pieces it comes, and bounded."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from motehub.following import NEWS, NOTICE_BYTES, Notices, notice

_frames = st.lists(
    st.tuples(st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=60)), max_size=8
)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    """Yield ``data`` in pieces that end at ``places``."""
    start = 0
    for place in sorted(place % (len(data) + 1) for place in places):
        yield data[start:place]
        start = place
    yield data[start:]


@given(_frames, st.lists(st.integers(0, 1000)))
def test_frames_come_in_any_pieces(frames: list[tuple[int, bytes]], places: list[int]) -> None:
    """They arrive as they were sent, wherever a read ends."""
    notices = Notices()
    for piece in cut(b"".join(notice(*one) for one in frames), places):
        notices.feed(piece)
    assert notices.take() == frames
    assert notices.take() == []


@given(_frames, _frames, st.integers(0, 1000))
def test_what_has_come_can_be_taken_at_any_byte(
    first: list[tuple[int, bytes]], second: list[tuple[int, bytes]], place: int
) -> None:
    """A frame of which a part is here is taken when it is complete, once."""
    data = b"".join(notice(*one) for one in first + second)
    notices, found = Notices(), list[tuple[int, bytes]]()
    for piece in cut(data, [place]):
        notices.feed(piece)
        taken = notices.take()
        assert taken is not None
        found += taken
    assert found == first + second


@given(_frames, _frames, st.lists(st.integers(0, 1000)))
def test_news_mean_that_the_journal_is_read(
    before: list[tuple[int, bytes]], after: list[tuple[int, bytes]], places: list[int]
) -> None:
    """Wherever among frames they stand, also when these have bytes that look like them."""
    data = b"".join(notice(*one) for one in before) + NEWS
    data += b"".join(notice(*one) for one in after)
    notices = Notices()
    for piece in cut(data, places):
        notices.feed(piece)
    assert notices.take() is None
    notices.feed(notice(7, NEWS))
    assert notices.take() == [(7, NEWS)]


def test_the_longest_frame_arrives() -> None:
    """One byte more, and what came is no notice of a frame."""
    notices = Notices()
    longest = bytes(NOTICE_BYTES)
    notices.feed(notice(1, longest))
    assert notices.take() == [(1, longest)]
    notices.feed(notice(1, longest + b"\0"))
    assert notices.take() is None


def test_what_nobody_takes_is_not_kept() -> None:
    """A consumer that can't go on holds a bounded number of bytes, and reads the journal later."""
    notices = Notices()
    one = notice(1, bytes(NOTICE_BYTES))
    for _ in range(100):
        notices.feed(one)
        assert sum(len(body) for _, body in notices._frames) <= 16 * NOTICE_BYTES
    assert notices._frames == []
    assert notices.take() is None
    notices.feed(one)
    assert notices.take() == [(1, bytes(NOTICE_BYTES))]


@given(st.lists(st.binary(max_size=100)))
def test_garbage_is_at_most_news(pieces: list[bytes]) -> None:
    """Whatever comes, nothing fails, and what is not a frame means reading the journal."""
    notices = Notices()
    for piece in pieces:
        notices.feed(piece)
        assert len(notices._buffer) < NOTICE_BYTES + 100
    taken = notices.take()
    data = b"".join(pieces)
    if data and data[:1] != b"F":
        assert taken is None
