"""WebSocket, with the library's own client side as the peer: as MQTT has it, and with texts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from motehub.websocket_frames import ANY_ORIGIN, HEAD_BYTES, WebSocket, text_frame

LIMIT = 1_000


class Browser:
    """A client, and what it has been told; ``sent`` is what it has to say."""

    def __init__(
        self,
        subprotocols: Sequence[str] = ("mqtt",),
        origin: str | None = None,
        uri: str = "ws://hub:9001/mqtt",
    ) -> None:
        self.protocol = ClientProtocol(
            parse_uri(uri),
            origin=Origin(origin) if origin is not None else None,
            subprotocols=[Subprotocol(one) for one in subprotocols] or None,
            max_size=None,
        )
        self.protocol.send_request(self.protocol.connect())
        self.heard = b""

    def take(self) -> bytes:
        """Return what it writes now."""
        return b"".join(self.protocol.data_to_send())

    def hear(self, data: bytes) -> None:
        """Read what the server writes."""
        if data:
            self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self.heard += bytes(event.data)

    @property
    def close_code(self) -> int | None:
        """The code with which the server has closed."""
        return self.protocol.close_rcvd.code if self.protocol.close_rcvd else None


def connected(socket: WebSocket | None = None) -> tuple[WebSocket, Browser]:
    """Return both sides after the handshake."""
    socket, browser = socket or WebSocket(LIMIT), Browser()
    assert socket.receive(browser.take()) == b""
    browser.hear(socket.take_output())
    assert socket.is_open
    assert browser.protocol.state is State.OPEN
    assert browser.protocol.subprotocol == "mqtt"
    return socket, browser


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut ``data`` at these places."""
    places = [0, *sorted(cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def conversation() -> tuple[bytes, bytes]:
    """Return a client's whole stream without masks that differ, and the MQTT bytes in it."""
    browser = Browser()
    stream = browser.take()
    # Frames are cut out of a connection that is open already: the client waits for the answer.
    browser.protocol.receive_data(_answer_to(stream))
    browser.protocol.send_binary(b"one")
    browser.protocol.send_ping(b"are you there")
    browser.protocol.send_binary(b"")
    browser.protocol.send_binary(b"tw", fin=False)
    browser.protocol.send_ping(b"")
    browser.protocol.send_continuation(b"o" * 300, fin=False)
    browser.protocol.send_continuation(b"", fin=True)
    browser.protocol.send_binary(b"three")
    browser.protocol.send_close(1000)
    return stream + browser.take(), b"one" + b"tw" + b"o" * 300 + b"three"


def _answer_to(request: bytes) -> bytes:
    socket = WebSocket(LIMIT)
    socket.receive(request)
    return socket.take_output()


STREAM, SAID = conversation()


def hear_all(parts: Iterable[bytes]) -> tuple[bytes, bytes, bool]:
    """Return the MQTT bytes of a stream, what is answered, and whether it is over."""
    socket = WebSocket(LIMIT)
    said = answered = b""
    for part in parts:
        said += socket.receive(part)
        answered += socket.take_output()
    return said, answered, socket.is_over


def without_date(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\r\n") if not line.startswith(b"Date")]


def test_every_split_of_a_stream_says_the_same() -> None:
    """In two parts, cut anywhere, and byte by byte; pings are answered in between."""
    whole = hear_all([STREAM])
    assert whole[0] == SAID
    assert whole[2]
    assert b"\x8a\x0dare you there" in whole[1]
    for cut in range(1, len(STREAM)):
        said, answered, over = hear_all(pieces(STREAM, [cut]))
        assert (said, over) == (SAID, True), cut
        assert without_date(answered) == without_date(whole[1]), cut
    assert hear_all(bytes([one]) for one in STREAM)[0] == SAID


def test_every_prefix_of_a_stream_waits_for_the_rest() -> None:
    """A stream that was cut off is no fault, and nothing is said before it is here whole."""
    for end in range(len(STREAM)):
        said, _, over = hear_all([STREAM[:end]])
        assert SAID.startswith(said)
        assert not over


@given(st.lists(st.binary(max_size=200)), st.lists(st.integers(0, 2_000), max_size=8))
def test_both_sides_hear_each_other(messages: list[bytes], cuts: list[int]) -> None:
    """Whatever is sent in either direction arrives, however it is cut."""
    socket, browser = connected()
    for message in messages:
        browser.protocol.send_binary(message)
        socket.send(message)
    data = browser.take()
    heard = b"".join(
        socket.receive(part) for part in pieces(data, [cut for cut in cuts if cut < len(data)])
    )
    browser.hear(socket.take_output())
    assert heard == browser.heard == b"".join(messages)


@pytest.mark.parametrize("offered", [(), ("mqttv3.1",), ("chat", "MQTT")])
def test_a_client_that_does_not_offer_mqtt_is_refused(offered: tuple[str, ...]) -> None:
    """Without the subprotocol there is no WebSocket at all, and the answer says what is missing."""
    socket, browser = WebSocket(LIMIT), Browser(offered)
    socket.receive(browser.take())
    browser.hear(socket.take_output())
    assert socket.is_over
    assert "subprotocol" in socket.reason
    fault = browser.protocol.handshake_exc
    assert isinstance(fault, InvalidStatus)
    assert fault.response.status_code == 400
    assert socket.receive(b"anything") == b""


def test_mqtt_may_be_one_of_several_offers() -> None:
    """It is chosen, wherever it stands."""
    socket, browser = WebSocket(LIMIT), Browser(("mqttv3.1", "chat", "mqtt"))
    socket.receive(browser.take())
    browser.hear(socket.take_output())
    assert browser.protocol.subprotocol == "mqtt"


def test_text_ends_the_connection() -> None:
    """What came before it in the same read still counts, and nothing after it."""
    socket, browser = connected()
    browser.protocol.send_binary(b"before")
    browser.protocol.send_text(b"text", fin=False)
    browser.protocol.send_continuation(b"more", fin=True)
    browser.protocol.send_binary(b"after")
    assert socket.receive(browser.take()) == b"before"
    browser.hear(socket.take_output())
    assert browser.close_code == 1003
    assert socket.is_over
    assert "binary" in socket.reason
    assert socket.receive(b"x") == b""


@pytest.mark.parametrize("fragments", [1, 4])
def test_a_message_beyond_the_limit_ends_the_connection(fragments: int) -> None:
    """As soon as its length is known, before its bytes are here; the limit itself may be had."""
    socket, browser = connected()
    browser.protocol.send_binary(b"x" * LIMIT)
    assert socket.receive(browser.take()) == b"x" * LIMIT
    for number in range(fragments):
        fin = number == fragments - 1
        part = b"y" * (LIMIT // fragments + 1)
        if number:
            browser.protocol.send_continuation(part, fin)
        else:
            browser.protocol.send_binary(part, fin)
    data = browser.take()
    socket.receive(data[: -(LIMIT // fragments)])
    browser.hear(socket.take_output())
    assert browser.close_code == 1009
    assert socket.is_over


def frame(opcode: int, data: bytes = b"", fin: bool = True, mask: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | opcode])
    if not mask:
        return head + bytes([len(data)]) + data
    return head + bytes([0x80 | len(data)]) + b"\0\0\0\0" + data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(2, b"x", mask=False), 1002),
        (frame(0, b"x"), 1002),
        (frame(2, b"x", fin=False) + frame(2, b"y"), 1002),
        (frame(3, b"x"), 1002),
        (frame(9, b"x", fin=False), 1002),
        (frame(0x42, b"x"), 1002),
        (frame(8, b"x"), 1002),
        (frame(8, b"\x03\xe8\xff"), 1007),
        (b"\x82\xff" + b"\xff" * 8, 1009),
    ],
)
def test_what_is_no_websocket_ends_the_connection(data: bytes, code: int) -> None:
    """Unmasked, unexpected or impossible frames: the code says what was wrong."""
    socket, browser = connected()
    socket.receive(data)
    browser.hear(socket.take_output())
    assert browser.close_code == code
    assert socket.is_over
    assert socket.reason


def request(*changes: Callable[[Request], None], host: str = "hub:9001") -> bytes:
    """Return a right request, then changed."""
    headers = Headers(
        {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "keep-alive, Upgrade",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "mqtt",
        }
    )
    asked = Request("/mqtt", headers)
    for change in changes:
        change(asked)
    return asked.serialize()


def drop(name: str) -> Callable[[Request], None]:
    def change(asked: Request) -> None:
        del asked.headers[name]

    return change


def add(name: str, value: str) -> Callable[[Request], None]:
    def change(asked: Request) -> None:
        asked.headers[name] = value

    return change


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(), b"101"),
        (request(drop("Upgrade")), b"426"),
        (request(drop("Connection")), b"426"),
        (request(drop("Sec-WebSocket-Key")), b"400"),
        (request(add("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")), b"400"),
        (request(drop("Sec-WebSocket-Version"), add("Sec-WebSocket-Version", "8")), b"400"),
        (request().replace(b"GET", b"POST"), b"405"),
        (request(add("X-Long", "x" * HEAD_BYTES)), b"431"),
        (request(*[add(f"X-{number}", "x" * 4_000) for number in range(5)]), b"431"),
        (b"x" * HEAD_BYTES, b"431"),
        (request(add("Content-Length", "5")), b""),
        (b"\x10\x0c\x00\x04MQTT\r\n\r\n", b""),
    ],
)
def test_a_request_that_is_no_handshake_is_refused(data: bytes, status: bytes) -> None:
    """With the status that says why, or by closing when it is no HTTP at all."""
    for parts in ([data], [bytes([one]) for one in data]):
        socket = WebSocket(LIMIT)
        for part in parts:
            socket.receive(part)
        assert socket.take_output()[9:12] == status
        assert socket.is_over is (status != b"101")
        assert socket.is_open is (status == b"101")


