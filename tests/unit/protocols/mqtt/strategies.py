"""Every packet of both versions, for Hypothesis.

A strategy is made once: making one takes longer than an example of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from motehub.protocols.mqtt import properties as p
from motehub.protocols.mqtt import reason_codes as codes
from motehub.protocols.mqtt.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
    Will,
)
from motehub.protocols.mqtt.topics import name_fault

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
topics = texts.map(lambda text: text.replace("+", "/").replace("#", "/")).filter(
    lambda text: not name_fault(text)
)
levels = st.sampled_from(["a", "b", "", "é", "$x", "+", "lange Ebene"])
filters = st.builds(
    lambda share, path, tail: share + ("/".join([*path, *tail]) or "+"),
    st.sampled_from(["", "", "$share/group/"]),
    st.lists(levels, min_size=1, max_size=5),
    st.sampled_from([[], ["#"]]),
)
packet_ids = st.integers(1, 65_535)
payloads = st.binary(max_size=200)
two_bytes = st.integers(0, 0xFFFF)
four_bytes = st.integers(0, 0xFFFFFFFF)
flags = st.booleans()

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "assigned_client_identifier": texts,
    "authentication_data": payloads,
    "authentication_method": texts,
    "content_type": texts,
    "correlation_data": payloads,
    "maximum_packet_size": st.integers(1, 0xFFFFFFFF),
    "maximum_qos": st.integers(0, 1),
    "message_expiry_interval": four_bytes,
    "payload_format_indicator": st.integers(0, 1),
    "reason_string": texts,
    "receive_maximum": st.integers(1, 0xFFFF),
    "request_problem_information": flags,
    "request_response_information": flags,
    "response_information": texts,
    "response_topic": topics,
    "retain_available": flags,
    "server_keep_alive": two_bytes,
    "server_reference": texts,
    "session_expiry_interval": four_bytes,
    "shared_subscription_available": flags,
    "subscription_identifier": st.integers(1, 268_435_455),
    "subscription_identifiers_available": flags,
    "topic_alias": st.integers(1, 0xFFFF),
    "topic_alias_maximum": two_bytes,
    "user_property": st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    "wildcard_subscription_available": flags,
    "will_delay_interval": four_bytes,
}

_P = TypeVar("_P", bound=p.Properties)


def properties(kind: type[_P], version: Version) -> st.SearchStrategy[_P]:
    """Return any properties of ``kind``; the empty ones of 3.1.1."""
    if version is Version.V3_1_1:
        return st.just(p.no_properties(kind))
    values = {name: VALUES[name] for name in kind.__struct_fields__}
    if kind is p.PublishProperties:
        values["subscription_identifier"] = st.just(())
    filled = st.fixed_dictionaries({}, optional=values).map(lambda chosen: kind(**chosen))
    return st.one_of(st.just(p.no_properties(kind)), filled)


def _codes(allowed: codes.Codes) -> st.SearchStrategy[codes.ReasonCode]:
    return st.sampled_from(sorted(allowed.values()))


@cache
def connects(version: Version) -> st.SearchStrategy[Connect]:
    """Return any CONNECT."""
    wills = st.builds(
        Will, topics, payloads, st.integers(0, 2), flags, properties(p.WillProperties, version)
    )
    return st.builds(
        Connect,
        texts,
        st.just(version),
        flags,
        two_bytes,
        st.none() | wills,
        st.none() | texts,
        st.none() | payloads,
        properties(p.ConnectProperties, version),
    ).filter(_is_allowed)


def _is_allowed(packet: Connect) -> bool:
    if packet.version is Version.V3_1_1:
        named = packet.user_name is not None or packet.password is None
        return named and (packet.clean_start or packet.client_id != "")
    asked = packet.properties
    return asked.authentication_data is None or asked.authentication_method is not None


@cache
def publishes(version: Version) -> st.SearchStrategy[Publish]:
    """Return any PUBLISH that a client may send."""
    made = [
        st.builds(
            Publish,
            topics,
            payloads,
            st.just(qos),
            flags,
            flags if qos else st.just(False),
            packet_ids if qos else st.just(0),
            properties(p.PublishProperties, version),
        )
        for qos in (0, 1, 2)
    ]
    return st.one_of(made)


@cache
def _acks(version: Version) -> list[st.SearchStrategy[Packet]]:
    if version is Version.V3_1_1:
        return [st.builds(kind, packet_ids) for kind in (PubAck, PubRec, PubRel, PubComp)]
    told = properties(p.AckProperties, version)
    first, second = _codes(codes.PUBACK_CODES), _codes(codes.PUBREL_CODES)
    return [
        st.builds(PubAck, packet_ids, first, told),
        st.builds(PubRec, packet_ids, first, told),
        st.builds(PubRel, packet_ids, second, told),
        st.builds(PubComp, packet_ids, second, told),
    ]


@cache
def _auths() -> st.SearchStrategy[Packet]:
    told = properties(p.AuthProperties, Version.V5).filter(
        lambda found: found.authentication_method is not None
    )
    return st.just(Auth()) | st.builds(Auth, _codes(codes.AUTH_CODES), told)


@cache
def from_client(version: Version) -> st.SearchStrategy[Packet]:
    """Return any packet that a client sends after its CONNECT."""
    v5 = version is Version.V5
    option = flags if v5 else st.just(False)
    subscriptions = st.builds(
        Subscription,
        filters,
        st.integers(0, 2),
        option,
        option,
        st.integers(0, 2) if v5 else st.just(0),
    ).filter(lambda one: not (one.no_local and one.filter.startswith("$share/")))
    disconnects: st.SearchStrategy[Packet] = st.just(Disconnect())
    if v5:
        told = properties(p.DisconnectProperties, version)
        disconnects = st.builds(Disconnect, _codes(codes.DISCONNECT_CODES), told)
    return st.one_of(
        publishes(version),
        *_acks(version),
        st.builds(
            Subscribe,
            packet_ids,
            st.lists(subscriptions, min_size=1, max_size=3).map(tuple),
            properties(p.SubscribeProperties, version),
        ),
        st.builds(
            Unsubscribe,
            packet_ids,
            st.lists(filters, min_size=1, max_size=3).map(tuple),
            properties(p.UnsubscribeProperties, version),
        ),
        st.just(PingReq()),
        disconnects,
        *([_auths()] if v5 else []),
    )


@cache
def conn_acks(version: Version) -> st.SearchStrategy[ConnAck]:
    """Return any CONNACK."""
    v5 = version is Version.V5
    allowed = codes.CONNACK_CODES if v5 else codes.CONNECT_RETURN_CODES
    return st.builds(
        ConnAck, flags, _codes(allowed), properties(p.ConnAckProperties, version)
    ).filter(lambda packet: not (packet.session_present and packet.reason_code))


@cache
def from_server(version: Version) -> st.SearchStrategy[Packet]:
    """Return any packet that a server sends after its CONNACK."""
    v5 = version is Version.V5
    told = properties(p.AckProperties, version)
    granted = _codes(codes.SUBACK_CODES if v5 else codes.SUBACK_CODES_3)
    ended = _codes(codes.UNSUBACK_CODES)
    packets: list[st.SearchStrategy[Packet]] = [
        publishes(version),
        *_acks(version),
        st.builds(SubAck, packet_ids, st.lists(granted, min_size=1).map(tuple), told),
        st.just(PingResp()),
    ]
    if not v5:
        return st.one_of(*packets, st.builds(UnsubAck, packet_ids))
    identified = st.lists(VALUES["subscription_identifier"], min_size=1, max_size=4).map(tuple)
    last = properties(p.DisconnectProperties, version).filter(
        lambda found: found.session_expiry_interval is None
    )
    return st.one_of(
        *packets,
        st.builds(
            lambda ids: Publish(
                "a", b"", properties=p.PublishProperties(subscription_identifier=ids)
            ),
            identified,
        ),
        st.builds(UnsubAck, packet_ids, st.lists(ended, min_size=1).map(tuple), told),
        st.builds(Disconnect, _codes(codes.DISCONNECT_CODES), last),
        _auths(),
    )
