"""Units that are added, changed, tested, removed and looked for while the hub runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.units_stand import (
    ALL,
    HOST,
    Peer,
    both,
    free_port,
    is_sent,
    read,
    units_hub,
    until,
    updatable,
)

from motehub.errors import InvalidUnit, UnitExists, UnknownUnit
from motehub.quantities import Duration
from motehub.simulate.units import Behaviour, Lamp, ReadBoard
from motehub.transports._units_scan import addresses_of
from motehub.transports._units_settings import Settings
from motehub.unit_requests import change_unit
from motehub.units import Unit, UnitKind, unit_key, unit_of

FAST = Behaviour(rate=100)


async def test_a_unit_is_added_and_stays(tmp_path: Path) -> None:
    """It is connected to at once, and again after a restart of the hub."""
    async with ReadBoard(behaviour=FAST) as board:
        async with units_hub(tmp_path) as stand:
            state = await stand.units.add_unit(read(board.port, metric="light"))
            assert (state.name, state.origin) == ("adc", "added")
            await until(lambda: stand.units.unit("adc").readings, "readings come")
        async with units_hub(tmp_path) as stand:
            assert stand.units.unit("adc").definition.metric == "light"
            await until(lambda: stand.units.unit("adc").readings, "readings come again")


async def test_a_lamp_that_was_added_takes_commands(tmp_path: Path) -> None:
    """An updatable unit is a device once it is added: whoever added it may command it at once."""
    async with Lamp() as lamp, units_hub(tmp_path) as stand:
        await stand.units.add_unit(updatable(lamp.port))
        assert is_sent(await stand.told("lamp", "red"))


async def test_what_can_not_be_added(tmp_path: Path) -> None:
    """An address that is a unit, a name that another device has, one unit too many."""
    taken = read(free_port())
    async with units_hub(tmp_path, taken, units=2) as stand:
        with pytest.raises(UnitExists, match="already"):
            await stand.units.add_unit(updatable(taken.port))
        with pytest.raises(UnitExists, match="'adc'"):
            await stand.units.add_unit(read(free_port(), "adc"))
        await stand.units.add_unit(read(free_port(), "other"))
        with pytest.raises(InvalidUnit, match="2 units"):
            await stand.units.add_unit(read(free_port(), "third"))


async def test_a_unit_is_changed_while_it_is_connected(tmp_path: Path) -> None:
    """The new meaning applies from the next connection on, which is made at once."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port)) as stand:
        _, writer = await peer.connection()
        writer.write(b"1023\n")
        await until(lambda: stand.values("adc") == [1023], "a number")
        fields = {"metric": "light", "unit": "%"}
        ranges = {"input_range": [0, 1023], "output_range": [0, 100]}
        state = await change_unit(stand.hub, stand.units, "adc", {**fields, **ranges}, None)
        assert state.origin == "changed"
        assert peer.most == 1
        await peer.end(writer)
        _, writer = await peer.connection()
        writer.write(b"1023\n")
        await until(lambda: stand.values("adc", "light") == [100], "percent")
        await peer.end(writer)


async def test_a_changed_unit_of_the_configuration(tmp_path: Path) -> None:
    """The change wins over the configuration, also after a restart, until it is removed."""
    unit = read(free_port())
    async with units_hub(tmp_path, unit) as stand:
        with pytest.raises(InvalidUnit, match="configuration"):
            await stand.units.remove_unit("adc")
        await change_unit(stand.hub, stand.units, "adc", {"scale": 2}, None)
    async with units_hub(tmp_path, unit) as stand:
        state = stand.units.unit("adc")
        assert (state.origin, state.definition.scale) == ("changed", 2)
        left = await stand.units.remove_unit("adc")
        assert left is not None
        assert (left.origin, left.definition.scale) == ("configuration", 1)
    async with units_hub(tmp_path, unit) as stand:
        assert stand.units.unit("adc").origin == "configuration"


async def test_a_unit_is_renamed(tmp_path: Path) -> None:
    """Its device has the name, its history and connection stay, and it is known by both."""
    async with (
        ReadBoard(behaviour=FAST) as board,
        units_hub(tmp_path, read(board.port)) as stand,
    ):
        await until(lambda: stand.is_online("adc"), "it is online")
        await change_unit(stand.hub, stand.units, "adc", {}, "window")
        assert stand.units.unit("window") == stand.units.unit(f"{HOST}:{board.port}")
        assert stand.units.unit("window").origin == "configuration"
        with pytest.raises(UnknownUnit, match="window"):
            stand.units.unit("adc")
        assert board.connections == 1


