"""Names that sources suggest never stand in the way of what they say."""

from pathlib import Path

import pytest
from tests.unit.core.support import SOURCE, START, FakeClock, frames, open_hub, say, temperature

from motehub.core.admission import Policy, RegistryLimits
from motehub.errors import InvalidName
from motehub.frames import DeviceChanged, EventOccurred, HeldReleased
from motehub.model import Admission, Source

ODD = "a\u202eb;"


@pytest.mark.parametrize("name", [ODD, "Ku\u0308che"])
async def test_a_vouched_source_with_an_odd_name_is_accepted(tmp_path: Path, name: str) -> None:
    """A certificate that the hub did not issue may hold any name; readings come first."""
    clock = FakeClock()
    vouched = Source("x", SOURCE.identity, name, "192.0.2.1", vouched=True)
    async with open_hub(tmp_path, clock, Policy.APPROVE) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await hub.rename_device(SOURCE.suggested_name, "K\u00fcche")
        receipt = await say(hub, vouched, [temperature(2, time=START + 9)])
        assert receipt.taken == 1
        assert hub.registry.by_name("K\u00fcche").admission is Admission.ACCEPTED


async def test_the_owner_accepts_a_device_with_an_odd_name(tmp_path: Path) -> None:
    """The name that a source suggested can be kept; one that the owner gives is checked."""
    odd = Source("x", "certificate:ab", ODD, "192.0.2.1")
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, odd, [temperature(1)])
        assert (await hub.accept_device(ODD, None)).name == ODD
        with pytest.raises(InvalidName):
            await hub.rename_device(ODD, ODD + "c")
        assert (await hub.rename_device(ODD, "Ku\u0308che")).name == "K\u00fcche"


KITCHEN = Source("x", "certificate:ab", "kitchen", "192.0.2.9", vouched=True)
STRANGER = Source("x", "name:kitchen", "kitchen", "192.0.2.66")


async def test_a_vouched_source_takes_its_name_from_a_stranger_who_waits(tmp_path: Path) -> None:
    """Calling yourself like a device that the owner knows gets you neither in nor its history."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, STRANGER, [temperature(1)])
        assert (await say(hub, KITCHEN, [temperature(2)])).taken == 1
        assert hub.registry.by_name("kitchen").identities == (KITCHEN.identity,)
        assert hub.registry.by_name("kitchen").admission is Admission.ACCEPTED
        await say(hub, STRANGER, [temperature(3)])
        stranger = hub.registry.by_name("kitchen-2")
        assert (stranger.admission, stranger.held) == (Admission.PENDING, 2)
        assert stranger.identities == (STRANGER.identity,)
    stored = [frame for _, frame in frames(tmp_path)]
    assert [value for frame in stored for value in frame.readings.values] == [2]
    assert not any(isinstance(e, HeldReleased) for frame in stored for e in frame.entries)


async def test_another_identity_of_a_renamed_device_finds_it(tmp_path: Path) -> None:
    """A source that names an identity that is known is that device, whatever its name is now."""
    first = Source("x", "key:kitchen", "kitchen", "192.0.2.9", vouched=True)
    second = Source("x", "flat:kitchen", "kitchen", "192.0.2.9", vouched=True, alias="key:kitchen")
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, first, [temperature(1)])
        await hub.rename_device("kitchen", "hall")
        assert (await say(hub, second, [temperature(2, time=START + 9)])).taken == 1
        (device,) = hub.registry.devices()
        assert (device.name, device.identities) == ("hall", ("key:kitchen", "flat:kitchen"))


async def test_a_stranger_gives_way_to_a_device_that_is_vouched_for_later(tmp_path: Path) -> None:
    """A device that waits under one name gets the name under which the owner vouches for it."""
    waiting = Source("x", KITCHEN.identity, "address-9", "192.0.2.9")
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, waiting, [temperature(1)])
        await say(hub, STRANGER, [temperature(2)])
        await say(hub, KITCHEN, [temperature(3)])
        assert hub.registry.by_name("kitchen").identities == (KITCHEN.identity,)
        assert hub.registry.by_name("kitchen-2").admission is Admission.PENDING


async def test_a_device_that_waits_keeps_its_own_name_when_it_is_vouched_for(
    tmp_path: Path,
) -> None:
    """It is no stranger to itself, and what it has said so far is stored."""
    waiting = Source("x", KITCHEN.identity, "kitchen", "192.0.2.9")
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, waiting, [temperature(1)])
        await say(hub, KITCHEN, [temperature(2)])
        (device,) = hub.registry.devices()
        assert (device.name, device.admission) == ("kitchen", Admission.ACCEPTED)
    events = [e for _, frame in frames(tmp_path) for e in frame.entries]
    assert [e.kind for e in events if isinstance(e, EventOccurred)] == ["accepted"]


async def test_a_stranger_keeps_his_name_when_there_is_no_room_for_another_device(
    tmp_path: Path,
) -> None:
    """A vouched source that is refused changes nothing."""
    limits = RegistryLimits(devices=1)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE, limits) as (hub, _):
        await say(hub, STRANGER, [temperature(1)])
        assert (await say(hub, KITCHEN, [temperature(2)])).rejected == 1
        assert [device.name for device in hub.registry.devices()] == ["kitchen"]


NAMELESS = Source("pimonitor", "pimonitor.anonymous:pi", "pi", "192.0.2.66")
WITH_KEY = Source("pimonitor", "pimonitor:pi", "pi", "192.0.2.9", vouched=True)


@pytest.mark.parametrize("policy", [Policy.APPROVE, Policy.OPEN])
async def test_a_device_that_has_got_a_key_is_not_written_to_without_it(
    tmp_path: Path, policy: Policy
) -> None:
    """Who posts without a key from then on is another device; so it stays after a restart."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock, policy) as (hub, _):
        await say(hub, NAMELESS, [temperature(1)])
        await hub.accept_device("pi")
        await say(hub, WITH_KEY, [temperature(2)])
        (device,) = hub.registry.devices()
        assert device.identities == (WITH_KEY.identity,)
    async with open_hub(tmp_path, clock, policy) as (hub, _):
        assert hub.registry.by_identity(NAMELESS.identity) is None
        await say(hub, NAMELESS, [temperature(3)])
        await say(hub, WITH_KEY, [temperature(4)])
        first, other = hub.registry.devices()
        assert (first.id, first.identities) == (device.id, (WITH_KEY.identity,))
        assert (other.name, other.identities) == ("pi-2", (NAMELESS.identity,))
        waits = Admission.PENDING if policy is Policy.APPROVE else Admission.ACCEPTED
        assert other.admission is waits
    stored = [frame for _, frame in frames(tmp_path)]
    told = [e.device for f in stored for e in f.entries if isinstance(e, DeviceChanged)]
    assert [one.identities for one in told if one.id == device.id][-1] == (WITH_KEY.identity,)
    kinds = [e.kind for f in stored for e in f.entries if isinstance(e, EventOccurred)]
    assert kinds == ["accepted", "key"]


async def test_other_identities_of_a_device_stay_when_a_key_joins(tmp_path: Path) -> None:
    """A certificate or another dialect's name is no post without a key."""
    board = Source("x", "address:192.0.2.9", "pi", "192.0.2.9")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, board, [temperature(1)])
        await say(hub, WITH_KEY, [temperature(2, time=START + 9)])
        (device,) = hub.registry.devices()
    assert device.identities == (board.identity, WITH_KEY.identity)
