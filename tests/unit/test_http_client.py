"""The client for requests to other servers, against real ones and against misbehaving sockets."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.ports import free_port
from tests.receivers import Receiver

from motehub.errors import ConfigurationError
from motehub.http_client import (
    ANSWER_BYTES,
    Answer,
    HttpClient,
    NoAnswer,
    check_header,
    place_of,
    tls_context,
)
from motehub.security.authority import Authority


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen with a socket whose connections ``talk`` handles."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(65_536)
                        talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@contextmanager
def client_of(url: str, ca: str = "") -> Iterator[HttpClient]:
    place = place_of(url)
    client = HttpClient(place, tls_context(ca) if place.is_https else None)
    yield client
    client.close()


def ask(client: HttpClient, seconds: float = 20.0) -> Answer | NoAnswer:
    return client.request("POST", "/x", [("A", "b")], b"body", seconds)


def test_a_connection_is_kept() -> None:
    """Requests go over one connection, with their bodies, until it ends; then over another."""
    with Receiver() as receiver, client_of(receiver.url) as client:
        for _ in range(3):
            answer = ask(client)
            assert isinstance(answer, Answer)
            assert answer.is_success
        assert client.opened == 1
        assert [one.body for one in receiver.received] == [b"body"] * 3
        receiver.behave = lambda _: 0 if len(receiver.received) == 3 else 200
        assert isinstance(ask(client), Answer), "it is asked again over a new connection"
        assert client.opened == 2


def test_without_a_body_there_is_no_length() -> None:
    """A PUT of base units has no Content-Length, as the original's had none."""
    with Receiver() as receiver, client_of(receiver.url) as client:
        client.request("PUT", "/a/b%2Fc", [], None, 20)
        (request,) = receiver.received
        assert request.path == "/a/b%2Fc"
        assert set(request.headers) == {"host"}


def test_a_redirect_is_an_answer_like_others() -> None:
    """Nobody is sent elsewhere with the token."""
    with Receiver() as elsewhere, Receiver() as receiver, client_of(receiver.url) as client:
        receiver.location = elsewhere.url
        receiver.behave = lambda _: 307
        answer = ask(client)
        assert isinstance(answer, Answer)
        assert "redirect" in answer.reason
        assert not elsewhere.received


def test_an_answer_that_trickles_ends_in_time() -> None:
    """The time is that of the whole exchange, not of each byte."""

    def trickle(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"H")
            time.sleep(0.02)

    with raw_server(trickle) as url, client_of(url) as client:
        began = time.monotonic()
        assert ask(client, 0.5) == NoAnswer("it does not answer in time")
        assert time.monotonic() - began < 60


def test_a_server_that_says_nothing_ends_in_time() -> None:
    """Nobody waits for ever."""

    def listen(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with raw_server(listen) as url, client_of(url) as client:
        assert ask(client, 0.3) == NoAnswer("it does not answer in time")


def test_a_long_answer_is_cut() -> None:
    """What is beyond the bound is not read, and the connection ends with it."""
    body = b"x" * (ANSWER_BYTES + 10_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with raw_server(lambda one: one.sendall(head + body)) as url, client_of(url) as client:
        answer = ask(client)
        assert isinstance(answer, Answer)
        assert len(answer.body) == ANSWER_BYTES
        assert isinstance(ask(client), Answer)
        assert client.opened == 2


@pytest.mark.parametrize(
    "said", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", b""]
)
def test_what_is_not_http_is_no_answer(said: bytes) -> None:
    """Garbage, endless headers and silence are told in words."""
    with raw_server(lambda one: one.sendall(said)) as url, client_of(url) as client:
        answer = ask(client)
        assert isinstance(answer, NoAnswer)
        assert answer.reason.startswith("it")


def test_nobody_listens() -> None:
    """A port that nobody has is told in words."""
    with client_of(f"http://127.0.0.1:{free_port()}/") as client:
        assert ask(client) == NoAnswer("it refuses connections")


def test_certificates_are_checked(tmp_path: Path) -> None:
    """Only the authority that is trusted counts, and only for the host's own name."""
    authority = Authority(tmp_path)
    authority.ensure()
    files = authority.server_certificate, authority.server_key
    with Receiver(certificate=files, host="0.0.0.0") as receiver:
        with client_of(receiver.url, str(tmp_path / "ca.crt")) as client:
            assert isinstance(ask(client), Answer)
        with client_of(receiver.url) as client:
            answer = ask(client)
            assert isinstance(answer, NoAnswer)
            assert "certificate" in answer.reason
        with client_of(receiver.url.replace("0.1", "0.99"), str(tmp_path / "ca.crt")) as client:
            answer = ask(client)
            assert isinstance(answer, NoAnswer)
            assert "not valid for" in answer.reason
        assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x/", "https://", "http://u:p@x/", "http://x:99999/", "http://x/ä", "http://x/#a"],
)
def test_addresses_that_are_none(url: str) -> None:
    """What is no address of a web server is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"\w"):
        place_of(url)


def test_places() -> None:
    """The port is left out where it is the usual one, and the path is never shown."""
    place = place_of("https://[::1]/a?b=c")
    assert (place.authority, place.target, place.shown) == ("[::1]", "/a?b=c", "https://[::1]")
    assert place_of("http://x:8080").authority == "x:8080"
    assert place_of("http://x:8080").target == "/"


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("a b", "x"), ("a", "x\r\ny"), ("a", "ä")])
def test_headers_that_cannot_be(name: str, value: str) -> None:
    """Nothing gets between two headers."""
    with pytest.raises(ValueError, match="header"):
        check_header(name, value)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    """A file that can't be used is named."""
    with pytest.raises(ConfigurationError, match=r"nothing\.crt"):
        tls_context(str(tmp_path / "nothing.crt"))
    assert isinstance(tls_context(""), ssl.SSLContext)
