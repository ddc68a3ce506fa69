"""The rules that there are, which devices are in maintenance, and what the owner says of alerts.

In memory; changes are state of the journal, and entries of its frames: who looks at readings
follows those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from motehub.alerts.rule import AUTO, Facts, Rule, check_message, decode, encode, rule_of
from motehub.core.definitions import (
    ADDED,
    CONFIGURATION,
    Definitions,
    Door,
    Sayings,
    pieces,
)
from motehub.core.profiles import Profiles
from motehub.core.registry import Registry
from motehub.errors import InvalidRule, UnknownRule
from motehub.frames import (
    AlertAnswered,
    AlertChanged,
    Batch,
    EventOccurred,
    MaintenanceChanged,
    RuleChanged,
)
from motehub.logs import Logger
from motehub.model import MICROSECONDS, Admission

MOST_RULES: Final = 20_000
"""How many rules there may be."""

BUILT_IN: Final = Rule(name="no data", silent=AUTO)
"""The rule that is there without anybody's doing; one of the owner's may take its name."""

ALERT: Final = "alert"
"""Kind of the events of devices that tell of alerts."""

NEW_SECONDS: Final = 3_600
"""Of a device that is known for a shorter time it does not matter yet that it is silent."""

_LOOK_SECONDS: Final = 60
_RULE: Final = "rule/"
_MAINTENANCE: Final = "maintenance/"
_TOLD: Final = "alerts/told"

_logger = Logger("motehub.rules")


def facts_of(profiles: Profiles) -> dict[int, Facts]:
    """Return what rules have to know of what the owner says of devices, by id."""
    return {number: Facts(one.labels, one.interval) for number, one in profiles.all().items()}


class KeptRule(msgspec.Struct, frozen=True):
    """A rule and who has said it: ``built-in``, ``configuration`` or ``added`` meanwhile."""

    rule: Rule
    origin: str

    @property
    def definition(self) -> Rule:
        """The rule itself."""
        return self.rule


class AlertNews(msgspec.Struct, frozen=True):
    """What is told of an alert: an event of its device, and a body in JSON for programs.

    ``number`` only grows, so that the hub knows what it was told before.
    """

    number: int
    device: int
    time: int
    state: str
    text: str
    body: str


class RuleBook:
    """Rules by name, and until when (µs) devices are in maintenance, by id."""

    def __init__(
        self,
        rules: Iterable[KeptRule] = (),
        maintenance: Mapping[int, int] | None = None,
        told: tuple[str, int] = ("", 0),
    ) -> None:
        self.rules = {one.rule.name: one for one in rules}
        self.maintenance = dict(maintenance or {})
        self.told = told

    @classmethod
    def from_state(cls, state: Mapping[str, bytes]) -> RuleBook:
        """Build it from what a journal keeps for good."""
        told = state.get(_TOLD)
        return cls(
            map(_decode, pieces(state, _RULE).values()),
            {int(key): int(value) for key, value in pieces(state, _MAINTENANCE).items()},
            msgspec.json.decode(told, type=tuple[str, int]) if told else ("", 0),
        )


class Rules(Definitions[KeptRule]):
    """Changes ``book``; each change is durable when it is done. ``clock`` returns UTC µs."""

    sayings = Sayings(
        unknown="There is no rule called {}. Known rules: {}.",
        there="There is a rule called {} already.",
        full="There are {} rules already. Remove some.",
        renamed="A rule keeps its name: remove it and add another one.",
        configured="The rule {} is of the configuration: change it there, and start the hub again.",
    )
    most = MOST_RULES
    unknown = UnknownRule
    invalid = InvalidRule
    make = KeptRule

    def __init__(
        self, book: RuleBook, registry: Registry, journal: Door, clock: Callable[[], int]
    ) -> None:
        super().__init__(book.rules, journal)
        self.book = book
        self._registry = registry
        self._clock = clock
        self._channels: frozenset[str] | None = None
        self.needed = asyncio.Event()
        """Set as soon as there is anything to look at; it stays so."""
        intervals = (one.interval for one in registry.profiles.all().values())
        if any(one.origin != "built-in" for one in book.rules.values()) or any(intervals):
            self.needed.set()
        self.look()

    def look(self) -> None:
        """Have rules looked at if there is a device by now whose silence may matter."""
        before = self._clock() - NEW_SECONDS * MICROSECONDS
        if not self.needed.is_set() and any(
            one.admission is Admission.ACCEPTED and one.first_seen <= before
            for one in self._registry.devices()
        ):
            self.needed.set()

    async def keep_looking(self) -> None:
        """Look again and again, until there is such a device."""
        while not self.needed.is_set():
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def configure(self, rules: Sequence[Rule], channels: Iterable[str] | None = None) -> None:
        """Let the rules of the configuration be there, and those not that it had before.

        ``channels`` are the names that ``notify`` of other rules may have, None for any.
        """
        self._channels = None if channels is None else frozenset(channels)
        wanted = [KeptRule(one, CONFIGURATION) for one in rules]
        known = self.book.rules.get(BUILT_IN.name)
        if (known is None or known.origin != ADDED) and BUILT_IN.name not in {
            one.name for one in rules
        }:
            wanted.append(_BUILT_IN)
        self._reconcile(wanted)

    async def add(self, rule: Rule) -> KeptRule:
        """Look at what ``rule`` says from now on.

        Raises:
            InvalidRule: there is one of that name that the owner has said, or there are too many,
                or nobody is told through a channel of the name in ``notify``, or the message
                names what it can't say.
        """
        self._check_channels(rule)
        _check_message(rule)
        known = self.book.rules.get(rule.name)
        if known is None or known.origin != "built-in":
            self._check_room(rule.name)
        return await self._keep(KeptRule(rule, ADDED))

    async def change(self, name: str, fields: Mapping[str, Any]) -> KeptRule:
        """Change ``fields`` of a rule; what it has found is over.

        Raises:
            UnknownRule: there is none of that name.
            InvalidRule: it can't be so, or the configuration has said it.
        """
        kept = self.get(name)
        self._check_own(kept)
        rule = rule_of(fields, kept.rule)
        self._check_same(name, rule.name)
        if "notify" in fields:
            self._check_channels(rule)
        if "message" in fields:
            _check_message(rule)
        return await self._keep(KeptRule(rule, ADDED))

    async def remove(self, name: str) -> None:
        """Look at a rule no more.

        Raises:
            UnknownRule: there is none of that name.
            InvalidRule: the configuration has said it, or it is built in.
        """
        kept = self.get(name)
        self._check_own(kept)
        batch = Batch()
        if name == BUILT_IN.name and kept.origin == ADDED:
            self._put(batch, _BUILT_IN)
        elif kept.origin == "built-in":
            raise InvalidRule(f"The rule {name!r} is built in: change it, enabled = false.")
        else:
            self._drop(batch, name)
        await self._journal.append(batch)
        _logger.info("rule removed", name=name)

    async def answer(self, alert: int, act: str, until: int, by: str) -> None:
        """Have it noted that somebody has answered an alert: acknowledged, or snoozed it."""
        batch = Batch()
        batch.entries.append(AlertAnswered(alert, act, until, by, self._clock()))
        await self._journal.append(batch)

    async def maintain(self, device: str, until: int) -> None:
        """Tell nobody of a device until then (µs); 0 ends it.

        Raises:
            UnknownDevice: there is none of that name.
        """
        number = self._registry.by_name(device).id
        batch = Batch()
        batch.entries.append(MaintenanceChanged(number, until))
        if until > self._clock():
            self.book.maintenance[number] = until
            batch.state[f"{_MAINTENANCE}{number}"] = str(until).encode()
        else:
            self.book.maintenance.pop(number, None)
            batch.state[f"{_MAINTENANCE}{number}"] = None
        await self._journal.append(batch)

    def maintained(self) -> dict[str, int]:
        """Return the names of the devices in maintenance, and until when (µs)."""
        now = self._clock()
        return {
            self._registry.by_id(number).name: until
            for number, until in sorted(self.book.maintenance.items())
            if until > now
        }

    def forget(self, batch: Batch, device: int) -> None:
        """Forget what is known of a device that is removed."""
        if self.book.maintenance.pop(device, None) is not None:
            batch.state[f"{_MAINTENANCE}{device}"] = None

    async def tell(self, source: str, news: Sequence[AlertNews]) -> None:
        """Let alerts be events of their devices; news that it was told before does nothing.

        ``source`` is who counts their numbers.
        """
        last = self.book.told[1] if self.book.told[0] == source else 0
        fresh = [one for one in news if one.number > last]
        if not fresh:
            return
        batch = Batch()
        known = {device.id for device in self._registry.devices()}
        for one in fresh:
            if one.device in known:
                batch.entries.append(EventOccurred(one.device, one.time, ALERT, one.text))
                changed = AlertChanged(one.device, one.time, one.state, one.body.encode())
                batch.entries.append(changed)
        self.book.told = source, fresh[-1].number
        batch.state[_TOLD] = msgspec.json.encode(self.book.told)
        await self._journal.append(batch)

    def _check_channels(self, rule: Rule) -> None:
        if self._channels is None or not (unknown := set(rule.notify) - self._channels):
            return
        known = ", ".join(sorted(self._channels))
        raise InvalidRule(
            f"notify: there is no channel {min(unknown)[:64]!r}. Known channels: {known}."
        )

    def _put(self, batch: Batch, kept: KeptRule) -> None:
        if kept.origin != "built-in":
            self.needed.set()
        self.book.rules[kept.rule.name] = kept
        rule = encode(kept.rule)
        batch.state[_RULE + kept.rule.name] = kept.origin.encode() + b" " + rule
        batch.entries.append(RuleChanged(kept.rule.name, rule))

    def _drop(self, batch: Batch, name: str) -> None:
        del self.book.rules[name]
        batch.state[_RULE + name] = None
        batch.entries.append(RuleChanged(name, None))


def _check_message(rule: Rule) -> None:
    try:
        check_message(rule)
    except ValueError as error:
        raise InvalidRule(str(error)) from error


def _decode(value: bytes) -> KeptRule:
    origin, _, rule = value.partition(b" ")
    return KeptRule(decode(rule), origin.decode())


_BUILT_IN: Final = KeptRule(BUILT_IN, "built-in")
