"""Device sessions through the hub's door: who is present, who is online, what is too late."""

from __future__ import annotations

import asyncio
from array import array
from pathlib import Path

import pytest
from tests.unit.core.support import START, FakeClock, frames, open_hub, say

from motehub.core.admission import Policy
from motehub.core.hub import Hub
from motehub.core.registry import Registry
from motehub.core.sessions import Contest, Session, SessionPolicy, Sessions, check_name_pattern
from motehub.errors import InvalidName
from motehub.frames import Batch, EventOccurred, PresenceChanged, Rejected
from motehub.model import (
    MICROSECONDS,
    Admission,
    Announced,
    Assignment,
    Clock,
    Delivery,
    Device,
    Joined,
    Left,
    Malformed,
    Receipt,
    Record,
    RefusedRecord,
    Samples,
    Source,
)

BROKER = "mqtt_broker"
MAC = "mac:61:EC:ED:3B:25:B1"
OTHER = "mac:61:EC:ED:3B:25:B2"
ALL_TAKEN = Receipt(0, 0)
REFUSE = SessionPolicy(contested=Contest.REFUSE)


def of_mac(mac: str = MAC, peer: str = "192.0.2.1:5000") -> Source:
    return Source(BROKER, mac, "", peer)


def in_session(assigned: Assignment, name: str = "", dialect: str = BROKER) -> Source:
    return Source(dialect, "", name or assigned.name, "192.0.2.1:5001", session=assigned.session)


def light(*values: float) -> Samples:
    times = array("q", [START] * len(values))
    return Samples("illuminance", "%", times, array("d", values), Clock.HUB)


async def announce(hub: Hub, mac: str = MAC) -> Assignment:
    receipt = await say(hub, of_mac(mac), [Announced()])
    assert receipt.assigned is not None
    assert receipt == Receipt(0, 0, assigned=receipt.assigned)
    return receipt.assigned


async def join(hub: Hub, mac: str = MAC) -> Assignment:
    assigned = await announce(hub, mac)
    assert await say(hub, in_session(assigned), [Joined()]) == ALL_TAKEN
    return assigned


def online(hub: Hub, name: str) -> bool | None:
    return hub.registry.by_name(name).online


def events(folder: Path) -> list[tuple[str, str]]:
    return [(e.kind, e.text) for e in entries(folder) if isinstance(e, EventOccurred)]


def rejected(folder: Path) -> list[Rejected]:
    return [e for e in entries(folder) if isinstance(e, Rejected)]


def entries(folder: Path) -> list[object]:
    return [entry for _, frame in frames(folder) for entry in frame.entries]


async def test_a_device_is_named_joins_reports_and_leaves(tmp_path: Path) -> None:
    """Each step is durable when it is answered, and its readings are of the series it names."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assigned = await announce(hub)
        assert assigned == Assignment("capteur01", "1700000000.000000")
        assert online(hub, "capteur01") is False
        assert await say(hub, in_session(assigned), [Joined()]) == ALL_TAKEN
        assert online(hub, "capteur01")
        assert await say(hub, in_session(assigned), [light(40, 41)]) == Receipt(2, 0)
        assert await say(hub, in_session(assigned), [light(42)]) == Receipt(1, 0)
        assert await say(hub, in_session(assigned), [Left()]) == ALL_TAKEN
        assert online(hub, "capteur01") is False
    values = [v for _, frame in frames(tmp_path) for v in frame.readings.values]
    assert values == [40, 41, 42]
    assert [kind for kind, _ in events(tmp_path)] == ["announced", "joined", "left"]
    changes = [e.online for e in entries(tmp_path) if isinstance(e, PresenceChanged)]
    assert changes == [False, True, False]


async def test_the_same_mac_always_gets_the_same_name(tmp_path: Path) -> None:
    """Each announcement begins a session of its own, whose id was never one before."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        first, other, again = await announce(hub), await announce(hub, OTHER), await announce(hub)
    assert (first.name, other.name, again.name) == ("capteur01", "capteur02", "capteur01")
    assert len({first.session, other.session, again.session}) == 3


