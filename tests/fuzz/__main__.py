"""Feed a decoder what nobody would send: ``python -m tests.fuzz mqtt --seconds 600``.

Every round is made from the seed and its number alone, so one that failed can be run again:
``python -m tests.fuzz mqtt --seed SEED --round NUMBER``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable
from itertools import count
from typing import Final

from tests.fuzz import mqtt

FUZZERS: Final[dict[str, Callable[[random.Random], None]]] = {"mqtt": mqtt.play}
"""By name: plays one round, and raises whatever is wrong."""

_TELL_SECONDS: Final = 30.0


def main() -> int:
    """Carry out the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=FUZZERS)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--round", type=int, help="play this round only")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    fuzz = FUZZERS[options.what]
    began = told = time.monotonic()
    for number in count() if options.round is None else [options.round]:
        try:
            fuzz(random.Random(f"{seed} {number}"))
        except Exception:
            traceback.print_exc()
            again = f"python -m tests.fuzz {options.what} --seed {seed} --round {number}"
            sys.stderr.write(f"Round {number} failed. Again: {again}\n")
            return 1
        now = time.monotonic()
        if now - began >= options.seconds:
            break
        if now - told >= _TELL_SECONDS:
            told = now
            sys.stderr.write(f"{number + 1:,} rounds\n")
    found = f"{number + 1:,} rounds of {options.what} with seed {seed}: nothing found"
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
