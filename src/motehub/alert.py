"""The process of alerts: follows the journal, judges what devices say, and tells people.

The hub starts it as ``python -m motehub.alert DIR [POSITION]``, with how people are told in the
environment, since that holds secrets. Where it has no cursor it begins after that position. The
hub tells it of each commit; it tells the hub of alerts over the control socket. How it reports:
:mod:`motehub.following`.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Final

import msgspec

from motehub import parts
from motehub.alert_requests import TellAlerts
from motehub.alerting.plan import Plan
from motehub.alerting.service import AlertService, ReportSource
from motehub.clock_watch import AgeClock
from motehub.control import ask
from motehub.core.reports import STATE_PREFIX
from motehub.core.retention import CLOCK_STATE, clock_confirmed
from motehub.core.rules import AlertNews
from motehub.errors import NewerSchema, OwnerError, StorageError
from motehub.following import ALERT_PLAN, STORE_URL, Hub, Report, begin, tell, tell_all
from motehub.journals.sqlite import SqliteLogReader
from motehub.rollups import RollupColumns

LOCK_FILE: Final = "alerts.lock"

_TRY_SECONDS: Final = 0.2
_NICENESS: Final = 10


def main() -> None:
    """Judge and tell until the hub is gone."""
    begin()
    # When there is not enough for all, what devices say comes first.
    os.nice(_NICENESS)
    plan = msgspec.json.decode(os.environ[ALERT_PLAN], type=Plan)
    folder = Path(sys.argv[1])
    hub = Hub()
    with (folder / LOCK_FILE).open("w") as lock:
        if not _alone(lock, hub):
            sys.exit(1)
        service = _open(folder, plan, hub)
        if service is None:
            sys.exit(1)
        tell(Report(service.consumer.position))
        done = service.run(hub, tell_all)
        # Threads that wait for a server are left: what they send is sent again.
        sys.stdout.flush()
        os._exit(0 if done else 1)


def _alone(lock: IO[str], hub: Hub) -> bool:
    """Wait until the process of a hub that was killed is gone; False when this one's is."""
    while hub.lives:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(Report(0, trouble="another process still looks after alerts.db"))
            hub.pause(_TRY_SECONDS)
        else:
            return True
    return False


def _open(folder: Path, plan: Plan, hub: Hub) -> AlertService | None:
    """Open journal and alerts, waiting for storage that fails; None when that is for the owner."""
    first = int(sys.argv[2]) if len(sys.argv) > 2 else None

    def tell_hub(source: str, news: Sequence[AlertNews]) -> None:
        ask(folder, TellAlerts(source, list(news)))

    def look_up() -> dict[str, bytes]:
        # Threads ask for it, each with a connection of its own.
        reader = SqliteLogReader(folder)
        try:
            return reader.state_of(STATE_PREFIX)
        finally:
            reader.close()

    def look_back(series: int, since: int, until: int) -> Iterator[RollupColumns]:
        # In a thread that draws a picture; the store may be away, or slow.
        store = parts.store(plan.store).open(folder, os.environ.get(STORE_URL, ""), True)
        try:
            yield from store.rollups(series, "minute", since, until)
        finally:
            store.close()

    def confirmed() -> int | None:
        with closing(SqliteLogReader(folder)) as reader:
            return clock_confirmed(reader.state_of(CLOCK_STATE))

    reports = ReportSource({STORE_URL: os.environ.get(STORE_URL, "")}, look_up)
    while hub.lives:
        try:
            reader = SqliteLogReader(folder)
            mark = reader.journal()
            aging = AgeClock.beside(folder, reader.newest, confirmed)
            return AlertService(
                folder, plan, reader, mark, tell_hub, first, reports, look_back, aging
            )
        except (NewerSchema, OwnerError) as error:
            tell(Report(0, trouble=str(error), fatal=True))
            return None
        except StorageError as error:
            tell(Report(0, trouble=str(error)))
            hub.pause(_TRY_SECONDS)
    return None


if __name__ == "__main__":
    main()
