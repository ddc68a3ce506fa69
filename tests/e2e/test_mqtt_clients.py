"""Client libraries of others against the broker: both versions, over TCP, TLS and WebSocket."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiomqtt
import gmqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from tests.harness import OPEN, PATIENCE
from tests.mqtt_hub import BROKER, MqttHub, mqtt_js, tls_context
from tests.ports import free_port
from tests.web_hub import WEB

WAYS: Final = ("tcp", "tls", "websocket", "web port")
both_versions = pytest.mark.parametrize("version", [4, 5])
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """An open hub for all tests here, each with topics of its own."""
    data = tmp_path_factory.mktemp("clients") / "data"
    with MqttHub(data, {**OPEN, **BROKER, **WEB}) as running:
        yield running


def port_of(hub: MqttHub, way: str) -> int:
    return {
        "tcp": hub.mqtt_port,
        "tls": hub.mqtts_port,
        "websocket": hub.websocket_port,
        "web port": hub.web_port,
    }[way]


def name_of(library: str, way: str, version: int) -> str:
    return f"{library}-{way.replace(' ', '-')}-{version}"


def expected(topic: str) -> list[list[object]]:
    """Return topic, payload and QoS of what a subscriber gets in a round trip, sorted."""
    return sorted(
        [f"{topic}/{granted}/{own}", f"é{own}", min(granted, own)]
        for granted in range(3)
        for own in range(3)
    )


def paho_client(hub: MqttHub, version: int, way: str, client_id: str = "") -> paho.Client:
    """Return a client that is not connected, and keeps its session if it has an id."""
    transport: Any = "tcp" if way in ("tcp", "tls") else "websockets"
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        not client_id if version == 4 else None,
        protocol=MQTTProtocolVersion(version),
        transport=transport,
    )
    if way == "tls":
        client.tls_set(str(hub.ca))
    if transport == "websockets":
        client.ws_set_options("/mqtt" if way == "web port" else "/")
    return client


@both_versions
@every_way
def test_mqtt_js(hub: MqttHub, version: int, way: str) -> None:
    """MQTT.js gets its own messages back, each at the lower quality of service."""
    scheme = {"tcp": "mqtt", "tls": "mqtts"}.get(way, "ws")
    path = {"web port": "/mqtt"}.get(way, "")
    topic = name_of("js", way, version)
    url = f"{scheme}://127.0.0.1:{port_of(hub, way)}{path}"
    arguments: dict[str, object] = {"url": url, "version": version, "topic": topic}
    if way == "tls":
        arguments["ca"] = hub.ca.read_text()
    done = mqtt_js("round_trip.mjs", arguments)
    assert done == {"granted": [0, 1, 2], "got": expected(topic)}


@both_versions
@every_way
def test_paho(hub: MqttHub, version: int, way: str) -> None:
    """With paho a client publishes and its message comes back; the reading is stored."""
    device = name_of("paho", way, version)
    client = paho_client(hub, version, way)
    got: list[tuple[int, bytes | bytearray]] = []
    granted: list[Any] = []
    client.on_message = lambda c, u, message: got.append((message.qos, message.payload))
    client.on_subscribe = lambda c, u, mid, codes, p: granted.extend(code.value for code in codes)
    client.connect("127.0.0.1", port_of(hub, way))
    client.loop_start()
    try:
        client.subscribe([(f"readings/{device}/a", 1), (f"readings/{device}/b", 0)])
        hub.wait_until(lambda: granted == [1, 0], "it has subscribed")
        for value in range(5):
            sent = client.publish(f"readings/{device}/a", str(value), 2)
            sent.wait_for_publish(PATIENCE)
            assert sent.is_published()
        hub.wait_until(lambda: len(got) == 5, "its own messages come back")
        assert got == [(1, str(value).encode()) for value in range(5)]
    finally:
        client.disconnect()
        client.loop_stop()
    hub.wait_values(device, "a", [0, 1, 2, 3, 4])


@both_versions
@every_way
async def test_aiomqtt(hub: MqttHub, version: int, way: str) -> None:
    """With aiomqtt a client publishes and gets retained and fresh messages."""
    topic = name_of("aiomqtt", way, version)
    options: dict[str, Any] = {"protocol": aiomqtt.ProtocolVersion(version)}
    if way == "tls":
        options["tls_context"] = tls_context(hub)
    if way in ("websocket", "web port"):
        options["transport"] = "websockets"
        options["websocket_path"] = "/mqtt" if way == "web port" else "/"
    async with (
        asyncio.timeout(PATIENCE),
        aiomqtt.Client("127.0.0.1", port_of(hub, way), **options) as client,
    ):
        await client.publish(f"{topic}/old", "kept", qos=1, retain=True)
        await client.subscribe(f"{topic}/#", qos=2)
        await client.publish(f"{topic}/new", "fresh", qos=2)
        got = [await anext(aiter(client.messages)) for _ in range(2)]
    said = [(str(one.topic), one.payload, one.qos, one.retain) for one in got]
    assert said == [(f"{topic}/old", b"kept", 1, True), (f"{topic}/new", b"fresh", 2, False)]


@both_versions
@pytest.mark.parametrize("way", ["tcp", "tls"])
async def test_gmqtt(hub: MqttHub, version: int, way: str) -> None:
    """With gmqtt a client publishes and subscribes, with user properties in MQTT 5."""
    topic = name_of("gmqtt", way, version)
    got: asyncio.Queue[tuple[str, bytes, int, Any]] = asyncio.Queue()
    subscribed: asyncio.Queue[None] = asyncio.Queue()
    client = gmqtt.Client(f"gmqtt-{way}-{version}")

    def hear(_: Any, name: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
        got.put_nowait((name, payload, qos, properties.get("user_property")))
        return 0

    client.on_message = hear
    client.on_subscribe = lambda *_: subscribed.put_nowait(None)
    secure: ssl.SSLContext | bool = tls_context(hub) if way == "tls" else False
    async with asyncio.timeout(PATIENCE):
        await client.connect("127.0.0.1", port_of(hub, way), ssl=secure, version=version)
        client.subscribe(f"{topic}/#", qos=2)
        await subscribed.get()
        said = [("a", "1"), ("a", "2")] if version == 5 else None
        for qos in (0, 1, 2):
            properties = {"user_property": said} if said else {}
            client.publish(f"{topic}/{qos}", f"é{qos}", qos=qos, **properties)
        messages = sorted([await got.get() for _ in range(3)])
        # asyncio's TLS fails when something comes after its end: wait for the last answers.
        client.subscribe("nothing")
        await subscribed.get()
        await client.disconnect()
    assert messages == [(f"{topic}/{qos}", f"é{qos}".encode(), qos, said) for qos in (0, 1, 2)]


def test_paho_is_told_what_the_broker_can(hub: MqttHub) -> None:
    """MQTT 5: CONNACK names the limits, and a keep alive of none is replaced."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    told: list[Properties] = []
    client.on_connect = lambda c, u, f, reason, properties: told.append(properties)
    asked = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    asked.SessionExpiryInterval = 0xFFFFFFFF
    client.connect("127.0.0.1", hub.mqtt_port, keepalive=0, properties=asked)
    client.loop_start()
    try:
        hub.wait_until(lambda: bool(told), "it is connected")
    finally:
        client.disconnect()
        client.loop_stop()
    (properties,) = told
    said = properties.json()  # type: ignore[no-untyped-call]
    assert said["ServerKeepAlive"] == 60
    assert said["AssignedClientIdentifier"]
    # What is not named is allowed (§3.2.2.3): every QoS, retained messages, wildcards,
    # identifiers, shared subscriptions.
    assert said.get("MaximumQoS", 2) == 2
    for what in ("Retain", "WildcardSubscription", "SubscriptionIdentifier", "SharedSubscription"):
        assert said.get(f"{what}Available", 1) == 1
    assert 0 < said["ReceiveMaximum"] <= 1000
    assert said["MaximumPacketSize"] > 0
    # Sessions are kept for thirty days at most.
    assert said["SessionExpiryInterval"] == 30 * 86400


