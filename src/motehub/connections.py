"""One connection of a listener: limits, TLS, then decode, store, answer, read on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from motehub.contracts import TlsContexts
from motehub.conversations import Conversation, Peer, Successor, Turn, plain_address
from motehub.handshakes import CLOSE_SECONDS, acknowledge_quickly, secure
from motehub.logs import Logger
from motehub.model import MICROSECONDS, Receipt
from motehub.reception import READ_AHEAD, READ_AHEAD_OF_ALL, Reception, occasional
from motehub.security.tls import ServerSession
from motehub.silence import IdleWatch
from motehub.tap import Tap

_FINISH_SECONDS: Final = 5.0
# A commit that takes longer must not keep a peer waiting that only asks whether we are there.
_PATIENCE_SECONDS: Final = 0.25

_logger = Logger("motehub.listener")


class Connection(asyncio.Protocol):
    """One connection: limits, then the TLS handshake, then decode, store, read on.

    A successor may take it over; it is still counted here until it is lost.
    """

    def __init__(self, listener: Reception) -> None:
        self._listener = listener
        self._clock = listener.ground.clock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._conversation: Conversation | None = None
        self._successor: Successor | None = None
        self._address = ""
        self._early: list[bytes] = []
        self._waiting: list[Turn] = []
        self._unfed: list[bytes] = []  # What came during a commit.
        self._lost = self._ended = self._handing_over = False
        self._tap = Tap()
        self._lingering: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle: IdleWatch | None = None
        self._task: asyncio.Task[None] | None = None
        self._storing, self._since, self._unstored = False, 0.0, 0
        self._settled: asyncio.Future[None] | None = None
        self.resumed: Callable[[], None] = lambda: None
        self.broken = self.resumed
        self._gone: asyncio.Future[None] = self._loop.create_future()

    def _address_of(self, peer: tuple[str, int]) -> str:
        """Return who is to be counted, and shown, as the other end."""
        return plain_address(peer[0])

    # Called by the event loop, first for TCP, then for what TLS has decrypted.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection in and begin TLS, or the conversation."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = self._tap.transport = transport
        # The peer of a connection that was reset while it waited to be accepted has no name.
        peer = transport.get_extra_info("peername")
        self._address = self._address_of(peer) if peer else ""
        if not peer or not self._listener.enter(self, self._address):
            transport.abort()
            return
        if self._listener.tls is None:
            self._converse(transport, Peer(self._address, None, None))
            return
        transport.pause_reading()
        self._task = self._loop.create_task(self._handshake(transport, self._listener.tls))

    def data_received(self, data: bytes) -> None:
        """Decode what arrived."""
        if self._lingering is not None:
            return
        if self._idle is not None:
            self._idle.hear()
        if self._conversation is None:
            # The first data may arrive in the same moment as the end of the handshake.
            self._early.append(data)
            return
        self._listener.counters["bytes"] += len(data)
        if self._handing_over:
            self._early.append(data)
            return
        self._unstored += len(data)
        self._listener.unstored += len(data)
        if self._storing and self._loop.time() - self._since < _PATIENCE_SECONDS:
            # More may come until the commit is done: then it is one turn.
            self._unfed.append(data)
        else:
            self._feed(data)
        much = self._unstored > READ_AHEAD or self._listener.unstored > READ_AHEAD_OF_ALL
        if much and self._storing:
            self._tap.close()
        if self._listener.quick and self._transport is not None and not self._lost:
            acknowledge_quickly(self._transport)

    def eof_received(self) -> bool:
        """Keep a half-closed connection open until its answer is written; TLS can't."""
        self._ended = True
        return self._listener.tls is None and self._storing

    def connection_lost(self, exc: Exception | None) -> None:
        """Take what the end of the connection completes, and count it out."""
        self._lost = True
        self._tap.transport = None
        if self._conversation is not None and not self._handing_over:
            self._feed(b"")
            self.offer(self._conversation.eof(self._clock()))
        if not self._storing and self._task is None:
            self._leave()

    def pause_writing(self) -> None:
        """Read nothing more from a peer that does not read our answers."""
        self._tap.is_choked = True
        self._tap.close()

    def resume_writing(self) -> None:
        """Read on."""
        self._tap.is_choked = False
        self.resumed()
        self._tap.open()

    # Called by the conversation; see Channel.

    @property
    def is_choked(self) -> bool:
        """Whether the peer doesn't read as fast as we write."""
        return self._tap.is_choked

    def write(self, data: bytes) -> None:
        """Send ``data``, unless the connection is lost or its end was said."""
        transport = self._transport
        if transport and not (self._lost or self._lingering or transport.is_closing()):
            transport.write(data)

    def rest(self, seconds: float) -> None:
        """Read nothing for a while: the peer says more than it may."""
        self._tap.is_resting = True
        self._tap.close()
        self._loop.call_later(seconds, self._wake)

    def hasten(self) -> None:
        """Have ``timeout`` called at the conversation's deadline, which may have come nearer."""
        if self._conversation is None or (deadline := self._conversation.deadline) is None:
            return
        when = self._loop.time() + max(0.0, (deadline - self._clock()) / MICROSECONDS)
        if self._timer is None or when < self._timer.when():
            _cancel(self._timer)
            self._timer = self._loop.call_at(when, self._time_out)

    def abandon(self, data: bytes) -> None:
        """Send ``data`` and close; what is not being stored yet is forgotten."""
        self._waiting.clear()
        self._unfed.clear()
        self.write(data)
        self._linger()

    async def finish(self) -> None:
        """Read no more, store what was received, close without waiting for the peer."""
        assert self._transport is not None
        if self._successor is not None:
            self._successor.finish()
            await asyncio.wait([self._gone], timeout=_FINISH_SECONDS)
            self._transport.abort()
            await self._gone
            return
        if self._conversation is None:
            # asyncio takes a handshake that this side cuts off for a complete one.
            if self._task is not None:
                self._task.cancel()
            self._transport.abort()
            self._leave()
            return
        self._close()
        if self._storing:
            self._settled = self._loop.create_future()
            await self._settled
        # close_notify is on its way; devices hardly ever answer it.
        self._transport.abort()
        await self._gone

    async def _handshake(self, transport: asyncio.Transport, tls: TlsContexts) -> None:
        listener = self._listener
        try:
            secured = await secure(transport, self, tls, listener.limits.handshake)
        except OSError as error:
            listener.counters["handshake_failed"] += 1
            occasional.info(
                "TLS handshake failed",
                listener=listener.name,
                peer=self._address,
                reason=str(error) or type(error).__name__,
            )
            transport.abort()
            self._lost = True
            self._leave()
            return
        self._task = None
        self._begin(secured, tls)

    def _begin(self, transport: asyncio.Transport, tls: TlsContexts) -> None:
        self._transport = self._tap.transport = transport
        session = transport.get_extra_info("ssl_object")
        assert isinstance(session, ServerSession)
        if session.peer and tls.is_revoked(session.peer[0]):
            self._listener.counters["revoked"] += 1
            occasional.warning("certificate is revoked", peer=self._address, name=session.peer[1])
            transport.abort()
            self._leave()
            return
        self._converse(transport, Peer(self._address, session.peer, session.protocol))

    def _converse(self, transport: asyncio.Transport, peer: Peer) -> None:
        self._conversation = self._listener.converse(peer, self)
        limit = self._listener.limits.idle
        self._idle = IdleWatch(limit, lambda: self._storing, self._end_idle)
        self.hasten()
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        if self._lost:
            self.connection_lost(None)

    def _feed(self, data: bytes) -> None:
        """Let the conversation hear what has arrived."""
        assert self._conversation is not None
        if self._unfed:
            data = b"".join([*self._unfed, data])
            self._unfed.clear()
        if data:
            self.offer(self._conversation.feed(data, self._clock()))
        if not self._storing:
            self._uncount()
        if self._timer is None:
            self.hasten()

    def offer(self, turn: Turn | None) -> None:
        """Have something stored and answered."""
        if turn is None:
            return
        if not (self._storing or turn.deliveries or turn.note or turn.hand_over is not None):
            self._answer([turn], ())
            return
        self._waiting.append(turn)
        if not self._storing:
            self._storing, self._since = True, self._loop.time()
            self._listener.store(self)
        if turn.hand_over is not None:
            self._handing_over = True
            self._early += [turn.hand_over, *self._unfed]
            self._unfed.clear()
        if turn.end is not None or turn.hand_over is not None:
            self._tap.close()

    def _uncount(self) -> None:
        self._listener.unstored -= self._unstored
        self._unstored = 0

    def take_waiting(self) -> list[Turn]:
        """Give what was understood and is not stored yet."""
        turns, self._waiting = self._waiting, []
        return turns

    def stored(self, turns: Sequence[Turn], receipts: Sequence[Receipt]) -> None:
        """Answer what is durable, and go on."""
        self._answer(turns, receipts)
        if self._unfed:
            self._feed(b"")
        if self._waiting:
            self._since = self._loop.time()
            self._listener.store(self)
        else:
            self._settle()

    def not_stored(self, reason: str) -> None:
        """Close: nothing more can be stored, and the device was promised nothing about these."""
        _logger.error("not stored", peer=self._address, reason=reason)
        self._waiting.clear()
        self._unfed.clear()
        self.broken()
        self._handing_over, self._ended = False, True
        self._settle()

    def _settle(self) -> None:
        """Read on, since everything is stored; or leave, close, hand over."""
        self._uncount()
        self._storing = False
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        if self._lost:
            self._leave()
        elif self._ended:
            self._close()
        elif self._handing_over:
            self._hand_over()
        elif self._tap.is_closed:
            self._listener.let_read(self)

    def read_on(self) -> None:
        """Read again after a pause, unless there is another reason not to."""
        if self._transport is not None and not self._transport.is_closing():
            self._tap.open()

    def _answer(self, turns: Sequence[Turn], receipts: Sequence[Receipt]) -> None:
        """Write what the dialect answers, in one piece, and end a connection that must end."""
        answers = []
        position = 0
        for turn in turns:
            count = len(turn.deliveries)
            if turn.answer is not None:
                answers.append(turn.answer(receipts[position : position + count]))
            position += count
        self.write(b"".join(answers))
        if turns[-1].end is not None and not self._lost:
            self._listener.counters["closed"] += 1
            occasional.info("connection closed", peer=self._address, reason=turns[-1].end)
            self._unfed.clear()
            self._linger()

    def _hand_over(self) -> None:
        """Let the successor have the connection, with what was read and not understood."""
        assert self._transport is not None
        assert self._listener.succeed is not None
        _cancel(self._timer, self._lingering, self._idle)
        self._successor = self._listener.succeed(self._leave)
        data = b"".join(self._early)
        self._early = []
        # First, since the successor may have a reason to pause again.
        self._tap.open()
        self._successor.begin(self._transport, data)

    def _linger(self) -> None:
        """Close when the peer does, or soon: it may be sending still.

        What comes in after a close is answered with a reset, which takes from the peer what it
        has not read yet: why it was sent away. TLS has no half-closed connections.
        """
        if self._transport is None or self._transport.is_closing() or self._lingering is not None:
            return
        if not self._transport.can_write_eof():
            self._close()
            return
        try:
            self._transport.write_eof()
        except OSError:
            # The peer has reset the connection, and the event loop has not seen it yet.
            self._close()
            return
        self._lingering = self._loop.call_later(CLOSE_SECONDS, self._close)
        self._tap.open()

    def _close(self) -> None:
        """Close once: early Python 3.11 can't abort a TLS transport that was closed twice."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _wake(self) -> None:
        self._tap.is_resting = False
        if not self._storing:
            self._tap.open()

    def _leave(self) -> None:
        _cancel(self._timer, self._lingering, self._idle)
        self._listener.leave(self, self._address)
        if not self._gone.done():
            self._gone.set_result(None)

    def _time_out(self) -> None:
        self._timer = None
        if self._unfed or (self._tap.is_closed and not self._tap.is_choked):
            # It is we who do not listen.
            self._tap.be_deaf()
        if self._tap.deaf_until > self._loop.time():
            self._timer = self._loop.call_at(self._tap.deaf_until, self._time_out)
            return
        if self._conversation is not None:
            self.offer(self._conversation.timeout(self._clock()))
        if not self._lost:
            self.hasten()

    def _end_idle(self) -> None:
        self._listener.counters["idle_closed"] += 1
        occasional.info("idle connection closed", listener=self._listener.name, peer=self._address)
        assert self._transport is not None
        self._transport.abort()


def _cancel(*timers: asyncio.TimerHandle | IdleWatch | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
