"""Units that send readings: one kept connection each, whatever goes wrong with it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.desk import Desk
from tests.unit.core.support import frames, open_hub
from tests.units_stand import (
    ALL,
    HOST,
    Peer,
    SystemClock,
    both,
    free_port,
    read,
    units_hub,
    until,
    updatable,
)

from motehub.contracts import Ground, Note, Places
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.frames import Batch, DeviceChanged
from motehub.model import Admission, Delivery, Receipt
from motehub.quantities import Duration
from motehub.simulate.units import Behaviour, ReadBoard
from motehub.transports._units_settings import Settings
from motehub.transports.units import Units
from motehub.units import Unit

FAST = Behaviour(rate=200)


async def test_readings_are_stored_as_they_were_written(tmp_path: Path) -> None:
    """Every number of every unit is durable, in order, under its device."""
    boards = ReadBoard(behaviour=FAST, keep=ALL), ReadBoard(behaviour=FAST, keep=ALL)
    async with boards[0] as one, boards[1] as two:
        async with units_hub(tmp_path, read(one.port, "one"), read(two.port, "two")) as stand:
            heard = stand.units.unit
            await until(lambda: min(heard(n).readings for n in ("one", "two")) >= 50, "50 of each")
        assert stand.values("one") == one.sent[: len(stand.values("one"))]
        assert min(len(stand.values(n)) for n in ("one", "two")) >= 50
        assert stand.values("two") == two.sent[: len(stand.values("two"))]
        assert (one.connections, two.connections) == (1, 1)


async def test_numbers_become_values_as_the_owner_says(tmp_path: Path) -> None:
    """A range is mapped to percent under a metric of its own; what is outside is rejected."""
    unit: dict[str, Any] = {"metric": "light", "unit": "%"}
    unit |= {"input_range": [0, 1023], "output_range": [0, 100]}
    async with Peer() as peer, units_hub(tmp_path, read(peer.port, **unit)) as stand:
        _, writer = await peer.connection()
        writer.write(b"0\n1023\n1500\nhello\n")
        await until(lambda: len(stand.rejected()) == 2, "two are rejected")
        assert stand.values("adc", "light") == [0, 100]
        assert stand.rejected() == [
            (b"1500", "the number is not within 0 to 1023"),
            (b"hello", "not a number"),
        ]
        series = stand.hub.registry.gauges_of(stand.hub.registry.by_name("adc"))
        assert series is not None
        assert series["light"].unit == "%"


async def test_devices_are_there_before_anything_connects(tmp_path: Path) -> None:
    """Each unit is an accepted device from the start, called by its address if not named."""
    units = (Unit(address="192.0.2.7"), read(free_port(), "adc"), updatable(free_port()))
    async with units_hub(tmp_path, *units) as stand:
        await until(lambda: stand.hub.registry.count() == 3, "three devices")
        devices = {one.name: one for one in stand.hub.registry.devices()}
        assert set(devices) == {"192.0.2.7", "adc", "lamp"}
        assert devices["192.0.2.7"].identities == ("unit:192.0.2.7",)
        assert devices["adc"].identities == (f"unit:{HOST}:{units[1].port}",)
        assert {one.admission for one in devices.values()} == {Admission.ACCEPTED}
        assert devices["lamp"].online is None
        # One that should send is sought, and said to be away when it is not there.
        await until(lambda: stand.device("adc").online is False, "that is known")
        await until(lambda: stand.units.counters["connections_failed"] >= 3, "it goes on trying")
        away = [("left", "not reached: it refuses the connection")]
        await until(lambda: stand.events("adc", "left"), "that is durable")
        assert stand.events("adc", "joined", "left") == away


async def test_units_on_one_machine_are_not_one_device(tmp_path: Path) -> None:
    """Two ports of an address are two devices, though neither has a name."""
    units = (read(free_port(), ""), read(free_port(), ""))
    async with units_hub(tmp_path, *units) as stand:
        await until(lambda: stand.hub.registry.count() == 2, "two devices")
        names = {one.name for one in stand.hub.registry.devices()}
        assert names == {f"{HOST}:{one.port}" for one in units}


async def test_presence_follows_the_readings(tmp_path: Path) -> None:
    """A unit is online from its first reading on, not from a connection, until that is lost."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port)) as stand:
        _, writer = await peer.connection()
        await until(lambda: stand.units.unit("adc").state == "connected", "it is connected")
        assert not stand.is_online("adc")
        writer.write(b"1\n")
        await until(lambda: stand.is_online("adc"), "it is online")
        await peer.end(writer)
        await until(lambda: stand.events("adc", "left"), "it has left")
        assert not stand.is_online("adc")
        assert stand.events("adc", "joined", "left") == [
            ("joined", f"from {HOST}:{peer.port}"),
            ("left", "it has closed the connection"),
        ]


async def test_a_stop_marks_it_offline(tmp_path: Path) -> None:
    """When the hub stops, what has come is stored, and the unit is offline."""
    async with Peer() as peer:
        async with units_hub(tmp_path, read(peer.port)) as stand:
            _, writer = await peer.connection()
            writer.write(b"1\n2\n")
            await until(lambda: stand.units.counters["readings"] == 2, "two readings")
        assert stand.values("adc") == [1, 2]
        assert stand.events("adc", "left") == [("left", "the hub has closed the connection")]
        writer.close()


