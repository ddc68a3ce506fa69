"""The composition root: opens all parts in order, and closes them in the opposite order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from motehub import __version__, data_folder, parts
from motehub.alerting.plan import NOBODY
from motehub.alerting.settings import channel_names
from motehub.announcing import announced
from motehub.backup.archive import remembered
from motehub.backup.desk import DeskOfBackups
from motehub.certificates import (
    CA_FILE,
    DeskOfCertificates,
    OwnCertificates,
    added_names,
    server_tls,
    wanted_names,
    web_tls,
)
from motehub.config import Configuration
from motehub.contracts import Ground, Listener, Places, Transport
from motehub.control import ControlServer, Request, carry_out
from motehub.conversations import Upgrading
from motehub.core.admission import Policy
from motehub.core.attendance import Attendance
from motehub.core.hub import Hub
from motehub.core.journal import Journal, JournalLimits
from motehub.core.moments import iso
from motehub.following import STORE_URL
from motehub.health import HistorySize, Troubles, connections, remembering, speed, versions
from motehub.journals.sqlite import SqliteLogReader
from motehub.logs import Logger
from motehub.noticing import Sight, keep_noticing
from motehub.own_address import own_link, shown_address
from motehub.process import (
    allow_many_files,
    collect_garbage_seldom,
    stop_on_signals,
    switch_threads_often,
)
from motehub.run_file import RUN_FILE, RunFile
from motehub.security.addresses import this_host
from motehub.storage import (
    last_attended,
    open_hub,
    plain_exceptions,
    utc_microseconds,
    where_history_is,
)
from motehub.supervisor import (
    ALERTS,
    HISTORY,
    ConsumerProcess,
    LateConsumer,
    condition_of,
    programs,
)
from motehub.units import UnitDesk
from motehub.web.settings import WebSettings
from motehub.zones import zone_of

if TYPE_CHECKING:
    from motehub.web.pusher import PusherServer
    from motehub.web.snippets import Reach

# What the hub itself opens at most: databases, logs, listeners, pipes, control connections.
_OWN_FILES: Final = 100
_MUTE: Final = (
    "Nothing can connect: the configuration has neither [web], for the pages, nor a [transport.…] "
    "section. `motehub init` writes one with all of them."
)

_logger = Logger("motehub.app")


class RunningHub:
    """A hub with all its parts open; what ``status`` and ``run.json`` are made from."""

    def __init__(
        self,
        configuration: Configuration,
        hub: Hub,
        journal: Journal,
        consumers: dict[str, ConsumerProcess],
        transports: dict[str, Transport],
        troubles: Troubles,
    ) -> None:
        self.folder = configuration.data_dir
        self._history = where_history_is(configuration)
        self._configuration = configuration
        self.hub = hub
        self.listeners = {
            name: listener
            for transport in transports.values()
            for name, listener in transport.listeners.items()
        }
        self._journal = journal
        self.consumers = consumers
        self.writer = consumers[HISTORY]
        self._reader = SqliteLogReader(self.folder)
        self._transports = transports
        self._units = _unit_desk(transports)
        self._troubles = troubles
        self._since = utc_microseconds()
        self._size = HistorySize(self.folder, self._history)
        self._size.hear(self.writer.report.retention)
        self.writer.on_report = lambda report: self._size.hear(report.retention)

    @property
    def setup_link(self) -> str | None:
        """Where the first administrator begins; None when there is one, or no web port."""
        code, link = self.hub.accounts.setup_code, own_link(self.listeners)
        return None if code is None or link is None else f"{link}/setup#{code}"

    async def answer(self, request: Request) -> dict[str, Any]:
        """Carry out a request of the owner."""
        return await carry_out(self.hub, request, self.health, self._units)

    def health(self) -> dict[str, Any]:
        """Return the condition of every part: positions, depths, counters, troubles."""
        journal = self._journal.health
        consumers = {
            name: condition_of(consumer, journal.head, self._reader, utc_microseconds())
            for name, consumer in self.consumers.items()
        }
        history = consumers[HISTORY]
        counters = {name: dict(one.counters) for name, one in self._transports.items()}
        present, growth = self._size.sizes_and_growth()
        return {
            "version": __version__,
            "versions": versions(),
            "since": iso(self._since),
            "speed": speed(self._journal.pace),
            "sizes": present,
            "growth": {"history": growth},
            "store": self._history,
            "journal": msgspec.to_builtins(journal),
            # Flat, as it was when there was no other consumer.
            "writer": {**{k: v for k, v in history.items() if k != "counts"}, **history["counts"]},
            "consumers": consumers,
            "devices_pending": self.hub.registry.pending(),
            "listeners": msgspec.to_builtins(self.listeners),
            "connections": connections(counters),
            "transports": counters,
            "backup": msgspec.to_builtins(remembered(self.folder)),
            "troubles": msgspec.to_builtins(self._troubles.newest()),
        }

    def sight(self) -> Sight:
        """Return what may be a matter for the owner."""
        journal, report = self._journal.health, self.writer.report
        now = utc_microseconds()
        waits = condition_of(self.writer, journal.head, self._reader, now)["age"] or 0.0
        settings = self._configuration.journal
        limits = JournalLimits(settings.size, settings.age)
        return Sight(report.retention, journal, limits, waits, report.trouble)

    def write_run_file(self) -> None:
        """Write ``run.json``, whole or not at all."""
        RunFile(
            pid=os.getpid(),
            writer_pid=self.writer.process_id,
            version=__version__,
            database=self._history,
            ca=str((self.folder / CA_FILE).absolute()),
            listeners=self.listeners,
            name=self._configuration.hub.name,
            time_zone=self._configuration.hub.time_zone,
            language=self._configuration.hub.language.value,
        ).write(self.folder)

    def renew_run_file(self) -> None:
        """Note the new writer process in ``run.json``, unless the disk refuses."""
        try:
            self.write_run_file()
        except OSError as error:
            _logger.warning("run.json not renewed", reason=str(error))


async def serve(configuration: Configuration, tell: Callable[[str], None]) -> None:
    """Run a hub until SIGTERM or SIGINT; a second signal ends it at once.

    ``tell`` gets the lines that people see. On the way out the hub accepts no more, stores what
    it has received, and folds it into the history.

    Raises:
        MotehubError: a part can't be opened.
    """
    stop = stop_on_signals()
    switch_threads_often()
    folder = configuration.data_dir
    data_folder.prepare(folder)
    with data_folder.locked(folder, data_folder.LOCK_WAIT, tell), plain_exceptions():
        try:
            async with asyncio.TaskGroup() as tasks, running(configuration, tasks) as hub:
                collect_garbage_seldom()
                for name, listener in hub.listeners.items():
                    tell(f"{name}: {shown_address(listener)}{' (TLS)' if listener.tls else ''}")
                if configuration.web is None and not configuration.transport:
                    tell(_MUTE)
                if (link := hub.setup_link) is not None:
                    tell(f"To become this hub's administrator, open {link}")
                tell(f"Data in {folder}. Stop with Ctrl+C.")
                # Last: who waits for it may go on to read what was said.
                hub.write_run_file()
                hub.writer.on_start = hub.renew_run_file
                await stop.wait()
                tell("Stopping: what was received is stored first.")
                hub.writer.on_start = lambda: None
                (folder / RUN_FILE).unlink(missing_ok=True)
        finally:
            (folder / RUN_FILE).unlink(missing_ok=True)


@asynccontextmanager
async def running(
    configuration: Configuration, tasks: asyncio.TaskGroup
) -> AsyncIterator[RunningHub]:
    """Open every part for the duration of the block.

    Raises:
        MotehubError: a part can't be opened; what was open is closed again.
    """
    folder = configuration.data_dir
    async with AsyncExitStack() as stack:
        troubles = stack.enter_context(remembering())
        certificates = OwnCertificates(configuration)
        await certificates.make()
        renewal = tasks.create_task(certificates.keep(), name="certificates")
        stack.callback(renewal.cancel)
        hub, journal = stack.enter_context(open_hub(configuration, tasks))
        zone = configuration.hub.time_zone
        attendance = Attendance(journal, utc_microseconds, last_attended(configuration), zone)
        consumers: dict[str, ConsumerProcess] = {}
        for program in programs(configuration):
            if program.name == ALERTS and not _needs_alerts(configuration, hub):
                # A process costs memory: it is there once there is something to look at.
                late = LateConsumer(program, hub.rules.needed, journal, tasks, consumers)
                stack.push_async_callback(late.stop)
                continue
            consumer = consumers[program.name] = ConsumerProcess(program, journal, tasks)
            stack.push_async_callback(consumer.stop)
            await consumer.start()
        # Not before: it may be one that no hub can use.
        data_folder.remember_store(folder, configuration.store)
        await stack.enter_async_context(journal)
        hub.rules.configure(
            configuration.rule, channel_names(configuration.mail, configuration.notify)
        )
        hub.reports.configure(configuration.report)
        hub.notices.to_be_told = bool(
            channel_names(configuration.mail, configuration.notify) - {NOBODY}
        )
        for dialect in hub.sessions.dialects() - configuration.transport.keys():
            # It does not run any more, and can't say so itself.
            await hub.interrupt(dialect)
        transports: dict[str, Transport] = {}
        ground = Ground(
            hub,
            utc_microseconds,
            partial(server_tls, configuration),
            Places(allow_many_files() - _OWN_FILES),
            hub.commands,
            SqliteLogReader(folder).state,
            hub.tokens,
            hub.registry,
            configuration.hub.admission is Policy.OPEN,
            configuration.mqtt,
            (*this_host().names, *configuration.hub.certificate_names),
            hub,
            lambda: _unit_desk(transports),
            passes_on="pusher_client" in configuration.transport,
        )
        stack.enter_context(hub.commands.kept_in_time())
        for name, settings in configuration.transport.items():
            transport = parts.transport(name).make(settings, ground)
            transports[name] = await stack.enter_async_context(transport)
        pusher: PusherServer | None = None
        if configuration.web is not None and configuration.pusher.enabled:
            pusher = await stack.enter_async_context(_pusher(configuration, ground, hub))
            transports["pusher"] = pusher
        if configuration.web is not None:
            transports["web"] = await stack.enter_async_context(
                _web(
                    configuration,
                    configuration.web,
                    ground,
                    hub,
                    journal,
                    lambda: running_hub,
                    [one for one in transports.values() if isinstance(one, Upgrading)],
                    _unit_desk(transports),
                    pusher,
                )
            )
        # From here on a stop must not wait for a full disk, however many senders do.
        stack.callback(journal.hurry)
        running_hub = RunningHub(configuration, hub, journal, consumers, transports, troubles)
        await stack.enter_async_context(ControlServer(folder, running_hub.answer))
        await stack.enter_async_context(
            announced(configuration.mdns, running_hub.listeners, certificates.cover, tasks)
        )
        attendance.begin()
        stack.callback(tasks.create_task(attendance.keep()).cancel)
        stack.callback(attendance.end)
        stack.callback(tasks.create_task(keep_noticing(running_hub.sight, hub.notices)).cancel)
        stack.callback(tasks.create_task(hub.rules.keep_looking()).cancel)
        yield running_hub


def _needs_alerts(configuration: Configuration, hub: Hub) -> bool:
    return bool(configuration.rule or configuration.report or hub.rules.needed.is_set())


def _web(
    configuration: Configuration,
    settings: WebSettings,
    ground: Ground,
    hub: Hub,
    journal: Journal,
    running_hub: Callable[[], RunningHub],
    upgrading: Sequence[Upgrading],
    units: UnitDesk | None,
    pusher: PusherServer | None,
) -> Transport:
    """Return the web listener.

    Its packages take a third of a second to import: only a hub that has one does.
    """
    from motehub.owner_desk import OwnerDesk
    from motehub.web.server import HistorySource, WebServer

    folder, store = configuration.data_dir, configuration.store
    return WebServer(
        settings,
        configuration.pimonitor,
        ground,
        hub,
        web_tls(configuration, settings),
        HistorySource(folder, store.type, {STORE_URL: store.url}),
        state=SqliteLogReader(folder).state(),
        mark=SqliteLogReader(folder).journal(),
        head=lambda: journal.health.head,
        health=lambda: running_hub().health(),
        zone=zone_of(configuration.hub.time_zone),
        name=configuration.hub.name,
        language=configuration.hub.language.value,
        upgrades={path: way for one in upgrading for path, way in one.upgrades.items()},
        units=units,
        certificates=DeskOfCertificates(folder),
        backups=DeskOfBackups(folder),
        answers=pusher.answers if pusher is not None else {},
        branches=[pusher] if pusher is not None else [],
        reach=lambda: _reach(configuration, settings, running_hub().listeners),
        desk=OwnerDesk(
            configuration, lambda: running_hub().listeners, lambda: running_hub().health()
        ),
    )


def _reach(
    configuration: Configuration, settings: WebSettings, listeners: Mapping[str, Listener]
) -> Reach:
    """Return how devices reach the hub at this moment."""
    from motehub.web.snippets import Reach

    host = this_host()
    return Reach(
        listeners,
        names=(
            *host.names,
            *wanted_names(configuration),
            *added_names(configuration.data_dir),
        ),
        addresses=tuple(str(one) for one in host.addresses),
        ca=(configuration.data_dir / CA_FILE).read_text("ascii"),
        web_ca=settings.tls == "auto",
    )


def _pusher(configuration: Configuration, ground: Ground, hub: Hub) -> PusherServer:
    """Return the server of Pusher Channels, with keys that are made at the first start."""
    from motehub.pusher_keys import ensure_keys
    from motehub.web.pusher import PusherServer

    settings = configuration.pusher
    return PusherServer(settings, ensure_keys(configuration.data_dir, settings), ground, hub)


def _unit_desk(transports: Mapping[str, Transport]) -> UnitDesk | None:
    return next((one for one in transports.values() if isinstance(one, UnitDesk)), None)
