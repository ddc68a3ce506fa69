"""What the connections of a listener share: who may come in, and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from motehub.contracts import Ground, TlsContexts
from motehub.conversations import ConnectionLimits, Conversation, Peer, Successor
from motehub.logs import Logger, OccasionalLogger

_logger = Logger("motehub.listener")
occasional: Final = OccasionalLogger(_logger)
"""What strangers can cause at will must not fill the disk with log lines."""


class Guest(Protocol):
    """A connection, as far as its listener cares."""

    async def finish(self) -> None:
        """Read no more, store what was received, close without waiting for the peer."""
        ...


SucceedWith = Callable[[Callable[[], None]], Successor]
"""Makes the successor of a conversation, which calls the argument when the connection is lost."""


class Reception:
    """What the connections of a listener share: settings, limits and counters.

    ``converse`` begins a conversation with a peer; ``succeed`` makes what takes a connection
    that a conversation hands over. Without ``tls`` the connections are plain TCP. ``quick`` has
    every segment acknowledged at once: for clients whose next write waits for that (Nagle's
    algorithm, RFC 896). ``section`` is the part of the configuration that sets the port.
    """

    def __init__(
        self,
        name: str,
        ground: Ground,
        limits: ConnectionLimits,
        converse: Callable[[Peer], Conversation],
        tls: TlsContexts | None,
        *,
        quick: bool = False,
        succeed: SucceedWith | None = None,
        section: str = "",
    ) -> None:
        self.name = name
        self.ground = ground
        self.limits = limits
        self.converse = converse
        self.tls = tls
        self.quick = quick
        self.succeed = succeed
        self.section = section or f"transport.{name}"
        self.counters: Counter[str] = Counter()
        self.unstored = 0
        self._addresses: Counter[str] = Counter()
        self.connections: set[Guest] = set()

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
        self._addresses[address] += 1
        self.connections.add(connection)
        return True

    def leave(self, connection: Guest, address: str) -> None:
        """Count a connection out."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.ground.places.give_back()
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def _refuse(self, counter: str, address: str) -> None:
        self.counters[counter] += 1
        occasional.warning("connection refused", listener=self.name, peer=address, limit=counter)
