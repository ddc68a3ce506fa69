"""What the owner says of devices over the API, their newest readings, and files of several."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.unit.core.support import START
from tests.unit.web.stand import SECOND, Stand, many, numbers, open_stand, texts

from motehub.core.moments import iso
from motehub.core.people import Role
from motehub.core.queries import MOST_READINGS
from motehub.core.registry import Registry
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import Delivery, Malformed, Samples, Scope, Source

PASSWORD = "three damp seedlings"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with its API on SQLite."""
    async with open_stand(tmp_path) as made:
        yield made


async def change(stand: Stand, path: str, body: Any) -> tuple[int, Any]:
    """Patch something as the owner; return status and answer."""
    secret = stand.secrets.get("t0") or await stand.token(Scope.ADMIN)
    async with stand.client(secret) as client:
        answer = await client.patch(path, json=body)
    stand.fold()
    return answer.status_code, answer.json()


async def test_labels_and_an_interval(stand: Stand) -> None:
    """What the owner says of a device is shown, and outlives a rename, a restart and changes."""
    await stand.say("x", numbers(1))
    said = {"labels": ["cellar", "damp ", "cellar"], "interval": 60}
    assert (await change(stand, "/devices/x", said))[0] == 200
    assert (await change(stand, "/devices/x", {"interval": 90, "name": "y"}))[0] == 200
    shown = (await stand.get("/devices/y")).json()
    assert (shown["labels"], shown["interval"]) == (["cellar", "damp"], 90.0)
    assert (await stand.get("/devices")).json()[0]["labels"] == ["cellar", "damp"]
    log = SqliteLogReader(stand.folder)
    again = Registry.from_state(log.state())
    log.close()
    assert again.profiles.of(again.by_name("y").id).labels == ("cellar", "damp")
    assert (await change(stand, "/devices/y", {"labels": [], "interval": None}))[0] == 200
    shown = (await stand.get("/devices/y")).json()
    assert (shown["labels"], shown["interval"]) == ([], None)


async def test_the_overview_has_what_several_questions_would_tell(stand: Stand) -> None:
    """All devices with their newest readings at once, or some; tokens see no more than theirs."""
    await stand.say("x", numbers(1, 2), texts("open"), numbers(5, metric="level", unit=""))
    await stand.say("y", numbers(3))
    rows = (await stand.get("/overview")).json()
    for row in rows:
        series = row.pop("series")
        assert row == (await stand.get(f"/devices/{row['name']}")).json()
        alone = (await stand.get(f"/devices/{row['name']}/series")).json()
        assert series == [{k: v for k, v in one.items() if k != "calibration"} for one in alone]
        assert all(one["latest_time"] for one in series)
    assert [row["name"] for row in rows] == ["x", "y"]
    some = await stand.get("/overview", device=["y", "nobody"])
    assert [row["name"] for row in some.json()] == ["y"]
    bound = await stand.token(Scope.READ, devices=("x",))
    assert [row["name"] for row in (await stand.get("/overview", bound)).json()] == ["x"]
    assert (await stand.get("/overview", bound, device="y")).status_code == 403


IMPOSSIBLE: Final[list[tuple[Any, str]]] = [
    ({"labels": ["a,b"]}, "commas"),
    ({"labels": [""]}, "characters"),
    ({"labels": ["\u202e"]}, "characters"),
    ({"labels": [str(i) for i in range(9)]}, "8 labels"),
    ({"interval": 0.01}, "interval"),
    ({"interval": 1e9}, "interval"),
    ({"units": {"nothing": "lx"}}, "nothing"),
    ({"units": {"temperature": "°F"}}, "°C"),
    ({"units": {"level": "x" * 17}}, "16 characters"),
    ({"colour": "red"}, "colour"),
    ({"name": "a/b", "labels": ["kept out"]}, "/"),
]


async def test_what_a_device_can_not_have(stand: Stand) -> None:
    """What breaks the rules is refused with its reason, and nothing of it is kept."""
    await stand.say("x", numbers(1), numbers(1, metric="level", unit=""))
    for body, word in IMPOSSIBLE:
        status, answer = await change(stand, "/devices/x", body)
        assert status == 400, answer
        assert word in answer["detail"]
    shown = (await stand.get("/devices/x")).json()
    assert (shown["labels"], shown["interval"]) == ([], None)


