"""Routes of tokens, for the owner."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import Body, PathParameter

from motehub.core.moments import iso, parse_moment
from motehub.errors import InvalidName
from motehub.model import Scope, Token, check_token_name, given_name
from motehub.web._api_access import ApiRequest, check_not_held_back, needs, services_of
from motehub.web._api_document import ADMIN, CONFLICT, NAMED, UNSTORED, problems
from motehub.web.problems import Problem


class NewToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to make: ``devices`` bind it, ``expires`` is an ISO 8601 time with a zone."""

    name: str
    scopes: Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=len(Scope))]
    devices: Annotated[list[str], msgspec.Meta(max_length=100)] = msgspec.field(
        default_factory=list
    )
    expires: str | None = None


class TokenShape(msgspec.Struct, frozen=True):
    """A token, without its secret."""

    name: str
    scopes: list[Scope]
    devices: list[str]
    created: str
    expires: str | None


class CreatedToken(msgspec.Struct, frozen=True):
    """A token with its secret, which is shown this once."""

    name: str
    secret: str


@get(
    "/tokens",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN),
    summary="List tokens",
)
async def list_tokens(request: ApiRequest) -> list[TokenShape]:
    """Return all tokens, by name."""
    return [_shown(token) for token in services_of(request.app).hub.tokens.all()]


@post(
    "/tokens",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | CONFLICT | UNSTORED),
    summary="Make a token",
)
async def create_token(
    request: ApiRequest, data: Annotated[NewToken, Body(description="The token to make.")]
) -> CreatedToken:
    """Make a token and return its secret, which is not kept."""
    services = services_of(request.app)
    name = check_token_name(data.name)
    for device in data.devices:
        if not services.hub.registry.has_name(device):
            given_name(device)
    expires = None if data.expires is None else parse_moment(data.expires, services.clock())
    check_not_held_back(services.hub)
    try:
        secret = await services.hub.create_token(name, data.scopes, data.devices, None, expires)
    except InvalidName as error:
        raise Problem(HTTPStatus.CONFLICT, "Name is taken", str(error)) from error
    return CreatedToken(name, secret)


@delete(
    "/tokens/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Revoke a token",
)
async def revoke_token(
    request: ApiRequest,
    name: Annotated[str, PathParameter(description="Name of the token.", max_length=200)],
) -> None:
    """Let a token be good for nothing from now on."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    await hub.revoke_token(name)


def _shown(token: Token) -> TokenShape:
    return TokenShape(
        name=token.name,
        scopes=list(token.scopes),
        devices=list(token.devices),
        created=iso(token.created),
        expires=None if token.expires is None else iso(token.expires),
    )
