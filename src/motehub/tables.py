"""What a whole history consists of: the tables that a copy of it takes over, in any store."""

from __future__ import annotations

from typing import Any, Final

import msgspec

Row = tuple[Any, ...]


class Table(msgspec.Struct, frozen=True):
    """Columns of a table; the first ``key`` of them tell its rows apart and give their order."""

    columns: tuple[str, ...]
    key: int = 1


_READING: Final = Table(("series", "time", "value"), 2)
_ROLLUP: Final = Table(("series", "start", "count", "low", "high", "total", "last_time", "last"), 2)

_STATES: Final = Table(
    (
        "series",
        "start",
        "count",
        "changes",
        "first_time",
        "first",
        "last_time",
        "last",
        "durations",
    ),
    2,
)

TABLES: Final[dict[str, Table]] = {
    "device": Table(
        (
            "id",
            "name",
            "dialect",
            "admission",
            "first_seen",
            "last_seen",
            "received",
            "stored",
            "duplicate",
            "rejected",
            "discarded",
            "online",
        )
    ),
    "identity": Table(("identity", "device")),
    "device_hour": Table(
        ("device", "start", "received", "stored", "duplicate", "rejected", "discarded"), 2
    ),
    "hub_away": Table(("since", "until")),
    "series": Table(("id", "device", "metric", "unit", "kind")),
    "spared_newest": Table(("series", "time", "value")),
    "reading": _READING,
    "reading_minute": _ROLLUP,
    "reading_hour": _ROLLUP,
    "reading_day": _ROLLUP,
    "reading_unrolled": Table(("series", "since")),
    "reading_settled": Table(("until", "next", "series")),
    "reading_kept": Table(("series", "raw", "minute", "hour", "day")),
    "archive_file": Table(("id", "name", "since", "until", "count", "size", "checksum")),
    "archive_part": Table(("series", "file", "since", "until", "count"), 2),
    "state_number": Table(("series",)),
    "state_minute": _STATES,
    "state_hour": _STATES,
    "state_day": _STATES,
    "text": _READING,
    "held_reading": _READING,
    "held_text": _READING,
    "event": Table(("id", "device", "time", "kind", "text")),
    "rejected": Table(("id", "device", "source", "time", "reason", "payload", "count")),
}
"""Every table of a history but its cursor; one is filled after those that it refers to."""

PAGE: Final = 20_000
"""Rows that a store gives or takes at a time."""


def page_query(table: str, stored_as: str, mark: str, *, first: bool) -> str:
    """Return the query for a page of a table, in the order of its key.

    Its bindings, written as ``mark``, are the key after which the page begins (unless it is the
    ``first``), and how many rows it may have. Texts must be compared by their bytes.
    """
    shape = TABLES[table]
    key = ", ".join(shape.columns[: shape.key])
    after = "" if first else f"WHERE ({key}) > ({', '.join([mark] * shape.key)}) "
    return f"SELECT {', '.join(shape.columns)} FROM {stored_as} {after}ORDER BY {key} LIMIT {mark}"  # noqa: S608