async def test_the_owner_gives_a_unit(stand: Stand) -> None:
    """A series without a unit gets one, which may be changed and taken back."""
    level = numbers(1, metric="level", unit="")
    await stand.say("x", level)
    for unit in ("cm", "mm", ""):
        assert (await change(stand, "/devices/x", {"units": {"level": unit}}))[0] == 200
        (series,) = (await stand.get("/devices/x/series")).json()
        assert series["unit"] == unit
        await stand.say("x", Samples("level", "", level.times, level.values))
    shown = (await stand.get("/devices/x")).json()
    assert (shown["stored"], shown["duplicate"], shown["rejected"]) == (1, 3, 0)
    await stand.say("x", Samples("level", "m", level.times, level.values))
    assert (await stand.get("/devices/x")).json()["rejected"] == 0


async def test_identities_are_for_the_owner(stand: Stand) -> None:
    """How the hub knows a device is shown to nobody else."""
    await stand.say("x", numbers(1))
    assert (await stand.get("/devices/x")).json()["identities"] == []
    owner = await stand.token(Scope.ADMIN)
    assert (await stand.get("/devices/x", owner)).json()["identities"] == ["test:x"]


async def test_the_newest_readings(stand: Stand) -> None:
    """Of each series come the newest, numbers and texts, oldest first."""
    await stand.say("x", numbers(1, 2, 3), texts("a", "b", "c"))
    found = (await stand.get("/devices/x/newest", count=2)).json()
    assert {one["metric"]: one["values"] for one in found} == {
        "temperature": [2.0, 3.0],
        "state": ["b", "c"],
    }
    assert found[0]["times"] == [START / SECOND - 1, START / SECOND]
    assert (await stand.get("/devices/nobody/newest")).status_code == 404


async def test_rejected_payloads_of_one_device(stand: Stand) -> None:
    """Those of other devices are left out."""
    for name in ("x", "y"):
        await stand.say(name, Malformed(name.encode(), "bad"))
    (one,) = (await stand.get("/rejected", device="y")).json()
    assert one["payload"] == "y"
    assert (await stand.get("/rejected", device="nobody")).status_code == 404


async def test_commands_to_a_device(stand: Stand) -> None:
    """They are listed newest first, for who may command it."""
    await stand.say("x", numbers(1))
    for payload in ("red", "blue"):
        await stand.hub.command("x", payload=payload)
    reader = await stand.token(Scope.READ)
    control = await stand.token(Scope.CONTROL)
    bound = await stand.token(Scope.CONTROL, devices=("y",))
    listed = (await stand.get("/devices/x/commands", control)).json()
    assert [one["payload"] for one in listed] == ["blue", "red"]
    for secret in (reader, bound):
        assert (await stand.get("/devices/x/commands", secret)).status_code == 403
    assert (await stand.get("/devices/nobody/commands", control)).status_code == 404


async def test_a_file_of_several_devices(stand: Stand) -> None:
    """It has all readings of the series that are asked for, more than one answer holds."""
    count = MOST_READINGS + 5
    await stand.say("x", many(count), numbers(1, metric="other"))
    await stand.say("y", numbers(7, 8), texts('say "hi"'))
    wanted = ["x/temperature", "y/state", "y/temperature"]
    answer = await stand.get("/export", series=wanted, **{"from": "-30d"})
    assert answer.status_code == 200, answer.text
    assert "motehub-next" not in answer.headers
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["time", "device", "metric", "value", "unit"]
    assert rows[-3:] == [
        [iso(START - SECOND), "y", "temperature", "7.0", "°C"],
        [iso(START), "y", "temperature", "8.0", "°C"],
        [iso(START), "y", "state", 'say "hi"', ""],
    ]
    of_x = [row for row in rows if row[1] == "x"]
    assert len(of_x) == len({row[0] for row in of_x}) == count
    reduced = await stand.get("/export", series=["x/temperature", "y/temperature"], points=1)
    rows = list(csv.reader(io.StringIO(reduced.text)))
    assert rows[0][3:5] == ["min", "max"]
    assert [row[1] for row in rows[1:]] == ["x", "y"]


UNREADABLE: Final[list[tuple[list[str], int]]] = [
    ([], 400),
    (["x"], 400),
    (["/temperature"], 400),
    (["x/temperature"] * 51, 400),
    (["nobody/temperature"], 404),
    (["x/temperature", "x/nothing"], 404),
    (["x/temperature", "x/state"], 400),
]


async def test_files_that_can_not_be(stand: Stand) -> None:
    """What is not there is refused before the file begins."""
    await stand.say("x", numbers(1), texts("a"))
    for series, status in UNREADABLE:
        answer = await stand.get("/export", series=series, points=5)
        assert answer.status_code == status, answer.text


