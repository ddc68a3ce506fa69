"""How long the hub takes to answer for charts of one series with a reading every second."""

from __future__ import annotations

import http.client
import json
import math
import statistics
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, Final

from bench.harness import Case, Sample, Settings
from bench.peers import PostgresHub, postgres_server
from bench.processes import ProcessFailed
from bench.servers import Hub
from motehub import parts
from motehub.core.history import make_fold
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Admission, Device, Series

DAYS: Final = 365
QUICK_DAYS: Final = 40

POINTS: Final = 800
TRIES: Final = 21

RANGES: Final = {
    "1 hour": 3_600,
    "12 hours": 43_200,
    "1 day": 86_400,
    "7 days": 7 * 86_400,
    "30 days": 30 * 86_400,
    "40 days": 40 * 86_400,
    "90 days": 90 * 86_400,
    "a year": 365 * 86_400,
}
"""Seconds of each; 12 hours and 40 days are the worst that the tiers have to offer."""

SPIKE: Final = 1_000.0
"""One reading among all; the others are below a hundred."""

_DAY: Final = 86_400
_HOUR: Final = 3_600
_SECTIONS: Final = """\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
"""


def cases(settings: Settings) -> Sequence[Case]:
    """Ask for 800 points of an hour, a day, …, a year, of a history in either store."""
    days = QUICK_DAYS if settings.quick else DAYS
    return [
        Case(
            f"{days} days at 1 Hz, {POINTS} points",
            {
                "SQLite": partial(_run, "sqlite", days),
                "PostgreSQL": partial(_run, "postgres", days),
            },
        )
    ]


def _run(kind: str, days: int, settings: Settings) -> Sample:
    with _hub(kind, days, settings) as (hub, spike):
        token = hub.command("token", "create", "bench", "--scope", "read").strip()
        with closing(http.client.HTTPConnection("127.0.0.1", hub.port)) as connection:
            sample: dict[str, float] = {}
            for name, seconds in RANGES.items():
                if seconds <= days * _DAY:
                    spent = [_ask(connection, token, seconds, spike) for _ in range(TRIES)]
                    # The first one also starts the process that answers, or reads from the disk.
                    sample[f"{name}, ms"] = statistics.median(spent[1:])
                    sample[f"{name}, longest, ms"] = max(spent[1:])
        return sample


@contextmanager
def _hub(kind: str, days: int, settings: Settings) -> Iterator[tuple[Hub, int]]:
    """Give a hub with a history of ``days``, and when its spike was (seconds)."""
    end = int(time.time())
    with settings.fresh_folder() as folder:
        if kind == "sqlite":
            with closing(parts.store(kind).open(folder, "", False)) as store:
                spike = _fill(store, end, days)
            with Hub(folder, settings.certificates, sections=_SECTIONS, listener="web") as hub:
                yield hub, spike
            return
        with postgres_server() as server:
            url = server.new_database()
            with closing(parts.store(kind).open(folder, url, False)) as store:
                spike = _fill(store, end, days)
            web = {"sections": _SECTIONS, "listener": "web"}
            with PostgresHub(folder, settings.certificates, url, **web) as hub:
                yield hub, spike


def _fill(store: HistoryStore, end: int, days: int) -> int:
    """Fold a reading of each second before ``end``; return when the highest was.

    That is in the last half hour, so that each range has it.
    """
    device = Device(1, "roof", "bench", ("bench:roof",), Admission.ACCEPTED, 0)
    entries: list[Entry] = [DeviceChanged(device), SeriesAdded(Series(1, 1, "temperature", "°C"))]
    spike = end - _HOUR // 2
    devices: dict[int, int] = {}
    wave = array("d", (10 + 5 * math.sin(second / 13_751) for second in range(_DAY)))
    for number, begin in enumerate(range(end - days * _DAY, end, _DAY), 1):
        values = wave[:]
        if begin <= spike < begin + _DAY:
            values[spike - begin] = SPIKE
        columns = Columns()
        times = range(begin * MICROSECONDS, (begin + _DAY) * MICROSECONDS, MICROSECONDS)
        columns.add(1, array("q", times), values)
        frame = Frame(begin * MICROSECONDS, columns, Columns(), entries if number == 1 else [])
        store.fold(make_fold([(number, frame)], devices))
    while store.settle_some(end // _HOUR * _HOUR * MICROSECONDS):
        pass
    return spike


def _ask(connection: http.client.HTTPConnection, token: str, seconds: int, spike: int) -> float:
    """Return how many ms an answer took, of which every bucket was looked at afterwards."""
    target = f"/api/v1/readings?device=roof&metric=temperature&from=-{seconds}s&points={POINTS}"
    began = time.perf_counter()
    connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    spent = 1000 * (time.perf_counter() - began)
    if answer.status != http.client.OK:
        raise ProcessFailed(f"The hub answered {answer.status}: {body[:300]!r}")
    _check(json.loads(body)["series"][0], spike)
    return spent


def _check(series: dict[str, Any], spike: int) -> None:
    """See that the spike is the highest of its bucket, and the buckets are as many as they may."""
    found = [number for number, high in enumerate(series["max"]) if high == SPIKE]
    if len(found) != 1 or len(series["times"]) > POINTS:
        raise ProcessFailed(f"{len(series['times'])} buckets, {len(found)} of them with the spike.")
    begin = series["times"][found[0]]
    if not begin <= spike < begin + series["width"]:
        raise ProcessFailed("The spike is in another bucket than that of its time.")
