"""Simulated units behave as the firmware does: that is what the hub is tested against."""

from __future__ import annotations

import asyncio
import time

import pytest

from motehub.errors import OwnerError
from motehub.simulate.units import READ_TIMEOUT, Behaviour, Lamp, ReadBoard, addresses, colour_of


async def test_a_board_writes_numbers_of_ten_bits() -> None:
    """A line holds a number from 0 to 1023, and nothing else."""
    async with ReadBoard(behaviour=Behaviour(rate=500)) as board:
        reader, writer = await asyncio.open_connection(board.host, board.port)
        lines = [await reader.readline() for _ in range(20)]
        writer.close()
        assert lines == [b"%d\n" % number for number in board.sent[:20]]
        assert all(0 <= int(line) <= 1023 for line in lines)


async def test_a_second_connection_waits_for_the_first() -> None:
    """It is taken by the system, but hears nothing until the board is free."""
    async with ReadBoard(behaviour=Behaviour(rate=500)) as board:
        first, writer = await asyncio.open_connection(board.host, board.port)
        await first.readline()
        second, other = await asyncio.open_connection(board.host, board.port)
        waiting = asyncio.create_task(second.readline())
        for _ in range(20):
            await first.readline()
        assert not waiting.done()
        assert board.connections == 1
        writer.close()
        assert await waiting
        other.close()


async def test_a_lamp_reads_up_to_the_return() -> None:
    """With a return it reacts at once; with a newline alone after its time-out of a second."""
    async with Lamp() as lamp:
        for ending, least in ((b"\r\n", 0.0), (b"\n", READ_TIMEOUT)):
            began = time.monotonic()
            _, writer = await asyncio.open_connection(lamp.host, lamp.port)
            writer.write(b"red" + ending)
            writer.close()
            await lamp.told(len(lamp.payloads) + 1)
            assert time.monotonic() - began >= least * 0.99
        assert lamp.payloads == ["red", "red"]
        assert lamp.colours == ["#ff0000", "#ff0000"]


async def test_a_board_that_restarts_breaks_off_and_comes_back() -> None:
    """The connection is reset in the middle of a line, and the board listens again later."""
    behaviour = Behaviour(rate=500, reboot_after=3, reboot_seconds=0.01)
    async with ReadBoard(behaviour=behaviour, seed=1) as board:
        reader, writer = await asyncio.open_connection(board.host, board.port)
        with pytest.raises(ConnectionError):
            await reader.read()
        writer.close()
        while True:
            try:
                reader, writer = await asyncio.open_connection(board.host, board.port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.001)
        assert await reader.readline()
        writer.close()


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("red", "#ff0000"),
        ("Red", "#ff0000"),
        ("#FF8800", "#ff8800"),
        ("#ff880", None),
        ("#gg0000", None),
        ("infrared", None),
        ("", None),
    ],
)
def test_colours(text: str, colour: str | None) -> None:
    """HTML names and #rrggbb; anything else is none."""
    assert colour_of(text) == colour


def test_addresses_are_counted_from_the_first() -> None:
    """Boards have addresses one after the other."""
    assert addresses("127.0.1.254", 3) == ["127.0.1.254", "127.0.1.255", "127.0.2.0"]
    with pytest.raises(OwnerError, match="no address"):
        addresses("255.255.255.255", 2)


async def test_a_port_that_is_taken_is_named() -> None:
    """Two boards can't listen in one place."""
    async with ReadBoard() as board:
        with pytest.raises(OwnerError, match=str(board.port)):
            async with ReadBoard(board.host, board.port):
                pass
