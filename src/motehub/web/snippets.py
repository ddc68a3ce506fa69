"""Programs for a first reading, one for each kind of device, with the hub's own address in them.

The texts are in ``snippet_files``; ``{{name}}`` stands for what is put in, which is already
quoted for the language of the text. ``TOKEN`` is left in them for who has a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from ipaddress import ip_address
from shlex import quote
from typing import Final
from urllib.parse import urlsplit

import msgspec

from motehub.contracts import Listener

TOKEN: Final = "PUT-THE-TOKEN-HERE"  # noqa: S105 - where one is to be put
"""What stands in a snippet where a token is needed."""

_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")
_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")


class Reach(msgspec.Struct, frozen=True):
    """How a hub can be reached.

    ``listeners`` are its open ports by name, ``names`` the names that its certificate covers and
    ``addresses`` those of the machine in its network, which it covers too. ``ca`` is the
    authority's certificate in PEM, ``web_ca`` says that the web port shows one signed by it.
    """

    listeners: Mapping[str, Listener]
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    ca: str
    web_ca: bool


class Snippet(msgspec.Struct, frozen=True):
    """A program for a first reading, in ``language``: ``sh``, ``python`` or ``cpp``.

    Where the listener of ``section`` does not run, there is no ``code``. One that ``needs_token``
    has ``TOKEN`` where it is to be put; the device of another one waits for approval. What is
    ``local`` can't be reached from other machines.
    """

    id: str
    language: str
    section: str
    needs_token: bool
    code: str | None
    local: bool


class Origin(msgspec.Struct, frozen=True):
    """Where a browser has found the hub."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return it as browsers write it."""
        default = {"http": 80, "https": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == default else f":{self.port}")


def parse_origin(text: str) -> Origin:
    """Return where ``text`` leads, ``https://hub.example`` for instance.

    Raises:
        ValueError: that is no origin of a page.
    """
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or url.path or url.query or url.fragment or "@" in text:
        raise ValueError("an origin is http:// or https:// with a host, and a port if need be")
    host = url.hostname or ""
    if not _HOST.fullmatch(host):
        ip_address(host)
    return Origin(url.scheme, host, url.port or {"http": 80, "https": 443}[url.scheme])


def fingerprint(pem: str) -> str:
    """Return the SHA-256 of a certificate, as people compare it."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def snippets(reach: Reach, origin: Origin, device: str) -> list[Snippet]:
    """Return the snippets for a device that is to be called ``device``, seen from ``origin``."""
    web = _web_origin(reach, origin)
    secure = reach.web_ca and web.scheme == "https"
    mqtt = "mqtt_broker" if "mqtt_broker" in reach.listeners else "mqtt_broker_tls"
    ways = (
        ("esp32_records", "cpp", "esp32_records.ino", "dht_stream", False),
        ("esp32_mqtt", "cpp", "esp32_mqtt.ino", "mqtt_broker_tls", True),
        ("micropython", "python", f"micropython{'_tls' if secure else ''}.py", "web", True),
        ("raspberry_pi", "python", "raspberry_pi.py", "web", True),
        ("curl", "sh", "curl.sh", "web", True),
        ("mosquitto_pub", "sh", "mosquitto_pub.sh", mqtt, True),
        ("openssl", "sh", "openssl.sh", "dht_stream", False),
    )
    found = []
    for id_, language, file, listener, needs_token in ways:
        code, local = None, False
        if listener in reach.listeners:
            values = _values(reach, web, origin, listener, secure)
            local = _is_loopback(values.host)
            code = _filled(_text(file), _quoted(language, values, device))
        section = "web" if listener == "web" else f"transport.{listener.removesuffix('_tls')}"
        found.append(Snippet(id_, language, section, needs_token, code, local))
    return found


class _Values(msgspec.Struct, frozen=True):
    """What is put into a text: ``pem`` is empty where no certificate is to be trusted."""

    url: str
    host: str
    port: int
    pem: str


def _values(reach: Reach, web: Origin, origin: Origin, listener: str, secure: bool) -> _Values:
    if listener == "web":
        return _Values(str(web), web.host, web.port, reach.ca if secure else "")
    port = reach.listeners[listener]
    host = _host(reach, origin, port, covered=port.tls)
    return _Values("", host, port.port, reach.ca if port.tls else "")


def _web_origin(reach: Reach, origin: Origin) -> Origin:
    """Return where devices find the web port.

    That is where the browser has found it, unless that is an address that only this machine, or
    only a browser, understands.
    """
    port = reach.listeners["web"]
    secure = reach.web_ca and origin.scheme == "https"
    host = _host(reach, origin, port, covered=secure)
    if host == origin.host:
        return origin
    return Origin("https" if port.tls else "http", host, port.port)


def _host(reach: Reach, origin: Origin, listener: Listener, *, covered: bool) -> str:
    """Return under what a device reaches ``listener``, with a name that the certificate covers."""
    outside = next(iter(reach.addresses), "127.0.0.1")
    if listener.host not in _EVERYWHERE:
        return listener.host
    if _is_loopback(origin.host):
        return outside
    if covered and origin.host not in {*reach.names, *reach.addresses}:
        return outside
    return origin.host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _quoted(language: str, values: _Values, device: str) -> dict[str, str]:
    """Return what is put into a text of ``language``, by name."""
    reading = {"device": device, "metric": "temperature", "value": 21.5, "unit": "°C"}
    pem = values.pem
    if language == "sh":
        bracketed = f"[{values.host}]" if ":" in values.host else values.host
        return {
            "ca_file": f"cat > ca.crt <<'END'\n{pem}END\n" if pem else "",
            "cacert": " --cacert ca.crt" if pem else "",
            "cafile": " --cafile ca.crt" if pem else "",
            "url": quote(values.url),
            "host": quote(values.host),
            "port": str(values.port),
            "address": quote(f"{bracketed}:{values.port}"),
            "verify": f"-verify_{_kind(values.host)} {quote(values.host)}",
            "token": quote(TOKEN),
            "authorization": quote(f"Authorization: Bearer {TOKEN}"),
            "reading": quote(json.dumps(reading, ensure_ascii=False)),
            "topic": quote(f"readings/{device}/temperature"),
        }
    # What JSON and these languages have in common is all that is used.
    texts = {
        "url": values.url,
        "host": values.host,
        "token": TOKEN,
        "device": device,
        "topic": f"readings/{device}/temperature",
    }
    return {
        **{name: json.dumps(text, ensure_ascii=False) for name, text in texts.items()},
        "port": str(values.port),
        "pem": "\n".join(f'  "{line}\\n"' for line in pem.splitlines()),
        "der": "\n".join(f'    "{line}"' for line in _lines(pem)) if pem else "",
        "import_ssl": "import ssl\n" if pem else "",
        "trust": f'HUB_CA = """\n{pem}"""\n' if pem else "",
        "context": ", context=ssl.create_default_context(cadata=HUB_CA)" if pem else "",
    }


def _kind(host: str) -> str:
    try:
        ip_address(host)
    except ValueError:
        return "hostname"
    return "ip"


def _lines(pem: str) -> list[str]:
    """Return a certificate in DER as lines of Base64."""
    text = base64.b64encode(ssl.PEM_cert_to_DER_cert(pem)).decode("ascii")
    return [text[i : i + 64] for i in range(0, len(text), 64)]


@cache
def _text(file: str) -> str:
    return files("motehub.web").joinpath("snippet_files", f"{file}.txt").read_text("utf-8")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: values[found[1]], text)
