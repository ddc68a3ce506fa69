"""Who sends a request: the token in its headers."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qs

from motehub.contracts import KnownTokens
from motehub.model import Token

COOKIE: Final = "motehub"
"""Name of the cookie that holds the secret of a browser in which somebody is logged in."""

NO_PAGE: Final = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Policy (CSP level 3) of answers that are no pages, should a browser take one for such."""

FindToken = Callable[[str, int], Token | None]
"""Returns the token of a secret that is good at a time (UTC µs); ``Tokens.find``."""


class Pass:
    """A token that was good when it was shown, and whether it still is."""

    __slots__ = ("_edition", "_tokens", "token")

    def __init__(self, tokens: KnownTokens, token: Token) -> None:
        self._tokens = tokens
        self._edition = tokens.edition
        self.token = token

    def is_good(self, now: int) -> bool:
        """Tell whether the token is still the same at ``now`` (UTC µs)."""
        expires = self.token.expires
        return self._edition == self._tokens.edition and (expires is None or now < expires)


def secret_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the secret of ``Authorization: Bearer`` (RFC 6750 § 2.1), if there is one.

    InfluxDB's clients write ``Token`` for it, or give the secret as the password of a user whose
    name means nothing (Basic, RFC 7617).
    """
    scheme, _, rest = headers.get(b"authorization", b"").partition(b" ")
    match scheme.lower():
        case b"bearer" | b"token":
            # No token has surrogates in it, so bytes that are no UTF-8 match none.
            return rest.strip().decode("utf-8", "surrogateescape") or None
        case b"basic":
            return _password(rest.strip())
        case _:
            return None


def secret_of_cookie(headers: Mapping[bytes, bytes]) -> str:
    """Return the secret of a browser in which somebody is logged in (RFC 6265 § 5.4), or ""."""
    for pair in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return ""


def secret_of_query(query: bytes) -> str | None:
    """Return the password in a query, ``?u=…&p=…``, as InfluxDB 1 takes it."""
    if b"p=" not in query:
        return None
    found = parse_qs(query.decode("ascii", "replace")).get("p")
    return found[0] if found else None


def _password(credentials: bytes) -> str | None:
    try:
        plain = b64decode(credentials, validate=True)
    except binascii.Error:
        return None
    return plain.partition(b":")[2].decode("utf-8", "replace") or None
