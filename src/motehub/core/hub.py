"""The one door: everything that any device says comes in through ``Hub.accept``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from motehub.command import DEFAULT_SECONDS, Command, Value, checked_order
from motehub.contracts import Note
from motehub.core.accounts import Accounts
from motehub.core.admission import Doorkeeper, Policy, RegistryLimits, accept_device
from motehub.core.audit import Audit, doer
from motehub.core.calibrations import AS_IT_IS, Calibration, checked_calibration
from motehub.core.commands import CommandNote, Commands, nothing_to_note
from motehub.core.feed import Feed
from motehub.core.intake import Intake
from motehub.core.journal import Journal
from motehub.core.moments import iso
from motehub.core.notices import Notices, Told
from motehub.core.profiles import Profile, checked_interval, checked_labels
from motehub.core.registry import Registry
from motehub.core.reports import ReportBook, Reports
from motehub.core.retention import Choice, Plan, Retention, Rule
from motehub.core.rules import RuleBook, Rules
from motehub.core.sessions import Sessions
from motehub.core.tokens import Tokens
from motehub.errors import OwnerError
from motehub.frames import Batch, DeviceChanged, EventOccurred, HeldDropped, WebhookPosted
from motehub.logs import Logger
from motehub.model import (
    Admission,
    Delivery,
    Device,
    Kind,
    Receipt,
    Scope,
    Token,
    given_name,
)

_logger = Logger("motehub.hub")


class Hub:
    """Admits, stamps and journals what devices say, and carries out the owner's decisions.

    ``clock`` returns UTC microseconds.
    """

    def __init__(
        self,
        registry: Registry,
        tokens: Tokens,
        sessions: Sessions,
        commands: Commands,
        accounts: Accounts,
        journal: Journal,
        policy: Policy,
        limits: RegistryLimits,
        clock: Callable[[], int],
        audit: Audit | None = None,
        rules: RuleBook | None = None,
        reports: ReportBook | None = None,
        retention: Retention | None = None,
        told: Mapping[str, Told] | None = None,
    ) -> None:
        self.registry = registry
        self.tokens = tokens
        self.sessions = sessions
        self.commands = commands
        self.accounts = accounts
        self.audit = audit or Audit((), clock)
        self.rules = Rules(rules or RuleBook(), registry, journal, clock)
        self.reports = Reports(reports or ReportBook(), journal, clock, self.rules.needed)
        self.retention = retention or Retention(Plan(), {})
        self.notices = Notices(told or {}, journal, clock, self.rules.needed)
        self.feed = Feed(registry, journal)
        self._journal = journal
        self._intake = Intake(registry, sessions, Doorkeeper(policy, limits, registry))
        self._clock = clock

    @property
    def held_back(self) -> str | None:
        """Why the journal takes nothing at the moment, or None."""
        return self._journal.held_back

    async def accept(
        self, deliveries: Sequence[Delivery], note: Note | None = None
    ) -> list[Receipt]:
        """Return, when all of it is durable in the journal, what became of each delivery.

        Records of a device that is pending are held, those of one that may not write are
        rejected; either way they are counted. See :class:`motehub.contracts.Acceptor`.

        Raises:
            StorageError: the hub is stopping and the journal can't be written.
        """
        batch = Batch()
        now = self._clock()
        intake = self._intake
        receipts = [
            intake.take_known(batch, one.known, now)
            if one.known
            else intake.take(batch, one.source, one.records, now)
            for one in deliveries
        ]
        if note is not None:
            batch.state.update(note(receipts))
        if self.commands.confirmations.are_awaited:
            self.commands.look(batch, now)
        joined = self.sessions.take_joined()
        if batch:
            await self._journal.append(batch)
        if joined:
            self.sessions.tell_joined(joined)
        return receipts

    async def interrupt(self, dialect: str) -> None:
        """Mark all devices offline that joined over a transport whose connections are gone.

        See :class:`motehub.contracts.Acceptor`.
        """
        batch = Batch()
        self.sessions.interrupt(batch, dialect, self._clock())
        if batch:
            # Not waited for: a hub also starts while its journal takes nothing.
            self._journal.put(batch).add_done_callback(_look_at)

    async def post(self, destination: str, body: bytes) -> None:
        """Have ``body`` sent to whoever has a webhook for ``destination``; return when durable.

        It is delivered at least once, from the journal on: nobody here waits for a receiver.

        Raises:
            StorageError: the hub is stopping and the journal can't be written.
        """
        batch = Batch()
        batch.entries.append(WebhookPosted(destination, body))
        await self._journal.append(batch)

    def note_deed(self) -> None:
        """Note what somebody did that has changed nothing in the journal; it is durable soon."""
        batch = Batch()
        self.audit.note(batch)
        if batch:
            self._journal.put(batch).add_done_callback(_look_at)

    async def accept_device(self, name: str, new_name: str | None = None) -> Device:
        """Let the device write, under ``new_name`` if one is given; store what was held.

        Raises:
            UnknownDevice: no device is called ``name``.
            InvalidName: ``new_name`` is taken or breaks the rules for names.
        """
        batch = Batch()
        old = self.registry.by_name(name)
        device = accept_device(self.registry, batch, old, new_name, self._clock())
        self._follow(batch, old, device)
        await self._journal.append(batch)
        return device

    async def rename_device(self, name: str, new_name: str) -> Device:
        """Give the device another name.

        Raises:
            UnknownDevice: no device is called ``name``.
            InvalidName: ``new_name`` is taken or breaks the rules for names.
        """
        old = self.registry.by_name(name)
        if name == new_name:
            return old
        batch = Batch()
        device = msgspec.structs.replace(old, name=self.registry.check_new_name(new_name))
        self.registry.replace(batch, device)
        self._follow(batch, old, device)
        self._note_event(batch, device, "renamed", f"renamed from {name} to {new_name}")
        await self._journal.append(batch)
        return device

    async def describe_device(
        self,
        name: str,
        labels: Sequence[str],
        interval: float | None,
        units: Mapping[str, str] = MappingProxyType({}),
    ) -> Device:
        """Keep what the owner says of a device: all its labels, and when something is expected.

        ``interval`` is in seconds. ``units`` gives series of numbers a unit, by metric; "" takes it
        back.

        Raises:
            UnknownDevice: no device is called ``name``.
            InvalidProfile: there is no such metric, the device says the unit itself, or what is
                said breaks the rules.
        """
        batch = Batch()
        device = self.registry.by_name(name)
        labels, interval = checked_labels(labels), checked_interval(interval)
        given = self.registry.give_units(batch, device, units)
        if interval is not None:
            self.rules.needed.set()
        self.registry.profiles.put(batch, device.id, Profile(labels, interval, given))
        # Whoever looks on is told that something has changed.
        batch.entries.append(DeviceChanged(device))
        await self._journal.append(batch)
        return device

    async def calibrate(self, name: str, metric: str, calibration: Calibration) -> Calibration:
        """Let the numbers of a metric that come from now on be calibrated so.

        What is stored stays as it is.

        Raises:
            UnknownDevice: no device is called ``name``.
            InvalidProfile: there is no such metric, or numbers can't be calibrated so.
        """
        batch = Batch()
        device = self.registry.by_name(name)
        series = self.registry.numbers_of(device, metric)
        old = self.registry.calibrations.of(series.id)
        self.registry.calibrate(batch, series, checked_calibration(calibration))
        if calibration != (old or AS_IT_IS):
            text = f"{metric}: {calibration.describe(series.unit)}"
            self._note_event(batch, device, "calibrated", text)
        await self._journal.append(batch)
        return calibration

    async def block_device(self, name: str) -> Device:
        """Refuse everything that the device sends from now on; reject what was held.

        Raises:
            UnknownDevice: no device is called ``name``.
        """
        batch = Batch()
        old = self.registry.by_name(name)
        device = msgspec.structs.replace(old, admission=Admission.BLOCKED, held=0)
        self.registry.replace(batch, device)
        self._note_event(batch, device, "blocked", "blocked")
        self.commands.give_up(batch, device, "the device was blocked", self._clock())
        batch.entries.append(HeldDropped(device.id))
        await self._journal.append(batch)
        return device

    async def remove_device(self, name: str) -> Device:
        """Remove the device with everything that is stored of it.

        Raises:
            UnknownDevice: no device is called ``name``.
        """
        batch = Batch()
        device = self.registry.by_name(name)
        self.sessions.forget(batch, device)
        self.commands.forget(batch, device)
        self.retention.forget(batch, device)
        self.rules.forget(batch, device.id)
        self.registry.remove(batch, device)
        await self._journal.append(batch)
        return device

    async def command(
        self,
        name: str,
        setting: str | None = None,
        value: Value | None = None,
        payload: str | None = None,
        seconds: float = DEFAULT_SECONDS,
        note: CommandNote = nothing_to_note,
    ) -> Command:
        """Return a new command to the device called ``name``, once it is durable.

        It says that ``setting`` is to be ``value``, or is a ``payload`` for the device as it is.
        It is sent when the device can be reached, and expires after ``seconds``. What ``note``
        returns for its id becomes state of the journal with it; None deletes a key.

        Raises:
            UnknownDevice: no device is called ``name``.
            DeviceUnready: the device is not accepted, or too many commands wait.
            InvalidCommand: it says nothing, or what can't be sent.
            StorageError: the hub is stopping and the journal can't be written.
        """
        device = self.registry.by_name(name)
        order = checked_order(setting, value, payload)
        return await self.commands.give(device, order, seconds, note)

    async def keep(self, name: str, metric: str, rule: Rule) -> None:
        """Let the readings of a metric of a device (all, if it is empty) be kept for so long.

        Raises:
            UnknownDevice: no device is called ``name``.
            OwnerError: the rule says something that is no duration, or there is no such metric.
        """
        batch = Batch()
        device = self.registry.by_name(name)
        if metric and all(
            self.registry.find_series(device.id, metric, kind) is None for kind in Kind
        ):
            raise OwnerError(f"{name} has no metric {metric!r}.")
        self.retention.set(batch, device, metric, rule)
        if batch:
            await self._journal.append(batch)
        _logger.info("retention set", device=name, metric=metric, **msgspec.to_builtins(rule))

    async def keep_all(self, rule: Rule, disk_budget: str | None = None) -> None:
        """Let all be kept for so long, in so much space, whatever the configuration says.

        None of either: as the configuration says.

        Raises:
            OwnerError: it says something that is no duration, or no size.
        """
        batch = Batch()
        choice = Choice(rule, disk_budget, doer(), self._clock())
        self.retention.choose(batch, choice)
        await self._journal.append(batch)
        _logger.info("retention of all set", budget=disk_budget, **msgspec.to_builtins(rule))

    async def confirm_clock(self) -> int:
        """Let the clock of this machine be right, and return what it says (UTC µs).

        Old readings that stay because it is doubted are deleted then.
        """
        batch = Batch()
        now = self._clock()
        self.retention.confirm_clock(batch, now)
        await self._journal.append(batch)
        _logger.info("the clock is confirmed", clock=iso(now))
        return now

    def tell_outcome(self, command: str, tell: Callable[[Command | None], None]) -> None:
        """See :class:`motehub.contracts.Commander`."""
        self.commands.tell_outcome(command, tell)

    async def create_token(
        self,
        name: str,
        scopes: Sequence[Scope],
        devices: Sequence[str] = (),
        secret: str | None = None,
        expires: int | None = None,
    ) -> str:
        """Return the secret of a new token once the token is durable; it is not kept.

        ``devices`` are names of those that it is bound to, which need not exist yet. ``secret``
        is a key that devices have already; without it one is made. ``expires`` is in µs.

        Raises:
            InvalidName: ``name`` is taken, or this or a device's name breaks the rules.
            InvalidToken: the key, the scopes or the time can't be, or there are too many.
        """
        batch = Batch()
        bound = [one if self.registry.has_name(one) else given_name(one) for one in devices]
        secret = self.tokens.add(batch, name, scopes, bound, self._clock(), secret, expires)
        await self._journal.append(batch)
        _logger.info("token created", name=name, scopes=",".join(one.value for one in scopes))
        return secret

    async def revoke_token(self, name: str) -> Token:
        """Let a token be good for nothing from now on.

        Raises:
            UnknownToken: there is none of that name.
        """
        batch = Batch()
        token = self.tokens.revoke(batch, name)
        await self._journal.append(batch)
        _logger.info("token revoked", name=token.name)
        return token

    def _follow(self, batch: Batch, old: Device, new: Device) -> None:
        """Bind what names a device that was renamed to its new name: tokens, rules, reports.

        Whoever waits (or was blocked) has only called himself so: what has that name was made
        for another device, which the owner knows and which may not have come yet.
        """
        if old.admission is Admission.ACCEPTED and old.name != new.name:
            self.tokens.follow(batch, old.name, new.name)
            self.rules.follow(batch, old.name, new.name)
            self.reports.follow(batch, old.name, new.name)

    def _note_event(self, batch: Batch, device: Device, kind: str, text: str) -> None:
        batch.entries.append(EventOccurred(device.id, self._clock(), kind, text))


def _look_at(commit: asyncio.Future[int]) -> None:
    if not commit.cancelled() and (error := commit.exception()):
        # That devices are offline, the next start notes again.
        _logger.warning("the last news could not be noted", reason=str(error))
