"""The route that writes readings of several devices into one file, however many they are."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.types import ASGIApp

from motehub.core.queries import MOST_READINGS, Readings
from motehub.core.registry import Registry
from motehub.errors import OwnerError, UnknownDevice
from motehub.model import Kind, Scope
from motehub.web._api_access import ApiRequest, check_may_read, needs, services_of
from motehub.web._api_answers import Exporting
from motehub.web._api_document import NAMED, READING, problems
from motehub.web._api_readings import MOST_POINTS, time_asked

MOST_SERIES: Final = 50
"""Most series in one file."""


@get(
    "/export",
    guards=[needs(Scope.READ)],
    responses={
        200: ResponseSpec(
            str,
            generate_examples=False,
            media_type="text/csv",
            description="time,device,metric,value,unit, device by device in order of time; with "
            "points time,device,metric,min,max,mean,last,count,unit, series by series; of texts "
            "time,device,metric,state,seconds,changes,count.",
        ),
        **problems({**READING, **NAMED, 503: "The history can't be read at the moment."}),
    },
    summary="Export readings of several devices",
)
async def export_readings(
    request: ApiRequest,
    series: Annotated[
        list[Annotated[str, QueryParameter(max_length=400)]],
        QueryParameter(
            description="A device and one of its metrics, as greenhouse/temperature; repeat it.",
            min_items=1,
            max_items=MOST_SERIES,
        ),
    ],
    since: Annotated[
        str, QueryParameter(name="from", description="As for readings.", max_length=64)
    ] = "-24h",
    until: Annotated[
        str | None, QueryParameter(name="to", description="As for readings.", max_length=64)
    ] = None,
    points: Annotated[
        int | None,
        QueryParameter(description="Reduce them, as for readings.", ge=1, le=MOST_POINTS),
    ] = None,
) -> ASGIApp:
    """Return all readings of these series in that time as CSV, without a limit."""
    services = services_of(request.app)
    start, end = time_asked(services.clock(), since, until)
    questions = []
    kinds: set[Kind] = set()
    for device, metrics in _by_device(series).items():
        check_may_read(request.auth, device)
        # A mistake that is found later would cut the file off.
        kinds |= {_kind_of(services.hub.registry, device, metric) for metric in metrics}
        questions.append(
            Readings(
                device, metrics, start, end, MOST_READINGS, points, csv=True, now=services.clock()
            )
        )
    if points is not None and len(kinds) > 1:
        raise OwnerError("Numbers and texts have other columns with points: ask for them apart.")
    return Exporting(services.queries, questions)


def _kind_of(registry: Registry, device: str, metric: str) -> Kind:
    number = registry.by_name(device).id
    for kind in (Kind.GAUGE, Kind.TEXT):
        if registry.find_series(number, metric, kind) is not None:
            return kind
    raise UnknownDevice(f"{device} has no metric {metric[:64]!r}.")


def _by_device(series: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the metrics of each device.

    Raises:
        OwnerError: a text does not name both.
    """
    found: dict[str, dict[str, None]] = {}
    for one in series:
        # The name of a device has no slash.
        device, slash, metric = one.partition("/")
        if not slash or not device or not metric:
            raise OwnerError(f"{one[:64]!r} does not name a series: greenhouse/temperature does.")
        found.setdefault(device, {})[metric] = None
    return {device: tuple(metrics) for device, metrics in found.items()}
