"""The client of Pusher Channels on real sockets, with a server that the test plays."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.harness import PATIENCE
from tests.pusher_server import CHANNEL, PusherStand, client_of
from tests.units_stand import HOST, Peer, free_port, units_hub, until, updatable

from motehub.errors import ConfigurationError
from motehub.protocols.pusher.requests import Answer, State
from motehub.simulate.units import Lamp
from motehub.transports._pusher_client_memory import KEPT, Memory
from motehub.transports._pusher_client_settings import Settings
from motehub.transports.pusher_client import uri_of

API = {"api_url": "https://dashboard.example", "api_token": "t"}


async def test_it_says_who_it_is_and_what_it_wants(tmp_path: Path) -> None:
    """The key and the version in the address, the form and the token for the dashboard."""
    async with (
        PusherStand() as server,
        units_hub(tmp_path) as stand,
        client_of(stand, server.settings(protocol=5, auth="/other/auth")) as client,
    ):
        session = await server.session()
        asked = await session.welcome()
        assert asked["event"] == "pusher:subscribe"
        assert asked["data"] == {"channel": CHANNEL, "auth": "app-key:signed"}
        form = {"socket_id": ["12.34"], "channel_name": [CHANNEL], "answers": ["1"]}
        assert server.forms == [form]
        assert server.tokens == ["POST /path/other/auth HTTP/1.1 bearer the token"]
        assert server.paths[0].startswith("/app/app-key?protocol=5&client=motehub&version=")
        assert client.counters["subscribed"] == 0
        await session.say("pusher_internal:subscription_succeeded", {}, CHANNEL)
        await until(lambda: client.counters["subscribed"] == 1, "it is subscribed")


async def test_requests_keep_their_order_and_come_once(tmp_path: Path) -> None:
    """A hundred at once, each twice, are carried out in their order; and after a restart not."""
    async with PusherStand() as server, Lamp() as lamp:
        address = f"{HOST}:{lamp.port}"
        for start in range(2):
            async with units_hub(tmp_path, updatable(lamp.port)) as stand:
                async with client_of(stand, server.settings()) as client:
                    session = await server.session()
                    await session.subscribe()
                    for number in range(50):
                        for _ in range(2):
                            await session.ask(ip=address, payload=f"c{number}", id=f"{number:04x}")
                    counters = client.counters
                    while counters["requests_repeated"] < (50, 100)[start]:
                        await asyncio.sleep(0.005)
                        counters = client.counters
                await asyncio.wait_for(lamp.told(50), PATIENCE)
                # A hub that stops in the middle of a command says it once more at its next start.
                under_way = stand.hub.commands.book.all_under_way
                while under_way():
                    await asyncio.sleep(0.005)
        assert lamp.payloads == [f"c{number}" for number in range(50)]


async def test_what_has_come_is_durable_when_it_stops(tmp_path: Path) -> None:
    """A hub that stops with requests on its hands gives them to units at its next start."""
    port = free_port()
    async with (
        PusherStand() as server,
        units_hub(tmp_path, updatable(port)) as stand,
        client_of(stand, server.settings()) as client,
    ):
        session = await server.session()
        await session.subscribe()
        for number in range(20):
            await session.ask(ip=f"{HOST}:{port}", payload=f"c{number}", id=str(number))
        await until(lambda: client.counters["requests"] == 20, "all have come")
    async with Lamp(HOST, port) as lamp, units_hub(tmp_path, updatable(port)):
        await asyncio.wait_for(lamp.told(20), PATIENCE)
        assert lamp.payloads == [f"c{number}" for number in range(20)]


async def test_too_many_for_one_unit(tmp_path: Path) -> None:
    """A unit that hangs has a hundred waiting; further ones are refused and counted."""
    async with (
        PusherStand() as server,
        Peer() as peer,
        units_hub(tmp_path, updatable(peer.port)) as stand,
        client_of(stand, server.settings()) as client,
    ):
        session = await server.session()
        await session.subscribe()
        for number in range(120):
            await session.ask(ip=f"{HOST}:{peer.port}", payload="red", id=str(number))
        await until(lambda: client.counters["requests_refused"] == 20, "20 are refused")
        await until(lambda: client.counters["requests_taken"] == 100, "the others are durable")
        # What was refused has not been carried out: it may come again.
        await session.ask(ip=f"{HOST}:{peer.port}", payload="red", id="119")
        await until(lambda: client.counters["requests_refused"] == 21, "again")


@pytest.mark.parametrize("code", [4000, 4001, 4003, 4004, 4005, 4006, 4007, 4008, 4009, 4099])
async def test_it_never_comes_back_unchanged(tmp_path: Path, code: int) -> None:
    """4000 to 4099 end it, and the status says with which."""
    async with PusherStand() as server, units_hub(tmp_path) as stand:
        async with client_of(stand, server.settings()) as client:
            session = await server.session()
            await session.connection.close(code, "no")
            await until(lambda: client.counters["given_up"] == code, "it has given up")
            assert client.counters["connected"] == 0
            assert client.counters["connections"] == 1
        assert server.is_alone


async def test_it_comes_back_at_once(tmp_path: Path) -> None:
    """4200: at once, subscribed anew; and what the server says before it closes counts too."""
    async with (
        PusherStand() as server,
        units_hub(tmp_path) as stand,
        client_of(stand, server.settings()) as client,
    ):
        session = await server.session()
        await session.subscribe()
        await session.connection.close(4200, "come back")
        session = await server.session()
        await session.subscribe()
        await until(lambda: client.counters["subscribed"] == 1, "it is subscribed")
        error = '{"event":"pusher:error","data":{"code":4001,"message":"no such app"}}'
        await session.connection.send(error)
        await session.connection.close()
        await until(lambda: client.counters["given_up"] == 4001, "it has given up")


async def test_it_comes_back_after_a_second(tmp_path: Path) -> None:
    """4100: not before a second has passed."""
    async with (
        PusherStand() as server,
        units_hub(tmp_path) as stand,
        client_of(stand, server.settings()),
    ):
        session = await server.session()
        began = time.monotonic()
        await session.connection.close(4100, "full")
        await server.session()
        assert time.monotonic() - began >= 1


async def test_messages_that_make_no_sense(tmp_path: Path) -> None:
    """They are counted, and the connection goes on."""
    async with (
        PusherStand() as server,
        Lamp() as lamp,
        units_hub(tmp_path, updatable(lamp.port)) as stand,
        client_of(stand, server.settings()) as client,
    ):
        session = await server.session()
        await session.subscribe()
        for message in ("", "{", "[]", '{"event":5}', b"\xff\x00"):
            await session.connection.send(message)
        await session.ask(ip=f"{HOST}:{lamp.port}", payload="red")
        await asyncio.wait_for(lamp.told(1), PATIENCE)
        assert client.counters["messages_unreadable"] == 5
        assert client.counters["connections"] == 1


async def test_a_message_that_is_too_long(tmp_path: Path) -> None:
    """It ends the connection before it is in memory, and the client comes back."""
    async with (
        PusherStand() as server,
        units_hub(tmp_path) as stand,
        client_of(stand, server.settings()),
    ):
        session = await server.session()
        await session.connection.send("x" * 70_000)
        await session.connection.wait_closed()
        assert session.connection.close_code == 1009
        await server.session()


async def test_a_silent_server_is_asked(tmp_path: Path) -> None:
    """After its activity time-out comes a ping."""
    async with (
        PusherStand() as server,
        units_hub(tmp_path) as stand,
        client_of(stand, server.settings()),
    ):
        session = await server.session()
        await session.subscribe(silence=1)
        assert (await session.hear())["event"] == "pusher:ping"
        await session.say("pusher:pong", {})
        assert (await session.hear())["event"] == "pusher:ping"


async def test_a_dashboard_that_does_not_sign(tmp_path: Path) -> None:
    """The connection is given up and made again, until it signs."""
    async with PusherStand() as server, units_hub(tmp_path) as stand:
        server.status = 500
        async with client_of(stand, server.settings()) as client:
            session = await server.session()
            await session.say("pusher:connection_established", {"socket_id": "1.2"})
            await session.connection.wait_closed()
            assert client.counters["subscriptions_refused"] == 1
            server.status = 200
            session = await server.session()
            await session.subscribe()
            await until(lambda: client.counters["subscribed"] == 1, "it is subscribed")


async def test_the_token_of_the_file_is_read_again(tmp_path: Path) -> None:
    """A token that is exchanged in its file is used at the next connection."""
    file = tmp_path / "token"
    file.write_text("first\n")
    async with PusherStand() as server, units_hub(tmp_path) as stand:
        settings = server.settings(api_token="", api_token_file=str(file))
        async with client_of(stand, settings):
            session = await server.session()
            await session.subscribe()
            file.write_text("second\n")
            await session.connection.close(4200)
            await (await server.session()).welcome()
    assert [one.rsplit(" ", 1)[1] for one in server.tokens] == ["first", "second"]


@pytest.mark.parametrize("content", [None, b"\xff", b"two\nlines", "é".encode()])
async def test_a_file_that_holds_no_token(tmp_path: Path, content: bytes | None) -> None:
    """It is named at the start; what it holds is not repeated."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    async with PusherStand() as server, units_hub(tmp_path) as stand:
        settings = server.settings(api_token="", api_token_file=str(file))
        with pytest.raises(ConfigurationError, match="api_token_file"):
            async with client_of(stand, settings):
                pass


