"""What the messages of a read come to: deliveries for the hub, and what it answers to whom."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from motehub.exact_json import PAYLOAD_LIMIT
from motehub.model import (
    Clock,
    Delivery,
    Malformed,
    Receipt,
    Record,
    RefusedRecord,
    Samples,
    Source,
    Texts,
    derived_device_name,
)
from motehub.protocols import device_session
from motehub.protocols.device_session import Claim, Mac
from motehub.protocols.mqtt.reason_codes import ReasonCode

NOT_WILLING: Final = ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR
"""The message is valid, but the hub does not take it (§3.4.2.1); the reason string says why."""


READINGS: Final = "readings"
"""The first level of the topics on which devices send readings to the hub."""


def is_own(topic: str) -> bool:
    """Tell whether a topic is the hub's own: what is published there is meant for it."""
    return topic.startswith("readings/") or topic in device_session.TOPICS


class Message(Protocol):
    """A message as it was published: what of a PUBLISH packet means something to the hub."""

    @property
    def topic(self) -> str:
        """The topic name; an alias is resolved."""
        ...

    @property
    def payload(self) -> bytes:
        """The application message."""
        ...

    @property
    def retain(self) -> bool:
        """The RETAIN flag."""
        ...


def _no_rival(identity: str) -> str:
    return ""


class Client(msgspec.Struct, frozen=True):
    """Who publishes.

    ``vouched`` is true when the owner knows the client: it has a token or a certificate.
    ``may_write`` tells whether it may send readings of the device that a topic names.
    ``subscription`` is true when the messages come from a subscription at another broker, where
    RETAIN marks what is old. ``rival`` returns the peer of another live connection that holds
    the present session of the device with an identity, or "".
    """

    dialect: str
    peer: str
    vouched: bool
    may_write: Callable[[str], bool]
    subscription: bool = False
    rival: Callable[[str], str] = _no_rival

    def source(self, device: str) -> Source:
        """Return the source of what this client says about ``device``, by its name in topics.

        A stranger can't speak for a device that has a key, even if it knows the name.
        """
        name = derived_device_name(device)
        if self.vouched:
            identity, alias = f"mqtt:{device}", f"http:{device}"
        else:
            identity, alias = f"{self.dialect}.anonymous:{device}", ""
        return Source(self.dialect, identity, name, self.peer, self.vouched, alias)


class Refusal(msgspec.Struct, frozen=True):
    """Why a message was not (or not wholly) stored, as a PUBACK or PUBREC may say it."""

    code: ReasonCode
    reason: str


class Reply(msgspec.Struct, frozen=True):
    """A message that the hub publishes in answer."""

    topic: str
    payload: bytes
    qos: int


class Outcomes(msgspec.Struct, frozen=True):
    """What is to be said once all is durable: refusals by message number from 0, and replies."""

    refused: dict[int, Refusal]
    replies: list[Reply]


class _Column:
    """Readings of one series under way."""

    __slots__ = ("clock", "metric", "texts", "times", "unit", "values")

    def __init__(self, metric: str, unit: str, texts: bool, clock: Clock) -> None:
        self.metric, self.unit, self.texts, self.clock = metric, unit, texts, clock
        self.times = array("q")
        self.values: list[Any] = []

    def record(self) -> Record:
        if self.texts:
            return Texts(self.metric, self.times, self.values, self.clock)
        values = array("d", self.values)
        return Samples(self.metric, self.unit, self.times, values, self.clock)


