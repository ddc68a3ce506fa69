"""The API in one process with the hub, on every history store."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
from tests.unit.core.support import START
from tests.unit.web.stand import SECOND, Stand, many, numbers, open_stand, texts

from motehub import parts
from motehub.core.moments import iso
from motehub.core.queries import MOST_READINGS
from motehub.model import (
    Announced,
    Delivery,
    Diagnostic,
    Joined,
    Left,
    Malformed,
    Scope,
    Source,
    Texts,
)
from motehub.web.queries import QueryLimits

QUICK = QueryLimits(fold_seconds=0.2)


@pytest.fixture(params=parts.store_names())
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with its API on each kind of store in turn."""
    kind = request.param
    url = str(request.getfixturevalue("database")) if parts.store(kind).schemes else ""
    async with open_stand(tmp_path, kind, url, QUICK) as made:
        yield made


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with its API on SQLite: for what does not depend on the store."""
    async with open_stand(tmp_path, limits=QUICK) as made:
        yield made


def good(response: httpx.Response) -> Any:
    """Return the JSON of an answer that must be good."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def problem(response: httpx.Response, status: int) -> str:
    """Return the detail of the problem that an answer must be."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["title"]
    assert "Traceback" not in response.text
    return str(document["detail"])


def rows_of(response: httpx.Response) -> list[list[str]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(response.text)))


async def test_readings_come_back_as_columns(stand: Stand) -> None:
    """All metrics of a device come oldest first, as columns that a browser can draw."""
    await stand.say("greenhouse", numbers(20.5, 21.0), texts("open", metric="window"))
    answer = good(await stand.get("/readings", device="greenhouse"))
    assert answer == {
        "device": "greenhouse",
        "from": iso(START - 86_399 * SECOND),
        "to": iso(START + SECOND),
        "complete": True,
        "next": None,
        "series": [
            {
                "form": "raw",
                "metric": "temperature",
                "unit": "°C",
                "kind": "gauge",
                "times": [START / SECOND - 1, START / SECOND],
                "values": [20.5, 21.0],
            },
            {
                "form": "raw",
                "metric": "window",
                "unit": "",
                "kind": "text",
                "times": [START / SECOND],
                "values": ["open"],
            },
        ],
    }


async def test_answers_are_compressed_for_who_takes_that(plain: Stand) -> None:
    """In gzip they are a fraction, and the same; whoever does not ask for that gets them plain."""
    await plain.say("x", many(2_000))
    await plain.get("/devices")
    found: dict[str, httpx.Response] = {}
    async with plain.client(plain.secrets["reader"]) as client:
        for accept in ("identity", "gzip"):
            answer = await client.get(
                "/readings", params={"device": "x"}, headers={"accept-encoding": accept}
            )
            assert good(answer)["series"]
            found[accept] = answer
    assert found["gzip"].content == found["identity"].content
    assert found["gzip"].headers["content-encoding"] == "gzip"
    assert "content-encoding" not in found["identity"].headers
    sizes = [one.num_bytes_downloaded for one in (found["gzip"], found["identity"])]
    assert 3 * sizes[0] < sizes[1], sizes


async def test_readings_as_csv(stand: Stand) -> None:
    """CSV has a row for each reading of all metrics in the order of time, texts quoted."""
    await stand.say("a", numbers(1.5, 2.5, step=2), texts('say "hi", twice', "x", metric="note"))
    rows = rows_of(await stand.get("/readings", device="a", format="csv"))
    assert rows == [
        ["time", "device", "metric", "value", "unit"],
        [iso(START - 2 * SECOND), "a", "temperature", "1.5", "°C"],
        [iso(START - SECOND), "a", "note", 'say "hi", twice', ""],
        [iso(START), "a", "temperature", "2.5", "°C"],
        [iso(START), "a", "note", "x", ""],
    ]


async def test_metrics_and_times_choose(stand: Stand) -> None:
    """A metric may be repeated; from is inclusive, to exclusive."""
    records = [numbers(1, 2, 3, 4, metric=name) for name in ("a", "b", "c")]
    await stand.say("x", *records)
    answer = good(
        await stand.get(
            "/readings",
            device="x",
            metric=["c", "a"],
            **{"from": iso(START - 2 * SECOND), "to": iso(START)},
        )
    )
    assert {one["metric"]: one["values"] for one in answer["series"]} == {
        "a": [2.0, 3.0],
        "c": [2.0, 3.0],
    }


async def test_next_leads_through_all_readings_once(stand: Stand) -> None:
    """Whoever follows next gets every reading of every metric exactly once."""
    await stand.say("x", many(50), numbers(*range(30), metric="humidity", unit="%"), texts("t"))
    seen: list[tuple[str, float]] = []
    start = "-24h"
    for _ in range(100):
        answer = good(await stand.get("/readings", device="x", limit=7, **{"from": start}))
        for one in answer["series"]:
            seen += [(one["metric"], time) for time in one["times"]]
        if answer["next"] is None:
            break
        start = answer["next"]
    assert len(seen) == len(set(seen)) == 81


async def test_csv_has_no_formulas(tmp_path: Path) -> None:
    """What a device says is worked out by no program for tables; numbers are as they are."""
    async with open_stand(tmp_path) as stand:
        await stand.say("=x", texts('=HYPERLINK("x")', "-5", "on"), numbers(-1.5, metric="-m"))
        rows = rows_of(await stand.get("/readings", device="=x", format="csv"))
        assert {row[1] for row in rows[1:]} == {"'=x"}
        assert [row[3] for row in rows[1:] if row[2] == "state"] == [
            '\'=HYPERLINK("x")',
            "-5",
            "on",
        ]
        assert [row[3] for row in rows[1:] if row[2] == "'-m"] == ["-1.5"]
        found = (await stand.get("/readings", device="=x", metric="state")).json()
        assert found["series"][0]["values"][0] == '=HYPERLINK("x")'


async def test_csv_tells_where_the_rest_begins(plain: Stand) -> None:
    """An answer in CSV has next in a header."""
    await plain.say("x", numbers(1, 2, 3))
    answer = await plain.get("/readings", device="x", limit=2, format="csv")
    assert len(rows_of(answer)) == 3
    assert answer.headers["motehub-next"] == iso(START)


async def test_more_readings_of_one_moment_than_the_limit(plain: Stand) -> None:
    """Readings of one moment come together, even when they are more than the limit."""
    await plain.say("x", *(numbers(1, 2, metric=f"m{i}") for i in range(5)))
    answer = good(await plain.get("/readings", device="x", limit=2))
    assert [one["values"] for one in answer["series"]] == [[1.0]] * 5
    assert answer["next"] == iso(START - SECOND + 1)
    answer = good(await plain.get("/readings", device="x", limit=2, **{"from": answer["next"]}))
    assert [one["values"] for one in answer["series"]] == [[2.0]] * 5
    answer = good(await plain.get("/readings", device="x", limit=2, **{"from": answer["next"]}))
    assert [one["values"] for one in answer["series"]] == [[]] * 5
    assert answer["next"] is None


async def test_long_texts_are_spread_over_answers(plain: Stand) -> None:
    """An answer holds at most about eight megabytes of texts; next leads to the others."""
    long = [str(i) * 1_000_000 for i in range(10)]
    sent = texts(*long)
    for part in (slice(5), slice(5, 10)):
        await plain.say("x", Texts("state", sent.times[part], sent.values[part]))
    await plain.say("x", numbers(*range(20)))
    found: list[str] = []
    start = "-24h"
    for _ in range(20):
        answer = await plain.get("/readings", device="x", **{"from": start})
        assert len(answer.content) < 9_000_000
        shown = good(answer)
        found += next(one["values"] for one in shown["series"] if one["metric"] == "state")
        if shown["next"] is None:
            break
        start = shown["next"]
    assert found == long


async def test_points_keep_every_extreme(stand: Stand) -> None:
    """Reduced readings have the lowest, highest, mean, last and count of each bucket."""
    await stand.say("x", numbers(*[1.0] * 500, 99.0, *[1.0] * 400, -7.0, *[1.0] * 98))
    answer = good(
        await stand.get(
            "/readings",
            device="x",
            points=50,
            **{"from": iso(START - 999 * SECOND), "to": iso(START + SECOND)},
        )
    )
    (one,) = answer["series"]
    assert one["form"] == "reduced"
    assert one["width"] == 20.0
    assert one["times"] == [START / SECOND - 999 + 20 * i for i in range(50)]
    assert one["count"] == [20] * 50
    assert one["max"] == [1.0] * 25 + [99.0] + [1.0] * 24
    assert one["min"] == [1.0] * 45 + [-7.0] + [1.0] * 4
    assert one["mean"][25] == pytest.approx(5.9)
    assert one["last"] == [1.0] * 50


async def test_points_leave_out_empty_times_and_texts(stand: Stand) -> None:
    """Buckets without readings are left out, and so are texts unless they are asked for."""
    await stand.say("x", numbers(1, 2, step=3600), texts("a"))
    answer = good(await stand.get("/readings", device="x", points=1000))
    (one,) = answer["series"]
    assert one["count"] == [1, 1]
    await stand.say("x", numbers(0, 1, 0, metric="led", unit="", step=60))
    (one, led) = good(await stand.get("/readings", device="x", points=1000))["series"]
    assert (one["form"], led["form"]) == ("reduced", "reduced")


async def test_points_of_states(stand: Stand) -> None:
    """How long each lasted and how often they changed: of texts by name, or of all with states."""
    await stand.say("x", numbers(1, 2, step=3600))
    await stand.say("x", numbers(0, 1, 0, metric="led", unit="", step=60))
    early = texts("on", "on", "off")
    times = array("q", [time - 600 * SECOND for time in early.times])
    await stand.say("x", msgspec.structs.replace(early, times=times))
    asked: dict[str, Any] = {"device": "x", "points": 1, "from": "-30m"}
    (state,) = good(await stand.get("/readings", metric="state", **asked))["series"]
    assert (state["form"], state["states"]) == ("states", ["off", "on"])
    assert (state["seconds"], state["other"]) == ([[600.0], [2.0]], [0.0])
    assert (state["changes"], state["count"]) == ([1], [3])
    found = good(await stand.get("/readings", states=True, **asked))["series"]
    forms = {one["metric"]: one["form"] for one in found}
    assert forms == {"temperature": "reduced", "state": "states", "led": "states"}
    assert [one["changes"] for one in found if one["metric"] == "led"] == [[2]]
    rows = rows_of(await stand.get("/readings", metric="state", format="csv", **asked))
    assert rows[0] == ["time", "device", "metric", "state", "seconds", "changes", "count"]
    assert [row[1:] for row in rows[1:]] == [
        ["x", "state", "off", "600.0", "1", "3"],
        ["x", "state", "on", "2.0", "1", "3"],
    ]
    mixed = await stand.get("/readings", metric=["state", "temperature"], format="csv", **asked)
    assert "apart" in problem(mixed, 400)


async def test_points_as_csv(plain: Stand) -> None:
    """Reduced readings come as CSV too."""
    await plain.say("x", numbers(1, 2, 3))
    rows = rows_of(await plain.get("/readings", device="x", points=1, format="csv"))
    assert rows[0] == [*("time", "device", "metric", "min", "max", "mean", "last", "count", "unit")]
    assert rows[1][1:] == ["x", "temperature", "1.0", "3.0", "2.0", "3.0", "3", "°C"]


async def test_most_readings_in_one_answer(stand: Stand) -> None:
    """A hundred thousand readings come in one answer, all of them and in order."""
    await stand.say("x", many(MOST_READINGS + 1))
    answer = good(await stand.get("/readings", device="x", limit=MOST_READINGS, **{"from": "-30d"}))
    (one,) = answer["series"]
    assert len(one["times"]) == len(one["values"]) == MOST_READINGS
    assert one["times"] == sorted(one["times"])
    assert answer["next"] == iso(START)
    rows = rows_of(
        await stand.get(
            "/readings", device="x", limit=MOST_READINGS, format="csv", **{"from": "-30d"}
        )
    )
    assert len(rows) == MOST_READINGS + 1


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({}, "device"),
        ({"device": "x", "from": "yesterday"}, "yesterday"),
        ({"device": "x", "from": "2023-11-14T00:00:00"}, "time zone"),
        ({"device": "x", "from": "2023-11-14"}, "time zone"),
        ({"device": "x", "from": "-1h", "to": "-2h"}, "later"),
        ({"device": "x", "from": "-99999y"}, "year 1"),
        ({"device": "x", "to": "-"}, "duration"),
        ({"device": "x", "limit": "0"}, "limit"),
        ({"device": "x", "limit": "100001"}, "limit"),
        ({"device": "x", "points": "many"}, "points"),
        ({"device": "x", "format": "xml"}, "format"),
        ({"device": "x", "form": "-1h"}, "device, format, from, limit, metric, points, states, to"),
    ],
)
async def test_what_can_not_be_understood_is_named(
    plain: Stand, params: dict[str, str], word: str
) -> None:
    """A wrong parameter is answered with its name or its text."""
    await plain.say("x", numbers(1))
    assert word in problem(await plain.get("/readings", **params), 400)


async def test_too_many_points_for_all_series(plain: Stand) -> None:
    """Points of all series together are bounded, and the answer says what to do."""
    await plain.say("x", *(numbers(1, metric=f"m{i}") for i in range(11)))
    said = problem(await plain.get("/readings", device="x", points=10_000), 400)
    assert "fewer" in said
    good(await plain.get("/readings", device="x", points=10_000, metric="m1"))


@pytest.mark.parametrize("text", ["2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20Z"])
async def test_times_in_any_zone(plain: Stand, text: str) -> None:
    """A time may be written in any zone, and its plus need not be escaped."""
    await plain.say("x", numbers(1, 2))
    secret = await plain.token(Scope.READ)
    async with plain.client(secret) as client:
        answer = good(await client.get(f"/readings?device=x&from={text}"))
    assert [one["values"] for one in answer["series"]] == [[2.0]]


async def test_unknown_names_are_not_found(stand: Stand) -> None:
    """Devices and metrics that there are not are answered with 404 and those that there are."""
    await stand.say("greenhouse", numbers(1))
    assert "greenhouse" in problem(await stand.get("/devices/nobody"), 404)
    assert "greenhouse" in problem(await stand.get("/readings", device="nobody"), 404)
    said = problem(await stand.get("/readings", device="greenhouse", metric="light"), 404)
    assert "temperature" in said


async def test_presence_and_what_was_discarded(stand: Stand) -> None:
    """A device shows whether it is online; what came too late is counted, and listed."""
    receipts = await stand.hub.accept(
        [Delivery(Source("test", "mac:A", "", "192.0.2.1"), [Announced()])]
    )
    assigned = receipts[0].assigned
    assert assigned is not None
    for session, record in ((assigned.session, Joined()), ("1.2", Left())):
        source = Source("test", "", assigned.name, "192.0.2.1", session=session)
        await stand.hub.accept([Delivery(source, [record])])
    stand.fold()
    row = good(await stand.get("/devices/capteur01"))
    assert (row["online"], row["received"], row["discarded"]) == (True, 1, 1)
    (listed,) = good(await stand.get("/rejected"))
    assert listed["payload"] == "capteur01;1.2 left"


async def test_devices_and_series(stand: Stand) -> None:
    """Devices come with their counts, and with what they measure."""
    await stand.say("b", numbers(1, 2, 3), texts("on"))
    await stand.say("a ü/%"[:3], numbers(1))
    devices = good(await stand.get("/devices"))
    assert [one["name"] for one in devices] == ["a ü", "b"]
    assert devices[1] == {
        "name": "b",
        "admission": "accepted",
        "dialect": "test",
        "first_seen": iso(START),
        "last_seen": iso(START),
        "received": 4,
        "stored": 4,
        "duplicate": 0,
        "rejected": 0,
        "discarded": 0,
        "online": None,
        "waiting": 0,
        "labels": [],
        "interval": None,
        "units": [],
        "lamp": False,
        "identities": [],
    }
    assert good(await stand.get("/devices/b")) == devices[1]
    assert good(await stand.get(f"/devices/{quote('a ü')}"))["name"] == "a ü"
    series = good(await stand.get("/devices/b/series"))
    plain = {"offset": 0.0, "scale": 1.0, "low": None, "high": None}
    plain |= {"deadband": 0.0, "spacing": 0.0}
    at = {"latest_time": iso(START), "calibration": plain}
    assert sorted(series, key=lambda one: one["metric"]) == [
        {"metric": "state", "unit": "", "kind": "text", "latest": "on", **at},
        {"metric": "temperature", "unit": "°C", "kind": "gauge", "latest": 3.0, **at},
    ]


async def test_events_and_rejected_payloads(stand: Stand) -> None:
    """Events and rejected payloads come newest first, up to the limit."""
    await stand.say("x", *(Diagnostic("button", str(i)) for i in range(3)))
    await stand.say("x", Malformed(b"\xff{", "not JSON", 2))
    events = good(await stand.get("/events", device="x", limit=2))
    assert [one["text"] for one in events] == ["2", "1"]
    rejected = good(await stand.get("/rejected"))
    assert rejected == [
        {
            "time": iso(START),
            "device": "x",
            "source": "192.0.2.1",
            "count": 2,
            "reason": "not JSON",
            "payload": "\\xff{",
        }
    ]


async def test_bound_tokens_see_only_their_devices(stand: Stand) -> None:
    """A token that is bound to devices learns nothing of the others."""
    for name in ("mine", "other"):
        await stand.say(name, numbers(1), Diagnostic("button", name), Malformed(b"x", "bad"))
    secret = await stand.token(Scope.READ, devices=("mine",))
    for path in ("/devices", "/events", "/rejected"):
        rows = good(await stand.get(path, secret))
        assert {one.get("device", one.get("name")) for one in rows} == {"mine"}
    good(await stand.get("/readings", secret, device="mine"))
    for path in ("/devices/other", "/devices/other/series", "/devices/nobody", "/health"):
        problem(await stand.get(path, secret), 403)
    problem(await stand.get("/readings", secret, device="other"), 403)
    problem(await stand.get("/events", secret, device="other"), 403)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer wrong", "Bearer wr\u00f6ng"]
)
async def test_nothing_is_anonymous(plain: Stand, header: str | None) -> None:
    """Without a good token there is nothing but the challenge."""
    async with plain.client() as client:
        for path in ("/devices", "/readings?device=x", "/health", "/tokens", "/events"):
            headers = {} if header is None else {"Authorization": header.encode("latin-1")}
            answer = await client.get(path, headers=headers)  # type: ignore[arg-type]
            problem(answer, 401)
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_scopes_are_kept_apart(plain: Stand) -> None:
    """Reading needs the scope read, the owner's decisions admin; admin may read too."""
    await plain.say("x", numbers(1))
    reading, writing = await plain.token(Scope.READ), await plain.token(Scope.WRITE)
    owner = await plain.token(Scope.ADMIN)
    problem(await plain.get("/devices", writing), 403)
    good(await plain.get("/devices", owner))
    async with plain.client(reading) as client:
        for method, path in (
            ("PATCH", "/devices/x"),
            ("DELETE", "/devices/x"),
            ("POST", "/devices/x/accept"),
            ("POST", "/devices/x/block"),
            ("GET", "/tokens"),
            ("POST", "/tokens"),
            ("DELETE", "/tokens/x"),
        ):
            assert "admin" in problem(await client.request(method, path), 403)


