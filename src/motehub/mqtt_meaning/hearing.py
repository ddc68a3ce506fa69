"""The messages of a read that are looked at one by one, and what is made of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from motehub.model import Clock, Joined, Left, Record, Source
from motehub.mqtt_meaning.gathering import Client, Gathered, Message, Speaker
from motehub.mqtt_meaning.naming import is_name
from motehub.mqtt_meaning.objects import reading_of
from motehub.mqtt_meaning.session_topics import SessionTopics
from motehub.mqtt_meaning.values import NoReading
from motehub.protocols.mqtt.reason_codes import ReasonCode

PRESENCES: Final = 10_000
"""Most devices of which is remembered whether they are online."""


class Presences:
    """What programs tell about devices being online, between the reads.

    It is told to the hub only of devices that have sent readings: brokers retain such messages
    of devices that are long gone, or that are none.
    """

    def __init__(self) -> None:
        self.told: dict[str, bool] = {}
        self.heard: set[str] = set()

    def tell(self, device: str, online: bool) -> bool:
        """Note it; tell whether the hub is to know, and does not yet."""
        known = self.told.get(device)
        if len(self.told) >= PRESENCES:
            self.told.clear()
        self.told[device] = online
        return device in self.heard and known is not online

    def hear(self, device: str) -> bool | None:
        """Note a reading; return what the hub has to be told before it."""
        if device in self.heard:
            return None
        if len(self.heard) >= PRESENCES:
            self.heard.clear()
        self.heard.add(device)
        return self.told.get(device)


class Hearing:
    """Turns one message after the other into records; ``listen`` begins the next one.

    ``old`` is true for a message that another broker had retained. ``speakers`` are those who
    have said something in this read already, by device.
    """

    def __init__(
        self,
        gathered: Gathered,
        client: Client,
        now: int,
        speakers: dict[str, Speaker],
        presences: Presences,
    ) -> None:
        self.client = client
        self._gathered = gathered
        self._now = now
        self._speakers = speakers
        self._presences = presences
        self._sessions = SessionTopics(gathered, client, now)
        self._nobody: Speaker | None = None
        self._number = 0
        self.topic = ""
        self.payload = b""
        self.old = False

    def listen(self, number: int, message: Message) -> None:
        """Begin with message ``number``."""
        self._number = number
        self.topic = message.topic
        self.payload = message.payload
        self.old = self.client.subscription and message.retain

    def take_session(self) -> None:
        """Take the message as one of a device session."""
        if not self.old:
            self._sessions.take(self._number, self.topic, self.payload)

    def put(
        self, device: str, metric: str, unit: str, value: float | str, time: int | None = None
    ) -> None:
        """Take a reading; without ``time`` (UTC µs) it is of now, so an old one is left out."""
        if self.old and time is None:
            return
        speaker = self._speaker(device)
        if speaker is None:
            return
        moment, clock = (self._now, Clock.HUB) if time is None else (time, Clock.DEVICE)
        speaker.put(metric, unit, value, moment, clock, self._number)

    def put_member(
        self, device: str, metric: str, unit: str, value: object, time: int | None = None
    ) -> None:
        """Take a value in JSON as a reading, or reject it alone."""
        try:
            reading = reading_of(value)
        except NoReading as fault:
            self.reject(device, f"{metric[:40]!r} {fault}")
            return
        if is_name(metric):
            self.put(device, metric, unit, reading, time)
        else:
            self.reject(device, f"{metric[:40]!r} is no name for a metric")

    def hear(self, device: str) -> None:
        """Note that ``device`` sends readings, and tell the hub if it is known to be online."""
        online = self._presences.hear(device)
        if online is not None:
            self._say(device, Joined() if online else Left("it said so"))

    def tell_presence(self, device: str, online: bool) -> None:
        """Take that ``device`` is online or not; what another broker retained still holds."""
        if self._presences.tell(device, online):
            self._say(device, Joined() if online else Left("it said so"))

    def reject(self, device: str | None, reason: str) -> None:
        """Refuse the message, or a part of it; the payload goes to the rejected ones.

        Without ``device`` it is nobody's. What is old was refused before, if at all.
        """
        if self.old:
            return
        speaker = self._anybody() if device is None else self._speaker(device)
        if speaker is not None:
            speaker.reject(self.payload, f"{self.topic[:200]}: {reason}")
            self._gathered.refuse(self._number, ReasonCode.PAYLOAD_FORMAT_INVALID, reason)

    def _say(self, device: str, record: Record) -> None:
        speaker = self._speaker(device)
        if speaker is not None:
            speaker.say(record, self._number)

    def _speaker(self, device: str) -> Speaker | None:
        """Return the speaker that ``device`` is, or refuse the message if it may not be."""
        if not self.client.may_write(device):
            if not self.old:
                reason = f"{self.client.peer} may not write {device[:40]}"
                self._anybody().reject(self.payload, f"{self.topic[:200]}: {reason}")
                self._gathered.refuse(self._number, ReasonCode.NOT_AUTHORIZED, reason)
            return None
        speaker = self._speakers.get(device)
        if speaker is None:
            speaker = self._gathered.speaker(self.client.source(device))
            self._speakers[device] = speaker
        return speaker

    def _anybody(self) -> Speaker:
        if self._nobody is None:
            client = self.client
            self._nobody = self._gathered.speaker(Source(client.dialect, "", "", client.peer))
        return self._nobody


Take = Callable[[Hearing], None]
"""Takes the message that a hearing is at."""
