"""Commands to units: one after the other, until they have arrived or their time is over."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from tests.units_stand import (
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

from motehub.command import CommandState
from motehub.quantities import Duration
from motehub.simulate.units import Behaviour, Lamp, ReadBoard


async def test_a_colour_arrives(tmp_path: Path) -> None:
    """A lamp that reads up to the return shows the colour; the command is sent, and over."""
    async with Lamp() as lamp, units_hub(tmp_path, updatable(lamp.port)) as stand:
        command = await stand.told("lamp", "#ff8800")
        assert is_sent(command)
        assert lamp.colours == ["#ff8800"]
        assert is_sent(await stand.told("lamp", "red"))
        assert lamp.colours == ["#ff8800", "#ff0000"]
        assert stand.units.counters["commands_sent"] == 2
        assert stand.units.counters["attempts_failed"] == 0


async def test_what_a_unit_gets(tmp_path: Path) -> None:
    """The payload, return and newline, the end; it is sent when the unit has closed, too."""
    async with Peer() as peer, units_hub(tmp_path, updatable(peer.port)) as stand:
        command = await stand.hub.command("lamp", payload="grün #1")
        reader, writer = await peer.connection()
        assert await reader.read() == "grün #1\r\n".encode()
        assert stand.hub.commands.book.find(command.id).state is CommandState.QUEUED
        await peer.end(writer)
        assert is_sent(await stand.over(command))


async def test_a_quick_unit_is_told_once(tmp_path: Path) -> None:
    """One that takes the payload and resets before the hub has closed its side got it too."""

    def play(board: socket.socket) -> None:
        while not stopping.is_set():
            with suppress(TimeoutError):
                connection, _ = board.accept()
                with connection:
                    heard = b""
                    while not heard.endswith(b"\r") and (byte := connection.recv(1)):
                        heard += byte
                    told.append(heard)

    told: list[bytes] = []
    stopping = threading.Event()
    with socket.create_server((HOST, 0)) as board:
        board.settimeout(0.05)
        thread = threading.Thread(target=play, args=(board,))
        thread.start()
        try:
            async with units_hub(tmp_path, updatable(board.getsockname()[1])) as stand:
                for number in range(100):
                    assert is_sent(await stand.told("lamp", str(number)))
        finally:
            stopping.set()
            thread.join()
    assert told == [b"%d\r" % number for number in range(100)]


async def test_a_unit_that_does_not_read_to_the_end_resets(tmp_path: Path) -> None:
    """A reset after everything was taken is how firmware closes that leaves the newline unread."""
    async with Peer() as peer, units_hub(tmp_path, updatable(peer.port)) as stand:
        command = await stand.hub.command("lamp", payload="red")
        reader, writer = await peer.connection()
        await reader.read()
        ours = writer.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        assert is_sent(await stand.over(command))
        assert stand.units.counters["attempts_failed"] == 0


async def test_commands_arrive_in_order_one_at_a_time(tmp_path: Path) -> None:
    """Each has a connection of its own, and there are never two."""
    async with Peer() as peer, units_hub(tmp_path, updatable(peer.port)) as stand:
        for number in range(20):
            await stand.hub.command("lamp", payload=f"c{number}")
        for number in range(20):
            reader, writer = await peer.connection()
            assert await reader.read() == f"c{number}\r\n".encode()
            assert stand.units.unit("lamp").commands == 20 - number
            await peer.end(writer)
        await until(lambda: stand.units.counters["commands_sent"] == 20, "all are sent")
        assert peer.most == 1


async def test_a_unit_that_is_away_gets_it_when_it_is_back(tmp_path: Path) -> None:
    """The hub tries again until the command's time is over."""
    port = free_port()
    async with units_hub(tmp_path, updatable(port)) as stand:
        command = await stand.hub.command("lamp", payload="red", seconds=60)
        await until(lambda: stand.units.counters["attempts_failed"], "it has tried")
        assert stand.trouble("lamp") == "it refuses the connection"
        async with Lamp(HOST, port) as lamp:
            assert is_sent(await stand.over(command))
            assert lamp.colours == ["#ff0000"]
        assert stand.trouble("lamp") == ""


async def test_it_fails_with_the_reason(tmp_path: Path) -> None:
    """When its time is over, a command says why it could not arrive."""
    async with units_hub(tmp_path, updatable(free_port())) as stand:
        command = await stand.told("lamp", "red", seconds=1)
        while command.state is CommandState.EXPIRED:
            # The machine was so busy that nobody said so in time.
            command = await stand.told("lamp", "red", seconds=1)
        assert command.state is CommandState.FAILED
        assert command.reason == "it refuses the connection"


