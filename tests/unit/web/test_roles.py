"""Every route of the API as nobody, viewer, operator and administrator."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.unit.web.stand import Stand, numbers, open_stand

from motehub.core.people import Role
from motehub.frames import Batch
from motehub.web._api_access import PROOF_HEADER
from motehub.web.access import COOKIE
from motehub.web.queries import QueryLimits

LEAVING: Final = {
    ("get", "/unsubscribe/{}"),
    ("post", "/unsubscribe/{}"),
    ("get", "/unsubscribe/{}/report"),
}
"""Where those go who want no reports any more; their link is all they need."""

LEAVING_PAGE: Final = ("get", "/unsubscribe/{}")

COMING_IN: Final = {
    ("post", "/setup"),
    ("post", "/session"),
    ("post", "/invitation"),
    ("post", "/forgotten-password"),
    ("post", "/new-password"),
    *LEAVING,
}
"""Where those go who are nobody yet, or need not be anybody."""

OWN: Final = ("/session", "/sessions")
"""What everyone may do about themselves begins so."""

PROVING: Final = {"/session/password", "/session/email"}
"""What asks for the password once more, which is wrong here."""

NOT_HERE: Final = {("post", "/readings"), ("post", "/write"), ("get", "/stream")}
"""Other servers take the first two; the last does not end."""

LOOKING: Final = {
    "/alerts",
    "/certificates/authority",
    "/devices",
    "/devices/{}",
    "/devices/{}/newest",
    "/devices/{}/quality",
    "/devices/{}/series",
    "/events",
    "/export",
    "/health",
    "/maintenance",
    "/overview",
    "/readings",
    "/rejected",
    "/rules",
    "/rules/{}",
}
"""What whoever may read may see."""

CONTROL: Final = {
    ("get", "/commands/{}"),
    ("get", "/connect"),
    ("get", "/devices/{}/commands"),
    ("post", "/alerts/{}/acknowledge"),
    ("post", "/alerts/{}/snooze"),
    ("post", "/devices/{}/commands"),
    ("put", "/devices/{}/maintenance"),
}
"""What an operator may do beside that."""

PRESENT: Final = {"name": "tank", "id": "1", "session": "1", "number": "1"}
BODIES: Final[dict[tuple[str, str], Any]] = {
    ("put", "/session/password"): {"old": "x" * 12, "new": "y" * 12},
    ("put", "/session/email"): {"email": "x@example.org", "password": "x" * 12},
    ("patch", "/session"): {"language": "fr"},
    ("put", "/session/arrangement"): {"devices": []},
}


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with a device and its API."""
    async with open_stand(tmp_path, limits=QueryLimits(fold_seconds=0.2)) as made:
        await made.say("tank", numbers(1.0))
        yield made


def routes(stand: Stand) -> list[tuple[str, str, str]]:
    """Method, path with what is in it left out, and path with something in it."""
    paths = stand.app.openapi_schema.to_schema()["paths"]
    found = []
    for path, operations in paths.items():
        short = path.removeprefix("/api/v1")
        filled = re.sub(r"\{(\w+)\}", lambda one: PRESENT.get(one[1], "x"), short)
        bare = re.sub(r"\{\w+\}", "{}", short)
        found += [(method, bare, filled) for method in operations if method in _METHODS]
    return [one for one in found if one[:2] not in NOT_HERE]


_METHODS: Final = {"get", "post", "put", "patch", "delete"}


async def client_of(stand: Stand, role: Role) -> httpx.AsyncClient:
    """A browser in which somebody with ``role`` is logged in."""
    if stand.hub.accounts.people.find(role.value) is None:
        await stand.hub.accounts.add(role.value, role)
    batch = Batch()
    people = stand.hub.accounts.people
    secret, browser = people.log_in(batch, people.get(role.value), stand.clock())
    await stand.journal.append(batch)
    client = stand.client()
    client.cookies.set(COOKIE, secret)
    client.headers[PROOF_HEADER] = browser.proof
    return client


async def ask(client: httpx.AsyncClient, method: str, bare: str, path: str) -> httpx.Response:
    """Ask with a body that would do, as far as it matters here."""
    query = {"device": "tank"} if path in {"/readings", "/export"} else None
    body = None if method in {"get", "delete"} else BODIES.get((method, bare), {})
    return await client.request(method, path, params=query, json=body)


def may(role: Role, method: str, bare: str) -> bool:
    """Whether somebody with ``role`` may do something: the rule in a few words."""
    if role is Role.ADMIN or (method, bare) in COMING_IN or f"/{bare.split('/')[1]}" in OWN:
        return True
    if (method, bare) in CONTROL:
        return role is Role.OPERATOR
    return method == "get" and bare in LOOKING


async def test_nobody_gets_nothing(stand: Stand) -> None:
    """Who is not logged in and shows no token is refused at every route."""
    async with stand.client() as client:
        for method, bare, path in routes(stand):
            answer = await ask(client, method, bare, path)
            wanted = {400} if (method, bare) in COMING_IN else {401}
            wanted = {404} if (method, bare) in LEAVING else wanted
            # The page to which it leads says to people that there is nothing.
            wanted = {303} if (method, bare) == LEAVING_PAGE else wanted
            assert answer.status_code in wanted, (method, path, answer.text)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_each_role_gets_what_is_its_own(stand: Stand, role: Role) -> None:
    """A viewer changes nothing, an operator commands devices, and neither decides anything."""
    seen = []
    for method, bare, path in routes(stand):
        # Some routes end the session.
        async with await client_of(stand, role) as client:
            answer = await ask(client, method, bare, path)
            refused = answer.status_code == 403
            assert refused != may(role, method, bare), (method, path, answer.text)
            assert answer.status_code != 401 or path in PROVING, (method, path)
            if method == "get":
                seen.append(answer.text)
    assert not secrets_in("".join(seen), stand)


async def test_an_administrator_is_refused_nothing(stand: Stand) -> None:
    """Every route lets an administrator in; what it then says is another matter."""
    for method, bare, path in routes(stand):
        if path.startswith(("/users", "/devices")) and method == "delete":
            continue
        async with await client_of(stand, Role.ADMIN) as client:
            answer = await ask(client, method, bare, path)
            assert answer.status_code != 403, (method, path, answer.text)
            assert not secrets_in(answer.text, stand), (method, path)


def secrets_in(text: str, stand: Stand) -> list[str]:
    """What must be nowhere: what is kept of passwords, tokens and browsers."""
    found = ["scrypt$", "BEGIN PRIVATE KEY", "BEGIN EC PRIVATE KEY"]
    found += [token.digest.hex() for token in stand.hub.tokens.all()]
    found += [
        browser.digest.hex()
        for user in stand.hub.accounts.people.all()
        for browser in stand.hub.accounts.people.browsers(user.name, stand.clock())
    ]
    return [one for one in found if one in text]


@pytest.mark.parametrize("page", ["", "/", "/swagger", "/redoc", "/elements", "/rapidoc"])
async def test_the_framework_has_no_pages_of_its_own(stand: Stand, page: str) -> None:
    """Nothing is served beside our pages that would load scripts from elsewhere, as who is in."""
    async with stand.client() as client:
        answer = await client.get(f"http://hub/schema{page}")
        assert "<script" not in answer.text
        assert "//cdn" not in answer.text


async def test_the_walk_sees_the_routes(stand: Stand) -> None:
    """It would be no walk without them."""
    found = {one[:2] for one in routes(stand)}
    assert len(found) > 30
    assert found >= CONTROL | COMING_IN
    assert {path for _, path in found} > LOOKING
