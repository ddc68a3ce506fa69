"""What a command may say, and how it is written for a device and for people."""

from __future__ import annotations

import math

import pytest

from motehub.command import Command, CommandState, Order, Value, checked_order
from motehub.errors import InvalidCommand


@pytest.mark.parametrize(
    ("order", "message", "text"),
    [
        (Order(payload="#ff8800"), b"#ff8800", "payload '#ff8800'"),
        (Order(payload="é\n"), "é\n".encode(), "payload 'é\\n'"),
        (Order("led", 1), b'{"name":"led","value":1}', "led = 1"),
        (Order("led", True), b'{"name":"led","value":true}', "led = True"),
        (Order("target", 20.5), b'{"name":"target","value":20.5}', "target = 20.5"),
        (Order("colour", "red"), b'{"name":"colour","value":"red"}', "colour = 'red'"),
        (Order("reboot"), b'{"name":"reboot"}', "reboot"),
    ],
)
def test_an_order_is_written(order: Order, message: bytes, text: str) -> None:
    """A device gets the payload or a JSON object, people a line."""
    assert order.message == message
    assert str(order) == text


@pytest.mark.parametrize(
    ("order", "line", "fault"),
    [
        (Order(payload="#ff8800 café"), "#ff8800 café", None),
        (Order("led", True), "1", None),
        (Order("target", 20.5), "20.5", None),
        (Order("colour", "red"), "red", None),
        (Order("reboot"), None, "a name alone"),
        (Order(payload="red\rblue"), None, "one line"),
        (Order("colour", "red\n"), None, "one line"),
        (Order(payload="red\x7f"), None, "one line"),
    ],
)
def test_an_order_is_told_in_a_line(order: Order, line: str | None, fault: str | None) -> None:
    """A unit gets the payload or the value alone; nothing that would be two lines."""
    if fault is None:
        assert (order.line, order.line_fault) == (line, None)
    else:
        assert fault in str(order.line_fault)


def test_people_see_the_beginning_of_long_texts() -> None:
    """A kilobyte of payload does not fill the list of events."""
    assert len(str(Order(payload="x" * 1024))) < 80


@pytest.mark.parametrize(
    ("given", "kept"), [(1.0, 1), (-3.0, -3), (0.5, 0.5), (1e300, 1e300), (True, True), ("1", "1")]
)
def test_whole_numbers_are_written_without_a_point(given: Value, kept: Value) -> None:
    """JSON and its clients may write 1 as 1.0; devices get 1."""
    value = checked_order("led", given, None).value
    assert (type(value), value) == (type(kept), kept)


@pytest.mark.parametrize(
    ("name", "value", "payload", "reason"),
    [
        (None, None, None, "says nothing"),
        (None, 1, None, "says nothing"),
        ("led", 1, "red", "not both"),
        (None, 1, "red", "not both"),
        ("", 1, None, "1 to 64"),
        ("x" * 65, 1, None, "1 to 64"),
        (" led", 1, None, "space"),
        ("l\ned", 1, None, "can't be seen"),
        ("led", "", None, "1 to 256"),
        ("led", "é" * 129, None, "1 to 256"),
        ("led", math.nan, None, "nan"),
        ("led", math.inf, None, "inf"),
        ("led", 2**53 + 1, None, "exactly"),
        (None, None, "", "1 to 1024"),
        (None, None, "é" * 513, "1 to 1024"),
        (None, None, "\ud800", "half of a character"),
    ],
)
def test_what_can_not_be_sent_is_refused(
    name: str | None, value: Value | None, payload: str | None, reason: str
) -> None:
    """An order that says nothing or too much, or is too long, is an error that says so."""
    with pytest.raises(InvalidCommand, match=reason):
        checked_order(name, value, payload)


@pytest.mark.parametrize(
    ("order", "state", "is_over"),
    [
        (Order("led", 1), CommandState.QUEUED, False),
        (Order("led", 1), CommandState.SENT, False),
        (Order("reboot"), CommandState.SENT, True),
        (Order(payload="red"), CommandState.SENT, True),
        (Order("led", 1), CommandState.CONFIRMED, True),
        (Order("led", 1), CommandState.FAILED, True),
        (Order("led", 1), CommandState.EXPIRED, True),
    ],
)
def test_only_a_value_waits_for_confirmation(
    order: Order, state: CommandState, *, is_over: bool
) -> None:
    """What no reading can confirm is over when it has been sent."""
    assert Command("00", 1, order, 0, 1, state, 0).is_over is is_over
