"""A few rounds of ``python -m tests.fault.crash``."""

from pathlib import Path

import pytest
from tests.fault import crash
from tests.fault.crash import Crashes, Lost, Tally, run


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Hubs and writers that are killed at random lose and double nothing."""
    tallies: list[Tally] = []
    tally = run(tmp_path, 9, 20_260_501, tallies.append)
    assert (tally.rounds, tally.kills_of_hub, len(tallies)) == (9, 9, 9)
    assert tally.kills_of_writer > 0
    assert tally.readings > 100


def test_a_loss_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself fails when a reading has another value than the one sent."""
    crashes = Crashes(tmp_path, 1)
    monkeypatch.setattr(crash, "value_at", lambda task, time: 0.5)
    for _ in range(3):
        crashes.live_and_die()
    with pytest.raises(Lost, match="a value is not the one sent"):
        crashes.check()
