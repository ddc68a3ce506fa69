"""Who may do what at the broker of the running program, over TCP, TLS and WebSocket."""

from __future__ import annotations

import queue
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from tests.harness import OPEN, PATIENCE, HubProcess
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket
from websockets.typing import Origin, Subprotocol

RULES: Final = """
[[transport.mqtt_broker.rule]]
user = "cellar*"
publish = ["tele/%d/#"]
deny_publish = ["readings/+/secret"]
[[transport.mqtt_broker.rule]]
anonymous = true
subscribe = ["notice/%c"]
"""
FREE: Final = {"host": "127.0.0.1", "port": 0, "tls_port": 0, "websocket_port": 0}
SECTIONS: Final = {
    "transport.mqtt_broker": FREE,
    "web": {"host": "127.0.0.1", "port": 0},
}


class Program:
    """A client of MQTT 5; what becomes of it is in queues."""

    def __init__(self, client_id: str, transport: Any = "tcp") -> None:
        self.welcomed: queue.Queue[ReasonCode] = queue.Queue()
        self.sent_away: queue.Queue[ReasonCode] = queue.Queue()
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._codes: queue.Queue[list[ReasonCode]] = queue.Queue()
        self._acknowledged: queue.Queue[ReasonCode] = queue.Queue()
        version = MQTTProtocolVersion.MQTTv5
        self.client = Client(CallbackAPIVersion.VERSION2, client_id, None, None, version, transport)
        self.client.reconnect_delay_set(60)
        self.client.on_connect = lambda c, u, f, reason, p: self.welcomed.put(reason)
        self.client.on_disconnect = lambda c, u, f, reason, p: self.sent_away.put(reason)
        self.client.on_subscribe = lambda c, u, m, codes, p: self._codes.put(codes)
        self.client.on_publish = lambda c, u, m, reason, p: self._acknowledged.put(reason)
        self.client.on_message = self._hear

    def _hear(self, _client: Client, _: object, message: MQTTMessage) -> None:
        self.heard.put((message.topic, bytes(message.payload)))

    def subscribe(self, wanted: str) -> int:
        """Return the reason code with which the subscription is answered."""
        self.client.subscribe(wanted, 1)
        return self._codes.get(timeout=PATIENCE)[0].value

    def publish(self, topic: str, payload: str = "1", *, retain: bool = False) -> int:
        """Return the reason code with which a message of QoS 1 is acknowledged."""
        self.client.publish(topic, payload, 1, retain)
        return self._acknowledged.get(timeout=PATIENCE).value


@contextmanager
def program(
    hub: HubProcess,
    secret: str | None = None,
    *,
    listener: str = "mqtt_broker",
    certificate: tuple[Path, Path] | None = None,
    client_id: str = "program",
    welcome: int = 0,
    kept: bool = False,
) -> Iterator[Program]:
    """A connection, whose CONNACK says ``welcome``; with ``kept`` its session outlives it."""
    over = "tcp" if listener in ("mqtt_broker", "mqtt_broker_tls") else "websockets"
    one = Program(client_id, over)
    if secret is not None:
        one.client.username_pw_set("anything", secret)
    if listener == "mqtt_broker_tls":
        context = ssl.create_default_context(cafile=str(hub.ca))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        one.client.tls_set_context(context)
    expiry = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    expiry.SessionExpiryInterval = 600 if kept else 0
    one.client.connect(
        "127.0.0.1",
        port_of(hub, listener),
        30,
        clean_start=not kept,
        properties=expiry,
    )
    one.client.loop_start()
    try:
        assert one.welcomed.get(timeout=PATIENCE).value == welcome
        yield one
    finally:
        one.client.disconnect()
        one.client.loop_stop()


def port_of(hub: HubProcess, listener: str) -> int:
    return int(hub.run_file["listeners"][listener]["port"])


