"""The command line: commands parse, call and print; they hold no logic."""

from __future__ import annotations

import sys

import typer

from motehub.cli import certs, devices, look, serve, tools
from motehub.errors import ConfigurationError, MotehubError

app = typer.Typer(
    name="motehub",
    help="A self-hosted hub for home-made sensors and boards.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
serve.register(app)
look.register(app)
tools.register(app)
app.add_typer(devices.app, name="devices")
app.add_typer(certs.app, name="certs")


def main() -> None:
    """Run the command that the arguments name; exit 0 ok, 1 failed, 2 usage or configuration."""
    try:
        app()
    except ConfigurationError as error:
        _fail(str(error), 2)
    except MotehubError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        sys.stderr.close()
        sys.exit(0)


def _fail(sentence: str, status: int) -> None:
    sys.stderr.write(f"motehub: {sentence}\n")
    sys.exit(status)
