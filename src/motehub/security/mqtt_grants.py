"""What a token, a certificate or neither is good for at the MQTT broker, changed by the rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from motehub.contracts import KnownDevices
from motehub.model import Scope, Token
from motehub.protocols.device_session import JOIN, LEAVE, LED_COMMAND, NAME_ASSIGN, STATUS
from motehub.security.mqtt_patterns import TopicSet
from motehub.security.mqtt_rules import Rule, Who, expand

READINGS: Final = "readings"
"""First level of the topics on which devices publish: ``readings/<device>/<metric>``."""

COMMANDS: Final = "commands"
"""First level of the topics on which devices get commands: ``commands/<device>``."""

_REPORTS: Final = (JOIN, LEAVE, *STATUS)
_ANSWERS: Final = (NAME_ASSIGN, LED_COMMAND)
_HUB_ONLY: Final = "$SYS/#"
# What a device may already be known by; see motehub.mqtt_meaning.
_IDENTITIES: Final = ("mqtt:", "http:")

_REMEMBERED: Final = 1_024
_REMEMBERED_LENGTH: Final = 128


class Wanted:
    """Topic filters in the making: what may be published and what subscribed to.

    ``everything`` needs no filters. ``bound`` are the present names of devices whose topics
    below the first levels ``own_publish`` and ``own_subscribe`` may be used too. ``certified`` is
    the device that a certificate names, as topics call it.
    """

    def __init__(self) -> None:
        self.everything = False
        self.publish: list[str] = []
        self.subscribe: list[str] = []
        self.deny_publish: list[str] = [_HUB_ONLY]
        self.deny_subscribe: list[str] = []
        self.bound: frozenset[str] = frozenset()
        self.certified = ""
        self.own_publish: set[str] = set()
        self.own_subscribe: set[str] = set()

    def add_sessions(self) -> None:
        """Let it do what the protocol of device sessions needs of a device."""
        self.publish += _REPORTS
        self.subscribe += _ANSWERS

    def add_token(self, token: Token, reading_topics: Sequence[str]) -> None:
        """Let it do what the token is good for.

        The topics of a bound token's devices aren't listed: which they are changes with names.
        """
        if Scope.ADMIN in token.scopes:
            self.everything = True
        self.bound = frozenset(token.devices)
        if token.allows(Scope.WRITE):
            self.add_sessions()
            self._add(token, self.publish, self.own_publish, READINGS, reading_topics)
            self._add(token, self.subscribe, self.own_subscribe, COMMANDS)
        if token.allows(Scope.READ):
            further = (*reading_topics, *_REPORTS, *_ANSWERS)
            self._add(token, self.subscribe, self.own_subscribe, READINGS, further)
        if token.allows(Scope.CONTROL):
            self._add(token, self.publish, self.own_publish, COMMANDS, (LED_COMMAND,))

    def add_device(self, name: str) -> None:
        """Let it be the device that its certificate names."""
        self.add_sessions()
        self.certified = name
        self.publish.append(f"{READINGS}/{name}/#")
        self.subscribe.append(f"{COMMANDS}/{name}/#")

    def add_rule(self, rule: Rule, who: Who) -> None:
        """Change it as the owner's rule says."""
        self.publish += expand(rule.publish, who)
        self.subscribe += expand(rule.subscribe, who)
        self.deny_publish += expand(rule.deny_publish, who)
        self.deny_subscribe += expand(rule.deny_subscribe, who)

    @staticmethod
    def _add(
        token: Token, all_: list[str], own: set[str], head: str, further: Iterable[str] = ()
    ) -> None:
        if token.devices:
            own.add(head)
        else:
            all_ += [f"{head}/#", *further]


class Grants:
    """What clients of one kind may do, remembered where it was asked before.

    ``strangers`` says that nobody vouches for the devices they write.
    """

    __slots__ = (
        "_bound",
        "_certified",
        "_denied",
        "_devices",
        "_edition",
        "_known",
        "_own_publish",
        "_own_subscribe",
        "_publish",
        "_strangers",
        "_subscribe",
        "has_denials",
    )

    def __init__(self, wanted: Wanted, devices: KnownDevices, *, strangers: bool) -> None:
        everything = wanted.everything
        self._publish = TopicSet(None if everything else wanted.publish, wanted.deny_publish)
        self._subscribe = TopicSet(None if everything else wanted.subscribe, wanted.deny_subscribe)
        self._denied = TopicSet(wanted.deny_subscribe)
        self.has_denials = bool(wanted.deny_subscribe)
        self._bound = wanted.bound
        self._certified = wanted.certified
        self._own_publish = wanted.own_publish
        self._own_subscribe = wanted.own_subscribe
        self._devices = devices
        self._edition = devices.edition
        self._strangers = strangers
        self._known: set[str] = set()

    def may_publish(self, topic: str) -> bool:
        """Tell whether the topic name may be published to."""
        if self._edition == self._devices.edition:
            if topic in self._known:
                return True
        else:
            self._edition = self._devices.edition
            if self._bound:
                self._known.clear()
            elif topic in self._known:
                return True
        if not self._publish.has(topic) and (
            not self._owns(topic, self._own_publish) or self._publish.denies(topic)
        ):
            return False
        if len(topic) <= _REMEMBERED_LENGTH:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known.add(topic)
        return True

    def may_subscribe(self, topic_filter: str) -> bool:
        """Tell whether all that the filter matches may be received, but for what is denied."""
        if self.is_denied(topic_filter):
            return False
        return self._subscribe.allows(topic_filter) or self._owns(topic_filter, self._own_subscribe)

    def is_denied(self, topic_filter: str) -> bool:
        """Tell whether all that the filter matches is denied."""
        return self.has_denials and self._denied.allows(topic_filter)

    def may_receive(self, topic: str) -> bool:
        """Tell whether a message on the topic name may be received: it is not denied."""
        return not self._denied.has(topic)

    def may_write_device(self, name: str) -> bool:
        """Tell whether readings of the device that topics call ``name`` may be sent."""
        if self._strangers or self._is_bound(name):
            return True
        is_level = name and not {"/", "+", "#"}.intersection(name)
        return bool(is_level) and self._publish.covers(f"{READINGS}/{name}/#")

    def is_device(self, name: str) -> bool:
        """Tell whether the token or certificate is that of what topics call ``name``."""
        return name == self._certified != "" or self._is_bound(name)

    def _owns(self, topic_filter: str, heads: set[str]) -> bool:
        """Tell whether all that the filter matches is of a device to which the token is bound."""
        head, _, rest = topic_filter.partition("/")
        return head in heads and self._is_bound(rest.partition("/")[0])

    def _is_bound(self, name: str) -> bool:
        """Tell whether the token is bound to the device that topics call ``name``."""
        if not self._bound:
            return False
        for kind in _IDENTITIES:
            if (device := self._devices.by_identity(kind + name)) is not None:
                return device.name in self._bound
        return name in self._bound
