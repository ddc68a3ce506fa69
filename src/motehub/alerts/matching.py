"""Which rules look at a series or a device, quickly for many rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from motehub.alerts.rule import Kind, Rule
from motehub.model import Device, Series
from motehub.model import Kind as SeriesKind

_WILD = frozenset("*?[")


class Matching:
    """Rules by what they look at. A rule for one device by name costs the others nothing."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules: dict[str, Rule] = {}
        # By the name of a device, "" where it is not one name that decides.
        self._by_device: dict[str, dict[str, Rule]] = {}
        for rule in rules:
            self.put(rule)

    def put(self, rule: Rule) -> None:
        """Add a rule, or let it take the place of the one of its name."""
        self.remove(rule.name)
        self._rules[rule.name] = rule
        if rule.enabled:
            for key in _keys(rule):
                self._by_device.setdefault(key, {})[rule.name] = rule

    def remove(self, name: str) -> None:
        """Take a rule out, if it is there."""
        rule = self._rules.pop(name, None)
        if rule is None:
            return
        for key in _keys(rule):
            if rules := self._by_device.get(key):
                rules.pop(name, None)
                if not rules:
                    del self._by_device[key]

    def get(self, name: str) -> Rule | None:
        """Return the rule of that name, enabled or not."""
        return self._rules.get(name)

    def of_series(self, device: Device, series: Series, labels: tuple[str, ...]) -> list[Rule]:
        """Return the rules that look at a series of a device with these labels."""
        return [
            rule
            for rule in self._candidates(device.name)
            if not rule.is_of_device and fits(rule, series) and is_for(rule, device.name, labels)
        ]

    def of_device(self, device: Device, labels: tuple[str, ...]) -> list[Rule]:
        """Return the rules that look at a device as a whole."""
        return [
            rule
            for rule in self._candidates(device.name)
            if rule.is_of_device and is_for(rule, device.name, labels)
        ]

    def _candidates(self, device: str) -> Iterator[Rule]:
        yield from self._by_device.get(device, {}).values()
        yield from self._by_device.get("", {}).values()


def has_wildcard(name: str) -> bool:
    """Tell whether a name of a rule stands for any that it matches."""
    return bool(_WILD & set(name))


def is_for(rule: Rule, device: str, labels: tuple[str, ...]) -> bool:
    """Tell whether a rule looks at a device of that name with these labels."""
    if rule.labels and not set(rule.labels) & set(labels):
        return False
    return not rule.devices or any(fnmatchcase(device, one) for one in rule.devices)


def fits(rule: Rule, series: Series) -> bool:
    """Tell whether a rule looks at such a series, whosever it is."""
    if rule.metric != series.metric:
        return False
    # What has no numbers can be equal to a text, always the same, or silent.
    return series.kind is SeriesKind.GAUGE or rule.kind in (Kind.EQUAL, Kind.STUCK, Kind.SILENT)


def _keys(rule: Rule) -> set[str]:
    if not rule.devices or any(map(has_wildcard, rule.devices)):
        return {""}
    return set(rule.devices)
