"""Sections ``[alerts]`` and ``[mail]`` of the configuration: how people are told."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.alerting.plan import MAIL, NOBODY
from motehub.alerts.rule import Rule, check_message
from motehub.languages import check_language
from motehub.mail_addresses import is_address
from motehub.quantities import Duration

_MOST_RECIPIENTS: Final = 100
_NAME_LENGTH: Final = 64


class MailTls(enum.Enum):
    """How the connection to a mail server is kept private."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[alerts]``."""

    enabled: Annotated[bool, Meta(description="Whether rules are looked at.")] = True
    link: Annotated[
        str,
        Meta(description='Address of the hub in messages: "https://hub.example:8080"; "" = none.'),
    ] = ""
    rate: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="Messages per hour through one channel; beyond, one tells of many alerts.",
        ),
    ] = 30.0


class NotifySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section ``[[notify]]``."""

    name: Annotated[str, Meta(description="What you call it; each has another name.")]
    url: Annotated[
        str, Meta(description='Its address for Apprise: "ntfy://ntfy.example.org/freezer".')
    ] = ""
    url_file: Annotated[
        str, Meta(description="A file with the address instead, since it may hold a secret.")
    ] = ""
    language: Annotated[
        str, Meta(description='Language of its messages: en, fr; "" = that of [hub].')
    ] = ""
    enabled: Annotated[bool, Meta(description="Whether anybody is told through it.")] = True

    def __post_init__(self) -> None:
        """Check name and address.

        Raises:
            ValueError: something can't be; the address is not repeated.
        """
        if not self.name.isprintable() or not 0 < len(self.name.strip()) <= _NAME_LENGTH:
            raise ValueError(f"name must have 1 to {_NAME_LENGTH} characters that can be seen")
        if self.name in (MAIL, NOBODY):
            raise ValueError(f"name can't be {self.name!r}, which means something else")
        if bool(self.url) == bool(self.url_file):
            raise ValueError("give url or url_file")
        check_language(self.language)
        if self.url and "://" not in self.url:
            raise ValueError("url must begin as in ntfy://")


class MailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[mail]``."""

    host: Annotated[
        str, Meta(description='Mail server that takes messages; "" = no mail is sent.')
    ] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Its port; 0 = 587, 465 with tls, 25 with none.")
    ] = 0
    tls: Annotated[
        MailTls,
        Meta(description="starttls, tls (from the first byte), none (only in your own network)."),
    ] = MailTls.STARTTLS
    user: Annotated[str, Meta(description='Who logs in there; "" = nobody.')] = ""
    password: Annotated[str, Meta(description="The password; better in a file.")] = ""
    password_file: Annotated[str, Meta(description="A file with the password instead.")] = ""
    sender: Annotated[
        str, Meta(description='From whom mails are: "hub@example.org"; "" = user.')
    ] = ""
    recipients: Annotated[
        list[str],
        Meta(
            max_length=_MOST_RECIPIENTS,
            description="To whom mails about alerts go; [] = nobody, only people and reports.",
        ),
    ] = []
    ca: Annotated[
        str,
        Meta(
            description="PEM file of the authority that the server's certificate is of; "
            '"" = those of the system.'
        ),
    ] = ""
    timeout: Annotated[
        Duration, Meta(description="Longest time that the server may be silent.")
    ] = Duration(30)

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: something can't be; the password is not repeated.
        """
        for address in (*self.recipients, *([self.sender] if self.sender else [])):
            if not is_address(address):
                raise ValueError(f"{address[:80]!r} is no mail address")
        if self.password and self.password_file:
            raise ValueError("give password or password_file, not both")
        if not self.host:
            return
        if not self.sender and not is_address(self.user):
            raise ValueError("sender must say from whom mails are")
        if self.user and self.tls is MailTls.NONE and self.host not in _HERE:
            raise ValueError('tls = "none" would show the password to the whole network')

    @property
    def usual_port(self) -> int:
        """The port, where none is said the one for such a connection."""
        return self.port or _PORTS[self.tls]


def channel_names(mail: MailSettings, notifiers: Sequence[NotifySettings]) -> set[str]:
    """Return what may stand in ``notify`` of a rule."""
    there = {MAIL} if mail.host and mail.recipients else set()
    return {NOBODY, *there, *(one.name for one in notifiers)}


def check_rules(rules: Sequence[Rule], notifiers: Sequence[NotifySettings]) -> None:
    """See that the channels are there that rules name, and what their messages name.

    Raises:
        ValueError: one is not.
    """
    channels = {MAIL, NOBODY, *(one.name for one in notifiers)}
    for rule in rules:
        try:
            check_message(rule)
        except ValueError as error:
            raise ValueError(f"rule {rule.name!r}: {error}") from error
        if unknown := set(rule.notify) - channels:
            known = ", ".join(sorted(channels))
            raise ValueError(
                f"rule.notify of {rule.name!r}: there is no {min(unknown)!r}; known: {known}"
            )


_PORTS: Final = {MailTls.STARTTLS: 587, MailTls.TLS: 465, MailTls.NONE: 25}
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
