"""Routes of the browsers in which somebody is logged in."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response, delete, get
from litestar.params import PathParameter

from motehub.core.moments import iso
from motehub.core.people import Browser
from motehub.model import Scope
from motehub.web._api_access import (
    AnyRequest,
    ApiRequest,
    check_not_held_back,
    logged_in_browser,
    needs,
    services_of,
)
from motehub.web._api_document import ADMIN, LOGGING_IN, NAMED, UNSTORED, problems
from motehub.web.access import COOKIE
from motehub.web.problems import Problem


class SessionShape(msgspec.Struct, frozen=True):
    """A browser in which one is logged in; ``here`` is the one that asks.

    ``agent`` is what its program calls itself, ``address`` from where the log-in came; ``used``
    is known to a day.
    """

    id: str
    created: str
    used: str
    agent: str
    address: str
    here: bool


@get("/sessions", responses=problems(LOGGING_IN), summary="List where one is logged in")
async def list_sessions(request: AnyRequest) -> list[SessionShape]:
    """Return the browsers in which whoever asks is logged in, the latest log-in first."""
    here = logged_in_browser(request)
    return [_shown(one, here) for one in _own(request, here)]


@delete(
    "/sessions/{session:str}",
    responses=problems(LOGGING_IN | NAMED | UNSTORED),
    summary="Log out elsewhere",
)
async def end_session(
    request: AnyRequest,
    session: Annotated[str, PathParameter(description="Id of the session.", max_length=64)],
) -> None:
    """Log out in one of one's own browsers."""
    hub = services_of(request.app).hub
    found = [one for one in _own(request, logged_in_browser(request)) if one.id == session]
    if not found:
        raise Problem(
            HTTPStatus.NOT_FOUND, "Not found", "You are not logged in there, or not any more."
        )
    check_not_held_back(hub)
    await hub.accounts.log_out(found[0])


@delete("/sessions", responses=problems(LOGGING_IN | UNSTORED), summary="Log out everywhere")
async def end_sessions(request: AnyRequest) -> Response[None]:
    """Log out in all of one's browsers, this one too."""
    hub = services_of(request.app).hub
    user = logged_in_browser(request).user
    check_not_held_back(hub)
    await hub.accounts.log_out_everywhere(user)
    response = Response(None, status_code=HTTPStatus.NO_CONTENT)
    response.delete_cookie(COOKIE)
    return response


@delete(
    "/users/{name:str}/sessions",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Log a person out everywhere",
)
async def log_out_user(
    request: ApiRequest,
    name: Annotated[str, PathParameter(description="Name of the person.", max_length=200)],
) -> None:
    """Log a person out in all browsers, who may log in again."""
    hub = services_of(request.app).hub
    hub.accounts.people.get(name)
    check_not_held_back(hub)
    await hub.accounts.log_out_everywhere(name)


def _own(request: AnyRequest, here: Browser) -> list[Browser]:
    services = services_of(request.app)
    return services.hub.accounts.people.browsers(here.user, services.clock())


def _shown(browser: Browser, here: Browser) -> SessionShape:
    return SessionShape(
        browser.id,
        iso(browser.created),
        iso(browser.used),
        browser.agent,
        browser.address,
        browser.digest == here.digest,
    )