class Speaker(msgspec.Struct):
    """What one source says, in its order, and in which messages.

    ``numbers`` has for each entry of ``said`` the topic that all its messages have, or their
    numbers. The places of what is under way are only kept when there is something: mostly all
    that is said are whole topics.
    """

    source: Source
    said: list[Any] = []
    numbers: list[str | list[int]] = []
    columns: dict[tuple[str, str, bool, bool], int] | None = None
    malformed: dict[str, int] | None = None

    def say(self, record: Record, message: int) -> None:
        """Add a record that is made of one message."""
        self.said.append(record)
        self.numbers.append([message])

    def put(
        self, metric: str, unit: str, value: float | str, time: int, clock: Clock, message: int
    ) -> None:
        """Add a reading to those of its series."""
        # Not the clock itself: members of an enumeration are slow to look up.
        key = (metric, unit, value.__class__ is str, clock is Clock.HUB)
        if self.columns is None:
            self.columns = {}
        place = self.columns.get(key)
        if place is None:
            place = self.columns[key] = len(self.said)
            self.said.append(_Column(metric, unit, value.__class__ is str, clock))
            self.numbers.append([])
        column, numbers = self.said[place], self.numbers[place]
        assert isinstance(numbers, list)
        column.times.append(time)
        column.values.append(value)
        numbers.append(message)

    def reject(self, payload: bytes, reason: str) -> None:
        """Add a payload that can't be taken; more of them with one reason are only counted."""
        if self.malformed is None:
            self.malformed = {}
        place = self.malformed.get(reason)
        if place is None:
            self.malformed[reason] = len(self.said)
            self.said.append(Malformed(payload[:PAYLOAD_LIMIT], reason))
            self.numbers.append([])
            return
        sample = self.said[place]
        self.said[place] = msgspec.structs.replace(sample, count=sample.count + 1)

    def delivery(self) -> Delivery:
        """Return all of it for the hub."""
        records = [one.record() if one.__class__ is _Column else one for one in self.said]
        return Delivery(self.source, records)

    def messages(self, refused: RefusedRecord, messages: Sequence[Message]) -> list[int]:
        """Return the numbers of the messages that said the readings which were refused."""
        numbers = self.numbers[refused.record]
        if isinstance(numbers, str):
            numbers = [n for n, message in enumerate(messages) if message.topic == numbers]
        return numbers[refused.start : refused.stop]


class Gathered:
    """The deliveries of a read, and what is to be answered when the hub has taken them."""

    __slots__ = ("_messages", "_refused", "_replies", "_speakers", "deliveries", "joins")

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._speakers: list[Speaker] = []
        self._refused: dict[int, Refusal] = {}
        # Which devices wait for a name, by the speaker's number.
        self._replies: dict[int, Mac] = {}
        self.deliveries: list[Delivery] = []
        self.joins: dict[int, Claim] = {}
        """What a message on ``state/join`` claims, by its number."""

    def speaker(self, source: Source) -> Speaker:
        """Return a new speaker, behind those that there are."""
        speaker = Speaker(source)
        self._speakers.append(speaker)
        return speaker

    def refuse(self, message: int, code: ReasonCode, reason: str) -> None:
        """Note why a message can't be taken; of several reasons the first counts.

        Only a message to the hub is refused: on other topics programs talk to each other, and
        what the hub can't read there may be of use to them.
        """
        if is_own(self._messages[message].topic):
            self._refused.setdefault(message, Refusal(code, reason))

    def expect_name(self, mac: Mac) -> None:
        """Note that the newest speaker is a device that waits for a name."""
        self._replies[len(self._speakers) - 1] = mac

    def finish(self) -> Gathered:
        """Make the deliveries; nothing is added afterwards."""
        self.deliveries = [
            Delivery(one.source, one.said) if one.columns is None else one.delivery()
            for one in self._speakers
        ]
        return self

    def outcomes(self, receipts: Sequence[Receipt]) -> Outcomes | None:
        """Return what is to be said about ``receipts``, one for each delivery; None for nothing.

        What belongs to a session that is over is discarded without a word.
        """
        if not self._refused and not self._replies:
            for receipt in receipts:
                if receipt.refused:
                    break
            else:
                return None
        replies: list[Reply] = []
        for number, (speaker, receipt) in enumerate(zip(self._speakers, receipts, strict=True)):
            for one in receipt.refused:
                for message in speaker.messages(one, self._messages):
                    self.refuse(message, NOT_WILLING, one.reason)
            mac = self._replies.get(number)
            if mac and receipt.assigned:
                assigned = receipt.assigned
                payload = device_session.format_name_assign(mac, assigned.name, assigned.session)
                replies.append(Reply(device_session.NAME_ASSIGN, payload, 2))
        return Outcomes(self._refused, replies) if self._refused or replies else None
