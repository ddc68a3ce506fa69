"""From the body of a CONNECT to the packet, and in which version to answer one (§3.1)."""

from __future__ import annotations

from typing import Final

from motehub.protocols.mqtt.decoding import check_name, check_response_topic
from motehub.protocols.mqtt.packets import NO_CONNECT, NO_WILL, Connect, Version, Will
from motehub.protocols.mqtt.properties import ConnectProperties, WillProperties, decode_properties
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.wire import Body, Refused, malformed, protocol_error

_NAME: Final = b"\x00\x04MQTT"
_NAME_3_1: Final = b"\x00\x06MQIsdp"
_RESERVED, _CLEAN, _WILL, _WILL_QOS, _WILL_RETAIN = 0x01, 0x02, 0x04, 0x18, 0x20
_PASSWORD, _USER_NAME = 0x40, 0x80


def protocol_version(body: Body) -> Version:
    """Read protocol name and level of a CONNECT: the version in which it is to be answered.

    Raises:
        Refused: with *unsupported protocol version* where the client is to be told that; the
            caller finds in :func:`answer_version` in which version.
    """
    for name in (_NAME, _NAME_3_1):
        if body.data.startswith(name, body.position, body.end):
            body.position += len(name)
            level = body.byte()
            if name is _NAME and level in (4, 5):
                return Version(level)
            # [MQTT-3.1.2-2], [3.1.1: MQTT-3.1.2-2]
            raise Refused(
                ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
                f"Protocol level {level} of {name[2:].decode()} is not served: only MQTT 4 and 5.",
            )
    # [MQTT-3.1.2-1]: a stranger is not told what is served here.
    raise protocol_error("The protocol name of a CONNECT is not MQTT.")


def answer_version(body: Body) -> Version | None:
    """Return the version to answer a CONNECT in whose version is not served, None for none.

    Old clients understand only a CONNACK of 3.1.1. Bridges set the highest bit of the level,
    and expect to be refused so by those who don't know it.
    """
    if body.data.startswith(_NAME_3_1, body.position, body.end):
        return Version.V3_1_1
    at = body.position + len(_NAME)
    if at < body.end and body.data.startswith(_NAME, body.position):
        return Version.V3_1_1 if body.data[at] & 0x7F <= Version.V3_1_1 else Version.V5
    return None


def decode_connect(body: Body, version: Version) -> Connect:
    """Decode what follows the protocol level of a CONNECT (§3.1)."""
    flags = body.byte()
    if flags & _RESERVED:
        raise malformed("The reserved flag of a CONNECT is set [MQTT-3.1.2-3].")
    if not flags & _WILL and flags & (_WILL_QOS | _WILL_RETAIN):
        raise malformed("A CONNECT without will has will flags [MQTT-3.1.2-11], [MQTT-3.1.2-13].")
    if flags & _WILL_QOS == _WILL_QOS:
        raise malformed("A CONNECT has a will of QoS 3 [MQTT-3.1.2-12].")
    keep_alive = body.two_bytes()
    properties = NO_CONNECT
    if version is Version.V5:
        properties = decode_properties(body, ConnectProperties)
        if properties.authentication_data is not None and properties.authentication_method is None:
            # §3.1.2.11.10
            raise protocol_error("A CONNECT has authentication data and no method.")
    elif flags & _PASSWORD and not flags & _USER_NAME:
        raise malformed("A CONNECT has a password and no user name [3.1.1: MQTT-3.1.2-22].")
    # [MQTT-3.1.3-1]: the order of what follows.
    client_id = body.text()
    packet = Connect(
        client_id,
        version,
        bool(flags & _CLEAN),
        keep_alive,
        _will(body, flags, version) if flags & _WILL else None,
        body.text() if flags & _USER_NAME else None,
        body.binary() if flags & _PASSWORD else None,
        properties,
    )
    body.finish()
    if version is Version.V3_1_1 and not client_id and not packet.clean_start:
        raise Refused(
            ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
            "A session that is kept needs a client identifier [3.1.1: MQTT-3.1.3-8].",
        )
    return packet


def _will(body: Body, flags: int, version: Version) -> Will:
    properties = NO_WILL
    if version is Version.V5:
        properties = decode_properties(body, WillProperties)
        check_response_topic(properties)
    topic = body.text()
    check_name(topic)
    qos = (flags & _WILL_QOS) >> 3
    return Will(topic, body.binary(), qos, bool(flags & _WILL_RETAIN), properties)
