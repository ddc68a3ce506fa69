"""What every transport promises, checked on each of them with plain sockets."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from tests.desk import Desk

from motehub import parts
from motehub.contracts import ClientTrust, Ground, Note, Places
from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.model import Delivery, Receipt
from motehub.security.authority import Authority
from motehub.security.tls import ServerTls


class Collector:
    """Takes whatever transports accept."""

    held_back = None

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        self.interrupted: list[str] = []

    async def interrupt(self, dialect: str) -> None:
        self.interrupted.append(dialect)

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        self.taken += deliveries
        receipts = [Receipt(0, 0) for _ in deliveries]
        if note is not None:
            note(receipts)
        return receipts


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A hub that collects, real certificates, the real clock."""
    Authority(tmp_path).ensure()
    certificates = tmp_path / "certificates"

    def tls(trust: ClientTrust) -> ServerTls:
        return ServerTls(
            certificates / "server.crt",
            certificates / "server.key",
            tmp_path / "ca.crt",
            client_required=trust.required,
            bundle=trust.bundle,
            protocols=trust.protocols,
        )

    return Ground(
        Collector(),
        lambda: time.time_ns() // 1000,
        tls,
        Places(1000),
        Desk(),
        dict,
        Tokens(),
        Registry(),
        False,
    )


LISTENING = sorted(name for name, part in parts.transports().items() if part.listens)


@pytest.fixture(params=LISTENING)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each transport in turn."""
    return str(request.param)


def make_settings(name: str) -> msgspec.Struct:
    settings = parts.transports()[name].settings
    ports = {one: 0 for one in settings.__struct_fields__ if one.endswith("port")}
    return settings(host="127.0.0.1", handshake_timeout=1.0, **ports)


def test_settings_are_frozen_and_can_be_switched_off(name: str) -> None:
    """Every transport's section has `enabled`, on by default, and can't change while it runs."""
    settings = make_settings(name)
    assert getattr(settings, "enabled") is True  # noqa: B009
    with pytest.raises(AttributeError):
        settings.enabled = False  # type: ignore[attr-defined]


async def test_it_listens_from_entering_to_leaving(name: str, ground: Ground) -> None:
    """Its ports answer inside the block, are named, and are closed after it."""
    async with parts.transports()[name].make(make_settings(name), ground) as transport:
        listeners = dict(transport.listeners)
        assert listeners
        for listener in listeners.values():
            assert listener.port
            _, writer = await asyncio.open_connection(listener.host, listener.port)
            writer.close()
    for listener in listeners.values():
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection(listener.host, listener.port)


async def test_garbage_and_silence_do_no_harm(name: str, ground: Ground) -> None:
    """Bytes that are no protocol at all, and none at all, leave the port in service."""
    async with parts.transports()[name].make(make_settings(name), ground) as transport:
        for listener in transport.listeners.values():
            for garbage in (b"", b"GET / HTTP/1.0\r\n\r\n", bytes(range(256)) * 100, b"\x16\x03"):
                reader, writer = await asyncio.open_connection(listener.host, listener.port)
                writer.write(garbage)
                if garbage:
                    async with asyncio.timeout(60):
                        while await _still_open(reader):
                            pass
                writer.close()
            if listener.tls:
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                _, writer = await asyncio.open_connection(listener.host, listener.port, ssl=context)
                writer.close()
        assert transport.counters


async def _still_open(reader: asyncio.StreamReader) -> bool:
    try:
        return bool(await reader.read(4096))
    except ConnectionError:
        return False
