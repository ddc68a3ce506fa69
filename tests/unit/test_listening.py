"""TLS connections and the hub: what is received is accepted, whatever the peer does next."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.desk import Desk

from motehub.connections import Connection
from motehub.contracts import ClientTrust, Ground, Note, Places
from motehub.conversations import Channel, ConnectionLimits, Peer, Turn, plain_address
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.listening import StreamListener
from motehub.model import Delivery, Malformed, Receipt, Record, Samples, Source
from motehub.protocols.dht_stream import DhtStreamDecoder
from motehub.reception import READ_AHEAD
from motehub.security.authority import Authority
from motehub.security.tls import ServerTls

RECORD = b"[1746119310],57,24.1,75.38|"


class SlowHub:
    """Takes what is accepted, once its gate is open."""

    held_back = None

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.sources: list[Source] = []
        self.readings = 0

    async def interrupt(self, dialect: str) -> None:
        raise NotImplementedError

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        await self.gate.wait()
        for one in deliveries:
            self.sources.append(one.source)
            self.readings += sum(len(r.times) for r in one.records if isinstance(r, Samples))
        return [Receipt(0, 0) for _ in deliveries]


class Board:
    """The other side of a conversation: a text stream that is answered "ok" when asked for."""

    deadline = None

    def __init__(self, peer: Peer, _: Channel) -> None:
        name = peer.certificate[1] if peer.certificate else peer.address
        self._source = Source("test", name, name, peer.address)
        self._decoder = DhtStreamDecoder()
        self._answers = peer.protocol == "answers"

    def feed(self, data: bytes, now: int) -> Turn | None:
        return self._turn(self._decoder.feed(data, now))

    def timeout(self, now: int) -> Turn | None:
        return None

    def eof(self, now: int) -> Turn | None:
        return self._turn(self._decoder.eof(now))

    def _turn(self, records: list[Record]) -> Turn | None:
        if not records:
            return None
        malformed = any(isinstance(record, Malformed) for record in records)
        return Turn(
            [Delivery(self._source, records)],
            (lambda receipts: b"ok" * len(receipts)) if self._answers else None,
            "it said something bad" if malformed else None,
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Certificates of a hub."""
    authority = Authority(tmp_path)
    authority.ensure()
    return authority


@asynccontextmanager
async def listening(
    folder: Path, hub: SlowHub, limits: ConnectionLimits | None = None, *, plain: bool = False
) -> AsyncIterator[tuple[StreamListener, int]]:
    """Run a listener; give it and its port."""
    certificates = folder / "certificates"

    def tls(trust: ClientTrust) -> ServerTls:
        return ServerTls(
            certificates / "server.crt",
            certificates / "server.key",
            folder / "ca.crt",
            protocols=trust.protocols,
            revoked=folder / "revoked",
        )

    listener = StreamListener(
        "test",
        Ground(
            hub,
            lambda: time.time_ns() // 1000,
            tls,
            Places(3),
            Desk(),
            dict,
            Tokens(),
            Registry(),
            False,
        ),
        limits or ConnectionLimits(100, 100, 5, 60),
        Board,
        None if plain else tls(ClientTrust(protocols=("answers",))),
        quick=True,
    )
    opened = await listener.open("127.0.0.1", 0)
    try:
        yield listener, opened.port
    finally:
        await listener.close()


def client_context(authority: Authority, name: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.ca_certificate))
    if name:
        issued = authority.issue_client(name)
        context.load_cert_chain(issued.file, issued.file.with_name(f"{name}.key"))
    return context


async def until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def say_all_at_once(port: int, context: ssl.SSLContext, data: bytes) -> None:
    """End the handshake, send, close_notify and FIN in one segment: the quickest of devices."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
        session.write(data)
        with pytest.raises(ssl.SSLWantReadError):
            session.unwrap()
        connection.sendall(outgoing.read())


@pytest.mark.parametrize("name", ["", "greenhouse"])
async def test_a_device_that_ends_in_the_moment_it_begins(
    authority: Authority, tmp_path: Path, name: str
) -> None:
    """The batch is accepted under the device's own name though the session is over by then."""
    hub = SlowHub()
    context = client_context(authority, name)
    async with listening(tmp_path, hub) as (listener, port):
        for _ in range(20):
            await asyncio.to_thread(say_all_at_once, port, context, RECORD * 3)
        await until(lambda: hub.readings == 20 * 6)
        assert {source.identity for source in hub.sources} == {name or "127.0.0.1"}
        assert listener.counters["handshake_failed"] == 0


async def test_a_slow_hub_stops_the_sender(authority: Authority, tmp_path: Path) -> None:
    """While accept waits, only a bounded amount is read; afterwards everything arrives."""
    hub = SlowHub()
    hub.gate.clear()
    total = 4_000_000 // len(RECORD)
    async with listening(tmp_path, hub) as (listener, port):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(authority), server_hostname="127.0.0.1"
        )
        writer.write(RECORD * total)
        await until(lambda: listener.counters["bytes"] > READ_AHEAD)
        await asyncio.sleep(0.3)
        assert listener.counters["bytes"] < 4 * READ_AHEAD
        hub.gate.set()
        await until(lambda: hub.readings == 2 * total)
        writer.close()


