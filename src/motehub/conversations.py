"""What a dialect says on one connection, apart from how its bytes travel."""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Protocol, runtime_checkable

import msgspec

from motehub.model import Delivery, Receipt


class Turn(msgspec.Struct, frozen=True):
    """What one read of a connection amounts to.

    ``note`` gets a receipt for each delivery before they are durable; what it changes, the
    listener may keep in the same commit. ``answer``, when the dialect has one, gets the receipts
    once all that is durable, and returns the bytes for the peer. ``end`` says why the connection
    must end after that.
    ``hand_over`` says that from these bytes on the connection speaks something else: after the
    answer the listener's successor takes it, with them.
    """

    deliveries: list[Delivery]
    answer: Callable[[Sequence[Receipt]], bytes] | None = None
    end: str | None = None
    hand_over: bytes | None = None
    note: Callable[[Sequence[Receipt]], None] | None = None


class Conversation(Protocol):
    """A dialect's side of one connection; times are UTC microseconds."""

    @property
    def deadline(self) -> int | None:
        """When ``timeout`` has to be called, or None."""
        ...

    def feed(self, data: bytes, now: int) -> Turn | None:
        """Return what ``data`` completes."""
        ...

    def timeout(self, now: int) -> Turn | None:
        """Return what silence completes."""
        ...

    def eof(self, now: int) -> Turn | None:
        """Return what the end of the connection completes or cuts off."""
        ...


class Channel(Protocol):
    """The way to the peer, for a dialect that speaks without being asked.

    ``resumed`` is called when ``is_choked`` ends, and ``broken`` when a turn could not be stored,
    noted or answered, and the connection ends therefore: set them to something of your own.
    """

    resumed: Callable[[], None]
    broken: Callable[[], None]

    @property
    def is_choked(self) -> bool:
        """Whether the peer doesn't read as fast as we write: better write nothing now."""
        ...

    def write(self, data: bytes) -> None:
        """Send ``data``, unless the connection is lost."""
        ...

    def rest(self, seconds: float) -> None:
        """Read nothing for a while: the peer says more than it may."""
        ...

    def hasten(self) -> None:
        """Look at the deadline again: it is nearer than it was."""
        ...

    def offer(self, turn: Turn | None) -> None:
        """Have something stored and answered that no read has led to."""
        ...

    def abandon(self, data: bytes) -> None:
        """Send ``data`` and close; what was read and is not being stored yet is forgotten."""
        ...


Converse = Callable[["Peer", Channel], Conversation]
"""Begins a conversation with a peer; nothing is written to the channel before that returns."""


class Peer(msgspec.Struct, frozen=True):
    """The other end: its address; SHA-256 and common name of its certificate; the ALPN protocol."""

    address: str
    certificate: tuple[str, str] | None
    protocol: str | None


class Successor(Protocol):
    """What goes on with a connection that a conversation hands over.

    It is the protocol of the asyncio transport from then on, and calls what it was made with
    once the connection is lost.
    """

    def begin(self, transport: Transport, data: bytes, address: str | None = None) -> None:
        """Take the connection, whose peer has said ``data`` already.

        ``address`` is whose connection it is, if the peer is a proxy that says so in ``data``.
        """
        ...

    def finish(self) -> None:
        """Complete what is under way, then close the connection."""
        ...


@runtime_checkable
class Upgrading(Protocol):
    """A transport to which the web port gives the connections that ask for some of its paths."""

    @property
    def upgrades(self) -> Mapping[str, Callable[[Callable[[], None]], Successor]]:
        """What makes the successor of a connection, by path; see :class:`Successor`."""
        ...


class ConnectionLimits(msgspec.Struct, frozen=True):
    """Most connections in total and from one address; time-outs in seconds."""

    total: int
    per_address: int
    handshake: float
    idle: float


def plain_address(address: str) -> str:
    """Return an address as people write it: IPv4 in its own form, IPv6 without a scope."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)
