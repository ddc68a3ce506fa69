"""One connection, from its first message on, without sockets or clock.

Times are UTC microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Protocol
from urllib.parse import parse_qs

import msgspec

from motehub.protocols.pusher import messages, names
from motehub.protocols.pusher.application import Application, Refused
from motehub.protocols.pusher.messages import Member, Message, Unreadable
from motehub.protocols.pusher.signatures import channel_auth, is_signature, user_auth

PATH: Final = "/app/"
"""How the paths begin at which clients connect; the application's key follows."""

_MICROSECONDS: Final = 1_000_000
_VERSION: Final = re.compile(r"[0-9]{1,4}")
_KEY: Final = re.compile(r"[^/]+")


class Outlet(Protocol):
    """The way to the client."""

    def send(self, frame: bytes) -> None:
        """Send a frame; one who reads too slowly may be sent away instead, but not in here."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close with this code; nothing is sent after it."""
        ...


class Closed(Exception):
    """A client that is sent away before it has said anything, with a close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Applications:
    """The applications by key and by number."""

    def __init__(self, applications: Iterable[Application]) -> None:
        self.all = tuple(applications)
        self._by_key = {one.keys.key: one for one in self.all}
        self._by_id = {one.keys.app_id: one for one in self.all}

    def of_key(self, key: str) -> Application | None:
        """Return the application with this public key."""
        return self._by_key.get(key)

    def of_id(self, app_id: str) -> Application | None:
        """Return the application with this number."""
        return self._by_id.get(app_id)

    def of_target(self, target: str) -> Application:
        """Return the application to which a client connects with this path and query.

        Raises:
            Closed: there is none, it takes no more, or the client speaks another version.
        """
        path, _, query = target.partition("?")
        key = path.removeprefix(PATH)
        if key == path or not _KEY.fullmatch(key):
            raise Closed(messages.NO_SUCH_PATH, "clients connect at /app/KEY")
        found = parse_qs(query, max_num_fields=50).get("protocol") if query.count("&") < 50 else []
        if not found:
            raise Closed(messages.NO_VERSION, "the address says no protocol=VERSION")
        if not _VERSION.fullmatch(found[0]):
            raise Closed(messages.BAD_VERSION, "the protocol version is no number")
        if int(found[0]) not in messages.VERSIONS:
            spoken = f"{messages.VERSIONS[0]} to {messages.VERSIONS[-1]}"
            raise Closed(messages.UNKNOWN_VERSION, f"protocol versions spoken here are {spoken}")
        application = self.of_key(key)
        if application is None:
            raise Closed(messages.NO_SUCH_APP, "no application has this key")
        if not application.enabled:
            raise Closed(messages.APP_DISABLED, "the application is switched off")
        if application.is_full:
            raise Closed(messages.OVER_QUOTA, "the application has too many connections")
        return application


class Connection:
    """See :class:`motehub.protocols.pusher.application.Socket`."""

    __slots__ = (
        "_application",
        "_asked",
        "_channels",
        "_heard",
        "_outlet",
        "_over",
        "_sent_events",
        "_silence",
        "_window",
        "socket_id",
        "user",
    )

    def __init__(
        self, application: Application, socket_id: str, outlet: Outlet, silence: int, now: int
    ) -> None:
        self.socket_id = socket_id
        self.user: str | None = None
        self._application = application
        self._outlet = outlet
        self._silence = silence
        self._heard = now
        self._asked: int | None = None
        self._channels: dict[str, None] = {}
        self._window = 0
        self._sent_events = 0
        self._over = False
        application.enter(self)
        welcome = {"socket_id": socket_id, "activity_timeout": silence}
        self._say(messages.encode_inside(messages.ESTABLISHED, welcome))

    @property
    def deadline(self) -> int | None:
        """When ``timeout`` has to be called, or None."""
        if self._over:
            return None
        if self._asked is not None:
            return self._asked + messages.PONG_SECONDS * _MICROSECONDS
        return self._heard + self._silence * _MICROSECONDS

    def hear(self, now: int) -> None:
        """Know that the client is there: it has sent something, whatever it is."""
        self._heard = now
        self._asked = None

    def receive(self, text: bytes, now: int) -> None:
        """Take a message."""
        if self._over:
            return
        try:
            message = messages.decode(text)
            handle = _HANDLERS.get(message.event)
            if handle is not None:
                handle(self, message, now)
            elif message.event.startswith(names.CLIENT_EVENT):
                self._relay(message, now)
            else:
                self._complain(f"clients send no event {message.event[:60]!r}")
        except Unreadable as error:
            self._complain(str(error))

    def timeout(self, now: int) -> None:
        """Ask whether a silent client is there; end the connection when it does not answer."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return
        if self._asked is None:
            self._asked = now
            self._say(messages.PING)
        else:
            self.end(messages.NO_PONG, "no pong came in time")

    def lost(self) -> None:
        """Know that the connection is over; harmless when it was before."""
        if not self._over:
            self._over = True
            self._application.leave(self, self._channels)

    def send(self, frame: bytes) -> None:
        """Send a frame, unless the connection is over."""
        if not self._over:
            self._outlet.send(frame)

    def end(self, code: int, reason: str) -> None:
        """Say why, and close."""
        if not self._over:
            self._say(messages.error(reason, code))
            self.lost()
            self._outlet.close(code, reason)

    def _say(self, message: bytes) -> None:
        self.send(self._application.frame(message))

    def _complain(self, reason: str, code: int | None = None) -> None:
        self._application.counters["errors"] += 1
        self._say(messages.error(reason, code))

    def _ping(self, _: Message, _now: int) -> None:
        self._say(messages.PONG)

    def _pong(self, _: Message, _now: int) -> None:
        """Know nothing new: that it was heard is enough."""

    def _subscribe(self, message: Message, now: int) -> None:
        wanted = message.read(messages.Subscribe)
        name = wanted.channel
        if reason := names.why_no_channel(name):
            # The name could be as long as the message.
            self._complain(reason)
            return
        try:
            self._check_room(name)
            member = self._admit(wanted)
            self._application.subscribe(self, name, member, now)
            # Nothing that this has led to ends the connection: see Outlet.
            self._channels[name] = None
        except Refused as refused:
            self._application.counters["refused_subscriptions"] += 1
            self._say(messages.refusal(name, refused.kind, refused.reason, refused.status))

    def _check_room(self, name: str) -> None:
        if name in self._channels:
            raise Refused("Duplicate", "this connection has subscribed to it already", 409)
        if len(self._channels) >= self._application.limits.channels_per_connection:
            raise Refused("LimitReached", "this connection has too many channels", 4004)

    def _admit(self, wanted: messages.Subscribe) -> Member | None:
        """Check that the client may hear a channel; return who it is, on a presence channel.

        Raises:
            Refused: it may not.
        """
        name = wanted.channel
        if (user := names.user_of(name)) is not None:
            if user != self.user:
                raise Refused("AuthError", "this channel is for that user, signed in", 401)
            return None
        if not names.is_private(name):
            return None
        keys = self._application.keys
        presence = names.is_presence(name)
        data = wanted.channel_data if presence else None
        if presence and data is None:
            raise Refused("AuthError", "a presence channel needs channel_data", 401)
        right = channel_auth(keys.key, keys.secret, self.socket_id, name, data)
        if wanted.auth is None or not is_signature(wanted.auth, right):
            raise Refused("AuthError", "auth is not the signature of this subscription", 401)
        return None if data is None else _member(data)

    def _unsubscribe(self, message: Message, _: int) -> None:
        name = message.read(messages.Unsubscribe).channel
        if name in self._channels:
            del self._channels[name]
            self._application.unsubscribe(self, name)

    def _sign_in(self, message: Message, _: int) -> None:
        said = message.read(messages.SignIn)
        keys = self._application.keys
        right = user_auth(keys.key, keys.secret, self.socket_id, said.user_data)
        if not is_signature(said.auth, right):
            self.end(messages.UNAUTHORISED, "auth is not the signature of this user")
            return
        try:
            user = str(msgspec.json.decode(said.user_data, type=messages.User).id)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"user_data: {error!s:.200}") from error
        if reason := names.why_no_user(user):
            raise Unreadable(reason)
        if self.user is not None and self.user != user:
            raise Unreadable("this connection has signed in as another user")
        self._application.sign_in(self, user)
        self._say(messages.encode_inside(messages.SIGNED_IN, {"user_data": said.user_data}))

    def _relay(self, message: Message, now: int) -> None:
        limits = self._application.limits
        name = message.channel or ""
        if self._is_for_server(message, name):
            return
        if reason := self._why_not_relayed(message, name):
            self._complain(reason, messages.REJECTED)
            return
        text = message.text
        if len(text.encode()) > limits.event_bytes:
            size = f"{limits.event_bytes} bytes"
            self._complain(f"the data of an event may have {size}", messages.REJECTED)
            return
        if now - self._window >= _MICROSECONDS or now < self._window:
            self._window, self._sent_events = now, 0
        self._sent_events += 1
        if self._sent_events > limits.client_events:
            most = limits.client_events
            self._complain(f"a connection may send {most} events a second", messages.REJECTED)
            return
        self._application.relay(self, name, message.event, text)

    def _is_for_server(self, message: Message, name: str) -> bool:
        attendant = self._application.attendant_of(name)
        if attendant is None or name not in self._channels:
            return False
        return attendant.heard(self.socket_id, message)

    def _why_not_relayed(self, message: Message, name: str) -> str | None:
        if not self._application.limits.client_events:
            return "clients may send no events to this application"
        if not names.is_private(name) or names.is_encrypted(name):
            return "clients send events on private and presence channels only"
        if name not in self._channels:
            return "this connection has not subscribed to the channel"
        return names.why_no_event(message.event)


_Handler = Callable[[Connection, Message, int], None]

_HANDLERS: Final[dict[str, _Handler]] = {
    "pusher:ping": Connection._ping,
    "pusher:pong": Connection._pong,
    messages.SUBSCRIBE: Connection._subscribe,
    messages.UNSUBSCRIBE: Connection._unsubscribe,
    messages.SIGN_IN: Connection._sign_in,
}


def _member(channel_data: str) -> Member:
    """Return who ``channel_data`` says is there.

    Raises:
        Refused: it says nobody, or too much.
    """
    try:
        member = msgspec.json.decode(channel_data, type=Member)
    except (ValueError, RecursionError) as error:
        raise Refused("AuthError", f"channel_data: {error!s:.200}", 401) from error
    if reason := names.why_no_user(str(member.user_id)):
        raise Refused("AuthError", reason, 401)
    if len(bytes(member.user_info)) > names.INFO_BYTES:
        raise Refused("AuthError", f"user_info has more than {names.INFO_BYTES} bytes", 401)
    return member
