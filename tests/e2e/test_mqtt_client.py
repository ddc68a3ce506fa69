"""A hub at a Mosquitto: readings, sessions and commands through a broker of somebody else's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.harness import OPEN, PATIENCE, cli, environment
from tests.mqtt_client_hub import Board, ClientHub, claimed
from tests.mqtt_hub import BROKER
from tests.ports import free_port
from tests.servers import PASSWORD, USER, MosquittoServer

from motehub import config
from motehub.security.authority import Authority

MAC: Final = "61:EC:ED:3B:25:B1"
VERSIONS: Final = ("5", "3.1.1")
PAHO: Final = (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5)


@pytest.fixture
def broker() -> Iterator[MosquittoServer]:
    """A Mosquitto to which anyone may connect."""
    with MosquittoServer() as server:
        yield server


@pytest.fixture
def hub(broker: MosquittoServer, tmp_path: Path) -> Iterator[ClientHub]:
    """A hub at the broker that accepts every device."""
    with ClientHub(tmp_path / "data", broker, OPEN) as running:
        yield running.connected()


@pytest.mark.parametrize("version", VERSIONS)
def test_readings_are_stored_at_each_quality_of_service(
    broker: MosquittoServer, tmp_path: Path, version: str
) -> None:
    """What devices publish at QoS 0, 1 and 2 is stored once, whichever version the hub speaks."""
    with ClientHub(tmp_path / "data", broker, OPEN, version=version) as hub:
        hub.connected()
        for qos in (0, 1, 2):
            for number in range(3):
                hub.publish("readings/den/temperature", str(10 * qos + number), qos=qos)
        hub.wait_values("den", "temperature", [0, 1, 2, 10, 11, 12, 20, 21, 22])
        hub.wait_until(lambda: hub.counters["messages"] == 9, "all are counted")
        hub.wait_until(lambda: not any(k.startswith("received/") for k in hub.state()), "released")
        assert hub.stop() == 0


@pytest.mark.parametrize("version", list(PAHO), ids=lambda one: one.name)
def test_a_board_lives_its_life_through_the_broker(
    hub: ClientHub, version: MQTTProtocolVersion
) -> None:
    """It is named, joins, reports and is commanded; its will, kept by the broker, ends that."""
    port = hub.broker.port
    with Board(port, version) as asking:
        claim = claimed(asking, MAC)
    name = claim.partition(";")[0]
    assert name == "capteur01"
    joined = Board(port, version, will=claim)
    joined.say("state/join", claim)
    joined.subscribe("led/command")
    joined.say("led/status", f"{claim};0")
    joined.say("button/status", f"{claim};1", 0)
    joined.say("photoresistor/status", f"{claim};55", 0)
    hub.wait_until(lambda: hub.device(name)["stored"] == 3, "all is stored")
    assert hub.device(name)["online"] is True
    with commanded(hub, name, "--name", "led", "--value", "1"):
        assert joined.next() == ("led/command", f"{claim};1")
        joined.say("led/status", f"{claim};1")
    joined.break_off()
    hub.wait_until(lambda: hub.device(name)["online"] is False, "its will has spoken")
    late = Board(port, version)
    late.say("led/status", f"{claim.replace(';', ';1')};1")
    hub.wait_until(lambda: bool(hub.json("rejected")), "what is of no session is discarded")
    late.break_off()


def test_a_command_waits_until_its_device_has_subscribed(hub: ClientHub) -> None:
    """MQTT 5 tells that nobody got it, so it is published again, once somebody can."""
    hub.publish("readings/den/temperature", "21")
    hub.wait_values("den", "temperature", [21.0])
    with Board(hub.broker.port, PAHO[1]) as device:
        with commanded(hub, "den", "on"):
            hub.wait_until(lambda: "'commands/den'" in hub.broker.log, "nobody has got it")
            device.subscribe("commands/den")
            assert device.next() == ("commands/den", "on")
        assert device.heard.empty()


def test_what_the_broker_has_retained_is_old_news(broker: MosquittoServer, tmp_path: Path) -> None:
    """A retained reading is not stamped with the time at which the hub subscribes."""
    hub = ClientHub(tmp_path / "data", broker, OPEN)
    hub.publish("readings/den/temperature", "1", "-r")
    with hub:
        hub.connected()
        hub.publish("readings/den/temperature", "2")
        hub.wait_values("den", "temperature", [2.0])


def test_payloads_that_cannot_be_read_are_shown_to_the_owner(hub: ClientHub) -> None:
    """They go to the list of rejected payloads, and don't come again."""
    hub.publish("readings/den/temperature", "nan")
    hub.wait_until(lambda: bool(hub.json("rejected")), "it is in the list")
    (row,) = hub.json("rejected")
    assert row["payload"] == "nan"
    hub.wait_until(lambda: hub.counters["messages_refused"] == 1, "it is counted")


