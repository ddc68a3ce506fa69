"""A connection to Redis that never hangs for ever, and is made anew after an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from motehub.errors import OwnerError, StorageError
from motehub.mirrors._redis_layout import Command

_CONNECT_SECONDS: Final = 3.0
_ANSWER_SECONDS: Final = 5.0

_BY_TEXT: Final[tuple[tuple[str, str], ...]] = (
    ("WRONGPASS", "{where} refuses the password. Mend url of the [[mirror]]."),
    ("invalid password", "{where} refuses the password. Mend url of the [[mirror]]."),
    ("invalid username", "{where} refuses the password. Mend url of the [[mirror]]."),
    ("NOAUTH", "{where} wants a password. Put it into url of the [[mirror]]."),
    ("Authentication required", "{where} wants a password. Put it into url of the [[mirror]]."),
    ("without any password configured", "{where} has no password. Leave it out of url."),
    ("NOPERM", "The user of {where} lacks a right: {detail}."),
    ("OOM", "{where} is out of memory. Raise maxmemory, or give it less to keep."),
    ("command not allowed when used memory", "{where} is out of memory. Raise maxmemory."),
    ("READONLY", "{where} is read-only. Name the primary server."),
    ("read only replica", "{where} is read-only. Name the primary server."),
    ("MISCONF", "{where} can't save its data: see its log. It takes nothing until then."),
    ("loading", "{where} is still reading its data. It is tried again."),
    ("DB index is out of range", "{where} has no such database. Mend url of the [[mirror]]."),
    ("Connection refused", "{where} does not run, or not there. Start it, or mend its url."),
    ("No such file", "{where} does not run, or not there. Start it, or mend its url."),
    ("Timeout", "{where} does not answer. Look whether the server runs."),
    ("timed out", "{where} does not answer. Look whether the server runs."),
    ("Name or service not known", "{where}: its host is not known. Mend url of the [[mirror]]."),
    ("Temporary failure in name", "{where}: its host is not known. Mend url of the [[mirror]]."),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "{where} has a certificate that is not trusted. Name its authority in url, with "
        "?ssl_ca_certs=FILE.pem at the end. ({detail})",
    ),
)


class RedisConnection:
    """Connects to ``url`` when it is used, and again after an error.

    ``where`` is the address without its password, for messages.

    Raises:
        OwnerError: ``url`` is no address of a Redis.
    """

    def __init__(self, url: str, where: str) -> None:
        self._where = f"The Redis at {where}"
        try:
            self._pool = redis.ConnectionPool.from_url(
                url,
                socket_connect_timeout=_CONNECT_SECONDS,
                socket_timeout=_ANSWER_SECONDS,
                # Whoever asks must learn of a lost connection: the server may be another by then.
                retry=Retry(NoBackoff(), 0),
                client_name="motehub",
                protocol=2,
            )
        except ValueError:
            # What the driver says about it repeats parts of it, a password perhaps.
            raise OwnerError(
                "url of a [[mirror]] is no address of a Redis. Write "
                '"redis://USER:PASSWORD@HOST:6379/0".'
            ) from None
        self._connection: Any = None

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send ``commands`` in one go and return the answers to all of them.

        Raises:
            StorageError: the server can't be reached, does not answer, or refuses one of them.
        """
        try:
            if self._connection is None:
                self._connection = self._pool.connection_class(**self._pool.connection_kwargs)
                self._connection.connect()
            packed = self._connection.pack_commands(commands)
            self._connection.send_packed_command(packed, check_health=False)
            answers: list[Any] = []
            refused: redis.ResponseError | None = None
            for _ in commands:
                try:
                    answers.append(self._connection.read_response())
                except redis.ResponseError as error:
                    refused = refused or error
        except (redis.RedisError, OSError) as error:
            self.close()
            raise self._plain(error) from error
        if refused is not None:
            self.close()
            raise self._plain(refused) from refused
        return answers

    def close(self) -> None:
        """Close the connection; harmless when there is none."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _plain(self, error: Exception) -> StorageError:
        """Return ``error`` as a sentence; neither the driver nor Redis repeats a password."""
        detail = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        for part, sentence in _BY_TEXT:
            if part.lower() in detail.lower():
                return StorageError(sentence.format(where=self._where, detail=detail))
        return StorageError(f"{self._where}: {detail}. It is tried again.")
