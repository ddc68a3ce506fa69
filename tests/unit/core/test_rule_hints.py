"""What a rule looks at and nobody knows yet."""

from __future__ import annotations

import pytest

from motehub.alerts.rule import rule_of
from motehub.core.profiles import Profile
from motehub.core.registry import Registry
from motehub.core.rule_hints import hint_of
from motehub.frames import Batch
from motehub.model import Admission, Device, Kind, Series

REGISTRY = Registry(
    [
        Device(1, "kitchen", "x", ("a",), Admission.ACCEPTED, 0),
        Device(2, "cellar", "x", ("b",), Admission.PENDING, 0),
    ],
    [
        Series(1, 1, "temperature", "°C"),
        Series(2, 1, "door", "", Kind.TEXT),
        Series(3, 2, "relative_humidity", "%"),
    ],
)
REGISTRY.profiles.put(Batch(), 1, Profile(labels=("indoors",)))


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"metric": "temperature"}, ""),
        ({"metric": "temperature", "devices": ["kit*"]}, ""),
        ({"metric": "temperature", "labels": ["indoors"]}, ""),
        ({"metric": "relative_humidity", "devices": ["cellar", "kitchen"]}, ""),
        ({"metric": "door", "equals": "open"}, ""),
        ({"silent": "1h"}, ""),
        (
            {"metric": "temprature"},
            "No 'temprature' has come from a device that it looks at yet. "
            "Did you mean 'temperature'?",
        ),
        (
            {"metric": "temperature", "devices": ["cellar"]},
            "No 'temperature' has come from the device yet. Known: 'relative_humidity'.",
        ),
        (
            {"metric": "temperature", "devices": ["kitchen", "kichen"]},
            "There is no device called 'kichen' yet. Did you mean 'kitchen'?",
        ),
        (
            {"silent": "1h", "devices": ["attic"]},
            "There is no device called 'attic' yet. Known: 'cellar', 'kitchen'.",
        ),
        (
            {"metric": "temperature", "labels": ["indoor"]},
            "No device has the label 'indoor' yet. Did you mean 'indoors'?",
        ),
        ({"silent": "1h", "devices": ["x*"]}, "There is no device yet that it looks at."),
        (
            {"metric": "door"},
            "What comes as 'door' is text so far, and no number: only equals, stuck and silent "
            "look at text.",
        ),
    ],
)
def test_what_nobody_knows_yet_is_hinted_at(fields: dict[str, object], hint: str) -> None:
    """With the nearest name where one is near; nothing is said of what is there."""
    if not fields.keys() & {"silent", "equals"}:
        fields = {"above": 30, **fields}
    assert hint_of(rule_of({"name": "r", **fields}), REGISTRY) == hint


def test_an_empty_hub_gives_a_hint_as_well() -> None:
    """There is nothing near then."""
    rule = rule_of({"name": "r", "metric": "temperature", "above": 30})
    assert hint_of(rule, Registry()) == "There is no device yet that it looks at."
