"""What is worked out step by step, so that others have their turn in between."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

_Result = TypeVar("_Result")


def drain(steps: Generator[object, None, _Result]) -> _Result:
    """Return what comes of all steps, where nobody else waits meanwhile."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: _Result = end.value
            return found
