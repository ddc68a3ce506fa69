"""The outbox: messages that wait for their receivers, in an SQLite file beside the journal.

Messages and the cursor that says which frames they come from are written in one transaction, so
a process that is killed has each message once. An attempt is noted after its answer: one that
is killed between the two sends the message again, under the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from motehub.sqlite_files import SqliteFile, transaction, upgrade_schema
from motehub.webhooks.messages import TEST
from motehub.webhooks.taking import Taking

FILE_NAME: Final = "webhooks.db"
BASE_FILE_NAME: Final = "base.db"
"""The outbox of a base unit, whose consumer may wait while the other one goes on."""

WAITS: Final = 0
DELIVERED: Final = 1
GIVEN_UP: Final = 2

_ATTEMPTS_KEPT: Final = 10_000
_PRUNED_AT_ONCE: Final = 500
_MOST_UNDELIVERED: Final = 20
_COLUMNS: Final = "id, key, type, lane, created, due, attempts, body"


class Message(msgspec.Struct, frozen=True):
    """A message that waits; times in UTC µs. ``attempts`` have failed so far."""

    id: int
    key: str
    type: str
    lane: str
    created: int
    due: int
    attempts: int
    body: bytes


class Attempt(msgspec.Struct, frozen=True):
    """What came of sending a message at ``time`` (UTC µs); no ``status`` without an answer."""

    time: int
    status: int | None
    outcome: str
    milliseconds: int


class Outbox(SqliteFile):
    """The outbox of one process, whose threads may all use it.

    Every method raises StorageError when the file can't be used; the next one opens it anew.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._taken: set[int] = set()
        with self._storage():
            pass

    def register(self, endpoints: Iterable[tuple[str, str, str]]) -> dict[str, int]:
        """Return the numbers of the endpoints, given as name, address for people, and kind.

        Others that were there before are forgotten, with what waits for them.
        """
        known = list(endpoints)
        with self._storage() as db, transaction(db):
            names = [name for name, _, _ in known]
            marks = ",".join("?" * len(names))
            db.execute(f"DELETE FROM endpoint WHERE name NOT IN ({marks})", names)  # noqa: S608
            db.executemany(
                "INSERT INTO endpoint (name, address, kind) VALUES (?, ?, ?) ON CONFLICT (name) "
                "DO UPDATE SET address = excluded.address, kind = excluded.kind",
                known,
            )
            return dict(db.execute("SELECT name, id FROM endpoint"))

    def position(self, journal: str) -> int | None:
        """Return the cursor in ``journal``; None when it has none there."""
        with self._storage() as db:
            query = "SELECT position FROM cursor WHERE journal = ?"
            position: int | None = db.execute(query, (journal,)).get
            return position

    def begin_at(self, journal: str, position: int) -> None:
        """Go on from ``position``, whatever was before."""
        with self._storage() as db, transaction(db):
            _move_cursor(db, journal, position)

    @contextmanager
    def taking(self, journal: str, position: int, now: int) -> Iterator[Taking]:
        """Let messages be added at ``now`` (µs), and move the cursor to ``position`` with them."""
        with self._storage() as db, transaction(db):
            yield Taking(db, now, self._taken)
            _move_cursor(db, journal, position)

    def next_due(self, endpoint: int, now: int) -> Message | int | None:
        """Return the message that is due first, or when one will be, or None.

        It is taken, until it is ``delivered`` or has ``failed``: readings that come meanwhile go
        into another one.
        """
        with self._storage() as db:
            query = (
                f"SELECT {_COLUMNS} FROM message WHERE endpoint = ? AND state = 0 "  # noqa: S608
                "ORDER BY due, id LIMIT 1"
            )
            row = db.execute(query, (endpoint,)).fetchone()
            if row is None:
                return None
            message = Message(*row)
            if message.due > now:
                return message.due
            self._taken.add(message.id)
            return message

    def waiting_test(self, endpoint: int) -> Message | None:
        """Return a test that has not been tried yet; it is taken."""
        with self._storage() as db:
            query = (
                f"SELECT {_COLUMNS} FROM message WHERE endpoint = ? AND state = 0 "  # noqa: S608
                "AND type = ? AND attempts = 0 LIMIT 1"
            )
            row = db.execute(query, (endpoint, TEST)).fetchone()
            if row is None:
                return None
            message = Message(*row)
            self._taken.add(message.id)
            return message

    def lanes(self, endpoint: int) -> list[str]:
        """Return the lanes in which messages wait, the oldest first."""
        with self._storage() as db:
            query = (
                "SELECT lane FROM message WHERE endpoint = ? AND state = 0 "
                "GROUP BY lane ORDER BY min(id)"
            )
            return [lane for (lane,) in db.execute(query, (endpoint,))]

    def in_lane(self, endpoint: int, lane: str, most: int) -> list[Message]:
        """Return the first messages that wait in a lane, in order."""
        with self._storage() as db:
            query = (
                f"SELECT {_COLUMNS} FROM message WHERE endpoint = ? AND lane = ? "  # noqa: S608
                "AND state = 0 ORDER BY id LIMIT ?"
            )
            return [Message(*row) for row in db.execute(query, (endpoint, lane, most))]

    def delivered(
        self, endpoint: int, message: Message, attempt: Attempt, *, keep: bool = True
    ) -> None:
        """Note that a message has arrived. With ``keep`` it can be sent again, and is logged."""
        with self._noting(message) as db:
            if keep:
                _log(db, endpoint, message, attempt)
                _end(db, message, DELIVERED, attempt.time)
            else:
                db.execute("DELETE FROM message WHERE id = ?", (message.id,))
            db.execute(
                "UPDATE endpoint SET delivered = delivered + 1, last_success = ?, trouble = NULL "
                "WHERE id = ?",
                (attempt.time, endpoint),
            )

    def failed(self, endpoint: int, message: Message, attempt: Attempt, due: int | None) -> None:
        """Note that a message has not arrived: it is due again, or given up (None)."""
        with self._noting(message) as db:
            _log(db, endpoint, message, attempt)
            if due is None:
                _end(db, message, GIVEN_UP, attempt.time)
            else:
                db.execute(
                    "UPDATE message SET attempts = attempts + 1, due = ? WHERE id = ?",
                    (due, message.id),
                )
            db.execute(
                "UPDATE endpoint SET failed = failed + 1, given_up = given_up + ?, "
                "last_failure = ?, trouble = ? WHERE id = ?",
                (due is None, attempt.time, attempt.outcome, endpoint),
            )

    def give_up_lane(self, endpoint: int, lane: str, before: int, now: int) -> int:
        """Give up what waits in a lane and was made ``before`` (µs); return how many."""
        with self._storage() as db, transaction(db):
            db.execute(
                "UPDATE message SET state = 2, ended = ? "
                "WHERE endpoint = ? AND lane = ? AND state = 0 AND created < ?",
                (now, endpoint, lane, before),
            )
            count = db.changes()
            db.execute(
                "UPDATE endpoint SET given_up = given_up + ? WHERE id = ?", (count, endpoint)
            )
            return count

    def hasten(self, endpoint: int, now: int) -> None:
        """Let all be due that failed before: the endpoint is there again."""
        with self._storage() as db:
            db.execute(
                "UPDATE message SET due = ?1 "
                "WHERE endpoint = ?2 AND state = 0 AND attempts > 0 AND due > ?1",
                (now, endpoint),
            )

    def waiting(self, endpoint: int) -> int:
        """Return how many messages wait for the endpoint."""
        with self._storage() as db:
            query = "SELECT count(*) FROM message WHERE endpoint = ? AND state = 0"
            return int(db.execute(query, (endpoint,)).get)

    def counts(self) -> dict[str, int]:
        """Return what was done since the endpoints are known, all together, and what waits."""
        names = ("delivered", "failed", "given_up", "dropped", "replaced")
        with self._storage() as db:
            sums = ", ".join(f"coalesce(sum({name}), 0)" for name in names)
            row = db.execute(f"SELECT {sums} FROM endpoint").fetchone()  # noqa: S608
            assert row is not None
            waiting = db.execute("SELECT count(*) FROM message WHERE state = 0").get
        return {**dict(zip(names, row, strict=True)), "waiting": waiting}

    def undelivered(self, since: int) -> list[tuple[str, str, str]]:
        """Return which endpoints the last attempt did not reach, and why.

        Of one for which nothing waits only what failed ``since`` then (µs).
        """
        with self._storage() as db:
            rows = db.execute(
                "SELECT name, address, trouble FROM endpoint WHERE trouble IS NOT NULL AND "
                "(last_failure > ?1 OR EXISTS (SELECT 1 FROM message "
                "WHERE message.endpoint = endpoint.id AND state = 0)) ORDER BY name LIMIT ?2",
                (since, _MOST_UNDELIVERED),
            )
            return [("webhook", str(name), f"{reason} ({where})") for name, where, reason in rows]

    def forget(self, endpoint: int, ended_before: int, most: int) -> None:
        """Delete a part of what is over: what ended before then (µs), and all but the newest."""
        with self._storage() as db, transaction(db):
            for state in (DELIVERED, GIVEN_UP):
                db.execute(
                    "DELETE FROM message WHERE id IN (SELECT id FROM message "
                    "WHERE endpoint = ? AND state = ? AND ended < ? ORDER BY ended LIMIT ?)",
                    (endpoint, state, ended_before, _PRUNED_AT_ONCE),
                )
                db.execute(
                    "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE endpoint = ? "
                    "AND state = ? ORDER BY ended DESC LIMIT ? OFFSET ?)",
                    (endpoint, state, _PRUNED_AT_ONCE, most),
                )
            newest = int(db.execute("SELECT coalesce(max(id), 0) FROM attempt").get)
            db.execute("DELETE FROM attempt WHERE id <= ?", (newest - _ATTEMPTS_KEPT,))
        with self._storage() as db:
            db.execute("PRAGMA incremental_vacuum(512)")

    @contextmanager
    def _noting(self, message: Message) -> Iterator[apsw.Connection]:
        with self._storage() as db:
            # What a power cut takes away here is sent once more: nobody waits for the disk.
            db.execute("PRAGMA synchronous=NORMAL")
            with transaction(db):
                yield db
            db.execute("PRAGMA synchronous=FULL")
            self._taken.discard(message.id)

    def _prepare(self, connection: apsw.Connection) -> None:
        upgrade_schema(connection, self._path, "motehub.webhooks.schema")
        connection.execute("PRAGMA foreign_keys=ON")


def _move_cursor(db: apsw.Connection, journal: str, position: int) -> None:
    db.execute("DELETE FROM cursor")
    db.execute("INSERT INTO cursor VALUES (?, ?)", (journal, position))


def _end(db: apsw.Connection, message: Message, state: int, now: int) -> None:
    db.execute(
        "UPDATE message SET state = ?, ended = ?, attempts = attempts + 1 WHERE id = ?",
        (state, now, message.id),
    )


def _log(db: apsw.Connection, endpoint: int, message: Message, attempt: Attempt) -> None:
    db.execute(
        "INSERT INTO attempt (time, endpoint, key, type, number, status, outcome, milliseconds) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            attempt.time,
            endpoint,
            message.key,
            message.type,
            message.attempts + 1,
            attempt.status,
            attempt.outcome,
            attempt.milliseconds,
        ),
    )
