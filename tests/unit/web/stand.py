"""A hub, its history in a real store, and the API on both, inside the test's own process.

Only the query process is one of its own, as it is in a running hub.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from litestar import Litestar
from tests.unit.core.support import START, FakeClock, open_hub

from motehub import parts
from motehub.backup.desk import DeskOfBackups
from motehub.contracts import Listener
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory
from motehub.core.hub import Hub
from motehub.core.journal import Journal
from motehub.following import STORE_URL
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS, Delivery, Record, Samples, Scope, Source, Texts
from motehub.web._api_access import ReportMaking
from motehub.web.api import ApiServices, make_api
from motehub.web.live import LiveStreams
from motehub.web.queries import Queries, QueryLimits
from motehub.web.snippets import Reach

SECOND = MICROSECONDS

LISTENERS = {"web": Listener("192.0.2.1", 8080, tls=False)}

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
"""What the hub's authority is like, for whoever only passes it on."""


class Stand:
    """A hub with its API; ``fold`` does what the writer process does."""

    def __init__(
        self,
        folder: Path,
        hub: Hub,
        journal: Journal,
        clock: FakeClock,
        consumer: Consumer,
        queries: Queries,
    ) -> None:
        self.folder = folder
        self.hub = hub
        self.journal = journal
        self.clock = clock
        self.queries = queries
        self._consumer = consumer
        self.backups = DeskOfBackups(folder)
        streams = LiveStreams(hub.feed, hub.tokens, hub.accounts.people, clock)
        self.app: Litestar = make_api(
            ApiServices(
                hub,
                queries,
                clock,
                lambda: {"version": "test", "fine": True},
                streams,
                webhooks=folder,
                reach=lambda: Reach(LISTENERS, ("hub",), (), CERTIFICATE, web_ca=False),
                backups=self.backups,
                reports=ReportMaking(folder, "sqlite", {STORE_URL: ""}, "hub", "UTC"),
            )
        )
        self.secrets: dict[str, str] = {}

    def fold(self) -> None:
        """Bring the history up to the journal."""
        assert self._consumer.catch_up(), self._consumer.trouble
        self.journal.follow("history", self._consumer.position)

    async def say(self, name: str, *records: Record, fold: bool = True) -> None:
        """Have the device ``name`` say something; it is accepted at once."""
        source = Source("test", f"test:{name}", name, "192.0.2.1")
        await self.hub.accept([Delivery(source, list(records))])
        if fold:
            self.fold()

    async def token(self, *scopes: Scope, devices: tuple[str, ...] = ()) -> str:
        """Return a new token's secret."""
        name = f"t{len(self.secrets)}"
        self.secrets[name] = await self.hub.create_token(name, scopes, devices)
        self.fold()
        return self.secrets[name]

    def client(self, secret: str | None = None) -> httpx.AsyncClient:
        """Return a client of the API that shows ``secret``."""
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        # The two describe the same protocol with types that don't fit each other.
        transport = httpx.ASGITransport(cast("Any", self.app))
        return httpx.AsyncClient(
            transport=transport, base_url="http://hub/api/v1", headers=headers, timeout=60
        )

    async def get(self, path: str, secret: str | None = None, **params: Any) -> httpx.Response:
        """Get ``path`` below ``/api/v1``, with a token that may read everything by default."""
        if secret is None:
            secret = self.secrets.get("reader")
            if secret is None:
                secret = await self.hub.create_token("reader", [Scope.READ])
                self.secrets["reader"] = secret
                self.fold()
        async with self.client(secret) as client:
            return await client.get(path, params=params)


@asynccontextmanager
async def open_stand(
    folder: Path,
    store: str = "sqlite",
    url: str = "",
    limits: QueryLimits = QueryLimits(),  # noqa: B008 - frozen
    command: Sequence[str] | None = None,
) -> AsyncIterator[Stand]:
    """Open a hub whose history is in ``store``, and its API; ``command`` starts other queries."""
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        hub, journal = await stack.enter_async_context(open_hub(folder, clock))
        history = parts.store(store).open(folder, url, False)
        stack.callback(history.close)
        log = SqliteLogReader(folder)
        stack.callback(log.close)
        consumer = Consumer("history", log, FoldIntoHistory(history, log, log.journal()))
        queries = Queries(
            command or [sys.executable, "-m", "motehub.reader", str(folder), store],
            os.environ | {STORE_URL: url},
            lambda: journal.health.head,
            limits,
        )
        await stack.enter_async_context(queries)
        stand = Stand(folder, hub, journal, clock, consumer, queries)
        stack.push_async_callback(stand.backups.close)
        yield stand


def numbers(
    *values: float, metric: str = "temperature", unit: str = "°C", step: int = 1
) -> Samples:
    """Return readings that are ``step`` seconds apart and end at the hub's present time."""
    first = START - (len(values) - 1) * step * SECOND
    times = array("q", (first + i * step * SECOND for i in range(len(values))))
    return Samples(metric, unit, times, array("d", values))


def many(count: int, metric: str = "temperature", unit: str = "°C") -> Samples:
    """Return ``count`` readings, one a second, that end at the hub's present time."""
    times = array("q", range(START - (count - 1) * SECOND, START + 1, SECOND))
    values = array("d", (20 + i % 97 / 7 for i in range(count)))
    return Samples(metric, unit, times, values)


def texts(*values: str, metric: str = "state") -> Texts:
    """Return texts a second apart that end at the hub's present time."""
    first = START - (len(values) - 1) * SECOND
    return Texts(metric, array("q", (first + i * SECOND for i in range(len(values)))), list(values))
