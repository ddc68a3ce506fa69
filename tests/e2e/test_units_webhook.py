"""What base units send to a dashboard, with curl as the base unit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import stored
from tests.web_hub import WEB, WebHub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    with WebHub(tmp_path_factory.mktemp("dashboard") / "data", WEB) as hub:
        yield hub


@pytest.fixture(scope="module")
def token(hub: WebHub) -> str:
    return hub.token("base")


def put(hub: WebHub, path: str, token: str, *options: str) -> int:
    return hub.curl(f"/webhook/update-unit/{path}", "-X", "PUT", *options, token=token)[0]


def test_numbers_are_stored_under_the_units_address(hub: WebHub, token: str) -> None:
    """As the original base unit sends them; the device is there at once."""
    for value in ("512", "21.50", "-1e2", ".5"):
        assert put(hub, f"192.0.2.1/{value}", token) == 204
    hub.wait_stored("192.0.2.1", "value", 4)
    assert [v for _, v in stored(hub.data)["192.0.2.1", "value"]] == [512, 21.5, -100, 0.5]
    assert hub.device("192.0.2.1")["admission"] == "accepted"


def test_a_body_without_a_meaning_does_no_harm(hub: WebHub, token: str) -> None:
    """With a length, without one, on a connection that is kept."""
    assert put(hub, "192.0.2.9/1", token, "-H", "Content-Length: 0") == 204
    assert put(hub, "192.0.2.9/2", token, "--data-binary", "x" * 1000) == 204


def test_texts_are_stored_as_they_were_sent(hub: WebHub, token: str) -> None:
    """Percent-decoded, with slashes, spaces and what is not English."""
    for value in ("caf%C3%A9%2Fbar%20%25", "NaN", "0x10", "1_000", "%D9%A1"):
        assert put(hub, f"192.0.2.2/{value}", token) == 204
    hub.wait_folded()
    rows = hub.json("readings", "192.0.2.2", "value")
    assert {row["value"] for row in rows} == {"café/bar %", "NaN", "0x10", "1_000", "١"}


def test_units_are_known_by_address_and_by_name(hub: WebHub, token: str) -> None:
    """One device, however its address is written, and under the name that it gets later."""
    assert put(hub, "192.0.2.3/1", token) == 204
    assert put(hub, "[::ffff:192.0.2.3]:8888/2", token, "-g") == 204
    assert hub.cli("devices", "rename", "192.0.2.3", "soil").returncode == 0
    assert put(hub, "soil/3", token) == 204
    assert put(hub, "192.0.2.3/4", token) == 204
    assert put(hub, "192.0.2.3:9000/5", token) == 204
    hub.wait_stored("soil", "value", 4)
    hub.wait_stored("192.0.2.3:9000", "value", 1)


def test_a_reading_keeps_the_time_that_its_base_names(hub: WebHub, token: str) -> None:
    """Sent twice, it is stored once; a time that can't be is passed over."""
    moment = time.time_ns() // 1000 - 3_600_000_000
    for _ in range(2):
        assert put(hub, "192.0.2.4/7", token, "-H", f"Motehub-Time: {moment}") == 204
    for bad in ("99999999999999999999", "-5", "abc", str(moment * 2)):
        assert put(hub, "192.0.2.4/8", token, "-H", f"Motehub-Time: {bad}") == 204
    hub.wait_stored("192.0.2.4", "value", 5)
    rows = stored(hub.data)["192.0.2.4", "value"]
    assert rows[0] == (moment, 7.0)
    assert all(abs(when / 1e6 - time.time()) < 600 for when, _ in rows[1:])


