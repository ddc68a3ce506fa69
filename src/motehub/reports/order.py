"""What the process of a report is asked for, and what it gives back: ``python -m motehub.report``.

``make`` is what others call. It starts the process, which alone reads the history and draws, and
waits for it. What it is asked for goes to its standard input, the result comes from its standard
output, both as msgpack; what went wrong is one sentence on standard error (exit code 1).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from motehub.errors import MotehubError

FORMATS: Final = ("html", "txt", "pdf")
"""What a report can be written as."""

MOST_SECONDS: Final = 900.0
"""Longest time that a report may take."""

_COMMAND: Final = (sys.executable, "-P", "-m", "motehub.report")


class Order(msgspec.Struct, frozen=True):
    """A report (encoded) to be made of the history of ``folder`` in ``store``.

    It is about ``since`` to ``until`` (µs). ``zone`` is an IANA name, or "" for the machine's.
    ``hub`` is what the hub is called, ``link`` the address of its pages or "", ``language`` that
    of the report where it names none. ``mail`` says that it is for a mail: then HTML and text lack
    their ends, and the HTML its pictures. ``wants`` is one of FORMATS otherwise.
    """

    folder: str
    store: str
    report: bytes
    since: int
    until: int
    zone: str = ""
    hub: str = "motehub"
    link: str = ""
    mail: bool = False
    wants: str = "html"
    language: str = "en"


class Made(msgspec.Struct, frozen=True):
    """A report that is made: for a mail all of it, otherwise ``content``.

    ``pictures`` are those of the HTML by their names; ``sheet`` is the CSV file, if there is one.
    ``complete`` is false where the history had not yet what was acknowledged.
    """

    subject: str
    text: str = ""
    html: str = ""
    pictures: tuple[tuple[str, bytes], ...] = ()
    sheet: bytes | None = None
    content: bytes = b""
    complete: bool = True


def make(
    order: Order,
    environment: Mapping[str, str],
    started: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
) -> Made:
    """Make a report in a process of its own; ``environment`` has the address of the store.

    ``started`` is given the process, so that somebody else can end it.

    Raises:
        MotehubError: it can't be made now; ``str()`` says why.
    """
    with subprocess.Popen(  # noqa: S603 - our own module, and no shell
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | dict(environment),
    ) as process:
        started(process)
        try:
            out, said = process.communicate(msgspec.msgpack.encode(order), MOST_SECONDS)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise MotehubError(_TOO_LONG) from error
    return _made(process.returncode, out, said)


async def make_soon(order: Order, environment: Mapping[str, str], seconds: float) -> Made:
    """Do the same without holding up the event loop, in ``seconds`` at most."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | dict(environment),
    )
    try:
        async with asyncio.timeout(seconds):
            out, said = await process.communicate(msgspec.msgpack.encode(order))
    except TimeoutError as error:
        raise MotehubError(_TOO_LONG) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _made(process.returncode or 0, out, said)


def _made(status: int, out: bytes, said: bytes) -> Made:
    if status < 0:
        raise MotehubError(
            f"The process of the report was killed (signal {-status}), perhaps because memory ran "
            "out: let it be about fewer devices or a shorter time."
        )
    if status:
        lines = said.decode(errors="replace").strip().splitlines()
        raise MotehubError(lines[-1] if lines else "The report could not be made.")
    return msgspec.msgpack.decode(out, type=Made)


_TOO_LONG: Final = (
    "The report took too long: let it be about fewer devices or metrics, or a shorter time."
)
