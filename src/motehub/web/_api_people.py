"""Routes of people: setting up, logging in and out, and who they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from litestar import Response, delete, get, patch, post, put
from litestar.params import Body, PathParameter, QueryParameter
from msgspec import UNSET, UnsetType

from motehub.core.people import BROWSER_SECONDS, Browser, Role, Seen
from motehub.errors import InvalidName, InvalidPassword
from motehub.model import Scope
from motehub.people_requests import UserShape, show_user
from motehub.web._api_access import (
    AnyRequest,
    ApiRequest,
    ApiServices,
    check_is_json,
    check_not_held_back,
    logged_in_browser,
    needs,
    services_of,
)
from motehub.web._api_document import (
    ADMIN,
    COMING_IN,
    CONFLICT,
    LOGGING_IN,
    NAMED,
    UNSTORED,
    problems,
)
from motehub.web.access import COOKIE
from motehub.web.languages import preferred
from motehub.web.letters import note
from motehub.web.problems import Problem

Name = Annotated[str, PathParameter(description="Name of the person.", max_length=200)]
Text = Annotated[str, msgspec.Meta(max_length=1_000)]
ByMail = Annotated[
    bool, QueryParameter(name="mail", description="Whether the invitation goes by mail too.")
]


class SetUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first administrator, who shows the code of the link that the hub has printed."""

    code: Text
    name: Text
    password: Text


class LogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who logs in."""

    name: Text
    password: Text


class AcceptedInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password that an invited person chooses."""

    code: Text
    password: Text


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another password for oneself."""

    old: Text
    new: Text


class LanguageChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pages are to be written in for oneself; "" is what the browser prefers."""

    language: Literal["", "en", "fr"]


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person to invite."""

    name: str
    role: Role
    email: Text = ""


class UserChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person may do from now on, and where mails for the person go; "" is nowhere."""

    role: Role | UnsetType = UNSET
    email: Text | UnsetType = UNSET


class LoggedIn(msgspec.Struct, frozen=True):
    """Who is logged in here.

    Requests that change something show ``csrf`` in the header ``X-CSRF-Token``. To ``email`` a link
    goes with which to choose another password.
    """

    name: str
    role: Role
    csrf: str
    language: str
    email: str


class Invitation(msgspec.Struct, frozen=True):
    """An invitation: ``code`` is good once, for a week, at the page ``/invitation#CODE``.

    ``mailed`` says whether it was sent by mail too, ``trouble`` why it was not though it was to be.
    """

    name: str
    code: str
    mailed: bool = False
    trouble: str | None = None


@post(
    "/setup",
    guards=[check_is_json],
    responses=problems(COMING_IN | UNSTORED),
    summary="Make the first administrator",
)
async def set_up(
    request: AnyRequest, data: Annotated[SetUp, Body(description="Who it is.")]
) -> Response[LoggedIn]:
    """Make the first administrator, who is logged in then."""
    services = services_of(request.app)
    check_not_held_back(services.hub)
    made = await services.hub.accounts.set_up(data.code, data.name, data.password, seen_of(request))
    return await come_in(request, services, *made)


@post(
    "/session",
    guards=[check_is_json],
    responses=problems(COMING_IN | UNSTORED),
    summary="Log in",
)
async def log_in(
    request: AnyRequest, data: Annotated[LogIn, Body(description="Name and password.")]
) -> Response[LoggedIn]:
    """Log in; the answer sets a cookie, with which the browser may ask for everything else."""
    services = services_of(request.app)
    check_not_held_back(services.hub)
    with attempt(request, data.name):
        made = await services.hub.accounts.log_in(data.name, data.password, seen_of(request))
    return await come_in(request, services, *made)


@get("/session", responses=problems(LOGGING_IN), summary="Tell who is logged in")
async def show_session(request: AnyRequest) -> Response[LoggedIn]:
    """Return who is logged in, if somebody is."""
    services = services_of(request.app)
    browser = logged_in_browser(request)
    await services.hub.accounts.renew(browser)
    # The browser keeps its cookie as long as the hub does.
    return logged_in(request, services, request.cookies[COOKIE], browser)


@delete("/session", responses=problems(LOGGING_IN | UNSTORED), summary="Log out")
async def log_out(request: AnyRequest) -> Response[None]:
    """Log out in this browser."""
    services = services_of(request.app)
    await services.hub.accounts.log_out(logged_in_browser(request))
    response = Response(None, status_code=HTTPStatus.NO_CONTENT)
    response.delete_cookie(COOKIE)
    return response


@put(
    "/session/password", responses=problems(LOGGING_IN | UNSTORED), summary="Change one's password"
)
async def change_password(
    request: AnyRequest,
    data: Annotated[PasswordChange, Body(description="The present password and another one.")],
) -> Response[LoggedIn]:
    """Choose another password; all other browsers have to log in again."""
    services = services_of(request.app)
    accounts = services.hub.accounts
    check_not_held_back(services.hub)
    user = accounts.people.get(logged_in_browser(request).user)
    with attempt(request, user.name):
        made = await accounts.change_password(user, data.old, data.new, seen_of(request))
    return logged_in(request, services, *made)


@patch("/session", responses=problems(LOGGING_IN | UNSTORED), summary="Choose a language")
async def change_language(
    request: AnyRequest,
    data: Annotated[LanguageChange, Body(description="The language of the pages.")],
) -> Response[LoggedIn]:
    """Have the pages written in another language for oneself, in every browser."""
    services = services_of(request.app)
    browser = logged_in_browser(request)
    check_not_held_back(services.hub)
    await services.hub.accounts.set_language(browser.user, data.language)
    return Response(shown(services, browser))


