"""How long posts take while the writer deletes old readings row by row, and while it does not."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.harness import Case, Sample, Settings
from bench.peers import PostgresHub, postgres_server
from bench.processes import ProcessFailed
from bench.servers import Hub
from motehub import parts
from motehub.core.history import make_fold
from motehub.frames import Columns, DeviceChanged, Entry, Frame, SeriesAdded
from motehub.history_contract import HistoryStore
from motehub.model import MICROSECONDS, Admission, Device, Series

SERIES: Final = 8
DAYS: Final = 40
QUICK_DAYS: Final = 10
STEP: Final = 10
"""Seconds between the readings of a series."""

KEPT: Final = "3d"
"""How long all but one series are kept: for its sake no partition can be dropped as a whole."""

SECONDS: Final = 10.0
QUICK_SECONDS: Final = 4.0
CONNECTIONS: Final = 4
PACE: Final = 25.0
"""Posts per second of a connection."""

READINGS: Final = 10
"""Readings of a post."""

_DAY: Final = 86_400
_SECTIONS: Final = """\
[web]
host = "127.0.0.1"
port = 0
tls = "off"
"""

_Start = Callable[[Settings, Path], AbstractContextManager[Hub]]


def cases(settings: Settings) -> Sequence[Case]:
    """Compare a hub that deletes with one that has nothing to delete, on both stores."""
    return [
        Case(
            f"posts while readings are deleted, {name}",
            {
                "deleting": partial(_measure, start, deletes=True),
                "nothing to delete": partial(_measure, start, deletes=False),
            },
        )
        for name, start in (("SQLite", _sqlite), ("PostgreSQL", _postgres))
    ]


@contextmanager
def _sqlite(settings: Settings, folder: Path) -> Iterator[Hub]:
    hub = Hub(folder, settings.certificates, sections=_SECTIONS, listener="web")
    _fill_store("sqlite", folder, "", settings)
    yield hub


@contextmanager
def _postgres(settings: Settings, folder: Path) -> Iterator[Hub]:
    with postgres_server() as server:
        url = server.new_database()
        hub = PostgresHub(folder, settings.certificates, url, sections=_SECTIONS, listener="web")
        _fill_store("postgres", folder, url, settings)
        yield hub


def _measure(start: _Start, settings: Settings, *, deletes: bool) -> Sample:
    seconds = QUICK_SECONDS if settings.quick else SECONDS
    with settings.fresh_folder() as folder, start(settings, folder) as hub:
        with hub:
            token = hub.command("token", "create", "bench", "--scope", "write").strip()
            # All that is there came long ago, so it doubts its clock.
            hub.command("retention", "confirm-clock")
            for number in range(1, SERIES if deletes else 0):
                hub.command("retention", "set", f"old-{number}", "--raw", KEPT)
        # One that starts looks at once what is old.
        with hub:
            began = time.monotonic()
            posters = [_Poster(hub.port, token, number, seconds) for number in range(CONNECTIONS)]
            first = _deleted(hub)
            for one in posters:
                one.start()
            for one in posters:
                one.join()
            passed = time.monotonic() - began
            last = _deleted(hub)
    took = sorted(one for poster in posters for one in poster.took)
    if any(poster.trouble for poster in posters):
        raise ProcessFailed(f"A post was not taken: {posters[0].trouble}")
    if deletes and last == first:
        raise ProcessFailed("Nothing was deleted while posts came.")
    cuts = statistics.quantiles(took, n=100)
    return {
        "median, ms": cuts[49] * 1e3,
        "99th percentile, ms": cuts[98] * 1e3,
        "longest, ms": took[-1] * 1e3,
        "posts/s": len(took) / seconds,
        "rows deleted/s": (last - first) / passed,
    }


class _Poster(threading.Thread):
    """Posts at an even pace, and notes how long each answer takes from when it was due."""

    def __init__(self, port: int, token: str, number: int, seconds: float) -> None:
        super().__init__()
        self.took: list[float] = []
        self.trouble = ""
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"}
        self._number = number
        self._seconds = seconds

    def run(self) -> None:
        """Post until the time is over."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as link:
            due = time.monotonic()
            end = due + self._seconds
            while due < end and not self.trouble:
                time.sleep(max(0.0, due - time.monotonic()))
                now = time.time_ns() // 1000
                lines = "".join(
                    f"bench,device=new-{self._number} m{metric}=1.5 {now}\n"
                    for metric in range(READINGS)
                )
                link.request("POST", "/api/v1/write?precision=us", lines, self._headers)
                answer = link.getresponse()
                said = answer.read()
                self.took.append(time.monotonic() - due)
                if answer.status >= 300:
                    self.trouble = f"{answer.status} {said[:200]!r}"
                due += 1 / PACE


def _deleted(hub: Hub) -> int:
    status = json.loads(hub.command("status"))
    return int(status["writer"]["retention"].get("deleted", 0))


def _fill_store(name: str, folder: Path, url: str, settings: Settings) -> None:
    """Fold readings of many days; the hub begins its journal after them."""
    with closing(parts.store(name).open(folder, url, False)) as store:
        _fill(store, QUICK_DAYS if settings.quick else DAYS)


def _fill(store: HistoryStore, days: int) -> None:
    # Of months that are over for long: PostgreSQL deletes whole ones.
    last = int(time.time()) // _DAY * _DAY - 60 * _DAY
    entries: list[Entry] = []
    for number in range(1, SERIES + 1):
        identity = (f"http.anonymous:{number}",)
        device = Device(number, f"old-{number}", "http", identity, Admission.ACCEPTED, 0)
        entries += [DeviceChanged(device), SeriesAdded(Series(number, number, "temperature", "°C"))]
    owners = {number: number for number in range(1, SERIES + 1)}
    for position, day in enumerate(range(last - days * _DAY, last, _DAY), 1):
        first, end = day * MICROSECONDS, (day + _DAY) * MICROSECONDS
        times = array("q", range(first, end, STEP * MICROSECONDS))
        made = Columns()
        for number in owners:
            made.add(number, times, array("d", [number + 0.5]) * len(times))
        frame = Frame(end, made, Columns(), entries)
        store.fold(make_fold([(position, frame)], owners))
        entries = []
    while store.settle_some(last * MICROSECONDS):
        pass
