"""Routes of units, for the owner."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import delete, get, patch, post
from litestar.params import Body, PathParameter
from msgspec import UNSET, Meta, UnsetType

from motehub.errors import InvalidName, UnitExists, UnknownUnit
from motehub.model import Scope, given_name
from motehub.unit_requests import change_unit as change
from motehub.units import (
    LONGEST_TEST,
    PORT,
    FoundUnit,
    UnitDesk,
    UnitKind,
    UnitShape,
    UnitTest,
    unit_of,
)
from motehub.units import show_unit as shown
from motehub.web._api_access import ApiRequest, check_not_held_back, needs, services_of
from motehub.web._api_document import ADMIN, CONFLICT, NAMED, UNSTORED, problems
from motehub.web.problems import Problem

Name = Annotated[str, PathParameter(description="Name or address of the unit.", max_length=200)]
Range = Annotated[list[float], Meta(max_length=2)]

_MOST_SECONDS = f"At most {LONGEST_TEST:g} seconds."


class UnitChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What changes of a unit; null for ``minimum`` and ``maximum`` is no limit."""

    name: str | UnsetType = UNSET
    kind: UnitKind | UnsetType = UNSET
    metric: str | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    scale: float | UnsetType = UNSET
    offset: float | UnsetType = UNSET
    input_range: Range | UnsetType = UNSET
    output_range: Range | UnsetType = UNSET
    minimum: float | UnsetType | None = UNSET
    maximum: float | UnsetType | None = UNSET
    expected_interval: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    newest_wins: bool | UnsetType = UNSET


class NewUnit(UnitChange, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A unit to connect to; ``port`` 0 is that of the configuration."""

    address: str
    port: Annotated[int, Meta(ge=0, le=65535)] = 0


class Listening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a test listens, in seconds."""

    seconds: Annotated[float, Meta(gt=0, le=LONGEST_TEST, description=_MOST_SECONDS)] = 3.0


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to look for boards: a range of a private network, and their port."""

    addresses: str
    port: Annotated[int, Meta(ge=1, le=65535)] = PORT


@get("/units", guards=[needs(Scope.ADMIN)], responses=problems(ADMIN), summary="List units")
async def list_units(request: ApiRequest) -> list[UnitShape]:
    """Return all units and how they are, by address."""
    desk = services_of(request.app).units
    return [shown(one) for one in desk.units()] if desk is not None else []


@get(
    "/units/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED),
    summary="Show a unit",
)
async def show_unit(request: ApiRequest, name: Name) -> UnitShape:
    """Return one unit."""
    return shown(_desk(request).unit(name))


@post(
    "/units",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | CONFLICT | UNSTORED),
    summary="Add a unit",
)
async def add_unit(
    request: ApiRequest, data: Annotated[NewUnit, Body(description="The unit.")]
) -> UnitShape:
    """Connect to a board from now on."""
    unit = unit_of(_fields(data))
    desk = _desk_or_conflict(request)
    check_not_held_back(services_of(request.app).hub)
    try:
        return shown(await desk.add_unit(unit))
    except UnitExists as error:
        raise _conflict(error) from error


@patch(
    "/units/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | CONFLICT | UNSTORED),
    summary="Change a unit",
)
async def change_unit(
    request: ApiRequest,
    name: Name,
    data: Annotated[UnitChange, Body(description="What changes.")],
) -> UnitShape:
    """Change what is given, and leave the rest; what is stored of it stays as it is."""
    desk = _desk(request)
    desk.unit(name)
    fields = _fields(data)
    new_name = fields.pop("name", None)
    if isinstance(new_name, str):
        given_name(new_name)
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    try:
        text = None if new_name is None else str(new_name)
        return shown(await change(hub, desk, name, fields, text))
    except InvalidName as error:
        raise _conflict(error) from error


@delete(
    "/units/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Remove a unit",
)
async def remove_unit(request: ApiRequest, name: Name) -> None:
    """Connect to it no more, or as the configuration says; what is stored of it stays."""
    desk = _desk(request)
    desk.unit(name)
    check_not_held_back(services_of(request.app).hub)
    await desk.remove_unit(name)


@post(
    "/units/{name:str}/test",
    guards=[needs(Scope.ADMIN)],
    status_code=HTTPStatus.OK,
    responses=problems(ADMIN | NAMED),
    summary="Listen to a unit",
)
async def listen_to_unit(
    request: ApiRequest,
    name: Name,
    data: Annotated[Listening | None, Body(description="For how long.")] = None,
) -> UnitTest:
    """Connect now, unless there is a connection, and return what it says."""
    return await _desk(request).test_unit(name, (data or Listening()).seconds)


@post(
    "/unit-scan",
    guards=[needs(Scope.ADMIN)],
    status_code=HTTPStatus.OK,
    responses=problems(ADMIN | CONFLICT),
    summary="Look for boards",
)
async def scan_units(
    request: ApiRequest, data: Annotated[Search, Body(description="Where.")]
) -> list[FoundUnit]:
    """Return the boards of a range of addresses that listen; each is connected to once."""
    return await _desk_or_conflict(request).scan_units(data.addresses, data.port)


def _fields(data: UnitChange) -> dict[str, object]:
    """Return what was given."""
    given = {key: getattr(data, key) for key in data.__struct_fields__}
    return {key: value for key, value in given.items() if value is not UNSET}


def _desk(request: ApiRequest) -> UnitDesk:
    desk = services_of(request.app).units
    if desk is None:
        raise UnknownUnit("This hub speaks with no units: its configuration has no such section.")
    return desk


def _desk_or_conflict(request: ApiRequest) -> UnitDesk:
    try:
        return _desk(request)
    except UnknownUnit as error:
        raise Problem(HTTPStatus.CONFLICT, "No units here", str(error)) from error


def _conflict(error: Exception) -> Problem:
    return Problem(HTTPStatus.CONFLICT, "It is taken", str(error))
