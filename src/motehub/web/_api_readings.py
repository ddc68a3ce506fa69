"""Routes of readings, events, rejected payloads and the hub's own condition."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from litestar import get
from litestar.params import QueryParameter
from litestar.types import ASGIApp

from motehub.core.moments import parse_moment
from motehub.core.queries import (
    MOST_READINGS,
    MOST_ROWS,
    Events,
    Readings,
    RejectedPayloads,
)
from motehub.core.shapes import EventShape, ReadingsShape, RejectedShape
from motehub.errors import OwnerError
from motehub.model import MICROSECONDS, Scope
from motehub.web._api_access import (
    ApiRequest,
    check_bound_to_none,
    check_may_read,
    needs,
    services_of,
    visible,
)
from motehub.web._api_answers import Answering
from motehub.web._api_document import BAD, NAMED, READING, answers, problems

MOST_POINTS: Final = 10_000
"""Most buckets of a series."""

_MOST_METRICS: Final = 100
_NAME_LENGTH: Final = 200

_Device = Annotated[str, QueryParameter(description="Name of the device.", max_length=_NAME_LENGTH)]
_Limit = Annotated[int, QueryParameter(description="Most rows, newest first.", ge=1, le=MOST_ROWS)]


@get(
    "/readings",
    guards=[needs(Scope.READ)],
    responses=answers(ReadingsShape, "Readings of the device.", NAMED | BAD),
    summary="Read readings",
)
async def list_readings(
    request: ApiRequest,
    device: _Device,
    metric: Annotated[
        list[Annotated[str, QueryParameter(max_length=_NAME_LENGTH)]] | None,
        QueryParameter(
            description="A metric, once or more often; without it all of the device.",
            max_items=_MOST_METRICS,
        ),
    ] = None,
    since: Annotated[
        str,
        QueryParameter(
            name="from",
            description="Earliest time: ISO 8601 with a zone, or a time ago, as -24h.",
            max_length=64,
        ),
    ] = "-24h",
    until: Annotated[
        str | None,
        QueryParameter(
            name="to",
            description="Time before which readings are, like from; without it all until now.",
            max_length=64,
        ),
    ] = None,
    points: Annotated[
        int | None,
        QueryParameter(
            description="Reduce numbers to so many buckets of time for each series at most.",
            ge=1,
            le=MOST_POINTS,
        ),
    ] = None,
    limit: Annotated[
        int,
        QueryParameter(
            description="Most readings without points, the oldest first; next tells of more.",
            ge=1,
            le=MOST_READINGS,
        ),
    ] = 10_000,
    states: Annotated[
        bool,
        QueryParameter(description="With points: also texts, and numbers that are only 0 and 1."),
    ] = False,
    shape: Annotated[
        Literal["json", "csv"], QueryParameter(name="format", description="Form of the answer.")
    ] = "json",
) -> ASGIApp:
    """Return readings of a device, whole or reduced."""
    check_may_read(request.auth, device)
    services = services_of(request.app)
    services.hub.registry.by_name(device)
    start, end = time_asked(services.clock(), since, until)
    metrics = tuple(dict.fromkeys(metric or ()))
    question = Readings(
        device, metrics, start, end, limit, points, shape == "csv", states, services.clock()
    )
    return Answering(services.queries, question)


def time_asked(now: int, since: str, until: str | None) -> tuple[int, int]:
    """Return what ``from`` and ``to`` mean at ``now``, all in µs.

    Raises:
        OwnerError: they can't be understood, or nothing is between them.
    """
    # Readings that the hub stamped in one burst are some microseconds ahead; and buckets of whole
    # seconds are nicer to look at.
    now = -(-now // MICROSECONDS) * MICROSECONDS + MICROSECONDS
    end = parse_moment(until, now) if until is not None else now
    start = parse_moment(since, now)
    if start > end:
        raise OwnerError("from is later than to.")
    return start, end


@get(
    "/events",
    guards=[needs(Scope.READ)],
    responses=answers(list[EventShape], "Events, newest first.", NAMED),
    summary="List events",
)
async def list_events(
    request: ApiRequest,
    device: Annotated[
        str | None,
        QueryParameter(description="Only those of this device.", max_length=_NAME_LENGTH),
    ] = None,
    limit: _Limit = 100,
) -> ASGIApp:
    """Return what happened to devices, newest first."""
    services = services_of(request.app)
    names = visible(request.auth)
    if device is not None:
        check_may_read(request.auth, device)
        services.hub.registry.by_name(device)
        names = (device,)
    return Answering(services.queries, Events(limit, names))


@get(
    "/rejected",
    guards=[needs(Scope.READ)],
    responses=answers(list[RejectedShape], "Rejected payloads, newest first.", NAMED),
    summary="List rejected payloads",
)
async def list_rejected(
    request: ApiRequest,
    device: Annotated[
        str | None,
        QueryParameter(description="Only those of this device.", max_length=_NAME_LENGTH),
    ] = None,
    limit: _Limit = 100,
) -> ASGIApp:
    """Return what could not be accepted, with the reason, newest first."""
    names = visible(request.auth)
    if device is not None:
        check_may_read(request.auth, device)
        services_of(request.app).hub.registry.by_name(device)
        names = (device,)
    return Answering(services_of(request.app).queries, RejectedPayloads(limit, names))


@get(
    "/health",
    guards=[needs(Scope.READ)],
    responses=problems(READING),
    summary="Show the condition of the hub",
)
async def show_health(request: ApiRequest) -> dict[str, Any]:
    """Return the condition of every part of the hub; some of it only to administrators."""
    check_bound_to_none(request.auth)
    health = services_of(request.app).health()
    if not request.auth.allows(Scope.ADMIN):
        # The log may tell who failed to get in, and from where; servers whom they refuse.
        health.pop("troubles", None)
        for consumer in health.get("consumers", {}).values():
            consumer.pop("undelivered", None)
    return health
