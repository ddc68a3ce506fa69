"""Which tokens there are, and whose a secret is. In memory; changes are state of the journal.

A secret is never kept. What is kept is the SHA-256 of the lower-case hexadecimal SHA-256 of it:
the clients of the pimonitor dialect show that inner hash instead of their key, so a stored hash
of one round would be as good as the key to whoever reads the data folder.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from motehub.errors import InvalidName, InvalidToken, UnknownToken
from motehub.frames import Batch
from motehub.model import MICROSECONDS, Scope, Token, check_token_name

MOST_TOKENS: Final = 1_000
"""How many tokens there may be."""

MOST_DEVICES: Final = 100
"""How many devices a token may be bound to; beyond, bind it to none."""

_IN_STATE: Final = "token/"
# So that a scanner for leaked keys can tell what it has found.
_BEGINNING: Final = "mh_"
_RANDOM_BYTES: Final = 32
_KEY_LENGTHS: Final = range(8, 257)
_HASH_LENGTH: Final = 64
_LATEST: Final = 253_402_300_799 * MICROSECONDS

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Token).decode


class Tokens:
    """Tokens by name and by digest.

    Each method that changes something puts the change into the batch that it is given. It holds
    at once, and is durable with the batch.
    """

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._names: dict[str, Token] = {}
        self._digests: dict[bytes, Token] = {}
        self.edition = 0
        """Another number after each change: then whoever was let in by a token may have to go."""
        for token in tokens:
            self._index(token)

    @classmethod
    def from_state(cls, state: Mapping[str, bytes]) -> Tokens:
        """Build the registry from what a journal keeps for good."""
        return cls(_decode(value) for key, value in state.items() if key.startswith(_IN_STATE))

    def all(self) -> list[Token]:
        """Return all tokens that are not revoked, by name; expired ones too."""
        return sorted(self._names.values(), key=lambda token: token.name)

    def find(self, secret: str, now: int) -> Token | None:
        """Return the token of a bearer's ``secret``, unless it has expired at ``now`` (µs)."""
        return self._of_digest(_digest(_api_hash(secret)), now)

    def find_by_hash(self, api_hash: str, now: int) -> Token | None:
        """Return the token of a client that shows the SHA-256 of its key, in hexadecimal."""
        if len(api_hash) != _HASH_LENGTH or not api_hash.isascii():
            return None
        return self._of_digest(_digest(api_hash.lower()), now)

    def has(self, token: Token) -> bool:
        """Tell whether the token is still exactly this: not revoked, and bound to the same."""
        return self._digests.get(token.digest) == token

    def add(
        self,
        batch: Batch,
        name: str,
        scopes: Sequence[Scope],
        devices: Sequence[str],
        now: int,
        secret: str | None = None,
        expires: int | None = None,
    ) -> str:
        """Add a token and return its secret: ``secret``, or one that is made here.

        Raises:
            InvalidName: ``name`` is taken or breaks the rules for names.
            InvalidToken: there are too many, or something else about it can't be.
        """
        name = check_token_name(name)
        if name in self._names:
            raise InvalidName(
                f"There is a token called {name!r} already. Revoke it, or choose another name."
            )
        if len(self._names) >= MOST_TOKENS:
            raise InvalidToken(f"There are {MOST_TOKENS} tokens already. Revoke some.")
        _check(scopes, devices, now, expires)
        if secret is None:
            secret = _BEGINNING + secrets.token_urlsafe(_RANDOM_BYTES)
        digest = _digest(_api_hash(_check_key(secret)))
        if digest in self._digests:
            other = self._digests[digest].name
            raise InvalidToken(f"The token {other!r} has this key already. Revoke it first.")
        ordered = tuple(scope for scope in Scope if scope in scopes)
        self._put(batch, Token(name, digest, ordered, _once(devices), now, expires))
        return secret

    def revoke(self, batch: Batch, name: str) -> Token:
        """Forget the token called ``name`` and return it.

        Raises:
            UnknownToken: there is none.
        """
        name = unicodedata.normalize("NFC", name)
        token = self._names.get(name)
        if token is None:
            known = ", ".join(sorted(self._names)[:10]) or "none yet"
            raise UnknownToken(f"There is no token called {name!r}. Known tokens: {known}.")
        del self._names[name], self._digests[token.digest]
        self.edition += 1
        batch.state[_IN_STATE + name] = None
        return token

    def follow(self, batch: Batch, old: str, new: str) -> None:
        """Bind the tokens of the device that was called ``old`` to its name ``new``."""
        if old == new:
            return
        for token in self.all():
            if old in token.devices:
                names = _once([new if one == old else one for one in token.devices])
                self._put(batch, msgspec.structs.replace(token, devices=names))

    def _of_digest(self, digest: bytes, now: int) -> Token | None:
        # The time that this takes says nothing about the tokens. The table is searched by
        # Python's hash of the digest, whose key is random in each process; whole digests are
        # compared only where that agrees, and whoever sends a secret can't choose its SHA-256.
        token = self._digests.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            return None
        if token.expires is not None and now >= token.expires:
            return None
        return token

    def _put(self, batch: Batch, token: Token) -> None:
        self._index(token)
        batch.state[_IN_STATE + token.name] = _encode(token)

    def _index(self, token: Token) -> None:
        self.edition += 1
        self._names[token.name] = token
        self._digests[token.digest] = token


def _api_hash(secret: str) -> str:
    # A header may decode to surrogates, which UTF-8 lacks; no token's secret has any.
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _digest(api_hash: str) -> bytes:
    return sha256(api_hash.encode()).digest()


def _check(scopes: Sequence[Scope], devices: Sequence[str], now: int, expires: int | None) -> None:
    if not scopes:
        raise InvalidToken("A token needs a scope: write, read, control or admin.")
    if devices and Scope.ADMIN in scopes:
        raise InvalidToken("An admin token can't be bound to devices: it may do everything.")
    if len(devices) > MOST_DEVICES:
        raise InvalidToken(f"A token can be bound to {MOST_DEVICES} devices at most, or to none.")
    if expires is not None and expires <= now:
        raise InvalidToken("The token would have expired already.")
    if expires is not None and expires > _LATEST:
        raise InvalidToken("A token that expires does so before the year 10000.")


def _check_key(key: str) -> str:
    """Return ``key`` when it may be a secret; the error must not show it."""
    if len(key) not in _KEY_LENGTHS:
        raise InvalidToken(
            f"A key has {_KEY_LENGTHS[0]} to {_KEY_LENGTHS[-1]} characters; this has {len(key)}."
        )
    if not key.isprintable() or key != key.strip():
        raise InvalidToken(
            "A key can't begin or end with a space, or contain characters that can't be seen."
        )
    return key


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
