"""The query process and what the hub does about it: death, silence, slow and vanished clients."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.harness import PATIENCE, alive
from tests.servers import PostgresServer
from tests.unit.core.support import START
from tests.unit.web.stand import SECOND, Stand, many, numbers, open_stand

from motehub import parts
from motehub.core.queries import WINDOW, Devices, Question, Readings
from motehub.model import Scope
from motehub.web._api_answers import Answering
from motehub.web.problems import Problem
from motehub.web.queries import Queries, QueryLimits

EVERYTHING = Readings("x", (), 0, START + SECOND, 100_000)

TELLS_WHAT_IT_HEARS = """
import os, sys
from pathlib import Path
from motehub.core.queries import *
frames = Frames()
while data := os.read(0, 65536):
    for number, mark, body in frames.feed(data):
        if mark is Mark.QUERY:
            os.write(1, frame(number, Mark.HEAD, Head("text/plain", True)))
            os.write(1, frame(number, Mark.PIECE, b"x"))
            if number == 1:
                os.write(1, frame(number, Mark.END))
        elif mark is Mark.CANCEL:
            Path(sys.argv[1]).write_text(str(number), "utf-8")
"""


@pytest.fixture(params=parts.store_names())
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with a query process on each kind of store in turn."""
    kind = request.param
    url = str(request.getfixturevalue("database")) if parts.store(kind).schemes else ""
    async with open_stand(tmp_path, kind, url) as made:
        await made.say("x", many(50_000))
        yield made


async def body(queries: Queries, question: Question) -> bytes:
    """Return the whole answer to ``question``."""
    async with queries.ask(question) as answer:
        return b"".join([piece async for piece in answer.pieces()])


