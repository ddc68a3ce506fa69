"""The condition of a hub, in numbers."""

from __future__ import annotations

from pathlib import Path

from motehub.health import Growth, HistorySize

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


def test_a_history_on_a_server_is_as_large_as_its_writer_says(tmp_path: Path) -> None:
    """It grows as the reports do, though nobody looks in between."""
    now = 0.0
    size = HistorySize(tmp_path, "postgresql://db.example/motehub", lambda: now)
    assert size.sizes_and_growth()[0]["history"] is None
    size.hear({})
    assert size.sizes_and_growth()[1] is None
    for hour in range(49):
        now = hour * 3_600.0
        size.hear({"used": 10_000 + hour * 100})
    sizes, growth = size.sizes_and_growth()
    assert sizes["history"] == 14_800
    assert growth == 2_400
    size.hear({"used": 14_800, "trouble": None})
    size.hear({})
    assert size.sizes_and_growth()[0]["history"] == 14_800


def test_a_history_in_a_file_is_as_large_as_that(tmp_path: Path) -> None:
    """Whatever the writer says of the pages that it uses."""
    file = tmp_path / "motehub.db"
    file.write_bytes(bytes(5_000))
    size = HistorySize(tmp_path, str(file))
    size.hear({"used": 3})
    assert size.sizes_and_growth()[0]["history"] == 5_000
