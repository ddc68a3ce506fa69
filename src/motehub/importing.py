"""Brings the readings of an original database into a hub, whether it runs or not."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Final, Protocol

import msgspec

from motehub import data_folder
from motehub.config import Configuration
from motehub.control import Client, ImportReadings, answers
from motehub.core.attendance import unattended
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory, wait_until_folded
from motehub.core.hub import Hub
from motehub.core.journal import Journal
from motehub.errors import ConfigurationError, ControlError, HubRunning, StorageError
from motehub.journals.sqlite import SqliteLogReader
from motehub.storage import (
    hub_zone,
    last_attended,
    open_hub,
    open_store,
    plain_exceptions,
    utc_microseconds,
)
from motehub.transfer import pieces
from motehub.transfer.pieces import DeviceReadings, Origin, Place, Rejections

_FOLD_TRIES: Final = 4
_FOLD_WAIT: Final = 60.0
# Readings that a hub of our own journals before it folds: large folds cost less.
_FOLD_READINGS: Final = 200_000

Progress = Callable[[int, int | None], None]
"""Gets how many rows are done, and how many there are, if that is known."""

_Result = tuple[int, int, str | None]


class Outcome(msgspec.Struct, frozen=True):
    """What an import came to.

    Of ``rows`` that were read, ``rejected_rows`` could not be; of the readings in the others,
    ``rejected`` were not accepted by the hub, with ``reasons`` for the first of either.
    ``duplicate`` were there already, None when the history could not tell in time. ``resumed``
    is true of an import that went on where it had been interrupted.
    """

    rows: int
    readings: int
    duplicate: int | None
    rejected_rows: int
    rejected: int
    reasons: list[str]
    resumed: bool


class Notes:
    """What an import must know to go on after an interruption: a file in the data folder.

    ``key`` tells one import from another. ``moment`` is when it first began, in µs.
    """

    def __init__(self, folder: Path, key: Sequence[str]) -> None:
        digest = hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()
        self._path = folder / f"import-{digest}.json"
        found = self._read()
        self.resumed = found is not None
        self.moment, self.after = found or (utc_microseconds(), None)

    def begin_again(self) -> None:
        """Forget how far the import had come; the moment stays."""
        self.resumed, self.after = False, None

    def note(self, after: Place | None) -> None:
        """Keep how far the import has come."""
        self.after = after
        new = self._path.with_suffix(".new")
        try:
            with open(new, "wb", opener=_for_owner) as file:
                file.write(msgspec.json.encode((self.moment, after)))
            new.replace(self._path)
        except OSError as error:
            raise ConfigurationError(f"{new} can't be written: {error.strerror}.") from error

    def remove(self) -> None:
        """Forget it: the import is complete."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> tuple[int, Place | None] | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=tuple[int, Place | None])
        except (OSError, msgspec.MsgspecError):
            # Without it the import begins again: what was stored then is there already.
            return None


class _Door(Protocol):
    async def put(self, readings: list[DeviceReadings]) -> list[_Result]: ...


def bring_in(
    configuration: Configuration, origin: Origin, notes: Notes, progress: Progress
) -> Outcome:
    """Import everything of ``origin``; interrupted, it may be begun again with the same notes.

    Raises:
        ControlError: the hub has stopped meanwhile; everything up to there is stored.
        StorageError: the journal, the history or the origin can't be used now; likewise.
    """
    folder = configuration.data_dir
    deadline = time.monotonic() + data_folder.LOCK_WAIT
    while True:
        try:
            with data_folder.locked(folder), plain_exceptions():
                return asyncio.run(_import(configuration, origin, notes, progress, _own_hub))
        except HubRunning as error:
            if answers(folder):
                break
            if time.monotonic() >= deadline:
                raise ControlError(
                    f"A hub is starting or stopping on {folder}, or another command is at work. "
                    "Try again in a moment."
                ) from error
        time.sleep(data_folder.LOCK_POLL)
    with plain_exceptions():
        return asyncio.run(_import(configuration, origin, notes, progress, _running_hub))


