"""Routes of rules and alerts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
from litestar import delete, get, patch, post, put
from litestar.params import Body, PathParameter, QueryParameter
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, UnsetType

from motehub.alerting import desk
from motehub.alerting.telling import ACKNOWLEDGE, SNOOZE
from motehub.alerts.rule import Severity, describe, encode, rule_of, to_fields
from motehub.core.hub import Hub
from motehub.core.moments import iso, parse_moment
from motehub.core.preview import PreviewShape
from motehub.core.queries import RulePreview
from motehub.core.rule_hints import hint_of
from motehub.core.rules import KeptRule, facts_of
from motehub.errors import InvalidRule
from motehub.model import MICROSECONDS, Scope
from motehub.web._api_access import (
    ApiRequest,
    check_bound_to_none,
    check_may_control,
    check_not_held_back,
    needs,
    services_of,
    visible,
)
from motehub.web._api_answers import Answering
from motehub.web._api_document import ADMIN, NAMED, READING, UNSTORED, answers, problems

Name = Annotated[str, PathParameter(description="Name of the rule.", max_length=200)]
Device = Annotated[str, PathParameter(description="Name of the device.", max_length=200)]
Number = Annotated[int, PathParameter(description="Number of the alert.")]
_Limit = Annotated[
    int, QueryParameter(ge=1, le=desk.MOST_ALERTS, description="Most rows, newest first.")
]
_Texts = Annotated[list[str], Meta(max_length=100)]
_Limits = float | UnsetType | None


class RuleChange(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"hold": "for"}
):
    """What changes of a rule; null is no limit, times are in seconds."""

    devices: _Texts | UnsetType = UNSET
    labels: _Texts | UnsetType = UNSET
    metric: str | UnsetType = UNSET
    above: _Limits = UNSET
    below: _Limits = UNSET
    rises: _Limits = UNSET
    falls: _Limits = UNSET
    changes: _Limits = UNSET
    within: float | UnsetType = UNSET
    equals: str | UnsetType = UNSET
    stuck: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    silent: str | UnsetType = UNSET
    offline: bool | UnsetType = UNSET
    hysteresis: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    hold: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    clear_for: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    severity: Severity | UnsetType = UNSET
    notify: _Texts | UnsetType = UNSET
    repeat: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    quiet: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class NewRule(RuleChange, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule to look at."""

    name: str


class Trial(NewRule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule to try on what is stored ``from`` then on, ISO 8601 or as in -7d."""

    since: str = msgspec.field(name="from", default="-7d")


class RuleShape(msgspec.Struct, frozen=True, kw_only=True, rename={"hold": "for"}):
    """A rule; ``when`` says in words when it fires, ``origin`` who has said it.

    That is built-in, configuration or added. Times are in seconds, null is no limit. ``pending``
    says with how many series or devices it is so, but not for long enough yet. ``hint``
    says, when it was added or changed, what it looks at and nobody knows yet.
    """

    name: str
    devices: list[str]
    labels: list[str]
    metric: str
    above: float | None
    below: float | None
    rises: float | None
    falls: float | None
    changes: float | None
    within: float
    equals: str
    stuck: float
    silent: str
    offline: bool
    hysteresis: float
    hold: float
    clear_for: float
    severity: Severity
    notify: list[str]
    repeat: float
    quiet: str
    message: str
    enabled: bool
    origin: str
    when: str
    pending: int = 0
    hint: str = ""


class Snooze(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how many seconds."""

    seconds: Annotated[float, Meta(gt=0, le=366 * 86_400)]


class Maintenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how many seconds nobody is told of the device; 0 ends it."""

    seconds: Annotated[float, Meta(ge=0, le=366 * 86_400)]


class MaintenanceShape(msgspec.Struct, frozen=True):
    """Until when nobody is told of a device; null: they are told."""

    device: str
    until: str | None


@get("/rules", guards=[needs(Scope.READ)], responses=problems(READING), summary="List rules")
async def list_rules(request: ApiRequest) -> list[RuleShape]:
    """Return all rules, by name."""
    check_bound_to_none(request.auth)
    pending = await asyncio.to_thread(desk.pending, _folder(request))
    return [
        msgspec.structs.replace(_shape(one), pending=pending.get(one.rule.name, 0))
        for one in services_of(request.app).hub.rules.all()
    ]


@get(
    "/rules/{name:str}",
    guards=[needs(Scope.READ)],
    responses=problems(READING | NAMED),
    summary="Show a rule",
)
async def show_rule(request: ApiRequest, name: Name) -> RuleShape:
    """Return one rule."""
    check_bound_to_none(request.auth)
    kept = services_of(request.app).hub.rules.get(name)
    pending = await asyncio.to_thread(desk.pending, _folder(request))
    return msgspec.structs.replace(_shape(kept), pending=pending.get(name, 0))


@post(
    "/rules",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | UNSTORED),
    summary="Add a rule",
)
async def add_rule(
    request: ApiRequest, data: Annotated[NewRule, Body(description="The rule.")]
) -> RuleShape:
    """Look at something from now on."""
    rule, hub = rule_of(msgspec.to_builtins(data)), services_of(request.app).hub
    check_not_held_back(hub)
    return _hinted(hub, await hub.rules.add(rule))


@patch(
    "/rules/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Change a rule",
)
async def change_rule(
    request: ApiRequest,
    name: Name,
    data: Annotated[RuleChange, Body(description="What changes.")],
) -> RuleShape:
    """Change what is given; what it has found until now is over."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    return _hinted(hub, await hub.rules.change(name, msgspec.to_builtins(data)))


@delete(
    "/rules/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Remove a rule",
)
async def remove_rule(request: ApiRequest, name: Name) -> None:
    """Look at it no more."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    await hub.rules.remove(name)


@post(
    "/rule-preview",
    guards=[needs(Scope.ADMIN)],
    responses=answers(PreviewShape, "What it would have found.", ADMIN),
    status_code=200,
    summary="Try a rule",
)
async def try_rule(
    request: ApiRequest, data: Annotated[Trial, Body(description="The rule, and since when.")]
) -> ASGIApp:
    """Return what a rule would have found in the past; nothing is kept."""
    fields = msgspec.to_builtins(data)
    now = services_of(request.app).clock()
    since = parse_moment(str(fields.pop("from")), now)
    if since >= now:
        raise InvalidRule("from must be in the past.")
    rule = rule_of(fields)
    services = services_of(request.app)
    said = facts_of(services.hub.registry.profiles)
    return Answering(services.queries, RulePreview(encode(rule), since, now, said))


@get("/alerts", guards=[needs(Scope.READ)], responses=problems(READING), summary="List alerts")
async def list_alerts(
    request: ApiRequest,
    every: Annotated[
        bool, QueryParameter(name="all", description="Whether also those that are over.")
    ] = False,
    limit: _Limit = 100,
) -> list[desk.AlertShape]:
    """Return alerts, newest first; to a token bound to devices only theirs."""
    folder, devices, names = _folder(request), visible(request.auth), _names(request)
    return await asyncio.to_thread(
        desk.alerts, folder, limit, is_open=not every, devices=devices, names=names
    )


@get(
    "/alert-channels",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN),
    summary="List who is told",
)
async def list_channels(request: ApiRequest) -> list[desk.ChannelShape]:
    """Return through whom people are told, with counts and the last trouble."""
    return await asyncio.to_thread(desk.channels, _folder(request))


@post(
    "/alerts/{number:int}/acknowledge",
    guards=[needs(Scope.CONTROL)],
    responses=problems(READING | NAMED | UNSTORED),
    status_code=202,
    summary="Acknowledge an alert",
)
async def acknowledge_alert(request: ApiRequest, number: Number) -> None:
    """Let it not be repeated any more."""
    await _answer(request, number, ACKNOWLEDGE, 0)


@post(
    "/alerts/{number:int}/snooze",
    guards=[needs(Scope.CONTROL)],
    responses=problems(READING | NAMED | UNSTORED),
    status_code=202,
    summary="Snooze an alert",
)
async def snooze_alert(
    request: ApiRequest, number: Number, data: Annotated[Snooze, Body(description="How long.")]
) -> None:
    """Let people hear of it again only then."""
    until = services_of(request.app).clock() + round(data.seconds * MICROSECONDS)
    await _answer(request, number, SNOOZE, until)


@get(
    "/maintenance",
    guards=[needs(Scope.READ)],
    responses=problems(READING),
    summary="List devices in maintenance",
)
async def list_maintenance(request: ApiRequest) -> list[MaintenanceShape]:
    """Return the devices of whose alerts nobody is told, and until when."""
    devices = visible(request.auth)
    found = services_of(request.app).hub.rules.maintained()
    return [
        MaintenanceShape(name, iso(until))
        for name, until in found.items()
        if devices is None or name in devices
    ]


@put(
    "/devices/{name:str}/maintenance",
    guards=[needs(Scope.CONTROL)],
    responses=problems(READING | NAMED | UNSTORED),
    summary="Keep a device quiet",
)
async def maintain_device(
    request: ApiRequest,
    name: Device,
    data: Annotated[Maintenance, Body(description="How long.")],
) -> MaintenanceShape:
    """Tell nobody of its alerts for a while."""
    check_may_control(request.auth, name)
    services = services_of(request.app)
    check_not_held_back(services.hub)
    until = services.clock() + round(data.seconds * MICROSECONDS) if data.seconds else 0
    await services.hub.rules.maintain(name, until)
    return MaintenanceShape(name, iso(until) if until else None)


async def _answer(request: ApiRequest, number: int, act: str, until: int) -> None:
    folder, names = _folder(request), _names(request)
    alert = await asyncio.to_thread(desk.check_open, folder, number, names)
    check_may_control(request.auth, alert.device)
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    await hub.rules.answer(number, act, until, request.auth.name)


def _shape(kept: KeptRule) -> RuleShape:
    fields = to_fields(kept.rule)
    fields |= {"origin": kept.origin, "when": describe(kept.rule)}
    return msgspec.convert(fields, RuleShape)


def _hinted(hub: Hub, kept: KeptRule) -> RuleShape:
    return msgspec.structs.replace(_shape(kept), hint=hint_of(kept.rule, hub.registry))


def _names(request: ApiRequest) -> dict[int, str]:
    """Return what devices are called now, whatever they were when their alerts began."""
    registry = services_of(request.app).hub.registry
    return {device.id: device.name for device in registry.devices()}


def _folder(request: ApiRequest) -> Path:
    folder = services_of(request.app).webhooks
    assert folder is not None, "a hub with an API has a data folder"
    return folder