async def until(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as ``condition`` holds."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.01)


def pid_of(stand: Stand) -> int:
    assert stand.queries.process_id is not None
    return stand.queries.process_id


async def test_the_process_starts_with_the_first_query(stand: Stand) -> None:
    """There is no query process before it is needed; one serves all queries then."""
    assert stand.queries.process_id is None
    await body(stand.queries, Devices())
    first = pid_of(stand)
    await body(stand.queries, Devices())
    assert pid_of(stand) == first


async def test_a_process_that_was_killed_is_started_anew(stand: Stand) -> None:
    """A query process that dies between queries costs nothing but its start."""
    before = await body(stand.queries, EVERYTHING)
    os.kill(pid_of(stand), signal.SIGKILL)
    assert await body(stand.queries, EVERYTHING) == before
    assert stand.queries.restarts == 1


async def test_a_process_that_is_killed_before_its_answer(stand: Stand) -> None:
    """A query whose process dies before it answers is asked again of a new one."""
    await body(stand.queries, Devices())
    pid = pid_of(stand)
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.create_task(body(stand.queries, Devices()))
    await until(lambda: stand.queries.active == 1, "the query is under way")
    os.kill(pid, signal.SIGKILL)
    assert b'"x"' in await asked


async def test_a_process_that_is_killed_within_its_answer(stand: Stand) -> None:
    """An answer that has begun when the process dies ends with an error, never as if whole."""
    async with stand.queries.ask(EVERYTHING) as answer:
        os.kill(pid_of(stand), signal.SIGKILL)
        with pytest.raises(Problem, match="ended"):
            _ = [piece async for piece in answer.pieces()]
    assert b'"x"' in await body(stand.queries, Devices())


async def test_a_process_that_dies_at_once(tmp_path: Path) -> None:
    """When no query process lives long enough to answer, a query fails and nothing hangs."""
    async with open_stand(tmp_path, command=[sys.executable, "-c", "raise SystemExit(1)"]) as stand:
        for _ in range(2):
            with pytest.raises(Problem, match="ended") as raised:
                await body(stand.queries, Devices())
            assert raised.value.status == 503


async def test_a_process_that_can_not_be_started(tmp_path: Path) -> None:
    """A program that is not there is a problem with its reason."""
    async with open_stand(tmp_path, command=[str(tmp_path / "none")]) as stand:
        with pytest.raises(Problem, match="can't be started"):
            await body(stand.queries, Devices())


async def test_a_slow_client_holds_up_nobody(stand: Stand) -> None:
    """While one client takes nothing of its answer, no more than a few pieces wait for it.

    Others are answered meanwhile, and in the end the slow one has everything.
    """
    whole = await body(stand.queries, EVERYTHING)
    async with stand.queries.ask(EVERYTHING) as slow:
        pieces = slow.pieces()
        taken = [await anext(pieces)]
        for _ in range(3):
            assert await body(stand.queries, EVERYTHING) == whole
        assert slow.backlog <= WINDOW < 10
        taken += [piece async for piece in pieces]
    assert b"".join(taken) == whole


async def test_a_client_that_goes_away_frees_its_place(tmp_path: Path) -> None:
    """A query that is given up leaves nothing behind, whether it waits, works or is answering."""
    limits = QueryLimits(active=1, waiting=1)
    async with open_stand(tmp_path, limits=limits) as stand:
        await stand.say("x", many(50_000))
        async with stand.queries.ask(EVERYTHING):
            waiting = asyncio.create_task(body(stand.queries, Devices()))
            await until(lambda: stand.queries.waiting == 1, "a query waits")
            waiting.cancel()
            await asyncio.wait([waiting])
            assert stand.queries.waiting == 0
        os.kill(pid_of(stand), signal.SIGSTOP)
        working = asyncio.create_task(body(stand.queries, Devices()))
        await until(lambda: stand.queries.active == 1, "a query is under way")
        working.cancel()
        await asyncio.wait([working])
        os.kill(pid_of(stand), signal.SIGCONT)
        assert stand.queries.active == 0
        assert b'"x"' in await body(stand.queries, Devices())


async def test_too_many_queries(tmp_path: Path) -> None:
    """Beyond the places and the queue a query is refused at once, with a time to try again."""
    limits = QueryLimits(active=1, waiting=2)
    async with open_stand(tmp_path, limits=limits) as stand:
        await stand.say("x", many(50_000))
        async with stand.queries.ask(EVERYTHING):
            queue = [asyncio.create_task(body(stand.queries, Devices())) for _ in range(2)]
            await until(lambda: stand.queries.waiting == 2, "two queries wait")
            with pytest.raises(Problem, match="wait already") as raised:
                await body(stand.queries, Devices())
            assert raised.value.headers["Retry-After"] == "1"
        for done in await asyncio.gather(*queue):
            assert b'"x"' in done


async def test_a_query_that_takes_too_long(tmp_path: Path) -> None:
    """A query has a time limit; the process goes on to serve others."""
    async with open_stand(tmp_path, limits=QueryLimits(seconds=0.0)) as stand:
        await stand.say("x", many(50_000))
        with pytest.raises(Problem, match="longer than 0 s") as raised:
            await body(stand.queries, EVERYTHING)
        assert raised.value.status == 503
        assert stand.queries.restarts == 0


async def test_a_process_that_says_nothing_is_killed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that hangs, as on a server that does, is replaced; the query gets its reason."""
    await body(stand.queries, Devices())
    monkeypatch.setattr("motehub.web.queries._STUCK_SECONDS", -29.7)
    stuck = pid_of(stand)
    os.kill(stuck, signal.SIGSTOP)
    with pytest.raises(Problem, match="does not answer"):
        await body(stand.queries, Devices())
    await until(lambda: not alive([stuck]), "the process is gone")
    monkeypatch.undo()
    assert b'"x"' in await body(stand.queries, Devices())


async def test_the_process_ends_when_it_is_idle(tmp_path: Path) -> None:
    """After a while without queries the process ends, and the next query starts another."""
    async with open_stand(tmp_path, limits=QueryLimits(idle_seconds=0.05)) as stand:
        await stand.say("x", numbers(1))
        await body(stand.queries, Devices())
        first = pid_of(stand)
        await until(lambda: not psutil.pid_exists(first), "the process is gone")
        await until(lambda: stand.queries.process_id is None, "that is known")
        assert stand.queries.restarts == 0
        await body(stand.queries, Devices())


async def test_the_process_is_there_before_the_query(tmp_path: Path) -> None:
    """Once prepared it waits for queries, and ends when none come for long."""
    async with open_stand(tmp_path) as stand:
        await stand.say("x", numbers(1))
        for _ in range(3):
            stand.queries.prepare()
        await until(lambda: stand.queries.process_id is not None, "the process is there")
        first = pid_of(stand)
        assert b'"x"' in await body(stand.queries, Devices())
        stand.queries.prepare()
        assert b'"x"' in await body(stand.queries, Devices())
        assert pid_of(stand) == first
        assert stand.queries.restarts == 0


async def test_a_process_that_nobody_asks_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was prepared for nothing frees its memory as others do."""
    async with open_stand(tmp_path, limits=QueryLimits(idle_seconds=0.05)) as stand:
        started: list[int] = []
        start = stand.queries._start

        async def noted() -> asyncio.subprocess.Process:
            process = await start()
            started.append(process.pid)
            return process

        monkeypatch.setattr(stand.queries, "_start", noted)
        stand.queries.prepare()
        await until(lambda: bool(started), "the process is there")
        await until(lambda: not psutil.pid_exists(started[0]), "the process is gone")
        assert len(started) == 1
        assert stand.queries.restarts == 0


async def test_preparing_ends_with_the_hub(tmp_path: Path) -> None:
    """A hub that stops while the process is started leaves nothing behind."""
    async with open_stand(tmp_path) as stand:
        stand.queries.prepare()
        await asyncio.sleep(0)
        await stand.queries.__aexit__()
        assert stand.queries.process_id is None
        stand.queries.prepare()
    commands = [one.cmdline() for one in psutil.Process().children()]
    assert not [one for one in commands if str(tmp_path) in one]


async def test_preparing_what_can_not_be_started(tmp_path: Path) -> None:
    """It is told to whoever asks."""
    async with open_stand(tmp_path, command=[str(tmp_path / "none")]) as stand:
        stand.queries.prepare()
        with pytest.raises(Problem, match="can't be started"):
            await body(stand.queries, Devices())


async def test_nothing_is_left_when_the_hub_stops(tmp_path: Path) -> None:
    """The process ends with the hub, and a query under way fails."""
    async with open_stand(tmp_path) as stand:
        await stand.say("x", many(50_000))
        async with stand.queries.ask(EVERYTHING) as answer:
            pid = pid_of(stand)
            await stand.queries.__aexit__()
            assert not psutil.pid_exists(pid)
            with suppress(Problem):
                assert not [piece async for piece in answer.pieces()][WINDOW:]
        with pytest.raises(Problem, match="stopping"):
            await body(stand.queries, Devices())


async def test_an_answer_waits_for_what_was_acknowledged(stand: Stand) -> None:
    """What was acknowledged before the query is in its answer, though it is folded after it."""
    await stand.say("new", numbers(7.25), fold=False)
    asked = asyncio.create_task(body(stand.queries, Readings("new", (), 0, START + 1, 10)))
    await until(lambda: stand.queries.active == 1, "the query is under way")
    stand.fold()
    assert b"7.25" in await asked


async def test_a_store_that_is_away_and_back(tmp_path: Path, postgres: PostgresServer) -> None:
    """While PostgreSQL is away queries are refused with 503; afterwards they are answered."""
    url = postgres.new_database()
    async with open_stand(tmp_path, "postgres", url) as stand:
        await stand.say("x", numbers(1))
        before = await body(stand.queries, Devices())
        postgres.kill()
        try:
            for _ in range(2):
                with pytest.raises(Problem) as raised:
                    await body(stand.queries, Devices())
                assert raised.value.status == 503
                assert "pass" not in raised.value.detail
        finally:
            postgres.start()
        assert await body(stand.queries, Devices()) == before
        assert stand.queries.restarts == 0


async def test_a_client_that_closes_its_connection(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the client goes away in the middle of an answer, its query is dropped."""
    monkeypatch.setattr("motehub.web._api_answers.STALL_SECONDS", 1e6)
    gone = asyncio.Event()
    sent: list[bytes] = []

    async def receive() -> dict[str, object]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(bytes(message.get("body", b"")))  # type: ignore[call-overload]
        if len(sent) == 3:
            gone.set()
            await asyncio.Event().wait()

    await Answering(stand.queries, EVERYTHING)({}, receive, send)  # type: ignore[arg-type]
    assert stand.queries.active == 0
    assert len(sent) == 3
    assert b'"x"' in await body(stand.queries, Devices())


async def test_the_process_hears_of_queries_that_are_given_up(tmp_path: Path) -> None:
    """The query process is told to drop a query that is given up, and not of one that ended."""
    heard = tmp_path / "heard"
    command = [sys.executable, "-c", TELLS_WHAT_IT_HEARS, str(heard)]
    (tmp_path / "hub").mkdir()
    async with open_stand(tmp_path / "hub", command=command) as stand:
        await body(stand.queries, Devices())
        async with stand.queries.ask(EVERYTHING):
            pass
        await until(lambda: heard.exists() and heard.stat().st_size > 0, "the process hears of it")
        assert heard.read_text("utf-8") == "2"


async def test_a_client_that_takes_nothing_is_cut_off(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that stays but takes nothing of its answer for long is given up."""
    monkeypatch.setattr("motehub.web._api_answers.STALL_SECONDS", 0.05)
    messages: list[str] = []

    async def send(message: dict[str, object]) -> None:
        messages.append(str(message["type"]))
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    await Answering(stand.queries, EVERYTHING)({}, receive, send)  # type: ignore[arg-type]
    assert messages == ["http.response.start", "http.response.body"]
    assert stand.queries.active == 0


async def test_a_token_made_after_the_query_process(stand: Stand) -> None:
    """The query process knows nothing of tokens: a new one is good at once."""
    await body(stand.queries, Devices())
    secret = await stand.token(Scope.READ)
    assert (await stand.get("/devices", secret)).status_code == 200
