"""Payloads of MQTT device sessions: small boards with a LED, a button and a photoresistor.

Which topics there are, and what a device does when, is in ``docs/protocols/device-session.md``.
Parts are separated by ``;`` without spaces: ``<MAC>``, ``<name>;<session id>``, or these two and
a value.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from motehub.model import NAME_BYTES

JOIN: Final = "state/join"
NAME_ASSIGN: Final = "state/nameAssign"
LEAVE: Final = "state/leave"
LED_COMMAND: Final = "led/command"

SESSION_BYTES: Final = 17
"""Longest session id in bytes; what it looks like is not the device's business."""

_SWITCH: Final = {b"0": 0.0, b"1": 1.0}
_PERCENT: Final = {b"%d" % number: float(number) for number in range(101)}
_DECIMAL: Final = re.compile(rb"(?:[0-9]|[1-9][0-9])\.[0-9]{1,17}|100\.0{1,17}")
_MAC: Final = re.compile(rb"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_SESSION: Final = re.compile(rf"[!-:<-~]{{1,{SESSION_BYTES}}}")


class Status(msgspec.Struct, frozen=True):
    """What a topic reports: the metric, its unit, and the number for each payload there is."""

    metric: str
    unit: str
    values: dict[bytes, float]


STATUS: Final = {
    "led/status": Status("led", "", _SWITCH),
    "button/status": Status("button", "", _SWITCH),
    "photoresistor/status": Status("illuminance", "%", _PERCENT),
}
"""The topics on which a device reports values."""

TOPICS: Final = frozenset({JOIN, NAME_ASSIGN, LEAVE, LED_COMMAND, *STATUS})
"""All topics of the protocol."""


class Mac(msgspec.Struct, frozen=True):
    """A device without name: its MAC address as it writes it."""

    text: str

    @property
    def identity(self) -> str:
        """The key by which the hub knows the device, however it writes its address."""
        return f"mac:{self.text.upper()}"


class Claim(msgspec.Struct, frozen=True):
    """The name and the session id that a device says it has."""

    name: str
    session: str


class BadPayload(ValueError):
    """A payload is not as the protocol has it; the message says in what."""


def parse_join(payload: bytes) -> Mac | Claim:
    """Return who joins.

    Raises:
        BadPayload: it is neither a MAC address nor a name and a session id.
    """
    if _MAC.fullmatch(payload):
        return Mac(payload.decode())
    if b";" not in payload:
        raise BadPayload("not a MAC address such as 61:EC:ED:3B:25:B1, nor <name>;<session_id>")
    return parse_claim(payload)


@lru_cache(4096)
def parse_claim(payload: bytes) -> Claim:
    """Return the name and session id of ``<name>;<session_id>``.

    Raises:
        BadPayload: it is not of this form, or a part is empty or too long.
    """
    name, separator, session = payload.partition(b";")
    if not separator or b";" in session:
        raise BadPayload("not of the form <name>;<session_id>")
    if not 0 < len(name) <= NAME_BYTES:
        raise BadPayload(f"the name has {len(name)} bytes; 1 to {NAME_BYTES} are possible")
    try:
        claim = Claim(name.decode(), session.decode())
    except UnicodeDecodeError:
        raise BadPayload("not UTF-8") from None
    if not claim.name.isprintable() or claim.name != claim.name.strip():
        raise BadPayload("the name begins or ends with a space, or holds what can't be printed")
    if not _SESSION.fullmatch(claim.session):
        raise BadPayload(f"the session id is not 1 to {SESSION_BYTES} visible ASCII characters")
    return claim


def split_status(payload: bytes) -> tuple[bytes, bytes]:
    """Return the claim, which ``parse_claim`` reads, and the value of a report.

    Raises:
        BadPayload: there is no value.
    """
    claim, separator, value = payload.rpartition(b";")
    if not separator:
        raise BadPayload("not of the form <name>;<session_id>;<value>")
    return claim, value


def parse_value(status: Status, value: bytes) -> float:
    """Return the number that ``value`` is.

    Raises:
        BadPayload: it is none of those that the topic has.
    """
    number = status.values.get(value)
    if number is not None:
        return number
    if status.unit == "%":
        if _DECIMAL.fullmatch(value):
            return float(value)
        raise BadPayload("the value is not a number from 0 to 100")
    raise BadPayload("the value is neither 0 nor 1")


def format_name_assign(mac: Mac, name: str, session: str) -> bytes:
    """Return the answer to a device that joined by its MAC address."""
    return f"{mac.text};{name};{session}".encode()


def format_led_command(name: str, session: str, on: bool) -> bytes:
    """Return the order to switch the LED of the device in this session."""
    return f"{name};{session};{int(on)}".encode()
