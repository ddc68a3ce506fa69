"""Where mails to people go."""

from __future__ import annotations

from motehub.errors import InvalidUser
from motehub.mail_addresses import is_address, plain_address


def check_email(email: str) -> str:
    """Return ``email`` if mails to one person can be sent there, or "" for nowhere.

    Raises:
        InvalidUser: they can't.
    """
    email = email.strip()
    if email and not (is_address(email) and plain_address(email) == email):
        raise InvalidUser(f"{email[:80]!r} is no mail address.")
    return email
