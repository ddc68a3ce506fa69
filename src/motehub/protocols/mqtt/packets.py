"""The control packets of MQTT 5.0 and 3.1.1 as frozen values (§3).

In 3.1.1 the properties are empty, the reason codes are those that mean the same in MQTT 5, and
options that it doesn't have are at their defaults.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from motehub.protocols.mqtt.properties import (
    AckProperties,
    AuthProperties,
    ConnAckProperties,
    ConnectProperties,
    DisconnectProperties,
    PublishProperties,
    SubscribeProperties,
    UnsubscribeProperties,
    WillProperties,
    no_properties,
)
from motehub.protocols.mqtt.reason_codes import ReasonCode


class Version(enum.IntEnum):
    """A version of the protocol, by its protocol level."""

    V3_1_1 = 4
    V5 = 5


NO_WILL: Final = no_properties(WillProperties)
NO_CONNECT: Final = no_properties(ConnectProperties)
NO_CONNACK: Final = no_properties(ConnAckProperties)
NO_PUBLISH: Final = no_properties(PublishProperties)
NO_ACK: Final = no_properties(AckProperties)
NO_SUBSCRIBE: Final = no_properties(SubscribeProperties)
NO_UNSUBSCRIBE: Final = no_properties(UnsubscribeProperties)
NO_DISCONNECT: Final = no_properties(DisconnectProperties)
NO_AUTH: Final = no_properties(AuthProperties)


class Will(msgspec.Struct, frozen=True):
    """What the server publishes for a client that is gone."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: WillProperties = NO_WILL


class Connect(msgspec.Struct, frozen=True):
    """A client's first packet; ``keep_alive`` in seconds. Clean start was *clean session*."""

    client_id: str
    version: Version = Version.V5
    clean_start: bool = True
    keep_alive: int = 0
    will: Will | None = None
    user_name: str | None = None
    password: bytes | None = None
    properties: ConnectProperties = NO_CONNECT


class ConnAck(msgspec.Struct, frozen=True):
    """The server's answer to CONNECT."""

    session_present: bool = False
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: ConnAckProperties = NO_CONNACK


class Publish(msgspec.Struct, frozen=True, gc=False):
    """A message; ``packet_id`` is 0 at QoS 0. The topic is empty where an alias stands for it.

    The garbage collector does not watch these: nothing in them can refer back to them.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: PublishProperties = NO_PUBLISH


class PubAck(msgspec.Struct, frozen=True, gc=False):
    """The receiver took a QoS 1 message over, or refused it."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AckProperties = NO_ACK


class PubRec(msgspec.Struct, frozen=True, gc=False):
    """The receiver took a QoS 2 message over, or refused it."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AckProperties = NO_ACK


class PubRel(msgspec.Struct, frozen=True, gc=False):
    """The sender of a QoS 2 message will not send it again."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AckProperties = NO_ACK


class PubComp(msgspec.Struct, frozen=True, gc=False):
    """The receiver of a QoS 2 message has forgotten its packet identifier."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AckProperties = NO_ACK


class Subscription(msgspec.Struct, frozen=True):
    """A topic filter with its options; ``qos`` is the highest wanted (§3.8.3.1)."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True):
    """A client's request for subscriptions, at least one."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: SubscribeProperties = NO_SUBSCRIBE


class SubAck(msgspec.Struct, frozen=True):
    """One reason code for each subscription, in their order."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...]
    properties: AckProperties = NO_ACK


class Unsubscribe(msgspec.Struct, frozen=True):
    """A client's request to end subscriptions, at least one."""

    packet_id: int
    filters: tuple[str, ...]
    properties: UnsubscribeProperties = NO_UNSUBSCRIBE


class UnsubAck(msgspec.Struct, frozen=True):
    """One reason code for each filter, in their order; 3.1.1 has none."""

    packet_id: int
    reason_codes: tuple[ReasonCode, ...] = ()
    properties: AckProperties = NO_ACK


class PingReq(msgspec.Struct, frozen=True):
    """A client shows that it is alive."""


class PingResp(msgspec.Struct, frozen=True):
    """The answer to PINGREQ."""


class Disconnect(msgspec.Struct, frozen=True):
    """The last packet of a connection; 3.1.1 servers have none."""

    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: DisconnectProperties = NO_DISCONNECT


class Auth(msgspec.Struct, frozen=True):
    """A step of enhanced authentication (§4.12); MQTT 5 only."""

    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: AuthProperties = NO_AUTH


def is_payload_valid(message: Publish | Will) -> bool:
    """Tell whether the payload is text where it says so (§3.3.2.3.2): if not, 0x99."""
    if message.properties.payload_format_indicator:
        try:
            message.payload.decode()
        except UnicodeDecodeError:
            return False
    return True


Ack = PubAck | PubRec | PubRel | PubComp
Packet = (
    Connect
    | ConnAck
    | Publish
    | Ack
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)


class Violation(msgspec.Struct, frozen=True):
    """Why the connection has to end, with the reason code that the specification names."""

    reason_code: ReasonCode
    text: str
