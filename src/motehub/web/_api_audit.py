"""Who changes what over the API, noted with the change; and the route that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from litestar import get
from litestar.params import QueryParameter

from motehub.core import audit
from motehub.core.audit import MOST_DEEDS, Deed, DeedRow, Way
from motehub.core.moments import iso
from motehub.model import Scope, Token
from motehub.web._api_access import SAFE_METHODS, AnyRequest, ApiRequest, needs, services_of
from motehub.web._api_document import READING, problems
from motehub.web.access import COOKIE
from motehub.web.languages import asked_in, preferred

TOLD: Final = (
    "name",
    "new_name",
    "role",
    "email",
    "scopes",
    "devices",
    "expires",
    "value",
    "payload",
    "labels",
    "interval",
    "units",
    "address",
    "ids",
    "metric",
    "raw",
    "minute",
    "hour",
    "day",
    "disk_budget",
)
"""What may be shown of a body: nothing in which somebody could put a secret."""
_PERSONAL: Final = frozenset(
    {"arrange_devices", "change_language", "try_rule", "try_retention", "ask_for_link"}
)
"""What changes nothing for others."""
_COMING_IN: Final = frozenset({"log_in", "set_up", "accept_invitation", "reset_password"})
"""What is done by somebody who is not logged in yet, whatever the cookie says."""


class DeedShape(msgspec.Struct, frozen=True):
    """What somebody did; ``deed`` is the name of the operation."""

    time: str
    who: str
    way: Way
    deed: str
    subject: str
    detail: str


@get(
    "/audit",
    guards=[needs(Scope.ADMIN)],
    responses=problems(READING),
    summary="Show what people did",
)
async def list_deeds(
    request: ApiRequest,
    limit: Annotated[
        int, QueryParameter(description="Most rows, newest first.", ge=1, le=MOST_DEEDS)
    ] = 100,
) -> list[DeedShape]:
    """Return what people changed, newest first."""
    return [_shown(row) for row in services_of(request.app).hub.audit.newest(limit)]


async def begin_deed(request: AnyRequest) -> None:
    """Have what this request changes noted; see ``motehub.core.audit``, and its language known."""
    deed = request.route_handler.handler_name
    asked_in.set(preferred(request.headers.get("accept-language", "").encode("latin-1", "replace")))
    if request.method in SAFE_METHODS or deed in _PERSONAL:
        audit.begin(None)
        return
    body = _body(await request.body())
    # Of a session the id says nothing to people; who comes in is who does it.
    said = {} if deed in _COMING_IN else request.path_params
    names = [str(value) for key, value in said.items() if key != "session"]
    told = {key: body[key] for key in TOLD if body.get(key) not in (None, "", [], {})}
    subject = names[0] if names else str(told.pop("name", ""))
    if deed in _COMING_IN:
        subject = ""
    detail = ", ".join(f"{key}: {_words(value)}" for key, value in told.items())
    audit.begin(Deed(*_who(request, deed, body), deed, subject, detail))


async def end_deed(request: AnyRequest) -> None:
    """Note what was done without changing anything in the journal."""
    services_of(request.app).hub.note_deed()


def _who(request: AnyRequest, deed: str, body: Mapping[str, Any]) -> tuple[str, Way]:
    services = services_of(request.app)
    people = services.hub.accounts.people
    token = request.scope.get("auth")
    if isinstance(token, Token):
        return token.name, Way.PAGE if people.has(token) else Way.TOKEN
    browser = people.browser(request.cookies.get(COOKIE, ""), services.clock())
    if browser is None or deed in _COMING_IN:
        return str(body.get("name", "")), Way.PAGE
    return browser.user, Way.PAGE


def _body(raw: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        # None, or one that is refused in a moment.
        return {}


def _words(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_words, value))
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(row: DeedRow) -> DeedShape:
    return DeedShape(iso(row.time), row.who, row.way, row.deed, row.subject, row.detail)
