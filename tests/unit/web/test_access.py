"""Secrets in requests, in every form that clients give them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from motehub.web.access import secret_of, secret_of_query


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        (b"Bearer mh_abc", "mh_abc"),
        (b"bearer  mh_abc ", "mh_abc"),
        (b"Token mh_abc", "mh_abc"),
        (b"Basic " + b64encode(b"anybody:mh_abc"), "mh_abc"),
        (b"Basic " + b64encode(b":with:colons"), "with:colons"),
        (b"Bearer schl\xc3\xbcssel", "schlüssel"),
        (b"Bearer \xff", "\udcff"),
        (b"Bearer ", None),
        (b"Bearer", None),
        (b"Basic not base64!", None),
        (b"Basic " + b64encode(b"nobody"), None),
        (b"Digest mh_abc", None),
        (b"", None),
    ],
)
def test_the_secret_of_a_header(header: bytes, secret: str | None) -> None:
    """Bearer, Token and the password of Basic; anything else is none."""
    assert secret_of({b"authorization": header}) == secret


@pytest.mark.parametrize(
    ("query", "secret"),
    [
        (b"db=lab&u=me&p=mh_abc", "mh_abc"),
        (b"p=a%20b%C3%BC", "a bü"),
        (b"p=", None),
        (b"db=p=", None),
        (b"\xff=1&p=x", "x"),
        (b"", None),
    ],
)
def test_the_secret_of_a_query(query: bytes, secret: str | None) -> None:
    """InfluxDB 1 takes it as the parameter p."""
    assert secret_of_query(query) == secret
