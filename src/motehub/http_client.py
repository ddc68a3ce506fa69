"""Requests to other servers over HTTP/1.1: one kept connection, all of it within a time.

Certificates are verified, redirects are not followed, proxies are not used, answers are bounded.
It blocks: whoever uses it has a thread for it.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from motehub.errors import ConfigurationError

ANSWER_BYTES: Final = 65_536
"""Longest body of an answer that is read; with a longer one the connection ends."""

_PORTS: Final = {"http": 80, "https": 443}
_NOT_IN_VALUES: Final = frozenset(map(chr, [*range(0x20), 0x7F]))


class Place(msgspec.Struct, frozen=True):
    """Where requests go; ``target`` is the path with the query, at least ``/``."""

    is_https: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the header ``Host`` has them (RFC 9110 § 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS["https" if self.is_https else "http"]
        return host if usual else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The server, for people: without the path, which may hold a secret."""
        return f"{'https' if self.is_https else 'http'}://{self.authority}"


class Answer(msgspec.Struct, frozen=True):
    """What a server answered; names of ``headers`` are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300

    @property
    def reason(self) -> str:
        """The answer in words for people."""
        if 300 <= self.status < 400:
            return f"it answers {self.status}, a redirect; those are not followed"
        try:
            phrase = f" {http.client.responses[self.status]}"
        except KeyError:
            phrase = ""
        return f"it answers {self.status}{phrase}"


class NoAnswer(msgspec.Struct, frozen=True):
    """Why a server gave no answer, in words for people; it may have taken the request."""

    reason: str


def place_of(url: str) -> Place:
    """Return where ``url`` leads.

    Raises:
        ValueError: it is no address of a web server, or has a part that it may not have. The
            message does not repeat it: it may hold a secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no address, as https://HOST/PATH is") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("must begin with https:// or http:// and a host")
    if "@" in parts.netloc:
        raise ValueError("can't hold user and password")
    if not url.isascii() or not url.isprintable() or " " in url or parts.fragment:
        raise ValueError("has characters that must be written as % and two digits, or a #")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    is_https = parts.scheme == "https"
    return Place(is_https, parts.hostname, port or _PORTS[parts.scheme], target)


def check_header(name: str, value: str) -> None:
    """See that a header may be sent (RFC 9110 § 5.1, 5.5).

    Raises:
        ValueError: it may not; the value is not repeated.
    """
    if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{name!r} can't be the name of a header")
    if not value.isascii() or _NOT_IN_VALUES & set(value):
        raise ValueError(f"the value of the header {name} has characters that can't be sent")


def tls_context(ca: str) -> ssl.SSLContext:
    """Return how to check servers: against the PEM file ``ca``, or what the system trusts.

    Raises:
        ConfigurationError: the file can't be used.
    """
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigurationError(f"ca: {ca} can't be used ({why}).") from error


class HttpClient:
    """A connection to one server, opened when it is needed and kept while both want it.

    One thread uses it at a time. ``tls`` is needed for https.
    """

    def __init__(self, place: Place, tls: ssl.SSLContext | None) -> None:
        self._place = place
        self._tls = tls
        self._connection: http.client.HTTPConnection | None = None
        self.opened = 0
        """How many connections it has opened."""

    def request(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
        seconds: float,
    ) -> Answer | NoAnswer:
        """Send a request and return its answer, all within ``seconds``.

        Without a ``body`` there is no ``Content-Length`` either. A kept connection that turns
        out to be closed is opened anew, once.
        """
        deadline = time.monotonic() + seconds
        kept = self._connection is not None
        while True:
            try:
                return self._exchange(method, target, headers, body, deadline)
            except (http.client.RemoteDisconnected, ConnectionError) as error:
                self.close()
                if not kept:
                    return NoAnswer(_reason_of(error))
                kept = False
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                return NoAnswer(_reason_of(error))

    def close(self) -> None:
        """Close the connection; harmless when there is none."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
        deadline: float,
    ) -> Answer:
        connection = self._connected(deadline)
        # What it reads and writes has only the time that is left.
        cast("_Timed", connection.sock).deadline = deadline
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self._place.authority)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES + 1)
        answer = Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            content[:ANSWER_BYTES],
        )
        if len(content) > ANSWER_BYTES or response.will_close or not response.isclosed():
            self.close()
        return answer

    def _connected(self, deadline: float) -> http.client.HTTPConnection:
        if self._connection is not None:
            timed = cast("_Timed | None", self._connection.sock)
            if timed is not None and not timed.has_ended:
                return self._connection
            self.close()
        connection = http.client.HTTPConnection(self._place.host, self._place.port)
        connection.sock = _Timed(self._open(deadline), deadline)
        self._connection = connection
        self.opened += 1
        return connection

    def _open(self, deadline: float) -> socket.socket:
        place = self._place
        error: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM
        ):
            raw = socket.socket(family, kind, protocol)
            try:
                raw.settimeout(_left(deadline))
                raw.connect(address)
                # The body must not wait until the head has been acknowledged.
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not place.is_https:
                    return raw
                assert self._tls is not None
                raw.settimeout(_left(deadline))
                return self._tls.wrap_socket(raw, server_hostname=place.host)
            except OSError as one:
                raw.close()
                error = one
        raise error


class _Timed:
    """A socket as ``http.client`` uses it, each of whose waits ends at the deadline.

    The time-outs of sockets are for each read: a server that sends a byte now and then would
    never meet one.
    """

    def __init__(self, raw: socket.socket, deadline: float) -> None:
        self._raw = raw
        self.deadline = deadline

    @property
    def has_ended(self) -> bool:
        """Whether the server has closed it, or says something that nobody asked for."""
        poll = select.poll()
        poll.register(self._raw, select.POLLIN)
        return bool(poll.poll(0))

    def sendall(self, data: Any) -> None:
        self._raw.settimeout(_left(self.deadline))
        self._raw.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._raw))

    def close(self) -> None:
        self._raw.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _Timed, raw: socket.socket) -> None:
        self._timed = timed
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._raw.settimeout(_left(self._timed.deadline))
        return self._raw.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason_of(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "it does not answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not good: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS fails: {error.reason or 'no details'}"
        case socket.gaierror():
            return "its host name can't be found"
        case ConnectionRefusedError():
            return "it refuses connections"
        case http.client.RemoteDisconnected() | ConnectionError():
            return "it ends the connection without an answer"
        case OSError():
            return error.strerror or "the network fails"
        case _:
            return f"its answer is not HTTP ({type(error).__name__})"
