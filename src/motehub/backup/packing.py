"""How an archive is compressed, and how a compressed one is read."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import zstandard

from motehub.errors import BackupError

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"

ENDINGS: Final = (".tar.zst", ".tar.gz", ".tgz", ".tar")
"""How the name of an archive may end."""


@contextmanager
def packed(output: IO[bytes], name: str) -> Iterator[Any]:
    """Give what compresses into ``output``, as the ending of ``name`` says.

    Raises:
        BackupError: it says nothing.
    """
    if name.endswith(".tar.zst"):
        with zstandard.ZstdCompressor().stream_writer(output, closefd=False) as packing:
            yield packing
    elif name.endswith((".tar.gz", ".tgz")):
        with gzip.GzipFile("", "wb", 6, output) as packing:
            yield packing
    elif name.endswith(".tar"):
        yield output
    else:
        endings = ", ".join(ENDINGS)
        raise BackupError(f"{name} does not say what is to be made: end it in one of {endings}.")


@contextmanager
def unpacked(path: Path) -> Iterator[Any]:
    """Give the tar file in an archive, as a stream; its first bytes say how it is compressed."""
    with path.open("rb") as file:
        mark = file.read(4)
        file.seek(0)
        if mark == _ZSTD:
            with zstandard.ZstdDecompressor().stream_reader(file) as stream:
                yield stream
        elif mark[:2] == _GZIP:
            with gzip.GzipFile("", "rb", fileobj=file) as stream:
                yield stream
        else:
            yield file
