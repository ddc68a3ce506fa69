"""The parts of the client of another broker, and what it acknowledges when, at a real Mosquitto."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.desk import Desk
from tests.harness import PATIENCE
from tests.servers import MosquittoServer

from motehub.contracts import ClientTrust, Ground, Note, Places, TlsContexts
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.errors import ConfigurationError
from motehub.frames import Batch
from motehub.model import Admission, Delivery, Receipt, Samples, Source
from motehub.transports._mqtt_client_memory import LESSON_BYTES, Memory
from motehub.transports._mqtt_client_messages import Arrived, Released
from motehub.transports._mqtt_client_settings import Settings, Version, plan_of
from motehub.transports._mqtt_client_topics import Repeats, identifier_of, overlapping, wanted
from motehub.transports._mqtt_client_troubles import explain
from motehub.transports._mqtt_client_trust import Trust
from motehub.transports.mqtt_client import MqttClient


class Door:
    """Takes what the client accepts; while it is ``shut``, what it has is not durable."""

    held_back = None

    def __init__(self) -> None:
        self.values: list[float] = []
        self.state: dict[str, bytes] = {}
        self.shut: asyncio.Event | None = None
        self.waiting = 0

    async def interrupt(self, dialect: str) -> None:
        assert dialect == "mqtt_client"

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        receipts = [Receipt(len(one.records), 0) for one in deliveries]
        changes = {} if note is None else note(receipts)
        values = [
            value
            for one in deliveries
            for record in one.records
            if isinstance(record, Samples)
            for value in record.values
        ]
        if values and self.shut is not None:
            self.waiting += 1
            await self.shut.wait()
        self.values += values
        for key, value in changes.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        return receipts


def no_tls(_: ClientTrust) -> TlsContexts:
    raise NotImplementedError


def ground(door: Door) -> Ground:
    return Ground(
        door,
        lambda: time.time_ns() // 1000,
        no_tls,
        Places(10),
        Desk(),
        lambda: dict(door.state),
        Tokens(),
        Registry(),
        True,
    )


@pytest.fixture
def broker() -> Iterator[MosquittoServer]:
    with MosquittoServer(settings=["max_inflight_messages 0"]) as server:
        yield server


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


@asynccontextmanager
async def client(
    broker: MosquittoServer, door: Door, version: Version = Version.V5
) -> AsyncIterator[MqttClient]:
    settings = Settings(
        url=f"mqtt://127.0.0.1:{broker.port}", version=version, client_id="hub", trusted=True
    )
    async with MqttClient(settings, ground(door)) as running:
        await until(lambda: running.counters["subscriptions"], "it has subscribed")
        yield running


async def publish(broker: MosquittoServer, value: int, qos: int) -> None:
    command = ["mosquitto_pub", "-p", str(broker.port), "-V", "5", "-q", str(qos)]
    process = await asyncio.create_subprocess_exec(
        *command, "-t", "readings/den/n", "-m", str(value), stdout=subprocess.DEVNULL
    )
    assert await process.wait() == 0


@pytest.mark.parametrize("version", list(Version))
@pytest.mark.parametrize(("qos", "answer"), [(1, "PUBACK"), (2, "PUBREC")])
async def test_nothing_is_acknowledged_before_it_is_durable(
    broker: MosquittoServer, version: Version, qos: int, answer: str
) -> None:
    """While the journal takes its time, the broker has no answer to the message."""
    door = Door()
    told = f"Received {answer} from hub"
    async with client(broker, door, version):
        door.shut = asyncio.Event()
        await publish(broker, 1, qos)
        await until(lambda: door.waiting, "it has come")
        try:
            # What is published now comes behind: so an answer would have come before.
            await publish(broker, 2, 0)
            assert told not in broker.log
        finally:
            door.shut.set()
        await until(lambda: told in broker.log, "it is acknowledged")
        await until(lambda: door.values == [1, 2], "all is stored, in its order")


@pytest.mark.parametrize("version", list(Version))
async def test_a_crash_after_the_commit_doubles_nothing_of_qos_2(
    broker: MosquittoServer, version: Version
) -> None:
    """Its packet id is durable with it: what the broker sends again is known."""
    door = Door()
    async with client(broker, door, version) as running:
        link = running._link
        assert link is not None
        # As if the power went: no acknowledgement leaves.
        link.acknowledge = lambda events: None  # type: ignore[method-assign]
        await publish(broker, 1, 2)
        await until(lambda: door.values == [1], "it is stored")
        assert [key for key in door.state if "received/" in key]
        link.drop()
    async with client(broker, door, version) as running:
        await until(lambda: running.counters["messages_sent_again"] == 1, "it came again")
        await publish(broker, 2, 2)
        await until(lambda: door.values == [1, 2], "the next one is a new one")
        await until(
            lambda: not [key for key in door.state if "received/" in key], "all is released"
        )


async def test_a_crash_between_release_and_its_answer_ends_well(broker: MosquittoServer) -> None:
    """A PUBREL of which nothing is known any more is answered: else the broker would wait."""
    door = Door()
    async with client(broker, door) as running:
        link = running._link
        assert link is not None
        true = link.acknowledge

        def all_but_released(events: Sequence[Arrived | Released]) -> None:
            true([one for one in events if isinstance(one, Arrived)])

        link.acknowledge = all_but_released  # type: ignore[method-assign,assignment]
        await publish(broker, 1, 2)
        await until(lambda: "Sending PUBREL to hub" in broker.log, "it is released")
        await until(
            lambda: door.values and not [key for key in door.state if "received/" in key],
            "nothing is known of it",
        )
        link.drop()
    async with client(broker, door):
        await until(lambda: "Received PUBCOMP from hub" in broker.log, "it is answered")
        assert door.values == [1]


async def test_a_flood_waits_at_the_broker(broker: MosquittoServer) -> None:
    """While nothing can be stored, no more is read than may be under way."""
    door = Door()
    settings = Settings(
        url=f"mqtt://127.0.0.1:{broker.port}", receive_maximum=10, client_id="hub", trusted=True
    )
    async with MqttClient(settings, ground(door)) as running:
        await until(lambda: running.counters["subscriptions"], "it has subscribed")
        door.shut = asyncio.Event()
        await publish(broker, 0, 0)
        await until(lambda: door.waiting, "it has come")
        command = ["mosquitto_pub", "-p", str(broker.port), "-t", "readings/den/n", "-l"]
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE)
        await process.communicate(b"".join(b"%d\n" % n for n in range(1, 500)))
        link = running._link
        assert link is not None
        await until(lambda: link._is_paused, "it reads no more")
        assert len(link._arrived) == 10
        door.shut.set()
        await until(lambda: door.values == list(range(500)), "all is stored")


def test_filters_that_others_cover_are_left_out() -> None:
    """Brokers may send a copy of a message for each of them."""
    filters = ["readings/#", "state/join", "z2m/lamp", "z2m/#", "+/sensor/+/state", "z2m/+"]
    assert wanted(filters, [], "", device_sessions=True) == [
        "readings/#",
        "state/join",
        "z2m/#",
        "+/sensor/+/state",
    ]


def test_hubs_share_readings_but_not_sessions_and_lessons() -> None:
    """Whoever gives a name hears all of the session; what is learnt from goes to all."""
    filters = ["readings/#", "led/status", "state/join", "ha/+/+/config", "far/away"]
    assert wanted(filters, ["ha/+/+/config"], "g", device_sessions=True) == [
        "ha/+/+/config",
        "led/status",
        "state/join",
        "$share/g/readings/#",
        "$share/g/far/away",
    ]
    assert "state/join" not in wanted(filters, [], "g", device_sessions=False)


def test_only_filters_that_overlap_are_told_apart() -> None:
    """Identifiers cost time: the hub's own topics need none."""
    assert overlapping(["readings/#", "state/join", "led/status"]) == set()
    filters = ["readings/#", "+/sensor/+/state", "far/away", "ha/+/config", "$share/g/ha/#"]
    assert overlapping(filters) == {*filters} - {"far/away"}


