"""Signatures, checked by the specification's own library."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64encode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from motehub.webhooks.signing import key_of, pusher, standard

KEY = bytes(range(32))
SECRET = f"whsec_{b64encode(KEY).decode()}"
OTHER = f"whsec_{b64encode(KEY[::-1]).decode()}"
BODY = '{"type":"webhook.test","data":{"°":1}}'.encode()


def headers(seconds: float | None = None, *secrets: str) -> dict[str, str]:
    keys = [key_of(one) for one in secrets or (SECRET,)]
    return dict(standard(keys, "msg_1", int(seconds or time.time()), BODY))


def test_the_library_believes_it() -> None:
    """A receiver with the secret gets the message."""
    assert Webhook(SECRET).verify(BODY, headers())["type"] == "webhook.test"


def test_both_secrets_sign_while_one_follows_the_other() -> None:
    """A receiver may have either."""
    signed = headers(None, SECRET, OTHER)
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY, signed)


@pytest.mark.parametrize("change", ["secret", "body", "id", "old", "future"])
def test_what_is_wrong_is_not_believed(change: str) -> None:
    """Another secret, body, id, or a time that is not now."""
    now = time.time()
    signed = headers({"old": now - 600, "future": now + 600}.get(change))
    if change == "id":
        signed["webhook-id"] = "msg_2"
    body = BODY.replace(b"1", b"2") if change == "body" else BODY
    receiver = Webhook(OTHER if change == "secret" else SECRET)
    with pytest.raises(WebhookVerificationError):
        receiver.verify(body, signed)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", SECRET[6:], "whsec_ä", f"whsec_{b64encode(KEY[:23]).decode()}", SECRET + "AA=="],
)
def test_secrets_that_are_none(secret: str) -> None:
    """A secret is 24 to 64 bytes in base64, and is not repeated in the message."""
    with pytest.raises(ValueError, match="whsec_ and 24 to 64") as caught:
        key_of(secret)
    assert not secret or secret == "whsec_" or secret not in str(caught.value)


def test_pusher_signs_the_body_in_hex() -> None:
    """As the protocol's own webhooks do."""
    signed = dict(pusher("key", "secret", BODY))
    assert signed == {
        "X-Pusher-Key": "key",
        "X-Pusher-Signature": hmac.new(b"secret", BODY, hashlib.sha256).hexdigest(),
    }
