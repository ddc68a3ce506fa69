"""Commands on a real journal: when they leave, what confirms them, what a restart changes."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import pytest
from tests.unit.core.support import START, FakeClock, frames, open_hub, say

from motehub.command import Command, CommandState
from motehub.core.admission import Policy
from motehub.core.command_book import KEPT_PER_DEVICE, MOST_UNDER_WAY, MOST_WAITING
from motehub.core.hub import Hub
from motehub.errors import (
    DeviceUnready,
    InvalidCommand,
    StorageError,
    UnknownCommand,
    UnknownDevice,
)
from motehub.frames import EventOccurred
from motehub.journals.sqlite import SqliteLog, SqliteLogReader
from motehub.model import (
    MICROSECONDS,
    Announced,
    Assignment,
    Clock,
    Device,
    Joined,
    Left,
    Record,
    Samples,
    Source,
    Texts,
)

QUEUED, SENT, CONFIRMED, FAILED, EXPIRED = CommandState
SECOND: Final = MICROSECONDS
LAMP: Final = Source("http", "http:lamp", "lamp", "192.0.2.1", vouched=True)
OTHER: Final = Source("http", "http:other", "other", "192.0.2.2", vouched=True)
MAC: Final = Source("mqtt_broker", "mac:61:EC:ED:3B:25:B1", "", "192.0.2.3")
NAME: Final = "capteur01"


class Post:
    """A carrier that reaches every device while ``open``, and notes what it got."""

    def __init__(self, hub: Hub, dialect: str = "mqtt_broker", *, reaches: bool = True) -> None:
        self.hub = hub
        self.reaches = reaches
        self.got: list[tuple[Command, str, Assignment | None]] = []
        self.asked = 0
        self.on_carry: Callable[[Command], None] = lambda _: None
        hub.commands.attach(dialect, self)

    def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
        self.asked += 1
        if not self.reaches:
            return False
        self.got.append((command, device.name, session))
        self.on_carry(command)
        return True

    @property
    def payloads(self) -> list[str | None]:
        return [command.order.payload for command, _, _ in self.got]

    def open(self) -> None:
        self.reaches = True
        self.hub.commands.reachable()


class Stand:
    """A hub on a folder with a device called lamp; ``post`` carries its commands."""

    def __init__(self, folder: Path, hub: Hub, clock: FakeClock, *, reaches: bool) -> None:
        self.folder = folder
        self.hub = hub
        self.clock = clock
        self.post = Post(hub, reaches=reaches)

    def state(self, command: Command) -> CommandState:
        return self.hub.commands.book.find(command.id).state

    def reason(self, command: Command) -> str:
        return self.hub.commands.book.find(command.id).reason

    def wait(self, seconds: float) -> None:
        self.clock.now += round(seconds * SECOND)
        self.hub.commands.expire()

    async def led(self, value: float = 1) -> Command:
        return await self.hub.command("lamp", "led", value)

    async def send(self, payload: str = "red", seconds: float = 60) -> Command:
        return await self.hub.command("lamp", payload=payload, seconds=seconds)

    async def report(self, *records: Record, source: Source = LAMP) -> None:
        await say(self.hub, source, list(records))

    async def settle(self) -> None:
        """Have everything durable that was noted before."""
        await say(self.hub, OTHER, [led(0, self.clock.now, "settled")])


@asynccontextmanager
async def standing(
    folder: Path, clock: FakeClock | None = None, *, reaches: bool = True
) -> AsyncIterator[Stand]:
    clock = clock or FakeClock()
    async with open_hub(folder, clock) as (hub, _):
        await say(hub, LAMP, [led(0, START - SECOND)])
        yield Stand(folder, hub, clock, reaches=reaches)


def led(
    value: float, time: int = START, metric: str = "led", clock: Clock = Clock.DEVICE
) -> Samples:
    return Samples(metric, "", array("q", [time]), array("d", [value]), clock)


def kept(folder: Path) -> dict[str, Command]:
    """Return the commands that the journal keeps."""
    reader = SqliteLogReader(folder)
    state = reader.state()
    reader.close()
    found = [
        msgspec.msgpack.decode(value, type=Command)
        for key, value in state.items()
        if key.startswith("command/")
    ]
    return {one.id: one for one in found}


def events(folder: Path) -> list[str]:
    return [
        entry.text
        for _, frame in frames(folder)
        for entry in frame.entries
        if isinstance(entry, EventOccurred) and entry.kind == "command"
    ]


async def test_a_command_is_durable_before_it_leaves(tmp_path: Path) -> None:
    """When a carrier gets a command, another reader of the journal finds it there."""
    seen: list[CommandState] = []
    async with standing(tmp_path) as stand:
        stand.post.on_carry = lambda one: seen.append(kept(tmp_path)[one.id].state)
        await stand.send()
    assert seen == [QUEUED]


async def test_a_payload_is_over_when_it_has_left(tmp_path: Path) -> None:
    """A command that no reading can confirm ends as sent; each step is an event."""
    async with standing(tmp_path) as stand:
        command = await stand.send()
        assert command.state is QUEUED
        stand.hub.commands.sent(command.id)
        assert stand.state(command) is SENT
        stand.wait(61)
        await stand.settle()
    assert kept(tmp_path)[command.id].state is SENT
    assert events(tmp_path) == ["payload 'red': queued", "payload 'red': sent"]


async def test_a_reading_of_the_value_confirms(tmp_path: Path) -> None:
    """A command is confirmed by the device's reading, durably in the same commit."""
    async with standing(tmp_path) as stand:
        command = await stand.led(1)
        for _ in range(2):
            stand.hub.commands.sent(command.id)
        await stand.report(led(0))
        assert stand.state(command) is SENT
        await stand.report(led(1))
        assert kept(tmp_path)[command.id].state is CONFIRMED
        assert stand.state(command) is CONFIRMED
    assert events(tmp_path) == [f"led = 1: {one}" for one in ("queued", "sent", "confirmed")]


