"""Reason codes: which there are, and which of them each packet may carry (§2.4).

The tables map the byte to the code, so that looking a byte up also tells whether it is allowed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class ReasonCode(enum.IntEnum):
    """The outcome of an operation; from 0x80 on, a failure.

    0x00 is also *normal disconnection* and *granted QoS 0*, by the packet that carries it.
    """

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    REAUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


FAILURE: Final = 0x80
"""Codes from here on are failures."""

Codes = Mapping[int, ReasonCode]


def _codes(*numbers: int) -> Codes:
    return {number: ReasonCode(number) for number in numbers}


# [MQTT-3.2.2-8]
CONNACK_CODES: Final = _codes(
    *(0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, *range(0x9A, 0x9E), 0x9F)
)
# [MQTT-3.4.2-1], [MQTT-3.5.2-1]
PUBACK_CODES: Final = _codes(0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
# [MQTT-3.6.2-1], [MQTT-3.7.2.1-1]
PUBREL_CODES: Final = _codes(0x00, 0x92)
# [MQTT-3.9.3-2]
SUBACK_CODES: Final = _codes(
    *(0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)
)
# [3.1.1: MQTT-3.9.3-2]
SUBACK_CODES_3: Final = _codes(0x00, 0x01, 0x02, 0x80)
# [MQTT-3.11.3-2]
UNSUBACK_CODES: Final = _codes(0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)
# [MQTT-3.14.2-1], those of both directions: whoever gets one closes the connection anyway.
DISCONNECT_CODES: Final = _codes(
    *(0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, 0x8B, *range(0x8D, 0x91)),
    *range(0x93, 0xA3),
)
# [MQTT-3.15.2-1]
AUTH_CODES: Final = _codes(0x00, 0x18, 0x19)

# The return codes of a 3.1.1 CONNACK, and what they are called in MQTT 5.
CONNECT_RETURN_CODES: Final[Codes] = {
    0: ReasonCode.SUCCESS,
    1: ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
    2: ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    3: ReasonCode.SERVER_UNAVAILABLE,
    4: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    5: ReasonCode.NOT_AUTHORIZED,
}

_RETURN_CODE: Final[Mapping[ReasonCode, int]] = {
    **{reason: number for number, reason in CONNECT_RETURN_CODES.items()},
    ReasonCode.SERVER_BUSY: 3,
    ReasonCode.SERVER_SHUTTING_DOWN: 3,
    ReasonCode.QUOTA_EXCEEDED: 3,
    ReasonCode.CONNECTION_RATE_EXCEEDED: 3,
    ReasonCode.USE_ANOTHER_SERVER: 3,
    ReasonCode.SERVER_MOVED: 3,
    ReasonCode.UNSPECIFIED_ERROR: 3,
    ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR: 3,
    ReasonCode.BANNED: 5,
    ReasonCode.BAD_AUTHENTICATION_METHOD: 5,
}


def connect_return_code(reason: ReasonCode) -> int | None:
    """Return what a 3.1.1 CONNACK says for ``reason``, or None if it has no word for it.

    Then the connection is closed without a CONNACK [3.1.1: MQTT-3.2.2-6].
    """
    return _RETURN_CODE.get(reason)