async def test_a_session_id_never_comes_again(tmp_path: Path) -> None:
    """Also when the clock is set back, the hub was restarted and the device removed."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        used = {(await announce(hub)).session}
        await hub.remove_device("capteur01")
    clock.now -= 100 * MICROSECONDS
    async with open_hub(tmp_path, clock) as (hub, _):
        assigned = await announce(hub)
        used.add(assigned.session)
        used.add((await announce(hub)).session)
    assert len(used) == 3
    assert all(len(one) <= 17 for one in used)
    assert assigned.name == "capteur02"


async def test_a_late_will_changes_nothing(tmp_path: Path) -> None:
    """What comes from an older session is discarded: counted for its device, with a sample."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        old = await join(hub)
        new = await join(hub)
        assert await say(hub, in_session(old), [Left()]) == Receipt(0, 0, discarded=1)
        assert await say(hub, in_session(old), [light(1, 2)]) == Receipt(0, 0, discarded=2)
        assert online(hub, new.name)
        device = hub.registry.by_name(new.name).id
    late, readings = rejected(tmp_path)
    assert (late.device, late.count, late.discarded) == (device, 1, True)
    assert late.payload == f"capteur01;{old.session} left".encode()
    assert (readings.count, readings.discarded) == (2, True)
    assert "session is over" in late.reason


@pytest.mark.parametrize(
    ("name", "session"),
    [
        ("capteur07", "1.2"),
        ("kitchen", "1.2"),
        ("kitchen", "1700000000.000000"),
        ("capteur01", ""),
        ("", ""),
    ],
)
async def test_who_was_given_no_session_is_discarded(
    tmp_path: Path, name: str, session: str
) -> None:
    """An unknown name or a session of another device moves nothing, and names no device."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, Source("x", "y:1", "kitchen", "192.0.2.9"), [light(1)])
        await join(hub)
        stranger = Source(BROKER, "", name, "192.0.2.66", session=session)
        for record in (Joined(), Left(), light(3), Malformed(b"?", "bad")):
            assert await say(hub, stranger, [record]) == Receipt(0, 0, discarded=1)
        assert online(hub, "capteur01")
        assert online(hub, "kitchen") is None
        kitchen = hub.registry.by_name("kitchen").id
    assert all(one.device != kitchen and one.discarded for one in rejected(tmp_path))


async def test_sessions_survive_a_restart(tmp_path: Path) -> None:
    """Nothing but the journal is needed to know who is present and what is too late."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        old = await join(hub)
        assigned = await join(hub)
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assert online(hub, assigned.name)
        assert await say(hub, in_session(assigned), [light(5)]) == Receipt(1, 0)
        assert (await say(hub, in_session(old), [Left()])).discarded == 1
        assert rejected(tmp_path)[-1].device == 1
        assert hub.sessions.online(assigned.name) == Session(
            1, assigned.session, assigned.name, BROKER, old.session
        )
        assert (await announce(hub, OTHER)).name == "capteur02"


async def test_all_of_a_transport_are_offline_when_it_starts(tmp_path: Path) -> None:
    """Its connections are gone; devices of another transport stay, and sessions go on."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        first, second = await join(hub), await join(hub, OTHER)
        elsewhere = in_session(second, dialect="mqtt_client")
        assert await say(hub, elsewhere, [Joined()]) == ALL_TAKEN
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assert hub.sessions.dialects() == {BROKER, "mqtt_client"}
        await hub.interrupt(BROKER)
        assert (online(hub, first.name), online(hub, second.name)) == (False, True)
        assert hub.sessions.dialects() == {"mqtt_client"}
        await hub.interrupt(BROKER)
    assert [kind for kind, _ in events(tmp_path)].count("left") == 1


async def test_who_reports_after_an_interruption_is_online_again(tmp_path: Path) -> None:
    """It never left the other broker at which it had joined; one that did leave stays offline."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        first, second = await join(hub), await join(hub, OTHER)
        for assigned in (first, second):
            await say(hub, in_session(assigned), [light(1)])
        await hub.interrupt(BROKER)
        await say(hub, in_session(second), [Left()])
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        heard: list[str] = []
        hub.sessions.on_join(lambda device, _: heard.append(device.name))
        for assigned in (first, second, first):
            assert await say(hub, in_session(assigned), [light(1)]) == Receipt(1, 0)
        assert (online(hub, first.name), online(hub, second.name)) == (True, False)
        assert heard == [first.name]


