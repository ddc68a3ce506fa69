"""Pusher Channels with clients that are not ours: pusher-js, Laravel Echo and PyPI's pusher."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pusher.errors  # type: ignore[import-untyped]
import pytest
from tests.harness import OPEN, PATIENCE, Settings
from tests.ports import free_port
from tests.pusher_hub import PUSHER, PusherHub
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

OTHER = {"app_id": "1001", "key": "other-key", "secret": "other secret"}
SETTINGS: Settings = {
    **PUSHER,
    **OPEN,
    "pusher": {"client_events": 10, "members": 3, "app": [OTHER]},
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PusherHub]:
    """An open hub for all tests here, each with channels of its own."""
    with PusherHub(tmp_path_factory.mktemp("pusher") / "data", SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def admin(hub: PusherHub) -> str:
    return hub.token("everything", "admin")


@pytest.fixture(scope="module")
def reader(hub: PusherHub) -> str:
    return hub.token("page", "read")


def test_a_page_gets_an_event_of_a_program(hub: PusherHub, reader: str) -> None:
    """pusher-js subscribes to a private channel with a token; the library pusher triggers."""
    with hub.browser(reader) as page:
        assert page.subscribe("private-device.desk") == {}
        hub.program().trigger("private-device.desk", "hello", {"é": [1, "two"]})
        assert page.event("private-device.desk", "hello")["data"] == {"é": [1, "two"]}


def test_a_page_sees_what_devices_report(hub: PusherHub, reader: str) -> None:
    """Readings on the device's own channel, and its first appearance on that of all devices."""
    writer = hub.token("board", "write")
    with hub.browser(reader) as page:
        page.subscribe("private-devices")
        page.subscribe("private-device.B=C3=BCro=202")
        reading = {"device": "Büro 2", "metric": "temperature", "unit": "°C", "value": 21.5}
        assert hub.send(reading, token=writer)[0] in (200, 201)
        new = page.event("private-devices", "state")["data"]
        assert (new["device"], new["admission"]) == ("Büro 2", "accepted")
        told = page.event("private-device.B=C3=BCro=202", "readings")["data"]
        assert told["device"] == "Büro 2"
        (series,) = told["series"]
        assert (series["metric"], series["unit"], series["values"]) == ("temperature", "°C", [21.5])
        assert abs(series["times"][0] - time.time()) < PATIENCE


def test_a_token_opens_only_its_own_channels(hub: PusherHub) -> None:
    """pusher-js is told so; a token for one device hears that one."""
    token = hub.token("desk-only", "read", "--device", "desk")
    with hub.browser(token) as page:
        for channel in ("private-devices", "private-requests", "private-chat", "presence-chat"):
            assert page.refused(channel)["status"] == 403
        assert page.refused("private-device.other")["status"] == 403
        assert page.subscribe("private-device.desk") == {}


def test_a_token_that_is_revoked_takes_its_connections_along(hub: PusherHub) -> None:
    """pusher-js comes back by itself, and is refused the channel; public ones it has again."""
    token = hub.token("short-lived", "read")
    with hub.browser(token) as page:
        page.subscribe("private-devices")
        page.subscribe("weather")
        assert hub.cli("token", "revoke", "short-lived").returncode == 0
        assert page.wait(lambda one: one.get("state") == "connecting")
        wanted = {
            ("private-devices", "pusher:subscription_error"),
            ("weather", "pusher:subscription_succeeded"),
        }
        while wanted:
            got = page.wait(lambda one: (one.get("channel"), one.get("event")) in wanted)
            wanted.remove((got["channel"], got["event"]))


def test_pages_see_each_other_on_a_presence_channel(hub: PusherHub, admin: str) -> None:
    """Members with who they are, as they come and go; the library lists them."""
    with hub.browser(admin) as first:
        told = first.subscribe("presence-room")
        assert told["count"] == 1
        assert told["members"] == {"everything": {"name": "everything"}}
        with socket_of(hub) as second:
            second.subscribe("presence-room", {"user_id": 7, "user_info": {"name": "bob"}})
            added = first.event("presence-room", "pusher:member_added")["data"]
            assert added == {"id": "7", "info": {"name": "bob"}}
            users = hub.program().users_info("presence-room")["users"]
            assert users == [{"id": "everything"}, {"id": "7"}]
            info = hub.program().channel_info("presence-room", ["user_count", "subscription_count"])
            assert info == {"occupied": True, "user_count": 2, "subscription_count": 2}
        removed = first.event("presence-room", "pusher:member_removed")["data"]
        assert removed["id"] == "7"
        with pytest.raises(pusher.errors.PusherBadRequest):
            hub.program().users_info("private-room")


