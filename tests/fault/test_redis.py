"""A mirror in Redis, and hub, mirror or Redis die, stand still or are away: nothing is missing."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import pytest
import redis
from tests.fault.load import Sender
from tests.harness import HubProcess, Settings
from tests.servers import PASSWORD, RedisServer, readings_in

from motehub.mirrors.redis import MASK

LISTEN = {"transport.json_socket": {"host": "127.0.0.1", "port": 0}}
MIRROR = "mirror.redis"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis that forgets nothing when it is killed."""
    with RedisServer(durable=True) as own:
        yield own


def mirrored(folder: Path, url: str, settings: Settings | None = None) -> HubProcess:
    """Return a hub with the JSON port that has a mirror at ``url``."""
    hub = HubProcess(folder, {"hub": {"admission": "open"}, **LISTEN, **(settings or {})})
    text = f'[[mirror]]\ntype = "redis"\nurl = "{url}"\nstream_length = 1_000_000\n'
    hub.config.write_text(f"{hub.config.read_text('utf-8')}\n{text}", "utf-8")
    return hub


def consumer(hub: HubProcess) -> dict[str, Any]:
    """Return what the status says of the mirror."""
    found: dict[str, Any] = hub.status()["consumers"][MIRROR]
    return found


def kill_mirror(hub: HubProcess) -> None:
    """Kill its process, once there is one: it may just be starting, or ending."""

    def killed() -> bool:
        pid = consumer(hub)["pid"]
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    hub.wait_until(killed, "a mirror runs and is killed")


def wait_level(hub: HubProcess) -> None:
    """Return when the mirror has everything that the journal has."""
    hub.wait_until(
        lambda: consumer(hub)["behind"] == 0 and not consumer(hub)["trouble"],
        "the mirror has everything",
    )


def wait_for_the_present(hub: HubProcess) -> None:
    """Return when the mirror has what the journal has now, though senders go on."""
    head = hub.status()["journal"]["head"]
    hub.wait_until(lambda: consumer(hub)["position"] >= head, "the mirror has what there was")


def wait_for_trouble(hub: HubProcess, words: str) -> None:
    """Return when the status says what is the matter with the mirror."""
    hub.wait_until(lambda: words in str(consumer(hub)["trouble"]), f"the status says {words!r}")


def streamed(client: redis.Redis, metric: str) -> list[str]:
    """Return the values of a metric in the order of the stream."""
    return [one["value"] for one in readings_in(client) if one["metric"] == metric]


class Program:
    """Sends numbers that only grow, each once, and knows which ones were acknowledged.

    A number is lost with its connection, never sent again.
    """

    def __init__(self, hub: HubProcess) -> None:
        self._hub = hub
        self.acknowledged: list[int] = []
        self._next = 0
        self._pause = 0.0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        assert hub.cli("certs", "client", "program").returncode == 0
        folder = hub.data / "certificates" / "clients"
        self._context = ssl.create_default_context(cafile=hub.ca)
        self._context.load_cert_chain(folder / "program.crt", folder / "program.key")
        self._context.set_alpn_protocols(["motehub-ack/1"])

    def __enter__(self) -> Self:
        """Begin to send."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop sending."""
        self._enough.set()
        self._thread.join()

    def idle(self) -> None:
        """From now on send a number only now and then, as a sensor does."""
        self._pause = 0.03

    def wait_for_more(self, count: int) -> None:
        """Return when so many more numbers are acknowledged."""
        wanted = len(self.acknowledged) + count
        self._hub.wait_until(lambda: len(self.acknowledged) >= wanted, f"{count} more are taken")

    def _run(self) -> None:
        while not self._enough.is_set():
            with suppress(OSError, ValueError, KeyError):
                self._converse()
            self._enough.wait(0.02)

    def _converse(self) -> None:
        port = self._hub.run_file["listeners"]["json_socket"]["port"]
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            self._context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
            connection.makefile("rb") as lines,
        ):
            while not self._enough.is_set():
                number, self._next = self._next, self._next + 1
                connection.sendall(b'{"flat": %d, "room": {"nested": %d}}' % (number, number))
                if json.loads(lines.readline())["ok"]:
                    self.acknowledged.append(number)
                if self._pause:
                    self._enough.wait(self._pause)


