"""Commands for old readings that were moved to files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from motehub.cli.options import Format, data_option, format_option

COLUMNS: Final = ("month", "file", "first", "last", "readings", "bytes", "sha256")


@click.group("archive")
def group() -> None:
    """Look after the files of old readings; [retention] archive makes them."""


@group.command("list")
@data_option
@format_option
def list_(data: Path, format_: Format) -> None:
    """List the files, with the first and the last reading in each."""
    from motehub.archived import month_name
    from motehub.cli.opening import history_of
    from motehub.cli.printing import print_rows
    from motehub.core.moments import iso

    with history_of(data) as (store, _):
        rows = [
            {
                "month": month_name(one.since),
                "file": one.name,
                "first": iso(one.since),
                "last": iso(one.until - 1),
                "readings": one.rows,
                "bytes": one.size,
                "sha256": one.checksum,
            }
            for one in store.archive_files()
        ]
    rows.sort(key=lambda row: str(row["first"]))
    print_rows(COLUMNS, rows, format_, empty="Nothing is archived.")


@group.command()
@data_option
def verify(data: Path) -> None:
    """Read every file and compare it with its size and checksum; exit 1 if one is not right."""
    from motehub.archive.checking import trouble_of, unknown_files
    from motehub.cli.opening import history_of
    from motehub.cli.printing import shown
    from motehub.cli.progress import Bar
    from motehub.errors import StorageError

    with history_of(data) as (store, _):
        files = store.archive_files()
    bad = 0
    with Bar("bytes") as bar:
        total, done = sum(one.size for one in files), 0
        for one in files:
            if (trouble := trouble_of(one, data)) is not None:
                click.echo(f"{shown(one.name)} {shown(trouble)}.")
                bad += 1
            done += one.size
            bar.show("Reading", done, total)
    for name in unknown_files(files, data):
        click.echo(
            f"{shown(name)} is not of this history: left over from a write that was interrupted, "
            "or from before a back-up was restored.",
            err=True,
        )
    if bad:
        raise StorageError(
            f"{bad} of {len(files)} files are not as they were written. Put them back from a "
            "back-up: nothing else has these readings."
        )
    click.echo(f"{len(files)} files are whole: {sum(one.rows for one in files):,} readings.")