def test_pages_send_each_other_events(hub: PusherHub, admin: str) -> None:
    """From page to page through the hub, and not back; with the sender's id where it is known."""
    with hub.browser(admin) as one, hub.browser(admin) as two:
        for page in (one, two):
            page.subscribe("private-talk")
            page.subscribe("presence-talk")
        one.do("trigger", channel="private-talk", event="client-typing", data={"by": "one"})
        assert two.event("private-talk", "client-typing")["data"] == {"by": "one"}
        two.do("trigger", channel="presence-talk", event="client-typing", data={"by": "two"})
        got = one.wait(lambda one: "typed" in one)
        assert got == {"typed": "presence-talk", "data": {"by": "two"}, "by": "everything"}


def test_a_page_that_sends_too_many_events_is_told_so(hub: PusherHub, admin: str) -> None:
    """With error 4301; it stays connected."""
    with hub.browser(admin) as page:
        page.subscribe("private-flood")
        # Far more than a second's share: they may take longer than that to get there.
        for number in range(100):
            page.do("trigger", channel="private-flood", event="client-n", data=number)
        assert page.wait(lambda one: "error" in one)["error"]["code"] == 4301
        hub.program().trigger("private-flood", "still", {})
        assert page.event("private-flood", "still")


def test_the_sender_of_an_event_may_be_left_out(hub: PusherHub) -> None:
    """By its socket id; other channels of the same request are not mixed up."""
    with hub.browser() as one, hub.browser() as two:
        for page in (one, two):
            page.subscribe("news-a")
            page.subscribe("news-b")
        program = hub.program()
        program.trigger(["news-a", "news-b"], "first", "not for one", socket_id=one.socket_id)
        program.trigger("news-a", "second", "for both")
        assert (
            one.wait(lambda heard: heard.get("event") in ("first", "second"))["event"] == "second"
        )
        assert two.event("news-a", "first")["data"] == "not for one"
        assert two.event("news-b", "first")
        assert two.event("news-a", "second")


def test_programs_send_batches_and_see_channels(hub: PusherHub) -> None:
    """Channels are listed as long as somebody hears them, even right after a close frame."""
    program = hub.program()
    with hub.browser() as page:
        page.subscribe("list-a")
        page.subscribe("list-b")
        program.trigger_batch(
            [
                {"channel": "list-a", "name": "one", "data": {"n": 1}},
                {"channel": "list-b", "name": "two", "data": "text"},
            ]
        )
        assert page.event("list-a", "one")["data"] == {"n": 1}
        assert page.event("list-b", "two")["data"] == "text"
        listed = program.channels_info("list-", ["subscription_count"])["channels"]
        assert listed == {"list-a": {"subscription_count": 1}, "list-b": {"subscription_count": 1}}
        page.do("unsubscribe", channel="list-a")
        hub.wait_until(
            lambda: list(program.channels_info("list-")["channels"]) == ["list-b"],
            "the channel is left",
        )
    with socket_of(hub) as raw:
        raw.subscribe("list-c")
        raw.socket.close()
        assert program.channel_info("list-c") == {"occupied": False}


def test_a_user_who_has_signed_in_is_reached_everywhere(hub: PusherHub, admin: str) -> None:
    """And is sent away from everywhere when the program says so."""
    program = hub.program()
    with hub.browser(admin) as page:
        page.do("signin")
        page.wait(lambda one: one.get("global") == "pusher:signin_success")
        hub.wait_until(
            lambda: "#server-to-user-everything" in program.channels_info()["channels"],
            "the user's own channel is heard",
        )
        program.send_to_user("everything", "news", {"for": "you"})
        assert page.wait(lambda one: one.get("user") == "news")["data"] == {"for": "you"}
        program.terminate_user_connections("everything")
        assert page.wait(lambda one: one.get("state") == "disconnected")


def test_cache_channels_give_the_last_event(hub: PusherHub) -> None:
    """pusher-js gets it on subscribing, or a cache miss."""
    with hub.browser() as page:
        page.do("subscribe", channel="cache-a")
        assert page.event("cache-a", "pusher:cache_miss")
        hub.program().trigger("cache-b", "last", {"n": 1})
        page.do("subscribe", channel="cache-b")
        assert page.event("cache-b", "last")["data"] == {"n": 1}