def token(hub: HubProcess, name: str, *arguments: str) -> str:
    done = hub.cli("token", "create", name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub at which unknown devices wait, with rules of the owner."""
    folder = tmp_path_factory.mktemp("access")
    broker = {**FREE, "client_certificates": str(folder / "clients.pem")}
    process = HubProcess(folder / "data", {**SECTIONS, "transport.mqtt_broker": broker})
    with process.config.open("a") as file:
        file.write(RULES)
    with process as running:
        yield running


@pytest.mark.parametrize("listener", ["mqtt_broker", "mqtt_broker_websocket", "web"])
def test_a_token_is_the_password_whatever_the_way(hub: HubProcess, listener: str) -> None:
    """On its own port, in WebSocket, and at /mqtt of the web port: the reading is stored."""
    name = f"kitchen-{listener}"
    secret = token(hub, name, "--scope", "write,read", "--device", name)
    with program(hub, secret, listener=listener, client_id=name) as one:
        assert one.subscribe(f"readings/{name}/#") == 1
        assert one.publish(f"readings/{name}/temperature", "21.5") < 0x80
        assert one.heard.get(timeout=PATIENCE) == (f"readings/{name}/temperature", b"21.5")
        assert one.publish("readings/other/temperature") == 0x87
        assert one.subscribe("readings/#") == 0x87
        assert one.subscribe(f"commands/{name}") == 1
    hub.wait_stored(name, "temperature", 1)


def test_a_certificate_is_a_device(hub: HubProcess) -> None:
    """`motehub certs client` makes it, `motehub certs revoke` ends its connection."""
    assert hub.cli("certs", "client", "attic").returncode == 0
    clients = hub.data / "certificates" / "clients"
    files = clients / "attic.crt", clients / "attic.key"
    with program(hub, listener="mqtt_broker_tls", certificate=files) as one:
        assert one.publish("readings/attic/temperature", "18") < 0x80
        assert one.publish("readings/kitchen/temperature") == 0x87
        assert hub.cli("certs", "revoke", "attic").returncode == 0
        assert one.sent_away.get(timeout=PATIENCE).value == 0x87
    hub.wait_stored("attic", "temperature", 1)


def test_a_client_may_have_made_its_certificate_itself(hub: HubProcess, tmp_path: Path) -> None:
    """The owner puts it into a file, which may come while the hub runs."""
    files = tmp_path / "own.crt", tmp_path / "own.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=shed", "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(command, check=True, capture_output=True)
    hub.data.with_name("clients.pem").write_bytes(files[0].read_bytes())
    with program(hub, listener="mqtt_broker_tls", certificate=files) as one:
        assert one.publish("readings/shed/temperature", "9") < 0x80
        assert one.publish("readings/attic/temperature") == 0x87
    hub.wait_stored("shed", "temperature", 1)


def test_strangers_have_the_session_topics_and_what_rules_say(hub: HubProcess) -> None:
    """Also over TLS, where no certificate is asked for."""
    for listener in ("mqtt_broker", "mqtt_broker_tls"):
        with program(hub, listener=listener, client_id="stranger") as one:
            assert one.subscribe("state/nameAssign") == 1
            assert one.subscribe("notice/stranger") == 1
            for wanted in ("notice/other", "#", "$SYS/#", "readings/#", "$share/g/led/status"):
                assert one.subscribe(wanted) == 0x87, wanted
            assert one.publish("readings/kitchen/temperature", "refused") == 0x87
    hub.wait_folded()
    (row, *_) = [row for row in hub.json("rejected") if row["payload"] == "refused"]
    assert row["reason"] == "anonymous may not publish on readings/kitchen/temperature"


def test_rules_add_and_take(hub: HubProcess) -> None:
    """A denial wins over what the token is good for."""
    secret = token(hub, "cellar-1", "--scope", "write", "--device", "cellar")
    with program(hub, secret, client_id="cellar") as one:
        assert one.publish("tele/cellar/STATE") < 0x80
        assert one.publish("tele/other/STATE") == 0x87
        assert one.publish("readings/cellar/temperature") < 0x80
        assert one.publish("readings/cellar/secret") == 0x87


def test_a_revoked_token_ends_its_connections_at_once(hub: HubProcess) -> None:
    """Those of other tokens go on; afterwards it opens nothing."""
    first = token(hub, "first", "--scope", "read")
    second = token(hub, "second", "--scope", "read")
    with (
        program(hub, first, client_id="one") as one,
        program(hub, second, client_id="two") as other,
    ):
        assert one.subscribe("readings/#") == 1
        assert hub.cli("token", "revoke", "first").returncode == 0
        assert one.sent_away.get(timeout=PATIENCE).value == 0x87
        assert other.subscribe("readings/#") == 1
    with program(hub, first, client_id="one", welcome=0x86):
        pass


def test_nobody_takes_over_the_client_of_another(hub: HubProcess) -> None:
    """A client id is no secret; whoever holds it with a token keeps it."""
    secret = token(hub, "holder", "--scope", "read")
    with program(hub, secret, client_id="well-known") as one:
        with program(hub, client_id="well-known", welcome=0x87):
            pass
        assert one.subscribe("readings/#") == 1
        assert one.sent_away.empty()


@pytest.mark.parametrize("listener", ["mqtt_broker_websocket", "web"])
def test_pages_of_other_sites_may_not_connect(hub: HubProcess, listener: str) -> None:
    """A page on the hub's own host may, on whatever port it is."""
    url = f"ws://127.0.0.1:{port_of(hub, listener)}/mqtt"
    mqtt = [Subprotocol("mqtt")]
    with websocket(url, subprotocols=mqtt, origin=Origin("http://127.0.0.1:3000")) as socket:
        assert socket.subprotocol == "mqtt"
    with pytest.raises(InvalidStatus) as refused:
        websocket(url, subprotocols=mqtt, origin=Origin("http://evil.example"))
    assert refused.value.response.status_code == 403


def test_a_session_that_was_kept_has_the_rights_of_today(tmp_path: Path) -> None:
    """What it subscribed to and may not any more it gets no more; the rest goes on."""
    denial = '[[transport.mqtt_broker.rule]]\nuser = "*"\ndeny_subscribe = ["readings/a/#"]\n'
    with HubProcess(tmp_path / "data", SECTIONS) as before:
        secret = token(before, "reader", "--scope", "read,write")
        with program(before, secret, client_id="reader", kept=True) as one:
            assert one.subscribe("readings/a/#") == 1
            assert one.subscribe("readings/b/#") == 1
        assert before.stop() == 0
    with before.config.open("a") as file:
        file.write(denial)
    with (
        HubProcess.start(before) as after,
        program(after, secret, client_id="reader", kept=True) as one,
    ):
        for topic in ("readings/a/t", "readings/b/t"):
            assert one.publish(topic, topic) < 0x80
        assert one.heard.get(timeout=PATIENCE)[0] == "readings/b/t"
        assert one.heard.empty()


def test_what_is_denied_is_left_out_of_wider_subscriptions(tmp_path: Path) -> None:
    """Retained or not; a filter that matches nothing else is answered with 0x80."""
    rule = {"anonymous": True, "deny_subscribe": ["secret/#"]}
    settings = {**OPEN, "transport.mqtt_broker": {**FREE, "rule": [rule]}}
    with HubProcess(tmp_path / "data", settings) as lab, program(lab) as writer:
        for topic in ("secret/1", "public/1"):
            assert writer.publish(topic, "retained", retain=True) < 0x80
        with program(lab, client_id="reader") as one:
            assert one.subscribe("secret/1") == 0x80
            assert one.subscribe("#") == 1
            assert one.heard.get(timeout=PATIENCE)[0] == "public/1"
            for topic in ("secret/2", "public/2"):
                assert writer.publish(topic, "live") < 0x80
            assert one.heard.get(timeout=PATIENCE)[0] == "public/2"


def test_on_an_open_hub_strangers_may_everything_but_statistics(tmp_path: Path) -> None:
    """From pages of any site; a wrong password is still refused."""
    settings = {**OPEN, "transport.mqtt_broker": FREE}
    with HubProcess(tmp_path / "data", settings) as lab:
        with program(lab) as one:
            assert one.subscribe("#") == 1
            assert one.subscribe("$SYS/#") == 1
            assert one.publish("any/topic") < 0x80
            assert one.publish("readings/new/temperature") < 0x80
            assert one.publish("$SYS/mine") == 0x87
        with program(lab, "wrong", welcome=0x86):
            pass
        url = f"ws://127.0.0.1:{port_of(lab, 'mqtt_broker_websocket')}"
        page = Origin("http://page.example")
        with websocket(url, subprotocols=[Subprotocol("mqtt")], origin=page) as socket:
            assert socket.subprotocol == "mqtt"
        lab.wait_stored("new", "temperature", 1)
