"""A small disk that a test can fill and free again."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness import HubProcess

SIZE: Final = 8_000_000
"""Bytes of the small disk."""


class SmallDisk:
    """A file system in memory at ``folder``, or where mounting isn't allowed a limit on files.

    ``sentence`` is how the hub's message about a full one begins.
    """

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.sentence = "The disk is full" if mounted else "The disk failed"
        self.mounted = mounted
        self._filler = folder / "filler"

    def fill(self, *hubs: HubProcess, leave: int = 0) -> None:
        """Take all space but ``leave`` bytes; a limit on file sizes binds only ``hubs``."""
        if not self.mounted:
            for hub in hubs:
                for pid in (hub.pid, hub.writer_pid):
                    _limit_files(pid, 4096)
            return
        with open(self._filler, "ab", buffering=0) as file:
            size = 65_536
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2
            file.truncate(file.tell() - leave)

    def fill_for_writer(self, hub: HubProcess) -> None:
        """Take all space that is left, or the writer's alone: the history is on this disk."""
        if self.mounted:
            self.fill()
        else:
            _limit_files(hub.writer_pid, 4096)

    def free(self, *hubs: HubProcess) -> None:
        """Give the space back."""
        if not self.mounted:
            for hub in hubs:
                for pid in (hub.pid, hub.writer_pid):
                    _limit_files(pid, resource.RLIM_INFINITY)
            return
        self._filler.unlink()


@contextmanager
def small_disk(folder: Path, size: int = SIZE) -> Iterator[SmallDisk]:
    """Make a small disk at ``folder`` for the duration of the block."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "motehub-test", str(folder)]
    mounted = False
    if os.geteuid() == 0 and shutil.which("mount"):
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield SmallDisk(folder, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _limit_files(pid: int, size: int) -> None:
    """Let a process write no file beyond ``size`` bytes: SQLite gets EFBIG as an I/O error."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
