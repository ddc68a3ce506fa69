"""A hub with all its parts open: its condition, what its owner should know, its run file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from motehub import __version__
from motehub.backup.archive import remembered
from motehub.certificates import CA_FILE
from motehub.config import Configuration
from motehub.contracts import Transport
from motehub.control import Request, carry_out
from motehub.core.hub import Hub
from motehub.core.journal import Journal, JournalLimits
from motehub.core.moments import iso
from motehub.health import HistorySize, Troubles, connections, speed, versions
from motehub.journals.sqlite import SqliteLogReader
from motehub.logs import Logger
from motehub.noticing import Sight
from motehub.own_address import own_link
from motehub.run_file import RunFile
from motehub.storage import utc_microseconds, where_history_is
from motehub.supervisor import HISTORY, ConsumerProcess, condition_of
from motehub.units import UnitDesk

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
        self._units = unit_desk(transports)
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


def unit_desk(transports: Mapping[str, Transport]) -> UnitDesk | None:
    """Return where the owner looks after units, if one of the transports is for these."""
    return next((one for one in transports.values() if isinstance(one, UnitDesk)), None)
