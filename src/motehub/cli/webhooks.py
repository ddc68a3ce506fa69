"""``motehub webhooks``: who is told what happens, what came of it, and telling them again."""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from pathlib import Path
from typing import Final

import click

from motehub.cli.options import Format, data_option, format_option, limit_option
from motehub.errors import OwnerError

COLUMNS: Final = (
    "name",
    "address",
    "kind",
    "waiting",
    "delivered",
    "failed",
    "given_up",
    "dropped",
    "replaced",
    "last_success",
    "last_failure",
    "trouble",
)
LOG_COLUMNS: Final = (
    "time",
    "endpoint",
    "message",
    "type",
    "attempt",
    "status",
    "outcome",
    "milliseconds",
    "state",
)

_SECRET_BYTES: Final = 32
_TEST_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1


@click.group("webhooks")
def group() -> None:
    """List webhooks, look at their deliveries, send again, test."""


@group.command("list")
@data_option
@format_option
def list_webhooks(data: Path, format_: Format) -> None:
    """List who is told what happens, with counts and the last trouble."""
    from msgspec.structs import asdict

    from motehub.cli.opening import check_folder
    from motehub.cli.printing import print_rows
    from motehub.webhooks import desk

    check_folder(data)
    rows = [asdict(one) for one in desk.endpoints(data)]
    empty = "There is no webhook: write a section [[webhook]] in the configuration."
    print_rows(COLUMNS, rows, format_, empty)


@group.command()
@click.argument("name", required=False)
@limit_option
@data_option
@format_option
def log(name: str | None, limit: int, data: Path, format_: Format) -> None:
    """Show the newest deliveries and failures, of one webhook or of all."""
    from msgspec.structs import asdict

    from motehub.cli.opening import check_folder
    from motehub.cli.printing import print_rows
    from motehub.webhooks import desk
    from motehub.webhooks.endpoints import BASE

    check_folder(data)
    rows = [asdict(one) for one in desk.log(data, name, limit)]
    kinds = {one.kind for one in desk.endpoints(data) if name in (None, one.name)}
    empty = "Nothing has been sent yet."
    if kinds == {BASE}:
        empty = "Nothing has failed. What a dashboard has taken is counted, not listed."
    print_rows(LOG_COLUMNS, rows, format_, empty)


@group.command()
@click.argument("name")
@click.argument("message", required=False)
@data_option
def resend(name: str, message: str | None, data: Path) -> None:
    """Send a message again that is over, or without MESSAGE all that were given up."""
    from motehub.cli.opening import check_folder
    from motehub.webhooks import desk

    check_folder(data)
    count = desk.resend(data, name, message, time.time_ns() // 1000)
    waits = "" if _is_running(data) else " when the hub runs"
    click.echo(f"{count} {'message goes' if count == 1 else 'messages go'} out again{waits}.")


@group.command()
@click.argument("name")
@data_option
def test(name: str, data: Path) -> None:
    """Have the running hub send a test, and say what came of it; exit status 1 when it failed."""
    from motehub.cli.opening import check_folder
    from motehub.cli.printing import shown
    from motehub.webhooks import desk

    check_folder(data)
    if not _is_running(data):
        raise OwnerError(f"No hub runs on {data}, and it is the hub that sends. Start it first.")
    key = desk.begin_test(data, name, time.time_ns() // 1000)
    deadline = time.monotonic() + _TEST_SECONDS
    while (result := desk.result_of(data, name, key)) is None:
        if time.monotonic() > deadline:
            raise OwnerError(
                f"{name} was not asked within {_TEST_SECONDS:.0f} s: other messages fail before "
                "it. 'motehub webhooks log' shows them."
            )
        time.sleep(_LOOK_SECONDS)
    if result.outcome != "delivered":
        raise OwnerError(f"The test did not arrive: {shown(result.outcome)}.")
    click.echo(f"The test arrived: {result.status} after {result.milliseconds} ms ({key}).")


@group.command()
def secret() -> None:
    """Print a new secret for a section [[webhook]] and its receiver."""
    from motehub.webhooks.signing import PREFIX

    click.echo(PREFIX + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode())


def _is_running(data: Path) -> bool:
    from motehub.control import answers

    return answers(data)
