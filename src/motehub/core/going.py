"""What of the history goes when rules of retention change, told before it is done."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import msgspec

from motehub.archived import month_of
from motehub.core.moments import iso
from motehub.core.retention import KEPT_TIERS, Retention
from motehub.history_contract import HistoryStore
from motehub.model import Kind, Series
from motehub.rollups import TIERS, Grid, Kept, Settled

# One bucket for all times.
_ALL: Final = Grid(0, 2**61)


class TierGoing(msgspec.Struct, frozen=True):
    """What goes of a tier: what is of ``before``, in which there are about so many ``readings``.

    Of sums ``readings`` is how many they are made of.
    """

    tier: str
    before: str
    readings: int


class GoingShape(msgspec.Struct, frozen=True):
    """What goes; ``excess`` is by how many bytes the history is larger than a new disk budget.

    Readings that are ``archived`` are moved to files first.
    """

    going: list[TierGoing]
    excess: int | None
    archived: bool


def rounded(store: HistoryStore, until: Kept, *, archived: bool) -> Kept:
    """Return until when is deleted what may go before ``until``: whole days, or months."""
    day = TIERS["day"]
    raw = store.whole_before(until.raw)
    if archived:
        raw = month_of(raw)
    # None is later than that of a finer tier.
    return Kept(raw, *(min(raw, until.of(tier) // day * day) for tier in TIERS))


def going(
    store: HistoryStore, before: Retention, after: Retention, now: int
) -> Generator[None, None, GoingShape]:
    """Tell what goes at ``now`` (µs) when ``after`` holds instead of ``before``; yields at times.

    Readings are counted by their sums, so there may be a few more or less.

    Raises:
        StorageError: the history can't be read now.
    """
    latest: dict[str, int] = {}
    readings: dict[str, int] = {}
    archived = after.plan.archive
    settled = store.settled()
    series = store.registry()[1]
    pairs = zip(before.limits(series, now), after.limits(series, now), strict=True)
    for (one, old), (_, new) in pairs:
        was, will = (rounded(store, limit, archived=archived) for limit in (old, new))
        if was == will:
            continue
        kept = store.kept(one.id)
        for tier in KEPT_TIERS:
            since, until = max(kept.of(tier), was.of(tier)), will.of(tier)
            if until > since and (count := _count(store, settled, one, since, until)):
                latest[tier] = max(latest.get(tier, until), until)
                readings[tier] = readings.get(tier, 0) + count
        yield None
    return GoingShape(
        [TierGoing(one, iso(latest[one]), readings[one]) for one in KEPT_TIERS if one in latest],
        _excess(store, before.plan.disk_budget, after.plan.disk_budget),
        archived,
    )


def _excess(store: HistoryStore, old: int | None, new: int | None) -> int | None:
    if new is None or (old is not None and old <= new):
        return None
    excess = store.used_bytes() - new
    return excess if excess > 0 else None


def _count(store: HistoryStore, settled: Settled, series: Series, since: int, until: int) -> int:
    """Return how many readings of ``[since, until)`` are summed up."""
    days = max(since, min(until, settled.before("day", series.id)))
    parts = (("day", since, days), ("minute", days, until))
    if series.kind is Kind.TEXT:
        return sum(
            row[2]
            for tier, start, end in parts
            for rows in store.states.rows(series.id, tier, start, end)
            for row in rows
        )
    return sum(
        sum(columns.counts)
        for tier, start, end in parts
        for columns in store.sums(series.id, tier, start, end, _ALL)
    )
