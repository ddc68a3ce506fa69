"""A hub with webhooks, and the service that sends them within the test's own process."""

from __future__ import annotations

import json
import threading
import time
from array import array
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from standardwebhooks import Webhook

from motehub.core.hub import Hub
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import Clock, Delivery, Samples, Source
from motehub.webhooks.endpoints import Plan
from motehub.webhooks.service import Undelivered, WebhookService
from tests.harness import PATIENCE, Settings
from tests.receivers import Received
from tests.unit.core.support import FakeClock, open_hub
from tests.web_hub import WEB, WebHub

SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"


class WebhookHub(WebHub):
    """A real hub; ``webhooks`` are sections ``[[webhook]]`` by name, all with one secret."""

    def __init__(
        self, data: Path, webhooks: Mapping[str, Mapping[str, object]], settings: Settings = WEB
    ) -> None:
        super().__init__(data, settings)
        text = self.config.read_text("utf-8")
        for name, keys in webhooks.items():
            text += f'\n[[webhook]]\nname = "{name}"\nsecret = "{SECRET}"\n'
            text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        self.config.write_text(text, "utf-8")

    def webhook(self, name: str) -> dict[str, object]:
        """Return the row of ``webhooks list`` of one webhook."""
        return {str(row["name"]): row for row in self.json("webhooks", "list")}[name]


def verified(request: Received) -> dict[str, object]:
    """Return what a message says, once the specification's library believes its signature."""
    said: dict[str, object] = Webhook(SECRET).verify(request.body, request.headers)
    return said


class Notices:
    """What the service hears of a hub, within one process; see ``motehub.following.Hub``."""

    def __init__(self) -> None:
        self.lives = True
        self._woken = threading.Event()

    def pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.lives and time.monotonic() < deadline:
            time.sleep(0.005)

    def wait(self, seconds: float) -> bool:
        woken = self._woken.wait(min(seconds, 0.05))
        self._woken.clear()
        return woken or not self.lives

    def news(self) -> None:
        return None

    def wake(self) -> None:
        self._woken.set()


class Unit:
    """A unit whose readings are put into a journal."""

    def __init__(self, hub: Hub, address: str) -> None:
        self._hub = hub
        self._source = Source("units", f"unit:{address}", address, address, vouched=True)

    async def read(self, *values: float, time: int) -> None:
        times = array("q", [time + number for number in range(len(values))])
        samples = Samples("value", "", times, array("d", values), Clock.DEVICE)
        await self._hub.accept([Delivery(self._source, [samples])])


class Service:
    """The service in a thread; use it as a context manager."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self.notices = Notices()
        self.position = 0
        self.counts: dict[str, int] = {}
        self.trouble: str | None = None
        self.undelivered: Undelivered = []
        self._opened = threading.Event()

    def __enter__(self) -> Service:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._opened.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.notices.lives = False
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        reader = SqliteLogReader(self._folder)
        service = WebhookService(self._folder, self._plan, reader, reader.journal())
        self._opened.set()
        service.run(self.notices, self._tell)
        reader.close()

    def _tell(
        self, position: int, counts: dict[str, int], trouble: str | None, undelivered: Undelivered
    ) -> None:
        self.position, self.counts, self.trouble = position, counts, trouble
        self.undelivered = undelivered


@asynccontextmanager
async def base(folder: Path) -> AsyncIterator[Hub]:
    """Open the hub of a base unit, whose clock is the real one."""
    clock = FakeClock()
    clock.now = time.time_ns() // 1000
    async with open_hub(folder, clock) as (hub, _):
        yield hub
