"""For which devices the word of another broker is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from motehub.contracts import KnownDevices
from motehub.model import Admission, Delivery, Device, Source

IDENTITY: Final = "mqtt:"
"""How the identity of a device begins that is known by its name in topics."""

_REMEMBERED: Final = 10_000


class Trust:
    """Believes the broker, which has its own access rules, about devices that the owner knows.

    One that the owner does not know is a stranger, and waits for approval like any other, unless
    everything is ``trusted`` that comes from the broker.
    """

    def __init__(self, dialect: str, devices: KnownDevices, *, trusted: bool) -> None:
        self._anonymous = f"{dialect}.anonymous:"
        self._devices = devices
        self._trusted = trusted
        self._believed: set[str] = set()
        self._edition = devices.edition

    def own_names(self, device: Device) -> list[str]:
        """Return the names that a device may have in topics, beside that which it has here."""
        marks = (IDENTITY, self._anonymous)
        return [
            one.removeprefix(mark)
            for one in device.identities
            for mark in marks
            if one.startswith(mark)
        ]

    def vet(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Return the deliveries, those of unknown devices as what strangers say."""
        if self._trusted:
            return list(deliveries)
        if self._devices.edition != self._edition or len(self._believed) >= _REMEMBERED:
            self._edition = self._devices.edition
            self._believed.clear()
        return [
            one
            if not one.source.vouched or one.source.identity in self._believed
            else self._vetted(one)
            for one in deliveries
        ]

    def _vetted(self, delivery: Delivery) -> Delivery:
        source = delivery.source
        stranger = self._anonymous + source.identity.removeprefix(IDENTITY)
        if self._devices.by_identity(stranger) is None and self._is_known(source):
            self._believed.add(source.identity)
            return delivery
        # Also when the owner has accepted it: then it is known as this.
        return replace(delivery, source=replace(source, identity=stranger, vouched=False, alias=""))

    def _is_known(self, source: Source) -> bool:
        devices = self._devices
        found = devices.by_identity(source.identity) or devices.by_identity(source.alias)
        if found is None and devices.has_name(source.suggested_name):
            found = devices.by_name(source.suggested_name)
        # Nobody has vouched for one that waits; one that is blocked is to be refused as itself.
        return found is not None and found.admission is not Admission.PENDING
