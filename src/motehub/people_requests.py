"""The owner's requests about people, over the control socket."""

from __future__ import annotations

from typing import Any

import msgspec

from motehub.core.hub import Hub
from motehub.core.moments import iso
from motehub.core.people import Role, User


class ListUsers(msgspec.Struct, frozen=True, tag="list_users"):
    """Tell which people there are."""


class AddUser(msgspec.Struct, frozen=True, tag="add_user"):
    """Add a person, with a password or with an invitation to choose one."""

    name: str
    role: Role
    password: str | None = None
    email: str = ""


class SetEmail(msgspec.Struct, frozen=True, tag="set_email"):
    """Send mails for a person to another address, "" to none."""

    name: str
    email: str


class SetPassword(msgspec.Struct, frozen=True, tag="set_password"):
    """Give a person another password."""

    name: str
    password: str


class InviteUser(msgspec.Struct, frozen=True, tag="invite_user"):
    """Make a new invitation, for one who has forgotten the password."""

    name: str


class SetRole(msgspec.Struct, frozen=True, tag="set_role"):
    """Let a person do what belongs to another role."""

    name: str
    role: Role


class RemoveUser(msgspec.Struct, frozen=True, tag="remove_user"):
    """Remove a person."""

    name: str


PeopleRequest = ListUsers | AddUser | SetEmail | SetPassword | InviteUser | SetRole | RemoveUser


class UserShape(msgspec.Struct, frozen=True):
    """A person: ``invited`` says that no password has been chosen yet.

    To ``email`` a link goes with which to choose another one; "" is nowhere.
    """

    name: str
    role: Role
    created: str
    invited: bool
    email: str


def show_user(user: User) -> UserShape:
    """Return a user as people and programs see one."""
    return UserShape(user.name, user.role, iso(user.created), not user.password, user.email)


async def carry_out_for_people(hub: Hub, request: PeopleRequest) -> dict[str, Any]:
    """Do what ``request`` asks and return what the owner is told.

    Raises:
        OwnerError: it can't be done.
    """
    accounts = hub.accounts
    match request:
        case ListUsers():
            users = [msgspec.to_builtins(show_user(one)) for one in accounts.people.all()]
            return {"users": users}
        case AddUser(name, role, password, email):
            return {"invitation": await accounts.add(name, role, password, email)}
        case SetEmail(name, email):
            await accounts.set_email(name, email)
        case SetPassword(name, password):
            await accounts.set_password(name, password)
        case InviteUser(name):
            return {"invitation": await accounts.invite(name)}
        case SetRole(name, role):
            await accounts.set_role(name, role)
        case RemoveUser(name):
            await accounts.remove(name)
    return {"name": request.name}
