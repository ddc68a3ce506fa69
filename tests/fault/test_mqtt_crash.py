"""A few rounds of ``python -m tests.fault.mqtt_crash``."""

from pathlib import Path

import pytest
from tests.fault import mqtt_crash
from tests.fault.mqtt_crash import Lost, run


def test_what_is_acknowledged_is_stored_and_at_qos_2_once(tmp_path: Path) -> None:
    """Hubs that are killed between PUBLISH and acknowledgement lose nothing, and double nothing."""
    rounds: list[int] = []
    tally = run(tmp_path, 6, 20_261_121, rounds.append)
    assert len(rounds) == tally.kills == 6
    assert tally.messages > 100


def test_a_loss_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails when a message was counted as sent that never was."""
    monkeypatch.setattr(mqtt_crash, "_finish", _count_one_too_many)
    with pytest.raises(Lost, match="not stored"):
        run(tmp_path, 1, 1, lambda number: None)


def _count_one_too_many(publishers: list[mqtt_crash.Publisher], listener: object) -> None:
    for one in publishers:
        one.is_over = True
        one.sent += 2
