"""People of the running hub: the first administrator, logging in from a browser, roles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.harness import OPEN, PATIENCE
from tests.web_hub import WEB, WebHub

from motehub.web import pages

GOOD = "three damp seedlings"
OTHER = "seven dry cactuses"


def browser(hub: WebHub) -> httpx.Client:
    """Return what a browser is to the hub: it keeps cookies."""
    return httpx.Client(base_url=f"{hub.url}/api/v1", timeout=PATIENCE, trust_env=False)


@contextmanager
def log_in(hub: WebHub, name: str, password: str) -> Iterator[httpx.Client]:
    """Open a browser in which ``name`` is logged in, and which shows its proof."""
    with browser(hub) as made:
        answer = made.post("/session", json={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        made.headers["X-CSRF-Token"] = answer.json()["csrf"]
        yield made


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub with an administrator, marie, and something to see."""
    with WebHub(tmp_path_factory.mktemp("people") / "data", {**OPEN, **WEB}) as started:
        done = started.cli("user", "add", "marie", "--role", "admin", given=GOOD)
        assert done.returncode == 0, done.stderr
        token = started.token("writer", "write")
        assert (
            started.send({"device": "tank", "metric": "level", "value": 1}, token=token)[0] == 200
        )
        yield started


def test_the_first_start_prints_a_link_for_one_administrator(tmp_path: Path) -> None:
    """Whoever opens the printed link becomes the administrator; nobody does so again."""
    with WebHub(tmp_path / "data", WEB) as hub:
        (line,) = [line for line in hub.log.splitlines() if "/setup#" in line]
        address, _, code = line.split()[-1].partition("/setup#")
        assert address == hub.url
        with browser(hub) as first:
            body = {"code": code, "name": "marie", "password": GOOD}
            wrong = first.post("/setup", json={**body, "code": "guessed"})
            assert wrong.status_code == 401
            made = first.post("/setup", json=body)
            assert made.status_code == 200, made.text
            assert made.json()["role"] == "admin"
            cookie = made.headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie
            assert first.get("/users").json()[0]["name"] == "marie"
        with browser(hub) as second:
            assert second.post("/setup", json={**body, "name": "eve"}).status_code == 401
        assert hub.stop() == 0
        hub.start()
        assert hub.log.count("/setup#") == 1


def test_a_browser_sees_what_its_user_may(hub: WebHub) -> None:
    """A cookie does what a token does: a viewer reads, and decides nothing."""
    assert hub.cli("user", "add", "viewer", given=OTHER).returncode == 0
    with log_in(hub, "viewer", OTHER) as viewer:
        assert viewer.get("/devices").json()[0]["name"] == "tank"
        assert viewer.get("/session").json()["role"] == "viewer"
        assert viewer.patch("/devices/tank", json={"name": "other"}).status_code == 403
        assert viewer.post("/devices/tank/commands", json={"payload": "x"}).status_code == 403
        assert viewer.get("/users").status_code == 403
    with browser(hub) as stranger:
        assert stranger.get("/devices").status_code == 401
        assert stranger.get("/session").status_code == 401


def test_pages_of_other_sites_change_nothing(hub: WebHub) -> None:
    """A request with the cookie alone, as another site's page could cause it, is refused."""
    with log_in(hub, "marie", GOOD) as marie:
        proof = marie.headers.pop("X-CSRF-Token")
        assert marie.get("/devices").status_code == 200
        assert marie.post("/devices/tank/accept").status_code == 403
        assert marie.delete("/session").status_code == 403
        assert marie.post("/devices/tank/accept", headers={"X-CSRF-Token": "x"}).status_code == 403
        assert (
            marie.post("/devices/tank/accept", headers={"X-CSRF-Token": proof}).status_code == 200
        )


def test_an_invitation(hub: WebHub) -> None:
    """An administrator invites; the invited chooses a password, and gets no more than the role."""
    with log_in(hub, "marie", GOOD) as marie, browser(hub) as pierre:
        made = marie.post("/users", json={"name": "pierre", "role": "operator"})
        assert made.status_code == 201, made.text
        again = marie.post("/users", json={"name": "pierre", "role": "operator"})
        assert again.status_code == 409
        body = {"code": made.json()["code"], "password": "short"}
        refused = pierre.post("/invitation", json=body)
        assert refused.status_code == 400
        assert "characters" in refused.json()["detail"]
        accepted = pierre.post("/invitation", json={**body, "password": OTHER})
        assert accepted.status_code == 200, accepted.text
        assert pierre.get("/devices").status_code == 200
        assert pierre.post("/invitation", json={**body, "password": OTHER}).status_code == 401
        assert marie.patch("/users/pierre", json={"role": "viewer"}).json()["role"] == "viewer"
        assert pierre.get("/session").json()["role"] == "viewer"
        assert marie.delete("/users/pierre").status_code == 204
        assert pierre.get("/devices").status_code == 401


def test_another_password(hub: WebHub) -> None:
    """Who changes the password stays logged in here, and nowhere else."""
    assert hub.cli("user", "add", "changing", given=GOOD).returncode == 0
    with log_in(hub, "changing", GOOD) as here, log_in(hub, "changing", GOOD) as elsewhere:
        wrong = here.put("/session/password", json={"old": OTHER, "new": OTHER})
        assert wrong.status_code == 401
        done = here.put("/session/password", json={"old": GOOD, "new": OTHER})
        assert done.status_code == 200, done.text
        assert here.get("/session").status_code == 200
        assert elsewhere.get("/session").status_code == 401
        here.headers["X-CSRF-Token"] = done.json()["csrf"]
        assert here.delete("/session").status_code == 204
        assert here.get("/session").status_code == 401


