"""Units: boards that listen, and what the owner says of them and may ask about them."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from math import inf, isfinite
from typing import Annotated, Final, Protocol, runtime_checkable

import msgspec
from msgspec import Meta

from motehub.errors import InvalidName, InvalidUnit, OwnerError
from motehub.model import Clock, Record, check_device_name, derived_device_name
from motehub.quantities import Duration

PORT: Final = 8888
"""Where units listen, when nothing else is said."""

METRIC_BYTES: Final = 64
"""Longest name of a metric in UTF-8 bytes."""

UNIT_BYTES: Final = 32
"""Longest unit of measurement in UTF-8 bytes."""

LONGEST_TEST: Final = 20.0
"""Longest time in seconds that a test listens to a unit."""

MOST_SCANNED: Final = 1_024
"""Most addresses of one scan."""

# Bare IPv6 addresses have colons of their own, and so no port.
_ADDRESS: Final = re.compile(r"(?:\[([^\]]+)\]|([^:]+))(?::([0-9]{1,5}))?|([^\[]*:[^\[]*:[^\[]*)")
# Python takes anything as the name of an interface (fe80::1%eth0), line ends too.
_WRITTEN: Final = re.compile(r"[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]{1,15})?")
_UNLIMITED: Final = {"minimum": -inf, "maximum": inf}


class UnitKind(enum.Enum):
    """Which way a unit is spoken with."""

    READ = "read"
    """It writes readings on a connection that is kept."""
    UPDATABLE = "updatable"
    """It takes payloads, each on a connection of its own."""
    BOTH = "both"
    """It writes readings, and takes payloads on the same connection."""
    REMOTE = "remote"
    """A base unit elsewhere speaks with it, and passes both on: it is never connected to."""

    @property
    def reads(self) -> bool:
        """Whether the hub reads from it."""
        return self in {UnitKind.READ, UnitKind.BOTH}

    @property
    def takes(self) -> bool:
        """Whether the hub writes to it."""
        return self in {UnitKind.UPDATABLE, UnitKind.BOTH}


class Unit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the owner says of a unit: a table ``[[transport.units.unit]]``."""

    address: Annotated[str, Meta(description="Its IP address: a host name can't be given.")]
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Its port; 0 = that of [transport.units].")
    ] = 0
    name: Annotated[str, Meta(description='What its device is called; "" = its address.')] = ""
    kind: Annotated[
        UnitKind,
        Meta(
            description="read (it sends), updatable (it is told), both; remote: a base unit "
            "elsewhere passes on what it sends."
        ),
    ] = UnitKind.READ
    metric: Annotated[str, Meta(description="What its readings are called.")] = "value"
    unit: Annotated[str, Meta(description='Unit of its readings: "%", "°C"; "" = none.')] = ""
    scale: Annotated[float, Meta(description="Factor of its numbers.")] = 1.0
    offset: Annotated[float, Meta(description="What is added to them after that.")] = 0.0
    input_range: Annotated[
        list[float],
        Meta(description="Instead of scale and offset: what its numbers range over, [0, 1023]."),
    ] = []
    output_range: Annotated[
        list[float], Meta(description="What they mean there, in the unit: [0, 100].")
    ] = []
    minimum: Annotated[float, Meta(description="Lowest reading; lower ones are rejected.")] = -inf
    maximum: Annotated[float, Meta(description="Highest reading; higher ones are rejected.")] = inf
    expected_interval: Annotated[
        Duration,
        Meta(
            description="Longest usual time between two readings; after three times as long "
            "without any the connection is made anew, or a remote unit is offline."
        ),
    ] = Duration(10)
    newest_wins: Annotated[
        bool,
        Meta(description="Whether a new command takes the place of those that still wait for it."),
    ] = False

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: something can't be.
        """
        plain_unit_address(self.address)
        _check_name(self.name)
        _check_text(self.metric, METRIC_BYTES, "metric")
        if self.unit:
            _check_text(self.unit, UNIT_BYTES, "unit")
        if not (isfinite(self.scale) and isfinite(self.offset) and self.scale):
            raise ValueError("scale and offset must be finite, and scale not 0")
        _check_ranges(self)
        if not self.minimum < self.maximum:
            raise ValueError("minimum must be less than maximum")

    def at(self, port: int) -> Unit:
        """Return the same with its address in plain form, and ``port`` where it has none."""
        address = plain_unit_address(self.address)
        return msgspec.structs.replace(self, address=address, port=self.port or port)

    @property
    def key(self) -> str:
        """Its address as text, with the port where that is another than usual."""
        if self.port == PORT:
            return self.address
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def identity(self) -> str:
        """The key of its device."""
        return f"unit:{self.key}"

    @property
    def first_name(self) -> str:
        """What its device is called when it is new."""
        return self.name or derived_device_name(self.key)

    def reports(self, name: str | None) -> bool:
        """Tell whether its readings show what ``name`` is: all are of one metric."""
        return self.kind is not UnitKind.UPDATABLE and name == self.metric

    @property
    def longest_silence(self) -> float:
        """Seconds without a reading after which it is taken to be away."""
        return 3 * self.expected_interval


class UnitState(msgspec.Struct, frozen=True):
    """A unit as it is: ``name`` is that of its device, ``origin`` who has said it is there.

    ``origin`` is ``configuration``, ``added`` (while the hub ran) or ``changed`` (both).
    ``state`` is ``connected``, ``connecting`` or ``waiting`` (for the next attempt), for one that
    is only told ``idle`` or ``sending``, for a remote one ``elsewhere``. ``trouble`` says why the
    last connection failed or ended, ``readings`` how many have come since the hub started,
    ``commands`` how many wait.
    """

    name: str
    definition: Unit
    origin: str
    state: str
    trouble: str
    readings: int
    commands: int


class UnitShape(msgspec.Struct, frozen=True):
    """A unit as programs see it; see :class:`UnitState` and :class:`Unit`. Times in seconds."""

    name: str
    address: str
    port: int
    kind: UnitKind
    metric: str
    unit: str
    scale: float
    offset: float
    input_range: list[float]
    output_range: list[float]
    minimum: float | None
    maximum: float | None
    expected_interval: float
    newest_wins: bool
    origin: str
    state: str
    trouble: str
    readings: int
    commands: int


class UnitTest(msgspec.Struct, frozen=True):
    """What a unit said when it was listened to: whole lines, with what can't be read escaped.

    Without a connection ``trouble`` says why; ``seconds`` is how long that took.
    """

    connected: bool
    lines: list[str]
    trouble: str
    seconds: float


class FoundUnit(msgspec.Struct, frozen=True):
    """A board that listens: ``name`` is that of its device if it is a unit already, else "".

    ``line`` is the first that it wrote, if it did; one that writes nothing may be updatable.
    """

    address: str
    port: int
    name: str
    line: str


@runtime_checkable
class UnitDesk(Protocol):
    """Where the owner looks after units while the hub runs.

    A unit is called by its device's name or by its address (``192.168.1.31``, or with a port).
    """

    def units(self) -> list[UnitState]:
        """Return all units, by address."""
        ...

    def unit(self, name: str) -> UnitState:
        """Return the unit of that name or address.

        Raises:
            UnknownUnit: there is none.
        """
        ...

    async def add_unit(self, unit: Unit) -> UnitState:
        """Speak with ``unit`` from now on; it is durable when this returns.

        Raises:
            UnitExists: there is one at that address, or another device has the name.
            InvalidUnit: there are as many as there may be.
        """
        ...

    async def change_unit(self, name: str, unit: Unit) -> UnitState:
        """Let the unit be as ``unit`` says from now on; its address and port stay.

        Raises:
            UnknownUnit: there is none of that name.
        """
        ...

    async def remove_unit(self, name: str) -> UnitState | None:
        """Speak with the unit no more; its device and what is stored of it stay.

        One of the configuration that was changed is again as the configuration says, and
        returned.

        Raises:
            UnknownUnit: there is none of that name.
            InvalidUnit: the configuration names it: it must be taken out there.
        """
        ...

    async def test_unit(self, name: str, seconds: float) -> UnitTest:
        """Connect now, unless there is a connection, and return what the unit says.

        Raises:
            UnknownUnit: there is none of that name.
            InvalidUnit: it is remote.
        """
        ...

    def passed_on(self, key: str, text: str, moment: int, clock: Clock) -> list[Record] | None:
        """Return what it means that the unit at ``key`` has written ``text``, says a base unit.

        None when nothing is said here of what that unit sends.
        """
        ...

    async def scan_units(self, addresses: str, port: int) -> list[FoundUnit]:
        """Return the boards of a range (``192.168.1.0/24``) that listen on ``port``.

        Raises:
            InvalidUnit: it is no range, too large, or not of a private network.
        """
        ...


def unit_of(fields: Mapping[str, object], base: Unit | None = None) -> Unit:
    """Return the unit that ``fields`` describe, or ``base`` with these changed.

    None for ``minimum`` and ``maximum`` means that there is no such limit.

    Raises:
        InvalidUnit: something of it can't be.
    """
    told = {key: value for key, value in fields.items() if value is not None}
    told |= {key: one for key, one in _UNLIMITED.items() if fields.get(key, one) is None}
    if base is not None:
        told = {**{key: getattr(base, key) for key in Unit.__struct_fields__}, **told}
    try:
        return msgspec.convert(told, Unit, dec_hook=_duration)
    except (msgspec.ValidationError, OwnerError) as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise InvalidUnit(f"{path.rstrip('`')}: {reason}." if path else f"{reason}.") from error


def show_unit(state: UnitState) -> UnitShape:
    """Return a unit as programs see it."""
    unit = state.definition
    fields = msgspec.structs.asdict(unit) | msgspec.structs.asdict(state)
    fields |= {key: None for key in _UNLIMITED if not isfinite(fields[key])}
    fields["expected_interval"] = float(unit.expected_interval)
    return UnitShape(**{key: fields[key] for key in UnitShape.__struct_fields__})


def _duration(kind: type, value: object) -> object:
    if kind is Duration:
        return value if isinstance(value, Duration) else Duration.parse(value)
    # What msgspec asks of such a hook for a type that it does not know: a fault of ours.
    raise NotImplementedError(f"fields of type {kind}")


def plain_unit_address(text: str) -> str:
    """Return an address as people write it: IPv4 in its own form.

    Raises:
        ValueError: it is none that a unit can have.
    """
    try:
        address = ip_address(text if _WRITTEN.fullmatch(text) else "")
    except ValueError:
        why = "units are known by address, since what a name leads to may change"
        raise ValueError(f"{text[:100]!r} is not an IP address: {why}") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise ValueError(f"{text} is not the address of one machine")
    return str(address)


def unit_key(text: str) -> str | None:
    """Return an address, with its port unless that is the usual one, in its plain form."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < (port := int(match[3] or PORT)) < 2**16:
        return None
    try:
        address = plain_unit_address(match[1] or match[2] or match[4])
    except ValueError:
        return None
    if port == PORT:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _check_name(name: str) -> None:
    if not name:
        return
    try:
        check_device_name(name)
    except InvalidName as error:
        raise ValueError(f"name: {str(error).rstrip('.')}") from error


def _check_text(text: str, most: int, what: str) -> None:
    if not text or text != text.strip() or not text.isprintable() or len(text.encode()) > most:
        raise ValueError(
            f"{what} must be 1 to {most} bytes of text that can be seen, without a space around it"
        )


def _check_ranges(unit: Unit) -> None:
    if not unit.input_range and not unit.output_range:
        return
    if (unit.scale, unit.offset) != (1.0, 0.0):
        raise ValueError("give scale and offset, or input_range and output_range, not both")
    for key, both in (("input_range", unit.input_range), ("output_range", unit.output_range)):
        if len(both) != 2 or not all(map(isfinite, both)):
            raise ValueError(f"{key} must be two finite numbers, as in [0, 1023]")
    if unit.input_range[0] >= unit.input_range[1]:
        raise ValueError("input_range must go from the lesser number to the greater")
