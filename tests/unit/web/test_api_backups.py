"""Back-ups over the API: who may make one, when, and what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.harness import stored
from tests.unit.web.stand import Stand, numbers, open_stand

from motehub.backup import desk
from motehub.backup.restoring import restore
from motehub.model import Scope


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub with a device and its API."""
    async with open_stand(tmp_path) as made:
        await made.say("tank", numbers(1.0))
        yield made


@pytest.fixture
async def admin(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    """A program that may do everything."""
    async with stand.client() as client:
        client.headers["Authorization"] = f"Bearer {await stand.token(Scope.ADMIN)}"
        yield client


async def test_a_backup_is_begun_and_fetched_once(
    stand: Stand, admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    """What is fetched is a whole back-up, under its name and date, and there only once."""
    assert (await admin.get("/backups")).json() == {"last": None, "busy": False}
    begun = await admin.post("/backups")
    assert begun.status_code == 201, begun.text
    path = begun.json()["path"].removeprefix("/api/v1")
    assert (await admin.get("/backups")).json()["busy"]
    answer = await admin.get(path)
    assert answer.status_code == 200
    name = answer.headers["content-disposition"]
    assert name.startswith('attachment; filename="motehub-')
    assert name.endswith('.tar.zst"')
    (tmp_path / "b.tar.zst").write_bytes(answer.content)
    restore(tmp_path / "b.tar.zst", tmp_path / "again")
    assert [value for _, value in stored(tmp_path / "again")["tank", "temperature"]] == [1.0]
    assert (await admin.get(path)).status_code == 404
    state = (await admin.get("/backups")).json()
    assert state["last"]["size"] > 10_000
    assert not state["busy"]
    assert "make_backup" in [row.deed for row in stand.hub.audit.newest()]


async def test_one_at_a_time(admin: httpx.AsyncClient) -> None:
    """While one is being made another one is refused, and afterwards not."""
    path = (await admin.post("/backups")).json()["path"].removeprefix("/api/v1")
    assert (await admin.post("/backups")).status_code == 409
    assert (await admin.get(path)).status_code == 200
    path = (await admin.post("/backups")).json()["path"].removeprefix("/api/v1")
    assert (await admin.get(path)).status_code == 200


async def test_one_that_nobody_fetches_is_forgotten(
    stand: Stand, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A back-up that was begun and left keeps neither its process nor its copies."""
    monkeypatch.setattr(desk, "WAIT_SECONDS", 0.05)
    path = (await admin.post("/backups")).json()["path"].removeprefix("/api/v1")
    async with asyncio.timeout(20):
        while (await admin.get("/backups")).json()["busy"]:
            await asyncio.sleep(0.01)
    assert (await admin.get(path)).status_code == 404
    assert (await admin.get("/backups")).json()["last"] is None


async def test_one_whose_taker_goes_at_once_is_forgotten(
    stand: Stand, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for a back-up and is gone before its first byte doesn't keep others from theirs."""
    monkeypatch.setattr(desk, "WAIT_SECONDS", 0.5)
    path = (await admin.post("/backups")).json()["path"].removeprefix("/api/v1/backups/")
    pieces = stand.backups.fetch(path)
    assert pieces is not None
    await pieces.aclose()
    async with asyncio.timeout(20):
        while (await admin.get("/backups")).json()["busy"]:
            await asyncio.sleep(0.01)
    # The next one is fetched, but not so soon on a busy machine.
    monkeypatch.undo()
    path = (await admin.post("/backups")).json()["path"].removeprefix("/api/v1")
    assert (await admin.get(path)).status_code == 200


async def test_a_failure_is_said_before_anything_is_sent(
    stand: Stand, admin: httpx.AsyncClient
) -> None:
    """Where nothing can be backed up the request says why, and another one may be tried."""
    (stand.folder / "webhooks.db").write_bytes(b"no database" * 1000)
    answer = await admin.post("/backups")
    assert answer.status_code == 503
    assert "webhooks.db is damaged" in answer.json()["detail"]
    (stand.folder / "webhooks.db").unlink()
    path = (await admin.post("/backups")).json()["path"].removeprefix("/api/v1")
    assert (await admin.get(path)).status_code == 200


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE, Scope.CONTROL])
async def test_only_the_owner_gets_one(stand: Stand, scope: Scope) -> None:
    """A token for less is refused, also at a back-up that was begun for somebody else."""
    async with stand.client() as client:
        client.headers["Authorization"] = f"Bearer {await stand.token(scope)}"
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/x")):
            answer = await client.request(method, f"/backups{path}")
            assert answer.status_code == 403
