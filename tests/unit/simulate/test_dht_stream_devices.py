"""Simulated ESP32 boards behave on the wire as the firmware does."""

import asyncio
import datetime as dt
import ipaddress
import itertools
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from motehub.simulate.dht_stream import DhtOptions, Totals, run

# Written from the description of the stream, not from the simulator.
READING = re.compile(rb"\[(0|[1-9]\d*)\],(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?)\|")
RECORD = re.compile(rb"(?:" + READING.pattern + rb"|\[ERROR\] [^|]+\|)")

Row = tuple[int, float, float, float]


class Server:
    """A TLS server that keeps what every connection said and how it ended.

    The TLS machine is its own: the ready-made one can't tell an end without close_notify.
    """

    def __init__(self, certificate: Path) -> None:
        self.context = server_context(certificate)
        self.payloads: list[bytes] = []
        self.peers: list[str] = []
        self.goodbyes: list[bool] = []
        self.versions: set[str | None] = set()
        self.port = 0

    async def listen(self, port: int = 0) -> asyncio.Server:
        """Accept connections on ``port``, 0 for a free one."""
        server = await asyncio.start_server(self.talk, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Shake hands, keep every byte, and note the end."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, server_side=True)
        self.peers.append(writer.get_extra_info("peername")[0])
        payload, goodbye, shaken = b"", False, False
        while not goodbye and (data := await read(reader)):
            incoming.write(data)
            try:
                if not shaken:
                    tls.do_handshake()
                    shaken = True
                while chunk := tls.read(65536):
                    payload += chunk
                goodbye = True
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
            except ssl.SSLError:
                break
        writer.transport.abort()
        self.versions.add(tls.version())
        self.payloads.append(payload)
        self.goodbyes.append(goodbye)

    def rows(self) -> list[Row]:
        """Return all readings, by connection and in order."""
        return [row for payload in self.payloads for row in rows_in(payload)]


async def read(reader: asyncio.StreamReader) -> bytes:
    """Return what has come; nothing at the end, also if that is a reset."""
    try:
        return await reader.read(65536)
    except ConnectionResetError:
        return b""


def rows_in(payload: bytes) -> list[Row]:
    found = READING.findall(payload)
    return [(int(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in found]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1; its key stands in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
async def server(certificate: Path) -> AsyncIterator[Server]:
    recording = Server(certificate)
    async with await recording.listen():
        yield recording


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds, at most a minute."""
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up, "it never happened"
        await asyncio.sleep(0.01)


async def settled(server: Server, connections: int) -> None:
    """Wait until the server has seen so many connections end."""
    await until(lambda: len(server.payloads) >= connections)


async def test_batches_are_what_the_firmware_prints(server: Server) -> None:
    """Records end in a bar, nothing stands between them, and a connection carries one batch."""
    options = DhtOptions(
        host="127.0.0.1", port=server.port, rate=50, batch_seconds=0.2, duration=1.0
    )
    totals = await run(options)
    await settled(server, totals.connections)
    for payload in server.payloads:
        assert payload == b"".join(match.group() for match in RECORD.finditer(payload))
        assert b"\n" not in payload
    # How many there are depends on when the machine lets it look at the clock.
    assert totals.batches == totals.connections == len(server.payloads) >= 2
    # On a busy machine a device may measure more than it has room for.
    assert totals.records == len(server.rows()) > 0
    assert totals.records + totals.lost == 51
    assert (totals.failures, totals.diagnostics) == (0, 0)
    assert server.versions == {"TLSv1.2"}


async def test_values_are_those_of_a_dht11(server: Server) -> None:
    """Whole percent, tenths of a degree, °F computed from °C, and a room that changes slowly."""
    options = DhtOptions(
        host="127.0.0.1", port=server.port, rate=2000, batch_seconds=0.5, duration=1.0, seed=3
    )
    totals = await run(options)
    await settled(server, totals.connections)
    rows = server.rows()
    assert len(rows) == totals.records > 1900
    for _, humidity, celsius, fahrenheit in rows:
        assert 20 <= humidity <= 90
        assert humidity == int(humidity)
        assert 5 < celsius < 40
        assert round(celsius, 1) == celsius
        assert abs(fahrenheit - (celsius * 9 / 5 + 32)) < 1e-3
    steps = [abs(after[2] - before[2]) for before, after in itertools.pairwise(rows)]
    assert max(steps) < 1
    assert len({row[2] for row in rows}) > 3


async def test_fast_devices_run_ahead_from_the_past(server: Server) -> None:
    """Above one a second no two readings share a second, and none lies in the future."""
    options = DhtOptions(
        # There is room for all of it, however busy the machine is.
        host="127.0.0.1",
        port=server.port,
        rate=200,
        batch_seconds=0.4,
        duration=0.8,
    )
    totals = await run(options)
    await settled(server, totals.connections)
    stamps = sorted(row[0] for row in server.rows())
    assert stamps == list(range(stamps[0], stamps[0] + totals.records))
    assert time.time() - 300 < stamps[0] < stamps[-1] <= time.time()


async def test_the_first_time_may_be_given(server: Server) -> None:
    """Runs after one another need not repeat each other's times."""
    options = DhtOptions(
        host="127.0.0.1", port=server.port, rate=100, batch_seconds=0.1, duration=0.2, start=5000
    )
    totals = await run(options)
    await settled(server, totals.connections)
    assert min(server.rows())[0] == 5000


async def test_slow_devices_stamp_the_present(server: Server) -> None:
    """Up to one a second the clock is real, and readings are spaced by the rate."""
    options = DhtOptions(
        host="127.0.0.1", port=server.port, rate=1, batch_seconds=1.2, duration=3.1, seed=1
    )
    began = int(time.time())
    totals = await run(options)
    await settled(server, totals.connections)
    stamps = sorted(row[0] for row in server.rows())
    assert len(stamps) == 4
    assert {after - before for before, after in itertools.pairwise(stamps)} == {1}
    assert began <= stamps[0] <= stamps[-1] <= time.time()


async def test_without_a_clock_times_count_from_zero(server: Server) -> None:
    """Seconds since boot: the batch's spacing is right and its age unknown."""
    options = DhtOptions(
        host="127.0.0.1", port=server.port, rate=1, batch_seconds=0.6, duration=2.2, no_clock=True
    )
    totals = await run(options)
    await settled(server, totals.connections)
    assert sorted(row[0] for row in server.rows()) == [0, 1, 2]


@pytest.mark.parametrize("abrupt", [0.0, 1.0])
async def test_ends_with_and_without_a_goodbye(server: Server, abrupt: float) -> None:
    """An abrupt end has no close_notify, and loses nothing of what was written before it."""
    options = DhtOptions(
        host="127.0.0.1",
        port=server.port,
        rate=5000,
        batch_seconds=0.2,
        duration=0.6,
        abrupt=abrupt,
    )
    totals = await run(options)
    await settled(server, totals.connections)
    assert set(server.goodbyes) == {abrupt == 0}
    # On a busy machine a device may measure more than it has room for.
    assert len(server.rows()) == totals.records > 1000
    assert totals.records + totals.lost == 3001


async def test_about_half_of_the_ends_are_abrupt(server: Server) -> None:
    """By default both kinds of end occur."""
    options = DhtOptions(
        host="127.0.0.1",
        port=server.port,
        rate=100,
        batch_seconds=0.1,
        duration=1.0,
        devices=4,
        seed=2,
    )
    totals = await run(options)
    await settled(server, totals.connections)
    assert set(server.goodbyes) == {True, False}


async def test_keep_open_uses_one_connection(server: Server) -> None:
    """All batches of a device come on the connection of the first."""
    options = DhtOptions(
        host="127.0.0.1",
        port=server.port,
        rate=50,
        batch_seconds=0.1,
        duration=0.5,
        keep_open=True,
        devices=2,
    )
    totals = await run(options)
    await settled(server, 2)
    assert totals.connections == 2
    assert totals.batches > totals.connections
    assert len(server.payloads) == 2
    assert len(server.rows()) == totals.records
    assert totals.records + totals.lost == 2 * 26


async def test_broken_off_batches_end_inside_a_record(server: Server) -> None:
    """The rest of the batch is never sent again, and the totals count only whole records."""
    options = DhtOptions(
        host="127.0.0.1",
        port=server.port,
        rate=100,
        batch_seconds=0.1,
        duration=0.5,
        truncate=1.0,
    )
    totals = await run(options)
    await settled(server, totals.connections)
    assert all(payload and not payload.endswith(b"|") for payload in server.payloads)
    assert not any(server.goodbyes)
    stamps = [row[0] for row in server.rows()]
    assert len(stamps) == len(set(stamps)) == totals.records
    assert totals.records + totals.lost == 51


async def test_failed_measurements_are_reported(server: Server) -> None:
    """A diagnostic stands in the place of the reading."""
    options = DhtOptions(
        host="127.0.0.1", port=server.port, rate=400, batch_seconds=0.25, duration=0.5, errors=0.25
    )
    totals = await run(options)
    await settled(server, totals.connections)
    payload = b"".join(server.payloads)
    said = payload.count(b"[ERROR] Failed to read from DHT11 sensor!|")
    assert said == totals.diagnostics
    assert said + len(server.rows()) == totals.records
    # There is room for all of it, however busy the machine is.
    assert (totals.records, totals.lost) == (201, 0)
    assert 20 < said < 90


async def test_devices_have_addresses_of_their_own(server: Server) -> None:
    """Device n speaks from address n, so the hub can tell them apart."""
    addresses = tuple(f"127.0.0.{last}" for last in (21, 22, 23))
    options = DhtOptions(
        host="127.0.0.1",
        port=server.port,
        rate=20,
        batch_seconds=0.2,
        duration=0.3,
        devices=3,
        source_addresses=addresses,
    )
    totals = await run(options)
    await settled(server, totals.connections)
    assert set(server.peers) == set(addresses)


async def test_the_server_is_checked_against_the_pinned_certificate(
    server: Server, certificate: Path
) -> None:
    """The right certificate is accepted, another name for the same server is not."""
    options = DhtOptions(
        host="127.0.0.1",
        port=server.port,
        ca=certificate,
        rate=50,
        batch_seconds=0.1,
        duration=0.2,
    )
    totals = await run(options)
    assert (totals.failures, totals.records + totals.lost) == (0, 11)
    assert totals.records > 0
    wrong = DhtOptions(
        host="localhost", port=server.port, ca=certificate, rate=50, batch_seconds=0.1, duration=0.2
    )
    totals = await run(wrong)
    assert totals.records == 0
    assert totals.failures > 0
    assert "certificate was not accepted" in totals.last_failure


async def test_a_hub_that_is_away_costs_batches_and_is_tried_again(
    certificate: Path, unused_tcp_port: int
) -> None:
    """Attempts get rarer; what was measured meanwhile is lost, counted, and not sent later."""
    heard: list[Totals] = []
    options = DhtOptions(
        host="127.0.0.1", port=unused_tcp_port, rate=20, batch_seconds=0.1, duration=8.0, seed=4
    )
    running = asyncio.create_task(run(options, heard.append))
    await until(lambda: bool(heard) and heard[-1].lost > 20)
    assert heard[-1].records == 0
    late = Server(certificate)
    async with await late.listen(unused_tcp_port):
        totals = await running
        await settled(late, totals.connections)
    assert totals.failures >= 1
    assert totals.records == len(late.rows()) > 0
    assert totals.records + totals.lost == 161
    assert totals.lost > 20
    assert heard[-1] == totals


async def test_a_kept_connection_that_the_hub_closed_is_replaced(certificate: Path) -> None:
    """A device notices the end before its next batch, and loses nothing."""
    payloads: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        payloads.append(await reader.readuntil(b"|"))
        writer.close()

    context = server_context(certificate)
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context) as hub:
        options = DhtOptions(
            host="127.0.0.1",
            port=hub.sockets[0].getsockname()[1],
            rate=10,
            batch_seconds=0.1,
            duration=0.55,
            keep_open=True,
        )
        totals = await run(options)
    # How many there are depends on when the machine lets it look at the clock.
    assert totals.connections == totals.batches == len(payloads) >= 2
    assert totals.failures == 0


async def test_cancelling_closes_the_connections(server: Server) -> None:
    """A run without an end stops when told, and leaves no connection behind."""
    options = DhtOptions(
        host="127.0.0.1", port=server.port, rate=50, batch_seconds=0.1, keep_open=True, devices=3
    )
    running = asyncio.create_task(run(options))
    await until(lambda: len(server.peers) >= 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await settled(server, 3)
