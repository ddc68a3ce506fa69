"""Readings of a base unit on their way to a dashboard that is away, slow or particular."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.harness import PATIENCE, environment, stored
from tests.ports import free_port
from tests.receivers import Received, Receiver
from tests.units_stand import Peer, read, units_hub, until
from tests.web_hub import WEB, WebHub
from tests.webhook_hub import SECRET, Service, Unit, base, verified

from motehub.following import WEBHOOK_PLAN
from motehub.unit_requests import change_unit
from motehub.webhooks import desk
from motehub.webhooks.endpoints import Dashboard, Endpoint, Plan

TOKEN = "the token"


def plan(url: str, **settings: object) -> Plan:
    return Plan(dashboard=Dashboard(url=url, token=TOKEN, **settings))  # type: ignore[arg-type]


def values(received: list[Received], unit: str) -> list[str]:
    """Return the values that came of a unit, a repeated one once."""
    seen: dict[str, str] = {}
    for one in received:
        *_, address, value = one.path.split("/")
        if address == unit:
            seen.setdefault(one.headers["motehub-time"], value)
    return list(seen.values())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def started(
    folder: Path, given: Plan, program: str = "motehub.webhook"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the process that sends on a data folder, from its first report on."""
    with subprocess.Popen(
        [sys.executable, "-m", program, str(folder)],
        env=environment() | {WEBHOOK_PLAN: given.to_json()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def now() -> int:
    return time.time_ns() // 1000


async def test_readings_go_as_the_original_sent_them(tmp_path: Path) -> None:
    """A PUT for each, with the token and no body, over kept connections, in order."""
    with Receiver() as receiver:
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan(f"{receiver.url}/path/")):
                await Unit(hub, "10.0.0.1").read(512, -0.25, 21.5, 1e21, time=now())
                await Unit(hub, "10.0.0.2").read(511, 1023, time=now())
                await Unit(hub, "[::1]:9000").read(1, time=now())
                came = receiver.wait(7)
    assert values(came, "10.0.0.1") == ["512", "-0.25", "21.5", "1e%2B21"]
    assert values(came, "10.0.0.2") == ["511", "1023"]
    assert values(came, "%5B%3A%3A1%5D%3A9000") == ["1"]
    first = came[0]
    assert first.method == "PUT"
    assert first.path.startswith("/path/webhook/update-unit/")
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert "content-length" not in first.headers
    assert "transfer-encoding" not in first.headers
    assert len({one.connection for one in came}) <= 4


async def test_other_devices_are_nobodys_business(tmp_path: Path) -> None:
    """Only units are passed on, and nothing of before the base knew the dashboard."""
    with Receiver() as receiver:
        async with base(tmp_path) as hub:
            await Unit(hub, "10.0.0.1").read(1, time=now())
            with Service(tmp_path, plan(receiver.url)):
                other = Unit(hub, "10.0.0.2")
                other._source = other._source.__class__("http", "http:x", "x", "", vouched=True)
                await other.read(5, time=now())
                await Unit(hub, "10.0.0.1").read(2, time=now())
                assert values(receiver.wait(1), "10.0.0.1") == ["2"]


async def test_a_backlog_is_sent_in_order_and_not_all_at_once(tmp_path: Path) -> None:
    """What waited for an hour goes at the rate that the owner allows."""
    rate, count = 100, 150
    port = free_port()
    async with base(tmp_path) as hub:
        settings = plan(f"http://127.0.0.1:{port}", rate=rate)
        hour_ago = now() - 3600 * 1_000_000
        with Service(tmp_path, settings) as service:
            for number in range(count // 2):
                for address in ("10.0.0.1", "10.0.0.2"):
                    await Unit(hub, address).read(number, time=hour_ago + number)
            wait_until(lambda: service.counts.get("waiting") == count)
            receiver = Receiver(port)
            times: list[float] = []

            def note(_: Received) -> int:
                times.append(time.monotonic())
                return 204

            receiver.behave = note
            with receiver:
                receiver.wait(count)
                assert max(times) - min(times) > (count - 20) / rate
                for address in ("10.0.0.1", "10.0.0.2"):
                    want = [str(number) for number in range(count // 2)]
                    assert values(receiver.received, address) == want


async def test_of_what_waits_only_the_newest_may_matter(tmp_path: Path) -> None:
    """With latest_only a unit's newest reading is sent when the dashboard is back."""
    port = free_port()
    async with base(tmp_path) as hub:
        with Service(tmp_path, plan(f"http://127.0.0.1:{port}", latest_only=True)) as service:
            for number in range(50):
                await Unit(hub, "10.0.0.1").read(number, time=now())
            wait_until(lambda: service.counts.get("replaced") == 49)
            with Receiver(port) as receiver:
                wait_until(lambda: service.counts.get("waiting") == 0)
                # One more, if it was just under way when it was replaced.
                came = values(receiver.received, "10.0.0.1")
                assert came[-1] == "49"
                assert len(came) <= 2


async def test_a_full_outbox_leaves_readings_in_the_journal(tmp_path: Path) -> None:
    """It says so, goes on when there is room, and loses nothing."""
    with Receiver() as receiver:
        receiver.behave = lambda _: 503
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan(receiver.url, queue=100, rate=10_000)) as service:
                unit = Unit(hub, "10.0.0.1")
                await unit.read(*range(100), time=now())
                wait_until(lambda: service.position > 0 and service.counts.get("waiting") == 100)
                await unit.read(*range(100, 150), time=now())
                service.notices.wake()
                wait_until(lambda: "100 readings wait" in str(service.trouble))
                receiver.behave = lambda _: 204
                wait_until(lambda: service.counts.get("delivered") == 150)
        answered = receiver.received[-150:]
        assert values(answered, "10.0.0.1") == [str(number) for number in range(150)]


async def test_a_unit_that_is_refused_holds_up_no_other(tmp_path: Path) -> None:
    """One unknown to it, one whose values it can't use, one that makes it fail, one blocked."""

    def behave(request: Received) -> int:
        for address, status in (("0.0.4", 404), ("0.0.5", 422), ("0.0.6", 500), ("0.0.8", 403)):
            if address in request.path:
                return status
        return 204

    with Receiver() as receiver:
        receiver.behave = behave
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan(receiver.url)) as service:
                for number in range(20):
                    for last in (7, 4, 5, 6, 8):
                        await Unit(hub, f"10.0.0.{last}").read(number, time=now())
                wait_until(lambda: len(values(receiver.received, "10.0.0.7")) == 20)
                wait_until(lambda: service.counts.get("given_up") == 20)
                assert values(receiver.received, "10.0.0.4") == ["0"]
                assert values(receiver.received, "10.0.0.8") == ["0"]
                wait_until(lambda: service.counts.get("units_refused") == 2)
                # After the next reading that is taken, the owner still sees whose are not.
                while "not taken" not in (said := str(desk.endpoints(tmp_path)[0].trouble)):
                    came = len(values(receiver.received, "10.0.0.7"))
                    await Unit(hub, "10.0.0.7").read(came, time=now())
                    wait_until(lambda n=came: len(values(receiver.received, "10.0.0.7")) > n)  # type: ignore[misc]
                assert {"10.0.0.4", "10.0.0.8"} <= set(said.replace(",", "").split())
                receiver.behave = lambda _: 204
                wait_until(lambda: service.counts.get("waiting") == 0)
                wait_until(lambda: service.counts.get("units_refused") == 0)
                assert desk.endpoints(tmp_path)[0].trouble is None
                for last in (4, 6, 8):
                    want = [str(number) for number in range(20)]
                    assert values(receiver.received, f"10.0.0.{last}") == want


async def test_readings_that_are_refused_for_long_are_given_up(tmp_path: Path) -> None:
    """Those of a unit that the dashboard does not know, once they are older than the patience."""
    with Receiver() as receiver:
        receiver.behave = lambda request: 404 if "0.0.4" in request.path else 204
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan(receiver.url, patience=60.0)) as service:
                await Unit(hub, "10.0.0.4").read(1, 2, 3, time=now() - 61_000_000)
                await Unit(hub, "10.0.0.4").read(4, time=now())
                wait_until(lambda: service.counts.get("given_up") == 3)
                receiver.behave = lambda _: 204
                wait_until(lambda: service.counts.get("delivered") == 1)
                assert values(receiver.received, "10.0.0.4") == ["1", "4"]


async def test_a_dashboard_that_forbids_everything_costs_no_reading(tmp_path: Path) -> None:
    """When a token has lost its rights nothing is given up, unless the dashboard says: this one."""
    with Receiver() as receiver:
        receiver.behave = lambda _: 403
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan(receiver.url, patience=60.0)) as service:
                await Unit(hub, "10.0.0.4").read(1, 2, time=now() - 61_000_000)
                wait_until(lambda: service.counts.get("failed", 0) >= 3)
                assert (service.counts["given_up"], service.counts["units_refused"]) == (0, 0)
                receiver.refused = "unit"
                wait_until(lambda: service.counts.get("given_up") == 2)


