"""Kill a hub between PUBLISH and acknowledgement: ``python -m tests.fault.mqtt_crash``.

Clients publish readings at QoS 1 and 2 in sessions that last, and one receives them all at QoS 2,
while the hub is killed at random moments and started again. In the end each reading of QoS 2 must
be stored once and have arrived once, each of QoS 1 at least once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec
from tests.harness import PATIENCE, HubProcess, Settings, stored
from tests.mqtt_peer import Connected, Peer
from tests.ports import free_port

PUBLISHERS: Final = 3
LONGEST: Final = 0.6
"""Longest life of a hub after it is ready, in seconds."""


class Lost(AssertionError):
    """What is stored or has arrived is not what was acknowledged."""


class Publisher:
    """Publishes numbers from 0 on, in turn at QoS 1 and 2, each in a series of its own."""

    def __init__(self, number: int) -> None:
        self.device = f"crash-{number}"
        self.peer = Peer(self.device)
        self.sent = 0
        self.is_over = False

    def more(self) -> tuple[str, bytes, int] | None:
        """Return the next message."""
        if self.is_over:
            return None
        qos = 1 + self.sent % 2
        self.sent += 1
        return f"readings/{self.device}/qos{qos}", b"%d" % (self.sent - 1), qos


class Tally(msgspec.Struct):
    """What a run has done: hubs killed, messages sent, and what came more than once at QoS 1."""

    kills: int = 0
    messages: int = 0
    stored_again: int = 0
    arrived_again: int = 0

    def __str__(self) -> str:
        """Sum it up in a sentence."""
        return (
            f"Hub killed {self.kills} times; {self.messages} readings, each of QoS 2 stored once "
            f"and delivered once; at QoS 1 {self.stored_again} were stored again and "
            f"{self.arrived_again} arrived again."
        )


def run(folder: Path, rounds: int, seed: int, tell: Callable[[int], None]) -> Tally:
    """Kill a hub ``rounds`` times and check what is left.

    Raises:
        Lost: something is missing, or there too often.
    """
    rng = random.Random(seed)
    port = free_port()
    broker = {"host": "127.0.0.1", "port": port, "queued_messages": 60_000, "receive_maximum": 100}
    for name in ("tls_port", "websocket_port"):
        broker[name] = 0
    settings: Settings = {"hub": {"admission": "open"}, "transport.mqtt_broker": broker}
    publishers = [Publisher(number) for number in range(PUBLISHERS)]
    listener = Peer("listener", ["readings/#"])
    with HubProcess(folder / "data", settings) as hub, ExitStack() as stack:
        first = Connected(listener, port, lambda: None)
        stack.callback(first.stop)
        _wait(lambda: listener.subscribed)
        for one in publishers:
            stack.callback(Connected(one.peer, port, one.more).stop)
        for number in range(rounds):
            time.sleep(rng.random() * LONGEST)
            _kill(hub, rng)
            hub.start()
            tell(number + 1)
        _finish(publishers, listener)
        tally = Tally(rounds, sum(one.sent for one in publishers))
        _check(hub, publishers, listener, tally)
    return tally


def _kill(hub: HubProcess, rng: random.Random) -> None:
    if rng.random() < 0.3:
        with suppress(ProcessLookupError):
            os.killpg(hub.pid, signal.SIGKILL)
    hub.process.kill()
    hub.process.wait()


def _finish(publishers: list[Publisher], listener: Peer) -> None:
    """Let everything that is under way arrive."""
    for one in publishers:
        one.is_over = True
    _wait(lambda: not any(one.peer.unanswered for one in publishers))
    total = sum(one.sent for one in publishers)
    _wait(lambda: len(set(listener.got)) >= total and not listener.taken)


def _check(hub: HubProcess, publishers: list[Publisher], listener: Peer, tally: Tally) -> None:
    hub.wait_folded()
    history = stored(hub.data)
    arrived = Counter(listener.got)
    for one in publishers:
        for qos in (1, 2):
            sent = range(qos - 1, one.sent, 2)
            values = Counter(int(value) for _, value in history[one.device, f"qos{qos}"])
            topic = f"readings/{one.device}/qos{qos}"
            heard = Counter({number: arrived[topic, b"%d" % number] for number in sent})
            for what, found in (("stored", values), ("delivered", heard)):
                if missing := [number for number in sent if not found[number]]:
                    raise Lost(f"{topic}: {len(missing)} not {what}: {missing[:5]}")
                again = sum(found.values()) - len(sent)
                if again and qos == 2:
                    double = [number for number in sent if found[number] > 1]
                    raise Lost(f"{topic}: {len(double)} {what} twice: {double[:5]}")
                if what == "stored":
                    tally.stored_again += again
                else:
                    tally.arrived_again += again


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Lost("what is under way does not arrive")
        time.sleep(0.01)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        tally = run(
            Path(folder),
            options.rounds,
            options.seed,
            lambda number: print(f"\r{number} of {options.rounds}", end="", flush=True),  # noqa: T201
        )
    print(f"\n{tally}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
