"""Printing rows as a table for people, or as CSV or JSON for programs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from motehub.cli.options import Format
from motehub.model import MICROSECONDS

_TIMES: Final = frozenset({"time", "first_seen", "last_seen"})

Row = dict[str, Any]


def iso_time(time: int) -> str:
    """Return UTC microseconds as ISO 8601 with a Z."""
    return datetime.fromtimestamp(time / MICROSECONDS, UTC).isoformat().replace("+00:00", "Z")


def local_time(time: int) -> str:
    """Return UTC microseconds as people on this machine write them."""
    return f"{datetime.fromtimestamp(time / MICROSECONDS).astimezone():%Y-%m-%d %H:%M:%S}"


def print_rows(
    rows: Sequence[Row], format_: Format, empty: str, *, not_in_table: Collection[str] = ()
) -> None:
    """Print ``rows``, which have the same keys; in a table times are local, elsewhere UTC.

    ``empty`` is said instead of a table without rows; keys ``not_in_table`` are for programs.
    """
    if format_ is Format.JSON:
        shown = [{key: _for_program(key, value) for key, value in row.items()} for row in rows]
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")
    elif format_ is Format.CSV:
        _print_csv(rows)
    elif rows:
        _print_table([{k: v for k, v in row.items() if k not in not_in_table} for row in rows])
    else:
        sys.stderr.write(empty + "\n")


def warn_incomplete(complete: bool) -> None:
    """Say when the history does not have everything yet."""
    if not complete:
        sys.stderr.write(
            "motehub: the history is behind the journal; the newest readings are not shown. "
            "'motehub doctor' tells why.\n"
        )


def _print_csv(rows: Sequence[Row]) -> None:
    if not rows:
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            " ".join(value) if isinstance(value, list) else _for_program(key, value)
            for key, value in row.items()
        )


def _print_table(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for key, value in rows[0].items():
        is_number = isinstance(value, int | float) and key not in _TIMES
        table.add_column(key.replace("_", " "), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Text(_for_person(key, value)) for key, value in row.items()))
    # A pipe gets whole lines; only a terminal has a width to fold them to.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    console.print(table)


def _for_program(key: str, value: Any) -> Any:
    return iso_time(value) if key in _TIMES else value


def _for_person(key: str, value: Any) -> str:
    if key in _TIMES:
        return local_time(value)
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
