"""People who log in, and the browsers in which they are. Changes are state of the journal."""

from __future__ import annotations

import enum
import hmac
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final

import msgspec

from motehub.errors import InvalidName, InvalidUser, UnknownUser
from motehub.frames import Batch
from motehub.model import MICROSECONDS, Scope, Token, check_token_name

MOST_USERS: Final = 200
"""How many people there may be."""

AGENT_CHARACTERS: Final = 300
"""Longest name of a browser's program that is kept."""

MOST_BROWSERS: Final = 20
"""In how many browsers a user may be logged in: beyond, the oldest has to log in again."""

BROWSER_SECONDS: Final = 30 * 86_400
"""How long a browser that is not used stays logged in."""

INVITATION_SECONDS: Final = 7 * 86_400
"""How long an invitation is good for."""

LINK_SECONDS: Final = 3_600
"""How long a link to choose another password is good for."""

_USER: Final = "user/"
_BROWSER: Final = "browser/"
_ORDER: Final = "order/"
_RANDOM_BYTES: Final = 32
_ID_DIGITS: Final = 16
# How much of its time a browser may have used before the time is written anew.
_RENEW_SECONDS: Final = 86_400

_encode = msgspec.msgpack.Encoder().encode


def arranged_in(state: Mapping[str, bytes | None]) -> list[str]:
    """Return the users whose order of devices is in the ``state`` of a batch."""
    return [key.removeprefix(_ORDER) for key in state if key.startswith(_ORDER)]


