"""A client of Pusher Channels in WebSocket frames: its handshake, its end, and when it is slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from motehub.conversations import Turn
from motehub.protocols.pusher.application import Application, Keys, Limits
from motehub.protocols.pusher.connection import Applications
from motehub.web._pusher_socket import AT_A_TIME, HANDSHAKE_SECONDS, Bounds, Client, Lobby
from motehub.web.pusher_settings import Overflow
from motehub.websocket_frames import ANY_ORIGIN, WebSocket, text_frame

NOW = 1_795_215_909_000_000
SECOND = 1_000_000
LIMIT = 1_000


class Stand:
    """A lobby with one application, and clients of it on connections without sockets."""

    def __init__(
        self, overflow: Overflow = Overflow.DISCONNECT, most: int = 1_000, rate: int = 50
    ) -> None:
        keys = Keys("1", "key", "secret")
        self.application = Application(keys, Limits(), text_frame, lambda _: None)
        ids = count(1)
        self.lobby = Lobby(
            Applications([self.application]),
            Bounds(LIMIT, overflow, rate, 120),
            most,
            lambda: f"{next(ids)}.1",
        )

    def connect(self, target: str = "/app/key?protocol=7") -> Wire:
        wire = Wire(self, target)
        wire.say()
        return wire

    def subscribed(self) -> Wire:
        wire = self.connect()
        wire.say_json({"event": "pusher:subscribe", "data": {"channel": "a"}})
        return wire


class Wire:
    """A browser's end of a connection, and the channel of the hub's."""

    def __init__(self, stand: Stand, target: str) -> None:
        self.resumed: Callable[[], None] = lambda: None
        self.broken: Callable[[], None] = lambda: None
        self.is_choked = False
        self.is_open = True
        self.rested = 0.0
        self.writes = 0
        self.end: str | None = None
        self.heard: list[dict[str, Any]] = []
        self.protocol = ClientProtocol(parse_uri(f"ws://hub{target}"), max_size=None)
        self.protocol.send_request(self.protocol.connect())
        socket = WebSocket(2_000, [ANY_ORIGIN], subprotocol=None)
        self.client = Client(stand.lobby, socket, self, NOW)

    def say(self, now: int = NOW) -> None:
        """Let the hub read what the browser has written."""
        for data in self.protocol.data_to_send():
            self.offer(self.client.feed(data, now))

    def say_json(self, message: Any, now: int = NOW) -> None:
        self.protocol.send_text(json.dumps(message).encode())
        self.say(now)

    def events(self) -> list[str]:
        heard, self.heard = self.heard, []
        return [one["event"] for one in heard]

    def write(self, data: bytes) -> None:
        if not self.is_open:
            return
        self.writes += 1
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.heard.append(json.loads(bytes(event.data)))

    def offer(self, turn: Turn | None) -> None:
        if turn is not None:
            if turn.answer is not None:
                self.write(turn.answer([]))
            self.end = turn.end

    def abandon(self, data: bytes) -> None:
        self.write(data)
        self.is_open = False

    def rest(self, seconds: float) -> None:
        self.rested += seconds

    def hasten(self) -> None:
        """There is no clock."""

    @property
    def close_code(self) -> int | None:
        return self.protocol.close_rcvd.code if self.protocol.close_rcvd else None


def run(work: Any) -> None:
    asyncio.run(work)


async def turn(times: int = 2) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


def test_a_client_is_welcomed_and_hears_events() -> None:
    """After the handshake, in text frames."""

    async def work() -> None:
        stand = Stand()
        wire = stand.subscribed()
        await turn()
        assert wire.events() == [
            "pusher:connection_established",
            "pusher_internal:subscription_succeeded",
        ]
        assert stand.application.publish("a", "e", "x", NOW) == 1
        assert wire.events() == []
        await stand.lobby.outbox.settled()
        assert wire.events() == ["e"]
        assert wire.client.deadline == NOW + 120 * SECOND

    run(work())


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/app/other?protocol=7", 4001),
        ("/app/key/x?protocol=7", 4005),
        ("/app/key?protocol=x", 4006),
        ("/app/key?protocol=99", 4007),
        ("/app/key", 4008),
    ],
)
def test_who_cannot_be_served_is_told_why(target: str, code: int) -> None:
    """By an error and the same code in the close frame, since clients look at either."""

    async def work() -> None:
        stand = Stand()
        wire = stand.connect(target)
        (error,) = wire.heard
        assert error["data"]["code"] == code
        assert wire.close_code == code
        assert wire.end
        assert len(stand.application) == 0

    run(work())


def test_one_too_many_is_told_to_come_later() -> None:
    """With 4100; there is room again when somebody leaves."""

    async def work() -> None:
        stand = Stand(most=1)
        first = stand.connect()
        assert stand.connect().close_code == 4100
        first.offer(first.client.eof(NOW))
        assert stand.connect().close_code is None

    run(work())


def test_a_close_frame_ends_the_connection() -> None:
    """At once: the channel is empty though the client keeps its end of TCP open."""

    async def work() -> None:
        stand = Stand()
        wire = stand.subscribed()
        assert stand.application.hears("a")
        wire.protocol.send_close(1000)
        wire.say()
        assert not stand.application.hears("a")
        assert wire.close_code == 1000
        assert wire.end

    run(work())


@pytest.mark.parametrize("data", [b"\x82\x81\0\0\0\0x", b"\x81\x01x", b"\x81\xff" + b"\xff" * 8])
def test_frames_that_cannot_be_end_the_connection(data: bytes) -> None:
    """Binary, unmasked or too long ones."""

    async def work() -> None:
        stand = Stand()
        wire = stand.subscribed()
        wire.offer(wire.client.feed(data, NOW))
        assert wire.end
        assert wire.close_code in (1002, 1003, 1009)
        assert not stand.application.hears("a")
        assert wire.client.feed(b"more", NOW) is None

    run(work())


def test_who_never_finishes_the_handshake_is_sent_away() -> None:
    """In ten seconds; what is no handshake at all, at once."""

    async def work() -> None:
        stand = Stand()
        wire = Wire(stand, "/app/key?protocol=7")
        deadline = NOW + HANDSHAKE_SECONDS * SECOND
        assert wire.client.deadline == deadline
        assert wire.client.timeout(deadline - 1) is None
        wire.offer(wire.client.timeout(deadline))
        assert wire.end
        other = Wire(stand, "/app/key?protocol=7")
        other.is_open = False
        other.offer(other.client.feed(b"GET /app/key?protocol=7 HTTP/1.1\r\nHost: a\r\n\r\n", NOW))
        assert other.end

    run(work())


def test_a_slow_client_is_sent_away_when_too_much_waits() -> None:
    """With 4200: it comes back and subscribes anew. Nobody else notices."""

    async def work() -> None:
        stand = Stand()
        slow, quick = stand.subscribed(), stand.subscribed()
        await turn()
        slow.is_choked = True
        sent = 0
        while stand.application.subscribers("a") == 2:
            sent += 1
            assert sent < 100
            assert stand.application.publish("a", "e", "x" * 80, NOW) == 2
            await turn()
        assert sent * 100 <= LIMIT + 200
        assert slow.close_code == 4200
        assert not slow.is_open
        assert quick.events().count("e") == sent
        assert stand.lobby.counters["too_slow"] == 1
        assert stand.application.publish("a", "e", "x", NOW) == 1
        await turn()
        assert quick.events() == ["e"]

    run(work())


def test_a_slow_client_misses_the_newest_if_the_owner_wants_that() -> None:
    """What waited is written when it reads again, in order; what had no room is counted."""

    async def work() -> None:
        stand = Stand(Overflow.DROP_NEWEST)
        slow = stand.subscribed()
        await turn()
        slow.events()
        slow.is_choked = True
        for number in range(100):
            stand.application.publish("a", f"e{number}", "x" * 80, NOW)
            await turn()
        assert slow.events() == []
        slow.is_choked = False
        slow.resumed()
        await turn()
        heard = slow.events()
        assert heard == [f"e{number}" for number in range(len(heard))]
        assert len(heard) + stand.lobby.counters["dropped"] == 100
        assert slow.is_open
        stand.application.publish("a", "last", "x", NOW)
        await turn()
        assert slow.events() == ["last"]

    run(work())


def test_many_clients_are_written_to_in_turns() -> None:
    """Between two portions the event loop does other things; each client gets one write."""

    async def work() -> None:
        stand = Stand()
        wires = [stand.subscribed() for _ in range(2 * AT_A_TIME + 1)]
        await stand.lobby.outbox.settled()
        before = [wire.writes for wire in wires]
        stand.application.publish("a", "one", "x", NOW)
        stand.application.publish("a", "two", "x", NOW)
        told = []
        for _ in range(4):
            await asyncio.sleep(0)
            told.append(sum(wire.writes > old for wire, old in zip(wires, before, strict=True)))
        assert told[:3] == [AT_A_TIME, 2 * AT_A_TIME, 2 * AT_A_TIME + 1]
        assert [wire.writes - old for wire, old in zip(wires, before, strict=True)] == [1] * 201
        assert all(wire.events()[-2:] == ["one", "two"] for wire in wires)

    run(work())


def test_who_says_too_much_is_read_more_slowly() -> None:
    """For as long as so many messages may take."""

    async def work() -> None:
        stand = Stand(rate=50)
        wire = stand.connect()
        for _ in range(50):
            wire.say_json({"event": "pusher:ping"})
            await turn()
        assert wire.rested == 0
        wire.say_json({"event": "pusher:ping"})
        assert 1 <= wire.rested < 1.1

    run(work())


def test_a_user_who_is_disconnected_hears_why() -> None:
    """What waited for it comes first, then the error and the close frame."""

    async def work() -> None:
        stand = Stand()
        wire = stand.subscribed()
        stand.application.publish("a", "before", "x", NOW)
        stand.application.dismiss(4200, "the hub is stopping")
        assert wire.events()[-2:] == ["before", "pusher:error"]
        assert wire.close_code == 4200
        assert len(stand.application) == 0

    run(work())
