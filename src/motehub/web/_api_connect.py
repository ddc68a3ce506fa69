"""The route that says how a device is connected."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import QueryParameter

from motehub.model import Scope, given_name
from motehub.web._api_access import ApiRequest, check_bound_to_none, needs, services_of
from motehub.web._api_document import READING, problems
from motehub.web.problems import Problem
from motehub.web.snippets import Snippet, fingerprint, parse_origin, snippets

_DEVICE = "my-sensor"


class PortShape(msgspec.Struct, frozen=True):
    """An open port of the hub."""

    name: str
    port: int
    tls: bool


class Connecting(msgspec.Struct, frozen=True):
    """What a device needs to send its first reading.

    ``ca`` is the certificate that devices trust, in PEM, ``fingerprint`` its SHA-256. In the
    ``code`` of a snippet PUT-THE-TOKEN-HERE stands for a token; it is null where the hub does not
    listen for that, and ``section`` of the configuration lets it.
    """

    ca: str
    fingerprint: str
    ports: list[PortShape]
    snippets: list[Snippet]


@get(
    "/connect",
    guards=[needs(Scope.CONTROL)],
    responses=problems(READING),
    summary="Tell how to connect a device",
    sync_to_thread=False,
)
def show_connecting(
    request: ApiRequest,
    device: Annotated[
        str, QueryParameter(description="Name that the device is to have.", max_length=200)
    ] = _DEVICE,
    origin: Annotated[
        str | None,
        QueryParameter(
            description="Where a browser has found the hub, as https://HOST; this request's "
            "address if not given.",
            max_length=300,
        ),
    ] = None,
) -> Connecting:
    """Return ports, the hub's authority and a snippet for each kind of device."""
    check_bound_to_none(request.auth)
    name = given_name(device)
    found = origin or f"{request.scope['scheme']}://{request.headers.get('host', 'localhost')}"
    try:
        seen_from = parse_origin(found)
    except ValueError as error:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "This can't be done", f"{found[:300]!r} can't be: {error}."
        ) from error
    reach = services_of(request.app).reach()
    return Connecting(
        reach.ca,
        fingerprint(reach.ca),
        [PortShape(name, one.port, one.tls) for name, one in sorted(reach.listeners.items())],
        snippets(reach, seen_from, name),
    )
