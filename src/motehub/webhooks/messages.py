"""What general webhooks say: their types, and their bodies in JSON.

A body is ``{"type": …, "timestamp": …, "data": {…}}``, as Standard Webhooks recommends; times
are ISO 8601 in UTC.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from motehub.command import Command
from motehub.core.moments import iso
from motehub.core.shapes import show_command
from motehub.frames import AlertChanged, HubNoticed
from motehub.model import Device, Series

READINGS: Final = "readings.stored"
"""Type of messages with readings: those that aren't due yet get more of them."""

NOTICE: Final = "hub.notice"
"""Type of messages about the hub itself."""

TEST: Final = "webhook.test"
"""Type of the message that only shows whether messages arrive."""

READINGS_END: Final = b"]}}"
"""How the body of such a message ends."""

FRAME_BYTES: Final = 128
"""Room for what stands around the readings."""

_encode = msgspec.json.Encoder().encode


class _Reading(msgspec.Struct, frozen=True):
    device: str
    metric: str
    unit: str
    time: str
    value: float | str


def new_key() -> str:
    """Return the id of a new message, which nobody can guess."""
    return f"msg_{secrets.token_hex(12)}"


def reading(device: Device, series: Series, time: int, value: float | str) -> bytes:
    """Return a reading in JSON."""
    return _encode(_Reading(device.name, series.metric, series.unit, iso(time), value))


def readings_begin(now: int) -> bytes:
    """Return what stands before the readings of a message that is begun at ``now`` (µs)."""
    return b'{"type":"%b","timestamp":"%b","data":{"readings":[' % (
        READINGS.encode(),
        iso(now).encode(),
    )


def presence(device: Device, online: bool, time: int) -> tuple[str, bytes]:
    """Return type and body of a message that a device is online or offline since ``time``."""
    kind = "presence.online" if online else "presence.offline"
    return kind, _body(kind, time, {"device": device.name, "online": online, "time": iso(time)})


def command(device: Device, command: Command) -> tuple[str, bytes]:
    """Return type and body of a message that a command was given, or has come further."""
    kind = f"command.{command.state.value}"
    return kind, _body(kind, command.changed, show_command(command, device))


def alert(entry: AlertChanged) -> tuple[str, bytes]:
    """Return type and body of a message that an alert began, is over or was answered."""
    kind = f"alert.{entry.state.replace(' ', '_')}"
    return kind, _body(kind, entry.time, msgspec.Raw(entry.body))


def notice(entry: HubNoticed) -> tuple[str, bytes]:
    """Return type and body of a message that the owner should know something of the hub itself."""
    told = {"kind": entry.kind, "severity": entry.severity, "text": entry.text}
    return NOTICE, _body(NOTICE, entry.time, told | {"time": iso(entry.time)})


def test(now: int) -> bytes:
    """Return the body of a test."""
    return _body(TEST, now, {"text": "This is a test: motehub's webhooks arrive."})


def _body(kind: str, time: int, data: Any) -> bytes:
    return _encode({"type": kind, "timestamp": iso(time), "data": data})