async def test_a_unit_that_was_online_when_the_hub_died_is_offline(tmp_path: Path) -> None:
    """A device that another dialect brought is set right as well at the next start."""
    async with Peer() as peer:
        async with units_hub(tmp_path, read(peer.port)) as stand:
            _, writer = await peer.connection()
            writer.write(b"1\n")
            await until(lambda: stand.is_online("adc"), "it is online")
            writer.close()
        # The journal says that it is online, as after a power cut.
        async with open_hub(tmp_path, SystemClock()) as (hub, journal):
            batch = Batch()
            device = msgspec.structs.replace(hub.registry.by_name("adc"), dialect="webhook")
            hub.registry.replace(batch, device)
            hub.registry.set_online(batch, device, online=True)
            await journal.append(batch)
        async with units_hub(tmp_path, read(free_port(), "other"), read(peer.port)) as stand:
            await until(lambda: not stand.is_online("adc"), "it is offline")


async def test_a_restart_in_the_middle_of_a_line_is_no_reading(tmp_path: Path) -> None:
    """The beginning of a number is never stored, and the hub connects again."""
    behaviour = Behaviour(rate=200, reboot_after=7, reboot_seconds=0.02)
    async with ReadBoard(behaviour=behaviour, seed=1, keep=ALL) as board:
        async with units_hub(tmp_path, read(board.port)) as stand:
            await until(lambda: board.connections >= 5, "five connections")
        stored = stand.values("adc")
        assert stored == board.sent[: len(stored)]
        assert len(stored) >= 4 * 6
        cut = {payload for payload, _ in stand.rejected()}
        assert cut <= {b"51"}
        assert len(stand.events("adc", "left")) >= 4


async def test_a_unit_that_hangs_is_found_by_its_silence(tmp_path: Path) -> None:
    """After three times the expected interval it is offline; when it goes on, so does the hub."""
    behaviour = Behaviour(rate=200, hang_after=5)
    unit: dict[str, Any] = {"expected_interval": Duration(0.1)}
    async with (
        ReadBoard(behaviour=behaviour) as board,
        units_hub(tmp_path, read(board.port, **unit)) as stand,
    ):
        await until(lambda: stand.events("adc", "left"), "it has left")
        assert stand.events("adc", "left") == [("left", "it has said nothing for 0.3 s")]
        # It takes connections as before: that is no sign of life.
        await until(lambda: stand.units.counters["connections"] >= 3, "more connections")
        assert not stand.is_online("adc")
        board.release()
        await until(lambda: stand.is_online("adc"), "it is online again")


async def test_a_unit_that_refuses_is_tried_again(tmp_path: Path) -> None:
    """The reason is shown, and as soon as the board listens its readings come."""
    port = free_port()
    async with units_hub(tmp_path, read(port)) as stand:
        await until(lambda: stand.units.counters["connections_failed"] >= 3, "three attempts")
        assert stand.trouble("adc") == "not reached: it refuses the connection"
        async with ReadBoard(HOST, port, FAST):
            await until(lambda: stand.is_online("adc"), "it is online")
            assert stand.trouble("adc") == ""


