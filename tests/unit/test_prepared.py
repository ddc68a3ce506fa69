"""What the tests start as forks behaves as what an owner starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests import prepared
from tests.harness import HubProcess, cli, environment


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
