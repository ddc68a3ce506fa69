"""How clients of others are refused what they may not, in 3.1.1 and 5."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.mqtt_hub import BROKER, VERSIONS, MqttHub, connect, publish, subscribe

both_versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """A hub at which unknown devices wait, and strangers have the topics of sessions only."""
    with MqttHub(tmp_path_factory.mktemp("refused") / "data", BROKER) as running:
        yield running


def login(secret: str) -> list[str]:
    """Return options of Mosquitto's clients: any user name will do."""
    return ["-u", "anybody", "-P", secret]


def reasons(hub: MqttHub) -> str:
    """Return all that the owner sees of rejected payloads."""
    return repr(hub.json("rejected"))


@both_versions
def test_a_wrong_password(hub: MqttHub, version: str) -> None:
    """mosquitto_pub is told that it is refused, and why in the words of its version."""
    done = hub.publish("readings/a/b", "1", *login("mh_wrong"), version=version)
    assert done.returncode != 0
    assert "bad user name or password" in done.stderr.lower()


@pytest.mark.parametrize(("version", "code"), [(4, 0x04), (5, 0x86)])
def test_the_code_for_a_wrong_password(hub: MqttHub, version: int, code: int) -> None:
    """CONNACK says 0x04 in 3.1.1 and 0x86 in MQTT 5, and the connection ends."""
    with hub.raw() as raw:
        raw.send(connect("wrong", version, user="u", password="mh_wrong"))
        answer = raw.packet()
        assert (answer[0], answer[2], answer[3]) == (0x20, 0, code)
        raw.expect_end()


@pytest.mark.parametrize(("version", "code"), [(4, 0x05), (5, 0x87)])
def test_the_code_for_a_will_that_is_not_allowed(hub: MqttHub, version: int, code: int) -> None:
    """Who may not publish on the topic of its will is refused at once."""
    with hub.raw() as raw:
        raw.send(connect("willing", version, will=("readings/a/b", b"1", 0)))
        answer = raw.packet()
        assert (answer[0], answer[3]) == (0x20, code)
        raw.expect_end()


def test_strangers_in_311(hub: MqttHub) -> None:
    """A stranger's other topics: 0x80 in SUBACK, PUBACK in four bytes, and the owner sees it."""
    with hub.raw() as raw:
        raw.send(connect(""))
        raw.expect("20020000")
        for number, topic_filter in enumerate(("#", "readings/#", "$SYS/#", "state/+"), 1):
            raw.send(subscribe(topic_filter, 1, number))
            raw.expect(f"9003000{number}80")
        raw.send(subscribe("state/nameAssign", 1, 9), subscribe("led/command", 0, 10))
        raw.expect("9003000901" + "9003000a00")
        raw.send(publish("readings/strange-311/a", b"1", 1, 5))
        raw.expect("40020005")
        raw.send(publish("led/command", b"capteur01;1;1", 1, 6))
        raw.expect("40020006")
        # It is not routed either: the stranger itself listens there.
        raw.expect_nothing()
    assert "readings/strange-311/a" in reasons(hub)


def test_strangers_in_5(hub: MqttHub) -> None:
    """A stranger's other topics: 0x87, with a reason string for messages; QoS 2 ends with it."""
    with hub.raw() as raw:
        raw.send(connect("stranger", 5))
        assert raw.packet()[3] == 0
        raw.send(subscribe("#", 1, 1, 5))
        raw.expect("900400010087")
        for qos in (1, 2):
            raw.send(publish("readings/strange-5/a", b"1", qos, qos, 5))
            answer = raw.packet()
            assert (answer[0], answer[2:5]) == (0x30 + 0x10 * qos, bytes([0, qos, 0x87]))
            assert b"readings/strange-5/a" in answer
        raw.send(publish("readings/strange-5/a", b"1", 0, 1, 5))
        raw.expect_nothing()
    assert "readings/strange-5/a" in reasons(hub)
    assert not hub.values("strange-5", "a")


