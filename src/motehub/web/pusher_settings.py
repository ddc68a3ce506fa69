"""Section ``[pusher]`` of the configuration: Pusher Channels on the port of ``[web]``."""

from __future__ import annotations

import enum
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.quantities import Duration, Size

LONGEST_SILENCE: Final = 3_600
"""Most seconds that ``activity_timeout`` may have."""

_APP_ID: Final = re.compile(r"[0-9]{1,20}")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{4,64}")
_SECRET_LENGTHS: Final = range(8, 129)
_KINDS: Final = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
)


class Overflow(enum.Enum):
    """What becomes of a client that reads more slowly than it is sent to."""

    DISCONNECT = "disconnect"
    """It is sent away, and may come back at once: then it subscribes anew and sees what is."""
    DROP_NEWEST = "drop newest"
    """What finds no more room is left out, unseen by the client, until it has read."""


_Webhooks = Annotated[
    list[str], Meta(description="Addresses (https://…) that are told what happens on channels.")
]
_WebhookEvents = Annotated[
    list[str],
    Meta(description=f"What they are told: {', '.join(_KINDS)}; [] = all but the last two."),
]


class PusherApp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[[pusher.app]]``: a further application, of other programs."""

    app_id: Annotated[str, Meta(description="Its number, digits only.")]
    key: Annotated[str, Meta(description="Its public key, which clients connect with.")]
    secret: Annotated[str, Meta(description="Its secret, 8 to 128 characters.")]
    enabled: Annotated[bool, Meta(description="Whether it is in use.")] = True
    connections: Annotated[int, Meta(ge=1, description="Most connections at a time.")] = 1000
    webhooks: _Webhooks = []
    webhook_events: _WebhookEvents = []

    def __post_init__(self) -> None:
        """Check what the libraries of the protocol are particular about."""
        check_keys(self.app_id, self.key, self.secret)
        check_kinds(self.webhook_events)


class PusherSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[pusher]``."""

    enabled: Annotated[bool, Meta(description="Whether Pusher Channels is spoken.")] = True
    app_id: Annotated[
        str,
        Meta(
            description='Number of the hub\'s application, digits only; "" = made at the first '
            "start, as key and secret: 'motehub pusher show' prints them."
        ),
    ] = ""
    key: Annotated[str, Meta(description="Its public key, which clients connect with.")] = ""
    secret: Annotated[str, Meta(description="Its secret, 8 to 128 characters.")] = ""
    activity_timeout: Annotated[
        Duration,
        Meta(description="Silence after which either side asks whether the other is there."),
    ] = Duration(120)
    connections: Annotated[
        int, Meta(ge=1, description="Most connections at a time; [web] has a bound for all.")
    ] = 10_000
    channels: Annotated[int, Meta(ge=1, description="Most channels in use, of each app.")] = 20_000
    channels_per_connection: Annotated[
        int, Meta(ge=1, description="Most channels of one connection.")
    ] = 1000
    members: Annotated[int, Meta(ge=1, description="Most members of a presence channel.")] = 100
    event_size: Annotated[Size, Meta(description="Longest data of an event.")] = Size(10_240)
    client_events: Annotated[
        int,
        Meta(ge=0, description="Events a second that a client may send to others; 0 = none."),
    ] = 10
    message_rate: Annotated[
        int,
        Meta(ge=1, description="Messages a second of a client; beyond, it is read more slowly."),
    ] = 200
    queued_bytes: Annotated[
        Size, Meta(description="Most bytes that wait for a client that reads slowly.")
    ] = Size(262_144)
    overflow: Annotated[
        Overflow,
        Meta(
            description='Beyond that "disconnect" (it may come back at once) or "drop newest" '
            "(events are left out)."
        ),
    ] = Overflow.DISCONNECT
    webhooks: _Webhooks = []
    webhook_events: _WebhookEvents = []
    app: Annotated[
        list[PusherApp],
        Meta(description="Further applications, for programs of your own; the hub uses the first."),
    ] = []

    def __post_init__(self) -> None:
        """Check what depends on each other."""
        given = [bool(one) for one in (self.app_id, self.key, self.secret)]
        if any(given):
            if not all(given):
                raise ValueError("give app_id, key and secret, or none of them")
            check_keys(self.app_id, self.key, self.secret)
        if not 1 <= self.activity_timeout <= LONGEST_SILENCE:
            raise ValueError(f"activity_timeout: it has 1 to {LONGEST_SILENCE} s")
        check_kinds(self.webhook_events)
        for what, values in (
            ("app_id", [self.app_id, *(one.app_id for one in self.app)]),
            ("key", [self.key, *(one.key for one in self.app)]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"app: two applications have the same {what}")


def check_keys(app_id: str, key: str, secret: str) -> None:
    """Check what identifies an application.

    Raises:
        ValueError: something about it can't be; the secret is not repeated.
    """
    if not _APP_ID.fullmatch(app_id):
        raise ValueError("app_id: it has 1 to 20 digits and nothing else")
    if not _KEY.fullmatch(key):
        raise ValueError("key: it has 4 to 64 of the characters A-Z a-z 0-9 _ -")
    if len(secret) not in _SECRET_LENGTHS or not secret.isprintable():
        raise ValueError("secret: it has 8 to 128 visible characters")


def check_kinds(kinds: list[str]) -> None:
    """Check that there are such things to be told.

    Raises:
        ValueError: there is no such thing.
    """
    for one in kinds:
        if one not in _KINDS:
            raise ValueError(f"webhook_events: {one!r:.40} is none of: {', '.join(_KINDS)}")
