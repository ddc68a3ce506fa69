"""The hub's own channels: who may hear them, what is said on them, and what webhooks are told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.desk import Desk
from tests.unit.protocols.pusher.stand import NOW, SECOND, Stand, Wire

from motehub.command import Command, CommandState, Order
from motehub.core.feed import SeriesNews
from motehub.core.people import People, Role
from motehub.errors import InvalidName, StorageError
from motehub.frames import Batch
from motehub.http_exchange import Request
from motehub.model import Admission, Device, Scope, Series, Token, check_device_name
from motehub.protocols.pusher import names
from motehub.protocols.pusher.application import Happening, Kind
from motehub.web import _pusher_webhooks
from motehub.web._pusher_access import Access, Grants, Visitors
from motehub.web._pusher_carrier import BaseCarrier
from motehub.web._pusher_channels import channel_of, device_of, may_hear
from motehub.web._pusher_feed import readings_events
from motehub.web._pusher_webhooks import Webhooks

READ, CONTROL, WRITE, ADMIN = Scope.READ, Scope.CONTROL, Scope.WRITE, Scope.ADMIN


def token(*scopes: Scope, devices: tuple[str, ...] = (), name: str = "page") -> Token:
    return Token(name, name.encode(), scopes, devices, NOW)


@given(st.text(max_size=29))
def test_every_device_has_a_channel_of_its_own(name: str) -> None:
    """Its name is found in the channel's, which is one that channels may have."""
    try:
        check_device_name(name)
    except InvalidName:
        return
    channel = channel_of(name)
    assert names.why_no_channel(channel) is None
    assert device_of(channel) == name


@pytest.mark.parametrize(
    "channel",
    [
        "private-device.",
        "private-device.a=b",
        "private-device.=41",
        "private-device.=c3=a9",
        "private-device.=FF",
        "private-device.a=2Fb",
        "private-devices",
        "device.a",
    ],
)
def test_other_channels_are_no_device(channel: str) -> None:
    """Also such that look like another way to write one: a device has one channel."""
    assert device_of(channel) is None


@pytest.mark.parametrize(
    ("asked", "channel", "wanted"),
    [
        (token(READ), "private-device.desk", True),
        (token(READ), "private-device.not=20yet", True),
        (token(READ, devices=("desk",)), "private-device.desk", True),
        (token(READ, devices=("desk",)), "private-device.other", False),
        (token(WRITE, CONTROL), "private-device.desk", False),
        (token(READ), "private-devices", True),
        (token(READ), "private-alerts", True),
        (token(READ, devices=("desk",)), "private-devices", False),
        (token(READ, devices=("desk",)), "private-alerts", False),
        (token(READ, WRITE), "private-requests", False),
        (token(CONTROL), "private-requests", True),
        (token(CONTROL, devices=("desk",)), "private-requests", False),
        (token(READ, WRITE, CONTROL), "private-chat", False),
        (token(READ, WRITE, CONTROL), "presence-chat", False),
        (token(ADMIN), "private-chat", True),
        (token(ADMIN), "presence-chat", True),
        (token(ADMIN), "private-requests", True),
        (token(ADMIN), "public", False),
        (token(ADMIN), "#server-to-user-a", False),
    ],
)
def test_a_token_gives_the_channels_that_it_is_for(
    asked: Token, channel: str, wanted: bool
) -> None:
    """No token opens more than it lets one ask for over HTTP."""
    assert may_hear(asked, channel) is wanted


class KnownOnes:
    """Tokens that are good until revoked; see :class:`motehub.contracts.KnownTokens`.

    The secret of ``given`` is ``good``.
    """

    def __init__(self, given: Token | None = None) -> None:
        self.given = given
        self.edition = 1
        self.revoked: set[str] = set()

    def find(self, secret: str, now: int) -> Token | None:
        return self.given if secret == "good" else None

    def has(self, token: Token) -> bool:
        return token.created == NOW and token.name not in self.revoked

    def revoke(self, name: str) -> None:
        self.revoked.add(name)
        self.edition += 1


