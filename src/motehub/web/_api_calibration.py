"""The route by which the owner says what is made of a sensor's numbers."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import put
from litestar.params import Body, PathParameter

from motehub.core.calibrations import Calibration
from motehub.model import Scope
from motehub.web._api_access import ApiRequest, check_not_held_back, needs, services_of
from motehub.web._api_document import ADMIN, NAMED, UNSTORED, problems


class MetricCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is made of the numbers of a metric that come from now on.

    A value is ``scale`` * number + ``offset``; below ``low`` or above ``high`` it is rejected, null
    is no bound. What differs by less than ``deadband`` from the last value that was stored, or
    comes within ``spacing`` seconds of it, is shown but not stored. With the defaults, numbers are
    values as they are sent.
    """

    metric: str
    offset: float = 0.0
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    deadband: float = 0.0
    spacing: float = 0.0


@put(
    "/devices/{name:str}/calibration",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Calibrate a metric of a device",
)
async def calibrate(
    request: ApiRequest,
    name: Annotated[str, PathParameter(description="Name of the device.", max_length=200)],
    data: Annotated[MetricCalibration, Body(description="The metric, and what is made of it.")],
) -> MetricCalibration:
    """Say what is made of the numbers of a metric from now on; what is stored stays as it is."""
    hub = services_of(request.app).hub
    hub.registry.by_name(name)
    check_not_held_back(hub)
    calibration = Calibration(
        data.offset, data.scale, data.low, data.high, data.deadband, data.spacing
    )
    await hub.calibrate(name, data.metric, calibration)
    return data
