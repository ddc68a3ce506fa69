"""Times as text."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.core.moments import iso, parse_moment
from motehub.errors import OwnerError

NOW = 1_700_000_000_000_000
FIRST = round(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 10**6
LAST = 253_402_300_799_999_999


@given(st.integers(FIRST, LAST))
def test_a_time_is_the_same_when_it_is_read_back(moment: int) -> None:
    """Every microsecond that a calendar has comes back from its text."""
    assert parse_moment(iso(moment), NOW) == moment


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_stored_time_can_be_shown(moment: int) -> None:
    """A time that no calendar has is shown as the first or the last that it has."""
    assert FIRST <= parse_moment(iso(moment), NOW) <= LAST


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("-24h", -86_400),
        ("-1.5m", -90),
        ("2023-11-14T22:13:20Z", 0),
        ("2023-11-15T00:13:20+02:00", 0),
        ("2023-11-15T00:13:20 02:00", 0),
        ("2023-11-14 22:13:20.5 00:00", 0.5),
    ],
)
def test_forms_of_a_time(text: str, seconds: float) -> None:
    """ISO 8601 in any zone, a plus that became a space in a query, and a time ago."""
    assert parse_moment(text, NOW) == NOW + round(seconds * 10**6)


@given(st.text(max_size=100))
def test_only_documented_errors(text: str) -> None:
    """Whatever else is written is refused with a sentence, and nothing else happens."""
    with suppress(OwnerError):
        assert isinstance(parse_moment(text, NOW), int)
