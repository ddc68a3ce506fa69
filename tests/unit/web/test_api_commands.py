"""Commands over the API, in one process with the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.core.support import START
from tests.unit.web.stand import SECOND, Stand, numbers, open_stand

from motehub.command import Command
from motehub.core.command_book import MOST_WAITING
from motehub.core.moments import iso
from motehub.model import Assignment, Device, Scope

ORDER = {"name": "led", "value": 1}


class Post:
    """A carrier that reaches every device."""

    def __init__(self) -> None:
        self.got: list[Command] = []

    def carry(self, command: Command, _: Device, __: Assignment | None) -> bool:
        self.got.append(command)
        return True


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A hub that knows the devices lamp and fan."""
    async with open_stand(tmp_path) as made:
        await made.say("lamp", numbers(0, metric="led", unit=""))
        await made.say("fan", numbers(0, metric="speed", unit=""))
        yield made


async def post(
    stand: Stand, body: Any, device: str = "lamp", secret: str | None = None
) -> httpx.Response:
    secret = secret or await stand.token(Scope.CONTROL)
    async with stand.client(secret) as client:
        return await client.post(f"/devices/{device}/commands", json=body)


def detail(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["detail"])


async def test_a_command_goes_its_way(stand: Stand) -> None:
    """The answer is 202 with an id; under it the command shows each step until it is over."""
    carrier = Post()
    stand.hub.commands.attach("test", carrier)
    secret = await stand.token(Scope.CONTROL)
    answer = await post(stand, ORDER, secret=secret)
    assert answer.status_code == 202, answer.text
    command = answer.json()
    assert command == {
        "id": carrier.got[0].id,
        "device": "lamp",
        "state": "queued",
        "over": False,
        "name": "led",
        "value": 1,
        "payload": None,
        "created": iso(START),
        "changed": iso(START),
        "deadline": iso(START + 60 * SECOND),
        "reason": "",
    }
    path = f"/commands/{command['id']}"
    assert (await stand.get(path, secret)).json() == command
    stand.hub.commands.sent(command["id"])
    assert (await stand.get(path, secret)).json()["state"] == "sent"
    await stand.say("lamp", numbers(1, metric="led", unit=""))
    shown = (await stand.get(path, secret)).json()
    assert (shown["state"], shown["over"]) == ("confirmed", True)
    texts = [one["text"] for one in (await stand.get("/events", limit=3)).json()]
    assert texts == ["led = 1: confirmed", "led = 1: sent", "led = 1: queued"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"payload": "red"}, b"red"),
        ({"name": "reboot"}, b'{"name":"reboot"}'),
        ({"name": "led", "value": True}, b'{"name":"led","value":true}'),
        ({"name": "led", "value": 1.0, "timeout": 5}, b'{"name":"led","value":1}'),
        ({"name": "colour", "value": "red"}, b'{"name":"colour","value":"red"}'),
    ],
)
async def test_every_kind_of_order_is_taken(
    stand: Stand, body: dict[str, Any], message: bytes
) -> None:
    """A payload, something to be done, and values of each type reach the carrier."""
    carrier = Post()
    stand.hub.commands.attach("test", carrier)
    assert (await post(stand, body)).status_code == 202
    (command,) = carrier.got
    assert command.order.message == message
    assert command.deadline == START + body.get("timeout", 60) * SECOND


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{}", "says nothing"),
        ('{"value": 1}', "says nothing"),
        ('{"payload": "red", "name": "led"}', "not both"),
        ('{"payload": ""}', "payload"),
        (f'{{"payload": "{"x" * 2000}"}}', "payload"),
        ('{"payload": 5}', "payload"),
        ('{"payload": "\\ud800"}', "can't be read"),
        ('{"name": "led", "value": [1]}', "value"),
        ('{"name": "led", "value": 1e400}', "can't be read"),
        ('{"name": "led", "valeu": 1}', "valeu"),
        ('{"payload": "red", "timeout": 0}', "timeout"),
        ('{"payload": "red", "timeout": 1e9}', "timeout"),
        ("[]", "body"),
        ("", "body"),
    ],
)
async def test_what_is_no_order_is_explained(stand: Stand, body: str, words: str) -> None:
    """A body that can't be sent is a 400 that names what is wrong with it."""
    async with stand.client(await stand.token(Scope.CONTROL)) as client:
        headers = {"content-type": "application/json"}
        answer = await client.post("/devices/lamp/commands", content=body, headers=headers)
    assert words in detail(answer, 400)


async def test_who_may_command(stand: Stand) -> None:
    """It takes the scope control, and a token that is bound to devices commands only these."""
    reader = await stand.token(Scope.READ, Scope.WRITE)
    assert "control" in detail(await post(stand, ORDER, secret=reader), 403)
    bound = await stand.token(Scope.CONTROL, devices=("lamp",))
    assert "other devices" in detail(await post(stand, ORDER, "fan", bound), 403)
    mine = (await post(stand, ORDER, secret=bound)).json()["id"]
    other = (await post(stand, ORDER, "fan")).json()["id"]
    assert (await stand.get(f"/commands/{mine}", bound)).status_code == 200
    owner = await stand.token(Scope.ADMIN)
    assert (await stand.get(f"/commands/{other}", owner)).status_code == 200
    # The same answer as for an id that nobody has.
    for id_ in (other, "00000000000000"):
        answer = await stand.get(f"/commands/{id_}", bound)
        assert "no command" in detail(answer, 404)
    assert "control" in detail(await stand.get(f"/commands/{mine}", reader), 403)


async def test_devices_that_take_no_command(stand: Stand) -> None:
    """One that does not exist is 404; a blocked one, or one with too many waiting, is 409."""
    assert "nobody" in detail(await post(stand, ORDER, "nobody"), 404)
    secret = await stand.token(Scope.CONTROL)
    for _ in range(MOST_WAITING):
        assert (await post(stand, ORDER, secret=secret)).status_code == 202
    assert "under way" in detail(await post(stand, ORDER, secret=secret), 409)
    await stand.hub.block_device("fan")
    assert "blocked" in detail(await post(stand, ORDER, "fan"), 409)
