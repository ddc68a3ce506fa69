"""Who may write: the owner's policy for devices that were never seen before."""

from __future__ import annotations

import enum

import msgspec

from motehub.core.registry import Registry
from motehub.errors import InvalidName
from motehub.frames import Batch, EventOccurred, HeldReleased
from motehub.logs import Logger, OccasionalLogger
from motehub.model import Admission, Device, Source

_logger = Logger("motehub.admission")


class Policy(enum.Enum):
    """``admission`` in the configuration: what becomes of an unknown device."""

    APPROVE = "approve"
    """It is shown to the owner; its readings wait in quarantine."""
    OPEN = "open"
    """It is accepted at first sight: for a trusted laboratory network."""
    KNOWN = "known"
    """It is refused, and what it sends is rejected."""


class RegistryLimits(msgspec.Struct, frozen=True):
    """Bounds of what the hub gets to know.

    ``pending`` devices wait for approval at most, with ``held`` readings each; ``devices`` there
    are in all, with ``series`` series each.
    """

    pending: int = 100
    held: int = 10_000
    devices: int = 10_000
    series: int = 1_000


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing of a source is accepted; ``discarded`` when its session is over."""

    reason: str
    device: Device | None = None
    discarded: bool = False


class Doorkeeper:
    """Finds the device behind a source, or decides what becomes of a new one."""

    def __init__(self, policy: Policy, limits: RegistryLimits, registry: Registry) -> None:
        self._policy = policy
        self.limits = limits
        self._registry = registry
        # One request can bring a thousand new devices.
        self._log = OccasionalLogger(_logger)

    def admit(self, batch: Batch, source: Source, now: int) -> Device | Refusal:
        """Return the device that ``source`` is, registered when it is new and may be."""
        device = self._registry.by_identity(source.identity)
        if device is None:
            if source.vouched:
                return self._welcome(batch, source, now)
            return self._meet(batch, source, now)
        if device.admission is Admission.BLOCKED:
            return Refusal("the device is blocked", device)
        if device.admission is Admission.PENDING and source.vouched:
            name = self._free(batch, source, now)
            return accept_device(self._registry, batch, device, name, now)
        return device

    def _free(self, batch: Batch, source: Source, now: int) -> str | None:
        """Return the name that ``source`` suggests, if a device may be given it."""
        self._clear(batch, source, now)
        try:
            return self._registry.check_new_name(source.suggested_name)
        except InvalidName:
            return None

    def _welcome(self, batch: Batch, source: Source, now: int) -> Device | Refusal:
        """Bind an identity that the owner has vouched for to the device of that name."""
        device = self._registry.by_identity(source.alias)
        if device is None and self._registry.has_name(source.suggested_name):
            device = self._registry.by_name(source.suggested_name)
        if device is not None:
            if device.admission is Admission.BLOCKED:
                return Refusal("the device is blocked", device)
            if device.admission is Admission.ACCEPTED:
                return self._join(batch, device, source, now)
        return self._add(batch, source, Admission.ACCEPTED, now)

    def _join(self, batch: Batch, device: Device, source: Source, now: int) -> Device:
        """Bind the identity to ``device``, which has a key from now on.

        Whoever shows none only knows its name, and must not write to it any more.
        """
        anonymous = f"{source.dialect}.anonymous:"
        kept = [one for one in device.identities if not one.startswith(anonymous)]
        joined = msgspec.structs.replace(device, identities=(*kept, source.identity))
        self._registry.replace(batch, joined)
        if len(kept) < len(device.identities):
            text = "it has a key now: what comes without one is of another device"
            batch.entries.append(EventOccurred(device.id, now, "key", text))
        return joined

    def _clear(self, batch: Batch, source: Source, now: int) -> None:
        """Have a stranger who waits under the name of a vouched ``source`` wait under another.

        Nobody has vouched for an identity of a pending device, or it would be accepted: that it
        calls itself so does not make it the source's device.
        """
        name = source.suggested_name
        if not self._registry.has_name(name):
            return
        stranger = self._registry.by_name(name)
        if stranger.admission is Admission.PENDING and source.identity not in stranger.identities:
            other = self._registry.free_name(name)
            self._registry.replace(batch, msgspec.structs.replace(stranger, name=other))
            text = f"renamed from {name} to {other}: a device that you know has this name"
            batch.entries.append(EventOccurred(stranger.id, now, "renamed", text))
            self._log.info("stranger renamed", name=name, to=other, for_peer=source.peer)

    def _meet(self, batch: Batch, source: Source, now: int) -> Device | Refusal:
        if self._policy is Policy.OPEN:
            return self._add(batch, source, Admission.ACCEPTED, now)
        if self._policy is Policy.KNOWN:
            return Refusal("the device is not known, and only known devices are admitted")
        if self._registry.pending() >= self.limits.pending:
            return Refusal(f"{self.limits.pending} devices wait for approval already")
        return self._add(batch, source, Admission.PENDING, now)

    def _add(
        self, batch: Batch, source: Source, admission: Admission, now: int
    ) -> Device | Refusal:
        if self._registry.count() >= self.limits.devices:
            return Refusal(f"there are {self.limits.devices} devices already")
        if source.vouched:
            self._clear(batch, source, now)
        device = self._registry.add(
            batch, source.suggested_name, source.dialect, source.identity, admission, now
        )
        self._log.info("new device", name=device.name, admission=admission.value, peer=source.peer)
        return device


def accept_device(
    registry: Registry, batch: Batch, device: Device, name: str | None, now: int
) -> Device:
    """Accept ``device``, under a new ``name`` if one is given; its held readings are stored."""
    accepted = msgspec.structs.replace(
        device,
        admission=Admission.ACCEPTED,
        held=0,
        name=device.name if name in (None, device.name) else registry.check_new_name(str(name)),
    )
    registry.replace(batch, accepted)
    batch.entries.append(EventOccurred(device.id, now, "accepted", f"accepted as {accepted.name}"))
    batch.entries.append(HeldReleased(device.id))
    return accepted
