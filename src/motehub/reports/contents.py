"""What a report says, as plain values: the same for mails, pages, text and PDF.

Times are UTC microseconds, durations seconds.
"""

from __future__ import annotations

import msgspec

from motehub.model import Kind


class Limit(msgspec.Struct, frozen=True):
    """A limit of which is told how long readings were ``above`` or below it, and whose it is."""

    value: float
    above: bool
    rule: str = ""

    def is_beyond(self, value: float) -> bool:
        """Tell whether a reading is beyond it."""
        return value > self.value if self.above else value < self.value


class Beyond(msgspec.Struct, frozen=True):
    """How long readings were beyond a limit, and what ``share`` of the time known that is."""

    limit: Limit
    seconds: float
    share: float


class StatePart(msgspec.Struct, frozen=True):
    """How long a series of texts said this, and what ``share`` of the time known that is."""

    name: str
    seconds: float
    share: float


class SeriesPart(msgspec.Struct, frozen=True):
    """What is told of one series; of texts, and where nothing came, there are no numbers.

    A gap is a time without readings that is longer than ``longest_step`` seconds. Of texts there
    are the ``states`` that lasted longest, and how often they changed.
    """

    metric: str
    unit: str
    kind: Kind
    count: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    last: float | str | None = None
    beyond: tuple[Beyond, ...] = ()
    gaps: int = 0
    longest_gap: float = 0.0
    longest_step: float = 0.0
    states: tuple[StatePart, ...] = ()
    changes: int = 0


class DevicePart(msgspec.Struct, frozen=True):
    """What is told of a device; ``availability`` is the share of expected readings that came.

    It and how many are ``missing`` are None where nothing is expected.
    """

    name: str
    series: tuple[SeriesPart, ...]
    availability: float | None = None
    missing: int | None = None


class AlertPart(msgspec.Struct, frozen=True):
    """An alert in the time of the report; ``ended`` is None where it is not over."""

    device: str
    text: str
    severity: str
    began: int
    ended: int | None


class Line(msgspec.Struct, frozen=True):
    """A line of a chart: means, and the lowest and highest around each; ``starts`` in µs."""

    label: str
    starts: list[int]
    low: list[float]
    high: list[float]
    mean: list[float]
    width: int


class Chart(msgspec.Struct, frozen=True):
    """A chart of one metric, with the limits that were looked at."""

    metric: str
    unit: str
    lines: tuple[Line, ...]
    limits: tuple[float, ...] = ()
    left_out: int = 0


class Contents(msgspec.Struct, frozen=True):
    """All of a report. ``remarks`` are sentences about what it does not have."""

    name: str
    hub: str
    since: int
    until: int
    zone: str
    devices: tuple[DevicePart, ...]
    alerts: tuple[AlertPart, ...] = ()
    alert_count: int = 0
    charts: tuple[Chart, ...] = ()
    remarks: tuple[str, ...] = ()
