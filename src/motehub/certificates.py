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
_LOOK_SECONDS: Final = 60.0

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


class OwnCertificates:
    """The certificates of the hub itself; each is made in a process of its own.

    Each ``look_seconds`` it sees whether somebody else has made another one.
    """

    def __init__(self, configuration: Configuration, look_seconds: float = _LOOK_SECONDS) -> None:
        self._configuration = configuration
        self._look_seconds = look_seconds
        self._found_as: str | None = None
        self._seen: tuple[int, int] | None = None

    async def make(self) -> None:
        """Make or renew what is needed.

        Raises:
            CertificateError: that can't be.
        """
        wanted = wanted_names(self._configuration)
        if self._found_as is not None:
            wanted = (*wanted, self._found_as)
        addresses = [one for one in wanted if _is_address(one)]
        names = [one for one in wanted if one not in addresses]
        done = await ensure_certificates(self._configuration.data_dir, names, addresses)
        if done.get("made"):
            _logger.info("certificates made", made=done["made"], reason=done.get("reason"))
        self._seen = self._present()

    async def cover(self, name: str) -> None:
        """Have the server's certificate cover a name by which the hub is found from now on."""
        self._found_as = name
        try:
            await self.make()
        except (CertificateError, OSError, msgspec.MsgspecError) as error:
            _logger.error("certificate not renewed", name=name, reason=str(error))

    async def keep(self) -> None:
        """Renew daily what will expire, and what was made by others and lacks a name of the hub.

        Listeners show a new certificate from the next connection on.
        """
        clock = asyncio.get_running_loop().time
        due = clock() + _DAY_SECONDS
        while True:
            await asyncio.sleep(self._look_seconds)
            if self._present() == self._seen and clock() < due:
                continue
            due = clock() + _DAY_SECONDS
            try:
                await self.make()
            except (CertificateError, OSError, msgspec.MsgspecError) as error:
                _logger.error("certificates not renewed", reason=str(error))
                # Said once, and tried again tomorrow.
                self._seen = self._present()

    def _present(self) -> tuple[int, int] | None:
        try:
            status = (self._configuration.data_dir / "certificates" / "server.crt").stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


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