@post(
    "/invitation",
    guards=[check_is_json],
    responses=problems(COMING_IN | UNSTORED),
    summary="Accept an invitation",
)
async def accept_invitation(
    request: AnyRequest,
    data: Annotated[AcceptedInvitation, Body(description="The code and a password.")],
) -> Response[LoggedIn]:
    """Choose a password, and be logged in with it."""
    services = services_of(request.app)
    check_not_held_back(services.hub)
    made = await services.hub.accounts.accept_invitation(data.code, data.password, seen_of(request))
    return await come_in(request, services, *made)


@get("/users", guards=[needs(Scope.ADMIN)], responses=problems(ADMIN), summary="List people")
async def list_users(request: ApiRequest) -> list[UserShape]:
    """Return all people, by name."""
    return [show_user(one) for one in services_of(request.app).hub.accounts.people.all()]


@post(
    "/users",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | CONFLICT | UNSTORED),
    summary="Invite somebody",
)
async def add_user(
    request: ApiRequest,
    data: Annotated[NewUser, Body(description="Whom.")],
    by_mail: ByMail = False,
) -> Invitation:
    """Add a person, who chooses a password with the invitation in the answer."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    try:
        code = await hub.accounts.add(data.name, data.role, email=data.email)
    except InvalidName as error:
        raise Problem(HTTPStatus.CONFLICT, "Name is taken", str(error)) from error
    assert code is not None
    return await _handed(request, data.name, code, by_mail=by_mail)


@post(
    "/users/{name:str}/invitation",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Invite somebody again",
)
async def invite_user(request: ApiRequest, name: Name, by_mail: ByMail = False) -> Invitation:
    """Let a person choose a password anew; the present one is good until then."""
    hub = services_of(request.app).hub
    hub.accounts.people.get(name)
    check_not_held_back(hub)
    code = await hub.accounts.invite(name)
    return await _handed(request, name, code, by_mail=by_mail)


@patch(
    "/users/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Change what a person may do",
)
async def change_user(
    request: ApiRequest,
    name: Name,
    data: Annotated[UserChange, Body(description="What changes.")],
) -> UserShape:
    """Give a person another role, which holds at once, or another mail address."""
    hub = services_of(request.app).hub
    user = hub.accounts.people.get(name)
    check_not_held_back(hub)
    if data.email is not UNSET:
        user = await hub.accounts.set_email(name, data.email)
    if data.role is not UNSET:
        user = await hub.accounts.set_role(name, data.role)
    return show_user(user)


@delete(
    "/users/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Remove a person",
)
async def remove_user(request: ApiRequest, name: Name) -> None:
    """Remove a person, who is logged out everywhere at once."""
    hub = services_of(request.app).hub
    hub.accounts.people.get(name)
    check_not_held_back(hub)
    await hub.accounts.remove(name)


def seen_of(request: AnyRequest) -> Seen:
    """Return what is seen of a browser."""
    return Seen(request.headers.get("user-agent", ""), _address(request))


@contextmanager
def attempt(request: AnyRequest, name: str) -> Iterator[None]:
    """Let somebody show the password of ``name``, unless too many wrong ones were shown.

    Raises:
        Problem: too many were, from this address or for this name.
    """
    services = services_of(request.app)
    address = _address(request)
    here = services.hub.accounts.people.was_seen(name, address)
    if wait := services.attempts.begin(name, address, known=here):
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "Too many attempts",
            "Too many wrong passwords were shown. Wait a moment, then try again.",
            {"Retry-After": str(math.ceil(wait))},
        )
    try:
        yield
    except InvalidPassword:
        # The present one was right, though the next one will not do.
        services.attempts.forgive(name, address)
        raise
    services.attempts.forgive(name, address)


def _address(request: AnyRequest) -> str:
    return request.client.host if request.client is not None else ""


async def _handed(request: ApiRequest, name: str, code: str, *, by_mail: bool) -> Invitation:
    """Return an invitation, which goes by mail too if it is to."""
    if not by_mail:
        return Invitation(name, code)
    services = services_of(request.app)
    user = services.hub.accounts.people.get(name)
    if not user.email or services.desk is None:
        return Invitation(name, code, trouble=f"there is no mail address of {user.name}")
    office = services.desk.post
    language = user.language or preferred(request.headers.get("accept-language", "").encode())
    link = office.link("invitation", code)
    letter = note("invitation", language, user.email, hub=office.hub, name=user.name, link=link)
    trouble = await office.send(letter)
    return Invitation(name, code, mailed=trouble is None, trouble=trouble)


def shown(services: ApiServices, browser: Browser) -> LoggedIn:
    """Return who is logged in in a browser."""
    user = services.hub.accounts.people.get(browser.user)
    return LoggedIn(user.name, user.role, browser.proof, user.language, user.email)


async def come_in(
    request: AnyRequest, services: ApiServices, secret: str, browser: Browser
) -> Response[LoggedIn]:
    """Return the answer with which somebody has come in; whoever was in there before is out."""
    accounts = services.hub.accounts
    before = accounts.people.browser(request.cookies.get(COOKIE, ""), services.clock())
    if before is not None:
        await accounts.log_out(before)
    return logged_in(request, services, secret, browser)


def logged_in(
    request: AnyRequest, services: ApiServices, secret: str, browser: Browser
) -> Response[LoggedIn]:
    """Return the answer with which a browser is logged in."""
    response = Response(shown(services, browser), status_code=HTTPStatus.OK)
    # Strict: no page of another site can make this browser ask for anything as this user.
    response.set_cookie(
        COOKIE,
        secret,
        max_age=BROWSER_SECONDS,
        httponly=True,
        secure=request.scope["scheme"] == "https",
        samesite="strict",
    )
    return response
