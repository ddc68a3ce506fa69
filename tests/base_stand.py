"""A base unit as a process of its own, units that it speaks with, and a link that can be cut."""

from __future__ import annotations

import asyncio
import enum
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from motehub.simulate.units import Behaviour, Board, Lamp, ReadBoard
from tests.harness import PATIENCE, HubProcess, Settings, _toml_value
from tests.ports import free_port
from tests.pusher_hub import PusherHub
from tests.units_stand import ALL

_Result = TypeVar("_Result")


class Loop:
    """An event loop in a thread, for what the test plays while hubs are processes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: list[Board | Link] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            self.run(one.cut() if isinstance(one, Link) else one.__aexit__())
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        future: Future[_Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(PATIENCE)

    def lamp(self, host: str, **keys: Any) -> Lamp:
        """Switch on a lamp."""
        lamp = Lamp(host, 0, **keys)
        self.run(lamp.__aenter__())
        self._open.append(lamp)
        return lamp

    @contextmanager
    def again(self, board: Board) -> Iterator[None]:
        """Switch a board on that has been switched off, at the same port."""
        self.run(board.__aenter__())
        yield
        self.run(board.__aexit__())

    def reader(self, host: str, rate: float) -> ReadBoard:
        """Switch on a unit that sends readings."""
        reader = ReadBoard(host, 0, Behaviour(rate=rate), keep=ALL)
        self.run(reader.__aenter__())
        self._open.append(reader)
        return reader

    def link(self, port: int) -> Link:
        """Return a way to ``port`` that can be cut."""
        link = Link(port)
        self.run(link.open())
        self._open.append(link)
        return link


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Way(enum.Enum):
    """The two ways of a link: from who connects, and back."""

    UP = "up"
    DOWN = "down"


class Link:
    """A TCP proxy: what a network does between two machines."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.connections = 0
        self.target = target
        self._swallowed: Way | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Carry connections, on the same port as before."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Break off all connections, and let nobody connect; nothing is swallowed any more."""
        self._swallowed = None
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    def swallow(self, way: Way) -> None:
        """Lose what goes this way from now on, until the next cut."""
        self._swallowed = way

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        self._writers |= {writer, back}
        both = (self._pass(reader, back, Way.UP), self._pass(there, writer, Way.DOWN))
        ways = [asyncio.ensure_future(way) for way in both]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for one in (writer, back):
                self._writers.discard(one)
                one.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        while data := await reader.read(65_536):
            if way is not self._swallowed:
                writer.write(data)
                await writer.drain()


class BaseProcess(HubProcess):
    """``motehub base``, with ``settings`` as its configuration and no other sections."""

    def __init__(self, data: Path, settings: Settings, *options: str) -> None:
        super().__init__(data, {}, *options)
        self.config.write_text(
            "".join(
                f"[{name}]\n"
                + "".join(f"{key} = {_toml_value(one)}\n" for key, one in keys.items())
                for name, keys in settings.items()
            ),
            "utf-8",
        )
        self.arguments = ["base", "--config", str(self.config), "--data", str(data), *options]

    @property
    def counters(self) -> dict[str, int]:
        """What the ear of the base unit has counted."""
        found: dict[str, int] = self.status()["transports"]["pusher_client"]
        return found

    def wait_subscribed(self) -> None:
        """Return as soon as it hears its dashboard."""
        self.wait_until(lambda: bool(self.counters["subscribed"]), "it hears its dashboard")


def base_settings(
    dashboard: PusherHub, port: int, units: Mapping[str, object], **keys: object
) -> Settings:
    """Return the configuration of a base whose dashboard is behind ``port``."""
    return {
        # A lamp that a busy machine holds up is not told twice.
        "transport.units": {"write_timeout": "60s", **units},
        "transport.pusher_client": {
            "api_url": f"http://127.0.0.1:{port}",
            "api_token": dashboard.token("base", "write,control"),
            "key": dashboard.keys["key"],
            "host": "127.0.0.1",
            "port": port,
            "tls": False,
            "rate": 10_000.0,
            **keys,
        },
    }


def commanded(
    dashboard: PusherHub, token: str, device: str, payload: str, seconds: float = 60
) -> str:
    """Have the dashboard's API command a device; return the command's id."""
    status, _, answer = dashboard.curl(
        f"/api/v1/devices/{device}/commands",
        "-H",
        "Content-Type: application/json",
        body=json.dumps({"payload": payload, "timeout": seconds}).encode(),
        token=token,
    )
    assert status == 202, answer
    return str(json.loads(answer)["id"])
