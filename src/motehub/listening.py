"""TCP listeners with TLS: limits before buffering, and reading that waits for the journal."""

from __future__ import annotations

import asyncio
from asyncio import sslproto
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

import msgspec

from motehub.contracts import Ground, Listener
from motehub.errors import ConfigurationError, StorageError
from motehub.logs import Logger
from motehub.model import MICROSECONDS, Record, Source
from motehub.security.tls import ServerSession

READ_AHEAD: Final = 64 * 1024
"""Bytes of one connection that are decoded and not yet durable before its socket is paused."""

_CLOSE_SECONDS: Final = 2.0

# asyncio keeps a buffer of this size for every TLS connection; its default of 256 KiB would be
# 256 MB for a thousand devices. A TLS record holds at most 16 KiB.
sslproto.SSLProtocol.max_size = 32 * 1024

_logger = Logger("motehub.listener")


class StreamDecoder(Protocol):
    """A protocol's decoder of one connection; times are UTC microseconds."""

    @property
    def deadline(self) -> int | None:
        """When ``timeout`` has to be called, or None."""
        ...

    def feed(self, data: bytes, now: int) -> list[Record]:
        """Return the records that ``data`` completes."""
        ...

    def timeout(self, now: int) -> list[Record]:
        """Return the records that silence completes."""
        ...

    def eof(self, now: int) -> list[Record]:
        """Return what the end of the connection completes or cuts off."""
        ...


class ConnectionLimits(msgspec.Struct, frozen=True):
    """Most connections in total and from one address; time-outs in seconds."""

    total: int
    per_address: int
    handshake: float
    idle: float


class StreamListener:
    """A TLS port whose connections each have a decoder and feed the hub.

    ``identify`` names the source of a connection by its address and its certificate
    (fingerprint and common name, or None); ``decoder`` makes a decoder for it.
    """

    def __init__(
        self,
        name: str,
        ground: Ground,
        limits: ConnectionLimits,
        identify: Callable[[str, tuple[str, str] | None], Source],
        decoder: Callable[[], StreamDecoder],
    ) -> None:
        self.name = name
        self.ground = ground
        self.limits = limits
        self.identify = identify
        self.decoder = decoder
        self.counters: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> Listener:
        """Listen on ``host`` and ``port`` (0: any free one).

        Raises:
            ConfigurationError: the port can't be had.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self), host or None, port, backlog=1024
            )
        except OSError as error:
            raise ConfigurationError(
                f"transport.{self.name}: can't listen on {host}:{port}: {error.strerror}. "
                "Stop the program that uses the port, or set another one."
            ) from error
        address = self._server.sockets[0].getsockname()
        return Listener(address[0], address[1], tls=True)

    async def close(self) -> None:
        """Accept no more, store what was received, close all connections."""
        if self._server is None:
            return
        self._server.close()
        connections = list(self._connections)
        await asyncio.gather(*(connection.finish() for connection in connections))
        await self._server.wait_closed()

    def enter(self, connection: _Connection, address: str) -> bool:
        """Count a new connection in, unless a limit is reached."""
        if len(self._connections) >= self.limits.total:
            self._refuse("refused_total", address)
            return False
        if self._addresses[address] >= self.limits.per_address:
            self._refuse("refused_per_address", address)
            return False
        self.counters["connections"] += 1
        self._addresses[address] += 1
        self._connections.add(connection)
        return True

    def leave(self, connection: _Connection, address: str) -> None:
        """Count a connection out."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def _refuse(self, counter: str, address: str) -> None:
        self.counters[counter] += 1
        _logger.warning("connection refused", listener=self.name, peer=address, limit=counter)


