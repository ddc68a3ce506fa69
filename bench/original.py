"""The original server's way, made anew: lines, a FIFO in memory, a thread that writes SQLite.

Written from the description of what it did, as fast as that way honestly is: the generator ends
every batch with a line feed (without one it saw a batch only when the connection closed), and
it commits all that waits once a second (the original: 20 records, or every 60 seconds).
Nothing is durable before that commit, and nothing bounds the FIFO.

Started as ``python -m bench.original FOLDER`` with the certificates in FOLDER; prints its port.
"""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Final

FILE_NAME: Final = "sensor_data.db"

COMMIT_SECONDS: Final = 1.0
"""Pause between two commits."""

_Row = tuple[int, int, float]
_rows: deque[_Row] = deque()


async def _read_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            for record in line.decode("ascii").split("|")[:-1]:
                if record.startswith("[ERROR]"):
                    continue
                stamp, humidity, celsius, _ = record.split(",")
                _rows.append((int(stamp[1:-1]), int(humidity), float(celsius)))
    except (ValueError, OSError):
        # A bad record, more than 64 KiB without a line feed, or the peer is gone.
        pass
    finally:
        writer.close()


def _write_database(path: Path) -> None:
    database = sqlite3.connect(path, timeout=30)
    # The columns are filled in another order than they are called, as in the original.
    database.execute(
        "CREATE TABLE sensor_data (timestamp INTEGER, temperature REAL, humidity REAL)"
    )
    database.commit()
    while True:
        time.sleep(COMMIT_SECONDS)
        rows = [_rows.popleft() for _ in range(len(_rows))]
        database.executemany("INSERT INTO sensor_data VALUES (?, ?, ?)", rows)
        database.commit()


async def _serve(folder: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificates = folder / "certificates"
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    server = await asyncio.start_server(_read_lines, "127.0.0.1", 0, ssl=context, backlog=1024)
    threading.Thread(target=_write_database, args=(folder / FILE_NAME,), daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
