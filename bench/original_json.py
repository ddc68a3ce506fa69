"""The original JSON daemon's way, made anew: one read is one object, one round trip a field.

Written from the description of what it did: ``read(2048)`` of a connection is taken for one object,
and ``HSET key field value`` makes a round trip to Redis for each field of a nested one. An object
that is glued to the next, split or too long can't be decoded; the connection breaks and what was
in the kernel is lost. It acknowledges nothing.

Started as ``python -m bench.original_json FOLDER REDIS_PORT`` with the certificates in FOLDER;
prints its port.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from functools import partial
from pathlib import Path
from typing import Final

import redis

READ_BYTES: Final = 2048
"""Most bytes that are taken for one object."""


async def _serve(database: redis.Redis, context: ssl.SSLContext) -> None:
    server = await asyncio.start_server(
        partial(_take, database), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _take(
    database: redis.Redis, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            for key, value in json.loads(data).items():
                if isinstance(value, dict):
                    for field, plain in value.items():
                        database.hset(key, field, plain)
                else:
                    database.set(key, value)
    except (ValueError, OSError):
        # Not one object, or the client is gone: that is the end of the connection.
        pass
    finally:
        writer.transport.abort()


def _context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    certificates = folder / "certificates"
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    return context


if __name__ == "__main__":
    asyncio.run(_serve(redis.Redis(port=int(sys.argv[2])), _context(Path(sys.argv[1]))))
