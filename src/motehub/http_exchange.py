"""A request and what answers it, apart from how HTTP's bytes travel.

Ingest handlers are functions from a whole request to an exchange: the same ones serve the fast
way (``web/front.py``) and the ASGI application (``web/asgi.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from motehub.contracts import Note
from motehub.model import Delivery, Receipt

PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
JSON: Final = (b"content-type", b"application/json")
PROBLEM: Final = (b"content-type", b"application/problem+json")
NO_GUESSING: Final = (b"x-content-type-options", b"nosniff")
"""No browser takes an answer for something else than it is said to be."""

RETRY_SECONDS: Final = 5
"""What ``Retry-After`` says (RFC 9110 § 10.2.3) when the journal takes nothing at the moment."""

Header = tuple[bytes, bytes]


class Request(msgspec.Struct, frozen=True):
    """A request with its whole body; names of ``headers`` are lower-case, ``peer`` an address.

    A header that came more than once has its values joined by commas (RFC 9110 § 5.3).
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    peer: str

    def header(self, name: bytes) -> bytes:
        """Return the value of a header, empty when it is not there."""
        return self.headers.get(name, b"")


class Response(msgspec.Struct, frozen=True):
    """Status, headers without ``content-length``, and body."""

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""


class Exchange(msgspec.Struct, frozen=True):
    """A request that the hub has to take first: ``answer`` gets a receipt for each delivery."""

    deliveries: list[Delivery]
    answer: Callable[[Sequence[Receipt]], Response]
    note: Note | None = None


Take = Callable[[bytes, int], Exchange | Response | None]
"""Takes the body of a request that arrived at a time (UTC µs), whose head has been looked at.

None says that the head has to be looked at again: what was found may not hold any more.
"""


class Handler(Protocol):
    """Takes the requests to an ingest path; times are UTC microseconds.

    ``body_limit`` is the longest body in bytes, packed and unpacked.
    """

    @property
    def body_limit(self) -> int:
        """The longest body in bytes."""
        ...

    def check(self, request: Request, now: int) -> Response | None:
        """Return why nothing is taken from this sender, as far as a request without body tells.

        It is asked before a long body is read.
        """
        ...

    def prepare(self, request: Request, now: int) -> Take | Response:
        """Return what takes the bodies of requests with this head, or why none is taken.

        A board says the same head in every request, so it is looked at once.
        """
        ...

    def __call__(self, request: Request, now: int) -> Exchange | Response:
        """Take a whole request."""
        ...


def take_whole(handler: Handler, request: Request, now: int) -> Exchange | Response:
    """Take a request whose head has just come too."""
    take = handler.prepare(request, now)
    if isinstance(take, Response):
        return take
    answer = take(request.body, now)
    # Only when the owner changes tokens in this moment, and this is not his thread.
    return answer if answer is not None else take_whole(handler, request, now)


def problem(status: int, title: str, detail: str, *headers: Header) -> Response:
    """Return a problem document (RFC 9457): what happened in general, and what to what here."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(status, (PROBLEM, NO_GUESSING, *headers), msgspec.json.encode(document))


def plain(status: int, text: str, *headers: Header) -> Response:
    """Return a line of text."""
    return Response(status, (PLAIN, *headers), text.encode())
