"""A client of Pusher Channels on its connection: frames in, messages out, never too many."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from motehub.conversations import Channel, Turn
from motehub.model import MICROSECONDS
from motehub.protocols.pusher import messages
from motehub.protocols.pusher.connection import Applications, Closed, Connection
from motehub.web.pusher_settings import Overflow

if TYPE_CHECKING:
    # Not at run time: its package is imported when the first client comes.
    from motehub.websocket_frames import WebSocket

AT_A_TIME: Final = 100
"""Clients that are written to in one turn of the event loop: between two, others get theirs."""

HANDSHAKE_SECONDS: Final = 10
"""Longest time for WebSocket's handshake, in seconds."""

_TOO_SLOW: Final = "it reads more slowly than it is sent to"


class Bounds(msgspec.Struct, frozen=True):
    """What a client may cost: bytes that wait for it, messages that it sends in a second."""

    queued_bytes: int
    overflow: Overflow
    message_rate: int
    silence: int


class Writes(Protocol):
    """Somebody for whom frames wait."""

    def flush(self) -> None:
        """Write them."""
        ...


class Outbox:
    """Those for whom frames wait: each gets all of its frames in one write, in turn.

    An event to five thousand clients takes five thousand system calls; all at once they would
    hold up every device.
    """

    def __init__(self) -> None:
        self._waiting: deque[Writes] = deque()
        self._added = 0
        self._watchers: deque[tuple[int, asyncio.Future[None]]] = deque()

    def add(self, one: Writes) -> None:
        """Have somebody's frames written soon."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append(one)
        self._added += 1

    async def settled(self) -> None:
        """Return when everything is written that waits now: who publishes waits for it."""
        if self._waiting:
            written = asyncio.get_running_loop().create_future()
            self._watchers.append((self._added, written))
            await written

    def _write(self) -> None:
        count = min(AT_A_TIME, len(self._waiting))
        try:
            for _ in range(count):
                self._waiting.popleft().flush()
        finally:
            # Whatever becomes of one client, the others get theirs.
            written_up_to = self._added - len(self._waiting)
            while self._watchers and self._watchers[0][0] <= written_up_to:
                _, written = self._watchers.popleft()
                if not written.done():
                    written.set_result(None)
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._write)


class Lobby:
    """What all clients share; ``draw`` makes socket ids."""

    def __init__(
        self, applications: Applications, bounds: Bounds, most: int, draw: Callable[[], str]
    ) -> None:
        self.applications = applications
        self.bounds = bounds
        self.most = most
        self.draw = draw
        self.outbox = Outbox()
        self.counters: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        """Whether there may be no more clients, all applications together."""
        return sum(map(len, self.applications.all)) >= self.most


class Client:
    """See :class:`motehub.conversations.Conversation`; to its connection it is the outlet."""

    __slots__ = (
        "_channel",
        "_connection",
        "_deadline",
        "_frames",
        "_in_outbox",
        "_lobby",
        "_over",
        "_received",
        "_size",
        "_socket",
        "_window",
    )

    def __init__(self, lobby: Lobby, socket: WebSocket, channel: Channel, now: int) -> None:
        self._lobby = lobby
        self._socket = socket
        self._channel = channel
        self._connection: Connection | None = None
        self._deadline = now + HANDSHAKE_SECONDS * MICROSECONDS
        self._frames: list[bytes] = []
        self._size = 0
        self._in_outbox = False
        self._over = False
        self._window = now
        self._received = 0
        channel.resumed = self._resume

    @property
    def deadline(self) -> int | None:
        """When ``timeout`` has to be called, or None."""
        return self._deadline if self._connection is None else self._connection.deadline

    def feed(self, data: bytes, now: int) -> Turn | None:
        """Take what the frames in ``data`` complete."""
        if self._over:
            return None
        received = self._socket.receive_messages(data)
        if self._connection is None and self._socket.is_open:
            self._write_on()
            if (closed := self._open(now)) is not None:
                return self._send_away(closed)
        if (connection := self._connection) is not None:
            connection.hear(now)
            for message in received:
                connection.receive(message, now)
                if self._over:
                    # It has been sent away, and told so.
                    return None
            self._slow_down(len(received), now)
        # The handshake's answer, pongs, the answer to a close.
        self._write_on()
        if self._socket.is_over:
            self._leave()
            return Turn([], end=self._socket.reason)
        return None

    def timeout(self, now: int) -> Turn | None:
        """Take what silence means."""
        if self._connection is not None:
            self._connection.timeout(now)
        elif now >= self._deadline and not self._over:
            self._over = True
            return Turn([], end="no WebSocket handshake in time")
        return None

    def eof(self, now: int) -> Turn | None:
        """Know that nothing more comes."""
        self._leave()
        return Turn([], end="closed by the client")

    # The outlet of its connection.

    def send(self, frame: bytes) -> None:
        """Have a frame written soon, unless too many wait already."""
        if self._over:
            return
        if self._size + len(frame) > self._lobby.bounds.queued_bytes and self._frames:
            self._lobby.counters["dropped"] += 1
            if self._lobby.bounds.overflow is Overflow.DISCONNECT:
                self._lobby.counters["too_slow"] += 1
                self._over = True
                # Not from here: whoever publishes is in the middle of a list of clients.
                asyncio.get_running_loop().call_soon(self._give_up)
            return
        self._frames.append(frame)
        self._size += len(frame)
        if not (self._in_outbox or self._channel.is_choked):
            self._in_outbox = True
            self._lobby.outbox.add(self)

    def close(self, code: int, reason: str) -> None:
        """Write what waits, and the close frame."""
        if self._over:
            return
        self._over = True
        waiting = self._take()
        self._socket.close(code, reason)
        self._channel.abandon(waiting + self._socket.take_output())

    def flush(self) -> None:
        """Write what waits, if the client reads."""
        self._in_outbox = False
        if self._frames and not (self._over or self._channel.is_choked):
            self._channel.write(self._take())

    def _open(self, now: int) -> Closed | None:
        """Begin the connection in its application; return why that can't be."""
        lobby = self._lobby
        try:
            application = lobby.applications.of_target(self._socket.target)
            if lobby.is_full:
                return Closed(messages.OVER_CAPACITY, "the hub has too many connections")
        except Closed as closed:
            return closed
        socket_id = lobby.draw()
        while application.has(socket_id):
            socket_id = lobby.draw()
        self._connection = Connection(application, socket_id, self, lobby.bounds.silence, now)
        return None

    def _send_away(self, closed: Closed) -> Turn:
        self._lobby.counters[f"closed_{closed.code}"] += 1
        self._over = True
        self._socket.send(messages.error(closed.reason, closed.code))
        self._socket.close(closed.code, closed.reason)
        output = self._socket.take_output()
        return Turn([], lambda _: output, closed.reason)

    def _slow_down(self, count: int, now: int) -> None:
        """Read nothing for as long as the messages may take that came too soon."""
        rate = self._lobby.bounds.message_rate
        if not 0 <= now - self._window < MICROSECONDS:
            self._window, self._received = now, 0
        self._received += count
        if self._received > rate:
            self._lobby.counters["slowed"] += 1
            self._channel.rest(self._received / rate)
            self._window, self._received = now, 0

    def _give_up(self) -> None:
        """Send a client away that reads too slowly; what waits for it is of no use any more."""
        self._take()
        self._leave()
        self._socket.close(messages.COME_BACK, _TOO_SLOW)
        self._channel.abandon(self._socket.take_output())

    def _leave(self) -> None:
        self._over = True
        self._take()
        if self._connection is not None:
            self._connection.lost()

    def _resume(self) -> None:
        if self._frames and not self._in_outbox:
            self._in_outbox = True
            self._lobby.outbox.add(self)

    def _take(self) -> bytes:
        frames, self._frames, self._size = self._frames, [], 0
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _write_on(self) -> None:
        if output := self._socket.take_output():
            # In the order of all that was said: a close frame is the last thing.
            self._channel.write(self._take() + output)
