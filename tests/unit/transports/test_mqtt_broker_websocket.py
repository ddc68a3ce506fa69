"""A conversation inside WebSocket frames, on its own port and on the web port.

The client is that of the library ``websockets``; the conversation inside is one of the simplest.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.desk import Desk
from tests.harness import PATIENCE
from tests.unit.test_websocket_frames import Browser
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from motehub import connections
from motehub.contracts import Ground, Note, Places, TlsContexts
from motehub.conversations import Channel, ConnectionLimits, Conversation, Peer, Turn
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.http_exchange import Exchange, Request, Response, Take, plain
from motehub.listening import StreamListener
from motehub.model import Delivery, Receipt, Source
from motehub.security.authority import Authority
from motehub.security.tls import ServerTls
from motehub.transports._mqtt_broker_websocket import WebSocketConversation
from motehub.web.front import HttpFront
from motehub.web.intake import Allowance, Intake
from motehub.web.upgrades import Upgrades
from motehub.websocket_frames import WebSocket

LIMIT = 100_000


class Hub:
    """Takes everything, once its gate is open."""

    held_back = None

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def interrupt(self, dialect: str) -> None:
        raise NotImplementedError

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        await self.gate.wait()
        if note is not None:
            note([])
        return [Receipt(1, 0) for _ in deliveries]


class Echo:
    """Answers what it hears once that is stored, and does what it is told."""

    deadline: int | None = None

    def __init__(self, peer: Peer, channel: Channel, made: list[Echo]) -> None:
        self.peer = peer
        self.channel = channel
        self.ended = False
        self.resumed = 0
        channel.resumed = self._resume
        made.append(self)

    def feed(self, data: bytes, now: int) -> Turn | None:
        source = Source("test", "test:1", "test", self.peer.address)
        return Turn(
            [Delivery(source, [])],
            lambda _: b"stored " + data,
            "it was told to" if data == b"quit" else None,
        )

    def timeout(self, now: int) -> Turn | None:
        return Turn([], lambda _: b"too late", "it was silent")

    def eof(self, now: int) -> Turn | None:
        self.ended = True
        return None

    def _resume(self) -> None:
        self.resumed += 1


@asynccontextmanager
async def listening(
    converse: Callable[[Peer, Channel], Conversation],
    hub: Hub,
    tls: TlsContexts | None = None,
    succeed: Callable[..., object] | None = None,
) -> AsyncIterator[tuple[StreamListener, int]]:
    """Run a listener; give it and its port."""

    def no_tls(_: object) -> TlsContexts:
        raise NotImplementedError

    ground = Ground(
        hub,
        lambda: time.time_ns() // 1000,
        no_tls,
        Places(100),
        Desk(),
        dict,
        Tokens(),
        Registry(),
        False,
    )
    listener = StreamListener(
        "test",
        ground,
        ConnectionLimits(100, 100, 5, 60),
        converse,
        tls,
        succeed=succeed,  # type: ignore[arg-type]
        keep=dict,
    )
    opened = await listener.open("127.0.0.1", 0)
    try:
        yield listener, opened.port
    finally:
        await listener.close()


def echoes(made: list[Echo]) -> Callable[[Peer, Channel], Conversation]:
    def begin(peer: Peer, channel: Channel) -> Conversation:
        return Echo(peer, channel, made)

    def converse(peer: Peer, channel: Channel) -> Conversation:
        return WebSocketConversation(WebSocket(LIMIT), begin, peer, channel)

    return converse


def client(port: int, path: str = "/", **more: object) -> connect:
    """Return a connection of a client to come."""
    scheme = "wss" if "ssl" in more else "ws"
    return connect(
        f"{scheme}://127.0.0.1:{port}{path}",
        subprotocols=[Subprotocol("mqtt")],
        compression="deflate",
        **more,  # type: ignore[arg-type]
    )


async def ask(socket: ClientConnection, said: bytes) -> object:
    async with asyncio.timeout(PATIENCE):
        await socket.send(said)
        return await socket.recv()


async def test_a_client_is_answered_once_it_is_stored() -> None:
    """In a frame; what the conversation says by itself arrives too, and pings are answered."""
    made: list[Echo] = []
    hub = Hub()
    async with listening(echoes(made), hub) as (_, port), client(port) as socket:
        assert socket.subprotocol == "mqtt"
        assert await ask(socket, b"one") == b"stored one"
        (echo,) = made
        assert echo.peer == Peer("127.0.0.1", None, None)
        hub.gate.clear()
        await socket.send(b"two")
        pong = await socket.ping()
        await asyncio.wait_for(pong, PATIENCE)
        echo.channel.write(b"by itself")
        assert await asyncio.wait_for(socket.recv(), PATIENCE) == b"by itself"
        hub.gate.set()
        assert await asyncio.wait_for(socket.recv(), PATIENCE) == b"stored two"
        echo.channel.offer(Turn([], lambda _: b"offered"))
        assert await asyncio.wait_for(socket.recv(), PATIENCE) == b"offered"
        assert not echo.channel.is_choked
        # How many frames arrive at a time is not for anybody to say.
        await socket.send([b"in ", b"three ", b"parts"])
        heard = b""
        while heard != b"in three parts":
            heard += (await asyncio.wait_for(socket.recv(decode=False), PATIENCE)).replace(
                b"stored ", b""
            )
        assert await ask(socket, b"x" * 50_000) == b"stored " + b"x" * 50_000
    assert echo.ended


@pytest.mark.parametrize("how", ["end", "abandon", "listener"])
async def test_the_server_ends_it(how: str) -> None:
    """After its last word, with a close frame."""
    made: list[Echo] = []
    async with listening(echoes(made), Hub()) as (listener, port), client(port) as socket:
        assert await ask(socket, b"one") == b"stored one"
        if how == "end":
            assert await ask(socket, b"quit") == b"stored quit"
        elif how == "abandon":
            made[0].channel.abandon(b"last")
            assert await asyncio.wait_for(socket.recv(), PATIENCE) == b"last"
        else:
            await listener.close()
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), PATIENCE)
        if how != "listener":
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1000
    assert made[0].ended


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n"])
async def test_silence_ends_it_even_before_the_handshake(said: bytes) -> None:
    """The deadline of the conversation inside holds from the first moment."""
    made: list[Echo] = []

    def begin(peer: Peer, channel: Channel) -> Conversation:
        echo = Echo(peer, channel, made)
        echo.deadline = time.time_ns() // 1000
        return echo

    def converse(peer: Peer, channel: Channel) -> Conversation:
        return WebSocketConversation(WebSocket(LIMIT), begin, peer, channel)

    async with listening(converse, Hub()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
    assert made[0].ended


async def test_what_breaks_the_rules_is_stored_as_far_as_it_kept_them() -> None:
    """Text frames end the connection, with what was before them answered or not."""
    made: list[Echo] = []
    async with listening(echoes(made), Hub()) as (listener, port):
        async with client(port) as socket:
            await socket.send("text")
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1003
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}")
        assert listener.counters["closed"] == 2
    assert all(echo.ended for echo in made)


class Channelled:
    """A channel that keeps what is written."""

    is_choked = False

    def __init__(self) -> None:
        self.resumed: Callable[[], None] = lambda: None
        self.broken: Callable[[], None] = lambda: None
        self.written = b""
        self.turns: list[Turn | None] = []
        self.over = False

    def write(self, data: bytes) -> None:
        self.written += data

    def rest(self, seconds: float) -> None:
        self.written += b""

    def hasten(self) -> None:
        """There is no clock."""

    def offer(self, turn: Turn | None) -> None:
        self.turns.append(turn)

    def abandon(self, data: bytes) -> None:
        self.written += data
        self.over = True


def in_frames(made: list[Echo]) -> tuple[WebSocketConversation, Channelled]:
    channel = Channelled()
    return echoes(made)(Peer("192.0.2.1", None, None), channel), channel  # type: ignore[return-value]


def test_every_split_says_the_same_to_the_conversation_inside() -> None:
    """And the handshake's answer goes out before all others, wherever the stream is cut."""
    browser = Browser()
    asked = browser.take()
    outer, channel = in_frames([])
    outer.feed(asked, 0)
    browser.hear(channel.written)
    for said in (b"one", b"quit"):
        browser.protocol.send_binary(said)
    stream = asked + browser.take()
    for cut in range(len(stream) + 1):
        made: list[Echo] = []
        outer, channel = in_frames(made)
        answered, ends = b"", []
        for part in (stream[:cut], stream[cut:]):
            turn = outer.feed(part, 0)
            if turn is not None and turn.answer is not None:
                assert channel.written.startswith(b"HTTP/1.1 101")
                answered += turn.answer([Receipt(1, 0) for _ in turn.deliveries])
                ends.append(turn.end)
        assert b"stored one" in answered
        if len(ends) == 2:
            assert ends == [None, "it was told to"]
            assert answered.endswith(b"stored quit\x88\x02\x03\xe8")
        channel.resumed()
        assert made[0].resumed == 1


