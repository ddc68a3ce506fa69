"""A TLS client whose way of closing is ours to choose, as a microcontroller's is.

The ordinary streams always say goodbye (close_notify). Firmware often doesn't: it drops the
TCP connection right after its last write. So the TLS machine here runs on memory buffers, and
the TCP connection beneath it is in reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Final, Self

from motehub.errors import CertificateError

CHUNK: Final = 65_536
"""Bytes that are read, or encrypted, at a time."""

CLOSE_TIMEOUT: Final = 10.0
"""Seconds in which the other side has to take our goodbye."""


def client_context(ca: Path | None, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return a context that checks servers against ``ca``, or not at all when that is None.

    ``certificate`` is what the client shows: the files of the certificate and of its key.

    Raises:
        CertificateError: a file is missing or holds nothing usable.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate is not None:
        _load_own(context, *certificate)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # A device may pin the server's own certificate in place of a CA.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise CertificateError(f"{ca} holds no certificate in PEM form.") from error
    except OSError as error:
        raise CertificateError(f"Can't read the certificate {ca}: {error.strerror}.") from error
    return context


def reason_of(error: OSError | UnicodeError) -> str:
    """Return in words why a connection could not be made or used."""
    if isinstance(error, UnicodeError):
        return "that is no host name"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return f"the hub refused the connection: {error.reason.lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "the hub did not answer in time"
    return error.strerror or str(error)


class TlsClient:
    """One connection; made by ``TlsClient.connect``, ended by ``close`` or ``drop``.

    ``answers`` are the lines that the other side sends, when the connection was made to keep
    them; ``protocol`` is what ALPN has chosen. ``failure`` is the error with which the other
    side has ended it, if it did.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        name: str,
        *,
        keep_answers: bool,
    ) -> None:
        self.answers = asyncio.StreamReader()
        self.failure: OSError | None = None
        self._keep_answers = keep_answers
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        context: ssl.SSLContext,
        source: str | None,
        *,
        keep_answers: bool = False,
    ) -> Self:
        """Return a connection whose handshake is complete, from the address ``source``.

        With ``keep_answers`` whoever uses it has to read ``answers``; otherwise what the other
        side says is discarded.

        Raises:
            OSError: no connection, or no handshake (``ssl.SSLError`` is an ``OSError``).

        """
        local = None if source is None else (source, 0)
        reader, writer = await asyncio.open_connection(host, port, local_addr=local)
        # Draining then waits until the kernel has everything, so a drop loses nothing of it.
        writer.transport.set_write_buffer_limits(high=0)
        connection = cls(reader, writer, context, host, keep_answers=keep_answers)
        try:
            await connection._handshake()
        except BaseException:
            writer.transport.abort()
            raise
        connection._listening = asyncio.create_task(connection._listen())
        return connection

    @property
    def protocol(self) -> str | None:
        """What ALPN has chosen, if anything."""
        return self._tls.selected_alpn_protocol()

    @property
    def ended(self) -> bool:
        """Whether the other side has closed the connection, or is about to."""
        return self._listening is None or self._listening.done()

    async def send(self, data: bytes) -> None:
        """Encrypt ``data`` and return when the kernel has taken it.

        Raises:
            OSError: the connection is lost.

        """
        for start in range(0, len(data), CHUNK):
            self._tls.write(data[start : start + CHUNK])
            await self._flush()

    async def close(self, *, wait: bool = False) -> None:
        """Say goodbye with close_notify, if that still gets through, and close.

        With ``wait`` the other side may say its own goodbye, or what it objects to.
        """
        # Our close_notify waits in the buffer then; firmware doesn't wait for the answer.
        with contextlib.suppress(OSError):
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._flush()
                if wait and self._listening is not None:
                    await asyncio.wait([self._listening])
        await self.drop()

    async def drop(self) -> None:
        """Close the TCP connection without a word of TLS."""
        if self._listening is not None:
            self._listening.cancel()
        if self._writer.transport.get_write_buffer_size():
            # Closing would wait until the other side takes it, which may be never.
            self._writer.transport.abort()
        else:
            self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._reader.read(CHUNK)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                await self._flush()  # the alert that tells the server why
                raise
            else:
                await self._flush()
                return

    async def _listen(self) -> None:
        """Take what comes until the other side says goodbye or is gone."""
        try:
            while data := await self._reader.read(CHUNK):
                self._incoming.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    while said := self._tls.read(CHUNK):
                        if self._keep_answers:
                            self.answers.feed_data(said)
                    return
            self.failure = ConnectionResetError("the hub dropped the connection")
        except ssl.SSLZeroReturnError:
            pass  # its goodbye, after ours
        except OSError as error:
            self.failure = error
        finally:
            self.answers.feed_eof()

    async def _flush(self) -> None:
        self._writer.write(self._outgoing.read())
        await self._writer.drain()


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for file in (certificate, key):
        try:
            file.read_bytes()
        except OSError as error:
            raise CertificateError(f"Can't read {file}: {error.strerror}.") from error
    try:
        # The empty password keeps OpenSSL from asking for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise CertificateError(
            f"{certificate} with {key} can't be used: both must be PEM, from the same pair, "
            "the key without a password."
        ) from error
