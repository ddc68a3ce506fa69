"""Where webhooks go: what the process that sends them is told, as JSON in its environment."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import msgspec

BASE: Final = "base"
"""Name of the dashboard of a base unit among the endpoints."""

SCHEDULE: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds after which a message is tried again: what the specification gives as an example."""


class Endpoint(msgspec.Struct, frozen=True):
    """A receiver of general webhooks, or of those of a Pusher application.

    ``secrets`` are those of Standard Webhooks, or the one of the application with ``app_key``.
    ``events`` are ``readings``, ``presence``, ``commands``, ``alerts``; ``devices`` patterns of
    names, none for all. ``destination`` is that of webhooks which parts of the hub word themselves.
    Times are in seconds: ``interval`` is how long readings are gathered, ``keep`` how long
    messages stay that are over. ``queue`` bounds the messages that wait.
    """

    name: str
    url: str
    secrets: tuple[str, ...]
    app_key: str = ""
    events: frozenset[str] = frozenset()
    devices: tuple[str, ...] = ()
    destination: str = ""
    headers: dict[str, str] = {}
    ca: str = ""
    timeout: float = 15.0
    retries: tuple[float, ...] = SCHEDULE
    queue: int = 10_000
    keep: float = 3 * 86_400.0
    interval: float = 1.0

    def wants(self, device: str) -> bool:
        """Tell whether it is told of the device called so."""
        return not self.devices or any(fnmatchcase(device, one) for one in self.devices)


class Dashboard(msgspec.Struct, frozen=True):
    """Where a base unit sends the readings of its units, one request for each.

    ``rate`` bounds the requests per second that are late. Of a unit that the dashboard doesn't
    want readings are kept for ``patience`` seconds. ``queue`` bounds the readings that wait.
    """

    url: str
    token: str
    ca: str = ""
    timeout: float = 15.0
    rate: float = 100.0
    connections: int = 4
    latest_only: bool = False
    queue: int = 100_000
    patience: float = 86_400.0


class Plan(msgspec.Struct, frozen=True):
    """What a process sends: webhooks, or the readings of a base unit."""

    endpoints: tuple[Endpoint, ...] = ()
    dashboard: Dashboard | None = None

    def to_json(self) -> str:
        """Return it as text; durations are seconds."""
        return msgspec.json.encode(self, enc_hook=float).decode()
