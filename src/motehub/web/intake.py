"""What both ways into the ingest handlers share: the paths, bounds, and answers as bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

from motehub.contracts import Acceptor
from motehub.guessing import Guesses
from motehub.http_exchange import RETRY_SECONDS, Handler, Header, Response, problem

_STATUS: Final = {
    one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus
}


class Allowance:
    """Bytes of bodies that may be on their way at a time, all connections together."""

    def __init__(self, total: int) -> None:
        self._free = total

    def take(self, size: int) -> bool:
        """Take room for ``size`` bytes, if there is so much."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        """Give room back."""
        self._free += size


class Intake(msgspec.Struct, frozen=True):
    """The ingest handlers by path, room for long bodies, and who has shown no good token."""

    hub: Acceptor
    handlers: Mapping[str, Handler]
    allowance: Allowance
    guesses: Guesses = msgspec.field(default_factory=Guesses)


class _Date:
    """The ``Date`` header (RFC 9110 § 6.6.1), made once a second."""

    _second = 0
    _text = b""

    def __call__(self) -> bytes:
        """Return the header's present value."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text


http_date: Final = _Date()
"""Returns the present value of the header ``Date``."""


def encode(response: Response) -> bytes:
    """Return the bytes of ``response`` in HTTP/1.1."""
    head, date, body = _head(response.status, response.headers), http_date(), response.body
    if response.status == HTTPStatus.NO_CONTENT:
        # RFC 9110 § 8.6: no length with 204.
        return b"%bdate: %b\r\n\r\n" % (head, date)
    return b"%bdate: %b\r\ncontent-length: %d\r\n\r\n%b" % (head, date, len(body), body)


@lru_cache(256)
def _head(status: int, headers: tuple[Header, ...]) -> bytes:
    """Return the status line and those headers that are the same in many answers."""
    return _STATUS[status] + b"".join([b"%b: %b\r\n" % header for header in headers])


def too_busy(reason: str) -> Response:
    """Return 503 (RFC 9110 § 15.6.4): nothing was taken; the same may be sent again."""
    retry = (b"retry-after", str(RETRY_SECONDS).encode())
    return problem(503, "Not now", f"{reason.rstrip('.')}. Send it again later.", retry)


def unless_guessed(response: Response, peer: str, guesses: Guesses) -> Response:
    """Return ``response``, or 429 in place of a 401 (RFC 6585 § 4) when ``peer`` has many."""
    if response.status != HTTPStatus.UNAUTHORIZED or not (wait := guesses.failed(peer)):
        return response
    detail = "Too many requests without a good token come from your address. Wait a moment."
    retry = (b"retry-after", str(math.ceil(wait)).encode())
    return problem(HTTPStatus.TOO_MANY_REQUESTS, "Too many attempts", detail, retry)
