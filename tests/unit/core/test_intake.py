"""What a flood costs: bounded entries, bounded excerpts, nothing that grows with the registry."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.core.support import SOURCE, START, FakeClock, frames, open_hub, say, temperature

from motehub.core.admission import Policy, RegistryLimits
from motehub.frames import Rejected
from motehub.model import (
    Clock,
    Delivery,
    Device,
    Diagnostic,
    Malformed,
    Receipt,
    Record,
    RefusedRecord,
    Samples,
    Source,
    Texts,
)

MANY = 50


def rejected(folder: Path) -> list[Rejected]:
    return [e for _, frame in frames(folder) for e in frame.entries if isinstance(e, Rejected)]


def strangers(*, vouched: bool = False) -> list[Delivery]:
    return [
        Delivery(Source("x", f"name:{n}", f"d{n}", "192.0.2.7", vouched), [temperature(n)])
        for n in range(MANY)
    ]


async def test_a_new_device_costs_the_same_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither accepted nor waiting devices are gone through for each new one."""

    class Untouched(dict[int, Device]):
        def values(self) -> None:  # type: ignore[override]
            pytest.fail("all devices are looked at")

        def __iter__(self) -> Iterator[int]:
            pytest.fail("all devices are looked at")

    for policy in (Policy.OPEN, Policy.APPROVE):
        folder = tmp_path / policy.value
        folder.mkdir()
        async with open_hub(folder, FakeClock(), policy) as (hub, _):
            monkeypatch.setattr(hub.registry, "_devices", Untouched())
            receipts = await hub.accept(strangers())
            assert receipts == [Receipt(1, 0)] * MANY
            assert hub.registry.count() == MANY


async def test_devices_that_wait_are_counted_through_all_that_becomes_of_them(
    tmp_path: Path,
) -> None:
    """Accepted, blocked and removed ones wait no longer, also after a restart."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await hub.accept(strangers())
        assert hub.registry.pending() == MANY
        await hub.accept_device("d1")
        await hub.block_device("d2")
        await hub.remove_device("d3")
        await hub.rename_device("d4", "x")
        assert (hub.registry.pending(), hub.registry.count()) == (MANY - 3, MANY - 1)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        assert (hub.registry.pending(), hub.registry.count()) == (MANY - 3, MANY - 1)


@pytest.mark.parametrize(
    ("policy", "limits"),
    [(Policy.KNOWN, RegistryLimits()), (Policy.OPEN, RegistryLimits(devices=0))],
)
async def test_many_who_are_refused_at_once_make_one_entry(
    tmp_path: Path, policy: Policy, limits: RegistryLimits
) -> None:
    """They are counted whole, with one as a sample; each is told what became of its own."""
    async with open_hub(tmp_path, FakeClock(), policy, limits) as (hub, _):
        receipts = await hub.accept(strangers())
    (entry,) = rejected(tmp_path)
    assert (entry.device, entry.count, entry.payload) == (None, MANY, b"temperature 0.0")
    told = Receipt(0, 1, entry.reason, (RefusedRecord(0, 0, entry.reason),))
    assert receipts == [told] * MANY


async def test_what_is_refused_to_different_devices_is_told_apart(tmp_path: Path) -> None:
    """Each blocked device has the entry of its own, whoever speaks beside it."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await hub.accept(strangers()[:2])
        blocked = [(await hub.block_device(name)).id for name in ("d0", "d1")]
        await hub.accept([one for one in strangers()[:2] for _ in range(3)])
    assert [(one.device, one.count) for one in rejected(tmp_path)] == [(n, 3) for n in blocked]


@pytest.mark.parametrize(
    ("record", "payload"),
    [
        (temperature(*range(100_000)), b"temperature 0.0"),
        (Texts("state", array("q", [START]), ["x" * 1_000_000]), b"state " + b"x" * 194),
        (Texts("state", array("q", [START]), ["\u00e4" * 500]), b"state " + b"\xc3\xa4" * 97),
        (Malformed(b"?" * 1000, "bad"), b"?" * 200),
        (Diagnostic("error", "y" * 1000), b"error " + b"y" * 194),
    ],
    ids=["numbers", "text", "text in UTF-8", "malformed", "diagnostic"],
)
async def test_of_a_blocked_device_a_short_excerpt_is_kept(
    tmp_path: Path, record: Record, payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its metric and first value; a long column is never written out."""
    for kind in (Samples, Texts, Malformed, Diagnostic):
        monkeypatch.setattr(kind, "__repr__", None)
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [])
        device = await hub.block_device(SOURCE.suggested_name)
        receipt = await say(hub, SOURCE, [record])
    (entry,) = rejected(tmp_path)
    assert (entry.device, entry.payload) == (device.id, payload)
    assert receipt.rejected == entry.count


async def test_new_devices_do_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first of a flood is logged at once, the others are counted for later."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with caplog.at_level(logging.INFO):
            await hub.accept(strangers(vouched=True))
    assert [one.getMessage() for one in caplog.records].count("new device") == 1


async def test_new_and_known_series_may_come_in_one_delivery(tmp_path: Path) -> None:
    """Records are taken in their order; the receipt counts all, and numbers those refused."""
    limits = RegistryLimits(series=2)

    def one(metric: str, value: float, unit: str = "") -> Samples:
        return Samples(metric, unit, array("q", [START]), array("d", [value]), Clock.HUB)

    async with open_hub(tmp_path, FakeClock(), limits=limits) as (hub, _):
        await say(hub, SOURCE, [one("a", 1, "m")])
        receipt = await say(
            hub, SOURCE, [one("a", 2), one("b", 3), one("a", 4, "s"), one("c", 5), one("a", 6, "m")]
        )
    unit, room = "a is kept in m, not in s", "the device has 2 metrics already"
    assert receipt == Receipt(3, 2, unit, (RefusedRecord(2, 0, unit), RefusedRecord(3, 0, room)))
    stored = [frame.readings for _, frame in frames(tmp_path)]
    assert [list(one.values) for one in stored] == [[1], [2, 3, 6]]
    assert list(stored[1].times) == [START + 1, START, START + 2]


async def test_a_device_writes_by_its_identities_only_while_it_may(tmp_path: Path) -> None:
    """What is known of its series opens no way round a block or a removal."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        name = SOURCE.suggested_name
        assert hub.registry.open_gauges(SOURCE.identity) is None
        await say(hub, SOURCE, [temperature(1)])
        await hub.accept_device(name)
        await say(hub, SOURCE, [temperature(2)])
        await hub.block_device(name)
        assert (await say(hub, SOURCE, [temperature(3)])).rejected == 1
        await hub.accept_device(name)
        await say(hub, SOURCE, [temperature(4)])
        await hub.remove_device(name)
        await say(hub, SOURCE, [temperature(5)])
        assert hub.registry.pending() == 1
    stored = [value for _, frame in frames(tmp_path) for value in frame.readings.values]
    assert stored == [2, 4]
