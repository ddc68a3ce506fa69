"""Who may ask what: bearer tokens (RFC 6750), people who are logged in, and their scopes."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.params import QueryParameter

from motehub.contracts import BackupDesk, CertificateDesk
from motehub.core.hub import Hub
from motehub.core.people import Browser
from motehub.guessing import Attempts
from motehub.model import MICROSECONDS, Scope, Token
from motehub.units import UnitDesk
from motehub.web.access import COOKIE
from motehub.web.attempts import LinkRequests, LogInAttempts, Trials, email_changes
from motehub.web.desk import SettingsDesk
from motehub.web.live import LiveStreams
from motehub.web.problems import Problem, unavailable
from motehub.web.queries import Queries
from motehub.web.snippets import Reach

QUERY_BYTES: Final = 16_384
"""Longest query string."""

PATH_BYTES: Final = 1_024
"""Longest path, in UTF-8 with everything decoded."""

PROOF_HEADER: Final = "X-CSRF-Token"
"""Where a browser's requests that change something show what other sites' pages don't know."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of requests that change nothing (RFC 9110 § 9.2.1)."""

Connection = ASGIConnection[Any, Any, Any, Any]
ApiRequest = Request[Any, Token, State]
AnyRequest = Request[Any, Any, State]


class ReportMaking(msgspec.Struct, frozen=True):
    """What reports are made of and how the hub is called in them; ``room`` lets in one at a time.

    ``environment`` has the address of the store. ``zone`` is the name of the hub's zone, "" for
    the machine's, ``language`` is that of reports that name none.
    """

    folder: Path
    store: str
    environment: Mapping[str, str]
    hub: str
    zone: str
    language: str = "en"
    room: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)


class ApiServices(msgspec.Struct, frozen=True):
    """What the API stands on.

    ``clock`` returns UTC microseconds, ``health`` the condition of every part. ``streams`` are
    those who look on, ``units`` is where the owner looks after units, if the hub has any.
    ``webhooks`` is the folder of their outbox. ``certificates`` is where the owner issues them.
    ``attempts`` bounds guesses of passwords, ``link_requests`` mails to who has forgotten one,
    ``trials`` tests of channels, ``email_changes`` people's new addresses, by their names.
    ``reach`` returns how the hub can be reached. ``desk`` knows the configuration. ``zone`` is
    where its days begin and end, ``reports`` is for previews of reports.
    ``backups`` is where the owner makes them.
    """

    hub: Hub
    queries: Queries
    clock: Callable[[], int]
    health: Callable[[], dict[str, Any]]
    streams: LiveStreams
    units: UnitDesk | None = None
    webhooks: Path | None = None
    certificates: CertificateDesk | None = None
    attempts: LogInAttempts = msgspec.field(default_factory=LogInAttempts)
    link_requests: LinkRequests = msgspec.field(default_factory=LinkRequests)
    trials: Trials = msgspec.field(default_factory=Trials)
    email_changes: Attempts = msgspec.field(default_factory=email_changes)
    reach: Callable[[], Reach] = lambda: Reach({}, (), (), "", web_ca=False)
    desk: SettingsDesk | None = None
    zone: tzinfo = UTC
    reports: ReportMaking | None = None
    backups: BackupDesk | None = None

    def today(self) -> date:
        """Return the date in the hub's zone."""
        return datetime.fromtimestamp(self.clock() / MICROSECONDS, self.zone).date()


def services_of(app: Litestar) -> ApiServices:
    """Return what the API in ``app`` stands on."""
    services: ApiServices = app.state["services"]
    return services


def needs(scope: Scope) -> Callable[[Connection, BaseRouteHandler], None]:
    """Return the guard of routes for which a token must be good for ``scope``."""

    def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        _check_length(connection)
        token = _token_of(connection)
        if not token.allows(scope):
            raise _forbidden(
                f"The token {token.name!r} does not have the scope {scope.value!r}. "
                "Use one that has it.",
            )
        _check_parameters(connection, handler)
        connection.scope["auth"] = token

    return guard


def check_may_read(token: Token, device: str) -> None:
    """Let only tokens go on that may ask for ``device``, whether there is such a device or not.

    Raises:
        Problem: this one may not.
    """
    if not token.may_read(device):
        raise _forbidden(f"The token {token.name!r} is bound to other devices than {device!r}.")


def check_may_control(token: Token, device: str) -> None:
    """Let only tokens go on that may command ``device``, whether there is such a device or not.

    Raises:
        Problem: this one may not.
    """
    if not token.may_control(device):
        raise _forbidden(f"The token {token.name!r} is bound to other devices than {device!r}.")


