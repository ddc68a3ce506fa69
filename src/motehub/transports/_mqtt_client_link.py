"""One connection to another broker: the driver, with acknowledgements that wait for the commit.

The only file that imports the driver. It is aiomqtt, and beneath it paho-mqtt, of which three
methods are taken over that send PUBACK, PUBREC and PUBCOMP. Its own ``manual_ack`` is not enough:
with it a message of QoS 2 is still received (PUBREC) before anybody could have stored it, and
a PUBREL after a restart is never answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from motehub.transports._mqtt_client_messages import Arrived, Event, Released
from motehub.transports._mqtt_client_settings import Plan
from motehub.transports._mqtt_client_socket import ReadAhead, acknowledgements
from motehub.transports._mqtt_client_troubles import Lost, Notes, explain

# So many packets are read before others have their turn.
_PACKETS: Final = 100
_TIMEOUT: Final = 10.0
_QUEUED: Final = 1_000
# Reason codes of PUBACK (§3.4.2.1).
_NO_SUBSCRIBERS: Final = 0x10
_FAILURE: Final = 0x80


class Link(aiomqtt.Client):
    """A connection: ``async with`` is it, ``take`` waits for what comes.

    No more is read while as many messages wait to be taken as the broker may have under way.
    """

    def __init__(self, plan: Plan) -> None:
        version = aiomqtt.ProtocolVersion.V5 if plan.is_v5 else aiomqtt.ProtocolVersion.V311
        session: dict[str, Any] = (
            {"clean_start": False, "properties": _properties(plan)}
            if plan.is_v5
            else {"clean_session": False}
        )
        self._notes = Notes()
        logger = logging.Logger("mqtt", logging.WARNING)
        logger.addHandler(self._notes)
        super().__init__(
            plan.host,
            plan.port,
            logger=logger,
            username=plan.user,
            password=plan.password,
            identifier=plan.client_id,
            protocol=version,
            timeout=_TIMEOUT,
            keepalive=plan.keep_alive,
            max_queued_outgoing_messages=_QUEUED,
            tls_context=plan.tls,
            **session,
        )
        self._plan = plan
        self._arrived: list[Event] = []
        self._bytes = 0
        self._read = 0
        self._is_paused = False
        self._is_finishing = False
        self._wake = asyncio.Event()
        self._published: dict[int, asyncio.Future[int]] = {}
        self._received: list[int] = []
        self.is_resumed = False
        """Whether the broker has gone on with the session of the last connection."""
        self.can_identify = False
        """Whether it tells for which subscription a message came."""
        self._disconnected.add_done_callback(self._lose)
        self._client.suppress_exceptions = False
        self._client._create_socket = self._create_socket  # type: ignore[method-assign]
        self._client._send_puback = self._defer_puback  # type: ignore[method-assign]
        self._client._send_pubrec = self._defer_pubrec  # type: ignore[method-assign]
        self._client._send_pubcomp = self._defer_pubcomp  # type: ignore[method-assign]

    @property
    def is_lost(self) -> bool:
        """Whether the connection is over."""
        return self._disconnected.done()

    async def open(self) -> None:
        """Connect.

        Raises:
            Lost: the broker can't be reached, or refuses.
        """
        try:
            await self.__aenter__()
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            self.drop()
            raise Lost(self._explain(error)) from error

    async def close(self) -> None:
        """Send what waits to be sent, and DISCONNECT; the session is kept."""
        try:
            await self.__aexit__(None, None, None)
        except aiomqtt.MqttError:
            self.drop()

    def drop(self) -> None:
        """Close the socket, if there is one."""
        self._client._sock_close()

    def finish(self) -> None:
        """Read no more; what has come can be taken still."""
        self._is_finishing = True
        self._pause()
        self._wake.set()

    async def take(self) -> list[Event]:
        """Return what has come since, at least one.

        When the connection is lost, what the broker will send again is left out.

        Raises:
            Lost: the connection is over, and everything has been taken.
        """
        while not self._arrived:
            if self.is_lost or self._is_finishing:
                raise Lost(self._why_lost())
            self._wake.clear()
            await self._wake.wait()
        arrived, self._arrived, self._bytes = self._arrived, [], 0
        if self.is_lost:
            return [one for one in arrived if isinstance(one, Arrived) and not one.qos]
        self._resume()
        return arrived

    def acknowledge(self, events: Iterable[Event]) -> None:
        """Acknowledge what is durable; on a connection that is lost, nothing."""
        packets = acknowledgements(events)
        if packets and self._client.socket() is not None:
            # The driver would write each by itself.
            self._client._packet_queue(paho.PUBACK, packets, 0, 1)

    async def listen(self, wanted: str, identifier: int, *, is_first: bool, shared: bool) -> str:
        """Subscribe to a topic filter at QoS 2; return why the broker does not allow it, or "".

        Its messages come with the ``identifier``, unless that is 0. What the broker has retained
        is sent if this ``is_first``, or if there was no such subscription.

        Raises:
            Lost: there is no answer.
        """
        try:
            if self._plan.is_v5:
                # [MQTT-3.8.3-4] forbids No Local in shared subscriptions.
                options = SubscribeOptions(
                    2,
                    noLocal=not shared,
                    retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
                    if is_first
                    else SubscribeOptions.RETAIN_SEND_IF_NEW_SUB,
                )
                properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
                if self.can_identify and identifier:
                    properties.SubscriptionIdentifier = identifier
                codes = await self.subscribe(wanted, options=options, properties=properties)
            else:
                codes = await self.subscribe(wanted, 2)
        except aiomqtt.MqttError as error:
            raise Lost(self._explain(error)) from error
        (code,) = codes
        return str(code) if isinstance(code, ReasonCode) and code.is_failure else ""

    async def forget(self, unwanted: str) -> None:
        """Unsubscribe from a topic filter.

        Raises:
            Lost: there is no answer.
        """
        try:
            await self.unsubscribe(unwanted)
        except aiomqtt.MqttError as error:
            raise Lost(self._explain(error)) from error

    async def say(self, topic: str, payload: bytes) -> bool:
        """Publish at QoS 1; once the broker has it, tell whether anybody has subscribed to it.

        Brokers that don't say count as if somebody had.

        Raises:
            Lost: there is no answer.
            ValueError: the broker refuses the message; the text says why.
        """
        info = self._client.publish(topic, payload, 1)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise Lost("The connection to the broker is lost.")
        answer = self._published[info.mid] = asyncio.get_running_loop().create_future()
        try:
            code = await asyncio.wait_for(answer, _TIMEOUT)
        except TimeoutError:
            raise Lost("The broker does not answer.") from None
        finally:
            self._published.pop(info.mid, None)
        if code >= _FAILURE:
            why = ReasonCode(PacketTypes.PUBACK, identifier=code)
            raise ValueError(f"the broker refuses messages on {topic}: {why}")
        return bool(code != _NO_SUBSCRIBERS)

    # What the driver calls.

    def _create_socket(self) -> Any:
        inner: Any = paho.Client._create_socket(self._client)
        return ReadAhead(inner)

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.is_resumed = flags.session_present
        available = getattr(properties, "SubscriptionIdentifierAvailable", 1)
        self.can_identify = self._plan.is_v5 and bool(available)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            # The driver would wait for its time to be over.
            self._connected.set_exception(
                aiomqtt.MqttCodeError(reason_code, "closed before it was open")
            )
            return
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        # Of QoS 0 or 1; those of QoS 2 before it come first.
        self._take_received()
        self._put(message)

    def _on_publish(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        answer = self._published.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code.value)

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        # In another thread: the driver connects there.
        self._loop.call_soon_threadsafe(self._begin, sock.fileno())

    def _begin(self, descriptor: int) -> None:
        if self._client.socket() is not None:
            self._loop.add_reader(descriptor, self._read_some)
            self._misc_task = self._loop.create_task(self._misc_loop())

    def _read_some(self) -> None:
        """Read packets while there are some, with an end for the sake of others."""
        client = self._client
        try:
            for _ in range(_PACKETS):
                before = self._read
                client.loop_read()
                self._take_received()
                if self._is_full():
                    self._pause()
                    break
                if self._read == before and not self._has_more():
                    break
            else:
                # What has been read ahead, the operating system does not report again.
                self._loop.call_soon(self._read_on)
        except Exception as error:
            # What came before it is stored as ever; the rest is still the broker's.
            if not self._disconnected.done():
                self._disconnected.set_exception(error)
            self.drop()
        if self._arrived:
            self._wake.set()

    def _read_on(self) -> None:
        if not self._is_paused and self._client.socket() is not None:
            self._read_some()

    def _has_more(self) -> bool:
        connection: Any = self._client.socket()
        return connection is not None and connection.pending() > 0

    def _is_full(self) -> bool:
        return (
            len(self._arrived) >= self._plan.receive_maximum
            or self._bytes >= self._plan.waiting_bytes
        )

    def _pause(self) -> None:
        connection = self._client.socket()
        if connection is not None and not self._is_paused:
            self._is_paused = True
            self._loop.remove_reader(connection.fileno())

    def _resume(self) -> None:
        connection = self._client.socket()
        if self._is_paused and connection is not None and not self._is_finishing:
            self._is_paused = False
            self._loop.add_reader(connection.fileno(), self._read_some)
            self._loop.call_soon(self._read_on)

    def _put(self, message: paho.MQTTMessage) -> None:
        self._read += 1
        self._bytes += len(message.payload)
        identifiers = getattr(message.properties, "SubscriptionIdentifier", ())
        self._arrived.append(
            Arrived(
                message.topic,
                bytes(message.payload),
                message.qos,
                bool(message.retain),
                bool(message.dup),
                message.mid if message.qos else 0,
                tuple(identifiers),
            )
        )

    def _take_received(self) -> None:
        """Take the messages of QoS 2 that have come since, in their order."""
        for packet_id in self._received:
            # Not kept until PUBREL: the driver would hold thousands, if the broker sends them.
            self._put(self._client._in_messages.pop(packet_id))
        self._received.clear()

    def _defer_puback(self, mid: int) -> MQTTErrorCode:
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _defer_pubrec(self, mid: int) -> MQTTErrorCode:
        self._received.append(mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _defer_pubcomp(self, mid: int) -> MQTTErrorCode:
        self._take_received()
        self._read += 1
        self._arrived.append(Released(mid))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _lose(self, _: asyncio.Future[None]) -> None:
        self._wake.set()
        for answer in self._published.values():
            if not answer.done():
                answer.set_exception(Lost(self._why_lost()))

    def _why_lost(self) -> str:
        error = self._disconnected.exception() if self.is_lost else None
        if error is None:
            return "The connection is closed."
        return self._explain(error)

    def _explain(self, error: BaseException) -> str:
        # What CONNACK or DISCONNECT says, or what the driver makes up for it.
        code = getattr(error, "rc", None)
        return explain(
            error, code.value if isinstance(code, ReasonCode) else None, self._notes.last
        )


def _properties(plan: Plan) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = plan.expiry
    properties.ReceiveMaximum = plan.receive_maximum
    properties.MaximumPacketSize = plan.packet_limit
    return properties
