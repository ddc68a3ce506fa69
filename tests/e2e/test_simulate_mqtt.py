"""`motehub simulate mqtt` and `device_session` against the running program."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness import OPEN, PATIENCE, environment
from tests.mqtt_hub import BROKER, MqttHub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MqttHub]:
    """An open hub with a broker."""
    with MqttHub(tmp_path_factory.mktemp("simulate") / "data", {**OPEN, **BROKER}) as running:
        yield running


def devices(hub: MqttHub) -> dict[str, dict[str, Any]]:
    hub.wait_folded()
    return {row["name"]: row for row in hub.json("devices", "list")}


@pytest.mark.parametrize("options", [(), ("--mqtt-version", "5", "--tls")], ids=["3.1.1", "5 TLS"])
def test_every_acknowledged_reading_is_stored(hub: MqttHub, options: tuple[str, ...]) -> None:
    """Sensors get a token for as long as they run, and each of their messages counts."""
    before = {name: row["stored"] for name, row in devices(hub).items()}
    given = ("--devices", "3", "--rate", "50", "--batch", "0.2", "--duration", "1")
    done = hub.cli("simulate", "mqtt", *given, *options)
    assert done.returncode == 0, done.stderr
    messages = 3 * 51
    assert done.stdout.startswith(f"{messages} messages ({messages} acknowledged, 0 refused)")
    assert "over 3 connections, 0 failures" in done.stdout
    now = devices(hub)
    for name in ("simulated-1", "simulated-2", "simulated-3"):
        assert now[name]["stored"] - before.get(name, 0) == 2 * 51
    assert hub.json("token", "list") == []


def test_a_token_of_the_owner(hub: MqttHub, tmp_path: Path) -> None:
    """A token that may not write, or is none, is told as the hub tells it."""
    (tmp_path / "token").write_text(hub.cli("token", "create", "reader", "--scope", "read").stdout)
    (tmp_path / "wrong").write_text("mh_guessed\n")
    port = ("--port", str(hub.mqtt_port), "--duration", "1")
    given = ("--rate", "20", *port, "--mqtt-version", "5", "--token-file")
    done = hub.cli("simulate", "mqtt", *given, str(tmp_path / "token"))
    assert done.returncode == 0
    assert "(0 acknowledged, " in done.stdout
    assert "may not publish on readings/simulated-1" in done.stdout
    done = hub.cli("simulate", "mqtt", *given, str(tmp_path / "wrong"))
    assert done.returncode == 1
    assert "bad user name or password" in done.stderr
    done = hub.cli("simulate", "mqtt", *given, str(tmp_path / "none"))
    assert done.returncode == 1
    assert "Can't read the token" in done.stderr


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_boards_live_their_lives(hub: MqttHub, version: str) -> None:
    """They get names, report, obey, and are offline once they have left."""
    command = [sys.executable, "-m", "motehub", "simulate", "device_session"]
    command += ["--devices", "2", "--rate", "20", "--duration", "10", "--mqtt-version", version]
    with subprocess.Popen(
        [*command, "--data", str(hub.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as boards:

        def online() -> list[str]:
            return [row["name"] for row in hub.json("devices", "list") if row["online"]]

        hub.wait_until(lambda: len(online()) == 2, "both boards are online")
        sent = hub.cli("send", "capteur01", "--name", "led", "--value", "1", "--wait")
        assert sent.returncode == 0, sent.stderr
        assert "confirmed" in sent.stdout
        printed, _ = boards.communicate(timeout=PATIENCE)
    assert boards.returncode == 0
    totals = re.fullmatch(
        r"(\d+) messages \((\d+) acknowledged, 0 refused\), 2 sessions, 1 commands obeyed, "
        r"4 connections, 0 failures\n",
        printed,
    )
    assert totals is not None, printed
    # Two joins, a LED and a goodbye of each board, and one command.
    assert int(totals[2]) == 2 * 4 + 1
    rows = devices(hub)
    assert [rows[name]["online"] for name in ("capteur01", "capteur02")] == [False, False]
    assert all(rows[name]["rejected"] == 0 for name in ("capteur01", "capteur02"))


def test_boards_have_no_batches(hub: MqttHub) -> None:
    """An option that would do nothing is a mistake."""
    done = hub.cli("simulate", "device_session", "--batch", "5")
    assert done.returncode == 2
    assert "--batch is an option of dht_stream, json_socket and mqtt" in done.stderr
    done = hub.cli("simulate", "json_socket", "--tls")
    assert "--tls is an option of mqtt and device_session, not of json_socket." in done.stderr
