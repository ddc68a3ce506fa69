"""The condition of a hub, in numbers."""

from __future__ import annotations

from motehub.health import Growth

DAY = 86_400


def test_growth_is_that_of_the_last_day() -> None:
    """Before ten minutes nobody knows; what is longer ago than a day does not count."""
    now = 0.0
    growth = Growth(lambda: now)
    assert growth.per_day(1000) is None
    now = 300.0
    assert growth.per_day(5000) is None
    now = DAY / 4
    assert growth.per_day(2000) == 4000
    for _ in range(1000):
        now += 600
        growth.per_day(2000)
    assert growth.per_day(2000) == 0
    # Nobody has looked for days.
    now += 4 * DAY
    assert growth.per_day(2400) == 100
    assert growth.per_day(None) is None
