"""The writer process: follows the journal and folds it into the history; opens no sockets.

The hub starts it as ``python -m motehub.writer DIR STORE``, with the URL of the store in the
environment (:data:`STORE_URL`), and restarts it when it dies. It
reports to the hub in JSON lines on standard output (:class:`Report`). When its standard input
ends, because the hub stops or has died, it folds what is left and exits.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from motehub import parts
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory
from motehub.errors import NewerSchema, OwnerError, StaleJournal, StorageError
from motehub.journals.sqlite import SqliteLogReader
from motehub.logs import set_up_logs

STORE_URL: Final = "MOTEHUB_STORE_URL"
"""Variable with the address of the store's server; the hub sets it, empty where there is none."""

FOLD_SECONDS: Final = 0.2
"""Pause between two folds: larger folds cost less and spare flash cards."""

_PARENT: Final = 0


class Report(msgspec.Struct, frozen=True):
    """What the writer tells the hub: its cursor, what it stored, what keeps it from storing.

    ``fatal`` is set when only the owner can help, for instance with a later motehub.
    """

    position: int
    stored: int = 0
    duplicate: int = 0
    trouble: str | None = None
    fatal: bool = False


def main() -> None:
    """Fold until the hub is gone."""
    # An interrupt from the terminal reaches this process too; the hub decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_up_logs(sys.stderr)
    sys.exit(_fold_for_hub(Path(sys.argv[1]), sys.argv[2]))


def _fold_for_hub(folder: Path, store_name: str) -> int:
    opened = _open(folder, store_name)
    if opened is None:
        return 1
    consumer, effect = opened

    def report() -> None:
        total = effect.total
        _tell(Report(consumer.position, total.stored, total.duplicate, consumer.trouble))

    report()
    hub_lives = True
    while True:
        was_in_trouble = consumer.trouble is not None
        done = consumer.catch_up(after_bite=report)
        if not done or was_in_trouble:
            report()
        if not hub_lives:
            return 0 if done else 1
        hub_lives = _wait(FOLD_SECONDS if done else consumer.pause)


def _open(folder: Path, store_name: str) -> tuple[Consumer, FoldIntoHistory] | None:
    """Open both databases, waiting for storage that fails; None when that is for the owner."""
    while True:
        try:
            reader = SqliteLogReader(folder)
            store = parts.store(store_name).open(folder, os.environ.get(STORE_URL, ""), False)
            effect = FoldIntoHistory(store, reader)
            return Consumer("history", reader, effect), effect
        except (NewerSchema, StaleJournal, OwnerError) as error:
            _tell(Report(0, trouble=str(error), fatal=True))
            return None
        except StorageError as error:
            _tell(Report(0, trouble=str(error)))
            if not _wait(1.0):
                return None


def _tell(report: Report) -> None:
    try:
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The hub is gone; standard input says so too, and what is left is folded first.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wait(seconds: float) -> bool:
    """Wait, or until the hub is gone; tell whether it lives."""
    readable, _, _ = select.select([_PARENT], [], [], seconds)
    return not readable or bool(os.read(_PARENT, 4096))


if __name__ == "__main__":
    main()
