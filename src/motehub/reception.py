"""What the connections of a listener share: who may come in, and counters."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from motehub.contracts import Ground, Note, TlsContexts
from motehub.conversations import ConnectionLimits, Converse, Successor, Turn
from motehub.errors import StorageError
from motehub.logs import Logger, OccasionalLogger
from motehub.model import Receipt

_READ_AT_A_TIME: Final = 32
"""Connections that begin to read again in one turn of the event loop."""

READ_AHEAD: Final = 64 * 1024
"""Bytes of one connection that are decoded and not yet durable before its socket is paused."""

READ_AHEAD_OF_ALL: Final = 8 * 1024 * 1024
"""The same for all connections of a listener: beyond it each has one read under way at most."""

_logger = Logger("motehub.listener")
occasional: Final = OccasionalLogger(_logger)
"""What strangers can cause at will must not fill the disk with log lines."""


class Guest(Protocol):
    """A connection, as far as its listener cares."""

    def take_waiting(self) -> list[Turn]:
        """Give what was understood and is not stored yet."""
        ...

    def stored(self, turns: Sequence[Turn], receipts: Sequence[Receipt]) -> None:
        """Answer what is durable, and go on."""
        ...

    def not_stored(self, reason: str) -> None:
        """Close: nothing more can be stored."""
        ...

    async def finish(self) -> None:
        """Read no more, store what was received, close without waiting for the peer."""
        ...

    def read_on(self) -> None:
        """Read again after a pause, unless there is another reason not to."""
        ...


SucceedWith = Callable[[Callable[[], None]], Successor]
"""Makes the successor of a conversation, which calls the argument when the connection is lost."""


class Reception:
    """What the connections of a listener share: settings, limits and counters.

    ``converse`` begins a conversation with a peer; ``succeed`` makes what takes a connection
    that a conversation hands over. Without ``tls`` the connections are plain TCP. ``quick`` has
    every segment acknowledged at once: for clients whose next write waits for that (Nagle's
    algorithm, RFC 896). ``section`` is the part of the configuration that sets the port.
    ``keep`` returns the state that turns have changed with their notes, for the same commit.
    """

    def __init__(
        self,
        name: str,
        ground: Ground,
        limits: ConnectionLimits,
        converse: Converse,
        tls: TlsContexts | None,
        *,
        quick: bool = False,
        succeed: SucceedWith | None = None,
        section: str = "",
        keep: Callable[[], Mapping[str, bytes | None]] | None = None,
    ) -> None:
        self.name = name
        self.ground = ground
        self.limits = limits
        self.converse = converse
        self.tls = tls
        self.quick = quick
        self.succeed = succeed
        self.section = section or f"transport.{name}"
        self._keep = keep
        self.counters: Counter[str] = Counter()
        self.unstored = 0
        self._addresses: Counter[str] = Counter()
        self.connections: set[Guest] = set()
        self._ready: list[Guest] = []
        self._held: deque[Guest] = deque()
        self._storing: set[asyncio.Task[None]] = set()

    def enter(self, connection: Guest, address: str) -> bool:
        """Count a new connection in, unless a limit is reached."""
        if len(self.connections) >= self.limits.total:
            self._refuse("refused_total", address)
            return False
        if self._addresses[address] >= self.limits.per_address:
            self._refuse("refused_per_address", address)
            return False
        if not self.ground.places.take():
            self._refuse("refused_no_files", address)
            return False
        self.counters["connections"] += 1
        self.counters["open"] += 1
        self._addresses[address] += 1
        self.connections.add(connection)
        return True

    def leave(self, connection: Guest, address: str) -> None:
        """Count a connection out."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.counters["open"] -= 1
            self.ground.places.give_back()
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def store(self, connection: Guest) -> None:
        """Give the hub what a connection has; all that have something now go in one accept."""
        if not self._ready:
            # Its first step is taken when all that can be read now has been read.
            task = asyncio.get_running_loop().create_task(self._store())
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)
        self._ready.append(connection)

    def let_read(self, connection: Guest) -> None:
        """Have a connection that was paused read on in its turn.

        When a thousand flood, all would be read before anything else gets a turn.
        """
        if not self._held:
            asyncio.get_running_loop().call_soon(self._let_some_read)
        self._held.append(connection)

    def _let_some_read(self) -> None:
        for _ in range(min(_READ_AT_A_TIME, len(self._held))):
            self._held.popleft().read_on()
        if self._held:
            asyncio.get_running_loop().call_soon(self._let_some_read)

    async def _store(self) -> None:
        ready, self._ready = self._ready, []
        taken = [(connection, connection.take_waiting()) for connection in ready]
        deliveries = [one for _, turns in taken for turn in turns for one in turn.deliveries]
        broken: set[Guest] = set()
        try:
            receipts = await self.ground.hub.accept(deliveries, self._note(taken, broken))
        except Exception as error:
            # A StorageError while the hub stops; anything else is a fault, and must not leave
            # connections waiting for ever.
            if not isinstance(error, StorageError):
                _logger.error("accept failed", listener=self.name, fault=repr(error)[:500])
            for connection, _ in taken:
                connection.not_stored(str(error))
            return
        position = 0
        for connection, turns in taken:
            end = position + sum([len(turn.deliveries) for turn in turns])
            try:
                if connection in broken:
                    connection.not_stored("its note failed")
                else:
                    connection.stored(turns, receipts[position:end])
            except Exception as error:
                # One connection's fault must not keep the answers of the others.
                _logger.error("answer failed", listener=self.name, fault=repr(error)[:500])
                connection.not_stored("its answer failed")
            position = end

    def _note(self, taken: Sequence[tuple[Guest, list[Turn]]], broken: set[Guest]) -> Note | None:
        """Return what calls the notes of all turns, each with the receipts of its deliveries.

        Those whose note fails are added to ``broken``.
        """
        keep = self._keep
        if keep is None:
            return None

        def note(receipts: Sequence[Receipt]) -> Mapping[str, bytes | None]:
            position = 0
            for connection, turns in taken:
                for turn in turns:
                    end = position + len(turn.deliveries)
                    try:
                        if turn.note is not None:
                            turn.note(receipts[position:end])
                    except Exception as error:
                        # Its readings are stored with the others; it is not told so, and
                        # sends them again. The others must not lose theirs.
                        _logger.error("note failed", listener=self.name, fault=repr(error)[:500])
                        broken.add(connection)
                    position = end
            return keep()

        return note

    def _refuse(self, counter: str, address: str) -> None:
        self.counters[counter] += 1
        occasional.warning("connection refused", listener=self.name, peer=address, limit=counter)
