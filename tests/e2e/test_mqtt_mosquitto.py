"""Mosquitto's own clients against the broker of the running program."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from tests.harness import OPEN, PATIENCE
from tests.mqtt_hub import BROKER, VERSIONS, MqttHub
from tests.web_hub import WEB

both_versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """An open hub for all tests here, each with topics and client ids of its own."""
    data = tmp_path_factory.mktemp("mosquitto") / "data"
    with MqttHub(data, {**OPEN, **BROKER, **WEB}) as running:
        yield running


@both_versions
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_published_is_stored(hub: MqttHub, version: str, qos: int) -> None:
    """A number on readings/<device>/<metric> becomes a reading of the device."""
    device = f"stored-{version}-{qos}"
    done = hub.publish(f"readings/{device}/temperature", "21.5", version=version, qos=qos)
    assert done.returncode == 0, done.stderr
    hub.wait_values(device, "temperature", [21.5])
    (row,) = hub.json("readings", device, "temperature")
    assert row["value"] == 21.5


def test_an_object_has_several_metrics(hub: MqttHub) -> None:
    """A JSON object on readings/<device> is a reading of each metric, which the API shows."""
    assert hub.publish("readings/object", '{"temperature": 21.5, "open": true}').returncode == 0
    hub.wait_values("object", "temperature", [21.5])
    hub.wait_values("object", "open", [1])
    token = hub.token("reader", "read")
    status, _, body = hub.curl("/api/v1/devices/object/series", token=token)
    assert status == 200, body
    assert b"temperature" in body


@both_versions
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_flood_is_stored_whole(hub: MqttHub, version: str, qos: int) -> None:
    """Each line of a file is a reading, in its order, at every quality of service."""
    device = f"flood-{version}-{qos}"
    values = [number / 4 for number in range(1000)]
    options = ["-V", version, "-q", str(qos), "-t", f"readings/{device}/a", "-l"]
    done = hub.mosquitto_pub(*options, given="".join(f"{value}\n" for value in values))
    assert done.returncode == 0, done.stderr
    hub.wait_stored(device, "a", len(values))
    assert sorted(hub.values(device, "a")) == values


@both_versions
def test_every_quality_of_service(hub: MqttHub, version: str) -> None:
    """A message arrives at the lower of the publisher's and the subscriber's."""
    topic = f"qos/{version}"
    for granted in (0, 1, 2):
        with hub.subscriber("-V", version, "-t", topic, "-q", str(granted)).told("%q %p") as one:
            for qos in (0, 1, 2):
                done = hub.publish(topic, f"sent at {qos}", version=version, qos=qos)
                assert done.returncode == 0, done.stderr
            lower = [f"{min(granted, qos)} sent at {qos}" for qos in (0, 1, 2)]
            assert one.take(3) == lower


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("other", VERSIONS)
def test_versions_meet(hub: MqttHub, version: str, other: str) -> None:
    """A message of one version reaches a subscriber of the other, byte by byte."""
    topic = f"meet/{version}/{other}"
    text = "é€😀 " * 2000
    with hub.subscriber("-V", other, "-t", topic, "-q", "2") as subscriber:
        assert hub.publish(topic, text, version=version, qos=2).returncode == 0
        assert subscriber.take() == [f"{topic} {text}"]


def test_properties_are_passed_on(hub: MqttHub) -> None:
    """Content type, response topic, correlation data and user properties arrive, in order."""
    details = "%C|%R|%D|%P|%p"
    with hub.subscriber("-V", "5", "-t", "properties").told(details) as subscriber:
        said = ["-D", "publish", "content-type", "text/plain"]
        said += ["-D", "publish", "response-topic", "answers"]
        said += ["-D", "publish", "correlation-data", "42"]
        said += ["-D", "publish", "user-property", "b", "2"]
        said += ["-D", "publish", "user-property", "a", "1"]
        assert hub.publish("properties", "x", *said).returncode == 0
        assert subscriber.take() == ["text/plain|answers|42|b:2 a:1|x"]


@both_versions
def test_retained_messages(hub: MqttHub, version: str) -> None:
    """The newest is kept for those who come later, until an empty one takes it away."""
    topic = f"retained/{version}"
    for value in ("1", "2"):
        assert hub.publish(topic, value, "-r", version=version).returncode == 0
    with hub.subscriber("-V", version, "-t", topic).told("%r %p") as late:
        assert late.take() == ["1 2"]
        assert hub.publish(topic, "3", "-r", version=version).returncode == 0
        assert late.take() == ["0 3"]
        assert hub.publish(topic, None, "-r", "-n", version=version).returncode == 0
        assert late.take() == ["0 "]
    with hub.subscriber("-V", version, "-t", topic).told("%r %p") as later:
        assert hub.publish(topic, "4", version=version).returncode == 0
        assert later.take() == ["0 4"]


def test_retained_messages_expire(hub: MqttHub) -> None:
    """A retained message is gone when its time is over."""
    expiry = ["-D", "publish", "message-expiry-interval", "1"]
    assert hub.publish("expiring", "old", "-r", *expiry).returncode == 0

    def is_gone() -> bool:
        with hub.subscriber("-V", "5", "-t", "expiring") as late:
            assert hub.publish("expiring", "marker").returncode == 0
            return late.take() == ["expiring marker"]

    hub.wait_until(is_gone, "the retained message is gone")


@both_versions
def test_a_will_speaks_for_who_is_cut_off(hub: MqttHub, version: str) -> None:
    """A killed client's will is published, and retained if it says so; a proper end has none."""
    topic = f"wills/{version}"
    will = ["--will-topic", topic, "--will-qos", "1", "--will-retain", "-V", version]
    with hub.subscriber("-V", version, "-t", topic, "-q", "1").told("%r %q %p") as watcher:
        done = hub.mosquitto_pub(*will, "--will-payload", "of the polite", "-t", "x", "-n")
        assert done.returncode == 0, done.stderr
        with hub.subscriber(*will, "--will-payload", "of the killed", "-t", "x") as killed:
            killed.kill()
        assert watcher.take() == ["0 1 of the killed"]
    with hub.subscriber("-V", version, "-t", topic).told("%r %p") as late:
        assert late.take() == ["1 of the killed"]


