"""What an application knows: who is connected, who hears which channel, who is there.

Every message is encoded and framed once, however many get it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from motehub.protocols.pusher import messages, names
from motehub.protocols.pusher.messages import Member

CACHE_SECONDS: Final = 1_800
"""How long the last event of a cache channel is kept, in seconds."""

_MICROSECONDS: Final = 1_000_000


class Keys(msgspec.Struct, frozen=True):
    """What identifies an application: its number, its public key, its secret."""

    app_id: str
    key: str
    secret: str


class Limits(msgspec.Struct, frozen=True):
    """Bounds of an application; sizes in bytes.

    ``connections`` at a time, ``channels`` that are in use, those of one connection, members of
    a presence channel, bytes of an event's data, client events of a connection in a second (0:
    none may be sent), and events that cache channels keep.
    """

    connections: int = 10_000
    channels: int = 20_000
    channels_per_connection: int = 1_000
    members: int = 100
    event_bytes: int = 10_240
    client_events: int = 10
    cached: int = 1_000


class Kind(enum.Enum):
    """What an application's owner can be told."""

    OCCUPIED = "channel_occupied"
    VACATED = "channel_vacated"
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"
    CLIENT_EVENT = "client_event"
    CACHE_MISS = "cache_miss"


class Happening(msgspec.Struct, frozen=True):
    """Something that an application's owner can be told, as webhooks have it."""

    kind: Kind
    channel: str
    user_id: str | None = None
    event: str | None = None
    data: str | None = None
    socket_id: str | None = None

    @property
    def document(self) -> dict[str, str]:
        """What a webhook says of it."""
        fields = {
            "name": self.kind.value,
            "channel": self.channel,
            "event": self.event,
            "data": self.data,
            "socket_id": self.socket_id,
            "user_id": self.user_id,
        }
        return {name: value for name, value in fields.items() if value is not None}


class Socket(Protocol):
    """A connection, as far as its application cares."""

    socket_id: str
    user: str | None

    def send(self, frame: bytes) -> None:
        """Send a frame, unless the connection is over; it does not end in here."""
        ...

    def end(self, code: int, reason: str) -> None:
        """Say why, and close."""
        ...


class Attendant(Protocol):
    """Somebody on the server who looks after a channel; what it does, it leaves for later."""

    def came(self, socket_id: str) -> None:
        """Know that a connection has subscribed."""
        ...

    def left(self, socket_id: str) -> None:
        """Know that a connection hears the channel no more."""
        ...

    def heard(self, socket_id: str, message: messages.Message) -> bool:
        """Tell whether a client event of a subscriber was meant for the server alone.

        Raises:
            Unreadable: it was, but makes no sense.
        """
        ...


class Refused(Exception):
    """A subscription that can't be; see the protocol's ``subscription_error``."""

    def __init__(self, kind: str, reason: str, status: int) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.status = status


class _Channel:
    """Who hears a channel; ``members`` of a presence channel by user id, with their sockets."""

    __slots__ = ("members", "sockets")

    def __init__(self) -> None:
        self.sockets: dict[Socket, str | None] = {}
        self.members: dict[str, _Present] = {}


class _Present:
    __slots__ = ("info", "sockets")

    def __init__(self, info: msgspec.Raw) -> None:
        self.info = info
        self.sockets = 1


