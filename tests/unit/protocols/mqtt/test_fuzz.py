"""A short run of ``python -m tests.fuzz mqtt``, the same each time."""

from __future__ import annotations

import random

import pytest
from tests.fuzz.mqtt import play


@pytest.mark.parametrize("seed", range(4))
def test_mutated_conversations(seed: int) -> None:
    """Mutated streams raise nothing, are read the same however they are cut, and keep limits."""
    for number in range(300):
        play(random.Random(f"{seed} {number}"))