def test_a_browser_stays_logged_in_over_a_restart(tmp_path: Path) -> None:
    """What is known of browsers is in the journal."""
    with WebHub(tmp_path / "data", WEB) as hub:
        assert hub.cli("user", "add", "marie", given=GOOD).returncode == 0
        with log_in(hub, "marie", GOOD) as marie:
            cookies = marie.cookies
        hub.kill()
        hub.start()
        with browser(hub) as again:
            again.cookies = cookies
            assert again.get("/session").status_code == 200


def test_a_user_who_is_removed_looks_on_no_more(hub: WebHub) -> None:
    """An open stream of a browser ends with its user."""
    assert hub.cli("user", "add", "looker", given=GOOD).returncode == 0
    token = hub.token("another", "write")
    with log_in(hub, "looker", GOOD) as looker, looker.stream("GET", "/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: hello"
        assert hub.cli("user", "remove", "looker").returncode == 0
        assert hub.send({"device": "tank", "metric": "level", "value": 2}, token=token)[0] == 200
        assert "readings" not in "".join(lines)


def test_the_command_line(tmp_path: Path) -> None:
    """People are looked after without a hub and beside one; passwords come from standard input."""
    with WebHub(tmp_path / "data", WEB) as hub:
        assert hub.cli("user", "add", "marie", "--role", "admin", given=GOOD).returncode == 0
        invited = hub.cli("user", "add", "pierre", "--invite")
        assert len(invited.stdout.split()) == 1
        rows = {row["name"]: row for row in hub.json("user", "list")}
        assert (rows["marie"]["role"], rows["pierre"]["invited"]) == ("admin", True)
        assert hub.cli("user", "role", "pierre", "operator").returncode == 0
        assert hub.cli("user", "passwd", "marie", given=OTHER).returncode == 0
        with log_in(hub, "marie", OTHER) as marie:
            assert marie.get("/session").json()["role"] == "admin"
        for wrong in (("remove", "marie"), ("remove", "nobody"), ("add", "marie")):
            done = hub.cli("user", *wrong, given=OTHER)
            assert (done.returncode, done.stdout) == (1, ""), done
            assert "Traceback" not in done.stderr
        assert hub.stop() == 0
        assert hub.cli("user", "passwd", "marie", given="short").returncode == 1
        assert json.loads(hub.cli("user", "list", "--format", "json").stdout)


@pytest.mark.parametrize("page", ["/", "/device", "/login", "/setup", "/invitation"])
def test_pages_hold_nothing_from_elsewhere(hub: WebHub, page: str) -> None:
    """Each page and what it loads comes from the hub, under a strict policy, and is kept."""
    html = {"Accept": "text/html"}
    with httpx.Client(base_url=hub.url, trust_env=False, timeout=PATIENCE) as client:
        answer = client.get(page, headers=html)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        own = "type=.module.|defer|async fetchpriority=.high."
        foreign = f"https?://|<script(?! ({own}) src)|style=|onclick"
        assert not re.search(foreign, answer.text)
        for path in re.findall(r'(?:href|src)="(/static/[^"]*)"', answer.text):
            file = client.get(path)
            assert file.status_code == 200, path
            again = client.get(path, headers={"If-None-Match": file.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
    assert b"This is motehub" in hub.curl("/")[2]


DOORS: Final = (
    ("POST", "/api/v1/readings", b'{"device": "tank", "metric": "level", "value": 66}'),
    ("POST", "/api/v2/write", b"level,device=tank value=66"),
    ("POST", "/write", b"level,device=tank value=66"),
    ("PUT", "/webhook/update-unit/127.0.0.1/5", b""),
    ("GET", "/metrics", b""),
)
"""Those of devices and programs, which show a token."""

HEARD_BY: Final = {
    "private-devices": {"viewer", "operator", "admin"},
    "private-requests": {"operator", "admin"},
    "private-of-somebody": {"admin"},
}
"""Channels, and the roles that may hear them."""


@pytest.mark.parametrize("role", [None, "viewer", "operator", "admin"])
def test_each_role_at_what_stands_beside_the_api(hub: WebHub, role: str | None) -> None:
    """A cookie opens no door of a device, pages are the same for all, the rest goes by role."""
    with ExitStack() as stack:
        nobody = stack.enter_context(browser(hub))
        asking = nobody
        if role is not None:
            hub.cli("user", "add", f"{role}-2", "--role", role, given=OTHER)
            asking = stack.enter_context(log_in(hub, f"{role}-2", OTHER))
        for method, path, body in DOORS:
            answer = asking.request(method, f"{hub.url}{path}", content=body)
            # Who shows no token again and again is asked to wait.
            assert answer.status_code in {401, 429}, (path, answer.text)
        html = {"Accept": "text/html"}
        shown = [path for _, path in pages.answers() if not path.startswith("/static/")]
        assert len(shown) > 15
        for path in shown:
            answer = asking.get(f"{hub.url}{path}", headers=html)
            assert answer.status_code == 200, path
            assert answer.content == nobody.get(f"{hub.url}{path}", headers=html).content
        with asking.stream("GET", "/stream") as stream:
            assert stream.status_code == (401 if role is None else 200)
        for channel, heard_by in HEARD_BY.items():
            fields = {"socket_id": "1.1", "channel_name": channel}
            answer = asking.post(f"{hub.url}/api/broadcasting/auth", data=fields)
            assert answer.status_code == (200 if role in heard_by else 403), channel
    assert 66 not in [one["value"] for one in hub.json("readings", "tank", "level")]
