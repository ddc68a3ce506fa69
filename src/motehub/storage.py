"""How the journal and the history of a data folder are opened, with a hub or without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from motehub import data_folder, parts
from motehub.clock_watch import AgeClock
from motehub.config import Configuration
from motehub.control import Request, TokenRequest, carry_out
from motehub.core.accounts import Accounts
from motehub.core.admission import RegistryLimits
from motehub.core.attendance import AWAY_SINCE, ZONE, last_there, last_zone, unattended
from motehub.core.audit import Audit
from motehub.core.commands import Commands
from motehub.core.consumer import Consumer, check_finished
from motehub.core.history import FoldIntoHistory
from motehub.core.hub import Hub
from motehub.core.journal import Journal, JournalLimits
from motehub.core.notices import told_of
from motehub.core.people import People
from motehub.core.registry import Registry
from motehub.core.reports import ReportBook
from motehub.core.retention import Retention
from motehub.core.rules import RuleBook
from motehub.core.sessions import SessionPolicy, Sessions
from motehub.core.tokens import Tokens
from motehub.errors import StorageError
from motehub.frames import Batch, encode_frame
from motehub.history_contract import HistoryStore
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.journals.sqlite import SqliteLog, SqliteLogReader
from motehub.logs import Logger
from motehub.people_requests import PeopleRequest
from motehub.retention_requests import RetentionRequest
from motehub.zones import zone_of

_FOLD_TRIES: Final = 4

_logger = Logger("motehub.storage")


def utc_microseconds() -> int:
    """Return the present time in UTC microseconds since 1970."""
    return time.time_ns() // 1000


@contextmanager
def open_hub(
    configuration: Configuration, tasks: asyncio.TaskGroup, *, keeps_history: bool = True
) -> Iterator[tuple[Hub, Journal]]:
    """Open the log and make a hub on it; the journal is still to be entered.

    One that ``keeps_history`` can't lose its journal alone: it begins anew after the history.

    Raises:
        ConfigurationError: the history was moved to another store than the one configured.
        StorageError: the journal can't be opened.
    """
    data_folder.check_not_left(configuration.data_dir, configuration.store)
    registry, first = _registry_of_history(configuration) if keeps_history else (None, 1)
    log = SqliteLog(configuration.data_dir, first)
    try:
        if registry is None:
            registry = Registry.from_state(log.state())
        else:
            batch = Batch()
            registry.describe(batch)
            now = utc_microseconds()
            log.append(encode_frame([batch], now), now, batch.state)
        limits = JournalLimits(configuration.journal.size, configuration.journal.age)
        aging = AgeClock.beside(
            configuration.data_dir,
            partial(last_attended, configuration),
            lambda: hub.retention.clock_confirmed,
        )
        journal = Journal(log, limits, utc_microseconds, tasks, aging)
        settings = configuration.hub
        bounds = RegistryLimits(
            settings.pending_devices,
            settings.held_readings,
            settings.devices,
            settings.series_per_device,
        )
        tokens = Tokens.from_state(log.state())
        policy = SessionPolicy(
            configuration.device_sessions.name_pattern, configuration.device_sessions.contested
        )
        sessions = Sessions.from_state(log.state(), registry, policy)
        commands = Commands.from_state(log.state(), registry, sessions, journal, utc_microseconds)
        hub = Hub(
            registry,
            tokens,
            sessions,
            commands,
            Accounts(People.from_state(log.state()), journal, utc_microseconds),
            journal,
            settings.admission,
            bounds,
            utc_microseconds,
            audit=Audit.from_state(log.state(), utc_microseconds),
            rules=RuleBook.from_state(log.state()),
            reports=ReportBook.from_state(log.state()),
            retention=Retention.from_state(configuration.retention.plan, log.state()),
            told=told_of(log.state()),
        )
        journal.before_commit(hub.audit.note)
        yield hub, journal
    finally:
        log.close()


async def carry_out_offline(configuration: Configuration, request: Request) -> dict[str, Any]:
    """Carry out a request while no hub runs, and fold it into the history, if there is one.

    Raises:
        HubRunning: a hub does run.
        OwnerError: the request can't be carried out.
        StorageError: the journal can't be written, or the history.
    """
    keeps_history = not data_folder.is_of_base(configuration.data_dir)
    with data_folder.locked(configuration.data_dir), plain_exceptions():
        async with asyncio.TaskGroup() as tasks:
            opened = open_hub(configuration, tasks, keeps_history=keeps_history)
            with opened as (hub, journal):
                journal.before_commit(unattended(last_attended(configuration)))
                async with journal:
                    # Nobody trims it meanwhile: what is old or large in it would stay so.
                    journal.hurry()
                    result = await carry_out(hub, request, lambda: {"running": False})
        owners_only = TokenRequest | PeopleRequest | RetentionRequest
        if keeps_history and not isinstance(request, owners_only):
            # The history knows nothing of these; it may be away while a token is made.
            fold_offline(configuration)
    return result


def last_attended(configuration: Configuration) -> int | None:
    """Return when a hub ran last (µs); None before the first."""
    with closing(SqliteLogReader(configuration.data_dir)) as reader:
        return last_there(reader.state_of(AWAY_SINCE), reader.newest())


def hub_zone(configuration: Configuration) -> ZoneInfo:
    """Return the zone that is configured, or else that of the hub that ran last on the folder.

    Raises:
        OwnerError: there is no such zone.
    """
    name = configuration.hub.time_zone
    if not name and (configuration.data_dir / JOURNAL_FILE).exists():
        with closing(SqliteLogReader(configuration.data_dir)) as reader:
            name = last_zone(reader.state_of(ZONE))
    return zone_of(name)


def open_store(configuration: Configuration, *, read_only: bool = False) -> HistoryStore:
    """Open the history that the configuration names."""
    store = configuration.store
    return parts.store(store.type).open(configuration.data_dir, store.url, read_only)


def where_history_is(configuration: Configuration) -> str:
    """Return the file or the server of the history, for people: without a password."""
    store = configuration.store
    return parts.store(store.type).where(configuration.data_dir, store.url)


def fold_offline(configuration: Configuration) -> None:
    """Bring the history up to the journal; the caller owns the data folder."""
    store = open_store(configuration)
    try:
        reader = SqliteLogReader(configuration.data_dir)
        effect = FoldIntoHistory(store, reader, reader.journal(), zone=hub_zone(configuration))
        consumer = Consumer("history", reader, effect)
        # The writer of a hub that was killed a moment ago may still be at it.
        for _ in range(_FOLD_TRIES):
            if consumer.catch_up():
                break
            time.sleep(consumer.pause)
        else:
            raise StorageError(str(consumer.trouble))
        reader.close()
    finally:
        store.close()


def _registry_of_history(configuration: Configuration) -> tuple[Registry | None, int]:
    """Return the registry and the first position of a journal that was lost, but not its history.

    Without a history, or with a journal, that is ``(None, 1)``.
    """
    if (configuration.data_dir / JOURNAL_FILE).exists():
        return None, 1
    # When it can't be asked, the hub must not start: devices would get others' numbers.
    store = open_store(configuration)
    try:
        devices, series = store.registry()
        position = store.position()
        check_finished(position)
        if position:
            # The journal that is begun now is not the one of which this was a position.
            store.set_position(position)
    finally:
        store.close()
    if not position:
        return None, 1
    _logger.warning("journal.db is missing; begun anew after the history", position=position)
    return Registry(devices, series), position + 1


@contextmanager
def plain_exceptions() -> Iterator[None]:
    """Take the one error out of the groups in which task groups wrap it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group
