"""What an attacker tries at the web port: other sites' forms, other roles' ways, odd names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.harness import OPEN, PATIENCE
from tests.web_hub import WEB, WebHub

GOOD: Final = "three damp seedlings"
ROLES: Final = ("viewer", "operator", "admin")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub with a person of each role and something to see."""
    with WebHub(tmp_path_factory.mktemp("security") / "data", {**OPEN, **WEB}) as started:
        for role in ROLES:
            done = started.cli("user", "add", role, "--role", role, given=GOOD)
            assert done.returncode == 0, done.stderr
        token = started.token("writer", "write")
        reading = {"device": "tank", "metric": "level", "value": 1}
        assert started.send(reading, token=token)[0] == 200
        yield started


@contextmanager
def browser(hub: WebHub, name: str = "") -> Iterator[httpx.Client]:
    """A browser in which somebody is logged in, or nobody."""
    with httpx.Client(base_url=hub.url, timeout=PATIENCE, trust_env=False, verify=False) as made:
        if name:
            answer = made.post("/api/v1/session", json={"name": name, "password": GOOD})
            assert answer.status_code == 200, answer.text
            made.headers["X-CSRF-Token"] = answer.json()["csrf"]
        yield made


ANSWERS: Final = [
    ("GET", "/", 200),
    ("GET", "/login", 200),
    ("GET", "/settings/people", 200),
    ("GET", "/static/styles/login.css", 200),
    ("GET", "/static/../../../etc/passwd", 404),
    ("GET", "/static/%2e%2e/app.py", 404),
    ("GET", "/nothing<script>", 404),
    ("POST", "/login", 404),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/metrics", 401),
    ("GET", "/ping", 204),
    ("GET", "/query?q=SHOW+DATABASES", 400),
    ("GET", "/api/openapi.json", 200),
    ("GET", "/api/v1/devices", 200),
    ("GET", "/api/v1/devices/%3Cscript%3E", 404),
    ("GET", "/api/v1/devices?x=1", 400),
    ("GET", "/api/v1/nothing", 404),
    ("PUT", "/api/v1/devices", 405),
    ("GET", "/api/v1/export?series=tank/level", 200),
    ("GET", "/api/v1/readings?device=tank&format=csv", 200),
    ("GET", "/api/v1/unsubscribe/x%0d%0aSet-Cookie:%20a=b", 303),
    ("GET", "/api/v1/backups/..%2f..%2fjournal.db", 404),
    ("DELETE", "/api/v1/certificates/..%2f..%2fca", 404),
    ("PUT", "/webhook/update-unit/a/b", 401),
    ("GET", "/apps/1/channels", 404),
    ("POST", "/broadcasting/auth", 400),
]
"""What an administrator's browser asks for, and what comes of it."""


def test_no_answer_is_a_page_that_runs_scripts_of_others(hub: WebHub) -> None:
    """Each says what a browser may make of it, and splits into no second one."""
    with browser(hub, "admin") as admin:
        for method, path, status in ANSWERS:
            answer = admin.request(method, path, headers={"Accept": "text/html"})
            assert answer.status_code == status, (path, answer.text)
            said = answer.headers
            policies = said.get_list("content-security-policy")
            assert len(policies) == 1, path
            assert policies[0].startswith("default-src 'none';"), path
            assert "unsafe" not in policies[0], path
            assert "frame-ancestors 'none'" in policies[0], path
            assert said["x-content-type-options"] == "nosniff", path
            assert "set-cookie" not in said, path
            if "location" in said:
                assert said["location"].startswith("/unsubscribe#"), path


def test_what_is_not_in_the_api_is_no_way_around_it(hub: WebHub) -> None:
    """Cookies open nothing there, nor do tokens for something else."""
    reader = hub.token("metrics", "read")
    bound = hub.token("bound", "read", "--device", "tank")
    writer = hub.token("other writer", "write")
    with browser(hub, "admin") as admin:
        assert admin.get("/metrics").status_code == 401
        del admin.headers["X-CSRF-Token"]
        said = {"socket_id": "1.2", "channel_name": "private-tank"}
        assert admin.post("/broadcasting/auth", json=said).status_code == 403
        body = b'{"device": "tank", "metric": "level", "value": 2}'
        answer = admin.post("/api/v1/readings", content=body)
        assert answer.status_code == 401
        assert admin.post("/api/v1/write", content=b"m,device=tank v=1").status_code == 401
        assert answer.headers["x-content-type-options"] == "nosniff"
    for token, status in ((reader, 200), (bound, 403), (writer, 403)):
        assert hub.curl("/metrics", token=token)[0] == status


