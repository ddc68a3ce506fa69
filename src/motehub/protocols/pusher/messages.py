"""The messages in WebSocket's text frames: JSON, whose ``data`` is often JSON in a string.

Each side must take ``data`` as an object as well as in a string.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from motehub.protocols.pusher.names import is_socket_id

VERSIONS: Final = range(5, 8)
"""Versions of the protocol that are spoken."""

ACTIVITY_SECONDS: Final = 120
"""Silence in seconds after which the other side is asked whether it is there."""

PONG_SECONDS: Final = 30
"""How long the answer may take, in seconds."""

ESTABLISHED: Final = "pusher:connection_established"
SUBSCRIBE: Final = "pusher:subscribe"
UNSUBSCRIBE: Final = "pusher:unsubscribe"
SUBSCRIBED: Final = "pusher_internal:subscription_succeeded"
NOT_SUBSCRIBED: Final = "pusher:subscription_error"
MEMBER_ADDED: Final = "pusher_internal:member_added"
MEMBER_REMOVED: Final = "pusher_internal:member_removed"
CACHE_MISS: Final = "pusher:cache_miss"
SIGN_IN: Final = "pusher:signin"
SIGNED_IN: Final = "pusher:signin_success"
ERROR: Final = "pusher:error"

PING: Final = b'{"event":"pusher:ping","data":"{}"}'
PONG: Final = b'{"event":"pusher:pong","data":"{}"}'

# Close codes; up to 4099: do not come back unchanged, up to 4199: not at once.
NO_SUCH_APP: Final = 4001
APP_DISABLED: Final = 4003
OVER_QUOTA: Final = 4004
NO_SUCH_PATH: Final = 4005
BAD_VERSION: Final = 4006
UNKNOWN_VERSION: Final = 4007
NO_VERSION: Final = 4008
UNAUTHORISED: Final = 4009
OVER_CAPACITY: Final = 4100
COME_BACK: Final = 4200
NO_PONG: Final = 4201
REJECTED: Final = 4301
"""Of an error that closes nothing: a client event that may not be sent, or too many."""

_Wanted = TypeVar("_Wanted")


class Unreadable(ValueError):
    """A message that is not what the protocol says; the text is for whoever sent it."""


class Message(msgspec.Struct, frozen=True):
    """A message; ``data`` is JSON, ``text`` what is in it when that is a string."""

    event: str
    channel: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    user_id: str | None = None

    def read(self, kind: type[_Wanted]) -> _Wanted:
        """Return ``data`` as ``kind``, whether it is an object or one in a string.

        Raises:
            Unreadable: it is not that.
        """
        raw = bytes(self.data).lstrip()
        try:
            if raw.startswith(b'"'):
                return msgspec.json.decode(msgspec.json.decode(raw, type=str), type=kind)
            return msgspec.json.decode(raw, type=kind)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"data of {self.event:.60}: {error!s:.200}") from error

    @property
    def text(self) -> str:
        """The data as it goes on to others: what a string says, or JSON.

        Raises:
            Unreadable: the string has half of a character in it.
        """
        raw = bytes(self.data).strip()
        if not raw.startswith(b'"'):
            return raw.decode()
        try:
            return msgspec.json.decode(raw, type=str)
        except ValueError as error:
            raise Unreadable(f"data of {self.event:.60}: {error!s:.200}") from error


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    event: str
    channel: str | None = None
    data: Any = None
    user_id: str | None = None


class Subscribe(msgspec.Struct, frozen=True):
    """What a client says of the channel that it wants."""

    channel: str
    auth: str | None = None
    channel_data: str | None = None


class Unsubscribe(msgspec.Struct, frozen=True):
    """Which channel a client does not want any more."""

    channel: str


class SignIn(msgspec.Struct, frozen=True):
    """Who a client is."""

    auth: str
    user_data: str


class Member(msgspec.Struct, frozen=True):
    """Who subscribes to a presence channel, as ``channel_data`` says; ``user_info`` is JSON."""

    user_id: str | int
    user_info: msgspec.Raw = msgspec.Raw(b"null")


class User(msgspec.Struct, frozen=True):
    """Who signs in, as ``user_data`` says; there may be more in it."""

    id: str | int


class Welcome(msgspec.Struct, frozen=True):
    """What the server says first."""

    socket_id: str
    activity_timeout: int = ACTIVITY_SECONDS

    def __post_init__(self) -> None:
        """Check the id: signatures are made over it."""
        if not is_socket_id(self.socket_id):
            raise ValueError("socket_id has another form")


_decode: Final = msgspec.json.Decoder(Message).decode
_encode: Final = msgspec.json.Encoder().encode


def decode(text: bytes) -> Message:
    """Return the message in ``text``.

    Raises:
        Unreadable: it is none.
    """
    try:
        # Of what is in a Raw the decoder looks at the structure only.
        text.decode()
        return _decode(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the message can't be read: {error!s:.200}") from error


def encode(
    event: str, data: str | None = None, channel: str | None = None, user_id: str | None = None
) -> bytes:
    """Return a message whose data is a string."""
    return _encode(_Line(event, channel, data, user_id))


def encode_object(event: str, data: Any, channel: str | None = None) -> bytes:
    """Return a message whose data is an object: what clients send, and errors."""
    return _encode(_Line(event, channel, data))


def encode_inside(event: str, data: Any, channel: str | None = None) -> bytes:
    """Return a message whose data is an object in a string: what servers send."""
    return encode(event, as_text(data), channel)


def error(message: str, code: int | None = None) -> bytes:
    """Return what is wrong, for the client; ``code`` where the protocol has one for it."""
    return _encode({"event": ERROR, "data": {"message": message, "code": code}})


def refusal(channel: str, kind: str, reason: str, status: int) -> bytes:
    """Return why a client can't subscribe to a channel."""
    data = {"type": kind, "error": reason, "status": status}
    return encode_object(NOT_SUBSCRIBED, data, channel)


def as_text(data: Any) -> str:
    """Return ``data`` as JSON text."""
    return _encode(data).decode()
