"""The hub's own channels: what they are called, and which token may hear them."""

from __future__ import annotations

import re
from typing import Final

from motehub.errors import InvalidName
from motehub.model import Scope, Token, check_device_name
from motehub.protocols.pusher import names
from motehub.protocols.pusher.requests import REQUESTS

DEVICE: Final = "private-device."
"""How the channel of a device begins; its name follows, see ``channel_of``."""

DEVICES: Final = "private-devices"
"""The channel of what changes about devices: presence, admission, names."""

ALERTS: Final = "private-alerts"
"""The channel of alerts; nothing is said on it yet."""

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.,@")


def channel_of(device: str) -> str:
    """Return the channel of a device.

    Bytes of the name's UTF-8 that channels can't have are written as ``=`` and two hexadecimal
    digits.
    """
    escaped = (chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in device.encode())
    return DEVICE + "".join(escaped)


def device_of(channel: str) -> str | None:
    """Return which device's channel it is, None when it is no device's."""
    if not channel.startswith(DEVICE):
        return None
    raw = channel.removeprefix(DEVICE).encode("utf-8", "surrogatepass")
    plain = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), raw)
    try:
        name = check_device_name(plain.decode())
    except (InvalidName, UnicodeDecodeError):
        return None
    # One device has one channel.
    return name if channel_of(name) == channel else None


def may_hear(token: Token, channel: str) -> bool:
    """Tell whether a token may subscribe to a private channel.

    Of channels that are not the hub's own, only those who may do everything: the programs that
    use them give access to them, with the application's secret.
    """
    if (device := device_of(channel)) is not None:
        return token.may_read(device)
    if channel in (DEVICES, ALERTS):
        return token.allows(Scope.READ) and not token.devices
    if channel == REQUESTS:
        return token.allows(Scope.CONTROL) and not token.devices
    return token.allows(Scope.ADMIN) and names.is_private(channel)


def what_gives(channel: str) -> str:
    """Return for people what a token needs for a channel."""
    if device_of(channel) is not None:
        return "the scope read, for this device"
    if channel in (DEVICES, ALERTS):
        return "the scope read, bound to no devices"
    if channel == REQUESTS:
        return "the scope control, bound to no devices"
    return "the scope admin"
