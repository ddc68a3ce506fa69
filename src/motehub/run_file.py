"""``run.json``: what a running hub tells other programs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from motehub.contracts import Listener

RUN_FILE: Final = "run.json"


class RunFile(msgspec.Struct, frozen=True):
    """What is in it; without a history ``database`` is empty, without certificates ``ca``.

    ``name``, ``time_zone`` and ``language`` are those of ``[hub]``.
    """

    pid: int
    writer_pid: int | None
    version: str
    database: str
    ca: str
    listeners: dict[str, Listener]
    name: str = "motehub"
    time_zone: str = ""
    language: str = "en"

    def write(self, folder: Path) -> None:
        """Write it into ``folder``, whole or not at all."""
        new = folder / f"{RUN_FILE}.new"
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        new.replace(folder / RUN_FILE)