@every_way
def test_a_cut_connection_leaves_a_will(hub: MqttHub, way: str) -> None:
    """However a client is connected, its will is published when the connection is lost."""
    topic = f"wills/{name_of('paho', way, 5)}"
    client = paho_client(hub, 5, way)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.will_set(topic, "gone", 1)
    with hub.subscriber("-V", "5", "-t", topic) as watcher:
        client.connect("127.0.0.1", port_of(hub, way))
        client.loop_start()
        assert connected.wait(PATIENCE)
        client.loop_stop()
        wrapped: Any = client.socket()
        # Neither TLS nor WebSocket get to say goodbye.
        with socket.socket(fileno=os.dup(wrapped.fileno())) as raw:
            raw.shutdown(socket.SHUT_RDWR)
        assert watcher.take() == [f"{topic} gone"]


@both_versions
def test_a_publisher_comes_through_a_power_cut(tmp_path: Path, version: int) -> None:
    """What paho publishes at QoS 1 while the hub is killed is stored, each at least once.

    Exactly once is not for this client: when it has to try twice to connect (paho 2.2.0), what
    waits for PUBCOMP becomes a new PUBLISH.
    """
    port = free_port()
    settings = {**BROKER["transport.mqtt_broker"], "port": port}
    with MqttHub(tmp_path / "data", {**OPEN, "transport.mqtt_broker": settings}) as hub:
        client = paho_client(hub, version, "tcp", "publisher")
        client.reconnect_delay_set(1, 1)
        completed: list[int] = []
        client.on_publish = lambda c, u, number, reason, p: completed.append(number)
        kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        kept.SessionExpiryInterval = 3600
        client.connect(
            "127.0.0.1",
            port,
            clean_start=False if version == 5 else 3,
            properties=kept if version == 5 else None,
        )
        client.loop_start()
        try:
            for value in range(300):
                client.publish("readings/through/a", str(value), 1)
                if value == 100:
                    hub.wait_until(lambda: len(completed) > 50, "some are acknowledged")
                    hub.kill()
                if value == 200:
                    hub.start()
            hub.wait_until(lambda: len(completed) == 300, "all are acknowledged")
        finally:
            client.disconnect()
            client.loop_stop()
        hub.wait_stored("through", "a", 300)
        hub.wait_folded()
        assert set(hub.values("through", "a")) == {float(value) for value in range(300)}
