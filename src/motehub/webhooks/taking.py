"""What a transaction of the outbox adds to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import apsw

from motehub.webhooks import messages
from motehub.webhooks.messages import READINGS

MESSAGE_BYTES: Final = 16_384
"""Longest message with several readings; the specification asks for less than 20 kB."""


class Taking:
    """Adds messages within one transaction; see ``Outbox.taking``."""

    def __init__(self, db: apsw.Connection, now: int, taken: set[int]) -> None:
        self._db = db
        self._now = now
        self._taken = taken
        self._waiting: dict[int, int] = {}

    def add(self, endpoint: int, most: int, kind: str, body: bytes, delay: int = 0) -> None:
        """Add a message that is due after ``delay`` µs; with ``most`` waiting the oldest goes."""
        if self._count(endpoint) >= most:
            self._drop_oldest(endpoint)
        self._insert(endpoint, kind, "", self._now, self._now + delay, body)
        self._waiting[endpoint] += 1

    def add_readings(self, endpoint: int, most: int, readings: Sequence[bytes], delay: int) -> None:
        """Add readings (in JSON) to the message that is not due yet, or to new ones."""
        for group in _groups(readings):
            more = b",".join(group)
            row = self._db.execute(
                "SELECT id, length(body) FROM message WHERE endpoint = ? AND state = 0 "
                "AND type = ? AND attempts = 0 AND due > ? ORDER BY due DESC, id DESC LIMIT 1",
                (endpoint, READINGS, self._now),
            ).fetchone()
            if row and row[0] not in self._taken and row[1] + len(more) < MESSAGE_BYTES:
                self._db.execute(
                    "UPDATE message SET body = CAST(substr(body, 1, length(body) - ?) || ? AS BLOB)"
                    " WHERE id = ?",
                    (len(messages.READINGS_END), b"," + more + messages.READINGS_END, row[0]),
                )
            else:
                begin = messages.readings_begin(self._now)
                self.add(endpoint, most, READINGS, begin + more + messages.READINGS_END, delay)

    def add_in_lane(
        self, endpoint: int, lane: str, created: int, body: bytes, *, replace: bool
    ) -> None:
        """Add a message after those in its lane, or in the place of them."""
        if replace:
            self._db.execute(
                "DELETE FROM message WHERE endpoint = ? AND lane = ? AND state = 0",
                (endpoint, lane),
            )
            if count := self._db.changes():
                self._db.execute(
                    "UPDATE endpoint SET replaced = replaced + ? WHERE id = ?", (count, endpoint)
                )
        self._insert(endpoint, "reading", lane, created, self._now, body)

    def _insert(
        self, endpoint: int, kind: str, lane: str, created: int, due: int, body: bytes
    ) -> None:
        self._db.execute(
            "INSERT INTO message (endpoint, key, type, lane, created, due, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (endpoint, messages.new_key(), kind, lane, created, due, body),
        )

    def _count(self, endpoint: int) -> int:
        if endpoint not in self._waiting:
            query = "SELECT count(*) FROM message WHERE endpoint = ? AND state = 0"
            self._waiting[endpoint] = int(self._db.execute(query, (endpoint,)).get)
        return self._waiting[endpoint]

    def _drop_oldest(self, endpoint: int) -> None:
        self._db.execute(
            "DELETE FROM message WHERE id = "
            "(SELECT min(id) FROM message WHERE endpoint = ? AND lane = '' AND state = 0)",
            (endpoint,),
        )
        self._db.execute("UPDATE endpoint SET dropped = dropped + 1 WHERE id = ?", (endpoint,))
        self._waiting[endpoint] -= 1


def _groups(readings: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the readings in groups that fit into messages."""
    start, size = 0, messages.FRAME_BYTES
    for place, one in enumerate(readings):
        if size + len(one) > MESSAGE_BYTES and place > start:
            yield readings[start:place]
            start, size = place, messages.FRAME_BYTES
        size += len(one) + 1
    if start < len(readings):
        yield readings[start:]
