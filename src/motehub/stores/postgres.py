"""The history in PostgreSQL: what ``[store] type = "postgres"`` opens.

The driver is loaded when a store is opened, not before: the hub's own process rarely does.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from motehub.errors import OwnerError
from motehub.history_contract import HistoryStore, StorePart

MASK = "***"
"""What stands in place of a password wherever people can see it."""


def open_history(folder: Path, url: str, read_only: bool) -> HistoryStore:
    """Open the history in the database ``url``; nothing of it lies in ``folder``.

    Raises:
        OwnerError: the driver is missing, or ``url`` is no PostgreSQL address.
        StorageError: the server can't be reached or used now.
        NewerSchema: a later motehub has written it.
    """
    try:
        from motehub.stores._postgres_history import PostgresHistory
    except ImportError as error:
        raise OwnerError(
            f"The PostgreSQL driver can't be loaded ({error}). "
            "Install it with: pip install 'motehub[postgres]'"
        ) from error
    return PostgresHistory(url, read_only=read_only)


def without_password(folder: Path, url: str) -> str:
    """Return ``url`` as people may see it."""
    try:
        parts = urlsplit(url)
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
    return parts._replace(netloc=network, query=urlencode(query, safe="/*")).geturl()


PART = StorePart(
    open=open_history,
    where=without_password,
    schemes=("postgresql", "postgres"),
)
