"""Mails to people of a real hub: forgotten passwords, invitations, tests of channels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.alert_hub import AlertHub
from tests.harness import OPEN, PATIENCE
from tests.mail_server import MailServer, plain
from tests.web_hub import WEB

from motehub.web.attempts import EMAIL_CHANGES, TRIALS, TRIALS_OF_ONE

GOOD = "three damp seedlings"
OTHER = "seven dry cactuses"
LINK = "https://hub.example/garden"


class Stand:
    """A hub that sends mails, and the server that takes them."""

    def __init__(self, hub: AlertHub, server: MailServer) -> None:
        self.hub, self.server = hub, server

    def browser(self, **headers: str) -> httpx.Client:
        """What a browser is to the hub."""
        base = f"{self.hub.url}/api/v1"
        return httpx.Client(base_url=base, timeout=PATIENCE, trust_env=False, headers=headers)

    @contextmanager
    def log_in(self, name: str, password: str) -> Iterator[httpx.Client]:
        """Open a browser in which somebody is logged in."""
        with self.browser() as made:
            answer = made.post("/session", json={"name": name, "password": password})
            assert answer.status_code == 200, answer.text
            made.headers["X-CSRF-Token"] = answer.json()["csrf"]
            yield made

    def mails_to(self, address: str, count: int) -> list[Any]:
        """Return all mails to an address, once there are so many."""

        def found() -> list[Any]:
            return [one for one in list(self.server.mails) if one["To"] == address]

        self.hub.wait_until(lambda: len(found()) >= count, f"{count} mails to {address}")
        return found()

    def add(self, name: str, *options: str) -> None:
        """Add a person with a mail address."""
        address = f"{name}@example.org"
        done = self.hub.cli("user", "add", name, "--email", address, *options, given=GOOD)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("mail") / "data"
    with MailServer() as server:
        hub = AlertHub(data, server, (), {**OPEN, **WEB, "alerts": {"link": LINK}})
        text = hub.config.read_text("utf-8")
        hub.config.write_text(
            f'{text}\n[[notify]]\nname = "phone"\nurl = "json://127.0.0.1:9/secret"\n', "utf-8"
        )
        with hub:
            stand = Stand(hub, server)
            stand.add("marie", "--role", "admin")
            yield stand


def code_in(mail: Any, page: str) -> str:
    """Return the code of the link in a mail."""
    found = re.search(rf"^{re.escape(LINK)}/{page}#(\S+)\s*$", plain(mail), re.MULTILINE)
    assert found is not None, plain(mail)
    return found[1]


def test_a_forgotten_password(stand: Stand) -> None:
    """A link goes to the known address, names the configured hub, and is good once."""
    stand.add("anna")
    with (
        stand.log_in("anna", GOOD) as elsewhere,
        stand.browser(Host="evil.example", **{"Accept-Language": "fr"}) as here,
    ):
        asked = [here.post("/forgotten-password", json={"name": name}) for name in ("anna", "eve")]
        assert [(one.status_code, one.content) for one in asked] == [(202, b"null")] * 2
        (mail,) = stand.mails_to("anna@example.org", 1)
        assert mail["Subject"] == "[motehub] Choisissez un autre mot de passe"
        assert "evil.example" not in plain(mail)
        body = {"code": code_in(mail, "reset"), "password": OTHER}
        refused = here.post("/new-password", json={**body, "password": "short"})
        assert refused.status_code == 400
        assert elsewhere.get("/session").status_code == 200
        done = here.post("/new-password", json=body)
        assert (done.status_code, done.json()["name"]) == (200, "anna")
        assert here.get("/session").status_code == 200
        assert elsewhere.get("/session").status_code == 401
        assert here.post("/new-password", json=body).status_code == 401
    changed = stand.mails_to("anna@example.org", 2)[1]
    assert changed["Subject"] == "[motehub] Votre mot de passe a été changé"
    with stand.log_in("marie", GOOD) as marie:
        deeds = [(one["who"], one["deed"]) for one in marie.get("/audit").json()]
        assert ("anna", "ask_for_link") in deeds
        assert ("anna", "reset_password") in deeds
        assert not any(who == "eve" for who, _ in deeds)
        # It is counted when the server has answered, after the mail is there.
        stand.hub.wait_until(
            lambda: marie.get("/notifications").json()["people"]["sent"] >= 2, "both are counted"
        )
    assert body["code"] not in stand.hub.log
    assert "eve@" not in "".join(str(one["To"]) for one in stand.server.mails)


def test_links_are_not_sent_without_end(stand: Stand) -> None:
    """For one account three at once, whether it is there or not."""
    stand.add("bert")
    with stand.browser() as here:
        for name in ("bert", "nobody"):
            # Behind a proxy that is trusted each would come from elsewhere.
            answers = [here.post("/forgotten-password", json={"name": name}) for _ in range(4)]
            found = {one.status_code for one in answers}
            assert 429 in found
            assert int(answers[-1].headers["Retry-After"]) > 0
    assert len(stand.mails_to("bert@example.org", 1)) <= 3


def test_an_invitation_by_mail(stand: Stand) -> None:
    """Beside the link; where it does not leave, the administrator hears why."""
    with stand.log_in("marie", GOOD) as marie, stand.browser() as carla:
        body = {"name": "carla", "role": "operator", "email": "carla@example.org"}
        made = marie.post("/users?mail=true", json=body, headers={"Accept-Language": "en"})
        assert (made.status_code, made.json()["mailed"]) == (201, True), made.text
        (mail,) = stand.mails_to("carla@example.org", 1)
        assert code_in(mail, "invitation") == made.json()["code"]
        done = carla.post("/invitation", json={"code": made.json()["code"], "password": OTHER})
        assert done.json()["email"] == "carla@example.org"
        stand.server.answer = "554 not for us"
        again = marie.post("/users/carla/invitation?mail=true").json()
        stand.server.answer = "250 OK"
        assert (again["mailed"], "not for us" in again["trouble"]) == (False, True)
        without = marie.post("/users", json={"name": "dora", "role": "viewer"}).json()
        assert (without["mailed"], without["trouble"]) == (False, None)
        assert marie.patch("/users/dora", json={"email": "x"}).status_code == 400
        kept = marie.patch("/users/dora", json={"email": "dora@example.org"}).json()
        assert (kept["email"], kept["role"]) == ("dora@example.org", "viewer")


def test_ones_own_address_needs_the_password(stand: Stand) -> None:
    """A browser that was left open must not become a way in."""
    with stand.log_in("marie", GOOD) as marie:
        body = {"email": "moved@example.org", "password": OTHER}
        assert marie.put("/session/email", json=body).status_code == 401
        done = marie.put("/session/email", json={**body, "password": GOOD})
        assert done.json()["email"] == "moved@example.org"


def test_who_loses_the_mails_hears_of_it(stand: Stand) -> None:
    """At the address before, whoever changes it and where; the log of deeds has it, too."""
    stand.add("emil")
    with stand.log_in("emil", GOOD) as emil, stand.log_in("marie", GOOD) as marie:
        body = {"email": "thief@example.org", "password": GOOD}
        emil.headers["Accept-Language"] = "fr"
        assert emil.put("/session/email", json=body).status_code == 200
        (mail,) = stand.mails_to("emil@example.org", 1)
        assert mail["Subject"] == "[motehub] Votre adresse électronique a été changée"
        assert "thief" not in plain(mail)
        assert marie.patch("/users/emil", json={"email": ""}).status_code == 200
        (mail,) = stand.mails_to("thief@example.org", 1)
        assert mail["Subject"] == "[motehub] Your mail address was changed"
        deeds = [(one["who"], one["deed"], one["detail"]) for one in marie.get("/audit").json()]
        assert ("emil", "change_email", "email: thief@example.org") in deeds
        assert ("marie", "change_user", "") in deeds
    assert stand.hub.cli("user", "email", "emil", "emil@example.net").returncode == 0
    assert stand.hub.cli("user", "email", "emil", "emil@example.com").returncode == 0
    assert len(stand.mails_to("emil@example.net", 1)) == 1


def test_another_password_is_told(stand: Stand) -> None:
    """Whether its owner has chosen it, or somebody with the data folder; the first one is none."""
    stand.add("frida")
    with stand.log_in("frida", GOOD) as frida:
        assert not stand.mails_to("frida@example.org", 0)
        body = {"old": GOOD, "new": OTHER}
        assert frida.put("/session/password", json=body).status_code == 200
        (mail,) = stand.mails_to("frida@example.org", 1)
        assert mail["Subject"] == "[motehub] Your password was changed"
        assert "tell an administrator" in plain(mail)
    assert stand.hub.cli("user", "passwd", "frida", given=GOOD).returncode == 0
    stand.mails_to("frida@example.org", 2)
    with stand.log_in("marie", GOOD) as marie:
        deeds = [(one["who"], one["deed"], one["subject"]) for one in marie.get("/audit").json()]
        assert ("frida", "change_password", "") in deeds
        assert ("owner of the data folder", "set_password", "frida") in deeds


def test_nobody_sends_mails_to_strangers_by_moving(stand: Stand) -> None:
    """Each address that is left gets a mail, so it is not left without end."""
    stand.add("gustav")
    with stand.log_in("gustav", GOOD) as gustav:
        answers = [
            gustav.put("/session/email", json={"email": f"{n}@example.org", "password": GOOD})
            for n in range(EMAIL_CHANGES + 1)
        ]
    assert [one.status_code for one in answers] == [200] * EMAIL_CHANGES + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_a_channel_is_tried(stand: Stand) -> None:
    """The answer says what came of it; secrets are not in it."""
    with stand.log_in("marie", GOOD) as marie:
        assert marie.post("/alert-channels/mail/test").json() == {"trouble": None}
        assert stand.mails_to("owner@example.org", 1)[0]["Subject"] == "[motehub] Test"
        stand.server.answer = "452 later"
        assert "452" in marie.post("/alert-channels/mail/test").json()["trouble"]
        stand.server.answer = "250 OK"
        assert marie.post("/alert-channels/phone/test").json()["trouble"] is not None
        assert marie.post("/alert-channels/sms/test").status_code == 404
        told = marie.get("/notifications")
        settings = told.json()["settings"]
        assert settings["notifiers"] == [{"name": "phone", "service": "json", "enabled": True}]
        assert settings["mail"]["recipients"] == ["owner@example.org"]
        assert (settings["link"], settings["link_is_set"]) == (LINK, True)
        assert "secret" not in told.text
        listeners = {one["section"]: one for one in marie.get("/listeners").json()}
        stream = listeners["transport.dht_stream"]
        assert (stream["runs"], stream["settings"]["host"]) == (True, "127.0.0.1")
        assert stream["ports"]["dht_stream"]["tls"] is True
        assert not listeners["transport.units"]["runs"]
        deeds = [(one["deed"], one["subject"]) for one in marie.get("/audit").json()]
        assert ("test_channel", "mail") in deeds


def test_tests_are_not_sent_without_end(stand: Stand) -> None:
    """Through one channel so many at once, by one person so many through all; none is no test."""
    stand.add("tester", "--role", "admin")
    before = len(stand.mails_to("owner@example.org", 0))
    with stand.log_in("tester", GOOD) as tester:
        for _ in range(TRIALS_OF_ONE + 1):
            assert tester.post("/alert-channels/sms/test").status_code == 404
        answers = [tester.post("/alert-channels/mail/test") for _ in range(TRIALS + 1)]
        refused = answers[-1]
        assert refused.status_code == 429
        seconds = int(refused.headers["Retry-After"])
        assert f"another one may be sent in {seconds} s" in refused.json()["detail"]
        assert len(stand.mails_to("owner@example.org", 0)) - before <= TRIALS
        assert tester.post("/alert-channels/phone/test").status_code == 200


def test_a_hub_without_mail_offers_no_link(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither on the page nor over the API."""
    data = tmp_path_factory.mktemp("without") / "data"
    with AlertHub(data, None, (), {**OPEN, **WEB}) as hub:
        page = hub.curl("/login")[2].decode()
        assert "/forgotten" not in page
        body = b'{"name": "marie"}'
        options = ("-H", "Content-Type: application/json")
        assert hub.curl("/api/v1/forgotten-password", *options, body=body)[0] == 409


def test_mail_for_people_needs_nobody_who_is_told_of_alerts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Without recipients there is no channel, and links go out all the same."""
    data = tmp_path_factory.mktemp("people") / "data"
    with MailServer() as server:
        mail: dict[str, object] = {"recipients": []}
        with AlertHub(data, server, (), {**OPEN, **WEB, "mail": mail}) as hub:
            stand = Stand(hub, server)
            stand.add("marie", "--role", "admin")
            with stand.log_in("marie", GOOD) as marie:
                assert marie.post("/alert-channels/mail/test").status_code == 404
                rule = {"name": "r", "metric": "m", "above": 1, "notify": ["mail"]}
                assert marie.post("/rules", json=rule).status_code == 400
            with stand.browser() as here:
                here.post("/forgotten-password", json={"name": "marie"})
            text = plain(stand.mails_to("marie@example.org", 1)[0])
            assert f"{hub.url}/reset#" in text
