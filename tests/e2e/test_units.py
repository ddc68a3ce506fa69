"""Units and the real program: from the configuration, the command line and the API."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from tests.harness import PATIENCE, HubProcess, Settings, environment, stored
from tests.units_stand import ALL, free_port

from motehub.simulate.units import Behaviour, Lamp, ReadBoard

_Result = TypeVar("_Result")


class Boards:
    """Simulated units in a thread of their own; the hub is a process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        # Not the kernel's choice, which would be for one of the two addresses only.
        self.reader = ReadBoard("127.0.7.1", free_port(), Behaviour(rate=50), keep=ALL)
        self.run(self.reader.__aenter__())
        self.port = self.reader.port
        self.lamp = Lamp("127.0.7.2", self.port)
        self.run(self.lamp.__aenter__())

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        future: Future[_Result] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(PATIENCE)

    def end(self) -> None:
        """Switch all off."""
        self.run(self.reader.__aexit__())
        self.run(self.lamp.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def boards() -> Iterator[Boards]:
    """One that sends at 127.0.7.1, and a lamp at 127.0.7.2, on the same port."""
    made = Boards()
    try:
        yield made
    finally:
        made.end()


def settings(boards: Boards, **keys: object) -> Settings:
    return {
        "web": {"host": "127.0.0.1", "port": 0},
        # A lamp that a busy machine holds up is not told twice.
        "transport.units": {"port": boards.port, "write_timeout": "60s", **keys},
    }


def listed(hub: HubProcess) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in hub.json("units", "list")}


def test_from_the_configuration(tmp_path: Path, boards: Boards) -> None:
    """Readings are in the history, the lamp obeys, and nobody is left after the end."""
    both = {"read_units": ["127.0.7.1"], "updatable_units": ["127.0.7.2"]}
    with HubProcess(tmp_path / "data", settings(boards, **both)) as hub:
        reader, lamp = f"127.0.7.1:{boards.port}", f"127.0.7.2:{boards.port}"
        hub.wait_stored(reader, "value", 20)
        done = hub.cli("send", lamp, "#ff8800", "--wait")
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip().endswith(": sent")
        assert boards.lamp.colours == ["#ff8800"]
        assert listed(hub)[reader]["state"] == "connected"
        assert hub.device(reader)["online"] is True
        assert hub.status()["transports"]["units"]["connected"] == 1
        assert hub.stop() == 0
        values = [value for _, value in stored(hub.data)[reader, "value"]]
        assert values == boards.reader.sent[: len(values)]
        assert boards.reader.connections == 1


