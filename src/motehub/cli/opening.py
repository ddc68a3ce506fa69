"""How commands come to the data of a hub, whether it runs or not."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from motehub import data_folder
from motehub.archived import Raw
from motehub.config import ENVIRONMENT_PREFIX, Configuration, load
from motehub.control import Request, answers, ask
from motehub.core.history import wait_until_folded
from motehub.errors import ControlError, HubRunning, NoHub, OwnerError, UnknownDevice
from motehub.history_contract import HistoryStore
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS, Device, Kind, Series
from motehub.quantities import Duration
from motehub.storage import carry_out_offline, fold_offline, open_store

_Result = TypeVar("_Result")

FOREVER: Final = 2**62
"""A time (µs) after every reading."""

_YEAR_1: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()

FOLD_WAIT: Final = 10.0
"""Longest wait in seconds until the history has what the journal holds."""


def configuration_of(data: Path) -> Configuration:
    """Return the configuration with which commands open the folder ``data``.

    The history is the one that the environment names, or else that of the folder's last hub.

    Raises:
        ConfigurationError: what either says about it is wrong.
    """
    return with_store_of_folder(load(None, _named_store(), data_dir=data))


def with_store_of_folder(configuration: Configuration) -> Configuration:
    """Return ``configuration`` with the store of the folder's last hub.

    It stays as it is where the environment names a store, or no hub has run there.

    Raises:
        ConfigurationError: ``store.json`` can't be read.
    """
    remembered = None if _named_store() else data_folder.remembered_store(configuration.data_dir)
    if remembered is None:
        return configuration
    return msgspec.structs.replace(configuration, store=remembered)


def _named_store() -> dict[str, str]:
    """Return the variables of the environment that name a store."""
    beginning = f"{ENVIRONMENT_PREFIX}STORE_"
    return {key: text for key, text in os.environ.items() if key.startswith(beginning)}


def tell_hub(data: Path, request: Request, *, make: bool = False) -> dict[str, Any]:
    """Have the running hub carry out ``request``, or do it when none runs.

    ``make`` allows a folder on which no hub has run yet: it is prepared for the first start.

    Raises:
        OwnerError: it can't be carried out.
        ControlError: the hub does not answer.
    """
    import asyncio

    if make:
        data_folder.prepare(data)
    else:
        check_folder(data)
    try:
        configuration = configuration_of(data)
        return _unless_hub(data, lambda: asyncio.run(carry_out_offline(configuration, request)))
    except HubRunning:
        pass
    try:
        return ask(data, request)
    except NoHub as error:
        raise ControlError(
            f"A hub is starting or stopping on {data}, or another command is at work. "
            "Try again in a moment."
        ) from error


@contextmanager
def history_of(data: Path) -> Iterator[tuple[HistoryStore, bool]]:
    """Open the history for reading, once it has everything that was acknowledged.

    Yields the store and whether it does have everything: the hub may be unable to write it.

    Raises:
        OwnerError: there is none: no hub has run there, or only a base unit.
    """
    check_history(data)
    configuration = configuration_of(data)
    complete = True

    def fold() -> None:
        with data_folder.locked(data):
            fold_offline(configuration)

    with suppress(HubRunning):
        _unless_hub(data, fold)
    store = open_store(configuration, read_only=True)
    try:
        reader = SqliteLogReader(data)
        complete = wait_until_folded(store, reader, FOLD_WAIT)
        reader.close()
        yield store, complete
    finally:
        store.close()


def find_series(store: HistoryStore, name: str, metrics: list[str]) -> tuple[Device, list[Series]]:
    """Return the device called ``name`` and its series, or only those of ``metrics``.

    Raises:
        UnknownDevice: there is no such device.
        OwnerError: it has no such metric.
    """
    devices, all_series = store.registry()
    device = next((device for device in devices if device.name == name), None)
    if device is None:
        known = ", ".join(device.name for device in devices[:10]) or "none yet"
        raise UnknownDevice(f"There is no device called {name!r}. Known devices: {known}.")
    series = [one for one in all_series if one.device == device.id]
    missing = set(metrics) - {one.metric for one in series}
    if missing:
        known = ", ".join(one.metric for one in series) or "none yet"
        raise OwnerError(f"{name} has no metric {min(missing)!r}. It has: {known}.")
    return device, [one for one in series if not metrics or one.metric in metrics]


def rows_of(raw: Raw, series: Series, since: int) -> Iterator[tuple[int, float | str]]:
    """Yield time (µs) and value of all readings of ``series`` from ``since`` on."""
    parts = raw.texts if series.kind is Kind.TEXT else raw.readings
    for times, values in parts(series.id, since, FOREVER):
        yield from zip(times, values, strict=True)


def columns(raw: Raw, series: Series, since: int) -> tuple[array[int], array[float]]:
    """Return all readings of a series of numbers from ``since`` (µs) on as two columns."""
    times, values = array("q"), array("d")
    for some_times, some_values in raw.readings(series.id, since, FOREVER):
        times.extend(some_times)
        values.extend(some_values)
    return times, values


def parse_since(text: str, now: float | None = None) -> int:
    """Return the UTC microseconds that ``24h`` (before now), a date or an ISO 8601 time mean.

    A time without zone is local.

    Raises:
        click.BadParameter: it is none of these, or before the year 1.
    """
    now = time.time() if now is None else now
    try:
        seconds = now - Duration.parse(text.removeprefix("-"))
    except OwnerError:
        try:
            seconds = datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            raise click.BadParameter(
                f"{text!r} is not a time: write 24h, 7d, 2026-05-01 or 2026-05-01T12:00."
            ) from None
    if seconds < _YEAR_1:
        raise click.BadParameter(f"{text!r} ago is before the year 1: write 24h, 7d or 10y.")
    return round(seconds * MICROSECONDS)


def _unless_hub(data: Path, work: Callable[[], _Result]) -> _Result:
    """Do what needs the folder for itself, once other commands have left it.

    Raises:
        HubRunning: a hub answers, or the folder is not free in time.
    """
    deadline = time.monotonic() + data_folder.LOCK_WAIT
    while True:
        try:
            return work()
        except HubRunning:
            if answers(data) or time.monotonic() >= deadline:
                raise
        time.sleep(data_folder.LOCK_POLL)


def check_history(data: Path) -> None:
    """See that a hub has run on the folder which keeps a history.

    Raises:
        OwnerError: none has, or only a base unit.
    """
    check_folder(data)
    if data_folder.is_of_base(data):
        raise OwnerError(
            f"{data} is that of a base unit, which keeps no history: its dashboard does. "
            "'motehub units list' and 'motehub status' say how its units are."
        )


def check_folder(data: Path) -> None:
    """See that a hub has run on the folder.

    Raises:
        OwnerError: none has.
    """
    if not data_folder.exists(data, "journal.db"):
        raise OwnerError(
            f"There is no hub data in {data}. Start one with 'motehub serve --data {data}', "
            "or name the folder with --data."
        )
