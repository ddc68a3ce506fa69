"""Wills: durable from the CONNECT that brings them until they are published, or called off.

That of a session which outlives its connection is kept with the session. Any other has a key of its
own: the hub may be killed between the end of a session and the publication of its will.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from motehub.protocols.mqtt.deadlines import Deadlines
from motehub.protocols.mqtt.ledger import Ledger
from motehub.protocols.mqtt.members import Member, Testament
from motehub.protocols.mqtt.packets import Will
from motehub.protocols.mqtt.session import MICROSECONDS

_PREFIX: Final = "mqtt/will/"


class _Record(msgspec.Struct, frozen=True):
    client_id: str
    will: Will
    due: int | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Record).decode


class Wills:
    """What is to be published for clients that go without a word (§3.1.2.5)."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: Deadlines[Testament] = Deadlines()
        self._last = 0

    @property
    def next(self) -> int | None:
        """When the next will is due, or None."""
        return self._waiting.next

    def restore(self, state: Mapping[str, bytes], now: int) -> None:
        """Take back the wills of sessions that are over: those in use ended with the hub."""
        for key, value in state.items():
            if key.startswith(_PREFIX):
                number = int(key[len(_PREFIX) :], 16)
                self._last = max(self._last, number)
                record = _decode(value)
                member = Member(record.client_id, 0)
                due = now if record.due is None else record.due
                self._waiting.set(Testament(member, record.will, due, number), due)

    def resume(self, member: Member, now: int) -> None:
        """Let the will of a session that was taken back wait for its time."""
        testament = member.testament
        if testament is not None:
            testament.due = testament.due or now
            self._waiting.set(testament, testament.due)

    def begin(self, member: Member, will: Will | None, now: int) -> None:
        """Take the will of a new connection in place of the one before (§3.1.3.2.2).

        That is called off, unless it was due by now.
        """
        old = member.testament
        if old is not None:
            if old.due is None or old.due > now:
                self.call_off(member)
            else:
                self._keep(old)
        member.testament = None if will is None else Testament(member, will)
        if member.testament is not None and not member.is_durable:
            self._keep(member.testament)

    def call_off(self, member: Member) -> None:
        """Forget a will, since its client said goodbye [MQTT-3.14.4-3] or is back in time."""
        old, member.testament = member.testament, None
        if old is not None:
            self._waiting.discard(old)
            self._forget(old)

    def wait(self, member: Member, now: int) -> None:
        """Let the time begin after which the will of a client that is gone is published."""
        testament = member.testament
        if testament is not None:
            delay = min(testament.will.properties.will_delay_interval or 0, member.expiry or 0)
            testament.due = now + delay * MICROSECONDS
            self._waiting.set(testament, testament.due)

    def end(self, member: Member, now: int) -> None:
        """Let a will be due at once, since its session is over (§3.1.3.2.2)."""
        testament, member.testament = member.testament, None
        if testament is None or testament.due is None:
            return
        if testament.due > now:
            testament.due = now
            self._waiting.set(testament, now)
        if testament.number is None:
            self._keep(testament)

    def take(self, now: int) -> list[Testament]:
        """Return those that are due; each stays durable until it is settled."""
        return self._waiting.take(now)

    def settle(self, testament: Testament) -> None:
        """Forget a will with the commit in which it is published, or refused."""
        member = testament.member
        if member.testament is testament:
            member.testament = None
            if testament.number is None:
                self._ledger.session(member)
        self._forget(testament)

    def _keep(self, testament: Testament) -> None:
        self._last += 1
        testament.number = self._last
        record = _Record(testament.member.client_id, testament.will, testament.due)
        self._ledger.change(f"{_PREFIX}{self._last:x}", _encode(record))

    def _forget(self, testament: Testament) -> None:
        if testament.number is not None:
            self._ledger.change(f"{_PREFIX}{testament.number:x}", None)
