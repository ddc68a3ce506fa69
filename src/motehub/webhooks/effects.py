"""What becomes of the journal in the outbox: the two consumers, for webhooks and for a base."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from motehub.contracts import LogReader
from motehub.errors import StorageError
from motehub.frames import (
    AlertChanged,
    CommandChanged,
    Frame,
    HubNoticed,
    PresenceChanged,
    WebhookPosted,
    Written,
)
from motehub.logs import Logger
from motehub.model import MICROSECONDS, Device, plain_number
from motehub.webhooks import messages
from motehub.webhooks.endpoints import Dashboard, Endpoint
from motehub.webhooks.names import Names, runs_of
from motehub.webhooks.outbox import Outbox
from motehub.webhooks.taking import Taking

UNIT: Final = "unit:"
"""How the identity of a unit begins; its address follows."""

PUSHER: Final = "pusher"
"""Type of the webhooks of Pusher's protocol."""

LATE_SECONDS: Final = 10.0
"""Age from which a reading is late: it is what waited while the dashboard was away."""

_PIECE: Final = 500

_Frames = Sequence[tuple[int, Frame]]

_logger = Logger("motehub.webhooks")


class _Following:
    """Keeps the cursor, and learns the registry; see :class:`motehub.contracts.Effect`."""

    def __init__(
        self, outbox: Outbox, reader: LogReader, journal: str, clock: Callable[[], int]
    ) -> None:
        self._outbox = outbox
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._names = Names()
        self._position: int | None = None
        self.missed = 0
        """Frames that the journal had no more when they were wanted."""

    def position(self) -> int:
        """Return the cursor; without one in this journal it is put to the journal's end."""
        try:
            position = self._outbox.position(self._journal)
            if position is None or position != self._position:
                # The registry of now: frames that are still to come change it once more.
                self._names.learn_anew(self._reader.state())
                head = self._reader.head()
                if position is None or position > head:
                    _logger.info("webhooks begin with what comes now", position=head)
                    self._outbox.begin_at(self._journal, position := head)
        except StorageError:
            self._position = None
            raise
        self._position = position
        return position

    def apply(self, frames: _Frames) -> None:
        """Put what ``frames`` say into the outbox, with the cursor, in one transaction."""
        if self._position is None:
            self._position = self.position()
        position = self._position
        frames = [one for one in frames if one[0] > position]
        if not frames:
            return
        if gap := frames[0][0] - position - 1:
            _logger.error("the journal has moved on: webhooks are missing", frames=gap)
            self.missed += gap
            self._names.learn_anew(self._reader.state())
        try:
            with self._outbox.taking(self._journal, frames[-1][0], self._clock()) as taking:
                for _, frame in frames:
                    if frame.damaged:
                        self._names.learn_anew(self._reader.state())
                    self._names.learn(frame.entries)
                    self._take(taking, frame)
        except StorageError:
            self._position = None
            raise
        self._position = frames[-1][0]

    def _take(self, taking: Taking, frame: Frame) -> None:
        raise NotImplementedError


class TellEndpoints(_Following):
    """Words the webhooks of endpoints; ``numbers`` are those of the outbox, by name."""

    def __init__(
        self,
        outbox: Outbox,
        reader: LogReader,
        journal: str,
        clock: Callable[[], int],
        endpoints: Sequence[Endpoint],
        numbers: dict[str, int],
    ) -> None:
        super().__init__(outbox, reader, journal, clock)
        self._endpoints = [(numbers[one.name], one) for one in endpoints]
        self._readers = [one for one in self._endpoints if "readings" in one[1].events]

    def _take(self, taking: Taking, frame: Frame) -> None:
        if self._readers:
            # A frame may have more readings than should be in memory as text.
            for piece in _pieces(self._readings(frame)):
                self._add_readings(taking, piece)
        for entry in frame.entries:
            match entry:
                case PresenceChanged(number, online):
                    if device := self._names.device(number):
                        message = messages.presence(device, online, frame.time)
                        self._add(taking, "presence", device, *message)
                case CommandChanged(command):
                    if device := self._names.device(command.device):
                        message = messages.command(device, command)
                        self._add(taking, "commands", device, *message)
                case AlertChanged(number):
                    if device := self._names.device(number):
                        self._add(taking, "alerts", device, *messages.alert(entry))
                case HubNoticed():
                    for number, endpoint in self._endpoints:
                        if "alerts" in endpoint.events and not endpoint.devices:
                            taking.add(number, endpoint.queue, *messages.notice(entry))
                case WebhookPosted(destination, body):
                    for number, endpoint in self._endpoints:
                        if endpoint.destination == destination:
                            taking.add(number, endpoint.queue, PUSHER, body)

    def _readings(self, frame: Frame) -> Iterator[tuple[str, bytes]]:
        """Yield the name of the device and the reading in JSON, of those that anybody wants."""
        for number, times, values in runs_of(frame):
            known = self._names.of_series(number)
            if known is None:
                continue
            device, series = known
            if any(endpoint.wants(device.name) for _, endpoint in self._readers):
                for time, value in zip(times, values, strict=True):
                    yield device.name, messages.reading(device, series, time, value)

    def _add_readings(self, taking: Taking, piece: Sequence[tuple[str, bytes]]) -> None:
        for number, endpoint in self._readers:
            delay = round(endpoint.interval * MICROSECONDS)
            wanted = [one for name, one in piece if endpoint.wants(name)]
            taking.add_readings(number, endpoint.queue, wanted, delay)

    def _add(self, taking: Taking, event: str, device: Device, kind: str, body: bytes) -> None:
        for number, endpoint in self._endpoints:
            if event in endpoint.events and endpoint.wants(device.name):
                taking.add(number, endpoint.queue, kind, body)


