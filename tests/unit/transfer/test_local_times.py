"""Local times without a zone become moments, also where the clocks are changed."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.errors import OwnerError
from motehub.transfer.local_times import LocalTimes

EASTERN = ZoneInfo("US/Eastern")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("11/20/2026 18:05:09", "2026-11-20T18:05:09-05:00"),
        ("7/4/2026 8:05:09", "2026-07-04T08:05:09-04:00"),
        ("2026-11-20 18:05:09", "2026-11-20T18:05:09-05:00"),
        ("2026-11-20T18:05:09", "2026-11-20T18:05:09-05:00"),
        ("2026-11-20 18:05:09+01", "2026-11-20T18:05:09+01:00"),
        ("2026-11-20T18:05:09Z", "2026-11-20T18:05:09+00:00"),
        ("1795215909", "2026-11-20T23:05:09+00:00"),
    ],
)
def test_what_the_original_stored(text: str, moment: str) -> None:
    """The client's own form, that of a database, and unix seconds."""
    assert LocalTimes(EASTERN).utc("a", text) == at(moment)


@pytest.mark.parametrize("text", ["", "infinity", "13/01/2026 00:00:00", "2026-02-30", "x" * 1000])
def test_what_is_no_time(text: str) -> None:
    """It is refused with a reason."""
    with pytest.raises(ValueError, match=r"."):
        LocalTimes(EASTERN).utc("a", text)


def test_the_skipped_hour_is_refused() -> None:
    """On 8 March 2026 the clocks went from 2:00 to 3:00."""
    times = LocalTimes(EASTERN)
    with pytest.raises(ValueError, match="skip"):
        times.utc("a", "03/08/2026 02:30:00")
    assert times.utc("a", "03/08/2026 03:00:00") == at("2026-03-08T07:00:00+00:00")


def test_the_repeated_hour_follows_the_order_of_rows() -> None:
    """On 1 November 2026 the hour from 1:00 came twice; of each location by itself."""
    times = LocalTimes(EASTERN)
    local = [f"11/01/2026 01:{minute:02}:00" for minute in range(0, 60, 10)]
    found = [times.utc("a", text) for text in local + local + ["11/01/2026 02:00:00"]]
    start = at("2026-11-01T05:00:00+00:00")
    assert found == [start + n * 600_000_000 for n in range(13)]
    assert times.utc("b", local[0]) == start


def test_rows_that_are_merely_unordered_stay_in_their_hour() -> None:
    """A row a few seconds before the last one does not make it the second hour."""
    times = LocalTimes(EASTERN)
    found = [times.utc("a", f"11/01/2026 01:30:{second:02}") for second in (20, 15, 25)]
    start = at("2026-11-01T05:30:00+00:00")
    assert found == [start + second * 1_000_000 for second in (20, 15, 25)]


def test_without_a_zone_the_owner_is_asked_for_one() -> None:
    """Unless the time has one."""
    times = LocalTimes(None)
    assert times.utc("a", "2026-11-20T18:05:09Z") == at("2026-11-20T18:05:09+00:00")
    with pytest.raises(OwnerError, match="--zone Europe/Paris"):
        times.utc("a", "11/20/2026 18:05:09")


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """Nothing but the documented errors comes out."""
    with suppress(ValueError, OverflowError):
        LocalTimes(EASTERN).utc("a", text)
