"""Plain segment files: what a journal in a format of our own would be at its simplest."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

SEGMENT_BYTES: Final = 8_000_000
"""Size at which a new file is begun; whole files are deleted when all of one is consumed."""

# length, position
_HEADER: Final = struct.Struct("<IQ")


class SegmentLog:
    """Appends frames, each made durable with fdatasync; a frame carries its own checksum."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._head = 0
        self._segments: list[tuple[int, Path]] = []
        self._file = -1
        self._room = 0

    def append(self, frame: bytes) -> int:
        """Make ``frame`` durable and return its position."""
        if self._room <= 0:
            self._begin_segment()
        self._head += 1
        header = _HEADER.pack(len(frame), self._head)
        written = os.writev(self._file, (header, frame))
        if written != len(header) + len(frame):
            raise OSError("the disk took only a part of a frame")
        os.fdatasync(self._file)
        self._room -= written
        return self._head

    def trim(self, consumed: int) -> None:
        """Delete the files whose frames are all at or before ``consumed``."""
        while len(self._segments) > 1 and self._segments[1][0] <= consumed + 1:
            self._segments.pop(0)[1].unlink()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _begin_segment(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        path = self._folder / f"{self._head + 1:020}.segment"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        directory = os.open(self._folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        self._segments.append((self._head + 1, path))
        self._room = SEGMENT_BYTES
