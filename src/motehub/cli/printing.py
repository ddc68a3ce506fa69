"""Printing rows as a table for people, or as CSV or JSON for programs."""

from __future__ import annotations

import csv
import json
import sys
import unicodedata
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from motehub.cli.options import Format
from motehub.model import MICROSECONDS, plain_number

_TIMES: Final = frozenset(
    {"time", "first_seen", "last_seen", "created", "expires", "last_success", "last_failure"}
)
# These come as ISO 8601 from those who also answer programs.
_MOMENTS: Final = _TIMES | {"acknowledged", "began", "ended", "last", "noticed", "snoozed_until"}
# How a formula begins in a spreadsheet.
_FORMULA: Final = ("=", "+", "-", "@")

Row = dict[str, Any]


def iso_time(time: int) -> str:
    """Return UTC microseconds as ISO 8601 with a Z."""
    return datetime.fromtimestamp(time / MICROSECONDS, UTC).isoformat().replace("+00:00", "Z")


def local_time(time: int) -> str:
    """Return UTC microseconds as people on this machine write them."""
    return f"{datetime.fromtimestamp(time / MICROSECONDS).astimezone():%Y-%m-%d %H:%M:%S}"


def local_moment(text: str) -> str:
    """Return an ISO 8601 time with a zone as people on this machine write it."""
    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        # In no calendar here.
        return text


def shown(text: str) -> str:
    r"""Return ``text`` with what can't be seen written as an escape: ``\x1b``, ``\u202e``.

    Devices choose what they send: on a terminal, control characters would act, and
    bidirectional ones would make it read as something else.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_visible(c) else c.encode("unicode_escape").decode() for c in text)


def print_json(encoded: bytes) -> None:
    r"""Print JSON, indented; what can't be seen in its texts is escaped as ``\u....``."""
    # JSON lets C1 and bidirectional controls stand in texts; the rest of it is ASCII.
    lines = msgspec.json.format(encoded, indent=2).decode().split("\n")
    escaped = (
        "".join(c if _is_visible(c) else json.dumps(c)[1:-1] for c in line) for line in lines
    )
    sys.stdout.write("\n".join(escaped) + "\n")


def print_rows(
    columns: Sequence[str],
    rows: Sequence[Row],
    format_: Format,
    empty: str,
    *,
    not_in_table: Collection[str] = (),
) -> None:
    """Print ``rows``; in a table times are local, elsewhere UTC.

    ``columns`` are the keys of every row, and the header of CSV. ``empty`` is said instead of a
    table without rows; keys ``not_in_table`` are for programs.
    """
    if format_ is Format.JSON:
        found = [{key: _for_program(key, value) for key, value in row.items()} for row in rows]
        print_json(msgspec.json.encode(found))
    elif format_ is Format.CSV:
        _print_csv(columns, rows)
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


def _print_csv(columns: Sequence[str], rows: Sequence[Row]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_csv_cell(_for_program(key, row[key])) for key in columns)


def _csv_cell(value: Any) -> Any:
    """Return a cell as text that is only text: a spreadsheet would compute ``=1+2``."""
    if isinstance(value, list):
        value = _joined(value)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_visible(character: str) -> bool:
    # A space that is not the usual one is visible enough.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _print_table(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for key, value in rows[0].items():
        is_number = type(value) in (int, float) and key not in _TIMES
        justify: Literal["left", "right"] = "right" if is_number else "left"
        # A payload that is cut off with an ellipsis is no evidence.
        table.add_column(key.replace("_", " "), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(_for_person(key, value))) for key, value in row.items()))
    # A pipe gets whole lines; only a terminal has a width to fold them to.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    console.print(table)


def _is_time(key: str, value: Any) -> bool:
    # Some have no time: a token that never expires.
    return key in _TIMES and isinstance(value, int)


def _joined(values: list[Any]) -> str:
    return " ".join(plain_number(one) if isinstance(one, float) else one for one in values)


def _for_program(key: str, value: Any) -> Any:
    return iso_time(value) if _is_time(key, value) else value


def _for_person(key: str, value: Any) -> str:
    if _is_time(key, value):
        return local_time(value)
    if key in _MOMENTS and isinstance(value, str):
        return local_moment(value)
    if isinstance(value, list):
        return _joined(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
