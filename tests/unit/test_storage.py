"""What commands do to a data folder beside no running hub."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest import mock

import pytest
from tests.harness import PATIENCE
from tests.unit.core.support import FakeClock, open_hub, say, temperature

from motehub import storage
from motehub.config import load
from motehub.control import RenameDevice
from motehub.core.people import Role
from motehub.errors import StorageError
from motehub.journals.sqlite import SqliteLog
from motehub.model import MICROSECONDS, Source
from motehub.people_requests import AddUser

AGO = round(7.5 * 86_400 * MICROSECONDS)
"""Longer than the journal keeps frames, and not so long that the clock is doubted."""


def fill(folder: Path) -> None:
    """Leave a reading of long ago in the journal, which no history has."""

    async def leave() -> None:
        clock = FakeClock()
        clock.now = storage.utc_microseconds() - AGO
        async with open_hub(folder, clock) as (hub, _):
            await say(hub, Source("test", "test:x", "x", "192.0.2.1"), [temperature(1.0)])

    asyncio.run(leave())


def carry_out(folder: Path, request: RenameDevice | AddUser) -> dict[str, object]:
    """Carry it out, and don't wait for ever."""
    configuration = load(None, {}, data_dir=folder)
    deed = storage.carry_out_offline(configuration, request)
    return asyncio.run(asyncio.wait_for(deed, PATIENCE))


def test_old_frames_hold_no_command_back(tmp_path: Path) -> None:
    """A hub was killed a week ago with readings that no history has: commands end all the same."""
    fill(tmp_path)
    assert carry_out(tmp_path, RenameDevice("x", "y"))["name"] == "y"
    store = storage.open_store(load(None, {}, data_dir=tmp_path), read_only=True)
    assert [(row.device.name, row.stored) for row in store.devices()] == [("y", 1)]
    store.close()


def test_frames_that_the_history_has_hold_no_command_back(tmp_path: Path) -> None:
    """Nor do old frames that were folded and are still there."""
    fill(tmp_path)
    storage.fold_offline(load(None, {}, data_dir=tmp_path))
    assert carry_out(tmp_path, RenameDevice("x", "y"))["name"] == "y"


def test_a_journal_that_cannot_be_written_ends_a_command(tmp_path: Path) -> None:
    """It says why instead of waiting for the disk."""
    fill(tmp_path)
    full = mock.patch.object(SqliteLog, "append", side_effect=StorageError("The disk is full."))
    with full, pytest.raises(StorageError, match="The disk is full"):
        carry_out(tmp_path, AddUser("Ada", Role.VIEWER))