@both_versions
def test_scopes(hub: MqttHub, version: str) -> None:
    """A token's scopes are what its owner may: write, read, or all."""
    device = f"scopes-{version}"
    topic = f"readings/{device}/a"
    secrets = {
        scope: hub.token(f"{scope} {version}", scope) for scope in ("write", "read", "admin")
    }
    with hub.subscriber(
        "-V", version, *login(secrets["read"]), "-q", "1", "-t", "readings/#"
    ) as reader:
        done = hub.publish(topic, "1", *login(secrets["write"]), version=version, qos=2)
        assert done.returncode == 0, done.stderr
        assert reader.take() == [f"{topic} 1"]
        hub.publish(topic, "2", *login(secrets["read"]), version=version)
        hub.publish(topic, "3", *login(secrets["admin"]), version=version)
        assert reader.take() == [f"{topic} 3"]
    hub.wait_values(device, "a", [1, 3])
    with hub.subscriber(
        "-V", version, *login(secrets["admin"]), "-t", "$SYS/broker/version"
    ) as admin:
        assert admin.take()[0].startswith("$SYS/broker/version motehub")
    denied = ["-V", version, *login(secrets["write"]), "-t", "#", "-E"]
    with hub.subscriber(*denied) as writer:
        writer.rest()
    assert ("denied" in writer.said) or ("128" in writer.said) or ("135" in writer.said)


def test_a_password_without_a_user(hub: MqttHub) -> None:
    """MQTT 5 allows a password alone [MQTT-3.1.2-22 of 3.1.1 is gone], and so does the hub."""
    secret = hub.token("alone", "write")
    done = hub.publish("readings/alone/a", "1", "-P", secret)
    assert done.returncode == 0, done.stderr
    hub.wait_values("alone", "a", [1])


@both_versions
def test_a_bound_token(hub: MqttHub, version: str) -> None:
    """A token that is bound to a device writes this one and no other."""
    device = f"bound-{version}"
    secret = hub.token(device, "write", "--device", device)
    assert hub.publish(f"readings/{device}/a", "1", *login(secret), version=version).returncode == 0
    other = f"other-{version}"
    refused = hub.publish(f"readings/{other}/a", "1", *login(secret), "-d", version=version)
    if version == "5":
        assert "RC:135" in refused.stdout
    hub.wait_values(device, "a", [1])
    assert f"readings/{other}/a" in reasons(hub)


def test_a_revoked_token_in_311(hub: MqttHub) -> None:
    """The connection of a 3.1.1 client ends as soon as its token is revoked."""
    secret = hub.token("short-lived", "write")
    with hub.raw() as raw:
        raw.send(connect("short", user="u", password=secret))
        raw.expect("20020000")
        raw.expect_nothing()
        assert hub.cli("token", "revoke", "short-lived").returncode == 0
        raw.expect_end()
    with hub.raw() as raw:
        raw.send(connect("short", user="u", password=secret))
        raw.expect("20020004")


@both_versions
def test_a_certificate_is_an_identity(hub: MqttHub, version: str) -> None:
    """A device with a certificate of the hub's publishes as itself, and as nobody else."""
    device = f"wally-{version}"
    assert hub.cli("certs", "client", device).returncode == 0
    folder = hub.data / "certificates" / "clients"
    own = ["--cafile", str(hub.ca), "--cert", str(folder / f"{device}.crt")]
    own += ["--key", str(folder / f"{device}.key"), "-V", version, "-q", "1", "-d"]
    done = hub.mosquitto_pub(*own, "-t", f"readings/{device}/a", "-m", "1", port=hub.mqtts_port)
    assert done.returncode == 0, done.stderr
    hub.wait_values(device, "a", [1])
    topic = f"readings/not-{device}/a"
    done = hub.mosquitto_pub(*own, "-t", topic, "-m", "1", port=hub.mqtts_port)
    if version == "5":
        assert "RC:135" in done.stdout
    assert topic in reasons(hub)
    # Without one it is a stranger, in TLS as elsewhere.
    done = hub.mosquitto_pub(
        *("--cafile", str(hub.ca), "-V", version, "-q", "1", "-d"),
        *("-t", f"readings/{device}/b", "-m", "1"),
        port=hub.mqtts_port,
    )
    assert not hub.values(device, "b")
    assert f"readings/{device}/b" in reasons(hub)
