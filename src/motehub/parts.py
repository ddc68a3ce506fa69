"""Finds the parts: every file in ``transports`` and ``stores`` is one, by its file's name.

A file whose name begins with ``_`` belongs to the part of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from motehub import stores as store_folder
from motehub import transports as transport_folder
from motehub.contracts import StorePart, TransportPart


@cache
def transports() -> dict[str, TransportPart]:
    """Return all transports by the name of their configuration section."""
    names = _names(transport_folder.__path__)
    return {name: import_module(f"motehub.transports.{name}").PART for name in names}


@cache
def store_names() -> list[str]:
    """Return the history stores that ``[store] type`` may name."""
    return _names(store_folder.__path__)


def store(name: str) -> StorePart:
    """Return the store called ``name``; its driver is imported only now."""
    part: StorePart = import_module(f"motehub.stores.{name}").PART
    return part


def _names(path: Iterable[str]) -> list[str]:
    return sorted(
        module.name
        for module in iter_modules(path)
        if not module.ispkg and not module.name.startswith("_")
    )
