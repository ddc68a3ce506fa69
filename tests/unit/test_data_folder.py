"""The data folder is its owner's alone, and of one process at a time."""

import os
import queue
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import PATIENCE

from motehub import data_folder
from motehub.errors import ConfigurationError, HubRunning

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def same_mask() -> Iterator[None]:
    """Give this process its mask back: two owners in one process take it from each other."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def test_a_new_folder_is_the_owners_alone(tmp_path: Path) -> None:
    """It is made with 0700, also under a permissive mask."""
    data_folder.prepare(tmp_path / "data")
    assert mode(tmp_path / "data") == 0o700
    assert not data_folder.readable_to_others(tmp_path / "data")


def test_an_open_folder_is_noticed_and_left(tmp_path: Path) -> None:
    """Rights that somebody gave are not taken away silently."""
    tmp_path.chmod(0o755)
    data_folder.prepare(tmp_path)
    assert data_folder.readable_to_others(tmp_path)


def test_files_made_while_it_is_owned_are_private(tmp_path: Path) -> None:
    """Databases and sockets get no rights for others; afterwards the mask is as it was."""
    before = os.umask(0o022)
    try:
        with data_folder.locked(tmp_path):
            (tmp_path / "x").touch()
        (tmp_path / "y").touch()
    finally:
        os.umask(before)
    assert (mode(tmp_path / "lock"), mode(tmp_path / "x")) == (0o600, 0o600)
    assert mode(tmp_path / "y") == 0o644


def test_waiting_for_a_short_command(tmp_path: Path) -> None:
    """Who waits gets the folder as soon as it is free, and is told when that takes long."""
    told: queue.Queue[str] = queue.Queue()
    heard: list[str] = []
    owned = threading.Event()

    def own() -> None:
        with data_folder.locked(tmp_path):
            owned.set()
            heard.append(told.get(timeout=PATIENCE))

    other = threading.Thread(target=own)
    other.start()
    owned.wait()
    with pytest.raises(HubRunning), data_folder.locked(tmp_path):
        pass
    with data_folder.locked(tmp_path, PATIENCE, told.put):
        other.join()
    assert heard == [f"Waiting for another motehub to leave {tmp_path}."]
    assert told.empty()


def test_waiting_ends(tmp_path: Path) -> None:
    """A folder that stays owned is refused after the wait."""
    with data_folder.locked(tmp_path):
        began = time.monotonic()
        with pytest.raises(HubRunning, match="already"), data_folder.locked(tmp_path, 0.2):
            pass
        assert 0.2 <= time.monotonic() - began < 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_of_somebody_else_is_a_sentence(tmp_path: Path) -> None:
    """Without rights, every look at the folder says whose it has to be."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0)
    try:
        for look in (data_folder.prepare, data_folder.is_owned):
            with pytest.raises(ConfigurationError, match="by this user"):
                look(folder)
        with pytest.raises(ConfigurationError, match="by this user"):
            data_folder.exists(folder, "journal.db")
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("rights", [0o700, 0o755])
@pytest.mark.parametrize("command", ["doctor", "devices list", "status", "serve", "certs ca"])
def test_another_user_gets_a_sentence(command: str, rights: int) -> None:
    """A command of a user to whom the folder does not belong says so, without a stack trace."""
    # Loaded first: the other user may have no right to read this Python.
    program = (
        "import os, sys, motehub.app, motehub.cli.opening, motehub.cli.printing, motehub.doctor\n"
        "import motehub.config; motehub.config.sections()\n"
        "from motehub.cli import main\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "main()"
    )
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        folder = Path(top) / "data"
        data_folder.prepare(folder)
        folder.chmod(rights)
        for name in ("journal.db", "lock"):
            (folder / name).touch()
        done = subprocess.run(
            [sys.executable, "-c", program, *command.split(), "--data", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    assert done.returncode in {1, 2}
    # In a folder that it may read, it sees that no socket is there.
    expected = {"status": "No hub runs" if rights & 0o004 else "Permission denied"}
    assert expected.get(command, "by this user") in said
    assert "fault" not in said
    assert len(done.stderr.splitlines()) <= 1, done.stderr
