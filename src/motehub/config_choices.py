"""What may stand where something else was written: for messages about the configuration."""

from __future__ import annotations

import enum
import re
from types import UnionType
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

# The steps of a path as msgspec writes them: keys, [0] in lists, [...] in tables.
_STEP: Final = re.compile(r"\[[^\]]*\]|[^.\[]+")
_UNKNOWN: Final = "unknown field"


def choices_at(settings: type[msgspec.Struct], path: str, reason: str) -> str:
    """Return what may be written at ``path`` (``unit[0].kind``) instead, for the end of ``reason``.

    Empty when there is no list of that.
    """
    kinds: list[Any] = [settings]
    for step in _STEP.findall(path):
        kinds = [inner for kind in kinds for inner in _inner(kind, step)]
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return "; choose " + " or ".join(str(one.value) or '""' for one in kind)
        if _UNKNOWN in reason and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            known = (field.encode_name for field in msgspec.structs.fields(kind))
            return f"; its keys are {', '.join(known)}"
    return ""


def _inner(kind: Any, step: str) -> list[Any]:
    """Return what a key may hold, or one item (``[0]``, ``[...]``), of what is of type ``kind``."""
    if step.startswith("["):
        is_list = get_origin(kind) in (list, dict, tuple)
        return _alternatives(get_args(kind)[-1]) if is_list else []
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.encode_name == step:
                return _alternatives(field.type)
    return []


def _alternatives(kind: Any) -> list[Any]:
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return list(get_args(kind)) if isinstance(kind, UnionType) else [kind]
