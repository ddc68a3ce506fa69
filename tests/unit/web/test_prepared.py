"""Heads that are looked at once: what was found about a sender holds while nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.core.support import START, FakeClock, open_hub

from motehub.core.hub import Hub
from motehub.http_exchange import Exchange, Handler, Request, Response, take_whole
from motehub.model import MICROSECONDS, Scope
from motehub.web import influx, readings
from motehub.web.front import HttpFront
from motehub.web.influx import WriteHandler
from motehub.web.intake import Allowance, Intake
from motehub.web.readings import ReadingsHandler

KEY = "the-key-of-the-writer"
BODIES = {influx.PATHS[0]: b"t,device=a value=1", readings.PATH: b'{"metric":"t","value":1}'}


def handlers(hub: Hub) -> dict[str, Handler]:
    """Return the handlers whose senders show a token, by path."""

    def name_of(identity: str) -> str | None:
        device = hub.registry.by_identity(identity)
        return device.name if device is not None else None

    return {
        influx.PATHS[0]: WriteHandler(hub.tokens, hub.registry, name_of, 10**6),
        readings.PATH: ReadingsHandler(hub.tokens, hub.registry, name_of, 10**6),
    }


def head(path: str, secret: str = KEY) -> Request:
    headers = {b"authorization": b"Bearer " + secret.encode()}
    return Request("POST", path, b"", headers, b"", "192.0.2.1")


@pytest.mark.parametrize("path", BODIES)
async def test_a_head_is_good_until_the_tokens_change(path: str, tmp_path: Path) -> None:
    """After a token is made, revoked or bound otherwise the head has to be looked at again."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await hub.create_token("writer", [Scope.WRITE], ["a"], secret=KEY)
        handler, body = handlers(hub)[path], BODIES[path]
        take = handler.prepare(head(path), START)
        assert not isinstance(take, Response)
        for _ in range(2):
            exchange = take(body, START)
            assert isinstance(exchange, Exchange)
            await hub.accept(exchange.deliveries)
        await hub.rename_device("a", "attic")
        assert take(body, START) is None
        take = handler.prepare(head(path), START)
        assert not isinstance(take, Response)
        assert isinstance(take(body, START), Exchange)
        await hub.revoke_token("writer")
        assert take(body, START) is None
        refused = handler.prepare(head(path), START)
        assert isinstance(refused, Response)
        assert refused.status == 401


@pytest.mark.parametrize("path", BODIES)
async def test_a_head_is_good_until_its_token_expires(path: str, tmp_path: Path) -> None:
    """To the microsecond, as when it is looked at in each request."""
    end = START + 60 * MICROSECONDS
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await hub.create_token("writer", [Scope.WRITE], secret=KEY, expires=end)
        take = handlers(hub)[path].prepare(head(path), START)
        assert not isinstance(take, Response)
        assert take(BODIES[path], end - 1) is not None
        assert take(BODIES[path], end) is None


@pytest.mark.parametrize("path", BODIES)
async def test_a_revoked_token_ends_a_connection_that_is_kept(path: str, tmp_path: Path) -> None:
    """The same request again on the same connection is refused from then on."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await hub.create_token("writer", [Scope.WRITE], ["a"], secret=KEY)
        front = HttpFront("192.0.2.1", Intake(hub, handlers(hub), Allowance(10**6)))
        body = BODIES[path]
        lines = f"POST {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY}\r\n"
        request = f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
        for status in (b"HTTP/1.1 20", b"HTTP/1.1 20", b"HTTP/1.1 401"):
            if status.endswith(b"401"):
                await hub.revoke_token("writer")
            turn = front.feed(request, START)
            assert turn is not None
            assert turn.answer is not None
            receipts = await hub.accept(turn.deliveries)
            assert turn.answer(receipts).startswith(status)


async def test_a_whole_request_is_taken_even_if_the_tokens_just_changed(tmp_path: Path) -> None:
    """What has been prepared and does not hold any more is prepared once again."""
    path = readings.PATH
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await hub.create_token("writer", [Scope.WRITE], ["a"], secret=KEY)
        handler = handlers(hub)[path]
        prepare = handler.prepare

        def prepare_late(request: Request, now: int) -> object:
            take = prepare(request, now)
            handler.prepare = prepare  # type: ignore[method-assign]
            hub.tokens.edition += 1
            return take

        handler.prepare = prepare_late  # type: ignore[method-assign, assignment]
        request = Request("POST", path, b"", head(path).headers, BODIES[path], "192.0.2.1")
        assert isinstance(take_whole(handler, request, START), Exchange)