def test_of_several_copies_that_for_the_oldest_subscription_counts() -> None:
    """But a copy for a subscription that is no more may be the only one."""
    first, second, third = "a/+", "+/b", "$share/g/a/b"
    repeats = Repeats([third, first, second])

    def is_repeated(*filters: str) -> bool:
        identifiers = tuple(map(identifier_of, filters))
        return repeats.is_repeated(Arrived("a/b", b"1", subscriptions=identifiers))

    assert not is_repeated(first)
    assert is_repeated(second)
    assert is_repeated(third)
    assert not is_repeated(first, second)
    assert not is_repeated("gone/#")
    assert not is_repeated()


def test_a_new_session_forgets_what_the_old_one_had_under_way() -> None:
    """Its packet ids are used anew."""
    door: dict[str, bytes] = {}
    memory = Memory(door)
    changes = memory.begin("hub h:1", is_resumed=False)
    changes |= memory.keep([Arrived("t", b"1", 2, packet_id=7), Arrived("t", b"1", 1)])
    changes |= memory.keep_filters(["t"])
    later = Memory({key: value for key, value in changes.items() if value is not None})
    assert later.client_id == memory.client_id
    again = Arrived("t", b"1", 2, dup=True, packet_id=7)
    assert later.begin("hub h:1", is_resumed=True) == {}
    assert later.is_stored(again)
    # One that the broker does not call a repetition is none.
    assert not later.is_stored(Arrived("t", b"1", 2, packet_id=7))
    assert later.filters == ["t"]
    forgotten = later.begin("hub h:1", is_resumed=False)
    assert forgotten["mqtt_client/received/7"] is None
    assert not later.is_stored(again)
    assert later.filters == []
    assert memory.begin("hub other:1", is_resumed=True)["mqtt_client/received/7"] is None


