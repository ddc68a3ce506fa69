"""The payloads of MQTT device sessions."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.protocols.device_session import (
    STATUS,
    BadPayload,
    Claim,
    Mac,
    format_led_command,
    format_name_assign,
    parse_claim,
    parse_join,
    parse_value,
    split_status,
)

SESSION = "1743946777.603371"


def test_a_mac_address_joins() -> None:
    """A MAC address is one device in upper and lower case, and is answered as it was written."""
    mac = parse_join(b"61:ec:ED:3B:25:B1")
    assert mac == Mac("61:ec:ED:3B:25:B1")
    assert mac.identity == "mac:61:EC:ED:3B:25:B1"
    assert format_name_assign(mac, "capteur01", SESSION) == (
        b"61:ec:ED:3B:25:B1;capteur01;1743946777.603371"
    )


def test_a_name_and_session_join() -> None:
    """The second join of a device has its name and session; any visible id is one."""
    assert parse_join(b"capteur01;1743946777.603371") == Claim("capteur01", SESSION)
    assert parse_join("Gérard;x".encode()) == Claim("Gérard", "x")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b";",
        b"capteur01",
        b"61:EC:ED:3B:25",
        b"61:EC:ED:3B:25:B1 ",
        b"61:EC:ED:3B:25:B1\n",
        b"61-EC-ED-3B-25-B1",
        b"61:EC:ED:3B:25:BG",
        "61:EC:ED:3B:25:B١".encode(),
        b"capteur01;",
        b";1743946777.603371",
        b"capteur01;1743946777.603371;1",
        b"capteur01;1743946777.6033711",
        b"capteur01; 743946777.603371",
        b"capteur01 ;1743946777.603371",
        b"capteur01;174394677\x007",
        b"\xff;1",
        b"capteur\x0001;1",
        b"a" * 30 + b";1",
        "é".encode() * 15 + b";1",
    ],
)
def test_what_is_no_join(payload: bytes) -> None:
    """Anything else is refused, however near it comes."""
    with pytest.raises(BadPayload):
        parse_join(payload)


def test_the_longest_name_fits() -> None:
    """A name has up to 29 bytes."""
    assert parse_claim(b"a" * 29 + b";1").name == "a" * 29


@pytest.mark.parametrize(
    ("topic", "value", "number"),
    [
        ("led/status", b"1", 1.0),
        ("led/status", b"0", 0.0),
        ("button/status", b"1", 1.0),
        ("photoresistor/status", b"0", 0.0),
        ("photoresistor/status", b"57", 57.0),
        ("photoresistor/status", b"100", 100.0),
        ("photoresistor/status", b"57.25", 57.25),
        ("photoresistor/status", b"100.0", 100.0),
    ],
)
def test_a_report(topic: str, value: bytes, number: float) -> None:
    """A report is a claim and a value."""
    claim, text = split_status(b"capteur01;1743946777.603371;" + value)
    assert parse_claim(claim) == Claim("capteur01", SESSION)
    assert parse_value(STATUS[topic], text) == number


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        ("led/status", b"2"),
        ("led/status", b"on"),
        ("led/status", b"0.5"),
        ("led/status", b""),
        ("button/status", b"01"),
        ("photoresistor/status", b"101"),
        ("photoresistor/status", b"-1"),
        ("photoresistor/status", b"100.1"),
        ("photoresistor/status", b"007"),
        ("photoresistor/status", b"nan"),
        ("photoresistor/status", b"5."),
        ("photoresistor/status", b"1e1"),
        ("photoresistor/status", b" 5"),
        ("photoresistor/status", "٣".encode()),
    ],
)
def test_a_value_that_is_none(topic: str, value: bytes) -> None:
    """A value that the topic does not have is refused."""
    with pytest.raises(BadPayload):
        parse_value(STATUS[topic], value)


def test_a_report_without_value() -> None:
    """A payload without any separator is no report."""
    with pytest.raises(BadPayload):
        split_status(b"capteur01")


def test_an_order_to_the_led() -> None:
    """An order names device and session, and is 1 or 0."""
    assert format_led_command("LeBron", SESSION, on=True) == b"LeBron;1743946777.603371;1"
    assert format_led_command("LeBron", SESSION, on=False) == b"LeBron;1743946777.603371;0"


@given(st.binary(max_size=80))
def test_only_documented_errors(payload: bytes) -> None:
    """Whatever arrives, it is understood or refused."""
    for parse in (parse_join, parse_claim, split_status):
        with suppress(BadPayload):
            assert parse(payload)
    for status in STATUS.values():
        with suppress(BadPayload):
            assert 0 <= parse_value(status, payload) <= 100


@given(
    st.text(min_size=1).filter(
        lambda t: t.isprintable() and ";" not in t and t == t.strip() and len(t.encode()) <= 29
    ),
    st.from_regex(r"[0-9]{10}\.[0-9]{6}", fullmatch=True),
)
def test_names_and_sessions_come_back(name: str, session: str) -> None:
    """What a device was assigned, it can claim."""
    mac = Mac("61:EC:ED:3B:25:B1")
    _, _, claim = format_name_assign(mac, name, session).partition(b";")
    assert parse_join(claim) == Claim(name, session)