def test_laravel_echo(hub: PusherHub, admin: str) -> None:
    """Public, private and presence channels under the names that Echo gives them."""
    with hub.browser(admin, echo=True, namespace="") as page:
        program = hub.program()
        page.do("listen", kind="channel", channel="orders", event=".shipped")
        page.do("listen", kind="private", channel="orders.1", event=".shipped")
        page.do("join", channel="room.1")
        assert page.wait(lambda one: "here" in one)["here"] == [{"name": "everything"}]
        wanted = {"orders", "private-orders.1", "presence-room.1"}
        hub.wait_until(
            lambda: wanted <= program.channels_info()["channels"].keys(), "Echo has subscribed"
        )
        program.trigger(["orders", "private-orders.1"], "shipped", {"id": 1})
        heard = [page.wait(lambda one: "echo" in one) for _ in range(2)]
        assert sorted(one["echo"] for one in heard) == ["orders", "orders.1"]
        assert all(one["data"] == {"id": 1} for one in heard)
        with socket_of(hub) as other:
            other.subscribe("presence-room.1", {"user_id": "x", "user_info": {"name": "x"}})
            assert page.wait(lambda one: "joining" in one)["joining"] == {"name": "x"}
        assert page.wait(lambda one: "leaving" in one)["leaving"] == {"name": "x"}


def test_applications_know_nothing_of_each_other(hub: PusherHub) -> None:
    """Each has its own channels, keys and signatures."""
    with hub.browser() as page, hub.browser(key=OTHER["key"]) as other:
        page.subscribe("shared-name")
        other.subscribe("shared-name")
        hub.program(OTHER).trigger("shared-name", "theirs", 1)
        hub.program().trigger("shared-name", "ours", 2)
        assert page.wait(lambda one: one.get("event") in ("ours", "theirs"))["event"] == "ours"
        assert other.event("shared-name", "theirs")["data"] == 1
        assert hub.program(OTHER).channels_info()["channels"].keys() == {"shared-name"}
        with pytest.raises(pusher.errors.PusherBadAuth):
            hub.program(OTHER | {"app_id": hub.keys["app_id"]}).trigger("a", "b", "c")


@pytest.mark.parametrize(("key", "code"), [("no-such-key", 4001), ("a/b", 4005)])
def test_pages_are_told_why_they_cannot_connect(hub: PusherHub, key: str, code: int) -> None:
    """pusher-js shows the code, and does not try again."""
    with hub.browser(key=key, wait=False) as page:
        assert page.wait(lambda one: "error" in one)["error"]["code"] == code


