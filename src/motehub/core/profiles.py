"""What the owner says of devices beside their names: labels, how often they speak, units.

In memory; changes are state of the journal. The history has nothing to do with it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from motehub.errors import InvalidProfile
from motehub.frames import Batch

MOST_LABELS: Final = 8
"""How many labels a device may have."""

LABEL_CHARACTERS: Final = 32
"""Longest label."""

UNIT_CHARACTERS: Final = 16
"""Longest unit."""

SHORTEST_INTERVAL: Final = 0.1
LONGEST_INTERVAL: Final = 366 * 86_400.0

_KEY: Final = "profile/"

_encode = msgspec.msgpack.Encoder().encode


class Profile(msgspec.Struct, frozen=True):
    """What the owner says of a device.

    ``interval`` is the time in seconds in which something is expected of it, None when nothing
    is. ``units`` are the metrics whose unit the owner has given, since the device says none.
    """

    labels: tuple[str, ...] = ()
    interval: float | None = None
    units: tuple[str, ...] = ()


NOTHING: Final = Profile()
"""What is said of a device of which nothing is said."""

_decode = msgspec.msgpack.Decoder(Profile).decode


class Profiles:
    """Profiles by the ids of their devices."""

    def __init__(self, profiles: Mapping[int, Profile] | None = None) -> None:
        self._profiles = dict(profiles or {})

    @classmethod
    def from_state(cls, state: Mapping[str, bytes]) -> Profiles:
        """Return what a journal keeps for good."""
        return cls(
            {
                int(key.removeprefix(_KEY)): _decode(value)
                for key, value in state.items()
                if key.startswith(_KEY)
            }
        )

    def all(self) -> dict[int, Profile]:
        """Return those of devices of which something is said, by id."""
        return dict(self._profiles)

    def of(self, device: int) -> Profile:
        """Return that of the device with that id."""
        return self._profiles.get(device, NOTHING)

    def put(self, batch: Batch, device: int, profile: Profile) -> None:
        """Let ``profile`` be what is said of the device."""
        if profile == NOTHING:
            self.forget(batch, device)
            return
        self._profiles[device] = profile
        batch.state[f"{_KEY}{device}"] = _encode(profile)

    def forget(self, batch: Batch, device: int) -> None:
        """Forget what is said of a device."""
        if self._profiles.pop(device, None) is not None:
            batch.state[f"{_KEY}{device}"] = None


def checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return ``labels`` in composed form (NFC), each once, in their order.

    Raises:
        InvalidProfile: one can't be a label, or there are too many.
    """
    found = tuple(dict.fromkeys(unicodedata.normalize("NFC", one.strip()) for one in labels))
    if len(found) > MOST_LABELS:
        raise InvalidProfile(f"A device has {MOST_LABELS} labels at most, and this is more.")
    for label in found:
        if not label or len(label) > LABEL_CHARACTERS or "," in label or not label.isprintable():
            raise InvalidProfile(
                f"A label has 1 to {LABEL_CHARACTERS} characters, without commas or control "
                f"characters: {label[:64]!r}."
            )
    return found


def checked_interval(seconds: float | None) -> float | None:
    """Return in how many seconds something is expected; None when nothing is.

    Raises:
        InvalidProfile: it is shorter than 0.1 s or longer than a year.
    """
    if seconds is None:
        return None
    if not SHORTEST_INTERVAL <= seconds <= LONGEST_INTERVAL:
        raise InvalidProfile("The expected interval is 0.1 seconds to 366 days, or none.")
    return float(seconds)


def checked_unit(unit: str) -> str:
    """Return ``unit`` in composed form (NFC).

    Raises:
        InvalidProfile: it is too long, or has characters that can't be seen.
    """
    unit = unicodedata.normalize("NFC", unit.strip())
    if len(unit) > UNIT_CHARACTERS or not unit.isprintable():
        raise InvalidProfile(
            f"A unit has {UNIT_CHARACTERS} characters at most, without control characters: "
            f"{unit[:64]!r}."
        )
    return unit
