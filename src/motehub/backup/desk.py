"""Back-ups that people download: made in a process of their own, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final

import msgspec

from motehub.backup.archive import Note, remember, remembered
from motehub.contracts import BackupShape
from motehub.errors import BackupError, StorageError
from motehub.logs import Logger

WAIT_SECONDS: Final = 60.0
"""How long a back-up waits for whoever has asked for it."""

_PIECE: Final = 65_536

_logger = Logger("motehub.backup")


class DeskOfBackups:
    """See :class:`motehub.contracts.BackupDesk`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._busy = False
        self._waiting: dict[str, _Making] = {}
        self._making: _Making | None = None

    @property
    def busy(self) -> bool:
        """Whether one is being made."""
        return self._busy

    def last(self) -> BackupShape | None:
        """Return when the last one was made."""
        note = remembered(self._folder)
        return BackupShape(note.time, note.size) if note is not None else None

    async def begin(self) -> str:
        """Begin one, and return under which name it can be fetched, once and within a minute."""
        if self._busy:
            raise BackupError("A back-up is being made already. Try again when it is done.")
        self._busy = True
        try:
            making = self._making = await _Making.start(self._folder)
            await making.open()
        except BaseException:
            await self._done()
            raise
        name = secrets.token_urlsafe(24)
        self._waiting[name] = making
        making.watch(lambda: self._forget(name))
        return name

    def fetch(self, name: str) -> AsyncGenerator[bytes, None] | None:
        """Return what was begun under ``name``, piece by piece; None if there is nothing."""
        making = self._waiting.pop(name, None)
        return self._pieces(making) if making is not None else None

    async def close(self) -> None:
        """Let no download keep the hub from its end."""
        self._waiting.clear()
        await self._done()

    async def _pieces(self, making: _Making) -> AsyncGenerator[bytes, None]:
        try:
            async with contextlib.aclosing(making.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
            if making.note is not None:
                remember(self._folder, making.note)
                if making.note.links:
                    names = ", ".join(making.note.links)
                    _logger.warning("links are not in the back-up", links=names)
        finally:
            await self._done()

    def _forget(self, name: str) -> None:
        # Also where it was asked for, by somebody who went before the first piece.
        self._waiting.pop(name, None)
        # Kept here, since nothing else does.
        self._forgetting = asyncio.get_running_loop().create_task(self._done())

    async def _done(self) -> None:
        making, self._making = self._making, None
        try:
            if making is not None:
                await making.stop()
        finally:
            self._busy = False


class _Making:
    """The process that makes one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._first = b""
        self._reading = False
        self.note: Note | None = None
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, folder: Path) -> _Making:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "motehub.backup",
                str(folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_PIECE,
            )
        )

    async def open(self) -> None:
        """Wait for the first piece: from then on nothing but the disk can fail."""
        self._first = await self._read()

    def watch(self, forget: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(WAIT_SECONDS, forget)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        self._unwatch()
        piece = self._first
        while piece:
            yield piece
            piece = await self._read()

    async def _read(self) -> bytes:
        """Return the next piece, nothing at the end.

        Raises:
            StorageError: it breaks off.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._reading = True
        try:
            piece = await self._process.stdout.read(_PIECE)
        finally:
            self._reading = False
        if piece:
            return piece
        said = (await self._process.stderr.read()).decode("utf-8", "replace").strip()
        if await self._process.wait() != 0:
            last = said.splitlines()[-1:] or ["The back-up was broken off."]
            raise StorageError(last[0])
        self.note = msgspec.json.decode(said, type=Note)
        return b""

    async def stop(self) -> None:
        """End the process, if it has not ended."""
        self._unwatch()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        if self._reading:
            await self._process.wait()
        else:
            # What it has written and nobody has read must not keep it.
            await self._process.communicate()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
