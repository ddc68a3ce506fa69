"""What people are still to be told, by channel: what goes out together, and what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import apsw
import msgspec

from motehub.sqlite_files import SqliteFile, transaction

WAITS: Final = 0
DELIVERED: Final = 1
GIVEN_UP: Final = 2


class Waiting(msgspec.Struct, frozen=True):
    """A message that waits for its channel."""

    id: int
    created: int
    attempts: int
    batch: str
    body: bytes


class Outbox(SqliteFile):
    """The messages in ``alerts.db``; see :class:`motehub.alerting.book.AlertBook`."""

    def waits(self, channel: str) -> int | None:
        """Return when the first message of a channel is due (UTC µs); None: none waits."""
        with self.storage() as db:
            query = "SELECT min(due) FROM message WHERE channel = ? AND state = 0"
            due: int | None = db.execute(query, (channel,)).get
            return due

    def next_batch(self, channel: str, now: int, most: int) -> list[Waiting]:
        """Return the messages that are to go out together.

        They have a key from now on, under which they go out until they have arrived.
        """
        with self.storage() as db, transaction(db):
            rows = [
                Waiting(*row)
                for row in db.execute(
                    "SELECT id, created, attempts, batch, body FROM message "
                    "WHERE channel = ? AND state = 0 AND due <= ? ORDER BY batch = '', id LIMIT ?",
                    (channel, now, most),
                )
            ]
            if rows and rows[0].batch:
                return [one for one in rows if one.batch == rows[0].batch]
            key = secrets.token_hex(12)
            db.executemany(
                "UPDATE message SET batch = ? WHERE id = ?", ((key, one.id) for one in rows)
            )
            return [msgspec.structs.replace(one, batch=key) for one in rows]

    def delivered(self, channel: str, batch: str, now: int, trouble: str | None) -> None:
        """Note that the messages of a batch have arrived, if not for all without ``trouble``."""
        with self._noting() as db:
            count = _end(db, channel, batch, now, DELIVERED)
            db.execute(
                "UPDATE channel SET delivered = delivered + ?, last_success = ?, trouble = ? "
                "WHERE name = ?",
                (count, now, trouble, channel),
            )

    def failed(
        self,
        channel: str,
        batch: str,
        now: int,
        trouble: str,
        *,
        give_up: bool,
        due: int | None = None,
    ) -> None:
        """Note that a batch has not arrived: it waits on, or is given up.

        With ``due`` (µs) it was refused, and waits until then while others go out. Of several
        messages each half has a key of its own then: one may be refused and the other not.
        """
        with self._noting() as db:
            count = _end(db, channel, batch, now, GIVEN_UP if give_up else WAITS)
            if due is not None and not give_up:
                _put_off(db, channel, batch, due)
            db.execute(
                "UPDATE channel SET failed = failed + 1, given_up = given_up + ?, "
                "last_failure = ?, trouble = ? WHERE name = ?",
                (count if give_up else 0, now, trouble, channel),
            )

    def storage(self) -> AbstractContextManager[apsw.Connection]:
        """Give the connection to one thread, for what else is kept in this file."""
        return self._storage()

    @contextmanager
    def _noting(self) -> Iterator[apsw.Connection]:
        with self.storage() as db:
            # What a power cut takes away here is sent once more: nobody waits for the disk.
            db.execute("PRAGMA synchronous=NORMAL")
            with transaction(db):
                yield db


def _end(db: apsw.Connection, channel: str, batch: str, now: int, state: int) -> int:
    db.execute(
        "UPDATE message SET attempts = attempts + 1, state = ?1, "
        "ended = CASE WHEN ?1 THEN ?2 END WHERE channel = ?3 AND batch = ?4 AND state = 0",
        (state, now, channel, batch),
    )
    return db.changes()


def _put_off(db: apsw.Connection, channel: str, batch: str, due: int) -> None:
    which = "channel = ? AND batch = ? AND state = 0"
    db.execute(f"UPDATE message SET due = ? WHERE {which}", (due, channel, batch))  # noqa: S608
    query = f"SELECT id FROM message WHERE {which} ORDER BY id"  # noqa: S608
    ids = [row[0] for row in db.execute(query, (channel, batch))]
    half = ids[len(ids) // 2 :] if len(ids) > 1 else []
    key = secrets.token_hex(12)
    db.executemany("UPDATE message SET batch = ? WHERE id = ?", ((key, one) for one in half))
