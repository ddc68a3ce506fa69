"""The client's side of a connection to one private channel, without the connection itself.

Times are seconds of any clock that only goes forward.
"""

from __future__ import annotations

from typing import Final

import msgspec

from motehub.protocols.pusher import messages
from motehub.protocols.pusher.messages import (
    ACTIVITY_SECONDS,
    ESTABLISHED,
    PING,
    PONG,
    PONG_SECONDS,
    SUBSCRIBE,
    SUBSCRIBED,
    Message,
    Unreadable,
    Welcome,
)

ANSWER_SECONDS: Final = 30.0
"""How long the server may take for its welcome, and to confirm the subscription, in seconds."""

_OWN: Final = ("pusher:", "pusher_internal:")
_EXCERPT: Final = 200


class Established(msgspec.Struct, frozen=True):
    """The server has said who we are to it: now a signature over ``socket_id`` is needed."""

    socket_id: str


class Subscribed(msgspec.Struct, frozen=True):
    """From now on the channel is heard."""


class NotSubscribed(msgspec.Struct, frozen=True):
    """The server does not let us hear the channel, and why."""

    reason: str


class Complaint(msgspec.Struct, frozen=True):
    """What the server finds wrong; ``code`` where the protocol has one for it."""

    message: str = ""
    code: int | None = None


class Heard(msgspec.Struct, frozen=True):
    """An event on the channel."""

    message: Message


Happening = Established | Subscribed | NotSubscribed | Complaint | Heard


class _Why(msgspec.Struct, frozen=True):
    error: str = ""
    status: int | None = None


class Client:
    """One connection that has just been opened, and wants to hear ``channel``.

    What ``take_outgoing`` returns has to be sent after each call; at ``deadline`` comes ``tick``.
    """

    def __init__(self, channel: str, now: float) -> None:
        self._channel = channel
        self._outgoing: list[bytes] = []
        self._activity = float(ACTIVITY_SECONDS)
        self._heard = now
        self._answer_by: float | None = now + ANSWER_SECONDS
        self._pong_by: float | None = None
        self.is_established = False
        self.is_subscribed = False
        self.complaint: Complaint | None = None
        """What the server complained of last."""

    @property
    def deadline(self) -> float:
        """When ``tick`` has to be called, unless something comes before."""
        waits = [one for one in (self._answer_by, self._pong_by) if one is not None]
        if self._pong_by is None and self.is_established:
            waits.append(self._heard + self._activity)
        return min(waits)

    def receive(self, text: bytes, now: float) -> Happening | None:
        """Take what the server has sent in one frame; return what of it matters to the caller.

        Raises:
            Unreadable: it is not what the protocol says. The connection may go on.
        """
        # Whatever comes shows that the server is there.
        self._heard, self._pong_by = now, None
        message = messages.decode(text)
        match message.event:
            case "pusher:ping":
                self._outgoing.append(PONG)
            case messages.ESTABLISHED:
                return self._welcome(message)
            case messages.SUBSCRIBED if message.channel == self._channel:
                return self._confirm()
            case messages.NOT_SUBSCRIBED if message.channel == self._channel:
                return NotSubscribed(_why(message))
            case messages.ERROR:
                self.complaint = _complaint(message)
                return self.complaint
            case event if message.channel == self._channel and not event.startswith(_OWN):
                # Before the confirmation nothing is ours to hear.
                return Heard(message) if self.is_subscribed else None
        return None

    def subscribe(self, auth: str, channel_data: str | None, now: float) -> None:
        """Ask for the channel, with the signature that the dashboard has given."""
        wanted = {"channel": self._channel, "auth": auth}
        if channel_data is not None:
            wanted["channel_data"] = channel_data
        self._outgoing.append(messages.encode_object(SUBSCRIBE, wanted))
        self._answer_by = now + ANSWER_SECONDS

    def tick(self, now: float) -> str | None:
        """Do what is due; return why the connection is of no use any more, or None."""
        if self._answer_by is not None and now >= self._answer_by:
            what = "confirm the subscription" if self.is_established else "say who we are to it"
            return f"the server did not {what} within {ANSWER_SECONDS:.0f} s"
        if self._pong_by is not None:
            silent = now >= self._pong_by
            return f"the server was silent for {now - self._heard:.0f} s" if silent else None
        if self.is_established and now >= self._heard + self._activity:
            self._outgoing.append(PING)
            self._pong_by = now + PONG_SECONDS
        return None

    def take_outgoing(self) -> list[bytes]:
        """Return the text frames that are to be sent now, once."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _welcome(self, message: Message) -> Established | None:
        if self.is_established:
            raise Unreadable(f"a second {ESTABLISHED}")
        welcome = message.read(Welcome)
        # The server may want to be asked more often than we would, not less.
        self._activity = float(max(1, min(welcome.activity_timeout, ACTIVITY_SECONDS)))
        self.is_established = True
        # The signature takes its own time; the caller bounds that.
        self._answer_by = None
        return Established(welcome.socket_id)

    def _confirm(self) -> Subscribed | None:
        if not self.is_established or self.is_subscribed:
            raise Unreadable(f"{SUBSCRIBED} that nobody waits for")
        self._answer_by = None
        self.is_subscribed = True
        return Subscribed()


class Comeback:
    """After how long to connect again, as the code says with which the last connection ended."""

    FIRST: Final = 0.5
    LONGEST: Final = 60.0
    STEADY: Final = 10.0
    """A subscription of so many seconds shows that all is well: the pauses begin anew."""

    def __init__(self) -> None:
        self._failures = 0

    def pause(self, code: int | None, well_for: float, chance: float) -> float | None:
        """Return seconds; None never: the server says that the same would fail again.

        ``code`` is that of the closing, None without one. ``well_for`` is how long the channel
        was heard, ``chance`` a number from 0 to 1: many clients must not come back together.
        """
        if code is not None and 4000 <= code <= 4099:
            return None
        if well_for >= self.STEADY:
            self._failures = 0
        grown = min(self.FIRST * (1 << min(self._failures, 10)), self.LONGEST)
        usual = grown * (0.5 + chance / 2)
        is_first = self._failures == 0
        self._failures += 1
        if code is not None and 4100 <= code <= 4199:
            return max(1.0, usual)
        if code is not None and 4200 <= code <= 4299 and is_first:
            return 0.0
        return usual


def code_of_end(closed: int | None, complaint: Complaint | None) -> int | None:
    """Return with which code a connection ended, that was ``closed`` with one or with none.

    Some servers say it in an error before, and then close as any WebSocket is closed.
    """
    if closed is None or closed < 4000:
        code = complaint.code if complaint is not None else None
        # Those from 4300 on end nothing.
        if code is not None and 4000 <= code <= 4299:
            return code
    return closed


def _complaint(message: Message) -> Complaint:
    try:
        found = message.read(Complaint)
    except Unreadable:
        return Complaint("an error that can't be read")
    return Complaint(found.message[:_EXCERPT], found.code)


def _why(message: Message) -> str:
    try:
        why = message.read(_Why)
    except Unreadable:
        return "it says no more"
    status = f" ({why.status})" if why.status is not None else ""
    return (why.error or "it says no more")[:_EXCERPT] + status
