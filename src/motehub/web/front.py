"""The fast way in: plain POST requests to ingest paths, decoded here; all else is handed over.

Only the commonest form of HTTP/1.1 (RFC 9112) is understood: a request line and headers without
anything rare, a body of known length. Whatever else a connection says goes, from the first
such byte on, to the ASGI server, whose parser knows all of HTTP and refuses what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

import msgspec

from motehub.conversations import Turn
from motehub.http_exchange import Exchange, Handler, Request, Response, Take, plain
from motehub.model import MICROSECONDS, Delivery, Receipt
from motehub.web.intake import Intake, encode, too_busy, unless_guessed

HEAD_BYTES: Final = 16_384
"""Longest request line with headers."""

LONGEST_BODY: Final = 65_536
"""Longest body that is decoded here, while everything else waits; others are handed over."""

SMALL_BODY: Final = 4_096
"""A body up to this length may arrive in parts before it is looked at who sends it."""

_SECONDS: Final = 30
_BYTES_PER_SECOND: Final = 2_000

_REQUEST_LINE: Final = re.compile(rb"POST (/[!-~]*) HTTP/1\.1")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_RARE: Final = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"idempotency-key",
        b"te",
        b"trailer",
        b"transfer-encoding",
    }
)
# An offer to upgrade may be ignored (RFC 9110 § 7.8).
_STAYS: Final = frozenset({b"", b"keep-alive", b"upgrade", b"http2-settings"})
_LENGTH: Final = re.compile(rb"[0-9]{1,10}")


class _Head(msgspec.Struct, frozen=True):
    """A request line and headers that are understood."""

    path: str
    query: bytes
    headers: dict[bytes, bytes]
    length: int
    handler: Handler


class HttpFront:
    """The beginning of a connection, as a :class:`motehub.conversations.Conversation`.

    A long body is handed over too, to be decoded beside the event loop, or refused in due form.
    Requests that begin as one of ``upgrades`` are handed over once that can be told, and so are
    those which a peer that ``is_proxy`` has from somebody else.
    """

    def __init__(
        self,
        peer: str,
        intake: Intake,
        upgrades: Sequence[bytes] = (),
        *,
        is_proxy: bool = False,
    ) -> None:
        self._peer = peer
        self._is_proxy = is_proxy
        self._rare = _RARE | {b"x-forwarded-for"} if is_proxy else _RARE
        self._intake = intake
        self._upgrades = upgrades
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._raw_head = b""
        self._known_head: _Head | None = None
        self._checked: _Head | None = None
        # What takes the bodies behind a head that came before.
        self._prepared: tuple[_Head, Take] | None = None
        self._began: int | None = None

    @property
    def deadline(self) -> int | None:
        """When the request that has begun must be here whole."""
        if self._began is None:
            return None
        length = self._head.length if self._head is not None else 0
        return self._began + (_SECONDS + length // _BYTES_PER_SECOND) * MICROSECONDS

    def feed(self, data: bytes, now: int) -> Turn | None:
        """Return what the requests that ``data`` completes say."""
        if (same := self._take_like_the_last(data, now)) is not None:
            return self._turn([same])
        self._buffer += data
        answers: list[Exchange | Response] = []
        rest: bytes | None = None
        while rest is None and (self._buffer or self._head is not None):
            head = self._head or self._next_head()
            if isinstance(head, bytes):
                rest = head
            elif head is None:
                break
            elif len(self._buffer) < head.length:
                if denied := self._denies(head, now):
                    self._forget()
                    return self._turn([*answers, denied], end="its sender is not known")
                break
            else:
                answers.append(self._take(head, now))
        unfinished = self._head is not None or (self._buffer and rest is None)
        if not unfinished:
            self._began = None
        elif answers or self._began is None:
            self._began = now
        return self._turn(answers, rest) if answers or rest is not None else None

    def timeout(self, now: int) -> Turn | None:
        """Give up on a request that has not come whole in its time (RFC 9110 § 15.5.9)."""
        if self.deadline is None or now < self.deadline:
            return None
        self._forget()
        late = plain(408, "The request took too long.\n", (b"connection", b"close"))
        return self._turn([late], end="a request took too long")

    def eof(self, now: int) -> None:
        """Forget a request that was cut off: nothing of it was promised."""
        self._forget()

    def _next_head(self) -> _Head | bytes | None:
        """Return the next request's head, all that is to be handed over, or None to wait."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            # Already the first bytes say when it is nothing for us: a browser must not wait.
            start = bytes(self._buffer[:6])
            own = b"POST /".startswith(start) and len(self._buffer) <= HEAD_BYTES
            if own or any(one.startswith(self._buffer) for one in self._upgrades):
                return None
            # Who takes it wants to know whom the proxy speaks for.
            upgrades = self._is_proxy and self._buffer.startswith(tuple(self._upgrades))
            if upgrades and len(self._buffer) <= HEAD_BYTES:
                return None
            return bytes(self._buffer)
        raw = bytes(self._buffer[: end + 2])
        if raw != self._raw_head:
            self._known_head = self._parse(raw)
            self._raw_head = raw
        if self._known_head is None:
            return bytes(self._buffer)
        del self._buffer[: end + 4]
        self._head = self._known_head
        return self._head

    def _parse(self, raw: bytes) -> _Head | None:
        """Return the head in ``raw``, or None when it is nothing for us."""
        first, *lines = raw.split(b"\r\n")[:-1]
        line = _REQUEST_LINE.fullmatch(first)
        if line is None or len(raw) > HEAD_BYTES:
            return None
        headers: dict[bytes, bytes] = {}
        for one in lines:
            header = _HEADER.fullmatch(one)
            if header is None or (name := header[1].lower()) in headers:
                return None
            headers[name] = header[2].strip(b" \t")
        target, _, query = line[1].partition(b"?")
        path = unquote(target.decode("ascii"))
        handler = self._intake.handlers.get(path)
        length = headers.get(b"content-length", b"")
        if handler is None or b"host" not in headers or headers.keys() & self._rare:
            return None
        options = headers.get(b"connection", b"").lower().split(b",")
        if not _STAYS.issuperset([option.strip() for option in options]):
            return None
        longest = min(LONGEST_BODY, handler.body_limit)
        if not _LENGTH.fullmatch(length) or int(length) > longest:
            return None
        return _Head(path, query, headers, int(length), handler)

    def _denies(self, head: _Head, now: int) -> Response | None:
        """Return why a long body need not be waited for: its sender may not send any."""
        if head.length <= SMALL_BODY or head is self._checked:
            return None
        self._checked = head
        return head.handler.check(self._request(head), now)

    def _request(self, head: _Head) -> Request:
        return Request("POST", head.path, head.query, head.headers, b"", self._peer)

    def _take_like_the_last(self, data: bytes, now: int) -> Exchange | Response | None:
        """Take a request that arrives alone, whole and with the head of the one before.

        So do those of a board that keeps its connection; they need no buffer.
        """
        head, size = self._known_head, len(self._raw_head) + 2
        if head is None or self._buffer or self._head is not None:
            return None
        if len(data) != size + head.length or not data.startswith(self._raw_head):
            return None
        return self._handle(head, data[size:], now) if data[size - 2 : size] == b"\r\n" else None

    def _take(self, head: _Head, now: int) -> Exchange | Response:
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self._head = self._checked = None
        return self._handle(head, body, now)

    def _handle(self, head: _Head, body: bytes, now: int) -> Exchange | Response:
        if (reason := self._intake.hub.held_back) is not None:
            return too_busy(reason)
        if self._prepared is not None and self._prepared[0] is head:
            answer = self._prepared[1](body, now)
            if answer is not None:
                return answer
        self._prepared = None
        take = head.handler.prepare(self._request(head), now)
        if isinstance(take, Response):
            return take
        self._prepared = head, take
        answer = take(body, now)
        assert answer is not None, "the head has just been looked at"
        return answer

    def _forget(self) -> None:
        self._buffer.clear()
        self._began = None
        self._head = self._checked = None

    def _turn(
        self,
        answers: Sequence[Exchange | Response],
        rest: bytes | None = None,
        end: str | None = None,
    ) -> Turn:
        only = answers[0] if len(answers) == 1 and rest is None and end is None else None
        if isinstance(only, Exchange):
            return Turn(only.deliveries, lambda receipts: self._encode(only.answer(receipts)))
        deliveries: list[Delivery] = []
        for one in answers:
            if isinstance(one, Exchange):
                deliveries += one.deliveries

        def answer(receipts: Sequence[Receipt]) -> bytes:
            parts = []
            position = 0
            for one in answers:
                if isinstance(one, Exchange):
                    count = len(one.deliveries)
                    response = one.answer(receipts[position : position + count])
                    position += count
                else:
                    response = one
                parts.append(self._encode(response))
            return b"".join(parts)

        return Turn(deliveries, answer if answers else None, end, rest)

    def _encode(self, response: Response) -> bytes:
        return encode(unless_guessed(response, self._peer, self._intake.guesses))
