"""The hub's own certificate authority: a CA, one server certificate, certificates for clients.

All keys are ECDSA on P-256 (FIPS 186-5): small, and quick on a microcontroller. Certificates
follow RFC 5280. Files in the data folder::

    ca.crt  ca.key                            the authority; boards trust ca.crt
    certificates/server.crt  server.key       what the listeners show
    certificates/server.names                 names and addresses that the owner added, one a line
    certificates/clients/NAME.crt  NAME.key   for devices that log in with a certificate
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import ipaddress
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from motehub.errors import CertificateError, InvalidName
from motehub.model import given_name
from motehub.security import certificates as crt
from motehub.security.addresses import (
    HOST_NAME,
    Address,
    Host,
    parse_address,
    parse_host_name,
    this_host,
)
from motehub.security.tls import REVOKED_FILE

CA_LIFE: Final = dt.timedelta(days=3652)
SERVER_LIFE: Final = dt.timedelta(days=730)
"""Two years: some clients refuse a server certificate that lives longer than 825 days."""
CLIENT_LIFE: Final = dt.timedelta(days=3652)
RENEW_BEFORE: Final = dt.timedelta(days=30)
BACKDATE: Final = dt.timedelta(days=1)
"""How long before its making a certificate is already valid: clocks of boards are off."""


class Ensured(msgspec.Struct, frozen=True):
    """What :meth:`Authority.ensure` made (``ca``, ``server``, or nothing), and why."""

    made: tuple[str, ...]
    reason: str


class Issued(msgspec.Struct, frozen=True):
    """One certificate of the authority, as ``motehub certs list`` shows it.

    ``kind`` is ``ca``, ``server`` or ``client``; ``fingerprint`` is the SHA-256 of its DER form
    in hexadecimal; the times are UTC.
    """

    kind: str
    name: str
    subject: str
    san: tuple[str, ...]
    not_before: dt.datetime
    not_after: dt.datetime
    fingerprint: str
    file: Path


class _Wanted(msgspec.Struct, frozen=True):
    """What the server certificate has to say."""

    common_name: str
    names: tuple[str, ...]
    addresses: tuple[Address, ...]
    has_main: bool


class Authority:
    """The certificates in one data folder. Safe to use from several processes at once.

    ``host`` stands in for the names and addresses of this machine, which are read when they
    are needed otherwise.
    """

    def __init__(self, data_dir: Path, host: Host | None = None) -> None:
        self.ca_certificate = data_dir / "ca.crt"
        self.ca_key = data_dir / "ca.key"
        self._folder = data_dir / "certificates"
        self.server_certificate = self._folder / "server.crt"
        self.server_key = self._folder / "server.key"
        self._server_names = self._folder / "server.names"
        self._clients = self._folder / "clients"
        self._host = host

    def ensure(
        self,
        names: Sequence[str] = (),
        addresses: Sequence[str] = (),
        *,
        now: dt.datetime | None = None,
    ) -> Ensured:
        """Make what is missing or no longer fits, and say what it was.

        A CA is made once and never replaced. The server certificate is made anew when it is
        missing, ends within 30 days, comes from another CA, belongs to another key or does not
        cover the present names and addresses, to which ``names`` and ``addresses`` are added.

        Raises:
            CertificateError: a file is unreadable, broken or does not belong to the others.
        """
        with self._locked():
            return self._ensure(names, addresses, now or dt.datetime.now(dt.UTC), forced=False)

    def renew_server(
        self,
        names: Sequence[str] = (),
        addresses: Sequence[str] = (),
        *,
        now: dt.datetime | None = None,
    ) -> Ensured:
        """Make a new server certificate even when the present one is good.

        The key stays. So a renewal replaces a single file, and no connection can meet a
        certificate beside the wrong key; and firmware that pins the public key goes on working.
        Whoever needs a new key deletes ``server.key`` first.

        Raises:
            CertificateError: as for :meth:`ensure`.
        """
        with self._locked():
            return self._ensure(names, addresses, now or dt.datetime.now(dt.UTC), forced=True)

    def remember(self, names: Sequence[str] = (), addresses: Sequence[str] = ()) -> None:
        """Add host names and IP addresses to this and every later server certificate.

        Raises:
            CertificateError: one is not a host name or not an address, or the disk refuses.
        """
        added = [*map(parse_host_name, names), *(str(parse_address(text)) for text in addresses)]
        with self._locked():
            lines = dict.fromkeys([*self._remembered(), *added])
            crt.write(self._server_names, "".join(f"{line}\n" for line in lines).encode(), 0o600)

    def issue_client(
        self, name: str, *, force: bool = False, now: dt.datetime | None = None
    ) -> Issued:
        """Make a key and a client certificate whose common name is the device's name.

        Raises:
            InvalidName: ``name`` can't name a device or a file.
            CertificateError: it exists and ``force`` is false, or the CA is unusable.
        """
        name = given_name(name)
        if name.startswith(".") or "\\" in name:
            raise InvalidName(
                f"A certificate's name can't begin with a dot or hold '\\': {name!r}."
            )
        now = now or dt.datetime.now(dt.UTC)
        certificate, key = self._clients / f"{name}.crt", self._clients / f"{name}.key"
        with self._locked():
            if certificate.exists() and not force:
                raise CertificateError(
                    f"{certificate} exists already: use --force to replace it; "
                    "the device then needs the new one."
                )
            self._ensure_ca(now)
            private = crt.new_key()
            issued = self._sign(
                x509.CertificateBuilder().subject_name(crt.name(name)),
                private.public_key(),
                ExtendedKeyUsageOID.CLIENT_AUTH,
                CLIENT_LIFE,
                now,
            )
            crt.write(key, crt.key_pem(private), 0o600)
            crt.write(certificate, crt.pem(issued), 0o644)
            return _issued("client", name, certificate)

    def revoke(self, name: str, *, now: dt.datetime | None = None) -> Issued:
        """Have a client certificate refused from the next connection on, and put it aside.

        Raises:
            CertificateError: there is none for ``name``, or the disk refuses.
        """
        now = now or dt.datetime.now(dt.UTC)
        with self._locked():
            known = {one.name: one for one in self.list() if one.kind == "client"}
            if name not in known:
                names = ", ".join(known) or "none"
                raise CertificateError(
                    f"There is no client certificate for {name!r}. There are: {names}."
                )
            issued = known[name]
            revoked = self._clients.parent / REVOKED_FILE
            before = revoked.read_text("utf-8") if revoked.exists() else ""
            line = f"{issued.fingerprint} {now:%Y-%m-%d} {name}\n"
            crt.write(revoked, f"{before}{line}".encode(), 0o600)
            for file in (issued.file, issued.file.with_suffix(".key")):
                file.unlink(missing_ok=True)
            return issued

    def list(self) -> tuple[Issued, ...]:
        """Return every certificate there is: the CA, the server's, the clients' by name.

        Raises:
            CertificateError: one can't be read.
        """
        files = [("ca", "ca", self.ca_certificate), ("server", "server", self.server_certificate)]
        files += [("client", file.stem, file) for file in sorted(self._clients.glob("*.crt"))]
        return tuple(_issued(*entry) for entry in files if entry[2].exists())

    @staticmethod
    def c_string(pem: str, name: str = "HUB_CA") -> str:
        """Return ``pem`` as a C string constant called ``name``, for pasting into firmware."""
        lines = "\n".join(f'"{line}\\n"' for line in pem.splitlines())
        return f"static const char {name}[] =\n{lines};\n"

    # The rest runs under the lock.

    def _ensure(
        self, names: Sequence[str], addresses: Sequence[str], now: dt.datetime, *, forced: bool
    ) -> Ensured:
        wanted = self._wanted(names, addresses)
        made: tuple[str, ...] = ()
        reasons = []
        if self._ensure_ca(now):
            made, reasons = ("ca",), ["there was no certificate authority"]
        ca = crt.read_certificate(self.ca_certificate)
        key = crt.read_key(self.server_key) if self.server_key.exists() else None
        reason = "it was asked for" if forced else self._why_renew(ca, key, wanted, now)
        if reason:
            if key is None:
                key = crt.new_key()
                crt.write(self.server_key, crt.key_pem(key), 0o600)
            self._make_server(key.public_key(), wanted, now)
            made, reasons = (*made, "server"), [*reasons, reason]
        return Ensured(made, "; ".join(reasons) or "everything is in order")

    def _ensure_ca(self, now: dt.datetime) -> bool:
        """Make the CA's missing files; return whether anything was missing.

        The CA's name comes from its key, so a lost ``ca.crt`` comes back as the same authority:
        what it has issued stays valid, and so does the copy in the firmware of boards.
        """
        if self.ca_certificate.exists():
            return False
        if self.ca_key.exists():
            key = crt.read_key(self.ca_key)
        else:
            key = crt.new_key()
            crt.write(self.ca_key, crt.key_pem(key), 0o600)
        crt.write(
            self.ca_certificate, crt.pem(crt.self_signed(key, now - BACKDATE, now + CA_LIFE)), 0o644
        )
        return True

    def _wanted(self, names: Sequence[str], addresses: Sequence[str]) -> _Wanted:
        host = self._host or this_host()
        added_names, added = [*names], [parse_address(text) for text in addresses]
        for line in self._remembered():
            try:
                added.append(ipaddress.ip_address(line))
            except ValueError:
                added_names.append(line)
        usable = [name for name in host.names if HOST_NAME.fullmatch(name)]
        loopback: Sequence[Address] = (
            ipaddress.IPv4Address("127.0.0.1"),
            ipaddress.IPv6Address("::1"),
        )
        every = tuple(dict.fromkeys((*host.addresses, *added, *loopback)))
        # TLS stacks before mbedTLS 3.5 (ESP32 until IDF 5.1) compare the dialled IP address with
        # the DNS names only, and look at the CN only if there is no SAN: so IPv4 goes there too.
        as_names = [str(address) for address in every if address.version == 4]
        all_names = dict.fromkeys(
            (*usable, "localhost", *(parse_host_name(n) for n in added_names), *as_names)
        )
        main = host.main or next((a for a in added if a.version == 4), None)
        common_name = str(main) if main else next(iter(all_names))
        return _Wanted(common_name, tuple(all_names), every, host.main is not None)

    def _remembered(self) -> Sequence[str]:
        if not self._server_names.exists():
            return ()
        return crt.read(self._server_names).decode("utf-8", "replace").split()

    def _why_renew(
        self,
        ca: x509.Certificate,
        key: ec.EllipticCurvePrivateKey | None,
        wanted: _Wanted,
        now: dt.datetime,
    ) -> str:
        """Return the reason for a new server certificate, empty when the present one will do."""
        if key is None or not self.server_certificate.exists():
            return "there was no server certificate with its key"
        present = crt.read_certificate(self.server_certificate)
        if not crt.belongs(present, key):
            return "the server certificate belonged to another key"
        if not crt.is_issued_by(present, ca):
            return "the server certificate came from another authority"
        if present.not_valid_after_utc - now < RENEW_BEFORE:
            return f"the server certificate ends on {present.not_valid_after_utc:%Y-%m-%d}"
        names, addresses = crt.alternative_names(present)
        missing = [n for n in wanted.names if n not in names]
        missing += [
            str(a) for a in wanted.addresses if a not in addresses and str(a) not in missing
        ]
        if missing:
            return f"the server certificate did not cover {', '.join(missing)}"
        if wanted.has_main and present.subject != crt.name(wanted.common_name):
            return f"the machine's main address is now {wanted.common_name}"
        return ""

    def _make_server(
        self, public: ec.EllipticCurvePublicKey, wanted: _Wanted, now: dt.datetime
    ) -> None:
        general: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted.names]
        general += [x509.IPAddress(address) for address in wanted.addresses]
        builder = (
            x509.CertificateBuilder()
            .subject_name(crt.name(wanted.common_name))
            .add_extension(x509.SubjectAlternativeName(general), critical=False)
        )
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        signed = self._sign(builder, public, usage, SERVER_LIFE, now)
        crt.write(self.server_certificate, crt.pem(signed), 0o644)

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        public: ec.EllipticCurvePublicKey,
        usage: x509.ObjectIdentifier,
        life: dt.timedelta,
        now: dt.datetime,
    ) -> x509.Certificate:
        """Sign an end entity's certificate; its life ends with the CA's at the latest."""
        ca = crt.read_certificate(self.ca_certificate)
        if not self.ca_key.exists():
            raise CertificateError(
                f"{self.ca_key} is missing, so nothing can be signed: restore it from a backup, or "
                f"delete {self.ca_certificate} to begin anew; every board then needs the new CA."
            )
        key = crt.read_key(self.ca_key)
        if not crt.belongs(ca, key):
            raise CertificateError(
                f"{self.ca_key} is not the key of {self.ca_certificate}: "
                "restore the two files from the same backup."
            )
        if ca.not_valid_after_utc <= now:
            raise CertificateError(
                f"{self.ca_certificate} ended on {ca.not_valid_after_utc:%Y-%m-%d}: delete it to "
                "have it made anew with the same key, then give it to every board."
            )
        # A machine without a battery clock starts in the past; the CA proves that it is later.
        now = max(now, ca.not_valid_before_utc + BACKDATE)
        builder = builder.not_valid_before(now - BACKDATE)
        builder = builder.not_valid_after(min(now + life, ca.not_valid_after_utc))
        return crt.as_end_entity(builder, public, usage, ca).sign(key, hashes.SHA256())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Make the folders, and keep other processes out until the end."""
        try:
            self._clients.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self._folder, self._clients):
                if folder.stat().st_mode & 0o077:
                    folder.chmod(0o700)
            lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CertificateError(
                f"Certificates can't be kept in {self._folder}: {error.strerror}. "
                "The folder must belong to the user that runs motehub."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _issued(kind: str, name: str, file: Path) -> Issued:
    """Describe the certificate in ``file``."""
    certificate = crt.read_certificate(file)
    names, addresses = crt.alternative_names(certificate)
    return Issued(
        kind=kind,
        name=name,
        subject=certificate.subject.rfc4514_string(),
        san=(*names, *map(str, addresses)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        file=file,
    )
