"""The nouns that every part shares: readings in columns, devices, series, events.

Times are UTC microseconds since 1970 (``int``), values are ``float`` in the SI unit that the
series records. Readings travel as columns, never as one object each.
"""

from __future__ import annotations

import enum
import hashlib
import unicodedata
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from motehub.errors import InvalidName

MICROSECONDS: Final = 1_000_000
"""Microseconds in a second, the resolution of every stored time."""

NAME_BYTES: Final = 29
"""Longest device name in UTF-8 bytes: firmware keeps it in 30 with the C terminator."""

TOKEN_NAME_BYTES: Final = 64
"""Longest name of a token in UTF-8 bytes."""

# Beyond, not every whole number is a float.
_EXACT: Final = 2**53

# Controls, formats (bidirectional, zero-width), surrogates, line ends, private and unassigned:
# what nobody sees, or sees as something else.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Clock(enum.Enum):
    """Whose clock a column of times was read from."""

    DEVICE = "device"
    """The device stamped the reading: the same time again is a resend."""
    HUB = "hub"
    """The hub stamped it on arrival: two readings of one series never share a time."""


class Samples(msgspec.Struct, frozen=True):
    """Readings of one metric in arrival order, as a decoder returns them.

    ``times`` is an ``array('q')`` of UTC microseconds and ``values`` an ``array('d')`` of the
    same length, in ``unit``.
    """

    metric: str
    unit: str
    times: array[int]
    values: array[float]
    clock: Clock = Clock.DEVICE


class WrittenSamples(Samples, frozen=True):
    """Samples of which the hub keeps for a while how the device wrote them: a text for each."""

    written: tuple[str, ...] = ()


class Texts(msgspec.Struct, frozen=True):
    """Readings of one metric whose values are text; otherwise like ``Samples``, without unit."""

    metric: str
    times: array[int]
    values: list[str]
    clock: Clock = Clock.DEVICE


class Diagnostic(msgspec.Struct, frozen=True):
    """Something that a device says about itself, or that a decoder noticed about its data.

    ``once`` asks that it be recorded only the first time for a device.
    """

    kind: str
    text: str
    once: bool = False


class Malformed(msgspec.Struct, frozen=True):
    """A payload that can't be accepted: its bytes (bounded by the decoder) and the reason.

    ``count`` is how many such payloads this one stands for: a flood of bad input is counted
    whole but kept as samples.
    """

    payload: bytes
    reason: str
    count: int = 1


class Announced(msgspec.Struct, frozen=True):
    """A device without a memory begins anew: it wants its name and a new session.

    ``rival`` is the peer of another live connection that holds the device's present session, as
    far as the transport knows; "" for none.
    """

    rival: str = ""


class Joined(msgspec.Struct, frozen=True):
    """A device is online from now on, in the session that its source claims."""


class Left(msgspec.Struct, frozen=True):
    """A device is offline from now on: it said so, or its connection was lost.

    With ``was_sought`` that is known too of one that has never come.
    """

    reason: str = ""
    was_sought: bool = False


Record = Samples | Texts | Diagnostic | Malformed | Announced | Joined | Left


class Source(msgspec.Struct, frozen=True):
    """Who speaks on a connection, as far as the transport can tell.

    ``identity`` is the stable key (``address:192.0.2.7``, ``certificate:<sha256 hex>``); without
    one the source is no device, and what it says is only counted and rejected.
    ``suggested_name`` names a device seen for the first time. ``vouched`` is true when the
    owner has already said who this is: a certificate that the hub issued, or an address that
    the configuration maps to a name. ``alias`` is another identity that the same device may have
    already. ``session`` is for devices that say their name and which session they are in: then
    the device is the one called ``suggested_name``, and what belongs to another session than its
    present one is discarded.
    """

    dialect: str
    identity: str
    suggested_name: str
    peer: str
    vouched: bool = False
    alias: str = ""
    session: str | None = None


class Runs(msgspec.Struct, frozen=True):
    """Numbers of series that are known by their ids, of any devices.

    ``series`` and ``counts`` are ``array('I')``: so many readings of that series, run by run.
    ``times`` and ``values`` are as in ``Samples``, of all runs one after the other.
    """

    series: array[int]
    counts: array[int]
    times: array[int]
    values: array[float]
    clock: Clock = Clock.DEVICE


class Known(msgspec.Struct, frozen=True):
    """Readings that may be stored as they are while the registry is still at ``edition``.

    ``otherwise`` returns the same as deliveries of sources, for when that has changed meanwhile.
    """

    runs: Runs
    edition: int
    otherwise: Callable[[], list[Delivery]]


class Delivery(msgspec.Struct, frozen=True):
    """What one source says at a time: the records go into the journal together.

    With ``known`` it is that alone, of whatever devices, and ``source`` and ``records`` say
    nothing.
    """

    source: Source
    records: list[Record]
    known: Known | None = None


class RefusedRecord(msgspec.Struct, frozen=True):
    """Of record number ``record`` of a delivery the readings from ``start`` on were rejected.

    ``stop`` is the first after them; without it, they are all the rest.
    """

    record: int
    start: int
    reason: str
    stop: int | None = None


class Assignment(msgspec.Struct, frozen=True):
    """The answer to a device that announced itself: its name and its new session."""

    name: str
    session: str