def test_lessons_are_kept_until_they_are_taken_back() -> None:
    """What is too long is not kept; the same again changes nothing."""
    memory = Memory({})
    assert memory.keep_lessons([Arrived("a", b"1")]) == {"mqtt_client/lesson/a": b"1"}
    assert memory.keep_lessons([Arrived("a", b"1")]) == {}
    assert memory.keep_lessons([Arrived("b", b"x" * (LESSON_BYTES + 1))]) == {}
    assert [one.topic for one in memory.lessons] == ["a"]
    assert memory.keep_lessons([Arrived("a", b""), Arrived("b", b"")]) == {
        "mqtt_client/lesson/a": None
    }


def test_the_broker_is_believed_about_devices_that_the_owner_knows() -> None:
    """Also when the owner has blocked one; all others are strangers."""
    registry, batch = Registry(), Batch()
    registry.add(batch, "known", "http", "http:known", Admission.ACCEPTED, 0)
    registry.add(batch, "named", "web", "x", Admission.BLOCKED, 0)
    registry.add(batch, "waits", "http", "http:waits", Admission.PENDING, 0)

    def vetted(trust: Trust, name: str) -> tuple[str, bool]:
        source = Source("mqtt_client", f"mqtt:{name}", name, "h:1", True, f"http:{name}")
        (delivery,) = trust.vet([Delivery(source, [])])
        return delivery.source.identity, delivery.source.vouched

    trust = Trust("mqtt_client", registry, trusted=False)
    assert vetted(trust, "known") == ("mqtt:known", True)
    assert vetted(trust, "named") == ("mqtt:named", True)
    for name in ("waits", "new"):
        assert vetted(trust, name) == (f"mqtt_client.anonymous:{name}", False)
        assert vetted(Trust("mqtt_client", registry, trusted=True), name)[1] is True


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "url must be that of a broker"),
        ({"url": "http://h"}, "url must be that of a broker"),
        ({"url": "mqtt://u:secret@h"}, "write them to user and password"),
        ({"url": "mqtt://h/x"}, "url ends with the port"),
        ({"url": "mqtt://h:x"}, "url is no address"),
        ({"url": "mqtt://h", "ca": "ca.crt"}, "write mqtts://"),
        ({"url": "mqtts://h", "key": "k"}, "needed together"),
        ({"url": "mqtt://h", "password": "x"}, "user is missing"),
        ({"url": "mqtt://h", "user": "u", "password": "x", "password_file": "f"}, "only one"),
        ({"url": "mqtt://h", "share": "a/b"}, "share can't contain"),
    ],
)
def test_settings_that_cannot_be(keys: dict[str, Any], reason: str) -> None:
    """They are refused before anything starts, without repeating a password."""
    with pytest.raises(ValueError, match=reason) as error:
        Settings(**keys)
    assert "secret" not in str(error.value)


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    """The message says which setting it is."""
    missing = str(tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"password_file in \[transport.mqtt_client\]"):
        plan_of(Settings(url="mqtt://h", user="u", password_file=missing), "id")
    with pytest.raises(ConfigurationError, match=r"ca in \[transport.mqtt_client\]"):
        plan_of(Settings(url="mqtts://h", ca=missing), "id")


def test_troubles_are_told_with_what_to_do() -> None:
    """Reason codes count more than what the driver says."""
    assert "same client_id" in explain(OSError("x"), 0x8E)
    assert "Is the broker running" in explain(OSError("[Errno 111] Connection refused"))
    assert explain(OSError("odd")) == "odd."
