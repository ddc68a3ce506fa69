"""The owner's rules: to whom they apply, what stands for whom, and what can't be a rule."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.security.mqtt_rules import Rule, Who, expand, unclear

KITCHEN = Who("esp-1", ("kitchen-token",), ("kitchen", "oven"))
STRANGER = Who("esp-1", (), ())


@pytest.mark.parametrize(
    ("rule", "who", "expected"),
    [
        ({"user": "kitchen-token"}, KITCHEN, True),
        ({"user": "kitchen"}, KITCHEN, False),
        ({"user": "kitchen*"}, KITCHEN, True),
        ({"user": "*"}, KITCHEN, True),
        ({"user": "*"}, STRANGER, False),
        ({"device": "oven"}, KITCHEN, True),
        ({"device": "*"}, STRANGER, False),
        ({"client_id": "esp-*"}, STRANGER, True),
        ({"client_id": "esp-2"}, KITCHEN, False),
        ({"anonymous": True}, STRANGER, True),
        ({"anonymous": True}, KITCHEN, False),
        ({"user": "*", "client_id": "esp-2"}, KITCHEN, False),
        ({"anonymous": True, "client_id": "esp-1"}, STRANGER, True),
    ],
)
def test_a_rule_applies_where_all_that_it_says_fits(
    rule: dict[str, Any], who: Who, expected: bool
) -> None:
    """User and device are what a token or certificate says, the client id is the client's."""
    assert Rule(**rule).applies_to(who) is expected


def test_placeholders_stand_for_the_client() -> None:
    """Several devices make several filters, and text of a client is only text."""
    filters = ["home/%d/#", "%u/%c/x-%d", "plain/%x/50%"]
    assert list(expand(filters, KITCHEN)) == [
        "home/kitchen/#",
        "home/oven/#",
        "kitchen-token/esp-1/x-kitchen",
        "kitchen-token/esp-1/x-oven",
        "plain/%x/50%",
    ]
    assert list(expand(filters, STRANGER)) == ["plain/%x/50%"]
    assert list(expand(["%c/%u"], Who("%u", ("%c",), ()))) == ["%u/%c"]


@pytest.mark.parametrize("evil", ["#", "+", "a/b", "", "$SYS", "$share", "x\0", "a#", "+a"])
def test_a_client_gains_nothing_by_its_name(evil: str) -> None:
    """What would be a wildcard, another level or a server's topic stands for nothing."""
    who = Who(evil, ("user",), ())
    assert list(expand(["home/%c", "%c/#"], who)) == []
    assert unclear(["a", "home/%c"], who) == "%c"
    assert unclear(["a", "home/%u"], who) is None


@given(st.text(st.sampled_from("a/+#$%cud\0"), max_size=5), st.text(st.sampled_from("a%cud+/#")))
def test_a_placeholder_is_one_level_or_part_of_one(name: str, tail: str) -> None:
    """Whatever a client calls itself, a filter keeps its levels and its wildcards."""
    for one in expand([f"home/%c/x{tail}"], Who(name, (), ())):
        assert one.split("/")[1] == name
        assert one.count("/") == 2 + tail.count("/")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"publish": ["a"]}, "for whom"),
        ({"user": "a*b"}, "only be at the end"),
        ({"anonymous": True, "user": "x"}, "anonymous have no user"),
        ({"user": "x", "publish": ["a/#/b"]}, "last level"),
        ({"user": "x", "deny_subscribe": [""]}, "empty"),
        ({"user": "x", "subscribe": ["$share/g/a"]}, "without \\$share"),
        ({"user": "x", "publish": ["$SYS/x"]}, "only the hub"),
        ({"user": "x", "subscribe": ["a%c+"]}, "alone in its level"),
        ({"user": "x", "subscribe": ["a\0"]}, "U\\+0000"),
        ({"user": "x", "subscribe": ["a"] * 101}, "length <= 100"),
        ({"user": "x", "topics": ["a"]}, "unknown field"),
    ],
)
def test_what_can_not_be_a_rule_is_said(rule: dict[str, Any], reason: str) -> None:
    """The reason names the mend, and msgspec adds the place."""
    with pytest.raises(msgspec.ValidationError, match=reason):
        msgspec.convert([rule], list[Rule])
