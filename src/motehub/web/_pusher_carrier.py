"""Commands to units that a base unit elsewhere reaches: events on ``private-requests``.

Base units that are motehubs answer what became of each; those get again what they have not
answered when they come back. Others are handed it, and that is all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from motehub.command import Command, CommandDesk
from motehub.errors import UnknownUnit
from motehub.model import MICROSECONDS, Assignment, Device
from motehub.protocols.pusher.application import Application
from motehub.protocols.pusher.messages import Message, as_text
from motehub.protocols.pusher.requests import (
    ANSWER,
    REQUESTS,
    UPDATE,
    Answer,
    State,
    read_answers,
)
from motehub.units import Unit, UnitDesk
from motehub.web._pusher_access import Grants

MOST_UNTAKEN: Final = 100
"""Requests that may be on their way to a base unit that has not said that it has them."""

_IDENTITY: Final = "unit:"
# Of whom nothing is said here, readings are stored as those of such a unit.
_UNNAMED: Final = Unit(address="192.0.2.1")
# A base unit says why it could not do it before the command expires here without a reason.
_MARGIN: Final = 1.0
_LEAST: Final = 1.0


class _Offer:
    """A command that base units have been asked to carry out, and none has done so yet.

    ``asked`` are the connections that may still do it; ``others`` tells whether somebody who
    answers nothing has got it as well.
    """

    __slots__ = ("address", "asked", "command", "others")

    def __init__(self, command: Command, address: str) -> None:
        self.command = command
        self.address = address
        self.asked: set[str] = set()
        self.others = False

    def request(self, now: int) -> str:
        left = (self.command.deadline - now) / MICROSECONDS - _MARGIN
        return as_text(
            {
                "ip": self.address,
                "payload": self.command.order.line,
                "id": self.command.id,
                "seconds": round(max(_LEAST, left), 3),
            }
        )


class _Base:
    """A connection of a base unit that answers: what waits for it, and what is on its way."""

    __slots__ = ("under_way", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.under_way: dict[str, int] = {}


class BaseCarrier:
    """See :class:`motehub.command.Carrier`, and ``Attendant`` of the application.

    ``clock`` returns UTC microseconds. ``later`` calls something soon, and not in the middle of
    what goes on. ``most_bytes`` may be on their way to a base unit at a time. ``units`` returns
    what is said here of units.
    """

    def __init__(
        self,
        application: Application,
        desk: CommandDesk,
        grants: Grants,
        clock: Callable[[], int],
        later: Callable[[Callable[[], object]], None],
        most_bytes: int,
        units: Callable[[], UnitDesk | None] = lambda: None,
    ) -> None:
        self._application = application
        self._desk = desk
        self._grants = grants
        self._clock = clock
        self._later = later
        self._most_bytes = most_bytes
        self._units = units
        self._answering: set[str] = set()
        self._bases: dict[str, _Base] = {}
        # In the order in which commands were given.
        self._offers: dict[str, _Offer] = {}
        self._new: list[str] = []

    def expect_answers(self, socket_id: str) -> None:
        """Know that a connection is of a base unit that answers."""
        self._answering.add(socket_id)

    def look(self, channel: str) -> None:
        """Send what waits, if it is this channel that somebody has come to."""
        if channel == REQUESTS and self._application.hears(REQUESTS):
            self._desk.reachable()

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        """Tell whether ``command`` is for a unit, and on its way to a base unit."""
        identity = next((one for one in device.identities if one.startswith(_IDENTITY)), None)
        if identity is None or session is not None:
            return False
        if (fault := command.order.line_fault) is not None:
            self._desk.failed(command.id, fault)
            return True
        # What was asked before comes before.
        self.catch_up()
        offer = _Offer(command, identity.removeprefix(_IDENTITY))
        if not self._bases:
            if not self._hand_to_others(offer):
                return False
            self._note_sent(offer)
            return True
        self._offers[command.id] = offer
        self._hand_to_others(offer)
        for socket_id in self._bases:
            self._ask(socket_id, offer)
        return True

    def came(self, socket_id: str) -> None:
        """Know of a new subscriber; what has not been answered is for it, soon."""
        self._new.append(socket_id)
        self._later(self.catch_up)

    def left(self, socket_id: str) -> None:
        """Know that a subscriber is gone: what it has not answered it may have got or not."""
        self._bases.pop(socket_id, None)
        if socket_id in self._new:
            self._new.remove(socket_id)

    def heard(self, socket_id: str, message: Message) -> bool:
        """Take answers; other events are between clients.

        Raises:
            Unreadable: they make no sense.
        """
        if message.event != ANSWER:
            return False
        answers = read_answers(message)
        self.catch_up()
        # Whose token has been revoked is not there any more.
        base = self._bases.get(socket_id)
        if base is not None:
            for answer in answers:
                base.under_way.pop(answer.id, None)
                self._take(socket_id, answer)
            self._send_on(socket_id, base)
        return True

    def catch_up(self) -> None:
        """Ask those who are new for what has not been answered, in its order."""
        self._grants.check(self._clock())
        new, self._new = self._new, []
        for socket_id in new:
            if socket_id in self._answering:
                self._bases[socket_id] = _Base()
            for offer in list(self._offers.values()):
                if socket_id in self._bases:
                    self._ask(socket_id, offer)
                elif not offer.asked:
                    # No base unit that answers has such a unit.
                    self._application.send(socket_id, REQUESTS, UPDATE, self._request(offer))
                    self._end(offer)

    def tidy(self) -> None:
        """Forget what is over: called now and then."""
        self._answering = {one for one in self._answering if self._application.has(one)}
        wanted = self._desk.is_wanted
        self._offers = {id_: offer for id_, offer in self._offers.items() if wanted(id_)}

    def _hand_to_others(self, offer: _Offer) -> bool:
        """Tell whether somebody who answers nothing has been handed the request."""
        now = self._clock()
        request = offer.request(now)
        count = self._application.publish(REQUESTS, UPDATE, request, now, tuple(self._bases))
        offer.others = count > 0
        return offer.others

    def _ask(self, socket_id: str, offer: _Offer) -> None:
        offer.asked.add(socket_id)
        base = self._bases[socket_id]
        base.waiting.append(offer.command.id)
        self._send_on(socket_id, base)

    def _send_on(self, socket_id: str, base: _Base) -> None:
        """Send what waits, but no more at a time than a client may have waiting."""
        while base.waiting:
            if len(base.under_way) >= MOST_UNTAKEN:
                return
            if base.under_way and sum(base.under_way.values()) >= self._most_bytes:
                return
            id_ = base.waiting.popleft()
            offer = self._offers.get(id_)
            if offer is not None and self._desk.is_wanted(id_):
                request = self._request(offer)
                size = self._application.send(socket_id, REQUESTS, UPDATE, request)
                base.under_way[id_] = size

    def _request(self, offer: _Offer) -> str:
        return offer.request(self._clock())

    def _take(self, socket_id: str, answer: Answer) -> None:
        offer = self._offers.get(answer.id)
        if offer is None or socket_id not in offer.asked:
            return
        match answer.state:
            case State.SENT:
                self._end(offer)
            case State.FAILED:
                del self._offers[answer.id]
                self._desk.failed(answer.id, answer.reason or "the base unit gives no reason")
            case State.UNKNOWN:
                offer.asked.discard(socket_id)
                if not offer.asked and offer.others:
                    self._end(offer)

    def _end(self, offer: _Offer) -> None:
        del self._offers[offer.command.id]
        self._note_sent(offer)

    def _note_sent(self, offer: _Offer) -> None:
        unheard = not self._reports(offer.address, offer.command.order.name)
        self._desk.sent(offer.command.id, unheard=unheard)

    def _reports(self, address: str, name: str | None) -> bool:
        """Tell whether the readings of the unit at ``address`` show what ``name`` is."""
        desk = self._units()
        try:
            unit = desk.unit(address).definition if desk is not None else None
        except UnknownUnit:
            unit = None
        return (unit or _UNNAMED).reports(name)
