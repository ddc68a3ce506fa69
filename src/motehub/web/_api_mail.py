"""Routes of those who have forgotten their password, and of the addresses that links go to."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from litestar import Response, post, put
from litestar.params import Body

from motehub.core import audit
from motehub.core.audit import Deed, Way
from motehub.languages import LANGUAGES
from motehub.web._api_access import (
    AnyRequest,
    ApiServices,
    check_is_json,
    check_not_held_back,
    logged_in_browser,
    services_of,
)
from motehub.web._api_document import COMING_IN, LOGGING_IN, UNSTORED, problems
from motehub.web._api_people import LoggedIn, Text, attempt, come_in, seen_of, shown
from motehub.web.languages import preferred
from motehub.web.letters import note
from motehub.web.post import Post
from motehub.web.problems import Problem

RESET: Final = "reset"
"""The page to which a link leads."""


class Forgotten(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has forgotten the password: a name, or a mail address."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class ChosenPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a link, and the password that is chosen with it."""

    code: Text
    password: Text


class EmailChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where mails for oneself go from now on, "" for nowhere; and the present password."""

    email: Text
    password: Text


@post(
    "/forgotten-password",
    guards=[check_is_json],
    responses=problems(COMING_IN | {409: "This hub sends no mail."} | UNSTORED),
    status_code=202,
    summary="Ask for a link to choose another password",
)
async def ask_for_link(
    request: AnyRequest, data: Annotated[Forgotten, Body(description="Who it is.")]
) -> None:
    """Send a link to the mail address of a person; the answer is the same for everyone."""
    services = services_of(request.app)
    office = post_of(services)
    check_not_held_back(services.hub)
    address = request.client.host if request.client is not None else ""
    if wait := services.link_requests.begin(data.name, address):
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "Too many requests",
            "Links were asked for already. Look into your mail, or try again later.",
            {"Retry-After": str(math.ceil(wait))},
        )
    language = language_of(request)
    # Later, and whether there is such a person or not: nobody can tell from how long it takes.
    office.soon(_send_link(services, office, data.name, address, language))


@post(
    "/new-password",
    guards=[check_is_json],
    responses=problems(COMING_IN | UNSTORED),
    summary="Choose another password with a link",
)
async def reset_password(
    request: AnyRequest,
    data: Annotated[ChosenPassword, Body(description="The code and a password.")],
) -> Response[LoggedIn]:
    """Choose another password, and be logged in with it; all other browsers are logged out."""
    services = services_of(request.app)
    check_not_held_back(services.hub)
    accounts = services.hub.accounts
    made = await accounts.use_link(data.code, data.password, seen_of(request))
    return await come_in(request, services, *made)


@put(
    "/session/email",
    responses=problems(LOGGING_IN | UNSTORED),
    summary="Change one's mail address",
)
async def change_email(
    request: AnyRequest,
    data: Annotated[EmailChange, Body(description="The address and the password.")],
) -> Response[LoggedIn]:
    """Have mails for oneself sent to another address; the one before is told."""
    services = services_of(request.app)
    accounts = services.hub.accounts
    check_not_held_back(services.hub)
    browser = logged_in_browser(request)
    user = accounts.people.get(browser.user)
    if wait := services.email_changes.wait(user.name):
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "Too many changes",
            "The mail address was changed often of late. Try again later.",
            {"Retry-After": str(math.ceil(wait))},
        )
    with attempt(request, user.name):
        await accounts.change_email(user, data.password, data.email)
    services.email_changes.begin(user.name)
    return Response(shown(services, browser))


def post_of(services: ApiServices) -> Post:
    """Return where mails are sent.

    Raises:
        Problem: the hub sends none.
    """
    if services.desk is None or not services.desk.post.is_open:
        raise Problem(
            HTTPStatus.CONFLICT,
            "No mail",
            "This hub sends no mail: there is no mail server in its configuration. An "
            "administrator can make an invitation.",
        )
    return services.desk.post


def language_of(request: AnyRequest) -> str:
    """Return what the browser that asks prefers."""
    return preferred(request.headers.get("accept-language", "").encode("latin-1", "replace"))


async def _send_link(
    services: ApiServices, office: Post, name: str, address: str, language: str
) -> None:
    accounts = services.hub.accounts
    user = accounts.people.called(name)
    # By whatever it was called: one account gets no more than others.
    if user is None or not user.email or not services.link_requests.take(user.name):
        return
    deed = Deed(user.name, Way.PAGE, "ask_for_link", "", f"address: {address}")
    with audit.doing(deed):
        code = await accounts.make_link(user.name)
    link = office.link(RESET, code)
    language = user.language if user.language in LANGUAGES else language
    await office.send(
        note("password", language, user.email, hub=office.hub, name=user.name, link=link)
    )
