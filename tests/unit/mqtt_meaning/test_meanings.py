"""What the hub's own topics mean: readings and device sessions."""

from __future__ import annotations

from typing import Any

import pytest

from motehub.model import (
    Announced,
    Assignment,
    Clock,
    Delivery,
    Joined,
    Left,
    Malformed,
    Receipt,
    Record,
    RefusedRecord,
    Samples,
    Source,
    Texts,
)
from motehub.mqtt_meaning.gathering import Client, Gathered, Refusal, Reply
from motehub.mqtt_meaning.meanings import Meanings
from motehub.protocols.device_session import Claim
from motehub.protocols.mqtt.packets import Publish
from motehub.protocols.mqtt.reason_codes import ReasonCode

NOW = 1_795_215_909_000_000
PEER = "192.0.2.7:4711"
CLAIM = b"capteur01;1743946777.603371"
STRANGER = Client("mqtt_broker", PEER, vouched=False, may_write=lambda device: True)
FRIEND = Client("mqtt_broker", PEER, vouched=True, may_write=lambda device: device != "safe")


def gather(*messages: tuple[str, bytes], client: Client = FRIEND) -> Gathered:
    return Meanings().gather([Publish(*one) for one in messages], client, NOW)


def says(delivery: Delivery) -> list[Any]:
    """Return a delivery's records as short tuples; all readings must be stamped by the hub."""
    return [_short(record) for record in delivery.records]


def _short(record: Record) -> Any:
    if not isinstance(record, Samples | Texts):
        return record
    assert record.clock is Clock.HUB
    assert list(record.times) == [NOW] * len(record.values)
    if isinstance(record, Texts):
        return record.metric, record.values
    return record.metric, record.unit, list(record.values)


def test_numbers_of_a_series() -> None:
    """Numbers on one topic are one column of a device that the owner has vouched for."""
    gathered = gather(("readings/den/temperature", b"21.5"), ("readings/den/temperature", b"-3"))
    (delivery,) = gathered.deliveries
    assert delivery.source == Source(
        "mqtt_broker", "mqtt:den", "den", PEER, vouched=True, alias="http:den"
    )
    assert says(delivery) == [("temperature", "", [21.5, -3])]
    assert gathered.outcomes([Receipt(2, 0)]) is None


def test_a_stranger_has_an_identity_of_its_own() -> None:
    """Who shows no key can't speak for the device that has one, though the name is the same."""
    (delivery,) = gather(("readings/den/temperature", b"1"), client=STRANGER).deliveries
    assert delivery.source == Source("mqtt_broker", "mqtt_broker.anonymous:den", "den", PEER)


def test_the_source_is_of_the_client_that_speaks() -> None:
    """A topic that was another client's a moment ago does not keep that client's source."""
    meanings = Meanings()
    message = [Publish("readings/den/temperature", b"1")]
    for client in (FRIEND, STRANGER, FRIEND):
        (delivery,) = meanings.gather(message, client, NOW).deliveries
        assert delivery.source.vouched is client.vouched
        assert delivery.source.identity.startswith("mqtt:") is client.vouched


def test_devices_and_metrics() -> None:
    """Each device has one delivery, each metric one record in it."""
    gathered = gather(
        ("readings/den/temperature", b"1"),
        ("readings/attic/temperature", b"2"),
        ("readings/den/door", b"3"),
        ("readings/den/temperature", b"4"),
    )
    assert {d.source.suggested_name: says(d) for d in gathered.deliveries} == {
        "den": [("temperature", "", [1, 4]), ("door", "", [3])],
        "attic": [("temperature", "", [2])],
    }


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"21.5", 21.5),
        (b" 21.5\r\n", 21.5),
        (b"-0.5e-3", -0.0005),
        (b"true", 1.0),
        (b"false\n", 0.0),
    ],
)
def test_a_number(payload: bytes, value: float) -> None:
    """Numbers are those of JSON, with white space around them; true and false are 1 and 0."""
    (delivery,) = gather(("readings/den/door", payload)).deliveries
    assert says(delivery) == [("door", "", [value])]


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"open", "open"),
        (b"ON", "ON"),
        (b" wide open \n", "wide open"),
        (b'"21.5"', "21.5"),
        (b'"caf\\u00e9"', "café"),
        (b"2026-11-21", "2026-11-21"),
        (b"1,5", "1,5"),
        ("größer".encode(), "größer"),
    ],
)
def test_a_text(payload: bytes, value: str) -> None:
    """What is no JSON value is text; a JSON string is the text in it."""
    (delivery,) = gather(("readings/den/door", payload)).deliveries
    assert says(delivery) == [("door", [value])]


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b" ", b"nan", b"NaN", b"inf", b"-Infinity", b"1_000", b"+5", b".5", b"5.", b"007"),
        *(b"1e400", b"9" * 400, b"null", b'"open', b"\xff\xfe", b"a\x00b", b"x" * 70_000),
        "٣".encode(),
    ],
)
def test_what_is_no_reading(payload: bytes) -> None:
    """What looks like a number without being one, and what can't be read, is refused."""
    gathered = gather(("readings/den/temperature", payload))
    (delivery,) = gathered.deliveries
    (record,) = delivery.records
    assert isinstance(record, Malformed)
    assert record.payload == payload[:200]
    assert record.reason.startswith("readings/den/temperature: ")
    outcomes = gathered.outcomes([Receipt(0, 1, record.reason)])
    assert outcomes is not None
    assert outcomes.refused[0].code is ReasonCode.PAYLOAD_FORMAT_INVALID
    assert outcomes.refused[0].reason in record.reason


