"""What 10,000 rules on as many series cost those who send readings."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from bench.harness import Case, Sample, Settings
from bench.processes import ProcessFailed, cpu_seconds, memory
from bench.servers import Hub

DEVICES: Final = 100
METRICS: Final = 100
"""Of each device: 10,000 series, each with a rule of its own."""

CONNECTIONS: Final = 4
SECONDS: Final = 10.0
QUICK_SECONDS: Final = 4.0

_SECTIONS: Final = """\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
"""
_MILLION: Final = 1e6


def cases(settings: Settings) -> Sequence[Case]:
    """Compare a hub with a rule on each series with one that looks at no rules."""
    return [
        Case(
            "10,000 rules on 10,000 series",
            {"rules": partial(_run, _rules()), "no rules": partial(_run, _without())},
        )
    ]


def _rules() -> str:
    sections = [_SECTIONS]
    for device in range(DEVICES):
        for metric in range(METRICS):
            sections.append(
                f'[[rule]]\nname = "r{device}-{metric}"\ndevices = ["d{device}"]\n'
                f'metric = "m{metric}"\nabove = 100\nbelow = -100\nhysteresis = 1\nfor = "1m"\n'
            )
    return "".join(sections)


def _without() -> str:
    return f"{_SECTIONS}[alerts]\nenabled = false\n"


def _bodies() -> list[bytes]:
    """Return posts that have a reading of every series all together."""
    return [
        json.dumps(
            [
                {"device": f"d{device}", "metric": f"m{metric}", "value": (device + metric) / 7}
                for metric in range(METRICS)
                for device in range(number * 10, number * 10 + 10)
            ]
        ).encode()
        for number in range(DEVICES // 10)
    ]


def _run(sections: str, settings: Settings) -> Sample:
    bodies = _bodies()
    seconds = QUICK_SECONDS if settings.quick else SECONDS
    with settings.fresh_folder() as folder:
        hub = Hub(folder, settings.certificates, sections=sections, listener="web")
        with hub:
            token = hub.command("token", "create", "bench", "--scope", "write").strip()
            _post_until(hub.port, token, bodies, time.monotonic() + 1.0)
            before = cpu_seconds(hub.process_id)
            began = time.monotonic()
            taken = _flood(hub.port, token, bodies, began + seconds)
            elapsed = time.monotonic() - began
            used = cpu_seconds(hub.process_id) - before
            kept = memory(*_alerts_of(hub))
    return {
        "readings/s": taken / elapsed,
        "CPU s per million readings": used / (taken / _MILLION),
        "PSS of the process of alerts, MB": kept.pss / 1e6,
    }


def _flood(port: int, token: str, bodies: Sequence[bytes], until: float) -> int:
    counts: list[int] = []

    def post() -> None:
        counts.append(_post_until(port, token, bodies, until))

    threads = [threading.Thread(target=post) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) < CONNECTIONS:
        raise ProcessFailed("A connection to the hub failed.")
    return sum(counts)


def _post_until(port: int, token: str, bodies: Sequence[bytes], until: float) -> int:
    """Post until then, but all of it once; return how many readings that were."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    count = 0
    while time.monotonic() < until or count < len(bodies):
        connection.request("POST", "/api/v1/readings", bodies[count % len(bodies)], headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise ProcessFailed(f"The hub answers {answer.status}.")
        count += 1
    connection.close()
    return count * 10 * METRICS


def _alerts_of(hub: Hub) -> list[int]:
    status = json.loads(hub.command("status"))
    pid = status["consumers"].get("alerts", {}).get("pid")
    return [pid] if pid else []
