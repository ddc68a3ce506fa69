"""The command line: commands parse, call and print; they hold no logic."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import click

from motehub import __version__
from motehub.cli import (
    alerts,
    archive,
    backup,
    base,
    certs,
    demo,
    devices,
    look,
    pusher,
    reports,
    retention,
    rollups,
    send,
    serve,
    simulate,
    tokens,
    tools,
    transfer,
    units,
    user,
    webhooks,
)
from motehub.errors import ConfigurationError, MotehubError

TRACE_VARIABLE: Final = "MOTEHUB_TRACE"
"""With this variable of the environment a fault of motehub shows where it happened."""

_OUTPUT_FAILED: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})


class _NobodyReads(Exception):
    """Whoever read the output has closed it."""


class _Commands(click.Group):
    """All commands."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; say when it ends because nobody reads on.

        Raises:
            _NobodyReads: click and rich would make that a failure, exit status 1.
        """
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, SystemExit) as error:
            if isinstance(error.__context__ or error, BrokenPipeError):
                raise _NobodyReads from error
            raise


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="motehub %(version)s")
def app() -> None:
    """Run and look after a self-hosted hub for home-made sensors and boards."""


for command in (
    serve.serve,
    demo.demo,
    base.base,
    serve.init,
    serve.check_config,
    devices.group,
    look.readings,
    look.plot,
    look.events,
    look.rejected,
    send.send,
    certs.group,
    tokens.group,
    user.group,
    webhooks.group,
    alerts.rules,
    alerts.alerts,
    alerts.mail,
    reports.report,
    reports.group,
    pusher.group,
    units.group,
    rollups.group,
    retention.group,
    archive.group,
    tools.status,
    tools.doctor,
    simulate.simulate,
    transfer.import_,
    transfer.export,
    transfer.migrate_store,
    backup.backup,
    backup.restore,
):
    app.add_command(command)


def main() -> None:
    """Run the command that the arguments name; exit 0 ok, 1 failed, 2 usage or configuration."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A unit such as °C must not end a command where the terminal has no such character.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run()
        sys.stdout.flush()
    except (_NobodyReads, BrokenPipeError):
        # The reader has what it wanted: motehub … | head -1
        status = 0
        _write_no_more()
    except OSError as error:
        status = _fail(f"The output can't be written: {error.strerror}.", 1)
        _write_no_more()
    sys.exit(status)


def _run() -> int:
    """Run the command and return its exit status, with a sentence for everything that failed."""
    try:
        _check_text(sys.argv[1:], os.environ)
        return app(prog_name="motehub", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _fail("Stopped.", 1)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except _NobodyReads:
        raise
    except Exception as error:
        # The last place: a hub's journal has all that was acknowledged, whatever ends it.
        return explain(error)


def explain(error: Exception) -> int:
    """Say on standard error why a command failed, and return its exit status.

    Raises:
        OSError: the output can't be written.
    """
    if isinstance(error, ConfigurationError):
        return _fail(str(error), 2)
    if isinstance(error, MotehubError):
        return _fail(str(error), 1)
    if isinstance(error, MemoryError):
        return _fail("Memory ran out. Ask for less at a time, as with --since or --limit.", 1)
    if isinstance(error, OSError):
        if error.filename is not None:
            return _fail(f"{error.filename} can't be used: {error.strerror}.", 1)
        if error.errno in _OUTPUT_FAILED:
            raise error
    return _fault(error)


def _check_text(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Refuse bytes that are no text: they could be neither printed nor stored."""
    given = {repr(one): one for one in arguments}
    given |= {key: text for key, text in environment.items() if key.startswith("MOTEHUB_")}
    for what, text in given.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{what} is not UTF-8 text: write it in UTF-8.") from None


def _fault(error: Exception) -> int:
    if os.environ.get(TRACE_VARIABLE):
        traceback.print_exception(error)
    return _fail(
        f"This is a fault of motehub: {type(error).__name__}: {str(error)[:500]}. "
        f"Set {TRACE_VARIABLE}=1 to see where, and report it.",
        1,
    )


def _fail(sentence: str, status: int) -> int:
    from motehub.cli.printing import shown

    with suppress(OSError):
        sys.stderr.write(f"motehub: {shown(' '.join(sentence.splitlines()))}\n")
    return status


def _write_no_more() -> None:
    """Let what is still in the buffer of the output go nowhere, when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
