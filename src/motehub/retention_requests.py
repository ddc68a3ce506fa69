"""The owner's requests about how long readings are kept, over the control socket."""

from __future__ import annotations

from typing import Any

import msgspec

from motehub.core.hub import Hub
from motehub.core.moments import iso
from motehub.core.retention import Choice, Rule


class ShowRetention(msgspec.Struct, frozen=True, tag="show_retention"):
    """Tell for how long what is kept."""


class SetRetention(msgspec.Struct, frozen=True, tag="set_retention"):
    """Let readings of a device, or of one metric of it, be kept for so long; None: as others."""

    device: str
    metric: str | None = None
    rule: Rule = Rule()


class SetRetentionOfAll(msgspec.Struct, frozen=True, tag="choose_retention"):
    """Let all be kept for so long, in so much space; None: as the configuration says."""

    rule: Rule = Rule()
    disk_budget: str | None = None


class ConfirmClock(msgspec.Struct, frozen=True, tag="confirm_clock"):
    """Say that the clock of the hub's machine is right: readings that it makes old may go."""


RetentionRequest = ShowRetention | SetRetention | SetRetentionOfAll | ConfirmClock


class OwnRule(msgspec.Struct, frozen=True):
    """The rule of a device, or of one metric of it; null: as its device, or as all others."""

    device: str
    metric: str | None
    raw: str | None
    minute: str | None
    hour: str | None
    day: str | None


class DefaultRule(msgspec.Struct, frozen=True):
    """For how long what is kept where no other rule holds."""

    raw: str
    minute: str
    hour: str
    day: str


class ConfiguredShape(DefaultRule, frozen=True):
    """What the configuration says of that; ``disk_budget`` is in bytes.

    With ``archive`` readings are moved to files before they are deleted.
    """

    disk_budget: int | None
    archive: bool


class ChosenShape(msgspec.Struct, frozen=True):
    """What somebody has chosen over the configuration; null: as that says.

    ``disk_budget`` is a size as it was written, or ``none``.
    """

    raw: str | None
    minute: str | None
    hour: str | None
    day: str | None
    disk_budget: str | None
    who: str
    time: str


class RetentionShape(msgspec.Struct, frozen=True):
    """For how long readings and sums are kept; ``disk_budget`` is in bytes.

    ``default`` and ``disk_budget`` are what holds: what is ``configured``, and ``chosen`` over it,
    a coarser tier at least as long as a finer one.
    """

    default: DefaultRule
    disk_budget: int | None
    configured: ConfiguredShape
    chosen: ChosenShape | None
    rules: list[OwnRule]


def show_retention(hub: Hub) -> RetentionShape:
    """Return the rules as people and programs see them."""
    plan = hub.retention.plan
    rules = [
        OwnRule(device.name, metric or None, rule.raw, rule.minute, rule.hour, rule.day)
        for device in sorted(hub.registry.devices(), key=lambda one: one.name)
        for metric, rule in sorted(hub.retention.of_device(device.id).items())
    ]
    default = msgspec.convert(plan.rule.in_effect, DefaultRule, from_attributes=True)
    file = hub.retention.configured
    said = msgspec.structs.asdict(file.rule)
    configured = ConfiguredShape(**said, disk_budget=file.disk_budget, archive=file.archive)
    chosen = _shown(hub.retention.choice)
    return RetentionShape(default, plan.disk_budget, configured, chosen, rules)


def _shown(choice: Choice) -> ChosenShape | None:
    if not choice.says_something:
        return None
    return ChosenShape(
        **msgspec.structs.asdict(choice.rule),
        disk_budget=choice.disk_budget,
        who=choice.who,
        time=iso(choice.time),
    )


async def carry_out_for_retention(hub: Hub, request: RetentionRequest) -> dict[str, Any]:
    """Do what ``request`` asks and return what the owner is told.

    Raises:
        OwnerError: it can't be done.
    """
    if isinstance(request, SetRetention):
        await hub.keep(request.device, request.metric or "", request.rule)
    if isinstance(request, SetRetentionOfAll):
        await hub.keep_all(request.rule, request.disk_budget)
    if isinstance(request, ConfirmClock):
        return {"clock": iso(await hub.confirm_clock())}
    shown: dict[str, Any] = msgspec.to_builtins(show_retention(hub))
    return shown
