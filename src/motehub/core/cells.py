"""Cells of CSV that people open in programs for tables."""

from __future__ import annotations

from typing import Any, Final

# Programs for tables take a text that begins so for something to be worked out.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def harmless(value: Any) -> Any:
    """Return a text that no program for tables works out; numbers are what they are."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
