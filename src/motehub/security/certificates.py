"""X.509 certificates and keys: reading, checking, putting together, writing (RFC 5280).

Whatever is wrong with a file becomes a CertificateError that names it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from motehub.errors import CertificateError
from motehub.security.addresses import Address

_COMMON_NAME_LENGTH = 64  # ub-common-name, RFC 5280 appendix A.1


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str) -> x509.Name:
    """Return a subject that is nothing but a common name."""
    text = common_name[:_COMMON_NAME_LENGTH]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as PEM text: PKCS #8, not encrypted, as the hub starts unattended."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read(file: Path) -> bytes:
    """Return the content of ``file``; raise CertificateError when it can't be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"{file} can't be read: {error.strerror}. It must belong to the user that runs motehub."
        ) from None


def read_certificate(file: Path) -> x509.Certificate:
    """Return the first certificate in a PEM file; raise CertificateError when there is none."""
    content = read(file)
    try:
        return x509.load_pem_x509_certificate(content)
    except ValueError:
        raise CertificateError(
            f"{file} holds no readable certificate: restore it from a backup, or delete it to "
            "have a new one made."
        ) from None


def read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Return the EC key in a PEM file; raise CertificateError when it holds none."""
    content = read(file)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key
    raise CertificateError(
        f"{file} holds no readable elliptic-curve key without a password: "
        "restore it from a backup, or delete it to have a new one made."
    )


def belongs(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    """Tell whether ``key`` is the private half of the key in ``certificate``."""
    return certificate.public_key() == key.public_key()


def is_issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Tell whether ``certificate`` names ``ca`` as its issuer and bears its signature."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def alternative_names(certificate: x509.Certificate) -> tuple[list[str], list[Address]]:
    """Return the DNS names and the IP addresses in the SAN."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return [], []
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    single = [a for a in addresses if isinstance(a, Address)]
    return extension.value.get_values_for_type(x509.DNSName), single


def self_signed(
    key: ec.EllipticCurvePrivateKey, not_before: dt.datetime, not_after: dt.datetime
) -> x509.Certificate:
    """Return a CA certificate that may sign end entities only; its name comes from the key."""
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    own = name(f"motehub CA {identifier.digest[:4].hex()}")
    return (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def as_end_entity(
    builder: x509.CertificateBuilder,
    public: ec.EllipticCurvePublicKey,
    usage: x509.ObjectIdentifier,
    ca: x509.Certificate,
) -> x509.CertificateBuilder:
    """Add what every certificate below ``ca`` has: issuer, serial number, usages, identifiers."""
    ca_identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_identifier)
    return (
        builder.issuer_name(ca.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(authority, critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return the usages of a CA's key, or of a key that only signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def write(file: Path, content: bytes, mode: int) -> None:
    """Write a file as a whole: at any moment, even after a power cut, it is the old or the new.

    Raises:
        CertificateError: the disk refuses.
    """
    temporary = None
    try:
        # mkstemp makes it 0600, so a key is never readable to others, not even for a moment.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        Path(temporary).replace(file)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise CertificateError(f"{file} can't be written: {error.strerror}.") from None