class Receipt(msgspec.Struct, frozen=True):
    """What became of a delivery, which is durable: readings taken (or held), records rejected.

    ``reason`` says why, for the first one that was rejected. ``refused`` names the readings
    that the hub would not take; records that were malformed from the start are not in it.
    ``assigned`` answers an announcement, unless the owner has yet to accept the device.
    ``discarded`` records belonged to a session that is over. ``parts`` are the receipts of the
    deliveries that took the place of a known one.
    """

    taken: int
    rejected: int
    reason: str | None = None
    refused: tuple[RefusedRecord, ...] = ()
    assigned: Assignment | None = None
    discarded: int = 0
    parts: tuple[Receipt, ...] = ()


class Admission(enum.Enum):
    """Where a device stands with the owner."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    BLOCKED = "blocked"


class Device(msgspec.Struct, frozen=True):
    """A device as the registry knows it; replaced as a whole when anything changes.

    ``held`` counts the readings that wait in quarantine while the device is pending; ``noted``
    are the kinds of once-only diagnostics that are recorded already. ``online`` is None for a
    device that does not say when it comes and goes.
    """

    id: int
    name: str
    dialect: str
    identities: tuple[str, ...]
    admission: Admission
    first_seen: int
    held: int = 0
    noted: tuple[str, ...] = ()
    online: bool | None = None


class Kind(enum.Enum):
    """What the values of a series are."""

    GAUGE = "gauge"
    TEXT = "text"


class Series(msgspec.Struct, frozen=True):
    """One metric of one device: the unit of storage, of charts and of retention.

    A device may have two series of one metric, one of numbers and one of text.
    """

    id: int
    device: int
    metric: str
    unit: str
    kind: Kind = Kind.GAUGE


def plain_number(value: float) -> str:
    """Return a number as devices mostly write it: ``512``, ``-0.25``."""
    if value.is_integer() and abs(value) <= _EXACT:
        return str(int(value))
    return repr(value)


def check_device_name(name: str) -> str:
    """Return ``name`` when it may name a device.

    Raises:
        InvalidName: it is empty, longer than 29 bytes of UTF-8, begins or ends with white
            space, or contains ``;`` (the separator of the MQTT session payloads), a slash or
            a wildcard of MQTT topics, or a character that can't be seen.
    """
    _check_characters(name, "A device name")
    if len(name.encode()) > NAME_BYTES:
        raise InvalidName(
            f"{name!r} is longer than {NAME_BYTES} bytes, what devices have room for."
        )
    return name


@lru_cache(4096)
def derived_device_name(key: str) -> str:
    """Return the name that a device begins with: its key, where that may be one.

    Another key gets a name of its own, from what of it is allowed and a few digits that
    differ for every key.
    """
    try:
        return check_device_name(key)
    except InvalidName:
        digits = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in key)
        return f"{plain.encode()[: NAME_BYTES - 7].decode('utf-8', 'ignore')}-{digits}"


def given_name(name: str) -> str:
    """Return the name that the owner gives a device, in Unicode's composed form (NFC).

    So two names that look alike because one is typed with combining accents are the same.

    Raises:
        InvalidName: as for ``check_device_name``.
    """
    return check_device_name(unicodedata.normalize("NFC", name))


class Scope(enum.Enum):
    """What a token is good for."""

    WRITE = "write"
    """Send readings."""
    READ = "read"
    """Ask for devices and readings."""
    CONTROL = "control"
    """Send commands to devices."""
    ADMIN = "admin"
    """All of these, and what the owner decides."""


class Token(msgspec.Struct, frozen=True):
    """A key of a program or a device, as far as the hub keeps it: not the secret itself.

    ``digest`` is that of ``motehub.core.tokens``. ``devices`` are the names of those that the
    token is bound to, none for all. Times in µs; without ``expires`` it holds until revoked.
    """

    name: str
    digest: bytes
    scopes: tuple[Scope, ...]
    devices: tuple[str, ...]
    created: int
    expires: int | None = None

    def allows(self, scope: Scope) -> bool:
        """Tell whether the token is good for ``scope``, for some device at least."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def may_write(self, device: str) -> bool:
        """Tell whether the token may send readings of the device that is called so now."""
        return self.allows(Scope.WRITE) and (not self.devices or device in self.devices)

    def may_read(self, device: str) -> bool:
        """Tell whether the token may ask for the device that is called so now."""
        return self.allows(Scope.READ) and (not self.devices or device in self.devices)

    def may_control(self, device: str) -> bool:
        """Tell whether the token may command the device that is called so now."""
        return self.allows(Scope.CONTROL) and (not self.devices or device in self.devices)


def check_token_name(name: str) -> str:
    """Return ``name`` in composed form (NFC) when it may name a token.

    Raises:
        InvalidName: it is longer than 64 bytes of UTF-8, or as for ``check_device_name``.
    """
    name = unicodedata.normalize("NFC", name)
    _check_characters(name, "A token's name")
    if len(name.encode()) > TOKEN_NAME_BYTES:
        raise InvalidName(f"A token's name can't be longer than {TOKEN_NAME_BYTES} bytes: {name}.")
    return name


def _check_characters(name: str, what: str) -> None:
    if not name or name != name.strip():
        raise InvalidName(f"{what} can't be empty or begin or end with a space: {name!r}.")
    for character in name:
        if character in ";/+#" or unicodedata.category(character) in _INVISIBLE:
            raise InvalidName(f"{what} can't contain {character!r}: {name!r}.")
