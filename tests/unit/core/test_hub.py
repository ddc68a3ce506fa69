"""The door of the hub: admission, stamping, quarantine, rejection."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.core.support import SOURCE, START, FakeClock, frames, open_hub, say, temperature

from motehub.core.admission import Policy, RegistryLimits
from motehub.errors import InvalidName, UnknownDevice
from motehub.frames import (
    DeviceChanged,
    DeviceRemoved,
    EventOccurred,
    HeldDropped,
    HeldReleased,
    Rejected,
    SeriesAdded,
    TextReadings,
)
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import (
    MICROSECONDS,
    Admission,
    Clock,
    Delivery,
    Diagnostic,
    Malformed,
    Receipt,
    Record,
    RefusedRecord,
    Samples,
    Source,
    Texts,
)


def entries(folder: Path) -> list[object]:
    return [entry for _, frame in frames(folder) for entry in frame.entries]


async def test_a_reading_is_durable_when_accept_returns(tmp_path: Path) -> None:
    """After accept, another reader of the journal file finds the reading and its device."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(20.5, 21.0)])
        ((_, frame),) = frames(tmp_path)
    assert list(frame.readings.values) == [20.5, 21.0]
    assert list(frame.readings.times) == [START, START + MICROSECONDS]
    kinds = [type(entry) for entry in frame.entries]
    assert kinds == [DeviceChanged, SeriesAdded]


async def test_the_registry_survives_a_restart(tmp_path: Path) -> None:
    """Devices, series and names are what they were, from the journal alone."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(20)])
        await hub.rename_device("dht-192.0.2.1", "greenhouse")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assert hub.registry.by_name("greenhouse").identities == ("address:192.0.2.1",)
        await say(hub, SOURCE, [temperature(21, time=START + 5)])
    series = {series for _, frame in frames(tmp_path) for series in frame.readings.series}
    assert len(series) == 1


async def test_an_unknown_device_waits_for_approval(tmp_path: Path) -> None:
    """Under "approve" readings are held, and released in the frame that accepts the device."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, SOURCE, [temperature(20, 21)])
        assert hub.registry.by_name("dht-192.0.2.1").held == 2
        device = await hub.accept_device("dht-192.0.2.1", "greenhouse")
        assert device.admission is Admission.ACCEPTED
        await say(hub, SOURCE, [temperature(22)])
    held, accepted, stored = (frame for _, frame in frames(tmp_path))
    assert list(held.held.values) == [20, 21]
    assert not held.readings
    assert HeldReleased(device.id) in accepted.entries
    assert list(stored.readings.values) == [22]


async def test_the_quarantine_is_bounded(tmp_path: Path) -> None:
    """Readings beyond the bound are rejected with the reason, also after a restart."""
    limits = RegistryLimits(held=3)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE, limits) as (hub, _):
        await say(hub, SOURCE, [temperature(1, 2)])
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE, limits) as (hub, _):
        await say(hub, SOURCE, [temperature(3, 4, 5)])
        await say(hub, SOURCE, [temperature(6)])
    assert [list(frame.held.values) for _, frame in frames(tmp_path)] == [[1, 2], [3], []]
    rejected = [entry for entry in entries(tmp_path) if isinstance(entry, Rejected)]
    assert [one.count for one in rejected] == [2, 1]
    assert all("quarantine" in one.reason for one in rejected)


async def test_too_many_pending_devices_are_refused(tmp_path: Path) -> None:
    """A network full of strangers can't grow the registry without end."""
    limits = RegistryLimits(pending=1)
    other = Source("dht_stream", "address:192.0.2.2", "dht-192.0.2.2", "192.0.2.2")
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE, limits) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await say(hub, other, [temperature(1, 2), Malformed(b"x", "bad", 5)])
        assert len(hub.registry.devices()) == 1
    (rejected,) = (entry for entry in entries(tmp_path) if isinstance(entry, Rejected))
    assert rejected.device is None
    assert rejected.count == 7
    assert "wait for approval" in rejected.reason


