"""Runs a demonstration from its first line on a terminal to the last."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

from motehub.control import AcceptDevice, CreateToken, ImportReadings, Status
from motehub.core.people import Role
from motehub.demo import fleet
from motehub.demo.door import Account, Door
from motehub.demo.hub import DemoHub
from motehub.errors import OwnerError
from motehub.model import Scope
from motehub.people_requests import AddUser
from motehub.process import stop_on_signals
from motehub.run_file import RunFile
from motehub.security.authority import Authority
from motehub.simulate import device_session
from motehub.transfer.pieces import pack

USER: Final = "demo"
"""Who is signed in by the link."""

_SPEAK_SECONDS: Final = 30.0
_POLL: Final = 0.1
_RANDOM_BYTES: Final = 16

Tell = Callable[[str], None]
Past = Mapping[str, list[bytes]]


async def show(port: int, tell: Tell, open_browser: bool) -> None:
    """Run a demonstration until SIGINT, SIGTERM or SIGHUP; ``tell`` gets lines for people.

    Raises:
        OwnerError: the hub can't be started, or ends.
    """
    stop = stop_on_signals()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, stop.set)
    running = asyncio.create_task(_run(port, tell, open_browser))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        tell("Stopping, and removing it all.")
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _run(port: int, tell: Tell, open_browser: bool) -> None:
    hub = DemoHub()
    plan, boards = fleet.plan(), fleet.Boards()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(hub.stop)
        tell("Starting a hub with simulated devices…")
        for board in (boards.soil, boards.lamp):
            await stack.enter_async_context(board)
        past = asyncio.create_task(asyncio.to_thread(_packed, plan))
        stack.callback(past.cancel)
        found = await hub.start(fleet.configuration(port, boards))
        account = await _account(hub, found)
        devices = asyncio.create_task(_devices(hub, plan, found))
        stack.push_async_callback(_end, devices)
        ended = asyncio.create_task(hub.ended())
        stack.callback(ended.cancel)
        showing = asyncio.create_task(_open_door(stack, hub, account, await past))
        stack.push_async_callback(_end, showing)
        await asyncio.wait({devices, ended, showing}, return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            link = showing.result()
            _welcome(tell, plan, link, hub.folder)
            if open_browser:
                await _browse(link, tell)
            await asyncio.wait({devices, ended}, return_when=asyncio.FIRST_COMPLETED)
        if devices.done():
            devices.result()
        raise OwnerError("The hub of the demonstration has ended by itself. Start another one.")


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, OSError, OwnerError):
        await task


async def _account(hub: DemoHub, found: RunFile) -> Account:
    """Make somebody who may do everything."""
    password = secrets.token_urlsafe(_RANDOM_BYTES)
    await hub.ask(AddUser(USER, Role.ADMIN, password))
    return Account(found.listeners["web"].port, USER, password)


async def _devices(hub: DemoHub, plan: fleet.Plan, found: RunFile) -> None:
    """Give the devices what they show, say yes to those that show nothing, and let them run."""
    issued = await asyncio.to_thread(Authority(hub.data).issue_client, fleet.CERTIFIED)
    made = await hub.ask(*(CreateToken(name, (Scope.WRITE,), (name,)) for name in fleet.WITH_TOKEN))
    secrets_ = {name: one["secret"] for name, one in zip(fleet.WITH_TOKEN, made, strict=True)}
    await device_session.announce(fleet.session_options(plan, found.listeners))
    await hub.ask(AcceptDevice(fleet.BOARD))
    await fleet.run(plan, found.listeners, Path(found.ca), issued.file, secrets_)


async def _open_door(stack: AsyncExitStack, hub: DemoHub, account: Account, past: Past) -> str:
    """Give each device its past once it has spoken, say what it is, and return the link in.

    Before it has, it would be known for one that was imported. Pages that are opened before the
    history has it all would show less.
    """
    cookie = await asyncio.to_thread(account.log_in)
    deadline = time.monotonic() + _SPEAK_SECONDS
    waiting = dict(past)
    behind = 1
    while waiting or behind:
        for row in await asyncio.to_thread(account.get, "devices", cookie):
            if row["received"]:
                await hub.ask(*map(ImportReadings, waiting.pop(row["name"], [])))
        (status,) = await hub.ask(Status())
        behind = status["writer"]["behind"]
        if waiting and time.monotonic() > deadline:
            raise OwnerError(f"Nothing is heard of the simulated devices {', '.join(waiting)}.")
        await asyncio.sleep(_POLL)
    for name, (label, units) in fleet.SAID.items():
        await asyncio.to_thread(account.describe, name, label, units, cookie)
    return (await stack.enter_async_context(Door(account))).link


def _packed(plan: fleet.Plan) -> dict[str, list[bytes]]:
    """Return what each device is to have sent before now, ready for the hub."""
    found: dict[str, list[bytes]] = {}
    for one in fleet.past(plan, time.time()):
        found.setdefault(one.device, []).append(pack([one]))
    return found


def _welcome(tell: Tell, plan: fleet.Plan, link: str, folder: Path) -> None:
    tell("")
    width = max(map(len, fleet.DEVICES))
    for name, text in fleet.DEVICES.items():
        tell(f"  {name:<{width}}  {text}")
    if plan.has_newcomer:
        tell(f"  {fleet.newcomer():<{width}}  another ESP32, which waits until you accept it")
    tell("")
    tell(f"Open {link}")
    tell(f"It signs you in as {USER!r}, who may do everything here.")
    tell(f"All of it is in {folder}, and goes away with it. Stop with Ctrl+C.")


async def _browse(link: str, tell: Tell) -> None:
    """Open the link in a browser with windows, if there is one."""
    has_windows = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    # Others would take over the terminal.
    if not has_windows or not await asyncio.to_thread(webbrowser.open, link):
        tell("No browser could be opened here: open the link yourself.")
