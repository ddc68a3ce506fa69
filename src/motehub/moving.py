"""Moves the history of a data folder to another store, while no hub runs on it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from motehub import data_folder, parts
from motehub.config import Configuration, StoreSettings, check_store
from motehub.errors import ConfigurationError, OwnerError
from motehub.history_contract import HistoryStore
from motehub.storage import fold_offline
from motehub.transfer import migrate
from motehub.transfer.migrate import Progress


def store_at(place: str) -> StoreSettings:
    """Return the store that ``place`` means: the name of one without a URL, or a URL.

    Raises:
        ConfigurationError: it means none.
    """
    scheme = place.partition("://")[0]
    for name in parts.store_names():
        schemes = parts.store(name).schemes
        if (place == name and not schemes) or ("://" in place and scheme in schemes):
            store = StoreSettings(name, place if schemes else "")
            check_store(store, "--to")
            return store
    raise ConfigurationError(
        "--to is 'sqlite' or the URL of a PostgreSQL database: "
        "postgresql://USER:PASSWORD@HOST/DATABASE."
    )


def move_history(
    configuration: Configuration, store: StoreSettings, progress: Progress
) -> dict[str, int] | None:
    """Copy the history to ``store``, compare the copy, and let the folder's hub use it.

    Returns the number of rows of each table, or None where the history is there already. What
    was used before stays as it is, and is in use until the last step.

    Raises:
        HubRunning: a hub runs on the folder.
        OwnerError: ``store`` holds another history.
        StorageError: one of them can't be used now, or the copy is not like the original.
    """
    folder = configuration.data_dir
    old = configuration.store
    if data_folder.same(store, old):
        return None
    with data_folder.locked(folder, data_folder.LOCK_WAIT):
        fold_offline(configuration)
        counts = _copy(folder, old, store, progress)
        data_folder.remember_store(folder, store, left=old)
    return counts


def where(folder: Path, store: StoreSettings) -> str:
    """Return where a store is, for people: without a password."""
    return parts.store(store.type).where(folder, store.url)


def _copy(
    folder: Path, old: StoreSettings, new: StoreSettings, progress: Progress
) -> dict[str, int]:
    def opened(store: StoreSettings, *, read_only: bool) -> HistoryStore:
        return parts.store(store.type).open(folder, store.url, read_only)

    with closing(opened(old, read_only=True)) as source:
        with closing(opened(new, read_only=False)) as target:
            try:
                wanted = migrate.check_target(source, target, progress)
            except OwnerError as error:
                raise OwnerError(f"{error} It is {where(folder, new)}.") from error
            if wanted:
                migrate.copy(source, target, progress)
        # Opened anew: compared is what a hub would find there.
        with closing(opened(new, read_only=True)) as target:
            counts = migrate.verify(source, target, progress)
        if wanted:
            with closing(opened(new, read_only=False)) as target:
                migrate.finish(source, target)
    return counts