async def _import(
    configuration: Configuration,
    origin: Origin,
    notes: Notes,
    progress: Progress,
    way: Callable[[Configuration], AbstractAsyncContextManager[_Door]],
) -> Outcome:
    async with way(configuration) as door:
        before = _duplicates(configuration)
        if before is None or origin.device not in before:
            # Its device was removed meanwhile, with what was imported.
            notes.begin_again()
        totals = _Totals(notes)
        total = origin.total()
        progress(0, total)
        notes.note(notes.after)
        for piece in origin.pieces(notes.after):
            if piece.readings:
                totals.add(piece.readings, await door.put(piece.readings))
            totals.rows += piece.rows
            notes.note(piece.after)
            progress(totals.rows, total)
    after = _duplicates(configuration)
    notes.remove()
    return totals.outcome(origin.rejections, before, after)


class _Totals:
    """Adds up what became of the pieces."""

    def __init__(self, notes: Notes) -> None:
        self.rows = self._readings = 0
        self._resumed = notes.resumed
        self._devices: set[str] = set()
        self._rejected = Rejections()

    def add(self, readings: list[DeviceReadings], results: Sequence[_Result]) -> None:
        for one, (taken, rejected, reason) in zip(readings, results, strict=True):
            self._readings += taken
            self._devices.add(one.device)
            if rejected:
                self._rejected.add(one.device, reason or "", rejected)

    def outcome(
        self, rows: Rejections, before: dict[str, int] | None, after: dict[str, int] | None
    ) -> Outcome:
        duplicate = None
        if before is not None and after is not None:
            more = sum(after.get(name, 0) - before.get(name, 0) for name in self._devices)
            duplicate = min(more, self._readings)
        return Outcome(
            rows=self.rows,
            readings=self._readings,
            duplicate=duplicate,
            rejected_rows=rows.count,
            rejected=self._rejected.count,
            reasons=[*rows.reasons, *self._rejected.reasons][: pieces.REASONS],
            resumed=self._resumed,
        )


def _duplicates(configuration: Configuration) -> dict[str, int] | None:
    """Return each device's count of readings that were there already, once all is folded."""
    try:
        with (
            closing(open_store(configuration, read_only=True)) as store,
            closing(SqliteLogReader(configuration.data_dir)) as reader,
        ):
            if not wait_until_folded(store, reader, _FOLD_WAIT):
                return None
            return {row.device.name: row.duplicate for row in store.devices()}
    except StorageError:
        return None


@asynccontextmanager
async def _running_hub(configuration: Configuration) -> AsyncIterator[_Door]:
    async with Client(configuration.data_dir) as client:
        yield _RunningHub(client)


class _RunningHub:
    """Gives pieces to the hub over its control socket."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(self, readings: list[DeviceReadings]) -> list[_Result]:
        answer = await self._client.ask(ImportReadings(pieces.pack(readings)))
        return msgspec.convert(answer["receipts"], list[_Result])


@asynccontextmanager
async def _own_hub(configuration: Configuration) -> AsyncIterator[_Door]:
    """Open a hub without listeners, which folds what it takes; the caller owns the folder."""
    async with asyncio.TaskGroup() as tasks:
        with (
            open_hub(configuration, tasks) as (hub, journal),
            closing(open_store(configuration)) as store,
            closing(SqliteLogReader(configuration.data_dir)) as reader,
        ):
            effect = FoldIntoHistory(store, reader, reader.journal(), zone=hub_zone(configuration))
            consumer = Consumer("history", reader, effect)
            journal.before_commit(unattended(last_attended(configuration)))
            async with journal:
                door = _OwnHub(hub, journal, consumer)
                yield door
            door.fold()


class _OwnHub:
    def __init__(self, hub: Hub, journal: Journal, consumer: Consumer) -> None:
        self._hub = hub
        self._journal = journal
        self._consumer = consumer
        self._waiting = 0
        self.fold()

    async def put(self, readings: list[DeviceReadings]) -> list[_Result]:
        receipts = await pieces.take_in(self._hub, readings)
        self._waiting += sum(one.taken for one in receipts)
        if self._waiting >= _FOLD_READINGS:
            self.fold()
        return [(one.taken, one.rejected, one.reason) for one in receipts]

    def fold(self) -> None:
        """Bring the history up to the journal, which lets go of what is folded."""
        for _ in range(_FOLD_TRIES):
            if self._consumer.catch_up():
                self._journal.follow("history", self._consumer.position)
                self._waiting = 0
                return
            time.sleep(self._consumer.pause)
        raise StorageError(str(self._consumer.trouble))


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
