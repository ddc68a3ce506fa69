"""Devices whose connection ends without a word, as people see them who look on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.board import Board
from tests.browser.screen import MARIE, PHONE, log_in, screen
from tests.harness import OPEN
from tests.mqtt_hub import BROKER, MqttHub
from tests.web_hub import WEB

KEEP_ALIVE: Final = 2


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    settings = {**OPEN, **WEB, **BROKER, "mqtt": {"presets": ["tasmota"]}}
    with MqttHub(tmp_path_factory.mktemp("unplugged") / "data", settings) as started:
        started.add_person(MARIE, "admin")
        yield started


@pytest.fixture(scope="module")
def pages(hub: MqttHub, browser: Browser) -> Iterator[tuple[Page, Page]]:
    """Two people's overviews, which nobody loads again."""
    with screen(browser) as one, screen(browser, PHONE, "dark") as other:
        for page in (one, other):
            log_in(page, hub.url, MARIE)
            page.evaluate("window.same = true")
        yield one, other


def expect_on_all(pages: tuple[Page, Page], name: str, kind: str) -> None:
    """Wait until a device is online or silent for everybody."""
    for page in pages:
        link = page.get_by_role("link", name=name, exact=True)
        card = page.locator(".card").filter(has=link)
        expect(card).to_have_attribute("data-kind", kind)
        assert page.evaluate("window.same") is True


def test_a_board_that_is_killed(hub: MqttHub, pages: tuple[Page, Page], browser: Browser) -> None:
    """It is offline on all pages at once: its connection ends, and its will is published."""
    command = [sys.executable, "-m", "tests.browser.board", str(hub.mqtt_port)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE)
    try:
        expect_on_all(pages, "capteur01", "online")
        with screen(browser) as own:
            log_in(own, hub.url, MARIE)
            own.goto(f"{hub.url}/device#capteur01")
            expect(own.locator(".head")).to_have_attribute("data-kind", "online")
            process.kill()
            expect_on_all(pages, "capteur01", "silent")
            expect(own.locator(".head")).to_have_attribute("data-kind", "silent")
    finally:
        process.kill()
        process.communicate()


def test_a_board_whose_cable_is_cut(hub: MqttHub, pages: tuple[Page, Page]) -> None:
    """Its connection stays open, and its keep-alive runs out: then its will says it is gone."""
    board = Board(hub.mqtt_port, KEEP_ALIVE)
    try:
        board.ask()
        board.join()
        name = board.claim.partition(";")[0]
        expect_on_all(pages, name, "online")
        board.freeze()
        expect_on_all(pages, name, "silent")
    finally:
        board.close()


def test_a_plug_whose_will_is_published(hub: MqttHub, pages: tuple[Page, Page]) -> None:
    """Whoever says by a will that it is gone, is gone for all when its program is killed."""
    topic = "tele/plug/LWT"
    will = ["--will-topic", topic, "--will-payload", "Offline", "--will-retain"]
    with hub.subscriber(*will, "-i", "plug", "-t", "cmnd/plug/#") as client:
        hub.publish(topic, "Online", "-r")
        hub.publish("tele/plug/SENSOR", '{"AM2301":{"Temperature":21.5}}')
        expect_on_all(pages, "plug", "online")
        client.kill()
        expect_on_all(pages, "plug", "silent")
