"""TCP listeners with TLS: limits before buffering, and reading that waits for the journal."""

from __future__ import annotations

import asyncio
import socket
from asyncio import sslproto
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from motehub.binding import why_not_bound
from motehub.contracts import ClientTrust, Ground, Listener
from motehub.conversations import ConnectionLimits, Conversation, Peer, Turn, plain_address
from motehub.errors import ConfigurationError, StorageError
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS, Receipt
from motehub.security.tls import ServerSession

READ_AHEAD: Final = 64 * 1024
"""Bytes of one connection that are decoded and not yet durable before its socket is paused."""

READ_AHEAD_OF_ALL: Final = 8 * 1024 * 1024
"""The same for all connections of a listener: beyond it each has one read under way at most."""

_CLOSE_SECONDS: Final = 2.0
# Linux has it; elsewhere clients wait for the delayed acknowledgement.
_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)

# asyncio keeps a buffer of this size for every TLS connection; its default of 256 KiB would be
# 256 MB for a thousand devices. A TLS record holds at most 16 KiB.
sslproto.SSLProtocol.max_size = 32 * 1024

_logger = Logger("motehub.listener")
# What strangers can cause at will must not fill the disk with log lines.
_occasional = OccasionalLogger(_logger)


class StreamListener:
    """A TLS port whose connections each hold a conversation and feed the hub.

    ``converse`` begins a conversation with a peer. ``quick`` has every segment acknowledged at
    once: for clients whose next write waits for that (Nagle's algorithm, RFC 896).
    """

    def __init__(
        self,
        name: str,
        ground: Ground,
        limits: ConnectionLimits,
        converse: Callable[[Peer], Conversation],
        trust: ClientTrust = ClientTrust(),  # noqa: B008 - frozen
        *,
        quick: bool = False,
    ) -> None:
        self.name = name
        self.ground = ground
        self.limits = limits
        self.converse = converse
        self.tls = ground.tls(trust)
        self.quick = quick
        self.counters: Counter[str] = Counter()
        self.unstored = 0
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
        except (OSError, UnicodeError) as error:
            reason, mend = why_not_bound(error, host, port)
            raise ConfigurationError(
                f"transport.{self.name}: can't listen on {host:.80}:{port}: {reason}. {mend}"
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
        if not self.ground.places.take():
            self._refuse("refused_no_files", address)
            return False
        self.counters["connections"] += 1
        self._addresses[address] += 1
        self._connections.add(connection)
        return True

    def leave(self, connection: _Connection, address: str) -> None:
        """Count a connection out."""
        if connection in self._connections:
            self._connections.discard(connection)
            self.ground.places.give_back()
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def _refuse(self, counter: str, address: str) -> None:
        self.counters[counter] += 1
        _occasional.warning("connection refused", listener=self.name, peer=address, limit=counter)


class _Connection(asyncio.Protocol):
    """One connection: limits, then the TLS handshake, then decode, store, read on."""

    def __init__(self, listener: StreamListener) -> None:
        self._listener = listener
        self._hub = listener.ground.hub
        self._clock = listener.ground.clock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._conversation: Conversation | None = None
        self._address = ""
        self._early: list[bytes] = []
        self._waiting: list[Turn] = []
        self._unstored = 0
        self._heard = 0.0
        self._lost = False
        self._paused = False
        self._choked = False
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
        if self._conversation is None:
            # The first data may arrive in the same moment as the end of the handshake.
            self._early.append(data)
            return
        self._listener.counters["bytes"] += len(data)
        self._offer(self._conversation.feed(data, self._clock()), len(data))
        self._set_timer()
        if self._listener.quick:
            self._acknowledge_quickly()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._conversation is not None:
            self._offer(self._conversation.eof(self._clock()), 0)
        if self._task is None:
            self._leave()

    def pause_writing(self) -> None:
        """Read nothing more from a peer that does not read our answers."""
        self._choked = True
        self._pause()

    def resume_writing(self) -> None:
        self._choked = False
        self._resume()

    async def finish(self) -> None:
        """Read no more, store what was received, close without waiting for the peer."""
        assert self._transport is not None
        if self._conversation is None:
            # asyncio takes a handshake that this side cuts off for a complete one.
            if self._task is not None:
                self._task.cancel()
            self._transport.abort()
            self._leave()
            return
        self._close()
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
                listener.tls.context(),
                server_side=True,
                ssl_handshake_timeout=listener.limits.handshake,
                ssl_shutdown_timeout=_CLOSE_SECONDS,
            )
        except OSError as error:
            listener.counters["handshake_failed"] += 1
            _occasional.info(
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
        # asyncio would read 256 KiB more from a device that has to wait.
        limit_buffer = getattr(transport, "set_read_buffer_limits", None)
        assert limit_buffer is not None
        limit_buffer(high=sslproto.SSLProtocol.max_size)
        session = transport.get_extra_info("ssl_object")
        assert isinstance(session, ServerSession)
        if session.peer and self._listener.tls.is_revoked(session.peer[0]):
            self._listener.counters["revoked"] += 1
            _occasional.warning("certificate is revoked", peer=self._address, name=session.peer[1])
            transport.abort()
            self._leave()
            return
        peer = Peer(self._address, session.peer, session.protocol)
        self._conversation = self._listener.converse(peer)
        self._heard = self._loop.time()
        self._watch_idle()
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        if self._lost:
            self.connection_lost(None)

    def _offer(self, turn: Turn | None, size: int) -> None:
        if turn is not None:
            self._waiting.append(turn)
            if self._task is None:
                self._task = self._loop.create_task(self._store())
        if self._task is None:
            return
        self._unstored += size
        self._listener.unstored += size
        ending = turn is not None and turn.end is not None
        if ending or self._unstored > READ_AHEAD or self._listener.unstored > READ_AHEAD_OF_ALL:
            self._pause()

    async def _store(self) -> None:
        """Give the hub what was understood; while the journal takes its time, stop reading."""
        try:
            while self._waiting:
                turns, self._waiting = self._waiting, []
                receipts = await self._hub.accept([d for turn in turns for d in turn.deliveries])
                self._answer(turns, receipts)
                if not self._waiting:
                    self._forget_unstored()
                    self._resume()
        except StorageError as error:
            # Only while the hub stops: the device was promised nothing about these.
            _logger.error("not stored", peer=self._address, reason=str(error))
        finally:
            self._forget_unstored()
            self._task = None
            if self._lost:
                self._leave()

    def _forget_unstored(self) -> None:
        self._listener.unstored -= self._unstored
        self._unstored = 0

    def _answer(self, turns: Sequence[Turn], receipts: Sequence[Receipt]) -> None:
        """Write what the dialect answers, in one piece, and end a connection that must end."""
        answers = []
        position = 0
        for turn in turns:
            count = len(turn.deliveries)
            if turn.answer is not None:
                answers.append(turn.answer(receipts[position : position + count]))
            position += count
        if self._transport is None or self._lost:
            return
        if answers:
            self._transport.write(b"".join(answers))
        if turns[-1].end is not None:
            self._listener.counters["closed"] += 1
            _occasional.info("connection closed", peer=self._address, reason=turns[-1].end)
            self._close()

    def _close(self) -> None:
        """Close once: early Python 3.11 can't abort a TLS transport that was closed twice."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _pause(self) -> None:
        if not self._paused and not self._lost and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self._choked and not self._lost and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _acknowledge_quickly(self) -> None:
        """Have the kernel acknowledge now; it forgets that after a while (tcp(7))."""
        assert self._transport is not None
        if not self._lost and _QUICK_ACK is not None:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def _leave(self) -> None:
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._listener.leave(self, self._address)
        if not self._gone.done():
            self._gone.set_result(None)

    def _set_timer(self) -> None:
        """Have the decoder's ``timeout`` called at its deadline."""
        if self._conversation is None or self._timer is not None:
            return
        if (deadline := self._conversation.deadline) is not None:
            seconds = max(0.0, (deadline - self._clock()) / MICROSECONDS)
            self._timer = self._loop.call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        if self._conversation is not None:
            self._offer(self._conversation.timeout(self._clock()), 0)
        if not self._lost:
            self._set_timer()

    def _watch_idle(self) -> None:
        """Close the connection when nothing was heard for the idle time: it may be half-open."""
        limit = self._listener.limits.idle
        left = self._heard + limit - self._loop.time()
        if self._task is not None:
            # It is we who do not listen: the journal takes its time.
            left = limit
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._watch_idle)
            return
        self._listener.counters["idle_closed"] += 1
        _occasional.info("idle connection closed", listener=self._listener.name, peer=self._address)
        assert self._transport is not None
        self._transport.abort()
