"""JSON objects over mutual TLS, from clients in the manner of the original's to the history."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness import PATIENCE, HubProcess, connect, is_closed

LISTEN = {"host": "127.0.0.1", "port": 0}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with the JSON port, a bundle of clients' own certificates, and two of its own."""
    folder = tmp_path_factory.mktemp("json")
    section = {
        **LISTEN,
        "client_certificates": str(folder / "client_certs.crt"),
        "devices": {"limited": ["room1"]},
    }
    with HubProcess(
        folder / "data", {"transport.dht_stream": LISTEN, "transport.json_socket": section}
    ) as hub:
        for name in ("gateway", "limited", "lost"):
            assert hub.cli("certs", "client", name).returncode == 0
        yield hub


def own_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate as the original's clients did."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def port(hub: HubProcess) -> int:
    return int(hub.run_file["listeners"]["json_socket"]["port"])


def issued(hub: HubProcess, name: str) -> tuple[Path, Path]:
    folder = hub.data / "certificates" / "clients"
    return folder / f"{name}.crt", folder / f"{name}.key"


@contextmanager
def client(hub: HubProcess, certificate: tuple[Path, Path]) -> Iterator[ssl.SSLSocket]:
    with connect(port(hub), hub.ca, certificate=certificate) as connection:
        yield connection


def is_refused(hub: HubProcess, certificate: tuple[Path, Path] | None, data: bytes) -> bool:
    """Tell whether the hub ends the connection: in the handshake, or in TLS 1.3 after it."""
    try:
        with connect(port(hub), hub.ca, certificate=certificate) as connection:
            connection.sendall(data)
            return is_closed(connection)
    except (ConnectionError, ssl.SSLError):
        return True


def values(hub: HubProcess, device: str, metric: str) -> list[Any]:
    rows = hub.json("readings", device, metric, "--since", "1h")
    return [row["value"] for row in rows]


def test_objects_without_framing_are_stored(hub: HubProcess) -> None:
    """Glued, split and mixed objects come out as series, numbers and texts apart."""
    with client(hub, issued(hub, "gateway")) as connection:
        connection.sendall(b'{"room1": {"temperature": 21.5, "door": "open"}}{"room1": {"temp')
        connection.sendall(b'erature": 22, "lamp": true}}\n{"battery": 3.7}')
        hub.wait_stored("gateway", "battery", 1)
    assert values(hub, "room1", "temperature") == [21.5, 22.0]
    assert values(hub, "room1", "door") == ["open"]
    assert values(hub, "room1", "lamp") == [1.0]
    assert values(hub, "gateway", "battery") == [3.7]
    assert hub.device("room1")["admission"] == "accepted"


def test_a_client_of_the_original_needs_no_change(hub: HubProcess, tmp_path: Path) -> None:
    """A self-signed certificate in the bundle is believed from the next connection on."""
    certificate = own_certificate(tmp_path, "original")
    bundle = hub.data.parent / "client_certs.crt"
    bundle.write_bytes(certificate[0].read_bytes())
    with client(hub, certificate) as connection:
        for n in range(100):
            connection.sendall(json.dumps({"key_1": {"field_1": "value", "field_2": n}}).encode())
        hub.wait_stored("key_1", "field_2", 100)
    assert values(hub, "key_1", "field_2") == list(range(100))


def test_nobody_else_is_let_in(hub: HubProcess, tmp_path: Path) -> None:
    """No TLS, no certificate, a foreign one: refused, counted, and nothing of it is stored."""
    before = hub.status()["transports"]["json_socket"].get("handshake_failed", 0)
    stranger = own_certificate(tmp_path, "stranger")
    for certificate in (None, stranger):
        assert is_refused(hub, certificate, b'{"stranger": {"x": 1}}')
    with socket.create_connection(("127.0.0.1", port(hub))) as plain:
        plain.sendall(b'{"stranger": {"x": 1}}' * 10)
        plain.settimeout(PATIENCE)
        while plain.recv(4096):
            pass
    hub.wait_until(
        lambda: hub.status()["transports"]["json_socket"].get("handshake_failed") == before + 3,
        "three failed handshakes",
    )
    assert "stranger" not in [row["name"] for row in hub.json("devices", "list")]


