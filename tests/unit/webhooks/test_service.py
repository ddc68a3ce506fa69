"""What the service makes of a journal: whom it tells, and what it keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.harness import PATIENCE
from tests.ports import free_port
from tests.receivers import Receiver
from tests.webhook_hub import SECRET, Service, Unit, base, verified

from motehub.errors import UnknownWebhook
from motehub.frames import Frame
from motehub.journals.sqlite import FILE_NAME as JOURNAL
from motehub.webhooks import desk
from motehub.webhooks.effects import TellDashboard
from motehub.webhooks.endpoints import Dashboard, Endpoint, Plan
from motehub.webhooks.taking import MESSAGE_BYTES


def now() -> int:
    return time.time_ns() // 1000


def lose_journal(folder: Path) -> None:
    for file in folder.glob(f"{JOURNAL}*"):
        file.unlink()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_what_a_part_words_itself_goes_to_its_destination(tmp_path: Path) -> None:
    """Pusher's webhooks are signed in their own way, and reach nobody else."""
    with Receiver() as one, Receiver() as other:
        endpoints = (
            Endpoint("a", one.url, ("secret",), app_key="key", destination="pusher/1"),
            Endpoint("b", other.url, (SECRET,), events=frozenset({"readings"}), interval=0.01),
        )
        async with base(tmp_path) as hub:
            with Service(tmp_path, Plan(endpoints)):
                await hub.post("pusher/2", b"{}")
                await hub.post("pusher/1", b'{"events":[]}')
                await Unit(hub, "10.0.0.1").read(1, time=now())
                (request,) = one.wait(1)
                other.wait(1)
        assert request.body == b'{"events":[]}'
        assert request.headers["x-pusher-key"] == "key"
        assert len(request.headers["x-pusher-signature"]) == 64
        assert "webhook-signature" not in request.headers
        assert len(one.received) == 1
        assert [verified(said)["type"] for said in other.received] == ["readings.stored"]


async def test_many_readings_make_messages_of_a_bounded_size(tmp_path: Path) -> None:
    """All are in them, in order, and each message is one JSON document."""
    with Receiver() as receiver:
        endpoint = Endpoint("a", receiver.url, (SECRET,), events=frozenset({"readings"}))
        async with base(tmp_path) as hub:
            with Service(tmp_path, Plan((endpoint,))) as service:
                for start in range(0, 1000, 100):
                    await Unit(hub, "10.0.0.1").read(*range(start, start + 100), time=now())
                wait_until(lambda: service.counts.get("waiting", 1) == 0)
                wait_until(lambda: len(receiver.received) >= 1000 * 100 // MESSAGE_BYTES)

                def values() -> list[float]:
                    bodies = [json.loads(one.body) for one in receiver.received]
                    return [one["value"] for said in bodies for one in said["data"]["readings"]]

                wait_until(lambda: len(values()) == 1000)
        assert values() == list(range(1000))
        assert max(len(one.body) for one in receiver.received) <= MESSAGE_BYTES


async def test_a_journal_that_is_another_begins_anew(tmp_path: Path) -> None:
    """After the journal was lost its successor is followed from its end on."""
    with Receiver() as receiver:
        events = frozenset({"readings"})
        plan = Plan((Endpoint("a", receiver.url, (SECRET,), events=events, interval=0.01),))
        async with base(tmp_path) as hub:
            await Unit(hub, "10.0.0.1").read(1, 2, 3, time=now())
            with Service(tmp_path, plan) as service:
                wait_until(lambda: service.position > 0)
        lose_journal(tmp_path)
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan):
                await Unit(hub, "10.0.0.1").read(4, time=now())
                (request,) = receiver.wait(1)
        (reading,) = json.loads(request.body)["data"]["readings"]
        assert reading["value"] == 4


async def test_a_test_does_not_wait_until_the_receiver_is_asked_again(tmp_path: Path) -> None:
    """One that asked for an hour's rest hears it; when it takes it, what waits comes too."""
    with Receiver() as receiver:
        receiver.behave = lambda _: 503
        receiver.retry_after = "3600"
        events = frozenset({"readings"})
        plan = Plan((Endpoint("a", receiver.url, (SECRET,), events=events, interval=0.01),))
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan) as service:
                await Unit(hub, "10.0.0.1").read(1, time=now())
                wait_until(lambda: service.counts.get("failed", 0) == 1)
                first = desk.begin_test(tmp_path, "a", now())
                wait_until(lambda: desk.result_of(tmp_path, "a", first) is not None)
                receiver.behave = lambda _: 204
                desk.begin_test(tmp_path, "a", now())
                wait_until(lambda: desk.endpoints(tmp_path)[0].delivered == 3)
                wait_until(lambda: service.counts["waiting"] == 0)


async def test_an_endpoint_that_is_gone_takes_its_messages_along(tmp_path: Path) -> None:
    """The others keep theirs, and their counts."""
    with Receiver() as receiver:
        receiver.behave = lambda _: 500
        everything = frozenset({"readings"})
        first = Endpoint("a", receiver.url, (SECRET,), events=everything, interval=0.01)
        second = Endpoint("b", receiver.url, (SECRET,), events=everything, interval=0.01)
        async with base(tmp_path) as hub:
            with Service(tmp_path, Plan((first, second))) as service:
                await Unit(hub, "10.0.0.1").read(1, time=now())
                wait_until(lambda: service.counts.get("failed", 0) >= 2)
            with Service(tmp_path, Plan((second,))):
                (row,) = desk.endpoints(tmp_path)
                assert (row.name, row.waiting) == ("b", 1)
                with pytest.raises(UnknownWebhook, match="Known: b"):
                    desk.resend(tmp_path, "a", None, now())


async def test_readings_that_never_cease_leave_all_the_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where taking them over is slower than they come: on a slow disk, for instance."""
    apply = TellDashboard.apply

    def slowly(effect: TellDashboard, frames: Sequence[tuple[int, Frame]]) -> None:
        time.sleep(0.05)
        apply(effect, frames)

    monkeypatch.setattr(TellDashboard, "apply", slowly)
    with Receiver() as receiver:
        plan = Plan(dashboard=Dashboard(receiver.url, "t"))
        async with base(tmp_path) as hub:
            with Service(tmp_path, plan):
                deadline = time.monotonic() + PATIENCE
                while not receiver.received:
                    assert time.monotonic() < deadline
                    await Unit(hub, "10.0.0.1").read(1, time=now())


def test_a_plan_survives_its_way_to_the_process() -> None:
    """Whatever it holds comes back from the text."""
    plan = Plan(
        (Endpoint("a", "https://x/", ("s",), events=frozenset({"readings"})),),
        Dashboard("https://y", "t", latest_only=True),
    )
    assert msgspec.json.decode(plan.to_json(), type=Plan) == plan


async def test_who_is_not_reached_is_named_to_the_owner(tmp_path: Path) -> None:
    """With where that is, and why; others are not."""
    with Receiver() as one:
        gone = f"http://127.0.0.1:{free_port()}/hook"
        endpoints = [
            Endpoint(name, url, (SECRET,), events=frozenset({"readings"}), interval=0.01)
            for name, url in (("a", one.url), ("b", gone))
        ]
        async with base(tmp_path) as hub:
            with Service(tmp_path, Plan(tuple(endpoints))) as service:
                await Unit(hub, "10.0.0.1").read(1, time=now())
                one.wait(1)
                wait_until(lambda: service.undelivered != [])
                ((kind, name, reason),) = service.undelivered
    assert (kind, name) == ("webhook", "b")
    assert gone.removesuffix("/hook") in reason