def test_unknown_devices_wait_for_the_owner(broker: MosquittoServer, tmp_path: Path) -> None:
    """The broker is believed about devices that the owner knows, and about no others."""
    web = {"web": {"host": "127.0.0.1", "port": 0}}
    with ClientHub(tmp_path / "data", broker, web) as hub:
        hub.connected()
        assert hub.cli("token", "create", "den", "--device", "den", "--scope", "write").stdout
        hub.publish("readings/den/temperature", "21")
        hub.wait_until(lambda: bool(hub.json("devices", "list")), "it is known")
        assert hub.device("den")["admission"] == "pending"
        assert hub.cli("devices", "accept", "den").returncode == 0
        hub.publish("readings/den/temperature", "22")
        hub.wait_values("den", "temperature", [21.0, 22.0])
        assert len(hub.json("devices", "list")) == 1


def test_with_trust_unknown_devices_are_accepted(broker: MosquittoServer, tmp_path: Path) -> None:
    """The owner may leave admission to the broker."""
    with ClientHub(tmp_path / "data", broker, {}, trusted=True) as hub:
        hub.connected().publish("readings/den/temperature", "21")
        hub.wait_values("den", "temperature", [21.0])
        assert hub.device("den")["admission"] == "accepted"


def test_subscriptions_that_overlap_store_nothing_twice(
    broker: MosquittoServer, tmp_path: Path
) -> None:
    """Mosquitto sends a copy for each of them."""
    mappings = [
        {"topic": "house/{device}/{metric}"},
        {"topic": "+/{device}/temperature", "metric": "temperature"},
        {"topic": "house/den/+", "device": "den", "metric": "x"},
    ]
    with ClientHub(tmp_path / "data", broker, {**OPEN, "mqtt": {"mapping": mappings}}) as hub:
        hub.connected()
        for number in range(5):
            hub.publish("house/den/temperature", str(number), qos=number % 3)
        hub.wait_values("den", "temperature", [0, 1, 2, 3, 4])
        hub.wait_until(
            lambda: hub.counters["messages_of_several_subscriptions"] == 5, "they are counted"
        )


def test_what_waited_at_the_broker_is_stored_after_an_absence(
    broker: MosquittoServer, tmp_path: Path
) -> None:
    """The session outlives the hub, also with topics that the hub has only learnt of."""
    settings = {**OPEN, "mqtt": {"presets": ["home_assistant"]}}
    with ClientHub(tmp_path / "data", broker, settings) as hub:
        hub.connected()
        config = '{"state_topic": "far/away", "name": "t", "device": {"name": "shed"}}'
        hub.publish("homeassistant/sensor/shed/t/config", config)
        hub.wait_until(lambda: "far/away" in str(hub.state()["filters"]), "it has subscribed")
        assert hub.stop() == 0
        for number in range(3):
            hub.publish("readings/den/temperature", str(number))
            hub.publish("far/away", str(number))
        hub.start()
        hub.wait_values("den", "temperature", [0, 1, 2])
        hub.wait_values("shed", "t", [0, 1, 2])