def test_a_revoked_certificate_is_refused(hub: HubProcess) -> None:
    """`certs revoke` takes effect at the next connection, without a restart."""
    certificate = issued(hub, "lost")
    copies = tuple(hub.data.parent / file.name for file in certificate)
    for file, copy in zip(certificate, copies, strict=True):
        copy.write_bytes(file.read_bytes())
    with client(hub, (copies[0], copies[1])) as connection:
        connection.sendall(b'{"x": 1}')
        hub.wait_stored("lost", "x", 1)
    assert hub.cli("certs", "revoke", "lost").returncode == 0
    assert is_refused(hub, (copies[0], copies[1]), b'{"x": 2}')
    assert values(hub, "lost", "x") == [1.0]
    assert hub.cli("certs", "revoke", "lost").returncode == 1


def test_each_object_is_acknowledged_when_asked_for(hub: HubProcess) -> None:
    """With ALPN a line comes back for every object, good or bad, with its offset."""
    context = ssl.create_default_context(cafile=hub.ca)
    context.load_cert_chain(*issued(hub, "gateway"))
    context.set_alpn_protocols(["motehub-ack/1"])
    sent = b'{"room2":{"a":1,"b":"x"}}{"room2":{"a":null,"b":"y"}}{"a":1,"a":2}{"room2":{"a":3}}'
    with (
        socket.create_connection(("127.0.0.1", port(hub))) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        connection.makefile("rb") as lines,
    ):
        connection.settimeout(PATIENCE)
        connection.sendall(sent)
        answers = [json.loads(lines.readline()) for _ in range(4)]
    assert answers[0] == {"ok": True, "stored": 2}
    assert answers[1] == {"ok": False, "error": "room2.a: the value is null", "offset": 25}
    assert answers[2]["ok"] is False
    assert answers[2]["offset"] == sent.index(b'{"a":1,"a"')
    assert answers[3] == {"ok": True, "stored": 1}
    assert values(hub, "room2", "a") == [1.0, 3.0]
    assert values(hub, "room2", "b") == ["x", "y"]


def test_a_certificate_may_be_limited_to_devices(hub: HubProcess) -> None:
    """Values for other devices are rejected under the certificate's own name."""
    with client(hub, issued(hub, "limited")) as connection:
        connection.sendall(b'{"room1": {"level": 1}, "room9": {"level": 2}}')
        hub.wait_stored("room1", "level", 1)
    assert "room9" not in [row["name"] for row in hub.json("devices", "list")]
    (row,) = (one for one in hub.json("rejected") if one["device"] == "limited")
    assert row["reason"] == "certificate limited may not write room9"


def test_what_no_object_can_follow_ends_the_connection(hub: HubProcess) -> None:
    """Garbage between objects closes the connection; the objects before it are stored."""
    with client(hub, issued(hub, "gateway")) as connection:
        connection.sendall(b'{"room3": {"a": 1}} garbage {"room3": {"a": 2}}')
        assert is_closed(connection)
    assert values(hub, "room3", "a") == [1.0]


def test_a_flood_loses_nothing(hub: HubProcess) -> None:
    """One connection that writes as fast as it can is slowed down, and all of it is stored."""
    count = 30_000
    stream = b"".join(b'{"flood": {"n": %d}}' % n for n in range(count))
    with client(hub, issued(hub, "gateway")) as connection:
        connection.sendall(stream)
        hub.wait_stored("flood", "n", count)
    row = hub.device("flood")
    assert (row["stored"], row["duplicate"], row["rejected"]) == (count, 0, 0)
    assert values(hub, "flood", "n") == [float(n) for n in range(count)]
