"""The fast way in: what it understands, what it hands over, and its bounds."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.contracts import Note
from motehub.conversations import Turn
from motehub.http_exchange import Exchange, Handler, Request, Response, Take, plain
from motehub.model import MICROSECONDS, Delivery, Receipt, Source
from motehub.web.front import HEAD_BYTES, LONGEST_BODY, SMALL_BODY, HttpFront
from motehub.web.intake import Allowance, Intake

NOW = 1_700_000_000 * MICROSECONDS
LIMIT = 100_000


class FakeHub:
    """Only tells whether it takes anything."""

    held_back: str | None = None

    async def interrupt(self, dialect: str) -> None:
        raise NotImplementedError

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        raise AssertionError("the front does no I/O")


class Echo:
    """Delivers the body, and answers with it and the count that the receipt has."""

    body_limit = LIMIT

    def __init__(self) -> None:
        self.seen: list[Request] = []

    def check(self, request: Request, now: int) -> Response | None:
        return plain(401, "who?") if request.header(b"x-stranger") else None

    def prepare(self, request: Request, now: int) -> Take:
        return lambda body, now: self(msgspec.structs.replace(request, body=body), now)

    def __call__(self, request: Request, now: int) -> Exchange:
        self.seen.append(request)
        source = Source("test", "test:1", request.body.decode("latin-1"), request.peer)

        def answer(receipts: Sequence[Receipt]) -> Response:
            (receipt,) = receipts
            return Response(200, (), b"%d %b" % (receipt.taken, request.body))

        return Exchange([Delivery(source, [])], answer)


class Refuse(Echo):
    """Answers at once."""

    def __call__(self, request: Request, now: int) -> Response:  # type: ignore[override]
        return Response(204) if request.path == "/nothing" else plain(403, "no")


def front(hub: FakeHub | None = None) -> HttpFront:
    """Return a front with a path that is stored, and two that are answered at once."""
    handlers: dict[str, Handler] = {"/in": Echo(), "/no": Refuse(), "/nothing": Refuse()}
    return HttpFront("192.0.2.1", Intake(hub or FakeHub(), handlers, Allowance(LIMIT)))


def post(body: bytes, path: str = "/in", *headers: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"Host: hub", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def said(turns: Sequence[Turn | None]) -> list[str]:
    """Return the bodies that were delivered."""
    return [one.source.suggested_name for turn in turns if turn for one in turn.deliveries]


def answers(turns: Sequence[Turn | None]) -> bytes:
    """Return everything that is answered, when each delivery is taken."""
    written = b""
    for turn in turns:
        if turn and turn.answer:
            written += turn.answer([Receipt(7, 0) for _ in turn.deliveries])
    return written


STREAM = post(b"one") + post(b"", "/in") + post(b"x", "/no") + post(b"three" * 50)


def check_stream(turns: Sequence[Turn | None]) -> None:
    assert said(turns) == ["one", "", "three" * 50]
    written = answers(turns)
    assert written.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert written.count(b"HTTP/1.1 403 Forbidden\r\n") == 1
    first, second = written.index(b"7 one"), written.index(b"403 Forbidden")
    assert first < second < written.index(b"7 threethree")


def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests in one packet are delivered together and answered in their order."""
    turns = [front().feed(STREAM, NOW)]
    check_stream(turns)


@pytest.mark.parametrize("split", range(1, len(STREAM), 7))
def test_requests_may_be_cut_anywhere(split: int) -> None:
    """Where packets end means nothing."""
    one = front()
    check_stream([one.feed(STREAM[:split], NOW), one.feed(STREAM[split:], NOW)])


def test_requests_may_come_byte_by_byte() -> None:
    """The slowest client is understood too, and nothing is left behind."""
    one = front()
    check_stream([one.feed(STREAM[i : i + 1], NOW) for i in range(len(STREAM))])
    assert one.deadline is None


