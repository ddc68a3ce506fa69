"""The hub's own topics: ``readings/<device>/<metric>`` and ``readings/<device>``."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

from motehub.json_times import LAST_SECOND, round_seconds
from motehub.model import Clock, Samples, Source
from motehub.mqtt_meaning.gathering import Client
from motehub.mqtt_meaning.hearing import Hearing, Take
from motehub.mqtt_meaning.naming import is_name
from motehub.mqtt_meaning.objects import (
    MEMBERS,
    columns_of,
    decode_object,
    members,
    time_of,
)
from motehub.mqtt_meaning.values import NoReading, numbers_of, value_of

_HUB: Final = Clock.HUB
_METRIC_KEYS: Final = frozenset({"value", "time", "unit"})
_UNIT_BYTES: Final = 32


class Stamps(dict[int, "array[int]"]):
    """Columns of the moment ``now`` (UTC µs), by their length; those of one length are shared."""

    def __init__(self, now: int) -> None:
        super().__init__()
        self._now = now

    def __missing__(self, count: int) -> array[int]:
        """Make the column of a length."""
        times = self[count] = array("q", (self._now,)) * count
        return times


class _OfDevice:
    """A topic that names a device; the source is that of the client that spoke last."""

    __slots__ = ("_source", "device")

    def __init__(self, device: str) -> None:
        self.device = device
        self._source = Source("", "", "", "")

    def source_of(self, client: Client) -> Source:
        """Return the source of what ``client`` says here."""
        source = self._source
        if source.peer != client.peer or source.vouched != client.vouched:
            source = self._source = client.source(self.device)
        return source


class Series(_OfDevice):
    """A topic of one metric."""

    __slots__ = ("metric",)

    def __init__(self, device: str, metric: str) -> None:
        super().__init__(device)
        self.metric = metric

    def records_of(
        self, items: list[Any], are_payloads: bool, stamps: Stamps
    ) -> Sequence[Samples] | None:
        """Return what messages say that are all numbers, or None when each must be looked at.

        ``items`` are their payloads, or what these are if all of the read are numbers.
        """
        values = numbers_of(items) if are_payloads else items
        if values is None:
            return None
        return (Samples(self.metric, "", stamps[len(values)], array("d", values), _HUB),)

    def __call__(self, hearing: Hearing) -> None:
        """Take a message, whatever it is."""
        try:
            if hearing.payload.lstrip()[:1] == b"{":
                self._take_object(hearing, decode_object(hearing.payload))
            else:
                hearing.put(self.device, self.metric, "", value_of(hearing.payload))
        except NoReading as fault:
            hearing.reject(self.device, str(fault))

    def _take_object(self, hearing: Hearing, fields: dict[str, Any]) -> None:
        """Take ``{"value": …}`` with, if wanted, ``time`` and ``unit``."""
        for key in fields:
            if key not in _METRIC_KEYS:
                known = ", ".join(sorted(_METRIC_KEYS))
                raise NoReading(f"unknown key {key[:40]!r}; for one metric there are {known}")
        if "value" not in fields:
            raise NoReading("'value' is missing")
        unit = fields.get("unit") or ""
        if not isinstance(unit, str) or (unit and not _is_unit(unit)):
            raise NoReading(f"'unit' is not a text of at most {_UNIT_BYTES} printable bytes")
        time = fields.get("time")
        moment = None if time is None else time_of(time)
        hearing.put_member(self.device, self.metric, unit, fields["value"], moment)


class Group(_OfDevice):
    """A topic of a device: an object of metrics."""

    __slots__ = ()

    def records_of(
        self, items: list[Any], are_payloads: bool, stamps: Stamps
    ) -> Sequence[Samples] | None:
        """Return what objects of the same keys and only numbers say; else as for ``Series``."""
        columns = columns_of(items) if are_payloads else None
        if columns is None:
            return None
        times, clock = stamps[len(items)], _HUB
        seconds = columns.pop("time", None)
        if seconds is not None:
            if not 0 <= min(seconds) <= max(seconds) < LAST_SECOND:
                return None
            times, clock = array("q", map(round_seconds, seconds)), Clock.DEVICE
        if not columns or len(columns) > MEMBERS or not all(map(is_name, columns)):
            return None
        return [
            Samples(metric, "", times, array("d", values), clock)
            for metric, values in columns.items()
        ]

    def __call__(self, hearing: Hearing) -> None:
        """Take the metrics; what is wrong with one costs no other."""
        device = self.device
        try:
            fields = decode_object(hearing.payload)
            time = fields.pop("time", None)
            moment = None if time is None else time_of(time)
            metrics = metrics_of(fields)
        except NoReading as fault:
            hearing.reject(device, str(fault))
            return
        put_all(hearing, device, metrics, moment)


def metrics_of(fields: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the values in an object by metric: the keys that lead to one, joined by ``_``.

    Raises:
        NoReading: there are none, or too many.
    """
    found: dict[str, list[Any]] = {}
    for path, value in members(fields):
        found.setdefault("_".join(path), []).append(value)
    if not found:
        raise NoReading("there is no metric in the object")
    if len(found) > MEMBERS:
        raise NoReading(f"there are {len(found)} metrics; {MEMBERS:,} are the most")
    return found


def put_all(hearing: Hearing, device: str, metrics: dict[str, list[Any]], time: int | None) -> None:
    """Take the values of ``metrics_of``; where two have the same metric, none can be taken."""
    for metric, (value, *others) in metrics.items():
        if others:
            hearing.reject(device, f"several members make the metric {metric[:40]!r}")
        else:
            hearing.put_member(device, metric, "", value, time)


def route(levels: list[str]) -> Take | None:
    """Return what a topic means that begins with ``readings``."""
    if len(levels) in (2, 3) and all(map(is_name, levels[1:])):
        return Series(*levels[1:]) if len(levels) == 3 else Group(levels[1])
    return _refuse if len(levels) > 1 else None


def _refuse(hearing: Hearing) -> None:
    hearing.reject(None, "the topic is not readings/<device> or readings/<device>/<metric>")


def _is_unit(unit: str) -> bool:
    return unit.isprintable() and len(unit.encode()) <= _UNIT_BYTES
