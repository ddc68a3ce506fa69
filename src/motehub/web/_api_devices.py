"""Routes of devices and their series."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import delete, get, patch, post
from litestar.params import Body, PathParameter, QueryParameter
from litestar.types import ASGIApp
from msgspec import UNSET, UnsetType

from motehub.core.queries import (
    MOST_NEWEST,
    Devices,
    NewestOf,
    OneDevice,
    Overview,
    Said,
    SeriesOf,
)
from motehub.core.shapes import DeviceShape, OverviewShape, RawColumns, SeriesShape
from motehub.errors import InvalidName
from motehub.model import Admission, Device, Scope, given_name
from motehub.units import UnitKind
from motehub.web._api_access import (
    ApiRequest,
    check_may_read,
    check_not_held_back,
    needs,
    services_of,
    visible,
)
from motehub.web._api_answers import Answering
from motehub.web._api_document import ADMIN, CONFLICT, NAMED, UNSTORED, answers, problems
from motehub.web.problems import Problem

_MOST_DEVICES = 50

Name = Annotated[str, PathParameter(description="Name of the device.", max_length=200)]


class DeviceChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What changes of a device; what is left out stays.

    ``labels`` are all of them. ``interval`` is in how many seconds something is expected, null
    for none. ``units`` gives series of numbers whose device says none a unit, by metric.
    """

    name: str | UnsetType = UNSET
    labels: list[str] | UnsetType = UNSET
    interval: float | UnsetType | None = UNSET
    units: dict[str, str] | UnsetType = UNSET


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name under which the device is accepted; without one it keeps its own."""

    name: str | None = None


class DeviceState(msgspec.Struct, frozen=True):
    """A device after a change: its name and where it stands."""

    name: str
    admission: Admission


@get(
    "/devices",
    guards=[needs(Scope.READ)],
    responses=answers(list[DeviceShape], "All devices that the token may see, by name."),
    summary="List devices",
)
async def list_devices(request: ApiRequest) -> ASGIApp:
    """Return all devices that the token may see."""
    question = Devices(visible(request.auth), _said(request))
    return Answering(services_of(request.app).queries, question)


@get(
    "/overview",
    guards=[needs(Scope.READ)],
    responses=answers(list[OverviewShape], "Devices, by name or in one's own order."),
    summary="List devices with all that they measure",
)
async def list_overview(
    request: ApiRequest,
    device: Annotated[
        list[Annotated[str, QueryParameter(max_length=200)]] | None,
        QueryParameter(
            description="A device, once or more often; without it all that the token may see.",
            max_items=_MOST_DEVICES,
        ),
    ] = None,
) -> ASGIApp:
    """Return devices, each with its series and their newest readings; unknown names are left out.

    Whoever is logged in gets them in the order of their own, if they have chosen one. Pages have
    many devices: this is one question instead of two about each.
    """
    names = visible(request.auth)
    if device is not None:
        for name in device:
            check_may_read(request.auth, name)
        names = tuple(device)
    services = services_of(request.app)
    people = services.hub.accounts.people
    order = people.order_of(request.auth.name) if people.has(request.auth) else ()
    return Answering(services.queries, Overview(names, _said(request), order))


@get(
    "/devices/{name:str}",
    guards=[needs(Scope.READ)],
    responses=answers(DeviceShape, "The device.", NAMED),
    summary="Show a device",
)
async def show_device(request: ApiRequest, name: Name) -> ASGIApp:
    """Return one device."""
    _check_readable(request, name)
    return Answering(services_of(request.app).queries, OneDevice(name, _said(request)))


@get(
    "/devices/{name:str}/series",
    guards=[needs(Scope.READ)],
    responses=answers(list[SeriesShape], "What the device measures.", NAMED),
    summary="List the series of a device",
)
async def list_series(request: ApiRequest, name: Name) -> ASGIApp:
    """Return what a device measures."""
    _check_readable(request, name)
    services = services_of(request.app)
    registry = services.hub.registry
    calibrations = registry.calibrations_of(registry.by_name(name))
    return Answering(services.queries, SeriesOf(name, calibrations))


@get(
    "/devices/{name:str}/newest",
    guards=[needs(Scope.READ)],
    responses=answers(list[RawColumns], "The newest readings of each series.", NAMED),
    summary="List the newest readings of a device",
)
async def list_newest(
    request: ApiRequest,
    name: Name,
    count: Annotated[
        int, QueryParameter(description="Most of each series.", ge=1, le=MOST_NEWEST)
    ] = 10,
) -> ASGIApp:
    """Return the newest readings of everything that a device measures, oldest first."""
    _check_readable(request, name)
    return Answering(services_of(request.app).queries, NewestOf(name, count))


@patch(
    "/devices/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | CONFLICT | UNSTORED),
    summary="Change a device",
)
async def change_device(
    request: ApiRequest,
    name: Name,
    data: Annotated[DeviceChange, Body(description="What changes.")],
) -> DeviceState:
    """Give a device another name, to which its tokens follow, labels, an interval or units."""
    hub = services_of(request.app).hub
    device = hub.registry.by_name(name)
    if data == DeviceChange():
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "Nothing is changed",
            "The body says nothing of name, labels, interval or units.",
        )
    if data.name is not UNSET:
        given_name(data.name)
    check_not_held_back(hub)
    if not data.labels is data.interval is data.units is UNSET:
        known = hub.registry.profiles.of(device.id)
        device = await hub.describe_device(
            name,
            known.labels if data.labels is UNSET else data.labels,
            known.interval if data.interval is UNSET else data.interval,
            {} if data.units is UNSET else data.units,
        )
    if data.name is not UNSET:
        try:
            device = await hub.rename_device(name, data.name)
        except InvalidName as error:
            raise _conflict(error) from error
    return _state(device)


@delete(
    "/devices/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Remove a device with everything that is stored of it",
)
async def remove_device(request: ApiRequest, name: Name) -> None:
    """Remove a device with everything that is stored of it."""
    hub = services_of(request.app).hub
    hub.registry.by_name(name)
    check_not_held_back(hub)
    await hub.remove_device(name)


@post(
    "/devices/{name:str}/accept",
    guards=[needs(Scope.ADMIN)],
    status_code=HTTPStatus.OK,
    responses=problems(ADMIN | NAMED | CONFLICT | UNSTORED),
    summary="Let a device write",
)
async def accept_device(
    request: ApiRequest,
    name: Name,
    data: Annotated[Acceptance | None, Body(description="A new name.")] = None,
) -> DeviceState:
    """Let a device write, under a new name if one is given; what was held is stored."""
    hub = services_of(request.app).hub
    hub.registry.by_name(name)
    new_name = data.name if data is not None else None
    if new_name is not None:
        given_name(new_name)
    check_not_held_back(hub)
    try:
        return _state(await hub.accept_device(name, new_name))
    except InvalidName as error:
        raise _conflict(error) from error


@post(
    "/devices/{name:str}/block",
    guards=[needs(Scope.ADMIN)],
    status_code=HTTPStatus.OK,
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Refuse what a device sends",
)
async def block_device(request: ApiRequest, name: Name) -> DeviceState:
    """Refuse everything that a device sends from now on; what was held is rejected."""
    hub = services_of(request.app).hub
    hub.registry.by_name(name)
    check_not_held_back(hub)
    return _state(await hub.block_device(name))


def _check_readable(request: ApiRequest, name: str) -> None:
    check_may_read(request.auth, name)
    services_of(request.app).hub.registry.by_name(name)


def _said(request: ApiRequest) -> Said:
    """Return what the hub knows of devices, and the history does not."""
    services = services_of(request.app)
    registry = services.hub.registry
    told = services.units.units() if services.units is not None else []
    lamps = [
        device.id
        for one in told
        if one.definition.kind in (UnitKind.UPDATABLE, UnitKind.BOTH)
        and (device := registry.by_identity(one.definition.identity)) is not None
    ]
    identities = request.auth.allows(Scope.ADMIN)
    return Said(registry.profiles.all(), tuple(lamps), identities)


def _state(device: Device) -> DeviceState:
    return DeviceState(device.name, device.admission)


def _conflict(error: InvalidName) -> Problem:
    return Problem(HTTPStatus.CONFLICT, "Name is taken", str(error))
