"""A server of Pusher Channels that a test plays itself, with the dashboard that signs for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

from websockets.asyncio.server import Server, ServerConnection, serve

from motehub.contracts import Ground, Places
from motehub.journals.sqlite import SqliteLogReader
from motehub.transports._pusher_client_settings import Settings
from motehub.transports.pusher_client import PusherClient
from tests.harness import PATIENCE
from tests.units_stand import SystemClock, UnitsHub

CHANNEL = "private-requests"


class Session:
    """A connection of a client, as the server has it."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.opened = asyncio.get_running_loop().time()

    async def say(self, event: str, data: object, channel: str | None = None) -> None:
        """Send an event whose data is JSON in a string."""
        message = {"event": event, "data": json.dumps(data)}
        if channel is not None:
            message["channel"] = channel
        await self.connection.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """Return the next message of the client."""
        async with asyncio.timeout(PATIENCE):
            heard: dict[str, Any] = json.loads(await self.connection.recv())
            return heard

    async def welcome(self, silence: int = 120) -> dict[str, Any]:
        """Let the client in; return how it asks for its channel."""
        hello = {"socket_id": "12.34", "activity_timeout": silence}
        await self.say("pusher:connection_established", hello)
        return await self.hear()

    async def subscribe(self, silence: int = 120) -> None:
        """Let the client in, and hear its channel."""
        await self.welcome(silence)
        await self.say("pusher_internal:subscription_succeeded", {}, CHANNEL)

    async def ask(self, **fields: object) -> None:
        """Ask for a unit to be updated."""
        await self.say("update.request", fields, CHANNEL)


class PusherStand:
    """Listens for the client; ``forms`` came to the dashboard, which answers with ``status``."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.tokens: list[str] = []
        self.paths: list[str] = []
        self.status = 200
        self._sessions: asyncio.Queue[Session] = asyncio.Queue()
        self._server: Server
        self._dashboard: asyncio.Server

    async def __aenter__(self) -> PusherStand:
        self._server = await serve(self._take, "127.0.0.1", 0)
        self._dashboard = await asyncio.start_server(self._sign, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._dashboard.close()
        await self._server.wait_closed()

    async def session(self) -> Session:
        """Return the next connection."""
        async with asyncio.timeout(PATIENCE):
            return await self._sessions.get()

    @property
    def is_alone(self) -> bool:
        """Whether nobody has connected whom ``session`` has not returned."""
        return self._sessions.empty()

    def settings(self, **keys: Any) -> Settings:
        given = {
            "api_url": f"http://127.0.0.1:{self._dashboard.sockets[0].getsockname()[1]}/path/",
            "api_token": "the token",
            "key": "app-key",
            "host": "127.0.0.1",
            "port": next(iter(self._server.sockets)).getsockname()[1],
            "tls": False,
        }
        return Settings(**(given | keys))

    async def _take(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        await self._sessions.put(Session(connection))
        await connection.wait_closed()

    async def _sign(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        self.forms.append(parse_qs(body.decode()))
        self.tokens.append(f"{head[0]} {headers['authorization']}")
        answer = json.dumps({"auth": "app-key:signed"}).encode()
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n" % (self.status, len(answer)))
        writer.write(answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def client_of(stand: UnitsHub, settings: Settings) -> AsyncIterator[PusherClient]:
    """Run the client beside the units of ``stand``."""
    log = SqliteLogReader(stand.folder)
    ground = Ground(
        stand.hub,
        SystemClock(),
        None,  # type: ignore[arg-type]  # it opens no port
        Places(1000),
        stand.hub.commands,
        log.state,
        stand.hub.tokens,
        stand.hub.registry,
        False,
        commander=stand.hub,
        units=lambda: stand.units,
    )
    async with PusherClient(settings, ground) as client:
        yield client
    log.close()
