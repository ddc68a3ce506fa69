"""``motehub demo`` in a process of its own, with a folder for what is temporary."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.harness import PATIENCE, START_SECONDS, environment


class DemoRun:
    """A demonstration that has been started, with its temporary files in ``folder``.

    It opens ``browser``, a program, or none.
    """

    def __init__(self, folder: Path, *options: str, browser: Path | None = None) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._log = folder.with_name(f"{folder.name}.log")
        options += ("--no-browser",) if browser is None else ()
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "motehub", "demo", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment() | {"TMPDIR": str(folder), "BROWSER": f"{browser} %s"},
            )

    @property
    def said(self) -> str:
        return self._log.read_text("utf-8")

    @property
    def link(self) -> str:
        """The link that signs in, once it is there."""
        self.wait(lambda: "Stop with Ctrl+C" in self.said, "the link is printed")
        found = re.search(r"^Open (http://\S+)$", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[1]

    @property
    def data(self) -> Path:
        (folder,) = self.folder.glob("motehub-demo-*")
        return folder / "data"

    def leftovers(self) -> list[str]:
        """Return the files and processes of the demonstration that there are."""
        found = [one.name for one in self.folder.iterdir()]
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self.folder) in part for part in process.cmdline()):
                    found.append(" ".join(process.cmdline()))
        return found

    def stop(self) -> int:
        """Do what Ctrl+C does; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(START_SECONDS)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (
                f"not within {PATIENCE} s: {what}; ended: {self.process.poll()}\n{self.said}"
            )
            time.sleep(0.05)


@contextmanager
def demo(folder: Path, *options: str, browser: Path | None = None) -> Iterator[DemoRun]:
    """A demonstration, of which nothing is left at the end whatever happens."""
    run = DemoRun(folder, *options, browser=browser)
    try:
        yield run
    finally:
        # Nothing is done to a process that has ended: its number may be somebody else's by now.
        run.process.kill()
        run.process.wait()
        run.wait(lambda: run.leftovers() == [], "nothing is left")
