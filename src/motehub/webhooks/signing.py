"""Signatures of webhooks, so that receivers can tell who sent them.

``standard`` follows the Standard Webhooks specification, version 1.0: the headers
``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``. ``pusher`` is that of Pusher
Channels' own webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
"""What the text of a secret begins with."""

# § "Signature scheme" of the specification.
_KEY_BYTES: Final = (24, 64)

Headers = list[tuple[str, str]]


def key_of(secret: str) -> bytes:
    """Return the key in a secret: ``whsec_`` and base64 of 24 to 64 bytes.

    Raises:
        ValueError: it is not so; the secret is not repeated.
    """
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    least, most = _KEY_BYTES
    if not secret.startswith(PREFIX) or not least <= len(key) <= most:
        raise ValueError(
            f"must be {PREFIX} and {least} to {most} random bytes in base64: "
            "'motehub webhooks secret' makes one"
        )
    return key


def standard(keys: Sequence[bytes], message: str, seconds: int, body: bytes) -> Headers:
    """Return the headers of ``body`` as message number ``message``, sent at ``seconds`` (UTC).

    There is a signature for each key, so that a receiver may change over from one to the next.
    """
    signed = f"{message}.{seconds}.".encode() + body
    signatures = (b64encode(_sign(key, signed)).decode() for key in keys)
    return [
        ("webhook-id", message),
        ("webhook-timestamp", str(seconds)),
        ("webhook-signature", " ".join(f"v1,{one}" for one in signatures)),
    ]


def pusher(key: str, secret: str, body: bytes) -> Headers:
    """Return the headers of a webhook of the application with this key and secret."""
    return [
        ("X-Pusher-Key", key),
        ("X-Pusher-Signature", _sign(secret.encode(), body).hex()),
    ]


def _sign(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, hashlib.sha256)
