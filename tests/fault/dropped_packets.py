"""A network that drops packets without a word: run in a network namespace of its own.

``unshare --map-root-user --net python -m tests.fault.dropped_packets SCENE FOLDER``; exit status
0 means that all held.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.units_stand import is_sent, units_hub, until

from motehub.command import CommandState
from motehub.quantities import Duration
from motehub.simulate.units import Behaviour, Lamp, ReadBoard
from motehub.transports import _units_socket
from motehub.units import Unit, UnitKind

HOST: Final = "10.203.0.1"
# Into one end of a cable at whose other end nobody takes it.
_NOWHERE: Final = "nowhere"
_NEIGHBOUR: Final = "02:00:00:00:00:01"


def prepare() -> None:
    """Make the address of the board, and the way on which packets get lost."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", _NOWHERE, "type", "veth", "peer", "name", "void")
    for device in (_NOWHERE, "void"):
        _ip("link", "set", device, "up")
    _ip("neigh", "add", HOST, "lladdr", _NEIGHBOUR, "dev", _NOWHERE, "nud", "permanent")
    mend()


def cut() -> None:
    """Lose every packet between hub and board from now on; neither hears of it."""
    _ip("address", "del", f"{HOST}/32", "dev", "lo")
    _ip("route", "add", f"{HOST}/32", "dev", _NOWHERE)


def mend() -> None:
    """Let packets arrive again."""
    subprocess.run(["ip", "route", "del", f"{HOST}/32"], capture_output=True, check=False)
    _ip("address", "add", f"{HOST}/32", "dev", "lo")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def unit(port: int, kind: UnitKind, interval: float = 3600) -> Unit:
    silence = Duration(interval)
    return Unit(address=HOST, port=port, name="unit", kind=kind, expected_interval=silence)


async def silence(folder: Path) -> None:
    """A board that should speak is missed; it is offline, and comes back by itself."""
    async with ReadBoard(HOST, behaviour=Behaviour(rate=50)) as board:
        ours = unit(board.port, UnitKind.READ, 0.2)
        async with units_hub(folder, ours, connect_timeout=Duration(0.3)) as stand:
            await until(lambda: len(stand.values("unit")) >= 5, "readings come")
            cut()
            await until(lambda: not stand.is_online("unit"), "it is offline")
            await until(lambda: stand.events("unit", "left"), "that is durable")
            left = stand.events("unit", "left")
            assert left == [("left", "it has said nothing for 0.6 s")], left
            said = "not reached: it does not take the connection within 0.3 s"
            await until(lambda: stand.trouble("unit") == said, "it can't be reached")
            count = len(stand.values("unit"))
            mend()
            await until(lambda: len(stand.values("unit")) >= count + 5, "readings come again")
            assert stand.is_online("unit")


async def keep_alive(folder: Path) -> None:
    """A board that may be silent for an hour is missed by its system's silence."""
    _units_socket._KEEP_ALIVE = (  # type: ignore[misc]
        ("TCP_KEEPIDLE", 1),
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", 2),
    )
    async with (
        ReadBoard(HOST, behaviour=Behaviour(rate=50)) as board,
        units_hub(folder, unit(board.port, UnitKind.READ)) as stand,
    ):
        await until(lambda: stand.is_online("unit"), "it is online")
        cut()
        await until(lambda: not stand.is_online("unit"), "it is offline")
        await until(lambda: stand.events("unit", "left"), "that is durable")
        left = stand.events("unit", "left")
        assert left == [("left", "connection timed out")], left
        mend()
        await until(lambda: stand.is_online("unit"), "it is online again")


async def commands(folder: Path) -> None:
    """What is lost on its way is sent again, and in order, on both kinds of connections."""
    behaviour = Behaviour(rate=50, takes=True)
    quick = {"connect_timeout": Duration(0.3), "write_timeout": Duration(0.3)}
    async with ReadBoard(HOST, behaviour=behaviour) as board, Lamp(HOST) as lamp:
        other = Unit(address=HOST, port=lamp.port, name="lamp", kind=UnitKind.UPDATABLE)
        ours = unit(board.port, UnitKind.BOTH)
        async with units_hub(folder, ours, other, **quick) as stand:
            await until(lambda: stand.is_online("unit"), "it is online")
            cut()
            given = [
                await stand.hub.command(name, payload=colour)
                for name in ("unit", "lamp")
                for colour in ("red", "blue")
            ]
            said = "it does not take the connection within 0.3 s"
            await until(lambda: stand.trouble("lamp") == said, "the lamp can't be reached")
            await until(lambda: not stand.is_online("unit"), "its connection is given up")
            late = await stand.told("lamp", "green", seconds=1)
            assert late.state is CommandState.FAILED, late
            assert late.reason == f"those before it could not be sent: {said}", late
            mend()
            over = [await stand.over(one) for one in given]
            assert all(map(is_sent, over)), over
            for told in (board.payloads, lamp.payloads):
                # One that was on its way may come twice.
                assert list(dict.fromkeys(told)) == ["red", "blue"], told


SCENES: Final = {"silence": silence, "keep_alive": keep_alive, "commands": commands}


if __name__ == "__main__":
    prepare()
    asyncio.run(SCENES[sys.argv[1]](Path(sys.argv[2])))
