"""MQTT: a reader and a connection take any bytes, however they are cut, and say the same.

Nothing is ever raised; what is kept of an incomplete packet stays below the limit of a packet; and
what the server answers can be read by a client.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from tests.fuzz.mqtt_streams import stream

from motehub.protocols.mqtt.connection import Connection
from motehub.protocols.mqtt.events import Closed, Event
from motehub.protocols.mqtt.limits import Limits
from motehub.protocols.mqtt.packets import (
    Auth,
    Connect,
    Packet,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Version,
    Violation,
)
from motehub.protocols.mqtt.reader import HEADER_LIMIT, PacketReader
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.session import Session

PACKET_LIMIT: Final = 1000
LIMITS: Final = Limits(
    receive_maximum=20, maximum_packet_size=PACKET_LIMIT, topic_alias_maximum=3, window=3
)
NOW: Final = 1_795_215_909_000_000

MESSAGES: Final = tuple(Publish(f"to/you/{n}", b"y" * 50, n % 3) for n in range(8))
"""What the server has for the client, more than are allowed in flight."""

OUTGOING: Final = {
    1: Publish("again/1", b"y", 1, packet_id=1),
    2: Publish("again/2", b"y", 2, packet_id=2),
}
"""What an older connection has sent."""

_BYTE_BY_BYTE: Final = 2000
_MOST_SPLITS: Final = 6
_ANSWER_BYTES: Final = 4000


class Fault(AssertionError):
    """Something that must never be; the message has the bytes."""


class Talk(msgspec.Struct):
    """What came out of a connection, and what it left behind."""

    events: list[Event]
    output: bytes
    session: tuple[object, ...]


def play(rng: random.Random) -> None:
    """Play one round.

    Raises:
        Fault: two ways to cut the stream differ, or what is kept or answered is not as it must be.
    """
    data = stream(rng)
    splits = [[data], *_splits(rng, data)]
    try:
        _check_connections(splits, *_check_readers(splits))
    except Exception as error:
        error.add_note(f"bytes: {data.hex(' ')}")
        raise


def read(pieces: Sequence[bytes]) -> tuple[list[Packet | Violation], Version | None]:
    """Return the packets of a server's reader, and the version that it has seen."""
    reader = PacketReader(PACKET_LIMIT)
    found: list[Packet | Violation] = []
    for piece in pieces:
        found += reader.feed(piece)
        held = len(reader._held or b"")
        if held > max(PACKET_LIMIT, HEADER_LIMIT):
            raise Fault(f"{held} bytes are kept of a packet")
    if any(isinstance(packet, Violation) for packet in found[:-1]):
        raise Fault("packets follow a violation")
    return found, reader.version


def _check_readers(
    splits: Sequence[Sequence[bytes]],
) -> tuple[list[Packet | Violation], Version | None]:
    packets, version = read(splits[0])
    for pieces in splits[1:]:
        others, other_version = read(pieces)
        if others != packets or (other_version != version and not _is_too_large(packets)):
            raise Fault(f"cut into {_sizes(pieces)} it reads otherwise")
    return packets, version


def _is_too_large(packets: Sequence[Packet | Violation]) -> bool:
    """Tell whether the CONNECT is refused for its size, with or without its version there yet."""
    match packets:
        case [Violation(reason_code=ReasonCode.PACKET_TOO_LARGE)]:
            return True
        case _:
            return False


def _sizes(pieces: Sequence[bytes]) -> str:
    return str([len(piece) for piece in pieces]) if len(pieces) <= _MOST_SPLITS else "bytes"


def _check_connections(
    splits: Sequence[Sequence[bytes]],
    packets: Sequence[Packet | Violation],
    version: Version | None,
) -> None:
    talks = [talk(pieces, prompt=False) for pieces in splits]
    for one in (*talks, talk(splits[-1], prompt=True)):
        _check_output(one.output, version, sum(map(len, splits[0])))
    if _is_too_large(packets) or _is_authentication(packets):
        return
    for pieces, other in zip(splits[1:], talks[1:], strict=True):
        if other != talks[0]:
            raise Fault(f"cut into {_sizes(pieces)} it is answered otherwise")


def _is_authentication(packets: Sequence[Packet | Violation]) -> bool:
    """Tell whether it matters what comes in before the CONNECT is answered."""
    match packets:
        case [Connect() as connect, *_] if connect.properties.authentication_method is not None:
            return True
        case [Connect(), Auth(), *_]:
            return True
        case _:
            return False


def _check_output(output: bytes, version: Version | None, received: int) -> None:
    if len(output) > 2 * received + _ANSWER_BYTES:
        raise Fault(f"{len(output)} bytes answer {received}")
    if version is None:
        if output:
            raise Fault("an answer without a version to answer in")
        return
    for packet in PacketReader.of_server(version).feed(output):
        if isinstance(packet, Violation):
            raise Fault(f"the answer can't be read: {packet.text} {output.hex(' ')}")


def talk(pieces: Sequence[bytes], *, prompt: bool) -> Talk:
    """Let a connection take ``pieces``; answer each at once if ``prompt``, else all at the end.

    Only if prompt there are messages for the client: when one leaves depends on the reads.
    """
    server, session = Connection(LIMITS, NOW), Session("c")
    happened: list[Event] = []
    later: list[Event] = []
    for piece in pieces:
        messages = MESSAGES if prompt else ()
        for event in _taken(server, session, messages, server.receive(piece, NOW)):
            happened.append(event)
            if prompt:
                _answer(server, event)
            else:
                later.append(event)
    for event in later:
        _answer(server, event)
    happened += server.eof() if server.deadline is None else server.timeout(server.deadline)
    if not server.is_closed or server.receive(b"\xc0\x00", NOW):
        raise Fault("a connection goes on after its end")
    left = (session.outgoing, session.incoming, list(session.queue), session.queued_bytes)
    return Talk(happened, server.take_output(), left)


def _taken(
    server: Connection, session: Session, messages: Sequence[Publish], events: list[Event]
) -> Iterator[Event]:
    """Yield events; a CONNECT is answered before what stands behind it comes out."""
    for event in events:
        yield event
        if not isinstance(event, Connect) or server.is_closed:
            continue
        if event.properties.authentication_method is not None:
            yield server.refuse(ReasonCode.BAD_AUTHENTICATION_METHOD)
            continue
        if (event.properties.receive_maximum or len(OUTGOING)) >= len(OUTGOING):
            session.outgoing |= OUTGOING
        waited = server.accept(session, NOW)
        for message in messages:
            server.send(message, NOW)
        yield from waited


def _answer(server: Connection, event: Event) -> None:
    match event:
        case Publish() | PubRec() | PubRel():
            server.acknowledge([event])
        case Subscribe():
            server.answer(SubAck(event.packet_id, (ReasonCode.SUCCESS,) * len(event.subscriptions)))
        case Unsubscribe():
            server.answer(UnsubAck(event.packet_id, (ReasonCode.SUCCESS,) * len(event.filters)))
        case Auth():
            server.disconnect(ReasonCode.PROTOCOL_ERROR)
        case Closed() | _:
            pass


def _splits(rng: random.Random, data: bytes) -> Iterator[list[bytes]]:
    """Yield the stream in two, in some, and (if it is short) in single bytes."""
    at = rng.randrange(len(data) + 1)
    yield [data[:at], data[at:]]
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(_MOST_SPLITS)))
    yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    if len(data) <= _BYTE_BY_BYTE:
        yield [data[n : n + 1] for n in range(len(data))]
