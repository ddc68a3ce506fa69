"""The extension points: what a transport and a journal's log promise.

Each is small on purpose. Adding a part is one file in its folder that ends with ``PART = …``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from motehub.command import Command, CommandDesk
from motehub.frames import Frame
from motehub.model import Delivery, Device, Receipt, Token

if TYPE_CHECKING:
    # Not at run time: the writer process opens no sockets and does without the TLS library.
    import ssl

    from motehub.mqtt_meaning.settings import MqttSettings
    from motehub.units import UnitDesk


class Listener(msgspec.Struct, frozen=True):
    """An open port, as ``run.json`` shows it."""

    host: str
    port: int
    tls: bool


Note = Callable[[Sequence[Receipt]], Mapping[str, bytes | None]]
"""Takes the receipts of what is being accepted, and returns state to keep with it for good."""


class Acceptor(Protocol):
    """The one door into the hub, as transports see it."""

    @property
    def held_back(self) -> str | None:
        """Why nothing is accepted at the moment, or None.

        A dialect that can say so to its peer need not let it wait.
        """
        ...

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        """Return, when all of it is durable, what became of each delivery.

        A transport reads no more from its peer than it can hold while it waits here: this
        await is the back-pressure. What ``note`` returns becomes durable in the same commit:
        keys of the journal's state with their new values, None to delete one.

        Raises:
            StorageError: the hub is stopping and the journal can't be written.
        """
        ...

    async def interrupt(self, dialect: str) -> None:
        """Mark all devices offline that joined over ``dialect``; it is durable soon.

        A transport whose devices join and leave calls this, by its own name, when it starts: the
        connections of the last time are gone.
        """
        ...


class Commander(Protocol):
    """Gives devices commands, for parts that hear from elsewhere what devices are to do."""

    async def command(
        self,
        name: str,
        *,
        payload: str | None = None,
        seconds: float = ...,
        note: Callable[[str], Mapping[str, bytes | None]] = ...,
    ) -> Command:
        """Return a new command to the device called ``name``, once it is durable.

        It has ``seconds`` for all its steps. ``note`` is called with its id; the keys that it
        returns become state of the journal in the same commit, None deletes one.

        Raises:
            OwnerError: the device can't be told that, or not now.
            StorageError: the hub is stopping and the journal can't be written.
        """
        ...

    def tell_outcome(self, command: str, tell: Callable[[Command | None], None]) -> None:
        """Call ``tell`` once the command of that id has left or can't, at once if it has.

        With None when it has been forgotten. ``tell`` leaves what it does for later.
        """
        ...


class TlsContexts(Protocol):
    """Gives the TLS context for a new connection; renewed certificates show at the next one."""

    def context(self) -> ssl.SSLContext:
        """Return the present context."""
        ...

    def is_revoked(self, fingerprint: str) -> bool:
        """Tell whether the owner has revoked the certificate with this SHA-256."""
        ...

    def revocations(self) -> int:
        """Return another number whenever certificates may have been revoked since."""
        ...


class ClientTrust(msgspec.Struct, frozen=True):
    """Whose certificates a listener believes beside those that the hub issued.

    ``bundle`` is a PEM file of authorities or of the clients' own certificates. ``required``
    refuses clients that show none. ``protocols`` are what ALPN (RFC 7301) may choose from.
    """

    required: bool = False
    bundle: Path | None = None
    protocols: tuple[str, ...] = ()


class CertificateShape(msgspec.Struct, frozen=True):
    """A certificate of the hub's own authority, without what is secret.

    ``kind`` is ``ca``, ``server`` or ``client``; ``fingerprint`` is the SHA-256 of its DER form
    in hexadecimal. Times are ISO 8601 in UTC, ``covers`` host names and addresses.
    """

    kind: str
    name: str
    not_before: str
    not_after: str
    fingerprint: str
    covers: list[str]


class HandedOut(msgspec.Struct, frozen=True):
    """A device's new certificate with its key, which is shown this once, and ``ca``; all in PEM."""

    name: str
    certificate: str
    key: str
    ca: str


class CertificateDesk(Protocol):
    """Where the owner issues certificates; each method raises CertificateError."""

    def authority(self) -> str:
        """Return the certificate that devices trust, in PEM."""
        ...

    async def all(self) -> list[CertificateShape]:
        """Return all certificates."""
        ...

    async def hand_out(self, name: str) -> HandedOut:
        """Issue a certificate to a device, whose key is not kept."""
        ...

    async def revoke(self, name: str) -> None:
        """Have a device's certificate refused from its next connection on."""
        ...


class BackupShape(msgspec.Struct, frozen=True):
    """A back-up that was made: when it was begun (ISO 8601 in UTC), and bytes of data in it."""

    time: str
    size: int


