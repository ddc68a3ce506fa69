"""When reports are due, and what time they are about, where clocks change too."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.model import MICROSECONDS
from motehub.schedules.report import Period
from motehub.schedules.times import (
    check_schedule,
    next_due,
    period_of,
    previous_due,
    usual_period,
)

PARIS = ZoneInfo("Europe/Paris")
DAY = 86_400 * MICROSECONDS


def at(text: str) -> int:
    """Return a time with its offset in UTC µs."""
    return round(datetime.fromisoformat(text).timestamp()) * MICROSECONDS


def shown(moment: int | None, zone: ZoneInfo = PARIS) -> str:
    assert moment is not None
    return datetime.fromtimestamp(moment // MICROSECONDS, UTC).astimezone(zone).isoformat()


def dues(schedule: str, start: str, count: int) -> list[str]:
    """Return when it is due from then on."""
    found: list[int] = []
    moment = at(start)
    for _ in range(count):
        due = next_due(schedule, PARIS, moment)
        assert due is not None
        found.append(due)
        moment = due
    return [shown(one) for one in found]


def test_in_spring_what_is_left_out_is_due_right_after() -> None:
    """Clocks go from 2:00 to 3:00 on 29 March 2026."""
    assert dues("30 2 * * *", "2026-03-28T12:00:00+01:00", 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert dues("0 7 * * *", "2026-03-28T12:00:00+01:00", 2) == [
        "2026-03-29T07:00:00+02:00",
        "2026-03-30T07:00:00+02:00",
    ]


def test_in_autumn_what_comes_twice_is_due_once() -> None:
    """Clocks go from 3:00 to 2:00 on 25 October 2026."""
    assert dues("30 2 * * *", "2026-10-24T12:00:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    # Looked at in the second half, it has been due in the first.
    assert dues("45 2 * * *", "2026-10-25T02:30:00+01:00", 1) == ["2026-10-26T02:45:00+01:00"]
    assert shown(previous_due("45 2 * * *", PARIS, at("2026-10-25T02:30:00+01:00"))) == (
        "2026-10-25T02:45:00+02:00"
    )


def test_what_is_due_every_hour_is_due_in_both() -> None:
    """A day in autumn has 25 hours, one in spring 23."""
    autumn = dues("0 * * * *", "2026-10-24T23:30:00+02:00", 25)
    assert (autumn[0], autumn[-1]) == ("2026-10-25T00:00:00+02:00", "2026-10-25T23:00:00+01:00")
    spring = dues("0 * * * *", "2026-03-28T23:30:00+01:00", 23)
    assert (spring[0], spring[-1]) == ("2026-03-29T00:00:00+01:00", "2026-03-29T23:00:00+02:00")


SCHEDULES = ["30 2 * * *", "*/20 1-3 * * *", "0 7 * * 1", "15 2 25 * *", "0 0 L * *", "5 */2 * * *"]


@given(
    schedule=st.sampled_from(SCHEDULES),
    zone=st.sampled_from(["Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "UTC"]),
    moment=st.integers(1_767_225_600, 1_830_297_600),
    rest=st.integers(0, 999_999),
)
def test_before_and_after_fit_together(schedule: str, zone: str, moment: int, rest: int) -> None:
    """No due time lies between the last before a moment and the first after it."""
    place, now = ZoneInfo(zone), moment * MICROSECONDS + rest
    before, after = previous_due(schedule, place, now), next_due(schedule, place, now)
    assert before is not None
    assert after is not None
    assert before <= now < after
    assert next_due(schedule, place, before) == after
    assert previous_due(schedule, place, after) == after
    assert previous_due(schedule, place, after - 1) == before


def test_a_report_is_about_the_time_since_the_one_before() -> None:
    """Whatever was missed meanwhile; the first is about the time since it would have been due."""
    due = at("2026-03-30T07:00:00+02:00")
    first = period_of(Period.PREVIOUS, "0 7 * * *", PARIS, due, None)
    assert list(map(shown, first)) == ["2026-03-29T07:00:00+02:00", "2026-03-30T07:00:00+02:00"]
    missed = period_of(Period.PREVIOUS, "0 7 * * *", PARIS, due, at("2026-03-27T07:00:00+01:00"))
    assert shown(missed[0]) == "2026-03-27T07:00:00+01:00"
    old = period_of(Period.PREVIOUS, "0 7 * * *", PARIS, due, at("2020-01-01T00:00:00+00:00"))
    assert old == (due - 366 * DAY, due)


@pytest.mark.parametrize(
    ("period", "since", "until"),
    [
        (Period.DAY, "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        (Period.WEEK, "2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        (Period.MONTH, "2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+01:00"),
    ],
)
def test_days_weeks_and_months_are_whole(period: Period, since: str, until: str) -> None:
    """From midnight to midnight, which is 23 hours on the day of the change."""
    due = at("2026-03-30T07:00:00+02:00")
    found = period_of(period, "0 7 * * *", PARIS, due, due - DAY)
    assert tuple(map(shown, found)) == (since, until)


def test_a_preview_is_about_as_long_a_time_as_usual() -> None:
    """Until now."""
    now = at("2026-05-06T12:00:00+02:00")
    assert usual_period(Period.PREVIOUS, "0 7 * * 1", PARIS, now) == (now - 7 * DAY, now)
    day = usual_period(Period.DAY, "0 7 * * 1", PARIS, now)
    assert shown(day[1]) == "2026-05-06T00:00:00+02:00"


@pytest.mark.parametrize(
    "bad",
    ["", "0 7 * *", "0 7 * * * *", "61 * * * *", "x", "0 0 30 2 *", "0 7 * * MON#9", "* " * 99],
)
def test_what_is_no_schedule_is_refused(bad: str) -> None:
    """Nor one of a day that never comes."""
    with pytest.raises(ValueError, match="schedule"):
        check_schedule(bad)
