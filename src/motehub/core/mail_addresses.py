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
    if not email or (is_address(email) and plain_address(email) == email):
        return email
    local = email.rpartition("@")[0]
    if local and not local.isascii():
        raise InvalidUser(
            f"No mail can go to {email[:80]!r}: before the @ there are letters without accents, "
            "since many servers take no others."
        )
    raise InvalidUser(f"{email[:80]!r} is no mail address.")
