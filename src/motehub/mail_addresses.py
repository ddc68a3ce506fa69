"""Addresses of people, to which mails go."""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import Final

MOST_CHARACTERS: Final = 254
"""Longest address (RFC 5321 § 4.5.3.1.3, less its angle brackets)."""

_LABEL: Final = re.compile(r"[^\s@,;:<>()\[\]\\\"]+")


def is_address(text: str) -> bool:
    """Tell whether ``text`` can be the address of a person, alone or as in ``Name <address>``."""
    if not text.isprintable() or len(text) > MOST_CHARACTERS:
        return False
    plain = parseaddr(text)[1]
    before = text.removesuffix(f"<{plain}>") if text != plain else ""
    if before == text or set(before) & set("<>@"):
        # More than one address, or something behind it.
        return False
    local, at, domain = plain.rpartition("@")
    return bool(at and _LABEL.fullmatch(local) and _LABEL.fullmatch(domain))


def plain_address(text: str) -> str:
    """Return the address in ``Name <address>``, or in an address alone."""
    return parseaddr(text)[1]
