"""Routes of commands to devices."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import Body, PathParameter

from motehub.command import DEFAULT_SECONDS, LONGEST_SECONDS
from motehub.core.shapes import CommandShape, show_command
from motehub.errors import DeviceUnready, UnknownCommand
from motehub.model import Scope
from motehub.web._api_access import (
    ApiRequest,
    check_may_control,
    check_not_held_back,
    needs,
    services_of,
)
from motehub.web._api_document import ADMIN, NAMED, UNREADY, UNSTORED, problems
from motehub.web.problems import Problem

Name = Annotated[str, PathParameter(description="Name of the device.", max_length=200)]
CommandId = Annotated[str, PathParameter(description="Id of the command.", max_length=64)]


class NewCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a device is told: ``name`` is to be ``value``, or a ``payload`` as it is.

    It expires after ``timeout`` seconds.
    """

    name: str | None = None
    value: bool | float | str | None = None
    payload: str | None = None
    timeout: Annotated[float, msgspec.Meta(ge=1, le=LONGEST_SECONDS)] = DEFAULT_SECONDS


@post(
    "/devices/{name:str}/commands",
    guards=[needs(Scope.CONTROL)],
    status_code=HTTPStatus.ACCEPTED,
    responses=problems(ADMIN | NAMED | UNREADY | UNSTORED),
    summary="Command a device",
)
async def send_command(
    request: ApiRequest,
    name: Name,
    data: Annotated[NewCommand, Body(description="What the device is told.")],
) -> CommandShape:
    """Keep a command for the device, which is sent as soon as that can be reached."""
    check_may_control(request.auth, name)
    hub = services_of(request.app).hub
    device = hub.registry.by_name(name)
    check_not_held_back(hub)
    try:
        command = await hub.command(name, data.name, data.value, data.payload, data.timeout)
    except DeviceUnready as error:
        raise Problem(HTTPStatus.CONFLICT, "Not now", str(error)) from error
    return show_command(command, device)


@get(
    "/devices/{name:str}/commands",
    guards=[needs(Scope.CONTROL)],
    responses=problems(ADMIN | NAMED),
    summary="List the commands to a device",
)
async def list_commands(request: ApiRequest, name: Name) -> list[CommandShape]:
    """Return the commands to a device that are under way, and the newest that are over."""
    check_may_control(request.auth, name)
    hub = services_of(request.app).hub
    device = hub.registry.by_name(name)
    return [show_command(one, device) for one in hub.commands.book.all_to(device.id)]


@get(
    "/commands/{id:str}",
    guards=[needs(Scope.CONTROL)],
    responses=problems(ADMIN | {404: "There is none with that id."}),
    summary="Show a command",
)
async def show_one_command(
    request: ApiRequest,
    id: CommandId,  # noqa: A002 - as in the path
) -> CommandShape:
    """Return where a command stands."""
    hub = services_of(request.app).hub
    command = hub.commands.book.find(id)
    device = hub.registry.by_id(command.device)
    if not request.auth.may_control(device.name):
        # As if there were none: its id says nothing of whose it is.
        raise UnknownCommand(f"There is no command {id!r} for a device of this token.")
    return show_command(command, device)
