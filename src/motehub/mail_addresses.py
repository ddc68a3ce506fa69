"""Addresses of people, to which mails go.

Before the @ are ASCII characters (RFC 5321 § 4.1.2, without quotes): others need SMTPUTF8 (RFC
6531) of every server on the way, which many don't have, and what can't arrive is better refused
when it is written down. Behind it a name may be in any script; servers get its ASCII form (RFC
5890).
"""

from __future__ import annotations

import re
import unicodedata
from email.utils import parseaddr
from typing import Final

MOST_CHARACTERS: Final = 254
"""Longest address (RFC 5321 § 4.5.3.1.3, less its angle brackets)."""

_MOST_LOCAL: Final = 64
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*")
# Names in local networks have underscores.
_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def is_address(text: str) -> bool:
    """Tell whether ``text`` can be the address of a person, alone or as in ``Name <address>``."""
    if not text.isprintable() or len(text) > MOST_CHARACTERS:
        return False
    plain = parseaddr(text)[1]
    before = text.removesuffix(f"<{plain}>") if text != plain else ""
    if before == text or set(before) & set("<>@"):
        # More than one address, or something behind it.
        return False
    return sent_as(plain) is not None


def plain_address(text: str) -> str:
    """Return the address in ``Name <address>``, or in an address alone."""
    return parseaddr(text)[1]


def sent_as(plain: str) -> str | None:
    """Return an address without a name as servers get it, in ASCII; None for what is none."""
    local, _, domain = plain.rpartition("@")
    host = _in_ascii(domain)
    if len(local) > _MOST_LOCAL or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(host):
        return None
    address = f"{local}@{host}"
    return address if len(address) <= MOST_CHARACTERS else None


def _in_ascii(domain: str) -> str:
    """Return a domain in its ASCII form, "" if it has none that is certain."""
    if domain.isascii():
        return domain
    try:
        found = unicodedata.normalize("NFC", domain).lower()
        host = found.encode("idna").decode("ascii")
        # What other rules write otherwise (ß) would lead to somebody else's server.
        return host if host.encode().decode("idna") == found else ""
    except UnicodeError:
        return ""
