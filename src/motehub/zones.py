"""Time zones: the owner's, the machine's, and how people read about them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from motehub.errors import OwnerError
from motehub.model import MICROSECONDS

LOCAL_ZONE_FILE: Final = Path("/etc/localtime")

MOMENTS: Final = 12
"""Into how many parts a time is cut to find the offsets in it: months, if it is a year."""


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone called ``name`` in the IANA database, such as ``Europe/Berlin``.

    Raises:
        OwnerError: there is no such zone.

    """
    try:
        return ZoneInfo(name)
    # Depending on the name: not found (a KeyError), a folder, or a path out of the database.
    except (KeyError, ValueError, OSError) as error:
        raise OwnerError(
            f"There is no time zone called {name!r}: give one such as Europe/Berlin or UTC."
        ) from error


def local_zone() -> ZoneInfo:
    """Return the machine's time zone: ``TZ`` where it names one, else the system's, else UTC."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if named:
        try:
            return find_zone(named)
        except OwnerError:
            pass  # a POSIX rule such as CET-1CEST; the system's zone is the best guess
    try:
        with LOCAL_ZONE_FILE.open("rb") as rules:
            _, found, name = str(LOCAL_ZONE_FILE.resolve()).rpartition("zoneinfo/")
            return ZoneInfo.from_file(rules, key=name if found else None)
    except (OSError, ValueError):
        return ZoneInfo("UTC")


def abbreviation(time: int, zone: ZoneInfo) -> str:
    """Return what the clock of ``zone`` is called at a time (UTC µs): ``CET``, or ``UTC-03:00``."""
    local = datetime.fromtimestamp(time // MICROSECONDS, UTC).astimezone(zone)
    name = local.tzname() or ""
    return name if name.isalpha() else f"UTC{local.isoformat()[len('YYYY-MM-DDTHH:MM:SS') :]}"


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of a hub whose ``[hub] time_zone`` is ``name``: empty for the machine's.

    Raises:
        OwnerError: there is no such zone.
    """
    return find_zone(name) if name else local_zone()


def describe_zone(zone: ZoneInfo, start: int, end: int) -> str:
    """Return the zone's name and its offsets from UTC between ``start`` and ``end`` (UTC µs).

    Two offsets are named when the clocks change in between.
    """
    name = zone.key or "local time"
    if name == "UTC":
        return name
    offsets: dict[str, None] = {}
    for step in range(MOMENTS + 1):
        time = start + (end - start) * step // MOMENTS
        moment = datetime.fromtimestamp(time // MICROSECONDS, UTC).astimezone(zone)
        offsets[f"UTC{moment.isoformat()[len('YYYY-MM-DDTHH:MM:SS') :]}"] = None
    return f"{name}, {' and '.join(offsets)}"
