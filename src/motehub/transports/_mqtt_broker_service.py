"""What the connections of the broker share: its state, who may do what, what goes where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, Final

from motehub.contracts import Ground
from motehub.errors import StorageError
from motehub.guessing import Guesses
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS, Delivery, Joined, Receipt
from motehub.mqtt_meaning.gathering import Client, Reply
from motehub.mqtt_meaning.meanings import Meanings
from motehub.protocols.device_session import Claim
from motehub.protocols.mqtt.broker import Broker, Planned
from motehub.protocols.mqtt.limits import Limits
from motehub.protocols.mqtt.members import Testament, message_of
from motehub.protocols.mqtt.packets import Publish
from motehub.security.mqtt_access import Gatekeeper
from motehub.transports._mqtt_broker_statistics import Statistics

if TYPE_CHECKING:
    from motehub.transports._mqtt_broker_conversation import MqttConversation

_SWEEP_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 10.0
_REMEMBERED_DEVICES: Final = 10_000

_logger = Logger("motehub.mqtt")
_occasional: Final = OccasionalLogger(_logger)


class Service:
    """The broker behind all its listeners.

    ``keep_alive`` is the longest that an MQTT 5 client may be silent, in seconds; ``rate`` how
    many messages a client may publish in a second, 0 for any number. ``soon`` has something
    called when this turn of the event loop is done. ``clock`` is the one that ``steady`` returns.
    """

    def __init__(
        self,
        name: str,
        ground: Ground,
        broker: Broker,
        meanings: Meanings,
        gatekeeper: Gatekeeper,
        limits: Limits,
        keep_alive: int,
        rate: int,
        soon: Callable[[Callable[[], None]], object],
        clock: Callable[[], int],
    ) -> None:
        self.name = name
        self.utc = ground.clock
        self.clock = clock
        self.hub = ground.hub
        self.broker = broker
        self.meanings = meanings
        self.gatekeeper = gatekeeper
        self.guesses = Guesses()
        self.limits = limits
        self.keep_alive = keep_alive
        self.rate = rate
        self._soon = soon
        self._talkers: set[Callable[[], None]] = set()
        self._flushing = False
        self._wills = asyncio.Event()
        self._desk = ground.commands
        self._subscribed = False
        # The session that each device has, by its identity, and who holds each session.
        self._begun: dict[str, Claim] = {}
        self._holders: dict[Claim, MqttConversation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._undertaker: asyncio.Task[None] | None = None
        self._ending = False
        self._dropped = 0

    def begin(self, statistics: Statistics) -> None:
        """Begin with what happens by itself: wills, ends of sessions, rights, statistics."""
        self._undertaker = asyncio.create_task(self._publish_wills())
        for work in (self._sweep(), self._tell(statistics)):
            self._tasks.add(asyncio.create_task(work))
        for task in (self._undertaker, *self._tasks):
            task.add_done_callback(_look_at)

    def dismiss(self) -> None:
        """Tell all clients that the hub stops."""
        now = self.clock()
        for member in list(self.broker.present):
            if member.link is not None:
                member.link.dismiss(now)

    async def end(self) -> None:
        """Publish the wills that are due, and stop."""
        self._ending = True
        self._wills.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._undertaker is not None:
            await self._undertaker

    def touch(self, flush: Callable[[], None]) -> None:
        """Have a connection write what it has, once this turn of the event loop is done."""
        self._talkers.add(flush)
        if not self._flushing:
            self._flushing = True
            self._soon(self._flush)

    def look_for_wills(self) -> None:
        """Publish wills when they are due: there may be one more."""
        self._wills.set()

    def keep(self) -> Mapping[str, bytes | None]:
        """Return what the next commit has to keep."""
        return self.broker.ledger.take()

    async def publish(self, messages: Sequence[Publish]) -> None:
        """Publish what the hub itself has to say; returns when that is durable and on its way."""
        planned: list[Planned] = []

        def note(_: Sequence[Receipt]) -> Mapping[str, bytes | None]:
            now = self.clock()
            for message in messages:
                planned.extend(self.broker.plan(message, None, now))
            return self.keep()

        await self.hub.accept([], note)
        self.broker.deliver(planned, self.clock())

    def plan_replies(self, replies: Sequence[Reply], planned: list[Planned]) -> None:
        """Plan the messages with which the hub answers."""
        now = self.clock()
        for reply in replies:
            message = Publish(reply.topic, reply.payload, reply.qos)
            planned.extend(self.broker.plan(message, None, now))

    def subscribed(self) -> None:
        """Note new subscriptions, or whose a connection is: commands may have waited for that."""
        if not self._subscribed:
            self._subscribed = True
            self._soon(self._look_for_commands)

    def note_joins(
        self, link: MqttConversation, deliveries: Sequence[Delivery], receipts: Sequence[Receipt]
    ) -> None:
        """Note which connection is the one of a device that has joined or begun a session."""
        for delivery, receipt in zip(deliveries, receipts, strict=True):
            source = delivery.source
            if receipt.assigned is not None:
                if len(self._begun) >= _REMEMBERED_DEVICES:
                    self._begun.pop(next(iter(self._begun)))
                assigned = receipt.assigned
                self._begun[source.identity] = Claim(assigned.name, assigned.session)
            elif claim := _joined(delivery, receipt):
                self._forget_claim(link, link.joined.get(claim.name))
                link.joined[claim.name] = claim
                self._holders[claim] = link
                self.subscribed()

    def forget_joins(self, link: MqttConversation) -> None:
        """Note that a connection is over."""
        for claim in link.joined.values():
            self._forget_claim(link, claim)

    def holder(self, claim: Claim) -> MqttConversation | None:
        """Return the connection over which a device has joined with this name and session."""
        return self._holders.get(claim)

    def rival(self, identity: str, link: MqttConversation) -> str:
        """Return the peer of another connection that holds the device's session, or ""."""
        claim = self._begun.get(identity)
        holder = None if claim is None else self._holders.get(claim)
        return holder.peer if holder is not None and holder is not link else ""

    def _forget_claim(self, link: MqttConversation, claim: Claim | None) -> None:
        if claim is not None and self._holders.get(claim) is link:
            del self._holders[claim]

    def _look_for_commands(self) -> None:
        self._subscribed = False
        self._desk.reachable()

    def _flush(self) -> None:
        self._flushing = False
        talkers, self._talkers = self._talkers, set()
        for flush in talkers:
            flush()

    async def _publish_wills(self) -> None:
        while not self._ending:
            self._wills.clear()
            await self._publish_due()
            due = self.broker.wills.next
            left = None if due is None else max(0.0, (due - self.clock()) / MICROSECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wills.wait(), left)
        await self._publish_due()

    async def _publish_due(self) -> None:
        # In one commit, or few: thousands may have lost their connections at once.
        wills = self.broker.wills.take(self.clock())
        done = await asyncio.gather(*map(self._publish_for, wills), return_exceptions=True)
        for failed in done:
            if failed is not None:
                _logger.error("will not published", reason=str(failed) or repr(failed))

    async def _publish_for(self, testament: Testament) -> None:
        """Publish a will, which may mean something to the hub, as if its client had."""
        member = testament.member
        client = member.context
        if not isinstance(client, Client):
            # Of a connection before this start: nobody vouches for it any more.
            client = Client(self.name, member.client_id, False, lambda device: False)
        gathered = self.meanings.gather([message_of(testament.will)], client, self.utc())
        planned: list[Planned] = []

        def note(receipts: Sequence[Receipt]) -> Mapping[str, bytes | None]:
            outcomes = gathered.outcomes(receipts)
            if outcomes is None or not outcomes.refused:
                planned.extend(self.broker.publish_will(testament, self.clock()))
            else:
                self.broker.wills.settle(testament)
            return self.keep()

        await self.hub.accept(gathered.deliveries, note)
        self.broker.deliver(planned, self.clock())

    async def _tell(self, statistics: Statistics) -> None:
        while True:
            await self.publish(statistics.changed(self.clock()))
            await asyncio.sleep(_TELL_SECONDS)

    def _tell_dropped(self) -> None:
        """Log that messages were lost because the queues together are full: not one's own fault."""
        dropped = self.broker.counters["dropped_beyond_total"]
        if dropped != self._dropped:
            new, self._dropped = dropped - self._dropped, dropped
            queued = self.broker.tally.bytes
            _occasional.warning("all queues together are full", dropped=new, queued_bytes=queued)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._tell_dropped()
            now = self.clock()
            self.broker.sweep(now)
            if self.broker.wills.next is not None:
                self._wills.set()
            for member in list(self.broker.present):
                if member.link is not None:
                    member.link.look(now)
            if self.broker.ledger:
                try:
                    await self.hub.accept([], lambda _: self.keep())
                except StorageError as error:
                    _logger.error("sessions not kept", reason=str(error))


def _look_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        _logger.error("a task of the broker has failed", fault=repr(error)[:500])


def steady(utc: Callable[[], int]) -> Callable[[], int]:
    """Return a clock that begins with ``utc`` (µs) and goes on evenly, whatever is set later.

    When the time was wrong at the start and is put right, nobody must seem to have been silent
    for years, and no session must end.
    """
    begun = utc() - monotonic_ns() // 1000
    return lambda: begun + monotonic_ns() // 1000


def _joined(delivery: Delivery, receipt: Receipt) -> Claim | None:
    """Return the session in which a device is online from now on, if it said so."""
    source = delivery.source
    if source.session is None or receipt.discarded:
        return None
    if any(isinstance(record, Joined) for record in delivery.records):
        return Claim(source.suggested_name, source.session)
    return None
