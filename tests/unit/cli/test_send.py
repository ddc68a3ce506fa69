"""``motehub send`` beside a hub that runs in the test's own process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.harness import PATIENCE, cli, environment
from tests.unit.core.support import SOURCE, START, FakeClock, open_hub, say, temperature

from motehub.command import Command, Order
from motehub.control import ControlServer, FindCommand, Request, carry_out
from motehub.core.hub import Hub
from motehub.model import Assignment, Device

NAME = SOURCE.suggested_name


class Post:
    """A carrier that does with each command what the test says."""

    def __init__(self, hub: Hub) -> None:
        self.got: list[Order] = []
        self.then: Callable[[Command], None] = lambda _: None
        hub.commands.attach("test", self)

    def carry(self, command: Command, _: Device, __: Assignment | None) -> bool:
        self.got.append(command.order)
        self.then(command)
        return True


class Stand:
    """A hub that answers on the control socket of ``folder``, and a carrier."""

    def __init__(self, folder: Path, hub: Hub, clock: FakeClock) -> None:
        self.folder = folder
        self.hub = hub
        self.clock = clock
        self.post = Post(hub)

    async def send(self, *arguments: str) -> tuple[int, str, str]:
        """Run ``motehub send`` for the device; return exit status and both outputs."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "motehub", "send", NAME, *arguments),
            env=environment() | {"MOTEHUB_DATA": str(self.folder)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, output.decode(), errors.decode()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        await say(hub, SOURCE, [temperature(20)])
        async with ControlServer(tmp_path, lambda request: carry_out(hub, request, dict)):
            yield Stand(tmp_path, hub, clock)


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        (("red",), Order(payload="red")),
        (("--", "-1"), Order(payload="-1")),
        (("--name", "led", "--value", "1"), Order("led", 1)),
        (("--name", "led", "--value", "-2.5"), Order("led", -2.5)),
        (("--name", "led", "--value", "true"), Order("led", True)),
        (("--name", "led", "--value", "on"), Order("led", "on")),
        (("--name", "led", "--value", '"1"'), Order("led", "1")),
        (("--name", "led", "--value", "NaN"), Order("led", "NaN")),
        (("--name", "led", "--value", "[1]"), Order("led", "[1]")),
        (("--name", "reboot"), Order("reboot")),
    ],
)
async def test_what_was_written_is_sent(
    stand: Stand, arguments: tuple[str, ...], order: Order
) -> None:
    """Numbers and truth values are sent as such, other values as text."""
    status, output, errors = await stand.send(*arguments)
    assert (status, errors) == (0, "")
    assert stand.post.got == [order]
    assert type(stand.post.got[0].value) is type(order.value)
    assert output.endswith("queued\n")


async def test_waiting_for_the_end(stand: Stand) -> None:
    """With --wait each step is told, and the command ends when the device has confirmed."""
    asked = 0

    async def answer(request: Request) -> dict[str, Any]:
        nonlocal asked
        if isinstance(request, FindCommand):
            asked += 1
            if asked == 1:
                stand.hub.commands.sent(request.id)
            elif asked == 3:
                await say(stand.hub, SOURCE, [temperature(21, time=START + 1)])
        return await carry_out(stand.hub, request, dict)

    async with ControlServer(stand.folder, answer):
        order = ("--name", "temperature", "--value", "21")
        status, output, errors = await stand.send(*order, "--wait", "--json")
    assert status == 0, errors
    assert errors.endswith(": sent\n")
    assert asked == 3
    command = json.loads(output)
    assert (command["state"], command["over"], command["value"]) == ("confirmed", True, 21)


async def test_a_failure_is_an_exit_status(stand: Stand) -> None:
    """A command that fails or expires exits 1 and says why, without --wait what fails at once."""
    stand.post.then = lambda command: stand.hub.commands.failed(command.id, "only green")
    assert (await stand.send("red"))[0] == 1
    status, output, _ = await stand.send("red", "--wait")
    assert status == 1
    assert "failed, only green" in output

    def expire(_: Command) -> None:
        stand.clock.now += 10_000_000
        asyncio.get_running_loop().call_soon(stand.hub.commands.expire)

    stand.post.then = expire
    status, output, _ = await stand.send("red", "--wait", "--timeout", "10s", "--json")
    assert status == 1
    assert json.loads(output)["state"] == "expired"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "says nothing"),
        (("--value", "1"), "says nothing"),
        (("red", "--name", "led"), "not both"),
        (("--name", "led", "--value", "1e999"), "inf"),
        (("red", "--timeout", "soon"), "not a duration"),
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """What can't be sent is refused before the hub is asked."""
    done = cli("send", "lamp", *arguments, data=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr


async def test_what_the_hub_refuses_exits_1(stand: Stand) -> None:
    """A device that there is not, and a time that can't be given, are told."""
    done = await asyncio.to_thread(cli, "send", "nobody", "red", data=stand.folder)
    assert done.returncode == 1
    assert "There is no device called 'nobody'" in done.stderr
    status, _, errors = await stand.send("red", "--timeout", "10d")
    assert status == 1
    assert "604800 seconds" in errors


def test_without_a_hub_nothing_is_sent(tmp_path: Path) -> None:
    """A command needs a hub that runs: its time would pass before one is started."""
    done = cli("send", "lamp", "red", data=tmp_path)
    assert done.returncode == 1
    assert "no hub data" in done.stderr