def test_who_may_send(hub: WebHub, token: str) -> None:
    """A token with the scope write, for its own devices, by their names of now."""
    assert put(hub, "192.0.2.5/1", "nonsense") == 401
    reader = hub.token("reader", "read")
    assert put(hub, "192.0.2.5/1", reader) == 403
    bound = hub.token("bound", "write", "--device", "pump")
    assert put(hub, "192.0.2.5/1", bound) == 403
    assert put(hub, "192.0.2.5/1", token) == 204
    assert hub.cli("devices", "rename", "192.0.2.5", "pump").returncode == 0
    assert put(hub, "192.0.2.5/2", bound) == 204
    assert put(hub, "pump/3", bound) == 204
    assert hub.cli("devices", "block", "pump").returncode == 0
    # A base unit sets its readings aside, and goes on with those of others.
    for path, who in (("pump/4", token), ("192.0.2.7/1", bound)):
        url = f"/webhook/update-unit/{path}"
        status, headers, _ = hub.curl(url, "-X", "PUT", token=who)
        assert (status, headers["motehub-refused"]) == (403, "unit")
    status, headers, _ = hub.curl("/webhook/update-unit/pump/4", "-X", "PUT", token=reader)
    assert (status, headers.get("motehub-refused")) == (403, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("kitchen/1", 404),
        ("192.0.2.6", 404),
        ("192.0.2.6/", 404),
        ("/1", 404),
        ("192.0.2.6/1/2", 404),
        ("192.0.2.6/%FF", 400),
        ("192.0.2.6:0/1", 404),
        ("192.0.2.6:99999/1", 404),
        ("0.0.0.0/1", 404),
        ("192.0.2.6/" + "9" * 5000, 414),
    ],
)
def test_what_is_not_taken(hub: WebHub, token: str, path: str, status: int) -> None:
    """Units that nobody knows, paths of another shape, and values that are no text."""
    assert put(hub, path, token) == status
    assert "192.0.2.6" not in {row["name"] for row in hub.json("devices", "list")}


def test_a_device_that_is_no_unit_is_not_written_to(hub: WebHub, token: str) -> None:
    """A name leads to units only."""
    assert hub.send({"device": "http-1", "metric": "x", "value": 1}, token=token)[0] == 200
    assert put(hub, "http-1/5", token) == 404


def test_the_owner_says_what_a_remote_unit_means(tmp_path: Path) -> None:
    """In the command line or the API, from the next reading on; what can't be is rejected."""
    settings = {**WEB, "transport.units": {}}
    with WebHub(tmp_path / "data", settings) as hub:
        token = hub.token("base")
        assert put(hub, "192.0.2.1/1023", token) == 204
        ranges = ("--input-range", "0", "1023", "--output-range", "0", "100")
        meaning = ("--metric", "light", "--unit", "%", *ranges)
        added = hub.cli("units", "add", "192.0.2.1", "--kind", "remote", *meaning)
        assert (added.returncode, added.stderr) == (0, "")
        assert "motehub units test" not in added.stdout
        assert put(hub, "192.0.2.1/1023", token) == 204
        for bad in ("1024", "open", "1%0A2"):
            assert put(hub, f"192.0.2.1/{bad}", token) == 422
        tested = hub.cli("units", "test", "192.0.2.1")
        assert tested.returncode == 1
        assert "base unit elsewhere" in tested.stderr
        change = {"metric": "level", "unit": "", "input_range": [], "output_range": [], "scale": 2}
        status, _, answer = hub.curl(
            "/api/v1/units/192.0.2.1",
            "-X",
            "PATCH",
            "-H",
            "Content-Type: application/json",
            body=json.dumps(change).encode(),
            token=hub.token("owner", "admin"),
        )
        assert (status, json.loads(answer)["kind"]) == (200, "remote")
        hub.kill()
        hub.start()
        assert put(hub, "192.0.2.1/7", token) == 204
        hub.wait_stored("192.0.2.1", "level", 1)
        found = {key: [v for _, v in rows] for key, rows in stored(hub.data).items()}
        assert found == {
            ("192.0.2.1", "value"): [1023],
            ("192.0.2.1", "light"): [100],
            ("192.0.2.1", "level"): [14],
        }
        reasons = {row["payload"]: row["reason"] for row in hub.json("rejected")}
        assert reasons["1024"] == "the number is not within 0 to 1023"
        assert hub.device("192.0.2.1")["online"] is True
        (row,) = hub.json("units", "list")
        assert (row["state"], row["kind"], row["readings"]) == ("elsewhere", "remote", 1)
        assert hub.cli("units", "remove", "192.0.2.1").returncode == 0
        assert put(hub, "192.0.2.1/open", token) == 204


def test_a_remote_unit_of_the_configuration(tmp_path: Path) -> None:
    """It has its name and its meaning from the start."""
    data = tmp_path / "data"
    hub = WebHub(data, {**WEB, "transport.units": {}})
    table = 'address = "192.0.2.1"\nkind = "remote"\nname = "window"\nscale = 0.5\nmaximum = 50\n'
    text = hub.config.read_text("utf-8") + f"\n[[transport.units.unit]]\n{table}"
    hub.config.write_text(text, "utf-8")
    with hub:
        token = hub.token("base")
        assert put(hub, "window/80", token) == 204
        assert put(hub, "192.0.2.1/100", token) == 204
        assert put(hub, "192.0.2.1/101", token) == 422
        hub.wait_stored("window", "value", 2)
        assert [v for _, v in stored(data)["window", "value"]] == [40, 50]
