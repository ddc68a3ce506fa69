"""Journal frames: the bytes on disk."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.errors import DamagedDatabase
from motehub.frames import Batch, Entry, EventOccurred, Rejected, decode_frame, encode_frame

Runs = list[tuple[int, list[tuple[int, float]]]]

runs = st.lists(
    st.tuples(
        st.integers(0, 2**32 - 1),
        st.lists(
            st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=5
        ),
    ),
    max_size=6,
)


def make(readings: Runs, held: Runs, entries: Sequence[Entry] = ()) -> Batch:
    batch = Batch()
    for columns, rows in ((batch.readings, readings), (batch.held, held)):
        for series, pairs in rows:
            times, values = (array("q"), array("d"))
            for time, value in pairs:
                times.append(time)
                values.append(value)
            columns.add(series, times, values)
    batch.entries += entries
    return batch


@given(runs, runs, st.integers(0, 2**62), st.text(max_size=50), st.binary(max_size=50))
def test_a_frame_comes_back_as_it_was(
    readings: Runs, held: Runs, time: int, text: str, payload: bytes
) -> None:
    """Columns, entries and time survive the way to disk and back."""
    entries: list[Entry] = [
        EventOccurred(1, 2, "kind", text),
        Rejected(None, "x", 3, payload, "why", 4),
    ]
    batch = make(readings, held, entries)
    frame = decode_frame(encode_frame([batch], time))
    assert frame.time == time
    assert frame.entries == entries
    for found, given_ in ((frame.readings, batch.readings), (frame.held, batch.held)):
        assert found.series == given_.series
        assert found.counts == given_.counts
        assert found.times == given_.times
        assert found.values == given_.values


def test_the_layout_on_disk_is_fixed() -> None:
    """A frame written by any version can be read: these bytes are the format."""
    batch = make([(7, [(1_700_000_000_000_000, 21.5)])], [])
    checked = (
        b"\x05\x00\x00\x00\x00\x00\x00\x00"
        b"\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        b"\x07\x00\x00\x00"
        b"\x01\x00\x00\x00"
        b"\x00\x40\x1e\x18\x24\x0a\x06\x00"
        b"\x00\x00\x00\x00\x00\x80\x35\x40"
        b"\x90"
    )
    expected = b"MHF1" + zlib.crc32(checked).to_bytes(4, "little") + checked
    assert encode_frame([batch], 5) == expected
    assert list(decode_frame(expected).readings.values) == [21.5]


def test_batches_are_merged_in_order() -> None:
    """A frame holds all batches of a commit, one after the other."""
    frame = decode_frame(
        encode_frame([make([(1, [(1, 1.0)])], []), make([(2, [(2, 2.0)])], [])], 0)
    )
    assert list(frame.readings.series) == [1, 2]
    assert list(frame.readings.times) == [1, 2]


@given(st.data())
def test_a_damaged_frame_is_never_believed(data: st.DataObject) -> None:
    """A changed byte or a missing end is found by the checksum or the length."""
    whole = encode_frame([make([(1, [(5, 1.0), (6, 2.0)])], [(2, [(7, 3.0)])])], 9)
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        position = data.draw(st.integers(0, len(whole) - 1))
        flip = data.draw(st.integers(1, 255))
        broken = whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :]
    with pytest.raises(DamagedDatabase):
        decode_frame(broken)


def test_state_counts_in_a_batch() -> None:
    """What only changes state is bounded in a commit like everything else."""
    batch = Batch()
    batch.state = {"mqtt/body/1": bytes(1_000_000), "mqtt/body/0": None}
    assert 1_000_000 < batch.weight < 1_000_100