@pytest.mark.parametrize(
    ("query", "code"),
    [("", 4008), ("?protocol=x", 4006), ("?protocol=4", 4007), ("?protocol=8", 4007)],
)
def test_other_versions_are_refused(hub: PusherHub, query: str, code: int) -> None:
    """By an error and a close frame with the code."""
    with connect(f"ws://127.0.0.1:{hub.web_port}/app/{hub.keys['key']}{query}") as raw:
        assert json.loads(raw.recv(PATIENCE))["data"]["code"] == code
        with pytest.raises(ConnectionClosed) as caught:
            raw.recv(PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code


@pytest.mark.parametrize("version", [5, 6, 7])
def test_old_versions_are_spoken(hub: PusherHub, version: int) -> None:
    """What libraries for other languages speak."""
    with socket_of(hub, version) as raw:
        assert raw.subscribe("news")["event"] == "pusher_internal:subscription_succeeded"


def test_a_malformed_message_costs_its_sender_at_most(hub: PusherHub) -> None:
    """An error for what is no message, the end for what is no text; others notice nothing."""
    with socket_of(hub) as good, socket_of(hub) as bad, socket_of(hub) as worse:
        good.subscribe("calm")
        bad.socket.send("this is not JSON")
        assert bad.heard()["event"] == "pusher:error"
        worse.socket.send(b"\x00\x01")
        with pytest.raises(ConnectionClosed):
            worse.socket.recv(PATIENCE)
        hub.program().trigger("calm", "e", "x")
        assert good.heard()["event"] == "e"


def test_what_is_no_upgrade_is_refused(hub: PusherHub) -> None:
    """A plain request to a client's address, and one to no address of the API."""
    assert hub.curl(f"/app/{hub.keys['key']}?protocol=7")[0] == 426
    assert hub.curl("/apps/1/channels")[0] == 404
    assert hub.curl("/broadcasting/auth", body=b"socket_id=1.2&channel_name=private-a")[0] == 403


def test_pages_of_other_sites_may_ask_with_a_token(hub: PusherHub, reader: str) -> None:
    """Browsers ask first whether they may send the header in which it is."""
    asked = ("-X", "OPTIONS", "-H", "Origin: https://page.example")
    status, headers, _ = hub.curl("/api/broadcasting/auth", *asked)
    assert status == 204
    assert headers["access-control-allow-origin"] == "*"
    assert "authorization" in headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in headers
    body = b"socket_id=1.2&channel_name=private-devices"
    status, headers, _ = hub.curl("/api/broadcasting/auth", body=body, token=reader)
    assert (status, headers["access-control-allow-origin"]) == (200, "*")


class SignedByHand:
    """A request to the HTTP API, made without any library."""

    def __init__(self, hub: PusherHub) -> None:
        self.hub = hub
        self.keys = hub.keys
        self.now = int(time.time())
        self.body = json.dumps({"name": "e", "channels": ["signed"], "data": "x"}).encode()
        self.sent: bytes | None = None

    def send(self) -> tuple[int, str]:
        path = f"/apps/{self.hub.keys['app_id']}/events"
        query = (
            f"auth_key={self.keys['key']}&auth_timestamp={self.now}&auth_version=1.0"
            f"&body_md5={hashlib.md5(self.body).hexdigest()}"
        )
        text = f"POST\n{path}\n{query}".encode()
        signature = hmac.new(self.keys["secret"].encode(), text, hashlib.sha256).hexdigest()
        body = self.body if self.sent is None else self.sent
        status, _, answer = self.hub.curl(f"{path}?{query}&auth_signature={signature}", body=body)
        return status, answer.decode()


def test_requests_with_wrong_signatures_are_denied(hub: PusherHub) -> None:
    """A wrong key or secret, an old or future time, an altered body: 401 with the reason."""
    right = SignedByHand(hub)
    assert right.send() == (200, "{}")
    for change, reason in (
        ({"keys": hub.keys | {"secret": "wrong"}}, "auth_signature"),
        ({"keys": hub.keys | {"key": "wrong"}}, "auth_key"),
        ({"now": right.now - 700}, "clock"),
        ({"now": right.now + 700}, "clock"),
        ({"sent": right.body.replace(b'"x"', b'"y"')}, "body_md5"),
        ({"sent": b""}, "body_md5"),
    ):
        wrong = SignedByHand(hub)
        for name, value in change.items():
            setattr(wrong, name, value)
        status, answer = wrong.send()
        assert status == 401, change
        assert reason in answer


def test_events_that_are_too_large_are_refused(hub: PusherHub) -> None:
    """With 413, whether it is the data or the whole body."""
    large = SignedByHand(hub)
    large.body = json.dumps({"name": "e", "channels": ["a"], "data": "x" * 10_241}).encode()
    assert large.send()[0] == 413
    large.body = b"x" * 2_000_000
    assert large.send()[0] == 413


def test_keys_are_the_owners_alone_and_stay(tmp_path: Path) -> None:
    """Made at the first start with rights 0600, shown by a command, the same at the next start."""
    hub = PusherHub(tmp_path / "data", PUSHER)
    shown = hub.cli("pusher", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    with hub:
        first = hub.keys
        assert json.loads(shown.stdout) == first
        file = hub.data / "pusher.json"
        assert file.stat().st_mode & 0o777 == 0o600
        assert first["secret"] not in hub.log
    with hub:
        assert json.loads(hub.cli("pusher", "show", "--json").stdout) == first
        assert first["secret"] in hub.cli("pusher", "show").stdout


def test_clients_are_told_when_the_hub_stops(tmp_path: Path) -> None:
    """With 4200; pusher-js comes back by itself to the next one, and subscribes anew."""
    port = free_port()
    settings: Settings = {"web": {"host": "127.0.0.1", "port": port}}
    hub = PusherHub(tmp_path / "data", settings)
    with hub:
        page = hub.browser()
        with page:
            page.subscribe("news")
            hub.stop()
            page.wait(lambda one: one.get("state") in ("connecting", "unavailable"))
            hub.start()
            page.event("news", "pusher:subscription_succeeded")
            hub.program().trigger("news", "again", 1)
            assert page.event("news", "again")["data"] == 1


def test_a_client_that_does_not_read_is_sent_away(hub: PusherHub) -> None:
    """When too much waits for it; others get every event, and devices are not held up."""
    writer = hub.token("steady-board", "write")
    with socket_of(hub) as good, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.connect(("127.0.0.1", hub.web_port))
        slow.sendall(handshake(hub.keys["key"]))
        slow.sendall(masked(b'{"event":"pusher:subscribe","data":{"channel":"flood"}}'))
        good.subscribe("flood")
        program = hub.program()
        both = {"flood": {"subscription_count": 2}}
        hub.wait_until(
            lambda: program.channels_info("flood", ["subscription_count"])["channels"] == both,
            "both have subscribed",
        )
        events = [{"channel": "flood", "name": "e", "data": "x" * 10_000}] * 10
        sent = 0
        while hub.status()["transports"]["pusher"].get("too_slow", 0) == 0:
            program.trigger_batch([dict(one) for one in events])
            reading = {"device": "steady", "metric": "m", "value": sent}
            assert hub.send(reading, token=writer)[0] in (200, 201)
            assert {good.heard()["event"] for _ in events} == {"e"}
            sent += 10
            assert sent < 5_000
        assert program.channel_info("flood", ["subscription_count"])["subscription_count"] == 1


def test_commands_for_units_elsewhere_go_to_a_base_unit(hub: PusherHub, admin: str) -> None:
    """They wait until one listens; each is sent once, in order, with its id."""
    writer = hub.token("far-away", "write")
    status, _, _ = hub.curl("/webhook/update-unit/192.0.2.77/512", "-X", "PUT", token=writer)
    assert status < 300

    def order(payload: str) -> str:
        kind = ("-H", "Content-Type: application/json")
        body = json.dumps({"payload": payload}).encode()
        path = "/api/v1/devices/192.0.2.77/commands"
        status, _, answer = hub.curl(path, *kind, body=body, token=admin)
        assert status == 202, answer
        return str(json.loads(answer)["id"])

    def state(command: str) -> str:
        return str(json.loads(hub.curl(f"/api/v1/commands/{command}", token=admin)[2])["state"])

    ids = [order("red"), order("#ff8800")]
    assert [state(one) for one in ids] == ["queued"] * 2
    with hub.browser(hub.token("base", "control")) as base:
        base.subscribe("private-requests")
        ids.append(order("blue"))
        got = [base.event("private-requests", "update.request")["data"] for _ in ids]
        # How long each is still wanted.
        assert all(0 < one.pop("seconds") <= 60 for one in got)
        assert got == [
            {"ip": "192.0.2.77", "payload": payload, "id": command}
            for payload, command in zip(["red", "#ff8800", "blue"], ids, strict=True)
        ]
        hub.wait_until(lambda: {state(one) for one in ids} == {"sent"}, "all commands are sent")
        with hub.browser(hub.token("late-base", "control")) as late:
            late.subscribe("private-requests")
            order("off")
            for one in (base, late):
                told = one.event("private-requests", "update.request")["data"]
                assert told["payload"] == "off"


class Raw:
    """A connection without a library of the protocol, after the welcome."""

    def __init__(self, hub: PusherHub, socket: ClientConnection) -> None:
        self._hub = hub
        self.socket = socket
        welcome = self.heard()
        assert welcome["event"] == "pusher:connection_established"
        self.socket_id = json.loads(welcome["data"])["socket_id"]

    def subscribe(self, channel: str, member: Any = None) -> dict[str, Any]:
        """Subscribe, signed with the library for programs; return the answer."""
        data: dict[str, Any] = {"channel": channel}
        if channel.startswith(("private-", "presence-")):
            data |= self._hub.program().authenticate(channel, self.socket_id, member)
        self.socket.send(json.dumps({"event": "pusher:subscribe", "data": data}))
        return self.heard()

    def heard(self) -> dict[str, Any]:
        """Return the next message."""
        message: dict[str, Any] = json.loads(self.socket.recv(PATIENCE))
        return message


@contextmanager
def socket_of(hub: PusherHub, version: int = 7) -> Iterator[Raw]:
    """Connect for the duration of the block."""
    address = f"ws://127.0.0.1:{hub.web_port}/app/{hub.keys['key']}?protocol={version}"
    with connect(address) as socket:
        yield Raw(hub, socket)


def handshake(key: str) -> bytes:
    """Return a request for WebSocket."""
    return (
        f"GET /app/{key}?protocol=7 HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def masked(text: bytes) -> bytes:
    """Return a short text in a client's frame."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text
