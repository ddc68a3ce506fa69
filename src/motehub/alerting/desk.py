"""What the owner may ask about alerts, beside the process that looks after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import apsw
import msgspec

from motehub.alerting.book import ALERT_COLUMNS, FILE_NAME, Alert
from motehub.alerting.telling import is_own
from motehub.alerts.watch import State
from motehub.core.moments import iso
from motehub.errors import UnknownAlert
from motehub.sqlite_files import check_schema, open_database, plain_errors, schema_version

MOST_ALERTS: Final = 1_000
"""Alerts in one answer."""

_AS_THEY_WERE: Final[Mapping[int, str]] = MappingProxyType({})


class AlertShape(msgspec.Struct, frozen=True):
    """An alert as programs see it; ``ended`` is null while it is not over.

    ``state`` is firing, recovering, "no data" or ok. ``began`` is by the times of readings,
    ``noticed`` when the hub knew. ``own_words`` tells whether ``text`` is what the owner of the
    rule wrote, in any language, and not the hub's English. ``told`` is how often people were told
    that it is so.
    """

    id: int
    rule: str
    device: str
    metric: str | None
    unit: str
    severity: str
    state: str
    began: str
    noticed: str
    ended: str | None
    value: str
    limits: str
    text: str
    own_words: bool
    acknowledged: str | None
    acknowledged_by: str | None
    snoozed_until: str | None
    told: int


class ChannelShape(msgspec.Struct, frozen=True):
    """Through whom people are told, with counts; ``trouble`` is why the last attempt failed."""

    name: str
    address: str
    waiting: int
    delivered: int
    failed: int
    given_up: int
    dropped: int
    last_success: str | None
    last_failure: str | None
    trouble: str | None


def alerts(
    folder: Path,
    limit: int,
    *,
    is_open: bool,
    devices: tuple[str, ...] | None = None,
    names: Mapping[int, str] = _AS_THEY_WERE,
) -> list[AlertShape]:
    """Return alerts, newest first: those that are not over, or all; of ``devices`` or of all.

    ``names`` are those that devices have now, by id.
    """
    where = "ended IS NULL" if is_open else "TRUE"
    query = f"SELECT {ALERT_COLUMNS} FROM alert WHERE {where} ORDER BY id DESC"  # noqa: S608
    found: list[AlertShape] = []
    with opened(folder) as db:
        if db is None:
            return found
        for row in db.execute(query):
            alert = Alert(*row)
            alert.device = names.get(alert.device_id, alert.device)
            if devices is None or alert.device in devices:
                found.append(_shape(alert))
            if len(found) >= limit:
                break
    return found


def pending(folder: Path) -> dict[str, int]:
    """Return by rule with how many series or devices it is so, but not for long enough yet.

    Rules with which it is so nowhere are not named. It is as of some seconds ago.
    """
    with opened(folder) as db:
        if db is None:
            return {}
        rows = db.execute(
            "SELECT rule, count(*) FROM watch "
            "WHERE json_extract(CAST(kept AS TEXT), '$.state') = ? GROUP BY rule",
            (State.PENDING.value,),
        )
        return {str(rule): int(count) for rule, count in rows}


def channels(folder: Path) -> list[ChannelShape]:
    """Return through whom people are told, by name."""
    with opened(folder) as db:
        if db is None:
            return []
        rows = db.execute(
            "SELECT name, address, (SELECT count(*) FROM message WHERE channel = channel.name "
            "AND state = 0), delivered, failed, given_up, dropped, last_success, last_failure, "
            "trouble FROM channel ORDER BY name"
        )
        return [ChannelShape(*(*row[:7], _iso(row[7]), _iso(row[8]), row[9])) for row in rows]


def check_open(folder: Path, number: int, names: Mapping[int, str] = _AS_THEY_WERE) -> AlertShape:
    """Return the alert of that number, if it is not over; ``names`` as above.

    Raises:
        UnknownAlert: there is none, or it is over.
    """
    every = alerts(folder, 10**9, is_open=True, names=names)
    found = next((one for one in every if one.id == number), None)
    if found is None:
        raise UnknownAlert(f"There is no alert {number}, or it is over: 'motehub alerts list'.")
    return found


def _shape(alert: Alert) -> AlertShape:
    return AlertShape(
        id=alert.id,
        rule=alert.rule,
        device=alert.device,
        metric=alert.metric or None,
        unit=alert.unit,
        severity=alert.severity,
        state=alert.state,
        began=iso(alert.began),
        noticed=iso(alert.noticed),
        ended=_iso(alert.ended),
        value=alert.value,
        limits=alert.limits,
        text=alert.text,
        own_words=is_own(alert.notify),
        acknowledged=_iso(alert.acknowledged),
        acknowledged_by=alert.acknowledged_by or None,
        snoozed_until=_iso(alert.snoozed),
        told=alert.told,
    )


def _iso(time: int | None) -> str | None:
    return None if time is None else iso(time)


@contextmanager
def opened(folder: Path) -> Iterator[apsw.Connection | None]:
    """Open ``alerts.db`` for reading; None while there is none."""
    path = folder / FILE_NAME
    if not path.exists():
        yield None
        return
    connection = open_database(path, read_only=True)
    try:
        with plain_errors(path):
            is_new = schema_version(connection) == 0
        if is_new:
            # The process that makes the tables is starting.
            yield None
            return
        check_schema(connection, path, "motehub.alerting.schema")
        with plain_errors(path):
            yield connection
    finally:
        connection.close()
