"""The process of a mirror: follows the journal and shows the newest values elsewhere.

The hub starts it as ``python -m motehub.mirror DIR TYPE STORE``, with the mirror's settings
and the URL of the store in the environment, since both may hold a password.
The hub tells it of each commit. How that goes, and how it reports: :mod:`motehub.following`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from motehub import parts
from motehub.core.consumer import Consumer
from motehub.core.mirror import ReflectInMirror
from motehub.errors import OwnerError, StorageError
from motehub.following import MIRROR_SETTINGS, STORE_URL, Hub, Report, begin, tell
from motehub.history_contract import HistoryStore
from motehub.journals.sqlite import SqliteLogReader
from motehub.mirror_contract import MirrorStore

_LOOK_SECONDS: Final = 1.0
"""How often an idle mirror is asked whether it is still there, and still has what it had."""

_TRY_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 0.1
_LONGEST_REST: Final = 0.05


def main() -> None:
    """Follow the journal until the hub is gone."""
    begin()
    folder, name, store = sys.argv[1:4]
    try:
        part = parts.mirror(name)
        settings = msgspec.json.decode(os.environ[MIRROR_SETTINGS], type=part.settings)
        mirror = part.open(settings)
    except OwnerError as error:
        tell(Report(0, trouble=str(error), fatal=True))
        sys.exit(1)
    # The hub need not wait for a server that may be away.
    tell(Report(0, trouble="The mirror is being opened."))
    sys.exit(_follow(mirror, Path(folder), _opener(Path(folder), store)))


def _opener(folder: Path, store: str) -> Callable[[], HistoryStore]:
    def open_history() -> HistoryStore:
        return parts.store(store).open(folder, os.environ.get(STORE_URL, ""), True)

    return open_history


def _follow(mirror: MirrorStore, folder: Path, history: Callable[[], HistoryStore]) -> int:
    hub = Hub()
    opened = _open(mirror, folder, history, hub)
    if opened is None:
        return 1
    consumer, effect = opened
    reported = 0.0

    def report(seconds: float = _REPORT_SECONDS) -> None:
        nonlocal reported
        if time.monotonic() - reported >= seconds:
            reported = time.monotonic()
            counts = effect.counts | {"from_memory": consumer.from_memory}
            tell(Report(consumer.position, counts, consumer.trouble))

    woken = False
    while True:
        began = time.process_time()
        told = hub.news() if woken else None
        done = consumer.catch_up(after_bite=report, look=not woken, told=told)
        if not hub.lives:
            report(0)
            return 0 if done else 1
        if done:
            # Under load it rests as long as it works: what comes meanwhile goes in one bite.
            hub.pause(min(time.process_time() - began, _LONGEST_REST))
            woken = hub.wait(_REPORT_SECONDS)
            if not woken:
                report(0)
                woken = hub.wait(_LOOK_SECONDS)
        else:
            report(0)
            hub.pause(consumer.pause)
            woken = False


def _open(
    mirror: MirrorStore, folder: Path, history: Callable[[], HistoryStore], hub: Hub
) -> tuple[Consumer, ReflectInMirror] | None:
    """Begin to follow, waiting for a server that is away; None when the hub is gone before."""
    reader = SqliteLogReader(folder)
    while hub.lives:
        try:
            effect = ReflectInMirror(mirror, reader, reader.journal(), history)
            return Consumer("mirror", reader, effect, may_miss=True), effect
        except StorageError as error:
            tell(Report(0, trouble=str(error)))
            hub.pause(_TRY_SECONDS)
    return None


if __name__ == "__main__":
    main()
