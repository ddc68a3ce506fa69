"""Tokens: whose a secret is, what it is good for, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from tests.unit.core.support import SOURCE, START, FakeClock, open_hub, say, temperature

from motehub.core import tokens as module
from motehub.core.admission import Policy
from motehub.core.tokens import MOST_DEVICES, Tokens
from motehub.errors import InvalidName, InvalidToken, MotehubError, UnknownToken
from motehub.frames import Batch
from motehub.model import MICROSECONDS, Scope, Source, Token

WRITE = (Scope.WRITE,)


def add(tokens: Tokens, name: str = "kitchen", secret: str | None = None) -> str:
    """Add a token that may write and return its secret."""
    return tokens.add(Batch(), name, WRITE, (), START, secret)


def name_of(token: Token | None) -> str | None:
    return None if token is None else token.name


def test_a_secret_finds_its_own_token_and_no_other() -> None:
    """Each secret is long, random and good for one token; nothing near it is."""
    tokens = Tokens()
    found = {name: add(tokens, name) for name in ("a", "b", "c")}
    assert len(set(found.values())) == 3
    for name, secret in found.items():
        assert secret.startswith("mh_")
        assert len(secret) == len("mh_") + 43
        assert name_of(tokens.find(secret, START)) == name
        for near in (secret[:-1], secret + "x", secret.upper(), secret[3:], "", " " + secret):
            assert tokens.find(near, START) is None


def test_a_client_may_show_the_hash_of_its_key() -> None:
    """The pimonitor dialect sends SHA-256 in hexadecimal, in either case."""
    tokens = Tokens()
    add(tokens, "pi", "an old key")
    shown = sha256(b"an old key").hexdigest()
    assert name_of(tokens.find_by_hash(shown, START)) == "pi"
    assert name_of(tokens.find_by_hash(shown.upper(), START)) == "pi"
    for wrong in ("", shown[:-1], shown + "0", "an old key", "\u0130" * 64, "0" * 64):
        assert tokens.find_by_hash(wrong, START) is None


def test_what_is_kept_opens_nothing() -> None:
    """Neither the secret nor what a client shows can be read from the state of the journal."""
    tokens, batch = Tokens(), Batch()
    secret = tokens.add(batch, "kitchen", WRITE, (), START)
    ((key, kept),) = batch.state.items()
    assert key == "token/kitchen"
    assert kept is not None
    shown = sha256(secret.encode())
    for opening in (secret.encode(), shown.hexdigest().encode(), shown.digest()):
        assert opening not in kept
    (token,) = tokens.all()
    assert token.digest in kept
    assert tokens.find(token.digest.hex(), START) is None
    assert tokens.find_by_hash(token.digest.hex(), START) is None


@pytest.mark.parametrize("odd", ["\udcff\udcfe", "\x00", "\xe9" * 1000, "\U0001f600"])
def test_any_text_may_be_shown(odd: str) -> None:
    """Whatever a header decodes to, it is only a wrong secret."""
    tokens = Tokens()
    add(tokens)
    assert tokens.find(odd, START) is None
    assert tokens.find_by_hash(odd, START) is None


def test_a_key_of_devices_may_be_any_visible_text() -> None:
    """Devices in the field keep the keys that they have."""
    tokens = Tokens()
    for name, key in (("a", "12345678"), ("b", "mit Leerzeichen und Ümlaut"), ("c", "x" * 256)):
        assert add(tokens, name, key) == key
        assert name_of(tokens.find(key, START)) == name


def test_a_token_ends_when_it_expires() -> None:
    """From that microsecond on it is good for nothing, but it is still listed."""
    tokens = Tokens()
    secret = tokens.add(Batch(), "guest", WRITE, (), START, expires=START + 5)
    shown = sha256(secret.encode()).hexdigest()
    for now, name in ((START, "guest"), (START + 4, "guest"), (START + 5, None)):
        assert name_of(tokens.find(secret, now)) == name
        assert name_of(tokens.find_by_hash(shown, now)) == name
    assert [token.name for token in tokens.all()] == ["guest"]


def test_a_revoked_token_is_good_for_nothing_and_its_name_is_free() -> None:
    """Revoking holds at once; another token may then have the name, or the key."""
    tokens, batch = Tokens(), Batch()
    first = add(tokens)
    assert tokens.revoke(batch, "kitchen").name == "kitchen"
    assert batch.state == {"token/kitchen": None}
    assert tokens.find(first, START) is None
    second = add(tokens)
    assert tokens.find(first, START) is None
    assert name_of(tokens.find(second, START)) == "kitchen"
    assert add(tokens, "again", first) == first
    with pytest.raises(UnknownToken, match="again, kitchen"):
        tokens.revoke(batch, "nosuch")


REFUSED: dict[str, tuple[Callable[[Tokens], object], type[MotehubError], str]] = {
    "taken name": (lambda t: add(t, "known"), InvalidName, "'known' already"),
    "same name typed otherwise": (lambda t: add(t, "Ku\u0308che"), InvalidName, "already"),
    "empty name": (lambda t: add(t, ""), InvalidName, "token's name"),
    "invisible name": (lambda t: add(t, "a\u202eb"), InvalidName, "can't contain"),
    "long name": (lambda t: add(t, "ü" * 33), InvalidName, "64 bytes"),
    "known key": (lambda t: add(t, "x", "the known key"), InvalidToken, "'known' has this key"),
    "short key": (lambda t: add(t, "x", "7 chars"), InvalidToken, "has 7"),
    "long key": (lambda t: add(t, "x", "k" * 257), InvalidToken, "has 257"),
    "invisible key": (lambda t: add(t, "x", "tab\tin the key"), InvalidToken, "can't be seen"),
    "no scope": (lambda t: t.add(Batch(), "x", (), (), START), InvalidToken, "scope"),
    "bound admin": (
        lambda t: t.add(Batch(), "x", (Scope.ADMIN,), ("kitchen",), START),
        InvalidToken,
        "can't be bound",
    ),
    "many devices": (
        lambda t: t.add(Batch(), "x", WRITE, [str(n) for n in range(MOST_DEVICES + 1)], START),
        InvalidToken,
        f"{MOST_DEVICES} devices",
    ),
    "expired already": (
        lambda t: t.add(Batch(), "x", WRITE, (), START, expires=START),
        InvalidToken,
        "expired already",
    ),
    "no such year": (
        lambda t: t.add(Batch(), "x", WRITE, (), START, expires=253_402_300_800 * MICROSECONDS),
        InvalidToken,
        "year 10000",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_is_refused(case: str) -> None:
    """The error says why, does not show a key, and nothing is changed."""
    attempt, error, words = REFUSED[case]
    tokens = Tokens()
    add(tokens, "known", "the known key")
    add(tokens, "K\u00fcche")
    before = tokens.all()
    with pytest.raises(error, match=words) as caught:
        attempt(tokens)
    assert tokens.all() == before
    assert "the known key" not in str(caught.value)


def test_a_name_is_the_same_however_it_is_typed() -> None:
    """A keyboard that composes accents and one that doesn't name the same token."""
    tokens = Tokens()
    add(tokens, "Ku\u0308che")
    assert [token.name for token in tokens.all()] == ["K\u00fcche"]
    assert tokens.revoke(Batch(), "Ku\u0308che").name == "K\u00fcche"


