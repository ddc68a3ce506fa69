"""What the owner may ask and do about webhooks, beside the process that sends them.

It works on the outbox's files; the couriers look into them every second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from motehub.errors import OwnerError, UnknownWebhook
from motehub.sqlite_files import check_schema, open_database, plain_errors, transaction
from motehub.webhooks import messages
from motehub.webhooks.endpoints import BASE
from motehub.webhooks.outbox import BASE_FILE_NAME, DELIVERED, FILE_NAME, GIVEN_UP, WAITS

MOST_RESENT: Final = 10_000
"""Messages that are sent again at a time."""

_NAMED: Final = 5
_STATES: Final = {WAITS: "waiting", DELIVERED: "delivered", GIVEN_UP: "given up"}
_ROWS: Final = (
    "SELECT attempt.time, endpoint.name, attempt.key, attempt.type, attempt.number, "
    "attempt.status, attempt.outcome, attempt.milliseconds, message.state, endpoint.kind "
    "FROM attempt "
    "JOIN endpoint ON endpoint.id = attempt.endpoint "
    "LEFT JOIN message ON message.key = attempt.key "
)


class EndpointRow(msgspec.Struct, frozen=True):
    """An endpoint and its counts since it is known; times in UTC µs.

    ``replaced`` readings gave way to newer ones, ``dropped`` messages to others. ``trouble`` is
    why the last attempt failed, of a dashboard also which units it refuses while it takes others.
    """

    name: str
    address: str
    kind: str
    waiting: int
    delivered: int
    failed: int
    given_up: int
    dropped: int
    replaced: int
    last_success: int | None
    last_failure: int | None
    trouble: str | None


class AttemptRow(msgspec.Struct, frozen=True):
    """An attempt: ``time`` in UTC µs; ``state`` is where its message stands now."""

    time: int
    endpoint: str
    message: str
    type: str
    attempt: int
    status: int | None
    outcome: str
    milliseconds: int
    state: str


def endpoints(folder: Path) -> list[EndpointRow]:
    """Return all endpoints, by name."""
    found: list[EndpointRow] = []
    for path in _files(folder):
        with _open(path) as db:
            for row in db.execute(
                "SELECT name, address, kind, (SELECT count(*) FROM message "
                "WHERE endpoint = endpoint.id AND state = 0), delivered, failed, given_up, "
                "dropped, replaced, last_success, last_failure, trouble FROM endpoint"
            ):
                one = EndpointRow(*row)
                if one.kind == BASE and one.trouble is None:
                    one = msgspec.structs.replace(one, trouble=_refused_units(db))
                found.append(one)
    return sorted(found, key=lambda one: one.name)


def log(folder: Path, endpoint: str | None, limit: int) -> list[AttemptRow]:
    """Return the newest attempts, newest first.

    Raises:
        UnknownWebhook: there is no such endpoint.
    """
    if endpoint is not None:
        _file_of(folder, endpoint)
    found: list[AttemptRow] = []
    for path in _files(folder):
        with _open(path) as db:
            rows = db.execute(
                f"{_ROWS} WHERE ?1 IS NULL OR endpoint.name = ?1 ORDER BY attempt.id DESC LIMIT ?2",
                (endpoint, limit),
            )
            found += [_shown(*row) for row in rows]
    found.sort(key=lambda one: one.time, reverse=True)
    return found[:limit]


def resend(folder: Path, endpoint: str, key: str | None, now: int) -> int:
    """Have a message sent again, or without a ``key`` all that were given up; return how many.

    They keep their ids, so that the receiver can tell that it has seen them.

    Raises:
        UnknownWebhook: there is no such endpoint or message.
    """
    path = _file_of(folder, endpoint)
    with _open(path, write=True) as db:
        which = "state = 2" if key is None else "state > 0 AND key = ?3"
        order = (
            "UPDATE message SET state = 0, attempts = 0, ended = NULL, due = ?1 WHERE id IN "  # noqa: S608
            "(SELECT message.id FROM message JOIN endpoint ON endpoint.id = message.endpoint "
            f"WHERE endpoint.name = ?2 AND {which} ORDER BY message.id LIMIT {MOST_RESENT})"
        )
        bindings = (now, endpoint) if key is None else (now, endpoint, key)
        with transaction(db):
            db.execute(order, bindings)
            count = db.changes()
    if key is not None and not count:
        raise UnknownWebhook(
            f"{endpoint} has no message {key[:64]!r} that is over: it waits, or was forgotten."
        )
    return count


def begin_test(folder: Path, endpoint: str, now: int) -> str:
    """Have a test sent to an endpoint, and return the key of the message.

    Raises:
        UnknownWebhook: there is no such endpoint.
        OwnerError: it takes readings only.
    """
    path = _file_of(folder, endpoint)
    key = messages.new_key()
    with _open(path, write=True) as db:
        number, kind = _row(db, "SELECT id, kind FROM endpoint WHERE name = ?", endpoint)
        if kind == BASE:
            raise OwnerError("A dashboard takes nothing but readings: there is no test for it.")
        db.execute(
            "INSERT INTO message (endpoint, key, type, lane, created, due, body) "
            "VALUES (?, ?, ?, '', ?, ?, ?)",
            (number, key, messages.TEST, now, now, messages.test(now)),
        )
    return key


def result_of(folder: Path, endpoint: str, key: str) -> AttemptRow | None:
    """Return the first attempt to send a message, once there has been one."""
    with _open(_file_of(folder, endpoint)) as db:
        query = f"{_ROWS} WHERE attempt.key = ? ORDER BY attempt.id LIMIT 1"
        row = db.execute(query, (key,)).fetchone()
    return None if row is None else _shown(*row)


def _refused_units(db: apsw.Connection) -> str | None:
    """Return which units wait though the dashboard takes others, and why the last one does."""
    rows = db.execute(
        "SELECT message.lane, attempt.outcome FROM attempt "
        "JOIN message ON message.key = attempt.key AND message.attempts = attempt.number "
        "WHERE message.state = 0 ORDER BY attempt.id DESC"
    ).fetchall()
    if not rows:
        return None
    lanes = list(dict.fromkeys(str(lane) for lane, _ in rows))
    more = f" and {len(lanes) - _NAMED} more" if len(lanes) > _NAMED else ""
    return f"not taken: {', '.join(lanes[:_NAMED])}{more} ({rows[0][1]})"


def _shown(*row: Any) -> AttemptRow:
    *columns, state, kind = row
    # What a dashboard has taken is not kept, to be sent again.
    gone = "over" if kind == BASE else "forgotten"
    return AttemptRow(*(*columns, _STATES.get(state, gone)))


def _files(folder: Path) -> list[Path]:
    return [path for name in (FILE_NAME, BASE_FILE_NAME) if (path := folder / name).exists()]


def _file_of(folder: Path, endpoint: str) -> Path:
    known: list[str] = []
    for path in _files(folder):
        with _open(path) as db:
            names = [name for (name,) in db.execute("SELECT name FROM endpoint")]
        if endpoint in names:
            return path
        known += names
    there = ", ".join(sorted(known)) or "none: see [[webhook]] in the configuration"
    raise UnknownWebhook(f"There is no webhook called {endpoint[:64]!r}. Known: {there}.")


def _row(db: apsw.Connection, query: str, name: str) -> tuple[int, str]:
    number, kind = next(iter(db.execute(query, (name,))))
    return int(number), str(kind)


@contextmanager
def _open(path: Path, *, write: bool = False) -> Iterator[apsw.Connection]:
    connection = open_database(path, read_only=not write)
    try:
        check_schema(connection, path, "motehub.webhooks.schema")
        with plain_errors(path):
            yield connection
    finally:
        connection.close()
