"""What people do about their accounts: set up, log in, invite, choose a password."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from motehub.core.audit import done_by
from motehub.core.mail_addresses import check_email
from motehub.core.passwords import check_password, hash_password, is_password
from motehub.core.people import Browser, People, Role, Seen, User
from motehub.errors import InvalidName, WrongPassword
from motehub.frames import Batch
from motehub.logs import Logger
from motehub.model import check_token_name

MOST_LOGGING_IN: Final = 20
"""How many passwords may wait to be compared: it takes a while on purpose."""

NOWHERE: Final = Seen()
"""Of a browser of which nothing is known."""

_RANDOM_BYTES: Final = 24

_logger = Logger("motehub.accounts")


class Door(Protocol):
    """The part of the journal that makes batches durable."""

    def append(self, batch: Batch) -> Awaitable[int]:
        """Return once the batch is durable."""
        ...


class Accounts:
    """Changes ``people``; each change is durable when it is done.

    ``clock`` returns UTC microseconds.
    """

    def __init__(self, people: People, journal: Door, clock: Callable[[], int]) -> None:
        self.people = people
        self.on_change: Callable[[User, User], None] = _hear_nothing
        """Called with somebody before and after the password or the mail address was changed."""
        self._journal = journal
        self._clock = clock
        self._waiting = 0
        self._setting_up = asyncio.Lock()
        # A link or an invitation is good once, though somebody uses it twice at a time.
        self._linking = asyncio.Lock()
        # One password at a time: however many guess, it costs one core and one such memory.
        self._turn = asyncio.Lock()
        self._setup_code = secrets.token_urlsafe(_RANDOM_BYTES)

    @property
    def setup_code(self) -> str | None:
        """What the first administrator shows; None when there is one, another at each start."""
        return None if self.people.all() else self._setup_code

    async def set_up(
        self, code: str, name: str, password: str, seen: Seen = NOWHERE
    ) -> tuple[str, Browser]:
        """Add the first administrator and log in; return the browser with its secret.

        Raises:
            WrongPassword: the code is not the one that the hub has printed, or was used.
            InvalidName: the name breaks the rules for names.
            InvalidPassword: the password is too easily guessed.
        """
        async with self._setting_up:
            wanted = self.setup_code
            given = code.encode("utf-8", "surrogatepass")
            if wanted is None or not hmac.compare_digest(wanted.encode(), given):
                raise WrongPassword(
                    "The set-up link is not good any more. The hub prints another one when it "
                    "starts without users; 'motehub user add' adds one at any time."
                )
            await self.add(name, Role.ADMIN, password)
            return await self._log_in(self.people.get(name), seen)

    async def add(
        self, name: str, role: Role, password: str | None = None, email: str = ""
    ) -> str | None:
        """Add a user with a password, or return an invitation to choose one.

        Raises:
            InvalidName: the name is taken or breaks the rules for names.
            InvalidPassword: the password is too easily guessed.
            InvalidUser: there are too many, or ``email`` is no mail address.
        """
        name, email = check_token_name(name), check_email(email)
        if self.people.find(name) is not None:
            raise InvalidName(f"There is a user called {name!r} already. Choose another name.")
        kept = None
        if password is not None:
            check_password(password, name)
            kept = await self._hash(password)
        batch = Batch()
        code = self.people.add(batch, name, role, self._clock(), kept)
        if email:
            self.people.set_email(batch, self.people.get(name), email)
        await self._journal.append(batch)
        _logger.info("user added", name=name, role=role.value)
        return code

    async def invite(self, name: str) -> str:
        """Return a new invitation for a user who has none, or has forgotten the password.

        Raises:
            UnknownUser: there is none of that name.
        """
        batch = Batch()
        code = self.people.invite(batch, self.people.get(name), self._clock())
        await self._journal.append(batch)
        return code

    async def accept_invitation(
        self, code: str, password: str, seen: Seen = NOWHERE
    ) -> tuple[str, Browser]:
        """Choose the password of the user who was invited, and log in.

        Raises:
            WrongPassword: the invitation is not open.
            InvalidPassword: the password is too easily guessed.
        """
        async with self._linking:
            user = self.people.invited(code, self._clock())
            if user is None:
                raise WrongPassword(
                    "The invitation was used, has been replaced by a later one, or is too old. "
                    "Ask for another one."
                )
            done_by(user.name)
            await self.set_password(user.name, password)
        return await self._log_in(self.people.get(user.name), seen)

    async def make_link(self, name: str) -> str:
        """Return the code of a link with which a user chooses another password, for an hour.

        Raises:
            UnknownUser: there is none of that name.
        """
        batch = Batch()
        code = self.people.make_link(batch, self.people.get(name), self._clock())
        await self._journal.append(batch)
        return code

    async def use_link(self, code: str, password: str, seen: Seen = NOWHERE) -> tuple[str, Browser]:
        """Choose another password with a link, and log in; all other browsers are logged out.

        Raises:
            WrongPassword: the link is not good any more.
            InvalidPassword: the password is too easily guessed.
        """
        async with self._linking:
            user = self.people.linked(code, self._clock())
            if user is None:
                raise WrongPassword(
                    "The link was used, has been replaced by a later one, or is older than an "
                    "hour. Ask for another one."
                )
            done_by(user.name)
            await self.set_password(user.name, password)
        return await self._log_in(self.people.get(user.name), seen)

    async def set_email(self, name: str, email: str) -> User:
        """Send mails for a user to ``email`` from now on; "" is nowhere.

        Raises:
            UnknownUser: there is none of that name.
            InvalidUser: it is no mail address.
        """
        email = check_email(email)
        batch, before = Batch(), self.people.get(name)
        self.people.set_email(batch, before, email)
        after = self.people.get(name)
        await self._journal.append(batch)
        self.on_change(before, after)
        return self.people.get(name)

    async def change_email(self, user: User, password: str, email: str) -> None:
        """Let a user who knows the password have mails sent elsewhere.

        Raises:
            WrongPassword: it is another.
            InvalidUser: it is no mail address.
        """
        email = check_email(email)
        await self._check(user, password)
        await self.set_email(user.name, email)

    async def set_password(self, name: str, password: str) -> None:
        """Give a user another password; every browser has to log in again.

        Raises:
            UnknownUser: there is none of that name.
            InvalidPassword: the password is too easily guessed.
        """
        check_password(password, self.people.get(name).name)
        kept = await self._hash(password)
        batch, before = Batch(), self.people.get(name)
        self.people.set_password(batch, before, kept)
        after = self.people.get(name)
        await self._journal.append(batch)
        self.on_change(before, after)
        _logger.info("password changed", name=name)

    async def change_password(
        self, user: User, old: str, new: str, seen: Seen = NOWHERE
    ) -> tuple[str, Browser]:
        """Let a user who knows the present password choose another one, and log in with it.

        Raises:
            WrongPassword: the present one is another.
            InvalidPassword: the new one is too easily guessed.
        """
        await self._check(user, old)
        await self.set_password(user.name, new)
        return await self._log_in(self.people.get(user.name), seen)

    async def set_role(self, name: str, role: Role) -> User:
        """Let a user do what belongs to another role.

        Raises:
            UnknownUser: there is none of that name.
            InvalidUser: nobody would be left who may decide.
        """
        batch = Batch()
        self.people.set_role(batch, self.people.get(name), role)
        await self._journal.append(batch)
        return self.people.get(name)

    async def set_language(self, name: str, language: str) -> None:
        """Write the pages for a user in ``language`` from now on, "" for what browsers prefer.

        Raises:
            UnknownUser: there is none of that name.
        """
        batch = Batch()
        self.people.set_language(batch, self.people.get(name), language)
        await self._journal.append(batch)

    async def arrange(self, user: str, devices: Iterable[int]) -> None:
        """Keep the order in which ``user`` wants to see devices, by their ids."""
        batch = Batch()
        self.people.set_order(batch, user, devices)
        await self._journal.append(batch)

    async def remove(self, name: str) -> None:
        """Remove a user.

        Raises:
            UnknownUser: there is none of that name.
            InvalidUser: nobody would be left who may decide.
        """
        batch = Batch()
        self.people.remove(batch, self.people.get(name))
        await self._journal.append(batch)
        _logger.info("user removed", name=name)

    async def log_in(self, name: str, password: str, seen: Seen = NOWHERE) -> tuple[str, Browser]:
        """Return a new browser of the user, with its secret.

        Raises:
            WrongPassword: name and password don't belong together; it does not say more.
        """
        user = self.people.find(name)
        await self._check(user, password)
        assert user is not None
        return await self._log_in(self.people.get(user.name), seen)

    async def log_out(self, browser: Browser) -> None:
        """Forget a browser."""
        batch = Batch()
        self.people.log_out(batch, browser)
        if batch:
            await self._journal.append(batch)

    async def log_out_everywhere(self, name: str) -> None:
        """Forget all browsers of a user.

        Raises:
            UnknownUser: there is none of that name.
        """
        batch = Batch()
        self.people.log_out_everywhere(batch, self.people.get(name))
        if batch:
            await self._journal.append(batch)

    async def renew(self, browser: Browser) -> None:
        """Let a browser that is used stay logged in."""
        batch = Batch()
        self.people.renew(batch, browser, self._clock())
        if batch:
            await self._journal.append(batch)

    async def _log_in(self, user: User, seen: Seen = NOWHERE) -> tuple[str, Browser]:
        batch = Batch()
        secret, browser = self.people.log_in(batch, user, self._clock(), seen)
        await self._journal.append(batch)
        return secret, browser

    async def _hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(hash_password, password)

    async def _check(self, user: User | None, password: str) -> None:
        if self._waiting >= MOST_LOGGING_IN:
            raise WrongPassword("Too many log in at this moment. Try again in a while.")
        self._waiting += 1
        try:
            async with self._turn:
                kept = user.password if user is not None else ""
                right = await asyncio.to_thread(is_password, password, kept)
        finally:
            self._waiting -= 1
        # Looked up anew: a password may have been changed meanwhile.
        if not right or user is None or self.people.find(user.name) != user:
            raise WrongPassword("Name and password don't belong together.")


def _hear_nothing(_before: User, _after: User) -> None:
    """Tell nobody: nobody wants to know."""
