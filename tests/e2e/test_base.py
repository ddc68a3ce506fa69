"""Base and dashboard: two processes that only HTTP and WebSocket join."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from tests.base_stand import BaseProcess, Loop, Way, base_settings, commanded
from tests.harness import HubProcess, Settings, cli, stored
from tests.pusher_hub import PusherHub

from motehub.simulate.units import Board, Lamp, ReadBoard

REQUESTS = "private-requests"
UPDATE = "update.request"


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Where the boards live."""
    with Loop() as made:
        yield made


@pytest.fixture
def lamp(loop: Loop) -> Lamp:
    """A unit that is told colours."""
    return loop.lamp("127.0.8.1")


@pytest.fixture
def reader(loop: Loop) -> ReadBoard:
    """A unit that sends readings."""
    return loop.reader("127.0.8.2", 50)


@pytest.fixture
def dashboard(tmp_path: Path, lamp: Lamp) -> Iterator[PusherHub]:
    """A hub on the internet, which knows of the lamp."""
    settings: Settings = {
        "web": {"host": "127.0.0.1", "port": 0},
        "transport.units": {"unit": [{"address": lamp.host, "port": lamp.port, "kind": "remote"}]},
    }
    with PusherHub(tmp_path / "dashboard", settings) as hub:
        yield hub


def key_of(board: Board) -> str:
    return f"{board.host}:{board.port}"


def units_of(*boards: Board) -> Mapping[str, object]:
    return {
        "unit": [
            {
                "address": board.host,
                "port": board.port,
                "kind": "updatable" if isinstance(board, Lamp) else "read",
            }
            for board in boards
        ]
    }


def values_of(dashboard: PusherHub, reader: ReadBoard) -> list[int]:
    """Return what the dashboard has stored of a unit, oldest first."""
    return [int(value) for _, value in stored(dashboard.data)[key_of(reader), "value"]]


def state_of(dashboard: PusherHub, token: str, command: str) -> str:
    _, _, answer = dashboard.curl(f"/api/v1/commands/{command}", token=token)
    return str(json.loads(answer)["state"])


def wait_state(dashboard: PusherHub, token: str, command: str, state: str) -> None:
    """Return when the dashboard says that of a command."""
    dashboard.wait_until(
        lambda: state_of(dashboard, token, command) == state, f"the command is {state}"
    )


def wait_counted(base: BaseProcess, **counts: int) -> None:
    """Return when the base unit has counted this: it does so after the deed."""

    def are_counted() -> bool:
        counters = base.counters
        return all(counters[name] == count for name, count in counts.items())

    base.wait_until(are_counted, f"{counts} are counted")


def wait_nobody_hears(dashboard: PusherHub) -> None:
    """Return when the dashboard knows that the base unit is gone."""
    program = dashboard.program()
    dashboard.wait_until(
        lambda: not program.channels_info(REQUESTS)["channels"], "the base unit is gone"
    )


def test_colours_go_there_and_readings_come_back(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp, reader: ReadBoard
) -> None:
    """A command of the dashboard's API reaches the lamp, the reading of a unit its history."""
    settings = base_settings(dashboard, dashboard.web_port, units_of(lamp, reader))
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        control = dashboard.token("control", "control,read")
        command = commanded(dashboard, control, key_of(lamp), "#ff8800")
        assert loop.run(lamp.told(1)) == ["#ff8800"]
        wait_state(dashboard, control, command, "sent")
        dashboard.wait_stored(key_of(reader), "value", 20)
        wait_counted(base, requests_taken=1)
        assert base.stop() == 0
        assert not base.run_file_path.exists()
    found = values_of(dashboard, reader)
    assert found == reader.sent[: len(found)]