async def test_those_behind_it_fail_with_a_reason_too(tmp_path: Path) -> None:
    """A command whose time is over while another one is tried has failed."""
    async with units_hub(tmp_path, updatable(free_port())) as stand:
        first = await stand.hub.command("lamp", payload="red", seconds=60)
        second = await stand.hub.command("lamp", payload="blue", seconds=1)
        over = await stand.over(second)
        assert over.state is CommandState.FAILED
        assert over.reason == "those before it could not be sent: it refuses the connection"
        assert stand.hub.commands.book.find(first.id).state is CommandState.QUEUED


async def test_a_unit_that_hangs(tmp_path: Path) -> None:
    """One that takes connections and does nothing has not got the command, and says so."""
    async with (
        Lamp(hangs=True) as lamp,
        units_hub(tmp_path, updatable(lamp.port), write_timeout=Duration(0.2)) as stand,
    ):
        command = await stand.told("lamp", "red", seconds=3)
        assert command.state is CommandState.FAILED
        # The last attempt may have had next to no time, even to be acknowledged.
        assert "it takes connections, but did not" in command.reason
        assert "may hang" in command.reason
        assert stand.units.counters["attempts_failed"] >= 2
        lamp.release()
        assert is_sent(await stand.told("lamp", "blue"))
        assert lamp.colours[-1] == "#0000ff"


async def test_the_newest_wins_where_the_owner_says_so(tmp_path: Path) -> None:
    """Of colours that wait for a lamp that is away only the last one is shown."""
    port = free_port()
    async with units_hub(tmp_path, updatable(port, newest_wins=True)) as stand:
        given = [await stand.hub.command("lamp", payload=f"#00000{n}") for n in range(5)]
        over = [await stand.over(one) for one in given[:-1]]
        assert {one.state for one in over} == {CommandState.FAILED}
        assert {one.reason for one in over} == {"a newer command has taken its place"}
        async with Lamp(HOST, port) as lamp:
            assert is_sent(await stand.over(given[-1]))
            assert lamp.colours == ["#000004"]


async def test_the_newest_waits_for_the_one_that_is_on_its_way(tmp_path: Path) -> None:
    """A connection that is under way is not broken off for a newer command."""
    async with (
        Peer() as peer,
        units_hub(tmp_path, updatable(peer.port, newest_wins=True)) as stand,
    ):
        first = await stand.hub.command("lamp", payload="one")
        reader, writer = await peer.connection()
        others = [await stand.hub.command("lamp", payload=text) for text in ("two", "three")]
        assert await reader.read() == b"one\r\n"
        await peer.end(writer)
        assert is_sent(await stand.over(first))
        reader, writer = await peer.connection()
        assert await reader.read() == b"three\r\n"
        await peer.end(writer)
        states = [(await stand.over(one)).state for one in others]
        assert states == [CommandState.FAILED, CommandState.SENT]


@pytest.mark.parametrize("payload", ["red\r\nblue", "red\n", "\rred", "a\x00b", "tab\tbed", "\x7f"])
async def test_a_payload_is_one_line(tmp_path: Path, payload: str) -> None:
    """Line ends would be further commands: the unit never sees such a payload."""
    async with Lamp() as lamp, units_hub(tmp_path, updatable(lamp.port)) as stand:
        command = await stand.told("lamp", payload)
        assert command.state is CommandState.FAILED
        assert "one line of text" in command.reason
        assert lamp.connections == 0


@pytest.mark.parametrize(
    ("value", "text"), [(True, "1"), (False, "0"), (7, "7"), (0.5, "0.5"), ("red", "red")]
)
async def test_a_value_is_sent_as_text(tmp_path: Path, value: object, text: str) -> None:
    """A unit has one thing to be set, so the value alone is what it gets; sent is its end."""
    async with Lamp() as lamp, units_hub(tmp_path, updatable(lamp.port)) as stand:
        command = await stand.hub.command("lamp", "colour", value)  # type: ignore[arg-type]
        assert await lamp.told(1) == [text]
        # It reports nothing: nobody waits for what can't come.
        assert is_sent(await stand.over(command))