async def test_only_known_devices(tmp_path: Path) -> None:
    """Under "known" a stranger's readings are rejected and counted; a vouched device passes."""
    vouched = Source("dht_stream", "certificate:ab", "greenhouse", "192.0.2.3", vouched=True)
    async with open_hub(tmp_path, FakeClock(), Policy.KNOWN) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await say(hub, vouched, [temperature(2)])
        assert [device.name for device in hub.registry.devices()] == ["greenhouse"]
    refused, stored = (frame for _, frame in frames(tmp_path))
    assert not refused.readings
    assert list(stored.readings.values) == [2]


async def test_a_blocked_device_is_rejected_and_can_be_accepted_again(tmp_path: Path) -> None:
    """Blocking drops what was held and refuses what comes; accepting ends that."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        device = await hub.block_device("dht-192.0.2.1")
        await say(hub, SOURCE, [temperature(2, 3)])
        await hub.accept_device("dht-192.0.2.1")
        await say(hub, SOURCE, [temperature(4)])
    found = entries(tmp_path)
    assert HeldDropped(device.id) in found
    (rejected,) = (entry for entry in found if isinstance(entry, Rejected))
    assert (rejected.device, rejected.count) == (device.id, 2)
    assert [v for _, frame in frames(tmp_path) for v in frame.readings.values] == [4]


async def test_an_identity_that_the_owner_vouches_for_joins_the_device_of_its_name(
    tmp_path: Path,
) -> None:
    """A certificate for the name of an accepted device writes to that device."""
    vouched = Source("dht_stream", "certificate:ab", "dht-192.0.2.1", "192.0.2.9", vouched=True)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await hub.accept_device(SOURCE.suggested_name)
        await say(hub, vouched, [temperature(2, time=START + 9)])
        (device,) = hub.registry.devices()
        assert device.identities == ("address:192.0.2.1", "certificate:ab")
        assert device.admission is Admission.ACCEPTED


async def test_a_configured_address_accepts_a_device_that_waits(tmp_path: Path) -> None:
    """When the owner names an address in the configuration, the device waits no longer."""
    vouched = Source("dht_stream", SOURCE.identity, "greenhouse", "192.0.2.1", vouched=True)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await say(hub, vouched, [temperature(2, time=START + 9)])
        (device,) = hub.registry.devices()
    assert device.admission is Admission.ACCEPTED
    assert device.name == "greenhouse"


async def test_a_removed_device_is_new_when_it_comes_back(tmp_path: Path) -> None:
    """Removal forgets identities and series; ids are never used again."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        old = await hub.remove_device("dht-192.0.2.1")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        (new,) = hub.registry.devices()
    assert DeviceRemoved(old.id) in entries(tmp_path)
    assert new.id != old.id
    assert len({series for _, f in frames(tmp_path) for series in f.readings.series}) == 2


async def test_readings_that_the_hub_stamps_never_share_a_time(tmp_path: Path) -> None:
    """Equal and slightly earlier stamps are moved on by a microsecond."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        same = array("q", [START, START, START])
        samples = Samples("temperature", "°C", same, array("d", [1, 2, 3]), Clock.HUB)
        await say(hub, SOURCE, [samples])
        await say(hub, SOURCE, [temperature(4, time=START - 5, clock=Clock.HUB)])
    times = [time for _, frame in frames(tmp_path) for time in frame.readings.times]
    assert times == [START, START + 1, START + 2, START + 3]


async def test_a_clock_that_is_set_back_does_not_stop_the_stamps(tmp_path: Path) -> None:
    """After a jump back of an hour, stamps follow the clock again instead of standing still."""
    earlier = START - 3600 * MICROSECONDS
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1, clock=Clock.HUB)])
        await say(hub, SOURCE, [temperature(2, 3, time=earlier, clock=Clock.HUB)])
    times = [time for _, frame in frames(tmp_path) for time in frame.readings.times]
    assert times == [START, earlier, earlier + MICROSECONDS]


async def test_times_of_the_device_are_kept_as_they_are(tmp_path: Path) -> None:
    """A resend keeps its times, so that the history can recognise it."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await say(hub, SOURCE, [temperature(1)])
    assert [t for _, frame in frames(tmp_path) for t in frame.readings.times] == [START, START]


