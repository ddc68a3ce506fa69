"""The data folder: made for its owner alone, used by one hub at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from motehub.control import SOCKET_NAME
from motehub.errors import ConfigurationError, HubRunning

_LOCK_NAME: Final = "lock"
# What the kernel has room for in the address of a Unix socket, less the closing zero.
_SOCKET_PATH_BYTES: Final = 107


def prepare(folder: Path) -> None:
    """Make the folder when it is missing, readable to nobody else.

    Raises:
        ConfigurationError: it can't be made or written, or its path is too long for a socket.
    """
    if len(os.fsencode(folder.absolute() / SOCKET_NAME)) > _SOCKET_PATH_BYTES:
        raise ConfigurationError(f"The path of the data folder {folder} is too long; move it up.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"The data folder {folder} can't be made: {error.strerror}. Name another one."
        raise ConfigurationError(message) from error
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"The data folder {folder} can't be written by this user. "
            "Change its owner, or name another one."
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Own the folder for the duration of the block.

    Raises:
        HubRunning: another process owns it.
    """
    with open(folder / _LOCK_NAME, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HubRunning(
                f"A hub is running on {folder} already. Stop it first, or name another folder."
            ) from error
        yield


def is_owned(folder: Path) -> bool:
    """Tell whether a hub is running on the folder."""
    try:
        with locked(folder):
            return False
    except HubRunning:
        return True
    except OSError:
        return False
