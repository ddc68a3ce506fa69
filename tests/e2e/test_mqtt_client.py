"""A hub at a Mosquitto: readings, sessions and commands through a broker of somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import OPEN
from tests.mqtt_client_hub import ClientHub
from tests.servers import MosquittoServer

VERSIONS = ("5", "3.1.1")


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
        assert hub.counters["messages"] == 9
        hub.wait_until(lambda: not any(k.startswith("received/") for k in hub.state()), "released")
        assert hub.stop() == 0
