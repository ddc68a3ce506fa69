"""Readings reduced to buckets of time."""

from __future__ import annotations

from array import array
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.core.buckets import Buckets
from motehub.rollups import TIERS

SINCE, UNTIL = 1_000, 101_000

readings = st.dictionaries(st.integers(SINCE, UNTIL - 1), st.floats(-1e9, 1e9), max_size=200).map(
    lambda found: sorted(found.items())
)


@given(readings, st.integers(1, 300), st.integers(1, 50))
def test_buckets_hold_what_was_put_in(rows: list[tuple[int, float]], count: int, part: int) -> None:
    """However the readings come in parts, each bucket describes exactly its own readings."""
    buckets = Buckets(SINCE, UNTIL, count)
    for start in range(0, len(rows), part):
        times, values = zip(*rows[start : start + part], strict=True)
        buckets.add(array("q", times), array("d", values))
    wanted: dict[int, list[float]] = {}
    for time, value in rows:
        start = SINCE + (time - SINCE) // buckets.width * buckets.width
        wanted.setdefault(start, []).append(value)
    assert len(wanted) <= count
    assert list(buckets.starts) == list(wanted)
    found = list(wanted.values())
    assert list(buckets.low) == [min(one) for one in found]
    assert list(buckets.high) == [max(one) for one in found]
    assert list(buckets.last) == [one[-1] for one in found]
    assert list(buckets.counts) == [len(one) for one in found]
    assert list(buckets.mean) == pytest.approx([fsum(one) / len(one) for one in found], abs=1e-3)


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**14), st.integers(1, 10_000))
def test_buckets_are_of_whole_minutes_where_these_are_near(
    since: int, length: int, count: int
) -> None:
    """As many as may be at most, and none more than half as long again as was asked for."""
    buckets = Buckets(since, since + length, count)
    exact = max(1, -(-length // count))
    last = max(since, since + length - 1)
    assert (buckets.bucket(last)[0] - buckets.grid.origin) // buckets.width < count
    assert exact <= buckets.width <= 1.5 * exact
    assert buckets.tiers or buckets.width == exact
    for tier in buckets.tiers:
        assert buckets.width % TIERS[tier] == buckets.grid.origin % TIERS[tier] == 0
    wide = [tier for tier, width in TIERS.items() if exact >= 3 * width]
    assert set(wide) <= set(buckets.tiers)


def test_more_buckets_than_microseconds() -> None:
    """A bucket is never shorter than the resolution of time, and an empty range is no error."""
    assert Buckets(0, 10, 1_000).width == 1
    assert Buckets(5, 5, 10).width == 1


def test_the_largest_numbers_have_a_mean() -> None:
    """Numbers whose sum is too large for a float are reduced like all others."""
    buckets = Buckets(0, 10, 1)
    for start in (0, 4):
        buckets.add(array("q", range(start, start + 4)), array("d", [1.7e308] * 4))
    assert list(buckets.mean) == pytest.approx([1.7e308])
