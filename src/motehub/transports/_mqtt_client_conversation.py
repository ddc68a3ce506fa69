"""What the hub does on a connection to another broker: subscribe, store, acknowledge, answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from motehub.contracts import Ground
from motehub.logs import Logger, OccasionalLogger
from motehub.model import Receipt
from motehub.mqtt_meaning.gathering import Client, Gathered, Reply
from motehub.mqtt_meaning.meanings import Meanings
from motehub.mqtt_meaning.session_topics import HEARD
from motehub.protocols.mqtt.topics import SHARE_PREFIX
from motehub.security.mqtt_patterns import TopicSet
from motehub.transports._mqtt_client_carrier import ClientCarrier
from motehub.transports._mqtt_client_memory import Memory
from motehub.transports._mqtt_client_messages import Arrived, Event
from motehub.transports._mqtt_client_topics import Repeats, identifier_of, overlapping, wanted
from motehub.transports._mqtt_client_troubles import Lost
from motehub.transports._mqtt_client_trust import Trust

if TYPE_CHECKING:
    from motehub.transports._mqtt_client_link import Link

_ANSWERS: Final = 100
"""Most answers that wait for the broker; devices ask again."""

_logger = Logger("motehub.mqtt_client")


class Conversations:
    """What all connections of the transport have in common, one after the other.

    ``share`` is the group of a shared subscription, or "".
    """

    def __init__(
        self,
        name: str,
        peer: str,
        ground: Ground,
        memory: Memory,
        trust: Trust,
        carrier: ClientCarrier,
        counters: Counter[str],
        share: str,
        *,
        device_sessions: bool,
    ) -> None:
        self._name = name
        self._hub = ground.hub
        self._clock = ground.clock
        self._memory = memory
        self._trust = trust
        self._carrier = carrier
        self._counters = counters
        self._share = share
        self._device_sessions = device_sessions
        self._client = Client(name, peer, True, lambda device: True, subscription=True)
        self._meanings = Meanings(ground.mqtt)
        self._lessons = TopicSet(self._meanings.lessons)
        self._meanings.learn(memory.lessons)
        self._repeats = Repeats()
        self._is_first = True
        self._learnt = asyncio.Event()
        self._answers: set[asyncio.Task[None]] = set()
        self._log = OccasionalLogger(_logger)

    async def hold(self, link: Link, session: str) -> None:
        """Do everything on a connection until it is lost; ``session`` names it.

        Raises:
            Lost: the connection is over.
            StorageError: the hub is stopping and the journal can't be written.
        """
        changes = self._memory.begin(session, is_resumed=link.is_resumed)
        await self._hub.accept([], lambda _: changes)
        if not link.is_resumed:
            # Who left in the meantime was told to nobody.
            await self._hub.interrupt(self._name)
            self._meanings.interrupted()
        self._repeats = Repeats(self._memory.filters)
        # Beside each other: as long as nobody takes what comes, answers don't come either.
        subscribing = asyncio.create_task(self._subscribe(link))
        self._carrier.connected(link)
        try:
            while True:
                taking = asyncio.create_task(link.take())
                try:
                    await asyncio.wait((taking, subscribing), return_when=asyncio.FIRST_COMPLETED)
                    if subscribing.done():
                        subscribing.result()
                    events = await taking
                finally:
                    taking.cancel()
                await self._take(link, events)
        finally:
            self._carrier.connected(None)
            subscribing.cancel()
            for task in self._answers:
                task.cancel()

    async def _take(self, link: Link, events: Sequence[Event]) -> None:
        """Store what has come, and acknowledge it when it is durable."""
        messages = [one for one in events if isinstance(one, Arrived)]
        fresh = [one for one in messages if not self._is_left_out(one)]
        self._counters["messages"] += len(fresh)
        lessons = [one for one in fresh if self._lessons.has(one.topic)]
        gathered = self._meanings.gather(fresh, self._client, self._clock())
        deliveries = self._trust.vet(gathered.deliveries)

        def note(_: Sequence[Receipt]) -> Mapping[str, bytes | None]:
            return self._memory.keep(events) | self._memory.keep_lessons(lessons)

        receipts = await self._hub.accept(deliveries, note)
        link.acknowledge(events)
        self._carrier.hear(deliveries)
        if lessons:
            self._learnt.set()
        self._answer(link, gathered, receipts)

    def _is_left_out(self, message: Arrived) -> bool:
        if message.topic in HEARD and not self._device_sessions:
            # A filter of something else covers it; the boards are another hub's.
            return True
        if self._memory.is_stored(message):
            self._counters["messages_sent_again"] += 1
            return True
        if self._repeats.is_repeated(message):
            self._counters["messages_of_several_subscriptions"] += 1
            return True
        return False

    def _answer(self, link: Link, gathered: Gathered, receipts: Sequence[Receipt]) -> None:
        outcomes = gathered.outcomes(receipts)
        if outcomes is None:
            return
        self._counters["messages_refused"] += len(outcomes.refused)
        for reply in outcomes.replies[: _ANSWERS - len(self._answers)]:
            task = asyncio.create_task(self._publish(link, reply))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    async def _publish(self, link: Link, reply: Reply) -> None:
        try:
            await link.say(reply.topic, reply.payload)
        except ValueError as error:
            self._log.warning("answer not published", reason=str(error))
        except Lost as error:
            _logger.debug("answer not published", reason=str(error))

    async def _subscribe(self, link: Link) -> None:
        """Subscribe to what means something, and to more when more is learnt."""
        is_first, self._is_first = self._is_first, False
        done: dict[str, int] = {}
        refused: set[str] = set()
        while True:
            self._learnt.clear()
            plan = wanted(
                self._meanings.filters,
                self._meanings.lessons,
                self._share,
                device_sessions=self._device_sessions,
            )
            overlaps = overlapping(plan)
            for one in plan:
                identifier = identifier_of(one) if one in overlaps else 0
                if one in refused or done.get(one) == identifier:
                    continue
                why = await link.listen(
                    one,
                    identifier,
                    is_first=is_first,
                    shared=one.startswith(SHARE_PREFIX),
                )
                if why:
                    refused.add(one)
                    _logger.error(
                        "subscription refused; mend the broker's access rules",
                        filter=one,
                        reason=why,
                    )
                else:
                    done[one] = identifier
            await self._keep_filters(link, [one for one in plan if one not in refused])
            self._counters["subscriptions"] = len(self._memory.filters)
            self._counters["subscriptions_refused"] = len(refused)
            await self._learnt.wait()

    async def _keep_filters(self, link: Link, filters: list[str]) -> None:
        """Note the session's subscriptions, the older ones first, and end those not wanted."""
        old = self._memory.filters
        kept = [one for one in old if one in filters]
        now = [*kept, *(one for one in filters if one not in kept)]
        if now != old:
            changes = self._memory.keep_filters(now)
            await self._hub.accept([], lambda _: changes)
            self._repeats = Repeats(now)
        for one in old:
            if one not in now:
                await link.forget(one)
