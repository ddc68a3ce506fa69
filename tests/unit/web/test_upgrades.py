"""Which connections of the web port go on as something else than HTTP."""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Callable
from typing import Any

import pytest

from motehub.web.proxies import Proxies, parse_proxies
from motehub.web.upgrades import Upgrades


class NoPeer:
    """A transport whose peer has no name, or has one."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    def get_extra_info(self, _: str) -> tuple[str, int] | None:
        return (self._address, 4711) if self._address is not None else None


class Taker:
    """A successor that notes what it is given."""

    def __init__(self, name: str, taken: list[str]) -> None:
        self._name = name
        self._taken = taken

    def begin(self, transport: Transport, data: bytes, address: str | None = None) -> None:
        self._taken.append(self._name if address is None else f"{self._name} for {address}")

    def finish(self) -> None:
        self._taken.append(f"{self._name} finished")


@pytest.mark.parametrize(
    ("request_line", "taker"),
    [
        (b"GET /mqtt HTTP/1.1\r\n", "mqtt"),
        (b"GET /mqtt?a=b HTTP/1.1\r\n", "mqtt"),
        (b"GET /mqttx HTTP/1.1\r\n", "others"),
        (b"GET /mqtt/x HTTP/1.1\r\n", "others"),
        (b"GET /app/key?protocol=7 HTTP/1.1\r\n", "pusher"),
        (b"GET /app/ HTTP/1.1\r\n", "pusher"),
        (b"GET /app/a/b HTTP/1.1\r\n", "pusher"),
        (b"GET /app HTTP/1.1\r\n", "others"),
        (b"GET /apps/1/channels HTTP/1.1\r\n", "others"),
        (b"POST /app/key HTTP/1.1\r\n", "others"),
        (b"", "others"),
    ],
)
def test_the_path_says_who_takes_a_connection(request_line: bytes, taker: str) -> None:
    """A whole path, or where it ends with a slash all that begin so; all else is HTTP."""
    taken: list[str] = []
    unused: Any = NoPeer()

    def of(name: str) -> Callable[[Callable[[], None]], Taker]:
        return lambda _: Taker(name, taken)

    upgrades = Upgrades({"/mqtt": of("mqtt"), "/app/": of("pusher")}, of("others"))
    successor = upgrades.succeed(lambda: None)
    successor.begin(unused, request_line)
    successor.finish()
    assert taken == [taker, f"{taker} finished"]


@pytest.mark.parametrize(
    ("peer", "taker"), [("::ffff:10.0.0.1", "for 203.0.113.9"), ("10.0.0.2", "")]
)
def test_a_proxy_says_whose_connection_it_is(peer: str, taker: str) -> None:
    """What a proxy of the owner's has noted is believed, and nothing else."""
    taken: list[str] = []
    transport: Any = NoPeer(peer)
    proxies = Proxies(parse_proxies(["10.0.0.1"]))
    ways = {"/mqtt": lambda _: Taker("mqtt", taken)}
    upgrades = Upgrades(ways, lambda _: Taker("others", taken), proxies)
    head = b"GET /mqtt HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    upgrades.succeed(lambda: None).begin(transport, head)
    assert taken == [f"mqtt {taker}".strip()]
