"""The text records that the load generators send, encoded before the clock starts."""

from __future__ import annotations

import ssl
from typing import Final

FIRST_SECOND: Final = 1_700_000_000
"""Time of the first record in seconds since 1970; each further one lies a second later."""

READINGS_PER_RECORD: Final = 2
"""Relative humidity and temperature."""

CHUNK_RECORDS: Final = 500
"""Records of a large chunk, a little less than the 16 KiB that one TLS record holds."""

_VALUES: Final = [
    f",{40 + n % 41},{celsius:g},{celsius * 1.8 + 32:.6g}|".encode()
    for n in range(CHUNK_RECORDS)
    if (celsius := (150 + n * 7 % 150) / 10)
]


class Chunks:
    """Chunk after chunk of records, each with a time of its own.

    All connections send the same chunks of ``records`` each, since each is a device of its own.
    ``newline`` ends each chunk with a line feed, for a server that reads lines. ``ready`` chunks
    are encoded at once.
    """

    def __init__(self, records: int, ready: int, *, newline: bool) -> None:
        self._records = records
        self._newline = newline
        self._chunks: list[bytes] = []
        self[ready]

    def __getitem__(self, number: int) -> bytes:
        """Return chunk ``number``; what was not encoded before is encoded now and kept."""
        while number >= len(self._chunks):
            first = FIRST_SECOND + len(self._chunks) * self._records
            self._chunks.append(batch(first, self._records, newline=self._newline))
        return self._chunks[number]


def batch(first: int, count: int, *, newline: bool) -> bytes:
    """Return ``count`` records, the first one at ``first`` seconds since 1970."""
    records = [b"[%d]%b" % (first + n, _VALUES[n % len(_VALUES)]) for n in range(count)]
    return b"".join(records) + (b"\n" if newline else b"")


def client_context(ca: str) -> ssl.SSLContext:
    """Return a context that trusts the authority in the PEM file ``ca``."""
    return ssl.create_default_context(cafile=ca)


def device_address(number: int) -> str:
    """Return the loopback address from which connection ``number`` comes: a device each."""
    return f"127.0.1.{number + 1}"