class BackupDesk(Protocol):
    """Where the owner makes back-ups, one at a time."""

    @property
    def busy(self) -> bool:
        """Whether one is being made."""
        ...

    def last(self) -> BackupShape | None:
        """Return the last one, however it was made."""
        ...

    async def begin(self) -> str:
        """Begin one, and return under which name it can be fetched.

        Raises:
            BackupError: another one is being made.
            StorageError: it can't be made.
        """
        ...

    def fetch(self, name: str) -> AsyncGenerator[bytes, None] | None:
        """Return the pieces of one that was begun; None if there is none of that name."""
        ...

    async def close(self) -> None:
        """Break off what is going on, since the hub ends."""
        ...


class Places:
    """Connections that the process has room for, all listeners together.

    Each connection is an open file; when a stranger could use up the last one, the hub could not
    start its writer again.
    """

    def __init__(self, total: int) -> None:
        self._free = total

    def take(self) -> bool:
        """Take a place, if there is one."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Give a place back."""
        self._free += 1


class KnownTokens(Protocol):
    """The tokens that there are; ``edition`` is another number after each change."""

    edition: int

    def find(self, secret: str, now: int) -> Token | None:
        """Return the token of ``secret``, unless it has expired at ``now`` (µs)."""
        ...

    def has(self, token: Token) -> bool:
        """Tell whether the token is still exactly this."""
        ...


class KnownDevices(Protocol):
    """The devices that there are; ``edition`` is another number after changes."""

    edition: int

    def by_identity(self, identity: str) -> Device | None:
        """Return the device to which ``identity`` is bound."""
        ...

    def has_name(self, name: str) -> bool:
        """Tell whether a device is called ``name``."""
        ...

    def by_name(self, name: str) -> Device:
        """Return the device that is called ``name``, which there must be."""
        ...


class Ground(msgspec.Struct, frozen=True):
    """What a transport stands on.

    ``clock`` returns UTC microseconds. ``tls`` makes the server contexts of a listener.
    ``places`` are shared by all listeners. ``commands`` wait there for who takes them to devices.
    ``state`` returns what the journal keeps for good. ``trusted`` says that the owner lets
    unknown devices in. ``mqtt`` says what topics mean, beside the hub's own. ``names`` are host
    names of the hub. ``commander`` gives devices commands. ``units`` returns where units are
    looked after, None where nobody does. ``passes_on`` says that what units write goes on to a
    dashboard, as they wrote it.
    """

    hub: Acceptor
    clock: Callable[[], int]
    tls: Callable[[ClientTrust], TlsContexts]
    places: Places
    commands: CommandDesk
    state: Callable[[], Mapping[str, bytes]]
    tokens: KnownTokens
    devices: KnownDevices
    trusted: bool
    mqtt: MqttSettings | None = None
    names: tuple[str, ...] = ()
    commander: Commander | None = None
    units: Callable[[], UnitDesk | None] = lambda: None
    passes_on: bool = True


class Transport(AbstractAsyncContextManager["Transport"], Protocol):
    """Listens from ``__aenter__`` on; ``__aexit__`` accepts no more and finishes what it has."""

    @property
    def listeners(self) -> dict[str, Listener]:
        """Open ports by the name that ``run.json`` gives them."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """What happened on the wire: connections, refusals and their reasons, bytes."""
        ...


class TransportPart(msgspec.Struct, frozen=True):
    """A transport's entry: its frozen settings struct and how to make it from them.

    One that ``listens`` also runs without a configuration file; others connect to somebody, of
    whom only the owner can tell.
    """

    settings: type[msgspec.Struct]
    make: Callable[[Any, Ground], Transport]
    listens: bool = True


class Log(Protocol):
    """Durable storage of journal frames, used from one thread at a time.

    Every method raises :class:`motehub.errors.StorageError` when the storage fails; after that
    the same call may be tried again.
    """

    @property
    def head(self) -> int:
        """Position of the newest frame; 0 when nothing was ever written."""
        ...

    @property
    def size(self) -> int:
        """Bytes of all frames that are kept."""
        ...

    def time_after(self, position: int) -> int | None:
        """Return the commit time (µs) of the first frame after ``position``, or None."""
        ...

    def append(self, frame: bytes, time: int, state: Mapping[str, bytes | None]) -> int:
        """Make ``frame`` and the changes of ``state`` durable together; return its position."""
        ...

    def trim(self, consumed: int, frames: int) -> int:
        """Delete up to ``frames`` frames at or before ``consumed``; return how many went."""
        ...

    def state(self) -> dict[str, bytes]:
        """Return every key's newest value."""
        ...

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        ...


class LogReader(Protocol):
    """Reads the frames of a log that another process may be writing."""

    def head(self) -> int:
        """Return the position of the newest durable frame; 0 when there is none."""
        ...

    def state(self) -> dict[str, bytes]:
        """Return every key's newest value."""
        ...

    def read(self, after: int, size: int) -> list[tuple[int, bytes]]:
        """Return the frames after position ``after``, at least one if there is one, ≈ ``size``."""
        ...


class Effect(Protocol):
    """What a consumer of the journal does with it."""

    def position(self) -> int:
        """Return the cursor: the last position whose effect is stored."""
        ...

    def apply(self, frames: Sequence[tuple[int, Frame]]) -> None:
        """Store the effect of ``frames`` and the cursor after them in one transaction."""
        ...