def test_over_tls_and_in_a_whole_hub(
    tmp_path: Path, loop: Loop, lamp: Lamp, reader: ReadBoard
) -> None:
    """With the dashboard's own authority; a hub with a history can be a base unit as well."""
    settings: Settings = {
        "web": {"host": "127.0.0.1", "port": 0, "tls": "auto"},
        "transport.units": {"unit": [{"address": lamp.host, "port": lamp.port, "kind": "remote"}]},
    }
    with PusherHub(tmp_path / "dashboard", settings) as dashboard:
        keys = {
            "api_url": dashboard.url,
            "ca": str(dashboard.ca),
            "tls": True,
        }
        ours = base_settings(dashboard, dashboard.web_port, units_of(lamp, reader), **keys)
        with HubProcess(tmp_path / "base", ours) as base:
            base.wait_until(
                lambda: base.status()["transports"]["pusher_client"]["subscribed"] == 1, "it hears"
            )
            done = dashboard.cli("send", key_of(lamp), "red", "--wait")
            assert done.returncode == 0, done.stderr
            assert loop.run(lamp.told(1)) == ["red"]
            dashboard.wait_stored(key_of(reader), "value", 10)
            base.wait_stored(key_of(reader), "value", 10)
            assert base.stop() == 0


def test_a_link_that_is_cut_again_and_again(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp, reader: ReadBoard
) -> None:
    """No reading is lost, no command is carried out twice, and both keep their order."""
    link = loop.link(dashboard.web_port)
    settings = base_settings(dashboard, link.port, units_of(lamp, reader))
    control = dashboard.token("control", "control")
    wanted: list[str] = []

    def tell(count: int) -> None:
        for _ in range(count):
            wanted.append(f"#{len(wanted):06x}")
            commanded(dashboard, control, key_of(lamp), wanted[-1])

    with BaseProcess(tmp_path / "base", settings) as base:
        for _ in range(3):
            base.wait_subscribed()
            tell(3)
            loop.run(lamp.told(len(wanted)))
            loop.run(link.cut())
            wait_nobody_hears(dashboard)
            tell(3)
            loop.run(link.open())
        assert loop.run(lamp.told(len(wanted))) == wanted
        cut = len(reader.sent)
        dashboard.wait_stored(key_of(reader), "value", cut + 10)
        wait_counted(base, requests_taken=len(wanted))
        assert base.counters["connections"] >= 4
    dashboard.wait_folded()
    found = values_of(dashboard, reader)
    assert found == reader.sent[: len(found)]
    assert lamp.payloads == wanted


def test_commands_that_meet_the_cut(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp
) -> None:
    """Whatever the moment of the cut, each is done once, and nothing overtakes."""
    link = loop.link(dashboard.web_port)
    settings = base_settings(dashboard, link.port, units_of(lamp))
    control = dashboard.token("control", "control")
    wanted = [f"#{number:06x}" for number in range(40)]
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        for number, colour in enumerate(wanted):
            commanded(dashboard, control, key_of(lamp), colour)
            if number % 10 == 5:
                loop.run(link.cut())
                loop.run(link.open())
        commanded(dashboard, control, key_of(lamp), "white")
        base.wait_until(lambda: "white" in lamp.payloads, "the last one is done")
    assert lamp.payloads == [*wanted, "white"]


def test_requests_that_are_lost_on_their_way_come_again(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp
) -> None:
    """What a dying line has swallowed, of requests and of answers, is said anew on the next one."""
    link = loop.link(dashboard.web_port)
    settings = base_settings(dashboard, link.port, units_of(lamp))
    control = dashboard.token("control", "control")
    wanted: list[str] = []
    commands: list[str] = []

    def tell(count: int) -> None:
        for _ in range(count):
            wanted.append(f"#{len(wanted):06x}")
            commands.append(commanded(dashboard, control, key_of(lamp), wanted[-1]))

    def cut() -> None:
        loop.run(link.cut())
        loop.run(link.open())

    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        tell(5)
        loop.run(lamp.told(5))
        link.swallow(Way.DOWN)
        tell(10)
        cut()
        loop.run(lamp.told(15))
        base.wait_subscribed()
        link.swallow(Way.UP)
        tell(10)
        loop.run(lamp.told(25))
        assert state_of(dashboard, control, commands[-1]) == "queued"
        cut()
        for command in commands:
            wait_state(dashboard, control, command, "sent")
        assert base.counters["requests_taken"] == 25
        assert base.counters["requests_repeated"] >= 10
    assert lamp.payloads == wanted


