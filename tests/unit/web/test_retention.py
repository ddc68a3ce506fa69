"""Rules of retention over the API, and answers where readings are deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.unit.core.support import START
from tests.unit.web.stand import SECOND, Stand, many, numbers, open_stand
from tests.unit.web.test_api import good, problem

from motehub.core.moments import iso
from motehub.history_contract import Expiring
from motehub.model import Scope
from motehub.rollups import Kept
from motehub.stores.sqlite import SqliteHistory

MINUTE = 60 * SECOND


DEFAULT: dict[str, Any] = {
    "raw": "90d",
    "minute": "1y",
    "hour": "forever",
    "day": "forever",
}
CONFIGURED = DEFAULT | {"disk_budget": None, "archive": False}


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with its API."""
    async with open_stand(tmp_path) as made:
        yield made


async def test_rules_are_set_and_taken_away(plain: Stand) -> None:
    """Of a device and of a metric of it; the answer says what holds then."""
    await plain.say("x", numbers(1))
    async with plain.client(await plain.token(Scope.ADMIN)) as owner:
        begin = good(await owner.get("/retention"))
        assert begin == {
            "default": {"raw": "90d", "minute": "1y", "hour": "forever", "day": "forever"},
            "disk_budget": None,
            "configured": CONFIGURED,
            "chosen": None,
            "rules": [],
        }
        await owner.put("/retention/x", json={"raw": "30d"})
        wanted = {"metric": "temperature", "raw": "forever"}
        found = good(await owner.put("/retention/x", json=wanted))
        rest: dict[str, Any] = {"minute": None, "hour": None, "day": None}
        assert found["rules"] == [
            {"device": "x", "metric": None, "raw": "30d", **rest},
            {"device": "x", "metric": "temperature", "raw": "forever", **rest},
        ]
        good(await owner.patch("/devices/x", json={"name": "z"}))
        assert good(await owner.get("/retention"))["rules"][0]["device"] == "z"
        assert good(await owner.put("/retention/z", json={})) != begin
        assert good(await owner.put("/retention/z", json={"metric": "temperature"})) == begin
        problem(await owner.put("/retention/y", json={"raw": "1d"}), 404)
        assert "soon" in problem(await owner.put("/retention/z", json={"raw": "soon"}), 400)
        wrong = {"metric": "humidity", "raw": "1d"}
        assert "humidity" in problem(await owner.put("/retention/z", json=wrong), 400)
        problem(await owner.put("/retention/z", json={"rwa": "1d"}), 400)
    reading = await plain.token(Scope.READ)
    problem(await plain.get("/retention", reading), 403)


async def test_a_choice_for_all_is_made_and_taken_back(plain: Stand) -> None:
    """The answer says what holds, what the configuration says, and who chose what and when."""
    async with plain.client(await plain.token(Scope.ADMIN)) as owner:
        begin = good(await owner.get("/retention"))
        wanted = {"raw": "30d", "minute": None, "disk_budget": "10 GB"}
        found = good(await owner.put("/retention", json=wanted))
        assert found["default"] == DEFAULT | {"raw": "30d"}
        assert found["disk_budget"] == 10**10
        assert found["configured"] == CONFIGURED
        assert found["chosen"] == {
            "raw": "30d",
            "minute": None,
            "hour": None,
            "day": None,
            "disk_budget": "10 GB",
            "who": "t0",
            "time": iso(plain.clock.now),
        }
        assert good(await owner.get("/retention")) == found
        (deed,) = good(await owner.get("/audit", params={"limit": 1}))
        assert (deed["deed"], deed["detail"]) == (
            "choose_retention",
            "raw: 30d, disk_budget: 10 GB",
        )
        assert "soon" in problem(await owner.put("/retention", json={"raw": "soon"}), 400)
        assert "big" in problem(await owner.put("/retention", json={"disk_budget": "big"}), 400)
        problem(await owner.put("/retention", json={"rwa": "1d"}), 400)
        assert good(await owner.get("/retention")) == found
        assert good(await owner.put("/retention", json={})) == begin
    reading = await plain.token(Scope.READ)
    async with plain.client(reading) as other:
        problem(await other.put("/retention", json={}), 403)
        problem(await other.post("/retention-preview", json={}), 403)