def test_numbers_texts_and_garbage_on_one_topic() -> None:
    """One bad message costs no other, and each is answered by itself."""
    topic = "readings/den/door"
    gathered = gather((topic, b"1"), (topic, b"1,2"), (topic, b"nan"), (topic, b"3"))
    (delivery,) = gathered.deliveries
    numbers, texts, malformed = says(delivery)
    assert numbers == ("door", "", [1, 3])
    assert texts == ("door", ["1,2"])
    assert malformed.payload == b"nan"
    outcomes = gathered.outcomes([Receipt(3, 1, malformed.reason)])
    assert outcomes is not None
    assert set(outcomes.refused) == {2}


def test_a_flood_of_garbage_is_counted() -> None:
    """Payloads that are bad for the same reason are kept as one sample with their number."""
    gathered = gather(*[("readings/den/t", b"")] * 50)
    (record,) = gathered.deliveries[0].records
    assert isinstance(record, Malformed)
    assert record.count == 50
    outcomes = gathered.outcomes([Receipt(0, 50, record.reason)])
    assert outcomes is not None
    assert len(outcomes.refused) == 50


def test_a_device_that_the_client_may_not_write() -> None:
    """Readings of somebody else's device are refused, and nobody's."""
    gathered = gather(("readings/safe/door", b"1"), ("readings/den/door", b"1"))
    sources = {delivery.source.identity: delivery for delivery in gathered.deliveries}
    assert says(sources["mqtt:den"]) == [("door", "", [1])]
    assert isinstance(sources[""].records[0], Malformed)
    receipts = [Receipt(0, 0) for _ in gathered.deliveries]
    outcomes = gathered.outcomes(receipts)
    assert outcomes is not None
    assert {n: one.code for n, one in outcomes.refused.items()} == {0: ReasonCode.NOT_AUTHORIZED}


def test_what_the_hub_refuses_is_said_of_each_message() -> None:
    """A refusal of a record's last readings is that of the messages that brought them."""
    topic = "readings/den/t"
    gathered = gather((topic, b"1"), ("readings/den/u", b"5"), (topic, b"2"), (topic, b"3"))
    receipt = Receipt(2, 2, "full", (RefusedRecord(0, 1, "full"),))
    outcomes = gathered.outcomes([receipt])
    assert outcomes is not None
    refusal = Refusal(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR, "full")
    assert outcomes.refused == {2: refusal, 3: refusal}


@pytest.mark.parametrize("topic", ["readings", "den/temperature", "state/nameAssign", "$SYS/x"])
def test_what_means_nothing(topic: str) -> None:
    """Other topics are in no delivery."""
    gathered = gather((topic, b"1"))
    assert gathered.deliveries == []
    assert gathered.outcomes([]) is None


def test_what_a_subscription_retained_is_old() -> None:
    """From another broker, RETAIN marks what was published any time before; here it is new."""
    remote = Client("mqtt_client", PEER, vouched=True, may_write=bool, subscription=True)
    messages = [
        Publish("readings/den/temperature", b"1", retain=True),
        Publish("state/join", CLAIM, retain=True),
        Publish("readings/den/door", b"open"),
    ]
    (delivery,) = Meanings().gather(messages, remote, NOW).deliveries
    assert says(delivery) == [("door", ["open"])]
    assert len(Meanings().gather(messages, FRIEND, NOW).deliveries) == 2


