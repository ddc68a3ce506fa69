"""Finds out which original system a file or an address belongs to, and opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from motehub.errors import OwnerError
from motehub.model import derived_device_name, given_name
from motehub.transfer import home_data, sensor_data
from motehub.transfer.local_times import LocalTimes
from motehub.transfer.pieces import Origin
from motehub.transfer.sqlite_rows import tables_of

POSTGRES: Final = ("postgresql", "postgres")
REDIS: Final = ("redis", "rediss", "unix")
REDIS_DEVICE: Final = "redis"
"""Name of the device of single keys, unless another is given."""


class Choice(msgspec.Struct, frozen=True):
    """What the owner wants imported: a file or an address, and what there is to know about it.

    ``kind`` is ``sensor_data``, ``home_data`` or ``redis``; what is None is found out, or is
    what that system had.
    """

    source: str
    kind: str | None = None
    device: str | None = None
    zone: str | None = None
    celsius: bool | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What tells this import from another."""
        source = self.source if "://" in self.source else str(Path(self.source).absolute())
        options = (self.kind, self.device, self.zone, self.celsius)
        return (source, *map(str, options))


def open_origin(choice: Choice, moment: int) -> Origin:
    """Open what is to be imported; ``moment`` (µs) is the time of values that have none.

    Raises:
        OwnerError: it is no such thing, or an option does not belong to it.
        StorageError: it can't be reached or read.
    """
    kind = choice.kind or _kind_of(choice.source)
    device = None if choice.device is None else given_name(choice.device)
    if kind == "redis":
        _refuse(choice, "zone", "celsius")
        from motehub.transfer.redis_keys import RedisKeys

        return RedisKeys(choice.source, device or REDIS_DEVICE, moment)
    if kind == sensor_data.TABLE:
        _refuse(choice, "zone")
        path = Path(choice.source)
        fahrenheit = choice.celsius is False
        return sensor_data.SensorData(
            path, device or derived_device_name(path.stem), fahrenheit=fahrenheit
        )
    _refuse(choice, "device")
    times = LocalTimes(_zone(choice.zone))
    fahrenheit = not choice.celsius
    if _scheme(choice.source) in POSTGRES:
        from motehub.transfer.postgres_rows import PostgresRows

        rows: home_data.Rows = PostgresRows(choice.source, home_data.TABLE, home_data.COLUMNS)
    else:
        rows = home_data.SqliteTable(Path(choice.source))
    return home_data.HomeData(rows, times, fahrenheit=fahrenheit)


def _kind_of(source: str) -> str:
    scheme = _scheme(source)
    if scheme in REDIS:
        return "redis"
    if scheme in POSTGRES:
        return home_data.TABLE
    if scheme is not None:
        raise OwnerError(
            f"Nothing can be imported from {scheme}://…: name a file, or an address that begins "
            "with postgresql:// or redis://."
        )
    found = tables_of(Path(source))
    if {sensor_data.TABLE, home_data.TABLE} <= found:
        raise OwnerError(
            f"{source} has sensor_data and home_data: choose with --as. If it is a history of "
            "motehub, it would come in as one device only; 'motehub migrate-store' moves all."
        )
    # Of a file that can't be read, or has neither, the reader says more.
    return home_data.TABLE if home_data.TABLE in found else sensor_data.TABLE


def _scheme(source: str) -> str | None:
    scheme, mark, _ = source.partition("://")
    return scheme.lower() if mark else None


def _refuse(choice: Choice, *options: str) -> None:
    """Refuse options that would have no effect: the owner expects one."""
    for option in options:
        if getattr(choice, option) is not None:
            names = {"celsius": "--celsius and --fahrenheit do", "zone": "--zone does"}
            raise OwnerError(
                f"{names.get(option, '--device does')} not go with {choice.source.split('://')[0]}"
                " as it is imported: leave it out."
            )


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise OwnerError(f"{name!r} is not a time zone such as Europe/Paris.") from error
