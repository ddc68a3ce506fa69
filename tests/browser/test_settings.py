"""Settings, health and languages, as people use them in a browser."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from playwright.sync_api import Browser, Dialog, Error, Page, Route, expect
from tests.browser.axe import obstacles
from tests.browser.screen import DESK, LATE, MARIE, PHONE, VERA, keep, log_in, screen
from tests.harness import OPEN, PATIENCE, cli, stored
from tests.web_hub import WEB, WebHub

OTHER: Final = "eleven tall sunflowers"
SETTINGS: Final = ("people", "tokens", "certificates", "storage", "backup", "log")
JSON_SOCKET: Final = {"transport.json_socket": {"host": "127.0.0.1", "port": 0}}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    """A hub with an administrator, a viewer, a device and a port for certificates."""
    folder = tmp_path_factory.mktemp("settings") / "data"
    with WebHub(folder, {**OPEN, **WEB, **JSON_SOCKET}) as started:
        started.add_person(MARIE, "admin")
        started.add_person(VERA)
        token = started.token("writer")
        for device, value in (("cellar", 19.5), ("kiln", 1234.5)):
            reading = {"device": device, "metric": "temperature", "unit": "°C", "value": value}
            assert started.send(reading, token=token)[0] == 200
        yield started


def listed(page: Page, text: str) -> Any:
    """The row of a list that is about ``text``."""
    return page.locator("ul.rows > li").filter(has=page.locator("b").get_by_text(text, exact=True))


def test_an_invitation_leads_to_the_role_that_was_meant(hub: WebHub, browser: Browser) -> None:
    """Who opens the link of an invitation is in with that role, and the log says who did what."""
    with screen(browser) as here, screen(browser, PHONE) as there:
        log_in(here, hub.url, MARIE)
        here.goto(f"{hub.url}/settings/people")
        form = here.locator("form")
        form.get_by_label("Name").fill("pierre")
        form.get_by_label("Role").select_option("operator")
        form.get_by_role("button", name="Make an invitation").click()
        link = here.locator("#invitation code").inner_text()
        expect(listed(here, "pierre")).to_contain_text("invited, no password yet")

        there.goto(link)
        there.get_by_label("Password").fill(OTHER)
        there.get_by_role("button", name="Choose").click()
        there.wait_for_url(f"{hub.url}/")
        there.goto(f"{hub.url}/device#cellar")
        expect(there.get_by_role("button", name="Send").first).to_be_visible()
        there.goto(f"{hub.url}/settings")
        expect(there.get_by_role("link", name="You", exact=True)).to_be_visible()
        expect(there.get_by_role("link", name="People", exact=True)).to_be_hidden()

        here.reload()
        role = here.get_by_label("Role of pierre")
        expect(role).to_have_value("operator")
        with here.expect_response(lambda one: one.request.method == "PATCH"):
            role.select_option("viewer")
        there.goto(f"{hub.url}/device#cellar")
        expect(there.locator("#now")).to_contain_text("19.5")
        expect(there.get_by_role("button", name="Send")).to_have_count(0)

        here.goto(f"{hub.url}/settings/log")
        newest = here.locator("#deeds li")
        expect(newest.nth(0)).to_contain_text("marie changed the person pierre role: viewer")
        expect(newest.nth(1)).to_contain_text("pierre accepted the invitation")
        expect(newest.nth(2)).to_contain_text("marie added pierre role: operator")
        expect(here.locator("#deeds")).to_contain_text("owner of the data folder")


def test_a_token_is_shown_once_and_opens_the_door(hub: WebHub, browser: Browser) -> None:
    """Curl may do with a new token what it is for, for its device, until it is revoked."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/settings/tokens")
        page.get_by_label("Name").fill("garden")
        page.get_by_text("Only for certain devices").click()
        page.locator("#bound").get_by_label("cellar").check()
        page.get_by_role("button", name="Make a token").click()
        secret = page.locator("#made code").first.inner_text()
        command = page.locator("#made code").nth(1).inner_text()
        done = subprocess.run(
            ["sh", "-c", command.replace("curl ", "curl -sS --noproxy '*' ")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert '"stored":1' in done.stdout.replace(" ", ""), done
        reading = {"device": "roof", "metric": "temperature", "value": 1}
        assert hub.send(reading, token=secret)[0] == 403
        keep(page, "token-made")
        page.reload()
        expect(listed(page, "garden")).to_contain_text("cellar")
        assert secret not in page.content()
        page.goto(f"{hub.url}/device#cellar")
        page.locator("#facts").get_by_role("link", name="garden").click()
        page.wait_for_url(f"{hub.url}/settings/tokens")
        page.on("dialog", lambda dialog: dialog.accept())
        listed(page, "garden").get_by_role("button", name="Revoke").click()
        expect(listed(page, "garden")).to_have_count(0)
        assert hub.send({**reading, "device": "cellar"}, token=secret)[0] == 401


def test_a_certificate_lets_its_device_in(hub: WebHub, browser: Browser, tmp_path: Path) -> None:
    """OpenSSL gets in with what the page hands out, which the hub does not keep; then no more."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/settings/certificates")
        page.get_by_label("For the device").fill("boiler")
        page.get_by_role("button", name="Issue a certificate").click()
        files = {}
        for name in ("Key", "Certificate", "Authority’s certificate"):
            with page.expect_download() as download:
                page.locator("#made").get_by_role("button", name=name, exact=True).click()
            files[name] = tmp_path / download.value.suggested_filename
            download.value.save_as(files[name])
        assert not list((hub.data / "certificates" / "clients").glob("*.key"))
        assert files["Authority’s certificate"].read_bytes() == hub.ca.read_bytes()
        port = hub.run_file["listeners"]["json_socket"]["port"]
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-no_ign_eof"]
        command += ["-CAfile", str(files["Authority’s certificate"]), "-verify_return_error"]
        command += ["-cert", str(files["Certificate"]), "-key", str(files["Key"])]

        def say(value: float) -> subprocess.CompletedProcess[bytes]:
            said = b'{"boiler": {"temperature": %g}}' % value
            return subprocess.run(
                command, input=said, capture_output=True, timeout=PATIENCE, check=False
            )

        assert say(61.5).returncode == 0
        hub.wait_stored("boiler", "temperature", 1)
        page.goto(f"{hub.url}/device#boiler")
        expect(page.locator("#facts")).to_contain_text("known by")
        expect(page.locator("#facts")).to_contain_text("boiler (until")
        page.locator("#facts").get_by_role("link", name="boiler").click()
        page.wait_for_url(f"{hub.url}/settings/certificates")
        page.on("dialog", lambda dialog: dialog.accept())
        listed(page, "boiler").get_by_role("button", name="Revoke").click()
        expect(listed(page, "boiler")).to_have_count(0)
        expect(page.locator("#made")).to_be_hidden()
        say(62.5)
        hub.wait_until(
            lambda: hub.status()["transports"]["json_socket"].get("revoked", 0) > 0,
            "the certificate is refused",
        )


@pytest.mark.parametrize("there", ["%2F%2Fevil.example", "%2F%09%2Fevil.example", "%2F%5Cevil"])
def test_a_link_to_log_in_leads_to_no_other_site(hub: WebHub, browser: Browser, there: str) -> None:
    """However it is written: whoever logs in stays with the hub."""
    with screen(browser) as page:
        page.goto(f"{hub.url}/login#{there}")
        page.get_by_label("Name").fill(MARIE["name"])
        page.get_by_label("Password").fill(MARIE["password"])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{hub.url}/")


def expect_logged_out(page: Page, url: str) -> None:
    """A page leads to the log-in; the one that is open may have noticed, and be on its way."""
    with suppress(Error):
        page.goto(f"{url}/settings", wait_until="commit")
    page.wait_for_url(re.compile("/login"))


def test_log_out_everywhere(hub: WebHub, browser: Browser) -> None:
    """Other browsers are seen, logged out one by one, or all at once with this one."""
    olga = {"name": "olga", "password": OTHER}
    hub.add_person(olga)
    with screen(browser, excused=LATE) as here, screen(browser, excused=LATE) as there:
        log_in(here, hub.url, olga)
        log_in(there, hub.url, olga)
        here.goto(f"{hub.url}/settings")
        expect(here.locator("#sessions li")).to_have_count(2)
        expect(here.locator("#sessions")).to_contain_text("Chrome, Linux")
        here.locator("#sessions").get_by_role("button", name="Log out").click()
        expect(here.locator("#sessions li")).to_have_count(1)
        expect_logged_out(there, hub.url)

        log_in(there, hub.url, olga)
        here.get_by_role("button", name="Log out everywhere").click()
        here.wait_for_url(f"{hub.url}/login")
        expect_logged_out(there, hub.url)


def test_another_password(hub: WebHub, browser: Browser) -> None:
    """A wrong present password is said; the right one makes way for the next."""
    paul = {"name": "paul", "password": OTHER}
    hub.add_person(paul)
    with screen(browser, excused="401") as page:
        log_in(page, hub.url, paul)
        page.goto(f"{hub.url}/settings")
        for old, said in (("guessed", "The present password is another one."), (OTHER, "")):
            page.locator("#password [name=old]").fill(old)
            page.get_by_label("New password").fill("two slow tortoises")
            page.get_by_role("button", name="Change password").click()
            expect(page.locator("#password [role=alert]")).to_have_text(said)
        expect(page.locator("#changed")).to_have_text("The password is changed.")
        page.get_by_role("button", name="Log out", exact=True).first.click()
        page.wait_for_url(f"{hub.url}/login")
        log_in(page, hub.url, {**paul, "password": "two slow tortoises"})


def test_french(hub: WebHub, browser: Browser) -> None:
    """Pages are French where the browser prefers that, or where somebody has chosen it."""
    claire = {"name": "claire", "password": OTHER}
    hub.add_person(claire, "admin")
    with screen(browser, locale="fr-CH") as page:
        page.goto(f"{hub.url}/login")
        expect(page.get_by_role("button", name="Se connecter")).to_be_visible()
        log_in(page, hub.url, claire)
        cellar = page.locator(".card").filter(has_text="cellar")
        expect(cellar).to_contain_text("température")
        expect(page.locator("#pulse")).to_contain_text("Tout va bien")
        keep(page, "overview-french")
    with screen(browser, excused=f"409|{LATE}") as page:
        log_in(page, hub.url, claire)
        page.goto(f"{hub.url}/settings")
        page.get_by_label("Language of these pages").select_option("fr")
        expect(page.get_by_role("heading", name="Réglages")).to_be_visible()
        page.goto(f"{hub.url}/device#kiln")
        expect(page.get_by_role("heading", name="Événements")).to_be_visible()
        expect(page.locator("#now")).to_contain_text(re.compile(r"1\s234,5 °C"))
        for name in SETTINGS:
            page.goto(f"{hub.url}/settings/{name}")
            expect(page.locator("#settings [aria-current]")).to_be_visible()
        expect(page.locator("#deeds")).to_contain_text("claire rôle : administrateur")
        keep(page, "log-french")
        # What the hub answers is English, what people read is not.
        page.goto(f"{hub.url}/device#kiln")
        page.get_by_label("Nouveau nom").fill("cellar")
        page.get_by_role("button", name="Renommer").click()
        expect(page.locator("#deciding")).to_contain_text("Un autre appareil se nomme déjà cellar.")
        page.get_by_label("Nouveau nom").fill("four")
        page.get_by_role("button", name="Renommer").click()
        expect(page.get_by_role("heading", name="four")).to_be_visible()
        expect(page.locator("#happened")).to_contain_text("renommé kiln se nomme désormais four")


def test_how_long_a_device_is_kept(hub: WebHub, browser: Browser) -> None:
    """A rule is made on the device's page, shown with the storage, and taken away again."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/device#cellar")
        form = page.locator("#keeping form")
        form.get_by_label("Of").select_option("temperature")
        form.get_by_label("readings").fill("30d")
        form.get_by_role("button").click()
        expect(page.locator("#held")).to_contain_text("Saved")
        expect(page.locator("#rules")).to_contain_text("readings 30 days")
        keep(page, "keeping")
        page.goto(f"{hub.url}/settings/storage")
        expect(page.locator("#own")).to_contain_text("readings 30 days")
        expect(page.locator("#usual")).to_contain_text("for ever")
        page.goto(f"{hub.url}/device#cellar")
        form.get_by_label("Of").select_option("temperature")
        form.get_by_label("readings").fill("")
        form.get_by_role("button").click()
        expect(page.locator("#rules li")).to_have_count(0)


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_how_long_everything_is_kept(
    hub: WebHub, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    """It is chosen on the page, after what goes by it was told, and taken back to the file's."""
    readings = {"tier": "raw", "before": "2026-05-01T00:00:00Z", "readings": 1_234_567}
    sums = {"tier": "minute", "before": "2026-05-01T00:00:00Z", "readings": 1_234_567}
    loss = {"going": [readings, sums], "excess": 2_000_000, "archived": False}
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    with screen(browser, size, scheme, excused="400") as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/settings/storage")
        expect(page.locator("#source")).to_contain_text("As the configuration file says")
        form, back = page.locator("#choose"), page.get_by_role("button", name="again")
        expect(back).to_be_hidden()
        form.get_by_label("readings").fill("30d")
        form.get_by_label("disk budget").fill("10 GB")
        form.get_by_role("button", name="Keep so").click()
        expect(page.locator("#held")).to_contain_text("Saved")
        expect(page.locator("#source")).to_contain_text("Set here by marie")
        expect(page.locator("#usual")).to_contain_text("30 days")
        expect(page.locator("#space")).to_contain_text("10 GB")
        assert obstacles(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"storage-chosen-{scheme}")
        # What would go is told, and who says no has changed nothing.
        page.route("**/api/v1/retention-preview", lambda route: route.fulfill(json=loss))
        page.once("dialog", refuse)
        form.get_by_label("readings").fill("7d")
        with page.expect_response("**/api/v1/health"):
            form.get_by_role("button", name="Keep so").click()
        expect(form.get_by_label("readings")).to_have_value("30d")
        (question,) = asked
        assert "about 1,200,000" in question
        assert "Sums by minute before" in question
        assert "2 MB too large" in question
        page.once("dialog", lambda dialog: dialog.accept())
        back.click()
        expect(page.locator("#source")).to_contain_text("As the configuration file says")
        expect(page.locator("#usual")).not_to_contain_text("30 days")
        expect(form.get_by_label("readings")).to_have_value("")
        form.get_by_label("readings").fill("soon")
        page.unroute("**/api/v1/retention-preview")
        form.get_by_role("button", name="Keep so").click()
        expect(form.get_by_role("alert")).to_contain_text("soon")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_a_clock_that_is_doubted(
    hub: WebHub, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    """Storage and health say what is wrong and what to do; a press says that nothing is."""
    clock = {"clock": "2031-05-01T10:00:00Z", "believed": "2026-05-01T10:00:00Z", "hours": 23}

    def doubt(route: Route) -> None:
        answer = route.fetch()
        health = answer.json()
        health["writer"]["retention"]["clock"] = clock
        route.fulfill(response=answer, json=health)

    with screen(browser, size, scheme) as page:
        log_in(page, hub.url, MARIE)
        page.route("**/api/v1/health", doubt)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"{hub.url}/settings/storage")
        expect(page.locator("#clock")).to_contain_text("The hub doubts its clock")
        expect(page.locator("#clock")).to_contain_text("after 23 hours more; or say so here")
        assert obstacles(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        keep(page, f"storage-clock-{scheme}")
        page.get_by_role("button", name="The clock is right").click()
        expect(page.locator("#clock")).to_contain_text("within a few seconds")
        page.goto(f"{hub.url}/status")
        expect(page.locator("#findings .warning")).to_contain_text("The hub doubts its clock")
        keep(page, f"health-clock-{scheme}")


def test_a_database_that_is_away(hub: WebHub, browser: Browser) -> None:
    """Health says in words that the history is not written, on every page, and when it is again."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/status")
        expect(page.locator("#findings")).to_contain_text("All is well.")
        database = hub.data / "motehub.db"
        aside = database.with_suffix(".aside")
        writer = psutil.Process(hub.writer_pid)
        token = hub.token("away")
        database.rename(aside)
        database.mkdir()
        try:
            writer.send_signal(signal.SIGKILL)
            reading = {"device": "cellar", "metric": "temperature", "unit": "°C", "value": 20}
            assert hub.send(reading, token=token)[0] == 200
            expect(page.locator("#findings .problem")).to_contain_text("The database can't be")
            expect(page.locator("#findings")).to_contain_text("Readings wait safely")
            keep(page, "health-away")
            page.goto(f"{hub.url}/settings")
            expect(page.locator("#pulse")).to_contain_text("The database can't be written")
        finally:
            database.rmdir()
            aside.rename(database)
        page.goto(f"{hub.url}/status")
        expect(page.locator("#findings")).to_contain_text("All is well.")
        hub.wait_folded()


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_nothing_keeps_people_out(
    hub: WebHub, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    """axe-core objects to no page, none sticks out at the side; pictures are kept."""
    names = {PHONE: "phone", DESK: "desk"}
    with screen(browser, size, scheme) as page:
        for path in ("/login", "/setup", "/invitation"):
            page.goto(hub.url + path)
            assert obstacles(page) == [], path
        log_in(page, hub.url, MARIE)
        pages = {
            "/": ".card .value",
            "/device#cellar": ".uplot",
            "/status": "#listeners td",
            "/settings": "#sessions li",
            "/settings/people": "#people li",
            "/settings/tokens": "#tokens li",
            "/settings/certificates": "#certificates li",
            "/settings/storage": "#space dd",
            "/settings/backup": "main form button",
            "/settings/log": "#deeds li",
        }
        for path, ready in pages.items():
            page.goto(hub.url + path)
            expect(page.locator(ready).first).to_be_visible()
            expect(page.locator("#pulse")).not_to_be_empty()
            assert obstacles(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], path
            name = path.strip("/").replace("/", "-").partition("#")[0] or "overview"
            keep(page, f"{name}-{names[size]}-{scheme}")


def test_a_backup_is_downloaded(hub: WebHub, browser: Browser, tmp_path: Path) -> None:
    """A press of a button downloads everything, the log says who did so, and it can be restored."""
    with screen(browser) as page:
        log_in(page, hub.url, MARIE)
        page.goto(f"{hub.url}/settings/backup")
        expect(page.locator("#last")).not_to_be_empty()
        with page.expect_download() as waiting:
            page.click("main form button")
        download = waiting.value
        assert re.fullmatch(r"motehub-\d{4}-\d\d-\d\d\.tar\.zst", download.suggested_filename)
        download.save_as(tmp_path / "b.tar.zst")
        page.reload()
        expect(page.locator("#last")).to_contain_text("The last back-up")
        keep(page, "settings-backup-done")
        page.goto(f"{hub.url}/settings/log")
        expect(page.locator("#deeds li").first).to_contain_text("made a back-up")
        page.goto(f"{hub.url}/status")
        expect(page.locator("#numbers")).to_contain_text("last back-up")
    done = cli("restore", str(tmp_path / "b.tar.zst"), data=tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert ("cellar", "temperature") in stored(tmp_path / "again")


def test_the_keyboard_is_enough(hub: WebHub, browser: Browser) -> None:
    """Somebody without a mouse logs in, goes to the settings, and sees where they are."""
    with screen(browser) as page:
        page.goto(f"{hub.url}/login")
        # Before these the browser may be loaded, and keys still go nowhere.
        expect(page.locator("input[name=name]")).to_be_focused()
        expect(page.locator("main form button")).to_be_enabled()
        page.keyboard.type(VERA["name"])
        page.keyboard.press("Tab")
        page.keyboard.type(VERA["password"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"{hub.url}/")
        expect(page.locator("#who")).to_have_text("vera")
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.pathname") == "/settings":
                break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        page.wait_for_url(f"{hub.url}/settings")
