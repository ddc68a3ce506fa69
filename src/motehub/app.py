"""The composition root: opens all parts in order, and closes them in the opposite order."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub import __version__, data_folder, parts
from motehub.config import Configuration
from motehub.contracts import ClientTrust, Ground, HistoryStore, Listener, Places, Transport
from motehub.control import ControlServer, Request, carry_out
from motehub.core.admission import RegistryLimits
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory
from motehub.core.hub import Hub
from motehub.core.journal import Journal, JournalLimits
from motehub.core.registry import Registry
from motehub.errors import CertificateError, StorageError
from motehub.frames import Batch, encode_frame
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.journals.sqlite import SqliteLog, SqliteLogReader
from motehub.logs import Logger
from motehub.security.tls import REVOKED_FILE, ServerTls, ensure_certificates
from motehub.supervisor import WriterProcess

RUN_FILE: Final = "run.json"
_DAY_SECONDS: Final = 86_400
_FOLD_TRIES: Final = 4
_MOST_FILES: Final = 65_536
# What the hub itself opens at most: databases, logs, listeners, pipes, control connections.
_OWN_FILES: Final = 100

_logger = Logger("motehub.app")


class RunFile(msgspec.Struct, frozen=True):
    """``run.json``: what a running hub tells other programs on this machine."""

    pid: int
    writer_pid: int | None
    version: str
    database: str
    ca: str
    listeners: dict[str, Listener]


def utc_microseconds() -> int:
    """Return the present time in UTC microseconds since 1970."""
    return time.time_ns() // 1000


class RunningHub:
    """A hub with all its parts open; what ``status`` and ``run.json`` are made from."""

    def __init__(
        self,
        folder: Path,
        hub: Hub,
        journal: Journal,
        writer: WriterProcess,
        transports: dict[str, Transport],
        history: str,
    ) -> None:
        self.folder = folder
        self._history = history
        self.hub = hub
        self.listeners = {
            name: listener
            for transport in transports.values()
            for name, listener in transport.listeners.items()
        }
        self._journal = journal
        self.writer = writer
        self._transports = transports

    async def answer(self, request: Request) -> dict[str, Any]:
        """Carry out a request of the owner."""
        return await carry_out(self.hub, request, self.health)

    def health(self) -> dict[str, Any]:
        """Return the condition of every part: positions, depths, counters, troubles."""
        report = self.writer.report
        journal = self._journal.health
        return {
            "version": __version__,
            "journal": msgspec.to_builtins(journal),
            "writer": {
                "pid": self.writer.process_id,
                "restarts": self.writer.restarts,
                "behind": journal.head - report.position,
                **msgspec.to_builtins(report),
            },
            "devices_pending": self.hub.registry.pending(),
            "transports": {
                name: dict(transport.counters) for name, transport in self._transports.items()
            },
        }

    def write_run_file(self) -> None:
        """Write ``run.json``, whole or not at all."""
        content = RunFile(
            pid=os.getpid(),
            writer_pid=self.writer.process_id,
            version=__version__,
            database=self._history,
            ca=str((self.folder / "ca.crt").absolute()),
            listeners=self.listeners,
        )
        new = self.folder / f"{RUN_FILE}.new"
        new.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        new.replace(self.folder / RUN_FILE)

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
    stop = _stop_on_signals()
    folder = configuration.data_dir
    data_folder.prepare(folder)
    with data_folder.locked(folder, data_folder.LOCK_WAIT, tell), _plain_exceptions():
        try:
            async with asyncio.TaskGroup() as tasks, running(configuration, tasks) as hub:
                hub.write_run_file()
                hub.writer.on_start = hub.renew_run_file
                for name, listener in hub.listeners.items():
                    tell(f"{name}: {_address(listener)}{' (TLS)' if listener.tls else ''}")
                tell(f"Data in {folder}. Stop with Ctrl+C.")
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
        await _make_certificates(configuration)
        renewal = tasks.create_task(_renew_certificates_daily(configuration), name="certificates")
        stack.callback(renewal.cancel)
        hub, journal = stack.enter_context(open_hub(configuration, tasks))
        data_folder.remember_store(folder, configuration.store)
        writer = WriterProcess(folder, configuration.store, journal, tasks)
        stack.push_async_callback(writer.stop)
        await writer.start()
        await stack.enter_async_context(journal)
        ground = Ground(
            hub,
            utc_microseconds,
            partial(_server_tls, configuration),
            Places(_allow_many_files() - _OWN_FILES),
        )
        transports: dict[str, Transport] = {}
        for name, settings in configuration.transport.items():
            transport = parts.transports()[name].make(settings, ground)
            transports[name] = await stack.enter_async_context(transport)
        # From here on a stop must not wait for a full disk, however many senders do.
        stack.callback(journal.hurry)
        running_hub = RunningHub(
            folder, hub, journal, writer, transports, where_history_is(configuration)
        )
        await stack.enter_async_context(ControlServer(folder, running_hub.answer))
        yield running_hub


@contextmanager
def open_hub(
    configuration: Configuration, tasks: asyncio.TaskGroup
) -> Iterator[tuple[Hub, Journal]]:
    """Open the log and make a hub on it; the journal is still to be entered."""
    registry, first = _registry_of_history(configuration)
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
        journal = Journal(log, limits, utc_microseconds, tasks)
        settings = configuration.hub
        bounds = RegistryLimits(
            settings.pending_devices,
            settings.held_readings,
            settings.devices,
            settings.series_per_device,
        )
        hub = Hub(registry, journal, settings.admission, bounds, utc_microseconds)
        yield hub, journal
    finally:
        log.close()


async def carry_out_offline(configuration: Configuration, request: Request) -> dict[str, Any]:
    """Carry out a request while no hub runs, and fold it into the history.

    Raises:
        HubRunning: a hub does run.
        OwnerError: the request can't be carried out.
    """
    with data_folder.locked(configuration.data_dir), _plain_exceptions():
        async with asyncio.TaskGroup() as tasks:
            with open_hub(configuration, tasks) as (hub, journal):
                async with journal:
                    result = await carry_out(hub, request, lambda: {"running": False})
        fold_offline(configuration)
    return result


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
        consumer = Consumer("history", reader, FoldIntoHistory(store, reader))
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
    finally:
        store.close()
    if not position:
        return None, 1
    _logger.warning("journal.db is missing; begun anew after the history", position=position)
    return Registry(devices, series), position + 1


def _server_tls(configuration: Configuration, trust: ClientTrust) -> ServerTls:
    """Return the TLS contexts of a listener.

    Raises:
        CertificateError: a file can't be loaded: that stops the start, not a connection later.
    """
    certificates = configuration.data_dir / "certificates"
    tls = ServerTls(
        certificates / "server.crt",
        certificates / "server.key",
        configuration.data_dir / "ca.crt",
        client_required=trust.required,
        bundle=trust.bundle,
        protocols=trust.protocols,
        revoked=certificates / REVOKED_FILE,
        on_error=lambda text: _logger.error("certificate not reloaded", reason=text),
    )
    tls.context()
    return tls


async def _make_certificates(configuration: Configuration) -> None:
    """Make or renew what is needed, in a process of its own."""
    wanted = configuration.hub.certificate_names
    addresses = [one for one in wanted if _is_address(one)]
    names = [one for one in wanted if one not in addresses]
    done = await ensure_certificates(configuration.data_dir, names, addresses)
    if done.get("made"):
        _logger.info("certificates made", made=done["made"], reason=done.get("reason"))


async def _renew_certificates_daily(configuration: Configuration) -> None:
    """Renew what will expire; listeners show a new certificate from the next connection on."""
    while True:
        await asyncio.sleep(_DAY_SECONDS)
        try:
            await _make_certificates(configuration)
        except (CertificateError, OSError, msgspec.MsgspecError) as error:
            _logger.error("certificates not renewed", reason=str(error))


def _allow_many_files() -> int:
    """Raise the number of open files to what the system allows, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            sys.stderr.write("motehub: second signal, stopped at once.\n")
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


@contextmanager
def _plain_exceptions() -> Iterator[None]:
    """Take the one error out of the groups in which task groups wrap it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from group


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _address(listener: Listener) -> str:
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{host}:{listener.port}"
