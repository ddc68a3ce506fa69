"""The schema of the history in PostgreSQL: how it is brought up to date, and checked."""

from __future__ import annotations

from typing import Final

from motehub.errors import NewerSchema, OwnerError, StorageError
from motehub.sqlite_files import schema_scripts
from motehub.stores._postgres_connection import Connection
from motehub.stores._postgres_fold import STAGING

_UPGRADE_LOCK: Final = int.from_bytes(b"motehub", "big")


def make_ready(db: Connection, where: str) -> None:
    """Bring the schema to the newest version in one transaction, and prepare for folds.

    Raises:
        NewerSchema: a later motehub has written it.
        OwnerError: the database is not in UTF-8.
    """
    scripts = schema_scripts("motehub.stores.schema.postgres")
    newest = max(scripts)
    # A writer that lasts for years sees to its part of the schema again at each connection.
    with db.transaction():
        # A hub and a command may come at the same time.
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_UPGRADE_LOCK,))
        version = _version(db)
        _refuse_newer(version, newest, where)
        if not version:
            _check_encoding(db, where)
            db.execute("CREATE TABLE motehub_schema (version integer NOT NULL)")
            db.execute("INSERT INTO motehub_schema VALUES (0)")
        for number in range(version + 1, newest + 1):
            db.execute(scripts[number])
        if version < newest:
            db.execute("UPDATE motehub_schema SET version = %s", (newest,))
    db.execute(STAGING)


def check_schema(db: Connection, where: str) -> None:
    """See that this motehub can read what is there, and let the session write nothing.

    Raises:
        NewerSchema: a later motehub has written it.
        StorageError: an earlier one has, and no later one has opened it since.
    """
    db.execute("SET default_transaction_read_only = on")
    version = _version(db)
    newest = max(schema_scripts("motehub.stores.schema.postgres"))
    _refuse_newer(version, newest, where)
    if not version:
        raise StorageError(f"There is no history yet in {where}. Start the hub first.")
    if version < newest:
        raise StorageError(
            f"{where.capitalize()} was written by an earlier motehub (schema version {version}). "
            "Start the hub once: it brings it up to date."
        )


def _version(db: Connection) -> int:
    """Return the number of the last schema script that was applied; 0 when none was."""
    row = db.execute("SELECT to_regclass('motehub_schema')").fetchone()
    if row is None or row[0] is None:
        return 0
    row = db.execute("SELECT version FROM motehub_schema").fetchone()
    return 0 if row is None else int(row[0])


def _refuse_newer(version: int, newest: int, where: str) -> None:
    if version > newest:
        raise NewerSchema(
            f"{where.capitalize()} has schema version {version}; this motehub knows {newest}. "
            "Install the motehub that wrote it, or a later one."
        )


def _check_encoding(db: Connection, where: str) -> None:
    encoding = db.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise OwnerError(
            f"Texts in {where} are in {encoding}, which can't hold every character. "
            "Make a database with ENCODING 'UTF8' TEMPLATE template0."
        )
