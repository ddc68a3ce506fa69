"""Alerts of a real hub: from a reading to a mail, events, webhooks, and what the owner does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count, takewhile
from typing import Any

import pytest
from tests.alert_hub import AlertHub
from tests.harness import PATIENCE
from tests.mail_server import MailServer, html, plain
from tests.receivers import Receiver
from tests.web_hub import WEB
from tests.webhook_hub import SECRET, verified

RULES: list[dict[str, object]] = [
    {"name": "warm", "metric": "temperature", "devices": ["freezer*"], "above": -15},
    {"name": "held", "metric": "temperature", "devices": ["held"], "above": 5, "for": "1s"},
    {"name": "fast", "metric": "temperature", "devices": ["fast"], "changes": 5, "within": "10m"},
    {"name": "button", "metric": "button", "equals": "1", "severity": "info"},
    {"name": "mode", "metric": "mode", "equals": "alarm", "message": "{device} says {value}!"},
    {"name": "quiet one", "devices": ["silent"], "silent": "1s"},
    {"name": "nobody", "metric": "secret", "above": 0, "notify": ["-"]},
]


class Stand:
    """A hub, its mail server, a receiver of webhooks and tokens."""

    def __init__(self, hub: AlertHub, server: MailServer, receiver: Receiver) -> None:
        self.hub, self.server, self.receiver = hub, server, receiver
        self.token = hub.token("w")
        self.admin = hub.token("a", "admin")

    def mail(self, subject: str) -> Any:
        """Return the first mail whose subject, or whose text, has this in it, once it has come."""
        found: list[Any] = []

        def there() -> bool:
            mails = list(self.server.mails)
            found[:] = [one for one in mails if subject in f"{one['Subject']} {plain(one)}"]
            return bool(found)

        self.hub.wait_until(there, f"a mail says {subject!r}")
        return found[0]

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the API as the administrator."""
        options = ["-X", method, "-H", "Content-Type: application/json"]
        raw = None if body is None else json.dumps(body).encode()
        status, _, answer = self.hub.curl(f"/api/v1{path}", *options, body=raw, token=self.admin)
        return status, json.loads(answer) if answer else None

    def alert(self, device: str) -> dict[str, Any]:
        """Return the newest alert of a device, once there is one."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            rows = self.api("GET", "/alerts?all=true")[1]
            found[:] = [one for one in rows if one["device"] == device]
            return bool(found)

        self.hub.wait_until(there, f"{device} has an alert")
        return found[0]


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("alerts") / "data"
    with Receiver() as receiver, MailServer() as server:
        # Rates of real people would hold back what comes next.
        alerts = {"rate": 3600, "link": "https://hub.example"}
        hub = AlertHub(data, server, RULES, {**WEB, "alerts": alerts})
        text = hub.config.read_text("utf-8")
        text += f'\n[[webhook]]\nname = "hook"\nurl = "{receiver.url}"\nsecret = "{SECRET}"\n'
        hub.config.write_text(f'{text}events = ["alerts"]\n', "utf-8")
        with hub:
            yield Stand(hub, server, receiver)


def attempts() -> Iterator[int]:
    """Count for as long as a machine may be too busy for what usually happens."""
    ends = time.monotonic() + PATIENCE
    return takewhile(lambda number: number < 20 or time.monotonic() < ends, count())


def test_a_reading_becomes_a_mail_and_its_end_another(stand: Stand) -> None:
    """With device, value, limit and link, as text and as HTML; an event and a webhook too."""
    stand.hub.say(stand.token, -20)
    stand.hub.say(stand.token, -3.5)
    mail = stand.mail("freezer: temperature is -3.5")
    assert mail["Subject"] == (
        "[motehub] Warning: freezer: temperature is -3.5 °C (temperature above -15)"
    )
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["To"] == "owner@example.org"
    assert "https://hub.example/device#freezer" in plain(mail)
    assert "rule warm: temperature above -15" in plain(mail)
    assert "freezer: temperature is -3.5 °C" in html(mail)
    stand.hub.say(stand.token, -18)
    assert "Over: freezer: temperature is -18 °C again" in str(
        stand.mail("-18 °C again")["Subject"]
    )

    def events() -> list[str]:
        rows = stand.api("GET", "/events")[1]
        return [one["text"] for one in rows if one["kind"] == "alert"]

    stand.hub.wait_until(lambda: len(events()) >= 2, "the events are there")
    stand.hub.wait_until(lambda: len(stand.receiver.received) >= 2, "the webhooks have come")
    first, second = (verified(one) for one in stand.receiver.received[:2])
    assert (first["type"], second["type"]) == ("alert.firing", "alert.over")
    data: Any = first["data"]
    assert (data["device"], data["rule"], data["value"]) == ("freezer", "warm", "-3.5")


def test_a_mail_shows_how_it_came(stand: Stand) -> None:
    """A picture within the HTML: usually, since a mail does not wait for one."""
    for number in attempts():
        device = f"freezer-drawn-{number}"
        stand.hub.say(stand.token, -20, device=device)
        stand.hub.wait_stored(device, "temperature", 1)
        stand.hub.say(stand.token, 4.5, device=device)
        mail = stand.mail(f"{device}: temperature is 4.5")
        pictures = [one for one in mail.walk() if one.get_content_type() == "image/png"]
        if pictures:
            break
    else:
        raise AssertionError("no mail has a picture")
    (picture,) = pictures
    assert picture.get_content().startswith(b"\x89PNG")
    assert f'src="cid:{picture["Content-ID"].strip("<>")}"' in html(mail)
    assert picture.get_content_disposition() == "inline"


def test_a_mail_comes_within_a_second(stand: Stand) -> None:
    """Usually: the best of many is looked at, since the machine may be busy."""
    best = PATIENCE
    for number in attempts():
        before = len(stand.server.times)
        began = time.time()
        stand.hub.say(stand.token, number, device=f"freezer-{number}")
        stand.server.wait(before + 1)
        best = min(best, stand.server.times[before] - began)
        if best < 1:
            break
    assert best < 1


def test_what_must_last_is_told_when_it_has(stand: Stand) -> None:
    """No further reading is needed."""
    stand.hub.say(stand.token, 9, device="held")
    stand.mail("held: temperature is 9 °C (temperature above 5 for 1 s)")


def test_changes_states_texts_and_silence(stand: Stand) -> None:
    """One rule of each kind."""
    stand.hub.say(stand.token, 20, device="fast")
    stand.hub.say(stand.token, 26, device="fast")
    stand.hub.say(stand.token, 1, device="door", metric="button", unit="")
    stand.hub.say(stand.token, "alarm", device="panel", metric="mode", unit="")
    stand.hub.say(stand.token, 1, device="silent")
    stand.mail("fast: temperature is 26 °C (temperature changes by more than 5 within 10 min)")
    stand.mail("door: button is 1")
    stand.mail("panel says alarm!")
    assert (stand.alert("panel")["own_words"], stand.alert("door")["own_words"]) == (True, False)
    stand.mail("silent: nothing comes any more")


def test_what_is_pending_is_shown(stand: Stand) -> None:
    """With the rule, over the API and on the command line, as soon as it is kept."""
    rule = {"name": "waits", "devices": ["waiting"], "metric": "temperature", "above": 5}
    assert stand.api("POST", "/rules", {**rule, "for": 86_400})[0] == 201
    stand.hub.say(stand.token, 9, device="waiting")
    stand.hub.wait_until(
        lambda: stand.api("GET", "/rules/waits")[1]["pending"] == 1, "it is pending", 60
    )
    rows = {row["name"]: row["pending"] for row in stand.hub.json("rules", "list")}
    assert (rows["waits"], rows["warm"]) == (1, 0)
    every = {row["name"]: row["pending"] for row in stand.api("GET", "/rules")[1]}
    assert (every["waits"], every["warm"]) == (1, 0)
    assert stand.api("DELETE", "/rules/waits")[0] == 204


def test_of_what_nobody_is_told_there_is_an_alert(stand: Stand) -> None:
    """A rule that notifies nobody leaves the alert and its event."""
    stand.hub.say(stand.token, 1, device="vault", metric="secret")
    assert stand.alert("vault")["state"] == "firing"
    assert not any("vault" in plain(one) for one in stand.server.mails)


def test_rules_are_added_tried_changed_and_removed(stand: Stand) -> None:
    """Over the API, the same as on the command line."""
    for value in (1, 9, 1, 9, 9, 1):
        stand.hub.say(stand.token, value, device="past")
    rule = {"name": "new", "devices": ["past"], "metric": "temperature", "above": 5}
    status, found = stand.api("POST", "/rule-preview", {**rule, "from": "-1d"})
    assert status == 200, found
    assert (found["count"], found["readings"], found["series"]) == (2, 6, 1)
    status, kept = stand.api("POST", "/rules", {**rule, "for": 60})
    assert (status, kept["for"], kept["origin"]) == (201, 60.0, "added")
    assert stand.api("POST", "/rules", rule)[0] == 400
    for method, path in (("POST", "/rules"), ("PATCH", "/rules/new")):
        body = {"notify": ["mail", "sms"]} | ({} if method == "PATCH" else {**rule, "name": "x"})
        status, problem = stand.api(method, path, body)
        assert (status, "no channel 'sms'. Known channels: -, mail." in problem["detail"]) == (
            400,
            True,
        )
    assert stand.api("POST", "/rules", {**rule, "name": "x", "offline": True})[0] == 400
    status, kept = stand.api("PATCH", "/rules/new", {"for": 0, "above": 7})
    assert (status, kept["when"]) == (200, "temperature above 7")
    stand.hub.say(stand.token, 8, device="past")
    stand.mail("past: temperature is 8 °C (temperature above 7)")
    assert stand.api("DELETE", "/rules/new")[0] == 204
    assert stand.api("GET", "/rules/new")[0] == 404
    stand.hub.wait_until(lambda: bool(stand.alert("past")["ended"]), "its alert is over")
    assert stand.api("DELETE", "/rules/warm")[0] == 400
    done = stand.hub.cli("rules", "add", "dry", "--metric", "humidity", "--below", "30")
    assert done.returncode == 0, done.stderr
    assert "Nothing that it is about is there yet" in done.stdout
    done = stand.hub.cli("rules", "change", "dry", "--metric", "temperature")
    assert "Nothing" not in done.stdout
    done = stand.hub.cli("rules", "change", "dry", "--message", "{valeu}")
    assert "Did you mean {value}?" in done.stderr
    assert len(stand.hub.cli("rules", "list").stdout.splitlines()[0]) < 120
    names = {row["name"]: row["origin"] for row in stand.hub.json("rules", "list")}
    assert (names["dry"], names["warm"], names["no data"]) == ("added", "configuration", "built-in")
    done = stand.hub.cli("rules", "preview", "warm", "--known", "--since", "1d")
    assert "would have fired" in done.stdout, done.stderr
    assert stand.hub.cli("rules", "remove", "dry").returncode == 0


def test_alerts_are_acknowledged_and_snoozed(stand: Stand) -> None:
    """By people, who are named; what is over can't be any more."""
    stand.hub.say(stand.token, 0, device="freezer-ack")
    alert = stand.alert("freezer-ack")
    assert stand.api("POST", f"/alerts/{alert['id']}/acknowledge")[0] == 202
    stand.hub.wait_until(lambda: stand.alert("freezer-ack")["acknowledged_by"] == "a", "it is")
    done = stand.hub.cli("alerts", "snooze", str(alert["id"]), "2h")
    assert done.returncode == 0, done.stderr
    stand.hub.wait_until(lambda: bool(stand.alert("freezer-ack")["snoozed_until"]), "it is")
    stand.hub.say(stand.token, -30, device="freezer-ack")
    stand.hub.wait_until(lambda: bool(stand.alert("freezer-ack")["ended"]), "it is over")
    assert stand.api("POST", f"/alerts/{alert['id']}/acknowledge")[0] == 404