class Role(enum.Enum):
    """What a user may do."""

    VIEWER = "viewer"
    """See everything that devices say."""
    OPERATOR = "operator"
    """Command devices too."""
    ADMIN = "admin"
    """Decide about devices, people and the hub itself."""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What a token would have that may do the same."""
        return _SCOPES[self]


_SCOPES: Final = {
    Role.VIEWER: (Scope.READ,),
    Role.OPERATOR: (Scope.READ, Scope.CONTROL),
    Role.ADMIN: (Scope.ADMIN,),
}


class User(msgspec.Struct, frozen=True):
    """A person; times in µs.

    ``password`` is what ``motehub.core.passwords`` keeps of it. It is empty while the invitation
    with the digest ``invitation`` is open, until ``invited_until``. ``language`` is what the pages
    are to be written in, "" for what the browser prefers. To ``email`` goes a link to choose
    another password, with the digest ``link``, good until ``link_until``.
    """

    name: str
    role: Role
    created: int
    password: str = ""
    invitation: bytes = b""
    invited_until: int = 0
    language: str = ""
    email: str = ""
    link: bytes = b""
    link_until: int = 0


class Browser(msgspec.Struct, frozen=True):
    """A browser in which ``user`` is logged in until ``expires``; times in µs.

    ``digest`` is the SHA-256 of its secret. Requests that change something also show ``proof``,
    which pages of other sites don't know. ``agent`` is what the browser's program calls itself,
    ``address`` from where the log-in came.
    """

    digest: bytes
    user: str
    created: int
    expires: int
    proof: str
    agent: str = ""
    address: str = ""

    @property
    def key(self) -> str:
        """Where the journal keeps it."""
        return _BROWSER + self.digest.hex()

    @property
    def id(self) -> str:
        """What people and programs call it; it tells nothing of the secret."""
        return self.digest.hex()[:_ID_DIGITS]

    @property
    def used(self) -> int:
        """When it was used last (µs), to a day."""
        return self.expires - BROWSER_SECONDS * MICROSECONDS


class Seen(msgspec.Struct, frozen=True):
    """What is seen of a browser in which somebody logs in."""

    agent: str = ""
    address: str = ""


_UNSEEN: Final = Seen()

_decode_user = msgspec.msgpack.Decoder(User).decode
_decode_browser = msgspec.msgpack.Decoder(Browser).decode
_decode_order = msgspec.msgpack.Decoder(tuple[int, ...]).decode


class People:
    """Users by name, browsers by the digest of their secrets.

    Each method that changes something puts the change into the batch that it is given. It holds
    at once, and is durable with the batch.
    """

    def __init__(
        self,
        users: Iterable[User] = (),
        browsers: Iterable[Browser] = (),
        orders: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self._users = {user.name: user for user in users}
        self._browsers = {one.digest: one for one in browsers}
        self._orders = dict(orders or {})

    @classmethod
    def from_state(cls, state: Mapping[str, bytes]) -> People:
        """Build the registry from what a journal keeps for good."""
        return cls(
            [_decode_user(value) for key, value in state.items() if key.startswith(_USER)],
            [_decode_browser(value) for key, value in state.items() if key.startswith(_BROWSER)],
            {
                key.removeprefix(_ORDER): _decode_order(value)
                for key, value in state.items()
                if key.startswith(_ORDER)
            },
        )

    def all(self) -> list[User]:
        """Return all users, by name."""
        return sorted(self._users.values(), key=lambda user: user.name)

    def find(self, name: str) -> User | None:
        """Return the user called ``name``, if there is one."""
        return self._users.get(unicodedata.normalize("NFC", name))

    def get(self, name: str) -> User:
        """Return the user called ``name``.

        Raises:
            UnknownUser: there is none.
        """
        user = self.find(name)
        if user is None:
            known = ", ".join(sorted(self._users)[:10]) or "nobody yet"
            raise UnknownUser(f"There is no user called {name!r}. Known users: {known}.")
        return user

    def add(
        self, batch: Batch, name: str, role: Role, now: int, password: str | None = None
    ) -> str | None:
        """Add a user with what is kept of a ``password``, or return a new invitation.

        Raises:
            InvalidName: ``name`` is taken or breaks the rules for names.
            InvalidUser: there are too many.
        """
        name = check_token_name(name)
        if name in self._users:
            raise InvalidName(f"There is a user called {name!r} already. Choose another name.")
        if len(self._users) >= MOST_USERS:
            raise InvalidUser(f"There are {MOST_USERS} users already. Remove some.")
        user = User(name, role, now, password or "")
        if password is not None:
            self._put(batch, user)
            return None
        return self.invite(batch, user, now)

    def invite(self, batch: Batch, user: User, now: int) -> str:
        """Return a new invitation for ``user`` to choose a password; one before is void."""
        code = secrets.token_urlsafe(_RANDOM_BYTES)
        until = now + INVITATION_SECONDS * MICROSECONDS
        invited = msgspec.structs.replace(user, invitation=_digest(code), invited_until=until)
        self._put(batch, invited)
        return code

    def invited(self, code: str, now: int) -> User | None:
        """Return whom an invitation is for, unless its time is over at ``now`` (µs)."""
        digest = _digest(code)
        for user in self._users.values():
            if user.invitation and hmac.compare_digest(user.invitation, digest):
                return user if now < user.invited_until else None
        return None

    def called(self, name: str) -> User | None:
        """Return the user of that name, or the only one with that mail address."""
        if (user := self.find(name)) is not None or not name:
            return user
        found = [one for one in self._users.values() if one.email.lower() == name.lower()]
        return found[0] if len(found) == 1 else None

    def make_link(self, batch: Batch, user: User, now: int) -> str:
        """Return the code of a link for ``user`` to choose another password; one before is void."""
        code = secrets.token_urlsafe(_RANDOM_BYTES)
        until = now + LINK_SECONDS * MICROSECONDS
        self._put(batch, msgspec.structs.replace(user, link=_digest(code), link_until=until))
        return code

    def linked(self, code: str, now: int) -> User | None:
        """Return for whom a link is, unless its time is over at ``now`` (µs)."""
        digest = _digest(code)
        for user in self._users.values():
            if user.link and hmac.compare_digest(user.link, digest):
                return user if now < user.link_until else None
        return None

    def set_email(self, batch: Batch, user: User, email: str) -> None:
        """Send mails for ``user`` to ``email`` from now on; "" is nowhere."""
        self._put(batch, msgspec.structs.replace(user, email=email, link=b"", link_until=0))

    def set_password(self, batch: Batch, user: User, password: str) -> None:
        """Keep another password of ``user``, who has to log in with it in every browser."""
        changed = msgspec.structs.replace(
            user, password=password, invitation=b"", invited_until=0, link=b"", link_until=0
        )
        self._put(batch, changed)
        self._log_out(batch, user.name)

    def set_role(self, batch: Batch, user: User, role: Role) -> None:
        """Let ``user`` do what belongs to another role.

        Raises:
            InvalidUser: nobody would be left who may decide.
        """
        if role is not Role.ADMIN:
            self._check_not_last(user)
        self._put(batch, msgspec.structs.replace(user, role=role))

    def set_language(self, batch: Batch, user: User, language: str) -> None:
        """Write the pages for ``user`` in ``language`` from now on."""
        self._put(batch, msgspec.structs.replace(user, language=language))

    def remove(self, batch: Batch, user: User) -> None:
        """Remove ``user``, who is logged out everywhere.

        Raises:
            InvalidUser: nobody would be left who may decide.
        """
        self._check_not_last(user)
        self._log_out(batch, user.name)
        del self._users[user.name]
        batch.state[_USER + user.name] = None
        if self._orders.pop(user.name, None) is not None:
            batch.state[_ORDER + user.name] = None

    def order_of(self, user: str) -> tuple[int, ...]:
        """Return the ids of devices in the order in which ``user`` wants to see them."""
        return self._orders.get(user, ())

    def set_order(self, batch: Batch, user: str, devices: Iterable[int]) -> None:
        """Keep the order in which ``user`` wants to see devices, by their ids."""
        self._orders[user] = tuple(devices)
        batch.state[_ORDER + user] = _encode(self._orders[user])

    def browsers(self, user: str, now: int) -> list[Browser]:
        """Return where ``user`` is logged in at ``now`` (µs), the latest log-in first."""
        own = [one for one in self._browsers.values() if one.user == user and now < one.expires]
        return sorted(own, key=lambda one: one.created, reverse=True)

    def was_seen(self, user: str, address: str) -> bool:
        """Tell whether ``user`` is logged in somewhere from this address."""
        name = unicodedata.normalize("NFC", user)
        return any(one.user == name and one.address == address for one in self._browsers.values())

    def log_in(
        self, batch: Batch, user: User, now: int, seen: Seen = _UNSEEN
    ) -> tuple[str, Browser]:
        """Return the secret of a new browser of ``user``, which is not kept, and the browser."""
        self._forget_oldest(batch, user.name, now)
        secret = secrets.token_urlsafe(_RANDOM_BYTES)
        expires = now + BROWSER_SECONDS * MICROSECONDS
        proof = secrets.token_urlsafe(_RANDOM_BYTES)
        browser = Browser(
            _digest(secret),
            user.name,
            now,
            expires,
            proof,
            seen.agent[:AGENT_CHARACTERS],
            seen.address,
        )
        self._put_browser(batch, browser)
        return secret, browser

    def browser(self, secret: str, now: int) -> Browser | None:
        """Return the browser of ``secret``, if its user is logged in there at ``now`` (µs)."""
        # See motehub.core.tokens about the time that this takes.
        browser = self._browsers.get(_digest(secret))
        return browser if browser is not None and now < browser.expires else None

    def renew(self, batch: Batch, browser: Browser, now: int) -> None:
        """Let a browser that is used stay logged in, which is noted once a day."""
        expires = now + BROWSER_SECONDS * MICROSECONDS
        if expires - browser.expires > _RENEW_SECONDS * MICROSECONDS:
            self._put_browser(batch, msgspec.structs.replace(browser, expires=expires))

    def log_out(self, batch: Batch, browser: Browser) -> None:
        """Forget a browser."""
        if self._browsers.pop(browser.digest, None) is not None:
            batch.state[browser.key] = None

    def log_out_everywhere(self, batch: Batch, user: User) -> None:
        """Forget all browsers of ``user``."""
        self._log_out(batch, user.name)

    def token_of(self, browser: Browser) -> Token:
        """Return the token that stands for the user of ``browser``."""
        user = self._users[browser.user]
        return Token(
            user.name, browser.digest, user.role.scopes, (), browser.created, browser.expires
        )

    def has(self, token: Token) -> bool:
        """Tell whether ``token`` stands for a user who is still logged in there, with that role."""
        browser = self._browsers.get(token.digest)
        return browser is not None and self.token_of(browser).scopes == token.scopes

    def _check_not_last(self, user: User) -> None:
        admins = [one for one in self._users.values() if one.role is Role.ADMIN and one.password]
        if admins == [user]:
            raise InvalidUser(
                f"{user.name} is the only administrator. Make somebody else one first."
            )

    def _forget_oldest(self, batch: Batch, user: str, now: int) -> None:
        for browser in [one for one in self._browsers.values() if one.expires <= now]:
            self.log_out(batch, browser)
        own = [one for one in self._browsers.values() if one.user == user]
        own.sort(key=lambda one: one.expires, reverse=True)
        for browser in own[MOST_BROWSERS - 1 :]:
            self.log_out(batch, browser)

    def _log_out(self, batch: Batch, user: str) -> None:
        for browser in [one for one in self._browsers.values() if one.user == user]:
            self.log_out(batch, browser)

    def _put(self, batch: Batch, user: User) -> None:
        self._users[user.name] = user
        batch.state[_USER + user.name] = _encode(user)

    def _put_browser(self, batch: Batch, browser: Browser) -> None:
        self._browsers[browser.digest] = browser
        batch.state[browser.key] = _encode(browser)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
