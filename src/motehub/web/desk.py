"""What the pages of the settings show of the configuration, which is changed in its file."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from motehub.contracts import Listener
from motehub.web.post import Post


class MailShape(msgspec.Struct, frozen=True):
    """The mail server of ``[mail]``, without its password. ``tls`` is starttls, tls or none."""

    host: str
    port: int
    tls: str
    user: str
    sender: str
    recipients: list[str]
    ca: str


class NotifierShape(msgspec.Struct, frozen=True):
    """A section ``[[notify]]``; of its address only the ``service`` is shown."""

    name: str
    service: str
    enabled: bool


class WebhookSetting(msgspec.Struct, frozen=True):
    """A section ``[[webhook]]``, without what is secret; ``host`` is where it goes."""

    name: str
    host: str
    events: list[str]
    devices: list[str]
    enabled: bool


class Telling(msgspec.Struct, frozen=True):
    """How people are told, as the configuration says it.

    ``link`` is the address of the hub in messages, ``link_is_set`` that ``[alerts] link`` says it.
    """

    alerts: bool
    rate: float
    link: str
    link_is_set: bool
    mail: MailShape | None
    notifiers: list[NotifierShape]
    webhooks: list[WebhookSetting]


class ListenerShape(msgspec.Struct, frozen=True):
    """A section of a transport and how it is.

    ``ports`` are by the name that ``run.json`` gives them. ``connections`` are open, ``refused``
    were since the hub started; null where it has no such count. ``trouble`` is the newest warning
    or error about it, ``trouble_at`` when that was. ``settings`` are those that say where it
    listens or connects to.
    """

    section: str
    runs: bool
    ports: dict[str, Listener]
    connections: int | None
    refused: int | None
    trouble: str | None
    trouble_at: str | None
    settings: dict[str, Any]


class SettingsDesk(Protocol):
    """Knows the configuration, and tries what it says."""

    @property
    def post(self) -> Post:
        """Mails to people."""
        ...

    def telling(self) -> Telling:
        """Return how people are told."""
        ...

    def listeners(self) -> list[ListenerShape]:
        """Return every transport that there is, those that run first."""
        ...

    async def try_channel(self, name: str) -> str | None:
        """Send a test through a channel of alerts, and return why it has not arrived.

        Raises:
            UnknownWebhook: there is no such channel.
            OwnerError: another test is under way.
        """
        ...
