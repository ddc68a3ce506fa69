"""Rules: what the owner wants to be told of."""

from __future__ import annotations

import enum
import re
from difflib import get_close_matches
from math import inf, isfinite
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.alerts.quiet import parse_quiet
from motehub.definitions import PATTERN_CHARACTERS, Form, check_name, check_patterns
from motehub.errors import InvalidRule, OwnerError
from motehub.quantities import Delay, Duration

AUTO: Final = "auto"
"""What ``silent`` says where the device's own interval decides, or its rhythm."""

INTERVALS: Final = 3
"""After so many expected intervals without anything a device is silent."""

UNCHANGED: Final = "does not change for"
"""How ``describe`` says that a sensor is stuck."""

WORDS: Final = ("device", "metric", "value", "unit", "limit", "rule", "severity")
"""What may stand in braces in ``message``."""

_BRACES: Final = re.compile(r"\{(\w+)\}")
_TEXT_CHARACTERS: Final = 500
_LONGEST: Final = 366 * 86_400.0


class Kind(enum.Enum):
    """What a rule looks at."""

    LEVEL = "level"
    """Whether a number is above or below a limit."""
    CHANGE = "change"
    """How much a number has changed within a time."""
    EQUAL = "equal"
    """Whether a reading is a certain number or text."""
    STUCK = "stuck"
    """Whether readings come, but are always the same."""
    SILENT = "silent"
    """Whether nothing comes any more."""
    OFFLINE = "offline"
    """Whether the device has said that it leaves, or its connection was lost."""


class Facts(msgspec.Struct, frozen=True):
    """What the owner says of a device: labels, and how often something is expected (seconds)."""

    labels: tuple[str, ...] = ()
    interval: float | None = None


