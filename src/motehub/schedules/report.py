"""Reports: what is told of which devices, to whom, and when."""

from __future__ import annotations

import enum
from math import inf, isfinite
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.definitions import Form, check_name, check_patterns, fits
from motehub.errors import InvalidReport, OwnerError
from motehub.languages import check_language
from motehub.mail_addresses import is_address
from motehub.schedules.times import check_schedule
from motehub.zones import find_zone

MOST_RECIPIENTS: Final = 100
"""To how many people a report goes at most."""


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
        check_name(self.name)
        check_schedule(self.schedule)
        try:
            find_zone(self.time_zone or "UTC")
        except OwnerError as error:
            raise ValueError(f"time_zone: {str(error).rstrip('.')}") from error
        check_language(self.language)
        check_patterns(devices=self.devices, labels=self.labels, metrics=self.metrics)
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
        return fits(device, self.devices)

    def has_metric(self, metric: str) -> bool:
        """Tell whether a metric of such a device is in it."""
        return fits(metric, self.metrics)


def _check_limits(report: Report) -> None:
    if report.above != report.above or report.below != report.below:
        raise ValueError("limits must be numbers")
    if report.has_limits and len(report.metrics) != 1:
        raise ValueError("above and below go with one metric: what would they be limits of?")
    if isfinite(report.above) and isfinite(report.below) and report.below > report.above:
        raise ValueError("below must not be greater than above: nothing would be right")


_FORM: Final = Form(Report, InvalidReport, ("above", "below"))
report_of: Final = _FORM.read
to_fields: Final = _FORM.fields
encode: Final = _FORM.encode
decode: Final = _FORM.decode
