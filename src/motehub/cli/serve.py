"""Commands that run a hub or prepare its configuration."""

from __future__ import annotations

from pathlib import Path

import click

from motehub.cli.options import config_option, data_override
from motehub.errors import ConfigurationError


@click.command()
@config_option
@data_override
@click.option("--open", "open_", is_flag=True, help="Accept unknown devices (trusted network).")
def serve(config: Path | None, data: Path | None, open_: bool) -> None:
    """Run the hub until it is stopped."""
    import asyncio
    import sys

    from motehub import config as configuration
    from motehub.app import serve as run
    from motehub.logs import set_up_logs

    settings = configuration.load(config, data_dir=data, admission="open" if open_ else None)
    set_up_logs(sys.stderr, settings.hub.log_level)
    asyncio.run(run(settings, click.echo))


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("motehub.toml"))
def init(file: Path) -> None:
    """Write a configuration that has every setting, with its default and what it means.

    FILE is motehub.toml if not given; - prints it.
    """
    from motehub.config_sample import sample

    if str(file) == "-":
        click.echo(sample(), nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(sample())
    except FileExistsError:
        raise ConfigurationError(f"{file} exists already. Name another file.") from None
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror}.") from error
    click.echo(f"Wrote {file}. Check it with: motehub check-config --config {file}")


@click.command("check-config")
@config_option
@data_override
def check_config(config: Path | None, data: Path | None) -> None:
    """Check the configuration file and the environment, and print what is in force."""
    from motehub.cli.printing import print_json
    from motehub.config import load
    from motehub.config_shown import to_json

    print_json(to_json(load(config, data_dir=data)))
