"""A mirror in Redis: what a ``[[mirror]]`` of ``type = "redis"`` is.

The driver is loaded when a mirror is opened, in a process of its own.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from msgspec import Meta

from motehub.errors import OwnerError
from motehub.mirror_contract import MirrorPart, MirrorStore
from motehub.mirrors._redis_layout import RESERVED

MASK: Final = "***"
"""What stands in place of a password wherever people can see it."""

_SCHEMES: Final = ("redis", "rediss", "unix")


class Settings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="redis", tag_field="type"
):
    """A section ``[[mirror]]`` of type redis."""

    url: Annotated[
        str,
        Meta(
            description="Address of the server: redis://USER:PASSWORD@HOST:6379/DATABASE, "
            "rediss:// with TLS, or unix:///PATH?db=DATABASE."
        ),
    ] = "redis://127.0.0.1:6379/0"
    stream: Annotated[
        str, Meta(min_length=1, description="Key of the stream that has the last readings.")
    ] = "motehub:readings"
    stream_length: Annotated[
        int, Meta(ge=0, le=10_000_000, description="Readings in the stream, about; 0 = no stream.")
    ] = 10_000

    def __post_init__(self) -> None:
        # The URL itself is not repeated: it may hold a password.
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError:
            raise ValueError("url is no address, as redis://HOST:6379/0 is") from None
        if parts.scheme not in _SCHEMES:
            raise ValueError("url must begin with redis://, rediss:// or unix://")
        database = parts.path.strip("/")
        if parts.scheme != "unix" and database and not database.isdecimal():
            raise ValueError("the database in url must be a number, as in redis://HOST:6379/0")
        if self.stream.startswith(RESERVED) and self.stream != "motehub:readings":
            raise ValueError(f"keys that begin with {RESERVED} are the mirror's own: rename stream")


def open_mirror(settings: Settings) -> MirrorStore:
    """Return the mirror; it connects when it is used.

    Raises:
        OwnerError: the driver is missing, or the URL is no address of a Redis.
    """
    try:
        from motehub.mirrors._redis_mirror import RedisMirror
    except ImportError as error:
        raise OwnerError(
            f"The Redis driver can't be loaded ({error}). "
            "Install it with: pip install 'motehub[redis]'"
        ) from error
    return RedisMirror(settings.url, where(settings), settings.stream, settings.stream_length)


def where(settings: Settings) -> str:
    """Return the address as people may see it: without a password."""
    try:
        parts = urlsplit(settings.url)
        secret = parts.password
    except ValueError:
        return MASK
    network = parts.netloc
    if secret is not None:
        user, host = network.rpartition("@")[::2]
        network = f"{user.partition(':')[0]}:{MASK}@{host}"
    query = [
        (key, MASK if "password" in key.lower() else value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    asked = f"?{urlencode(query, safe='/*')}" if query else ""
    return f"{parts.scheme}://{network}{parts.path}{asked}"


PART = MirrorPart(settings=Settings, open=open_mirror, where=where)
