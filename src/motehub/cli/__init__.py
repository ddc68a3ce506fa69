"""The command line: commands parse, call and print; they hold no logic."""

from __future__ import annotations

import sys

import click

from motehub import __version__
from motehub.cli import certs, devices, look, serve, tools
from motehub.errors import ConfigurationError, MotehubError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="motehub %(version)s")
def app() -> None:
    """Run and look after a self-hosted hub for home-made sensors and boards."""


for command in (
    serve.serve,
    serve.init,
    serve.check_config,
    devices.group,
    look.readings,
    look.plot,
    look.events,
    look.rejected,
    certs.group,
    tools.status,
    tools.doctor,
    tools.simulate,
):
    app.add_command(command)


def main() -> None:
    """Run the command that the arguments name; exit 0 ok, 1 failed, 2 usage or configuration."""
    try:
        app(prog_name="motehub")
    except ConfigurationError as error:
        _fail(str(error), 2)
    except MotehubError as error:
        _fail(str(error), 1)


def _fail(sentence: str, status: int) -> None:
    sys.stderr.write(f"motehub: {sentence}\n")
    sys.exit(status)
