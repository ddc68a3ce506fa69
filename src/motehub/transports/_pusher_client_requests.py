"""Gives units what the dashboard asks for, in order, each request once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Final

from motehub.command import DEFAULT_SECONDS, LONGEST_SECONDS, Command, CommandState
from motehub.contracts import Commander, Ground
from motehub.errors import OwnerError, StorageError, UnknownUnit
from motehub.logs import Logger, OccasionalLogger
from motehub.model import Device
from motehub.protocols.pusher.messages import Message, Unreadable
from motehub.protocols.pusher.requests import (
    REASON_LENGTH,
    UPDATE,
    Answer,
    State,
    UpdateRequest,
    read_request,
)
from motehub.transports._pusher_client_answers import Answers
from motehub.transports._pusher_client_memory import Changes, Memory
from motehub.units import Unit, UnitDesk, unit_key

_FORGOTTEN: Final = "the base unit has had it, but does not know any more what became of it"
_WAITING: Final = 1_000
_AT_A_TIME: Final = 100

_logger: Final = Logger("motehub.pusher_client")
_occasional: Final = OccasionalLogger(_logger)


class Requests:
    """What has come, and waits to be durable; counts what becomes of it."""

    def __init__(self, ground: Ground, commander: Commander, counts: Counter[str]) -> None:
        self._ground = ground
        self._commander = commander
        self._counts = counts
        self._memory = Memory(ground.state())
        self.answers = Answers()
        self._waiting: asyncio.Queue[UpdateRequest | None] = asyncio.Queue(_WAITING)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work off what comes."""
        for request, command in self._memory:
            self._commander.tell_outcome(command, partial(self._settle, request))
        self._task = asyncio.create_task(self._work(), name="requests of the dashboard")

    async def stop(self) -> None:
        """Return when all that has come is durable, or can't be."""
        if self._task is not None:
            await self._waiting.put(None)
            await self._task

    async def take(self, message: Message) -> None:
        """Take an event of the channel; wait while too many others do."""
        if message.event != UPDATE:
            self._counts["events_ignored"] += 1
            return
        self._counts["requests"] += 1
        try:
            request = read_request(message)
        except Unreadable as error:
            self._counts["requests_wrong"] += 1
            _occasional.warning("request can't be carried out", reason=str(error))
            return
        await self._waiting.put(request)

    async def _work(self) -> None:
        is_last = False
        while not is_last:
            requests = [await self._waiting.get()]
            with suppress(asyncio.QueueEmpty):
                while len(requests) < _AT_A_TIME:
                    requests.append(self._waiting.get_nowait())
            is_last = requests[-1] is None
            # Each task gives its command before it waits, so they keep their order; what is given
            # together becomes durable together.
            found = [one for one in requests if one is not None]
            await asyncio.gather(*(self._carry_out(one) for one in found))

    async def _carry_out(self, request: UpdateRequest) -> None:
        try:
            await self._give(request)
        except Exception as error:
            # The next request has its turn.
            self._refuse(request, "an error in motehub")
            _logger.error("request given up", unit=request.ip, error=repr(error))

    async def _give(self, request: UpdateRequest) -> None:
        id_ = request.id
        if id_ and self._memory.knows(id_):
            self._counts["requests_repeated"] += 1
            _occasional.info("request came twice", unit=request.ip, id=id_)
            self.answers.add(self._memory.answer_to(id_) or Answer(id_, State.TAKEN))
            return
        device = self._find(request.ip)
        if isinstance(device, str):
            self._counts["requests_unknown"] += 1
            _occasional.warning("request for no unit of ours", address=request.ip, reason=device)
            self.answers.add(Answer(id_, State.UNKNOWN))
            return

        def note(command: str) -> Changes:
            return self._memory.add(id_, command) if id_ else {}

        seconds = _bounded(request.seconds)
        try:
            command = await self._commander.command(
                device.name, payload=request.payload, seconds=seconds, note=note
            )
        except StorageError as error:
            # The hub is stopping: the dashboard asks again when it is back.
            self._memory.forget(id_)
            self._counts["requests_refused"] += 1
            _occasional.warning("request refused", unit=request.ip, reason=str(error))
        except OwnerError as error:
            self._refuse(request, str(error))
            _occasional.warning("request refused", unit=request.ip, reason=str(error))
        else:
            self._counts["requests_taken"] += 1
            self.answers.add(Answer(id_, State.TAKEN))
            if id_:
                self._commander.tell_outcome(command.id, partial(self._settle, id_))

    def _refuse(self, request: UpdateRequest, reason: str) -> None:
        """Say that a request is not carried out; it may come again."""
        self._memory.forget(request.id)
        self._counts["requests_refused"] += 1
        self.answers.add(Answer(request.id, State.FAILED, reason[:REASON_LENGTH]))

    def _settle(self, request: str, command: Command | None) -> None:
        """Answer what became of a request that was taken."""
        answer = _outcome(request, command)
        self._memory.settle(answer)
        self.answers.add(answer)

    def _find(self, address: str) -> Device | str:
        """Return the device of a unit that may be told something, or why there is none.

        What a message names is only compared with what the owner has named: it is never dialled.
        """
        desk = self._ground.units()
        unit = None if desk is None else _unit_at(desk, address)
        if unit is None:
            return "there is no such unit"
        if not unit.kind.takes:
            return "that unit takes nothing from here"
        device = self._ground.devices.by_identity(unit.identity)
        return device if device is not None else "that unit has no device yet"


def _outcome(request: str, command: Command | None) -> Answer:
    if command is None:
        return Answer(request, State.FAILED, _FORGOTTEN)
    if command.state in (CommandState.SENT, CommandState.CONFIRMED):
        return Answer(request, State.SENT)
    return Answer(request, State.FAILED, command.reason[:REASON_LENGTH])


def _bounded(seconds: float | None) -> float:
    if seconds is None:
        return DEFAULT_SECONDS
    return min(max(1.0, seconds), LONGEST_SECONDS)


def _unit_at(desk: UnitDesk, address: str) -> Unit | None:
    key = unit_key(address)
    if key is None:
        return None
    try:
        unit = desk.unit(key).definition
    except UnknownUnit:
        return None
    # Units are found by their names too, but the event has an address.
    return unit if unit.key == key else None