class TellDashboard(_Following):
    """Puts the readings of units into the outbox, in a lane for each unit.

    ``arrived`` is told how many readings came that are not late. While as many wait as there
    may be, none is taken: the journal keeps them.
    """

    def __init__(
        self,
        outbox: Outbox,
        reader: LogReader,
        journal: str,
        clock: Callable[[], int],
        dashboard: Dashboard,
        number: int,
        arrived: Callable[[int], None],
    ) -> None:
        super().__init__(outbox, reader, journal, clock)
        self._dashboard = dashboard
        self._number = number
        self._arrived = arrived
        self._lanes: dict[int, str | None] = {}
        self._edition = -1
        self._fresh = 0
        self._touched: set[str] = set()

    def apply(self, frames: _Frames) -> None:
        """Put the readings of ``frames`` into the outbox, with the cursor.

        Raises:
            StorageError: the outbox is full, or can't be written.
        """
        most = self._dashboard.queue
        if not self._dashboard.latest_only and self._outbox.waiting(self._number) >= most:
            raise StorageError(f"{most} readings wait for the dashboard; the journal keeps others.")
        self._fresh = 0
        super().apply(frames)
        self._arrived(self._fresh)

    def take_lanes(self) -> set[str]:
        """Return the lanes that got readings since this was last called."""
        touched, self._touched = self._touched, set()
        return touched

    def _take(self, taking: Taking, frame: Frame) -> None:
        if self._edition != self._names.edition:
            self._lanes.clear()
            self._edition = self._names.edition
        late = self._clock() - round(LATE_SECONDS * MICROSECONDS)
        written = _written(frame)
        for series, times, values in runs_of(frame):
            if series not in self._lanes:
                self._lanes[series] = self._lane_of(series)
            lane = self._lanes[series]
            if lane is None:
                continue
            self._touched.add(lane)
            self._fresh += len(times) if times[-1] > late else 0
            # Of many at once only the last would stay.
            skip = len(times) - 1 if self._dashboard.latest_only else 0
            for time, value in islice(zip(times, values, strict=True), skip, None):
                text = written.get((series, time)) or _text(value)
                taking.add_in_lane(
                    self._number, lane, time, text.encode(), replace=self._dashboard.latest_only
                )

    def _lane_of(self, series: int) -> str | None:
        """Return the address of the unit whose series it is; None for other devices."""
        known = self._names.of_series(series)
        if known is None:
            return None
        units = [one for one in known[0].identities if one.startswith(UNIT)]
        return units[-1].removeprefix(UNIT) if units else None


def _written(frame: Frame) -> dict[tuple[int, int], str]:
    """Return by series and time what units wrote, where that is not plainly the value."""
    return {
        (entry.series, time): text
        for entry in frame.entries
        if isinstance(entry, Written)
        for time, text in zip(entry.times, entry.texts, strict=True)
    }


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else plain_number(value)


def _pieces(readings: Iterator[tuple[str, bytes]]) -> Iterator[Sequence[tuple[str, bytes]]]:
    while piece := tuple(islice(readings, _PIECE)):
        yield piece