class Taking:
    """An ingest handler that answers at once."""

    body_limit = 1_000

    def check(self, request: Request, now: int) -> Response | None:
        return None

    def prepare(self, request: Request, now: int) -> Take:
        return lambda body, now: plain(200, "taken")

    def __call__(self, request: Request, now: int) -> Exchange | Response:
        return plain(200, "taken")


class Elsewhere:
    """What takes all other connections of the web port: it says what it was given."""

    def __init__(self, left: Callable[[], None]) -> None:
        self._left = left

    def begin(self, transport: asyncio.Transport, data: bytes, address: str | None = None) -> None:
        transport.write(b"elsewhere: " + data)
        transport.close()
        self._left()

    def finish(self) -> None:
        raise NotImplementedError


@asynccontextmanager
async def web_port(
    made: list[Echo], hub: Hub, tls: TlsContexts | None = None
) -> AsyncIterator[tuple[StreamListener, StreamListener, int]]:
    """Run a web port whose path /mqtt belongs to another listener; give both, and the port."""
    async with listening(echoes(made), hub) as (broker, _):
        ways = Upgrades({"/mqtt": broker.adopt}, Elsewhere)
        intake = Intake(hub, {"/in": Taking()}, Allowance(1_000))

        def converse(peer: Peer, _: Channel) -> Conversation:
            return HttpFront(peer.address, intake, ways.beginnings)

        async with listening(converse, hub, tls, ways.succeed) as (web, port):
            yield web, broker, port


