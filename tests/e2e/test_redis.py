"""Programs of the original JSON system: they send over mutual TLS and read from Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.harness import HubProcess, connect, recent, records, send
from tests.servers import RedisServer

from motehub.errors import StorageError
from motehub.mirrors.redis import Settings, open_mirror

LISTEN = {"host": "127.0.0.1", "port": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis with a password."""
    with RedisServer(tls=True) as own:
        yield own


class Original:
    """A hub with a mirror, and programs of the original that send to it and read from Redis."""

    def __init__(self, hub: HubProcess, server: RedisServer, database: str) -> None:
        self.hub = hub
        self._server = server
        self._database = database

    def cli(self, *arguments: str) -> list[str]:
        """Run ``redis-cli`` on the mirror's database and return the lines it prints."""
        return self._server.cli("-n", self._database, *arguments).splitlines()

    def send(self, *objects: object) -> None:
        """Send each object as the original's clients did: a dump, no framing, no answer."""
        folder = self.hub.data / "certificates" / "clients"
        certificate = folder / "gateway.crt", folder / "gateway.key"
        port = self.hub.run_file["listeners"]["json_socket"]["port"]
        with connect(port, self.hub.ca, certificate=certificate) as connection:
            for one in objects:
                connection.sendall(json.dumps(one).encode())

    def wait_for(self, lines: list[str], *arguments: str) -> None:
        """Return when ``redis-cli`` prints these lines."""
        self.hub.wait_until(lambda: self.cli(*arguments) == lines, f"{arguments} gives {lines}")


@pytest.fixture(scope="module", params=["tcp", "tls", "unix"])
def original(
    request: pytest.FixtureRequest, server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Original]:
    """A mirror in a database of its own, over TCP, TLS or the server's Unix socket."""
    database, url = {
        "tcp": ("3", server.url.removesuffix("0") + "3"),
        "tls": ("4", f"{server.tls_url.removesuffix('0')}4?ssl_ca_certs={server.authority}"),
        "unix": ("5", f"{server.unix_url}{server.socket}?db=5"),
    }[request.param]
    folder = tmp_path_factory.mktemp("redis")
    hub = HubProcess(folder / "data", {"transport.json_socket": LISTEN})
    mirror = f'[[mirror]]\ntype = "redis"\nurl = "{url}"\n'
    hub.config.write_text(f"{hub.config.read_text('utf-8')}\n{mirror}", "utf-8")
    with hub:
        assert hub.cli("certs", "client", "gateway").returncode == 0
        yield Original(hub, server, database)


def test_values_are_where_the_original_put_them(original: Original) -> None:
    """Flat objects become keys and nested ones hashes; later ones overwrite field by field."""
    original.send({"key_1": "value_1", "key_2": 12}, {"room/1": {"field_1": "value", "n": 1.5}})
    original.send({"key_2": 13, "room/1": {"n": 2, "on": True}})
    original.wait_for(["1"], "HGET", "room/1", "on")
    assert original.cli("GET", "key_1") == ["value_1"]
    assert original.cli("GET", "key_2") == ["13"]
    assert original.cli("HGET", "room/1", "field_1") == ["value"]
    assert original.cli("HGET", "room/1", "n") == ["2"]
    assert original.cli("EXISTS", "gateway") == ["0"]


def test_the_stream_has_readings_of_every_device(original: Original) -> None:
    """With the device's name, the metric, the time in µs and the value."""
    original.send({"streamed": {"level": 0.5}})
    original.wait_for(["0.5"], "HGET", "streamed", "level")
    entry = original.cli("XREVRANGE", "motehub:readings", "+", "-", "COUNT", "1")
    found = dict(zip(entry[1::2], entry[2::2], strict=True))
    (row,) = original.hub.json("readings", "streamed", "level", "--since", "1h")
    assert found["device"] == "streamed"
    assert found["metric"] == "level"
    assert found["value"] == "0.5"
    assert int(found["time"]) > 1_700_000_000_000_000
    assert row["value"] == 0.5


def test_a_device_shows_when_it_is_accepted(original: Original) -> None:
    """Nothing of it before that; then under its name, also after it gets another."""
    hub, first = original.hub, recent(5)
    send(hub.port, hub.ca, records(first, 5), "127.0.0.9")
    hub.wait_until(
        lambda: any(row["waiting"] == 10 for row in hub.json("devices", "list")), "it waits"
    )
    original.send({"after": {"x": 1}})
    original.wait_for(["1"], "HGET", "after", "x")
    assert original.cli("EXISTS", "dht-127.0.0.9") == ["0"]
    assert hub.cli("devices", "accept", "dht-127.0.0.9", "--name", "cellar").returncode == 0
    original.wait_for(["20.4"], "HGET", "cellar", "temperature")
    assert hub.cli("devices", "rename", "cellar", "attic").returncode == 0
    original.wait_for(["20.4"], "HGET", "attic", "temperature")
    assert original.cli("EXISTS", "cellar") == ["0"]
    assert hub.cli("devices", "remove", "attic", "--yes").returncode == 0
    original.wait_for(["0"], "EXISTS", "attic")


def test_a_device_of_before_keeps_its_identity(original: Original) -> None:
    """One certificate that sends flat and nested values of one device has one device."""
    original.send({"gateway": {"nested": 1}}, {"flat": 2})
    original.wait_for(["2"], "GET", "flat")
    original.wait_for(["1"], "HGET", "gateway", "nested")
    names = [row["name"] for row in original.hub.json("devices", "list")]
    assert names.count("gateway") == 1
    assert "gateway-2" not in names
    assert original.hub.cli("devices", "rename", "gateway", "hub").returncode == 0
    original.send({"flat": 3}, {"gateway": {"nested": 3}})
    original.wait_for(["3"], "HGET", "gateway", "nested")
    assert original.cli("GET", "flat") == ["3"]
    assert "gateway" not in [row["name"] for row in original.hub.json("devices", "list")]
    assert original.hub.cli("devices", "rename", "hub", "gateway").returncode == 0


def test_a_server_that_nobody_vouches_for_gets_nothing(server: RedisServer) -> None:
    """Its certificate is checked, and the owner is told what is wrong with it."""
    mirror = open_mirror(Settings(url=server.tls_url))
    with pytest.raises(StorageError, match="certificate that is not trusted"):
        mirror.position("journal")
    mirror.close()
