"""``motehub token``, beside a running hub and without one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.harness import PATIENCE, HubProcess, cli, environment, recent, records, send

KEY = "an old key of a Pi"


def token(
    data: Path, *arguments: str, typed: str | bytes = b"", variables: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """Run ``motehub token …`` on a folder with ``typed`` as its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "motehub", "token", *arguments, "--data", str(data)],
        input=typed.encode() if isinstance(typed, str) else typed,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        env={**environment(), **variables},
    )
    output = (done.stdout.decode(), done.stderr.decode())
    return subprocess.CompletedProcess(done.args, done.returncode, *output)


def contents(folder: Path) -> list[bytes]:
    """Return what is in all files of a hub, among them its journal."""
    found: dict[Path, bytes] = {}
    for file in folder.rglob("*"):
        # A database that is just being made has a journal of its own for a moment.
        with suppress(FileNotFoundError):
            if file.is_file():
                found[file] = file.read_bytes()
    assert folder / "journal.db" in found
    return [*found.values()]


def names(hub: HubProcess) -> list[str]:
    return [row["name"] for row in hub.json("token", "list")]


def test_a_script_gets_the_token_alone(lab: HubProcess) -> None:
    """Standard output holds the secret and nothing else; what else is said goes elsewhere."""
    done = lab.cli("token", "create", "script", "--scope", "write,read", "--scope", "control")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mh_")
    assert len(done.stdout.split()) == 1
    assert done.stdout.strip() not in done.stderr
    (row,) = (row for row in lab.json("token", "list") if row["name"] == "script")
    assert row["scopes"] == ["write", "read", "control"]
    assert (row["devices"], row["expires"]) == ([], None)
    assert lab.cli("token", "revoke", "script").returncode == 0
    assert "script" not in names(lab)


def test_a_list_shows_what_each_token_may(lab: HubProcess) -> None:
    """Bound devices and the end are there for programs and for people, secrets are not."""
    bound = ("--device", "attic", "--device", "cellar", "--expires", "90d")
    secret = lab.cli("token", "create", "bound", *bound).stdout.strip()
    (row,) = (row for row in lab.json("token", "list") if row["name"] == "bound")
    assert (row["scopes"], row["devices"]) == (["write"], ["attic", "cellar"])
    ends = datetime.fromisoformat(row["expires"]) - datetime.now(UTC)
    assert timedelta(days=89) < ends < timedelta(days=91)
    lab.cli("token", "create", "lasting")
    for format_ in ("table", "csv", "json"):
        listed = lab.cli("token", "list", "--format", format_).stdout
        assert "attic" in listed
        assert secret not in listed
    table = lab.cli("token", "list").stdout.splitlines()
    assert next(line.split()[-1] for line in table if line.startswith("lasting")) == "never"


@pytest.mark.parametrize("offline", [False, True])
def test_a_token_survives_a_power_cut(folder: Path, offline: bool) -> None:
    """Once the command has printed the secret, the token is durable."""
    with HubProcess(folder) as hub:
        if offline:
            hub.kill()
        assert hub.cli("token", "create", "kept").returncode == 0
        assert hub.cli("token", "create", "gone").returncode == 0
        assert hub.cli("token", "revoke", "gone").returncode == 0
        if not offline:
            hub.kill()
        hub.start()
        assert names(hub) == ["kept"]


def test_a_folder_gets_its_tokens_before_the_first_start(folder: Path) -> None:
    """A script may prepare a hub: the folder is made, for its owner alone, and said to be new."""
    done = token(folder, "create", "first")
    assert done.returncode == 0, done.stderr
    assert "No hub has run" in done.stderr
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())
    assert "No hub has run" not in token(folder, "create", "second").stderr
    with HubProcess(folder) as hub:
        assert names(hub) == ["first", "second"]
        assert hub.stop() == 0


def test_secrets_are_nowhere_to_be_found(folder: Path) -> None:
    """Neither a secret nor the hash that clients show is in any file of the hub, or its log."""
    assert token(folder, "create", "before", "--existing-key", typed=f"{KEY}-1\n").returncode == 0
    with HubProcess(folder) as hub:
        made = hub.cli("token", "create", "made").stdout.strip()
        assert made.startswith("mh_")
        token(folder, "create", "given", "--existing-key", typed=KEY)
        token(folder, "create", "refused", "--existing-key", typed=KEY)
        assert names(hub) == ["before", "given", "made"]
        hub.wait_folded()
        content = contents(folder)
        assert b"given" in b"".join(content)
        assert hub.stop() == 0
        content += [*contents(folder), hub.log_file.read_bytes()]
    for secret in (made, KEY, f"{KEY}-1"):
        shown = sha256(secret.encode())
        for part in (secret.encode(), shown.hexdigest().encode(), shown.digest()):
            assert not any(part in one for one in content)