async def test_a_killed_process_loses_no_reading(tmp_path: Path) -> None:
    """However often: each comes at least once, in order but for what comes again."""
    with Receiver() as receiver:
        async with base(tmp_path) as hub:
            unit, sent = Unit(hub, "10.0.0.1"), 0
            for _ in range(5):
                with started(tmp_path, plan(receiver.url, rate=10_000)) as process:
                    assert process.stdin is not None
                    came = len(receiver.received)
                    for _ in range(40):
                        await unit.read(sent, time=now())
                        sent += 1
                    process.stdin.write(b"\n")
                    process.stdin.flush()
                    receiver.wait(came + 5)
                    process.kill()
            with Service(tmp_path, plan(receiver.url, rate=10_000)):
                wait_until(lambda: len(values(receiver.received, "10.0.0.1")) == sent)
    assert values(receiver.received, "10.0.0.1") == [str(number) for number in range(sent)]


async def test_what_is_killed_between_answer_and_note_is_sent_again(tmp_path: Path) -> None:
    """Webhooks under the same id and with the same body, a base's reading with the same time."""
    with Receiver() as receiver, Receiver() as dashboard:
        async with base(tmp_path) as hub:
            events = frozenset({"readings"})
            endpoint = Endpoint("r", receiver.url, (SECRET,), events=events, interval=0.01)
            plans = (Plan((endpoint,)), plan(dashboard.url, connections=1))
            for given, there in zip(plans, (receiver, dashboard), strict=True):
                with started(tmp_path, given, "tests.fault.webhook_killed") as process:
                    assert process.stdin is not None
                    await Unit(hub, "10.0.0.1").read(5, time=now())
                    process.stdin.write(b"\n")
                    process.stdin.flush()
                    assert process.wait(PATIENCE) == -signal.SIGKILL
                assert len(there.received) == 1
                with Service(tmp_path, given) as service:
                    await Unit(hub, "10.0.0.1").read(6, time=now())
                    wait_until(lambda s=service: s.counts.get("delivered") == 2)  # type: ignore[misc]
                    assert service.counts.get("waiting") == 0
    first, again, other = receiver.received
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-id"] != other.headers["webhook-id"]
    assert verified(first) == verified(again)
    assert [one.path.rpartition("/")[2] for one in dashboard.received] == ["5", "5", "6"]
    times = [one.headers["motehub-time"] for one in dashboard.received]
    assert times[0] == times[1] < times[2]


