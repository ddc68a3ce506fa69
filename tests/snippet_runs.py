"""Runs what the hub offers as a first program, with the tools that it is for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.harness import PATIENCE

RUNNABLE: Final = (
    "micropython",
    "raspberry_pi",
    "curl",
    "mosquitto_pub",
    "openssl",
)
"""Those for which there is a tool here; boards' sketches would need boards."""

# What only a board has: its radio, and a clock that is not set yet.
_NETWORK: Final = """
STA_IF = 0


class WLAN:
    def __init__(self, kind): ...
    def active(self, on): ...
    def connect(self, name, password): ...
    def isconnected(self): return True
"""
_NTPTIME: Final = "def settime(): ...\n"


@contextmanager
def running(id_: str, code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a snippet in ``folder``, for as long as the block if it does not end by itself.

    MicroPython's run in Python, with the modules of a board that Python does not have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    if id_ in {"micropython", "raspberry_pi"}:
        (folder / "network.py").write_text(_NETWORK)
        (folder / "ntptime.py").write_text(_NTPTIME)
        file, tool = folder / "main.py", sys.executable
    else:
        file, tool = folder / "first.sh", "bash"
    file.write_text(code, "utf-8")
    with subprocess.Popen(
        [tool, file.name],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
            if id_ != "micropython":
                said, _ = process.communicate(timeout=PATIENCE)
                assert process.returncode == 0, said
        finally:
            process.kill()
