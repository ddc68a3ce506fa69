"""The topics of device sessions: who joins and leaves, and what the boards report."""

from __future__ import annotations

from typing import Final

from motehub.model import Announced, Clock, Joined, Left, Source
from motehub.mqtt_meaning.gathering import Client, Gathered, Speaker
from motehub.protocols.device_session import (
    JOIN,
    LEAVE,
    STATUS,
    BadPayload,
    Claim,
    Mac,
    Status,
    parse_claim,
    parse_join,
    parse_value,
    split_status,
)
from motehub.protocols.mqtt.reason_codes import ReasonCode

HEARD: Final = frozenset({JOIN, LEAVE, *STATUS})
"""The topics on which devices speak."""


class SessionTopics:
    """Takes the messages of one read on these topics, in their order.

    Reports of one session are gathered until somebody joins or leaves: what came before that
    must be stored before it.
    """

    def __init__(self, gathered: Gathered, client: Client, now: int) -> None:
        self._gathered = gathered
        self._client = client
        self._now = now
        self._speakers: dict[bytes, Speaker] = {}

    def take(self, number: int, topic: str, payload: bytes) -> None:
        """Take message ``number``."""
        try:
            status = STATUS.get(topic)
            if status is not None:
                self._report(number, status, payload)
            elif topic == JOIN:
                self._join(number, payload)
            else:
                speaker = self._speaker(payload)
                self._speakers.clear()
                speaker.say(Left("it said so"), number)
        except BadPayload as fault:
            nobody = Source(self._client.dialect, "", "", self._client.peer)
            self._gathered.speaker(nobody).reject(payload, f"{topic}: {fault}")
            self._gathered.refuse(number, ReasonCode.PAYLOAD_FORMAT_INVALID, str(fault))

    def _report(self, number: int, status: Status, payload: bytes) -> None:
        claim, text = split_status(payload)
        value = parse_value(status, text)
        self._speaker(claim).put(status.metric, status.unit, value, self._now, Clock.HUB, number)

    def _join(self, number: int, payload: bytes) -> None:
        who = parse_join(payload)
        self._speakers.clear()
        if isinstance(who, Claim):
            self._gathered.joins[number] = who
            self._gathered.speaker(self._source(who)).say(Joined(), number)
            return
        self._announce(number, who)

    def _announce(self, number: int, mac: Mac) -> None:
        identity = mac.identity
        source = Source(self._client.dialect, identity, "", self._client.peer)
        self._gathered.speaker(source).say(Announced(self._client.rival(identity)), number)
        self._gathered.expect_name(mac)

    def _speaker(self, claim: bytes) -> Speaker:
        speaker = self._speakers.get(claim)
        if speaker is None:
            speaker = self._gathered.speaker(self._source(parse_claim(claim)))
            self._speakers[claim] = speaker
        return speaker

    def _source(self, claim: Claim) -> Source:
        client = self._client
        return Source(client.dialect, "", claim.name, client.peer, session=claim.session)