async def test_what_such_a_unit_reports_confirms(tmp_path: Path) -> None:
    """A command for its metric is over when it has reported the value, any other when sent."""
    async with Peer() as peer, units_hub(tmp_path, both(peer.port, metric="level")) as stand:
        reader, writer = await peer.connection()
        other = await stand.hub.command("both", "led", 1)
        assert await reader.readline() == b"1\r\n"
        assert is_sent(await stand.over(other))
        command = await stand.hub.command("both", "level", 7)
        assert await reader.readline() == b"7\r\n"
        find = stand.hub.commands.book.find
        await until(lambda: find(command.id).state is CommandState.SENT, "it is sent")
        assert not find(command.id).is_over
        writer.write(b"7\n")
        assert (await stand.over(command)).state is CommandState.CONFIRMED
        await peer.end(writer)


async def test_a_name_alone_tells_a_unit_nothing(tmp_path: Path) -> None:
    """There is nothing that could be sent for it."""
    async with Lamp() as lamp, units_hub(tmp_path, updatable(lamp.port)) as stand:
        command = await stand.over(await stand.hub.command("lamp", "blink"))
        assert command.state is CommandState.FAILED
        assert "a payload or a value" in command.reason


async def test_a_unit_that_only_sends_takes_nothing(tmp_path: Path) -> None:
    """Whoever commands it is told what to change."""
    async with units_hub(tmp_path, read(free_port())) as stand:
        command = await stand.told("adc", "red")
        assert command.state is CommandState.FAILED
        assert "only sends" in command.reason


async def test_a_unit_that_sends_and_takes(tmp_path: Path) -> None:
    """Payloads go over the connection on which its readings come, which stays."""
    behaviour = Behaviour(rate=100, takes=True)
    async with (
        ReadBoard(behaviour=behaviour) as board,
        units_hub(tmp_path, both(board.port)) as stand,
    ):
        await until(lambda: stand.is_online("both"), "it is online")
        for number in range(10):
            assert is_sent(await stand.told("both", f"c{number}"))
        assert await board.told(10) == [f"c{n}" for n in range(10)]
        assert board.connections == 1
        count = board.readings
        await until(lambda: board.readings > count + 3, "readings go on")


async def test_a_command_waits_for_the_connection_of_such_a_unit(tmp_path: Path) -> None:
    """While it is away the command waits, and leaves when the connection is there."""
    port = free_port()
    async with units_hub(tmp_path, both(port)) as stand:
        command = await stand.hub.command("both", payload="red")
        await until(lambda: stand.units.counters["attempts_failed"], "it has tried")
        async with ReadBoard(HOST, port, Behaviour(rate=50, takes=True)) as board:
            assert is_sent(await stand.over(command))
            assert await board.told(1) == ["red"]


async def test_such_a_unit_takes_no_payload(tmp_path: Path) -> None:
    """When its receive window stays full, the connection is made anew and the payload sent then."""
    with socket.socket() as listener:
        # A window so small that the payload does not fit.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        listener.bind((HOST, 0))
        listener.listen(5)
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        unit = both(listener.getsockname()[1])
        async with units_hub(tmp_path, unit, write_timeout=Duration(1)) as stand:
            first, _ = await loop.sock_accept(listener)
            with first:
                for _ in range(4):
                    await stand.hub.command("both", payload="x" * 1024)
                second, _ = await loop.sock_accept(listener)
                with second:
                    lines = b""
                    while lines.count(b"\r\n") < 2:
                        lines += await loop.sock_recv(second, 4096)
                    assert set(lines.split(b"\r\n")[:2]) == {b"x" * 1024}


async def test_a_blocked_unit_gets_nothing_more(tmp_path: Path) -> None:
    """What waits for a unit is not sent once its device is blocked."""
    port = free_port()
    async with units_hub(tmp_path, updatable(port)) as stand:
        command = await stand.hub.command("lamp", payload="red")
        await until(lambda: stand.units.counters["attempts_failed"], "it has tried")
        await stand.hub.block_device("lamp")
        assert (await stand.over(command)).reason == "the device was blocked"
        async with Lamp(HOST, port) as lamp:
            await until(lambda: not stand.units.unit("lamp").commands, "it is given up")
            assert lamp.payloads == []


async def test_what_waits_is_sent_after_the_next_start(tmp_path: Path) -> None:
    """A command outlives the hub's stop, and arrives once."""
    port = free_port()
    async with units_hub(tmp_path, updatable(port)) as stand:
        command = await stand.hub.command("lamp", payload="red")
        await until(lambda: stand.units.counters["attempts_failed"], "it has tried")
    async with Lamp(HOST, port) as lamp, units_hub(tmp_path, updatable(port)) as stand:
        assert is_sent(await stand.over(command))
        assert lamp.payloads == ["red"]