def test_the_dashboard_hears_why_a_unit_could_not_be_told(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp
) -> None:
    """With the reason of the base unit, before the command's time is over."""
    settings = base_settings(dashboard, dashboard.web_port, units_of(lamp))
    control = dashboard.token("control", "control")
    loop.run(lamp.__aexit__())
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        command = commanded(dashboard, control, key_of(lamp), "red", 2)
        wait_state(dashboard, control, command, "failed")
        _, _, answer = dashboard.curl(f"/api/v1/commands/{command}", token=control)
        assert "refuse" in json.loads(answer)["reason"]


def test_both_are_killed_with_a_command_on_its_way(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp
) -> None:
    """The base unit has it durably and carries it out once; the dashboard hears of it."""
    link = loop.link(dashboard.web_port)
    settings = base_settings(dashboard, link.port, units_of(lamp))
    control = dashboard.token("control", "control")
    loop.run(lamp.__aexit__())
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        command = commanded(dashboard, control, key_of(lamp), "red")
        base.wait_until(lambda: base.counters["answers"] == 1, "the base unit has it")
        dashboard.kill()
        base.kill()
        with loop.again(lamp):
            dashboard.start()
            link.target = dashboard.web_port
            base.start()
            wait_state(dashboard, control, command, "sent")
            assert lamp.payloads == ["red"]


def test_who_says_it_twice_is_heard_once(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp
) -> None:
    """By the command's id, after kill -9 too; without an id each is carried out."""
    settings = base_settings(dashboard, dashboard.web_port, units_of(lamp))
    program = dashboard.program()

    def ask(payload: str, **more: str) -> None:
        program.trigger(REQUESTS, UPDATE, {"ip": key_of(lamp), "payload": payload, **more})

    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        for _ in range(3):
            ask("red", id="0001")
        ask("blue", id="0002")
        assert loop.run(lamp.told(2)) == ["red", "blue"]
        base.kill()
        wait_nobody_hears(dashboard)
        base.start()
        base.wait_subscribed()
        for id_ in ("0001", "0002"):
            ask("black", id=id_)
        ask("lime")
        ask("lime")
        base.wait_until(lambda: lamp.payloads.count("lime") == 2, "the last ones are done")
        # A command that had left, while the note of it was not durable yet, leaves once more.
        again = lamp.payloads[2:-2]
        assert again in ([], ["blue"], ["red", "blue"])
        assert lamp.payloads == ["red", "blue", *again, "lime", "lime"]
        wait_counted(base, requests_repeated=2, requests_taken=2)


def test_requests_for_what_is_no_unit(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp, reader: ReadBoard
) -> None:
    """Nothing is dialled that the owner has not named; what was asked is counted and logged."""
    stranger = loop.lamp("127.0.8.3")
    settings = base_settings(dashboard, dashboard.web_port, units_of(lamp, reader))
    program = dashboard.program()
    unknown = [key_of(stranger), stranger.host, "lamp", "localhost", key_of(reader), ""]
    wrong: list[object] = [
        {"ip": key_of(lamp), "payload": "red\r\nblue"},
        {"ip": key_of(lamp), "payload": "x" * 1025},
        {"ip": key_of(lamp)},
        {"ip": [key_of(lamp)], "payload": "red"},
        "update.request",
        [],
    ]
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        for address in unknown:
            program.trigger(REQUESTS, UPDATE, {"ip": address, "payload": "red"})
        for data in wrong:
            program.trigger(REQUESTS, UPDATE, data)
        program.trigger(REQUESTS, "update.other", {"ip": key_of(lamp), "payload": "red"})
        program.trigger(REQUESTS, UPDATE, {"ip": key_of(lamp), "payload": "white"})
        assert loop.run(lamp.told(1)) == ["white"]
        wait_counted(
            base,
            requests_unknown=len(unknown),
            requests_wrong=len(wrong),
            events_ignored=1,
            requests_taken=1,
        )
        assert "no unit of ours" in base.log
        assert lamp.payloads == ["white"]
    assert not stranger.connections


