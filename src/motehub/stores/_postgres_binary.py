"""Rows of numbers in PostgreSQL's binary COPY format.

Manual of COPY, "Binary Format": a row is the number of fields, then each field's length and
content in network byte order.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Any, Final

COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END: Final = b"\xff\xff"
"""What stands before and after the rows of a binary COPY."""

_FIELD: Final = struct.pack("!i", 8) + bytes(8)


def packed_rows(*columns: array[Any]) -> bytearray:
    """Return rows of columns of 64 bits, whose content is lost.

    Column by column and byte by byte, each in one step over all rows: a tenth of the time that
    packing row by row takes.
    """
    empty = struct.pack("!h", len(columns)) + _FIELD * len(columns)
    width = len(empty)
    rows = bytearray(empty * len(columns[0]))
    for number, column in enumerate(columns):
        if sys.byteorder == "little":
            column.byteswap()
        content = column.tobytes()
        offset = 2 + number * len(_FIELD) + 4
        for byte in range(8):
            rows[offset + byte :: width] = content[byte::8]
    return rows
