"""Readings become lines that look like all of them."""

from array import array
from math import inf, nan

import numpy as np

from motehub.reports.figure import Curve
from motehub.reports.lines import DAY, KEPT_PER_COLUMN, Line, clean, make_line

SECOND = 1_000_000
START = 1_746_119_310 * SECOND


def curve(seconds: list[float], values: list[float]) -> Curve:
    times = array("q", [START + round(second * SECOND) for second in seconds])
    return Curve("kitchen", "temperature", "°C", times, array("d", values))


def line_of(drawn: Curve, columns: int = 1000) -> Line:
    points = clean(drawn, None, None)
    return make_line(points, int(points.times[0]), int(points.times[-1]) + 1, columns)


def breaks(line: Line) -> int:
    return int(np.isnan(line.values).sum())


def test_a_steady_series_is_one_unbroken_line() -> None:
    """Readings at a steady pace are joined as they are, none added or left out."""
    line = line_of(curve([0, 2, 4, 6], [1, 2, 3, 4]))
    assert line.values.tolist() == [1, 2, 3, 4]
    assert len(line.dots) == 0


def test_a_gap_is_longer_than_five_median_steps() -> None:
    """At one reading a minute, 5 minutes of silence are joined and 5 minutes 1 second aren't."""
    steady = [60.0 * minute for minute in range(10)]
    joined = [*steady, steady[-1] + 300]
    broken = [*steady, steady[-1] + 301]
    assert breaks(line_of(curve(joined, [0.0] * 11))) == 0
    assert breaks(line_of(curve(broken, [0.0] * 11))) == 1


def test_a_gap_lasts_at_least_ten_seconds() -> None:
    """A device with ten readings a second may be late by 10 seconds without a break."""
    steady = [tenth / 10 for tenth in range(20)]
    assert breaks(line_of(curve([*steady, 11.9], [0.0] * 21))) == 0
    assert breaks(line_of(curve([*steady, 12.0], [0.0] * 21))) == 1


def test_the_break_lies_between_the_readings_beside_the_gap() -> None:
    """The NaN stands after the last reading before the silence, and times stay in order."""
    line = line_of(curve([0, 2, 4, 6, 1000, 1002, 1004], [1, 2, 3, 4, 5, 6, 7]), columns=100_000)
    assert line.values[:4].tolist() == [1, 2, 3, 4]
    assert np.isnan(line.values[4])
    assert line.values[5:].tolist() == [5, 6, 7]
    assert np.all(np.diff(line.days) >= 0)


def test_lone_readings_are_dots() -> None:
    """A reading with a gap on either side, and one alone, can be seen only as a dot."""
    line = line_of(curve([0, 2, 4, 500, 1000, 1002, 1004], [1, 2, 3, 9, 5, 6, 7]), columns=2000)
    assert line.values[line.dots].tolist() == [9]
    alone = line_of(curve([0], [5]))
    assert (alone.values.tolist(), alone.dots.tolist()) == ([5], [0])


def test_a_burst_narrower_than_a_pixel_is_a_dot() -> None:
    """A second of readings in a month would be a line too short to be seen."""
    month = 30 * 86_400.0
    burst = [0.0, 0.2, 0.4, 0.6, 0.8, month, month + 0.2, month + 0.4, month + 0.6]
    line = line_of(curve(burst, [1.0] * 5 + [2.0] * 4))
    assert line.values[line.dots].tolist() == [1, 2]


def test_a_spike_of_one_reading_in_two_million_survives() -> None:
    """Thinning keeps the highest and the lowest reading with its very time, and few others."""
    count, columns = 2_000_000, 1500
    values = np.random.default_rng(7).normal(20, 1, count)
    values[1_234_567], values[765_432] = 85.0, -40.0
    times = START + np.arange(count, dtype=np.int64) * SECOND
    drawn = Curve("k", "temperature", "°C", array("q", times.tobytes()), array("d", values))
    line = line_of(drawn, columns)
    assert line.values.max() == 85.0
    assert line.values.min() == -40.0
    assert line.days[line.values.argmax()] == times[1_234_567] / DAY
    assert len(line.values) <= KEPT_PER_COLUMN * columns + 1
    assert (line.values[0], line.values[-1]) == (values[0], values[-1])
    assert breaks(line) == 0


def test_thinning_keeps_the_extremes_of_every_column() -> None:
    """Column by column, a thinned line spans exactly what all its readings span."""
    count, columns = 50_000, 100
    values = np.random.default_rng(8).normal(0, 1, count)
    times = START + np.arange(count, dtype=np.int64) * SECOND
    drawn = Curve("k", "temperature", "°C", array("q", times.tobytes()), array("d", values))
    line = make_line(clean(drawn, None, None), START, START + count * SECOND, columns)
    kept = ((line.days * DAY - START) / (count / columns * SECOND) + 1e-6).astype(int)
    for column, whole in enumerate(values.reshape(columns, -1)):
        part = line.values[kept == column]
        assert (part.min(), part.max()) == (whole.min(), whole.max())


def test_a_gap_survives_thinning() -> None:
    """Silence of a tenth of the time is a break in a million readings too."""
    seconds = np.concatenate([np.arange(500_000), np.arange(600_000, 1_100_000)])
    times = (START + seconds * SECOND).astype(np.int64)
    drawn = Curve(
        "k", "temperature", "°C", array("q", times.tobytes()), array("d", np.sin(seconds / 9999))
    )
    line = line_of(drawn, 1500)
    assert breaks(line) == 1
    at = int(np.flatnonzero(np.isnan(line.values))[0])
    assert line.days[at - 1] == times[499_999] / DAY
    assert line.days[at + 1] == times[500_000] / DAY


def test_readings_out_of_order_are_sorted() -> None:
    """Late readings take their place in time."""
    assert line_of(curve([4, 0, 2], [3, 1, 2])).values.tolist() == [1, 2, 3]


def test_what_no_axis_can_show_is_left_out() -> None:
    """NaN, infinity, absurd magnitudes and times beyond the calendar are not drawn."""
    drawn = curve([0, 1, 2, 3, 4], [1, nan, inf, 1e307, 2])
    drawn.times.append(2**62)
    drawn.values.append(3)
    assert clean(drawn, None, None).values.tolist() == [1, 2]


def test_readings_outside_the_time_are_left_out() -> None:
    """Both ends count as inside."""
    drawn = curve([0, 1, 2, 3], [1, 2, 3, 4])
    assert clean(drawn, START + SECOND, START + 2 * SECOND).values.tolist() == [2, 3]


def test_equal_times_do_not_make_gaps() -> None:
    """Readings of one instant are no measure of the usual pace."""
    drawn = curve([0, 0, 0, 0, 0, 60, 120, 180], [1, 2, 3, 4, 5, 6, 7, 8])
    assert breaks(line_of(drawn)) == 0
