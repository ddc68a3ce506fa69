"""The broker's state: members, subscriptions, retained messages and wills, without any I/O.

A message is first *planned*, in the commit that makes it durable: who gets it, and what is kept
for whom. It is *delivered* when that commit is done. ``ledger`` collects what is to be kept.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from motehub.protocols.mqtt.events import Closed
from motehub.protocols.mqtt.ledger import Ledger, restore_members, restore_retained
from motehub.protocols.mqtt.members import Grant, Link, Member, expires_at, message_of
from motehub.protocols.mqtt.packets import Connect, Publish, Subscription, Will
from motehub.protocols.mqtt.routing import NOWHERE, Routes, Target, plain
from motehub.protocols.mqtt.session import MICROSECONDS, Queued, session_expiry, size_of
from motehub.protocols.mqtt.topics import SHARE_PREFIX, split_share
from motehub.protocols.mqtt.trees import TopicTree

# Subscriptions with longer filters count by their length.
_USUAL_FILTER: Final = 256
_MOST_SHARES: Final = 50
_OWN_TOPICS: Final = "$SYS/"


class Overflow(enum.Enum):
    """What becomes of messages for a client whose queue is full; either way they are counted."""

    DROP_OLDEST = "drop oldest"
    DROP_NEWEST = "drop newest"


class BrokerLimits(msgspec.Struct, frozen=True):
    """Bounds of what the broker remembers.

    ``sessions`` in all, ``subscriptions`` of each, ``messages`` and ``bytes`` waiting for each
    with what happens beyond, ``retained`` messages of ``retained_bytes`` in all;
    ``session_expiry`` is the longest time in seconds that a session outlives its connection.
    """

    sessions: int = 20_000
    subscriptions: int = 1_000
    messages: int = 10_000
    bytes: int = 16_000_000
    overflow: Overflow = Overflow.DROP_OLDEST
    retained: int = 10_000
    session_expiry: int = 30 * 86_400
    retained_bytes: int = 64_000_000


class Planned(msgspec.Struct, frozen=True, gc=False):
    """A message as one member is to get it; ``expires`` in UTC µs."""

    member: Member
    message: Publish
    expires: int | None


class Broker:
    """Knows everybody and routes messages; all times are UTC microseconds."""

    def __init__(self, limits: BrokerLimits) -> None:
        self.limits = limits
        self.members: dict[str, Member] = {}
        self.routes = Routes()
        self.retained: TopicTree[Queued] = TopicTree()
        self._retained_bytes = 0
        # How many of them are the hub's own.
        self._retained_own = 0
        self.ledger = Ledger()
        self.counters: Counter[str] = Counter()
        self.connected = 0
        # Of clients that are gone: when due, whose, and what.
        self._wills: dict[str, tuple[int, Member, Will]] = {}

    def restore(self, state: Mapping[str, bytes], now: int) -> None:
        """Take back what a hub that ended had kept; its connections are lost by ``now``."""
        for member in restore_members(state):
            grants, member.grants = member.grants, {}
            self._enroll(member)
            for grant in grants.values():
                self.routes.add(member, grant)
            if member.ends is None:
                self._away(member, now, will=member.will is not None)
            elif member.will is not None:
                self._wills[member.client_id] = (member.will_due or now, member, member.will)
        for queued in restore_retained(state):
            self.retained.set(queued.message.topic, queued)
            self._retained_bytes += queued.size

    def make_room(self, client_id: str, stranger: str, now: int) -> bool:
        """Tell whether there is room for another session.

        If need be, one of the user ``stranger`` ends whose client is away: the one that would
        end soonest. Anybody can leave such sessions behind.
        """
        if client_id in self.members or len(self.members) < self.limits.sessions:
            return True
        away = [one for one in self.members.values() if one.user == stranger and not one.link]
        if not away:
            return False
        self._end(min(away, key=lambda one: one.ends or now), now)
        self.counters["sessions_ended"] += 1
        return True

    def enter(
        self, connect: Connect, client_id: str, link: Link, user: str, kept: bool, now: int
    ) -> tuple[Member, bool]:
        """Begin or resume the session of a client; tell whether it is an older one.

        Whoever was connected under this identifier has been sent away before, and left. Unless
        ``kept`` the session ends with its connection, whatever the client asks for.
        """
        member = self.members.get(client_id)
        # [MQTT-3.1.2-4], and nobody gets what another user's client has left behind.
        # What is over may not have been swept yet (§3.1.2.11.2).
        if member is not None and (
            connect.clean_start or member.user != user or member.is_over(now)
        ):
            self._end(member, now)
            member = None
        present = member is not None
        if member is None:
            member = Member(client_id, None)
            self._enroll(member)
        member.longest = self.limits.session_expiry if kept else 0
        member.keep_for(session_expiry(connect))
        if present and not member.is_durable:
            self.ledger.forget(member)
        member.link, member.user, member.ends = link, user, None
        self._resume_will(member, now)
        member.will, member.will_due = connect.will, None
        self.connected += 1
        self.ledger.session(member)
        return member, present

    def leave(self, member: Member, link: Link, closed: Closed, now: int) -> None:
        """Note that the connection of a member is over."""
        if member.link is not link:
            return
        member.link = None
        self.connected -= 1
        was_durable = member.is_durable
        member.keep_for(closed.session_expiry)
        if was_durable and not member.is_durable:
            self.ledger.forget(member)
        self._away(member, now, will=closed.will)

    def subscribe(self, member: Member, subscription: Subscription, identifier: int | None) -> bool:
        """Put a subscription in force; tell whether it is a new one.

        Of a member that another connection has ended in the same commit, nothing is.
        """
        if self.members.get(member.client_id) is not member:
            return False
        self.ledger.session(member)
        return self.routes.add(member, Grant(subscription, identifier))

    def limit(self, member: Member, may_receive: Callable[[str], bool] | None) -> None:
        """Pass on to the member only what it may receive, of what waits for it too."""
        if may_receive is None and member.may_receive is None:
            return
        member.may_receive = may_receive
        self.routes.forget()
        if may_receive is not None:
            for _ in range(len(member.session.queue)):
                queued = member.session.pull()
                if may_receive(queued.message.topic):
                    member.session.put(queued)
                else:
                    self._settled(member, queued.message.packet_id)

    def may_subscribe(self, member: Member, topic_filter: str) -> bool:
        """Tell whether the member has room for a subscription with this filter."""
        if topic_filter in member.grants:
            return True
        most = self.limits.subscriptions
        if len(member.grants) >= most:
            return False
        # A client gets a copy of a message for each of its shares.
        shares = [one for one in (topic_filter, *member.grants) if one.startswith(SHARE_PREFIX)]
        if topic_filter in shares and len(shares) > _MOST_SHARES:
            return False
        size = len(topic_filter)
        return size <= _USUAL_FILTER or sum(map(len, member.grants)) + size <= _USUAL_FILTER * most

    def unsubscribe(self, member: Member, topic_filter: str) -> bool:
        """End a subscription; tell whether there was one."""
        self.ledger.session(member)
        return self.routes.remove(member, topic_filter)

    def may_retain(self, message: Publish) -> bool:
        """Tell whether there is room to retain the message, if it asks for that."""
        if not message.retain or not message.payload:
            return True
        known = self.retained.get(message.topic)
        size = size_of(message) - (0 if known is None else known.size)
        if self._retained_bytes + size > self.limits.retained_bytes:
            return False
        return known is not None or len(self.retained) - self._retained_own < self.limits.retained

    def plan(self, message: Publish, publisher: Member | None, now: int) -> list[Planned]:
        """Retain ``message`` if it asks for that, and return who gets it."""
        if message.retain:
            self._retain(message, "" if publisher is None else publisher.client_id, now)
        route = self.routes.find(message.topic)
        planned: list[Planned] = []
        if route is NOWHERE:
            return planned
        message = plain(message)
        expires = expires_at(message, now)
        shaped, shape = message, None
        for target in route.of(publisher, message.topic):
            if (target.qos, target.retain_as_published, target.identifiers) != shape:
                shape = (target.qos, target.retain_as_published, target.identifiers)
                shaped = target.shape(message)
            self._plan_for(target.member, shaped, expires, planned)
        return planned

    def plan_retained(
        self,
        member: Member,
        subscription: Subscription,
        identifier: int | None,
        now: int,
        most: int,
    ) -> list[Planned]:
        """Return the retained messages that a subscription brings, at most so many."""
        planned: list[Planned] = []
        group, topic_filter = split_share(subscription.filter)
        if group is not None:
            # §3.8.4
            return planned
        target = Target(member, subscription.qos, True, () if identifier is None else (identifier,))
        for queued in self.retained.find(topic_filter):
            if member.may_receive is not None and not member.may_receive(queued.message.topic):
                continue
            if subscription.no_local and queued.publisher == member.client_id:
                # [MQTT-3.8.3-3]
                continue
            if len(planned) >= most:
                member.dropped += 1
                self.counters["dropped"] += 1
                break
            if queued.expires is None or queued.expires > now:
                # [MQTT-3.3.1-8]
                self._plan_for(member, target.shape(queued.message), queued.expires, planned)
        return planned

    def deliver(self, planned: Sequence[Planned], now: int) -> None:
        """Send what was planned, since it is durable."""
        self.counters["messages_sent"] += len(planned)
        for one in planned:
            one.member.deliver(one.message, now, one.expires)

    def take_wills(self, now: int) -> list[tuple[Member, Will]]:
        """Return the wills that are due; each stays durable until it is published."""
        due = [key for key, (when, _, _) in self._wills.items() if when <= now]
        return [self._wills.pop(key)[1:] for key in due]

    def publish_will(self, member: Member, will: Will, now: int) -> list[Planned]:
        """Plan the message that a will is, and forget the will with the same commit."""
        self.settle_will(member, will)
        return self.plan(message_of(will), member, now)

    def settle_will(self, member: Member, will: Will) -> None:
        """Forget a will that is being published, or is not to be."""
        if member.will is will:
            member.will = member.will_due = None
            if self.members.get(member.client_id) is member:
                self.ledger.session(member)

    def next_will(self) -> int | None:
        """Return when the next will is due, or None."""
        return min((when for when, _, _ in self._wills.values()), default=None)

    def sweep(self, now: int) -> None:
        """End the sessions and forget the retained messages whose time is over."""
        for member in [one for one in self.members.values() if one.is_over(now)]:
            self._end(member, now)
        for queued in list(self.retained.values()):
            if queued.expires is not None and queued.expires <= now:
                self._forget_retained(queued.message.topic)

    def _enroll(self, member: Member) -> None:
        self.members[member.client_id] = member
        member.session.settled = lambda packet_id: self._settled(member, packet_id)

    def _settled(self, member: Member, packet_id: int) -> None:
        if packet_id in member.kept:
            member.settled(packet_id)
            self.ledger.waiting(member)

    def _away(self, member: Member, now: int, *, will: bool) -> None:
        """Let the time of a member that is away begin, and that of its will."""
        expiry = member.expiry or 0
        member.ends = now + expiry * MICROSECONDS
        if not will:
            # [MQTT-3.14.4-3]
            member.will = None
        elif member.will is not None:
            delay = min(member.will.properties.will_delay_interval or 0, expiry)
            member.will_due = now + delay * MICROSECONDS
            self._wills[member.client_id] = (member.will_due, member, member.will)
        if expiry:
            self.ledger.session(member)
        else:
            self._end(member, now)

    def _end(self, member: Member, now: int) -> None:
        """Forget a session; its will is due then at the latest (§3.1.3.2.2)."""
        if self.members.get(member.client_id) is not member:
            return
        del self.members[member.client_id]
        for topic_filter in list(member.grants):
            self.routes.remove(member, topic_filter)
        if member.client_id in self._wills:
            due, owner, will = self._wills.pop(member.client_id)
            # Under a key that no client has: its identifier may have a new session by now.
            self._wills[f"{member.client_id}\0{id(owner)}"] = (min(due, now), owner, will)
        if member.is_durable:
            self.ledger.forget(member)
            # Nor is anything kept that is still under way.
            member.expiry = 0

    def _resume_will(self, member: Member, now: int) -> None:
        """Drop the will of the connection before this one, unless it was due by now."""
        pending = self._wills.get(member.client_id)
        if pending is None:
            return
        del self._wills[member.client_id]
        if pending[0] <= now:
            self._wills[f"{member.client_id}\0{pending[0]}"] = pending

    def _retain(self, message: Publish, publisher: str, now: int) -> None:
        # [MQTT-3.3.1-6]
        if not message.payload:
            if self.retained.get(message.topic) is not None:
                self._forget_retained(message.topic)
            return
        own = message.topic.startswith(_OWN_TOPICS)
        if not (own or self.may_retain(message)):
            # Of a will, or among many of one read.
            self.counters["not_retained"] += 1
            return
        queued = Queued(plain(message), expires_at(message, now), publisher)
        previous = self.retained.set(message.topic, queued)
        self._retained_bytes += queued.size - (0 if previous is None else previous.size)
        if own:
            self._retained_own += previous is None
        else:
            self.ledger.retained(message.topic, queued)

    def _forget_retained(self, topic: str) -> None:
        previous = self.retained.remove(topic)
        self._retained_bytes -= 0 if previous is None else previous.size
        self.ledger.retained(topic, None)

    def _plan_for(
        self, member: Member, message: Publish, expires: int | None, planned: list[Planned]
    ) -> None:
        if not message.qos:
            if member.link is None:
                return
            if self._has_room(member, message):
                planned.append(Planned(member, message, expires))
            return
        if member.link is None and not member.is_durable:
            return
        if self._has_room(member, message):
            planned.append(Planned(member, member.plan(message, expires), expires))
            self.ledger.waiting(member)

    def _has_room(self, member: Member, message: Publish) -> bool:
        """Make room for a message by the policy, or count it as dropped."""
        limits = self.limits
        size = size_of(message)
        while (
            member.waiting >= limits.messages
            or member.waiting_bytes + size > limits.bytes
            or member.is_short_of_ids
        ):
            self.counters["dropped"] += 1
            if (
                limits.overflow is Overflow.DROP_NEWEST
                or member.is_short_of_ids
                or size > limits.bytes
                or not member.drop_oldest()
            ):
                member.dropped += 1
                return False
            self.ledger.waiting(member)
        return True