FOREIGN = {
    "another method": b"GET /in HTTP/1.1\r\nHost: h\r\n\r\n",
    "another path": post(b"a", "/elsewhere"),
    "an older version": post(b"a").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a chunked body": b"POST /in HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
    "no length": b"POST /in HTTP/1.1\r\nHost: h\r\n\r\n",
    "no host": b"POST /in HTTP/1.1\r\nContent-Length: 1\r\n\r\na",
    "two lengths": post(b"a", "/in", b"Content-Length: 5"),
    "a length that is none": post(b"a").replace(b"Length: 1", b"Length: +1"),
    "a body beyond the limit": post(b"a" * (LIMIT + 1)),
    "a body that takes long to decode": post(b"a" * (LONGEST_BODY + 1)),
    "a folded header": post(b"a", "/in", b"X: 1\r\n folded"),
    "space before the colon": post(b"a", "/in", b"X : 1"),
    "a bare line feed": post(b"a", "/in", b"X: 1\nY: 2"),
    "a control character": post(b"a", "/in", b"X: \x00"),
    "a key": post(b"a", "/in", b"Idempotency-Key: 1"),
    "a packed body": post(b"a", "/in", b"Content-Encoding: gzip"),
    "an option of the connection": post(b"a", "/in", b"Connection: keep-alive, odd"),
    "a question before the body": post(b"a", "/in", b"Expect: 100-continue"),
    "the last request": post(b"a", "/in", b"Connection: close"),
    "garbage": b"\x16\x03\x01 something that is TLS, perhaps",
    "a head without end": b"POST /in HTTP/1.1\r\nX: " + b"a" * (HEAD_BYTES + 1),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("before", [b"", post(b"one")], ids=["alone", "after another"])
def test_what_is_not_understood_is_handed_over_whole(foreign: bytes, before: bytes) -> None:
    """Every byte from the beginning of such a request on goes to the successor."""
    turn = front().feed(before + foreign, NOW)
    assert turn is not None
    assert turn.hand_over == foreign
    assert said([turn]) == (["one"] if before else [])


def test_bytes_after_such_a_head_are_handed_over_too() -> None:
    """What the peer has sent meanwhile is not lost when the head comes in pieces."""
    one = front()
    assert one.feed(b"POST /in HTTP/1.1\r\nExpect: 100-", NOW) is None
    turn = one.feed(b"continue\r\nHost: h\r\n\r\nab", NOW)
    assert turn is not None
    assert turn.hand_over == b"POST /in HTTP/1.1\r\nExpect: 100-continue\r\nHost: h\r\n\r\nab"


@given(st.binary(max_size=300))
def test_garbage_raises_nothing(garbage: bytes) -> None:
    """Whatever arrives, it is waited for, answered or handed over."""
    one = front()
    one.feed(b"POST /in HTTP/1.1\r\nHost: h\r\n", NOW)
    turn = one.feed(garbage, NOW)
    one.eof(NOW)
    assert turn is None or turn.hand_over is not None or turn.answer is not None


def test_headers_reach_the_handler() -> None:
    """Names are lower-case, values without the white space around them, the path decoded."""
    echo = Echo()
    intake = Intake(FakeHub(), {"/a b": echo}, Allowance(LIMIT))
    HttpFront("192.0.2.1", intake).feed(
        post(b"x", "/a%20b?db=1&x=%20", b"X-Odd:  two words \t", b"X-Empty:"), NOW
    )
    (request,) = echo.seen
    assert (request.path, request.query) == ("/a b", b"db=1&x=%20")
    assert (request.header(b"x-odd"), request.header(b"x-empty")) == (b"two words", b"")
    assert request.peer == "192.0.2.1"


def test_204_has_no_length() -> None:
    """RFC 9110 § 8.6."""
    assert b"content-length" not in answers([front().feed(post(b"", "/nothing"), NOW)])


def test_an_offer_to_upgrade_is_ignored() -> None:
    """As curl --http2 makes it; the request is a request all the same."""
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAM")
    assert said([front().feed(post(b"one", "/in", *offer), NOW)]) == ["one"]


def test_odd_heads_cost_little() -> None:
    """No head takes time that grows faster than its length: the event loop waits for it."""
    began = time.process_time()
    for filler in (b" ", b"\t", b" \t", b":", b"a", b"\xff", b"%"):
        head = b"POST /in HTTP/1.1\r\nX:" + filler * (HEAD_BYTES // 2 // len(filler))
        for end in (b"\x01\r\n\r\n", b"\r\n\r\n"):
            front().feed(head + end, NOW)
    # It was an hour; this is no measurement.
    assert time.process_time() - began < 10


def test_a_full_journal_is_said_at_once() -> None:
    """503 with Retry-After, and nothing is delivered."""
    hub = FakeHub()
    hub.held_back = "The journal is full."
    turn = front(hub).feed(post(b"one"), NOW)
    assert said([turn]) == []
    assert b"503 Service Unavailable" in answers([turn])
    assert b"\r\nretry-after: 5\r\n" in answers([turn])


def test_a_stranger_is_not_waited_for() -> None:
    """Whose long body would not be taken is answered before it is here; a short one may come."""
    stranger = b"X-Stranger: 1"
    one = front()
    turn = one.feed(post(b"a" * (SMALL_BODY + 1), "/in", stranger)[:-1], NOW)
    assert turn is not None
    assert turn.end is not None
    assert b"401 Unauthorized" in answers([turn])
    assert one.deadline is None
    assert front().feed(post(b"a" * SMALL_BODY, "/in", stranger)[:-1], NOW) is None
    assert front().feed(post(b"a" * (SMALL_BODY + 1))[:-1], NOW) is None


def test_a_request_that_does_not_end_is_given_up() -> None:
    """Its time begins with its first byte and is longer for a long body; then 408."""
    one = front()
    one.feed(b"POST /in", NOW)
    deadline = one.deadline
    assert deadline == NOW + 30 * MICROSECONDS
    one.feed(b" HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\na", NOW + 1)
    assert one.deadline == NOW + 40 * MICROSECONDS
    assert one.timeout(NOW + 39 * MICROSECONDS) is None
    turn = one.timeout(NOW + 40 * MICROSECONDS)
    assert turn is not None
    assert turn.end is not None
    assert b"408 Request Timeout" in answers([turn])


def test_the_time_of_a_request_begins_anew_with_the_next() -> None:
    """A busy connection is not given up because its first request was long ago."""
    one = front()
    one.feed(post(b"one")[:-1], NOW)
    later = NOW + 20 * MICROSECONDS
    one.feed(b"e" + post(b"two")[:10], later)
    assert one.deadline == later + 30 * MICROSECONDS


def test_a_request_like_the_last_is_taken_as_it_is() -> None:
    """With the same head, whole and alone; anything else takes the longer way to the same end."""
    one = front()
    requests = [post(b"one"), post(b"two"), post(b"six")]
    assert said([one.feed(request, NOW) for request in requests]) == ["one", "two", "six"]
    assert said([one.feed(post(b"ten")[:-1], NOW), one.feed(b"n" + post(b"abc"), NOW)]) == [
        "ten",
        "abc",
    ]
    broken = post(b"abc").replace(b"\r\n\r\n", b"\r\nX\r")
    assert len(broken) == len(post(b"abc"))
    assert said([one.feed(broken, NOW)]) == []


class Forgetful(Echo):
    """Knows the sender of a head for two requests."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared = 0

    def prepare(self, request: Request, now: int) -> Take:
        self.prepared += 1
        left = [None, super().prepare(request, now), super().prepare(request, now)]

        def take(body: bytes, now: int) -> Exchange | Response | None:
            one = left.pop()
            return one(body, now) if one is not None else None

        return take


def test_what_a_proxy_upgrades_is_handed_over_with_its_head() -> None:
    """Only a whole head says whose connection it is; from anybody else nothing is waited for."""
    head = b"GET /mqtt HTTP/1.1\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
    intake = Intake(FakeHub(), {}, Allowance(LIMIT))
    for is_proxy in (True, False):
        one = HttpFront("192.0.2.1", intake, (b"GET /mqtt",), is_proxy=is_proxy)
        turns = [one.feed(head[i : i + 1], NOW) for i in range(len(head))]
        rests = [turn.hand_over for turn in turns if turn is not None]
        assert rests[0] == (head if is_proxy else b"GET /mqtt ")


def test_a_head_is_looked_at_once() -> None:
    """As long as it stays the same, and the handler does not ask to see it again."""
    echo = Forgetful()
    one = HttpFront("192.0.2.1", Intake(FakeHub(), {"/in": echo}, Allowance(LIMIT)))
    bodies = [b"one", b"two", b"six", b"ten", b"seven"]
    counts = []
    for body in bodies:
        assert said([one.feed(post(body), NOW)]) == [body.decode()]
        counts.append(echo.prepared)
    # The last head has another length.
    assert counts == [1, 1, 2, 2, 3]
