"""Keys of requests: what they stood for, for how long, and how many."""

from __future__ import annotations

import pytest

from motehub.http_exchange import Response
from motehub.model import MICROSECONDS
from motehub.web import idempotency
from motehub.web.filing import LineError, Outcome
from motehub.web.idempotency import IdempotencyKeys, fingerprint, name_of

NOW = 1_700_000_000 * MICROSECONDS
MARK = fingerprint(b"body")


def use(keys: IdempotencyKeys, name: str, now: int = NOW) -> dict[str, bytes]:
    """Use a key once; return the state that is left of it and of those that went."""
    assert keys.begin(name, MARK) is None
    state = keys.note(name, MARK, Outcome(3, 1, [LineError(2, "bad")]), now)
    keys.end(name, stored=True)
    return {key: value for key, value in state.items() if value is not None}


def test_a_key_is_remembered_after_a_restart() -> None:
    """What is in the journal's state is enough."""
    state = use(IdempotencyKeys({}), name_of(b"token", b"1"))
    again = IdempotencyKeys(state | {"device/1": b"not ours"})
    outcome = again.begin(name_of(b"token", b"1"), MARK)
    assert isinstance(outcome, Outcome)
    assert (outcome.stored, outcome.rejected) == (3, 1)
    assert outcome.errors == [LineError(2, "bad")]


def test_another_body_under_the_same_key_is_refused() -> None:
    """422, since nobody can tell which of the two was meant."""
    keys = IdempotencyKeys({})
    use(keys, "idempotency/a")
    answer = keys.begin("idempotency/a", fingerprint(b"other body"))
    assert isinstance(answer, Response)
    assert answer.status == 422


def test_a_key_under_way_is_not_taken_twice() -> None:
    """409 until the first request has ended; if that stored nothing the key is free."""
    keys = IdempotencyKeys({})
    assert keys.begin("idempotency/a", MARK) is None
    answer = keys.begin("idempotency/a", MARK)
    assert isinstance(answer, Response)
    assert answer.status == 409
    keys.end("idempotency/a", stored=False)
    assert keys.begin("idempotency/a", MARK) is None


def test_senders_do_not_share_keys() -> None:
    """The same key of two tokens, and tokens that end as keys begin, are different."""
    names = {name_of(b"a", b"1"), name_of(b"b", b"1"), name_of(b"ab", b"c"), name_of(b"a", b"bc")}
    assert len(names) == 4
    assert fingerprint(b"ab", b"c") != fingerprint(b"a", b"bc")


def test_keys_are_forgotten_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day later the state of an old key is deleted with the next one."""
    keys = IdempotencyKeys({})
    use(keys, "idempotency/old")
    assert keys.begin("idempotency/new", MARK) is None
    later = NOW + idempotency.KEPT_SECONDS * MICROSECONDS
    state = keys.note("idempotency/new", MARK, Outcome(), later)
    assert state["idempotency/old"] is None
    assert keys.begin("idempotency/old", MARK) is None


def test_keys_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest goes."""
    monkeypatch.setattr(idempotency, "KEPT", 3)
    keys = IdempotencyKeys({})
    for number in range(3):
        use(keys, f"idempotency/{number}", NOW + number)
    assert keys.begin("idempotency/3", MARK) is None
    state = keys.note("idempotency/3", MARK, Outcome(), NOW + 3)
    assert [key for key, value in state.items() if value is None] == ["idempotency/0"]
    assert isinstance(keys.begin("idempotency/1", MARK), Outcome)
