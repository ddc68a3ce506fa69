"""``motehub simulate units``: boards that listen, and wait for a hub to connect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

_PORT: Final = 8888
_REPORT_SECONDS: Final = 1.0


def run_units(given: Mapping[str, Any]) -> None:
    """Run the boards that ``given`` asks for until their time is over, or Ctrl+C."""
    import asyncio

    from motehub.process import allow_many_files

    allow_many_files()
    try:
        asyncio.run(_run(given))
    except KeyboardInterrupt:
        click.echo(err=True)


async def _run(given: Mapping[str, Any]) -> None:
    import asyncio
    from contextlib import AsyncExitStack, suppress

    from motehub.simulate.units import Behaviour, Lamp, ReadBoard, addresses

    faults: dict[str, dict[str, Any]] = {
        "hang": {"hang_after": 10},
        "reboot": {"reboot_after": 10},
        "flood": {"flood": True},
    }
    behaviour = Behaviour(rate=given["rate"], **faults.get(given["fault"], {}))
    port = given["port"] or _PORT
    readers, lamps = given["devices"], given["lamps"] or 0
    where = addresses(given["host"], readers + lamps)
    async with AsyncExitStack() as stack:
        boards = [ReadBoard(host, port, behaviour) for host in where[:readers]]
        lights = [Lamp(host, port) for host in where[readers:]]
        for board in (*boards, *lights):
            await stack.enter_async_context(board)
        click.echo(
            f"{readers} boards listen on port {port} from {where[0]} to {where[readers - 1]}."
        )
        if lights:
            click.echo(f"{lamps} lamps listen there from {where[readers]} to {where[-1]}.")

        def summary() -> str:
            connections = sum(one.connections for one in (*boards, *lights))
            told = "".join(f", {one.host} shows {one.colours[-1]}" for one in lights if one.colours)
            return (
                f"{sum(one.readings for one in boards)} readings, {connections} connections{told}"
            )

        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(given["duration"]):
                    while True:
                        await asyncio.sleep(_REPORT_SECONDS)
                        click.echo(f"\r{summary()}", nl=False, err=True)
        finally:
            click.echo(err=True)
            click.echo(summary())