async def test_an_answer_comes_after_the_commit(authority: Authority, tmp_path: Path) -> None:
    """A peer that negotiated answers hears nothing until the hub has accepted."""
    hub = SlowHub()
    hub.gate.clear()
    context = client_context(authority)
    context.set_alpn_protocols(["answers"])
    async with listening(tmp_path, hub) as (listener, port):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="127.0.0.1"
        )
        writer.write(RECORD)
        await until(lambda: listener.counters["bytes"] == len(RECORD))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        hub.gate.set()
        assert await reader.readexactly(2) == b"ok"
        writer.close()


async def test_a_conversation_can_end_the_connection(authority: Authority, tmp_path: Path) -> None:
    """After what it brought is accepted, the connection is closed."""
    hub = SlowHub()
    async with listening(tmp_path, hub) as (listener, port):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(authority), server_hostname="127.0.0.1"
        )
        writer.write(RECORD + b"bad|")
        assert await ended(reader)
        assert hub.readings == 2
        assert listener.counters["closed"] == 1
        writer.close()


async def test_a_peer_that_has_reset_the_connection_can_be_sent_away(tmp_path: Path) -> None:
    """Before the event loop has seen the reset, too."""
    async with listening(tmp_path, SlowHub(), plain=True) as (listener, port):
        client = socket.create_connection(("127.0.0.1", port))
        await until(lambda: len(listener.connections) == 1)
        (connection,) = listener.connections
        assert isinstance(connection, Connection)
        # Closing with this sends a reset (socket(7)).
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        connection.abandon(b"")
        await until(lambda: not listener.connections)


async def test_a_revoked_certificate_is_refused_at_once(
    authority: Authority, tmp_path: Path
) -> None:
    """A certificate in the list is refused from the next connection on, without a restart."""
    hub = SlowHub()
    context = client_context(authority, "greenhouse")
    (issued,) = (one for one in authority.list() if one.kind == "client")
    async with listening(tmp_path, hub) as (listener, port):
        await asyncio.to_thread(say_all_at_once, port, context, RECORD)
        await until(lambda: hub.readings == 2)
        (tmp_path / "revoked").write_text(f"{issued.fingerprint} greenhouse 2026-11-21\n")
        await asyncio.to_thread(say_all_at_once, port, context, RECORD)
        await until(lambda: listener.counters["revoked"] == 1)
        assert hub.readings == 2


async def test_closing_stores_what_was_received(authority: Authority, tmp_path: Path) -> None:
    """close() returns only when the hub has accepted what was decoded before."""
    hub = SlowHub()
    hub.gate.clear()
    async with listening(tmp_path, hub) as (listener, port):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(authority), server_hostname="127.0.0.1"
        )
        writer.write(RECORD * 10)
        await until(lambda: listener.counters["bytes"] == 10 * len(RECORD))
        closing = asyncio.create_task(listener.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        hub.gate.set()
        await closing
        assert hub.readings == 20
        writer.close()


async def test_limits_refuse_before_any_handshake(authority: Authority, tmp_path: Path) -> None:
    """A connection over a limit is closed at once and counted; a place that is free is given."""
    hub = SlowHub()
    context = client_context(authority)
    async with listening(tmp_path, hub, ConnectionLimits(2, 1, 5, 60)) as (listener, port):

        async def connect(source: str) -> asyncio.StreamWriter:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, local_addr=(source, 0)
            )
            return writer

        first = await connect("127.0.0.1")
        with pytest.raises(ConnectionError):
            await connect("127.0.0.1")
        second = await connect("127.0.0.2")
        with pytest.raises(ConnectionError):
            await connect("127.0.0.3")
        assert listener.counters["refused_per_address"] == 1
        assert listener.counters["refused_total"] == 1
        first.close()
        await first.wait_closed()
        await until(lambda: len(listener.connections) == 1)
        third = await connect("127.0.0.3")
        for writer in (second, third):
            writer.close()


async def test_silence_ends_a_connection(authority: Authority, tmp_path: Path) -> None:
    """Neither an unfinished handshake nor an idle session lasts longer than its limit."""
    hub = SlowHub()
    async with listening(tmp_path, hub, ConnectionLimits(9, 9, 2, 0.3)) as (listener, port):
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
        idle, idle_writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(authority), server_hostname="127.0.0.1"
        )
        async with asyncio.timeout(60):
            assert await silent.read() == b""
            assert await ended(idle)
        assert listener.counters["handshake_failed"] == 1
        assert listener.counters["idle_closed"] == 1
        for writer in (silent_writer, idle_writer):
            writer.close()


async def test_the_last_files_are_not_for_strangers(authority: Authority, tmp_path: Path) -> None:
    """Beyond the places that all listeners share a connection is refused; leaving frees one."""
    context = client_context(authority)
    async with listening(tmp_path, SlowHub()) as (listener, port):

        async def connect() -> asyncio.StreamWriter:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            return writer

        writers = [await connect() for _ in range(3)]
        with pytest.raises(ConnectionError):
            await connect()
        assert listener.counters["refused_no_files"] == 1
        writers[0].close()
        await writers[0].wait_closed()
        await until(lambda: len(listener.connections) == 2)
        writers.append(await connect())
        for writer in writers:
            writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Tell whether the other side ends the connection, in order or not."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_plain_addresses(address: str, plain: str) -> None:
    """One device has one address, however the socket writes it."""
    assert plain_address(address) == plain
