"""What is signed with an application's secret, and how: HMAC-SHA256, in hexadecimal."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

MOST_SECONDS: Final = 600
"""How far the time of a signed request may be from ours, in seconds."""

VERSION: Final = "1.0"
"""What ``auth_version`` says."""

_TIME: Final = re.compile(r"[0-9]{1,12}")


def sign(secret: str, text: str) -> str:
    """Return the signature of ``text``; it may have surrogates in it, as no right one has."""
    return sign_bytes(secret, text.encode("utf-8", "surrogatepass"))


def sign_bytes(secret: str, data: bytes) -> str:
    """Return the signature of ``data``: that of a webhook's body, for instance."""
    return hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()


def is_signature(found: str, wanted: str) -> bool:
    """Compare two of them in a time that says nothing about either."""
    return hmac.compare_digest(found.encode("utf-8", "surrogatepass"), wanted.encode())


def channel_auth(
    key: str, secret: str, socket_id: str, channel: str, channel_data: str | None = None
) -> str:
    """Return what lets the socket subscribe to a private channel, as ``channel_data`` says."""
    text = f"{socket_id}:{channel}"
    if channel_data is not None:
        text += f":{channel_data}"
    return f"{key}:{sign(secret, text)}"


def user_auth(key: str, secret: str, socket_id: str, user_data: str) -> str:
    """Return what lets the socket sign in as the user of ``user_data``."""
    return f"{key}:{sign(secret, f'{socket_id}::user::{user_data}')}"


def request_signature(secret: str, method: str, path: str, query: Mapping[str, str]) -> str:
    """Return ``auth_signature`` of a request; ``query`` is what else its query says, decoded."""
    return sign(secret, f"{method}\n{path}\n{_in_order(query)}")


def signed_query(
    key: str, secret: str, method: str, path: str, query: Mapping[str, str], body: bytes, now: int
) -> dict[str, str]:
    """Return the whole query of a request that is signed at ``now`` (s)."""
    whole = dict(query) | {
        "auth_key": key,
        "auth_timestamp": str(now),
        "auth_version": VERSION,
    }
    if body:
        whole["body_md5"] = body_md5(body)
    return whole | {"auth_signature": request_signature(secret, method, path, whole)}


def why_denied(
    key: str, secret: str, method: str, path: str, query: Mapping[str, str], now: float
) -> str | None:
    """Return why a request is not of who has the secret, or None; ``now`` in s.

    That its body is the one of ``body_md5`` is for the caller to check, once it is here.
    """
    rest = {name: value for name, value in query.items() if name != "auth_signature"}
    if query.get("auth_key") != key:
        return "auth_key is not the key of this application"
    if query.get("auth_version") != VERSION:
        return f"auth_version must be {VERSION}"
    time = query.get("auth_timestamp", "")
    if not _TIME.fullmatch(time):
        return "auth_timestamp must be the time in seconds since 1970"
    if abs(int(time) - now) > MOST_SECONDS:
        return (
            f"auth_timestamp is {abs(int(time) - now):.0f} s off, and may be {MOST_SECONDS}: "
            "set the clock of the sender"
        )
    wanted = request_signature(secret, method, path, rest)
    if not is_signature(query.get("auth_signature", ""), wanted):
        return "auth_signature is wrong: is it made with this application's secret?"
    return None


def body_md5(body: bytes) -> str:
    """Return what stands for a body in the query; MD5 is the protocol's choice."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _in_order(query: Mapping[str, str]) -> str:
    """Return the query as it is signed: names in lower case and sorted, nothing encoded."""
    lower = {name.lower(): value for name, value in query.items()}
    return "&".join(f"{name}={lower[name]}" for name in sorted(lower))