async def test_a_unit_is_removed(tmp_path: Path) -> None:
    """Its connection ends, its commands fail; its device and readings stay."""
    port = free_port()
    async with units_hub(tmp_path) as stand:
        await stand.units.add_unit(updatable(port))
        command = await stand.hub.command("lamp", payload="red")
        assert await stand.units.remove_unit("lamp") is None
        assert (await stand.over(command)).reason == "the unit was removed"
        assert stand.units.units() == []
        assert stand.hub.registry.has_name("lamp")
    async with units_hub(tmp_path) as stand:
        assert stand.units.units() == []


async def test_what_a_unit_says_is_shown(tmp_path: Path) -> None:
    """A test shows the lines of the connection that there is, and makes none beside it."""
    async with Peer() as peer, units_hub(tmp_path, read(peer.port)) as stand:
        _, writer = await peer.connection()
        test = asyncio.create_task(stand.units.test_unit("adc", 20))
        await until(lambda: stand.units._runs[f"{HOST}:{peer.port}"].reader._taps, "it listens")  # type: ignore[union-attr]
        writer.write(b"512\nhello \xff\x07\n" + b"7\n" * 8)
        result = await test
        assert result.connected
        assert result.lines == ["512", "hello \\\\xff\\x07", *["7"] * 8]
        assert peer.most == 1
        await peer.end(writer)


async def test_a_test_connects_now(tmp_path: Path) -> None:
    """It does not wait for the end of a pause; and says why there is no connection."""
    port = free_port()
    async with units_hub(tmp_path, read(port), longest_pause=Duration(3600)) as stand:
        for _ in range(9):
            result = await stand.units.test_unit("adc", 20)
            assert not result.connected
            assert result.trouble == "not reached: it refuses the connection"
        async with ReadBoard(HOST, port, FAST):
            result = await stand.units.test_unit("adc", 20)
            assert result.connected
            assert len(result.lines) == 10


async def test_a_lamp_is_tested(tmp_path: Path) -> None:
    """An updatable unit is connected to, told nothing, and left."""
    async with Lamp() as lamp, units_hub(tmp_path, updatable(lamp.port)) as stand:
        result = await stand.units.test_unit("lamp", 0.2)
        assert (result.connected, result.lines) == (True, [])
        assert is_sent(await stand.told("lamp", "red"))
    async with units_hub(tmp_path, updatable(free_port())) as stand:
        result = await stand.units.test_unit("lamp", 0.2)
        assert (result.connected, result.trouble) == (
            False,
            "not reached: it refuses the connection",
        )


