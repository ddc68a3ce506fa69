"""Signatures, against those of the library ``pusher`` and the published examples."""

from __future__ import annotations

import json
import time

import pusher  # type: ignore[import-untyped]
import pytest

from motehub.protocols.pusher.signatures import (
    body_md5,
    channel_auth,
    is_signature,
    request_signature,
    sign_bytes,
    signed_query,
    user_auth,
    why_denied,
)

KEY, SECRET = "278d425bdf160c739803", "7ad3773142a6692b25b8"
NOW = 1_795_215_909

library = pusher.Pusher(app_id="3", key=KEY, secret=SECRET)


def test_channels_are_signed_as_the_library_does() -> None:
    """Also presence channels, over the exact text of who is there."""
    assert library.authenticate("private-é".replace("é", "e"), "1234.1234") == {
        "auth": channel_auth(KEY, SECRET, "1234.1234", "private-e")
    }
    given = library.authenticate("presence-a", "1.2", {"user_id": "10", "user_info": {"n": "é"}})
    data = given["channel_data"]
    assert given["auth"] == channel_auth(KEY, SECRET, "1.2", "presence-a", data)
    # The example of the hosted service's documentation.
    assert (
        channel_auth(KEY, SECRET, "1234.1234", "private-foobar")
        == "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    )


def test_users_are_signed_as_the_library_does() -> None:
    """Over the exact text of who it is."""
    given = library.authenticate_user("1.2", {"id": "ann"})
    assert given["auth"] == user_auth(KEY, SECRET, "1.2", given["user_data"])


def test_webhooks_are_signed_as_the_library_checks_them() -> None:
    """Over the bytes of the body."""
    body = json.dumps({"time_ms": int(time.time() * 1000), "events": []})
    assert library.validate_webhook(KEY, sign_bytes(SECRET, body.encode()), body)
    assert library.validate_webhook(KEY, sign_bytes(SECRET, body.encode() + b" "), body) is None


def test_the_documented_request_has_the_documented_signature() -> None:
    """The example of the hosted service's documentation of its HTTP API."""
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    query = {
        "auth_key": KEY,
        "auth_timestamp": "1353088179",
        "auth_version": "1.0",
        "body_md5": "ec365a775a4cd0599faeb73354201b6f",
    }
    assert body_md5(body) == query["body_md5"]
    assert (
        request_signature(SECRET, "POST", "/apps/3/events", query)
        == "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
    )


def signed(now: int = NOW) -> dict[str, str]:
    return signed_query(KEY, SECRET, "POST", "/apps/3/events", {"info": "a,b"}, b"body", now)


def denied(query: dict[str, str], path: str = "/apps/3/events", method: str = "POST") -> str | None:
    return why_denied(KEY, SECRET, method, path, query, NOW)


def test_a_right_request_is_let_in() -> None:
    """Within ten minutes of our clock, in either direction."""
    for now in (NOW, NOW - 600, NOW + 600):
        assert denied(signed(now)) is None


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({}, "auth_key"),
        (signed() | {"auth_key": "other"}, "auth_key"),
        (signed() | {"auth_version": "2.0"}, "auth_version"),
        (signed(NOW - 601), "601 s off"),
        (signed(NOW + 601), "clock"),
        (signed() | {"auth_timestamp": "now"}, "auth_timestamp"),
        (signed() | {"auth_timestamp": "-1"}, "auth_timestamp"),
        (signed() | {"auth_timestamp": "٣"}, "auth_timestamp"),
        (signed() | {"auth_timestamp": str(NOW - 1)}, "auth_signature"),
        (signed() | {"info": "a"}, "auth_signature"),
        (signed() | {"more": "1"}, "auth_signature"),
        (signed() | {"body_md5": body_md5(b"other")}, "auth_signature"),
        (signed() | {"auth_signature": ""}, "auth_signature"),
        (signed() | {"auth_signature": "é"}, "auth_signature"),
        (signed() | {"auth_signature": "\ud800"}, "auth_signature"),
        (
            signed_query(KEY, "other secret", "POST", "/apps/3/events", {}, b"", NOW),
            "auth_signature",
        ),
    ],
)
def test_a_wrong_request_is_denied(query: dict[str, str], reason: str) -> None:
    """And told what is wrong with it."""
    found = denied(query)
    assert found is not None
    assert reason in found


def test_a_signature_is_for_one_address() -> None:
    """Another path or method needs another."""
    assert denied(signed(), path="/apps/3/batch_events")
    assert denied(signed(), method="GET")
    assert is_signature("a", "a")
    assert not is_signature("a", "b")
