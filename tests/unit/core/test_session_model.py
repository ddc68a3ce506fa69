"""Device sessions against a model: joins, late wills, renames, restarts, commits that were lost."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from tests.unit.core.support import START, FakeClock

from motehub.core.accounts import Accounts
from motehub.core.admission import Policy, RegistryLimits
from motehub.core.commands import Commands
from motehub.core.history import make_fold
from motehub.core.hub import Hub
from motehub.core.journal import Journal
from motehub.core.people import People
from motehub.core.registry import Registry
from motehub.core.sessions import SessionPolicy, Sessions
from motehub.core.tokens import Tokens
from motehub.errors import StorageError
from motehub.frames import Batch, decode_frame, encode_frame
from motehub.model import (
    Admission,
    Announced,
    Assignment,
    Clock,
    Delivery,
    Joined,
    Left,
    Receipt,
    Record,
    Samples,
    Source,
)
from motehub.stores.sqlite import SqliteHistory

BROKERS = ("mqtt_broker", "mqtt_client")
MACS = ("mac:A", "mac:B", "mac:C")
NAMES = ("LeBron", "capteur01", "capteur02", "capteur03", "capteur04")

_Result = TypeVar("_Result")


class FramesInMemory:
    """A journal that commits at once, or loses everything from some moment on."""

    held_back = None

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.state: dict[str, bytes] = {}
        self.loses = False

    async def append(self, batch: Batch) -> int:
        if self.loses:
            raise StorageError("killed before the commit")
        self.frames.append(encode_frame([batch], START))
        for key, value in batch.state.items():
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        return len(self.frames)


class Known:
    """What must be true of a device."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.given: Assignment | None = None
        self.earlier = ""
        self.dialect = ""
        self.online: bool | None = None
        self.interrupted = False
        self.blocked = False
        self.stored = self.rejected = self.discarded = 0


