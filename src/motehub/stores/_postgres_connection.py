"""A connection to PostgreSQL that never hangs for ever, and is made anew after an error."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import StrDumperUnknown

from motehub.errors import OwnerError, StorageError
from motehub.stores._postgres_errors import plain_error

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_SECONDS: Final = 5
"""Longest wait for a connection, to each of the hosts that the URL names."""

PATIENCE: Final = 5.0
"""Seconds that a statement may take before it is asked whether the server still answers."""

# A server that is gone without a word is noticed on an idle connection too. What the URL says
# about these wins.
_DEFAULTS: Final[dict[str, Any]] = {
    "application_name": "motehub",
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}

# The first three: a writer that vanished must not keep its locks. Then: nobody else's lock
# makes us wait for ever. Readings leave the journal after a commit, so one must be durable.
_SETTINGS: Final = """
SELECT set_config('idle_in_transaction_session_timeout', '60s', false),
    set_config('tcp_keepalives_idle', '30', false),
    set_config('tcp_keepalives_interval', '10', false),
    set_config('lock_timeout', '10s', false),
    set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, false)
"""


class _TextDumper(StrDumperUnknown):
    """PostgreSQL can't store U+0000: its symbol stands for it, so no text can stop the writer."""

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", "\N{SYMBOL FOR NULL}").encode()


class Database:
    """Connects to ``url`` when it is used, and again after an error.

    Raises:
        OwnerError: ``url`` is no PostgreSQL address.
    """

    def __init__(self, url: str, *, prepare: Callable[[Connection, str], None]) -> None:
        """``prepare`` gets each new connection and the name of the database for people."""
        self._conninfo = _with_defaults(url)
        self.where = _where(self._conninfo)
        self._prepare = prepare
        self._connection: Connection | None = None

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Give the connection; after an error the next use makes a new one.

        Raises:
            StorageError: the server can't be reached, does not answer, or refuses.
        """
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._watched(self._connection):
                yield self._connection
        except StorageError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; harmless when there is none."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True, client_encoding="utf8")
        except psycopg.Error as error:
            raise plain_error(error, self.where) from error
        try:
            connection.adapters.register_dumper(str, _TextDumper)
            with self._watched(connection):
                connection.execute(_SETTINGS)
                self._prepare(connection, self.where)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _watched(self, connection: Connection) -> Iterator[None]:
        """Break the connection off when the server stops answering; give errors plain words."""
        watch = _Watch(connection, self._answers)
        try:
            with watch:
                yield
        except psycopg.Error as error:
            if watch.broke_off:
                text = f"{self.where} does not answer. Look whether the server runs."
                raise StorageError(text) from error
            raise plain_error(error, self.where) from error

    def _answers(self) -> bool:
        """Tell whether the server still takes connections."""
        try:
            psycopg.connect(self._conninfo).close()
        except psycopg.Error:
            return False
        return True


class _Watch:
    """Asks, while a statement takes long, whether the server is still there.

    A stopped server keeps its connections open and even confirms what is sent to it, so no
    time-out of the network helps; a limit for statements would end long work that is well.
    """

    def __init__(self, connection: Connection, answers: Callable[[], bool]) -> None:
        self.broke_off = False
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._answers = answers
        self._done = threading.Event()
        self._deciding = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="postgres watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        with self._deciding:
            self._done.set()

    def _run(self) -> None:
        # The socket is a duplicate: closing it leaves the connection as it is.
        with self._socket:
            while not self._done.wait(PATIENCE):
                if self._answers():
                    continue
                with self._deciding:
                    if not self._done.is_set():
                        self.broke_off = True
                        self._socket.shutdown(socket.SHUT_RDWR)
                return


def _with_defaults(url: str) -> str:
    try:
        return make_conninfo(**(_DEFAULTS | conninfo_to_dict(url)))
    except psycopg.Error:
        # What libpq says about it repeats parts of it, and the password may be among them.
        raise OwnerError(
            "The URL of the store is no PostgreSQL address. Write [store] url = "
            '"postgresql://USER:PASSWORD@HOST:5432/DATABASE".'
        ) from None


def _where(conninfo: str) -> str:
    """Return what people call the database: without user and password."""
    parts = conninfo_to_dict(conninfo)
    host, port = parts.get("host") or "this machine", parts.get("port")
    place = f"{host}:{port}" if port and not str(host).startswith("/") else host
    name = f" {parts['dbname']}" if parts.get("dbname") else ""
    return f"the PostgreSQL database{name} at {place}"
