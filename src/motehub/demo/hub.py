"""The hub of a demonstration: a process of its own, on a folder that somebody removes."""

from __future__ import annotations

import asyncio
import os
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
_MOST_LOG: Final = 2_000


class DemoHub:
    """Runs within ``async with``; the folder, which is there before, goes away with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="motehub-demo-"))
        self.data = self.folder / "data"
        self._keeper: asyncio.subprocess.Process | None = None

    async def start(self, configuration: str) -> RunFile:
        """Start it with this configuration (TOML); return what it says when all is open.

        Raises:
            OwnerError: it ends instead, or does not get there.
        """
        file = self.folder / "motehub.toml"
        file.write_text(configuration, "utf-8")
        serve = [sys.executable, "-m", "motehub", "serve", "--config", str(file)]
        self._keeper = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "motehub.demo.keeper",
            str(self.folder),
            *serve,
            "--data",
            str(self.data),
            env=_without_settings(os.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        path = self.data / RUN_FILE
        ended = asyncio.create_task(self.ended())
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not path.exists():
                    if ended.done():
                        raise OwnerError(f"The hub of the demonstration has ended: {self._said()}")
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise OwnerError(
                f"The hub of the demonstration does not start: {self._said()}"
            ) from None
        finally:
            ended.cancel()
        return msgspec.json.decode(path.read_bytes(), type=RunFile)

    async def ended(self) -> None:
        """Return when the hub has ended by itself."""
        assert self._keeper is not None
        assert self._keeper.stdout is not None
        await self._keeper.stdout.readline()

    async def ask(self, *requests: Request) -> list[dict[str, Any]]:
        """Have the hub carry out what its owner wants, one after the other."""
        async with Client(self.data) as client:
            return [await client.ask(one) for one in requests]

    async def stop(self) -> None:
        """Stop it and remove the folder."""
        if self._keeper is None:
            self.folder.rmdir()
            return
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        await self._keeper.wait()

    def _said(self) -> str:
        try:
            text = (self.folder / LOG).read_text("utf-8", "replace")
        except OSError:
            text = ""
        return text[-_MOST_LOG:].strip() or "it has said nothing."


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what would be settings of another hub."""
    return {key: text for key, text in environment.items() if not key.startswith("MOTEHUB_")}