async def test_a_transport_starts_while_the_journal_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its devices are offline at once, and so they are in the journal when that goes on."""
    async with open_hub(tmp_path, FakeClock()) as (hub, journal):
        assigned = await join(hub)
        monkeypatch.setattr(journal, "_full", lambda: "it is full")
        await hub.interrupt(BROKER)
        assert online(hub, assigned.name) is False
        leaving = asyncio.create_task(say(hub, in_session(assigned), [Left()]))
        while hub.held_back is None:
            await asyncio.sleep(0)
        assert len([e for e in entries(tmp_path) if isinstance(e, PresenceChanged)]) == 2
        monkeypatch.undo()
        journal.hurry()
        await leaving
    assert entries(tmp_path)[-1] == PresenceChanged(1, False)
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, in_session(assigned), [light(1)])
        assert online(hub, assigned.name) is False


async def test_a_renamed_device_goes_on_under_the_name_it_knows(tmp_path: Path) -> None:
    """The new name holds in the hub at once, and reaches the device when it announces itself."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assigned = await join(hub)
        await hub.rename_device("capteur01", "LeBron")
        assert await say(hub, in_session(assigned), [light(1)]) == Receipt(1, 0)
        assert await say(hub, in_session(assigned, "LeBron"), [light(2)]) == Receipt(1, 0)
        session = hub.sessions.online("LeBron")
        assert session is not None
        assert session.name == "capteur01"
        again = await announce(hub)
        assert again.name == "LeBron"
        assert (await say(hub, in_session(assigned), [Left()])).discarded == 1
    assert rejected(tmp_path)[-1].device == 1


async def test_a_new_device_gets_no_name_that_one_has(tmp_path: Path) -> None:
    """Numbers count on past names that the owner gave, and past devices that are gone."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await announce(hub)
        await hub.rename_device("capteur01", "capteur02")
        assert (await announce(hub, OTHER)).name == "capteur03"
        await hub.remove_device("capteur03")
        assert (await announce(hub, "mac:third")).name == "capteur04"


async def test_a_device_that_waits_for_approval_is_not_answered(tmp_path: Path) -> None:
    """It is registered once, however often it asks; when the owner has accepted it, it begins."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        for _ in range(3):
            assert await say(hub, of_mac(), [Announced()]) == ALL_TAKEN
        assert hub.registry.pending() == 1
        assert len(frames(tmp_path)) == 1
        await hub.accept_device("capteur01", "LeBron")
        assert (await join(hub)).name == "LeBron"


@pytest.mark.parametrize("policy", [Policy.KNOWN, Policy.OPEN])
async def test_who_may_not_write_gets_no_session(tmp_path: Path, policy: Policy) -> None:
    """An unknown device that is refused, or one that is blocked, is rejected with the reason."""
    async with open_hub(tmp_path, FakeClock(), policy) as (hub, _):
        if policy is Policy.OPEN:
            await announce(hub)
            await hub.block_device("capteur01")
        receipt = await say(hub, of_mac(), [Announced()])
    assert (receipt.taken, receipt.rejected, receipt.assigned) == (0, 1, None)
    (entry,) = rejected(tmp_path)
    assert (entry.reason, entry.payload) == (receipt.reason, b"announced")