def test_topics_are_not_remembered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many topics there are, and however long, what is kept of them is bounded."""
    monkeypatch.setattr("motehub.mqtt_meaning.meanings.TOPICS", 10)
    meanings = Meanings()
    for number in range(35):
        message = Publish(f"readings/den{number}/t", b"1")
        assert len(meanings.gather([message], FRIEND, NOW).deliveries) == 1
        assert meanings.remembered <= 10
    before = meanings.remembered
    meanings.gather([Publish("a/" * 200, b"1")], FRIEND, NOW)
    assert meanings.remembered == before


def test_a_device_announces_itself() -> None:
    """A MAC address is answered with a name and a session, once the hub has given them."""
    client = Client("mqtt_broker", PEER, False, lambda device: False, rival=lambda i: f"rival {i}")
    gathered = gather(("state/join", b"61:ec:ED:3B:25:B1"), client=client)
    (delivery,) = gathered.deliveries
    assert delivery.source == Source("mqtt_broker", "mac:61:EC:ED:3B:25:B1", "", PEER)
    assert delivery.records == [Announced("rival mac:61:EC:ED:3B:25:B1")]
    receipt = Receipt(0, 0, assigned=Assignment("capteur01", "1743946777.603371"))
    outcomes = gathered.outcomes([receipt])
    assert outcomes is not None
    payload = b"61:ec:ED:3B:25:B1;capteur01;1743946777.603371"
    assert outcomes.replies == [Reply("state/nameAssign", payload, 2)]
    assert outcomes.refused == {}


def test_a_pending_device_is_not_answered() -> None:
    """As long as the owner has not accepted the device, nothing is said to it."""
    gathered = gather(("state/join", b"61:EC:ED:3B:25:B1"))
    assert gathered.outcomes([Receipt(0, 0)]) is None


def test_a_session() -> None:
    """Join, reports and leave are said by name and session; reports are columns."""
    gathered = gather(
        ("state/join", CLAIM),
        ("photoresistor/status", CLAIM + b";57"),
        ("led/status", CLAIM + b";1"),
        ("photoresistor/status", CLAIM + b";58"),
        ("state/leave", CLAIM),
        client=STRANGER,
    )
    source = Source("mqtt_broker", "", "capteur01", PEER, session="1743946777.603371")
    assert {delivery.source for delivery in gathered.deliveries} == {source}
    assert [one for delivery in gathered.deliveries for one in says(delivery)] == [
        Joined(),
        ("illuminance", "%", [57, 58]),
        ("led", "", [1]),
        Left("it said so"),
    ]
    assert gathered.joins == {0: Claim("capteur01", "1743946777.603371")}


def test_reports_stay_on_their_side_of_a_join() -> None:
    """A report after a join or leave is not stored before it, nor one before it after it."""
    gathered = gather(
        ("button/status", CLAIM + b";1"),
        ("state/join", b"61:EC:ED:3B:25:B1"),
        ("button/status", CLAIM + b";0"),
        ("state/leave", CLAIM),
        ("button/status", CLAIM + b";1"),
    )
    assert [says(delivery) for delivery in gathered.deliveries] == [
        [("button", "", [1])],
        [Announced()],
        [("button", "", [0]), Left("it said so")],
        [("button", "", [1])],
    ]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("state/join", b"nonsense"),
        ("state/leave", b"61:EC:ED:3B:25:B1"),
        ("led/status", CLAIM),
        ("led/status", b"1"),
        ("photoresistor/status", CLAIM + b";101"),
    ],
)
def test_a_payload_of_no_session(topic: str, payload: bytes) -> None:
    """What is not as the protocol has it is nobody's, and is answered with the reason."""
    gathered = gather((topic, payload), client=STRANGER)
    (delivery,) = gathered.deliveries
    assert delivery.source == Source("mqtt_broker", "", "", PEER)
    (record,) = delivery.records
    assert isinstance(record, Malformed)
    outcomes = gathered.outcomes([Receipt(0, 1, record.reason)])
    assert outcomes is not None
    assert outcomes.refused[0].code is ReasonCode.PAYLOAD_FORMAT_INVALID