def server_tls(folder: Path) -> ServerTls:
    authority = Authority(folder)
    authority.ensure()
    return ServerTls(authority.server_certificate, authority.server_key, protocols=("http/1.1",))


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("path", ["/mqtt", "/mqtt?x=1"])
async def test_the_web_port_hands_its_path_over(tmp_path: Path, path: str, secure: bool) -> None:
    """The connection is the broker's then, with its limits and counters, with TLS or without."""
    made: list[Echo] = []
    tls = server_tls(tmp_path) if secure else None
    more: Mapping[str, object] = {}
    if secure:
        more = {"ssl": ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))}
    async with web_port(made, Hub(), tls) as (web, broker, port):
        async with client(port, path, **more) as socket:
            assert await ask(socket, b"one") == b"stored one"
            assert len(broker.connections) == len(web.connections) == 1
            assert await ask(socket, b"y" * 50_000) == b"stored " + b"y" * 50_000
        async with asyncio.timeout(60):
            while broker.connections or web.connections:
                await asyncio.sleep(0.005)
    assert made[0].ended


@pytest.mark.parametrize("how", ["end", "web", "broker"])
async def test_a_connection_that_was_handed_over_ends(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the conversation, or with either listener; neither waits for the other."""
    monkeypatch.setattr(connections, "_FINISH_SECONDS", 600.0)
    made: list[Echo] = []
    async with web_port(made, Hub()) as (web, broker, port), client(port, "/mqtt") as socket:
        assert await ask(socket, b"one") == b"stored one"
        async with asyncio.timeout(PATIENCE):
            if how == "end":
                await ask(socket, b"quit")
            else:
                await {"web": web, "broker": broker}[how].close()
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            while broker.connections or web.connections:
                await asyncio.sleep(0.005)
    assert made[0].ended


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /mqtts HTTP/1.1\r\n\r\n",
        b"GET /mqtt/x HTTP",
        b"HEAD /mqtt ",
    ],
)
async def test_all_else_goes_its_usual_way(said: bytes) -> None:
    """Also where it is cut so that it could become either."""
    made: list[Echo] = []
    async with web_port(made, Hub()) as (_, broker, port):
        for cut in range(1, len(said)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said[:cut])
            await asyncio.sleep(0)
            writer.write(said[cut:])
            assert (await asyncio.wait_for(reader.read(), PATIENCE)).startswith(b"elsewhere: ")
            writer.close()
    assert not made
    assert not broker.counters


def test_the_front_waits_until_it_can_tell() -> None:
    """A request is handed over with all that came, as soon as its path can't be another's."""
    intake = Intake(Hub(), {"/in": Taking()}, Allowance(1_000))
    for said, at in (
        (b"GET /mqtt HTTP/1.1", 10),
        (b"GET /metrics", 7),
        (b"POST /x HT", None),
    ):
        front = HttpFront("192.0.2.1", intake, (b"GET /mqtt",))
        handed: list[bytes] = []
        for end in range(1, len(said) + 1):
            turn = front.feed(said[end - 1 : end], 0)
            if turn is not None:
                assert turn.hand_over is not None
                handed.append(turn.hand_over)
                break
        assert handed == ([said[:at]] if at is not None else [])
    front = HttpFront("192.0.2.1", intake, (b"GET /mqtt",))
    assert front.feed(b"GET /mq", 0) is None
    assert front.deadline is not None
    late = front.timeout(front.deadline)
    assert late is not None
    assert late.end is not None
