"""What identifies the hub's application of Pusher Channels: made at the first start, then kept."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from motehub.errors import ConfigurationError
from motehub.protocols.pusher.application import Keys
from motehub.web.pusher_settings import PusherSettings, check_keys

FILE: Final = "pusher.json"
"""The file in the data folder; only its owner can read it."""

_KEY_BYTES: Final = 10
_SECRET_BYTES: Final = 20
# Libraries take them for decimal numbers, some of 32 bits.
_APP_IDS: Final = range(100_000, 10_000_000)


def ensure_keys(folder: Path, settings: PusherSettings) -> Keys:
    """Return the keys that there are, or new ones; the folder must be this process's own.

    Raises:
        ConfigurationError: the file can't be read or written, or is of another form.
    """
    keys = known_keys(folder, settings)
    if keys is None:
        taken = {one.app_id for one in settings.app} | {one.key for one in settings.app}
        keys = _make(taken)
        _write(folder / FILE, keys)
    return keys


def known_keys(folder: Path, settings: PusherSettings) -> Keys | None:
    """Return the keys that ``settings`` give, else those of the folder, or None.

    Raises:
        ConfigurationError: the file can't be read, or is of another form.
    """
    if settings.key:
        return Keys(settings.app_id, settings.key, settings.secret)
    path = folder / FILE
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=Keys)
        check_keys(keys.app_id, keys.key, keys.secret)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is damaged: {error!s:.200}. Restore it, or remove it and start the hub: new "
            "keys are made, which all clients need."
        ) from error
    return keys


def _make(taken: set[str]) -> Keys:
    while True:
        keys = Keys(
            str(secrets.choice(_APP_IDS)),
            secrets.token_hex(_KEY_BYTES),
            secrets.token_hex(_SECRET_BYTES),
        )
        if not taken & {keys.app_id, keys.key}:
            return keys


def _write(path: Path, keys: Keys) -> None:
    new = path.with_suffix(".new")
    try:
        new.unlink(missing_ok=True)
        # Nobody else can read it, from its first byte on.
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}.") from error
