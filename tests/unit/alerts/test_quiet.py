"""Quiet hours, on the clock of the wall."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.alerts.quiet import parse_quiet, quiet_until
from motehub.model import MICROSECONDS

PARIS = ZoneInfo("Europe/Paris")


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * MICROSECONDS


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-01-10T21:59:00+01:00", None),
        ("2026-01-10T22:00:00+01:00", "2026-01-11T07:00:00+01:00"),
        ("2026-01-11T06:59:59+01:00", "2026-01-11T07:00:00+01:00"),
        ("2026-01-11T07:00:00+01:00", None),
        # The clocks are put forward at 2:00 on this day, and back at 3:00 on the other.
        ("2026-03-28T23:00:00+01:00", "2026-03-29T07:00:00+02:00"),
        ("2026-10-24T23:00:00+02:00", "2026-10-25T07:00:00+01:00"),
    ],
)
def test_over_midnight(now: str, until: str | None) -> None:
    """From 22:00 to 7:00 by the clock of that day, whatever the clocks do in the night."""
    assert quiet_until("22:00-07:00", at(now), PARIS) == (None if until is None else at(until))


def test_the_hour_that_comes_twice() -> None:
    """Quiet until 2:30 is over at the first 2:30, and again in the second hour."""
    assert quiet_until("01:00-02:30", at("2026-10-25T02:10:00+02:00"), PARIS) == at(
        "2026-10-25T02:30:00+02:00"
    )
    assert quiet_until("01:00-02:30", at("2026-10-25T02:10:00+01:00"), PARIS) == at(
        "2026-10-25T02:30:00+01:00"
    )


@given(
    st.integers(at("2026-01-01T00:00+00:00"), at("2027-01-01T00:00+00:00")),
    st.sampled_from(
        ["22:00-07:00", "02:30-02:40", "01:00-02:30", "02:00-03:00", "13:00-14:00", "00:00-24:00"][
            :-1
        ]
    ),
)
def test_an_end_is_in_the_future_and_not_far(now: int, hours: str) -> None:
    """At any moment of a year it ends within a day, and one more hour."""
    until = quiet_until(hours, now, PARIS)
    assert until is None or now < until <= now + 25 * 3600 * MICROSECONDS
    clock = datetime.fromtimestamp(now / MICROSECONDS, UTC).astimezone(PARIS) - timedelta(0)
    begin, end = parse_quiet(hours) or (clock.time(), clock.time())
    inside = begin <= clock.time() < end if begin < end else not end <= clock.time() < begin
    assert (until is not None) is inside


@pytest.mark.parametrize(
    "text", ["22-7", "22:00", "25:00-07:00", "07:00-07:00", "07:60-08:00", "x"]
)
def test_what_are_no_quiet_hours(text: str) -> None:
    """They are named, with an example."""
    with pytest.raises(ValueError, match="22:00-07:00"):
        parse_quiet(text)
