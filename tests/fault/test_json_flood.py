"""JSON sockets that are flooded; ``python -m tests.fault.json_flood`` does it for longer."""

import time
from pathlib import Path

import pytest
from tests.fault.json_flood import LISTEN, Flood, compare, many_files, watched
from tests.fault.json_flooder import Report
from tests.harness import FreshHub, HubProcess, memory

MANY = 1000
SETTINGS = {"transport.json_socket": LISTEN}


def test_a_thousand_flooding_connections(folder: Path) -> None:
    """Senders are slowed, the hub answers all the while, and each acknowledged value is there once.

    Objects are padded, so that the kernel's buffers are full long before the flood ends.
    """
    with (
        many_files(MANY),
        FreshHub(folder, SETTINGS) as hub,
        Flood(hub, MANY, seconds=3, size=1000) as clients,
    ):
        with watched(hub) as condition:
            clients.begin()
            report = clients.report()
        assert (report.refused, report.gone) == ([], 0)
        assert report.acknowledged == report.sent
        assert all(report.sent)
        assert report.blocked >= MANY
        assert condition.answers > 3
        hub.wait_folded()
        assert compare(folder, (0, report)) == sum(report.sent)
        # Measured: 255 MB for hub and writer together.
        assert condition.memory < 1_000_000_000


def test_one_flooding_connection(folder: Path) -> None:
    """One connection that sends as fast as it can has every object acknowledged and stored."""
    with FreshHub(folder, SETTINGS) as hub, Flood(hub, 1, seconds=2) as clients:
        before = memory(hub.pid)
        with watched(hub) as condition:
            clients.begin()
            report = clients.report()
        assert (report.refused, report.gone) == ([], 0)
        assert report.acknowledged == report.sent
        hub.wait_folded()
        assert compare(folder, (0, report)) > 1_000
        assert condition.memory < 4 * before + 200_000_000


def test_a_hub_that_dies_in_a_flood(folder: Path) -> None:
    """After SIGKILL and a new start each acknowledged value is there once, and new ones follow."""
    first, second = 100, 20
    with HubProcess(folder, SETTINGS) as hub:
        with Flood(hub, first, seconds=30) as clients:
            clients.begin()
            hub.wait_until(lambda: hub.status()["journal"]["head"] > 20, "the flood arrives")
            time.sleep(0.5)
            hub.kill()
            before = clients.report()
        assert before.gone == first
        assert sum(before.acknowledged) > 0
        hub.start()
        with Flood(hub, second, seconds=0.5, first=first) as clients:
            clients.begin()
            after = clients.report()
        assert after.acknowledged == after.sent
        hub.wait_folded()
        compare(folder, (0, before), (first, after))


def test_a_loss_would_be_seen(folder: Path) -> None:
    """The comparison itself fails when more was acknowledged than stored, or less sent."""
    with HubProcess(folder, SETTINGS) as hub:
        with Flood(hub, 2, seconds=1) as clients:
            clients.begin()
            report = clients.report()
        hub.wait_folded()
    more = [count + 1 for count in report.sent]
    with pytest.raises(AssertionError, match="acknowledged"):
        compare(folder, (0, Report(more, more, [], 0, 0)))
    with pytest.raises(AssertionError, match="acknowledged"):
        compare(folder, (0, Report([1, 1], [1, 1], [], 0, 0)))
    with pytest.raises(AssertionError, match="never made"):
        compare(folder, (0, Report(report.sent[:1], report.acknowledged[:1], [], 0, 0)))