def test_frames_behind_the_request_are_taken_after_the_handshake() -> None:
    """A client that does not wait for the answer gets it before anything else."""
    socket = WebSocket(LIMIT)
    assert socket.receive(request() + frame(9, b"ping") + frame(2, b"mqtt")) == b"mqtt"
    output = socket.take_output()
    assert output.startswith(b"HTTP/1.1 101")
    assert output.endswith(b"\x8a\x04ping")


@pytest.mark.parametrize(
    ("host", "origin", "origins", "allowed"),
    [
        ("hub:9001", None, (), True),
        ("hub:9001", "http://hub", (), True),
        ("hub:9001", "https://HUB:8080", (), True),
        ("[::1]:9001", "http://[::1]:8080", (), True),
        ("hub:9001", "http://evil.example", (), False),
        ("hub:9001", "http://hub.evil.example", (), False),
        ("hub:9001", "null", (), False),
        ("hub:9001", "", (), False),
        ("hub:9001", "http://[", (), False),
        ("", "null", (), False),
        ("hub:9001", "http://page.example", ("http://page.example",), True),
        ("hub:9001", "http://page.example:81", ("http://page.example",), False),
        ("hub:9001", "null", (ANY_ORIGIN,), True),
        ("192.0.2.7:9001", "http://192.0.2.7", (), True),
        ("hub.local", "http://hub.local", (), True),
        ("hub.home.arpa", "http://hub.home.arpa", (), True),
        ("motes.example:9001", "http://motes.example:9001", (), True),
        # Its DNS says for a moment that this is the hub's address.
        ("evil.example:9001", "http://evil.example:9001", (), False),
        ("hub.evil.example", "http://hub.evil.example", (), False),
        ("evil.example", "http://evil.example", ("http://evil.example",), True),
    ],
)
def test_pages_of_other_sites_may_not_connect(
    host: str, origin: str | None, origins: tuple[str, ...], allowed: bool
) -> None:
    """Unless the owner lists them: a page that somebody visits must not speak to the hub."""
    socket = WebSocket(LIMIT, origins, names=["Motes.example"])
    changes = [] if origin is None else [add("Origin", origin)]
    socket.receive(request(*changes, host=host))
    assert socket.take_output()[9:12] == (b"101" if allowed else b"403")
    assert socket.is_open is allowed
    # Nobody has two.
    socket = WebSocket(LIMIT)
    socket.receive(request(add("Origin", "http://hub"), add("Origin", "http://hub")))
    assert not socket.is_open