async def test_expired_and_revoked_tokens(plain: Stand) -> None:
    """A token is good for nothing when its time has come or it was revoked."""
    late = await plain.hub.create_token("late", [Scope.READ], expires=START + 10)
    gone = await plain.hub.create_token("gone", [Scope.READ])
    plain.fold()
    good(await plain.get("/devices", late))
    good(await plain.get("/devices", gone))
    plain.clock.now = START + 10
    await plain.hub.revoke_token("gone")
    problem(await plain.get("/devices", late), 401)
    problem(await plain.get("/devices", gone), 401)


async def test_the_owners_decisions(plain: Stand) -> None:
    """Devices are renamed, blocked, accepted and removed, and the next answer shows it."""
    await plain.say("x", numbers(1))
    await plain.say("y", numbers(1))
    async with plain.client(await plain.token(Scope.ADMIN)) as owner:
        renamed = await owner.patch("/devices/x", json={"name": "z"})
        assert good(renamed) == {"name": "z", "admission": "accepted"}
        assert good(await owner.post("/devices/z/block"))["admission"] == "blocked"
        accepted = await owner.post("/devices/z/accept", json={"name": "w"})
        assert good(accepted) == {"name": "w", "admission": "accepted"}
        assert good(await owner.post("/devices/w/accept")) == good(accepted)
        plain.fold()
        assert [one["name"] for one in good(await owner.get("/devices"))] == ["w", "y"]
        removed = await owner.delete("/devices/w")
        assert (removed.status_code, removed.content) == (204, b"")
        plain.fold()
        assert [one["name"] for one in good(await owner.get("/devices"))] == ["y"]
        problem(await owner.delete("/devices/w"), 404)
        problem(await owner.post("/devices/w/block"), 404)