class Severity(enum.Enum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Rule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"hold": "for"}
):
    """A section ``[[rule]]``.

    What is given says what the rule looks at: above or below; rises, falls or changes; equals;
    stuck; silent; or offline.
    """

    name: Annotated[str, Meta(description="What you call the rule; each has another name.")]
    devices: Annotated[
        list[str],
        Meta(description='Names of the devices that it is for, "*" = any characters; [] = all.'),
    ] = []
    labels: Annotated[
        list[str], Meta(description="Only devices that have one of these labels; [] = any.")
    ] = []
    metric: Annotated[
        str, Meta(description='What is looked at: "temperature"; for silent may be "" = anything.')
    ] = ""
    above: Annotated[
        float, Meta(description="It fires when a reading is greater; inf = never.")
    ] = inf
    below: Annotated[
        float, Meta(description="It fires when a reading is less; -inf = never.")
    ] = -inf
    rises: Annotated[
        float, Meta(description="It fires when readings rise by more within the time of within.")
    ] = inf
    falls: Annotated[float, Meta(description="The same when they fall.")] = inf
    changes: Annotated[float, Meta(description="The same when they rise or fall.")] = inf
    within: Annotated[
        Duration, Meta(description="In which time readings must rise, fall or change.")
    ] = Duration(600)
    equals: Annotated[
        str,
        Meta(
            description='It fires while the reading is this text, or this number: "1"; "on" is 1, '
            '"off" is 0 where readings are numbers.'
        ),
    ] = ""
    stuck: Annotated[
        Delay,
        Meta(description="It fires when readings have been the same for so long; 0 = never."),
    ] = Delay(0)
    silent: Annotated[
        str,
        Meta(
            description="It fires when nothing has come for so long: '30m'; 'auto' = three times "
            "the interval that is expected of the device, or estimated of one that is regular."
        ),
    ] = ""
    offline: Annotated[
        bool, Meta(description="It fires when the device leaves, or its connection is lost.")
    ] = False
    hysteresis: Annotated[
        float,
        Meta(ge=0, description="How far readings must be within the limit again for it to end."),
    ] = 0.0
    hold: Annotated[
        Delay, Meta(description="It must be so for this long before the rule fires.")
    ] = Delay(0)
    clear_for: Annotated[
        Delay, Meta(description="It must be well again for this long before it ends.")
    ] = Delay(0)
    severity: Annotated[Severity, Meta(description="How bad it is: info, warning, critical.")] = (
        Severity.WARNING
    )
    notify: Annotated[
        list[str],
        Meta(description='Who is told: "mail", names of [[notify]]; [] = all, ["-"] = nobody.'),
    ] = []
    repeat: Annotated[
        Delay, Meta(description="They are told again after so long, until somebody acknowledges.")
    ] = Delay(0)
    quiet: Annotated[
        str,
        Meta(
            description='When nobody is told, in the zone of the hub: "22:00-07:00"; "" = never. '
            "What is critical is told at any time."
        ),
    ] = ""
    message: Annotated[
        str,
        Meta(
            description="What they are told: {device}, {metric}, {value}, {unit}, {limit}, {rule} "
            'stand for themselves; "" = a sentence.'
        ),
    ] = ""
    enabled: Annotated[bool, Meta(description="Whether it is looked at.")] = True

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: something can't be.
        """
        check_name(self.name)
        _check_kinds(self)
        _check_numbers(self)
        check_patterns(devices=self.devices, labels=self.labels)
        if len(self.message) > _TEXT_CHARACTERS:
            raise ValueError(f"message has more than {_TEXT_CHARACTERS} characters")
        parse_quiet(self.quiet)

    @property
    def kind(self) -> Kind:
        """What it looks at."""
        return _kinds_of(self)[0]

    @property
    def silence(self) -> float | None:
        """Seconds without anything after which it fires; None where the device decides."""
        return None if self.silent == AUTO else float(Duration.parse(self.silent))

    @property
    def is_of_device(self) -> bool:
        """Whether it looks at devices as a whole and not at one metric of each."""
        return self.kind is Kind.OFFLINE or (self.kind is Kind.SILENT and not self.metric)


def check_message(rule: Rule) -> None:
    """See that the owner has not misspelt what stands for something in ``message``.

    Not a part of what a rule is: those that are kept may have such words.

    Raises:
        ValueError: nothing is called so.
    """
    for word in _BRACES.findall(rule.message):
        if word not in WORDS:
            said = f"{{{word[:40]}}}"
            for near in get_close_matches(word, WORDS, 1):
                known = f"{{{near}}}"
                raise ValueError(f"message: {said} stands for nothing. Did you mean {known}?")
            raise ValueError(f"message: {said} stands for nothing. Known: {', '.join(WORDS)}")


def describe(rule: Rule) -> str:
    """Return in a few words when it fires."""
    match rule.kind:
        case Kind.LEVEL:
            limits = [f"above {rule.above:g}"] if isfinite(rule.above) else []
            limits += [f"below {rule.below:g}"] if isfinite(rule.below) else []
            text = f"{rule.metric} {' or '.join(limits)}"
        case Kind.CHANGE:
            amounts = (("rises", rule.rises), ("falls", rule.falls), ("changes", rule.changes))
            words = [f"{word} by more than {one:g}" for word, one in amounts if isfinite(one)]
            text = f"{rule.metric} {' or '.join(words)} within {spoken(rule.within)}"
        case Kind.EQUAL:
            text = f"{rule.metric} is {rule.equals}"
        case Kind.STUCK:
            text = f"{rule.metric} {UNCHANGED} {spoken(rule.stuck)}"
        case Kind.SILENT:
            after = rule.silence
            what = rule.metric or "data"
            text = f"no {what}" + ("" if after is None else f" for {spoken(after)}")
        case Kind.OFFLINE:
            text = "offline"
    return text + held(rule)


def held(rule: Rule) -> str:
    """Return for how long it must be so, as the end of a sentence."""
    return f" for {spoken(rule.hold)}" if rule.hold else ""


def spoken(seconds: float) -> str:
    """Return a time as people write it: ``10 min``, ``1.5 h``."""
    for unit, factor in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= factor and (seconds * 10 / factor).is_integer():
            return f"{seconds / factor:g} {unit}"
    return f"{seconds:g} s"


_LIMITS: Final = ("above", "below", "rises", "falls", "changes")


def _kinds_of(rule: Rule) -> list[Kind]:
    found = []
    if isfinite(rule.above) or isfinite(rule.below):
        found.append(Kind.LEVEL)
    if isfinite(rule.rises) or isfinite(rule.falls) or isfinite(rule.changes):
        found.append(Kind.CHANGE)
    if rule.equals:
        found.append(Kind.EQUAL)
    if rule.stuck:
        found.append(Kind.STUCK)
    if rule.silent:
        found.append(Kind.SILENT)
    if rule.offline:
        found.append(Kind.OFFLINE)
    return found


def _check_kinds(rule: Rule) -> None:
    kinds = _kinds_of(rule)
    if len(kinds) != 1:
        raise ValueError(
            "a rule looks at one thing: give above or below, or rises, falls or changes, or "
            "equals, or stuck, or silent, or offline"
        )
    kind = kinds[0]
    if kind in (Kind.LEVEL, Kind.CHANGE, Kind.EQUAL, Kind.STUCK) and not rule.metric:
        raise ValueError("metric must say what is looked at")
    if kind is Kind.OFFLINE and rule.metric:
        raise ValueError("metric does not go with offline, which is about the device")
    if kind is Kind.STUCK and rule.hold:
        raise ValueError("for does not go with stuck, which is a time itself")
    if kind is Kind.SILENT:
        if rule.hold or rule.clear_for:
            raise ValueError("for and clear_for do not go with silent, which is a time itself")
        if rule.silent == AUTO and rule.metric:
            raise ValueError("silent must be a time where it is about one metric")
        if rule.silent != AUTO:
            _check_silence(rule.silent)
    if len(rule.metric) > PATTERN_CHARACTERS or len(rule.equals) > _TEXT_CHARACTERS:
        raise ValueError("metric or equals is too long")


def _check_silence(text: str) -> None:
    try:
        seconds = Duration.parse(text)
    except OwnerError as error:
        raise ValueError(f"silent: {error}") from error
    if not 1 <= seconds <= _LONGEST:
        raise ValueError("silent must be 1 second to 366 days")


def _check_numbers(rule: Rule) -> None:
    numbers = [getattr(rule, key) for key in _LIMITS]
    if any(number != number for number in numbers) or not isfinite(rule.hysteresis):
        raise ValueError("limits and hysteresis must be numbers")
    if isfinite(rule.above) and isfinite(rule.below):
        if rule.below > rule.above:
            raise ValueError("below must not be greater than above: nothing would be right")
        if rule.above - rule.below < 2 * rule.hysteresis:
            raise ValueError("hysteresis leaves nothing between below and above: it would not end")
    amounts = [one for one in (rule.rises, rule.falls, rule.changes) if isfinite(one)]
    if any(one <= 0 for one in amounts):
        raise ValueError("rises, falls and changes must be greater than 0")
    if any(one <= rule.hysteresis for one in amounts):
        raise ValueError("hysteresis must be less than what it rises, falls or changes by")
    times = (rule.within, rule.hold, rule.clear_for, rule.repeat, rule.stuck)
    if any(one > _LONGEST for one in times):
        raise ValueError("times may be 366 days at most")
    if rule.within < 1:
        raise ValueError("within must be at least 1 second")
    if 0 < rule.stuck < 1:
        raise ValueError("stuck must be at least 1 second, or 0")
    if 0 < rule.repeat < 60:
        raise ValueError("repeat must be at least 1 minute, or 0")


def _quantity(kind: type, value: object) -> object:
    if kind is Duration or kind is Delay:
        return value if isinstance(value, kind) else kind.parse(value)
    # What msgspec asks of such a hook for a type that it does not know: a fault of ours.
    raise NotImplementedError(f"fields of type {kind}")


_FORM: Final = Form(Rule, InvalidRule, _LIMITS, _quantity)
rule_of: Final = _FORM.read
to_fields: Final = _FORM.fields
encode: Final = _FORM.encode
decode: Final = _FORM.decode
