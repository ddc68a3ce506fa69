"""Whatever happens, people get a sentence and scripts an exit status."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.harness import cli, environment

MOTEHUB = [sys.executable, "-m", "motehub"]


def run(
    *arguments: str | bytes, variables: Mapping[str, str | bytes] = {}, code: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``motehub …``, or ``code`` in its place, with further variables."""
    command: Sequence[str | bytes] = [sys.executable, "-c", code] if code else MOTEHUB
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        timeout=60,
        check=False,
        env={key: os.fsdecode(text) for key, text in {**environment(), **variables}.items()},
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("events", "--limit", "99999999999999999999"), "--limit"),
        (("readings", "x", "--since", "yesterday"), "'yesterday' is not a time"),
        (("readings", "x", "--since", "99999999999y"), "is not a time"),
        (("readings", "x", "--since", "99999y"), "before the year 1"),
        (("simulate", "nosuch"), "dht_stream"),
        (("simulate", "dht_stream", "--port", "99999999"), "--port"),
        (("simulate", "dht_stream", "--duration", "nan"), "not a finite number"),
        (("simulate", "dht_stream", "--duration", "-5"), "--duration"),
        (("simulate", "dht_stream", "--rate", "inf"), "not a finite number"),
        (("plot", "device", "--db", "x.db"), "leave out DEVICE"),
        (("devices", "accept", b"\xff\x9b"), "is not UTF-8 text"),
        (("nosuch",), "No such command"),
    ],
)
def test_wrong_usage_exits_2(arguments: Sequence[str | bytes], words: str) -> None:
    """What can't be meant is refused with a sentence that names it, before anything is done."""
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_variable_that_is_no_text_exits_2() -> None:
    """A setting in another encoding is named."""
    done = run("check-config", variables={"MOTEHUB_HUB_NAME": b"caf\xe9"})
    assert done.returncode == 2
    assert "MOTEHUB_HUB_NAME is not UTF-8 text" in done.stderr


def test_a_unit_is_printed_where_the_terminal_has_no_such_character(tmp_path: Path) -> None:
    """Where °C can't be written, an escape is, and the command goes on."""
    config = tmp_path / "x.toml"
    config.write_text('[hub]\nname = "20 °C"', "utf-8")
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = run("check-config", "--config", str(config), variables=ascii_only)
    assert done.returncode == 0, done.stderr
    assert r"20 \xb0C" in done.stdout


def test_a_full_disk_behind_the_output_is_a_sentence() -> None:
    """Output that can't be written is a failure, said once."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*MOTEHUB, "init", "-"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "motehub: The output can't be written: No space left on device.\n"


@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_reader_that_has_enough_is_no_failure(rows: int) -> None:
    """``motehub … | head -1`` ends silently, however much there was to say."""
    code = (
        "import motehub.cli as c\n"
        "from motehub.cli.options import Format\n"
        "from motehub.cli.printing import print_rows\n"
        "@c.app.command('much')\n"
        f"def much(): print_rows(('a',), [{{'a': 'x' * 100}}] * {rows}, Format.CSV, '')\n"
        "c.main()"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code, "much"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    assert command.stderr is not None
    with command, command.stdout as output:
        output.close()
        assert command.stderr.read() == b""
    assert command.returncode == 0


def fault(raised: str) -> str:
    return (
        "import motehub.cli as c\n"
        "from motehub.errors import OwnerError\n"
        "@c.app.command('boom')\n"
        f"def boom(): raise {raised}\n"
        "c.main()"
    )


def test_a_fault_is_a_sentence() -> None:
    """What nobody foresaw is one line, and its place is shown only on request."""
    code = fault(r"RuntimeError('odd\n\x1b[2J')")
    done = run("boom", code=code)
    assert done.returncode == 1
    assert done.stderr.startswith(r"motehub: This is a fault of motehub: RuntimeError: odd \x1b[2J")
    assert done.stderr.count("\n") == 1
    assert "Traceback" in run("boom", code=code, variables={"MOTEHUB_TRACE": "1"}).stderr


def test_the_trace_variable_is_no_setting() -> None:
    """Asking for a trace does not stop a command that reads the configuration."""
    assert run("check-config", variables={"MOTEHUB_TRACE": "1"}).returncode == 0


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        ("MemoryError", "Memory ran out"),
        ("PermissionError(13, 'Permission denied', 'x.db')", "x.db can't be used: Permission"),
        (r"OwnerError('a\u202eb\x9b\nfake row')", r"a\u202eb\x9b fake row"),
    ],
)
def test_errors_are_one_line_of_visible_text(raised: str, words: str) -> None:
    """Sentences quote input; it can't act on the terminal or begin a line of its own."""
    done = run("boom", code=fault(raised))
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_and_version_exit_0() -> None:
    """Neither is a failure."""
    assert cli("--help").returncode == 0
    assert cli("--version").stdout.startswith("motehub ")
    assert cli("readings", "--help").returncode == 0
