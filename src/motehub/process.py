"""What a hub asks of its process: signals and the number of open files."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from typing import Final

_MOST_FILES: Final = 65_536
_SWITCH_SECONDS: Final = 0.0005
_YOUNG_OBJECTS: Final = 10_000


def switch_threads_often() -> None:
    """Let the journal's thread go on soon after each commit, while the event loop is busy.

    Python's default of 5 ms is many commits long: senders that wait for an answer got a tenth
    less through.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def collect_garbage_seldom() -> None:
    """Have the garbage collector leave alone what is there now, and look less often at the rest.

    Going through the program itself again and again took a busy hub a quarter of its time.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def allow_many_files() -> int:
    """Raise the number of open files to what the system allows, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def stop_on_signals() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets; a second signal ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            sys.stderr.write("motehub: second signal, stopped at once.\n")
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop
