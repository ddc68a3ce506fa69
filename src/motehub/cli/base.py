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
    import asyncio
    import sys

    from motehub import config as configuration
    from motehub.base import serve_base
    from motehub.logs import set_up_logs

    if original_config is None:
        if updatable:
            raise click.UsageError("--updatable goes with --original-config.")
        settings = configuration.load(config, data_dir=data)
    else:
        from motehub.original_config import read_original

        tree, unknown = read_original(original_config, updatable)
        if unknown:
            names = ", ".join(unknown[:10])
            click.echo(f"{original_config}: without meaning here: {names}", err=True)
        settings = configuration.load_tree(tree, str(original_config), data_dir=data)
    set_up_logs(sys.stderr, settings.hub.log_level)
    asyncio.run(serve_base(settings, click.echo))
