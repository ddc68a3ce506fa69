"""How many may look on at the same time, and how many of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.core.support import FakeClock
from tests.unit.web.stand import Stand, open_stand

from motehub.core.people import Role
from motehub.model import Scope, Token
from motehub.web import live
from motehub.web.live import LiveStreams
from motehub.web.problems import Problem

PASSWORD = "correct horse battery"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub."""
    async with open_stand(tmp_path) as made:
        yield made


class _Looking:
    """Streams that are open until the block ends."""

    def __init__(self, stand: Stand) -> None:
        hub = stand.hub
        self._streams = LiveStreams(hub.feed, hub.tokens, hub.accounts.people, FakeClock())
        self._gone = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> _Looking:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def open(self, token: Token) -> None:
        """Open one, and wait for its first bytes."""
        stream, begun = self._streams.stream(token, None, None), asyncio.Event()

        async def receive() -> Any:
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(_: object) -> None:
            begun.set()

        self._tasks.append(asyncio.create_task(stream(cast("Any", {}), receive, send)))
        async with asyncio.timeout(20):
            await begun.wait()

    async def leave(self) -> None:
        """Close all."""
        self._gone.set()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()
        self._gone.clear()


async def test_nobody_uses_up_the_streams_of_all(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One person in several browsers, or one token, gets so many streams; others still get one."""
    monkeypatch.setattr(live, "MOST_OF_ONE", 2)
    hub = stand.hub
    accounts = hub.accounts
    own = []
    for name in ("ann", "bob"):
        await accounts.add(name, Role.VIEWER, PASSWORD)
    for name in ("ann", "ann", "ann", "bob"):
        _, browser = await accounts.log_in(name, PASSWORD)
        own.append(accounts.people.token_of(browser))
    # A token that is called like a person is somebody else.
    await hub.create_token("ann", [Scope.READ])
    token = next(one for one in hub.tokens.all() if one.name == "ann")
    async with _Looking(stand) as looking:
        for who in (own[0], own[1], token, token):
            await looking.open(who)
        for who in (own[2], token):
            with pytest.raises(Problem, match="You have 2 streams open"):
                await looking.open(who)
        await looking.open(own[3])
        await looking.leave()
        await looking.open(own[2])
