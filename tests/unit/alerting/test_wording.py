"""The sentences in which people are told of alerts."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from motehub.alerting.book import Alert
from motehub.alerting.wording import NOTICE, Told, compose, end_sentence, sentence
from motehub.alerts.rule import describe, rule_of
from motehub.languages import Words
from motehub.model import Admission, Device, Series

DEVICE = Device(1, "cellar", "http", ("token:1",), Admission.ACCEPTED, 0)
SERIES = Series(1, 1, "temperature", "°C")


@pytest.mark.parametrize(
    ("fields", "begins", "ends"),
    [
        (
            {"above": 20},
            "cellar: temperature is 21.5 °C (temperature above 20)",
            "cellar: temperature is 19 °C again, after 1.5 h",
        ),
        (
            {"stuck": "6h"},
            "cellar: temperature is always 21.5 °C, for 6 h",
            "cellar: temperature changes again, to 19 °C, after 1.5 h",
        ),
    ],
)
def test_what_is_told_of_an_alert(fields: dict[str, Any], begins: str, ends: str) -> None:
    """When it begins and when it is over, in the words of what the rule looks at."""
    rule = rule_of({"name": "r", "metric": "temperature", **fields})
    assert sentence(rule, DEVICE, SERIES, 21.5) == begins
    alert = Alert(
        **dict.fromkeys(Alert.__struct_fields__[:15], ""),  # type: ignore[arg-type]
        notify="",
    )
    over = msgspec.structs.replace(
        alert,
        device="cellar",
        metric="temperature",
        unit="°C",
        began=0,
        ended=5_400_000_000,
        limits=describe(rule),
    )
    assert end_sentence(over, 19.0) == ends


def test_what_a_device_says_adds_no_line() -> None:
    """A text with line breaks, or marks that turn it round, stays within its sentence."""
    rule = rule_of(
        {"name": "r", "metric": "mode", "equals": "x", "message": "{device} says {value}"}
    )
    said = sentence(rule, DEVICE, SERIES, "on\n\n-- \nYour hub: log in at evil.example\u202e")
    assert "evil.example" in said
    assert said.isprintable()


def test_what_is_of_the_hub_itself_names_no_device_and_no_rule() -> None:
    """Alone, and among alerts of devices."""
    notice = Told(0, NOTICE, "", "warning", "", "", "the budget <was> used up", "", 0, 0)
    alone = compose([notice], "home", "https://hub.example/", ZoneInfo("UTC"), Words("en"))
    assert alone.subject == "[home] Warning: the budget <was> used up"
    assert "rule" not in alone.text
    assert "https://hub.example/status" in alone.text
    assert "budget &lt;was&gt; used up" in alone.html
    assert 'href="https://hub.example/status"' in alone.html
    assert "alert 0" not in alone.html
    alert = Told(7, "begins", "r", "critical", "cellar", "t", "cellar is wet", "t above 1", 0, 0)
    both = compose([notice, alert], "home", "", ZoneInfo("UTC"), Words("en"))
    assert both.subject == "[home] Critical, 2 alerts: cellar, the hub itself"
    assert both.text.index("CRITICAL  cellar is wet") < both.text.index("WARNING  the budget")
