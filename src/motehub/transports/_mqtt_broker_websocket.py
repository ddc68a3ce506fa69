"""A conversation inside WebSocket frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from motehub.conversations import Channel, Converse, Peer, Turn
from motehub.model import Receipt
from motehub.websocket_frames import WebSocket


class WebSocketConversation:
    """Unwraps what another conversation is fed and wraps what it says.

    To that one it is the channel too; see :class:`motehub.conversations.Channel`. Its deadline
    holds from the beginning, so it has to be connected in time, handshake included.
    """

    __slots__ = ("_channel", "_inner", "_socket", "broken", "resumed")

    def __init__(self, socket: WebSocket, begin: Converse, peer: Peer, channel: Channel) -> None:
        self._socket = socket
        self._channel = channel
        self.resumed: Callable[[], None] = _nothing
        self.broken: Callable[[], None] = _nothing
        self._inner = begin(peer, self)
        channel.resumed = self._resume
        channel.broken = self._break

    @property
    def deadline(self) -> int | None:
        """When ``timeout`` has to be called, or None."""
        return self._inner.deadline

    def feed(self, data: bytes, now: int) -> Turn | None:
        """Return what the frames in ``data`` complete."""
        socket = self._socket
        payload = socket.receive(data)
        # Before any answer: the handshake's, or pongs.
        self._write_on()
        turn = self._wrap(self._inner.feed(payload, now)) if payload else None
        if not socket.is_over or (turn is not None and turn.end is not None):
            return turn
        return Turn([], end=socket.reason) if turn is None else replace(turn, end=socket.reason)

    def timeout(self, now: int) -> Turn | None:
        """Return what silence completes."""
        return self._wrap(self._inner.timeout(now))

    def eof(self, now: int) -> Turn | None:
        """Return what the end of the connection completes or cuts off."""
        return self._wrap(self._inner.eof(now))

    # The channel of the inner conversation.

    @property
    def is_choked(self) -> bool:
        """Whether the peer doesn't read as fast as we write."""
        return self._channel.is_choked

    def write(self, data: bytes) -> None:
        """Send ``data``, unless the connection is lost."""
        self._socket.send(data)
        self._write_on()

    def rest(self, seconds: float) -> None:
        """Read nothing for a while: the peer says more than it may."""
        self._channel.rest(seconds)

    def hasten(self) -> None:
        """Look at the deadline again: it is nearer than it was."""
        self._channel.hasten()

    def offer(self, turn: Turn | None) -> None:
        """Have something stored and answered that no read has led to."""
        self._channel.offer(self._wrap(turn))

    def abandon(self, data: bytes) -> None:
        """Send ``data`` and close; what was read and is not being stored yet is forgotten."""
        self._channel.abandon(self._last(data))

    def _wrap(self, turn: Turn | None) -> Turn | None:
        if turn is None or (turn.answer is None and turn.end is None):
            return turn
        answer, end = turn.answer, turn.end

        def wrapped(receipts: Sequence[Receipt]) -> bytes:
            data = answer(receipts) if answer is not None else b""
            if end is not None:
                return self._last(data)
            if data:
                self._socket.send(data)
            return self._socket.take_output()

        return replace(turn, answer=wrapped)

    def _last(self, data: bytes) -> bytes:
        if data:
            self._socket.send(data)
        self._socket.close()
        return self._socket.take_output()

    def _write_on(self) -> None:
        if output := self._socket.take_output():
            self._channel.write(output)

    def _resume(self) -> None:
        self.resumed()

    def _break(self) -> None:
        self.broken()


def _nothing() -> None:
    """Be what is called when the inner conversation has nothing to go on with."""