def check_complete(hub: HubProcess, client: redis.Redis, program: Program) -> None:
    """The last values are shown; the stream has every acknowledged number, and none twice."""
    wait_level(hub)
    last = program.acknowledged[-1]
    assert int(str(client.get("flat"))) >= last
    assert int(str(client.hget("room", "nested"))) >= last
    for metric in ("flat", "nested"):
        numbers = [int(value) for value in streamed(client, metric)]
        assert numbers == sorted(set(numbers))
        assert set(program.acknowledged) <= set(numbers)


def test_hub_mirror_and_redis_are_killed_at_random(folder: Path, server: RedisServer) -> None:
    """Killed under load a dozen times: every reading is in the stream exactly once."""
    rng = random.Random(20261121)
    with mirrored(folder, server.url) as hub, Program(hub) as program:
        for victim in rng.sample(["hub", "mirror", "redis"] * 4, 12):
            program.wait_for_more(rng.randint(5, 60))
            if victim == "hub":
                hub.kill()
                hub.start()
            elif victim == "mirror":
                kill_mirror(hub)
            else:
                server.kill()
                program.wait_for_more(rng.randint(0, 20))
                server.start()
        program.wait_for_more(20)
        program.__exit__(None, None, None)
        with server.connect() as client:
            check_complete(hub, client, program)
        assert consumer(hub)["counts"]["fillings"] == 0
        assert "Traceback" not in hub.log


def test_an_idle_hub_sends_frames_along(folder: Path, server: RedisServer) -> None:
    """A value is shown from memory as long as hub and mirror live; kills leave nothing out."""
    with mirrored(folder, server.url) as hub, Program(hub) as program:
        program.idle()

        def wait_fed() -> None:
            start = consumer(hub)["counts"].get("from_memory", 0)
            hub.wait_until(
                lambda: consumer(hub)["counts"].get("from_memory", 0) >= start + 5,
                "values come from memory",
            )

        for _ in range(3):
            wait_level(hub)
            wait_fed()
            kill_mirror(hub)
            program.wait_for_more(3)
            hub.wait_until(lambda: consumer(hub)["pid"] is not None, "a mirror runs again")
            wait_level(hub)
            wait_fed()
            hub.kill()
            hub.start()
            program.wait_for_more(3)
        program.__exit__(None, None, None)
        with server.connect() as client:
            check_complete(hub, client, program)
        assert consumer(hub)["counts"]["fillings"] == 0


def test_a_mirror_that_stands_still(folder: Path, server: RedisServer) -> None:
    """The hub sends it a bounded number of frames, and holds nobody up; then all is shown."""
    with mirrored(folder, server.url) as hub, Program(hub) as program:
        program.wait_for_more(20)
        wait_for_the_present(hub)
        mirror = psutil.Process(consumer(hub)["pid"])
        mirror.suspend()
        try:
            with Sender(hub.port, hub.ca, most=20_000) as sender:
                hub.wait_until(lambda: sender.sent == 20_000, "the device is not held up")
            program.idle()
            program.wait_for_more(100)
        finally:
            mirror.resume()
        program.__exit__(None, None, None)
        with server.connect() as client:
            check_complete(hub, client, program)
        assert consumer(hub)["pid"] == mirror.pid


def test_a_redis_that_stands_still(folder: Path, server: RedisServer) -> None:
    """Connections stay open and nobody answers: senders go on, and nothing is applied twice."""
    with mirrored(folder, server.url) as hub, Program(hub) as program:
        program.wait_for_more(20)
        server.pause()
        try:
            wait_for_trouble(hub, "does not answer")
            program.wait_for_more(100)
            assert consumer(hub)["behind"] > 0
            assert consumer(hub)["age"] > 0
        finally:
            server.resume()
        program.wait_for_more(20)
        program.__exit__(None, None, None)
        with server.connect() as client:
            check_complete(hub, client, program)
        assert consumer(hub)["age"] == 0