class Application:
    """One application; ``frame`` puts a message into WebSocket's frame.

    ``tell`` hears of everything that happens, in the middle of it: it must leave it for later.
    """

    def __init__(
        self,
        keys: Keys,
        limits: Limits,
        frame: Callable[[bytes], bytes],
        tell: Callable[[Happening], None],
        *,
        enabled: bool = True,
    ) -> None:
        self.keys = keys
        self.limits = limits
        self.frame = frame
        self.tell = tell
        self.enabled = enabled
        self.counters: Counter[str] = Counter()
        self._sockets: dict[str, Socket] = {}
        self._channels: dict[str, _Channel] = {}
        self._users: dict[str, set[Socket]] = {}
        self._cached: dict[str, tuple[bytes, int]] = {}
        self._attendants: dict[str, Attendant] = {}

    def __len__(self) -> int:
        return len(self._sockets)

    @property
    def is_full(self) -> bool:
        """Whether there may be no more connections."""
        return len(self._sockets) >= self.limits.connections

    def has(self, socket_id: str) -> bool:
        """Tell whether a connection has this id."""
        return socket_id in self._sockets

    def enter(self, socket: Socket) -> None:
        """Count a connection in."""
        self._sockets[socket.socket_id] = socket
        self.counters["connections"] += 1

    def leave(self, socket: Socket, channels: Iterable[str]) -> None:
        """Count a connection out that has subscribed to ``channels``."""
        for channel in channels:
            self.unsubscribe(socket, channel)
        if socket.user is not None:
            signed_in = self._users[socket.user]
            signed_in.discard(socket)
            if not signed_in:
                del self._users[socket.user]
        self._sockets.pop(socket.socket_id, None)

    def attend(self, name: str, attendant: Attendant) -> None:
        """Have a channel looked after."""
        self._attendants[name] = attendant

    def attendant_of(self, name: str) -> Attendant | None:
        """Return who looks after a channel, if anybody does."""
        return self._attendants.get(name)

    def sign_in(self, socket: Socket, user: str) -> None:
        """Let a connection be one of ``user``'s."""
        socket.user = user
        self._users.setdefault(user, set()).add(socket)

    def subscribe(self, socket: Socket, name: str, member: Member | None, now: int) -> None:
        """Let a connection hear a channel from now (µs) on, and tell it so.

        Raises:
            Refused: there are too many channels, or members of this one.
        """
        channel = self._channels.get(name)
        is_new = channel is None
        if channel is None:
            # Public ones are to be had by anybody: the last tenth is for those who were let in.
            kept = 0 if names.is_private(name) else self.limits.channels // 10
            if len(self._channels) >= self.limits.channels - kept:
                raise Refused("LimitReached", "there are too many channels already", 4100)
            channel = _Channel()
        user = None if member is None else str(member.user_id)
        added = False
        if member is not None and user is not None:
            if user in channel.members:
                channel.members[user].sockets += 1
            elif len(channel.members) >= self.limits.members:
                raise Refused("LimitReached", "the channel has too many members already", 4004)
            else:
                channel.members[user] = _Present(member.user_info)
                added = True
        self._channels[name] = channel
        channel.sockets[socket] = user
        socket.send(self._welcome(name, channel))
        if is_new:
            self.tell(Happening(Kind.OCCUPIED, name))
        if added and member is not None and user is not None:
            data = {"user_id": user, "user_info": member.user_info}
            self._spread(
                channel, messages.encode_inside(messages.MEMBER_ADDED, data, name), [socket]
            )
            self.tell(Happening(Kind.MEMBER_ADDED, name, user_id=user))
        if names.is_cache(name):
            self._send_cached(socket, name, now)
        if (attendant := self._attendants.get(name)) is not None:
            attendant.came(socket.socket_id)

    def unsubscribe(self, socket: Socket, name: str) -> None:
        """Let a connection hear no more of a channel to which it has subscribed."""
        channel = self._channels[name]
        user = channel.sockets.pop(socket)
        if user is not None:
            present = channel.members[user]
            present.sockets -= 1
            if not present.sockets:
                del channel.members[user]
                gone = messages.encode_inside(messages.MEMBER_REMOVED, {"user_id": user}, name)
                self._spread(channel, gone)
                self.tell(Happening(Kind.MEMBER_REMOVED, name, user_id=user))
        if (attendant := self._attendants.get(name)) is not None:
            attendant.left(socket.socket_id)
        if not channel.sockets:
            del self._channels[name]
            self.tell(Happening(Kind.VACATED, name))

    def publish(self, name: str, event: str, data: str, now: int, but: Collection[str] = ()) -> int:
        """Send an event to a channel, but for some socket ids; return how many get it."""
        if (user := names.user_of(name)) is not None:
            return self._publish_to(user, name, event, data)
        channel = self._channels.get(name)
        cached = names.is_cache(name)
        if channel is None and not cached:
            return 0
        message = messages.encode(event, data, name)
        if cached:
            self._keep(name, message, now)
        if channel is None:
            return 0
        return self._spread(channel, message, [self._sockets[one] for one in but if self.has(one)])

    def send(self, socket_id: str, name: str, event: str, data: str) -> int:
        """Send an event of a channel to one connection; return how long it is on the wire."""
        socket = self._sockets.get(socket_id)
        if socket is None:
            return 0
        frame = self.frame(messages.encode(event, data, name))
        socket.send(frame)
        self.counters["messages"] += 1
        return len(frame)

    def relay(self, sender: Socket, name: str, event: str, data: str) -> None:
        """Pass a client's event on to all others that hear the channel."""
        channel = self._channels[name]
        user = channel.sockets[sender]
        self._spread(channel, messages.encode(event, data, name, user), [sender])
        self.tell(Happening(Kind.CLIENT_EVENT, name, user, event, data, sender.socket_id))

    def disconnect(self, user: str) -> int:
        """End the connections of a user who has signed in; return how many they were."""
        sockets = list(self._users.get(user, ()))
        for socket in sockets:
            socket.end(messages.UNAUTHORISED, "the application has ended the user's connections")
        return len(sockets)

    def disconnect_socket(self, socket_id: str, code: int, reason: str) -> None:
        """End a connection, if there is one with that id."""
        if (socket := self._sockets.get(socket_id)) is not None:
            socket.end(code, reason)

    def dismiss(self, code: int, reason: str) -> None:
        """End all connections."""
        for socket in list(self._sockets.values()):
            socket.end(code, reason)

    def occupied(self, prefix: str = "") -> list[str]:
        """Return the channels that somebody hears and whose names begin so."""
        return [name for name in self._channels if name.startswith(prefix)]

    def hears(self, name: str) -> bool:
        """Tell whether somebody hears a channel."""
        return name in self._channels

    def hears_any(self, prefix: str) -> bool:
        """Tell whether somebody hears a channel whose name begins so."""
        return any(name.startswith(prefix) for name in self._channels)

    def subscribers(self, name: str) -> int:
        """Return how many connections hear a channel."""
        channel = self._channels.get(name)
        return 0 if channel is None else len(channel.sockets)

    def users(self, name: str) -> list[str]:
        """Return who is on a presence channel."""
        channel = self._channels.get(name)
        return [] if channel is None else list(channel.members)

    def cached(self, name: str, now: int) -> Mapping[str, Any] | None:
        """Return data and the seconds left of a cache channel's last event."""
        found = self._cached.get(name)
        if found is None or found[1] <= now:
            return None
        message = messages.decode(found[0])
        return {"data": message.text, "ttl": (found[1] - now) // _MICROSECONDS}

    def _publish_to(self, user: str, name: str, event: str, data: str) -> int:
        sockets = self._users.get(user)
        if not sockets:
            return 0
        frame = self.frame(messages.encode(event, data, name))
        for socket in sockets:
            socket.send(frame)
        return len(sockets)

    def _spread(self, channel: _Channel, message: bytes, but: Collection[Socket] = ()) -> int:
        if not channel.sockets:
            return 0
        frame = self.frame(message)
        count = 0
        for socket in channel.sockets:
            if socket not in but:
                socket.send(frame)
                count += 1
        self.counters["messages"] += count
        return count

    def _welcome(self, name: str, channel: _Channel) -> bytes:
        data: dict[str, Any] = {}
        if names.is_presence(name):
            data["presence"] = {
                "count": len(channel.members),
                "ids": list(channel.members),
                "hash": {user: one.info for user, one in channel.members.items()},
            }
        return self.frame(messages.encode_inside(messages.SUBSCRIBED, data, name))

    def _keep(self, name: str, message: bytes, now: int) -> None:
        self._cached.pop(name, None)
        if len(self._cached) >= self.limits.cached:
            # The one whose last event is the oldest.
            del self._cached[next(iter(self._cached))]
        self._cached[name] = message, now + CACHE_SECONDS * _MICROSECONDS

    def _send_cached(self, socket: Socket, name: str, now: int) -> None:
        found = self._cached.get(name)
        if found is not None and found[1] > now:
            socket.send(self.frame(found[0]))
            return
        socket.send(self.frame(messages.encode(messages.CACHE_MISS, channel=name)))
        self.tell(Happening(Kind.CACHE_MISS, name))
