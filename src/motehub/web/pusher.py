"""Pusher Channels on the web port: clients at ``/app/KEY``, programs at ``/apps/ID/…``."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from motehub.contracts import Ground, Listener
from motehub.conversations import Channel, ConnectionLimits, Conversation, Peer, Successor
from motehub.core.hub import Hub
from motehub.http_exchange import JSON, Response
from motehub.listening import StreamListener
from motehub.model import MICROSECONDS
from motehub.protocols.pusher import messages
from motehub.protocols.pusher.application import Application, Happening, Keys, Kind, Limits
from motehub.protocols.pusher.connection import PATH, Applications
from motehub.protocols.pusher.http_api import PATHS, ApiError, ApiRequest, Call
from motehub.protocols.pusher.requests import REQUESTS
from motehub.web import _pusher_access as access
from motehub.web._pusher_access import Access, Grants, Visitors
from motehub.web._pusher_carrier import BaseCarrier
from motehub.web._pusher_feed import FeedChannels
from motehub.web._pusher_socket import Bounds, Client, Lobby
from motehub.web._pusher_webhooks import Webhooks
from motehub.web.asgi import Answer
from motehub.web.pusher_settings import PusherApp, PusherSettings

NAME: Final = "pusher"
"""What counters and commands call it."""

GRANTS_SECONDS: Final = 5.0
"""Seconds after which a token that was revoked gives no channel any more, at the latest."""

# Connections beyond the limit, which are told so before they are closed.
_SPARE: Final = 100
# A message is longer than the data in it: that may be JSON within JSON, and there is a name.
_PER_BYTE: Final = 2
_BESIDE: Final = 16_384
_IDS: Final = 10**9
_UNASKED: Final = frozenset({Kind.CLIENT_EVENT, Kind.CACHE_MISS})


class PusherServer:
    """See :class:`motehub.contracts.Transport`; it has no port of its own.

    ``keys`` are those of the hub's application. As :class:`motehub.conversations.Upgrading` it is
    given the connections of clients, as :class:`motehub.web.asgi.Branch` the requests of programs.
    """

    prefixes: Final = PATHS

    def __init__(self, settings: PusherSettings, keys: Keys, ground: Ground, hub: Hub) -> None:
        self._settings = settings
        self._ground = ground
        self._hub = hub
        self._counters: Counter[str] = Counter()
        self._webhooks: list[Webhooks] = []
        own = PusherApp(
            keys.app_id,
            keys.key,
            keys.secret,
            connections=settings.connections,
            webhooks=settings.webhooks,
            webhook_events=settings.webhook_events,
        )
        application = self._application = self._make(own, self._look)
        bounds = Bounds(
            int(settings.queued_bytes),
            settings.overflow,
            settings.message_rate,
            int(settings.activity_timeout),
        )
        applications = Applications([application, *(self._make(one) for one in settings.app)])
        self._lobby = Lobby(applications, bounds, settings.connections, _socket_id)
        clock = ground.clock
        visitors = Visitors(hub.tokens, hub.accounts.people)
        grants = self._grants = Grants(application, visitors)
        most_sent = int(settings.queued_bytes) // 2
        carrier = BaseCarrier(
            application, ground.commands, grants, clock, _soon, most_sent, ground.units
        )
        application.attend(REQUESTS, carrier)
        self._carrier = carrier
        self._access = Access(application, grants, visitors, clock, carrier.expect_answers)
        self._feed = FeedChannels(application, hub.feed, grants, self._lobby.outbox, clock)
        # Who is there answers pings; one who takes nothing more is cut off after that.
        longest = float(settings.activity_timeout) + 2 * messages.PONG_SECONDS
        most = settings.connections + _SPARE
        self._listener = StreamListener(
            NAME,
            ground,
            ConnectionLimits(most, most, handshake=0, idle=longest),
            self._converse,
            None,
            section=NAME,
        )
        self._watch: asyncio.Task[None] | None = None
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections and bytes; what was sent, dropped and refused, all applications together."""
        total = Counter(self._counters)
        for one in self._lobby.applications.all:
            total.update(one.counters)
        total.update(self._lobby.counters)
        total.update(self._listener.counters)
        total["connected"] = sum(map(len, self._lobby.applications.all))
        return total

    @property
    def upgrades(self) -> Mapping[str, Callable[[Callable[[], None]], Successor]]:
        """See :class:`motehub.conversations.Upgrading`."""
        return {PATH: self._listener.adopt}

    @property
    def answers(self) -> Mapping[tuple[str, str], Answer]:
        """What is answered to small requests, by method and path."""
        found: dict[tuple[str, str], Answer] = {}
        for path in access.PATHS:
            found |= {("POST", path): self._access.answer, ("OPTIONS", path): access.preflight}
        return found

    async def __aenter__(self) -> PusherServer:
        """Take commands for units, and look after what tokens have given."""
        self._ground.commands.attach(NAME, self._carrier)
        self._watch = asyncio.create_task(self._look_after(), name="pusher grants")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections; what happened is posted first."""
        self.dismiss()
        if self._watch is not None:
            self._watch.cancel()
        await self._feed.end()
        for one in self._webhooks:
            await one.end()

    def dismiss(self) -> None:
        """Say goodbye to all clients: they may come back at once."""
        for one in self._lobby.applications.all:
            one.dismiss(messages.COME_BACK, "the hub is stopping")

    def begin(self, request: ApiRequest) -> PendingCall | Response:
        """Return what goes on once the request's body is here, or why it is refused before."""
        now = self._ground.clock()
        try:
            call = Call(self._lobby.applications, request, now / MICROSECONDS)
        except ApiError as error:
            self._counters["api_refused"] += 1
            return _refused(error)
        return PendingCall(call, self._lobby, self._ground.clock)

    def _make(self, app: PusherApp, look: Callable[[Happening], None] | None = None) -> Application:
        settings = self._settings
        limits = Limits(
            app.connections,
            settings.channels,
            settings.channels_per_connection,
            settings.members,
            int(settings.event_size),
            settings.client_events,
        )
        tell = [look] if look is not None else []
        if app.webhooks:
            kinds = app.webhook_events or [one.value for one in Kind if one not in _UNASKED]
            clock = self._ground.clock
            webhooks = Webhooks(app.app_id, kinds, self._hub.post, clock, self._counters)
            self._webhooks.append(webhooks)
            tell.append(webhooks.tell)

        def told(happening: Happening) -> None:
            for one in tell:
                one(happening)

        keys = Keys(app.app_id, app.key, app.secret)
        return Application(keys, limits, _frame, told, enabled=app.enabled)

    def _look(self, happening: Happening) -> None:
        """Have the hub speak on its channels, soon, if somebody listens."""
        if happening.kind in (Kind.OCCUPIED, Kind.VACATED):
            loop = asyncio.get_running_loop()
            for part in (self._feed, self._carrier):
                loop.call_soon(part.look, happening.channel)

    def _converse(self, _: Peer, channel: Channel) -> Conversation:
        """Begin with a client.

        The package for WebSocket takes long to import, and most hubs that have this need it never.
        """
        from motehub.websocket_frames import ANY_ORIGIN, WebSocket

        # A page of any site may connect, as the protocol has it: what it hears there it needs a
        # signature for, and to get that a token.
        limit = _BESIDE + _PER_BYTE * int(self._settings.event_size)
        socket = WebSocket(limit, [ANY_ORIGIN], subprotocol=None)
        return Client(self._lobby, socket, channel, self._ground.clock())

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(GRANTS_SECONDS)
            self._grants.check_all(self._ground.clock())
            self._carrier.tidy()


class PendingCall:
    """A request of a program that may make it; see :class:`motehub.web.asgi.Pending`."""

    def __init__(self, call: Call, lobby: Lobby, clock: Callable[[], int]) -> None:
        self.body_limit = call.body_limit
        self._call = call
        self._lobby = lobby
        self._clock = clock

    async def answer(self, body: bytes) -> Response:
        """Carry it out; an event is answered when all clients have been written to."""
        try:
            document = self._call.answer(body, self._clock())
        except ApiError as error:
            return _refused(error)
        await self._lobby.outbox.settled()
        return Response(200, (JSON,), msgspec.json.encode(document))


def _soon(work: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_soon(work)


def _refused(error: ApiError) -> Response:
    # Libraries of the protocol show the body as it is.
    return Response(error.status, (JSON,), msgspec.json.encode({"error": error.reason}))


def _socket_id() -> str:
    """Return an id that nobody can foresee: a signature that was made for it is good for it."""
    return f"{secrets.randbelow(_IDS) + 1}.{secrets.randbelow(_IDS) + 1}"


def _frame(message: bytes) -> bytes:
    from motehub.websocket_frames import text_frame

    return text_frame(message)