async def test_what_goes_is_told_before(plain: Stand) -> None:
    """Of all, of a device and of a metric; nothing where nothing goes, and nothing is changed."""
    await plain.say("x", many(7_200))
    await plain.say("y", numbers(1.0))
    day = 86_400 * SECOND
    plain.clock.now = START + 10 * day
    edge = iso((START + 9 * day) // day * day)

    async with plain.client(await plain.token(Scope.ADMIN)) as owner:

        async def preview(**said: Any) -> dict[str, Any]:
            found: dict[str, Any] = good(await owner.post("/retention-preview", json=said))
            return found

        nothing: dict[str, Any] = {"going": [], "excess": None, "archived": False}
        assert await preview() == nothing
        assert await preview(raw="60d", disk_budget="10 GB") == nothing
        assert await preview(raw="1y") == nothing
        raw = {"tier": "raw", "before": edge, "readings": 7_201}
        assert (await preview(raw="1d"))["going"] == [raw]
        assert (await preview(raw="1d", minute="1d"))["going"] == [raw, raw | {"tier": "minute"}]
        assert (await preview(device="x", raw="1d"))["going"] == [raw | {"readings": 7_200}]
        assert await preview(device="x", metric="humidity", raw="1d") == nothing
        good(await owner.put("/retention/x", json={"raw": "forever"}))
        assert (await preview(raw="1d"))["going"] == [raw | {"readings": 1}]
        assert (await preview(disk_budget="1 kB"))["excess"] > 10_000
        problem(await owner.post("/retention-preview", json={"device": "z"}), 404)
        problem(await owner.post("/retention-preview", json={"raw": "soon"}), 400)
        assert good(await owner.get("/retention"))["chosen"] is None


async def test_the_owner_says_that_the_clock_is_right(plain: Stand) -> None:
    """The hub's own clock is what is confirmed, for those who delete; nobody else may."""
    async with plain.client(await plain.token(Scope.ADMIN)) as owner:
        said = good(await owner.post("/clock"))
        assert said == {"clock": iso(plain.hub.retention.clock_confirmed or 0)}
    async with plain.client(await plain.token(Scope.CONTROL)) as other:
        problem(await other.post("/clock"), 403)


async def test_a_chart_goes_on_where_readings_are_deleted(plain: Stand, tmp_path: Path) -> None:
    """Minutes answer before the edge, in one answer with the readings after it."""
    await plain.say("x", many(7_200))
    edge = START // MINUTE * MINUTE - 60 * MINUTE
    params: dict[str, Any] = {"device": "x", "from": iso(START - 7_199 * SECOND), "points": 240}
    before = good(await plain.get("/readings", **params))["series"][0]
    with closing(SqliteHistory(tmp_path)) as store:
        assert store.expire_some([Expiring(1, Kept(raw=edge))], 10_000)[0] == 1
    after = good(await plain.get("/readings", **params))["series"][0]
    assert (sum(before["count"]), sum(after["count"])) == (7_200, 7_200)
    assert (max(after["max"]), min(after["min"])) == (max(before["max"]), min(before["min"]))
    assert after["width"] == before["width"] < 60
    late = [n for n, time in enumerate(before["times"]) if time * SECOND >= edge]
    assert after["count"][-len(late) :] == before["count"][late[0] :]
    # The one before has the edge in it, and the first is not whole.
    assert set(after["count"][1 : -len(late) - 1]) == {60}
    raw = good(await plain.get("/readings", **{k: v for k, v in params.items() if k != "points"}))
    assert raw["series"][0]["times"][0] * SECOND == edge
