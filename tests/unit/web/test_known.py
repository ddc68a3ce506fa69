"""The short way of bodies whose series are known: it must not differ from the long one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from tests.unit.core.support import START, FakeClock, frames, open_hub

from motehub.core.hub import Hub
from motehub.http_exchange import Exchange, Handler, Request, Response
from motehub.model import MICROSECONDS, Scope
from motehub.web import filing, influx, known, readings
from motehub.web.influx import WriteHandler
from motehub.web.readings import ReadingsHandler

SECOND = START // MICROSECONDS
DIALECTS = ("lines", "items")

Rows = Sequence[tuple[str | None, float, int | None]]
"""Device, value and time in seconds, one reading each; all of the metric t."""


class Desk:
    """A hub with both handlers and a token; what is posted may be stored at once or later."""

    def __init__(self, hub: Hub, secret: str, dialect: str) -> None:
        self.hub = hub
        self.secret = secret
        self._dialect = dialect
        tokens, registry = hub.tokens, hub.registry
        self._handler: Handler = (
            WriteHandler(tokens, registry, self._name_of, 10**6)
            if dialect == "lines"
            else ReadingsHandler(tokens, registry, self._name_of, 10**6)
        )

    async def post(self, rows: Rows, *, unit: str | None = None, query: bytes = b"") -> Response:
        """Post a reading of each row and return the answer."""
        return await self.store(self.decode(rows, unit=unit, query=query))

    def decode(
        self, rows: Rows, *, unit: str | None = None, query: bytes = b""
    ) -> Exchange | Response:
        """Do the first half of a post: what happens while it is read."""
        body = _lines(rows) if self._dialect == "lines" else _items(rows, unit)
        headers = {b"authorization": b"Bearer " + self.secret.encode()}
        path = influx.PATHS[0] if self._dialect == "lines" else readings.PATH
        request = Request("POST", path, b"precision=s&" + query, headers, body, "192.0.2.1")
        return self._handler(request, START)

    async def store(self, exchange: Exchange | Response) -> Response:
        """Do the second half."""
        if isinstance(exchange, Response):
            return exchange
        return exchange.answer(await self.hub.accept(exchange.deliveries))

    def _name_of(self, identity: str) -> str | None:
        device = self.hub.registry.by_identity(identity)
        return device.name if device is not None else None


def _lines(rows: Rows) -> bytes:
    heads = ["t" if device is None else f"t,device={device}" for device, _, _ in rows]
    stamps = ["" if time is None else f" {time}" for _, _, time in rows]
    fields = [f" value={value}" for _, value, _ in rows]
    return "\n".join(map("".join, zip(heads, fields, stamps, strict=True))).encode()


def _items(rows: Rows, unit: str | None) -> bytes:
    items = [
        {"device": device, "metric": "t", "value": value, "time": time, "unit": unit}
        for device, value, time in rows
    ]
    given = [{key: value for key, value in item.items() if value is not None} for item in items]
    return json.dumps(given).encode()


def is_short(exchange: Exchange | Response) -> bool:
    assert isinstance(exchange, Exchange)
    return any(delivery.known for delivery in exchange.deliveries)


def numbers(folder: Path) -> list[tuple[int, int, float]]:
    """Return series, time and value of all that is in the journal, by series."""
    found: list[tuple[int, int, float]] = []
    for _, frame in frames(folder):
        runs = zip(frame.readings.series, frame.readings.counts, strict=True)
        ids = [series for series, count in runs for _ in range(count)]
        found += zip(ids, frame.readings.times, frame.readings.values, strict=True)
    return sorted(found, key=lambda reading: reading[0])


def entries(folder: Path) -> list[object]:
    return [entry for _, frame in frames(folder) for entry in frame.entries]


Story = Callable[[Desk], Awaitable[list[Response]]]


async def told(folder: Path, dialect: str, story: Story) -> list[Response]:
    """Return the answers of a story, told with a hub of its own."""
    await asyncio.to_thread(folder.mkdir)
    async with open_hub(folder, FakeClock()) as (hub, _):
        secret = await hub.create_token("writer", [Scope.WRITE], secret="the-key-of-the-writer")
        return await story(Desk(hub, secret, dialect))


ROWS: Rows = [("a", 1, SECOND), ("b", 2, SECOND), ("a", 3, SECOND + 1)]
LATER: Rows = [(device, value + 10, SECOND + 60) for device, value, _ in ROWS[:2]]


async def again(desk: Desk) -> list[Response]:
    """Post the same, and the same again."""
    return [await desk.post(ROWS), await desk.post(ROWS), await desk.post(LATER)]


async def renamed(desk: Desk) -> list[Response]:
    """Give a device another name, and another device its old one."""
    answers = [await desk.post(ROWS)]
    await desk.hub.rename_device("a", "attic")
    answers.append(await desk.post(ROWS))
    await desk.hub.rename_device("b", "a")
    return [*answers, await desk.post(LATER)]


async def blocked(desk: Desk) -> list[Response]:
    """Block a device, and accept it again."""
    answers = [await desk.post(ROWS), await desk.post(ROWS)]
    await desk.hub.block_device("a")
    answers += [await desk.post(ROWS), await desk.post([("a", 1, SECOND + 5)])]
    await desk.hub.accept_device("a")
    return [*answers, await desk.post(LATER), await desk.post(ROWS)]


async def removed(desk: Desk) -> list[Response]:
    """Remove a device, which then comes back as a new one."""
    answers = [await desk.post(ROWS), await desk.post(ROWS)]
    await desk.hub.remove_device("a")
    return [*answers, await desk.post(ROWS), await desk.post(LATER)]


async def revoked(desk: Desk) -> list[Response]:
    """Revoke the token; one with the same key may then write to some devices only."""
    answers = [await desk.post(ROWS), await desk.post(ROWS)]
    await desk.hub.revoke_token("writer")
    answers.append(await desk.post(ROWS))
    await desk.hub.create_token("other", [Scope.WRITE], ["b", "c"], desk.secret)
    return [*answers, await desk.post(ROWS), await desk.post(LATER[1:]), await desk.post(LATER)]


async def bound(desk: Desk) -> list[Response]:
    """Show a token bound to a device that is renamed, after which another takes its name."""
    answers = [await desk.post(ROWS)]
    desk.secret = await desk.hub.create_token("of-a", [Scope.WRITE], ["a"])
    answers += [await desk.post(ROWS), await desk.post(ROWS[:1]), await desk.post(ROWS[:1])]
    await desk.hub.rename_device("a", "attic")
    answers += [await desk.post(ROWS[:1]), await desk.post([("attic", 5, SECOND)])]
    await desk.hub.rename_device("b", "a")
    return [*answers, await desk.post(ROWS[:1]), await desk.post(ROWS[1:2])]


async def nameless(desk: Desk) -> list[Response]:
    """Leave it to the token or the bucket whose readings these are."""
    rows: Rows = [(None, 1, SECOND), (None, 2, SECOND + 1)]
    answers = [await desk.post(rows, query=query) for query in (b"", b"db=x", b"db=x", b"db=y")]
    desk.secret = await desk.hub.create_token("of-a", [Scope.WRITE], ["a"])
    return [*answers, await desk.post(rows), await desk.post(rows, query=b"db=x")]


async def undated(desk: Desk) -> list[Response]:
    """Leave the times to the hub, which makes them distinct."""
    rows: Rows = [("a", 1, None), ("b", 2, None), ("a", 3, None), ("a", 4, None)]
    return [await desk.post(rows), await desk.post(rows), await desk.post(rows[:1])]


async def other_units(desk: Desk) -> list[Response]:
    """Say another unit than before, then none."""
    rows = ROWS[:2]
    answers = [await desk.post(rows, unit="°C"), await desk.post(rows, unit="°C")]
    return [*answers, await desk.post(rows, unit="K"), await desk.post(LATER)]


async def repeated(desk: Desk) -> list[Response]:
    """Say the same time twice within a body."""
    rows: Rows = [("a", 1, SECOND), ("a", 2, SECOND), ("b", 1, SECOND), ("a", 3, SECOND)]
    return [await desk.post(rows), await desk.post(rows)]


async def too_many(desk: Desk) -> list[Response]:
    """Speak for more devices than a body may, all of them known."""
    count = filing.MOST_DEVICES
    first: Rows = [(f"d{n}", n, SECOND) for n in range(count)]
    last: Rows = [(f"e{n}", n, SECOND) for n in range(3)]
    both = [*first, *last]
    return [await desk.post(first), await desk.post(last), await desk.post(both)]


STORIES: tuple[Story, ...] = (
    *(again, renamed, blocked, removed, revoked, bound),
    *(nameless, undated, other_units, repeated, too_many),
)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("story", STORIES)
async def test_both_ways_end_the_same(
    story: Story, dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers, entries and readings are those of a hub that has only the long way."""
    answers = await told(tmp_path / "both", dialect, story)
    for module in (influx, readings):
        monkeypatch.setattr(module, "decode_known", lambda *_, **__: None)
    assert await told(tmp_path / "long", dialect, story) == answers
    both, long = tmp_path / "both", tmp_path / "long"
    assert numbers(both) == numbers(long)
    assert entries(both) == entries(long)


