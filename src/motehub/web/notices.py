"""Tells people by mail that how they log in was changed: whoever did it, and wherever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from motehub.core.people import User
from motehub.languages import LANGUAGES
from motehub.web.languages import asked_in
from motehub.web.letters import Note, note
from motehub.web.post import Post

PAUSES: Final = (30.0, 300.0)
"""Seconds after which one is sent again that the server has not taken."""


class Notices:
    """Sends them through ``office``, again after ``pauses``.

    ``language`` is that for people who have chosen none, where no browser asks.
    """

    def __init__(
        self, office: Post, pauses: Sequence[float] = PAUSES, language: str = LANGUAGES[0]
    ) -> None:
        self._office = office
        self._pauses = pauses
        self._language = language

    def changed(self, before: User, after: User) -> None:
        """Tell somebody of another password or, at the old one, of another mail address."""
        if before.password not in {"", after.password}:
            self._tell("changed", after, after.email)
        if before.email != after.email:
            self._tell("moved", after, before.email)

    def _tell(self, what: str, user: User, address: str) -> None:
        if not address or not self._office.is_open:
            return
        chosen = user.language if user.language in LANGUAGES else ""
        language = chosen or asked_in.get() or self._language
        hub = self._office.hub
        self._office.soon(self._send(note(what, language, address, hub=hub, name=user.name)))

    async def _send(self, letter: Note) -> None:
        if await self._office.send(letter) is None:
            return
        for pause in self._pauses:
            await asyncio.sleep(pause)
            if await self._office.send(letter) is None:
                return
