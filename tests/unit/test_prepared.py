"""What the tests start as forks behaves as what an owner starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests import nursery, prepared
from tests.harness import HubProcess, alive, cli, environment
from tests.web_hub import WEB, WebHub
from tests.webhook_hub import SECRET


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("devices", "list"),
        ("devices", "lst"),
        ("token", "revoke", "é"),
        ("init", "-"),
        (),
    ],
)
def test_a_fork_says_and_returns_the_same(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Output, errors and exit status are those of a Python of its own, in the same folder."""
    monkeypatch.chdir(tmp_path)
    real = subprocess.run(
        [sys.executable, "-m", "motehub", *arguments],
        env=environment() | {"MOTEHUB_DATA": "data"},
        capture_output=True,
        text=True,
        check=False,
    )
    fork = cli(*arguments, data=Path("data"))
    assert (fork.returncode, fork.stdout, fork.stderr) == (
        real.returncode,
        real.stdout,
        real.stderr,
    )


def test_a_fork_is_given_its_input(tmp_path: Path) -> None:
    """As through a pipe, to its end."""
    for given, status in (("", 2), ("key-of-the-owner\n", 0)):
        done = cli("token", "create", "pi", "--existing-key", data=tmp_path / "data", given=given)
        assert done.returncode == status, done.stderr


def test_a_fork_that_is_killed_says_by_what(tmp_path: Path) -> None:
    """And it was a process group of its own."""
    with HubProcess(tmp_path / "data") as hub:
        assert os.getpgid(hub.pid) == hub.pid
        assert hub.process.poll() is None
        hub.kill()
        assert hub.process.poll() == -signal.SIGKILL
        hub.process.kill()


def test_another_start_of_python_is_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork can't do what PYTHON… variables say."""
    fresh: list[Sequence[str]] = []
    start_fresh = prepared.start_fresh

    def noted(arguments: Sequence[str], *rest: Any, **options: Any) -> prepared.Running:
        fresh.append(arguments)
        return start_fresh(arguments, *rest, **options)

    monkeypatch.setattr(prepared, "start_fresh", noted)
    assert cli("--version").returncode == 0
    assert not fresh
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    assert cli("--version").returncode == 0
    assert fresh == [("--version",)]


_MORE = """
[[rule]]
name = "cold"
metric = "temperature"
below = 0

[[mirror]]
type = "redis"
url = "redis://127.0.0.1:{port}"

[[webhook]]
name = "desk"
secret = "{secret}"
url = "http://127.0.0.1:{port}/"
"""


@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_hub_starts_is_its_own(fresh: bool, tmp_path: Path, unused_tcp_port: int) -> None:
    """Forks or programs of their own: children of the hub, which go with it, and are restarted."""
    hub = WebHub(tmp_path / "data", WEB)
    with hub.config.open("a", encoding="utf-8") as file:
        file.write(_MORE.format(port=unused_tcp_port, secret=SECRET))
    hub.fresh = fresh
    with hub:
        hub.curl("/api/v1/devices", token=hub.token("reader", "read"))
        parts = psutil.Process(hub.pid).children()
        commands = {" ".join(part.cmdline()[1:3]) for part in parts}
        # Certificates were made before the hub had started.
        programs = {f"-m {name}" for name in nursery.PROGRAMS if name != "motehub.security"}
        assert commands == (programs if fresh else {"-m tests.prepared"})
        assert len(parts) == len(programs) + (not fresh)
        writer = hub.kill_writer()
        hub.wait_until(lambda: hub.writer_pid != writer, "there is another writer")
        hub.kill()
        pids = [part.pid for part in parts]
        hub.wait_until(lambda: not alive(pids), "all have ended")
