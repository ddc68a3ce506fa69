"""The writer process: follows the journal and folds it into the history; opens no sockets.

The hub starts it as ``python -m motehub.writer DIR STORE``, with the URL of the store in the
environment (:data:`STORE_URL`), and restarts it when it dies. How it reports and ends:
:mod:`motehub.following`.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub import parts
from motehub.archiving import Archiving, starter
from motehub.clock_watch import ClockWatch, FileNotes
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory
from motehub.core.retention import Plan, Retention, Rule
from motehub.errors import NewerSchema, OwnerError, StaleJournal, StorageError
from motehub.following import HUB_ZONE, RETENTION_PLAN, STORE_URL, Hub, Report, begin, tell
from motehub.history_contract import HistoryStore
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS
from motehub.thinning import Thinning
from motehub.upkeep import Upkeep
from motehub.zones import zone_of

FOLD_SECONDS: Final = 0.2
"""Pause between two folds: larger folds cost less and spare flash cards."""

_TRY_SECONDS: Final = 1.0
_TURN_SECONDS: Final = 0.01


def main() -> None:
    """Fold until the hub is gone."""
    begin()
    sys.exit(_fold_for_hub(Path(sys.argv[1]), sys.argv[2]))


def _fold_for_hub(folder: Path, store_name: str) -> int:
    hub = Hub()
    opened = _open(folder, store_name, hub)
    if opened is None:
        return 1
    consumer, effect, thinning = opened
    try:
        return _fold(hub, consumer, effect, thinning)
    finally:
        thinning.stop()


def _fold(hub: Hub, consumer: Consumer, effect: FoldIntoHistory, thinning: Thinning) -> int:
    upkeep = Upkeep(effect.store, thinning, lambda: thinning.moment / MICROSECONDS)
    told: dict[str, Any] = {}

    def report() -> None:
        total = effect.total
        counts = {"stored": total.stored, "duplicate": total.duplicate}
        retention = dict(thinning.report)
        tell(Report(consumer.position, counts, consumer.trouble, retention=retention))
        told.update(retention)

    def after_bite() -> None:
        report()
        upkeep.beside_folds()

    report()
    while True:
        hub_lived = hub.lives
        was_in_trouble = consumer.trouble is not None
        done = consumer.catch_up(after_bite=after_bite)
        if not done or was_in_trouble or thinning.report != told:
            report()
        if not hub_lived:
            return 0 if done else 1
        if done and upkeep.step():
            hub.pause(_TURN_SECONDS)
        else:
            if not done and thinning.has_budget:
                # Where the disk is full, what goes for the budget makes room within the file.
                upkeep.beside_folds()
            hub.pause(FOLD_SECONDS if done else consumer.pause)


def _open(
    folder: Path, store_name: str, hub: Hub
) -> tuple[Consumer, FoldIntoHistory, Thinning] | None:
    """Open both databases, waiting for storage that fails; None when that is for the owner."""
    while hub.lives:
        try:
            reader = SqliteLogReader(folder)
            url = os.environ.get(STORE_URL, "")
            store = parts.store(store_name).open(folder, url, False)
            archiving = None
            if _plan().archive:
                archiving = Archiving(store, starter(folder, store_name, url))
            rules = partial(_rules, reader)
            watch = ClockWatch(FileNotes(folder), partial(_newest, store))
            thinning = Thinning(store, rules, watch.moment, archiving, watch)
            zone = zone_of(os.environ.get(HUB_ZONE, ""))
            effect = FoldIntoHistory(store, reader, reader.journal(), thinning.hear, zone)
            return Consumer("history", reader, effect), effect, thinning
        except (NewerSchema, StaleJournal, OwnerError) as error:
            tell(Report(0, trouble=str(error), fatal=True))
            return None
        except StorageError as error:
            tell(Report(0, trouble=str(error)))
            hub.pause(_TRY_SECONDS)
    return None


def _newest(store: HistoryStore) -> int | None:
    """Return when a device was last heard, by the clock of then (µs)."""
    return max((one.last_seen for one in store.devices()), default=None)


def _rules(reader: SqliteLogReader) -> Retention:
    """Return the owner's rules: those of the configuration, and what the journal has over them."""
    return Retention.from_state(_plan(), reader.state())


def _plan() -> Plan:
    given = os.environ.get(RETENTION_PLAN)
    return msgspec.json.decode(given, type=Plan) if given else Plan(Rule())


if __name__ == "__main__":
    main()