async def test_without_a_key_nobody_is_connected_to(tmp_path: Path) -> None:
    """A base unit may only send readings."""
    async with PusherStand() as server, units_hub(tmp_path) as stand:
        async with client_of(stand, server.settings(key="")) as client:
            assert set(client.counters.values()) == {0}
        assert server.is_alone


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, "wss://ws-eu.pusher.com:443/app/k?protocol=7&"),
        ({"cluster": "mt1", "protocol": 5}, "wss://ws-mt1.pusher.com:443/app/k?protocol=5&"),
        ({"tls": False}, "ws://ws-eu.pusher.com:80/app/k?"),
        ({"host": "hub.example", "port": 8080}, "wss://hub.example:8080/app/k?"),
        ({"host": "::1", "tls": False, "key": "a/b?"}, "ws://[::1]:80/app/a%2Fb%3F?"),
    ],
)
def test_where_it_connects_to(keys: dict[str, object], wanted: str) -> None:
    """A cluster of the hosted service, or any host, with TLS unless told otherwise."""
    assert uri_of(Settings(**(API | {"key": "k"} | keys))).startswith(wanted)  # type: ignore[arg-type]


def test_the_memory_of_requests_is_bounded() -> None:
    """The oldest that are over are forgotten, in memory and in the journal, and over restarts."""
    state: dict[str, bytes] = {"pusher_client/request/early": b"1"}
    memory = Memory(state)
    for number in range(KEPT + 10):
        for key, value in memory.add(str(number), f"c{number}").items():
            if value is None:
                del state[key]
            else:
                state[key] = value
        if number >= 5:
            memory.settle(Answer(str(number), State.SENT))
    assert len(state) == KEPT
    for one in (memory, Memory(state)):
        assert one.knows("early")
        assert one.knows("4")
        assert not one.knows("15")
        assert one.knows("16")
        assert one.knows(str(KEPT + 9))
    assert memory.answer_to("4") is None
    assert memory.answer_to("16") == Answer("16", State.SENT)
    assert list(Memory(state))[:3] == [("early", ""), ("0", "c0"), ("1", "c1")]
    memory.forget("16")
    assert not memory.knows("16")
    assert memory.answer_to("16") is None
