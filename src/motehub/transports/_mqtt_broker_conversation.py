"""One client of the broker: its packets become turns, and turns become answers."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from motehub.conversations import Channel, Peer, Turn
from motehub.logs import Logger
from motehub.model import MICROSECONDS, Delivery, Receipt
from motehub.mqtt_meaning.gathering import Client
from motehub.protocols.device_session import Claim
from motehub.protocols.mqtt.connection import Connection
from motehub.protocols.mqtt.events import Closed, Event
from motehub.protocols.mqtt.members import Member
from motehub.protocols.mqtt.packets import Connect, Publish, Version
from motehub.protocols.mqtt.properties import ConnAckProperties
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import Queued
from motehub.security.mqtt_access import ANONYMOUS, Rights
from motehub.transports._mqtt_broker_service import Service
from motehub.transports._mqtt_broker_turn import Work, why_closed

_REMEMBERED_DEVICES: Final = 1_000

_logger = Logger("motehub.mqtt")

_Refused = tuple[ReasonCode, str]


class MqttConversation:
    """See :class:`motehub.conversations.Conversation` and :class:`Link` of the broker."""

    __slots__ = (
        "_allowance",
        "_channel",
        "_closed",
        "_early",
        "_gone",
        "_paid",
        "_peer",
        "_refusal",
        "client",
        "connection",
        "joined",
        "member",
        "rights",
        "service",
        "spoken",
    )

    def __init__(self, service: Service, peer: Peer, channel: Channel) -> None:
        self.service = service
        self.connection = Connection(service.limits, service.clock())
        self._peer = peer
        self._channel = channel
        channel.resumed = self._resume
        channel.broken = self._break
        # While a CONNECT is under way: what came after it, and whether the connection is lost.
        self._early: list[bytes] | None = None
        self._gone = False
        self._closed: Closed | None = None
        # How a CONNECT is refused, and when: who guesses has to wait for it.
        self._refusal: tuple[_Refused, int] | None = None
        self._allowance = float(service.rate)
        self._paid = service.clock()
        self.member: Member | None = None
        self.rights: Rights | None = None
        self.client: Client | None = None
        # The newest session of each device that has joined over this connection: mostly one.
        self.joined: dict[str, Claim] = {}
        # The identities of the devices whose readings have come over this connection, in order.
        self.spoken: dict[str, None] = {}

    @property
    def peer(self) -> str:
        """The address of the client."""
        return self._peer.address

    @property
    def deadline(self) -> int | None:
        """When the client has been silent for too long."""
        if self._refusal is not None:
            return self.service.utc() + self._refusal[1] - self.service.clock()
        # While its CONNECT is being kept it is we who are silent.
        if self._early is not None or (deadline := self.connection.deadline) is None:
            return None
        return self.service.utc() + deadline - self.service.clock()

    def feed(self, data: bytes, _: int) -> Turn | None:
        """Return what is to be stored of what ``data`` says."""
        if self._early is not None:
            self._early.append(data)
            return None
        if self._refusal is not None:
            return None
        now = self.service.clock()
        events = self.connection.receive(data, now)
        if self.service.rate and events:
            self._slow_down(sum(isinstance(event, Publish) for event in events), now)
        return self._turn(events, now)

    def timeout(self, _: int) -> Turn | None:
        """Return how silence ends the connection."""
        if self._early is not None:
            return None
        now = self.service.clock()
        if self._refusal is not None:
            refused, when = self._refusal
            return self._refuse(refused) if now >= when else None
        return self._turn(self.connection.timeout(now), now)

    def eof(self, _: int) -> Turn | None:
        """Return what the end of the connection means: a will, perhaps."""
        if self._early is not None:
            self._gone = True
            return None
        return self._turn(self.connection.eof(), self.service.clock())

    def send(self, message: Publish, now: int, expires: int | None) -> bool:
        """Send or queue a message; see :class:`Link`."""
        if self._early is not None or (self.connection.is_closed and message.qos):
            # Before the CONNACK; or after the end, which the broker has yet to note.
            assert self.member is not None
            self.member.session.put(Queued(message, expires))
            return True
        if self._channel.is_choked:
            self.connection.hold(True, now)
        self.service.touch(self.flush)
        return self.connection.send(message, now, expires)

    def supersede(self, now: int) -> None:
        """Send the client away, since another connection takes the session over."""
        # [MQTT-3.1.4-3]
        self.send_away(ReasonCode.SESSION_TAKEN_OVER, "Another connection has this client id.", now)

    def confirm(self, message: Publish, reason: ReasonCode) -> None:
        """Acknowledge a message that a connection before this one had kept, if it came again."""
        if self.connection.awaits(message):
            self.connection.acknowledge([message], reason)
            self.service.touch(self.flush)

    def dismiss(self, now: int) -> None:
        """Tell the client that the hub stops; what it has sent is stored all the same."""
        if not self.connection.is_closed:
            closed = self.connection.disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
            self.flush()
            self.leave(closed, now)

    def look(self, now: int) -> None:
        """Send the client away if it has lost the rights that it connected with."""
        if self.rights is not None and not self.rights.is_current(self.service.utc()):
            text = "The credentials are not good any more."
            self.send_away(ReasonCode.NOT_AUTHORIZED, text, now)

    def send_away(self, reason: ReasonCode, text: str, now: int) -> None:
        """End the connection at once; what was read and is not being stored is forgotten."""
        if self.member is None:
            return
        # How it has ended already may not be noted yet, and counts.
        closed = self._closed or self.connection.disconnect(reason, text)
        self._channel.abandon(self.connection.take_output())
        self.leave(closed, now)

    def leave(self, closed: Closed, now: int) -> None:
        """Tell the broker that the client is gone."""
        if self.member is not None:
            self.service.broker.leave(self.member, self, closed, now)
            self.service.forget_joins(self)
            self.service.look_for_wills()

    def flush(self) -> None:
        """Write what is to be written."""
        if output := self.connection.take_output():
            self._channel.write(output)

    def note_devices(self, deliveries: Sequence[Delivery]) -> None:
        """Note whose readings come over this connection: their commands may leave by it."""
        for delivery in deliveries:
            identity = delivery.source.identity
            if identity and identity not in self.spoken:
                if len(self.spoken) >= _REMEMBERED_DEVICES:
                    del self.spoken[next(iter(self.spoken))]
                self.spoken[identity] = None
                self.service.subscribed()

    def _resume(self) -> None:
        self.connection.hold(False, self.service.clock())
        self.flush()

    def _break(self) -> None:
        """Leave, since what this client was to be answered is lost: it comes again."""
        self._early = None
        if self._closed is None:
            if self.connection.is_closed:
                # We have sent it away, and it has left.
                return
            text = "The hub could not store what was sent."
            self._closed = self.connection.disconnect(ReasonCode.UNSPECIFIED_ERROR, text)
            self.flush()
        try:
            self.leave(self._closed, self.service.clock())
        except Exception as error:
            # It was broken already, and others of the same commit wait for their answers.
            _logger.error("leaving failed", peer=self.peer, fault=repr(error)[:500])

    def _slow_down(self, messages: int, now: int) -> None:
        """Let a client wait that sends more messages a second than it may."""
        rate = self.service.rate
        earned = (now - self._paid) * rate / MICROSECONDS
        self._paid = now
        # What was not used is good for one second's worth at once.
        self._allowance = min(float(rate), self._allowance + max(0.0, earned)) - messages
        if self._allowance < 0:
            self._channel.rest(-self._allowance / rate)

    def _turn(self, events: list[Event], now: int) -> Turn | None:
        if not events:
            self.flush()
            return None
        first, last = events[0], events[-1]
        if isinstance(last, Closed):
            self._closed = last
        if isinstance(first, Connect):
            return self._connect(first)
        work = Work(self, events, now)
        if work.is_idle:
            self.flush()
            return None
        return Turn(work.deliveries, work.answer, work.end, note=work.note)

    def _connect(self, connect: Connect) -> Turn | None:
        """Return the turn that answers a CONNECT, unless that has to wait."""
        client_id = connect.client_id or f"auto-{secrets.token_hex(8)}"
        refused = self._why_refused(connect, client_id)
        if refused is not None:
            return self._refuse_in_time(refused)
        self._early = []
        outcome: list[bool | _Refused] = []

        def note(_: Sequence[Receipt]) -> None:
            # Only now, since others of the same commit may have come first.
            outcome.append(self._why_no_place(client_id) or self._enter(connect, client_id))

        def answer(_: Sequence[Receipt]) -> bytes:
            (entered,) = outcome
            if isinstance(entered, bool):
                self._welcome(connect, client_id, entered)
            else:
                self._early = None
                self._channel.offer(self._refuse(entered))
            return b""

        return Turn([], answer, note=note)

    def _refuse_in_time(self, refused: _Refused) -> Turn | None:
        """Refuse one that has shown nothing good now, or later if too many there do so."""
        wait = 0.0 if self.rights is not None else self.service.guesses.failed(self._peer.address)
        if not wait:
            return self._refuse(refused)
        self._refusal = refused, self.service.clock() + round(wait * MICROSECONDS)
        self._channel.hasten()
        return None

    def _refuse(self, refused: _Refused) -> Turn:
        closed = self.connection.refuse(*refused)
        end = f"refused: {why_closed(closed)}"
        return Turn([], lambda _: self.connection.take_output(), end)

    def _why_refused(self, connect: Connect, client_id: str) -> _Refused | None:
        service = self.service
        if connect.properties.authentication_method is not None:
            # §4.12: no method is supported.
            return ReasonCode.BAD_AUTHENTICATION_METHOD, "No authentication method is known here."
        rights = service.gatekeeper.admit(
            client_id,
            connect.user_name,
            connect.password,
            self._peer.certificate,
            self._peer.address,
            service.utc(),
        )
        if not isinstance(rights, Rights):
            return rights, ""
        will = connect.will
        if will is not None and not rights.may_publish(will.topic):
            return ReasonCode.NOT_AUTHORIZED, f"The will may not be published on {will.topic}."
        self.rights = rights
        self.client = Client(
            service.name,
            self._peer.address,
            rights.vouched,
            rights.may_write_device,
            rival=self._rival,
        )
        return None

    def _why_no_place(self, client_id: str) -> _Refused | None:
        assert self.rights is not None
        broker = self.service.broker
        known = broker.members.get(client_id)
        if known is not None and known.link and not self.rights.may_take_over(known.user):
            return ReasonCode.NOT_AUTHORIZED, "Another user's client is connected under this id."
        if not broker.make_room(client_id, ANONYMOUS, self.service.clock()):
            return ReasonCode.QUOTA_EXCEEDED, "There are too many sessions."
        return None

    def _enter(self, connect: Connect, client_id: str) -> bool:
        """Take the place of this client id; tell whether its session goes on."""
        assert self.rights is not None
        now = self.service.clock()
        broker = self.service.broker
        known = broker.members.get(client_id)
        if known is not None and known.link is not None:
            known.link.supersede(now)
        user, kept = self.rights.principal, self.rights.is_kept
        self.member, present = broker.enter(connect, client_id, self, user, kept, now)
        self.member.context = self.client
        broker.limit(self.member, self.rights.may_receive)
        for topic_filter in list(self.member.grants):
            # The owner may have changed what the client may since it subscribed.
            if not self.rights.may_subscribe(topic_filter):
                broker.unsubscribe(self.member, topic_filter)
        return present

    def _welcome(self, connect: Connect, client_id: str, present: bool) -> None:
        """Answer the CONNECT, and go on with what came behind it."""
        assert self.member is not None
        if self.connection.is_closed:
            # Another connection has taken the session over meanwhile.
            return
        now = self.service.clock()
        told = ConnAckProperties(
            session_expiry_interval=self._shorter_expiry(connect),
            assigned_client_identifier=None if connect.client_id else client_id,
        )
        events = self.connection.accept(
            self.member.session,
            now,
            present=present,
            keep_alive=self._keep_alive(connect),
            properties=told,
        )
        # Now, since what follows writes too.
        self.flush()
        if present:
            self.service.subscribed()
        early, self._early = self._early or [], None
        self._channel.hasten()
        self._channel.offer(self._turn(events, now))
        for data in early:
            self._channel.offer(self.feed(data, now))
        if self._gone:
            self._channel.offer(self.eof(now))

    def _keep_alive(self, connect: Connect) -> int | None:
        """Return the keep alive that the client has to use instead of its own (§3.2.2.3.14)."""
        longest = self.service.keep_alive
        if connect.version is Version.V5 and not 0 < connect.keep_alive <= longest:
            return longest
        return None

    def _shorter_expiry(self, connect: Connect) -> int | None:
        """Return the session expiry that the client gets, if it is not what it asked for."""
        assert self.member is not None
        asked = connect.properties.session_expiry_interval or 0
        return self.member.expiry if self.member.expiry != asked else None

    def _rival(self, identity: str) -> str:
        return self.service.rival(identity, self)
