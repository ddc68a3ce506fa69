"""Rules: what can be one, and what can't."""

from __future__ import annotations

from typing import Any

import pytest

from motehub.alerts.rule import check_message, decode, describe, encode, rule_of
from motehub.errors import InvalidRule

LEVEL = {"name": "r", "metric": "t", "above": 30}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (LEVEL, "t above 30"),
        ({**LEVEL, "below": 5, "for": "10m"}, "t above 30 or below 5 for 10 min"),
        (
            {"name": "r", "metric": "t", "rises": 2, "falls": 3},
            "t rises by more than 2 or falls by more than 3 within 10 min",
        ),
        ({"name": "r", "metric": "m", "equals": "on"}, "m is on"),
        ({"name": "r", "metric": "t", "stuck": "6h"}, "t does not change for 6 h"),
        ({"name": "r", "silent": "90m"}, "no data for 1.5 h"),
        ({"name": "r", "silent": "auto"}, "no data"),
        ({"name": "r", "offline": True, "for": 90}, "offline for 1.5 min"),
    ],
)
def test_a_rule_says_when_it_fires(fields: dict[str, Any], words: str) -> None:
    """In words; and it is the same after it was kept."""
    rule = rule_of(fields)
    assert describe(rule) == words
    assert decode(encode(rule)) == rule


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "r"}, "looks at one thing"),
        ({**LEVEL, "equals": "1"}, "looks at one thing"),
        ({"name": "r", "above": 3}, "metric must say"),
        ({**LEVEL, "name": ""}, "name must have"),
        ({**LEVEL, "name": "a/b"}, "slash"),
        ({**LEVEL, "below": 31}, "nothing would be right"),
        ({**LEVEL, "below": 29, "hysteresis": 1}, "would not end"),
        ({**LEVEL, "hysteresis": -1}, "hysteresis"),
        ({**LEVEL, "above": float("nan")}, "looks at one thing"),
        ({"name": "r", "metric": "t", "rises": -1}, "greater than 0"),
        ({"name": "r", "metric": "t", "rises": 1, "hysteresis": 1}, "less than what"),
        ({"name": "r", "metric": "t", "silent": "auto"}, "must be a time"),
        ({"name": "r", "metric": "t", "stuck": "6h", "for": "1m"}, "does not go with stuck"),
        ({"name": "r", "metric": "t", "stuck": 0.5}, "stuck must be"),
        ({"name": "r", "stuck": "6h"}, "metric must say"),
        ({"name": "r", "silent": "soon"}, "is not a duration"),
        ({"name": "r", "silent": "1h", "for": "1m"}, "do not go with silent"),
        ({"name": "r", "offline": True, "metric": "t"}, "does not go with offline"),
        ({**LEVEL, "quiet": "night"}, "22:00-07:00"),
        ({**LEVEL, "repeat": "1s"}, "at least 1 minute"),
        ({**LEVEL, "for": "2y"}, "366 days"),
        ({**LEVEL, "colour": "red"}, "colour"),
        ({**LEVEL, "severity": "bad"}, "severity"),
    ],
)
def test_what_can_be_no_rule(fields: dict[str, Any], reason: str) -> None:
    """The reason is given in words for the owner."""
    with pytest.raises(InvalidRule, match=reason):
        rule_of(fields)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("{device} is at {valeu}", r"\{valeu\} stands for nothing. Did you mean \{value\}\?"),
        ("{xyz}", "Known: device, metric, value"),
    ],
)
def test_a_misspelt_word_in_a_message_is_noticed(message: str, hint: str) -> None:
    """Braces around something else are text; what is kept already stays readable."""
    with pytest.raises(ValueError, match=hint):
        check_message(rule_of({**LEVEL, "message": message}))
    check_message(rule_of({**LEVEL, "message": "{value} { x } {} {device}"}))
