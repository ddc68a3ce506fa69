"""Through whom people are told of alerts, as the process is told that does it."""

from __future__ import annotations

from typing import Final

import msgspec

MAIL: Final = "mail"
"""Name of the channel that is a mail server."""

NOBODY: Final = "-"
"""In ``notify`` of a rule: nobody is told."""


class Mail(msgspec.Struct, frozen=True):
    """A mail server and to whom it sends; ``tls`` is ``starttls``, ``tls`` or ``none``."""

    host: str
    port: int
    tls: str
    user: str
    password: str
    sender: str
    recipients: tuple[str, ...]
    ca: str = ""
    timeout: float = 30.0


class Apprise(msgspec.Struct, frozen=True):
    """A service that Apprise knows, by its address; ``language`` "" is that of the plan."""

    name: str
    url: str
    language: str = ""


class Plan(msgspec.Struct, frozen=True):
    """What the process knows of the configuration.

    ``zone`` is the time zone of people, "" for the system's, ``language`` theirs. ``link`` is the
    address of the hub's pages. ``store`` is where reports find the history. ``rate`` is how many
    messages a channel may send in an hour.
    """

    hub: str = "motehub"
    zone: str = ""
    link: str = ""
    rate: float = 30.0
    mail: Mail | None = None
    store: str = "sqlite"
    apprise: tuple[Apprise, ...] = ()
    language: str = "en"

    @property
    def channels(self) -> dict[str, str]:
        """The channels by name, with what people may see of their addresses."""
        found = {}
        if self.mail is not None and self.mail.recipients:
            found[MAIL] = f"{self.mail.host}:{self.mail.port} to {', '.join(self.mail.recipients)}"
        return found | {one.name: one.url.partition("://")[0] for one in self.apprise}
