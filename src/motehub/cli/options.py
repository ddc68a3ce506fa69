"""Options that several commands share, and how a command ends."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="MOTEHUB_DATA",
        help="Folder in which the hub keeps its data.",
    ),
]
"""``--data DIR``: the hub's data folder, default ``./motehub-data`` or ``MOTEHUB_DATA``."""

DEFAULT_DATA = Path("motehub-data")

DataOverride = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="MOTEHUB_DATA",
        help="Folder of all data; wins over the configuration. [default: motehub-data]",
    ),
]
"""``--data DIR`` of commands that read a configuration: wins over its ``hub.data_dir``."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="MOTEHUB_CONFIG", help="Configuration file."),
]
"""``--config FILE``; without one, every device listener runs on its default port."""


class Format(enum.Enum):
    """How a command prints what it found."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="table for people, or csv, json.")]

SinceOption = Annotated[
    str, typer.Option("--since", metavar="TIME", help="'24h', '7d', a date or an ISO 8601 time.")
]
