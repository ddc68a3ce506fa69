"""Routes of what the configuration says of channels and listeners, for the owner."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.params import PathParameter

from motehub.alerting import desk as alerts
from motehub.core.moments import iso
from motehub.model import Scope
from motehub.web._api_access import ApiRequest, needs, services_of
from motehub.web._api_document import ADMIN, NAMED, problems
from motehub.web._api_trials import TOO_MANY, trial
from motehub.web.desk import ListenerShape, SettingsDesk, Telling
from motehub.web.problems import Problem


class PeopleMail(msgspec.Struct, frozen=True):
    """What became of mails to people since the hub started."""

    sent: int
    failed: int
    last_success: str | None
    last_failure: str | None
    trouble: str | None


class Notifications(msgspec.Struct, frozen=True):
    """How people are told as the configuration says it, and how the channels of alerts are.

    A channel is known once there was a rule to look at.
    """

    settings: Telling
    people: PeopleMail
    channels: list[alerts.ChannelShape]


class ChannelTrial(msgspec.Struct, frozen=True):
    """Why a test has not arrived; null: it was taken."""

    trouble: str | None


@get(
    "/notifications",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN),
    summary="Show how people are told",
)
async def show_notifications(request: ApiRequest) -> Notifications:
    """Return mail server, services and webhooks of the configuration, and how channels are."""
    services = services_of(request.app)
    desk = _desk(request)
    folder = services.webhooks
    channels = await asyncio.to_thread(alerts.channels, folder) if folder is not None else []
    sent = desk.post.shape
    return Notifications(
        desk.telling(),
        PeopleMail(
            sent.sent,
            sent.failed,
            _iso(sent.last_success),
            _iso(sent.last_failure),
            sent.trouble,
        ),
        channels,
    )


@post(
    "/alert-channels/{name:str}/test",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | TOO_MANY),
    status_code=200,
    summary="Send a test through a channel",
)
async def test_channel(
    request: ApiRequest,
    name: Annotated[str, PathParameter(description="Name of the channel.", max_length=100)],
) -> ChannelTrial:
    """Send a test now, and return what came of it."""
    desk = _desk(request)
    with trial(request, f"channel {name}"):
        return ChannelTrial(await desk.try_channel(name))


@get(
    "/listeners",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN),
    summary="Show what listens",
)
async def list_listeners(request: ApiRequest) -> list[ListenerShape]:
    """Return every transport with its ports, connections and newest trouble."""
    return _desk(request).listeners()


def _desk(request: ApiRequest) -> SettingsDesk:
    desk = services_of(request.app).desk
    if desk is None:
        raise Problem(HTTPStatus.NOT_FOUND, "Not found", "This hub has no settings to show.")
    return desk


def _iso(time: int | None) -> str | None:
    return None if time is None else iso(time)
