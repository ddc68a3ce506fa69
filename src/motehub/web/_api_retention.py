"""Routes of how long readings are kept, for the owner."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get, post, put
from litestar.params import Body, PathParameter
from litestar.types import ASGIApp

from motehub.core.going import GoingShape
from motehub.core.moments import iso
from motehub.core.queries import Going
from motehub.core.retention import Choice, Rule
from motehub.frames import Batch
from motehub.model import Scope
from motehub.retention_requests import RetentionShape, show_retention
from motehub.web._api_access import ApiRequest, check_not_held_back, needs, services_of
from motehub.web._api_answers import Answering
from motehub.web._api_document import ADMIN, NAMED, UNSTORED, answers, problems

Name = Annotated[str, PathParameter(description="Name of the device.", max_length=200)]
Period = Annotated[str, msgspec.Meta(max_length=50)]


class NewRetention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long: "30d", "2y", "forever"; null or nothing: as its device, or as all others.

    Without a ``metric`` it is the rule of all metrics of the device that have none of their own.
    """

    metric: Annotated[str, msgspec.Meta(max_length=1_000)] | None = None
    raw: Period | None = None
    minute: Period | None = None
    hour: Period | None = None
    day: Period | None = None


class NewRetentionOfAll(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how long: "30d", "2y", "forever"; in how much space: "10 GB", "none" for any.

    Null or nothing: as the configuration says.
    """

    raw: Period | None = None
    minute: Period | None = None
    hour: Period | None = None
    day: Period | None = None
    disk_budget: Period | None = None


class RetentionTrial(NewRetention, frozen=True, forbid_unknown_fields=True):
    """A rule: of all, or of a ``device``, or of a ``metric`` of it."""

    device: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    disk_budget: Period | None = None


class ClockShape(msgspec.Struct, frozen=True):
    """What the hub's clock says."""

    clock: str


@get(
    "/retention",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN),
    summary="Tell for how long readings are kept",
)
async def list_rules(request: ApiRequest) -> RetentionShape:
    """Return the rules of all devices and metrics, and that of the others."""
    return show_retention(services_of(request.app).hub)


@put(
    "/retention",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | UNSTORED),
    summary="Say for how long readings are kept",
)
async def choose_retention(
    request: ApiRequest, data: Annotated[NewRetentionOfAll, Body(description="The rule.")]
) -> RetentionShape:
    """Let this hold over the configuration where no device says otherwise, or not any more."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    await hub.keep_all(Rule(data.raw, data.minute, data.hour, data.day), data.disk_budget)
    return show_retention(hub)


@post(
    "/retention-preview",
    guards=[needs(Scope.ADMIN)],
    responses=answers(GoingShape, "What would be deleted.", ADMIN | NAMED),
    status_code=200,
    summary="Tell what would be deleted by a rule",
)
async def try_retention(
    request: ApiRequest, data: Annotated[RetentionTrial, Body(description="The rule.")]
) -> ASGIApp:
    """Return what would go if that were kept so; nothing is changed."""
    services = services_of(request.app)
    present, after = services.hub.retention, services.hub.retention.copy()
    rule = Rule(data.raw, data.minute, data.hour, data.day)
    if data.device is None:
        after.choose(Batch(), Choice(rule, data.disk_budget))
    else:
        device = services.hub.registry.by_name(data.device)
        after.set(Batch(), device, data.metric or "", rule)
    before, then = ((one.plan, dict(one.rules)) for one in (present, after))
    return Answering(services.queries, Going(before, then, services.clock()))


@put(
    "/retention/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Say for how long readings of a device are kept",
)
async def set_retention(
    request: ApiRequest, name: Name, data: Annotated[NewRetention, Body(description="The rule.")]
) -> RetentionShape:
    """Give a device, or a metric of it, a rule of its own, or take that away."""
    hub = services_of(request.app).hub
    hub.registry.by_name(name)
    check_not_held_back(hub)
    rule = Rule(data.raw, data.minute, data.hour, data.day)
    await hub.keep(name, data.metric or "", rule)
    return show_retention(hub)


@post(
    "/clock",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | UNSTORED),
    status_code=200,
    summary="Say that the hub's clock is right",
)
async def confirm_clock(request: ApiRequest) -> ClockShape:
    """Have old readings deleted again that stay because the hub doubts its clock."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    return ClockShape(iso(await hub.confirm_clock()))
