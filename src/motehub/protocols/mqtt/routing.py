"""Who gets a message: subscriptions, also shared ones, and retained messages (§4.7, §4.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from motehub.protocols.mqtt.members import Grant, Member
from motehub.protocols.mqtt.packets import NO_PUBLISH, Publish, Subscription
from motehub.protocols.mqtt.topics import split_share
from motehub.protocols.mqtt.trees import FilterTree

_REMEMBERED_TOPICS: Final = 20_000
_REMEMBERED_LENGTH: Final = 256


class Target(msgspec.Struct, frozen=True, gc=False):
    """A member that gets a message, once, whatever number of its filters match.

    ``qos`` is the highest granted (§3.3.4); ``identifiers`` are those of all that match.
    """

    member: Member
    qos: int
    retain_as_published: bool
    identifiers: tuple[int, ...]

    def shape(self, message: Publish) -> Publish:
        """Return ``message`` as the member is to see it."""
        qos = min(message.qos, self.qos)
        retain = message.retain and self.retain_as_published
        properties = message.properties
        if self.identifiers:
            # [MQTT-3.3.4-3]
            properties = msgspec.structs.replace(
                properties, subscription_identifier=self.identifiers
            )
        elif qos == message.qos and retain == message.retain and not message.packet_id:
            return message
        return Publish(message.topic, message.payload, qos, retain, properties=properties)


class ShareGroup:
    """The members that share a subscription: each message goes to one of them (§4.8.2)."""

    def __init__(self) -> None:
        self.members: dict[Member, Grant] = {}
        self._turn = 0

    def pick(self, topic: str) -> Target | None:
        """Return whose turn it is: of those who are connected, or else of the others."""
        able = [one for one in self.members if _may_receive(one, topic)]
        members = [one for one in able if one.link is not None]
        members = members or [one for one in able if one.is_durable]
        if not members:
            return None
        # The one that has least to do; when all are idle, each in its turn.
        least = min(one.waiting for one in members)
        idle = [one for one in members if one.waiting == least]
        member = idle[self._turn % len(idle)]
        self._turn += 1
        return _target(member, [self.members[member]])


class Route(msgspec.Struct, frozen=True, gc=False):
    """Where messages of one topic go; ``local`` are the targets that don't want their own."""

    targets: tuple[Target, ...]
    local: dict[Member, Target | None]
    groups: tuple[ShareGroup, ...]

    def of(self, publisher: Member | None, topic: str) -> Iterator[Target]:
        """Yield the targets of a message that ``publisher`` sent to ``topic``."""
        for target in self.targets:
            if target.member is publisher and publisher in self.local:
                # [MQTT-3.8.3-3]
                own = self.local[publisher]
                if own is not None:
                    yield own
            else:
                yield target
        for group in self.groups:
            if picked := group.pick(topic):
                yield picked


NOWHERE: Final = Route((), {}, ())


class Routes:
    """Subscriptions by filter; what ``find`` returns is remembered until one changes."""

    def __init__(self) -> None:
        self._grants: FilterTree[Member, tuple[Member, Grant]] = FilterTree()
        self._groups: FilterTree[str, ShareGroup] = FilterTree()
        self._found: dict[str, Route] = {}
        self.count = 0
        """How many subscriptions there are."""

    def add(self, member: Member, grant: Grant) -> bool:
        """Put a subscription in force, in place of the one with its filter; tell if it is new."""
        self._found.clear()
        topic_filter = grant.subscription.filter
        new = topic_filter not in member.grants
        member.grants[topic_filter] = grant
        self.count += new
        group, plain = split_share(topic_filter)
        if group is None:
            self._grants.subscribe(plain, member, (member, grant))
            return new
        shared = self._groups.get(plain, group)
        if shared is None:
            shared = ShareGroup()
            self._groups.subscribe(plain, group, shared)
        shared.members[member] = grant
        return new

    def remove(self, member: Member, topic_filter: str) -> bool:
        """End a subscription; tell whether there was one."""
        if member.grants.pop(topic_filter, None) is None:
            return False
        self._found.clear()
        self.count -= 1
        group, plain = split_share(topic_filter)
        if group is None:
            self._grants.unsubscribe(plain, member)
        elif shared := self._groups.get(plain, group):
            shared.members.pop(member, None)
            if not shared.members:
                self._groups.unsubscribe(plain, group)
        return True

    def forget(self) -> None:
        """Find the ways anew: what a member may receive has changed."""
        self._found.clear()

    def find(self, topic: str) -> Route:
        """Return where messages of ``topic`` go."""
        route = self._found.get(topic)
        if route is None:
            if len(self._found) >= _REMEMBERED_TOPICS:
                self._found.clear()
            route = self._match(topic)
            if len(topic) <= _REMEMBERED_LENGTH:
                self._found[topic] = route
        return route

    def _match(self, topic: str) -> Route:
        groups = tuple(self._groups.match(topic))
        grants: dict[Member, list[Grant]] = {}
        for member, grant in self._grants.match(topic):
            if not _may_receive(member, topic):
                continue
            grants.setdefault(member, []).append(grant)
        if not grants and not groups:
            return NOWHERE
        targets = tuple(_target(member, each) for member, each in grants.items())
        local: dict[Member, Target | None] = {}
        for member, each in grants.items():
            others = [grant for grant in each if not grant.subscription.no_local]
            if len(others) < len(each):
                local[member] = _target(member, others) if others else None
        return Route(targets, local, groups)


def _may_receive(member: Member, topic: str) -> bool:
    return member.may_receive is None or member.may_receive(topic)


def _target(member: Member, grants: list[Grant]) -> Target:
    subscriptions: list[Subscription] = [grant.subscription for grant in grants]
    return Target(
        member,
        max(one.qos for one in subscriptions),
        any(one.retain_as_published for one in subscriptions),
        tuple(sorted(g.identifier for g in grants if g.identifier is not None)),
    )


def plain(message: Publish) -> Publish:
    """Return ``message`` without what belongs to the connection that it came over."""
    properties = message.properties
    if properties is not NO_PUBLISH and properties == NO_PUBLISH:
        properties = NO_PUBLISH
    return Publish(
        message.topic, message.payload, message.qos, message.retain, properties=properties
    )
