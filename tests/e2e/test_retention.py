"""For how long all is kept is chosen while the hub runs, over its configuration."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from tests.harness import OPEN, HubProcess, recent, records, send

from motehub.core.retention import Plan, Retention
from motehub.journals.sqlite import SqliteLogReader
from motehub.stores.sqlite import SqliteHistory

DAY = 86_400
OLD, NEW = 100, 7
END = 2**62


def kept(folder: Path) -> tuple[int, int]:
    """Return how many temperatures the history has, and of how many it has sums by minute."""
    with closing(SqliteHistory(folder, read_only=True)) as store:
        (one,) = (one.id for one in store.registry()[1] if one.metric == "temperature")
        readings = sum(len(times) for times, _ in store.readings(one, 0, END))
        summed = sum(
            row[2] for page in store.dump("reading_minute") for row in page if row[0] == one
        )
    return readings, summed


def chosen(folder: Path) -> str | None:
    """Return for how long readings are kept by what somebody has chosen."""
    with closing(SqliteLogReader(folder)) as reader:
        return Retention.from_state(Plan(), reader.state()).choice.rule.raw


def test_a_running_hub_deletes_what_a_choice_makes_old(folder: Path) -> None:
    """It need not be started anew; sums stay, and a hub that is killed right after knows it yet."""
    with HubProcess(folder, OPEN) as hub:
        send(hub.port, hub.ca, records(recent(0) - 5 * DAY, OLD) + records(recent(NEW), NEW))
        hub.wait_stored("dht-127.0.0.1", "temperature", OLD + NEW)
        hub.wait_folded()
        # What is asked first is made of sums.
        hub.wait_until(lambda: kept(folder) == (OLD + NEW, OLD + NEW), "all is summed up")
        writer = hub.writer_pid
        refused = hub.cli("retention", "set-all", "--raw", "1h", given="n\n")
        assert f"are deleted, about {2 * OLD}." in refused.stdout, refused.stdout
        assert refused.returncode == 1
        assert chosen(folder) is None
        done = hub.cli("retention", "set-all", "--raw", "1h", given="y\n")
        assert done.returncode == 0, done.stderr
        hub.wait_until(lambda: kept(folder) == (NEW, OLD + NEW), "what is old is deleted")
        assert hub.writer_pid == writer
        done = hub.cli("retention", "set-all", "--raw", "2h", "--yes")
        assert done.returncode == 0, done.stderr
        hub.kill()
        hub.start()
        shown: list[dict[str, Any]] = hub.json("retention", "show")
        assert shown[0]["raw"] == "2h"
        done = hub.cli("retention", "set-all")
        assert done.returncode == 0, done.stderr
        assert hub.json("retention", "show")[0]["raw"] == "forever"
        assert hub.stop() == 0
    assert kept(folder) == (NEW, OLD + NEW)