def test_a_base_that_is_killed_keeps_its_readings(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, reader: ReadBoard
) -> None:
    """What waits for a dashboard that is away survives kill -9, and comes once."""
    link = loop.link(dashboard.web_port)
    settings = base_settings(dashboard, link.port, units_of(reader))
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        loop.run(link.cut())

        def waiting() -> int:
            return int(base.status()["consumers"]["base"]["counts"].get("waiting", 0))

        base.wait_until(lambda: waiting() >= 50, "readings wait")
        durable = waiting()
        base.kill()
        loop.run(link.open())
        base.start()
        dashboard.wait_stored(key_of(reader), "value", durable + 50)
        assert base.stop() == 0
    assert values_of(dashboard, reader)[:durable] == reader.sent[:durable]


def test_as_the_original_was_configured(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp, reader: ReadBoard
) -> None:
    """Its config.json is enough for readings; what may be told something is named beside."""
    file = tmp_path / "config.json"
    token = dashboard.token("base", "write,control")
    original = {
        "clients": [reader.host],
        "api": {"url": dashboard.url, "token": token},
        "pusher.app-key": dashboard.keys["key"],
        "pusher": {"cluster": "mt1"},
        "debug": True,
    }
    file.write_text(json.dumps(original), "utf-8")
    base = BaseProcess(tmp_path / "base", {})
    base.arguments[:3] = ["base", "--original-config", str(file), "--updatable", lamp.host]
    base.environment = {
        "MOTEHUB_TRANSPORT_UNITS_PORT": str(reader.port),
        "MOTEHUB_TRANSPORT_PUSHER_CLIENT_HOST": "127.0.0.1",
        "MOTEHUB_TRANSPORT_PUSHER_CLIENT_PORT": str(dashboard.web_port),
        "MOTEHUB_TRANSPORT_PUSHER_CLIENT_TLS": "false",
    }
    with base:
        base.wait_subscribed()
        dashboard.wait_stored(key_of(reader), "value", 10)
        assert "without meaning here: debug" in base.log


def test_the_owners_commands_work_beside_it(
    tmp_path: Path, loop: Loop, dashboard: PusherHub, lamp: Lamp
) -> None:
    """status, doctor, units and send; one that is added while it runs is told things too."""
    settings = base_settings(dashboard, dashboard.web_port, {})
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_subscribed()
        what = ("--name", "lamp", "--port", str(lamp.port), "--kind", "updatable")
        done = base.cli("units", "add", lamp.host, *what)
        assert done.returncode == 0, done.stderr
        # Nothing is sent before it is known.
        told = ("send", "lamp", "red", "--wait")
        base.wait_until(lambda: base.cli(*told).returncode == 0, "the unit is there")
        control = dashboard.token("control", "control")
        commanded(dashboard, control, key_of(lamp), "blue")
        assert loop.run(lamp.told(2)) == ["red", "blue"]
        done = base.cli("doctor", "--config", str(base.config))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "dashboard: http://127.0.0.1" in done.stdout
        assert "commands of the dashboard: heard" in done.stdout
        assert base.json("webhooks", "list")[0]["name"] == "base"
        done = base.cli("devices", "list")
        assert done.returncode == 1
        assert "a base unit, which keeps no history" in done.stderr
        assert base.status()["role"] == "base"
        assert base.stop() == 0
        done = base.cli("doctor")
        assert done.returncode == 0, done.stdout + done.stderr
        # It has neither certificates nor ports nor a history, and gets none by being looked at.
        for word in ("certificate", "port", "motehub.db"):
            assert word not in done.stdout
        assert base.cli("rollups", "rebuild").returncode == 1
        done = base.cli("devices", "rename", "lamp", "torch")
        assert (done.returncode, done.stderr) == (0, "")
        assert not (base.data / "motehub.db").exists()
        base.start()
        assert [row["name"] for row in base.json("units", "list")] == ["torch"]


