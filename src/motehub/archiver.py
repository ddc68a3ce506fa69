"""The process that writes a file of the archive; it ends when the file is there.

The writer of the history starts it as ``python -m motehub.archiver DIR STORE``, with the URL of
the store in the environment (``STORE_URL`` of :mod:`motehub.following`), what is to be archived
on standard input, and what came of it on standard output: see :mod:`motehub.archiving`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from motehub import parts
from motehub.archive.making import Made, make_month
from motehub.errors import MotehubError, StorageError
from motehub.following import STORE_URL
from motehub.history_contract import Expiring

_NICENESS: Final = 10


class Outcome(msgspec.Struct, frozen=True):
    """What was made, or why nothing was: a sentence for the owner."""

    made: Made | None = None
    trouble: str | None = None


def main() -> None:
    """Archive the oldest month of what is asked for."""
    # An interrupt from the terminal reaches this process too; the writer decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    todo = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[Expiring])
    outcome = _archive(Path(sys.argv[1]), sys.argv[2], todo)
    sys.stdout.buffer.write(msgspec.msgpack.encode(outcome))
    sys.stdout.buffer.flush()


def _archive(folder: Path, store_name: str, todo: list[Expiring]) -> Outcome:
    writer = os.getppid()

    def go_on(_: int) -> None:
        if os.getppid() != writer:
            raise StorageError("The writer of the history has ended.")

    try:
        store = parts.store(store_name).open(folder, os.environ.get(STORE_URL, ""), True)
        try:
            return Outcome(make_month(store, folder, todo, go_on))
        finally:
            store.close()
    except MotehubError as error:
        return Outcome(trouble=str(error))
    except Exception as error:
        # The edge of a process: the owner reads this, so it has to be a sentence.
        reason = " ".join(str(error).split())[:300]
        return Outcome(trouble=f"The archive can't be written: {type(error).__name__}: {reason}")


if __name__ == "__main__":
    main()
