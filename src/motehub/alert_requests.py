"""Requests about rules and alerts, over the control socket."""

from __future__ import annotations

from typing import Any

import msgspec

from motehub.alerts.matching import Matching
from motehub.alerts.rule import Facts, Rule, describe, rule_of, to_fields
from motehub.core.hub import Hub
from motehub.core.rule_hints import hint_of
from motehub.core.rules import AlertNews, KeptRule, facts_of
from motehub.frames import DeviceChanged, SeriesAdded
from motehub.model import Admission, Device


class ListRules(msgspec.Struct, frozen=True, tag="list_rules"):
    """Tell which rules there are."""


class AddRule(msgspec.Struct, frozen=True, tag="add_rule"):
    """Look at something from now on; ``fields`` are those of ``motehub.alerts.rule.Rule``."""

    fields: dict[str, Any]


class ChangeRule(msgspec.Struct, frozen=True, tag="change_rule"):
    """Change ``fields`` of a rule."""

    name: str
    fields: dict[str, Any]


class RemoveRule(msgspec.Struct, frozen=True, tag="remove_rule"):
    """Look at it no more."""

    name: str


class AnswerAlert(msgspec.Struct, frozen=True, tag="answer_alert"):
    """Acknowledge an alert, or snooze it until ``until`` (µs)."""

    alert: int
    act: str
    until: int
    by: str


class Maintain(msgspec.Struct, frozen=True, tag="maintain"):
    """Tell nobody of a device until then (µs); 0 ends it."""

    device: str
    until: int


class ListMaintenance(msgspec.Struct, frozen=True, tag="list_maintenance"):
    """Tell which devices are in maintenance."""


class TellAlerts(msgspec.Struct, frozen=True, tag="tell_alerts"):
    """Let alerts be events of their devices; see ``motehub.core.rules.Rules.tell``."""

    source: str
    news: list[AlertNews]


AlertRequest = (
    ListRules
    | AddRule
    | ChangeRule
    | RemoveRule
    | AnswerAlert
    | ListMaintenance
    | Maintain
    | TellAlerts
)


async def carry_out_for_alerts(hub: Hub, request: AlertRequest) -> dict[str, Any]:
    """Do what ``request`` asks and return what the owner is told.

    Raises:
        OwnerError: it can't be done.
    """
    rules = hub.rules
    match request:
        case ListRules():
            return {"rules": [show_rule(one) for one in rules.all()]}
        case AddRule(fields):
            return _told(hub, await rules.add(rule_of(fields)))
        case ChangeRule(name, fields):
            return _told(hub, await rules.change(name, fields))
        case RemoveRule(name):
            await rules.remove(name)
        case AnswerAlert(alert, act, until, by):
            await rules.answer(alert, act, until, by)
        case ListMaintenance():
            return {"devices": rules.maintained()}
        case Maintain(device, until):
            await rules.maintain(device, until)
        case TellAlerts(source, news):
            await rules.tell(source, news)
    return {}


def _told(hub: Hub, kept: KeptRule) -> dict[str, Any]:
    about, hint = count_subjects(hub, kept.rule), hint_of(kept.rule, hub.registry)
    return {**show_rule(kept), "about": about, "hint": hint}


def count_subjects(hub: Hub, rule: Rule) -> int:
    """Return at how many series or devices a rule looks that are there by now."""
    said = facts_of(hub.registry.profiles)
    matching = Matching([rule])
    devices: dict[int, Device] = {}
    count = 0
    for entry in hub.registry.entries():
        match entry:
            case DeviceChanged(device) if device.admission is Admission.ACCEPTED:
                devices[device.id] = device
                labels = said.get(device.id, Facts()).labels
                count += len(matching.of_device(device, labels))
            case SeriesAdded(series) if (owner := devices.get(series.device)) is not None:
                labels = said.get(owner.id, Facts()).labels
                count += len(matching.of_series(owner, series, labels))
    return count


def show_rule(kept: KeptRule) -> dict[str, Any]:
    """Return a rule as people and programs see it: all fields, who has said it, when it fires."""
    return {**to_fields(kept.rule), "origin": kept.origin, "when": describe(kept.rule)}