def test_the_hub_starts_and_ends_while_redis_is_away(folder: Path, server: RedisServer) -> None:
    """Readings are taken and the status says what is the matter; later all of it is shown."""
    with mirrored(folder, server.url) as hub:
        wait_level(hub)
        assert hub.stop() == 0
        server.kill()
        hub.start()
        with Program(hub) as program:
            wait_for_trouble(hub, "does not run")
            program.wait_for_more(50)
        # The mirror has not shown what is left, and says so; the history has it all.
        assert hub.stop() == 0
        server.start()
        hub.start()
        with server.connect() as client:
            check_complete(hub, client, program)
        assert "Traceback" not in hub.log


def test_a_redis_that_is_away_for_long(folder: Path, server: RedisServer) -> None:
    """The journal moves on without holding anyone back; the mirror is filled from the history."""
    small = {"journal": {"size": "300 kB"}}
    with mirrored(folder, server.url, small) as hub:
        with Program(hub) as program:
            program.wait_for_more(5)
        wait_level(hub)
        server.kill()
        wait_for_trouble(hub, "does not run")
        with Sender(hub.port, hub.ca, most=40_000) as sender:
            hub.wait_until(lambda: sender.sent == 40_000, "the device is not held up")
        hub.wait_folded()
        hub.wait_until(lambda: hub.status()["journal"]["size"] < 300_000, "it is trimmed")
        assert consumer(hub)["position"] < hub.status()["journal"]["head"] - 1
        server.start()
        wait_level(hub)
        with server.connect() as client:
            last = 20 + (40_000 - 1) % 500 % 100 / 10
            assert client.hget("dht-127.0.0.1", "temperature") == f"{last:g}"
            assert int(str(client.get("flat"))) >= program.acknowledged[-1]
        assert consumer(hub)["counts"]["fillings"] == 2
        assert 'reason="the journal has moved on"' in hub.log


def test_a_redis_that_was_emptied_is_filled_at_once(folder: Path, server: RedisServer) -> None:
    """Without any new reading: an idle mirror looks whether all is still there."""
    with mirrored(folder, server.url) as hub, server.connect() as client:
        with Program(hub) as program:
            program.wait_for_more(5)
        wait_level(hub)
        hub.wait_folded()
        before = client.get("flat")
        client.flushall()
        hub.wait_until(lambda: client.get("flat") == before, "it is shown again")
        hub.wait_until(lambda: consumer(hub)["counts"]["fillings"] == 2, "the status counts it")


def test_the_password_is_nobody_elses(folder: Path, server: RedisServer) -> None:
    """A wrong one is named; neither is in the log, the status, run.json or a list of processes."""
    wrong = server.url.replace("pass%20word", "another")
    with mirrored(folder, wrong) as hub:
        wait_for_trouble(hub, "refuses the password")
        assert "another" not in hub.log + str(consumer(hub)["trouble"])
        examined = hub.cli("doctor", "--config", str(hub.config))
        assert "refuses the password" in examined.stdout
        assert examined.returncode == 1
        assert "another" not in examined.stdout + examined.stderr
        assert hub.stop() == 0
    hub = mirrored(folder, server.url)
    # So that its processes are called what they are in a list of processes.
    hub.fresh = True
    with hub:
        wait_level(hub)
        command = " ".join(psutil.Process(consumer(hub)["pid"]).cmdline())
        checked = hub.cli("check-config", "--config", str(hub.config)).stdout
        examined = hub.cli("doctor", "--config", str(hub.config))
        assert f"redis://:{MASK}@127.0.0.1:{server.port}/0 answers" in examined.stdout
        shown = [hub.log, hub.cli("status").stdout, hub.run_file_path.read_text("utf-8")]
        for text in (*shown, command, checked, examined.stdout):
            assert PASSWORD not in text
            assert "pass%20word" not in text


def test_a_missing_driver_is_named_at_the_start(
    folder: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub does not start with a mirror that can't ever work, and says what to install."""
    blocked = folder.parent / "blocked"
    (blocked / "redis").mkdir(parents=True)
    (blocked / "redis" / "__init__.py").write_text('raise ImportError("not here")\n')
    monkeypatch.setenv("PYTHONPATH", str(blocked))
    with pytest.raises(AssertionError) as caught, mirrored(folder, server.url):
        pass
    assert "pip install 'motehub[redis]'" in str(caught.value)
    assert "Traceback" not in str(caught.value)
