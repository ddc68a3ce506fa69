"""Plots, drawn in a process of their own: ``python -m motehub.reports.plot``.

``plot_in_child`` is what commands call. It sends the figure as msgpack on the standard input
of a new process, which alone imports matplotlib and says what went wrong in one sentence on
standard error (exit code 1).
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from motehub.errors import MotehubError, OwnerError
from motehub.reports.figure import Curve, Figure, decode, encode
from motehub.zones import find_zone, local_zone

__all__ = ["Curve", "Figure", "draw", "main", "plot_in_child"]

KINDS: Final = ("png", "svg", "pdf")
"""Picture formats, by the suffix of the file."""


def plot_in_child(figure: Figure, output: Path | None, zone_name: str | None) -> None:
    """Draw ``figure`` into the file ``output``, or in a window, in a process of its own.

    ``zone_name`` is an IANA name such as ``Europe/Berlin``; ``None`` is the machine's zone.
    Returns when the file is complete or the window closed.

    Raises:
        OwnerError: the suffix or zone is unknown, the file can't be written, no window can be
            opened, or matplotlib is missing.
        MotehubError: the drawing process was killed.

    """
    if output is not None:
        _kind(output)
    # -P: a file called matplotlib.py in the current folder is not ours to import.
    command = [sys.executable, "-P", "-m", "motehub.reports.plot"]
    if zone_name is not None:
        command += [f"--zone={zone_name}"]
    if output is not None:
        command += [f"--output={output}"]
    drawing = subprocess.run(  # noqa: S603 - our own module, and no shell
        command,
        input=encode(figure),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if drawing.returncode < 0:
        raise MotehubError(
            f"The drawing process was killed (signal {-drawing.returncode}), perhaps because "
            "memory ran out: plot a shorter time or fewer metrics."
        )
    if drawing.returncode:
        said = drawing.stderr.decode(errors="replace").strip().splitlines()
        raise OwnerError(said[-1] if said else "The plot could not be drawn.")


def draw(figure: Figure, output: Path | None, time_zone: ZoneInfo | None) -> None:
    """Draw ``figure`` in this process, into the file ``output`` or in a window.

    The format follows the suffix; an existing file is replaced in one step. ``time_zone``
    ``None`` is the machine's zone.

    Raises:
        OwnerError: as for ``plot_in_child``.

    """
    kind = None if output is None else _kind(output)
    try:
        from motehub.reports import drawing
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("motehub"):
            raise
        raise OwnerError(
            f"Plots need {error.name}, which is not installed: pip install 'motehub[reports]'"
        ) from error
    zone = time_zone or local_zone()
    if output is None or kind is None:
        drawing.show(figure, zone)
        return
    # A link stays a link, and what it points to is replaced.
    target = output.resolve()
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            drawing.save(figure, file, kind, zone)
        unfinished.replace(target)
    except OSError as error:
        raise OwnerError(
            f"Can't write {output}: {error.strerror or error}. Name another file with -o."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the figure on standard input; return the exit code, 0 or 1."""
    parser = argparse.ArgumentParser(prog="motehub.reports.plot", description=main.__doc__)
    parser.add_argument("--zone", help="IANA time zone; the machine's if not given")
    parser.add_argument("--output", type=Path, help="PNG, SVG or PDF file; a window if not given")
    options = parser.parse_args(arguments)
    # What matplotlib says about its font cache would bury the sentence that matters.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    try:
        zone = None if options.zone is None else find_zone(options.zone)
        draw(decode(sys.stdin.buffer.read()), options.output, zone)
    except MotehubError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception as error:
        # The edge of a process: the parent shows this line, so it has to be a sentence.
        reason = " ".join(str(error).split())
        sys.stderr.write(f"The plot could not be drawn: {type(error).__name__}: {reason}\n")
        return 1
    return 0


def _kind(output: Path) -> str:
    """Return the picture format that the suffix of ``output`` asks for."""
    kind = output.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise OwnerError(
            f"{output.name!r} has no suffix that a plot can be written as: "
            "end it in .png, .svg or .pdf."
        )
    return kind


if __name__ == "__main__":
    sys.exit(main())
