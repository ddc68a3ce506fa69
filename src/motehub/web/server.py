"""The web listener: one port for ingest, the API and what else the hub speaks over HTTP."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from motehub.contracts import BackupDesk, CertificateDesk, Ground, Listener, TlsContexts
from motehub.conversations import Channel, ConnectionLimits, Conversation, Peer
from motehub.core.hub import Hub
from motehub.guessing import Guesses
from motehub.http_exchange import Handler, Request, Response, plain
from motehub.listening import StreamListener
from motehub.model import Admission
from motehub.units import UnitDesk
from motehub.web import influx, pages, readings
from motehub.web._api_access import ApiServices, ReportMaking
from motehub.web.access import secret_of_cookie
from motehub.web.api import make_api
from motehub.web.asgi import Answer, Branch, WebApplication
from motehub.web.desk import SettingsDesk
from motehub.web.front import HttpFront
from motehub.web.idempotency import IdempotencyKeys
from motehub.web.influx import WriteHandler
from motehub.web.ingest import Ingest
from motehub.web.intake import Allowance, Intake
from motehub.web.live import LiveStreams
from motehub.web.metrics import Metrics
from motehub.web.notices import Notices
from motehub.web.pimonitor import PimonitorHandler, PimonitorRules
from motehub.web.proxies import Proxies, parse_proxies
from motehub.web.queries import Queries
from motehub.web.readings import ReadingsHandler
from motehub.web.settings import PimonitorSettings, WebSettings
from motehub.web.snippets import Reach
from motehub.web.successor import AsgiServer
from motehub.web.units_webhook import UnitsWebhook
from motehub.web.upgrades import SucceedWith, Upgrades

NAME: Final = "web"
"""What ``run.json`` calls the port."""


class HistorySource(msgspec.Struct, frozen=True):
    """Where queries find the history: data folder, store and the variable with its URL."""

    folder: Path
    store: str
    environment: Mapping[str, str]


class WebServer:
    """See :class:`motehub.contracts.Transport`.

    ``state`` is what the journal keeps for good, ``mark`` what tells it from others, ``head``
    returns its newest position, ``health`` the condition of every part. ``zone`` is that of
    pimonitor's devices of which nothing else is said. ``upgrades`` take the connections that ask
    for their paths, ``branches`` the requests under their prefixes, ``answers`` small ones by
    method and path. ``folder`` of ``history`` has the outbox of webhooks. ``certificates`` is
    where the owner issues them, ``backups`` where they are made. ``reach`` returns how devices
    reach the hub, whose ``name`` is in reports; those that name no language are in ``language``.
    ``desk`` knows the configuration, and sends mails to people, also of what the owner changes on
    the command line.
    """

    def __init__(
        self,
        settings: WebSettings,
        pimonitor: PimonitorSettings,
        ground: Ground,
        hub: Hub,
        tls: TlsContexts | None,
        history: HistorySource,
        *,
        state: Mapping[str, bytes],
        mark: str,
        head: Callable[[], int],
        health: Callable[[], dict[str, Any]],
        zone: tzinfo,
        upgrades: Mapping[str, SucceedWith] | None = None,
        answers: Mapping[tuple[str, str], Answer] | None = None,
        branches: Sequence[Branch] = (),
        units: UnitDesk | None = None,
        certificates: CertificateDesk | None = None,
        backups: BackupDesk | None = None,
        reach: Callable[[], Reach],
        desk: SettingsDesk,
        name: str = "motehub",
        language: str = "en",
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._clock = ground.clock
        self._queries = Queries(
            [sys.executable, "-m", "motehub.reader", str(history.folder), history.store],
            os.environ | dict(history.environment),
            head,
        )
        limit = int(settings.body_limit)
        taking = ReadingsHandler(hub.tokens, hub.registry, self._name_of, limit)
        handlers: dict[str, Handler] = {readings.PATH: taking}
        writing = WriteHandler(hub.tokens, hub.registry, self._name_of, limit)
        handlers |= dict.fromkeys(influx.PATHS, writing)
        if pimonitor.enabled:
            rules = PimonitorRules(_zones(pimonitor, zone), pimonitor.key_required)
            handler = PimonitorHandler(
                rules, hub.tokens.find_by_hash, self._name_of, self._is_pending
            )
            handlers |= dict.fromkeys(pimonitor.paths, handler)
        guesses = Guesses()
        intake = Intake(hub, handlers, Allowance(int(settings.bodies)), guesses)
        ingest = Ingest(intake, taking, IdempotencyKeys(state), ground.clock)
        self._streams = LiveStreams(hub.feed, hub.tokens, hub.accounts.people, ground.clock)
        services = ApiServices(
            hub,
            self._queries,
            ground.clock,
            health,
            self._streams,
            units,
            history.folder,
            certificates,
            reach=reach,
            desk=desk,
            zone=zone,
            reports=ReportMaking(
                history.folder,
                history.store,
                history.environment,
                name,
                getattr(zone, "key", None) or "",
                language,
            ),
            backups=backups,
        )
        self._backups = backups
        self._desk = desk
        hub.accounts.on_change = Notices(desk.post, language=language).changed
        metrics = Metrics(hub.tokens.find, ground.clock, health)
        proxies = Proxies(parse_proxies(settings.trusted_proxies))
        application = WebApplication(
            ingest,
            frozenset(handlers),
            {**self._answers(metrics), **(answers or {})},
            make_api(services),
            branches,
            guesses,
            UnitsWebhook(hub, hub.registry, hub.tokens.find, units, mark, ground.clock),
            proxies,
        )
        self._branches = branches
        server = AsgiServer(application, settings.idle_timeout)
        ways = Upgrades(upgrades or {}, server.succeed, proxies)

        def converse(peer: Peer, _: Channel) -> Conversation:
            through = proxies.has(peer.address)
            return HttpFront(peer.address, intake, ways.beginnings, is_proxy=through)

        self._listener = StreamListener(
            NAME, ground, _limits(settings), converse, tls, succeed=ways.succeed, section=NAME
        )
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections, refusals, failed handshakes, bytes."""
        return self._listener.counters

    async def __aenter__(self) -> WebServer:
        """Open the port."""
        await self._queries.__aenter__()
        self.listeners[NAME] = await self._listener.open(self._settings.host, self._settings.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it; requests that are under way are answered first."""
        self._streams.end()
        if self._backups is not None:
            await self._backups.close()
        await self._desk.post.close()
        for one in self._branches:
            one.dismiss()
        await self._listener.close()
        await self._queries.__aexit__(None, None, None)

    def _name_of(self, identity: str) -> str | None:
        device = self._hub.registry.by_identity(identity)
        return device.name if device is not None else None

    def _is_pending(self, identity: str) -> bool:
        device = self._hub.registry.by_identity(identity)
        return device is not None and device.admission is Admission.PENDING

    def _answers(self, metrics: Metrics) -> dict[tuple[str, str], Answer]:
        found: dict[tuple[str, str], Answer] = {
            **pages.answers(self._language_of, sends_mail=self._desk.post.is_open),
            ("GET", "/healthz"): lambda _: plain(200, "ok\n"),
            ("GET", "/readyz"): self._ready,
            ("GET", "/metrics"): metrics.answer,
            ("GET", "/ping"): influx.ping,
            ("GET", "/health"): influx.health,
        }
        for path in ("/query", "/api/v1/query"):
            found |= {("GET", path): influx.query, ("POST", path): influx.query}
        for path in ("/api/v1/ping", "/api/v2/ping"):
            found[("GET", path)] = influx.ping
        return found

    def _language_of(self, request: Request) -> str | None:
        """Return the language that whoever is logged in has chosen.

        It is asked for with each page, which will ask for the history next.
        """
        people = self._hub.accounts.people
        browser = people.browser(secret_of_cookie(request.headers), self._clock())
        if browser is None:
            return None
        self._queries.prepare()
        return people.get(browser.user).language

    def _ready(self, _: Request) -> Response:
        if self._hub.held_back is not None:
            return plain(503, "senders are held back: nothing is stored at the moment\n")
        return plain(200, "ready\n")


def _limits(settings: WebSettings) -> ConnectionLimits:
    return ConnectionLimits(
        settings.connections,
        settings.connections_per_address,
        settings.handshake_timeout,
        settings.idle_timeout,
    )


def _zones(settings: PimonitorSettings, default: tzinfo) -> Callable[[str], tzinfo]:
    zones = {location: ZoneInfo(zone) for location, zone in settings.time_zones.items()}
    general = ZoneInfo(settings.time_zone) if settings.time_zone else default
    return lambda location: zones.get(location, general)