def test_on_the_command_line(tmp_path: Path, boards: Boards) -> None:
    """Scan, add, test, change, rename, send, remove; and all of it is there after a kill."""
    with HubProcess(tmp_path / "data", settings(boards)) as hub:
        found = hub.json("units", "scan", "127.0.7.0/29", "--port", str(boards.port))
        assert [row["address"] for row in found] == ["127.0.7.1", "127.0.7.2"]
        assert found[0]["line"].isdigit()
        added = hub.cli("units", "add", "127.0.7.1", "--name", "adc", "--metric", "light")
        assert (added.returncode, added.stderr) == (0, "")
        assert hub.cli("units", "add", "127.0.7.2", "--kind", "updatable").returncode == 0
        tested = hub.cli("units", "test", "adc")
        assert tested.returncode == 0, tested.stderr
        assert len(tested.stdout.split()) == 10
        ranges = ("--input-range", "0", "1023", "--output-range", "0", "100", "--unit", "%")
        changed = hub.cli("units", "change", "adc", *ranges, "--maximum", "100")
        assert (changed.returncode, changed.stderr) == (0, "")
        renamed = hub.cli("units", "rename", f"127.0.7.2:{boards.port}", "lamp")
        assert (renamed.returncode, renamed.stderr) == (0, "")
        hub.kill()
        hub.start()
        row = listed(hub)["adc"]
        assert (row["output_range"], row["unit"], row["maximum"]) == ([0, 100], "%", 100)
        assert row["origin"] == "added"
        assert ",0 1023,0 100," in hub.cli("units", "list", "--format", "csv").stdout
        assert hub.cli("send", "lamp", "red", "--wait").returncode == 0
        assert boards.lamp.colours == ["#ff0000"]
        assert hub.cli("units", "remove", "adc").returncode == 0
        assert set(listed(hub)) == {"lamp"}
        again = hub.cli("units", "remove", "adc")
        assert again.returncode == 1
        assert "no unit 'adc'" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("add", "lamp.local"), 1, "not an IP address"),
        (("add", "127.0.7.1", "--input-range", "0", "1023"), 1, "output_range"),
        (("add", "127.0.7.1", "--minimum", "low"), 2, "neither a number"),
        (("scan", "8.8.8.0/24"), 1, "private"),
        (("test", "nobody"), 1, "no unit"),
        (("change", "nobody"), 1, "no unit"),
    ],
)
def test_mistakes_are_explained(
    arguments: tuple[str, ...], status: int, words: str, shared: HubProcess
) -> None:
    """What can't be done is a sentence and an exit status."""
    done = shared.cli("units", *arguments)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with an empty section."""
    data = tmp_path_factory.mktemp("units") / "data"
    keys: Settings = {
        "web": {"host": "127.0.0.1", "port": 0},
        "transport.units": {"port": free_port()},
    }
    with HubProcess(data, keys) as hub:
        yield hub


def test_over_the_api(tmp_path: Path, boards: Boards) -> None:
    """The owner's token manages units; another one does not even see them."""
    with HubProcess(tmp_path / "data", settings(boards)) as hub:

        def client(scope: str) -> httpx.Client:
            secret = hub.cli("token", "create", scope, "--scope", scope).stdout.strip()
            return httpx.Client(
                base_url=f"http://127.0.0.1:{hub.run_file['listeners']['web']['port']}/api/v1",
                headers={"Authorization": f"Bearer {secret}"},
                timeout=30,
                trust_env=False,
            )

        with client("read") as reader:
            assert reader.get("/units").status_code == 403
        with client("admin") as owner:
            assert owner.get("/units").json() == []
            body = {"address": "127.0.7.1", "name": "adc", "minimum": 0}
            answer = owner.post("/units", json=body)
            assert answer.status_code == 201, answer.text
            assert (answer.json()["minimum"], answer.json()["maximum"]) == (0, None)
            assert owner.post("/units", json=body).status_code == 409
            lines = owner.post("/units/adc/test", json={"seconds": 20}).json()["lines"]
            assert len(lines) == 10
            answer = owner.patch("/units/adc", json={"scale": 0.5, "minimum": None, "name": "half"})
            assert answer.status_code == 200, answer.text
            shown = owner.get("/units/half").json()
            assert (shown["scale"], shown["minimum"], shown["origin"]) == (0.5, None, "added")
            where = {"addresses": "127.0.7.0/29", "port": boards.port}
            found = owner.post("/unit-scan", json=where).json()
            assert [one["name"] for one in found] == ["half", ""]
            for wrong in ({"address": "lamp"}, {"address": "127.0.7.2", "kind": "write"}, {}):
                assert owner.post("/units", json=wrong).status_code == 400
            assert owner.patch("/units/half", json={"input_range": [0, 1]}).status_code == 400
            assert owner.delete("/units/half").status_code == 204
            assert owner.get("/units/half").status_code == 404


def test_simulated_units(tmp_path: Path) -> None:
    """`motehub simulate units` is boards to which a hub connects, until it is interrupted."""
    port = free_port()
    command = [sys.executable, "-m", "motehub", "simulate", "units", "--devices", "2"]
    command += ["--lamps", "1", "--rate", "20", "--host", "127.0.8.1", "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as boards:
        assert boards.stdout is not None
        assert "2 boards" in boards.stdout.readline()
        keys = {"read_units": ["127.0.8.1", "127.0.8.2"], "updatable_units": ["127.0.8.3"]}
        section: Settings = {"transport.units": {"port": port, **keys}}
        with HubProcess(tmp_path / "data", section) as hub:
            hub.wait_stored(f"127.0.8.2:{port}", "value", 5)
            assert hub.cli("send", f"127.0.8.3:{port}", "lime", "--wait").returncode == 0
        boards.send_signal(signal.SIGINT)
        output, errors = boards.communicate(timeout=PATIENCE)
    assert "127.0.8.3 shows #00ff00" in output
    assert "Traceback" not in errors


def test_a_hub_without_units_says_what_to_do(tmp_path: Path) -> None:
    """Without the section there is nobody to speak with."""
    with HubProcess(tmp_path / "data") as hub:
        done = hub.cli("units", "list")
        assert done.returncode == 1
        assert "[transport.units]" in done.stderr
