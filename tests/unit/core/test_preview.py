"""What a rule about presence would have found."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from tests.contract.test_rollups import SECOND, START, fold, with_devices

from motehub.alerts.rule import rule_of
from motehub.core import preview as previews
from motehub.core.moments import iso
from motehub.core.preview import PreviewShape, preview
from motehub.errors import InvalidRule
from motehub.frames import EventOccurred
from motehub.history_contract import HistoryStore
from motehub.stores.sqlite import SqliteHistory

MINUTE = 60 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Generator[HistoryStore, None, None]:
    with closing(SqliteHistory(tmp_path)) as store:
        yield with_devices(store)


def tried(store: HistoryStore, since: int, until: int, **fields: object) -> PreviewShape:
    work = preview(store, rule_of({"name": "r", "offline": True, **fields}), since, until, {})
    while True:
        try:
            next(work)
        except StopIteration as done:
            found: PreviewShape = done.value
            return found


def happen(store: HistoryStore, *events: tuple[float, str]) -> None:
    """Let events of the device be, at so many minutes after the start."""
    fold(
        store,
        entries=[EventOccurred(1, START + round(at * MINUTE), kind, "") for at, kind in events],
    )


def test_a_rule_about_presence_is_tried_on_events(store: HistoryStore) -> None:
    """Each time that the device was away for as long as the rule says."""
    happen(store, (0, "joined"), (10, "left"), (11, "joined"), (20, "left"), (20, "alert"))
    happen(store, (40, "announced"), (41, "joined"), (50, "announced"))
    end = START + 60 * MINUTE
    found = tried(store, START, end)
    assert [one.began for one in reversed(found.alerts)] == [
        iso(START + at * MINUTE) for at in (10, 20, 50)
    ]
    assert [one.ended for one in reversed(found.alerts)] == [
        iso(START + 11 * MINUTE),
        iso(START + 41 * MINUTE),
        None,
    ]
    assert (found.count, found.series) == (3, 1)
    assert tried(store, START, end, **{"for": 300}).count == 2
    assert tried(store, START, end, **{"for": 3600}).count == 0


def test_it_goes_by_how_the_device_was_before(store: HistoryStore) -> None:
    """What it is now says nothing of then, nor does what came later."""
    happen(store, (0, "joined"), (10, "left"), (30, "joined"), (90, "left"))
    assert tried(store, START + 15 * MINUTE, START + 60 * MINUTE).count == 1
    assert tried(store, START + 31 * MINUTE, START + 60 * MINUTE).count == 0
    assert tried(store, START - 60 * MINUTE, START).count == 0


def test_more_events_than_are_looked_at(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and does not tell of a part as of all."""
    monkeypatch.setattr(previews, "MOST_EVENTS", 3)
    happen(store, (0, "joined"), (10, "left"), (30, "joined"), (90, "left"))
    with pytest.raises(InvalidRule, match="a has more than 3 events"):
        tried(store, START, START + 100 * MINUTE)
    assert tried(store, START + 40 * MINUTE, START + 100 * MINUTE).count == 1
