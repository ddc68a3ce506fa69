"""The base role alone, in one process: units here, a dashboard elsewhere; no web, no history."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec

from motehub import __version__, data_folder, parts
from motehub.config import Configuration
from motehub.consumer_thread import ConsumerThread
from motehub.contracts import ClientTrust, Ground, Places, TlsContexts, Transport
from motehub.control import ControlServer, Request, carry_out
from motehub.core.admission import Policy
from motehub.core.hub import Hub
from motehub.core.journal import Journal
from motehub.errors import ConfigurationError
from motehub.http_client import place_of
from motehub.journals.sqlite import SqliteLogReader
from motehub.process import (
    allow_many_files,
    collect_garbage_seldom,
    stop_on_signals,
    switch_threads_often,
)
from motehub.run_file import RUN_FILE, RunFile
from motehub.storage import open_hub, plain_exceptions, utc_microseconds
from motehub.units import UnitDesk
from motehub.webhook_plans import base_plan

ROLES: Final = ("units", "pusher_client")
"""Sections ``[transport.…]`` that a base unit runs."""

_OWN_FILES: Final = 50


class RunningBase:
    """A base unit with all its parts open."""

    def __init__(
        self,
        hub: Hub,
        journal: Journal,
        consumer: ConsumerThread,
        transports: dict[str, Transport],
    ) -> None:
        self.hub = hub
        self._journal = journal
        self._consumer = consumer
        self._transports = transports

    async def answer(self, request: Request) -> dict[str, Any]:
        """Carry out a request of the owner."""
        return await carry_out(self.hub, request, self.health, _unit_desk(self._transports))

    def health(self) -> dict[str, Any]:
        """Return the condition of every part: positions, counters, troubles."""
        journal = self._journal.health
        return {
            "version": __version__,
            "role": "base",
            "journal": msgspec.to_builtins(journal),
            "consumers": {self._consumer.name: self._consumer.condition(journal.head)},
            "devices_pending": self.hub.registry.pending(),
            "transports": {
                name: dict(transport.counters) for name, transport in self._transports.items()
            },
        }


def check_base(configuration: Configuration) -> Configuration:
    """Return ``configuration`` for a base unit: with units, if only added while it runs.

    Raises:
        ConfigurationError: it is not one of a base unit, or has more.
    """
    if "pusher_client" not in configuration.transport:
        raise ConfigurationError(
            "A base unit needs the section [transport.pusher_client] with api_url and api_token "
            "of its dashboard."
        )
    others = [f"[transport.{name}]" for name in configuration.transport if name not in ROLES]
    others += ["[web]"] if configuration.web is not None else []
    others += ["[[mirror]]"] if configuration.mirror else []
    others += ["[[webhook]]"] if configuration.webhook else []
    if others:
        raise ConfigurationError(
            f"'motehub base' runs [transport.units] and [transport.pusher_client] alone. Leave "
            f"out {', '.join(others)}, or run 'motehub serve', which can do both."
        )
    units = parts.transport("units").settings()
    transport = {"units": units, **configuration.transport}
    return msgspec.structs.replace(configuration, transport=transport)


async def serve_base(configuration: Configuration, tell: Callable[[str], None]) -> None:
    """Run a base unit until SIGTERM or SIGINT; a second signal ends it at once.

    Raises:
        MotehubError: a part can't be opened.
    """
    configuration = check_base(configuration)
    stop = stop_on_signals()
    switch_threads_often()
    folder = configuration.data_dir
    data_folder.prepare(folder)
    with data_folder.locked(folder, data_folder.LOCK_WAIT, tell), plain_exceptions():
        try:
            async with asyncio.TaskGroup() as tasks, running_base(configuration, tasks):
                collect_garbage_seldom()
                dashboard = place_of(configuration.transport["pusher_client"].api_url)
                tell(f"dashboard: {dashboard.shown}")
                tell(f"Data in {folder}. Stop with Ctrl+C.")
                # Last: who waits for it may go on to read what was said.
                RunFile(os.getpid(), None, __version__, "", "", {}).write(folder)
                await stop.wait()
                tell("Stopping: what was received is stored first.")
                (folder / RUN_FILE).unlink(missing_ok=True)
        finally:
            (folder / RUN_FILE).unlink(missing_ok=True)


@asynccontextmanager
async def running_base(
    configuration: Configuration, tasks: asyncio.TaskGroup
) -> AsyncIterator[RunningBase]:
    """Open every part for the duration of the block.

    Raises:
        MotehubError: a part can't be opened; what was open is closed again.
    """
    folder = configuration.data_dir
    plan = base_plan(configuration)
    assert plan is not None, "check_base has seen to that"
    async with AsyncExitStack() as stack:
        hub, journal = stack.enter_context(open_hub(configuration, tasks, keeps_history=False))
        consumer = ConsumerThread("base", folder, plan, journal)
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        await stack.enter_async_context(journal)
        for dialect in hub.sessions.dialects() - configuration.transport.keys():
            await hub.interrupt(dialect)
        stack.enter_context(hub.commands.kept_in_time())
        transports: dict[str, Transport] = {}
        ground = _ground(configuration, hub, lambda: _unit_desk(transports))
        for name in ROLES:
            transport = parts.transport(name).make(configuration.transport[name], ground)
            transports[name] = await stack.enter_async_context(transport)
        # From here on a stop must not wait for a full disk.
        stack.callback(journal.hurry)
        running = RunningBase(hub, journal, consumer, transports)
        await stack.enter_async_context(ControlServer(folder, running.answer))
        yield running


def _ground(configuration: Configuration, hub: Hub, units: Callable[[], UnitDesk | None]) -> Ground:
    return Ground(
        hub,
        utc_microseconds,
        _no_tls,
        Places(allow_many_files() - _OWN_FILES),
        hub.commands,
        SqliteLogReader(configuration.data_dir).state,
        hub.tokens,
        hub.registry,
        configuration.hub.admission is Policy.OPEN,
        commander=hub,
        units=units,
    )


def _no_tls(trust: ClientTrust) -> TlsContexts:
    raise ConfigurationError(f"A base unit listens nowhere: no certificate for {trust}.")


def _unit_desk(transports: dict[str, Transport]) -> UnitDesk | None:
    return next((one for one in transports.values() if isinstance(one, UnitDesk)), None)