async def test_only_that_metric_of_that_device_confirms(tmp_path: Path) -> None:
    """The same value of another device or metric says nothing."""
    async with standing(tmp_path) as stand:
        command = await stand.led(1)
        stand.hub.commands.sent(command.id)
        await stand.report(led(1), source=OTHER)
        await stand.report(led(1, metric="button"))
        assert stand.state(command) is SENT


async def test_what_was_measured_before_does_not_confirm(tmp_path: Path) -> None:
    """A device that delivers old readings with their times has not carried anything out yet."""
    async with standing(tmp_path) as stand:
        command = await stand.led(1)
        stand.hub.commands.sent(command.id)
        await stand.report(led(1, START - 2 * SECOND))
        assert stand.state(command) is SENT
        # Whole seconds, as many devices stamp them.
        await stand.report(led(1, START - SECOND // 2))
        assert stand.state(command) is CONFIRMED


async def test_one_of_many_readings_confirms(tmp_path: Path) -> None:
    """A value that was reached and left again within a batch was reached."""
    async with standing(tmp_path) as stand:
        command = await stand.led(2)
        stand.hub.commands.sent(command.id)
        times = array("q", [START, START + 1, START + 2])
        many = Samples("led", "", times, array("d", [1, 2, 3]))
        await stand.report(led(7, metric="other"), many, led(7, metric="third"))
        assert stand.state(command) is CONFIRMED


async def test_a_text_confirms_a_text(tmp_path: Path) -> None:
    """A text is confirmed by a text series, also by its first reading ever."""
    async with standing(tmp_path) as stand:
        command = await stand.hub.command("lamp", "colour", "red")
        stand.hub.commands.sent(command.id)
        await stand.report(Texts("colour", array("q", [START]), ["blue"]))
        assert stand.state(command) is SENT
        await stand.report(Texts("colour", array("q", [START + 1]), ["red"]))
        assert stand.state(command) is CONFIRMED


async def test_a_metric_that_was_never_seen_confirms(tmp_path: Path) -> None:
    """The first reading that a device ever sends of what it was told confirms that."""
    async with standing(tmp_path) as stand:
        command = await stand.hub.command("lamp", "relay", True)
        stand.hub.commands.sent(command.id)
        await stand.report(led(1))
        assert stand.state(command) is SENT
        await stand.report(led(1, metric="relay"))
        assert stand.state(command) is CONFIRMED


async def test_a_device_may_be_quicker_than_its_transport(tmp_path: Path) -> None:
    """A confirmation that comes before the carrier's word counts, and the late word does not."""
    async with standing(tmp_path) as stand:
        command = await stand.led(1)
        await stand.report(led(1))
        assert stand.state(command) is CONFIRMED
        stand.hub.commands.sent(command.id)
        stand.hub.commands.failed(command.id, "too late")
        assert stand.state(command) is CONFIRMED
    assert events(tmp_path) == [f"led = 1: {one}" for one in ("queued", "sent", "confirmed")]


async def test_what_has_not_left_is_not_confirmed(tmp_path: Path) -> None:
    """While no carrier has the command a reading of its value changes nothing."""
    async with standing(tmp_path, reaches=False) as stand:
        command = await stand.led(1)
        await stand.report(led(1))
        assert stand.state(command) is QUEUED


async def test_nothing_is_looked_at_while_nothing_is_awaited(tmp_path: Path) -> None:
    """Readings are compared only between a command's leaving and its end."""
    async with standing(tmp_path, reaches=False) as stand:
        confirmations = stand.hub.commands.confirmations
        await stand.send()
        command = await stand.led(1)
        assert not confirmations.are_awaited
        stand.post.open()
        assert confirmations.are_awaited
        await stand.report(led(1))
        assert stand.state(command) is CONFIRMED
        assert not confirmations.are_awaited


async def test_a_command_waits_until_its_device_can_be_reached(tmp_path: Path) -> None:
    """What no carrier can take now is queued, and leaves in the order in which it was given."""
    async with standing(tmp_path, reaches=False) as stand:
        for payload in "abc":
            await stand.send(payload)
        # The first can't go, so the others are not even tried.
        assert (stand.post.got, stand.post.asked) == ([], 3)
        stand.post.reaches = True
        stand.hub.commands.reachable("other")
        stand.hub.commands.reachable("nobody")
        assert stand.post.got == []
        stand.hub.commands.reachable("lamp")
        assert stand.post.payloads == ["a", "b", "c"]
        stand.hub.commands.reachable("lamp")
        assert len(stand.post.got) == 3


async def test_commands_given_at_once_leave_in_order(tmp_path: Path) -> None:
    """Twenty commands that wait for the same commit leave in the order of the calls."""
    async with standing(tmp_path) as stand:
        sent = await asyncio.gather(*(stand.send(str(number)) for number in range(20)))
        assert stand.post.payloads == [str(number) for number in range(20)]
        ids = [command.id for command in sent]
        assert ids == sorted(set(ids))


async def test_a_carrier_that_comes_later_gets_what_waits(tmp_path: Path) -> None:
    """The first carrier that can take a command takes it, and no other is asked."""
    async with standing(tmp_path, reaches=False) as stand:
        await stand.send()
        second, third = Post(stand.hub, "units"), Post(stand.hub, "other")
        assert len(second.got) == 1
        assert third.asked == 0


async def test_one_who_goes_away_does_not_take_the_command_along(tmp_path: Path) -> None:
    """A request that is cancelled while the command is written leaves it to be sent."""
    async with standing(tmp_path) as stand:
        asking = asyncio.create_task(stand.send())
        await asyncio.sleep(0)
        asking.cancel()
        await stand.settle()
        assert asking.cancelled()
        assert stand.post.payloads == ["red"]


async def test_a_carrier_can_refuse_for_good(tmp_path: Path) -> None:
    """A command that can't be carried out at all fails with the reason, and holds up no other."""
    async with standing(tmp_path) as stand:

        def refuse(command: Command) -> None:
            if command.order.payload == "red":
                stand.hub.commands.failed(command.id, "it knows only green " + "!" * 1000)

        stand.post.on_carry = refuse
        command = await stand.send("red")
        assert command.state is FAILED
        assert command.reason.startswith("it knows only green")
        assert len(command.reason) <= 200
        assert (await stand.send("green")).state is QUEUED
        assert stand.post.payloads == ["red", "green"]


@pytest.mark.parametrize("fails", [True, False])
async def test_what_a_carrier_has_dealt_with_goes_to_no_other(
    tmp_path: Path, *, fails: bool
) -> None:
    """A command that was sent, or failed, while it was offered is offered to nobody else."""
    async with standing(tmp_path, reaches=False) as stand:
        commands = stand.hub.commands

        class Quick(Post):
            def carry(self, command: Command, device: Device, session: Assignment | None) -> bool:
                if fails:
                    commands.failed(command.id, "never")
                else:
                    commands.sent(command.id)
                return False

        Quick(stand.hub, "quick")
        last = Post(stand.hub, "last")
        command = await stand.led(1)
        assert command.state is (FAILED if fails else SENT)
        assert last.asked == 0
        await stand.report(led(1))
        assert stand.state(command) is (FAILED if fails else CONFIRMED)


async def test_a_carrier_may_say_and_ask_while_it_is_asked(tmp_path: Path) -> None:
    """A carrier that asks for more, and says that things have left, gets each command once."""
    async with standing(tmp_path, reaches=False) as stand:
        given = [await stand.send(payload) for payload in "abc"]

        def talk(command: Command) -> None:
            stand.hub.commands.sent(command.id)
            stand.hub.commands.reachable()

        stand.post.on_carry = talk
        stand.post.open()
        assert stand.post.payloads == ["a", "b", "c"]
        assert {stand.state(command) for command in given} == {SENT}


async def test_a_sent_command_can_fail(tmp_path: Path) -> None:
    """A carrier may learn after the sending that the device refused."""
    async with standing(tmp_path) as stand:
        command = await stand.led(1)
        stand.hub.commands.sent(command.id)
        stand.hub.commands.failed(command.id, "refused by the device")
        assert stand.state(command) is FAILED
        await stand.report(led(1))
        assert stand.state(command) is FAILED


@pytest.mark.parametrize(
    ("reaches", "is_sent", "reason"),
    [
        (False, False, "could not be reached"),
        (True, False, "nobody said"),
        (True, True, "did not report led = 1"),
    ],
)
async def test_a_command_expires(
    tmp_path: Path, *, reaches: bool, is_sent: bool, reason: str
) -> None:
    """At its deadline a command that is not over expires, with the step that it did not take."""
    async with standing(tmp_path, reaches=reaches) as stand:
        command = await stand.led(1)
        if is_sent:
            stand.hub.commands.sent(command.id)
        stand.wait(59.999)
        assert stand.state(command) in (QUEUED, SENT)
        stand.wait(0.001)
        assert stand.state(command) is EXPIRED
        assert reason in stand.reason(command)
        stand.post.open()
        await stand.report(led(1, stand.clock.now))
        assert stand.state(command) is EXPIRED
        assert len(stand.post.got) == reaches
    assert kept(tmp_path)[command.id].state is EXPIRED


async def test_nothing_leaves_after_its_deadline(tmp_path: Path) -> None:
    """A device that can be reached a moment too late gets only what still has time."""
    async with standing(tmp_path, reaches=False) as stand:
        await stand.send("late", 1)
        await stand.send("in time", 2)
        # No timer has rung.
        stand.clock.now += SECOND
        stand.post.open()
        assert stand.post.payloads == ["in time"]


async def test_deadlines_are_kept_by_themselves(tmp_path: Path) -> None:
    """Within its block the hub's own timer ends what is due."""
    async with standing(tmp_path, reaches=False) as stand:
        first = await stand.send("a", 1)
        last = await stand.send("b", 100)
        stand.clock.now += 2 * SECOND
        with stand.hub.commands.kept_in_time():
            while stand.state(first) is not EXPIRED:
                await asyncio.sleep(0)
        assert stand.state(last) is QUEUED


async def test_a_restart_goes_on(tmp_path: Path) -> None:
    """After a restart queued commands are sent in order, and sent ones wait for their reading."""
    clock = FakeClock()
    async with standing(tmp_path, clock) as stand:
        sent = await stand.led(1)
        stand.hub.commands.sent(sent.id)
        stand.post.reaches = False
        queued = [await stand.send(payload) for payload in "abc"]
        over = await stand.hub.command("lamp", payload="over", seconds=1)
        stand.wait(1)
        await stand.settle()
    clock.now += SECOND
    async with open_hub(tmp_path, clock) as (hub, _):
        assert hub.commands.book.find(over.id).state is EXPIRED
        post = Post(hub)
        assert post.payloads == ["a", "b", "c"]
        await say(hub, LAMP, [led(1, START - 2 * SECOND)])
        assert hub.commands.book.find(sent.id).state is SENT
        await say(hub, LAMP, [led(1, START + 1)])
        assert hub.commands.book.find(sent.id).state is CONFIRMED
        later = await hub.command("lamp", payload="d")
        assert later.id > max(one.id for one in queued)


async def test_a_restart_keeps_the_order(tmp_path: Path) -> None:
    """Commands leave in the order in which they were given, although the clock was set back."""
    clock = FakeClock()
    async with standing(tmp_path, clock, reaches=False) as stand:
        await stand.send("a")
        clock.now -= 10 * SECOND
        await stand.send("b")
    async with open_hub(tmp_path, clock) as (hub, _):
        assert Post(hub).payloads == ["a", "b"]


async def test_a_deadline_passes_while_the_hub_is_away(tmp_path: Path) -> None:
    """What expired meanwhile is not sent after the start."""
    clock = FakeClock()
    async with standing(tmp_path, clock, reaches=False) as stand:
        command = await stand.send()
    clock.now += 61 * SECOND
    async with open_hub(tmp_path, clock) as (hub, _):
        post = Post(hub)
        assert post.got == []
        with hub.commands.kept_in_time():
            while hub.commands.book.find(command.id).state is not EXPIRED:
                await asyncio.sleep(0)


async def test_ids_are_not_used_twice(tmp_path: Path) -> None:
    """Two commands of one moment, and those after the clock was set back, have other ids."""
    async with standing(tmp_path) as stand:
        first, second = await stand.send(), await stand.send()
        stand.clock.now -= 3600 * SECOND
        third = await stand.send()
        assert first.id < second.id < third.id


async def test_an_unknown_command_is_an_error(tmp_path: Path) -> None:
    """An id that nobody has says so, bounded."""
    async with standing(tmp_path) as stand:
        for id_ in ("", "00", "x" * 1000):
            with pytest.raises(UnknownCommand) as caught:
                stand.hub.commands.book.find(id_)
            assert len(str(caught.value)) < 400
        # A carrier's slip is harmless.
        stand.hub.commands.sent("00")
        stand.hub.commands.failed("00", "no")


async def test_only_known_and_accepted_devices_are_commanded(tmp_path: Path) -> None:
    """A device that waits for the owner, or is blocked, gets no commands."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        post = Post(hub)
        await say(hub, msgspec.structs.replace(LAMP, vouched=False), [led(1)])
        with pytest.raises(DeviceUnready, match="pending"):
            await hub.command("lamp", payload="red")
        with pytest.raises(UnknownDevice):
            await hub.command("nobody", payload="red")
        await hub.block_device("lamp")
        with pytest.raises(DeviceUnready, match="blocked"):
            await hub.command("lamp", payload="red")
        await hub.accept_device("lamp")
        await hub.command("lamp", payload="red")
        assert post.payloads == ["red"]


@pytest.mark.parametrize("seconds", [0, 0.99, -1, 604_801, float("nan"), float("inf")])
async def test_the_time_for_a_command_is_bounded(tmp_path: Path, seconds: float) -> None:
    """A command has a second to seven days."""
    async with standing(tmp_path) as stand:
        with pytest.raises(InvalidCommand, match="seconds"):
            await stand.send("red", seconds)
        assert kept(tmp_path) == {}


async def test_commands_to_a_device_that_is_blocked_fail(tmp_path: Path) -> None:
    """Nothing leaves for a device any more once its owner has blocked it."""
    async with standing(tmp_path, reaches=False) as stand:
        command = await stand.send()
        await stand.hub.block_device("lamp")
        assert stand.state(command) is FAILED
        stand.post.open()
        assert stand.post.got == []
    assert kept(tmp_path)[command.id].reason == "the device was blocked"


async def test_commands_go_with_their_device(tmp_path: Path) -> None:
    """Of a device that is removed no command is kept, also while one is being written."""
    async with standing(tmp_path, reaches=False) as stand:
        over, waiting = await stand.send("a", 1), await stand.send("b")
        stand.wait(1)
        writing = asyncio.create_task(stand.send("c"))
        await asyncio.sleep(0)
        await stand.hub.remove_device("lamp")
        await writing
        for command in (over, waiting):
            with pytest.raises(UnknownCommand):
                stand.hub.commands.book.find(command.id)
        stand.post.open()
        assert stand.post.got == []
    assert kept(tmp_path) == {}


async def test_a_renamed_device_keeps_its_commands(tmp_path: Path) -> None:
    """A command follows its device to its new name."""
    async with standing(tmp_path, reaches=False) as stand:
        await stand.send()
        await stand.hub.rename_device("lamp", "ceiling")
        stand.post.reaches = True
        stand.hub.commands.reachable("ceiling")
        assert [name for _, name, _ in stand.post.got] == ["ceiling"]


async def test_waiting_commands_are_bounded(tmp_path: Path) -> None:
    """One device, and all together, have so many commands under way and no more."""
    async with standing(tmp_path, reaches=False) as stand:
        await asyncio.gather(*(stand.send() for _ in range(MOST_WAITING)))
        with pytest.raises(DeviceUnready, match=f"{MOST_WAITING} commands to lamp"):
            await stand.send()
        devices = [Source("http", f"http:{n}", f"d{n}", "", vouched=True) for n in range(10)]
        for source in devices:
            await say(stand.hub, source, [led(0)])
        rest = MOST_UNDER_WAY - MOST_WAITING
        await asyncio.gather(*(stand.hub.command(f"d{n % 10}", payload="x") for n in range(rest)))
        with pytest.raises(DeviceUnready, match=f"{MOST_UNDER_WAY} commands are"):
            await stand.hub.command("d0", payload="x")
        stand.wait(60)
        await stand.send()


async def test_the_newest_that_are_over_are_kept(tmp_path: Path) -> None:
    """Of each device the last few commands can still be asked for, in the journal no more too."""
    async with standing(tmp_path) as stand:
        given = []
        for number in range(KEPT_PER_DEVICE + 3):
            given.append(await stand.send(str(number)))
            stand.hub.commands.sent(given[-1].id)
        await stand.settle()
        for command in given[:3]:
            with pytest.raises(UnknownCommand):
                stand.hub.commands.book.find(command.id)
        for command in given[3:]:
            assert stand.state(command) is SENT
    assert list(kept(tmp_path)) == [command.id for command in given[3:]]


async def test_what_ended_last_is_kept_over_a_restart(tmp_path: Path) -> None:
    """A command that was given long ago and ended last is among the newest, after a restart too."""
    clock = FakeClock()
    async with standing(tmp_path, clock, reaches=False) as stand:
        slow = await stand.send("slow")
        stand.post.reaches = True
        stand.hub.commands.reachable()
        for number in range(KEPT_PER_DEVICE - 1):
            stand.hub.commands.sent((await stand.send(str(number))).id)
        clock.now += SECOND
        stand.hub.commands.sent(slow.id)
        await stand.settle()
    async with open_hub(tmp_path, clock) as (hub, _):
        Post(hub)
        for number in range(KEPT_PER_DEVICE - 1):
            hub.commands.sent((await hub.command("lamp", payload=str(number))).id)
            assert hub.commands.book.find(slow.id).state is SENT
        hub.commands.sent((await hub.command("lamp", payload="last")).id)
        with pytest.raises(UnknownCommand):
            hub.commands.book.find(slow.id)


async def test_all_that_are_over_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all devices together only so many commands that are over are kept."""
    monkeypatch.setattr("motehub.core.command_book.KEPT", 3)
    async with standing(tmp_path) as stand:
        await stand.report(led(0), source=OTHER)
        given = []
        for number in range(5):
            name = ("lamp", "other")[number % 2]
            given.append(await stand.hub.command(name, payload="x"))
            stand.hub.commands.sent(given[-1].id)
        await stand.settle()
    assert list(kept(tmp_path)) == [command.id for command in given[2:]]


async def test_a_command_that_can_not_be_written_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the hub stops with a full disk, who commands hears of it, and nothing leaves."""

    def full(*_: object) -> int:
        raise StorageError("disk full")

    async with open_hub(tmp_path, FakeClock()) as (hub, journal):
        await say(hub, LAMP, [led(0)])
        post = Post(hub)
        with monkeypatch.context() as patch:
            patch.setattr(SqliteLog, "append", full)
            patch.setattr("motehub.core.journal._RETRY_SECONDS", (0.0,))
            journal.hurry()
            with pytest.raises(StorageError):
                await hub.command("lamp", payload="red")
        assert post.asked == 0
        hub.commands.reachable()
        assert post.asked == 0


# Devices in sessions.


async def announce(hub: Hub) -> Source:
    """Have the device of ``MAC`` begin a session; return who it is in it."""
    receipt = await say(hub, MAC, [Announced()])
    assert receipt.assigned is not None
    return Source("mqtt_broker", "", NAME, "192.0.2.3", session=receipt.assigned.session)


async def join(hub: Hub) -> Source:
    source = await announce(hub)
    await say(hub, source, [Joined()])
    return source


async def test_a_command_leaves_in_the_present_session(tmp_path: Path) -> None:
    """A device that is online gets its command with the name and session that it knows."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, source = Post(hub), await join(hub)
        await hub.rename_device(NAME, "LeBron")
        command = await hub.command("LeBron", "led", 1)
        ((_, name, session),) = post.got
        assert (name, session) == ("LeBron", Assignment(NAME, source.session or ""))
        hub.commands.sent(command.id)
        await say(hub, source, [led(1, clock=Clock.HUB)])
        assert hub.commands.book.find(command.id).state is CONFIRMED


async def test_a_command_waits_for_the_join(tmp_path: Path) -> None:
    """A device that left, or has only announced itself, gets nothing before it has joined."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, source = Post(hub), await join(hub)
        await say(hub, source, [Left()])
        await hub.command(NAME, "led", 1)
        assert post.asked == 0
        source = await announce(hub)
        hub.commands.reachable()
        assert post.asked == 0
        await say(hub, source, [Joined()])
        ((_, _, session),) = post.got
        assert session == Assignment(NAME, source.session or "")


async def test_a_join_of_an_old_session_sends_nothing(tmp_path: Path) -> None:
    """What belongs to a session that is over neither fetches nor confirms commands."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, old = Post(hub), await join(hub)
        new = await announce(hub)
        command = await hub.command(NAME, "led", 1)
        await say(hub, old, [Joined(), led(1, clock=Clock.HUB)])
        assert post.asked == 0
        await say(hub, new, [Joined()])
        await say(hub, old, [led(1, clock=Clock.HUB)])
        assert hub.commands.book.find(command.id).state is QUEUED
        await say(hub, new, [led(1, clock=Clock.HUB)])
        assert hub.commands.book.find(command.id).state is CONFIRMED


async def test_a_device_that_has_yet_to_announce_itself_waits(tmp_path: Path) -> None:
    """A board that was accepted after its announcement gets nothing before it has joined."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        post = Post(hub)
        await say(hub, MAC, [Announced()])
        await hub.accept_device(NAME)
        await hub.command(NAME, "led", 1)
        hub.commands.reachable()
        assert post.asked == 0
        await join(hub)
        assert len(post.got) == 1


async def test_a_device_without_sessions_may_be_said_to_be_offline(tmp_path: Path) -> None:
    """What others say of the presence of a device without sessions does not hold up commands."""
    async with standing(tmp_path) as stand:
        await stand.report(Joined(), Left())
        assert stand.hub.registry.by_name("lamp").online is False
        await stand.send()
        ((_, _, session),) = stand.post.got
        assert session is None


async def test_the_transport_of_the_session_is_asked(tmp_path: Path) -> None:
    """A device that joined over one transport is not looked for on another."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        client, broker = Post(hub, "mqtt_client"), Post(hub, "mqtt_broker")
        await join(hub)
        await hub.command(NAME, "led", 1)
        assert (client.asked, len(broker.got)) == (0, 1)


async def test_a_board_that_missed_a_command_gets_it_again(tmp_path: Path) -> None:
    """A board that reports another value than the one sent gets the command again, a few times."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, source = Post(hub), await join(hub)
        command = await hub.command(NAME, "led", 1)
        off = led(0, clock=Clock.HUB)
        await say(hub, source, [off])
        # It has not even left yet.
        assert len(post.got) == 1
        hub.commands.sent(command.id)
        await say(hub, source, [led(7, metric="button", clock=Clock.HUB)])
        assert len(post.got) == 1
        for times in (2, 3, 4, 4):
            await say(hub, source, [off])
            assert len(post.got) == times
            hub.commands.sent(command.id)
        await say(hub, source, [off, led(1, clock=Clock.HUB)])
        assert hub.commands.book.find(command.id).state is CONFIRMED
        assert len(post.got) == 4
    assert events(tmp_path) == [f"led = 1: {one}" for one in ("queued", "sent", "confirmed")]


async def test_a_command_is_not_repeated_without_reason(tmp_path: Path) -> None:
    """A value that was left, or reached, within a batch, and one from before, ask for nothing."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, source = Post(hub), await join(hub)
        command = await hub.command(NAME, "led", 1)
        hub.commands.sent(command.id)
        await say(hub, source, [led(0, START - 1)])
        assert len(post.got) == 1
        times = array("q", [START, START + 1, START + 2])
        await say(hub, source, [Samples("led", "", times, array("d", [0, 1, 0]))])
        assert hub.commands.book.find(command.id).state is CONFIRMED
        assert len(post.got) == 1


@pytest.mark.parametrize("reported", [0, 7])
async def test_only_the_newest_word_is_repeated(tmp_path: Path, reported: int) -> None:
    """A command is not sent again when the owner has changed his mind since."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, source = Post(hub), await join(hub)
        for value in (1, 0):
            command = await hub.command(NAME, "led", value)
            hub.commands.sent(command.id)
        for _ in range(3):
            await say(hub, source, [led(reported, clock=Clock.HUB)])
        again = [command.order.value for command, _, _ in post.got[2:]]
        assert again == ([] if reported == 0 else [0, 0, 0])


async def test_a_carrier_may_fail_another_command_when_asked_again(tmp_path: Path) -> None:
    """A command that failed while readings were compared stays so."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, source = Post(hub), await join(hub)
        given = [await hub.command(NAME, name, 1) for name in ("led", "buzzer")]
        for command in given:
            hub.commands.sent(command.id)
        post.on_carry = lambda _: hub.commands.failed(given[1].id, "gone")
        await say(hub, source, [led(0), led(1, metric="buzzer")])
        states = [hub.commands.book.find(command.id).state for command in given]
        assert states == [SENT, FAILED]


async def test_a_board_that_lost_its_power_gets_it_in_its_new_session(tmp_path: Path) -> None:
    """What was sent to a session that is over is sent again in the present one."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        post, _ = Post(hub), await join(hub)
        command = await hub.command(NAME, "led", 1)
        hub.commands.sent(command.id)
        source = await join(hub)
        await say(hub, source, [led(0, clock=Clock.HUB)])
        assert [session for _, _, session in post.got][1:] == [
            Assignment(NAME, source.session or "")
        ]


async def test_only_boards_in_sessions_get_a_command_again(tmp_path: Path) -> None:
    """A lamp that dims slowly to its value reports others on the way: it has heard the command."""
    async with standing(tmp_path) as stand:
        command = await stand.led(70)
        stand.hub.commands.sent(command.id)
        for number in range(0, 80, 10):
            await stand.report(led(number, START + number))
        assert len(stand.post.got) == 1
        assert stand.state(command) is CONFIRMED


async def test_sessions_that_ended_with_the_transport_get_nothing(tmp_path: Path) -> None:
    """After a restart of the hub its devices are offline: commands wait for their next join."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        source = await join(hub)
        await hub.command(NAME, "led", 1)
    async with open_hub(tmp_path, clock) as (hub, _):
        await hub.interrupt("mqtt_broker")
        post = Post(hub)
        assert post.asked == 0
        source = await join(hub)
        ((_, _, session),) = post.got
        assert session == Assignment(NAME, source.session or "")


async def test_who_asks_hears_the_outcome_once(tmp_path: Path) -> None:
    """When a command has left, failed or expired, at once when it has before; None if forgotten."""
    async with standing(tmp_path) as stand:
        heard: list[CommandState | None] = []

        def hear(command: Command | None) -> None:
            heard.append(command.state if command is not None else None)

        def ask(command: str) -> None:
            stand.hub.tell_outcome(command, hear)

        left, failed, late, gone = [await stand.send() for _ in range(4)]
        for command in (left, left, failed, late, gone):
            ask(command.id)
        assert heard == []
        stand.hub.commands.sent(left.id)
        assert heard == [SENT, SENT]
        stand.hub.commands.sent(left.id)
        stand.hub.commands.failed(failed.id, "no")
        await stand.settle()
        for command in (left, failed):
            ask(command.id)
        assert heard[2:] == [FAILED, SENT, FAILED]
        assert not stand.hub.commands.is_wanted(left.id)
        assert stand.hub.commands.is_wanted(late.id)
        stand.wait(61)
        assert heard[5:] == [EXPIRED, EXPIRED]
        ask("no such command")
        waits = await stand.send()
        ask(waits.id)
        await stand.hub.remove_device("lamp")
        assert heard[7:] == [None, None]
