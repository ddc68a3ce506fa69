"""The hub by name in the local network, asked over loopback by a client of our own making."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import HubProcess
from tests.mdns_peer import PTR, SRV, TXT, A, Holder, ask

HERE = {"host": "127.0.0.1", "port": 0}


def settings(name: str, *interfaces: str) -> dict[str, dict[str, object]]:
    return {
        "web": HERE,
        "transport.mqtt_broker": {**HERE, "tls_port": 0, "websocket_port": 0},
        "mdns": {"name": name, "interfaces": list(interfaces or ("127.0.0.1",))},
    }


def some_name() -> str:
    """Return a name that no other hub on this machine answers to."""
    return f"hub{secrets.token_hex(4)}"


def found_as(hub: HubProcess) -> str:
    """Return the name under which the hub answers, once it does."""
    known: list[str] = []

    def said() -> bool:
        known[:] = re.findall(r'"found in the local network".* name=(\S+)', hub.log)[-1:]
        return bool(known)

    hub.wait_until(said, "the hub answers by name")
    return known[0]


def covered(hub: HubProcess) -> set[str]:
    """Return the names in the server's certificate."""
    pem = (hub.data / "certificates" / "server.crt").read_text("ascii")
    raw = ssl.PEM_cert_to_DER_cert(pem)
    return {name.decode() for name in re.findall(rb"hub[0-9a-f]{8}(?:-\d)?\.local", raw)}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that is found by name."""
    with HubProcess(tmp_path_factory.mktemp("mdns") / "data", settings(some_name())) as hub:
        found_as(hub)
        yield hub


def test_the_hub_answers_to_its_name(hub: HubProcess) -> None:
    """A question for the hub's name is answered with its address."""
    name = found_as(hub)
    assert (name, A, "127.0.0.1") in ask(name, A, 10)
    assert covered(hub) == {name}


@pytest.mark.parametrize(
    ("kind", "listener"),
    [
        ("_http", "web"),
        ("_motehub", "web"),
        ("_mqtt", "mqtt_broker"),
        ("_secure-mqtt", "mqtt_broker_tls"),
    ],
)
def test_services_are_announced_with_their_real_ports(
    hub: HubProcess, kind: str, listener: str
) -> None:
    """Who looks for a kind of service finds the hub's name and the port that it has."""
    name = found_as(hub)
    service = f"{name.removesuffix('.local')}.{kind}._tcp.local"
    port = hub.run_file["listeners"][listener]["port"]
    found = ask(f"{kind}._tcp.local", PTR, 10, about=service)
    assert (f"{kind}._tcp.local", PTR, service) in found
    assert (service, SRV, (port, name)) in found
    said = [value for one, record, value in found if (one, record) == (service, TXT)]
    assert said
    assert all((b"\x06path=/" in one) is (listener == "web") for one in said)


def test_a_second_hub_of_the_same_name_gets_a_number(hub: HubProcess, tmp_path: Path) -> None:
    """A name that another hub of this machine has gets a number, and the certificate covers it."""
    name = found_as(hub).removesuffix(".local")
    with HubProcess(tmp_path / "data", settings(name)) as second:
        assert found_as(second) == f"{name}-2.local"
        assert "name is taken in the local network" in second.log
        second.wait_until(
            lambda: f"{name}-2.local" in covered(second), "the certificate covers the name"
        )
        assert second.stop() == 0
        second.wait_until(lambda: not ask(f"{name}-2.local", A), "it has said goodbye")
    assert ask(f"{name}.local", A, 10), "the first one still answers"


def test_a_name_of_another_machine_is_left_to_it(tmp_path: Path) -> None:
    """A name under which a strange machine answers is not taken from it."""
    name = some_name()
    with (
        Holder(f"{name}.local", "192.0.2.77"),
        HubProcess(tmp_path / "data", settings(name)) as hub,
    ):
        assert found_as(hub) == f"{name}-2.local"
        assert f"name={name}.local by=192.0.2.77" in hub.log


def test_a_network_that_forbids_it_costs_one_line(tmp_path: Path) -> None:
    """Where it can't answer, the hub says so in a line of its log and goes on without."""
    chosen = settings(some_name(), "192.0.2.55")
    chosen["web"] = {"host": "0.0.0.0", "port": 0}
    with HubProcess(tmp_path / "data", chosen) as hub:
        hub.wait_until(lambda: "not found by name" in hub.log, "it says so")
        assert hub.stop() == 0
    assert "Traceback" not in hub.log


def test_nothing_is_announced_of_a_hub_on_loopback_alone(tmp_path: Path) -> None:
    """Without interfaces of its own choice a hub that others can't reach says nothing."""
    chosen = settings(some_name())
    del chosen["mdns"]["interfaces"]
    with HubProcess(tmp_path / "data", chosen) as hub:
        assert hub.stop() == 0
    assert "local network" not in hub.log
