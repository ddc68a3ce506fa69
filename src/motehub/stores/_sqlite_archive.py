"""What the history in SQLite knows of its archive; see :class:`motehub.archived.ArchiveNotes`."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from motehub.archived import ArchiveFile, ArchivePart
from motehub.model import Kind, Series


def files(db: apsw.Connection) -> list[ArchiveFile]:
    """Return all files, in the order in which they were noted."""
    query = "SELECT name, since, until, count, size, checksum FROM archive_file ORDER BY id"
    return [ArchiveFile(*row) for row in db.execute(query)]


def parts(db: apsw.Connection, series: int, since: int, until: int) -> list[ArchivePart]:
    """Return what files have of a series in ``[since, until)``, by where that begins."""
    return [
        ArchivePart(*row)
        for row in db.execute(
            "SELECT name, part.series, part.since, part.until, part.count "
            "FROM archive_part AS part JOIN archive_file ON archive_file.id = part.file "
            "WHERE part.series = ? AND part.until > ? AND part.since < ? "
            "ORDER BY part.since, part.file",
            (series, since, until),
        )
    ]


def note(db: apsw.Connection, file: ArchiveFile, parts: Sequence[ArchivePart]) -> None:
    """Note a file, unless it is noted already."""
    number = db.execute(
        "INSERT OR IGNORE INTO archive_file "
        "SELECT coalesce(max(id), 0) + 1, ?, ?, ?, ?, ?, ? FROM archive_file RETURNING id",
        (file.name, file.since, file.until, file.rows, file.size, file.checksum),
    ).get
    if number is not None:
        db.executemany(
            "INSERT INTO archive_part SELECT id, ?, ?, ?, ? FROM series WHERE id = ?",
            [(number, one.since, one.until, one.rows, one.series) for one in parts],
        )


def first_time(db: apsw.Connection, series: Series, since: int) -> int | None:
    """Return the time of the first reading, or text, at ``since`` or later."""
    table = "text" if series.kind is Kind.TEXT else "reading"
    query = f"SELECT min(time) FROM {table} WHERE series = ? AND time >= ?"
    found = db.execute(query, (series.id, since)).get
    return None if found is None else int(found)