async def test_names_that_can_not_be_given(plain: Stand) -> None:
    """A taken name is a conflict, one that breaks the rules is wrong; nothing changes."""
    await plain.say("x", numbers(1))
    await plain.say("y", numbers(1))
    async with plain.client(await plain.token(Scope.ADMIN)) as owner:
        assert "y" in problem(await owner.patch("/devices/x", json={"name": "y"}), 409)
        problem(await owner.post("/devices/x/accept", json={"name": "y"}), 409)
        for wrong in ("a/b", "", "x" * 30, "a\x00"):
            problem(await owner.patch("/devices/x", json={"name": wrong}), 400)
            problem(await owner.post("/devices/x/accept", json={"name": wrong}), 400)
        for body in (
            b"{}",
            b'{"name": 5}',
            b'{"name": "z", "nom": "z"}',
            b"[]",
            b"{",
            b"\xff",
            b"",
        ):
            problem(await owner.patch("/devices/x", content=body), 400)
        problem(await owner.patch("/devices/x", json={"name": "z" * 70_000}), 413)
        assert "body: is missing" in problem(await owner.patch("/devices/x"), 400)
    assert plain.hub.registry.has_name("x")


async def test_tokens_over_http(plain: Stand) -> None:
    """The owner makes tokens, sees them without their secrets, and revokes them."""
    async with plain.client(await plain.token(Scope.ADMIN)) as owner:
        wanted = {"name": "grafana", "scopes": ["read"], "devices": ["x"], "expires": "-1h"}
        assert "expired" in problem(await owner.post("/tokens", json=wanted), 400)
        wanted["expires"] = iso(START + 3600 * SECOND)
        made = await owner.post("/tokens", json=wanted)
        assert made.status_code == 201
        secret = made.json()["secret"]
        problem(await owner.post("/tokens", json=wanted), 409)
        problem(await owner.post("/tokens", json={"name": "n", "scopes": []}), 400)
        problem(await owner.post("/tokens", json={"name": "n", "scopes": ["all"]}), 400)
        problem(
            await owner.post("/tokens", json={"name": "n", "scopes": ["read"], "devices": ["a/b"]}),
            400,
        )
        listed = await owner.get("/tokens")
        assert secret not in listed.text
        assert good(listed)[0] == {
            "name": "grafana",
            "scopes": ["read"],
            "devices": ["x"],
            "created": iso(START),
            "expires": iso(START + 3600 * SECOND),
        }
        plain.fold()
        good(await plain.get("/devices", secret))
        assert (await owner.delete("/tokens/grafana")).status_code == 204
        problem(await owner.delete("/tokens/grafana"), 404)
        problem(await plain.get("/devices", secret), 401)


