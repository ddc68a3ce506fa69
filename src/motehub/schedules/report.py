"""Reports: what is told of which devices, to whom, and when."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from fnmatch import fnmatchcase
from math import inf, isfinite
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from motehub.errors import InvalidReport, OwnerError
from motehub.languages import LANGUAGES
from motehub.mail_addresses import is_address
from motehub.schedules.times import check_schedule
from motehub.zones import find_zone

NAME_CHARACTERS: Final = 64
"""Longest name of a report."""

MOST_RECIPIENTS: Final = 100
"""To how many people a report goes at most."""

_MOST_PATTERNS: Final = 100
_PATTERN_CHARACTERS: Final = 200


class Period(enum.Enum):
    """What time a report is about."""

    PREVIOUS = "previous"
    """Since it was due before."""
    DAY = "day"
    """The day before."""
    WEEK = "week"
    """The week before, from Monday to Sunday."""
    MONTH = "month"
    """The month before."""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section ``[[report]]``."""

    name: Annotated[str, Meta(description="What you call the report; each has another name.")]
    schedule: Annotated[
        str,
        Meta(
            description='When it is sent, in five fields of cron: "0 7 * * 1" = Mondays at 7:00 '
            "(minute, hour, day of the month, month, day of the week)."
        ),
    ]
    time_zone: Annotated[
        str, Meta(description='Zone of the schedule, "Europe/Paris"; "" = that of [hub].')
    ] = ""
    language: Annotated[
        str, Meta(description='Language that it is written in: en, fr; "" = that of [hub].')
    ] = ""
    recipients: Annotated[
        list[str], Meta(description="To whom it is sent, each in a mail of one's own.")
    ] = []
    devices: Annotated[
        list[str],
        Meta(description='Names of the devices that it is about, "*" = any characters; [] = all.'),
    ] = []
    labels: Annotated[
        list[str], Meta(description="Only devices that have one of these labels; [] = any.")
    ] = []
    metrics: Annotated[
        list[str],
        Meta(description='Metrics that it is about, "*" = any characters; [] = all.'),
    ] = []
    period: Annotated[
        Period,
        Meta(
            description="What time it is about: previous (since it was due before), or the whole "
            "day, week (from Monday) or month before."
        ),
    ] = Period.PREVIOUS
    above: Annotated[
        float,
        Meta(
            description="How long readings were greater is told; only with one metric. inf = the "
            "limits of your rules."
        ),
    ] = inf
    below: Annotated[
        float, Meta(description="The same for less; -inf = the limits of your rules.")
    ] = -inf
    charts: Annotated[bool, Meta(description="Whether there are charts in it.")] = True
    csv: Annotated[bool, Meta(description="Whether readings are attached as a CSV file.")] = False
    enabled: Annotated[bool, Meta(description="Whether it is sent.")] = True

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: something can't be.
        """
        if not self.name.isprintable() or not 0 < len(self.name.strip()) <= NAME_CHARACTERS:
            raise ValueError(f"name must have 1 to {NAME_CHARACTERS} characters that can be seen")
        if self.name != self.name.strip() or "/" in self.name:
            raise ValueError("name must not have a slash, nor begin or end with a space")
        check_schedule(self.schedule)
        try:
            find_zone(self.time_zone or "UTC")
        except OwnerError as error:
            raise ValueError(f"time_zone: {str(error).rstrip('.')}") from error
        if self.language and self.language not in LANGUAGES:
            raise ValueError(f"language {self.language[:20]!r}: known are {', '.join(LANGUAGES)}")
        for key in ("devices", "labels", "metrics"):
            patterns: list[str] = getattr(self, key)
            long = any(len(one) > _PATTERN_CHARACTERS or not one for one in patterns)
            if long or len(patterns) > _MOST_PATTERNS:
                raise ValueError(f"{key} has too many names, or one that is empty or too long")
        if len(self.recipients) > MOST_RECIPIENTS:
            raise ValueError(f"recipients are more than {MOST_RECIPIENTS}")
        for one in self.recipients:
            if not is_address(one):
                raise ValueError(f"recipients: {one[:80]!r} is no mail address")
        if len(set(self.recipients)) < len(self.recipients):
            raise ValueError("recipients has somebody twice")
        _check_limits(self)

    @property
    def has_limits(self) -> bool:
        """Whether it has limits of its own."""
        return isfinite(self.above) or isfinite(self.below)

    def is_about(self, device: str, labels: tuple[str, ...]) -> bool:
        """Tell whether a device with these labels is in it."""
        if self.labels and not set(self.labels) & set(labels):
            return False
        return not self.devices or any(fnmatchcase(device, one) for one in self.devices)

    def has_metric(self, metric: str) -> bool:
        """Tell whether a metric of such a device is in it."""
        return not self.metrics or any(fnmatchcase(metric, one) for one in self.metrics)


def report_of(fields: Mapping[str, Any], base: Report | None = None) -> Report:
    """Return the report that ``fields`` describe, or ``base`` with these changed.

    None for a limit means that there is none.

    Raises:
        InvalidReport: something of it can't be.
    """
    told = {} if base is None else to_fields(base)
    told |= fields
    told = {key: value for key, value in told.items() if value is not None}
    try:
        return msgspec.convert(told, Report)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise InvalidReport(f"{path.rstrip('`')}: {reason}." if path else f"{reason}.") from error


def to_fields(report: Report) -> dict[str, Any]:
    """Return a report field by field, as JSON can hold it: no limit is None."""
    fields: dict[str, Any] = msgspec.to_builtins(report)
    for key in ("above", "below"):
        if not isfinite(fields[key]):
            fields[key] = None
    return fields


def encode(report: Report) -> bytes:
    """Return a report as it is kept."""
    return msgspec.json.encode(to_fields(report))


def decode(data: bytes) -> Report:
    """Return the report in ``data``, which ``encode`` has made."""
    return report_of(msgspec.json.decode(data))


def _check_limits(report: Report) -> None:
    if report.above != report.above or report.below != report.below:
        raise ValueError("limits must be numbers")
    if report.has_limits and len(report.metrics) != 1:
        raise ValueError("above and below go with one metric: what would they be limits of?")
    if isfinite(report.above) and isfinite(report.below) and report.below > report.above:
        raise ValueError("below must not be greater than above: nothing would be right")
