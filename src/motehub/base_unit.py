"""The process of a base unit, which ``motehub base`` becomes.

Started as ``python -m motehub.base_unit ORDER``, with what the command line said in JSON. What
reads a command line would take 2 MB for as long as the process lives.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from motehub import config as configuration
from motehub.base import serve_base
from motehub.config import Configuration
from motehub.logs import set_up_logs
from motehub.original_config import read_original

_ARENAS: Final = "MALLOC_ARENA_MAX"


class Order(msgspec.Struct, frozen=True):
    """Files and folder as the command line names them."""

    config: str | None
    original: str | None
    updatable: tuple[str, ...]
    data: str | None


def become(order: Order) -> NoReturn:
    """Go on as that process: with this process's id, and for whoever waits for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    # A heap for each thread would be half a megabyte of room that is never used.
    environment = {_ARENAS: "1"} | os.environ
    program = [sys.executable, "-m", "motehub.base_unit", msgspec.json.encode(order).decode()]
    os.execve(sys.executable, program, environment)  # noqa: S606


def main() -> None:
    """Run the base unit; exit 0 ok, 1 failed, 2 configuration."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    try:
        settings = _load(order)
        set_up_logs(sys.stderr, settings.hub.log_level)
        asyncio.run(serve_base(settings, _tell))
    except Exception as error:
        # What was taken is in the journal, and goes on from there at the next start.
        from motehub.cli import explain

        sys.exit(explain(error))


def _load(order: Order) -> Configuration:
    if order.original is None:
        file = Path(order.config) if order.config is not None else None
        return configuration.load(file, data_dir=order.data)
    file = Path(order.original)
    tree, unknown = read_original(file, order.updatable)
    if unknown:
        _tell(f"{file}: without meaning here: {', '.join(unknown[:10])}")
    return configuration.load_tree(tree, str(file), data_dir=order.data)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
