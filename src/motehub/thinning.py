"""What the writer deletes: readings and rollups that are too old, or too many for the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from motehub.core.moments import iso
from motehub.core.retention import Plan, Retention
from motehub.history_contract import Expiring, HistoryStore
from motehub.logs import Logger
from motehub.model import Kind
from motehub.rollups import TIERS, Kept

ROWS_AT_ONCE: Final = 10_000
"""About how many rows one step deletes: other writers wait for it."""

LOOK_SECONDS: Final = 60.0
"""How often it looks whether something has become too old, or rules have changed."""

BUDGET_SECONDS: Final = 5.0
"""How often it looks whether the disk budget is used up."""

_logger = Logger("motehub.retention")


class Thinning:
    """Deletes in small steps what the owner's rules say; see ``docs/guides/history.md``.

    ``rules`` returns them as they are now. ``clock`` returns UTC microseconds.
    """

    def __init__(
        self, store: HistoryStore, rules: Callable[[], Retention], clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._todo: list[Expiring] = []
        self._common: int | None = None
        self._done: frozenset[Expiring] = frozenset()
        self._plan = Plan()
        self._budget_due = False
        self._cut: int | None = None
        self._edge_before: dict[int, int] = {}
        self.report: dict[str, Any] = {}
        """What the owner may want to know: bytes used and allowed, what was deleted, troubles."""

    def begin(self) -> None:
        """Look whether there is something to delete, unless that is going on."""
        if self._todo or self._common is not None:
            return
        rules = self._rules()
        self._plan = rules.plan
        now = self._clock()
        limits = rules.limits(self._store.registry()[1], now)
        todo = [
            Expiring(one.id, self._rounded(until), texts=one.kind is Kind.TEXT)
            for one, until in limits
        ]
        self._todo = [one for one in todo if one not in self._done]
        self._done = frozenset(todo)
        if self._todo:
            self._common = min((one.until.raw for one in todo if not one.texts), default=None)

    def measure(self) -> None:
        """See that the history keeps to the disk budget."""
        self._budget_due = True

    def step(self) -> bool:
        """Delete a little; tell whether there may be more to do at once."""
        store = self._store
        if self._common is not None:
            if store.drop_whole(self._common):
                return True
            self._common = None
        if self._todo:
            done, deleted = store.expire_some(self._todo, ROWS_AT_ONCE)
            del self._todo[:done]
            self._count(deleted)
            return True
        if store.give_back():
            return True
        if self._budget_due:
            self._budget_due = self._keep_to_budget()
        return self._budget_due

    def _rounded(self, until: Kept) -> Kept:
        day = TIERS["day"]
        return Kept(
            self._store.whole_before(until.raw),
            until.minute // day * day,
            until.hour // day * day,
            until.day // day * day,
        )

    def _count(self, deleted: int) -> None:
        if deleted:
            self.report["deleted"] = self.report.get("deleted", 0) + deleted

    def _keep_to_budget(self) -> bool:
        """Have the oldest readings deleted while the history is too large; tell whether it is."""
        budget = self._plan.disk_budget
        used = self._store.used_bytes()
        self.report["used"] = used
        self.report["budget"] = budget
        trouble = None
        if budget is not None and used > budget:
            oldest, now = self._store.oldest_reading(), self._clock()
            until = None if oldest is None else self._store.whole_after(oldest)
            if until is not None and until <= self._store.whole_before(now) and until != self._cut:
                self._cut_at(until, used, budget)
                return True
            trouble = (
                f"The history needs {used} bytes, more than the disk budget of {budget}; all but "
                "the latest readings are deleted already. Allow it more with [retention] "
                "disk_budget, or keep rollups for a shorter time."
            )
        if self._cut is not None:
            self._tell_devices(self._cut)
        self._cut = None
        if trouble and not self.report.get("trouble"):
            _logger.error("history is larger than the disk budget", used=used, budget=budget)
        self.report["trouble"] = trouble
        return False

    def _cut_at(self, until: int, used: int, budget: int) -> None:
        _logger.warning(
            "oldest readings are deleted: disk budget", before=iso(until), used=used, budget=budget
        )
        series = self._store.registry()[1]
        if self._cut is None:
            self._edge_before = {one.id: self._store.kept(one.id).raw for one in series}
        self._cut = until
        self.report["budget_cut"] = iso(until)
        self._common = until
        self._todo = [
            Expiring(one.id, Kept(raw=until)) for one in series if one.kind is not Kind.TEXT
        ]

    def _tell_devices(self, until: int) -> None:
        """Leave an event with each device of which readings went for the budget."""
        affected = {
            one.device
            for one in self._store.registry()[1]
            if self._edge_before.get(one.id, until) < self._store.kept(one.id).raw
        }
        text = f"readings before {iso(until)} were deleted: the disk budget was used up"
        self._store.note_event(sorted(affected), self._clock(), "thinned", text)
        self._edge_before = {}