class _Connection(asyncio.Protocol):
    """One connection: limits, then the TLS handshake, then decode, store, read on."""

    def __init__(self, listener: StreamListener) -> None:
        self._listener = listener
        self._hub = listener.ground.hub
        self._clock = listener.ground.clock
        self._decoder = listener.decoder()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._source: Source | None = None
        self._address = ""
        self._early: list[bytes] = []
        self._waiting: list[Record] = []
        self._unstored = 0
        self._heard = 0.0
        self._lost = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()

    # Called by the event loop, first for TCP, then for what TLS has decrypted.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # The peer of a connection that was reset while it waited to be accepted has no name.
        peer = transport.get_extra_info("peername")
        self._address = plain_address(peer[0]) if peer else ""
        if not peer or not self._listener.enter(self, self._address):
            transport.abort()
            return
        transport.pause_reading()
        self._task = self._loop.create_task(self._handshake(transport))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._source is None:
            # The first data may arrive in the same moment as the end of the handshake.
            self._early.append(data)
            return
        self._listener.counters["bytes"] += len(data)
        self._offer(self._decoder.feed(data, self._clock()), len(data))
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._source is not None:
            self._offer(self._decoder.eof(self._clock()), 0)
        if self._task is None:
            self._leave()

    async def finish(self) -> None:
        """Read no more, store what was received, close without waiting for the peer."""
        assert self._transport is not None
        if self._source is None:
            # asyncio takes a handshake that this side cuts off for a complete one.
            if self._task is not None:
                self._task.cancel()
            self._transport.abort()
            self._leave()
            return
        self._transport.close()
        while self._task is not None:
            await asyncio.wait([self._task])
        # close_notify is on its way; devices hardly ever answer it.
        self._transport.abort()
        await self._gone

    async def _handshake(self, transport: asyncio.Transport) -> None:
        listener = self._listener
        try:
            secured = await self._loop.start_tls(
                transport,
                self,
                listener.ground.tls.context(),
                server_side=True,
                ssl_handshake_timeout=listener.limits.handshake,
                ssl_shutdown_timeout=_CLOSE_SECONDS,
            )
        except OSError as error:
            listener.counters["handshake_failed"] += 1
            _logger.info(
                "TLS handshake failed",
                listener=listener.name,
                peer=self._address,
                reason=str(error) or type(error).__name__,
            )
            transport.abort()
            self._lost = True
            self._leave()
            return
        assert secured is not None
        self._task = None
        self._begin(secured)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        session = transport.get_extra_info("ssl_object")
        assert isinstance(session, ServerSession)
        self._source = self._listener.identify(self._address, session.peer)
        self._heard = self._loop.time()
        self._watch_idle()
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        if self._lost:
            self.connection_lost(None)

    def _offer(self, records: Sequence[Record], size: int) -> None:
        self._unstored += size
        if records:
            self._waiting += records
            if self._task is None:
                self._task = self._loop.create_task(self._store())
        elif self._task is None:
            self._unstored = 0
        if self._unstored > READ_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    async def _store(self) -> None:
        """Give the hub what was decoded; while the journal takes its time, stop reading."""
        assert self._source is not None
        try:
            while self._waiting:
                records, self._waiting = self._waiting, []
                self._unstored = 0
                await self._hub.accept(self._source, records)
                if self._paused and not self._lost and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
        except StorageError as error:
            # Only while the hub stops: the device was promised nothing about these.
            _logger.error("not stored", peer=self._address, reason=str(error))
        finally:
            self._task = None
            if self._lost:
                self._leave()

    def _leave(self) -> None:
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._listener.leave(self, self._address)
        if not self._gone.done():
            self._gone.set_result(None)

    def _set_timer(self) -> None:
        """Have the decoder's ``timeout`` called at its deadline."""
        if self._timer is None and (deadline := self._decoder.deadline) is not None:
            seconds = max(0.0, (deadline - self._clock()) / MICROSECONDS)
            self._timer = self._loop.call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        self._offer(self._decoder.timeout(self._clock()), 0)
        if not self._lost:
            self._set_timer()

    def _watch_idle(self) -> None:
        """Close the connection when nothing was heard for the idle time: it may be half-open."""
        limit = self._listener.limits.idle
        left = self._heard + limit - self._loop.time()
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._watch_idle)
            return
        self._listener.counters["idle_closed"] += 1
        _logger.info("idle connection closed", listener=self._listener.name, peer=self._address)
        assert self._transport is not None
        self._transport.abort()


def plain_address(address: str) -> str:
    """Return an address as people write it: IPv4 in its own form, IPv6 without a scope."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)
