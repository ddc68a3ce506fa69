"""The hub of a demonstration: a process of its own, on a folder that somebody removes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub.control import Client, Request
from motehub.demo.keeper import LOG
from motehub.errors import OwnerError
from motehub.run_file import RUN_FILE, RunFile

_START_SECONDS: Final = 60.0
_POLL: Final = 0.02
_COMPLAINT: Final = "motehub: "


class DemoHub:
    """Runs from ``start`` to ``stop``, in a folder that goes away with it, whatever happens."""

    def __init__(self) -> None:
        self.folder = Path()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._news: asyncio.Task[bytes] | None = None

    @property
    def data(self) -> Path:
        """The hub's data folder."""
        return self.folder / "data"

    async def start(self, configuration: str) -> RunFile:
        """Start it with this configuration (TOML); return what it says when all is open.

        Raises:
            OwnerError: it ends instead, or does not get there.
        """
        self._keeper = self._start_keeper(configuration)
        assert self._keeper.stdout is not None
        self._news = asyncio.create_task(asyncio.to_thread(self._keeper.stdout.readline))
        path = self.data / RUN_FILE
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not path.exists():
                    if self._news.done():
                        raise OwnerError(f"The hub of the demonstration has ended: {self._said()}")
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise OwnerError(
                f"The hub of the demonstration does not start: {self._said()}"
            ) from None
        return msgspec.json.decode(path.read_bytes(), type=RunFile)

    async def ended(self) -> None:
        """Return when the hub has ended by itself."""
        assert self._news is not None
        await asyncio.shield(self._news)

    async def ask(self, *requests: Request) -> list[dict[str, Any]]:
        """Have the hub carry out what its owner wants, one after the other."""
        async with Client(self.data) as client:
            return [await client.ask(one) for one in requests]

    async def stop(self) -> None:
        """Stop it and remove the folder."""
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            await asyncio.to_thread(self._keeper.wait)
        if self._news is not None:
            await self._news

    def _start_keeper(self, configuration: str) -> subprocess.Popen[bytes]:
        """Start the keeper; not in asyncio's way, which kills what it is cancelled to start."""
        self.folder = Path(tempfile.mkdtemp(prefix="motehub-demo-"))
        file = self.folder / "motehub.toml"
        file.write_text(configuration, "utf-8")
        serve = [sys.executable, "-m", "motehub", "serve"]
        serve += ["--config", str(file), "--data", str(self.data)]
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "motehub.demo.keeper", str(self.folder), *serve],
            env=_without_settings(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def _said(self) -> str:
        """Return why the hub has ended, as it has said."""
        try:
            lines = (self.folder / LOG).read_text("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        reasons = [line.removeprefix(_COMPLAINT) for line in lines if line.startswith(_COMPLAINT)]
        return (reasons or lines or ["it has said nothing."])[-1]


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what would be settings of another hub."""
    return {key: text for key, text in environment.items() if not key.startswith("MOTEHUB_")}
