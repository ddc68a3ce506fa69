"""Options that several commands share."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

DEFAULT_DATA: Final = Path("motehub-data")

MOST_ROWS: Final = 1_000_000
"""Highest ``--limit``."""


# Far more than a secret may have.
_MOST_INPUT: Final = 4096


class Format(enum.Enum):
    """How a command prints what it found."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


# That it can't be read is said where it is opened, with what to do.
_FOLDER: Final = click.Path(readable=False, path_type=Path)

data_option = click.option(
    "--data",
    metavar="DIR",
    type=_FOLDER,
    envvar="MOTEHUB_DATA",
    default=DEFAULT_DATA,
    show_default=True,
    help="Folder in which the hub keeps its data.",
)
"""``--data DIR``: the hub's data folder, default ``./motehub-data`` or ``MOTEHUB_DATA``."""

data_override = click.option(
    "--data",
    metavar="DIR",
    type=_FOLDER,
    envvar="MOTEHUB_DATA",
    help="Folder of all data; wins over the configuration.  [default: motehub-data]",
)
"""``--data DIR`` of commands that read a configuration: wins over its ``hub.data_dir``."""

config_option = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="MOTEHUB_CONFIG",
    help="Configuration file; without one, every device listener runs on its default port.",
)
"""``--config FILE``; without one, every device listener runs on its default port."""

format_option = click.option(
    "--format",
    "format_",
    type=click.Choice([one.value for one in Format]),
    default=Format.TABLE.value,
    callback=lambda _context, _option, value: Format(value),
    help="table for people (the default), csv or json for programs.",
)
"""``--format table|csv|json``."""

since_option = click.option(
    "--since",
    metavar="TIME",
    default="24h",
    show_default=True,
    help="'24h', '7d', a date or an ISO 8601 time.",
)
"""``--since TIME``; see ``motehub.cli.opening.parse_since``."""

limit_option = click.option(
    "--limit", type=click.IntRange(1, MOST_ROWS), default=50, show_default=True, help="Most rows."
)
"""``--limit N``."""


def with_options(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Return what gives a command all of ``options``, in their order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def given_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return of options of a definition those that were given; many are a list."""
    lists = {key: list(one) for key, one in given.items() if isinstance(one, tuple) and one}
    return {k: v for k, v in given.items() if v is not None and not isinstance(v, tuple)} | lists


about_devices = (
    click.option(
        "--device", "devices", multiple=True, metavar="NAME", help="Only this; '*' = any text."
    ),
    click.option(
        "--label", "labels", multiple=True, metavar="LABEL", help="Only devices with this."
    ),
)
"""``--device NAME`` and ``--label LABEL``: which devices a definition is about."""


def read_secret(what: str, *, twice: bool = False) -> str:
    """Return a secret that is typed unseen, ``twice`` if it is new, or standard input's one line.

    Raises:
        click.UsageError: standard input is not one line of text.
    """
    if sys.stdin.isatty():
        prompt = what.capitalize()
        return str(click.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True))
    # Not with readline(): more than one line is a mistake that should not pass unseen.
    raw = sys.stdin.buffer.read(_MOST_INPUT)
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1 or len(raw) == _MOST_INPUT:
        raise click.UsageError(f"Standard input has to hold the {what}, as one line of text.")
    return lines[0]
