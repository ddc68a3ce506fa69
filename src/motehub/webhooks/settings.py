"""Sections ``[[webhook]]`` of the configuration: who is told what happens."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.http_client import check_header, place_of
from motehub.quantities import Duration
from motehub.webhooks.endpoints import SCHEDULE
from motehub.webhooks.signing import key_of

_NAME_LENGTH: Final = 64
_MOST_RETRIES: Final = 50
# What the hub says itself, and what says where a message ends.
_OWN_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)


class Event(enum.Enum):
    """What an endpoint can be told of."""

    READINGS = "readings"
    PRESENCE = "presence"
    COMMANDS = "commands"
    ALERTS = "alerts"


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section ``[[webhook]]``."""

    name: Annotated[str, Meta(description="What you call the receiver; each has another name.")]
    url: Annotated[str, Meta(description="Its address: https://HOST/PATH.")]
    secret: Annotated[
        str,
        Meta(
            description="What messages are signed with, whsec_…: 'motehub webhooks secret' makes "
            "one."
        ),
    ] = ""
    secret_file: Annotated[str, Meta(description="A file with the secret instead.")] = ""
    old_secret: Annotated[
        str,
        Meta(description="The secret of before, which signs too until the receiver has the new."),
    ] = ""
    enabled: Annotated[
        bool, Meta(description="Whether it is told anything; false forgets what waits for it.")
    ] = True
    events: Annotated[
        list[Event],
        Meta(min_length=1, description="What it is told: readings, presence, commands, alerts."),
    ] = msgspec.field(default_factory=lambda: list(Event))
    devices: Annotated[
        list[str],
        Meta(description='Names of the devices that matter, "*" = any characters; [] = all.'),
    ] = []
    headers: Annotated[
        dict[str, str], Meta(description='Further headers: {"X-Name" = "value"}.')
    ] = {}
    ca: Annotated[
        str,
        Meta(
            description="PEM file of the authority that the receiver's certificate is of; "
            '"" = those of the system.'
        ),
    ] = ""
    interval: Annotated[
        Duration, Meta(description="Readings are gathered for so long before they are sent.")
    ] = Duration(1)
    timeout: Annotated[
        Duration, Meta(description="Longest time until the receiver has answered.")
    ] = Duration(15)
    retries: Annotated[
        list[Duration],
        Meta(
            max_length=_MOST_RETRIES,
            description="After how long a message that failed is tried again, each time; then it "
            "is given up.",
        ),
    ] = msgspec.field(default_factory=lambda: [Duration(one) for one in SCHEDULE])
    queue: Annotated[
        int, Meta(ge=10, le=1_000_000, description="Most messages that wait; then the oldest go.")
    ] = 10_000
    keep: Annotated[
        Duration,
        Meta(description="How long messages that are over are kept, to be sent again."),
    ] = Duration(3 * 86400)

    def __post_init__(self) -> None:
        """Check name, address, secret and headers.

        Raises:
            ValueError: something can't be; secrets are not repeated.
        """
        if not self.name.isprintable() or not 0 < len(self.name.strip()) <= _NAME_LENGTH:
            raise ValueError(f"name must have 1 to {_NAME_LENGTH} characters that can be seen")
        try:
            place_of(self.url)
        except ValueError as error:
            raise ValueError(f"url {error}") from None
        if bool(self.secret) == bool(self.secret_file):
            raise ValueError("give secret or secret_file: 'motehub webhooks secret' makes one")
        for key, secret in (("secret", self.secret), ("old_secret", self.old_secret)):
            if secret:
                try:
                    key_of(secret)
                except ValueError as error:
                    raise ValueError(f"{key} {error}") from None
        for header, value in self.headers.items():
            check_header(header, value)
            if header.lower() in _OWN_HEADERS:
                raise ValueError(f"headers: {header} is one that the hub sets itself")
