"""``alerts.db``: how rules stand, alerts, and what people are still to be told.

All of it and the cursor that says which frames it comes from are written in one transaction, so a
process that is killed has each alert once. A message is noted as delivered after the server has
taken it: one that is killed between the two sends it again, under the same key.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from motehub.alerting.outbox import Outbox
from motehub.alerts.watch import Kept
from motehub.core.rules import AlertNews
from motehub.sqlite_files import transaction, upgrade_schema

FILE_NAME: Final = "alerts.db"

MOST_WAITING: Final = 10_000
"""Messages that wait for a channel: of more, the oldest go and are counted."""

MOST_KEPT: Final = 10_000
"""Alerts and messages that are over which are kept: the newest."""

_MOST_UNDELIVERED: Final = 20

ALERT_COLUMNS: Final = (
    "id, rule, subject, device_id, device, metric, unit, severity, state, began, noticed, ended, "
    "value, limits, text, notify, acknowledged, acknowledged_by, snoozed, due, told"
)

_decode_kept = msgspec.json.Decoder(Kept).decode
_encode = msgspec.json.Encoder().encode


class Alert(msgspec.Struct):
    """An alert; times in UTC µs. See the tables.

    ``began`` is when the rule fired, by the times of readings, ``noticed`` when the hub knew.
    ``due`` is when people are told again, ``told`` how often they were (or are to be).
    """

    id: int
    rule: str
    subject: int
    device_id: int
    device: str
    metric: str
    unit: str
    severity: str
    state: str
    began: int
    noticed: int
    ended: int | None
    value: str
    limits: str
    text: str
    notify: str
    acknowledged: int | None = None
    acknowledged_by: str = ""
    snoozed: int | None = None
    due: int | None = None
    told: int = 0


class Held(msgspec.Struct, frozen=True):
    """A message that waits, what for, and of its alert how bad it is and how people are told."""

    id: int
    held: str
    severity: str
    notify: str


class AlertBook(Outbox):
    """The file of one process, whose threads may all use it.

    Every method raises StorageError when the file can't be used; the next one opens it anew.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE_NAME)
        with self.storage():
            pass

    def source(self) -> str:
        """Return what tells this file from others."""
        with self.storage() as db, transaction(db):
            found = db.execute("SELECT id FROM source").get
            if found is None:
                found = secrets.token_hex(8)
                db.execute("INSERT INTO source VALUES (?)", (found,))
            return str(found)

    def register(self, channels: Mapping[str, str]) -> None:
        """Know these channels (name, address for people) and no others."""
        with self.storage() as db, transaction(db):
            marks = ",".join("?" * len(channels))
            for table, column in (("channel", "name"), ("message", "channel")):
                db.execute(
                    f"DELETE FROM {table} WHERE {column} NOT IN ({marks})",  # noqa: S608
                    tuple(channels),
                )
            db.executemany(
                "INSERT INTO channel (name, address) VALUES (?, ?) ON CONFLICT (name) "
                "DO UPDATE SET address = excluded.address",
                channels.items(),
            )

    def position(self, journal: str) -> int | None:
        """Return the cursor in ``journal``; None when it has none there."""
        with self.storage() as db:
            query = "SELECT position FROM cursor WHERE journal = ?"
            position: int | None = db.execute(query, (journal,)).get
            return position

    def seen(self) -> int:
        """Return when the cursor was moved last (UTC µs), 0 where that is not known."""
        with self.storage() as db:
            seen: int | None = db.execute("SELECT max(seen) FROM cursor").get
            return seen or 0

    def watches(self) -> list[tuple[str, int, int, Kept]]:
        """Return rule, subject, mark of the rule and what is kept of each watch."""
        with self.storage() as db:
            rows = db.execute("SELECT rule, subject, mark, kept FROM watch")
            return [(rule, subject, mark, _decode_kept(kept)) for rule, subject, mark, kept in rows]

    def open_alerts(self) -> list[Alert]:
        """Return the alerts that are not over."""
        with self.storage() as db:
            query = f"SELECT {ALERT_COLUMNS} FROM alert WHERE ended IS NULL ORDER BY id"  # noqa: S608
            return [Alert(*row) for row in db.execute(query)]

    @contextmanager
    def writing(self, journal: str, position: int, now: int) -> Iterator[Writing]:
        """Let changes be made at ``now`` (UTC µs), and move the cursor to ``position`` with them.

        No power cut takes that back: the journal may have forgotten the frames by then.
        """
        with self.storage() as db:
            db.execute("PRAGMA synchronous=FULL")
            with transaction(db):
                yield Writing(db)
                db.execute("DELETE FROM cursor")
                db.execute("INSERT INTO cursor VALUES (?, ?, ?)", (journal, position, now))

    def news(self, most: int) -> list[AlertNews]:
        """Return what the hub is still to be told of, oldest first."""
        with self.storage() as db:
            rows = db.execute("SELECT number, body FROM news ORDER BY number LIMIT ?", (most,))
            return [
                msgspec.structs.replace(msgspec.json.decode(body, type=AlertNews), number=number)
                for number, body in rows
            ]

    def count_news_from(self, source: str, number: int) -> None:
        """Let the next news have a greater number, if the hub knows of that one from this file."""
        if source != self.source():
            return
        with self.storage() as db, transaction(db):
            db.execute("DELETE FROM news WHERE number <= ?", (number,))
            last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'news'").get
            if last is None:
                db.execute("INSERT INTO sqlite_sequence VALUES ('news', ?)", (number,))
            elif int(last) < number:
                db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'news'", (number,))

    def forget_news(self, up_to: int) -> None:
        """Note that the hub knows of everything up to that number."""
        with self.storage() as db:
            db.execute("DELETE FROM news WHERE number <= ?", (up_to,))

    def forget(self) -> None:
        """Delete a part of what has been over for longest."""
        with self.storage() as db, transaction(db):
            for table in ("alert", "message"):
                over = "ended IS NOT NULL" if table == "alert" else "state > 0"
                db.execute(
                    f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {over} "  # noqa: S608
                    "ORDER BY ended DESC LIMIT 500 OFFSET ?)",
                    (MOST_KEPT,),
                )

    def counts(self) -> dict[str, int]:
        """Return how many alerts there are, and what became of messages."""
        with self.storage() as db:
            row = db.execute(
                "SELECT coalesce(sum(delivered), 0), coalesce(sum(failed), 0), "
                "coalesce(sum(given_up), 0), coalesce(sum(dropped), 0) FROM channel"
            ).fetchone()
            assert row is not None
            names = ("delivered", "failed", "given_up", "dropped")
            found: dict[str, int] = dict(zip(names, row, strict=True))
            found["waiting"] = int(db.execute("SELECT count(*) FROM message WHERE state = 0").get)
            found["alerts"] = int(db.execute("SELECT count(*) FROM alert WHERE ended IS NULL").get)
            return found

    def undelivered(self, since: int) -> list[tuple[str, str, str]]:
        """Return which channels and reports did not get out the last time, and why.

        Of a channel for which nothing waits only what failed ``since`` then (µs).
        """
        with self.storage() as db:
            rows = db.execute(
                "SELECT 'channel', name, trouble FROM channel WHERE trouble IS NOT NULL AND "
                "(last_failure > ?1 OR EXISTS (SELECT 1 FROM message "
                "WHERE message.channel = channel.name AND state = 0)) UNION "
                "SELECT 'report', report, result FROM schedule WHERE NOT ok UNION "
                "SELECT 'report', report, max(trouble) FROM letter "
                "WHERE state = 0 AND trouble IS NOT NULL GROUP BY report "
                "ORDER BY 1, 2 LIMIT ?2",
                (since, _MOST_UNDELIVERED),
            )
            return [(str(kind), str(name), str(reason)) for kind, name, reason in rows]

    def _prepare(self, connection: apsw.Connection) -> None:
        upgrade_schema(connection, self._path, "motehub.alerting.schema")


