"""What may be wrong with a rule: it looks at nothing that there is. It may come later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from motehub.alerts.matching import fits, has_wildcard, is_for
from motehub.alerts.rule import Rule
from motehub.core.registry import Registry
from motehub.model import Device

_NEAR: Final = 0.6
_MOST_NAMED: Final = 5
_MOST_CHARACTERS: Final = 64


def hint_of(rule: Rule, registry: Registry) -> str:
    """Return a sentence about what ``rule`` looks at and nobody knows yet; empty if it is there."""
    names = [one for one in rule.devices if not has_wildcard(one)]
    for name in names:
        if not registry.has_name(name):
            there = (one.name for one in registry.devices())
            return f"There is no device called {_shown(name)} yet. {_nearest(name, there)}".strip()
    metrics: set[str] = set()
    found = False
    for device in _devices(rule, registry, names):
        if rule.is_of_device:
            return ""
        found = True
        for series in registry.series_of(device):
            if fits(rule, series):
                return ""
            metrics.add(series.metric)
    if not found:
        return _of_devices(rule, registry)
    if rule.metric in metrics:
        return (
            f"What comes as {_shown(rule.metric)} is text so far, and no number: only equals, "
            "stuck and silent look at text."
        )
    whom = "the device" if len(names) == 1 == len(rule.devices) else "a device that it looks at"
    said = f"No {_shown(rule.metric)} has come from {whom} yet."
    return f"{said} {_nearest(rule.metric, metrics)}".strip()


def _devices(rule: Rule, registry: Registry, names: list[str]) -> Iterator[Device]:
    """Yield the devices that the rule is for."""
    only = rule.devices and len(names) == len(rule.devices)
    for device in map(registry.by_name, names) if only else registry.devices():
        if is_for(rule, device.name, registry.profiles.of(device.id).labels):
            yield device


def _of_devices(rule: Rule, registry: Registry) -> str:
    labels = {one for profile in registry.profiles.all().values() for one in profile.labels}
    for label in rule.labels:
        if label not in labels:
            return f"No device has the label {_shown(label)} yet. {_nearest(label, labels)}".strip()
    return "There is no device yet that it looks at."


def _nearest(word: str, known: Iterable[str]) -> str:
    there = sorted(set(known))
    if near := get_close_matches(word, there, 1, _NEAR):
        return f"Did you mean {_shown(near[0])}?"
    if not there:
        return ""
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    return f"Known: {', '.join(map(_shown, there[:_MOST_NAMED]))}{more}."


def _shown(name: str) -> str:
    return repr(name[:_MOST_CHARACTERS])
