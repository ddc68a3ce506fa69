"""``motehub user``: the people who may log in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from motehub.cli.options import Format, data_option, format_option, read_secret

COLUMNS: Final = ("name", "role", "created", "invited", "email")

_ROLES: Final = ("viewer", "operator", "admin")
role_option = click.option(
    "--role",
    type=click.Choice(_ROLES),
    default="viewer",
    show_default=True,
    help="viewer (sees), operator (commands devices too), admin (decides everything).",
)


@click.group("user")
def group() -> None:
    """Add, list, change and remove the people who may log in."""


@group.command()
@click.argument("name")
@role_option
@click.option("--invite", is_flag=True, help="Print an invitation instead of asking a password.")
@click.option("--email", default="", help="Where a link to choose another password goes.")
@data_option
def add(name: str, role: str, invite: bool, email: str, data: Path) -> None:
    """Add a person; the password is asked, or read from standard input."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.core.people import Role
    from motehub.people_requests import AddUser

    password = None if invite else read_secret("password", twice=True)
    code = tell_hub(data, AddUser(name, Role(role), password, email), make=True)["invitation"]
    click.echo(f"{shown(name)} may log in as {role}.", err=True)
    if code is not None:
        _print_invitation(code)


@group.command("list")
@data_option
@format_option
def list_users(data: Path, format_: Format) -> None:
    """List the people who may log in."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import print_rows
    from motehub.people_requests import ListUsers

    users = tell_hub(data, ListUsers())["users"]
    print_rows(COLUMNS, users, format_, empty="There is nobody: 'motehub user add'.")


@group.command()
@click.argument("name")
@data_option
def passwd(name: str, data: Path) -> None:
    """Give a person another password, asked or read from standard input."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.people_requests import SetPassword

    tell_hub(data, SetPassword(name, read_secret("password", twice=True)))
    click.echo(f"{shown(name)} has another password, and has to log in with it.")


@group.command()
@click.argument("name")
@data_option
def invite(name: str, data: Path) -> None:
    """Print an invitation to choose a password anew."""
    from motehub.cli.opening import tell_hub
    from motehub.people_requests import InviteUser

    _print_invitation(tell_hub(data, InviteUser(name))["invitation"])


@group.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(_ROLES))
@data_option
def set_role(name: str, role: str, data: Path) -> None:
    """Change what a person may do."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.core.people import Role
    from motehub.people_requests import SetRole

    tell_hub(data, SetRole(name, Role(role)))
    click.echo(f"{shown(name)} is {role} now.")


@group.command()
@click.argument("name")
@click.argument("address", default="")
@data_option
def email(name: str, address: str, data: Path) -> None:
    """Send mails for a person to ADDRESS; without one, nowhere."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.people_requests import SetEmail

    tell_hub(data, SetEmail(name, address))
    click.echo(f"Mails for {shown(name)} go {f'to {shown(address)}' if address else 'nowhere'}.")


@group.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path) -> None:
    """Remove a person, who is logged out everywhere."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.people_requests import RemoveUser

    tell_hub(data, RemoveUser(name))
    click.echo(f"{shown(name)} may not log in any more.")


def _print_invitation(code: str) -> None:
    click.echo(code)
    click.echo(
        "The invitation is good once, for a week: open the page /invitation#CODE of the hub, or "
        "POST /api/v1/invitation with the code and a password.",
        err=True,
    )
