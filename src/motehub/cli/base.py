"""``motehub base``: a base unit alone."""

from __future__ import annotations

from pathlib import Path

import click

from motehub.cli.options import data_override


@click.command()
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="MOTEHUB_CONFIG",
    help="Configuration file with [transport.units] and [transport.pusher_client].",
)
@click.option(
    "--original-config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The config.json of the original base unit instead.",
)
@click.option(
    "--updatable",
    metavar="ADDRESS",
    multiple=True,
    help="With --original-config: a unit that may be told something; can be given several times.",
)
@data_override
def base(
    config: Path | None,
    original_config: Path | None,
    updatable: tuple[str, ...],
    data: Path | None,
) -> None:
    """Run a base unit: units here, a dashboard elsewhere; no web pages and no history.

    Readings go to the dashboard, and what it asks for goes to the units.
    """
    from motehub.base_unit import Order, become

    if original_config is not None and config is not None:
        raise click.UsageError(
            "Give --config (or MOTEHUB_CONFIG) or --original-config, not both: settings beside the "
            "original file go into the environment."
        )
    if original_config is None and updatable:
        raise click.UsageError("--updatable goes with --original-config.")
    become(Order(_text(config), _text(original_config), updatable, _text(data)))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
