"""Hears what a dashboard elsewhere asks of units here; ``docs/protocols/pusher-client.md``."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from motehub import __version__
from motehub.contracts import Ground, Listener, TransportPart
from motehub.errors import ConfigurationError
from motehub.http_client import place_of, tls_context
from motehub.logs import Logger, OccasionalLogger
from motehub.protocols.pusher.client import (
    Client,
    Comeback,
    Complaint,
    Established,
    Heard,
    NotSubscribed,
    Subscribed,
    code_of_end,
)
from motehub.protocols.pusher.messages import Unreadable
from motehub.protocols.pusher.requests import REQUESTS
from motehub.transports._pusher_client_auth import Authoriser
from motehub.transports._pusher_client_requests import Requests
from motehub.transports._pusher_client_settings import SECTION, Settings

if TYPE_CHECKING:
    import ssl

    from motehub.transports._pusher_client_link import Ended, Link

COUNTERS: Final = (
    "connected",
    "subscribed",
    "connections",
    "connections_failed",
    "subscriptions_refused",
    "given_up",
    "requests",
    "requests_taken",
    "requests_repeated",
    "requests_unknown",
    "requests_wrong",
    "requests_refused",
    "answers",
    "events_ignored",
    "messages_unreadable",
)

_BETWEEN_ANSWERS: Final = 0.02
_HOSTED: Final = "ws-{}.pusher.com"

_logger: Final = Logger("motehub.pusher_client")
_occasional: Final = OccasionalLogger(_logger)


class PusherClient:
    """See :class:`motehub.contracts.Transport`; it opens no port."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        self._settings = settings
        self._counts: Counter[str] = Counter()
        if ground.commander is None:
            raise ConfigurationError(f"{SECTION}: nobody here gives devices commands.")
        self._requests = Requests(ground, ground.commander, self._counts)
        self._uri = uri_of(settings)
        self._server = self._uri.partition("/app/")[0]
        self._tls: ssl.SSLContext | None = None
        self._authoriser: Authoriser | None = None
        self._task: asyncio.Task[None] | None = None
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Whether it is connected, how often it was or failed to, what was asked of units.

        ``given_up`` is the code with which the server has said never to come back as it is.
        """
        return {name: self._counts[name] for name in COUNTERS}

    async def __aenter__(self) -> PusherClient:
        """Begin to connect, and go on with that whenever the connection is lost.

        Raises:
            ConfigurationError: the WebSocket package is missing, or a file.
        """
        if not self._settings.key:
            _logger.info("commands of the dashboard don't come", reason=f"{SECTION} has no key")
            return self
        try:
            import motehub.transports._pusher_client_link as _link  # noqa: F401
        except ImportError as error:
            raise ConfigurationError(
                f"{SECTION} needs the package websockets, which can't be loaded ({error})."
            ) from error
        self._authoriser = Authoriser(self._settings)
        self._tls = _tls_of(self._settings)
        self._requests.start()
        self._task = asyncio.create_task(self._stay_connected(), name="pusher_client")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect, and give units what has been asked for so far."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._requests.stop()

    async def _stay_connected(self) -> None:
        comeback = Comeback()
        while True:
            session = _Session()
            try:
                ended = await self._connect(session)
            except Exception as error:
                from motehub.transports._pusher_client_link import Ended

                _logger.error("connection given up", server=self._server, error=repr(error))
                ended = Ended("an error in motehub")
            code = code_of_end(ended.code, session.client.complaint)
            # By chance, so that many bases that lost their server don't come back together.
            pause = comeback.pause(code, session.well_for, random.random())  # noqa: S311
            told = {"server": self._server, "reason": ended.reason, "code": code}
            if pause is None:
                self._counts["given_up"] = code or 0
                mend = f"mend {SECTION} or the server, and start again"
                _logger.error("the server wants no connection like this", **told, mend=mend)
                return
            is_new = not session.client.is_established
            event = "not connected" if is_new else "connection lost"
            _logger.warning(event, **told, again_in=f"{pause:.1f}")
            await asyncio.sleep(pause)

    async def _connect(self, session: _Session) -> Ended:
        """Connect, and do everything until the connection is lost; return how that was."""
        from motehub.transports._pusher_client_link import Ended, Link

        link = session.link = await Link.open(self._uri, self._tls)
        if isinstance(link, Ended):
            self._counts["connections_failed"] += 1
            return link
        self._counts["connections"] += 1
        self._counts["connected"] = 1
        try:
            return await self._converse(link, session)
        finally:
            self._counts["connected"] = self._counts["subscribed"] = 0
            self._requests.answers.close()
            if session.answering is not None:
                session.answering.cancel()
            await link.close()

    async def _converse(self, link: Link, session: _Session) -> Ended:
        from motehub.transports._pusher_client_link import Ended

        client = session.client = Client(REQUESTS, time.monotonic())
        while True:
            came = await link.receive(client.deadline - time.monotonic())
            if isinstance(came, Ended):
                return came
            if came is None:
                if (reason := client.tick(time.monotonic())) is not None:
                    return Ended(reason)
            elif (ended := await self._take(came, session)) is not None:
                return ended
            for message in client.take_outgoing():
                if (lost := await link.send(message)) is not None:
                    return lost

    async def _take(self, came: bytes, session: _Session) -> Ended | None:
        """Do what a message asks for; return why the connection is to end, or None."""
        from motehub.transports._pusher_client_link import Ended

        try:
            happening = session.client.receive(came, time.monotonic())
        except Unreadable as error:
            self._counts["messages_unreadable"] += 1
            _occasional.warning("message can't be read", server=self._server, reason=str(error))
            return None
        match happening:
            case Established(socket_id):
                return await self._authorise(session, socket_id)
            case Subscribed():
                session.since = time.monotonic()
                self._counts["subscribed"] = 1
                if session.is_answered:
                    self._requests.answers.open()
                    work = self._answer(session)
                    session.answering = asyncio.create_task(work, name="answers to requests")
                _logger.info("connected", server=self._server, channel=REQUESTS)
            case NotSubscribed(reason):
                self._counts["subscriptions_refused"] += 1
                return Ended(f"it refuses {REQUESTS}: {reason}")
            case Complaint(message, code):
                _occasional.warning("the server complains", reason=message, code=code)
            case Heard(message):
                await self._requests.take(message)
        return None

    async def _authorise(self, session: _Session, socket_id: str) -> Ended | None:
        from motehub.transports._pusher_client_link import Ended

        assert self._authoriser is not None
        signature = await self._authoriser.sign(socket_id, REQUESTS)
        if isinstance(signature, str):
            self._counts["subscriptions_refused"] += 1
            return Ended(signature)
        session.is_answered = signature.answers is True
        now = time.monotonic()
        session.client.subscribe(signature.auth, signature.channel_data, now)
        return None

    async def _answer(self, session: _Session) -> None:
        """Tell the dashboard what becomes of its requests, until the connection ends."""
        from motehub.transports._pusher_client_link import Link

        assert isinstance(session.link, Link)
        while await session.link.send(await self._requests.answers.next()) is None:
            self._counts["answers"] += 1
            # What comes meanwhile goes together: servers bound how often one may speak.
            await asyncio.sleep(_BETWEEN_ANSWERS)
        # Without answers the connection is of half a use.
        await session.link.close()


class _Session:
    """One connection, as far as its end matters to the next one."""

    def __init__(self) -> None:
        self.client = Client(REQUESTS, time.monotonic())
        self.link: Link | Ended | None = None
        self.since: float | None = None
        self.is_answered = False
        self.answering: asyncio.Task[None] | None = None

    @property
    def well_for(self) -> float:
        """For how many seconds the channel has been heard."""
        return 0.0 if self.since is None else time.monotonic() - self.since


def uri_of(settings: Settings) -> str:
    """Return the address of the server's WebSocket."""
    host = settings.host or _HOSTED.format(settings.cluster)
    host = f"[{host}]" if ":" in host else host
    port = settings.port or (443 if settings.tls else 80)
    scheme = "wss" if settings.tls else "ws"
    query = f"protocol={settings.protocol}&client=motehub&version={__version__}&flash=false"
    return f"{scheme}://{host}:{port}/app/{quote(settings.key, safe='')}?{query}"


def _tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return how to check the server: ``ca`` is the dashboard's, if that is who it is."""
    if not settings.tls:
        return None
    is_dashboard = settings.host.lower() == place_of(settings.api_url).host.lower()
    return tls_context(settings.ca if is_dashboard else "")


PART: Final = TransportPart(Settings, PusherClient, listens=False)
