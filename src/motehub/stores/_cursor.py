"""Whose history a database holds: positions mean something in one journal only."""

from __future__ import annotations

from motehub.errors import StaleJournal, StorageError
from motehub.history_contract import Fold


def check_free(mark: str, journal: str, where: str) -> None:
    """See that a database with this ``mark`` may be, or become, the history of ``journal``.

    Raises:
        StaleJournal: it is the history of another one.
    """
    if mark not in {"", journal}:
        raise StaleJournal(
            f"The history in {where} was written after another journal: it is another hub's, or "
            "journal.db was replaced. Give this hub a database of its own, put back the journal "
            "that belongs to it, or move journal.db away to begin a new one after the history."
        )


def check_same(mark: str, journal: str | None, where: str) -> None:
    """See that the database is still the one that was bound to ``journal``.

    Raises:
        StorageError: another has taken its place.
    """
    if journal is not None and mark != journal:
        whose = "an empty one" if not mark else "the history of another hub"
        raise StorageError(
            f"{where} is {whose}, not the history that was there before. Readings wait in the "
            "journal until that is back; if it is lost, restart the hub to begin a new history "
            "in an empty database."
        )


def check_next(position: int, fold: Fold) -> None:
    """See that ``fold`` follows the cursor, which no other process may have moved.

    Raises:
        StorageError: it does not.
    """
    if position > fold.start:
        raise StorageError(
            f"Another process writes the history: it is at {position}, not at {fold.start}."
        )