async def test_a_bound_token_exports_only_its_devices(stand: Stand) -> None:
    """A file with a device of others is refused as a whole."""
    await stand.say("mine", numbers(1))
    await stand.say("other", numbers(1))
    bound = await stand.token(Scope.READ, devices=("mine",))
    wanted = ["mine/temperature", "other/temperature"]
    assert (await stand.get("/export", bound, series=wanted[:1])).status_code == 200
    assert (await stand.get("/export", bound, series=wanted)).status_code == 403


async def test_everybody_arranges_devices_alone(stand: Stand) -> None:
    """The order of devices is one's own, follows renames, and ends with its user."""
    people = stand.hub.accounts.people
    for name in ("x", "y", "z"):
        await stand.say(name, numbers(1))
    for name in ("marie", "vera"):
        await stand.hub.accounts.add(name, Role.VIEWER, PASSWORD)
    async with stand.client() as marie, stand.client() as vera:
        assert (await marie.get("/session/arrangement")).status_code == 401
        for name, client in (("marie", marie), ("vera", vera)):
            made = await client.post("/session", json={"name": name, "password": PASSWORD})
            client.headers["X-CSRF-Token"] = made.json()["csrf"]
        chosen = {"devices": ["z", "nobody", "x", "z"]}
        kept = await marie.put("/session/arrangement", json=chosen)
        assert kept.json() == {"devices": ["z", "x"]}
        await stand.hub.rename_device("z", "a")
        assert (await marie.get("/session/arrangement")).json() == {"devices": ["a", "x"]}
        assert (await vera.get("/session/arrangement")).json() == {"devices": []}
        del marie.headers["X-CSRF-Token"]
        assert (await marie.put("/session/arrangement", json=chosen)).status_code == 403
    await stand.hub.accounts.remove("marie")
    log = SqliteLogReader(stand.folder)
    assert not [key for key in log.state() if key.startswith("order/")]
    log.close()
    assert people.order_of("marie") == ()


async def test_a_page_stays_logged_in_as_long_as_it_is_open(stand: Stand) -> None:
    """Asking who is logged in sets the cookie anew, for its whole time."""
    await stand.hub.accounts.add("marie", Role.VIEWER, PASSWORD)
    async with stand.client() as marie:
        body = {"name": "marie", "password": PASSWORD}
        first = (await marie.post("/session", json=body)).headers["set-cookie"]
        again = (await marie.get("/session")).headers["set-cookie"]
    assert again.split(";")[0] == first.split(";")[0]
    assert "Max-Age=2592000" in again


@pytest.mark.parametrize("scope", [None, *Scope])
async def test_every_route_asks_who_is_there(stand: Stand, scope: Scope | None) -> None:
    """Nobody gets past a route without a token, nor past one that is for others."""
    secret = None if scope is None else await stand.token(scope)
    document = (await stand.get("/../openapi.json")).json()
    coming = ("/setup", "/session", "/invitation", "/forgotten-password", "/new-password")
    own = (*coming, "/unsubscribe")
    walked = 0
    async with stand.client(secret) as client:
        for path, operations in document["paths"].items():
            short = path.removeprefix("/api/v1")
            if short.startswith(own) or short in {"/stream", "/write"}:
                continue
            for method in operations:
                if method not in {"get", "post", "put", "patch", "delete"}:
                    continue
                if (method, short) == ("post", "/readings"):
                    continue
                url = re.sub(r"\{\w+\}", "1", short)
                answer = await client.request(method, url)
                walked += 1
                if scope is None:
                    assert answer.status_code == 401, (method, path, answer.text)
                elif scope is Scope.ADMIN:
                    assert answer.status_code not in (401, 403), (method, path, answer.text)
                elif method != "get" and not (
                    scope is Scope.CONTROL
                    and short.endswith(("/commands", "/acknowledge", "/snooze", "/maintenance"))
                ):
                    assert answer.status_code == 403, (method, path, answer.text)
    assert walked > 30


async def test_a_rename_is_told_to_who_follows_the_device(stand: Stand) -> None:
    """News of a device that was renamed says how it was called before."""
    await stand.say("x", numbers(1))
    with stand.hub.feed.listen() as listener:
        await stand.hub.rename_device("x", "y")
        (news,) = (await listener.next()).devices.values()
        assert (news.former, news.device.name, news.changed) == ("x", "y", True)
        source = Source("test", "test:x", "x", "192.0.2.1")
        await stand.hub.accept([Delivery(source, [numbers(2)])])
        (news,) = (await listener.next()).devices.values()
        assert news.former is None
