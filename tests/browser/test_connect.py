"""The first minutes: from the set-up link to the first reading, as people do it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.axe import obstacles
from tests.browser.screen import DESK, MARIE, PHONE, keep, log_in, screen
from tests.mqtt_hub import BROKER, MqttHub
from tests.snippet_runs import RUNNABLE, running
from tests.web_hub import WEB, WebHub

OSCAR: Final = {"name": "oscar", "password": "seven dry cactuses"}
BUTTONS: Final = {
    "micropython": "MicroPython",
    "raspberry_pi": "Raspberry Pi",
    "curl": "curl",
    "mosquitto_pub": "mosquitto_pub",
    "openssl": "openssl",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """A hub with an administrator and an operator, to which nothing is connected yet."""
    with MqttHub(tmp_path_factory.mktemp("connect") / "data", {**WEB, **BROKER}) as started:
        started.add_person(MARIE, "admin")
        started.add_person(OSCAR, "operator")
        yield started


def code(page: Page) -> str:
    return page.locator("#text code").text_content() or ""


def arrival(page: Page, name: str) -> str:
    """What the page shows of a device from which something has come."""
    card = page.locator("#arrived .card").filter(
        has=page.get_by_role("link", name=name, exact=True)
    )
    expect(card.locator("dd").first).to_be_visible()
    return card.inner_text()


def name_it(page: Page, name: str) -> None:
    """Name the device, and wait until the code has the name."""
    page.get_by_label("Name of the device").fill(name)
    expect(page.locator("#text code")).to_contain_text(name)


def test_from_the_set_up_link_to_the_first_reading(tmp_path: Path, browser: Browser) -> None:
    """Who has opened the link is told how to connect a device, and sees its first reading."""
    with MqttHub(tmp_path / "data", {**WEB, **BROKER}) as hub, screen(browser, PHONE) as page:
        (line,) = [line for line in hub.log.splitlines() if "/setup#" in line]
        page.goto(line.split()[-1])
        page.get_by_label("Name").fill("marie")
        page.get_by_label("Password").fill(MARIE["password"])
        page.get_by_role("button", name="Become administrator").click()
        page.wait_for_url(f"{hub.url}/connect")
        page.evaluate("window.same = true")
        expect(page.locator("#waiting")).to_contain_text("Waiting for its first reading")
        name_it(page, "greenhouse")
        expect(page.locator("#missing")).to_be_visible()
        keep(page, "connect-phone")
        page.get_by_role("button", name="Make its token").click()
        expect(page.locator("#made")).to_contain_text("is not shown again")
        expect(page.locator("#missing")).to_be_hidden()
        assert "PUT-THE-TOKEN-HERE" not in code(page)
        with running("curl", code(page), tmp_path / "curl"):
            assert "21.5 °C" in arrival(page, "greenhouse")
        expect(page.locator("#waiting")).to_have_text("It works: greenhouse has sent readings.")
        assert page.evaluate("window.same") is True
        keep(page, "connect-done-phone")
        page.get_by_role("link", name="Devices", exact=True).click()
        expect(page.get_by_role("link", name="greenhouse")).to_be_visible()
        expect(page.locator("#begin")).to_be_hidden()


def test_the_same_over_tls(tmp_path: Path, browser: Browser) -> None:
    """With the hub's own certificate the link, the pages, their cookie and the code are secure."""
    settings = {**WEB, "web": {**WEB["web"], "tls": "auto"}}
    with (
        WebHub(tmp_path / "data", settings) as hub,
        screen(browser, trusting=True) as page,
    ):
        (line,) = [line for line in hub.log.splitlines() if "/setup#" in line]
        link = line.split()[-1]
        assert link.startswith("https://")
        page.goto(link)
        page.get_by_label("Name").fill("marie")
        page.get_by_label("Password").fill(MARIE["password"])
        page.get_by_role("button", name="Become administrator").click()
        page.wait_for_url("https://**/connect")
        (cookie,) = page.context.cookies()
        assert (cookie["secure"], cookie["httpOnly"]) == (True, True)
        page.get_by_role("button", name="Make its token").click()
        expect(page.locator("#made")).to_contain_text("my-sensor")
        expect(page.locator("#text code")).to_contain_text("--cacert ca.crt https://")
        expect(page.locator("#missing")).to_be_hidden()
        with running("curl", code(page), tmp_path / "curl"):
            assert "21.5 °C" in arrival(page, "my-sensor")


