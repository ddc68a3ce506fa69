"""Mail addresses of people, as they write them."""

from __future__ import annotations

import re
from typing import Final

from motehub.errors import InvalidUser

MOST_CHARACTERS: Final = 254
"""Longest mail address (RFC 5321 § 4.5.3.1.3, less its angle brackets)."""

# Nothing in which a header could end or a second address begin.
_ADDRESS: Final = re.compile(r"[^\s@,;:<>()\[\]\\\"]{1,64}@[^\s@,;:<>()\[\]\\\"]+")


def check_email(email: str) -> str:
    """Return ``email`` if mails can be sent there, or "" for nowhere.

    Raises:
        InvalidUser: they can't.
    """
    email = email.strip()
    good = not email or (_ADDRESS.fullmatch(email) and len(email) <= MOST_CHARACTERS)
    if not good or not email.isprintable():
        raise InvalidUser(f"{email[:80]!r} is no mail address.")
    return email
