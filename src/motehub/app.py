"""The composition root: opens all parts in order, and closes them in the opposite order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from motehub import data_folder, parts
from motehub.alerting.plan import NOBODY
from motehub.alerting.settings import channel_names
from motehub.announcing import announced
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
from motehub.control import ControlServer
from motehub.conversations import Upgrading
from motehub.core.admission import Policy
from motehub.core.attendance import Attendance
from motehub.core.hub import Hub
from motehub.core.journal import Journal
from motehub.following import STORE_URL
from motehub.health import remembering
from motehub.journals.sqlite import SqliteLogReader
from motehub.noticing import keep_noticing
from motehub.own_address import shown_address
from motehub.process import (
    allow_many_files,
    collect_garbage_seldom,
    stop_on_signals,
    switch_threads_often,
)
from motehub.run_file import RUN_FILE
from motehub.running_hub import RunningHub, unit_desk
from motehub.security.addresses import this_host
from motehub.storage import (
    last_attended,
    open_hub,
    plain_exceptions,
    utc_microseconds,
)
from motehub.supervisor import (
    ALERTS,
    ConsumerProcess,
    LateConsumer,
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
            lambda: unit_desk(transports),
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
                    unit_desk(transports),
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
