"""How long until a page is usable on a slow phone, over the networks that phones have."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, ViewportSize, sync_playwright

from bench.harness import Case, Sample, Settings
from bench.processes import ProcessFailed
from bench.servers import Hub

DEVICES: Final = 20
MINUTES: Final = 1440
SLOWDOWN: Final = 4
"""So many times slower than this machine's is the processor of the phone."""

_PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_SERIES: Final = (("temperature", "°C"), ("relative_humidity", "%"), ("illuminance", "%"))
_WHO: Final = {"name": "bench", "password": "four slow telephones"}
_LONGEST_MS: Final = 60_000
_SECTIONS: Final = """\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
"""


@dataclass(frozen=True)
class _Network:
    """What Chromium makes of the network: ms there and back, Mbit/s down and up."""

    latency: float
    down: float
    up: float


# Fast and slow 4G are those of Chromium's own list.
NETWORKS: Final = {
    "Wi-Fi": _Network(10, 30, 15),
    "fast 4G": _Network(165, 8.1, 1.35),
    "slow 4G": _Network(562.5, 1.44, 0.675),
}

# Each is true as soon as all that the page is for is there.
_PAGES: Final = {
    "overview": (
        "/",
        f"document.querySelectorAll('#devices .card dd.value:not(:empty)').length >="
        f" {DEVICES * len(_SERIES)}",
    ),
    "device": (
        "/device#board-7",
        f"document.querySelectorAll('#charts [role=img][aria-label]').length >= {len(_SERIES)}",
    ),
    "history": (
        "/history",
        f"document.querySelectorAll('#devices > li').length >= {DEVICES}"
        " && document.querySelector('#devices li input[type=checkbox]') !== null",
    ),
}


def cases(settings: Settings) -> Sequence[Case]:
    """Compare the networks."""
    sides = {name: partial(_run, network) for name, network in NETWORKS.items()}
    return [Case(f"pages, {DEVICES} devices, ms", sides)]


def _run(network: _Network, settings: Settings) -> Sample:
    sample: dict[str, float] = {}
    with (
        settings.fresh_folder() as folder,
        Hub(folder, settings.certificates, sections=_SECTIONS, listener="web") as hub,
        _chromium() as browser,
    ):
        hub.command("user", "add", _WHO["name"], "--role", "admin", given=_WHO["password"])
        _fill(hub)
        url = f"http://127.0.0.1:{hub.port}"
        for name, (path, ready) in _PAGES.items():
            # A context has a cache of its own.
            context = browser.new_context(viewport=_PHONE, locale="en-GB")
            context.request.post(f"{url}/api/v1/session", data=_WHO)
            first = _visit(context, network, url + path, ready)
            again = _visit(context, network, url + path, ready)
            context.close()
            sample |= {
                f"{name}, first visit": first["ms"],
                f"{name}, again": again["ms"],
                f"{name}, requests": first["requests"],
                f"{name}, kB": first["bytes"] / 1e3,
            }
    return sample


def _visit(
    context: BrowserContext, network: _Network, address: str, ready: str
) -> dict[str, float]:
    """Open a page and return when it was usable, and what it has fetched until then."""
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": network.latency,
            "downloadThroughput": network.down * 1e6 / 8,
            "uploadThroughput": network.up * 1e6 / 8,
        },
    )
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    page.goto(address, wait_until="commit")
    # The page's own clock begins when it is asked for.
    script = f"""() => {{
        if (!({ready})) {{
            return null;
        }}
        const own = performance.getEntriesByType("navigation");
        const all = [...own, ...performance.getEntriesByType("resource")];
        return {{
            ms: performance.now(),
            requests: all.length,
            bytes: all.reduce((sum, one) => sum + one.transferSize, 0),
        }};
    }}"""
    found: dict[str, float] = page.wait_for_function(
        script, polling="raf", timeout=_LONGEST_MS
    ).json_value()
    page.close()
    return found


@contextmanager
def _chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        raise ProcessFailed("Chromium is missing: install the package chromium.")
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()


def _fill(hub: Hub) -> None:
    """Send a day of readings of all devices, one a minute, and wait until they are stored."""
    token = hub.command("token", "create", "bench", "--scope", "admin").strip()
    now = time.time()
    for number in range(DEVICES):
        rows = [
            {
                "device": f"board-{number}",
                "metric": metric,
                "unit": unit,
                "value": round(20 + 5 * math.sin(minute / 200 + number) + place, 2),
                "time": now - 60 * minute,
            }
            for place, (metric, unit) in enumerate(_SERIES)
            for minute in range(MINUTES)
        ]
        _post(hub, token, rows)
    whole = DEVICES * MINUTES * len(_SERIES)
    deadline = time.monotonic() + 60
    while hub.finished() < whole:
        if time.monotonic() > deadline:
            raise ProcessFailed("The hub has not stored the readings in a minute.")
        time.sleep(0.1)


def _post(hub: Hub, token: str, rows: Any) -> None:
    address = f"http://127.0.0.1:{hub.port}/api/v1/readings"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(rows).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