class Writing:
    """What one transaction changes; see ``AlertBook.writing``."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def keep(self, watches: Iterable[tuple[str, int, int, Kept]]) -> None:
        """Keep how watches stand, with the marks of their rules."""
        self._db.executemany(
            "INSERT INTO watch VALUES (?, ?, ?, ?) ON CONFLICT (rule, subject) "
            "DO UPDATE SET mark = excluded.mark, kept = excluded.kept",
            ((rule, subject, mark, _encode(kept)) for rule, subject, mark, kept in watches),
        )

    def drop(self, keys: Iterable[tuple[str, int]]) -> None:
        """Forget watches."""
        self._db.executemany("DELETE FROM watch WHERE rule = ? AND subject = ?", keys)

    def begin(self, alert: Alert) -> None:
        """Add an alert, which gets its number."""
        columns = [getattr(alert, name) for name in alert.__struct_fields__[1:]]
        names = ALERT_COLUMNS.removeprefix("id, ")
        marks = ", ".join("?" * len(columns))
        self._db.execute(f"INSERT INTO alert ({names}) VALUES ({marks})", columns)  # noqa: S608
        alert.id = self._db.last_insert_rowid()

    def change(self, alert: Alert) -> None:
        """Keep what has changed of an alert."""
        self._db.execute(
            "UPDATE alert SET device = ?, state = ?, ended = ?, value = ?, text = ?, "
            "acknowledged = ?, acknowledged_by = ?, snoozed = ?, due = ?, told = ? WHERE id = ?",
            (
                alert.device,
                alert.state,
                alert.ended,
                alert.value,
                alert.text,
                alert.acknowledged,
                alert.acknowledged_by,
                alert.snoozed,
                alert.due,
                alert.told,
                alert.id,
            ),
        )

    def tell(
        self, channel: str, alert: Alert | None, now: int, due: int, held: str, body: Any
    ) -> None:
        """Add a message, of an alert or of the hub; of too many that wait the oldest goes."""
        count = "SELECT count(*) FROM message WHERE channel = ? AND state = 0"
        if int(self._db.execute(count, (channel,)).get) >= MOST_WAITING:
            self._db.execute(
                "DELETE FROM message WHERE id = "
                "(SELECT min(id) FROM message WHERE channel = ? AND state = 0)",
                (channel,),
            )
            self._db.execute("UPDATE channel SET dropped = dropped + 1 WHERE name = ?", (channel,))
        about = (alert.id, alert.device_id) if alert is not None else (0, 0)
        self._db.execute(
            "INSERT INTO message (channel, alert, device_id, created, due, held, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (channel, *about, now, due, held, _encode(body)),
        )

    def untell(self, alert: Alert, held: str) -> int:
        """Take back the messages of an alert that are still held for that; return how many."""
        self._db.execute(
            "DELETE FROM message WHERE alert = ? AND state = 0 AND held = ? AND batch = ''",
            (alert.id, held),
        )
        return self._db.changes()

    def unremind(self, alert: Alert, kind: str) -> None:
        """Take back the messages of that kind about an alert, unless they are on their way."""
        self._db.execute(
            "DELETE FROM message WHERE alert = ? AND state = 0 AND batch = '' "
            "AND json_extract(CAST(body AS TEXT), '$.kind') = ?",
            (alert.id, kind),
        )

    def waits(self, channel: str, alert: Alert) -> bool:
        """Tell whether a message about an alert waits for a channel."""
        query = "SELECT 1 FROM message WHERE alert = ? AND channel = ? AND state = 0 LIMIT 1"
        return self._db.execute(query, (alert.id, channel)).get is not None

    def waiting_of(self, device: int) -> list[Held]:
        """Return the messages about a device that wait and are not on their way."""
        rows = self._db.execute(
            "SELECT message.id, held, severity, notify FROM message JOIN alert "
            "ON alert.id = message.alert WHERE message.device_id = ? AND message.state = 0 "
            "AND batch = ''",
            (device,),
        )
        return [Held(*row) for row in rows]

    def put_off(self, message: int, due: int, held: str) -> None:
        """Let a message wait until ``due`` (µs) for what is ``held``, "" for nothing."""
        query = "UPDATE message SET due = ?, held = ? WHERE id = ?"
        self._db.execute(query, (due, held, message))

    def report(self, news: AlertNews) -> None:
        """Add what the hub is to be told."""
        self._db.execute("INSERT INTO news (body) VALUES (?)", (_encode(news),))
