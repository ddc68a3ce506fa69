"""Section ``[transport.units]``: which units there are."""

from __future__ import annotations

from math import inf
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.protocols.unit_lines import Conversion
from motehub.quantities import Duration
from motehub.units import PORT, Unit, UnitKind

SECTION: Final = "[transport.units]"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[transport.units]``."""

    enabled: Annotated[bool, Meta(description="Whether the hub connects to units.")] = True
    read_units: Annotated[
        list[str], Meta(description="Addresses of units that send readings.")
    ] = []
    updatable_units: Annotated[
        list[str], Meta(description="Addresses of units that take payloads; may be in both lists.")
    ] = []
    port: Annotated[int, Meta(ge=1, le=65535, description="Port on which units listen.")] = PORT
    connect_timeout: Annotated[
        Duration, Meta(description="Longest time until a unit takes a connection.")
    ] = Duration(5)
    write_timeout: Annotated[
        Duration,
        Meta(description="Longest time until a unit has taken a payload and closed."),
    ] = Duration(5)
    longest_pause: Annotated[
        Duration, Meta(description="Longest time between two attempts to reach a unit.")
    ] = Duration(30)
    readings_per_second: Annotated[
        float,
        Meta(gt=0, description="A unit that sends more is read no faster: it has to wait."),
    ] = 1000.0
    units: Annotated[
        int, Meta(ge=1, le=60_000, description="Most units, those added later counted too.")
    ] = 10_000
    unit: Annotated[
        list[Unit], Meta(description="Units of which more is to be said: one such table each.")
    ] = []

    def __post_init__(self) -> None:
        """Check that each address is there once.

        Raises:
            ValueError: one is none, or is there twice.
        """
        if len(self.configured()) > self.units:
            raise ValueError(f"there are more units than the {self.units} of the key units")

    def configured(self) -> dict[str, Unit]:
        """Return the units of both lists and of the tables, by their keys.

        Raises:
            ValueError: an address is none, or is there twice.
        """
        found: dict[str, Unit] = {}
        for key, kind in (("read_units", UnitKind.READ), ("updatable_units", UnitKind.UPDATABLE)):
            for address in getattr(self, key):
                unit = Unit(address=address, kind=kind).at(self.port)
                if (other := found.get(unit.key)) is not None:
                    if other.kind is not UnitKind.READ or kind is UnitKind.READ:
                        raise ValueError(f"{key}: {unit.key} is there twice")
                    unit = msgspec.structs.replace(unit, kind=UnitKind.BOTH)
                found[unit.key] = unit
        names: set[str] = set()
        for table in self.unit:
            unit = table.at(self.port)
            if unit.key in found:
                raise ValueError(f"unit: {unit.key} is there twice")
            if unit.name and unit.name in names:
                raise ValueError(f"unit: two are called {unit.name!r}")
            names.add(unit.name)
            found[unit.key] = unit
        return found


def conversion_of(unit: Unit) -> Conversion:
    """Return what becomes of the numbers of a unit."""
    if unit.input_range:
        (least, greatest), (first, last) = unit.input_range, unit.output_range
        base, span, divisor, shift = least, last - first, greatest - least, first
    else:
        least, greatest = -inf, inf
        base, span, divisor, shift = 0.0, unit.scale, 1.0, unit.offset
    return Conversion(
        metric=unit.metric,
        unit=unit.unit,
        base=base,
        span=span,
        divisor=divisor,
        shift=shift,
        least_number=least,
        greatest_number=greatest,
        minimum=unit.minimum,
        maximum=unit.maximum,
    )