def test_the_server_closes() -> None:
    """It says so once, sends nothing more, and is over when the client agrees."""
    socket, browser = connected()
    socket.close()
    socket.close()
    socket.send(b"late")
    browser.hear(socket.take_output())
    assert (browser.close_code, browser.heard) == (1000, b"")
    assert not socket.is_open
    assert not socket.is_over
    socket.receive(browser.take())
    assert socket.is_over
    assert socket.reason == "closed by the client"
    # Before the handshake there is nothing to say.
    early = WebSocket(LIMIT)
    early.close()
    early.send(b"x")
    assert early.take_output() == b""


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_garbage_is_only_ever_refused(parts: list[bytes], is_open: bool) -> None:
    """Whatever arrives, no exception leaves, and what is buffered is bounded."""
    socket = connected()[0] if is_open else WebSocket(LIMIT)
    for part in parts:
        socket.receive(part)
        socket.take_output()
        assert socket.reason


def talk(uri: str = "ws://hub:8080/app/key?protocol=7") -> tuple[WebSocket, Browser]:
    """Return both sides of a connection on which texts are said, after the handshake."""
    socket, browser = WebSocket(LIMIT, subprotocol=None), Browser((), uri=uri)
    assert socket.receive_messages(browser.take()) == []
    browser.hear(socket.take_output())
    assert browser.protocol.state is State.OPEN
    return socket, browser


