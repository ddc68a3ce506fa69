"""What the packets of one read amount to: stored in one commit, answered in one write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from motehub.model import Delivery, Malformed, Receipt, Source
from motehub.mqtt_meaning.gathering import Client, Gathered, Refusal, Reply
from motehub.protocols.mqtt.broker import Planned
from motehub.protocols.mqtt.events import Closed, Event
from motehub.protocols.mqtt.members import Member
from motehub.protocols.mqtt.packets import (
    NO_PUBLISH,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    is_payload_valid,
)
from motehub.protocols.mqtt.properties import AckProperties
from motehub.protocols.mqtt.reason_codes import FAILURE, ReasonCode
from motehub.protocols.mqtt.routing import NOWHERE
from motehub.security.mqtt_access import Rights

if TYPE_CHECKING:
    from motehub.transports._mqtt_broker_conversation import MqttConversation

_EXCERPT: Final = 200


def why_closed(closed: Closed) -> str:
    """Return for people why a connection is over."""
    if closed.reason_code is ReasonCode.SUCCESS:
        return closed.text or "the client said goodbye"
    return closed.text or closed.reason_code.name.lower().replace("_", " ")


class Work:
    """Acts on events in their order, in three steps: before, in, and after the commit."""

    __slots__ = (
        "_codes",
        "_conversation",
        "_events",
        "_gathered",
        "_now",
        "_numbers",
        "_old",
        "_planned",
        "_publishes",
        "_refused",
        "_replies",
        "deliveries",
        "end",
    )

    def __init__(self, conversation: MqttConversation, events: list[Event], now: int) -> None:
        self._conversation = conversation
        self._events = events
        self._now = now
        self._planned: list[Planned] = []
        # How many of these were retained.
        self._old = 0
        self._refused: dict[int, Refusal] = {}
        self._replies: list[Reply] = []
        # Of each SUBSCRIBE and UNSUBSCRIBE.
        self._codes: list[tuple[ReasonCode, ...]] = []
        # Which of the messages the hub gets to see, unless all.
        self._numbers: list[int] | None = None
        self.deliveries: list[Delivery] = []
        self.end: str | None = None
        last = events[-1]
        if isinstance(last, Closed):
            self.end = why_closed(last)
        self._publishes = [event for event in events if isinstance(event, Publish)]
        self._gathered = self._gather()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done: acknowledgements were noted when they were read."""
        return all(isinstance(event, PubAck | PubComp) for event in self._events)

    def note(self, receipts: Sequence[Receipt]) -> None:
        """Change the broker's state, as far as what was published was taken."""
        self._refuse(receipts)
        counters = self._conversation.service.broker.counters
        counters["messages_received"] += len(self._publishes)
        if self._refused:
            counters["refused"] += len(self._refused)
        if self._is_plain():
            return
        number = -1
        for event in self._events:
            if isinstance(event, Publish):
                number += 1
                if number not in self._refused:
                    self._route(event)
            else:
                self._note_event(event)
        self._conversation.service.plan_replies(self._replies, self._planned)

    def answer(self, receipts: Sequence[Receipt]) -> bytes:
        """Acknowledge what is durable, deliver it, and return what is for this client."""
        conversation = self._conversation
        connection = conversation.connection
        if self._refused or len(self._publishes) < len(self._events):
            self._answer_each()
        else:
            connection.acknowledge(self._publishes)
            self._forget_kept(self._publishes)
        if connection.is_closed:
            self._answer_successor()
        if self._planned:
            conversation.service.broker.deliver(self._planned, conversation.service.clock())
        return connection.take_output()

    def _answer_successor(self) -> None:
        """Answer what the client has sent again over the connection that took this one's place."""
        member = self._conversation.member
        link = None if member is None else member.link
        if link is None or link is self._conversation:
            return
        for number, message in enumerate(self._publishes):
            if message.qos == 2:
                refusal = self._refused.get(number)
                link.confirm(message, ReasonCode.SUCCESS if refusal is None else refusal.code)

    def _gather(self) -> Gathered | None:
        """Find out what the messages say to the hub, but for those that may not be published."""
        publishes = self._publishes
        if not publishes:
            return None
        conversation = self._conversation
        rights, client = conversation.rights, conversation.client
        assert rights is not None
        assert client is not None
        special = any(one.retain or one.properties is not NO_PUBLISH for one in publishes)
        if special or not all(map(rights.may_publish, {one.topic for one in publishes})):
            self._check(rights)
        allowed: Sequence[Publish] = publishes
        if self._refused:
            self._numbers = [n for n in range(len(publishes)) if n not in self._refused]
            allowed = [publishes[n] for n in self._numbers]
        gathered = conversation.service.meanings.gather(allowed, client, conversation.service.utc())
        self.deliveries = gathered.deliveries
        if self._refused:
            self.deliveries = [*gathered.deliveries, self._rejected(client)]
        return gathered

    def _check(self, rights: Rights) -> None:
        broker = self._conversation.service.broker
        for number, message in enumerate(self._publishes):
            if not rights.may_publish(message.topic):
                reason = f"{rights.principal} may not publish on {message.topic}"
                self._refused[number] = Refusal(ReasonCode.NOT_AUTHORIZED, reason)
            elif message.properties is not NO_PUBLISH and not is_payload_valid(message):
                # §3.3.2.3.2
                reason = f"{message.topic}: the payload is not UTF-8 as its indicator says"
                self._refused[number] = Refusal(ReasonCode.PAYLOAD_FORMAT_INVALID, reason)
            elif not broker.retained.has_room(message):
                reason = f"{message.topic}: too many messages are retained"
                self._refused[number] = Refusal(ReasonCode.QUOTA_EXCEEDED, reason)

    def _rejected(self, client: Client) -> Delivery:
        """Return what is refused for the list of rejected payloads: of nobody that is known."""
        samples: dict[str, Malformed] = {}
        for number, refusal in self._refused.items():
            known = samples.get(refusal.reason)
            payload = self._publishes[number].payload[:_EXCERPT]
            samples[refusal.reason] = (
                Malformed(payload, refusal.reason)
                if known is None
                else replace(known, count=known.count + 1)
            )
        return Delivery(Source(client.dialect, "", "", client.peer), [*samples.values()])

    def _refuse(self, receipts: Sequence[Receipt]) -> None:
        """Add what the hub would not take to what is refused, and note what it answers."""
        gathered = self._gathered
        if gathered is None:
            return
        self._conversation.note_devices(gathered.deliveries)
        service = self._conversation.service
        receipts = receipts[: len(gathered.deliveries)]
        outcomes = gathered.outcomes(receipts)
        if gathered.joins or (outcomes is not None and outcomes.replies):
            service.note_joins(self._conversation, gathered.deliveries, receipts)
        if outcomes is None:
            return
        for number, refusal in outcomes.refused.items():
            at = number if self._numbers is None else self._numbers[number]
            self._refused[at] = refusal
        self._replies = outcomes.replies

    def _is_plain(self) -> bool:
        """Tell whether these are only messages to which nobody has subscribed, at QoS 0 and 1."""
        routes = self._conversation.service.broker.routes
        return (
            len(self._publishes) == len(self._events)
            and not self._replies
            and not any(one.retain or one.qos == 2 for one in self._publishes)
            and all(routes.find(topic) is NOWHERE for topic in {p.topic for p in self._publishes})
        )

    def _route(self, message: Publish) -> None:
        conversation = self._conversation
        member, broker = conversation.member, conversation.service.broker
        assert member is not None
        if message.qos == 2:
            member.keeping.add(message.packet_id)
            broker.ledger.incoming(member)
        self._planned += broker.plan(message, member, self._now)

    def _note_event(self, event: Event) -> None:
        conversation = self._conversation
        if isinstance(event, Closed):
            # Also of a client that was never let in.
            conversation.leave(event, self._now)
            return
        member, ledger = conversation.member, conversation.service.broker.ledger
        assert member is not None
        if isinstance(event, PubRel):
            member.releasing.add(event.packet_id)
            ledger.incoming(member)
        elif isinstance(event, PubRec):
            if event.reason_code < FAILURE:
                ledger.released(member)
        elif isinstance(event, Subscribe):
            self._codes.append(self._subscribe(event, member))
        elif isinstance(event, Unsubscribe):
            self._codes.append(self._unsubscribe(event, member))

    def _subscribe(self, packet: Subscribe, member: Member) -> tuple[ReasonCode, ...]:
        conversation = self._conversation
        broker, rights = conversation.service.broker, conversation.rights
        assert rights is not None
        identifier = packet.properties.subscription_identifier
        codes = []
        for subscription in packet.subscriptions:
            # [MQTT-3.8.4-5]: each has an answer of its own.
            if rights.is_denied(subscription.filter):
                # The owner has said no, and need not say why (§3.9.3).
                codes.append(ReasonCode.UNSPECIFIED_ERROR)
            elif not rights.may_subscribe(subscription.filter):
                codes.append(ReasonCode.NOT_AUTHORIZED)
            elif not broker.may_subscribe(member, subscription.filter):
                codes.append(ReasonCode.QUOTA_EXCEEDED)
            else:
                new = broker.subscribe(member, subscription, identifier)
                codes.append(ReasonCode(subscription.qos))
                handling = subscription.retain_handling
                # §3.8.3.1
                if handling == 0 or (handling == 1 and new):
                    # However many filters match the same retained messages.
                    most = broker.limits.messages - self._old
                    old = broker.plan_retained(member, subscription, identifier, self._now, most)
                    self._old += len(old)
                    self._planned += old
        conversation.service.subscribed()
        return tuple(codes)

    def _unsubscribe(self, packet: Unsubscribe, member: Member) -> tuple[ReasonCode, ...]:
        broker = self._conversation.service.broker
        return tuple(
            ReasonCode.SUCCESS
            if broker.unsubscribe(member, topic_filter)
            else ReasonCode.NO_SUBSCRIPTION_EXISTED
            for topic_filter in packet.filters
        )

    def _answer_each(self) -> None:
        """Answer every packet in its order, also those that were refused."""
        connection = self._conversation.connection
        codes = iter(self._codes)
        number = -1
        for event in self._events:
            if isinstance(event, Publish):
                number += 1
                if refusal := self._refused.get(number):
                    told = AckProperties(reason_string=refusal.reason)
                    connection.acknowledge([event], refusal.code, told)
                else:
                    connection.acknowledge([event])
            elif isinstance(event, PubRel | PubRec):
                connection.acknowledge([event])
            elif isinstance(event, Subscribe):
                connection.answer(SubAck(event.packet_id, next(codes)))
            elif isinstance(event, Unsubscribe):
                connection.answer(UnsubAck(event.packet_id, next(codes)))
        self._forget_kept(self._events)

    def _forget_kept(self, events: Sequence[Event]) -> None:
        """From here on the session itself knows what is kept and what is released."""
        member = self._conversation.member
        if member is None:
            return
        if member.keeping or member.releasing:
            for event in events:
                if isinstance(event, Publish):
                    member.keeping.discard(event.packet_id)
                elif isinstance(event, PubRel):
                    member.releasing.discard(event.packet_id)