def test_a_key_that_devices_have_already_is_read_and_not_printed(folder: Path) -> None:
    """Nothing goes to standard output, and a key belongs to one token only."""
    done = token(folder, "create", "pi", "--existing-key", typed=f"{KEY}\r\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert "pi" in done.stderr
    again = token(folder, "create", "other", "--existing-key", typed=KEY)
    assert again.returncode == 1
    assert "'pi' has this key" in again.stderr
    assert KEY not in done.stderr + again.stderr


def test_a_key_is_asked_for_on_a_terminal(folder: Path) -> None:
    """What is typed is not shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "motehub", "token", "create", "pi", "--existing-key"]
    with subprocess.Popen(
        [*command, "--data", str(folder)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = b""
        while b"Key" not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, f"{KEY}\n".encode())
        with os.fdopen(ours, "rb", 0) as terminal:
            while b"is made" not in seen:
                seen += terminal.read(1000)
        assert process.wait(PATIENCE) == 0
    assert KEY.encode() not in seen
    assert "'pi' has this key" in token(folder, "create", "x", "--existing-key", typed=KEY).stderr


@pytest.mark.parametrize(
    ("arguments", "typed", "status", "words"),
    [
        (("create", "x", "--existing-key"), b"", 2, "one line"),
        (("create", "x", "--existing-key"), b"key number one\nkey number two\n", 2, "one line"),
        (("create", "x", "--existing-key"), b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\n", 2, "one line"),
        (("create", "x", "--existing-key"), b"k" * 100_000, 2, "one line"),
        (("create", "x", "--existing-key"), b"short\n", 1, "8 to 256"),
        (("create", "x", "--scope", "write,root"), b"", 2, "'root' is no scope"),
        (("create", "x", "--scope", ""), b"", 2, "is no scope"),
        (("create", "x", "--expires", "soon"), b"", 2, "--expires"),
        (("create", "x", "--expires", "9999999y"), b"", 1, "year 10000"),
        (("create", "x", "--scope", "admin", "--device", "attic"), b"", 1, "can't be bound"),
        (("create", "x", "--device", "a;b"), b"", 1, "can't contain ';'"),
        (("create", "a/b"), b"", 1, "can't contain '/'"),
        (("revoke", "nosuch"), b"", 1, "no token called 'nosuch'"),
    ],
)
def test_what_can_not_be_is_told(
    lab: HubProcess, arguments: tuple[str, ...], typed: bytes, status: int, words: str
) -> None:
    """A sentence says what is wrong; nothing is made, nothing goes to standard output."""
    done = token(lab.data, *arguments, typed=typed)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "x" not in names(lab)


def test_a_list_or_revocation_makes_no_folder(folder: Path) -> None:
    """Only 'create' has something to put into a new one."""
    for arguments in (("list",), ("revoke", "x")):
        done = cli("token", *arguments, data=folder)
        assert done.returncode == 1
        assert "no hub data" in done.stderr
    assert not folder.exists()


def test_a_token_is_made_while_the_history_is_away(folder: Path) -> None:
    """The secret is not lost because a database does not answer."""
    assert token(folder, "create", "first").returncode == 0
    away = {"MOTEHUB_STORE_TYPE": "postgres", "MOTEHUB_STORE_URL": "postgres://127.0.0.1:1/x"}
    done = token(folder, "create", "second", variables=away)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mh_")
    assert "second" in token(folder, "list", variables=away).stdout


def test_a_token_follows_the_device_that_it_is_bound_to(lab: HubProcess, address: str) -> None:
    """After 'devices rename' it is bound to the new name."""
    send(lab.port, lab.ca, records(recent(1), 1), address)
    lab.wait_stored(f"dht-{address}", "temperature", 1)
    lab.cli("token", "create", "follower", "--device", f"dht-{address}")
    assert lab.cli("devices", "rename", f"dht-{address}", "orangery").returncode == 0
    (row,) = (row for row in lab.json("token", "list") if row["name"] == "follower")
    assert row["devices"] == ["orangery"]
