"""The query process: reads the history for the hub's web server; opens no sockets of its own.

The hub starts it as ``python -m motehub.reader DIR STORE`` at the first query, with the URL of
the store in the environment (``STORE_URL`` of :mod:`motehub.following`). Queries come in frames on
standard input, answers go out on standard output (:mod:`motehub.core.queries`). Several answers
are worked at in turn, so none waits for a client that is slow to take its own. When its standard
input ends, because the hub stops, has died or has had no query for long, it exits.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from motehub import parts
from motehub.archive.history import WholeHistory
from motehub.core.answers import Pause, Steps, answer
from motehub.core.queries import WINDOW, Failed, Frames, Head, Mark, Query, frame
from motehub.errors import NewerSchema, OwnerError, StorageError, UnknownDevice
from motehub.following import STORE_URL
from motehub.history_contract import HistoryStore
from motehub.logs import Logger, set_up_logs

_POLL_SECONDS: Final = 0.02
_READ_BYTES: Final = 64 * 1024
_HUB: Final = 0

_logger = Logger("motehub.reader")


class _Job:
    """A query that is worked at; ``window`` is how many pieces may still be sent."""

    __slots__ = ("deadline", "seconds", "steps", "waits", "window")

    def __init__(self, steps: Steps, seconds: float) -> None:
        self.steps = steps
        self.seconds = seconds
        self.deadline: float | None = time.monotonic() + seconds
        self.window = WINDOW
        self.waits = False


class Reader:
    """Answers queries from the store of one data folder, all of them in turn, step by step."""

    def __init__(self, folder: Path, store_name: str, url: str) -> None:
        self._folder = folder
        self._store_name = store_name
        self._url = url
        self._store: HistoryStore | None = None
        self._jobs: dict[int, _Job] = {}

    @property
    def pause(self) -> float | None:
        """Seconds until something is to be done; None when that is for the hub to say."""
        jobs = [job for job in self._jobs.values() if job.window]
        if not jobs:
            return None
        return _POLL_SECONDS if all(job.waits for job in jobs) else 0.0

    def take(self, number: int, mark: Mark, body: bytes) -> None:
        """Do what the hub says in a frame."""
        if mark is Mark.QUERY:
            query = msgspec.msgpack.decode(body, type=Query)
            self._jobs[number] = _Job(self._answer(query), query.seconds)
        elif job := self._jobs.get(number):
            if mark is Mark.MORE:
                job.window += 1
            else:
                self._end(number)

    def work(self) -> list[bytes]:
        """Go one step with every query that may go on; return the frames for the hub."""
        out = []
        for number, job in list(self._jobs.items()):
            if job.window:
                out += self._step(number, job)
        return out

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _answer(self, query: Query) -> Steps:
        if self._store is None:
            self._store = parts.store(self._store_name).open(self._folder, self._url, True)
        raw = WholeHistory(self._store, self._folder)
        yield from answer(self._store, query, raw=raw)

    def _step(self, number: int, job: _Job) -> list[bytes]:
        try:
            step = next(job.steps, Mark.END)
        except MemoryError:
            raise
        except Exception as error:
            self._end(number)
            return [frame(number, Mark.FAILED, _failure(error))]
        job.waits = step is Pause.WAIT
        if isinstance(step, Head):
            # From here on the client sets the pace, and the hub sees to it.
            job.deadline = None
            return [frame(number, Mark.HEAD, step)]
        if isinstance(step, bytes):
            job.window -= 1
            return [frame(number, Mark.PIECE, step)]
        if step is Mark.END:
            self._end(number)
            return [frame(number, Mark.END)]
        if job.deadline is not None and time.monotonic() > job.deadline:
            self._end(number)
            return [frame(number, Mark.FAILED, _too_slow(job.seconds))]
        return []

    def _end(self, number: int) -> None:
        self._jobs.pop(number).steps.close()


def main() -> None:
    """Answer until the hub is gone."""
    # An interrupt from the terminal reaches this process too; the hub decides when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    set_up_logs(sys.stderr)
    reader = Reader(Path(sys.argv[1]), sys.argv[2], os.environ.get(STORE_URL, ""))
    try:
        _answer_hub(reader)
    except BrokenPipeError:
        # Nobody is left to read: standard output is closed for good.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        reader.close()


def _answer_hub(reader: Reader) -> None:
    frames = Frames()
    output = sys.stdout.fileno()
    while True:
        readable, _, _ = select.select([_HUB], [], [], reader.pause)
        if readable:
            data = os.read(_HUB, _READ_BYTES)
            if not data:
                return
            for one in frames.feed(data):
                reader.take(*one)
        for piece in reader.work():
            _write(output, piece)


def _write(output: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(output, rest) :]


def _failure(error: Exception) -> Failed:
    match error:
        case UnknownDevice():
            return Failed(404, "Not found", str(error))
        case NewerSchema():
            return Failed(500, "History of a later motehub", str(error))
        case StorageError():
            detail = f"{error} Nothing is lost: try again in a moment."
            return Failed(503, "The history can't be read now", detail)
        case OwnerError():
            return Failed(400, "This can't be shown", str(error))
        case _:
            _logger.error("query failed", error=repr(error))
            detail = "The query failed in a way that nobody thought of; the hub's log says more."
            return Failed(500, "Error in motehub", detail)


def _too_slow(seconds: float) -> Failed:
    detail = (
        f"It took longer than {seconds:g} s. Ask for a shorter time, fewer metrics or fewer points."
    )
    return Failed(503, "The query takes too long", detail)


if __name__ == "__main__":
    main()