async def test_once_only_diagnostics_are_recorded_once_for_ever(tmp_path: Path) -> None:
    """A note to be made once is not made again by a later connection or a restarted hub."""
    note = Diagnostic("temperature_mismatch", "…", once=True)
    error = Diagnostic("device_error", "sensor")
    for _ in range(2):
        async with open_hub(tmp_path, FakeClock()) as (hub, _):
            await say(hub, SOURCE, [note, error])
            await say(hub, SOURCE, [note, error])
    kinds = [entry.kind for entry in entries(tmp_path) if isinstance(entry, EventOccurred)]
    assert kinds.count("temperature_mismatch") == 1
    assert kinds.count("device_error") == 4


async def test_another_unit_for_a_known_metric_is_rejected(tmp_path: Path) -> None:
    """A series keeps the unit it began with."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        fahrenheit = Samples("temperature", "°F", array("q", [START]), array("d", [68]))
        await say(hub, SOURCE, [fahrenheit])
    (rejected,) = (entry for entry in entries(tmp_path) if isinstance(entry, Rejected))
    assert rejected.reason == "temperature is kept in °C, not in °F"


async def test_names_are_unique_and_follow_the_rules(tmp_path: Path) -> None:
    """A taken or impossible name is refused and changes nothing."""
    other = Source("dht_stream", "address:192.0.2.2", "dht-192.0.2.1", "192.0.2.2")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await say(hub, other, [temperature(1)])
        assert [d.name for d in hub.registry.devices()] == ["dht-192.0.2.1", "dht-192.0.2.1-2"]
        with pytest.raises(InvalidName, match="already"):
            await hub.rename_device("dht-192.0.2.1", "dht-192.0.2.1-2")
        with pytest.raises(InvalidName, match="longer"):
            await hub.rename_device("dht-192.0.2.1", "ä" * 15)
        with pytest.raises(InvalidName, match="';'"):
            await hub.accept_device("dht-192.0.2.1", "a;b")
        with pytest.raises(UnknownDevice, match=r"dht-192\.0\.2\.1"):
            await hub.rename_device("nobody", "x")
        assert hub.registry.by_name("dht-192.0.2.1").id == 1


async def test_nothing_to_say_costs_no_commit(tmp_path: Path) -> None:
    """An accept without records of a known device writes nothing."""
    async with open_hub(tmp_path, FakeClock()) as (hub, journal):
        await say(hub, SOURCE, [temperature(1)])
        await say(hub, SOURCE, [])
        assert journal.health.commits == 1


async def test_texts_are_taken_like_numbers(tmp_path: Path) -> None:
    """A text metric is a series of its own; while the device waits, its texts are held."""
    texts = Texts("state", array("q", [START, START + 1]), ["on", "off"])
    limits = RegistryLimits(held=3)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE, limits) as (hub, _):
        await say(hub, SOURCE, [temperature(1), texts])
        await say(hub, SOURCE, [texts])
        await hub.accept_device("dht-192.0.2.1")
        await say(hub, SOURCE, [texts])
    found = [entry for entry in entries(tmp_path) if isinstance(entry, TextReadings)]
    assert [(one.values, one.held) for one in found] == [
        (["on", "off"], True),
        (["on", "off"], False),
    ]
    (rejected,) = (entry for entry in entries(tmp_path) if isinstance(entry, Rejected))
    assert (rejected.count, rejected.payload) == (2, b"state on")


async def test_receipts_say_what_became_of_each_delivery(tmp_path: Path) -> None:
    """Readings taken and rejected are told for each source of a batch, which is one commit."""
    texts = Texts("state", array("q", [START]), ["on"])
    bad = Malformed(b"x", "not a reading", 3)
    stranger = Source("x", "address:192.0.2.7", "x", "192.0.2.7")
    vouched = Source("x", "certificate:ab", "known", "192.0.2.8", vouched=True)
    async with open_hub(tmp_path, FakeClock(), Policy.KNOWN) as (hub, journal):
        receipts = await hub.accept(
            [
                Delivery(vouched, [temperature(1, 2), texts, bad]),
                Delivery(stranger, [temperature(1), texts]),
                Delivery(vouched, []),
            ]
        )
        assert journal.health.commits == 1
    assert receipts[0] == Receipt(3, 3, "not a reading")
    assert (receipts[1].taken, receipts[1].rejected) == (0, 2)
    assert "not known" in str(receipts[1].reason)
    assert receipts[2] == Receipt(0, 0)


async def test_devices_and_series_are_bounded(tmp_path: Path) -> None:
    """A program gone wild can't fill the registry: what is beyond the bounds is rejected."""
    other = Source("dht_stream", "address:192.0.2.2", "dht-192.0.2.2", "192.0.2.2")
    async with open_hub(tmp_path, FakeClock(), limits=RegistryLimits(devices=1, series=2)) as (
        hub,
        _,
    ):
        known: list[Record] = [temperature(1), Texts("temperature", array("q", [START]), ["warm"])]
        assert (await say(hub, SOURCE, known)).taken == 2
        more = Samples("pressure", "Pa", array("q", [START]), array("d", [1]))
        reason = "the device has 2 metrics already"
        assert await say(hub, SOURCE, [more]) == Receipt(
            0, 1, reason, (RefusedRecord(0, 0, reason),)
        )
        refused = await say(hub, other, [temperature(1)])
        reason = "there are 1 devices already"
        assert refused == Receipt(0, 1, reason, (RefusedRecord(0, 0, reason),))