def check_bound_to_none(token: Token) -> None:
    """Let only tokens go on that are not bound to devices.

    Raises:
        Problem: this one is.
    """
    if token.devices:
        raise _forbidden(
            f"The token {token.name!r} is bound to devices, and this is about the whole hub."
        )


def visible(token: Token) -> tuple[str, ...] | None:
    """Return the names of the devices that the token is bound to; None for all."""
    return token.devices or None


def check_not_held_back(hub: Hub) -> None:
    """Let no request wait for a journal that takes nothing.

    Raises:
        Problem: it takes nothing at the moment.
    """
    if (reason := hub.held_back) is not None:
        raise unavailable(f"Nothing can be stored at the moment. {reason}", 5)


def browser_of(connection: Connection) -> Browser | None:
    """Return the browser that asks, if somebody is logged in there.

    Raises:
        Problem: the request would change something, and may come from another site's page.
    """
    services = services_of(connection.app)
    people = services.hub.accounts.people
    browser = people.browser(connection.cookies.get(COOKIE, ""), services.clock())
    if browser is None or connection.scope.get("method") in SAFE_METHODS:
        return browser
    proof = connection.headers.get(PROOF_HEADER, "").encode("utf-8", "surrogatepass")
    if not hmac.compare_digest(proof, browser.proof.encode()):
        raise _forbidden(
            f"A request of a browser that changes something needs the header {PROOF_HEADER}, with "
            "what GET /api/v1/session says."
        )
    return browser


def check_is_json(connection: Connection, _: BaseRouteHandler) -> None:
    """Guard of routes with which somebody comes in: nothing that a form can send.

    A form of another site could log a browser in there as somebody else; JSON it can't send
    unless the hub allowed that (the Fetch standard, § 4.8), which it does not.

    Raises:
        Problem: it is something else.
    """
    kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Not JSON",
            "Send the body as JSON, with the header Content-Type: application/json.",
        )


def logged_in_browser(connection: Connection) -> Browser:
    """Return the browser that asks.

    Raises:
        Problem: nobody is logged in there, or the request comes from another site's page.
    """
    browser = browser_of(connection)
    if browser is None:
        raise not_logged_in("Nobody is logged in here. Log in with POST /api/v1/session first.")
    return browser


def not_logged_in(detail: str) -> Problem:
    """Return what those are told who are not who they should be."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "Not logged in",
        detail,
        {"WWW-Authenticate": 'Cookie realm="motehub"'},
    )


def _token_of(connection: Connection) -> Token:
    """Return the token that the request shows, or that of the user who is logged in.

    Raises:
        Problem: it shows none, or one that is not good any more.
    """
    authorization = connection.headers.get("authorization", "")
    if not authorization and (browser := browser_of(connection)) is not None:
        return services_of(connection.app).hub.accounts.people.token_of(browser)
    kind, _, secret = authorization.partition(" ")
    if kind.lower() != "bearer" or not secret.strip():
        raise _unauthorized(
            "The request has no token. Send it in the header 'Authorization: Bearer TOKEN'; "
            "'motehub token create' makes one.",
            'Bearer realm="motehub"',
        )
    services = services_of(connection.app)
    token = services.hub.tokens.find(secret.strip(), services.clock())
    if token is None:
        raise _unauthorized(
            "The token is not known, was revoked or has expired. "
            "'motehub token create' makes another one.",
            'Bearer realm="motehub", error="invalid_token"',
        )
    return token


def _check_length(connection: Connection) -> None:
    path, query = connection.scope["path"], connection.scope["query_string"]
    if len(query) > QUERY_BYTES or len(path.encode("utf-8", "surrogatepass")) > PATH_BYTES:
        raise Problem(
            HTTPStatus.REQUEST_URI_TOO_LONG,
            "URI too long",
            f"The path may have {PATH_BYTES} bytes and the query {QUERY_BYTES}.",
        )


def _check_parameters(connection: Connection, handler: BaseRouteHandler) -> None:
    """Refuse parameters that nobody reads: a slip must not look like an answer."""
    unknown = sorted(set(connection.query_params) - (known := _parameters(handler)))
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "Unknown parameter",
            f"There is no parameter {unknown[0][:64]!r} here. Parameters: {names}.",
        )


def _parameters(handler: BaseRouteHandler) -> set[str]:
    """Return the names of the parameters that ``handler`` takes from the query."""
    definitions = {
        name: field.kwarg_definition
        for name, field in handler.parsed_fn_signature.parameters.items()
    }
    return {
        one.name or name for name, one in definitions.items() if isinstance(one, QueryParameter)
    }


def _unauthorized(detail: str, challenge: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, "Token needed", detail, {"WWW-Authenticate": challenge})


def _forbidden(detail: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, "Not allowed", detail)
