"""Which connections of the web port go on as something else than HTTP."""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Callable
from typing import Any

import pytest

from motehub.web.upgrades import Upgrades


class Taker:
    """A successor that notes what it is given."""

    def __init__(self, name: str, taken: list[str]) -> None:
        self._name = name
        self._taken = taken

    def begin(self, transport: Transport, data: bytes) -> None:
        self._taken.append(self._name)

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
    unused: Any = None

    def of(name: str) -> Callable[[Callable[[], None]], Taker]:
        return lambda _: Taker(name, taken)

    upgrades = Upgrades({"/mqtt": of("mqtt"), "/app/": of("pusher")}, of("others"))
    successor = upgrades.succeed(lambda: None)
    successor.begin(unused, request_line)
    successor.finish()
    assert taken == [taker, f"{taker} finished"]
