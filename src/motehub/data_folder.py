"""The data folder: made for its owner alone, used by one hub at a time, knows its store."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from motehub import parts
from motehub.config import StoreSettings, check_store
from motehub.control import SOCKET_NAME
from motehub.errors import ConfigurationError, HubRunning
from motehub.webhooks.outbox import BASE_FILE_NAME

LOCK_WAIT: Final = 5.0
"""Longest wait in seconds for a command that owns the folder for a moment."""

LOCK_POLL: Final = 0.05
"""Seconds between two attempts."""

_LOCK_NAME: Final = "lock"
_STORE_NAME: Final = "store.json"
_NEWS_AFTER: Final = 1.0
# Of what may stand in the query of a store's URL, what says where the history is.
_PLACE_KEYS: Final = frozenset({"host", "port", "dbname", "service", "options"})
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
        raise _not_ours(folder)


def exists(folder: Path, name: str = "") -> bool:
    """Tell whether the folder, or the file ``name`` in it, is there.

    Raises:
        ConfigurationError: this user may not look.
    """
    try:
        return (folder / name).exists()
    except OSError as error:
        raise _not_ours(folder) from error


def readable_to_others(folder: Path) -> bool:
    """Tell whether other users of the machine can look into the folder."""
    return bool(folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


@contextmanager
def locked(
    folder: Path, wait: float = 0.0, tell: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Own the folder for the duration of the block; files made in it are the owner's alone.

    ``wait`` is how long to wait in seconds for another process that owns it; ``tell`` gets a
    line when that takes long.

    Raises:
        HubRunning: another process owns it.
        ConfigurationError: it is not this user's.
    """
    mask = os.umask(0o077)
    try:
        with _open_lock(folder) as file:
            _lock(file, folder, wait, tell)
            yield
    finally:
        os.umask(mask)


def is_owned(folder: Path) -> bool:
    """Tell whether a hub is running on the folder.

    Raises:
        ConfigurationError: it is not this user's.
    """
    try:
        with locked(folder):
            return False
    except HubRunning:
        return True
    except OSError:
        return False


class _Remembered(StoreSettings, frozen=True, forbid_unknown_fields=True):
    """``store.json``: the store in use, and those from which the history was moved away."""

    left: tuple[StoreSettings, ...] = ()


def remember_store(folder: Path, store: StoreSettings, left: StoreSettings | None = None) -> None:
    """Write down where the history of this folder is, for commands that have no configuration.

    ``left`` is the store that it was moved away from, just now. The file may hold a password:
    only the folder's owner can read it, from its first byte on.

    Raises:
        ConfigurationError: it can't be written.
    """
    path = folder / _STORE_NAME
    try:
        known: tuple[StoreSettings, ...] = _read_store(path).left
    except (OSError, msgspec.MsgspecError):
        known = ()
    known += () if left is None else (left,)
    content = _Remembered(
        store.type,
        store.url,
        tuple({_place(one): one for one in known if not same(one, store)}.values()),
    )
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=_STORE_NAME, delete=False) as new:
            new.write(msgspec.json.encode(content) + b"\n")
            new.flush()
            os.fsync(new.fileno())
        Path(new.name).replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}.") from error


def remembered_store(folder: Path) -> StoreSettings | None:
    """Return what the last hub of this folder used; None when none has run on it.

    Raises:
        ConfigurationError: the file can't be read, or what it says is unknown.
    """
    path = folder / _STORE_NAME
    try:
        found = _read_store(path)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise _not_ours(folder) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(
            f"{path} can't be read ({type(error).__name__}). The next start of the hub writes it "
            "anew; until then set MOTEHUB_STORE_TYPE and MOTEHUB_STORE_URL."
        ) from error
    store = StoreSettings(found.type, found.url)
    check_store(store, str(path))
    return store


def is_of_base(folder: Path) -> bool:
    """Tell whether a base unit alone has run on the folder: there is no history.

    Raises:
        ConfigurationError: it is not this user's.
    """
    return exists(folder, BASE_FILE_NAME) and remembered_store(folder) is None


def check_not_left(folder: Path, store: StoreSettings) -> None:
    """See that the history was not moved away from ``store``: what is there ends with the move.

    Raises:
        ConfigurationError: it was.
    """
    path = folder / _STORE_NAME
    try:
        found = _read_store(path)
    except (OSError, msgspec.MsgspecError):
        return
    if any(same(store, one) for one in found.left):
        here = parts.store(found.type).where(folder, found.url)
        raise ConfigurationError(
            f"'motehub migrate-store' has moved the history of {folder} from {store.type} to "
            f"{found.type}: {here}. Set [store] in the configuration to it. 'motehub "
            f"migrate-store' also brings it back; to go on with what {store.type} had before the "
            f"move, remove {path}."
        )


def same(one: StoreSettings, other: StoreSettings) -> bool:
    """Tell whether both are one store, whoever logs in and however."""
    return _place(one) == _place(other)


def _place(store: StoreSettings) -> tuple[object, ...]:
    try:
        url = urlsplit(store.url)
        port = url.port
    except ValueError:
        return store.type, store.url
    query = tuple((k, v) for k, v in parse_qsl(url.query) if k in _PLACE_KEYS)
    return store.type, url.hostname, port, url.path, query


def _read_store(path: Path) -> _Remembered:
    return msgspec.json.decode(path.read_bytes(), type=_Remembered)


def _open_lock(folder: Path) -> BinaryIO:
    try:
        return open(folder / _LOCK_NAME, "a+b")
    except PermissionError as error:
        raise _not_ours(folder) from error


def _lock(file: BinaryIO, folder: Path, wait: float, tell: Callable[[str], None]) -> None:
    """Lock the open ``file``, trying again for ``wait`` seconds."""
    began = time.monotonic()
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            waited = time.monotonic() - began
            if waited >= wait:
                raise HubRunning(
                    f"A hub is running on {folder} already. Stop it first, or name another folder."
                ) from error
            if waited >= _NEWS_AFTER and not told:
                told = True
                tell(f"Waiting for another motehub to leave {folder}.")
            time.sleep(LOCK_POLL)
        else:
            return


def _not_ours(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"The data folder {folder} can't be read and written by this user. "
        "Change its owner, run as its owner, or name another folder with --data."
    )
