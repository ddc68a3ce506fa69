"""Finds the parts: each file in ``transports``, ``stores`` and ``mirrors`` is one, by its name.

A file whose name begins with ``_`` belongs to the part of that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import msgspec

from motehub import mirrors as mirror_folder
from motehub import stores as store_folder
from motehub import transports as transport_folder
from motehub.contracts import TransportPart
from motehub.history_contract import StorePart
from motehub.mirror_contract import MirrorPart


@cache
def transports() -> dict[str, TransportPart]:
    """Return all transports by the name of their configuration section."""
    return {name: transport(name) for name in transport_names()}


@cache
def transport_names() -> list[str]:
    """Return the transports that ``[transport.…]`` may name."""
    return _names(transport_folder.__path__)


def transport(name: str) -> TransportPart:
    """Return the transport called ``name``; only what is used has to be in memory."""
    part: TransportPart = import_module(f"motehub.transports.{name}").PART
    return part


@cache
def store_names() -> list[str]:
    """Return the history stores that ``[store] type`` may name."""
    return _names(store_folder.__path__)


def store(name: str) -> StorePart:
    """Return the store called ``name``; its driver is imported only now."""
    part: StorePart = import_module(f"motehub.stores.{name}").PART
    return part


@cache
def mirror_names() -> list[str]:
    """Return the mirrors that ``type`` of a ``[[mirror]]`` may name."""
    return _names(mirror_folder.__path__)


def mirror(name: str) -> MirrorPart:
    """Return the mirror called ``name``; its driver is imported when it is opened."""
    part: MirrorPart = import_module(f"motehub.mirrors.{name}").PART
    return part


def mirror_of(settings: msgspec.Struct) -> str:
    """Return the name of the mirror whose settings these are."""
    return str(settings.__struct_config__.tag)


def _names(path: Iterable[str]) -> list[str]:
    return sorted(
        module.name
        for module in iter_modules(path)
        if not module.ispkg and not module.name.startswith("_")
    )
