"""For how long readings and rollups are kept: the owner's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf, isinf
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.errors import OwnerError
from motehub.frames import Batch
from motehub.model import MICROSECONDS, Device, Series
from motehub.quantities import Duration, Size
from motehub.rollups import NEVER, Kept

FOREVER: Final = "forever"
KEPT_TIERS: Final = ("raw", "minute", "hour", "day")
"""What has a rule, the finest first."""

NO_LIMIT: Final = "none"
"""What is written for no disk budget where one could be."""

_IN_STATE: Final = "retention:"
_CHOICE: Final = "retention of all"

CLOCK_STATE: Final = "clock/confirmed"
"""What keeps in the journal's state when the owner said that the clock is right."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """For how long each tier is kept: a duration as people write it, ``forever``, None: no rule."""

    raw: str | None = None
    minute: str | None = None
    hour: str | None = None
    day: str | None = None

    def of(self, tier: str) -> str | None:
        """Return what it says of a tier."""
        return {"raw": self.raw, "minute": self.minute, "hour": self.hour, "day": self.day}[tier]

    def over(self, other: Rule) -> Rule:
        """Return this rule, with what ``other`` says where this one says nothing."""
        return Rule(*(self.of(tier) or other.of(tier) for tier in KEPT_TIERS))

    @property
    def in_effect(self) -> Rule:
        """What comes of it: a coarser tier is kept at least as long as a finer one."""
        longest = self.raw
        found = []
        for tier in KEPT_TIERS:
            period = self.of(tier)
            if longest is None or (period is not None and seconds(period) > seconds(longest)):
                longest = period
            found.append(longest if period is not None else None)
        return Rule(*found)

    def check(self, *, with_units: bool = True) -> Rule:
        """Return the rule itself.

        Only ``with_units`` False lets it say seconds as a number alone, as a file may: whoever
        types 30 means days, and would lose all but half a minute.

        Raises:
            OwnerError: it says something that is no duration.
        """
        for tier in KEPT_TIERS:
            period = self.of(tier)
            if period is not None and not _is_meant(period, seconds, with_units=with_units):
                raise OwnerError(
                    f"{tier}: {period!r:.80} is no time such as '12h', '30d' or '2y', "
                    "nor 'forever'."
                )
        return self


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody has chosen over the configuration; None: as that says.

    ``disk_budget`` is a size as people write it, or ``none``. ``time`` is when (UTC µs).
    """

    rule: Rule = Rule()
    disk_budget: str | None = None
    who: str = ""
    time: int = 0

    @property
    def says_something(self) -> bool:
        """Whether anything is chosen."""
        return self.rule != Rule() or self.disk_budget is not None

    def check(self) -> Choice:
        """Return the choice itself.

        Raises:
            OwnerError: it says something that is no duration, or no size, each with its unit.
        """
        self.rule.check()
        budget = self.disk_budget
        if budget is not None and budget != NO_LIMIT and not _is_meant(budget, Size.parse):
            raise OwnerError(
                f"disk_budget: {budget!r:.80} is no size such as '500 MB' or '10 GB', nor 'none'."
            )
        return self


class Plan(msgspec.Struct, frozen=True):
    """What the writer goes by: the rule of all series, and how many bytes the history may need.

    With ``archive`` readings are moved to files, and not just deleted.
    """

    rule: Rule = Rule("90d", "1y", FOREVER, FOREVER)
    disk_budget: int | None = None
    archive: bool = False

    def under(self, choice: Choice) -> Plan:
        """Return what holds where ``choice`` was made over this."""
        said = choice.disk_budget
        budget = self.disk_budget if said is None else budget_of("" if said == NO_LIMIT else said)
        return Plan(choice.rule.over(self.rule), budget, self.archive)


Overrides = dict[str, Rule]
"""Rules of a device by metric; the empty name is that of all its metrics."""


class Retention:
    """The rules of devices and metrics over what holds for all, kept in the journal's state.

    ``configured`` is what the configuration says of all, ``choice`` what somebody has chosen over
    it. ``clock_confirmed`` is when (UTC µs) the owner last said that the hub's clock is right.
    """

    def __init__(
        self,
        configured: Plan,
        rules: dict[int, Overrides],
        clock_confirmed: int | None = None,
        choice: Choice = Choice(),  # noqa: B008 - frozen
    ) -> None:
        self.configured = configured
        self.choice = choice
        self._rules = rules
        self.clock_confirmed = clock_confirmed

    @classmethod
    def from_state(cls, configured: Plan, state: Mapping[str, bytes]) -> Retention:
        """Return what the journal's state holds."""
        chosen = state.get(_CHOICE)
        return cls(
            configured,
            {
                int(key.removeprefix(_IN_STATE)): msgspec.msgpack.decode(value, type=Overrides)
                for key, value in state.items()
                if key.startswith(_IN_STATE)
            },
            clock_confirmed(state),
            Choice() if chosen is None else msgspec.msgpack.decode(chosen, type=Choice),
        )

    @property
    def plan(self) -> Plan:
        """What holds where a device has no rule of its own."""
        return self.configured.under(self.choice)

    def choose(self, batch: Batch, choice: Choice) -> None:
        """Let ``choice`` hold over the configuration; one that says nothing takes it back.

        Raises:
            OwnerError: it says something that is no duration, or no size.
        """
        self.choice = choice.check() if choice.says_something else Choice()
        chosen = msgspec.msgpack.encode(choice) if choice.says_something else None
        batch.state[_CHOICE] = chosen

    def of_device(self, device: int) -> Overrides:
        """Return the rules of a device, which has its id from the registry."""
        return self._rules.get(device, {})

    def copy(self) -> Retention:
        """Return one that may be changed for a trial."""
        return Retention(self.configured, dict(self._rules), self.clock_confirmed, self.choice)

    @property
    def rules(self) -> Mapping[int, Overrides]:
        """The rules of all devices that have some, by id."""
        return self._rules

    def set(self, batch: Batch, device: Device, metric: str, rule: Rule) -> None:
        """Let ``rule`` be that of a metric of the device, or of the device; an empty one goes.

        Raises:
            OwnerError: it says something that is no duration.
        """
        rules = {name: one for name, one in self.of_device(device.id).items() if name != metric}
        if rule.check() != Rule():
            rules[metric] = rule
        if rules:
            self._rules[device.id] = rules
            batch.state[f"{_IN_STATE}{device.id}"] = msgspec.msgpack.encode(rules)
        else:
            self.forget(batch, device)

    def forget(self, batch: Batch, device: Device) -> None:
        """Let the device have no rules of its own."""
        if self._rules.pop(device.id, None) is not None:
            batch.state[f"{_IN_STATE}{device.id}"] = None

    def confirm_clock(self, batch: Batch, now: int) -> None:
        """Let the clock be right that says ``now`` (UTC µs)."""
        self.clock_confirmed = now
        batch.state[CLOCK_STATE] = str(now).encode()

    def rule(self, device: int, metric: str) -> Rule:
        """Return the rule of a series."""
        own = self.of_device(device)
        return own.get(metric, Rule()).over(own.get("", Rule()).over(self.plan.rule))

    def limits(self, series: Iterable[Series], now: int) -> list[tuple[Series, Kept]]:
        """Return until when each series may be deleted at ``now`` (both µs).

        A coarser tier is kept at least as long as a finer one.
        """
        return [(one, _limits(self.rule(one.device, one.metric), now)) for one in series]

    def default(self, now: int) -> Kept:
        """Return until when may be deleted at ``now`` (both µs) what the default rule is about."""
        return _limits(self.plan.rule, now)


class RetentionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[retention]``."""

    raw: Annotated[
        str,
        Meta(description='How long readings themselves are kept: "90d", "1y" or "forever".'),
    ] = "90d"
    minute: Annotated[
        str, Meta(description="How long their sums by minute are kept; never shorter than raw.")
    ] = "1y"
    hour: Annotated[str, Meta(description="How long sums by hour are kept.")] = FOREVER
    day: Annotated[str, Meta(description="How long sums by day are kept.")] = FOREVER
    disk_budget: Annotated[
        str,
        Meta(
            description='Most bytes of the history, "10 GB"; the oldest readings go first, their '
            'sums stay. "" = no limit.'
        ),
    ] = ""
    archive: Annotated[
        bool,
        Meta(
            description="Move old readings to Parquet files by month in the data folder's "
            "'archive', and delete them then; needs the package duckdb."
        ),
    ] = False

    def __post_init__(self) -> None:
        """Check what is written."""
        try:
            self.plan.rule.check(with_units=False)
        except OwnerError as error:
            raise ValueError(str(error).rstrip(".")) from error

    @property
    def plan(self) -> Plan:
        """What the writer goes by."""
        rule = Rule(self.raw, self.minute, self.hour, self.day)
        return Plan(rule, budget_of(self.disk_budget), self.archive)


def seconds(period: str) -> float:
    """Return how many seconds a period has, infinite for ``forever``.

    Raises:
        OwnerError: it is none.
    """
    return inf if period == FOREVER else Duration.parse(period)


def clock_confirmed(state: Mapping[str, bytes]) -> int | None:
    """Return when (UTC µs) the owner said last that the hub's clock is right; None: never."""
    said = state.get(CLOCK_STATE)
    return None if said is None else int(said)


def _is_meant(text: str, parse: Callable[[str], object], *, with_units: bool = True) -> bool:
    """Tell whether it is a quantity, which has a unit if it must."""
    try:
        parse(text)
    except OwnerError:
        return False
    return not with_units or text.rstrip()[-1].isalpha()


def budget_of(text: str) -> int | None:
    """Return the bytes of a disk budget; None for an empty text.

    Raises:
        OwnerError: it is no size.
    """
    return int(Size.parse(text)) if text else None


def _limits(rule: Rule, now: int) -> Kept:
    longest = 0.0
    found = []
    for tier in KEPT_TIERS:
        longest = max(longest, seconds(rule.of(tier) or FOREVER))
        found.append(NEVER if isinf(longest) else max(NEVER, now - round(longest * MICROSECONDS)))
    return Kept(*found)
