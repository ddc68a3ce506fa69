"""Routes of webhooks, for the owner."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import PathParameter, QueryParameter

from motehub.core.moments import iso
from motehub.model import Scope
from motehub.web._api_access import ApiRequest, needs, services_of
from motehub.web._api_document import ADMIN, NAMED, problems
from motehub.web._api_trials import TOO_MANY, trial
from motehub.webhooks import desk

Name = Annotated[str, PathParameter(description="Name of the webhook.", max_length=100)]
_Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Most rows, newest first.")]
_Message = Annotated[
    str | None,
    QueryParameter(max_length=100, description="Id of the message; without it, all given up."),
]


class WebhookShape(msgspec.Struct, frozen=True):
    """Who is told what happens, with counts; ``trouble`` is why the last attempt failed."""

    name: str
    address: str
    kind: str
    waiting: int
    delivered: int
    failed: int
    given_up: int
    dropped: int
    replaced: int
    last_success: str | None
    last_failure: str | None
    trouble: str | None


class WebhookAttemptShape(msgspec.Struct, frozen=True):
    """An attempt to send a message; ``state`` is where the message stands now."""

    time: str
    endpoint: str
    message: str
    type: str
    attempt: int
    status: int | None
    outcome: str
    milliseconds: int
    state: str


class Resent(msgspec.Struct, frozen=True):
    """How many messages go out again."""

    count: int


class TestShape(msgspec.Struct, frozen=True):
    """The id of the message of a test; the log says what comes of it."""

    message: str


@get("/webhooks", guards=[needs(Scope.ADMIN)], responses=problems(ADMIN), summary="List webhooks")
async def list_webhooks(request: ApiRequest) -> list[WebhookShape]:
    """Return who is told what happens, by name."""
    rows = await asyncio.to_thread(desk.endpoints, _folder(request))
    return [
        WebhookShape(
            row.name,
            row.address,
            row.kind,
            row.waiting,
            row.delivered,
            row.failed,
            row.given_up,
            row.dropped,
            row.replaced,
            _iso(row.last_success),
            _iso(row.last_failure),
            row.trouble,
        )
        for row in rows
    ]


@get(
    "/webhooks/{name:str}/log",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED),
    summary="Show what came of a webhook",
)
async def show_log(
    request: ApiRequest, name: Name, limit: _Limit = 100
) -> list[WebhookAttemptShape]:
    """Return the newest attempts, newest first."""
    rows = await asyncio.to_thread(desk.log, _folder(request), name, limit)
    return [
        WebhookAttemptShape(
            iso(row.time),
            row.endpoint,
            row.message,
            row.type,
            row.attempt,
            row.status,
            row.outcome,
            row.milliseconds,
            row.state,
        )
        for row in rows
    ]


@post(
    "/webhooks/{name:str}/resend",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED),
    status_code=202,
    summary="Send messages again",
)
async def resend_messages(request: ApiRequest, name: Name, message: _Message = None) -> Resent:
    """Send one message again that is over, or all that were given up."""
    now = services_of(request.app).clock()
    return Resent(await asyncio.to_thread(desk.resend, _folder(request), name, message, now))


@post(
    "/webhooks/{name:str}/test",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | TOO_MANY),
    status_code=202,
    summary="Send a test",
)
async def send_test(request: ApiRequest, name: Name) -> TestShape:
    """Have a test sent; the log says what comes of it."""
    now = services_of(request.app).clock()
    with trial(request, f"webhook {name}"):
        return TestShape(await asyncio.to_thread(desk.begin_test, _folder(request), name, now))


def _folder(request: ApiRequest) -> Path:
    folder = services_of(request.app).webhooks
    assert folder is not None, "a hub with an API has a data folder"
    return folder


def _iso(time: int | None) -> str | None:
    return None if time is None else iso(time)
