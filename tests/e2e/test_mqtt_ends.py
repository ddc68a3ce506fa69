"""How connections to the broker end: by silence, and with the hub."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.harness import OPEN, stored
from tests.mqtt_hub import BROKER, PINGREQ, MqttHub, connect


def test_silence_is_a_matter_of_the_keep_alive(tmp_path: Path) -> None:
    """A 3.1.1 client without one stays connected, however short sessions are kept."""
    kept = {"transport.mqtt_broker": {**BROKER["transport.mqtt_broker"], "session_expiry": "200ms"}}
    with (
        MqttHub(tmp_path / "data", {**OPEN, **kept}) as hub,
        hub.raw() as silent,
        hub.raw() as other,
    ):
        silent.send(connect("silent", keep_alive=0))
        silent.expect("20020000")
        other.send(connect("other", keep_alive=1))
        other.expect("20020000")
        other.expect_end()
        silent.send(PINGREQ)
        silent.expect("d000")


def test_wills_of_all_clients_when_the_hub_stops(tmp_path: Path) -> None:
    """Each is published, also of clients whose sessions end with them."""
    count = 300
    with MqttHub(tmp_path / "data", {**OPEN, **BROKER}) as hub:
        with ExitStack() as connections:
            for number in range(count):
                raw = connections.enter_context(hub.raw())
                raw.send(connect(f"c{number}", will=(f"readings/gone/c{number}", b"1", 1)))
                raw.expect("20020000")
            assert hub.stop() == 0
        hub.start()
        hub.wait_until(
            lambda: sum(device == "gone" for device, _ in stored(hub.data)) == count,
            "not all wills are stored",
        )
