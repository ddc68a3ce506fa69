"""What all units of a hub share."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Final

import msgspec

from motehub.contracts import Ground
from motehub.model import Source
from motehub.transports._units_pump import Pump
from motehub.transports._units_settings import Settings
from motehub.units import Unit

NAME: Final = "units"
"""Section and dialect."""


class Common(msgspec.Struct, frozen=True):
    """What readers and writers stand on; ``gate`` is for attempts to reach units that send."""

    settings: Settings
    ground: Ground
    pump: Pump
    counts: Counter[str]
    gate: asyncio.Semaphore


def source_of(unit: Unit) -> Source:
    """Return who speaks on the connections of a unit: the owner has said who that is."""
    return Source(NAME, unit.identity, unit.first_name, unit.key, vouched=True)


def with_jitter(pause: float) -> float:
    """Return a pause shortened by chance: many units must not be tried in the same moment."""
    return pause * random.uniform(0.5, 1)  # noqa: S311
