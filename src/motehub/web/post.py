"""Mails to people: few at a time, off the loop, with links that no request has a say in."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec

from motehub.alerting.plan import Mail
from motehub.guessing import Attempts
from motehub.logs import Logger
from motehub.web.letters import Note

AT_ONCE: Final = 2
"""Mails that are on their way at a time."""

MOST_WAITING: Final = 20
"""Mails that are on their way or wait for that; others are not sent."""

TO_ONE: Final = 10
"""Mails that an address may get at once, whoever has them sent."""

TO_ONE_SECONDS: Final = 600.0
"""Then one in so many seconds."""

_logger = Logger("motehub.post")


class PostShape(msgspec.Struct):
    """What became of mails to people since the hub started; times in UTC µs."""

    sent: int = 0
    failed: int = 0
    last_success: int | None = None
    last_failure: int | None = None
    trouble: str | None = None


class Post:
    """Sends mails to people through ``mail``, if there is one.

    ``hub`` is what the hub is called, ``base`` returns the address of its pages, as the owner has
    configured it: what a request calls the hub is never written into a mail. ``clock`` returns
    UTC microseconds, ``ticks`` seconds that go on evenly.
    """

    def __init__(
        self,
        mail: Mail | None,
        hub: str,
        base: Callable[[], str],
        clock: Callable[[], int],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mail = mail
        self.hub = hub
        self._base = base
        self._clock = clock
        self._taken = Attempts(TO_ONE, TO_ONE_SECONDS, ticks)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.shape = PostShape()

    @property
    def is_open(self) -> bool:
        """Whether mails can be sent at all."""
        return self._mail is not None

    def link(self, page: str, code: str) -> str:
        """Return the address of a page; behind the # the code reaches no server's log."""
        return f"{self._base().rstrip('/')}/{page}#{code}"

    async def send(self, note: Note) -> str | None:
        """Send a mail, and return why it has not left, None if it has."""
        if self._mail is None:
            return "there is no mail server: see [mail] in the configuration"
        to = note.address.lower()
        if self._taken.wait(to):
            reason = "many mails went to this address of late; try again in ten minutes"
            _logger.warning("mail not sent", reason=reason)
            return reason
        if self._waiting >= MOST_WAITING:
            return "too many mails wait already"
        self._waiting += 1
        try:
            async with self._turn:
                trouble = await self._send_in_thread(self._mail, note)
        finally:
            self._waiting -= 1
        if trouble is None:
            self._taken.begin(to)
        self._remember(trouble)
        return trouble

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for, unless too much of that is to be done already."""
        if len(self._tasks) >= MOST_WAITING:
            work.close()
            _logger.warning("mail not sent", reason="too many mails wait already")
            return
        task = asyncio.get_running_loop().create_task(work, name="post")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Begin nothing more; a mail that is on its way may still leave."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("mail not sent", reason=str(error) or repr(error))

    async def _send_in_thread(self, mail: Mail, note: Note) -> str | None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[str | None] = loop.create_future()

        def settle(trouble: str | None) -> None:
            if not done.done():
                done.set_result(trouble)

        def work() -> None:
            trouble = _deliver(mail, note, self.hub, self._clock())
            # The hub may have stopped meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, trouble)

        # Not of the pool: a server that says nothing must not keep others, or a stop, waiting.
        threading.Thread(target=work, name="mail", daemon=True).start()
        return await done

    def _remember(self, trouble: str | None) -> None:
        shape, now = self.shape, self._clock()
        shape.trouble = trouble
        if trouble is None:
            shape.sent += 1
            shape.last_success = now
        else:
            shape.failed += 1
            shape.last_failure = now
            _logger.warning("mail not sent", reason=trouble)


def _deliver(mail: Mail, note: Note, hub: str, now: int) -> str | None:
    """Send a mail, in a thread; its packages are only loaded by hubs that send any."""
    from motehub.alerting.letters import Letter
    from motehub.alerting.mail import NotDelivered, send_letter

    letter = Letter((note.address,), note.subject, note.text)
    try:
        return send_letter(mail, letter, secrets.token_hex(12), now, hub) or None
    except NotDelivered as error:
        return str(error)
    # Whatever else it is, whoever waits for the mail hears of it.
    except Exception as error:
        return f"it could not be written: {error!r}"