def test_a_will_may_be_a_reading(hub: MqttHub) -> None:
    """The will on a topic of readings is stored as if its client had published it."""
    will = ["--will-topic", "readings/willing/alive", "--will-payload", "0"]
    assert hub.publish("readings/willing/alive", "1").returncode == 0
    with hub.subscriber(*will, "-t", "nothing") as client:
        client.kill()
    hub.wait_values("willing", "alive", [1, 0])


def test_a_client_may_leave_with_its_will(hub: MqttHub) -> None:
    """MQTT 5: mosquitto_sub says 0x04 when it is asked to end, and so its will is published."""
    will = ["-V", "5", "--will-topic", "wills/0x04", "--will-payload", "so long"]
    with hub.subscriber("-V", "5", "-t", "wills/0x04") as watcher:
        with hub.subscriber(*will, "-t", "nothing") as client:
            client.stop()
        assert watcher.take() == ["wills/0x04 so long"]


@both_versions
@pytest.mark.parametrize("qos", [1, 2])
def test_a_session_waits_for_its_client(hub: MqttHub, version: str, qos: int) -> None:
    """What comes while a client is away, it gets when it is back; once, and in order."""
    topic = f"away/{version}/{qos}"
    kept = ["-V", version, "-c", "-i", f"away-{version}-{qos}", "-q", "2", "-t", topic]
    kept += ["-x", "3600"] if version == "5" else []
    with hub.subscriber(*kept) as subscriber:
        subscriber.stop()
    for number in range(20):
        assert hub.publish(topic, str(number), version=version, qos=qos).returncode == 0
    with hub.subscriber(*kept) as subscriber:
        assert subscriber.take(20) == [f"{topic} {number}" for number in range(20)]
        subscriber.stop()
        assert subscriber.rest() == []