def test_who_may_look_on(hub: WebHub) -> None:
    """The stream of news is for people of every role and tokens that read, and for nobody else."""
    with ExitStack() as stack:
        for name, status in (("", 401), *((role, 200) for role in ROLES)):
            here = stack.enter_context(browser(hub, name))
            stream = stack.enter_context(here.stream("GET", "/api/v1/stream"))
            assert stream.status_code == status
            if status == 200:
                assert next(stream.iter_lines()).startswith(("event:", "id:", ":", "data:"))
    status, headers, _ = hub.curl("/api/v1/stream", token=hub.token("third writer", "write"))
    assert status == 403
    assert headers["content-type"].startswith("application/problem+json")


def test_a_back_up_is_for_administrators_whoever_knows_its_address(hub: WebHub) -> None:
    """It holds secrets: its name alone opens nothing."""
    with ExitStack() as stack:
        people = {name: stack.enter_context(browser(hub, name)) for name in ("", *ROLES)}
        for name, status in (("", 401), ("viewer", 403), ("operator", 403)):
            assert people[name].post("/api/v1/backups").status_code == status
        path = people["admin"].post("/api/v1/backups").json()["path"]
        for name, status in (("", 401), ("viewer", 403), ("operator", 403)):
            assert people[name].get(path).status_code == status
        fetched = people["admin"].get(path)
        assert fetched.status_code == 200
        assert fetched.headers["content-disposition"].startswith('attachment; filename="motehub-')
        assert people["admin"].get(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["session", "setup", "invitation", "forgotten-password", "new-password"]
)
def test_forms_of_other_sites_log_nobody_in(hub: WebHub, path: str) -> None:
    """What a form can send is refused, though it reads as JSON: it needs nobody's cookie."""
    body = b'{"name": "viewer", "password": "three damp seedlings"}'
    with browser(hub) as stranger:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
            headers = {"Content-Type": kind} if kind else {}
            answer = stranger.post(f"/api/v1/{path}", content=body, headers=headers)
            assert answer.status_code == 415, (kind, answer.text)
            assert "Content-Type: application/json" in answer.json()["detail"]
            assert "set-cookie" not in answer.headers
        preflight = {
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        asked = stranger.request("OPTIONS", f"/api/v1/{path}", headers=preflight)
        assert not [one for one in asked.headers if one.startswith("access-control")]


def test_a_cookie_keeps_to_what_it_came_by(tmp_path: Path, hub: WebHub) -> None:
    """Scripts don't see it, other sites don't cause it to be sent, and TLS it does not leave."""
    said = {"name": "viewer", "password": GOOD}
    with browser(hub) as here:
        plain = here.post("/api/v1/session", json=said).headers["set-cookie"].lower()
        # Nobody is believed who is no proxy of the owner's.
        headers = {"X-Forwarded-Proto": "https"}
        forged = here.post("/api/v1/session", json=said, headers=headers).headers["set-cookie"]
    assert "secure" not in plain + forged.lower()
    settings = {**OPEN, "web": {**WEB["web"], "tls": "auto"}}
    with WebHub(tmp_path / "data", settings) as other:
        assert other.cli("user", "add", "viewer", given=GOOD).returncode == 0
        with browser(other) as here:
            cookie = here.post("/api/v1/session", json=said).headers["set-cookie"].lower()
    assert "secure" in cookie
    for one in (plain, cookie):
        assert "httponly" in one
        assert "samesite=strict" in one
        assert "path=/" in one
        assert "domain" not in one


def test_a_session_ends_where_its_owner_ends_it(hub: WebHub) -> None:
    """Nobody ends another's by its id, and what was ended opens nothing any more."""
    with (
        browser(hub, "viewer") as one,
        browser(hub, "viewer") as two,
        browser(hub, "operator") as other,
    ):
        found = {row["here"]: row["id"] for row in two.get("/api/v1/sessions").json()[:2]}
        assert other.delete(f"/api/v1/sessions/{found[False]}").status_code == 404
        assert one.get("/api/v1/session").status_code == 200
        assert two.delete(f"/api/v1/sessions/{found[False]}").status_code == 204
        assert one.get("/api/v1/session").status_code == 401
        assert one.get("/api/v1/devices").status_code == 401
        assert two.get("/api/v1/session").status_code == 200


def test_who_logs_in_anew_leaves_no_session_behind(hub: WebHub) -> None:
    """What the cookie before has opened, a copy of it opens no more."""
    said = {"name": "operator", "password": GOOD}
    with browser(hub, "operator") as here, browser(hub) as copy:
        copy.cookies.update(here.cookies)
        assert copy.get("/api/v1/session").status_code == 200
        before = len(here.get("/api/v1/sessions").json())
        assert here.post("/api/v1/session", json=said).status_code == 200
        assert len(here.get("/api/v1/sessions").json()) == before
        assert copy.get("/api/v1/session").status_code == 401
