"""Which alerts there are, and who is told of them when: what a transition writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from motehub.alerting.book import Alert, Writing
from motehub.alerting.plan import NOBODY
from motehub.alerting.wording import (
    BEGINS,
    NOTICE,
    OVER,
    REMINDS,
    Told,
    end_sentence,
    limits,
    sentence,
    shown,
)
from motehub.alerts.engine import Key
from motehub.alerts.quiet import quiet_until
from motehub.alerts.rule import Severity
from motehub.alerts.watch import State, Transition, Value
from motehub.core.moments import iso
from motehub.core.rules import AlertNews
from motehub.frames import AlertAnswered, HubNoticed, MaintenanceChanged
from motehub.model import MICROSECONDS, Device, Series

MAINTENANCE: Final = "maintenance"
QUIET: Final = "quiet hours"
PAST: Final = "past"
ACKNOWLEDGE: Final = "acknowledge"
SNOOZE: Final = "snooze"

PAST_SECONDS: Final = 86_400
"""Of what began so long before the hub knew, and was over by then, nobody is told."""

_LOOK_BACK: Final = 10 * MICROSECONDS
_GONE: Final = "the rule, the device or the metric is gone"


class Telling:
    """The alerts that are not over. ``maintenance`` is until when (µs) devices are in it, by id."""

    def __init__(self, channels: Sequence[str], zone: ZoneInfo) -> None:
        self._channels = channels
        self._zone = zone
        self._open: dict[Key, Alert] = {}
        self._orphans: list[Key] = []
        self.maintenance: dict[int, int] = {}

    def resume(self, alerts: Iterable[Alert], alarms: set[Key]) -> None:
        """Go on with the alerts that are kept; ``alarms`` are the watches that say so still."""
        self._open = {(one.rule, one.subject): one for one in alerts}
        self._orphans = [key for key in self._open if key not in alarms]

    @property
    def due(self) -> int | None:
        """When somebody is to be told again (µs)."""
        return min((one.due for one in self._open.values() if one.due is not None), default=None)

    def is_due(self, now: int) -> bool:
        """Tell whether somebody is to be told by then, or alerts are over since nobody looks."""
        return bool(self._orphans) or ((due := self.due) is not None and due <= now)

    def take(
        self,
        writing: Writing,
        one: Transition,
        device: Device | None,
        series: Series | None,
        now: int,
    ) -> None:
        """Let a transition begin, change or end an alert."""
        key = one.rule.name, one.subject
        alert = self._open.get(key)
        if one.new.is_alarm and alert is None:
            if device is not None:
                self._begin(writing, one, device, series, now)
        elif one.new.is_alarm and alert is not None:
            alert.state = one.new.value
            writing.change(alert)
        elif alert is not None:
            self._end(writing, alert, one.time, one.value, now, one.reason)

    def follow(self, writing: Writing, devices: Mapping[int, Device]) -> None:
        """Let alerts be of their devices under the names that these have now."""
        for alert in self._open.values():
            device = devices.get(alert.device_id)
            if device is not None and device.name != alert.device:
                for sign in (": ", " is "):
                    # What the hub says begins so; what an owner wrote stays as it is.
                    if alert.text.startswith(f"{alert.device}{sign}"):
                        alert.text = device.name + alert.text.removeprefix(alert.device)
                        break
                alert.device = device.name
                writing.change(alert)

    def obey(self, writing: Writing, order: AlertAnswered | MaintenanceChanged, now: int) -> None:
        """Do what the owner says."""
        if isinstance(order, MaintenanceChanged):
            self.maintenance.pop(order.device, None)
            if order.until > now:
                self.maintenance[order.device] = order.until
            self._hold(writing, order.device, now)
            return
        alert = next((one for one in self._open.values() if one.id == order.alert), None)
        if alert is None:
            return
        if order.act == ACKNOWLEDGE:
            alert.acknowledged, alert.acknowledged_by = order.time, order.by
            alert.due = alert.snoozed = None
            writing.unremind(alert, REMINDS)
            text = f"{alert.text}: acknowledged by {order.by}"
        else:
            alert.snoozed = alert.due = order.until
            alert.acknowledged, alert.acknowledged_by = None, ""
            text = f"{alert.text}: snoozed until {iso(order.until)} by {order.by}"
        writing.change(alert)
        writing.report(_news(alert, order.time, f"{order.act}d", text))

    def announce(self, writing: Writing, notice: HubNoticed, now: int) -> None:
        """Tell everybody something of the hub itself, at any time."""
        told = Told(
            alert=0,
            kind=NOTICE,
            rule="",
            severity=notice.severity,
            device="",
            metric="",
            text=notice.text,
            limits="",
            time=notice.time,
            began=notice.time,
        )
        for channel in self._channels:
            writing.tell(channel, None, now, now, "", told)

    def remind(self, writing: Writing, now: int) -> None:
        """Tell again who has to be told again; end what nobody looks at any more."""
        for key in self._orphans:
            if (gone := self._open.get(key)) is not None:
                self._end(writing, gone, now, None, now, _GONE)
        self._orphans = []
        for alert in self._open.values():
            if alert.due is not None and alert.due <= now:
                repeat = _manner(alert).repeat
                alert.snoozed = None
                alert.due = now + repeat if repeat else None
                alert.told += self._tell(writing, alert, REMINDS, alert.text, now, now)
                writing.change(alert)

    def _begin(
        self, writing: Writing, one: Transition, device: Device, series: Series | None, now: int
    ) -> None:
        rule = one.rule
        repeat = round(rule.repeat * MICROSECONDS)
        lines = [limit for limit in (rule.below, rule.above) if isfinite(limit)]
        manner = Manner(rule.notify, repeat, rule.quiet, lines, bool(rule.message))
        alert = Alert(
            id=0,
            rule=rule.name,
            subject=one.subject,
            device_id=device.id,
            device=device.name,
            metric=series.metric if series is not None else "",
            unit=series.unit if series is not None else "",
            severity=rule.severity.value,
            state=one.new.value,
            began=one.time,
            noticed=now,
            ended=None,
            value=shown(one.value, ""),
            limits=limits(rule, one.estimated),
            text=sentence(rule, device, series, one.value, one.estimated),
            notify=msgspec.json.encode(manner).decode(),
            due=now + repeat if repeat else None,
            told=1,
        )
        writing.begin(alert)
        self._open[alert.rule, alert.subject] = alert
        self._tell(writing, alert, BEGINS, alert.text, one.time, now, one.value)
        writing.report(_news(alert, one.time, alert.state, alert.text))

    def _end(
        self, writing: Writing, alert: Alert, time: int, value: Value, now: int, reason: str
    ) -> None:
        del self._open[alert.rule, alert.subject]
        alert.ended, alert.due, alert.snoozed = max(time, alert.began), None, None
        text = f"{alert.text}: {reason}" if reason else end_sentence(alert, value)
        alert.state = State.OK.value
        if value is not None:
            alert.value = shown(value, "")
        writing.change(alert)
        # What began and ended while nobody was to be told was nothing, and so is the distant past.
        unsaid = writing.untell(alert, MAINTENANCE) + writing.untell(alert, PAST)
        if not unsaid and not reason:
            self._tell(writing, alert, OVER, text, alert.ended, now, value)
        writing.report(_news(alert, alert.ended, "over", text))

    def _tell(
        self,
        writing: Writing,
        alert: Alert,
        kind: str,
        text: str,
        time: int,
        now: int,
        value: Value = None,
    ) -> bool:
        """Add a message for each channel; tell whether there is any."""
        due, held = self._moment(alert.device_id, alert.severity, _manner(alert), now)
        if kind == BEGINS and time < now - PAST_SECONDS * MICROSECONDS and held != MAINTENANCE:
            # What comes with it may say already that it is over.
            due, held = max(due, now + _LOOK_BACK), PAST
        told = Told(
            alert.id,
            kind,
            alert.rule,
            alert.severity,
            alert.device,
            alert.metric,
            text,
            alert.limits,
            time,
            alert.began,
            max(0, alert.subject),
            value if isinstance(value, float) else None,
            alert.unit,
            tuple(_manner(alert).lines),
            # What is told at the end are the hub's words.
            _manner(alert).own and kind != OVER,
        )
        # Whoever is still to be told of it need not be told again.
        channels = [
            one
            for one in self._channels_of(alert)
            if kind != REMINDS or not writing.waits(one, alert)
        ]
        for channel in channels:
            writing.tell(channel, alert, now, due, held, told)
        return bool(channels)

    def _moment(self, device: int, severity: str, manner: Manner, now: int) -> tuple[int, str]:
        """Return when people may be told (µs), and what they wait for until then."""
        until = self.maintenance.get(device, 0)
        due, held = (until, MAINTENANCE) if until > now else (now, "")
        if severity == Severity.CRITICAL.value:
            return due, held
        # A maintenance may end in the middle of the night.
        end = quiet_until(manner.quiet, due, self._zone)
        return (due, held) if end is None else (end, held or QUIET)

    def _hold(self, writing: Writing, device: int, now: int) -> None:
        """Let what waits of a device wait for its maintenance, or no longer."""
        for one in writing.waiting_of(device):
            due, held = self._moment(device, one.severity, _read(one.notify), now)
            # What was held back before is told afterwards, though it may be over then.
            writing.put_off(one.id, due, one.held if one.held in (QUIET, PAST) else held)

    def _channels_of(self, alert: Alert) -> Sequence[str]:
        wanted = _manner(alert).channels
        if NOBODY in wanted:
            return ()
        # Where nobody is left of those who were to be told, everybody is.
        return [one for one in self._channels if one in wanted] or self._channels


class Manner(msgspec.Struct, frozen=True, array_like=True):
    """How people are told of an alert, as its rule was when it began.

    ``repeat`` is after how long they are told again (µs), 0 for never; ``quiet`` are the quiet
    hours, ``lines`` the limits, for pictures. ``own`` tells whether the owner wrote the text.
    """

    channels: list[str]
    repeat: int
    quiet: str
    lines: list[float] = []
    own: bool = False


def _manner(alert: Alert) -> Manner:
    return _read(alert.notify)


def is_own(notify: str) -> bool:
    """Tell whether the owner wrote the text of an alert, by its ``notify``."""
    return _read(notify).own


def _read(notify: str) -> Manner:
    return msgspec.json.decode(notify, type=Manner)


def _news(alert: Alert, time: int, state: str, text: str) -> AlertNews:
    body: dict[str, Any] = {
        "id": alert.id,
        "state": state,
        "rule": alert.rule,
        "severity": alert.severity,
        "device": alert.device,
        "metric": alert.metric or None,
        "unit": alert.unit,
        "value": alert.value or None,
        "limits": alert.limits,
        "text": text,
        "began": iso(alert.began),
        "ended": None if alert.ended is None else iso(alert.ended),
        "acknowledged_by": alert.acknowledged_by or None,
    }
    return AlertNews(0, alert.device_id, time, state, text, msgspec.json.encode(body).decode())