def texts() -> tuple[bytes, list[bytes]]:
    """Return a stream of texts in one frame and in several, and what they say."""
    _, browser = talk()
    browser.protocol.send_text(b"one")
    browser.protocol.send_ping(b"are you there")
    browser.protocol.send_text(b"tw", fin=False)
    browser.protocol.send_ping(b"")
    browser.protocol.send_continuation(b"o" * 300, fin=False)
    browser.protocol.send_continuation(b"", fin=True)
    browser.protocol.send_text(b"")
    browser.protocol.send_text("drei: ü".encode())
    return browser.take(), [b"one", b"tw" + b"o" * 300, b"", "drei: ü".encode()]


def test_texts_keep_their_bounds() -> None:
    """However they are cut: in two parts anywhere, and byte by byte."""
    stream, wanted = texts()
    for parts in (
        [stream],
        *(pieces(stream, [cut]) for cut in range(1, len(stream))),
        [bytes([one]) for one in stream],
    ):
        socket, _ = talk()
        assert [one for part in parts for one in socket.receive_messages(part)] == wanted
        assert socket.is_open


def test_the_request_says_what_is_wanted() -> None:
    """Path and query, as they were sent; no subprotocol is agreed on."""
    socket, browser = talk("ws://hub/app/key?protocol=7&client=js")
    assert socket.target == "/app/key?protocol=7&client=js"
    assert browser.protocol.subprotocol is None


def test_texts_are_sent_as_texts() -> None:
    """One by one, or in a frame that was made for all clients."""
    socket, browser = talk()
    heard = []
    socket.send(b"said")
    for data in (socket.take_output(), text_frame(b"shared"), text_frame(b"x" * 70_000)):
        browser.protocol.receive_data(data)
        for event in browser.protocol.events_received():
            assert isinstance(event, Frame)
            heard.append((event.opcode, bytes(event.data)))
    assert heard == [(Opcode.TEXT, one) for one in (b"said", b"shared", b"x" * 70_000)]


def test_bytes_end_a_connection_for_texts() -> None:
    """What came before still counts."""
    socket, browser = talk()
    browser.protocol.send_text(b"before")
    browser.protocol.send_binary(b"bytes")
    browser.protocol.send_text(b"after")
    assert socket.receive_messages(browser.take()) == [b"before"]
    browser.hear(socket.take_output())
    assert browser.close_code == 1003
    assert "text" in socket.reason


def test_fragments_cost_no_more_than_what_is_in_them() -> None:
    """However many there are, and though there is nothing in most of them."""
    socket, browser = talk()
    browser.protocol.send_text(b"a", fin=False)
    for _ in range(1_000):
        browser.protocol.send_continuation(b"", fin=False)
    assert socket.receive_messages(browser.take()) == []
    received: list[bytes] = []
    for _ in range(50):
        for _ in range(1_000):
            browser.protocol.send_continuation(b"", fin=False)
        received.append(browser.take())
    tracemalloc.start()
    for piece in received:
        assert socket.receive_messages(piece) == []
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A list would have a pointer for each.
    assert grown < 200_000
    browser.protocol.send_continuation(b"b", fin=True)
    browser.protocol.send_text(b"c")
    assert socket.receive_messages(browser.take()) == [b"ab", b"c"]
