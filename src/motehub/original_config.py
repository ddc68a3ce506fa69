"""Reads the ``config.json`` of the original base unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub.errors import ConfigurationError

_KEYS: Final = {
    "api.url": "api_url",
    "api.token": "api_token",
    "pusher.app-key": "key",
    "pusher.cluster": "cluster",
    "pusher.auth": "auth",
}
_CLIENTS: Final = "clients"
_NEEDED: Final = ("api.url", "api.token")
_FILE_BYTES: Final = 1_048_576


def read_original(file: Path, updatable: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Return the sections of a configuration that say the same, and keys that mean nothing here.

    Keys may be nested (``{"api": {"url": …}}``) or written with dots. ``updatable`` are
    addresses of units that may be told something: the original asked for none, and dialled
    whatever it was told.

    Raises:
        ConfigurationError: the file can't be read, or lacks something.
    """
    found: dict[str, Any] = {}
    _flatten(_read(file), "", found, file)
    missing = [key for key in _NEEDED if not found.get(key)]
    if missing:
        raise ConfigurationError(f"{file}: {' and '.join(missing)} must be there.")
    clients = found.pop(_CLIENTS, [])
    if not isinstance(clients, list) or not all(isinstance(one, str) for one in clients):
        raise ConfigurationError(f"{file}: {_CLIENTS} must be a list of addresses.")
    client: dict[str, Any] = {}
    for key, name in _KEYS.items():
        value = found.pop(key, None)
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{file}: {key} must be text.")
        if value:
            client[name] = value
    if "auth" in client:
        client["auth"] = "/" + client["auth"].lstrip("/")
    units = {
        "read_units": list(dict.fromkeys(clients)),
        "updatable_units": list(dict.fromkeys(updatable)),
    }
    return {"transport": {"units": units, "pusher_client": client}}, sorted(found)


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as content:
            text = content.read(_FILE_BYTES)
        found: dict[str, Any] = msgspec.json.decode(text.removeprefix(b"\xef\xbb\xbf"), type=dict)
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} is not a JSON object: {error!s:.200}.") from error
    return found


def _flatten(tree: dict[str, Any], prefix: str, found: dict[str, Any], file: Path) -> None:
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            _flatten(value, f"{key}.", found, file)
        elif key in found:
            raise ConfigurationError(f"{file}: {key} is there twice, nested and with a dot.")
        else:
            found[key] = value
