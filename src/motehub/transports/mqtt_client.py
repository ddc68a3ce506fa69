"""Takes part in another MQTT broker, such as Mosquitto; ``docs/protocols/mqtt-client.md``."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from motehub.contracts import Ground, Listener, TransportPart
from motehub.errors import ConfigurationError, MotehubError
from motehub.logs import Logger
from motehub.transports._mqtt_client_carrier import ClientCarrier
from motehub.transports._mqtt_client_conversation import Conversations
from motehub.transports._mqtt_client_memory import Memory
from motehub.transports._mqtt_client_settings import SECTION, Plan, Settings, plan_of
from motehub.transports._mqtt_client_trust import Trust

if TYPE_CHECKING:
    from motehub.transports._mqtt_client_link import Link

NAME: Final = "mqtt_client"

COUNTERS: Final = (
    "connected",
    "connections",
    "connections_failed",
    "subscriptions",
    "subscriptions_refused",
    "messages",
    "messages_refused",
    "messages_sent_again",
    "messages_of_several_subscriptions",
)

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0
_END_SECONDS: Final = 5.0

_logger = Logger("motehub.mqtt_client")


class MqttClient:
    """See :class:`motehub.contracts.Transport`; it opens no port."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        self._settings = settings
        self._ground = ground
        self._memory = Memory(ground.state())
        self._counts: Counter[str] = Counter()
        trust = Trust(NAME, ground.devices, trusted=settings.trusted)
        self._carrier = ClientCarrier(NAME, ground.commands, trust, ground.clock)
        self._broker = "{}:{}".format(*settings.address)
        self._conversations = Conversations(
            NAME,
            self._broker,
            ground,
            self._memory,
            trust,
            self._carrier,
            self._counts,
            settings.share,
            device_sessions=settings.device_sessions,
        )
        self._link: Link | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Whether it is connected, how often it was or failed to, and what has come."""
        return {name: self._counts[name] for name in COUNTERS}

    async def __aenter__(self) -> MqttClient:
        """Begin to connect, and go on with that whenever the connection is lost.

        Raises:
            ConfigurationError: the driver is missing, or a file.
        """
        try:
            import motehub.transports._mqtt_client_link as _link  # noqa: F401
        except ImportError as error:
            raise ConfigurationError(
                f"{SECTION} needs the MQTT driver, which can't be loaded ({error}). "
                "Install it with: pip install 'motehub[mqtt]'"
            ) from error
        plan_of(self._settings, self._memory.client_id)
        await self._ground.hub.interrupt(NAME)
        self._ground.commands.attach(NAME, self._carrier)
        self._task = asyncio.create_task(self._stay_connected(), name=NAME)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Store what has come, and disconnect; all else waits at the broker."""
        self._stopping.set()
        self._carrier.end()
        if self._link is not None:
            self._link.finish()
        if self._task is not None:
            await self._task

    async def _stay_connected(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            if await self._connect():
                pause = _FIRST_PAUSE
            # Many hubs that lost their broker must not come back in the same moment.
            await self._unless_stopped(asyncio.sleep(pause * random.uniform(0.5, 1)))  # noqa: S311
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _connect(self) -> bool:
        """Connect, and do everything until the connection is lost; tell whether there was one."""
        connections = self._counts["connections"]
        try:
            # The password may be another one by now.
            await self._converse(plan_of(self._settings, self._memory.client_id))
        except MotehubError as error:
            if not self._stopping.is_set():
                was_connected = self._counts["connections"] > connections
                event = "connection lost" if was_connected else "not connected"
                _logger.warning(event, broker=self._broker, reason=str(error))
        except Exception as error:
            # What was not acknowledged is still the broker's, and comes again.
            _logger.error("connection given up", broker=self._broker, reason=repr(error))
        self._counts["connected"] = 0
        if self._counts["connections"] > connections:
            return True
        self._counts["connections_failed"] += 1
        return False

    async def _converse(self, plan: Plan) -> None:
        from motehub.transports._mqtt_client_link import Link

        link = Link(plan)
        if not await self._unless_stopped(link.open()):
            link.drop()
            return
        self._counts["connections"] += 1
        self._counts["connected"] = 1
        _logger.info("connected", broker=self._broker, resumed=link.is_resumed)
        self._link = link
        try:
            if not self._stopping.is_set():
                await self._conversations.hold(link, plan.session)
        finally:
            self._link = None
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await link.close()
            link.drop()

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> bool:
        """Await ``work``; False when the transport is to stop before that is done."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                return False
            await working
            return True
        finally:
            working.cancel()
            stopping.cancel()


PART: Final = TransportPart(Settings, MqttClient, listens=False)
