"""``motehub demo``: what it shows, and that nothing is left of it."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Final

import pytest
from tests.demo_run import DemoRun, demo

DIALECTS: Final = {
    "greenhouse": ("dht_stream", "temperature"),
    "workshop": ("json_socket", "temperature"),
    "living-room": ("pimonitor", "temperature"),
    "balcony": ("mqtt_broker", "temperature"),
    "board01": ("mqtt_broker", "illuminance"),
    "soil": ("units", "soil_moisture"),
}


class Visitor:
    """Whoever follows the link, with a browser that keeps cookies."""

    def __init__(self, link: str) -> None:
        without_proxy = urllib.request.ProxyHandler({})
        cookies = urllib.request.HTTPCookieProcessor(CookieJar())
        self._opener = urllib.request.build_opener(without_proxy, cookies)
        request = urllib.request.Request(link, headers={"Accept": "text/html"})
        with self._opener.open(request, timeout=60) as page:
            self.url = page.url.rstrip("/")
            assert b"<!doctype html>" in page.read()
        self._csrf = self.ask("session")["csrf"]

    def ask(self, path: str, body: object = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if body is not None:
            headers["X-CSRF-Token"] = self._csrf
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers)
        with self._opener.open(request, timeout=60) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoRun]:
    with demo(tmp_path_factory.mktemp("d")) as started:
        yield started


@pytest.fixture(scope="module")
def visitor(run: DemoRun) -> Visitor:
    return Visitor(run.link)


def test_the_link_signs_in_as_often_as_it_is_followed(run: DemoRun, visitor: Visitor) -> None:
    """Each browser that follows it is in at once; another address at that port is nothing."""
    assert visitor.ask("session")["role"] == "admin"
    assert Visitor(run.link).ask("session")["name"] == "demo"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        Visitor(run.link[:-1])


def test_every_dialect_speaks_and_has_a_past(visitor: Visitor) -> None:
    """Each device is there by its real protocol, with a week behind it and no reading lost."""
    devices = {one["name"]: one for one in visitor.ask("devices")}
    assert devices.keys() - DIALECTS.keys() == {"lamp", "dht-127.0.0.2"}
    assert devices["dht-127.0.0.2"]["admission"] == "pending"
    for name, (dialect, metric) in DIALECTS.items():
        shown = devices[name]
        assert (shown["dialect"], shown["admission"]) == (dialect, "accepted")
        assert shown["rejected"] == shown["discarded"] == 0
        query = f"device={name}&metric={metric}&from=-8d&points=200"
        (series,) = visitor.ask(f"readings?{query}")["series"]
        assert series["times"][-1] - series["times"][0] > 6.9 * 86_400
        assert len(series["times"]) > 150
        steps = [abs(b - a) for a, b in zip(series["mean"], series["mean"][1:], strict=False)]
        # No cliff where the past ends and the present begins.
        assert steps[-1] <= max(steps[:-1]) * 2, name


def test_the_owner_has_said_what_there_is(visitor: Visitor) -> None:
    """Devices stand in groups, and what is measured has its unit, whoever says so."""
    found = {one["name"]: one for one in visitor.ask("overview")}
    assert {tuple(found[name]["labels"]) for name in DIALECTS} == {("garden",), ("house",)}
    units = {
        (series["metric"], series["unit"])
        for name in DIALECTS
        for series in found[name]["series"]
        if series["metric"] not in {"led", "button", "charging", "state"}
    }
    assert units == {
        ("temperature", "°C"),
        ("relative_humidity", "%"),
        ("illuminance", "%"),
        ("soil_moisture", "%"),
        ("battery", "V"),
    }
    (battery,) = visitor.ask("readings?device=workshop&metric=battery&from=-8d&points=500")[
        "series"
    ]
    assert 3.3 <= min(battery["min"]) < 3.4
    assert 4.1 < max(battery["max"]) <= 4.2


def test_the_led_and_the_lamp_obey(run: DemoRun, visitor: Visitor) -> None:
    """The board confirms its LED; the lamp takes its colour and closes."""
    for device, body, end in (
        ("board01", {"name": "led", "value": 1}, "confirmed"),
        ("lamp", {"payload": "#ff8800"}, "sent"),
    ):
        given = visitor.ask(f"devices/{device}/commands", body)
        done: dict[str, Any] = {}

        def over(id_: str = given["id"], done: dict[str, Any] = done) -> bool:
            done.update(visitor.ask(f"commands/{id_}"))
            return bool(done["over"])

        run.wait(over, f"{device} obeys")
        assert done["state"] == end, done


def test_an_alert_fires(run: DemoRun, visitor: Visitor) -> None:
    """The program says before long that its battery is not being charged."""
    run.wait(lambda: visitor.ask("alerts") != [], "the alert fires")
    (alert,) = visitor.ask("alerts")
    assert (alert["rule"], alert["device"]) == ("workshop on battery", "workshop")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path leaves room for that of the hub's socket."""
    return tmp_path_factory.mktemp("d")


def test_nothing_is_left(tmp_path: Path, place: Path) -> None:
    """It opens a browser; Ctrl+C ends all of it, with its folder."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    with demo(place, browser=browser) as run:
        run.wait(lambda: opened.exists() and bool(opened.read_text()), "a browser is opened")
        assert opened.read_text().strip() == run.link
        assert run.leftovers() != []
        assert run.stop() == 0
        assert run.leftovers() == []
        assert "Stopping" in run.said
        assert "Traceback" not in run.said


def test_nothing_is_left_when_it_is_killed(place: Path) -> None:
    """A hub whose demonstration dies stops, and its folder goes, whenever that happens."""
    with demo(place) as run:
        run.wait(lambda: bool([*run.folder.glob("*/data/journal.db")]), "its hub begins")
        run.process.kill()
        run.process.wait()
        run.wait(lambda: run.leftovers() == [], "nothing is left")


def test_a_port_that_is_taken_is_said(place: Path) -> None:
    """Who asks for a port that is in use is told so, and nothing is left either."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        demo(place, "--port", str(taken.getsockname()[1])) as run,
    ):
        assert run.process.wait(60) == 1
        assert "the port is in use" in run.said
        assert "Traceback" not in run.said
        assert run.leftovers() == []
