"""Value templates of Home Assistant."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.mqtt_meaning.templates import NotUnderstood, Payload, parse_template
from motehub.mqtt_meaning.values import NoReading

PAYLOAD = b'{"temp": 21.46, "text": "7.5", "on": true, "AM2301": {"Temperature": 4.7}, "list": [1, {"a": 2}], "my key": 3}'  # noqa: E501


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ value_json.temp }}", 21.46),
        ("{{value_json.temp}}", 21.46),
        ("{{- value_json.temp -}}\n", 21.46),
        ("{{ value_json['AM2301'].Temperature }}", 4.7),
        ('{{ value_json["AM2301"]["Temperature"] }}', 4.7),
        ("{{ value_json.list[1].a }}", 2),
        ('{{ value_json["my key"] }}', 3),
        ("{{ value_json.on }}", True),
        ("{{ value_json.missing }}", None),
        ("{{ value_json.temp.deeper }}", None),
        ("{{ value_json.list['a'] }}", None),
        ("{{ value_json.temp | float }}", 21.46),
        ("{{ value_json.text | float(0) }}", 7.5),
        ("{{ value_json.missing | float(0) }}", 0),
        ("{{ value_json.missing | float }}", None),
        ("{{ value_json.temp | int }}", 21),
        ("{{ value_json.temp | round(1) }}", 21.5),
        ("{{ value_json.temp|float|round }}", 21),
        ("{{ value_json.temp | is_defined }}", 21.46),
        ("{{ value_json.missing | default('no') }}", "no"),
        ("{{ value_json.missing | default(none) }}", None),
        ("{{ value_json.list[0] | float / 10 }}", 0.1),
        ("{{ (value_json.temp | float * 10) | round(0) }}", 215),
        ("{{ value_json.temp * 2 + 1 - 0.92 }}", 43),
        ("{{ float(value_json.text) * 2 }}", 15),
        ("{{ float(value_json.missing, -1) }}", -1),
        ("{{ -value_json.temp | abs }}", 21.46),
        ("{{ value_json.temp / 0 }}", None),
        ("{{ value_json.on * 2 }}", 2),
    ],
)
def test_a_template(template: str, expected: Any) -> None:
    """The forms that sensors use are computed as Jinja does."""
    assert parse_template(template)(Payload(PAYLOAD)) == pytest.approx(expected)


def test_the_plain_value() -> None:
    """A payload that is no JSON is the value itself."""
    assert parse_template("{{ value }}")(Payload(b"open")) == "open"
    assert parse_template("{{ value | float / 2 }}")(Payload(b"5")) == 2.5
    for payload in (b"\xff", b"{"):
        with pytest.raises(NoReading):
            parse_template("{{ value_json.a }}")(Payload(payload))
    with pytest.raises(NoReading):
        parse_template("{{ value }}")(Payload(b"\xff"))


@pytest.mark.parametrize(
    "template",
    [
        *("", "value", "{{ }}", "{{ value", "{{ 'a' if value else 'b' }}", "{% set a = 1 %}"),
        *("{{ value_json.a }}{{ value }}", "{{ value_json. }}", "{{ value_json[a] }}"),
        *("{{ value_json[1.5] }}", "{{ value | upper }}", "{{ states('a') }}", "{{ value == 1 }}"),
        *("{{ value | round(1, 'floor') }}", "{{ value | float(value) }}", "{{ (value }}"),
        *("{{ value ~ 'x' }}", "{{ " + "(" * 300 + " }}", "{{ value }}" + " " * 600),
        "{{ value | round('1') }}",
    ],
)
def test_what_is_not_understood(template: str) -> None:
    """Whatever needs all of Jinja is not understood, rather than wrongly."""
    with pytest.raises(NotUnderstood):
        parse_template(template)


@given(
    st.lists(
        st.sampled_from(
            [*"()[].|+-*/,", "value", "value_json", "float", "int", "round", "'a'", "1", "2.5", "x"]
        ),
        max_size=30,
    ).map(" ".join),
    st.binary(max_size=20) | st.sampled_from([PAYLOAD, b"1", b"1e308", b'"a"', b"[]"]),
)
def test_only_documented_errors(inner: str, payload: bytes) -> None:
    """Whatever a configuration says, it is understood or not."""
    with suppress(NotUnderstood, NoReading):
        parse_template("{{ " + inner + " }}")(Payload(payload))
