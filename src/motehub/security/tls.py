"""TLS for the listeners: contexts that follow the certificate files, and who a client is.

Only the standard library: the package that makes certificates takes many megabytes, so it runs
in a short-lived process of its own and the hub never loads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from motehub.errors import CertificateError

# AEAD with ephemeral keys only. AES-128 comes first because boards have it in hardware; BearSSL
# (ESP8266) and the mbedTLS of 2019 (ESP32) know it. The RSA twins serve an owner's own
# certificate. TLS 1.3 has a list of its own, which OpenSSL keeps sane.
_CIPHERS = ":".join(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES256-GCM-SHA384")
    for signature in ("ECDSA", "RSA")
)

REVOKED_FILE = "revoked"
"""In the folder ``certificates``: SHA-256, name and date of each revoked certificate."""

_Stamp = tuple[tuple[int, int, int] | None, ...]


class ServerSession(ssl.SSLObject):
    """A TLS session that notes, at the end of its handshake, who the client is.

    Afterwards it may be too late: a board sends its batch and closes in the same moment, and
    OpenSSL tells nothing of a session that has ended. ``peer`` is as ``peer_identity`` says,
    ``protocol`` what ALPN has chosen.
    """

    peer: tuple[str, str] | None = None
    protocol: str | None = None

    def do_handshake(self) -> None:
        """Continue the handshake; raises as the base class does until it is done."""
        super().do_handshake()
        self.peer = peer_identity(self)
        self.protocol = self.selected_alpn_protocol()


class ServerTls:
    """The TLS settings of a listener, which follow the files they come from.

    With ``client_ca`` (PEM: authorities, or the clients' own certificates) a client may show a
    certificate, and with ``client_required`` it must; one that is shown is always checked.
    ``bundle`` is a second such file, which may come later. ``protocols`` are offered to ALPN.
    ``revoked`` lists certificates by their SHA-256, one a line.
    ``on_error`` gets one sentence for each change of the files that could not be loaded.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        client_ca: Path | None = None,
        *,
        client_required: bool = False,
        bundle: Path | None = None,
        protocols: Sequence[str] = (),
        revoked: Path | None = None,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._client_required = client_required
        self._bundle = bundle
        self._protocols = list(protocols)
        self._revoked = revoked
        self._revoked_stamp: tuple[int, int, int] | None = None
        self._revoked_fingerprints: frozenset[str] = frozenset()
        self._revocations = 0
        self._on_error = on_error
        self._context: ssl.SSLContext | None = None
        self._stamp: _Stamp = ()

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection; call it for each one.

        It costs a ``stat`` a file as long as nothing changes. Changed files become a new
        context, so open connections keep theirs; when they can't be loaded, the last good
        context stays in use.

        Raises:
            CertificateError: the files can't be loaded and never could be.
        """
        # Stamped before loading: a file that changes meanwhile is loaded again next time.
        stamp = self._files()
        if self._context is not None and stamp == self._stamp:
            return self._context
        try:
            self._context = self._load()
        except CertificateError as error:
            if self._context is None:
                raise
            if self._on_error is not None:
                self._on_error(f"{error} The certificate in use stays until this is mended.")
        self._stamp = stamp
        return self._context

    def _files(self) -> _Stamp:
        """Return what tells a changed file: its inode, its size, its time in nanoseconds."""
        return tuple(
            _stamp(file)
            for file in (self._certificate, self._key, self._client_ca, self._bundle)
            if file is not None
        )

    def is_revoked(self, fingerprint: str) -> bool:
        """Tell whether the file ``revoked`` has this SHA-256 as the first word of a line."""
        self.revocations()
        return fingerprint in self._revoked_fingerprints

    def revocations(self) -> int:
        """Return another number whenever the file ``revoked`` has changed; it costs a ``stat``."""
        stamp = _stamp(self._revoked) if self._revoked is not None else None
        if self._revoked is not None and stamp != self._revoked_stamp:
            lines = self._revoked.read_text("utf-8").splitlines() if stamp else []
            self._revoked_fingerprints = frozenset(line.split()[0] for line in lines if line)
            self._revoked_stamp = stamp
            self._revocations += 1
        return self._revocations

    def _load(self) -> ssl.SSLContext:
        """Build a context from the files as they are now."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = ServerSession
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= (
            ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        )
        # A TLS 1.3 server sends tickets after the handshake. A board that writes its batch and
        # closes without ever reading leaves them unread, and its kernel then answers with RST
        # instead of FIN, which may destroy the end of the batch on its way. So no tickets there;
        # TLS 1.2 sends its ticket inside the handshake, and keeps it for quick reconnection.
        context.num_tickets = 0
        self._load_own(context)
        if self._protocols:
            context.set_alpn_protocols(self._protocols)
        if self._client_ca is not None:
            self._load_trusted(context, self._client_ca)
        if self._bundle is not None and self._bundle.exists():
            self._load_trusted(context, self._bundle)
        return context

    def _load_own(self, context: ssl.SSLContext) -> None:
        """Load the certificate and key that the listener shows."""
        for file in (self._certificate, self._key):
            _check_readable(file)
        try:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                what = f"{self._key} is not the key of {self._certificate}"
            else:
                what = f"{self._certificate} with {self._key} can't be used ({_reason(error)})"
            raise CertificateError(
                f"{what}: both must be PEM, from the same pair, the key without a password."
            ) from None

    def _load_trusted(self, context: ssl.SSLContext, bundle: Path) -> None:
        """Load the certificates by which clients are known."""
        _check_readable(bundle)
        try:
            context.load_verify_locations(bundle)
        except ssl.SSLError as error:
            raise CertificateError(
                f"{bundle} holds no usable client certificates ({_reason(error)}): "
                "it must hold one or more in PEM, one after another."
            ) from None
        # A bundle may hold the clients' own certificates, whoever signed them.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_REQUIRED if self._client_required else ssl.CERT_OPTIONAL


def peer_identity(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, str] | None:
    """Return the SHA-256 of the client's certificate in hexadecimal, and its common name.

    ``None`` when the client showed none; the name is empty when the certificate has none.

    Raises:
        ValueError: the handshake is not done, or the connection has broken.
    """
    der = connection.getpeercert(binary_form=True)
    if not der:
        return None
    common_name = ""
    # Typeshed leaves the shape of a subject open: a tuple of sets of (type, value) pairs.
    subject: Sequence[Sequence[tuple[str, str]]] = (connection.getpeercert() or {}).get(
        "subject", ()
    )  # type: ignore[assignment]
    for relative in subject:
        for kind, value in relative:
            if kind == "commonName":
                common_name = value
    return hashlib.sha256(der).hexdigest(), common_name


async def ensure_certificates(
    data_dir: Path, names: Sequence[str] = (), addresses: Sequence[str] = ()
) -> dict[str, object]:
    """Run ``python -m motehub.security`` to make or renew what is needed.

    Returns what it did: ``{"made": ["ca", "server"], "reason": "..."}``.

    Raises:
        CertificateError: with the sentence of the process, when it failed.
    """
    options = [f"--name={name}" for name in names]
    options += [f"--address={address}" for address in addresses]
    return msgspec.json.decode(await run_authority(data_dir, *options), type=dict[str, object])


async def run_authority(data_dir: Path, *options: str) -> bytes:
    """Run ``python -m motehub.security`` with ``options``; return what it prints.

    Raises:
        CertificateError: with the sentence of the process, when it failed.
    """
    command = [sys.executable, "-m", "motehub.security", "--data", str(data_dir), *options]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        raise
    if process.returncode != 0:
        said = errors.decode("utf-8", "replace").strip().splitlines()
        raise CertificateError(said[-1] if said else f"{' '.join(command)} ended without a word.")
    return output


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_readable(file: Path) -> None:
    """Raise CertificateError, which names the file as OpenSSL doesn't, when it can't be read."""
    try:
        with file.open("rb"):
            pass
    except FileNotFoundError:
        raise CertificateError(
            f"{file} does not exist: 'motehub certs server' makes the hub's own certificates."
        ) from None
    except OSError as error:
        raise CertificateError(
            f"{file} can't be read: {error.strerror}. "
            "It must be readable to the user that runs motehub."
        ) from None


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason in lower case words."""
    return (error.reason or "unknown format").replace("_", " ").lower()