def test_it_is_small(tmp_path: Path, dashboard: PusherHub, lamp: Lamp, reader: ReadBoard) -> None:
    """A base unit at work has one process, and that has less than 40 MB, shared pages included."""
    settings = base_settings(dashboard, dashboard.web_port, units_of(lamp, reader))
    base = BaseProcess(tmp_path / "base", settings)
    base.fresh = True
    with base:
        base.wait_subscribed()
        dashboard.wait_stored(key_of(reader), "value", 50)
        process = psutil.Process(base.pid)
        assert not process.children()
        assert process.memory_info().rss < 40_000_000


def test_the_journal_of_a_base_is_trimmed(
    tmp_path: Path, dashboard: PusherHub, reader: ReadBoard
) -> None:
    """What is in the outbox is not kept twice."""
    settings = base_settings(dashboard, dashboard.web_port, units_of(reader))
    with BaseProcess(tmp_path / "base", settings) as base:
        dashboard.wait_stored(key_of(reader), "value", 50)
        base.wait_until(lambda: base.status()["journal"]["head"] > 20, "there were commits")
        base.wait_until(lambda: base.status()["journal"]["size"] < 2000, "the journal is trimmed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs the section [transport.pusher_client]"),
        ("[web]\n", "Leave out [web]"),
        ("[transport.dht_stream]\n", "Leave out [transport.dht_stream]"),
    ],
)
def test_what_is_no_base_unit(tmp_path: Path, text: str, said: str) -> None:
    """Sections that it does not run are named, before anything is opened."""
    client = '[transport.pusher_client]\napi_url = "https://h.example"\napi_token = "t"\n'
    file = tmp_path / "base.toml"
    file.write_text(text + (client if text else ""), "utf-8")
    done = cli("base", "--config", str(file), data=tmp_path / "data")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "data").exists()


def test_it_has_one_configuration(tmp_path: Path) -> None:
    """A file of the original beside one of motehub would be two answers to one question."""
    done = cli("base", "--config", "a", "--original-config", "b", data=tmp_path / "data")
    assert done.returncode == 2
    assert "not both" in done.stderr


def test_a_server_that_wants_it_no_more(
    tmp_path: Path, dashboard: PusherHub, reader: ReadBoard
) -> None:
    """With a key that there is not the ear rests, and says so; readings go on."""
    keys = {"key": "no-such-key"}
    settings = base_settings(dashboard, dashboard.web_port, units_of(reader), **keys)
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_until(lambda: base.counters["given_up"] == 4001, "it has given up")
        assert base.counters["connections"] == 1
        done = base.cli("doctor")
        assert done.returncode == 1
        assert "closed the connection with 4001" in done.stdout
        dashboard.wait_stored(key_of(reader), "value", 10)


def test_a_token_without_the_right(tmp_path: Path, dashboard: PusherHub, reader: ReadBoard) -> None:
    """It is refused the channel, says why, and tries again; readings go on."""
    token = {"api_token": dashboard.token("reads", "write")}
    settings = base_settings(dashboard, dashboard.web_port, units_of(reader), **token)
    with BaseProcess(tmp_path / "base", settings) as base:
        base.wait_until(lambda: base.counters["subscriptions_refused"] >= 2, "it tries again")
        assert "does not authorise private-requests: it answers 403" in base.log
        assert "Not heard: the subscription is refused." in base.cli("doctor").stdout
        dashboard.wait_stored(key_of(reader), "value", 10)
