"""Simulated programs of the JSON socket behave on the wire as real ones do."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from motehub.errors import CertificateError, OwnerError
from motehub.security.authority import Authority
from motehub.simulate.json_socket import Identity, JsonOptions, Totals, run

Answer = Callable[[dict[str, Any]], bytes | None]


class Server:
    """A TLS server that demands a certificate, keeps every object, and may answer each."""

    def __init__(self, folder: Path, answer: Answer | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificates = folder / "certificates"
        self.context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
        self.context.load_verify_locations(folder / "ca.crt")
        self.context.verify_mode = ssl.CERT_REQUIRED
        if answer is not None:
            self.context.set_alpn_protocols(["motehub-ack/1"])
        self.answer = answer
        self.streams: list[bytes] = []
        self.names: list[str] = []
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep what the client says; answer its objects."""
        subject = dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"])
        self.names.append(subject["commonName"])
        number, answered = len(self.streams), 0
        self.streams.append(b"")
        while data := await reader.read(65536):
            self.streams[number] += data
            if self.answer is not None:
                for one in objects_in(self.streams[number])[answered:]:
                    answered += 1
                    line = self.answer(one)
                    if line is None:
                        writer.transport.abort()
                        return
                    writer.write(line)
        writer.close()

    def objects(self) -> list[dict[str, Any]]:
        """Return all objects, by connection and in order."""
        return [one for stream in self.streams for one in objects_in(stream)]


def objects_in(stream: bytes) -> list[dict[str, Any]]:
    """Take the objects of a stream apart: they follow each other with nothing between."""
    found, text = [], stream.decode()
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        try:
            one, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError:
            break
        found.append(one)
    return found


@asynccontextmanager
async def listening(folder: Path, answer: Answer | None = None) -> AsyncIterator[Server]:
    server = Server(folder, answer)
    async with await asyncio.start_server(
        server.talk, "127.0.0.1", 0, ssl=server.context
    ) as listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's folder with its authority and certificates for three programs."""
    folder = tmp_path_factory.mktemp("hub")
    authority = Authority(folder)
    authority.ensure(addresses=["127.0.0.1"])
    for number in range(3):
        authority.issue_client(f"program-{number}")
    return folder


def options(folder: Path, port: int, **change: Any) -> JsonOptions:
    clients = folder / "certificates" / "clients"
    usual = {
        "host": "127.0.0.1",
        "port": port,
        "ca": folder / "ca.crt",
        # There is room for all of it, however busy the machine is.
        "rate": 100.0,
        "batch_seconds": 0.25,
        "duration": 0.5,
        "devices": 1,
    }
    settings: dict[str, Any] = usual | change
    if "identities" not in settings:
        settings["identities"] = tuple(
            Identity(f"room-{n}", clients / f"program-{n}.crt", clients / f"program-{n}.key")
            for n in range(settings["devices"])
        )
    return JsonOptions(**settings)


def stored(one: dict[str, Any]) -> bytes:
    return b'{"ok":true,"stored":%d}\n' % len(one)


async def test_objects_follow_each_other_on_one_connection(folder: Path) -> None:
    """Each program logs in under its name and sends nested and flat objects, unframed."""
    async with listening(folder) as server:
        totals = await run(options(folder, server.port, devices=3, seed=1))
    assert sorted(server.names) == ["program-0", "program-1", "program-2"]
    assert (totals.connections, totals.failures, totals.lost) == (3, 0, 0)
    assert totals.objects == len(server.objects()) == 3 * 51
    assert totals.batches > totals.connections
    nested = [one for one in server.objects() if isinstance(next(iter(one.values())), dict)]
    flat = [one for one in server.objects() if one not in nested]
    assert len(flat) == 3 * 5
    assert {key for one in nested for key in one} == {"room-0", "room-1", "room-2"}
    for one in nested:
        (climate,) = one.values()
        assert 5 < climate["temperature"] < 40
        assert 20 <= climate["relative_humidity"] <= 90
    for one in flat:
        assert 3 < one["battery"] < 5
        assert isinstance(one["charging"], bool)


async def test_answers_are_counted(folder: Path) -> None:
    """Who asks for acknowledgements hears one for each object, good or bad."""

    def answer(one: dict[str, Any]) -> bytes:
        return (
            b'{"ok":false,"error":"no flat ones","offset":1}\n'
            if "battery" in one
            else b"" + (stored(one))
        )

    async with listening(folder, answer) as server:
        totals = await run(options(folder, server.port, acknowledge=True))
    assert totals.objects == 51
    assert (totals.acknowledged, totals.refused, totals.failures) == (46, 5, 0)
    assert "no flat ones" in totals.last_refusal


async def test_a_connection_that_ends_before_the_answer_is_a_failure(folder: Path) -> None:
    """What was not acknowledged is not counted so, and the program connects again."""
    heard: list[int] = []

    def answer(one: dict[str, Any]) -> bytes | None:
        heard.append(1)
        return None if len(heard) == 30 else stored(one)

    async with listening(folder, answer) as server:
        totals = await run(options(folder, server.port, acknowledge=True, duration=3.0))
    assert (totals.failures, totals.connections) == (1, 2)
    assert totals.acknowledged == len(heard) - 1
    assert totals.objects > totals.acknowledged


async def test_a_hub_without_acknowledgement_is_told(folder: Path) -> None:
    """A server that doesn't choose the protocol would leave the program waiting."""
    async with listening(folder) as server:
        totals = await run(options(folder, server.port, acknowledge=True))
    assert totals.objects == 0
    assert "does not acknowledge" in totals.last_failure


async def test_a_refused_certificate_is_a_failure(folder: Path, tmp_path: Path) -> None:
    """TLS 1.3 tells it only after the handshake; it is counted all the same."""
    other = Authority(tmp_path)
    other.issue_client("stranger")
    clients = tmp_path / "certificates" / "clients"
    stranger = Identity("room", clients / "stranger.crt", clients / "stranger.key")
    async with listening(folder) as server:
        totals = await run(options(folder, server.port, identities=(stranger,)))
    assert server.names == []
    assert totals.failures >= 1
    assert re.search("(refused|dropped) the connection", totals.last_failure)


async def test_a_hub_that_is_away_costs_objects(folder: Path, unused_tcp_port: int) -> None:
    """What can't be sent is lost, counted, and not sent later."""
    heard: list[Totals] = []
    totals = await run(options(folder, unused_tcp_port), heard.append)
    assert totals.objects == totals.connections == 0
    assert totals.failures >= 1
    assert totals.lost >= 1
    assert heard[-1] == totals


async def test_wrong_options_are_sentences(folder: Path, tmp_path: Path) -> None:
    """They are told before anything connects."""
    with pytest.raises(OwnerError, match="2 devices with 0 certificates"):
        await run(options(folder, 1, devices=2, identities=()))
    with pytest.raises(OwnerError, match=r"rate = 0\.0 is out of range"):
        await run(options(folder, 1, rate=0.0))
    missing = Identity("room", tmp_path / "no.crt", tmp_path / "no.key")
    with pytest.raises(CertificateError, match="Can't read"):
        await run(options(folder, 1, identities=(missing,)))
    ca = folder / "ca.crt"
    with pytest.raises(CertificateError, match="from the same pair"):
        await run(options(folder, 1, identities=(Identity("room", ca, ca),)))
