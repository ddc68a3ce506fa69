"""Many connections at once, and clients that leave in odd ways."""

import asyncio
import resource
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import (
    OPEN,
    PATIENCE,
    FreshHub,
    HubProcess,
    connect,
    is_closed,
    memory,
    recent,
    records,
    stored,
)

MANY = 1000
ADDRESSES = 20


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process, and the hub that it starts, open more files than connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MANY
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_connections_at_once(folder: Path, many_files: None) -> None:
    """All are open together before the first sends; each one's batch is stored."""
    start = recent(MANY)
    with FreshHub(folder, OPEN) as hub:
        context = ssl.create_default_context(cafile=hub.ca)
        port = hub.port
        before = memory(hub.pid)
        gate = asyncio.Event()
        at_once = asyncio.Semaphore(50)
        connected = 0

        async def device(number: int) -> None:
            async with at_once:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1",
                    port,
                    ssl=context,
                    ssl_handshake_timeout=PATIENCE,
                    local_addr=(f"127.0.0.{number % ADDRESSES + 2}", 0),
                )
            nonlocal connected
            connected += 1
            await gate.wait()
            writer.write(records(start + number, 1))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with asyncio.TaskGroup() as devices:
            for number in range(MANY):
                devices.create_task(device(number))
            while connected < MANY:
                await asyncio.sleep(0.05)
            grown = memory(hub.pid) - before
            gate.set()
        hub.wait_until(
            lambda: sum(map(len, stored(folder).values())) == 2 * MANY, "all batches are stored"
        )
        found = stored(folder)
        times = sorted(
            t for (_, metric), rows in found.items() for t, _ in rows if metric[0] == "t"
        )
        assert times == [(start + number) * 1_000_000 for number in range(MANY)]
        assert hub.status()["transports"]["dht_stream"]["connections"] == MANY
        # Measured: 55 kB a connection.
        assert grown < MANY * 150_000


def test_a_client_that_only_closes_its_side(folder: Path) -> None:
    """A half-closed connection has ended: its batch is stored, and the hub closes too."""
    with HubProcess(folder, OPEN) as hub, connect(hub.port, hub.ca) as connection:
        connection.sendall(records(recent(3), 3))
        socket.socket.shutdown(connection, socket.SHUT_WR)
        assert is_closed(connection)
        hub.wait_stored("dht-127.0.0.1", "temperature", 3)


def test_a_hub_ends_beside_clients_that_do_not_answer(folder: Path) -> None:
    """Clients that shake no hands, or read nothing, don't hold up the end."""
    with (
        HubProcess(folder, OPEN) as hub,
        socket.create_connection(("127.0.0.1", hub.port)),
        connect(hub.port, hub.ca) as silent,
    ):
        silent.sendall(records(recent(1), 1) + b"[17")
        hub.wait_stored("dht-127.0.0.1", "temperature", 1)
        assert hub.stop() == 0
        assert "Traceback" not in hub.log