async def test_health(plain: Stand) -> None:
    """The hub's condition is for those who may read."""
    assert "limit" in problem(await plain.get("/health", limit=1), 400)
    assert good(await plain.get("/health")) == {"version": "test", "fine": True}


async def test_unknown_addresses_and_methods_are_problems(plain: Stand) -> None:
    """An address or a method that there is not is a problem too, with the methods there are."""
    async with plain.client(await plain.token(Scope.ADMIN)) as client:
        problem(await client.get("/nothing"), 404)
        problem(await client.get("/devices/a/b/c"), 404)
        answer = await client.post("/devices/x")
        assert "GET" in answer.headers["allow"]
        problem(answer, 405)
        problem(await client.get(f"/devices?{'x' * 20_000}"), 414)
        problem(await client.get(f"/devices/{'x' * 2_000}"), 414)


async def test_answers_are_not_kept_by_anyone(plain: Stand) -> None:
    """Every answer, good or bad, says that it is not to be stored nor to be guessed at."""
    await plain.say("x", numbers(1))
    async with plain.client() as client:
        anonymous = await client.get("/devices")
    document = await plain.get("http://hub/api/openapi.json")
    for answer in (anonymous, document, await plain.get("/devices"), await plain.get("/nothing")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_answer_says_when_it_is_not_complete(stand: Stand) -> None:
    """When the history is behind for long, the answer comes without the rest and says so."""
    await stand.say("x", numbers(1))
    good(await stand.get("/readings", device="x"))
    await stand.say("x", numbers(5, 2), fold=False)
    answer = await stand.get("/readings", device="x")
    assert good(answer)["complete"] is False
    assert answer.headers["motehub-complete"] == "false"
    assert good(answer)["series"][0]["values"] == [1.0]
    stand.fold()
    answer = await stand.get("/readings", device="x")
    assert good(answer)["complete"] is True
    assert answer.headers["motehub-complete"] == "true"


async def test_a_device_that_the_history_does_not_know_yet(plain: Stand) -> None:
    """A device that was acknowledged but is not folded yet is no unknown one: try again."""
    good(await plain.get("/devices"))
    await plain.say("new", numbers(1), fold=False)
    answer = await plain.get("/devices/new")
    problem(answer, 503)
    assert answer.headers["retry-after"] == "1"


async def test_nobody_waits_for_a_journal_that_takes_nothing(plain: Stand) -> None:
    """While senders are held back, the owner's decisions are refused instead of waiting."""
    await plain.say("x", numbers(1))
    async with plain.client(await plain.token(Scope.ADMIN)) as owner:
        plain.journal.held_back = "The disk is full."
        for answer in (
            await owner.patch("/devices/x", json={"name": "z"}),
            await owner.delete("/devices/x"),
            await owner.post("/devices/x/block"),
            await owner.post("/devices/x/accept"),
            await owner.post("/tokens", json={"name": "n", "scopes": ["read"]}),
            await owner.delete("/tokens/t0"),
        ):
            assert "The disk is full." in problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
    assert plain.hub.registry.has_name("x")
