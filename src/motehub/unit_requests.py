"""The owner's requests about units, over the control socket."""

from __future__ import annotations

from typing import Any

import msgspec

from motehub.core.hub import Hub
from motehub.errors import InvalidUnit
from motehub.units import PORT, UnitDesk, UnitState, show_unit, unit_of


class ListUnits(msgspec.Struct, frozen=True, tag="list_units"):
    """Tell which units there are, and how they are."""


class AddUnit(msgspec.Struct, frozen=True, tag="add_unit"):
    """Speak with a unit from now on; ``fields`` are those of ``motehub.units.Unit``."""

    fields: dict[str, Any]


class ChangeUnit(msgspec.Struct, frozen=True, tag="change_unit"):
    """Change ``fields`` of a unit, and the name of its device."""

    name: str
    fields: dict[str, Any]
    new_name: str | None = None


class RemoveUnit(msgspec.Struct, frozen=True, tag="remove_unit"):
    """Speak with a unit no more; what is stored of it stays."""

    name: str


class TryUnit(msgspec.Struct, frozen=True, tag="test_unit"):
    """Listen to a unit for ``seconds`` at most."""

    name: str
    seconds: float


class ScanUnits(msgspec.Struct, frozen=True, tag="scan_units"):
    """Look for boards that listen."""

    addresses: str
    port: int = PORT


UnitRequest = ListUnits | AddUnit | ChangeUnit | RemoveUnit | TryUnit | ScanUnits


async def carry_out_for_units(
    hub: Hub, desk: UnitDesk | None, request: UnitRequest
) -> dict[str, Any]:
    """Do what ``request`` asks and return what the owner is told.

    Raises:
        OwnerError: it can't be done, or the hub has no units.
    """
    if desk is None:
        raise InvalidUnit(
            "This hub speaks with no units. Add the section [transport.units] to its "
            "configuration, and start it again."
        )
    match request:
        case ListUnits():
            return {"units": [_shown(one) for one in desk.units()]}
        case AddUnit(fields):
            return _shown(await desk.add_unit(unit_of(fields)))
        case ChangeUnit(name, fields, new_name):
            return _shown(await change_unit(hub, desk, name, fields, new_name))
        case RemoveUnit(name):
            left = await desk.remove_unit(name)
            return {"unit": None if left is None else _shown(left)}
        case TryUnit(name, seconds):
            result: dict[str, Any] = msgspec.to_builtins(await desk.test_unit(name, seconds))
            return result
        case ScanUnits(addresses, port):
            found = await desk.scan_units(addresses, port)
            return {"found": msgspec.to_builtins(found)}


async def change_unit(
    hub: Hub, desk: UnitDesk, name: str, fields: dict[str, Any], new_name: str | None
) -> UnitState:
    """Change a unit, the name of its device first: that may be taken.

    Raises:
        OwnerError: it can't be so.
    """
    state = desk.unit(name)
    unit = unit_of(fields, state.definition)
    if new_name is not None:
        await hub.rename_device(state.name, new_name)
    return await desk.change_unit(state.definition.key, unit)


def _shown(state: UnitState) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(show_unit(state))
    return shown
