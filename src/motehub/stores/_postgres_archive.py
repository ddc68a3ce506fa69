"""What the history in PostgreSQL knows of its archive: :class:`motehub.archived.ArchiveNotes`."""

from __future__ import annotations

from collections.abc import Sequence

from motehub.archived import ArchiveFile, ArchivePart
from motehub.model import Kind, Series
from motehub.stores._postgres_connection import Connection


def files(db: Connection) -> list[ArchiveFile]:
    """Return all files, in the order in which they were noted."""
    query = "SELECT name, since, until, count, size, checksum FROM archive_file ORDER BY id"
    return [ArchiveFile(*row) for row in db.execute(query)]


def parts(db: Connection, series: int, since: int, until: int) -> list[ArchivePart]:
    """Return what files have of a series in ``[since, until)``, by where that begins."""
    return [
        ArchivePart(*row)
        for row in db.execute(
            "SELECT name, part.series, part.since, part.until, part.count "
            "FROM archive_part AS part JOIN archive_file ON archive_file.id = part.file "
            "WHERE part.series = %s AND part.until > %s AND part.since < %s "
            "ORDER BY part.since, part.file",
            (series, since, until),
        )
    ]


def note(db: Connection, file: ArchiveFile, parts: Sequence[ArchivePart]) -> None:
    """Note a file, unless it is noted already."""
    row = db.execute(
        "INSERT INTO archive_file SELECT coalesce(max(id), 0) + 1, %s, %s, %s, %s, %s, %s "
        "FROM archive_file ON CONFLICT DO NOTHING RETURNING id",
        (file.name, file.since, file.until, file.rows, file.size, file.checksum),
    ).fetchone()
    if row is not None:
        db.cursor().executemany(
            "INSERT INTO archive_part SELECT id, %s, %s, %s, %s FROM series WHERE id = %s",
            [(row[0], one.since, one.until, one.rows, one.series) for one in parts],
        )


def first_time(db: Connection, series: Series, since: int) -> int | None:
    """Return the time of the first reading, or text, at ``since`` or later."""
    table = "text_reading" if series.kind is Kind.TEXT else "reading"
    query = f"SELECT min(time) FROM {table} WHERE series = %s AND time >= %s"
    row = db.execute(query.encode(), (series.id, since)).fetchone()
    return None if row is None or row[0] is None else int(row[0])
