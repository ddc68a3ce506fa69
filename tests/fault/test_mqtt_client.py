"""A hub that is killed while another broker sends: nothing is lost, nothing of QoS 2 doubled."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.harness import OPEN
from tests.mqtt_client_hub import Board, ClientHub
from tests.servers import MosquittoServer

KILLS = 8
SETTINGS = ("max_queued_messages 0", "max_inflight_messages 0")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_kill_between_message_and_acknowledgement(tmp_path: Path, version: str) -> None:
    """Messages of QoS 2 are stored exactly once, and those of QoS 1 at least once."""
    rng = random.Random(20_261_121)
    with MosquittoServer(settings=SETTINGS) as broker:
        hub = ClientHub(tmp_path / "data", broker, OPEN, version=version, receive_maximum=100)
        with hub:
            hub.connected()
            sent = 0
            over = threading.Event()

            def publish() -> None:
                nonlocal sent
                with Board(broker.port, MQTTProtocolVersion.MQTTv5) as board:
                    while not over.is_set():
                        # Two at a time, and not faster than they can be looked at in the end.
                        board.send("readings/den/once", str(sent), 2)
                        board.say("readings/den/often", str(sent), 1)
                        sent += 1
                        time.sleep(0.002)

            publisher = threading.Thread(target=publish)
            publisher.start()
            try:
                for _ in range(KILLS):
                    wait_for_more(hub)
                    time.sleep(rng.uniform(0, 0.05))
                    hub.kill()
                    hub.start()
                    hub.connected()
            finally:
                over.set()
                publisher.join()
            wanted = [float(number) for number in range(sent)]
            hub.wait_stored("den", "once", sent)
            hub.wait_until(
                lambda: not any(key.startswith("received/") for key in hub.state()), "all is over"
            )
            # Mosquitto lets new messages pass those that waited, so they are in no order.
            once = sorted(hub.values("den", "once"))
            assert once == wanted
            hub.wait_until(lambda: set(hub.values("den", "often")) == set(wanted), "nothing lost")
            assert sent > 100


def wait_for_more(hub: ClientHub) -> None:
    """Return when the hub is at work."""
    before = hub.counters["messages"]
    hub.wait_until(lambda: hub.counters["messages"] > before, "it stores")