def test_a_broker_that_comes_back_finds_the_hub_again(tmp_path: Path) -> None:
    """Also when it has forgotten the session, and with it who has left meanwhile."""
    with MosquittoServer() as broker, ClientHub(tmp_path / "data", broker, OPEN) as hub:
        hub.connected()
        with Board(broker.port, PAHO[0]) as board:
            claim = claimed(board, MAC)
            board.say("state/join", claim)
            hub.wait_until(lambda: hub.device("capteur01")["online"] is True, "it is online")
            broker.kill()
            hub.wait_until(lambda: not hub.counters["connected"], "the connection is missed")
            board.break_off()
        broker.start()
        hub.connected().wait_until(
            lambda: hub.device("capteur01")["online"] is False, "nobody is online"
        )
        hub.publish("readings/den/temperature", "21", qos=2)
        hub.wait_values("den", "temperature", [21.0])
        assert hub.counters["connections"] == 2
        assert "connection lost" in hub.log


def test_tls_with_certificate_and_password(tmp_path: Path) -> None:
    """The broker is verified, the hub shows a certificate, and its password is in a file."""
    Authority(tmp_path).ensure()
    Authority(tmp_path).issue_client("hub")
    made = tmp_path / "certificates"
    port = free_port()
    settings = [
        # Else it drops what is published faster than it can be stored.
        "max_queued_messages 0",
        f"listener {port} 127.0.0.1",
        f"cafile {tmp_path / 'ca.crt'}",
        f"certfile {made / 'server.crt'}",
        f"keyfile {made / 'server.key'}",
        "require_certificate true",
    ]
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n", "utf-8")
    with MosquittoServer(password=PASSWORD, settings=settings) as broker:
        hub = ClientHub(
            tmp_path / "data",
            broker,
            OPEN,
            url=f"mqtts://127.0.0.1:{port}",
            ca=str(tmp_path / "ca.crt"),
            certificate=str(made / "clients" / "hub.crt"),
            key=str(made / "clients" / "hub.key"),
            user=USER,
            password_file=str(secret),
        )
        with hub:
            hub.connected()
            # More than TLS unpacks at a time.
            hub.mosquitto_pub(
                *("-u", USER, "-P", PASSWORD, "-q", "2", "-t", "readings/den/n", "-l"),
                given="".join(f"{number}\n" for number in range(3000)),
            )
            hub.wait_stored("den", "n", 3000)
            assert hub.values("den", "n") == list(range(3000))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_password_says_what_to_do(tmp_path: Path, version: str) -> None:
    """The hub runs, says which settings are wrong and where, and does not repeat the password."""
    with MosquittoServer(password=PASSWORD) as broker:
        keys = {"user": USER, "password": "wr0ng", "version": version}
        with ClientHub(tmp_path / "data", broker, OPEN, **keys) as hub:
            hub.wait_until(lambda: hub.counters["connections_failed"] > 0, "it is refused")
            assert "Mend user and password in [transport.mqtt_client]" in hub.log
            assert hub.counters["connected"] == 0
            shown = hub.cli("check-config", "--config", str(hub.config)).stdout
            assert "wr0ng" not in hub.log + shown


def test_a_missing_certificate_says_what_to_do(tmp_path: Path) -> None:
    """An alert of TLS is told in the words of the settings."""
    Authority(tmp_path).ensure()
    made = tmp_path / "certificates"
    port = free_port()
    settings = [
        f"listener {port} 127.0.0.1",
        f"cafile {tmp_path / 'ca.crt'}",
        f"certfile {made / 'server.crt'}",
        f"keyfile {made / 'server.key'}",
        "require_certificate true",
    ]
    with MosquittoServer(settings=settings) as broker:
        keys = {"url": f"mqtts://127.0.0.1:{port}", "ca": str(tmp_path / "ca.crt")}
        with ClientHub(tmp_path / "data", broker, OPEN, **keys) as hub:
            hub.wait_until(lambda: hub.counters["connections_failed"] > 0, "it is refused")
            assert "The broker wants a certificate. Set certificate and key" in hub.log