def test_there_are_never_more_tokens_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may create tokens can't fill the memory with them."""
    monkeypatch.setattr(module, "MOST_TOKENS", 2)
    tokens = Tokens()
    add(tokens, "a")
    add(tokens, "b")
    with pytest.raises(InvalidToken, match="2 tokens"):
        add(tokens, "c")
    tokens.revoke(Batch(), "a")
    add(tokens, "c")


@pytest.mark.parametrize("scope", Scope)
def test_a_token_is_good_for_its_scopes_and_admin_for_all(scope: Scope) -> None:
    """No other scope implies another."""
    token = Token("x", b"", (scope,), (), START)
    for asked in Scope:
        assert token.allows(asked) == (scope is asked or scope is Scope.ADMIN)
    assert token.may_write("any") == (scope in (Scope.WRITE, Scope.ADMIN))
    assert token.may_read("any") == (scope in (Scope.READ, Scope.ADMIN))


def test_a_bound_token_is_good_for_its_devices_alone() -> None:
    """Writing and reading are both limited to them."""
    token = Token("x", b"", (Scope.WRITE, Scope.READ), ("kitchen", "attic"), START)
    assert token.may_write("kitchen")
    assert token.may_read("attic")
    assert not token.may_write("cellar")
    assert not token.may_read("cellar")


