"""Sessions of devices that keep no state: which one is the present one, and who is online.

A device without a memory announces itself whenever it begins anew, and is given its name and a
new session. From then on whatever belongs to an older session is discarded: the late will of an
old connection never marks a device offline that has come back. Names are those of the hub; a
device that was renamed goes on under the name that it was given until it announces itself again.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from motehub.core.admission import Refusal
from motehub.core.registry import Registry
from motehub.errors import InvalidName
from motehub.frames import Batch, EventOccurred
from motehub.model import (
    MICROSECONDS,
    Admission,
    Announced,
    Assignment,
    Device,
    Left,
    Series,
    Source,
    check_device_name,
)

ANNOUNCED: Final = "announced"
JOINED: Final = "joined"
LEFT: Final = "left"
"""Kinds of the events that say when a device came and went."""

OVER: Final = "its session is over: the device has begun another one since"
UNKNOWN: Final = "no device was given this name and session"
"""Why records are discarded."""

_SESSION_KEY: Final = "session/"
_LAST_KEY: Final = "sessions/last"
# A sign of a device that came by this protocol, for when the count itself was lost.
_MAC: Final = "mac:"
_NUMBER: Final = re.compile(r"\{number(?::0?[1-9])?\}")
_MANY: Final = 1_000_000

_encode = msgspec.msgpack.Encoder().encode


class Contest(enum.Enum):
    """What becomes of an announcement for a device whose session is held by a live connection."""

    TAKE_OVER = "take over"
    """It begins a new session: the device may have lost its power."""
    REFUSE = "refuse"
    """It is refused until that connection has ended."""


class SessionPolicy(msgspec.Struct, frozen=True):
    """How devices are called that have no name, and what a rival may do."""

    name_pattern: str = "capteur{number:02}"
    contested: Contest = Contest.TAKE_OVER


class Session(msgspec.Struct, frozen=True):
    """The present session of a device, and the ``name`` that the device knows with it.

    ``dialect`` is the transport over which it speaks, ``earlier`` the id of the session before.
    ``interrupted`` is a session whose device may have lost its connection, or may not.
    """

    device: int
    id: str
    name: str
    dialect: str
    earlier: str = ""
    interrupted: bool = False


Listener = Callable[[Device, Session], None]

_decode_session = msgspec.msgpack.Decoder(Session).decode


class Sessions:
    """Sessions by id and by device; see the module.

    Each method that changes something puts the change into the batch that it is given. It holds
    at once, and is durable with the batch.
    """

    def __init__(
        self,
        registry: Registry,
        policy: SessionPolicy,
        sessions: Iterable[Session] = (),
        last: tuple[int, int] = (0, 0),
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._of_device: dict[int, Session] = {}
        self._ids: dict[str, Session] = {}
        self._ended: dict[str, int] = {}
        # The last session id as µs, and the last number that a name was made with.
        self._last_id, self._last_number = last
        self._listeners: list[Listener] = []
        self._joined: list[tuple[int, str]] = []
        for session in sessions:
            self._index(session)

    @classmethod
    def from_state(
        cls, state: Mapping[str, bytes], registry: Registry, policy: SessionPolicy
    ) -> Sessions:
        """Build them from what a journal keeps for good."""
        if last := state.get(_LAST_KEY):
            counted = msgspec.msgpack.decode(last, type=tuple[int, int])
        else:
            # The journal is new: names must not begin at 1 while there are such devices.
            known = sum(any(map(_is_mac, one.identities)) for one in registry.devices())
            counted = (0, known)
        found = [v for k, v in state.items() if k.startswith(_SESSION_KEY)]
        return cls(registry, policy, map(_decode_session, found), counted)

    def of(self, name: str) -> Session | None:
        """Return the present session of the device that is called ``name`` now, online or not."""
        if not self._registry.has_name(name):
            return None
        return self._of_device.get(self._registry.by_name(name).id)

    def online(self, name: str) -> Session | None:
        """Return the session of the device called ``name``, if it is online and may write."""
        session = self.of(name)
        if session is None:
            return None
        device = self._registry.by_id(session.device)
        return session if device.online and device.admission is Admission.ACCEPTED else None

    def on_join(self, listener: Listener) -> None:
        """Call ``listener`` when a device with a session has joined, and that is durable."""
        self._listeners.append(listener)

    def find(self, source: Source) -> Device | Refusal:
        """Return the device in whose present session ``source`` is, if it is in one."""
        session = self._ids.get(source.session or "")
        if session is None:
            device = self._suspect(source)
            return Refusal(OVER if device else UNKNOWN, device, discarded=True)
        device = self._registry.by_id(session.device)
        if source.suggested_name != session.name and source.suggested_name != device.name:
            return Refusal(UNKNOWN, discarded=True)
        if device.admission is Admission.BLOCKED:
            return Refusal("the device is blocked", device)
        return device

    def open_gauges(self, source: Source) -> Mapping[str, Series] | None:
        """Return the number series by metric of the device in whose session ``source`` is.

        None when there is none, or it may not write.
        """
        if source.session is None:
            return None
        device = self.find(source)
        if isinstance(device, Refusal) or self._of_device[device.id].interrupted:
            return None
        return self._registry.gauges_of(device)

    def next_name(self) -> tuple[str, int]:
        """Return a name by the pattern that no device has, and the number in it."""
        number = self._last_number + 1
        while self._registry.has_name(name := _by_pattern(self._policy.name_pattern, number)):
            number += 1
        return name, number

    def count(self, batch: Batch, number: int) -> None:
        """Note that a device got the name with that number: no other ever gets it."""
        self._last_number = number
        self._note_last(batch)

    def announce(
        self, batch: Batch, device: Device, source: Source, record: Announced, now: int
    ) -> Assignment | Refusal | None:
        """Begin a new session of ``device``; None while the owner has yet to accept it."""
        if device.admission is not Admission.ACCEPTED:
            return None
        if record.rival and device.online:
            text = f"{source.peer} announced itself as this device, which is online from "
            batch.entries.append(EventOccurred(device.id, now, "contested", text + record.rival))
            if self._policy.contested is Contest.REFUSE:
                return Refusal(f"the device is online already, from {record.rival}", device)
        self._last_id = max(now, self._last_id + 1)
        self._note_last(batch)
        old = self._of_device.get(device.id)
        session = Session(
            device=device.id,
            id="{}.{:06}".format(*divmod(self._last_id, MICROSECONDS)),
            name=device.name,
            dialect=source.dialect,
            earlier=old.id if old else "",
        )
        self._put(batch, session)
        batch.entries.append(EventOccurred(device.id, now, ANNOUNCED, f"from {source.peer}"))
        if device.online is not False:
            self._registry.set_online(batch, device, online=False)
        return Assignment(session.name, session.id)

    def join(self, batch: Batch, device: Device, source: Source, now: int) -> Device:
        """Mark the device online."""
        session = self._of_device.get(device.id)
        if session is not None:
            if session.dialect != source.dialect or session.interrupted:
                self._put(
                    batch,
                    msgspec.structs.replace(session, dialect=source.dialect, interrupted=False),
                )
            self._joined.append((device.id, session.id))
        batch.entries.append(EventOccurred(device.id, now, JOINED, f"from {source.peer}"))
        return device if device.online else self._registry.set_online(batch, device, online=True)

    def hear(self, batch: Batch, device: Device, source: Source, now: int) -> Device:
        """Note that the device reports in its session; return it as it is then."""
        session = self._of_device[device.id]
        return self.join(batch, device, source, now) if session.interrupted else device

    def leave(self, batch: Batch, device: Device, record: Left, now: int) -> Device:
        """Mark the device offline; nothing happens when it is, or when nobody knows."""
        session = self._of_device.get(device.id)
        if session is not None and session.interrupted:
            self._put(batch, msgspec.structs.replace(session, interrupted=False))
        if device.online is False or (device.online is None and not record.was_sought):
            return device
        batch.entries.append(EventOccurred(device.id, now, LEFT, record.reason or "it said so"))
        return self._registry.set_online(batch, device, online=False)

    def dialects(self) -> set[str]:
        """Return over which transports devices are online."""
        online = (device for device in self._registry.devices() if device.online)
        return {self._dialect_of(device) for device in online}

    def interrupt(self, batch: Batch, dialect: str, now: int) -> None:
        """Mark all devices offline that joined over ``dialect``: its connections are gone.

        One that reports in its session is online again: it had joined at another broker, and has
        lost nothing.
        """
        record = Left("its connection ended with the hub's transport")
        for device in self._registry.devices():
            if device.online and self._dialect_of(device) == dialect:
                self.leave(batch, device, record, now)
                if session := self._of_device.get(device.id):
                    self._put(batch, msgspec.structs.replace(session, interrupted=True))

    def forget(self, batch: Batch, device: Device) -> None:
        """Forget the session of a device that was removed."""
        if old := self._of_device.pop(device.id, None):
            self._unindex(old)
            batch.state[f"{_SESSION_KEY}{device.id}"] = None

    def take_joined(self) -> Sequence[tuple[int, str]]:
        """Return who has joined since this was asked last; for ``tell_joined``."""
        if not self._joined:
            return ()
        joined, self._joined = self._joined, []
        return joined

    def tell_joined(self, joined: Sequence[tuple[int, str]]) -> None:
        """Tell the listeners of those that are still online in that session."""
        for device, session_id in joined:
            session = self._of_device.get(device)
            if session is None or session.id != session_id:
                continue
            present = self._registry.by_id(device)
            if present.online:
                for listener in self._listeners:
                    listener(present, session)

    def _dialect_of(self, device: Device) -> str:
        return (self._of_device.get(device.id) or device).dialect

    def _suspect(self, source: Source) -> Device | None:
        """Return the device that had the session that is over, or that has the name."""
        if (ended := self._ended.get(source.session or "")) is not None:
            return self._registry.by_id(ended)
        session = self.of(source.suggested_name)
        return self._registry.by_id(session.device) if session else None

    def _put(self, batch: Batch, session: Session) -> None:
        if old := self._of_device.get(session.device):
            self._unindex(old)
        self._index(session)
        batch.state[f"{_SESSION_KEY}{session.device}"] = _encode(session)

    def _index(self, session: Session) -> None:
        self._of_device[session.device] = session
        self._ids[session.id] = session
        if session.earlier:
            self._ended[session.earlier] = session.device

    def _unindex(self, session: Session) -> None:
        self._ids.pop(session.id, None)
        self._ended.pop(session.earlier, None)

    def _note_last(self, batch: Batch) -> None:
        batch.state[_LAST_KEY] = _encode((self._last_id, self._last_number))


def check_name_pattern(pattern: str) -> str:
    """Return ``pattern`` when it makes names: ``{number}`` or ``{number:02}`` is in it once.

    Raises:
        InvalidName: it is not, or what it makes can't be the name of a device.
    """
    if len(_NUMBER.findall(pattern)) != 1 or set("{}") & set(_NUMBER.sub("", pattern)):
        raise InvalidName(
            f"{pattern!r} must hold {{number}} once, as in 'capteur{{number:02}}', "
            "and no other braces."
        )
    check_device_name(_by_pattern(pattern, _MANY))
    return pattern


def _by_pattern(pattern: str, number: int) -> str:
    return pattern.format(number=number)


def _is_mac(identity: str) -> bool:
    return identity.startswith(_MAC)