async def test_what_a_unit_wrote_goes_on_whatever_it_means_here(tmp_path: Path) -> None:
    """To the letter, also when its scale is changed while readings wait for the dashboard."""
    scaled: dict[str, Any] = {"input_range": [0, 1023], "output_range": [0, 100]}
    plain: dict[str, Any] = {"input_range": [], "output_range": []}
    flat: dict[str, Any] = {"input_range": [0, 1023], "output_range": [7, 7]}
    said: list[str] = []

    async def say(writer: asyncio.StreamWriter, *lines: str) -> None:
        said.extend(line.strip() for line in lines)
        before = stand.units.counters["readings"]
        writer.write("".join(f"{line}\n" for line in lines).encode())
        await until(lambda: stand.units.counters["readings"] == before + len(lines), "it is read")

    with Receiver() as receiver:
        receiver.behave = lambda _: 503
        async with Peer() as peer, units_hub(tmp_path, read(peer.port)) as stand:
            with Service(tmp_path, plan(receiver.url)) as service:
                _, writer = await peer.connection()
                await say(writer, "512", " +21.50", "007")
                for change in (scaled, flat, plain):
                    changed = asyncio.create_task(
                        change_unit(stand.hub, stand.units, "adc", change, None)
                    )
                    _, writer = await peer.connection()
                    await changed
                    await say(writer, "511", "1023.000", "1e2", "0.1")
                receiver.behave = lambda _: 204
                service.notices.wake()
                wait = asyncio.to_thread(
                    wait_until, lambda: service.counts.get("delivered") == len(said)
                )
                await wait
            stored_values = stand.values("adc")
        answered = values(receiver.received, f"127.0.0.1%3A{peer.port}")
    assert answered == [quote(one, safe="") for one in said]
    assert stored_values[:4] == [512, 21.5, 7, 511 / 1023 * 100]
    assert stored_values[7:11] == [7] * 4


async def test_a_motehub_knows_a_reading_that_comes_twice(tmp_path: Path) -> None:
    """Base and dashboard: sent twice, stored once, with the time at which the unit said it."""
    (tmp_path / "base").mkdir()
    moment = now() - 3600 * 1_000_000
    with WebHub(tmp_path / "dashboard", WEB) as dashboard:
        given = Dashboard(url=dashboard.url, token=dashboard.token("base"), rate=10_000)
        async with base(tmp_path / "base") as hub:
            with Service(tmp_path / "base", Plan(dashboard=given)) as service:
                for _ in range(2):
                    await Unit(hub, "10.0.0.1").read(*range(50), time=moment)
                wait_until(lambda: service.counts.get("delivered") == 100)
        dashboard.wait_stored("10.0.0.1", "value", 50)
        dashboard.wait_folded()
        want = [(moment + number, float(number)) for number in range(50)]
        assert stored(dashboard.data)["10.0.0.1", "value"] == want
        assert dashboard.device("10.0.0.1")["duplicate"] == 50


async def test_a_hub_that_is_its_own_dashboard_is_told_so(tmp_path: Path) -> None:
    """A reading does not go round for ever."""
    with WebHub(tmp_path / "data", WEB) as hub:
        token = hub.token("base")
        with started(tmp_path / "data", Plan(dashboard=Dashboard(hub.url, token))) as process:
            path = "/webhook/update-unit/10.0.0.1/5"
            assert hub.curl(path, "-X", "PUT", token=token)[0] == 204
            hub.wait_until(
                lambda: "508" in str(hub.json("webhooks", "list")[0]["trouble"]), "it is a loop"
            )
            process.kill()
        hub.wait_folded()
        assert len(stored(hub.data)["10.0.0.1", "value"]) == 1