async def test_a_blocked_device_that_is_online_can_only_leave(tmp_path: Path) -> None:
    """Its readings are rejected, and what it says of itself does not make it seem online."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        assigned = await join(hub)
        await hub.block_device(assigned.name)
        assert hub.sessions.online(assigned.name) is None
        assert (await say(hub, in_session(assigned), [light(1)])).rejected == 1
        assert (await say(hub, in_session(assigned), [Left()])).rejected == 0
        assert (await say(hub, in_session(assigned), [Joined()])).rejected == 1
        assert online(hub, assigned.name) is False


async def test_a_rival_takes_over_and_the_owner_hears_of_it(tmp_path: Path) -> None:
    """The event names both peers; without a live session there is nothing to contest."""
    rival = Announced("192.0.2.1:5001")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, of_mac(), [rival])
        assigned = await join(hub)
        receipt = await say(hub, of_mac(peer="192.0.2.66:1"), [rival])
        assert receipt.assigned is not None
        assert receipt.assigned.session != assigned.session
    (contested,) = (text for kind, text in events(tmp_path) if kind == "contested")
    assert "192.0.2.66:1" in contested
    assert "192.0.2.1:5001" in contested


async def test_a_rival_is_refused_where_the_owner_wants_that(tmp_path: Path) -> None:
    """The session goes on, and the refusal is told, counted and shown with the identity."""
    async with open_hub(tmp_path, FakeClock(), session_policy=REFUSE) as (hub, _):
        assigned = await join(hub)
        receipt = await say(hub, of_mac(peer="192.0.2.66:1"), [Announced("192.0.2.1:5001")])
        assert receipt.reason is not None
        assert receipt == Receipt(
            0, 1, receipt.reason, (RefusedRecord(0, 0, receipt.reason),), None
        )
        assert await say(hub, in_session(assigned), [light(1)]) == Receipt(1, 0)
        await say(hub, in_session(assigned), [Left()])
        assert (await say(hub, of_mac(), [Announced("192.0.2.1:5001")])).assigned
    (entry,) = rejected(tmp_path)
    assert (entry.payload, entry.discarded) == (MAC.encode(), False)


async def test_listeners_hear_who_joined_when_it_is_durable(tmp_path: Path) -> None:
    """Not of one that has left or begun anew in the same moment."""
    heard: list[tuple[str, str]] = []
    async with open_hub(tmp_path, FakeClock()) as (hub, _):

        def note(device: Device, session: Session) -> None:
            durable = [e for e in entries(tmp_path) if isinstance(e, PresenceChanged)]
            assert durable[-1] == PresenceChanged(device.id, True)
            heard.append((device.name, session.id))

        hub.sessions.on_join(note)
        assigned = await join(hub)
        await say(hub, in_session(assigned), [Joined(), Left()])
        assert heard == [(assigned.name, assigned.session)]
        following = Assignment(assigned.name, "1700000000.000001")
        again = [
            Delivery(in_session(assigned), [Joined()]),
            Delivery(of_mac(), [Announced()]),
            Delivery(in_session(following), [Joined()]),
        ]
        await hub.accept(again)
        assert heard[1:] == [(following.name, following.session)]


def test_after_a_lost_journal_names_go_on() -> None:
    """The history still has the devices; their sessions are over, and they are made offline."""
    known = [
        Device(n, f"d{n}", BROKER, (f"mac:{n}",), Admission.ACCEPTED, START, online=True)
        for n in (1, 2)
    ]
    registry = Registry([*known, Device(3, "x", "y", ("y:1",), Admission.ACCEPTED, START)])
    sessions = Sessions.from_state({}, registry, SessionPolicy())
    assert sessions.next_name() == ("capteur03", 3)
    assert sessions.of("d1") is None
    batch = Batch()
    sessions.interrupt(batch, BROKER, START)
    assert [one.online for one in registry.devices()] == [False, False, None]


async def test_presence_without_a_session_is_of_the_identity(tmp_path: Path) -> None:
    """A device that is known by other means may say as well that it comes and goes."""
    source = Source(BROKER, "mqtt:plug", "plug", "192.0.2.1:1")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        records: list[Record] = [light(1), Joined(), light(2)]
        assert await say(hub, source, records) == Receipt(2, 0)
        assert online(hub, "plug")
        await hub.interrupt("mqtt_client")
        assert online(hub, "plug")
        await hub.block_device("plug")
        assert await say(hub, source, [Left()]) == Receipt(0, 0)
        assert online(hub, "plug") is False


@pytest.mark.parametrize("pattern", ["capteur{number:02}", "Gerät {number}", "{number:05}x"])
def test_a_name_pattern_holds_a_number_once(pattern: str) -> None:
    """It is returned as it is."""
    assert check_name_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "capteur",
        "{number}{number}",
        "{n}",
        "{number.real}",
        "{number:30}",
        "a{{{number}}}",
        "a;{number}",
        " {number}",
        "a-name-that-is-too-long{number}",
    ],
)
def test_a_pattern_that_makes_no_names_is_refused(pattern: str) -> None:
    """Whatever str.format would make of it."""
    with pytest.raises(InvalidName):
        check_name_pattern(pattern)
