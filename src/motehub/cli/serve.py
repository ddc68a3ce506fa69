"""Commands that run a hub or prepare its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from motehub.cli.options import ConfigOption, DataOverride
from motehub.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(serve)
    app.command()(init)
    app.command("check-config")(check_config)


def serve(
    config: ConfigOption = None,
    data: DataOverride = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Accept unknown devices at once (trusted network).")
    ] = False,
) -> None:
    """Run the hub until it is stopped."""
    import asyncio
    import sys

    from motehub import config as configuration
    from motehub.app import serve as run
    from motehub.logs import set_up_logs

    settings = configuration.load(config, data_dir=data, admission="open" if open_ else None)
    set_up_logs(sys.stderr, settings.hub.log_level)
    asyncio.run(run(settings, typer.echo))


def init(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="File to write; - prints it.")
    ] = Path("motehub.toml"),
) -> None:
    """Write a configuration file that has every setting with its default and what it means."""
    from motehub.config_sample import sample

    if str(file) == "-":
        typer.echo(sample(), nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(sample())
    except FileExistsError:
        raise ConfigurationError(f"{file} exists already. Name another file.") from None
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror}.") from error
    typer.echo(f"Wrote {file}. Check it with: motehub check-config --config {file}")


def check_config(config: ConfigOption = None, data: DataOverride = None) -> None:
    """Check the configuration file and the environment, and print what is in force."""
    import msgspec

    from motehub import config as configuration

    settings = configuration.load(config, data_dir=data)
    typer.echo(msgspec.json.format(configuration.to_json(settings), indent=2).decode())
