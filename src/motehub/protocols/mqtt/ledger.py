"""What of the broker is durable: keys and bytes for the journal's state, and back.

Sessions that outlive their connection, what waits for them, the identifiers of QoS 2, and
retained messages. Keys are ``mqtt/session/ID``, ``mqtt/incoming/ID``, ``mqtt/released/ID``,
``mqtt/waiting/ID/NUMBER``, ``mqtt/body/NUMBER`` (``bodies``), ``mqtt/will/NUMBER`` (``wills``)
and ``mqtt/retained/TOPIC``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from motehub.protocols.mqtt.bodies import PREFIX as BODY
from motehub.protocols.mqtt.bodies import Bodies, Changes, Row, bodies_of
from motehub.protocols.mqtt.members import Chunk, Grant, Member, Testament
from motehub.protocols.mqtt.packets import Will
from motehub.protocols.mqtt.session import PACKET_IDS, Queued, Tally

_SESSION: Final = "mqtt/session/"
_INCOMING: Final = "mqtt/incoming/"
_RELEASED: Final = "mqtt/released/"
_WAITING: Final = "mqtt/waiting/"
_RETAINED: Final = "mqtt/retained/"

_FEW_IDS: Final = 2_000


class _Record(msgspec.Struct, frozen=True):
    expiry: int | None
    ends: int | None
    grants: list[Grant]
    will: Will | None
    will_due: int | None
    user: str


_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(_Record).decode
_decode_ids = msgspec.msgpack.Decoder(list[int] | bytes).decode
_decode_chunk = msgspec.msgpack.Decoder(list[Row]).decode
_decode_queued = msgspec.msgpack.Decoder(Queued).decode


class Ledger:
    """Notes what has changed, until ``take`` returns it for the next commit."""

    def __init__(self) -> None:
        self._changes: Changes = {}
        self._bodies = Bodies()
        self._sessions: set[Member] = set()
        self._incoming: set[Member] = set()
        self._released: set[Member] = set()
        self._waiting: set[Member] = set()

    def __bool__(self) -> bool:
        return bool(
            self._changes or self._sessions or self._incoming or self._released or self._waiting
        )

    def session(self, member: Member) -> None:
        """Note that a session began, or that its subscriptions, will or end changed."""
        if member.is_durable:
            self._sessions.add(member)

    def incoming(self, member: Member) -> None:
        """Note that QoS 2 messages of the member are being kept or released."""
        if member.is_durable:
            self._incoming.add(member)

    def released(self, member: Member) -> None:
        """Note that the member has taken QoS 2 messages."""
        if member.is_durable:
            self._released.add(member)

    def waiting(self, member: Member) -> None:
        """Note that messages wait for the member, or no longer."""
        if member.is_durable:
            self._waiting.add(member)

    def change(self, key: str, value: bytes | None) -> None:
        """Note a change of something that is not known here."""
        self._changes[key] = value

    def retained(self, topic: str, queued: Queued | None) -> None:
        """Note the retained message of a topic, or that there is none any more."""
        self._changes[_RETAINED + topic] = None if queued is None else _encode(queued)

    def forget(self, member: Member) -> None:
        """Note that a session has ended with everything that was kept for it."""
        for members in (self._sessions, self._incoming, self._released, self._waiting):
            members.discard(member)
        for prefix in (_SESSION, _INCOMING, _RELEASED):
            self._changes[prefix + member.client_id] = None
        self._forget_chunks(member, member.take_chunks(), self._changes)

    def take(self) -> Changes:
        """Return all changes since the last time; whoever takes them commits them."""
        changes, self._changes = self._changes, {}
        for member in self._sessions:
            last = member.testament
            will, due = (None, None) if last is None or last.number else (last.will, last.due)
            grants = list(member.grants.values())
            record = _Record(member.expiry, member.ends, grants, will, due, member.user)
            changes[_SESSION + member.client_id] = _encode(record)
        for member in self._incoming:
            ids = member.incoming()
            changes[_INCOMING + member.client_id] = _ids_to_bytes(ids) if ids else None
        for member in self._waiting:
            if finished := member.take_finished():
                self._forget_chunks(member, finished, changes)
                self._released.add(member)
        self._keep_fresh([one for one in self._waiting if one.fresh], changes)
        for member in self._released:
            ids = member.released()
            changes[_RELEASED + member.client_id] = _ids_to_bytes(ids) if ids else None
        for members in (self._sessions, self._incoming, self._released, self._waiting):
            members.clear()
        return changes

    def restore(self, state: Mapping[str, bytes], tally: Tally) -> Iterable[Member]:
        """Yield the members of which ``state`` knows, as they were; ``tally`` has what they hold.

        To be used to its end.
        """
        chunks: dict[str, dict[int, bytes]] = {}
        for key, value in state.items():
            if key.startswith(_WAITING):
                client_id, _, number = key[len(_WAITING) :].rpartition("/")
                chunks.setdefault(client_id, {})[int(number, 16)] = value
            elif key.startswith(BODY):
                self._bodies.restore(key, value)
        for key, value in state.items():
            if key.startswith(_SESSION):
                client_id = key[len(_SESSION) :]
                yield self._member(client_id, value, state, chunks.get(client_id, {}), tally)
        self._bodies.end_restore()

    def _member(
        self,
        client_id: str,
        value: bytes,
        state: Mapping[str, bytes],
        chunks: Mapping[int, bytes],
        tally: Tally,
    ) -> Member:
        record = _decode_record(value)
        member = Member(client_id, record.expiry, tally)
        member.grants = {grant.subscription.filter: grant for grant in record.grants}
        member.ends, member.user = record.ends, record.user
        if record.will is not None:
            member.testament = Testament(member, record.will, record.will_due)
        if ids := state.get(_INCOMING + client_id):
            member.session.incoming.update(_ids_from_bytes(ids))
        released = set(_ids_from_bytes(state.get(_RELEASED + client_id, b"\x90")))
        for number, chunk in sorted(chunks.items()):
            rows = _decode_chunk(chunk)
            queued = [self._bodies.whole(row) for row in rows]
            member.restore_chunk(number, queued, bodies_of(rows), released)
        return member

    def _keep_fresh(self, members: Sequence[Member], changes: Changes) -> None:
        """Keep what is new for members, each in a chunk of its own."""
        chunks = [member.begin_chunk() for member in members]
        kept = self._bodies.rows([fresh for _, fresh in chunks], changes)
        for member, (number, _), rows in zip(members, chunks, kept, strict=True):
            member.chunks[number].bodies = bodies_of(rows)
            changes[_chunk_key(member, number)] = _encode(rows)

    def _forget_chunks(self, member: Member, chunks: Mapping[int, Chunk], changes: Changes) -> None:
        for number, chunk in chunks.items():
            changes[_chunk_key(member, number)] = None
            self._bodies.release(chunk.bodies, changes)


def restore_retained(state: Mapping[str, bytes]) -> Iterable[Queued]:
    """Yield the retained messages of which ``state`` knows."""
    for key, value in state.items():
        if key.startswith(_RETAINED):
            yield _decode_queued(value)


def _ids_to_bytes(ids: Sequence[int]) -> bytes:
    """Return packet identifiers as a list, or as one bit for each there is: they can be many."""
    if len(ids) <= _FEW_IDS:
        return _encode(ids)
    bits = bytearray(PACKET_IDS // 8 + 1)
    for one in ids:
        bits[one >> 3] |= 1 << (one & 7)
    return _encode(bytes(bits))


def _ids_from_bytes(data: bytes) -> Sequence[int]:
    ids = _decode_ids(data)
    if isinstance(ids, bytes):
        return [8 * at + bit for at, byte in enumerate(ids) for bit in range(8) if byte >> bit & 1]
    return list(ids)


def _chunk_key(member: Member, number: int) -> str:
    return f"{_WAITING}{member.client_id}/{number:x}"
