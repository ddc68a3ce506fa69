"""The certificates of a running hub: made at its start, renewed daily, shown by its listeners."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub.config import Configuration
from motehub.contracts import CertificateShape, ClientTrust, HandedOut
from motehub.errors import CertificateError
from motehub.logs import Logger
from motehub.security.tls import REVOKED_FILE, ServerTls, ensure_certificates, run_authority
from motehub.web.settings import CertificateFiles, WebSettings

CA_FILE: Final = "ca.crt"
"""The authority's certificate, in the data folder."""

_DAY_SECONDS: Final = 86_400

_logger = Logger("motehub.certificates")


def server_tls(configuration: Configuration, trust: ClientTrust) -> ServerTls:
    """Return the TLS contexts of a listener.

    Raises:
        CertificateError: a file can't be loaded: that stops the start, not a connection later.
    """
    certificates = configuration.data_dir / "certificates"
    tls = ServerTls(
        certificates / "server.crt",
        certificates / "server.key",
        configuration.data_dir / CA_FILE,
        client_required=trust.required,
        bundle=trust.bundle,
        protocols=trust.protocols,
        revoked=certificates / REVOKED_FILE,
        on_error=lambda text: _logger.error("certificate not reloaded", reason=text),
    )
    tls.context()
    return tls


def web_tls(configuration: Configuration, web: WebSettings) -> ServerTls | None:
    """Return the TLS contexts of the web listener, or None where it speaks plain HTTP.

    It asks for no client certificate: browsers would ask their users for one.

    Raises:
        CertificateError: a file can't be loaded.
    """
    certificates = configuration.data_dir / "certificates"
    if isinstance(web.tls, CertificateFiles):
        files = Path(web.tls.certificate), Path(web.tls.key)
    elif web.tls == "auto":
        files = certificates / "server.crt", certificates / "server.key"
    else:
        return None
    tls = ServerTls(
        *files,
        protocols=("http/1.1",),
        on_error=lambda text: _logger.error("certificate not reloaded", reason=text),
    )
    tls.context()
    return tls


def added_names(folder: Path) -> tuple[str, ...]:
    """Return the names and addresses that the owner has added to the server's certificate."""
    try:
        return tuple((folder / "certificates" / "server.names").read_text("utf-8").split())
    except (OSError, UnicodeError):
        return ()


def wanted_names(configuration: Configuration) -> tuple[str, ...]:
    """Return the names and addresses that the hub is to have beside those of the machine."""
    found_as = (configuration.mdns.host_name,) if configuration.mdns.active else ()
    return (*configuration.hub.certificate_names, *found_as)


async def make_certificates(configuration: Configuration, *also: str) -> None:
    """Make or renew what is needed, in a process of its own; names in ``also`` are covered too."""
    wanted = (*wanted_names(configuration), *also)
    addresses = [one for one in wanted if _is_address(one)]
    names = [one for one in wanted if one not in addresses]
    done = await ensure_certificates(configuration.data_dir, names, addresses)
    if done.get("made"):
        _logger.info("certificates made", made=done["made"], reason=done.get("reason"))


async def renew_certificates_daily(configuration: Configuration) -> None:
    """Renew what will expire; listeners show a new certificate from the next connection on."""
    while True:
        await asyncio.sleep(_DAY_SECONDS)
        try:
            await make_certificates(configuration)
        except (CertificateError, OSError, msgspec.MsgspecError) as error:
            _logger.error("certificates not renewed", reason=str(error))


class DeskOfCertificates:
    """See :class:`motehub.contracts.CertificateDesk`; each is made in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # However many ask, one process at a time.
        self._turn = asyncio.Lock()

    def authority(self) -> str:
        """Return the certificate that devices trust, in PEM."""
        try:
            return (self._folder / "ca.crt").read_text("ascii")
        except (OSError, UnicodeError) as error:
            raise CertificateError(
                f"The authority's certificate can't be read: {error}."
            ) from error

    async def all(self) -> list[CertificateShape]:
        """Return all certificates: the authority's, the hub's own, those of devices."""
        rows: list[CertificateShape] = await self._run(list[CertificateShape], "--list")
        return rows

    async def hand_out(self, name: str) -> HandedOut:
        """Issue a certificate to a device, whose key is not kept."""
        handed: HandedOut = await self._run(HandedOut, f"--hand-out={name}")
        _logger.info("certificate issued", name=name)
        return handed

    async def revoke(self, name: str) -> None:
        """Have a device's certificate refused from its next connection on."""
        await self._run(CertificateShape, f"--revoke={name}")
        _logger.info("certificate revoked", name=name)

    async def _run(self, shape: Any, option: str) -> Any:
        async with self._turn:
            return msgspec.json.decode(await run_authority(self._folder, option), type=shape)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