class Desktop:
    """The endpoint that clients ask, with one token whose secret is ``good``."""

    def __init__(self, given: Token) -> None:
        self.stand = Stand()
        self.tokens = KnownOnes(given)
        self.people = People()
        visitors = Visitors(self.tokens, self.people)
        self.grants = Grants(self.stand.application, visitors)
        self.answering: list[str] = []
        self.access = Access(
            self.stand.application,
            self.grants,
            visitors,
            lambda: NOW,
            self.answering.append,
        )

    def ask(
        self, fields: Any, secret: str = "good", kind: str = "application/x-www-form-urlencoded"
    ) -> tuple[int, dict[str, Any]]:
        return self.post(fields, {"content-type": kind, "authorization": f"Bearer {secret}"})

    def post(self, fields: Any, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        raw = {name.encode(): value.encode() for name, value in headers.items()}
        answer = self.access.answer(Request("POST", "/", b"", raw, body, "192.0.2.1"))
        document: dict[str, Any] = json.loads(answer.body)
        return answer.status, document


def test_the_signature_lets_the_client_in() -> None:
    """On presence channels with who it is: the token's name. Fields come in any order."""
    desk = Desktop(token(ADMIN))
    wire = desk.stand.connect()
    fields = {"channel_name": "private-devices", "socket_id": wire.connection.socket_id}
    status, document = desk.ask(fields)
    assert (status, sorted(document)) == (200, ["auth"])
    (heard,) = wire.subscribe("private-devices", auth=document["auth"])
    assert heard["event"] == "pusher_internal:subscription_succeeded"
    text = json.dumps(fields | {"channel_name": "presence-a"}).encode()
    status, document = desk.ask(text, kind="application/json; charset=utf-8")
    assert status == 200
    auth, data = document["auth"], document["channel_data"]
    heard, *_ = wire.subscribe("presence-a", auth=auth, channel_data=data)
    assert heard["data"]["presence"]["hash"] == {"page": {"name": "page"}}
    status, document = desk.ask({"socket_id": wire.connection.socket_id})
    assert status == 200
    (heard,) = wire.say("pusher:signin", document)
    assert heard["event"] == "pusher:signin_success"
    assert wire.connection.user == "page"


def test_a_base_unit_that_answers_says_so_when_it_asks() -> None:
    """On the channel of requests, and for a connection that is here; others are told nothing."""
    desk = Desktop(token(ADMIN, CONTROL))
    socket = desk.stand.connect().connection.socket_id
    fields = {"channel_name": "private-requests", "socket_id": socket}
    assert sorted(desk.ask(fields)[1]) == ["auth"]
    assert sorted(desk.ask(fields | {"socket_id": "9.9", "answers": "1"})[1]) == ["auth"]
    assert sorted(desk.ask(fields | {"channel_name": "private-x", "answers": "1"})[1]) == ["auth"]
    assert desk.answering == []
    status, document = desk.ask(fields | {"answers": "1"})
    assert (status, document["answers"]) == (200, True)
    assert desk.answering == [socket]


@pytest.mark.parametrize(
    ("fields", "secret", "status"),
    [
        ({"socket_id": "1.2", "channel_name": "private-devices"}, "bad", 403),
        ({"socket_id": "1.2", "channel_name": "private-requests"}, "good", 403),
        ({"socket_id": "1.2", "channel_name": "private-" + "x" * 200}, "good", 403),
        ({"socket_id": "1.2:private", "channel_name": "private-devices"}, "good", 400),
        ({"channel_name": "private-devices"}, "good", 400),
        ({}, "good", 400),
        (b"\xff\xfe&&&=", "good", 400),
        (b"&".join([b"a=1"] * 500), "good", 400),
    ],
)
def test_others_are_refused(fields: Any, secret: str, status: int) -> None:
    """With a line that says why, and no signature."""
    got, document = Desktop(token(READ)).ask(fields, secret)
    assert (got, list(document)) == (status, ["error"])


@pytest.mark.parametrize("way", ["revoked", "expired"])
def test_a_token_that_gives_no_more_ends_the_connection(way: str) -> None:
    """With 4200, to come back and be refused; those that other tokens have let in stay."""
    desk = Desktop(token(READ))
    wires = [desk.stand.connect() for _ in range(3)]
    given = [
        msgspec.structs.replace(token(READ, name=f"t{number}"), expires=NOW + number)
        for number in (9, 10)
    ]
    for wire, one in zip(wires, [*given, token(READ)], strict=True):
        desk.tokens.given = one
        fields = {"socket_id": wire.connection.socket_id, "channel_name": "private-device.desk"}
        wire.subscribe("private-device.desk", auth=desk.ask(fields)[1]["auth"])
    desk.grants.check(NOW + 8)
    assert [wire.closed for wire in wires] == [None] * 3
    if way == "revoked":
        desk.tokens.revoke("t9")
    desk.grants.check(NOW + 8 if way == "revoked" else NOW + 9)
    assert wires[0].closed is not None
    assert wires[0].closed[0] == 4200
    assert [wire.closed for wire in wires[1:]] == [None] * 2
    desk.grants.check(NOW + 10)
    assert wires[1].closed is not None
    wires[2].connection.lost()
    desk.tokens.revoke("page")
    desk.grants.check(NOW + 11)
    assert wires[2].closed is None


def test_who_is_logged_in_hears_what_the_role_may_see() -> None:
    """With the cookie and the proof, not with the cookie alone; until logged out."""
    desk = Desktop(token(READ))
    batch = Batch()
    desk.people.add(batch, "owner", Role.ADMIN, NOW - 1, "kept")
    desk.people.add(batch, "guest", Role.VIEWER, NOW - 1, "kept")
    secret, browser = desk.people.log_in(batch, desk.people.get("guest"), NOW - 1)
    wire = desk.stand.connect()
    fields = {"socket_id": wire.connection.socket_id, "channel_name": "private-devices"}
    cookie = f"theme=dark; motehub={secret}"
    wrong: list[dict[str, str]] = [
        {},
        {"cookie": cookie},
        {"cookie": cookie, "x-csrf-token": "wrong"},
        {"cookie": "motehub=wrong", "x-csrf-token": browser.proof},
        {"x-csrf-token": browser.proof},
    ]
    for headers in wrong:
        assert desk.post(fields, headers)[0] == 403
    right = {"cookie": cookie, "x-csrf-token": browser.proof}
    status, document = desk.post(fields, right)
    assert status == 200
    (heard,) = wire.subscribe("private-devices", auth=document["auth"])
    assert heard["event"] == "pusher_internal:subscription_succeeded"
    assert desk.post(fields | {"channel_name": "private-requests"}, right)[0] == 403
    desk.grants.check_all(NOW)
    assert wire.closed is None
    desk.people.log_out(batch, browser)
    desk.grants.check_all(NOW)
    assert wire.closed is not None


def test_readings_go_out_in_events_that_are_not_too_long() -> None:
    """Several series together where there is room; of a longer one the newest readings stay."""
    series = [SeriesNews(Series(n, 1, f"m{n}", "°C"), [NOW + n], [21.5 + n]) for n in range(30)]
    events = [json.loads(one) for one in readings_events("desk", series, 1_000)]
    assert all(len(json.dumps(one)) < 2_000 for one in events)
    assert len(events) > 1
    told = [(one["metric"], one["values"]) for event in events for one in event["series"]]
    assert told == [(f"m{n}", [21.5 + n]) for n in range(30)]
    assert events[0]["series"][0]["times"] == [NOW / SECOND]
    long = SeriesNews(Series(1, 1, "m", ""), [NOW + n for n in range(64)], ["x" * 50] * 64, 3)
    (event,) = [json.loads(one) for one in readings_events("desk", [long], 1_000)]
    (one,) = event["series"]
    assert one["times"][-1] == (NOW + 63) / SECOND
    assert one["skipped"] + len(one["values"]) == 64 + 3
    assert 0 < len(one["values"]) < 20
    huge = SeriesNews(Series(1, 1, "m", ""), [NOW], ["x" * 5_000])
    (event,) = [json.loads(one) for one in readings_events("desk", [huge], 1_000)]
    assert (event["series"][0]["values"], event["series"][0]["skipped"]) == ([], 1)


def command(order: Order, id_: str = "7-1") -> Command:
    return Command(id_, 1, order, NOW, NOW + 60 * SECOND, CommandState.QUEUED, NOW)


def device(*identities: str) -> Device:
    return Device(1, "lamp", "units", identities, Admission.ACCEPTED, NOW)


class Base:
    """A base unit that may hear requests, and the carrier that asks it."""

    def __init__(self) -> None:
        self.stand = Stand()
        self.desk = Desk()
        grants = Grants(self.stand.application, Visitors(KnownOnes(), People()))
        self.later: list[Any] = []
        self.carrier = BaseCarrier(
            self.stand.application, self.desk, grants, lambda: NOW, self.later.append, 4_000
        )
        self.stand.application.attend("private-requests", self.carrier)

    def come(self, *, answers: bool = True) -> Wire:
        """Return a subscriber to requests; what happens later has happened."""
        wire = self.stand.connect()
        if answers:
            self.carrier.expect_answers(wire.connection.socket_id)
        wire.subscribe("private-requests")
        self.do_later()
        return wire

    def do_later(self) -> None:
        while self.later:
            self.later.pop(0)()

    def ask(self, *ids: str) -> None:
        for id_ in ids:
            order = Order(payload=f"p{id_}")
            assert self.carrier.carry(command(order, id_), device("unit:192.0.2.9"), None)

    def carry(self, order: Order, *identities: str) -> bool:
        return self.carrier.carry(command(order), device(*identities), None)


def test_a_command_goes_to_a_base_unit_that_listens() -> None:
    """As a request with the unit's address; without a base unit the command waits."""
    base = Base()
    order = Order(payload="#ff8800")
    assert not base.carry(order, "unit:192.0.2.9")
    wire = base.stand.connect()
    wire.subscribe("private-requests")
    base.carrier.look("private-requests")
    base.carrier.look("private-devices")
    assert base.desk.told == [("reachable", "any")]
    assert base.carry(order, "mqtt:lamp", "unit:192.0.2.9")
    (heard,) = wire.take()
    assert (heard["channel"], heard["event"]) == ("private-requests", "update.request")
    wanted = {"ip": "192.0.2.9", "payload": "#ff8800", "id": "7-1", "seconds": 59}
    assert heard["data"] == wanted
    assert base.desk.told[1:] == [("unheard", "7-1")]
    assert base.carry(Order("led", True), "unit:192.0.2.9:9999")
    assert wire.take()[0]["data"]["ip"] == "192.0.2.9:9999"
    assert base.desk.told[2:] == [("unheard", "7-1")]
    # Unless more is said of a unit here, its readings are stored as this metric.
    assert base.carry(Order("value", 5), "unit:192.0.2.9")
    assert base.desk.told[3:] == [("sent", "7-1")]
    base.carrier.tidy()


def requests(wire: Wire, *before: dict[str, Any]) -> list[str]:
    """Return the ids of the requests that a base unit has got since it was last asked."""
    got = [*before, *wire.take()]
    return [one["data"]["id"] for one in got if one["event"] == "update.request"]


def answer(wire: Wire, state: str, *ids: str, reason: str = "") -> list[dict[str, Any]]:
    answers = [{"id": one, "state": state, "reason": reason} for one in ids]
    data = {"answers": answers}
    return wire.say("client-update.answer", data, channel="private-requests")


def test_a_base_unit_that_answers_is_believed() -> None:
    """A command is sent when the unit has got it, and not before."""
    base = Base()
    wire = base.come()
    base.ask("1", "2", "3")
    assert requests(wire) == ["1", "2", "3"]
    assert answer(wire, "taken", "1", "2", "3") == []
    assert base.desk.told == []
    answer(wire, "sent", "1")
    answer(wire, "failed", "2", reason="it refuses\nthe \x1b[31mconnection" + "x" * 300)
    answer(wire, "failed", "3")
    assert base.desk.told[0] == ("unheard", "1")
    assert base.desk.told[1][2].startswith("it refuses the  [31mconnectionx")
    assert len(base.desk.told[1][2]) == 200
    assert base.desk.told[2] == ("failed", "3", "the base unit gives no reason")
    answer(wire, "failed", "1")
    assert len(base.desk.told) == 3


def test_what_was_not_answered_is_asked_again() -> None:
    """In its order, before what is newer, and only of those who answer."""
    base = Base()
    first = base.come()
    base.ask("1", "2", "3", "4")
    answer(first, "taken", "1", "2")
    answer(first, "sent", "1")
    base.desk.failed("4", "the owner has blocked it")
    first.connection.lost()
    other = base.come(answers=False)
    assert requests(other) == []
    other.connection.lost()
    second = base.stand.connect()
    base.carrier.expect_answers(second.connection.socket_id)
    second.subscribe("private-requests")
    base.ask("5")
    base.do_later()
    assert requests(second) == ["2", "3", "5"]
    answer(second, "sent", "2", "3", "5")
    assert [one[1] for one in base.desk.told if one[0] == "unheard"] == ["1", "2", "3", "5"]
    assert requests(base.come()) == []


def test_a_second_connection_before_the_first_is_known_to_be_dead() -> None:
    """The channel was never empty; still the newcomer gets what has not been answered."""
    base = Base()
    base.come()
    base.ask("1")
    second = base.come()
    assert requests(second) == ["1"]
    answer(second, "sent", "1")
    assert base.desk.told == [("unheard", "1")]


def test_no_more_is_on_its_way_than_a_client_may_have_waiting() -> None:
    """The next requests follow when the base unit has some of them durably."""
    base = Base()
    wire = base.come()
    base.ask(*(f"{number:03}" for number in range(60)))
    first = requests(wire)
    assert 10 < len(first) < 40
    taken = first[:-1]
    second = requests(wire, *answer(wire, "taken", *taken))
    assert second
    assert len(second) < 60 - len(first)
    rest: list[str] = []
    while untaken := [one for one in [*first, *second, *rest] if one not in taken]:
        rest += requests(wire, *answer(wire, "taken", *untaken))
        taken += untaken
    assert [*first, *second, *rest] == [f"{number:03}" for number in range(60)]


def test_units_that_the_base_unit_does_not_have() -> None:
    """Another base unit may have them; one that answers nothing has then been handed it."""
    base = Base()
    wire = base.come()
    base.ask("1")
    answer(wire, "unknown", "1")
    assert base.desk.told == []
    other = base.come(answers=False)
    assert requests(other) == ["1"]
    assert base.desk.told == [("unheard", "1")]
    base.ask("2")
    assert requests(other) == ["2"]
    assert base.desk.told == [("unheard", "1")]
    answer(wire, "unknown", "2")
    assert base.desk.told == [("unheard", "1"), ("unheard", "2")]


def test_answers_of_those_who_were_not_asked() -> None:
    """They mean nothing; and answers that can't be read are complained of."""
    base = Base()
    wire = base.come()
    base.ask("1")
    stranger = base.come(answers=False)
    answer(stranger, "sent", "1")
    elsewhere = base.stand.connect()
    (heard,) = answer(elsewhere, "sent", "1")
    assert heard["event"] == "pusher:error"
    answer(wire, "sent", "2")
    assert base.desk.told == []
    for data in ({}, {"answers": [{"id": 1}]}, {"answers": [{"id": "1", "state": "done"}]}, "x"):
        (heard,) = wire.say("client-update.answer", data, channel="private-requests")
        assert heard["event"] == "pusher:error"
    (heard,) = answer(wire, "sent", *["1"] * 51)
    assert heard["event"] == "pusher:error"
    assert base.desk.told == []
    # Other events of clients go to the others, as everywhere.
    wire.say("client-hello", {}, channel="private-requests")
    assert [one["event"] for one in stranger.take()] == ["client-hello"]


@pytest.mark.parametrize("payload", ["red\r\nblue", "a\x00b", "\n"])
def test_payloads_that_are_no_line_fail(payload: str) -> None:
    """Nothing is sent, and the command says why."""
    base = Base()
    wire = base.stand.connect()
    wire.subscribe("private-requests")
    assert base.carry(Order(payload=payload), "unit:192.0.2.9")
    assert wire.take() == []
    assert base.desk.told[-1][:2] == ("failed", "7-1")
    assert base.carry(Order("restart"), "unit:192.0.2.9")
    assert base.desk.told[-1][:2] == ("failed", "7-1")


def test_other_devices_are_no_business_of_base_units() -> None:
    """A device that is no unit is left to others."""
    base = Base()
    base.stand.connect().subscribe("private-requests")
    assert not base.carry(Order(payload="1"), "mqtt:lamp")
    assert not base.carry(Order(payload="1"))


def test_what_happens_together_is_posted_together() -> None:
    """In order; the journal is waited for, and what it can't take is dropped and counted."""

    async def work() -> None:
        posted: list[tuple[str, Any]] = []
        go = asyncio.Event()

        async def post(destination: str, body: bytes) -> None:
            await go.wait()
            posted.append((destination, json.loads(body)))

        counters: Counter[str] = Counter()
        webhooks = Webhooks("42", {"channel_occupied"}, post, lambda: NOW, counters)
        for number in range(150):
            webhooks.tell(Happening(Kind.OCCUPIED, f"c{number}"))
            webhooks.tell(Happening(Kind.VACATED, f"c{number}"))
        go.set()
        await webhooks.end()
        assert [destination for destination, _ in posted] == ["pusher/42"] * 2
        assert posted[0][1]["time_ms"] == NOW // 1_000
        events = [one for _, body in posted for one in body["events"]]
        assert events == [{"name": "channel_occupied", "channel": f"c{n}"} for n in range(150)]
        webhooks.tell(Happening(Kind.OCCUPIED, "later"))
        await webhooks.end()
        assert posted[-1][1]["events"] == [{"name": "channel_occupied", "channel": "later"}]

    asyncio.run(work())


def test_webhooks_with_long_events_hold_fewer() -> None:
    """The size of one is bounded, and nothing is left out."""

    async def work() -> None:
        sizes: list[int] = []
        heard: list[str] = []

        async def post(_: str, body: bytes) -> None:
            sizes.append(len(body))
            heard.extend(one["data"] for one in json.loads(body)["events"])

        webhooks = Webhooks("42", {"client_event"}, post, lambda: NOW, Counter())
        said = [f"{number}" + "x" * 5_000 for number in range(50)]
        for one in said:
            webhooks.tell(Happening(Kind.CLIENT_EVENT, "private-a", data=one))
        await webhooks.end()
        assert heard == said
        assert len(sizes) > 10
        assert max(sizes) < 30_000

    asyncio.run(work())


def test_webhooks_that_the_journal_cannot_take_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for them: there are so many at most, and none when the hub stops."""
    monkeypatch.setattr(_pusher_webhooks, "MOST_WAITING", 3)

    async def work() -> None:
        async def post(_: str, __: bytes) -> None:
            raise StorageError("the hub is stopping")

        counters: Counter[str] = Counter()
        webhooks = Webhooks("42", {"channel_occupied"}, post, lambda: NOW, counters)
        for number in range(5):
            webhooks.tell(Happening(Kind.OCCUPIED, f"c{number}"))
        assert counters["webhooks_dropped"] == 2
        await webhooks.end()
        assert counters["webhooks_dropped"] == 5

    asyncio.run(work())
