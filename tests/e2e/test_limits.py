"""The listener's limits: connections, handshake, silence, and certificates that change."""

import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.harness import OPEN, PATIENCE, HubProcess, connect, is_closed, recent, records, send


def counter(hub: HubProcess, name: str) -> int:
    """Return a counter of the text stream."""
    return int(hub.status()["transports"]["dht_stream"].get(name, 0))


def wait_counted(hub: HubProcess, name: str, count: int) -> None:
    """Return as soon as a counter has this value: a client may see its end before that."""
    hub.wait_until(lambda: counter(hub, name) == count, f"{name} is {count}")


def test_connections_from_one_address_are_limited(folder: Path) -> None:
    """One more than allowed is refused and counted; another address still gets in."""
    settings = {"transport.dht_stream": {"connections_per_address": 3}, **OPEN}
    with HubProcess(folder, settings) as hub, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connect(hub.port, hub.ca, "127.0.0.2"))
        with pytest.raises(OSError, match=r"."):
            connect(hub.port, hub.ca, "127.0.0.2")
        wait_counted(hub, "refused_per_address", 1)
        send(hub.port, hub.ca, records(recent(1), 1), "127.0.0.3")
        hub.wait_stored("dht-127.0.0.3", "temperature", 1)


def test_connections_in_total_are_limited(folder: Path) -> None:
    """The limit counts all addresses, and a closed connection makes room again."""
    settings = {"transport.dht_stream": {"connections": 3}, **OPEN}
    with HubProcess(folder, settings) as hub, ExitStack() as stack:
        first = connect(hub.port, hub.ca, "127.0.0.2")
        for number in (3, 4):
            stack.enter_context(connect(hub.port, hub.ca, f"127.0.0.{number}"))
        with pytest.raises(OSError, match=r"."):
            connect(hub.port, hub.ca, "127.0.0.5")
        wait_counted(hub, "refused_total", 1)
        first.close()

        def got_in() -> bool:
            try:
                send(hub.port, hub.ca, records(recent(1), 1), "127.0.0.5")
            except OSError:
                return False
            return True

        hub.wait_until(got_in, "the place is free again")
        hub.wait_stored("dht-127.0.0.5", "temperature", 1)


def test_a_client_that_says_nothing_is_dropped(folder: Path) -> None:
    """A TCP connection without a handshake is closed after the handshake's time-out."""
    settings = {"transport.dht_stream": {"handshake_timeout": "500ms"}}
    with (
        HubProcess(folder, settings) as hub,
        socket.create_connection(("127.0.0.1", hub.port)) as silent,
    ):
        assert is_closed(silent)
        wait_counted(hub, "handshake_failed", 1)


def test_a_client_that_is_no_tls_client_is_dropped(lab: HubProcess) -> None:
    """Plain text on the TLS port fails the handshake and leaves a line in the log."""
    failed = counter(lab, "handshake_failed")
    with socket.create_connection(("127.0.0.1", lab.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.settimeout(PATIENCE)
        while plain.recv(100):
            pass
    lab.wait_until(lambda: counter(lab, "handshake_failed") > failed, "it is counted")
    assert "TLS handshake failed" in lab.log


def test_an_idle_connection_is_closed(folder: Path) -> None:
    """Silence longer than the idle time-out ends a connection, with what it had said stored."""
    # Long enough for a busy machine to say something first.
    settings = {"transport.dht_stream": {"idle_timeout": "3s"}, **OPEN}
    with HubProcess(folder, settings) as hub, connect(hub.port, hub.ca) as connection:
        connection.sendall(records(recent(1), 1))
        assert is_closed(connection)
        wait_counted(hub, "idle_closed", 1)
        hub.wait_stored("dht-127.0.0.1", "temperature", 1)


def test_the_record_limit_is_a_setting(folder: Path) -> None:
    """A record longer than ``record_limit`` is rejected whether or not it ever ends."""
    settings = {"transport.dht_stream": {"record_limit": 64}, **OPEN}
    with HubProcess(folder, settings) as hub, connect(hub.port, hub.ca) as connection:
        connection.sendall(b"y" * 65)
        hub.wait_until(lambda: bool(hub.json("rejected")), "the endless record is rejected")
        connection.sendall(b"y" * 100_000 + b"|" + records(recent(1), 1))
        hub.wait_stored("dht-127.0.0.1", "temperature", 1)
        assert hub.device("dht-127.0.0.1")["rejected"] == 1


def test_old_tls_is_refused(lab: HubProcess) -> None:
    """TLS 1.1 does not get through the handshake."""
    context = ssl.create_default_context(cafile=lab.ca)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", lab.port)) as raw,
        pytest.raises(OSError, match=r"."),
    ):
        context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_a_renewed_certificate_shows_without_restart(folder: Path) -> None:
    """After ``certs server --renew`` the next connection gets the new one; old ones go on."""
    with HubProcess(folder, OPEN) as hub, connect(hub.port, hub.ca) as before:
        assert hub.cli("certs", "server", "--renew").returncode == 0
        with connect(hub.port, hub.ca) as after:
            assert after.getpeercert(True) != before.getpeercert(True)
        before.sendall(records(recent(1), 1))
        hub.wait_stored("dht-127.0.0.1", "temperature", 1)
