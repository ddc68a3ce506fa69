"""The broker's state: members, subscriptions, retained messages and wills, without any I/O.

A message is first *planned*, in the commit that makes it durable: who gets it, and what is kept
for whom. It is *delivered* when that commit is done. ``ledger`` collects what is to be kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from motehub.protocols.mqtt.deadlines import Deadlines
from motehub.protocols.mqtt.events import Closed
from motehub.protocols.mqtt.ledger import Ledger, restore_retained
from motehub.protocols.mqtt.limits import BrokerLimits
from motehub.protocols.mqtt.members import Grant, Link, Member, Testament, expires_at, message_of
from motehub.protocols.mqtt.packets import Connect, Publish, Subscription
from motehub.protocols.mqtt.retained import Retained
from motehub.protocols.mqtt.room import Room
from motehub.protocols.mqtt.routing import NOWHERE, Routes, Target, plain
from motehub.protocols.mqtt.session import MICROSECONDS, Tally, session_expiry, size_of
from motehub.protocols.mqtt.topics import SHARE_PREFIX, depth_cost, split_share
from motehub.protocols.mqtt.wills import Wills

# Subscriptions with longer or deeper filters count by what they cost.
_USUAL_FILTER: Final = 256
_MOST_SHARES: Final = 50


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
        self.ledger = Ledger()
        self.counters: Counter[str] = Counter()
        self.retained = Retained(limits, self.ledger, self.counters)
        self.tally = Tally()
        self._room = Room(limits, self.tally, self.members, self.ledger, self.counters)
        self.present: set[Member] = set()
        """Those whose clients are connected."""
        self.wills = Wills(self.ledger)
        self._ending: Deadlines[Member] = Deadlines()

    @property
    def connected(self) -> int:
        """How many clients are connected."""
        return len(self.present)

    def restore(self, state: Mapping[str, bytes], now: int) -> None:
        """Take back what a hub that ended had kept; its connections are lost by ``now``."""
        for member in self.ledger.restore(state, self.tally):
            grants, member.grants = member.grants, {}
            self._enroll(member)
            for grant in grants.values():
                self.routes.add(member, grant)
            if member.ends is None:
                self._away(member, now, will=True)
            else:
                self._ending.set(member, member.ends)
                self.wills.resume(member, now)
        self.wills.restore(state, now)
        self.retained.restore(restore_retained(state))

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
            member = Member(client_id, None, self.tally)
            self._enroll(member)
        member.longest = self.limits.session_expiry if kept else 0
        member.keep_for(session_expiry(connect))
        if present and not member.is_durable:
            self.ledger.forget(member)
        member.link, member.user, member.ends = link, user, None
        self._ending.discard(member)
        self.wills.begin(member, connect.will, now)
        self.present.add(member)
        self.ledger.session(member)
        return member, present

    def leave(self, member: Member, link: Link, closed: Closed, now: int) -> None:
        """Note that the connection of a member is over."""
        if member.link is not link:
            return
        member.link = None
        self.present.discard(member)
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
        size = _cost(topic_filter)
        all_ = size + sum(map(_cost, member.grants)) if size > _USUAL_FILTER else 0
        return all_ <= _USUAL_FILTER * most

    def unsubscribe(self, member: Member, topic_filter: str) -> bool:
        """End a subscription; tell whether there was one."""
        self.ledger.session(member)
        return self.routes.remove(member, topic_filter)

    def plan(self, message: Publish, publisher: Member | None, now: int) -> list[Planned]:
        """Retain ``message`` if it asks for that, and return who gets it."""
        if message.retain:
            self.retained.retain(message, "" if publisher is None else publisher.client_id, now)
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

    def publish_will(self, testament: Testament, now: int) -> list[Planned]:
        """Plan the message that a will is, and forget the will with the same commit."""
        self.wills.settle(testament)
        return self.plan(message_of(testament.will), testament.member, now)

    def sweep(self, now: int) -> None:
        """End the sessions and forget the retained messages whose time is over."""
        for member in self._ending.take(now):
            self._end(member, now)
        self.retained.sweep(now)

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
        self._ending.set(member, member.ends)
        if will:
            self.wills.wait(member, now)
        else:
            self.wills.call_off(member)
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
        self._ending.discard(member)
        self.wills.end(member, now)
        member.session.clear()
        if member.is_durable:
            self.ledger.forget(member)
            # Nor is anything kept that is still under way.
            member.expiry = 0

    def _plan_for(
        self, member: Member, message: Publish, expires: int | None, planned: list[Planned]
    ) -> None:
        if member.link is None and not (message.qos and member.is_durable):
            return
        size = size_of(message)
        if not self._room.has(member, message, size):
            return
        if message.qos:
            message = member.plan(message, expires, size)
            self.ledger.waiting(member)
        planned.append(Planned(member, message, expires))


def _cost(topic_filter: str) -> int:
    return len(topic_filter) + depth_cost(topic_filter)
