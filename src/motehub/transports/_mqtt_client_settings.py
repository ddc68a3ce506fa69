"""Section ``[transport.mqtt_client]``, and how to connect by it."""

from __future__ import annotations

import enum
import ssl
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from motehub.errors import ConfigurationError
from motehub.quantities import Duration, Size

SECTION: Final = "[transport.mqtt_client]"

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_WAITING_BYTES: Final = 16_777_216
_PASSWORD_BYTES: Final = 65_535


class Version(enum.Enum):
    """Versions of MQTT that the hub speaks to other brokers."""

    V5 = "5"
    V311 = "3.1.1"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[transport.mqtt_client]``."""

    enabled: Annotated[
        bool, Meta(description="Whether the hub connects to this broker; it needs a url then.")
    ] = True
    url: Annotated[
        str,
        Meta(description="Address of the broker: mqtt://HOST:1883, or mqtts://HOST:8883 with TLS."),
    ] = ""
    user: Annotated[str, Meta(description='Name of the user at the broker; "" = none.')] = ""
    password: Annotated[str, Meta(description="Password of that user.")] = ""
    password_file: Annotated[
        str, Meta(description="A file with the password instead, read at each connection.")
    ] = ""
    ca: Annotated[
        str,
        Meta(
            description="PEM file of the authority that the broker's certificate is of; "
            '"" = those of the system.'
        ),
    ] = ""
    certificate: Annotated[
        str, Meta(description="PEM file of the hub's own certificate, if the broker wants one.")
    ] = ""
    key: Annotated[str, Meta(description="PEM file of its key.")] = ""
    version: Annotated[Version, Meta(description="Version of MQTT: 5 or 3.1.1.")] = Version.V5
    client_id: Annotated[
        str,
        Meta(description='Name of the hub\'s session at the broker; "" = one that is made once.'),
    ] = ""
    session_expiry: Annotated[
        Duration,
        Meta(
            description="How long the broker keeps messages for the hub while it is away (MQTT 5)."
        ),
    ] = Duration(7 * 86400)
    keep_alive: Annotated[
        int, Meta(ge=5, le=65535, description="Seconds after which a silent broker is missed.")
    ] = 60
    receive_maximum: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="Messages of QoS 1 and 2 that the broker may have under way (MQTT 5).",
        ),
    ] = 1000
    packet_limit: Annotated[
        Size, Meta(description="Longest packet that the broker may send (MQTT 5).")
    ] = Size(1_048_576)
    share: Annotated[
        str,
        Meta(
            description="Group of hubs that share the readings: each message goes to one of them; "
            '"" = none.'
        ),
    ] = ""
    device_sessions: Annotated[
        bool,
        Meta(
            description="Whether the hub gives names to boards that join there; of several hubs "
            "at a broker one may."
        ),
    ] = True
    trusted: Annotated[
        bool,
        Meta(
            description="Whether unknown devices are accepted that send readings there; else "
            "hub.admission decides."
        ),
    ] = False

    def __post_init__(self) -> None:
        """Check the address, and what belongs together.

        Raises:
            ValueError: something is missing or too much.
        """
        if not self.enabled:
            return
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError:
            raise ValueError("url is no address, as mqtt://HOST:1883 is") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("url must be that of a broker: mqtt://HOST:1883 or mqtts://HOST:8883")
        # The URL itself is not repeated: it may hold a password.
        if "@" in parts.netloc:
            raise ValueError("url can't hold user and password: write them to user and password")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("url ends with the port: write mqtt://HOST:1883")
        if parts.scheme == "mqtt" and (self.ca or self.certificate or self.key):
            raise ValueError("ca, certificate and key are for TLS: write mqtts:// in url")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key are needed together")
        if self.password and self.password_file:
            raise ValueError("of password and password_file only one can be")
        if (self.password or self.password_file) and not self.user:
            raise ValueError("user is missing: the password is of nobody")
        if set("/+#") & set(self.share):
            raise ValueError("share can't contain /, + or #")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), parts.port or _PORTS[parts.scheme]

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("mqtts:")


class Plan(msgspec.Struct, frozen=True):
    """How to connect. ``expiry`` is in seconds; ``waiting_bytes`` bound what is read ahead."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    user: str | None
    password: str | None
    client_id: str
    is_v5: bool
    keep_alive: int
    expiry: int
    receive_maximum: int
    packet_limit: int
    waiting_bytes: int = _WAITING_BYTES

    @property
    def session(self) -> str:
        """What tells the session at the broker from all others."""
        return f"{self.client_id} {self.host}:{self.port}"


def plan_of(settings: Settings, client_id: str) -> Plan:
    """Return how to connect now; ``client_id`` is for when none is set.

    Raises:
        ConfigurationError: a file is missing, or is not what it should be.
    """
    host, port = settings.address
    return Plan(
        host=host,
        port=port,
        tls=_tls(settings) if settings.has_tls else None,
        user=settings.user or None,
        password=_password(settings) or None,
        client_id=settings.client_id or client_id,
        is_v5=settings.version is Version.V5,
        keep_alive=settings.keep_alive,
        expiry=min(int(settings.session_expiry), 0xFFFF_FFFE),
        receive_maximum=settings.receive_maximum,
        packet_limit=int(settings.packet_limit),
    )


def _password(settings: Settings) -> str:
    if not settings.password_file:
        return settings.password
    try:
        with open(settings.password_file, encoding="utf-8") as file:
            return file.read(_PASSWORD_BYTES).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"password_file in {SECTION}: {settings.password_file} can't be read ({_why(error)})."
        ) from error


def _tls(settings: Settings) -> ssl.SSLContext:
    key = "ca"
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.certificate:
            key = "certificate"
            context.load_cert_chain(settings.certificate, settings.key, password="")
    except (OSError, ValueError) as error:
        files = settings.ca if key == "ca" else f"{settings.certificate}, {settings.key}"
        raise ConfigurationError(
            f"{key} in {SECTION}: {files} can't be used ({_why(error)})."
        ) from error
    return context


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
