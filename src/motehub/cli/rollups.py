"""Commands for what readings are summed up to, by minute, hour and day."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from motehub.cli.options import data_option
from motehub.errors import MotehubError

_TURN_SECONDS: Final = 0.1
"""Pause between two steps: a running hub gets its turn to write."""


@click.group("rollups")
def group() -> None:
    """Look after the sums by minute, hour and day that long charts are drawn from."""


@group.command()
@data_option
def rebuild(data: Path) -> None:
    """Make all rollups again from the readings, beside a running hub or without one.

    May be interrupted and started again: it goes on where it was.
    """
    import time
    from contextlib import closing

    from motehub.cli.opening import check_history, configuration_of
    from motehub.cli.progress import Bar
    from motehub.storage import open_store

    check_history(data)
    configuration = configuration_of(data)
    with closing(open_store(configuration)) as store, Bar("readings") as bar:
        total, done = store.begin_rebuild(), 0
        try:
            while some := store.rebuild_some():
                done += some
                bar.show("Summing up", done, total)
                time.sleep(_TURN_SECONDS)
        except (KeyboardInterrupt, MotehubError):
            click.echo("Interrupted. To go on, start it again, or the hub.", err=True)
            raise
    click.echo(f"Summed up {done:,} readings by minute, hour and day.")
