"""The route that tells how much of what a device should have sent is there."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import PathParameter, QueryParameter
from litestar.types import ASGIApp

from motehub.core.calibrations import spared_of
from motehub.core.days import days_of
from motehub.core.losses import QualityShape
from motehub.core.queries import Quality
from motehub.model import Scope
from motehub.web._api_access import ApiRequest, check_may_read, needs, services_of
from motehub.web._api_answers import Answering
from motehub.web._api_document import BAD, NAMED, answers
from motehub.web._api_readings import time_asked


@get(
    "/devices/{name:str}/quality",
    guards=[needs(Scope.READ)],
    responses=answers(QualityShape, "What is there and what is missing.", NAMED | BAD),
    summary="Tell what is missing of a device's readings",
)
async def show_quality(
    request: ApiRequest,
    name: Annotated[str, PathParameter(description="Name of the device.", max_length=200)],
    since: Annotated[
        str,
        QueryParameter(name="from", description="A time in the first day.", max_length=64),
    ] = "-6d",
    until: Annotated[
        str | None,
        QueryParameter(
            name="to", description="The end of the last day, or in it; now.", max_length=64
        ),
    ] = None,
) -> ASGIApp:
    """Return how many of the expected readings of a device are there, day by day."""
    check_may_read(request.auth, name)
    services = services_of(request.app)
    registry = services.hub.registry
    device = registry.by_name(name)
    now = services.clock()
    start, end = time_asked(now, since, until)
    # What is a moment ahead must not bring in tomorrow.
    days = days_of(start, end if until is not None else now + 1, services.zone)
    interval = registry.profiles.of(device.id).interval
    spared = spared_of(registry.calibrations_of(device))
    return Answering(services.queries, Quality(name, days, now, interval, spared))