def done(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run what never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("_Result", stop.value)
    raise AssertionError("it waits")


class SessionsOfDevices(RuleBasedStateMachine):
    """Devices, their owner, and a hub that may be killed at any moment."""

    given = Bundle("given")

    def __init__(self) -> None:
        super().__init__()
        self.journal = FramesInMemory()
        self.clock = FakeClock()
        self.known: dict[str, Known] = {}
        self.ids: set[str] = set()
        self.start()

    def start(self) -> None:
        state = self.journal.state
        registry = Registry.from_state(state)
        sessions = Sessions.from_state(state, registry, SessionPolicy())
        journal = cast("Journal", self.journal)
        commands = Commands.from_state(state, registry, sessions, journal, self.clock)
        self.hub = Hub(
            registry,
            Tokens.from_state(state),
            sessions,
            commands,
            Accounts(People(), journal, self.clock),
            journal,
            Policy.OPEN,
            RegistryLimits(),
            self.clock,
        )

    def say(self, source: Source, *records: Record) -> Receipt:
        (receipt,) = done(self.hub.accept([Delivery(source, list(records))]))
        return receipt

    def present(self, assigned: Assignment) -> Known | None:
        """Return whose present session it is; blocked or not."""
        return next((one for one in self.known.values() if one.given == assigned), None)

    def count_discarded(self, assigned: Assignment, count: int) -> None:
        """Count what comes too late: for whose last session it was, or who has the name."""
        late = [one for one in self.known.values() if one.earlier == assigned.session]
        late += [one for one in self.known.values() if one.name == assigned.name]
        if late:
            late[0].discarded += count

    @rule(target=given, mac=st.sampled_from(MACS), dialect=st.sampled_from(BROKERS))
    def announce(self, mac: str, dialect: str) -> Any:
        """A device begins anew: its name stays, its session is one that never was."""
        self.clock.now += 1_000
        receipt = self.say(Source(dialect, mac, "", "p"), Announced())
        known = self.known.get(mac)
        if known is not None and known.blocked:
            known.rejected += 1
            assert (receipt.assigned, receipt.rejected) == (None, 1)
            return multiple()
        assert receipt.assigned is not None
        if known is None:
            assert receipt.assigned.name not in {one.name for one in self.known.values()}
            known = self.known[mac] = Known(receipt.assigned.name)
        assert receipt.assigned.name == known.name
        assert receipt.assigned.session not in self.ids
        self.ids.add(receipt.assigned.session)
        known.earlier = known.given.session if known.given else ""
        known.given, known.dialect, known.online = receipt.assigned, dialect, False
        known.interrupted = False
        return receipt.assigned

    @rule(
        assigned=given,
        record=st.sampled_from([Joined(), Left(), 1, 3]),
        dialect=st.sampled_from(BROKERS),
    )
    def speak(self, assigned: Assignment, record: Joined | Left | int, dialect: str) -> None:
        """Only the present session moves or stores anything; everything else is discarded."""
        self.clock.now += 1_000
        count = record if isinstance(record, int) else 1
        if isinstance(record, int):
            times = array("q", [self.clock.now] * count)
            said: Record = Samples("led", "", times, array("d", times), Clock.HUB)
        else:
            said = record
        source = Source(dialect, "", assigned.name, "p", session=assigned.session)
        known = self.present(assigned)
        receipt = self.say(source, said)
        if known is None:
            assert receipt == Receipt(0, 0, discarded=count)
            self.count_discarded(assigned, count)
        elif isinstance(said, Left):
            assert receipt == Receipt(0, 0)
            known.online = known.interrupted = False
        elif known.blocked:
            assert receipt.rejected == count
            known.rejected += count
        elif isinstance(said, Joined):
            assert receipt == Receipt(0, 0)
            known.online, known.dialect, known.interrupted = True, dialect, False
        else:
            assert receipt == Receipt(count, 0)
            if known.interrupted:
                known.online, known.dialect, known.interrupted = True, dialect, False
            known.stored += count

    @rule(mac=st.sampled_from(MACS), name=st.sampled_from(NAMES))
    def rename(self, mac: str, name: str) -> None:
        """The owner gives another name; the session goes on under the old one."""
        if mac in self.known and name not in {one.name for one in self.known.values()}:
            done(self.hub.rename_device(self.known[mac].name, name))
            self.known[mac].name = name

    @rule(mac=st.sampled_from(MACS))
    def block_or_accept(self, mac: str) -> None:
        """The owner blocks a device, or accepts it again."""
        if mac in self.known:
            known = self.known[mac]
            known.blocked = not known.blocked
            change = self.hub.block_device if known.blocked else self.hub.accept_device
            done(change(known.name))

    @rule(mac=st.sampled_from(MACS))
    def remove(self, mac: str) -> None:
        """The owner removes a device: it is unknown when it comes again."""
        if mac in self.known:
            done(self.hub.remove_device(self.known.pop(mac).name))

    @rule(dialect=st.sampled_from(BROKERS))
    def restart(self, dialect: str) -> None:
        """The hub starts anew, and one of its transports."""
        self.start()
        batch = Batch()
        self.hub.sessions.interrupt(batch, dialect, self.clock.now)
        done(self.journal.append(batch))
        for known in self.known.values():
            if known.online and known.dialect == dialect:
                known.online, known.interrupted = False, True

    @rule(mac=st.sampled_from(MACS), seconds=st.sampled_from([-3600, 0, 5]))
    def kill(self, mac: str, seconds: int) -> None:
        """The hub dies before a commit, and the clock may be wrong afterwards."""
        self.journal.loses = True
        lost = [Delivery(Source(BROKERS[0], mac, "", "p"), [Announced()])]
        known = self.known.get(mac)
        if known is not None and known.given is not None:
            source = Source(BROKERS[0], "", known.name, "p", session=known.given.session)
            lost += [Delivery(source, [Joined()]), Delivery(source, [Left()])]
        try:
            done(self.hub.accept(lost))
        except StorageError:
            pass
        else:
            raise AssertionError("it was acknowledged")
        self.journal.loses = False
        self.clock.now += seconds * 1_000_000
        self.start()

    @invariant()
    def devices_are_what_they_said(self) -> None:
        """Names, presence and sessions, as the hub shows them to others."""
        registry, sessions = self.hub.registry, self.hub.sessions
        assert registry.count() == len(self.known)
        for mac, known in self.known.items():
            device = registry.by_name(known.name)
            assert device.identities == (mac,)
            assert device.online is known.online
            session = sessions.online(known.name)
            assert (session is not None) == (known.online is True and not known.blocked)
            present = sessions.of(known.name)
            assert present is not None
            assert known.given == Assignment(present.name, present.id)

    def teardown(self) -> None:
        """In the history everything is counted once, and devices are online as they said."""
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteHistory(Path(folder))
            frames = [decode_frame(one) for one in self.journal.frames]
            if frames:
                store.fold(make_fold(list(enumerate(frames, 1)), {}))
            rows = {row.device.name: row for row in store.devices()}
            assert len(rows) == len(self.known)
            for known in self.known.values():
                row = rows[known.name]
                assert row.device.online is known.online
                assert (row.device.admission is Admission.BLOCKED) is known.blocked
                # After the clock was set back a reading may meet one of the same time.
                assert row.stored + row.duplicate == known.stored
                assert (row.rejected, row.discarded) == (known.rejected, known.discarded)
                assert row.received == known.stored + row.rejected + row.discarded
            store.close()


TestSessionsOfDevices = SessionsOfDevices.TestCase
TestSessionsOfDevices.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
