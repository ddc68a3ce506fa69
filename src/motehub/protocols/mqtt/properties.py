"""The properties of MQTT 5 (§2.2.2): one struct for each packet, with those it may carry.

None stands for a property that is absent, which is not always the same as its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.wire import (
    VARIABLE_LIMIT,
    Body,
    Refused,
    binary_bytes,
    malformed,
    protocol_error,
    text_bytes,
    variable_bytes,
)


class Properties(msgspec.Struct, frozen=True, kw_only=True):
    """What every packet with properties may carry: name and value pairs, in their order."""

    user_property: tuple[tuple[str, str], ...] = ()


class WillProperties(Properties, frozen=True, kw_only=True):
    """Of a will, in CONNECT (§3.1.3.2); intervals in seconds."""

    will_delay_interval: int | None = None
    payload_format_indicator: int | None = None
    message_expiry_interval: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None


class ConnectProperties(Properties, frozen=True, kw_only=True):
    """Of CONNECT (§3.1.2.11); intervals in seconds, sizes in bytes."""

    session_expiry_interval: int | None = None
    receive_maximum: int | None = None
    maximum_packet_size: int | None = None
    topic_alias_maximum: int | None = None
    request_response_information: bool | None = None
    request_problem_information: bool | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None


class ConnAckProperties(Properties, frozen=True, kw_only=True):
    """Of CONNACK (§3.2.2.3); intervals in seconds, sizes in bytes."""

    session_expiry_interval: int | None = None
    receive_maximum: int | None = None
    maximum_qos: int | None = None
    retain_available: bool | None = None
    maximum_packet_size: int | None = None
    assigned_client_identifier: str | None = None
    topic_alias_maximum: int | None = None
    reason_string: str | None = None
    wildcard_subscription_available: bool | None = None
    subscription_identifiers_available: bool | None = None
    shared_subscription_available: bool | None = None
    server_keep_alive: int | None = None
    response_information: str | None = None
    server_reference: str | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None


class PublishProperties(Properties, frozen=True, kw_only=True):
    """Of PUBLISH (§3.3.2.3); the interval in seconds."""

    payload_format_indicator: int | None = None
    message_expiry_interval: int | None = None
    topic_alias: int | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifier: tuple[int, ...] = ()
    content_type: str | None = None


class AckProperties(Properties, frozen=True, kw_only=True):
    """Of PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK."""

    reason_string: str | None = None


class SubscribeProperties(Properties, frozen=True, kw_only=True):
    """Of SUBSCRIBE (§3.8.2.1)."""

    subscription_identifier: int | None = None


class UnsubscribeProperties(Properties, frozen=True, kw_only=True):
    """Of UNSUBSCRIBE (§3.10.2.1): user properties only."""


class DisconnectProperties(Properties, frozen=True, kw_only=True):
    """Of DISCONNECT (§3.14.2.2); the interval in seconds."""

    session_expiry_interval: int | None = None
    reason_string: str | None = None
    server_reference: str | None = None


class AuthProperties(Properties, frozen=True, kw_only=True):
    """Of AUTH (§3.15.2.2)."""

    authentication_method: str | None = None
    authentication_data: bytes | None = None
    reason_string: str | None = None


class _Form(msgspec.Struct, frozen=True):
    """How the value of a property is read from a packet and written."""

    read: Callable[[Body], Any]
    write: Callable[[Any], bytes]
    numeric: bool = False


def _read_pair(body: Body) -> tuple[str, str]:
    # [MQTT-1.5.7-1]
    return body.text(), body.text()


def _write_pair(pair: tuple[str, str]) -> bytes:
    return text_bytes(pair[0]) + text_bytes(pair[1])


_BYTE: Final = _Form(Body.byte, lambda value: int(value).to_bytes(1, "big"), numeric=True)
# A byte that is 0 or 1, and means no or yes.
_FLAG: Final = _Form(Body.byte, _BYTE.write, numeric=True)
_TWO_BYTES: Final = _Form(Body.two_bytes, lambda value: int(value).to_bytes(2, "big"), numeric=True)
_FOUR_BYTES: Final = _Form(
    Body.four_bytes, lambda value: int(value).to_bytes(4, "big"), numeric=True
)
_VARIABLE: Final = _Form(Body.variable, variable_bytes, numeric=True)
_TEXT: Final = _Form(Body.text, text_bytes)
_BINARY: Final = _Form(Body.binary, binary_bytes)
_PAIR: Final = _Form(_read_pair, _write_pair)


class _Property(msgspec.Struct, frozen=True):
    """One row of the table in §2.2.2.2; numbers outside ``low`` to ``high`` have ``fault``."""

    identifier: int
    name: str
    form: _Form
    low: int = 0
    high: int = 0xFFFFFFFF
    fault: ReasonCode = ReasonCode.PROTOCOL_ERROR


_TABLE: Final = (
    _Property(0x01, "payload_format_indicator", _BYTE, high=1),
    _Property(0x02, "message_expiry_interval", _FOUR_BYTES),
    _Property(0x03, "content_type", _TEXT),
    _Property(0x08, "response_topic", _TEXT),
    _Property(0x09, "correlation_data", _BINARY),
    _Property(0x0B, "subscription_identifier", _VARIABLE, low=1, high=VARIABLE_LIMIT),
    _Property(0x11, "session_expiry_interval", _FOUR_BYTES),
    _Property(0x12, "assigned_client_identifier", _TEXT),
    _Property(0x13, "server_keep_alive", _TWO_BYTES),
    _Property(0x15, "authentication_method", _TEXT),
    _Property(0x16, "authentication_data", _BINARY),
    _Property(0x17, "request_problem_information", _FLAG, high=1),
    _Property(0x18, "will_delay_interval", _FOUR_BYTES),
    _Property(0x19, "request_response_information", _FLAG, high=1),
    _Property(0x1A, "response_information", _TEXT),
    _Property(0x1C, "server_reference", _TEXT),
    _Property(0x1F, "reason_string", _TEXT),
    _Property(0x21, "receive_maximum", _TWO_BYTES, low=1),
    _Property(0x22, "topic_alias_maximum", _TWO_BYTES),
    # [MQTT-3.3.2-8]
    _Property(0x23, "topic_alias", _TWO_BYTES, low=1, fault=ReasonCode.TOPIC_ALIAS_INVALID),
    _Property(0x24, "maximum_qos", _BYTE, high=1),
    _Property(0x25, "retain_available", _FLAG, high=1),
    _Property(0x26, "user_property", _PAIR),
    _Property(0x27, "maximum_packet_size", _FOUR_BYTES, low=1),
    _Property(0x28, "wildcard_subscription_available", _FLAG, high=1),
    _Property(0x29, "subscription_identifiers_available", _FLAG, high=1),
    _Property(0x2A, "shared_subscription_available", _FLAG, high=1),
)

_KINDS: Final[tuple[type[Properties], ...]] = (
    WillProperties,
    ConnectProperties,
    ConnAckProperties,
    PublishProperties,
    AckProperties,
    SubscribeProperties,
    UnsubscribeProperties,
    DisconnectProperties,
    AuthProperties,
)
_ALLOWED: Final[Mapping[type[Properties], Mapping[int, _Property]]] = {
    kind: {row.identifier: row for row in _TABLE if row.name in kind.__struct_fields__}
    for kind in _KINDS
}
# Properties that may come more than once are tuples.
_REPEATABLE: Final[Mapping[type[Properties], frozenset[str]]] = {
    kind: frozenset(
        name for name in kind.__struct_fields__ if isinstance(getattr(kind(), name), tuple)
    )
    for kind in _KINDS
}
_NAMES: Final = {row.identifier: row.name for row in _TABLE}
_NONE: Final[Mapping[type[Properties], Properties]] = {kind: kind() for kind in _KINDS}

_P = TypeVar("_P", bound=Properties)


def no_properties(kind: type[_P]) -> _P:
    """Return the one empty struct of ``kind``; decoders return it too, so ``is`` recognises it."""
    empty = _NONE[kind]
    assert isinstance(empty, kind)
    return empty


def decode_properties(body: Body, kind: type[_P]) -> _P:
    """Read the property length and the properties of ``kind`` that follow.

    Raises:
        Refused: malformed when one is cut off, unknown or not of this packet; a protocol error
            when one is repeated that must not be, or its value is forbidden.
    """
    length = body.variable()
    if not length:
        return no_properties(kind)
    if length > body.left:
        raise malformed("The property length exceeds the packet.")
    end, body.end = body.end, body.position + length
    allowed = _ALLOWED[kind]
    repeatable = _REPEATABLE[kind]
    found: dict[str, Any] = {}
    while body.position < body.end:
        identifier = body.variable()
        if (row := allowed.get(identifier)) is None:
            name = _NAMES.get(identifier, "no property")
            # §2.2.2.2
            raise malformed(f"0x{identifier:02X} ({name}) is not a property of this packet.")
        value = row.form.read(body)
        if row.form.numeric:
            if not row.low <= value <= row.high:
                raise Refused(row.fault, f"The property {row.name} must not be {value}.")
            if row.form is _FLAG:
                value = bool(value)
        if row.name in repeatable:
            found.setdefault(row.name, []).append(value)
        elif row.name in found:
            raise protocol_error(f"The property {row.name} is repeated.")
        else:
            found[row.name] = value
    body.end = end
    for name in repeatable & found.keys():
        found[name] = tuple(found[name])
    return kind(**found)


def encode_properties(properties: Properties) -> bytes:
    """Return the property length and ``properties``, in the order of their identifiers.

    Raises:
        OverflowError: a value has no room in its form: too long, or a number too large.
    """
    kind = type(properties)
    if properties is _NONE[kind]:
        return b"\0"
    encoded = bytearray()
    for row in _ALLOWED[kind].values():
        value = getattr(properties, row.name)
        if value is None:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            encoded.append(row.identifier)
            encoded += row.form.write(one)
    return variable_bytes(len(encoded)) + encoded
