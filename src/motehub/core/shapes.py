"""What the API answers, field by field; the OpenAPI document is made from it too.

Times as text are ISO 8601 in UTC. The columns ``times`` are seconds since 1970, to the
microsecond: what browsers draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from motehub.command import Command, CommandState
from motehub.core.calibrations import Calibration
from motehub.core.moments import iso
from motehub.core.profiles import NOTHING
from motehub.core.queries import Said
from motehub.history_contract import DeviceRow, EventRow, RejectedRow
from motehub.model import Admission, Device, Kind, Series

_SHOWN_BYTES = 200


class DeviceShape(msgspec.Struct, frozen=True):
    """A device with its counts.

    ``received = stored + duplicate + rejected + discarded + waiting``. ``online`` is null for a
    device that does not say when it comes and goes. ``discarded`` belonged to a session that was
    over. ``interval`` is in how many seconds the owner expects something, ``units`` are the metrics
    whose unit the owner has given, ``lamp`` tells whether it may be told a colour. ``identities``
    are how the hub knows the device, for scope admin.
    """

    name: str
    admission: Admission
    dialect: str
    first_seen: str
    last_seen: str
    online: bool | None
    received: int
    stored: int
    duplicate: int
    rejected: int
    discarded: int
    waiting: int
    labels: tuple[str, ...]
    interval: float | None
    units: tuple[str, ...]
    lamp: bool
    identities: tuple[str, ...]


class LatestShape(msgspec.Struct, frozen=True):
    """A metric of a device with its newest reading, where there is one."""

    metric: str
    unit: str
    kind: Kind
    latest_time: str | None
    latest: float | str | None


class OverviewShape(DeviceShape, frozen=True):
    """A device with its counts and all that it measures."""

    series: list[LatestShape]


class SeriesShape(msgspec.Struct, frozen=True):
    """A metric of a device with its newest reading, where there is one.

    That of a device that waits for approval is not in the history yet. ``calibration`` says what
    is made of the numbers that come.
    """

    metric: str
    unit: str
    kind: Kind
    latest_time: str | None
    latest: float | str | None
    calibration: Calibration


class RawColumns(msgspec.Struct, frozen=True, tag_field="form", tag="raw"):
    """Readings of one metric, oldest first: ``values`` are numbers, or texts for kind text."""

    metric: str
    unit: str
    kind: Kind
    times: list[float]
    values: list[float | str]


class ReducedColumns(msgspec.Struct, frozen=True, tag_field="form", tag="reduced"):
    """Readings of one metric in buckets of ``width`` seconds, by the start of each.

    Buckets without readings are left out.
    """

    metric: str
    unit: str
    kind: Kind
    width: float
    times: list[float]
    min: list[float]
    max: list[float]
    mean: list[float]
    last: list[float]
    count: list[int]


class StateColumns(msgspec.Struct, frozen=True, tag_field="form", tag="states"):
    """States of one metric in buckets of ``width`` seconds, by the start of each.

    In ``seconds`` there is a column for each of ``states``: how long it lasted in each bucket,
    until the next reading said otherwise. The states that lasted longest are named; how long all
    others did together is in ``other``. ``count`` is of readings, ``changes`` of those whose state
    is another than that before. Buckets before the first state are left out.
    """

    metric: str
    unit: str
    kind: Kind
    width: float
    times: list[float]
    count: list[int]
    changes: list[int]
    states: list[str]
    seconds: list[list[float]]
    other: list[float]


class ReadingsShape(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """Readings of a device from ``from`` on and before ``to``.

    ``complete`` is false when the history had not everything yet that the hub had acknowledged.
    ``next`` is the ``from`` with which to ask for the rest, when there is more than ``limit``.
    """

    device: str
    since: str
    until: str
    complete: bool
    next: str | None
    series: list[RawColumns | ReducedColumns | StateColumns]


class EventShape(msgspec.Struct, frozen=True):
    """Something that happened to a device."""

    time: str
    device: str
    kind: str
    text: str


class RejectedShape(msgspec.Struct, frozen=True):
    """A payload that was not accepted, and why; ``count`` readings or records went with it."""

    time: str
    device: str | None
    source: str
    count: int
    reason: str
    payload: str


class CommandShape(msgspec.Struct, frozen=True):
    """A command to a device as of ``changed``; ``reason`` says why it failed or expired.

    ``over`` is true when it stays as it is.
    """

    id: str
    device: str
    state: CommandState
    over: bool
    name: str | None
    value: bool | float | str | None
    payload: str | None
    created: str
    changed: str
    deadline: str
    reason: str


def show_device(row: DeviceRow, said: Said) -> DeviceShape:
    """Return a device as the API shows it, with what the history does not know of it."""
    profile = said.profiles.get(row.device.id, NOTHING)
    return DeviceShape(
        name=row.device.name,
        admission=row.device.admission,
        dialect=row.device.dialect,
        first_seen=iso(row.device.first_seen),
        last_seen=iso(row.last_seen),
        online=row.device.online,
        received=row.received,
        stored=row.stored,
        duplicate=row.duplicate,
        rejected=row.rejected,
        discarded=row.discarded,
        waiting=row.device.held,
        labels=profile.labels,
        interval=profile.interval,
        units=profile.units,
        lamp=row.device.id in said.lamps,
        identities=row.device.identities if said.identities else (),
    )


def show_overview(
    row: DeviceRow,
    said: Said,
    all_series: Iterable[Series],
    latest: Mapping[int, tuple[int, float | str]],
) -> OverviewShape:
    """Return a device with its series; ``latest`` has time (µs) and value by the series' ids."""
    shown = [
        LatestShape(one.metric, one.unit, one.kind, *_newest(latest.get(one.id)))
        for one in all_series
    ]
    return OverviewShape(**msgspec.structs.asdict(show_device(row, said)), series=shown)


def show_series(
    series: Series, latest: tuple[int, float | str] | None, calibration: Calibration
) -> SeriesShape:
    """Return a series as the API shows it; ``latest`` is time (µs) and value."""
    newest = _newest(latest)
    return SeriesShape(series.metric, series.unit, series.kind, *newest, calibration)


def _newest(latest: tuple[int, float | str] | None) -> tuple[str | None, float | str | None]:
    return (iso(latest[0]), latest[1]) if latest is not None else (None, None)


def show_event(row: EventRow) -> EventShape:
    """Return an event as the API shows it."""
    return EventShape(iso(row.time), row.device, row.kind, row.text)


def show_rejected(row: RejectedRow) -> RejectedShape:
    """Return a rejected payload as the API shows it: what is no UTF-8 with backslashes."""
    payload = row.payload[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return RejectedShape(iso(row.time), row.device, row.source, row.count, row.reason, payload)


def show_command(command: Command, device: Device) -> CommandShape:
    """Return a command to ``device`` as the API shows it."""
    return CommandShape(
        id=command.id,
        device=device.name,
        state=command.state,
        over=command.is_over,
        name=command.order.name,
        value=command.order.value,
        payload=command.order.payload,
        created=iso(command.created),
        changed=iso(command.changed),
        deadline=iso(command.deadline),
        reason=command.reason,
    )
