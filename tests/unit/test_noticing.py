"""What of the hub itself its owner is told."""

from __future__ import annotations

from typing import Any

import pytest

from motehub.alerts.rule import Severity
from motehub.core.journal import JournalHealth, JournalLimits
from motehub.noticing import Sight, notices

LIMITS = JournalLimits(1_000, 3_600)
CLOCK = {
    "clock": "2031-05-01T00:00:00Z",
    "believed": "2026-05-01T00:00:00Z",
    "hours": 24,
    "since": "2026-04-30T23:00:00Z",
}


def sight(
    retention: dict[str, Any] | None = None,
    size: int = 0,
    waits: float = 0,
    trouble: str | None = None,
    consumed: int = 5,
) -> Sight:
    journal = JournalHealth(10, consumed, size, 10, None)
    return Sight(retention or {}, journal, LIMITS, waits, trouble)


def test_nothing_is_said_when_all_is_well() -> None:
    """Nor of a budget that is not used up, or while it is still being seen to."""
    assert not list(notices(sight({"used": 1, "budget": 9, "clock": None, "trouble": None}, 500)))
    assert not list(notices(sight({"budget_cut": "2026-05-01T00:00:00Z"})))


def test_what_the_budget_took_is_told_once_it_is_done() -> None:
    """With the time, which tells one such time from the next."""
    (one,) = notices(sight({"budget_cut": "2026-05-03", "budget_told": "2026-05-02"}))
    assert (one.kind, one.mark, one.severity) == ("budget", "2026-05-02", Severity.WARNING)
    assert "readings before 2026-05-02 were deleted" in one.text
    (one,) = notices(sight({"budget_told": "2026-05-02", "archive": {}}))
    assert "were moved to the archive" in one.text


def test_a_budget_that_can_not_be_kept_is_worse() -> None:
    """It says what the writer says, as long as it is so."""
    (one,) = notices(sight({"budget_told": "2026-05-02", "trouble": "Too much."}))
    assert (one.text, one.mark, one.severity) == ("Too much.", "", Severity.CRITICAL)


@pytest.mark.parametrize("back", [False, True])
def test_a_clock_that_is_doubted_is_told_with_what_to_do(back: bool) -> None:
    """Once for each doubt, however the hours go down."""
    clock = dict(CLOCK)
    if back:
        clock["clock"], clock["believed"] = clock["believed"], clock["clock"]
    (one,) = notices(sight({"clock": clock}))
    assert one.mark == CLOCK["since"]
    assert str(CLOCK["clock"]) in one.text
    assert ("set back" in one.text) == back
    assert ("confirm-clock" in one.text) != back


def test_a_journal_that_is_nearly_full_is_told() -> None:
    """By its size or by how long something has waited, if anything waits for the history."""
    assert not list(notices(sight(size=749, waits=2_600)))
    assert not list(notices(sight(size=999, waits=9_000, consumed=10)))
    assert not list(notices(sight(size=999, waits=29)))
    for full in (sight(size=750, waits=30), sight(waits=2_700, trouble="PostgreSQL is away.")):
        (one,) = notices(full)
        assert "75% full" in one.text
        assert ("PostgreSQL is away." in one.text) == (full.trouble is not None)
