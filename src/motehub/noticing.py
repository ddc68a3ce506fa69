"""Looks every few seconds whether the owner should know something of the hub itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from motehub.alerts.rule import Severity
from motehub.core.journal import JournalHealth, JournalLimits
from motehub.core.notices import Notice, Notices

LOOK_SECONDS: Final = 5.0
"""How often it looks."""

FULL: Final = 0.75
"""A journal is nearly full from this part of its room on, or of the time that frames may wait."""


LAGGING_SECONDS: Final = 30.0
"""For so long the history must have taken nothing: in a flood a small journal is full at times."""


class Sight(msgspec.Struct, frozen=True):
    """What it looks at: what the writer says of retention, the journal, and its limits.

    ``waits`` is for how many seconds the first frame has waited for the history; ``trouble`` says
    what keeps the history's writer from its work.
    """

    retention: Mapping[str, Any]
    journal: JournalHealth
    limits: JournalLimits
    waits: float = 0.0
    trouble: str | None = None


def notices(sight: Sight) -> Iterator[Notice]:
    """Yield what there is."""
    yield from _of_budget(sight.retention)
    if (clock := sight.retention.get("clock")) is not None:
        yield _of_clock(clock)
    if (filled := _filled(sight)) >= FULL:
        yield Notice("journal", Severity.CRITICAL, _journal_text(sight, filled))


async def keep_noticing(look: Callable[[], Sight], told: Notices) -> None:
    """Tell the owner what there is, until it is cancelled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        say_all(notices(look()), told)


def say_all(found: Iterable[Notice], told: Notices) -> None:
    """Tell the owner of all that is found."""
    for one in found:
        told.say(one)


def _of_budget(retention: Mapping[str, Any]) -> Iterator[Notice]:
    if trouble := retention.get("trouble"):
        yield Notice("budget", Severity.CRITICAL, trouble)
    elif cut := retention.get("budget_told"):
        gone = "moved to the archive" if "archive" in retention else "deleted"
        yield Notice(
            "budget",
            Severity.WARNING,
            f"The disk budget was used up: readings before {cut} were {gone}. What they come to by "
            "minute, hour and day is still there. To keep more, allow the history more "
            "(Settings → Storage, or [retention] disk_budget), or keep less of what comes often.",
            cut,
        )


def _of_clock(clock: Mapping[str, Any]) -> Notice:
    says, believed = clock["clock"], clock["believed"]
    if says < believed:
        text = (
            f"The clock of the hub's machine was set back: it says {says}, and it must be about "
            f"{believed}. Set it right: what comes meanwhile has wrong times. Nothing is deleted "
            "before its time."
        )
    else:
        text = (
            f"The clock of the hub's machine says {says}, but by what the hub knows it can hardly "
            f"be later than {believed}. So that a wrong clock deletes nothing, nothing is deleted "
            "by age for now. If the clock is wrong, set it right. If it is right, since the hub "
            f"was off for long, wait {clock['hours']} h, or say so: Settings → Storage, or "
            "'motehub retention confirm-clock'."
        )
    return Notice("clock", Severity.WARNING, text, clock["since"])


def _filled(sight: Sight) -> float:
    """Return which part of what it may hold a journal holds for the history."""
    if sight.journal.head <= sight.journal.consumed:
        return 0.0
    size, age = sight.limits.size, sight.limits.age
    lags = sight.waits >= LAGGING_SECONDS
    by_size = sight.journal.size / size if size and lags else 0.0
    return max(by_size, sight.waits / age if age else 0.0)


def _journal_text(sight: Sight, filled: float) -> str:
    why = f" {sight.trouble}" if sight.trouble else ""
    return (
        f"The journal is {min(filled, 1.0):.0%} full: readings wait for the history, which does "
        f"not take them.{why} When it is full, devices are held back. 'motehub status' and "
        "'motehub doctor' say more."
    )
