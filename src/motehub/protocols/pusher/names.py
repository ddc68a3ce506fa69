"""Names of channels, events and users, and what a channel's name makes of it."""

from __future__ import annotations

import re
from typing import Final

NAME_LENGTH: Final = 164
"""Longest name of a channel, in characters."""

EVENT_LENGTH: Final = 200
"""Longest name of an event, in characters."""

USER_LENGTH: Final = 200
"""Longest id of a user, in characters."""

INFO_BYTES: Final = 1_024
"""Longest ``user_info`` of a member, as at the hosted service: each newcomer gets that of all."""

MOST_CHANNELS: Final = 100
"""Most channels to which one request sends an event."""

MOST_BATCHED: Final = 10
"""Most events in one batch."""

CLIENT_EVENT: Final = "client-"
"""How the names of events begin that clients may send."""

TO_USER: Final = "#server-to-user-"
"""How the name of a signed-in user's own channel begins."""

_RESERVED: Final = ("pusher:", "pusher_internal:")
_CHANNEL: Final = re.compile(rf"[-A-Za-z0-9_=@,.;]{{1,{NAME_LENGTH}}}")
_SOCKET: Final = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")
_EXCERPT: Final = 60


def is_private(channel: str) -> bool:
    """Tell whether a subscription needs a signature; presence channels are private too."""
    return channel.startswith(("private-", "presence-"))


def is_presence(channel: str) -> bool:
    """Tell whether subscribers see each other."""
    return channel.startswith("presence-")


def is_cache(channel: str) -> bool:
    """Tell whether the last event is kept for whoever subscribes later."""
    return channel.startswith(
        ("cache-", "private-cache-", "presence-cache-", "private-encrypted-cache-")
    )


def is_encrypted(channel: str) -> bool:
    """Tell whether events are sealed from end to end; they are passed on as they are."""
    return channel.startswith("private-encrypted-")


def user_of(channel: str) -> str | None:
    """Return whose own channel it is, None for all others."""
    return channel.removeprefix(TO_USER) if channel.startswith(TO_USER) else None


def why_no_channel(name: str) -> str | None:
    """Return why no channel can be called so, or None."""
    if (user := user_of(name)) is not None:
        return why_no_user(user)
    if _CHANNEL.fullmatch(name):
        return None
    return (
        f"{_shown(name)} is no name of a channel: it has 1 to {NAME_LENGTH} of the characters "
        "A-Z a-z 0-9 _ - = @ , . ;"
    )


def why_no_user(user: str) -> str | None:
    """Return why no user can have this id, or None."""
    if 1 <= len(user) <= USER_LENGTH and user.isprintable():
        return None
    return f"{_shown(user)} is no id of a user: it has 1 to {USER_LENGTH} visible characters"


def why_no_event(name: str) -> str | None:
    """Return why no event may be called so, or None."""
    if not 1 <= len(name) <= EVENT_LENGTH:
        return f"the name of an event has 1 to {EVENT_LENGTH} characters, not {len(name)}"
    if name.startswith(_RESERVED):
        return f"{_shown(name)} is no name for an event: pusher: is the protocol's own"
    return None


def is_socket_id(text: str) -> bool:
    """Tell whether a text has the form of a socket id: digits, a dot, digits."""
    return _SOCKET.fullmatch(text) is not None


def _shown(name: str) -> str:
    return repr(name if len(name) <= _EXCERPT else f"{name[: _EXCERPT - 1]}…")
