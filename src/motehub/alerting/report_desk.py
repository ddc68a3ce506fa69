"""What the owner may ask about reports that were sent, beside the process that sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from motehub.alerting.desk import opened
from motehub.alerting.outbox import DELIVERED, GIVEN_UP
from motehub.core.moments import iso

MOST_LETTERS: Final = 500
"""Letters in one answer."""

_STATES: Final = {DELIVERED: "delivered", GIVEN_UP: "given up"}


class Ran(msgspec.Struct, frozen=True):
    """When a report was made or tried last, and what came of it; letters that still wait."""

    time: str | None
    result: str
    ok: bool
    waiting: int


class Outcome(msgspec.Struct, frozen=True):
    """What came of an order: ``result`` in words. What is not ``over`` is tried again."""

    result: str
    ok: bool
    over: bool


class LetterShape(msgspec.Struct, frozen=True):
    """A letter; ``state`` is waiting, delivered or given up, ``trouble`` why it failed last."""

    report: str
    recipient: str
    created: str
    state: str
    attempts: int
    ended: str | None
    trouble: str | None


def runs(folder: Path) -> dict[str, Ran]:
    """Return how reports were sent last, by their names."""
    with opened(folder) as db:
        if db is None:
            return {}
        rows = db.execute(
            "SELECT report, ran, result, ok, (SELECT count(*) FROM letter "
            "WHERE letter.report = schedule.report AND state = 0) FROM schedule"
        )
        return {
            report: Ran(None if ran is None else iso(ran), result, bool(ok), waiting)
            for report, ran, result, ok, waiting in rows
        }


def came_of(folder: Path, report: str, ordered: int) -> Outcome | None:
    """Return what came of the order of a report at that time (µs); None until that is known."""
    with opened(folder) as db:
        if db is None:
            return None
        rows = db.execute(
            "SELECT result, ok, ordered >= ?2 FROM schedule "
            "WHERE report = ?1 AND (ordered >= ?2 OR ran >= ?2 AND NOT ok)",
            (report, ordered),
        )
        found = [Outcome(result, bool(ok), bool(over)) for result, ok, over in rows]
        return found[0] if found else None


def letters(folder: Path, limit: int, report: str | None = None) -> list[LetterShape]:
    """Return letters, newest first, of one report or of all."""
    with opened(folder) as db:
        if db is None:
            return []
        rows = db.execute(
            "SELECT report, recipient, created, state, attempts, ended, trouble FROM letter "
            "WHERE ?1 IS NULL OR report = ?1 ORDER BY id DESC LIMIT ?2",
            (report, limit),
        )
        return [
            LetterShape(
                name,
                recipient,
                iso(created),
                _STATES.get(state, "waiting"),
                attempts,
                None if ended is None else iso(ended),
                trouble,
            )
            for name, recipient, created, state, attempts, ended, trouble in rows
        ]
