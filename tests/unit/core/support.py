"""A journal on a real log, and a clock that tests move."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from motehub.core.accounts import Accounts
from motehub.core.admission import Policy, RegistryLimits
from motehub.core.commands import Commands
from motehub.core.hub import Hub
from motehub.core.journal import Journal, JournalLimits
from motehub.core.notices import told_of
from motehub.core.people import People
from motehub.core.registry import Registry
from motehub.core.reports import ReportBook
from motehub.core.sessions import SessionPolicy, Sessions
from motehub.core.tokens import Tokens
from motehub.frames import Frame, decode_frame
from motehub.journals.sqlite import SqliteLog, SqliteLogReader
from motehub.model import MICROSECONDS, Clock, Delivery, Receipt, Record, Samples, Source

START = 1_700_000_000 * MICROSECONDS
LIMITS = JournalLimits(size=10_000_000, age=3600)
SOURCE = Source("dht_stream", "address:192.0.2.1", "dht-192.0.2.1", "192.0.2.1")


class FakeClock:
    """A clock that stands still until it is moved; UTC microseconds."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def open_hub(
    folder: Path,
    clock: FakeClock,
    policy: Policy = Policy.OPEN,
    limits: RegistryLimits = RegistryLimits(),  # noqa: B008 - frozen
    session_policy: SessionPolicy = SessionPolicy(),  # noqa: B008 - frozen
) -> AsyncIterator[tuple[Hub, Journal]]:
    """Open a hub on the journal in ``folder``."""
    log = SqliteLog(folder)
    try:
        async with asyncio.TaskGroup() as tasks:
            journal = Journal(log, LIMITS, clock, tasks)
            state = log.state()
            registry, tokens = Registry.from_state(state), Tokens.from_state(state)
            sessions = Sessions.from_state(state, registry, session_policy)
            commands = Commands.from_state(state, registry, sessions, journal, clock)
            accounts = Accounts(People.from_state(state), journal, clock)
            hub = Hub(
                registry,
                tokens,
                sessions,
                commands,
                accounts,
                journal,
                policy,
                limits,
                clock,
                reports=ReportBook.from_state(state),
                told=told_of(state),
            )
            journal.before_commit(hub.audit.note)
            async with journal:
                yield hub, journal
    finally:
        log.close()


def frames(folder: Path) -> list[tuple[int, Frame]]:
    """Return all frames in the journal of ``folder``."""
    reader = SqliteLogReader(folder)
    found = [(position, decode_frame(body)) for position, body in reader.read(0, 10**9)]
    reader.close()
    return found


def temperature(*values: float, time: int = START, clock: Clock = Clock.DEVICE) -> Samples:
    """Return samples a second apart, the first at ``time``."""
    times = array("q", (time + i * MICROSECONDS for i in range(len(values))))
    return Samples("temperature", "°C", times, array("d", values), clock)


async def say(hub: Hub, source: Source, records: list[Record]) -> Receipt:
    """Have one source deliver ``records``."""
    (receipt,) = await hub.accept([Delivery(source, records)])
    return receipt
