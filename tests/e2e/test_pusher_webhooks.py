"""What happens on channels reaches the application's owner, checked with the library for that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pusher  # type: ignore[import-untyped]
import pytest
from tests.harness import Settings
from tests.pusher_hub import PUSHER, PusherHub
from tests.receivers import Receiver

APP = {"app_id": "1001", "key": "other-key", "secret": "other secret"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def events_of(receiver: Receiver, channel: str = "presence-room") -> list[dict[str, Any]]:
    """Return what happened on a channel, once each, however often it was delivered."""
    library = pusher.Pusher(**APP)
    bodies: dict[str, list[dict[str, Any]]] = {}
    for request in receiver.received:
        text = request.body.decode()
        headers = request.headers
        checked = library.validate_webhook(
            headers["x-pusher-key"], headers["x-pusher-signature"], text
        )
        assert checked is not None, request
        bodies[text] = checked["events"]
    return [one for events in bodies.values() for one in events if one["channel"] == channel]


def test_an_owner_hears_who_comes_and_goes(tmp_path: Path, receiver: Receiver) -> None:
    """Signed, and again when the receiver has failed; of other applications nothing is told."""
    failed: list[bytes] = []

    def fail_once(request: Any) -> int:
        if not failed:
            failed.append(request.body)
            return 500
        return 204

    receiver.behave = fail_once
    app = {**APP, "webhooks": [f"http://127.0.0.1:{receiver.port}/happened"]}
    settings: Settings = {**PUSHER, "pusher": {"app": [app]}}
    with PusherHub(tmp_path / "data", settings) as hub:
        admin = hub.token("everything", "admin")
        with hub.browser(admin) as ours:
            ours.subscribe("presence-room")
        auth = pusher.Pusher(**APP)
        with hub.browser(key=APP["key"]) as page:
            given = auth.authenticate("presence-room", page.socket_id, {"user_id": "ann"})
            page.do("send", event="pusher:subscribe", data={"channel": "presence-room", **given})
            hub.wait_until(
                lambda: "presence-room" in hub.program(APP).channels_info()["channels"], "it is on"
            )
        wanted = [
            {"name": "channel_occupied", "channel": "presence-room"},
            {"name": "member_added", "channel": "presence-room", "user_id": "ann"},
            {"name": "member_removed", "channel": "presence-room", "user_id": "ann"},
            {"name": "channel_vacated", "channel": "presence-room"},
        ]
        hub.wait_until(
            lambda: len(events_of(receiver)) >= len(wanted), "the owner has heard everything"
        )
        assert events_of(receiver) == wanted
        hub.wait_until(
            lambda: [one.body for one in receiver.received].count(failed[0]) == 2,
            "what has failed is tried again",
        )
