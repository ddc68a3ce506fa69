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
    """How long a series was in a state, and what ``share`` of the time known that is.

    ``name`` is None for all states together that are not named.
    """

    name: str | None
    seconds: float
    share: float


class SeriesPart(msgspec.Struct, frozen=True):
    """What is told of one series; of states, and where nothing came, there are no numbers.

    A gap is a time without readings that is longer than ``longest_step`` seconds. Of texts, and
    of numbers that are only 0 and 1, there are the ``states`` that lasted longest, and how often
    they changed. ``told`` is since when (µs) times beyond limits and gaps are known, 0 for all of
    the time.
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
    told: int = 0


class DayPart(msgspec.Struct, frozen=True):
    """What ``share`` of the readings came that were expected on a day (its date in ISO 8601)."""

    date: str
    share: float


class DevicePart(msgspec.Struct, frozen=True):
    """What is told of a device; ``availability`` is the share of expected readings that came.

    It and how many are ``missing`` are None where nothing is expected. ``days`` are those of the
    report on which something was, none where the report is about no more than one. For
    ``hub_down`` seconds the hub itself was not there: nothing was expected then.
    """

    name: str
    series: tuple[SeriesPart, ...]
    availability: float | None = None
    missing: int | None = None
    days: tuple[DayPart, ...] = ()
    hub_down: float = 0.0


class AlertPart(msgspec.Struct, frozen=True):
    """An alert in the time of the report; ``ended`` is None where it is not over.

    ``own`` tells whether ``text`` is what the owner of the rule wrote, in any language.
    """

    device: str
    text: str
    severity: str
    began: int
    ended: int | None
    own: bool = False


class Line(msgspec.Struct, frozen=True):
    """A line of a chart: means, and the lowest and highest around each; ``starts`` in µs."""

    label: str
    starts: list[int]
    low: list[float]
    high: list[float]
    mean: list[float]
    width: int


class Band(msgspec.Struct, frozen=True):
    """A band of a chart: of each piece of time which ``shares`` of it each state had.

    ``starts`` and ``ends`` are in µs; there is a column of ``shares`` for each state of the chart.
    ``are_numbers`` says that the states were sent as 0 and 1.
    """

    label: str
    starts: list[int]
    ends: list[int]
    shares: list[list[float]]
    are_numbers: bool = False


class Chart(msgspec.Struct, frozen=True):
    """A chart of one metric: lines, with the limits that were looked at, or bands of ``states``.

    The last state is None where it is all that have no colour of their own.
    """

    metric: str
    unit: str
    lines: tuple[Line, ...] = ()
    limits: tuple[float, ...] = ()
    left_out: int = 0
    bands: tuple[Band, ...] = ()
    states: tuple[str | None, ...] = ()


class Remark(msgspec.Struct, frozen=True):
    """Something that a report does not have, or has otherwise than one might think.

    ``what`` is the end of a message's key, ``time`` is in µs.
    """

    what: str
    count: int = 0
    time: int | None = None
    rows: str = ""


class Contents(msgspec.Struct, frozen=True):
    """All of a report. ``zone`` is the name of its time zone, "" where that has none."""

    name: str
    hub: str
    since: int
    until: int
    zone: str
    devices: tuple[DevicePart, ...]
    alerts: tuple[AlertPart, ...] = ()
    alert_count: int = 0
    charts: tuple[Chart, ...] = ()
    remarks: tuple[Remark, ...] = ()
