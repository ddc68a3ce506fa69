"""An application and connections without sockets: what each is sent, and how it was closed."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from motehub.protocols.pusher.application import Application, Happening, Keys, Limits
from motehub.protocols.pusher.connection import Connection
from motehub.protocols.pusher.signatures import channel_auth, user_auth

NOW = 1_795_215_909_000_000
SECOND = 1_000_000
KEYS = Keys("123456", "app-key", "app-secret")


class Stand:
    """An application whose frames are its messages."""

    def __init__(self, limits: Limits | None = None, *, enabled: bool = True) -> None:
        self.happened: list[Happening] = []
        self.framed = 0
        self.application = Application(
            KEYS, limits or Limits(), self._frame, self.happened.append, enabled=enabled
        )
        self._ids = (f"{number}.{number + 7}" for number in count(1))

    def _frame(self, message: bytes) -> bytes:
        self.framed += 1
        return message

    def connect(self) -> Wire:
        wire = Wire(self, next(self._ids))
        wire.take()
        return wire

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(one.kind.value, one.channel) for one in self.happened]


class Wire:
    """A client, as an outlet: what it has been sent since it was last asked."""

    def __init__(self, stand: Stand, socket_id: str, silence: int = 120) -> None:
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.connection = Connection(stand.application, socket_id, self, silence, NOW)

    def send(self, frame: bytes) -> None:
        assert self.closed is None
        self.frames.append(frame)

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None
        self.closed = code, reason

    def take(self) -> list[dict[str, Any]]:
        """Return what it has been sent; data in strings is read."""
        frames, self.frames = self.frames, []
        return [read(frame) for frame in frames]

    def say(
        self, event: str, data: Any = None, now: int = NOW, **rest: Any
    ) -> list[dict[str, Any]]:
        """Send a message, and return what comes back."""
        text = json.dumps({"event": event, "data": data, **rest})
        self.connection.receive(text.encode(), now)
        return self.take()

    def subscribe(
        self, channel: str, member: Any = None, now: int = NOW, **changes: Any
    ) -> list[dict[str, Any]]:
        """Subscribe with the right signature, unless it is changed."""
        data: dict[str, Any] = {"channel": channel}
        channel_data = json.dumps(member) if member is not None else None
        if channel.startswith(("private-", "presence-")):
            socket = self.connection.socket_id
            data["auth"] = channel_auth(KEYS.key, KEYS.secret, socket, channel, channel_data)
        if channel_data is not None:
            data["channel_data"] = channel_data
        return self.say("pusher:subscribe", data | changes, now)

    def sign_in(self, user: str, **changes: Any) -> list[dict[str, Any]]:
        """Sign in with the right signature, unless it is changed."""
        user_data = json.dumps({"id": user})
        auth = user_auth(KEYS.key, KEYS.secret, self.connection.socket_id, user_data)
        return self.say("pusher:signin", {"auth": auth, "user_data": user_data} | changes)


def read(frame: bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(frame)
    if isinstance(message.get("data"), str) and message["data"][:1] in ("{", "["):
        message["data"] = json.loads(message["data"])
    return message