def test_of_a_device_in_maintenance_nobody_is_told(stand: Stand) -> None:
    """Unless it is still so afterwards."""
    stand.hub.say(stand.token, -30, device="freezer-m")
    path = "/devices/freezer-m/maintenance"
    assert stand.api("PUT", path, {"seconds": 3600})[0] == 200
    stand.hub.say(stand.token, 1, device="freezer-m")
    stand.alert("freezer-m")
    stand.hub.say(stand.token, -30, device="freezer-m")
    stand.hub.wait_until(lambda: bool(stand.alert("freezer-m")["ended"]), "it is over")
    stand.hub.say(stand.token, 2, device="freezer-m")
    stand.hub.wait_until(lambda: not stand.alert("freezer-m")["ended"], "it is so again")
    assert stand.api("PUT", path, {"seconds": 0})[0] == 200
    stand.mail("freezer-m: temperature is 2 °C")
    assert not any("freezer-m: temperature is 1 °C" in plain(one) for one in stand.server.mails)


def test_channels_show_what_they_have_done(stand: Stand) -> None:
    """Counts, and no trouble."""
    (row,) = stand.api("GET", "/alert-channels")[1]
    assert (row["name"], row["trouble"]) == ("mail", None)
    assert row["delivered"] > 0
    assert stand.hub.json("alerts", "channels")[0]["name"] == "mail"
    done = stand.hub.cli("mail", "test", "--config", str(stand.hub.config))
    assert done.returncode == 0, done.stderr
    stand.mail("This is a test")