async def test_boards_are_found(tmp_path: Path) -> None:
    """A scan shows who listens and what it says first; units it names, and leaves alone."""
    async with ReadBoard("127.0.6.1", 0, FAST) as known:
        port = known.port
        unknown = ReadBoard("127.0.6.2", port, FAST, keep=ALL)
        async with unknown as new, Lamp("127.0.6.3", port) as lamp:
            unit = Unit(address="127.0.6.1", port=port, name="adc")
            async with units_hub(tmp_path, unit) as stand:
                await until(lambda: stand.is_online("adc"), "it is online")
                found = await stand.units.scan_units("127.0.6.0/29", port)
                assert [(one.address, one.name) for one in found] == [
                    ("127.0.6.1", "adc"),
                    ("127.0.6.2", ""),
                    ("127.0.6.3", ""),
                ]
                assert [one.line for one in found] == ["", str(new.sent[0]), ""]
                assert (known.connections, new.connections, lamp.connections) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "first", "count"),
    [
        ("192.168.1.0/24", "192.168.1.1", 254),
        ("192.168.1.10-192.168.1.40", "192.168.1.10", 31),
        ("10.0.0.7", "10.0.0.7", 1),
        (" 169.254.3.0/30 ", "169.254.3.1", 2),
        ("fd00::/120", "fd00::1", 255),
    ],
)
def test_ranges(text: str, first: str, count: int) -> None:
    """A network, from one address to another, or a single one."""
    found = addresses_of(text)
    assert (found[0], len(found)) == (first, count)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lamp.local",
        "10.0.0.0/8",
        "8.8.8.0/24",
        "192.168.1.9-8.8.8.8",
        "192.168.1.40-192.168.1.10",
        "::/0",
        "::ffff:8.8.8.8",
        "::ffff:8.8.8.0/120",
        "0.0.0.0/0",
        "192.168.1.255-192.169.0.1",
        "1-2-3",
    ],
)
def test_what_is_not_searched(text: str) -> None:
    """No names, no large ranges, nothing outside of private networks."""
    with pytest.raises(InvalidUnit):
        addresses_of(text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"address": "lamp.local"}, "not an IP address"),
        ({"address": "224.0.0.1"}, "not the address of one machine"),
        ({"address": "0.0.0.0"}, "not the address of one machine"),
        ({"address": "fe80::1%eth0\r\nx"}, "not an IP address"),
        ({"address": "fe80::1%" + "x" * 16}, "not an IP address"),
        ({"address": "192.168.1.300"}, "not an IP address"),
        ({"port": 65536}, "65535"),
        ({"name": "a;b"}, "name"),
        ({"metric": ""}, "metric must be"),
        ({"metric": "a\nb"}, "metric must be"),
        ({"unit": "x" * 33}, "unit must be"),
        ({"scale": 0}, "scale"),
        ({"input_range": [0, 1023]}, "output_range must be two"),
        ({"output_range": [0, 100]}, "input_range must be two"),
        ({"input_range": [5, 5], "output_range": [0, 1]}, "from the lesser"),
        ({"input_range": [0, 1], "output_range": [0, 1], "scale": 2}, "not both"),
        ({"minimum": 5, "maximum": 5}, "minimum must be less"),
        ({"expected_interval": "soon"}, "duration"),
        ({"kind": "write"}, "kind"),
        ({"color": "red"}, "color"),
    ],
)
def test_what_no_unit_can_be(fields: dict[str, object], words: str) -> None:
    """Each fault is named in words that tell what to mend."""
    with pytest.raises(InvalidUnit, match=words):
        unit_of({"address": "192.168.1.5", **fields})


def test_lists_and_tables_of_the_configuration() -> None:
    """An address in both lists is a unit that sends and takes; twice in one place it is a slip."""
    settings = Settings(
        read_units=["192.168.1.5", "192.168.1.6"],
        updatable_units=["192.168.1.6", "192.168.1.7"],
        unit=[Unit(address="192.168.1.5", port=9000)],
    )
    found = {key: unit.kind for key, unit in settings.configured().items()}
    assert found == {
        "192.168.1.5": UnitKind.READ,
        "192.168.1.6": UnitKind.BOTH,
        "192.168.1.7": UnitKind.UPDATABLE,
        "192.168.1.5:9000": UnitKind.READ,
    }
    for keys in (
        {"read_units": ["192.168.1.5", "::ffff:192.168.1.5"]},
        {"updatable_units": ["192.168.1.5"] * 2},
        {"read_units": ["192.168.1.5"], "unit": [Unit(address="192.168.1.5")]},
        {"unit": [Unit(address=f"192.168.1.{n}", name="same") for n in (1, 2)]},
        {"read_units": ["192.168.1.5", "192.168.1.6"], "units": 1},
    ):
        with pytest.raises(ValueError, match=r"twice|same|more units"):
            Settings(**keys)


async def test_a_unit_that_does_both_is_tested_on_its_connection(tmp_path: Path) -> None:
    """The lines of the one connection are shown."""
    behaviour = Behaviour(rate=100, takes=True)
    async with (
        ReadBoard(behaviour=behaviour) as board,
        units_hub(tmp_path, both(board.port)) as stand,
    ):
        assert len((await stand.units.test_unit("both", 20)).lines) == 10
        assert board.connections == 1


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("192.168.1.5", "192.168.1.5"),
        ("192.168.1.5:08888", "192.168.1.5"),
        ("[fe80::1%eth0]:99", "[fe80::1%eth0]:99"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("fe80::1%", None),
        ("fe80::1%eth0\r\nx", None),
        ("fe80::1%../api", None),
        ("fe80::1%" + "x" * 3_000, None),
        ("2130706433", None),
        ("0x7f.0.0.1", None),
        ("127.0.0.01", None),
        ("127.1", None),
        ("1.2.3.4:0", None),
        ("1.2.3.4:65536", None),
        ("1.2.3.4\n", None),
        ("localhost", None),
    ],
)
def test_addresses_have_one_form(text: str, key: str | None) -> None:
    """What a request names is compared in that form; anything else is no address."""
    assert unit_key(text) == key
