"""Whether a queue takes another message, and what has to give way to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from motehub.protocols.mqtt.ledger import Ledger
from motehub.protocols.mqtt.limits import BrokerLimits, Overflow
from motehub.protocols.mqtt.members import Member
from motehub.protocols.mqtt.packets import Publish
from motehub.protocols.mqtt.session import Tally


class Room:
    """Holds the queue of each member, and all of them together, to the limits by their policy.

    Beyond the total the fullest queue gives way, not that of the client that is written to: many
    sessions that nobody takes up again must not starve those in use.
    """

    def __init__(
        self,
        limits: BrokerLimits,
        tally: Tally,
        members: Mapping[str, Member],
        ledger: Ledger,
        counters: Counter[str],
    ) -> None:
        self._limits = limits
        self._tally = tally
        self._members = members
        self._ledger = ledger
        self._counters = counters
        # The fullest last; each gives way until half of what waited for it is left.
        self._fullest: list[tuple[int, Member]] = []

    def has(self, member: Member, message: Publish, size: int) -> bool:
        """Make room for a message of about ``size`` bytes, or count it as dropped."""
        limits = self._limits
        while (
            member.waiting >= limits.messages
            or member.waiting_bytes + size > limits.bytes
            or member.is_short_of_ids
        ):
            self._counters["dropped"] += 1
            if (
                limits.overflow is Overflow.DROP_NEWEST
                or member.is_short_of_ids
                or size > limits.bytes
                or not member.drop_oldest()
            ):
                member.dropped += 1
                return False
            self._ledger.waiting(member)
        if self._tally.bytes + size <= limits.total_bytes:
            return True
        # What need not wait for the client takes no room.
        return not (message.qos or member.session.queue) or self._in_all(member, message, size)

    def _in_all(self, member: Member, message: Publish, size: int) -> bool:
        limits, tally = self._limits, self._tally
        while tally.bytes + tally.more(message, size) > limits.total_bytes:
            self._counters["dropped"] += 1
            self._counters["dropped_beyond_total"] += 1
            able = limits.overflow is Overflow.DROP_OLDEST and size <= limits.total_bytes
            fullest = self._find_fullest() if able else None
            if fullest is None:
                member.dropped += 1
                return False
            fullest.drop_oldest()
            self._ledger.waiting(fullest)
        return True

    def _find_fullest(self) -> Member | None:
        """Return a member for which about most waits, None when nothing does anywhere.

        All are looked at only when the list of the last time is used up, and so once for at
        least as many messages as there are queues.
        """
        for _ in range(2):
            while self._fullest:
                enough, member = self._fullest[-1]
                if member.session.queue and member.session.queued_bytes > enough:
                    return member
                self._fullest.pop()
            queues = [one for one in self._members.values() if one.session.queue]
            queues.sort(key=lambda one: one.session.queued_bytes)
            self._fullest = [(one.session.queued_bytes // 2, one) for one in queues]
        return None
