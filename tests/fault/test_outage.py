"""The short version of ``python -m tests.fault.outage``."""

from __future__ import annotations

from pathlib import Path

from tests.fault import outage
from tests.servers import PostgresServer


def test_a_database_that_is_away_costs_no_reading(folder: Path) -> None:
    """Stopped, dead and back under load, with hub and writer killed: each reading is there once."""
    with PostgresServer() as server:
        outcome = outage.run(folder, server, rate=5000, away=5, kills=2)
    assert outcome.readings > 5000
    assert outcome.most_journal > 0