async def test_tokens_are_there_after_a_restart(tmp_path: Path) -> None:
    """The journal keeps them, with all that they may; revoked ones stay away."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        kept = await hub.create_token("kept", (Scope.READ, Scope.WRITE), ["attic"])
        gone = await hub.create_token("gone", WRITE)
        await hub.revoke_token("gone")
        before = hub.tokens.all()
    async with open_hub(tmp_path, clock) as (hub, _):
        assert hub.tokens.all() == before
        assert hub.tokens.find(gone, START) is None
        found = hub.tokens.find(kept, START)
    assert found is not None
    assert found.scopes == (Scope.WRITE, Scope.READ)
    assert (found.devices, found.created, found.expires) == (("attic",), START, None)


async def test_a_token_follows_a_device_to_its_new_name(tmp_path: Path) -> None:
    """Renaming an accepted device, in either way, takes the bound tokens along, durably."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock, Policy.APPROVE) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        old = SOURCE.suggested_name
        await hub.accept_device(old)
        await hub.create_token("bound", WRITE, [old, "attic", old])
        await hub.create_token("other", WRITE, ["attic"])
        await hub.create_token("free", WRITE)
        await hub.accept_device(old, "kitchen")
        assert [t.devices for t in hub.tokens.all()] == [("kitchen", "attic"), (), ("attic",)]
        await hub.rename_device("kitchen", "Ku\u0308che")
    async with open_hub(tmp_path, clock) as (hub, _):
        bound = hub.tokens.all()[0]
        assert bound.devices == ("K\u00fcche", "attic")
        assert not bound.may_write("kitchen")
        await hub.rename_device("K\u00fcche", "attic")
        assert hub.tokens.all()[0].devices == ("attic",)


async def test_a_token_stays_bound_to_the_name_of_a_removed_device(tmp_path: Path) -> None:
    """It does not become good for all, and is there for the device that comes back."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await hub.create_token("bound", WRITE, [SOURCE.suggested_name])
        await hub.remove_device(SOURCE.suggested_name)
        (token,) = hub.tokens.all()
    assert token.devices == (SOURCE.suggested_name,)


async def test_a_token_does_not_follow_a_stranger_who_has_to_give_a_name_back(
    tmp_path: Path,
) -> None:
    """It was made for the device that the owner knows by that name."""
    stranger = Source("x", "name:kitchen", "kitchen", "192.0.2.66")
    kitchen = Source("x", "certificate:ab", "kitchen", "192.0.2.9", vouched=True)
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, stranger, [temperature(1)])
        await hub.create_token("bound", WRITE, ["kitchen"])
        await say(hub, kitchen, [temperature(2)])
        assert hub.registry.has_name("kitchen-2")
        assert hub.tokens.all()[0].devices == ("kitchen",)


@pytest.mark.parametrize("way", ["accepted", "renamed", "blocked"])
async def test_a_token_does_not_follow_a_stranger_whom_the_owner_renames(
    tmp_path: Path, way: str
) -> None:
    """The device for which it was made may only not have come yet."""
    stranger = Source("x", "name:alpha", "alpha", "192.0.2.66")
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await hub.create_token("ba", WRITE, ["alpha"])
        await say(hub, stranger, [temperature(1)])
        if way == "blocked":
            await hub.block_device("alpha")
        if way == "renamed":
            await hub.rename_device("alpha", "beta")
        else:
            await hub.accept_device("alpha", "beta")
        assert hub.registry.by_name("beta").identities == (stranger.identity,)
        assert hub.tokens.all()[0].devices == ("alpha",)


async def test_a_token_can_be_bound_to_a_device_with_an_odd_name(tmp_path: Path) -> None:
    """Such a name is fine where a device has it, and refused where none has."""
    odd = "a\u202eb;"
    source = Source("x", "certificate:ab", odd, "192.0.2.1")
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with pytest.raises(InvalidName):
            await hub.create_token("bound", WRITE, [odd])
        await say(hub, source, [temperature(1)])
        await hub.create_token("bound", WRITE, [odd])
        assert hub.tokens.all()[0].may_write(odd)


def test_whoever_was_let_in_hears_of_changes() -> None:
    """Each change gives another edition, and only the very token that there is still stands."""
    tokens = Tokens()
    editions = [tokens.edition]
    secret = tokens.add(Batch(), "kitchen", WRITE, ("kitchen",), START)
    found = tokens.find(secret, START)
    assert found is not None
    assert tokens.has(found)
    editions.append(tokens.edition)
    tokens.follow(Batch(), "kitchen", "lounge")
    assert not tokens.has(found)
    editions.append(tokens.edition)
    bound = tokens.find(secret, START)
    assert bound is not None
    assert tokens.has(bound)
    tokens.follow(Batch(), "attic", "cellar")
    assert tokens.edition == editions[-1]
    tokens.revoke(Batch(), "kitchen")
    assert not tokens.has(bound)
    editions.append(tokens.edition)
    add(tokens, secret=secret)
    assert not tokens.has(bound)
    editions.append(tokens.edition)
    assert len(set(editions)) == 5