def test_a_shared_subscription_divides(hub: MqttHub) -> None:
    """Each message goes to one of the group, to each of it some; others get all."""
    shared = ["-V", "5", "-q", "1", "-t", "$share/workers/jobs/#"]
    with (
        hub.subscriber(*shared) as one,
        hub.subscriber(*shared) as two,
        hub.subscriber("-V", "5", "-q", "1", "-t", "jobs/#") as witness,
    ):
        for number in range(4):
            hub.mosquitto_pub("-t", f"jobs/{number}", "-q", "1", "-l", given="a\nb\nc\nd\ne\n")
        jobs = [f"jobs/{number} {letter}" for number in range(4) for letter in "abcde"]
        assert witness.take(len(jobs)) == jobs
        hub.wait_until(lambda: one.waiting + two.waiting >= len(jobs), "all jobs are given")
        first, second = one.take(one.waiting), two.take(two.waiting)
        assert first
        assert second
        assert sorted(first + second) == jobs


def test_statistics(hub: MqttHub) -> None:
    """$SYS tells about the broker, and # does not match it."""
    with hub.subscriber("-V", "5", "-t", "$SYS/broker/version") as subscriber:
        assert subscriber.take()[0].startswith("$SYS/broker/version motehub ")
    with hub.subscriber("-V", "5", "-t", "#", "-t", "+/broker/version") as subscriber:
        assert hub.publish("statistics/marker", "x").returncode == 0
        got = subscriber.take()
        while got[-1] != "statistics/marker x":
            got += subscriber.take()
        assert not any(one.startswith("$") for one in got)
    refused = hub.publish("$SYS/broker/version", "mine", "-d")
    assert "RC:135" in refused.stdout


def test_a_request_and_its_answer(hub: MqttHub) -> None:
    """mosquitto_rr finds the answer to its question by response topic."""
    asking = ["mosquitto_rr", "-h", "127.0.0.1", "-p", str(hub.mqtt_port), "-V", "5"]
    asking += ["-t", "questions", "-e", "answers/1", "-m", "how warm?", "-W", "20"]
    with (
        hub.subscriber("-V", "5", "-t", "questions").told("%R %p") as answerer,
        subprocess.Popen(asking, stdout=subprocess.PIPE, text=True) as client,
    ):
        (question,) = answerer.take()
        assert question == "answers/1 how warm?"
        assert hub.publish("answers/1", "21.5").returncode == 0
        output, _ = client.communicate(timeout=PATIENCE)
    assert output == "21.5\n"


@both_versions
def test_over_tls(hub: MqttHub, version: str) -> None:
    """With the hub's CA a client publishes and subscribes; without, it does not believe the hub."""
    trust = ["-V", version, "--cafile", str(hub.ca)]
    topic = f"readings/tls-{version}/a"
    with hub.subscriber(*trust, "-t", topic, "-q", "2", port=hub.mqtts_port) as subscriber:
        said = [*trust, "-t", topic, "-m", "7", "-q", "2"]
        done = hub.mosquitto_pub(*said, port=hub.mqtts_port)
        assert done.returncode == 0, done.stderr
        assert subscriber.take() == [f"{topic} 7"]
    hub.wait_values(f"tls-{version}", "a", [7])
    # Debian's own authorities have not signed it.
    system = ["--capath", "/etc/ssl/certs", "-t", topic, "-m", "8"]
    assert hub.mosquitto_pub(*system, port=hub.mqtts_port).returncode != 0


def test_what_it_can_not_read_is_told_and_shown(hub: MqttHub) -> None:
    """MQTT 5: PUBACK with 0x99; the owner finds payload and reason."""
    done = hub.publish("readings/unreadable", "{not json", "-d")
    assert "RC:153" in done.stdout, done.stdout
    hub.wait_until(lambda: "{not json" in repr(hub.json("rejected")), "the owner sees it")
