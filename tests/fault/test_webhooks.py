"""Receivers that are down, slow, broken or lead elsewhere; hubs that are killed meanwhile."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.receivers import Received, Receiver
from tests.webhook_hub import WebhookHub, verified

SOON = {"interval": "20ms", "retries": ["100ms"] * 40}


def send(hub: WebhookHub, token: str, *numbers: int) -> None:
    body = [{"device": "d", "metric": "n", "value": number} for number in numbers]
    assert hub.send(body, token=token)[0] == 200


def numbers(received: list[Received]) -> list[int]:
    """Return the values of all readings that came, in order; those of a repeated message once."""
    seen: dict[str, list[int]] = {}
    for one in received:
        data: Any = verified(one)["data"]
        values = [int(reading["value"]) for reading in data.get("readings", [])]
        assert seen.setdefault(one.headers["webhook-id"], values) == values
    return [number for values in seen.values() for number in values]


def kill(hub: WebhookHub) -> None:
    """End hub, writer and webhooks at once."""
    with suppress(ProcessLookupError):
        os.killpg(hub.pid, signal.SIGKILL)
    hub.process.wait()


def test_bad_receivers_hold_up_nobody(tmp_path: Path) -> None:
    """One gets all at once; those that are down, hang, fail or redirect get all once they mend."""
    down = free_port()
    with Receiver() as good, Receiver() as slow, Receiver() as broken, Receiver() as moved:
        slow.hanging.set()
        broken.behave = lambda _: 500
        moved.behave = lambda _: 302
        moved.location = good.url
        bad = {"slow": slow, "broken": broken, "moved": moved}
        webhooks: dict[str, dict[str, object]] = {"good": {"url": good.url, **SOON}}
        webhooks["down"] = {"url": f"http://127.0.0.1:{down}", **SOON}
        for name, receiver in bad.items():
            webhooks[name] = {"url": receiver.url, "timeout": "300ms", **SOON}
        with WebhookHub(tmp_path / "data", webhooks) as hub:
            token = hub.token("w")
            for number in range(20):
                send(hub, token, number)
            hub.wait_until(lambda: len(numbers(good.received)) == 20, "the good one has all")
            why = {"slow": "in time", "broken": "500", "moved": "redirect", "down": "refuses"}
            for name, text in why.items():
                hub.wait_until(
                    lambda n=name, t=text: t in str(hub.webhook(n)["trouble"]),  # type: ignore[misc]
                    f"{name} is in trouble",
                )
            assert not broken.received or {one.path for one in broken.received} == {"/"}
            slow.hanging.clear()
            broken.behave = moved.behave = lambda _: 200
            broken.received.clear()
            slow.received.clear()
            moved.received.clear()
            with Receiver(down) as back:
                for receiver in (back, *bad.values()):
                    hub.wait_until(
                        lambda r=receiver: sorted(set(numbers(r.received))) == list(range(20)),  # type: ignore[misc]
                        "it gets all",
                    )
            assert len(numbers(good.received)) == 20, "nothing was redirected to it"


def test_a_killed_hub_neither_loses_nor_doubles_a_message(tmp_path: Path) -> None:
    """Each reading is in one message, however often everything is killed meanwhile."""
    port = free_port()
    webhooks = {"r": {"url": f"http://127.0.0.1:{port}", **SOON}}
    hub = WebhookHub(tmp_path / "data", webhooks)
    with hub:
        token = hub.token("w")
        for round_ in range(4):
            for number in range(10):
                send(hub, token, round_ * 10 + number)
            kill(hub)
            hub.start()
        with Receiver(port) as receiver:
            hub.wait_until(lambda: len(set(numbers(receiver.received))) == 40, "all have come")
            hub.wait_until(lambda: hub.webhook("r")["waiting"] == 0, "nothing waits")
            assert sorted(numbers(receiver.received)) == list(range(40))


def test_what_was_answered_but_not_noted_comes_again_under_its_id(tmp_path: Path) -> None:
    """At least once: the receiver can tell."""
    with Receiver() as receiver:
        receiver.hanging.set()
        with WebhookHub(tmp_path / "data", {"r": {"url": receiver.url, **SOON}}) as hub:
            send(hub, hub.token("w"), 7)
            hub.wait_until(lambda: hub.webhook("r")["waiting"] == 1, "it waits")
            kill(hub)
            receiver.hanging.clear()
            hub.start()
            hub.wait_until(lambda: hub.webhook("r")["delivered"] == 1, "it is delivered")
            ids = {one.headers["webhook-id"] for one in receiver.received}
            assert len(ids) == 1
            assert numbers(receiver.received) == [7]


def test_what_fails_to_the_end_is_given_up_and_can_be_sent_again(tmp_path: Path) -> None:
    """It is counted and shown, and nothing else waits for it."""
    with Receiver() as receiver:
        receiver.behave = lambda _: 503
        webhooks = {"r": {"url": receiver.url, "interval": "20ms", "retries": ["50ms", "50ms"]}}
        with WebhookHub(tmp_path / "data", webhooks) as hub:
            send(hub, hub.token("w"), 1)
            hub.wait_until(lambda: hub.webhook("r")["given_up"] == 1, "it is given up")
            rows = hub.json("webhooks", "log", "r")
            assert [row["attempt"] for row in rows] == [3, 2, 1]
            assert rows[0]["state"] == "given up"
            assert rows[0]["outcome"] == "it answers 503 Service Unavailable"
            receiver.behave = lambda _: 200
            assert "1 message goes" in hub.cli("webhooks", "resend", "r").stdout
            hub.wait_until(lambda: hub.webhook("r")["delivered"] == 1, "it arrives")
            assert numbers(receiver.received) == [1]


def test_of_too_many_the_oldest_are_dropped(tmp_path: Path) -> None:
    """They are counted; the newest arrive."""
    port = free_port()
    webhooks = {"r": {"url": f"http://127.0.0.1:{port}", **SOON, "interval": "1ms", "queue": 10}}
    with WebhookHub(tmp_path / "data", webhooks) as hub:
        token = hub.token("w")
        sent = 0

        def are_dropped() -> bool:
            # On a busy machine several go into one message.
            nonlocal sent
            for _ in range(30):
                sent += 1
                send(hub, token, sent)
            return int(str(hub.webhook("r")["dropped"])) > 0

        hub.wait_until(are_dropped, "some are dropped")
        with Receiver(port) as receiver:
            hub.wait_until(lambda: sent in numbers(receiver.received), "the newest comes")
            assert 1 not in numbers(receiver.received)


def test_the_process_that_sends_is_started_again(tmp_path: Path) -> None:
    """What comes after its death is told too."""
    with (
        Receiver() as receiver,
        WebhookHub(tmp_path / "data", {"r": {"url": receiver.url, **SOON}}) as hub,
    ):
        token = hub.token("w")
        send(hub, token, 1)
        receiver.wait(1)
        os.kill(hub.status()["consumers"]["webhooks"]["pid"], signal.SIGKILL)
        send(hub, token, 2)
        hub.wait_until(lambda: sorted(numbers(receiver.received)) == [1, 2], "both came")
        assert hub.stop() == 0
