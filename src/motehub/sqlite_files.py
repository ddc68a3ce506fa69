"""How motehub opens SQLite files: settings, schema upgrades, and errors in plain words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

import apsw

from motehub.errors import DamagedDatabase, NewerSchema, StorageError

BUSY_MILLISECONDS: Final = 5_000
"""How long a statement waits for another process's lock before it fails."""


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StorageError, naming ``path``, the cause and the mend."""
    try:
        yield
    except apsw.FullError as error:
        raise StorageError(f"The disk is full: {path} can't grow. Free some space.") from error
    except (apsw.NotADBError, apsw.CorruptError) as error:
        message = f"{path} is damaged or not a database. Restore it from a backup."
        raise DamagedDatabase(message) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        message = f"{path} is locked by another program. Close that program."
        raise StorageError(message) from error
    except (apsw.ReadOnlyError, apsw.PermissionsError) as error:
        message = f"{path} can't be written: the file or its disk is read-only."
        raise StorageError(message) from error
    except apsw.CantOpenError as error:
        message = f"{path} can't be opened: check that its folder exists and may be written."
        raise StorageError(message) from error
    except apsw.IOError as error:
        raise StorageError(f"The disk failed while {path} was used: {error}.") from error
    except apsw.Error as error:
        raise StorageError(f"{path}: {error}.") from error


class SqliteFile:
    """A database of one process, open from its first use on and opened anew after an error.

    Threads may share it: one at a time has the connection.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._lock = threading.RLock()
        self._connection: apsw.Connection | None = None

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _storage(self) -> Iterator[apsw.Connection]:
        """Give the connection to one thread.

        Raises:
            StorageError: it can't be opened or used.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                with plain_errors(self._path):
                    yield self._connection
            except StorageError:
                self.close()
                raise

    def _prepare(self, connection: apsw.Connection) -> None:
        """Do what has to be done with a connection before its use."""

    def _open(self) -> apsw.Connection:
        connection = open_database(self._path, read_only=self._read_only)
        try:
            with plain_errors(self._path):
                self._prepare(connection)
        except StorageError:
            connection.close()
            raise
        return connection


def open_database(
    path: Path, *, read_only: bool = False, synchronous: str = "FULL"
) -> apsw.Connection:
    """Open ``path`` in write-ahead mode.

    Raises:
        StorageError: it can't be opened, is locked, or is not a database.
    """
    flags = (
        apsw.SQLITE_OPEN_READONLY
        if read_only
        else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    )
    with plain_errors(path):
        connection = apsw.Connection(str(path), flags=flags)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        if not read_only:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute("PRAGMA journal_size_limit=16777216")
        return connection


def upgrade_schema(connection: apsw.Connection, path: Path, package: str) -> None:
    """Bring the database to the newest numbered script of ``package`` in one transaction.

    Scripts are called ``NNNN_name.sql``; the number of the last one applied is SQLite's
    ``user_version``.

    Raises:
        NewerSchema: the file was written by a later motehub.
        StorageError: the file can't be written.
    """
    scripts = schema_scripts(package)
    newest = max(scripts)
    with plain_errors(path):
        version = schema_version(connection)
        if version > newest:
            raise NewerSchema(
                f"{path} has schema version {version}; this motehub knows {newest}. "
                "Install the motehub that wrote it, or a later one."
            )
        if version == newest:
            return
        with transaction(connection):
            for number in range(schema_version(connection) + 1, newest + 1):
                connection.execute(scripts[number])
            connection.execute(f"PRAGMA user_version={newest}")


def check_schema(connection: apsw.Connection, path: Path, package: str) -> None:
    """See that a file which is only read has what the newest script of ``package`` brings.

    Raises:
        StorageError: an earlier motehub has written it, and no later one has opened it since.
    """
    with plain_errors(path):
        version = schema_version(connection)
    if not version:
        raise StorageError(f"There is no history yet in {path}. Start the hub first.")
    if version < max(schema_scripts(package)):
        raise StorageError(
            f"{path} was written by an earlier motehub (schema version {version}). "
            "Start the hub once: it brings the file up to date."
        )


def schema_version(connection: apsw.Connection) -> int:
    """Return the number of the last schema script that was applied."""
    return int(connection.execute("PRAGMA user_version").get)


def schema_scripts(package: str) -> dict[int, str]:
    """Return the SQL of every ``NNNN_name.sql`` in ``package`` by number."""
    return {
        int(entry.name[:4]): entry.read_text("utf-8")
        for entry in files(package).iterdir()
        if entry.name.endswith(".sql")
    }


def check_database(path: Path) -> None:
    """Read the whole file and check that it hangs together.

    Raises:
        StorageError: it can't be read, or is damaged.
    """
    connection = open_database(path, read_only=True)
    try:
        with plain_errors(path):
            found = connection.execute("PRAGMA quick_check(1)").get
    finally:
        connection.close()
    if found != "ok":
        raise DamagedDatabase(f"{path} is damaged: {found}.")


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Run the block in one write transaction, rolled back when it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back by itself after some errors, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
