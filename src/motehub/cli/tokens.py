"""``motehub token``: keys for programs and devices that speak HTTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from motehub.cli.options import Format, data_option, format_option, read_secret
from motehub.errors import OwnerError
from motehub.model import MICROSECONDS, Scope
from motehub.quantities import Duration

COLUMNS: Final = ("name", "scopes", "devices", "created", "expires")

_SCOPES: Final = ", ".join(scope.value for scope in Scope)


def _parse_scopes(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> tuple[Scope, ...]:
    scopes = {scope.value: scope for scope in Scope}
    words = [word.strip() for value in values for word in value.split(",")]
    for word in words:
        if word not in scopes:
            raise click.BadParameter(f"{word!r} is no scope. The scopes are {_SCOPES}.")
    return tuple(scopes[word] for word in words)


def _parse_expiry(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> int | None:
    """Return the UTC microseconds that lie ``value`` ahead."""
    if value is None:
        return None
    try:
        return round((time.time() + Duration.parse(value)) * MICROSECONDS)
    except OwnerError as error:
        raise click.BadParameter(f"{error}.") from None


@click.group("token")
def group() -> None:
    """Create, list and revoke keys for programs and devices that speak HTTP."""


@group.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    metavar="SCOPE,…",
    multiple=True,
    default=(Scope.WRITE.value,),
    callback=_parse_scopes,
    help=f"What it is good for: {_SCOPES} (which is all of them); write if not given.",
)
@click.option(
    "--device",
    "devices",
    metavar="DEVICE",
    multiple=True,
    help="Bind it to this device; may be repeated. Without it, the token is good for all.",
)
@click.option(
    "--expires", metavar="TIME", callback=_parse_expiry, help="How long it is good: '90d', '1y'."
)
@click.option(
    "--existing-key",
    is_flag=True,
    help="Read the key from standard input: one that devices have already.",
)
@data_option
def create(
    name: str,
    scopes: tuple[Scope, ...],
    devices: tuple[str, ...],
    expires: int | None,
    existing_key: bool,
    data: Path,
) -> None:
    """Make a token and print it, alone and only now: it is not kept."""
    from motehub import data_folder
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.control import CreateToken

    key = read_secret("key") if existing_key else None
    is_new = not data_folder.exists(data, "journal.db")
    secret = tell_hub(data, CreateToken(name, scopes, devices, key, expires), make=True)["secret"]
    if is_new:
        click.echo(f"No hub has run on {data} yet; the first one will know the token.", err=True)
    if existing_key:
        click.echo(f"The token {shown(name)} is made; its key is the one that was read.", err=True)
    else:
        click.echo(secret)
        click.echo("Keep it now: it can't be shown again.", err=True)


@group.command("list")
@data_option
@format_option
def list_tokens(data: Path, format_: Format) -> None:
    """List the tokens that are not revoked; their secrets are not kept."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import print_rows
    from motehub.control import ListTokens

    tokens = tell_hub(data, ListTokens())["tokens"]
    if format_ is Format.TABLE:
        for token in tokens:
            token["devices"] = token["devices"] or "all"
            token["expires"] = token["expires"] or "never"
    print_rows(COLUMNS, tokens, format_, empty="There is no token: 'motehub token create'.")


@group.command()
@click.argument("name")
@data_option
def revoke(name: str, data: Path) -> None:
    """Refuse a token from now on."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.control import RevokeToken

    result = tell_hub(data, RevokeToken(name))
    click.echo(f"The token {shown(result['name'])} is revoked.")
