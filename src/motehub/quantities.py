"""Durations and sizes as people write them: ``"90d"``, ``"1.5h"``, ``"1 GiB"``."""

from __future__ import annotations

import re
from typing import Final

from motehub.errors import OwnerError

_SECONDS: Final = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31557600}
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
LARGEST: Final = 2.0**60
"""Bound of every quantity, in seconds or bytes: no clock and no disk goes so far."""

_NONE: Final = {"0", "0s", "0.0"}
_QUANTITY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class Duration(float):
    """Seconds; written as a number of seconds or with a unit: ms, s, m, h, d, w, y."""

    @classmethod
    def parse(cls, value: object) -> Duration:
        """Return the duration that ``value`` means.

        Raises:
            OwnerError: it is not a positive number with one of the units.
        """
        return cls(_parse(value, _SECONDS, "s", "a duration such as 90, '15m' or '7d'"))


class Delay(Duration):
    """Seconds that may be none at all: 0, or as a duration."""

    @classmethod
    def parse(cls, value: object) -> Delay:
        """Return the delay that ``value`` means.

        Raises:
            OwnerError: it is neither 0 nor a duration.
        """
        if not isinstance(value, bool) and str(value) in _NONE:
            return cls(0)
        return cls(super().parse(value))


class Size(int):
    """Bytes; written as a number of bytes or with a unit: kB, MB, GB, KiB, MiB, GiB."""

    @classmethod
    def parse(cls, value: object) -> Size:
        """Return the size that ``value`` means.

        Raises:
            OwnerError: it is not a positive number with one of the units.
        """
        return cls(_parse(value, _BYTES, "B", "a size such as 500000, '64 MiB' or '2 GB'"))


def _parse(value: object, units: dict[str, float] | dict[str, int], plain: str, what: str) -> float:
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    factor = units.get(match[2] or plain) if match else None
    if match is None or factor is None or isinstance(value, bool):
        raise OwnerError(f"{value!r:.80} is not {what}")
    amount = float(match[1]) * factor
    if not 0 < amount < LARGEST:
        raise OwnerError(f"{value!r:.80} is out of range: {what} is meant")
    return amount
