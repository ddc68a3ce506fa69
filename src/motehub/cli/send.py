"""``motehub send``: commands to devices."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from motehub.cli.options import data_option
from motehub.errors import InvalidCommand, OwnerError
from motehub.quantities import Duration

if TYPE_CHECKING:
    from motehub.command import Value

_POLL_SECONDS: Final = 0.1


def _parse_value(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> Value | None:
    """Return a number, true or false as such; text that is none of them stays text."""
    import json

    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _no_number(word: str) -> float:
    """Let NaN and Infinity be text, which they are in JSON."""
    raise ValueError(word)


def _parse_seconds(_context: click.Context, _option: click.Parameter, text: str) -> float:
    try:
        return float(Duration.parse(text))
    except OwnerError as error:
        raise click.BadParameter(f"{error}.") from None


@click.command()
@click.argument("device")
@click.argument("payload", required=False)
@click.option("--name", metavar="NAME", help="What is to be set, as the device calls it: led.")
@click.option(
    "--value",
    metavar="VALUE",
    callback=_parse_value,
    help="What it is to be: a number, true, false or a text.",
)
@click.option(
    "--timeout",
    "seconds",
    metavar="TIME",
    default="60s",
    show_default=True,
    callback=_parse_seconds,
    help="How long the command may take: '10s', '1h', '7d' at most.",
)
@click.option("--wait", is_flag=True, help="Wait for its end, as it may fail or expire later.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def send(
    device: str,
    payload: str | None,
    name: str | None,
    value: Value | None,
    seconds: float,
    wait: bool,
    as_json: bool,
    data: Path,
) -> None:
    """Give a device of the running hub a command: a PAYLOAD, or --name and --value.

    Exit status 1 when it has failed or expired.
    """
    import msgspec

    from motehub.cli.opening import check_folder
    from motehub.cli.printing import print_json
    from motehub.command import checked_order
    from motehub.control import SendCommand, ask

    try:
        order = checked_order(name, value, payload)
    except InvalidCommand as error:
        raise click.UsageError(str(error)) from None
    check_folder(data)
    command = ask(data, SendCommand(device, order.name, order.value, order.payload, seconds))
    if wait:
        command = _at_its_end(data, command)
    if as_json:
        print_json(msgspec.json.encode(command))
    else:
        click.echo(_sentence(command))
    if command["state"] in ("failed", "expired"):
        raise SystemExit(1)


def _at_its_end(data: Path, command: dict[str, Any]) -> dict[str, Any]:
    """Return the command once it stays as it is; say on standard error how it goes on."""
    from motehub.control import FindCommand, ask

    while not command["over"]:
        time.sleep(_POLL_SECONDS)
        before, command = command, ask(data, FindCommand(command["id"]))
        if command["state"] != before["state"] and not command["over"]:
            click.echo(_sentence(command), err=True)
    return command


def _sentence(command: dict[str, Any]) -> str:
    from motehub.cli.printing import shown

    about = f"Command {command['id']} for {shown(command['device'])}: {command['state']}"
    return f"{about}, {shown(command['reason'])}" if command["reason"] else about
