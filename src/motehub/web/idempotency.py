"""``Idempotency-Key``: the same request sent again is answered again, and not stored twice.

What a key stood for becomes durable in the commit of its readings, so that neither a crash nor a
lost answer makes a difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from motehub.http_exchange import Response, problem
from motehub.model import MICROSECONDS
from motehub.web.filing import Outcome

KEPT: Final = 10_000
"""Keys that are remembered; beyond, the oldest goes."""

KEPT_SECONDS: Final = 86_400
"""How long a key is remembered."""

KEY_LENGTH: Final = 255
"""Longest key in bytes."""

_ERRORS: Final = 10
_IN_STATE: Final = "idempotency/"


class _Entry(msgspec.Struct, frozen=True):
    time: int
    fingerprint: bytes
    outcome: Outcome


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Entry).decode


class IdempotencyKeys:
    """The keys that were used lately, each with what its request came to."""

    def __init__(self, state: Mapping[str, bytes]) -> None:
        found = [(key, _decode(value)) for key, value in state.items() if key.startswith(_IN_STATE)]
        self._entries = dict(sorted(found, key=lambda one: one[1].time))
        self._under_way: set[str] = set()

    def begin(self, name: str, fingerprint: bytes) -> Outcome | Response | None:
        """Return what ``name`` came to before, an error, or None when it is new.

        After None, ``end`` has to be called. ``fingerprint`` tells one request from another.
        """
        if name in self._under_way:
            detail = "A request with this Idempotency-Key is under way. Send it again later."
            return problem(409, "Not now", detail)
        entry = self._entries.get(name)
        if entry is None:
            self._under_way.add(name)
            return None
        if entry.fingerprint != fingerprint:
            detail = "This Idempotency-Key was used for another request. Use a new one for each."
            return problem(422, "Key used before", detail)
        return entry.outcome

    def note(
        self, name: str, fingerprint: bytes, outcome: Outcome, now: int
    ) -> dict[str, bytes | None]:
        """Return the state that remembers ``name`` from ``now`` (µs) on, and forgets old ones."""
        changes: dict[str, bytes | None] = dict.fromkeys(self._forget_old(now))
        errors = outcome.errors[:_ERRORS]
        kept = Outcome(outcome.stored, outcome.rejected, errors, outcome.forbidden)
        self._entries[name] = _Entry(now, fingerprint, kept)
        changes[name] = _encode(self._entries[name])
        return changes

    def end(self, name: str, *, stored: bool) -> None:
        """Say that the request is no longer under way; forget it if it was not stored."""
        self._under_way.discard(name)
        if not stored:
            self._entries.pop(name, None)

    def _forget_old(self, now: int) -> list[str]:
        old: list[str] = []
        for name, entry in self._entries.items():
            room = len(self._entries) - len(old) < KEPT
            if room and now - entry.time < KEPT_SECONDS * MICROSECONDS:
                break
            old.append(name)
        for name in old:
            del self._entries[name]
        return old


def name_of(token: bytes, key: bytes) -> str:
    """Return the name in the state of a sender's key: nobody can use another sender's.

    ``token`` is the digest of the sender's token: one of the same name made later is another.
    """
    return _IN_STATE + fingerprint(token, key).hex()


def fingerprint(*parts: bytes) -> bytes:
    """Return what tells one request from another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