def test_without_devices_the_overview_leads_there(hub: MqttHub, browser: Browser) -> None:
    """An overview without a card says where to begin."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.get_by_role("link", name="Connect your first device").click()
        expect(page.get_by_role("heading", name="Connect a device")).to_be_visible()


@pytest.mark.parametrize("way", [way for way in RUNNABLE if way != "openssl"])
def test_the_code_on_the_page_works(
    hub: MqttHub, browser: Browser, tmp_path: Path, way: str
) -> None:
    """What is copied from the page sends a reading, which the page shows; whatever its name."""
    name = f"it's {way}-1"
    with screen(browser, DESK, "dark" if way == "mosquitto_pub" else "light") as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/connect")
        page.get_by_role("button", name=BUTTONS[way], exact=True).click()
        page.get_by_label("Name of the device").fill(name)
        # Its quote is written otherwise in each language.
        expect(page.locator("#text code")).to_contain_text(f"s {way}-1")
        page.get_by_role("button", name="Make its token").click()
        expect(page.locator("#made")).to_contain_text(f"the token of {name}")
        with running(way, code(page), tmp_path):
            assert "21.5 °C" in arrival(page, name)
        keep(page, f"connect-{way}")
    (row,) = [row for row in hub.json("token", "list") if row["name"] == name]
    assert (row["scopes"], row["devices"]) == (["write"], [name])


def test_a_device_without_a_key_is_accepted_there(
    hub: MqttHub, browser: Browser, tmp_path: Path
) -> None:
    """A device that shows no token waits on the same page, where it gets its name."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/connect#openssl")
        expect(page.locator("#text code")).to_contain_text("s_client")
        expect(page.locator("#naming")).to_be_hidden()
        with running("openssl", code(page), tmp_path):
            assert "24.1 °C" in arrival(page, "dht-127.0.0.1")
        expect(page.locator("#waiting")).to_contain_text("waits until you accept it")
        keep(page, "connect-pending")
        card = page.locator("#arrived .card").filter(has_text="dht-127.0.0.1")
        card.get_by_label("Name").fill("attic")
        card.get_by_role("button", name="Accept").click()
        assert "24.1 °C" in arrival(page, "attic")
        expect(page.locator("#waiting")).to_contain_text("It works: attic")


def test_an_operator_sees_the_way_but_makes_no_token(hub: MqttHub, browser: Browser) -> None:
    """Only an administrator gives keys away."""
    with screen(browser) as page:
        log_in(page, hub.url, OSCAR)
        page.get_by_role("link", name="Connect", exact=True).click()
        expect(page.locator("#text code")).to_contain_text("PUT-THE-TOKEN-HERE")
        expect(page.get_by_role("button", name="Make its token")).to_be_hidden()
        expect(page.locator("#ask")).to_be_visible()


@pytest.mark.parametrize(
    ("size", "scheme"), [(PHONE, "dark"), (DESK, "light")], ids=["phone", "desk"]
)
def test_nothing_keeps_people_out(
    hub: MqttHub, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    """axe-core objects to nothing, nothing sticks out at the side; in French too."""
    # The token of the second run finds its name taken, and gets another one.
    with screen(browser, size, scheme, "409", locale="fr-FR") as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/connect#esp32_records")
        expect(page.get_by_role("heading", name="Connecter un appareil")).to_be_visible()
        expect(page.locator("#text code")).to_contain_text("#include")
        for summary in page.locator("summary").all():
            summary.click()
        expect(page.locator("#fingerprint")).to_contain_text(":")
        assert obstacles(page) == []
        page.get_by_role("button", name="curl").click()
        page.get_by_role("button", name="Créer son jeton").click()
        expect(page.locator("#made")).to_contain_text("Voici le jeton de my-sensor")
        assert obstacles(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"connect-french-{scheme}")


def test_code_is_copied_without_a_secure_page(hub: MqttHub, browser: Browser) -> None:
    """Where a page has no clipboard, as over plain HTTP in a LAN, its button copies too."""
    with screen(browser) as page:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/connect")
        expect(page.locator("#text code")).to_contain_text("curl")
        page.locator("#copy").click()
        expect(page.locator("#copy")).to_have_text("Copied")
        page.evaluate("document.body.append(document.createElement('textarea'))")
        page.locator("textarea").focus()
        page.keyboard.press("Control+V")
        assert page.locator("textarea").input_value() == code(page).rstrip()


def test_what_is_off_says_how_to_switch_it_on(tmp_path: Path, browser: Browser) -> None:
    """For a listener that does not run, the page has the section that makes it run."""
    with WebHub(tmp_path / "data", WEB) as hub, screen(browser) as page:
        hub.add_person(MARIE, "admin")
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/connect#mosquitto_pub")
        expect(page.locator("#off")).to_contain_text("[transport.mqtt_broker]")
        expect(page.locator("#text")).to_be_hidden()
        expect(page.locator("#naming")).to_be_hidden()
