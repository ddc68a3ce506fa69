"""Units with which a base unit elsewhere speaks: never dialled, known by what is passed on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.units_stand import HOST, Peer, UnitsHub, read, units_hub, until, updatable

from motehub.command import Command
from motehub.errors import InvalidUnit
from motehub.model import Assignment, Clock, Delivery, Device, Receipt, Source
from motehub.quantities import Duration
from motehub.unit_requests import change_unit
from motehub.units import Unit, UnitKind

ADDRESS = "192.0.2.7"
PERCENT: dict[str, Any] = {"metric": "light", "unit": "%", "maximum": 90.0}
PERCENT |= {"input_range": [0, 1023], "output_range": [0, 100]}


def remote(name: str = "window", **keys: Any) -> Unit:
    return Unit(address=ADDRESS, name=name, kind=UnitKind.REMOTE, **keys)


def now() -> int:
    return time.time_ns() // 1000


async def hear(stand: UnitsHub, text: str, key: str = ADDRESS, age: float = 0) -> Receipt | None:
    """Let a base unit pass on what a unit wrote ``age`` seconds ago."""
    moment = now() - round(age * 1e6)
    records = stand.units.passed_on(key, text, moment, Clock.DEVICE)
    if records is None:
        return None
    source = Source("units", f"unit:{key}", key, "192.0.2.99", vouched=True)
    (receipt,) = await stand.hub.accept([Delivery(source, records)])
    return receipt


async def test_it_means_what_the_owner_says(tmp_path: Path) -> None:
    """Metric, unit and scale; what is out of range or no number is rejected with the reason."""
    async with units_hub(tmp_path, remote(**PERCENT)) as stand:
        for text in ("0", " 511.5 ", "1023", "1500", "open", "nan", "1\n2", "5" * 5000):
            assert await hear(stand, text) is not None
        assert stand.values("window", "light") == [0, 50]
        series = stand.hub.registry.gauges_of(stand.device("window"))
        assert series is not None
        assert series["light"].unit == "%"
        assert stand.rejected() == [
            (b"1023", "the value, 100 %, is not within -inf to 90"),
            (b"1500", "the number is not within 0 to 1023"),
            (b"open", "not a number"),
            (b"nan", "the number is not finite"),
            (b"1\n2", "not a number"),
            (b"5" * 100, "the line is longer than 100 bytes"),
        ]
        assert stand.units.unit("window").readings == 2


async def test_a_change_holds_at_once(tmp_path: Path) -> None:
    """The next reading is read as the owner says then, and so it is after a restart."""
    async with units_hub(tmp_path, remote()) as stand:
        await hear(stand, "1023")
        state = await change_unit(stand.hub, stand.units, "window", {"scale": 2.0}, None)
        assert (state.origin, state.state) == ("changed", "elsewhere")
        await hear(stand, "1023")
        assert stand.values("window") == [1023, 2046]
    async with units_hub(tmp_path, remote()) as stand:
        await hear(stand, "1023")
        assert stand.values("window") == [1023, 2046, 2046]


async def test_nothing_is_said_of_other_units(tmp_path: Path) -> None:
    """Neither of those that nobody has named, nor of lamps; one that is also read here counts."""
    async with Peer() as peer:
        units = (updatable(9, "lamp"), read(peer.port, "adc", scale=2))
        async with units_hub(tmp_path, *units) as stand:
            assert await hear(stand, "5") is None
            assert await hear(stand, "5", f"{HOST}:9") is None
            await hear(stand, "5", f"{HOST}:{peer.port}")
            assert stand.values("adc") == [10]
            assert not stand.is_online("adc")


async def test_it_is_never_dialled(tmp_path: Path) -> None:
    """No connection is made to it, whatever the owner asks."""
    async with Peer() as peer:
        unit = Unit(address=HOST, port=peer.port, name="window", kind=UnitKind.REMOTE)
        async with units_hub(tmp_path, unit) as stand:
            with pytest.raises(InvalidUnit, match="elsewhere"):
                await stand.units.test_unit("window", 1)
            (found,) = await stand.units.scan_units(HOST, peer.port)
            assert (found.name, found.line) == ("window", "")
            assert stand.units.counters["connections"] == 0
        assert peer.most == 0


async def test_its_commands_are_for_others(tmp_path: Path) -> None:
    """They wait for whoever reaches base units, and do not fail here."""

    class Base:
        def carry(self, command: Command, device: Device, _: Assignment | None) -> bool:
            stand.hub.commands.sent(command.id)
            return True

    async with units_hub(tmp_path, remote()) as stand:
        command = await stand.hub.command("window", payload="red")
        assert not stand.hub.commands.book.find(command.id).is_over
        stand.hub.commands.attach("pusher", Base())
        assert (await stand.over(command)).state.value == "sent"


async def test_it_is_online_while_readings_come(tmp_path: Path) -> None:
    """Until three times the usual interval is over; what comes late says nothing of now."""
    async with units_hub(tmp_path, remote(expected_interval=Duration(0.1))) as stand:
        await hear(stand, "1", age=60)
        assert not stand.is_online("window")
        await hear(stand, "2")
        assert stand.is_online("window")
        await hear(stand, "3")
        await until(lambda: not stand.is_online("window"), "it is offline")
        await hear(stand, "4")
        assert stand.is_online("window")
    async with units_hub(tmp_path, remote()) as stand:
        assert not stand.is_online("window")
        assert [kind for kind, _ in stand.events("window", "joined", "left")] == [
            "joined",
            "left",
            "joined",
            "left",
        ]
        reasons = [text for _, text in stand.events("window", "left")]
        assert reasons[0] == "nothing has come of it for 0.3 s"


async def test_a_removed_device_comes_back(tmp_path: Path) -> None:
    """While its unit is there, though nothing is ever heard of it: a lamp, a remote unit."""
    async with units_hub(tmp_path, updatable(9), remote()) as stand:
        for name in ("lamp", "window"):
            old = stand.device(name)
            await stand.hub.remove_device(name)
            assert not stand.hub.registry.has_name(name)
            await until(lambda n=name: stand.hub.registry.has_name(n), "it is there")  # type: ignore[misc]
            assert stand.device(name).id != old.id
            assert stand.device(name).identities == old.identities