def test_a_broker_that_is_not_trusted_gets_no_password(tmp_path: Path) -> None:
    """A certificate of another authority ends the connection before anything is said."""
    Authority(tmp_path).ensure()
    made = tmp_path / "certificates"
    port = free_port()
    settings = [
        f"listener {port} 127.0.0.1",
        f"certfile {made / 'server.crt'}",
        f"keyfile {made / 'server.key'}",
    ]
    with MosquittoServer(settings=settings) as broker:
        keys = {"url": f"mqtts://127.0.0.1:{port}", "user": "hub", "password": "x"}
        with ClientHub(tmp_path / "data", broker, OPEN, **keys) as hub:
            hub.wait_until(lambda: hub.counters["connections_failed"] > 0, "it is given up")
            assert "The broker's certificate is not trusted" in hub.log
            assert "u'hub'" not in broker.log


def test_two_hubs_share_the_readings(broker: MosquittoServer, tmp_path: Path) -> None:
    """Each message goes to one of them, and both get some."""
    one = ClientHub(tmp_path / "one", broker, OPEN, share="hubs")
    # Its filter +/status covers topics of boards, which are not this hub's.
    esphome = {**OPEN, "mqtt": {"presets": ["esphome"]}}
    two = ClientHub(tmp_path / "two", broker, esphome, share="hubs", device_sessions=False)
    with one, two:
        one.connected()
        two.connected()
        with Board(broker.port, PAHO[1]) as board:
            for number in range(100):
                board.say("readings/den/temperature", str(number))
            claim = claimed(board, MAC)
            for _ in range(4):
                board.say("led/status", f"{claim};0")
        hubs = (one, two)

        def values() -> list[float]:
            return sorted(v for hub in hubs for v in hub.values("den", "temperature"))

        one.wait_until(lambda: values() == list(range(100)), "all are stored once")
        assert all(hub.values("den", "temperature") for hub in hubs)
        assert claim.startswith("capteur01;")
        one.wait_until(lambda: one.device("capteur01")["stored"] == 4, "its words are stored")
        assert "capteur01" not in {row["name"] for row in two.json("devices", "list")}
        assert two.json("rejected") == []


def test_the_embedded_broker_may_run_beside_it(broker: MosquittoServer, tmp_path: Path) -> None:
    """A device is the same device at either broker."""
    settings = {**OPEN, **BROKER}
    with ClientHub(tmp_path / "data", broker, settings, trusted=True) as hub:
        hub.connected().publish("readings/den/temperature", "1")
        hub.wait_values("den", "temperature", [1.0])
        secret = hub.cli("token", "create", "den", "--scope", "write").stdout.strip()
        own = ("-u", "den", "-P", secret, "-q", "1", "-t", "readings/den/temperature")
        hub.mosquitto_pub(*own, "-m", "2", port=hub.mqtt_port)
        hub.wait_values("den", "temperature", [1.0, 2.0])
        assert len(hub.json("devices", "list")) == 1
        with Board(broker.port, PAHO[1]) as device, commanded(hub, "den", "on"):
            device.subscribe("commands/den")
            assert device.next() == ("commands/den", "on")


def test_it_runs_only_where_the_owner_says_where(tmp_path: Path) -> None:
    """Without a configuration file there is no such connection, and without a URL no start."""
    assert "mqtt_client" not in config.load(None, {}).transport
    file = tmp_path / "motehub.toml"
    file.write_text("[transport.mqtt_client]\n", "utf-8")
    done = cli("check-config", "--config", str(file))
    assert done.returncode == 2
    assert "url must be that of a broker" in done.stderr
    by_environment = config.load(None, {"MOTEHUB_TRANSPORT_MQTT_CLIENT_URL": "mqtt://h"})
    assert by_environment.transport["mqtt_client"].address == ("h", 1883)


@contextmanager
def commanded(hub: ClientHub, *arguments: str) -> Iterator[None]:
    """Run ``motehub send`` beside the block; it has to succeed in the end."""
    command = [sys.executable, "-m", "motehub", "send", *arguments, "--wait"]
    with subprocess.Popen(
        [*command, "--data", str(hub.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    ) as given:
        yield
        output, _ = given.communicate(timeout=PATIENCE)
        assert given.returncode == 0, output