async def test_what_a_delivery_notes_is_durable_with_it(tmp_path: Path) -> None:
    """State that depends on the receipts goes into the same commit as the readings."""
    async with open_hub(tmp_path, FakeClock()) as (hub, journal):

        def note(receipts: Sequence[Receipt]) -> dict[str, bytes | None]:
            return {"seen/1": str(receipts[0].taken).encode()}

        await hub.accept([Delivery(SOURCE, [temperature(1, 2)])], note)
        assert journal.health.commits == 1
        assert SqliteLogReader(tmp_path).state()["seen/1"] == b"2"
        await hub.accept([], lambda _: {"seen/2": b"", "seen/1": None})
    state = SqliteLogReader(tmp_path).state()
    assert {key for key in state if key.startswith("seen/")} == {"seen/2"}


async def test_a_receipt_names_the_readings_that_were_refused(tmp_path: Path) -> None:
    """Of a record for which quarantine has no room, the last readings are refused."""
    limits = RegistryLimits(held=3)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE, limits) as (hub, _):
        bad = Malformed(b"?", "not a reading")
        receipt = await say(hub, SOURCE, [bad, temperature(1, 2), temperature(3, 4, 5)])
    assert (receipt.taken, receipt.rejected) == (3, 3)
    reason = "the quarantine of this device is full; accept or block it"
    assert receipt.refused == (RefusedRecord(2, 1, reason),)


async def test_what_is_nobodys_is_counted_but_makes_no_device(tmp_path: Path) -> None:
    """A source without identity becomes no device; its payloads are in the list of rejected."""
    nobody = Source("web", "", "", "192.0.2.9")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        receipt = await say(hub, nobody, [Malformed(b"?", "not JSON"), temperature(1, 2)])
        assert hub.registry.devices() == []
    assert (receipt.taken, receipt.rejected, receipt.reason) == (0, 3, "not JSON")
    rejected = [one for one in entries(tmp_path) if isinstance(one, Rejected)]
    assert [(one.device, one.count) for one in rejected] == [(None, 1), (None, 2)]