STATUSES: dict[str, dict[Story, list[int]]] = {
    "lines": {
        blocked: [204, 204, 400, 400, 204, 204],
        revoked: [204, 204, 401, 400, 204, 400],
        bound: [204, 400, 204, 204, 204, 204, 204, 403],
    },
    "items": {
        blocked: [200, 200, 207, 400, 200, 200],
        revoked: [200, 200, 401, 207, 200, 207],
        bound: [200, 207, 200, 200, 200, 200, 200, 403],
    },
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("story", [blocked, revoked, bound])
async def test_decisions_of_the_owner_hold_at_once(
    story: Story, dialect: str, tmp_path: Path
) -> None:
    """What was allowed a moment ago is refused, and the other way round."""
    answers = await told(tmp_path / "hub", dialect, story)
    assert [answer.status for answer in answers] == STATUSES[dialect][story]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_second_body_goes_the_short_way(dialect: str, tmp_path: Path) -> None:
    """One whose series were registered with the first; with a new one among them it doesn't."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        desk = Desk(hub, await hub.create_token("writer", [Scope.WRITE]), dialect)
        assert not is_short(desk.decode(ROWS))
        await desk.post(ROWS)
        assert is_short(desk.decode(ROWS))
        assert not is_short(desk.decode([*ROWS, ("new", 1, SECOND)]))
        await hub.rename_device("a", "attic")
        assert is_short(desk.decode(ROWS))
        await hub.block_device("attic")
        assert not is_short(desk.decode(ROWS))
        assert is_short(desk.decode(ROWS[1:2]))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("devices", [(), ("a", "b")], ids=["unbound", "bound"])
@pytest.mark.parametrize("change", ["block", "remove", "rename", "revoke", "nothing"])
async def test_what_changes_before_it_is_stored_counts(
    change: str,
    devices: tuple[str, ...],
    dialect: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A decision of the owner holds for a body that was read before it and is stored after it."""

    async def story(desk: Desk) -> list[Response]:
        hub = desk.hub
        desk.secret = await hub.create_token("sender", [Scope.WRITE], devices)
        answers = [await desk.post(ROWS)]
        exchange = desk.decode(LATER)
        match change:
            case "block":
                await hub.block_device("a")
            case "remove":
                await hub.remove_device("a")
            case "rename":
                await hub.rename_device("a", "attic")
            case "revoke":
                await hub.revoke_token("sender")
        return [*answers, await desk.store(exchange)]

    answers = await told(tmp_path / "both", dialect, story)
    for module in (influx, readings):
        monkeypatch.setattr(module, "decode_known", lambda *_, **__: None)
    assert await told(tmp_path / "long", dialect, story) == answers
    assert numbers(tmp_path / "both") == numbers(tmp_path / "long")
    assert entries(tmp_path / "both") == entries(tmp_path / "long")


async def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of series, and of senders, all are forgotten and found anew."""
    monkeypatch.setattr(known, "REMEMBERED", 20)
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        desk = Desk(hub, await hub.create_token("writer", [Scope.WRITE]), "lines")
        await desk.post([(f"d{n}", n, SECOND) for n in range(50)])
        await desk.post([("x", 1, SECOND)])
        series = desk._handler._series  # type: ignore[attr-defined]
        for n in range(50):
            rows: Rows = [(f"d{n}", 1, SECOND + 1), ("x", n, SECOND + n)]
            assert is_short(desk.decode(rows, query=b"db=%d" % n))
            held = sum(1 + len(table) for table in series._tables.values())
            assert held <= 20


async def test_bodies_may_be_read_beside_the_event_loop(tmp_path: Path) -> None:
    """While the owner blocks and accepts a device, nothing of it is stored that was refused."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        desk = Desk(hub, await hub.create_token("writer", [Scope.WRITE]), "lines")
        await desk.post(ROWS[:1])
        stored = 1
        for n in range(20):
            rows: Rows = [("a", i, SECOND + 1000 * n + i) for i in range(1000)]
            decide = hub.accept_device if n % 2 else hub.block_device
            exchange, _ = await asyncio.gather(asyncio.to_thread(desk.decode, rows), decide("a"))
            answer = await desk.store(exchange)
            assert answer.status == (204 if n % 2 else 400)
            stored += 1000 * (n % 2)
        assert len(numbers(tmp_path)) == stored