async def test_attempts_become_rarer(tmp_path: Path) -> None:
    """Each pause is up to twice the one before, whatever takes and drops the connection."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port), longest_pause=Duration(2)):
        moments = []
        for _ in range(3):
            _, writer = await peer.connection()
            moments.append(time.monotonic())
            await peer.end(writer)
        # 0.5 s and 1 s, each shortened to as little as half.
        assert moments[1] - moments[0] >= 0.24
        assert moments[2] - moments[1] >= 0.49


async def test_somebody_else_has_the_connection(tmp_path: Path) -> None:
    """While another base holds the unit the hub waits in its backlog, once, and is not online."""
    async with ReadBoard(behaviour=FAST) as board:
        reader, writer = await asyncio.open_connection(HOST, board.port)
        await reader.readline()
        async with units_hub(tmp_path, read(board.port)) as stand:
            await until(lambda: stand.units.unit("adc").state == "connected", "in the backlog")
            # What the other one gets shows that the board is busy with it.
            await reader.readline()
            assert not stand.is_online("adc")
            assert board.connections == 1
            writer.close()
            await until(lambda: stand.is_online("adc"), "it is online")
            assert board.connections == 2
            assert stand.units.counters["connections"] == 1


async def test_never_two_connections(tmp_path: Path) -> None:
    """Not even with commands, a test and a change at the same time."""
    async with Peer() as peer, units_hub(tmp_path, both(peer.port)) as stand:
        _, writer = await peer.connection()
        writer.write(b"1\n")
        await until(lambda: stand.is_online("both"), "it is online")
        test = asyncio.create_task(stand.units.test_unit("both", 0.2))
        await asyncio.gather(*(stand.told("both", f"c{n}") for n in range(5)))
        assert (await test).connected
        assert peer.most == 1
        await peer.end(writer)


class Gate:
    """A hub that takes nothing until it is opened."""

    held_back = None

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.taken: list[Delivery] = []

    async def interrupt(self, dialect: str) -> None:
        pass

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        self.taken += deliveries
        if any(one.records for one in deliveries):
            await self.open.wait()
        return [Receipt(0, 0) for _ in deliveries]


def ground_of(gate: Gate) -> Ground:
    return Ground(
        gate,
        lambda: time.time_ns() // 1000,
        None,  # type: ignore[arg-type]  # it opens no port
        Places(100),
        Desk(),
        dict,
        Tokens(),
        Registry(),
        False,
    )


async def test_a_flood_waits_in_the_network(tmp_path: Path) -> None:
    """While the hub takes nothing, no more than a few KiB of a unit are read, however much comes.

    And the wait is not taken for the unit's silence.
    """
    gate = Gate()
    unit = Unit(address=HOST, port=0, expected_interval=Duration(0.05))
    async with ReadBoard(behaviour=Behaviour(flood=True)) as board:
        unit = unit.at(board.port)
        settings = Settings(unit=[unit], readings_per_second=1e9)
        async with Units(settings, ground_of(gate)) as units:
            await until(lambda: units.counters["bytes"], "something is read")
            written = -1
            while written != board.readings:
                # The board can write no more.
                written = board.readings
                await asyncio.sleep(0.2)
            assert units.counters["bytes"] <= 16_384
            gate.open.set()
            await until(lambda: units.counters["bytes"] > 1_000_000, "it goes on")
            assert units.counters["connections_lost"] == 0


async def test_a_flood_is_read_no_faster_than_it_may(tmp_path: Path) -> None:
    """A unit that writes without end has to wait, and another one has its turn."""
    calm = ReadBoard(behaviour=Behaviour(rate=50))
    async with ReadBoard(behaviour=Behaviour(flood=True)) as wild, calm:
        began = time.monotonic()
        units = (read(wild.port, "wild"), read(calm.port, "calm"))
        async with units_hub(tmp_path, *units, readings_per_second=2000) as stand:
            await until(lambda: stand.units.unit("wild").readings > 6000, "6000 readings")
            seconds = time.monotonic() - began
            # A read brings up to 4 KiB, of two bytes a line at least, before it is counted.
            assert stand.units.unit("wild").readings <= 2000 * (seconds + 1) + 2048
            await until(lambda: len(stand.values("calm")) > 10, "the calm one is stored")


async def test_garbage_without_end_is_bounded(tmp_path: Path) -> None:
    """A board that writes anything but lines costs nobody anything."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port)) as stand:
        _, writer = await peer.connection()
        for _ in range(50):
            writer.write(bytes(range(256)) * 16)
            await writer.drain()
        writer.write(b"\n7\n")
        await until(lambda: stand.values("adc") == [7], "the good line is stored")
        await peer.end(writer)


async def test_the_kernel_looks_for_peers_that_are_gone(tmp_path: Path) -> None:
    """TCP keep-alive is on, so that a half-open connection ends without a word of the unit."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port)) as stand:
        _, writer = await peer.connection()
        await until(lambda: stand.units.unit("adc").state == "connected", "it is connected")
        run = stand.units._runs[f"{HOST}:{peer.port}"]
        assert run.reader is not None
        assert run.reader.link is not None
        ours = run.reader.link._transport.get_extra_info("socket")
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 15
        await peer.end(writer)


async def test_a_blocked_unit_is_not_stored(tmp_path: Path) -> None:
    """What a blocked device says is rejected, as of any other."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port)) as stand:
        _, writer = await peer.connection()
        writer.write(b"1\n")
        await until(lambda: stand.values("adc") == [1], "it is stored")
        await stand.hub.block_device("adc")
        writer.write(b"2\n")
        await until(lambda: stand.rejected() == [(b"value 2.0", "the device is blocked")], "no")
        assert stand.values("adc") == [1]
        await peer.end(writer)


async def test_a_unit_takes_the_device_that_a_webhook_brought(tmp_path: Path) -> None:
    """The identity is that of the address, whoever speaks of it."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port, "")) as stand:
        await until(lambda: stand.hub.registry.count() == 1, "it is known")
        await stand.hub.rename_device(f"{HOST}:{peer.port}", "mine")
        _, writer = await peer.connection()
        writer.write(b"1\n")
        await until(lambda: stand.values("mine") == [1], "it is stored")
        changes = [
            e for _, f in frames(tmp_path) for e in f.entries if isinstance(e, DeviceChanged)
        ]
        assert {one.device.id for one in changes} == {1}
        await peer.end(writer)


@pytest.mark.parametrize("ip", ["::1"])
async def test_ipv6(tmp_path: Path, ip: str) -> None:
    """Units have IPv6 addresses too."""
    async with ReadBoard(ip, behaviour=FAST) as board:
        unit = Unit(address=ip, port=board.port)
        async with units_hub(tmp_path, unit) as stand:
            await until(lambda: stand.units.counters["readings"] > 3, "readings")
            assert stand.units.units()[0].name == f"[::1]:{board.port}"
