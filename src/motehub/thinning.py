"""What the writer deletes: readings and rollups that are too old, or too many for the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any, Final

from motehub.archived import month_after, month_of
from motehub.archiving import Archiving
from motehub.clock_watch import ClockWatch
from motehub.core.going import rounded
from motehub.core.moments import iso
from motehub.core.retention import Plan, Retention
from motehub.forgetting import Forgetting
from motehub.history_contract import Expiring, Fold, HistoryStore
from motehub.logs import Logger
from motehub.model import Kind
from motehub.rollups import Kept

ROWS_AT_ONCE: Final = 10_000
"""About how many rows one step deletes: other writers wait for it."""

LOOK_SECONDS: Final = 60.0
"""How often it looks whether something has become too old, or rules have changed."""

BUDGET_SECONDS: Final = 5.0
"""How often it looks whether the disk budget is used up."""

BUDGET_ROWS: Final = 200_000
"""After how many new readings it looks at once: in five seconds two million may come."""

_logger = Logger("motehub.retention")


class Thinning:
    """Deletes in small steps what the owner's rules say; see ``docs/guides/history.md``.

    ``rules`` returns them as they are now. ``clock`` returns the UTC microseconds by which things
    are old, and ``watch``, if there is one, knows whether that can be. ``steady`` returns seconds
    of a clock that is never set. With ``archiving`` nothing is deleted that is not in the archive.
    """

    def __init__(
        self,
        store: HistoryStore,
        rules: Callable[[], Retention],
        clock: Callable[[], int],
        archiving: Archiving | None = None,
        watch: ClockWatch | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._watch = watch
        self._steady = steady
        self._archiving = archiving
        self._to_archive: list[Expiring] = []
        self._goal: int | None = None
        self._wanted: frozenset[Expiring] = frozenset()
        self._not_before = -inf
        self._todo: list[Expiring] = []
        self._common: int | None = None
        self._done: frozenset[Expiring] = frozenset()
        self._plan = Plan()
        self._counts = Forgetting(store)
        self._budget_due = False
        self._folded = 0
        self.is_over_budget = False
        """Whether the history was larger than the disk budget when it was last looked at."""
        self._cut: int | None = None
        self._edge_before: dict[int, int] = {}
        self.report: dict[str, Any] = {}
        """What the owner may want to know: bytes used and allowed, what was deleted, troubles."""
        if archiving is not None:
            self.report["archive"] = archiving.report

    @property
    def has_grown(self) -> bool:
        """Whether so much has come that the disk budget should be looked at before its time."""
        return self.has_budget and self._folded >= BUDGET_ROWS

    @property
    def has_budget(self) -> bool:
        """Whether there is a disk budget to keep to."""
        return self._plan.disk_budget is not None

    @property
    def moment(self) -> int:
        """The time (UTC µs) by which things are old."""
        return self._clock()

    def begin(self) -> None:
        """Look whether there is something to delete, unless that is going on."""
        if self._is_busy or self._steady() < self._not_before:
            return
        rules = self._rules()
        self._plan = rules.plan
        self._look_at_clock(rules)
        now = self._clock()
        self._counts.begin(rules.default(now).hour)
        limits = rules.limits(self._store.registry()[1], now)
        archived = self._archiving is not None
        todo = [
            Expiring(
                one.id,
                rounded(self._store, until, archived=archived),
                texts=one.kind is Kind.TEXT,
            )
            for one, until in limits
        ]
        changed = [one for one in todo if one not in self._done]
        if changed:
            common = min((one.until.raw for one in todo if not one.texts), default=None)
            self._wanted = frozenset(todo)
            self._delete(changed if self._archiving is None else todo, common)

    def measure(self) -> None:
        """See that the history keeps to the disk budget."""
        self._budget_due = True
        self._folded = 0
        if self._watch is not None and self._watch.report is not None:
            # The owner may say any moment that it is right.
            self._look_at_clock(self._rules())
            if self._watch.report is None:
                self.begin()
        else:
            self._look_at_clock(None)

    def step(self) -> bool:
        """Delete a little; tell whether there may be more to do at once."""
        if self._archiving is not None and self._archiving.at_work and not self._take_archived():
            return False
        if self._common is not None or self._todo:
            self._delete_some()
            return True
        if self._to_archive and self._archiving is not None:
            self._archiving.begin(self._to_archive)
            self._to_archive = []
            return False
        if self._counts.step() or self._store.give_back():
            return True
        if self._budget_due:
            self._budget_due = self._keep_to_budget()
        return self._budget_due and not self._is_archiving

    def hear(self, fold: Fold) -> None:
        """Take notice of a fold: nothing of it may be deleted that is not in the archive."""
        self._folded += sum(len(times) for times, _ in fold.readings.values())
        if self._archiving is not None:
            self._archiving.hear(fold)

    def stop(self) -> None:
        """End what works beside."""
        if self._archiving is not None:
            self._archiving.stop()
        if self._watch is not None:
            self._watch.note()

    @property
    def _is_archiving(self) -> bool:
        return self._archiving is not None and self._archiving.at_work

    @property
    def _is_busy(self) -> bool:
        going_on = self._todo or self._common is not None or self._to_archive
        return bool(going_on) or self._is_archiving

    def _look_at_clock(self, rules: Retention | None) -> None:
        if self._watch is not None:
            self._watch.look(rules.clock_confirmed if rules is not None else None)
            self.report["clock"] = self._watch.report

    def _delete(self, todo: list[Expiring], common: int | None) -> None:
        """Begin to delete, or to archive what is to be deleted then."""
        if self._archiving is None:
            self._todo, self._common = todo, common
        else:
            self._goal = common
            self._archiving.begin(todo)

    def _take_archived(self) -> bool:
        """Go on with what is archived; tell whether the archiver has ended."""
        assert self._archiving is not None
        cleared = self._archiving.finished()
        if cleared is None:
            return False
        self.report["archive"] = self._archiving.report
        if cleared.failed:
            self._not_before = self._steady() + LOOK_SECONDS
            self._wanted = frozenset()
            if self._cut is not None:
                self._tell_devices(self._cut)
                self._cut = None
            return True
        self._todo, self._to_archive = cleared.todo, cleared.rest
        self._common = self._goal
        if self._goal is not None and cleared.until is not None:
            self._common = min(self._goal, cleared.until)
        return True

    def _delete_some(self) -> None:
        late = self._archiving.late if self._archiving is not None else frozenset()
        if late:
            # They are looked at again soon, and archived then.
            self._common, self._wanted = None, frozenset()
            self._todo = [one for one in self._todo if one.series not in late]
        if self._common is not None and self._store.drop_whole(self._common):
            return
        self._common = None
        if self._todo:
            done, deleted = self._store.expire_some(self._todo, ROWS_AT_ONCE)
            del self._todo[:done]
            self._count(deleted)
        if not self._todo and not self._to_archive:
            self._done = self._wanted

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
        self.is_over_budget = budget is not None and used > budget
        if budget is not None and self.is_over_budget:
            if self._steady() < self._not_before:
                return False
            until = self._next_cut()
            if until is not None and until != self._cut:
                self._cut_at(until, used, budget)
                return True
            trouble = (
                f"The history needs {used} bytes, more than the disk budget of {budget}; all but "
                "the latest readings are deleted already. Allow it more (Settings → Storage, or "
                "[retention] disk_budget), or keep rollups for a shorter time."
            )
        if self._cut is not None:
            self._tell_devices(self._cut)
        self._cut = None
        if trouble and not self.report.get("trouble"):
            _logger.error("history is larger than the disk budget", used=used, budget=budget)
        self.report["trouble"] = trouble
        return False

    def _next_cut(self) -> int | None:
        """Return to where readings go next for the budget, if there are some that may."""
        oldest, now = self._store.oldest_reading(), self._clock()
        if oldest is None:
            return None
        if self._archiving is not None and (month := month_after(oldest)) <= month_of(now):
            return month
        until = self._store.whole_after(oldest)
        return until if until <= self._store.whole_before(now) else None

    def _cut_at(self, until: int, used: int, budget: int) -> None:
        event = f"oldest readings are {self._gone}: disk budget"
        _logger.warning(event, before=iso(until), used=used, budget=budget)
        series = self._store.registry()[1]
        if self._cut is None:
            self._edge_before = {one.id: self._store.kept(one.id).raw for one in series}
        self._cut = until
        self.report["budget_cut"] = iso(until)
        numbers = [one.id for one in series if one.kind is not Kind.TEXT]
        self._wanted = self._done
        self._delete([Expiring(one, Kept(raw=until)) for one in numbers], until)

    @property
    def _gone(self) -> str:
        return "deleted" if self._archiving is None else "moved to the archive"

    def _tell_devices(self, until: int) -> None:
        """Leave an event with each device of which readings went for the budget."""
        self.report["budget_told"] = iso(until)
        affected = {
            one.device
            for one in self._store.registry()[1]
            if self._edge_before.get(one.id, until) < self._store.kept(one.id).raw
        }
        text = f"readings before {iso(until)} were {self._gone}: the disk budget was used up"
        self._store.note_event(sorted(affected), self._clock(), "thinned", text)
        self._edge_before = {}
