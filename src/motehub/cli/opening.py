"""How commands come to the data of a hub, whether it runs or not."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from motehub import data_folder, parts
from motehub.app import carry_out_offline, fold_offline
from motehub.config import Configuration, load
from motehub.contracts import HistoryStore
from motehub.control import Request, ask
from motehub.core.history import wait_until_folded
from motehub.errors import HubRunning, OwnerError, UnknownDevice
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS, Device, Kind, Series
from motehub.quantities import Duration

FOREVER: Final = 2**62
"""A time (µs) after every reading."""

FOLD_WAIT: Final = 10.0
"""Longest wait in seconds until the history has what the journal holds."""


def configuration_of(data: Path) -> Configuration:
    """Return the configuration with which commands open the folder ``data``."""
    return load(None, {}, data_dir=data)


def tell_hub(data: Path, request: Request) -> dict[str, Any]:
    """Have the running hub carry out ``request``, or do it when none runs.

    Raises:
        OwnerError: it can't be carried out.
        ControlError: the hub does not answer.
    """
    import asyncio

    _check_folder(data)
    try:
        return asyncio.run(carry_out_offline(configuration_of(data), request))
    except HubRunning:
        return ask(data, request)


@contextmanager
def history_of(data: Path) -> Iterator[tuple[HistoryStore, bool]]:
    """Open the history for reading, once it has everything that was acknowledged.

    Yields the store and whether it does have everything: the hub may be unable to write it.
    """
    _check_folder(data)
    configuration = configuration_of(data)
    complete = True
    try:
        with data_folder.locked(data):
            fold_offline(configuration)
    except HubRunning:
        pass
    store = parts.store(configuration.store.type).open(data, True)
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


def rows_of(store: HistoryStore, series: Series, since: int) -> Iterator[tuple[int, float | str]]:
    """Yield time (µs) and value of all readings of ``series`` from ``since`` on."""
    parts = store.texts if series.kind is Kind.TEXT else store.readings
    for times, values in parts(series.id, since, FOREVER):
        yield from zip(times, values, strict=True)


def columns(store: HistoryStore, series: Series, since: int) -> tuple[array[int], array[float]]:
    """Return all readings of a series of numbers from ``since`` (µs) on as two columns."""
    times, values = array("q"), array("d")
    for some_times, some_values in store.readings(series.id, since, FOREVER):
        times.extend(some_times)
        values.extend(some_values)
    return times, values


def parse_since(text: str, now: float | None = None) -> int:
    """Return the UTC microseconds that ``24h`` (before now), a date or an ISO 8601 time mean.

    A time without zone is local.

    Raises:
        OwnerError: it is none of these.
    """
    now = time.time() if now is None else now
    try:
        return round((now - Duration.parse(text.removeprefix("-"))) * MICROSECONDS)
    except OwnerError:
        pass
    try:
        return round(datetime.fromisoformat(text).timestamp() * MICROSECONDS)
    except (ValueError, OverflowError, OSError) as error:
        raise OwnerError(
            f"{text!r} is not a time: write 24h, 7d, 2026-05-01 or 2026-05-01T12:00."
        ) from error


def _check_folder(data: Path) -> None:
    if not (data / "journal.db").exists():
        raise OwnerError(
            f"There is no hub data in {data}. Start one with 'motehub serve --data {data}', "
            "or name the folder with --data."
        )
