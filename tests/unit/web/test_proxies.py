"""Who asks, where a proxy stands between."""

from __future__ import annotations

from typing import Any

import pytest

from motehub.web.proxies import Proxies, parse_proxies

PROXIES = Proxies(parse_proxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]))


def scope(client: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "client": (client, 1234), "scheme": "http", "headers": list(headers)}


@pytest.mark.parametrize(
    ("client", "forwarded", "address"),
    [
        pytest.param("127.0.0.1", [b"203.0.113.9"], "203.0.113.9", id="one proxy"),
        pytest.param("127.0.0.1", [b"1.2.3.4, 203.0.113.9"], "203.0.113.9", id="a lie before it"),
        pytest.param("127.0.0.1", [b"203.0.113.9, 10.1.2.3"], "203.0.113.9", id="two proxies"),
        pytest.param("127.0.0.1", [b"203.0.113.9", b"10.1.2.3"], "203.0.113.9", id="two headers"),
        pytest.param("127.0.0.1", [b"10.1.2.3"], "10.1.2.3", id="a proxy itself"),
        pytest.param("127.0.0.1", [b"203.0.113.9:55"], "203.0.113.9", id="a port"),
        pytest.param("fd00::1", [b"[2001:db8::1]:55"], "2001:db8::1", id="IPv6"),
        pytest.param("::ffff:127.0.0.1", [b"203.0.113.9"], "203.0.113.9", id="IPv4 in IPv6"),
        pytest.param("127.0.0.1", [b"1.2.3.4, unknown"], "127.0.0.1", id="not an address"),
        pytest.param("127.0.0.1", [], "127.0.0.1", id="nothing said"),
        pytest.param("203.0.113.7", [b"1.2.3.4"], "203.0.113.7", id="no proxy of ours"),
        pytest.param("", [b"1.2.3.4"], "", id="no address"),
    ],
)
def test_the_last_that_is_no_proxy_asks(client: str, forwarded: list[bytes], address: str) -> None:
    """What proxies of the owner's have noted is believed, and nothing else."""
    headers = [(b"x-forwarded-for", one) for one in forwarded]
    assert PROXIES.behind(scope(client, *headers))["client"][0] == address
    lines = b"".join(b"X-Forwarded-For: %b\r\n" % one for one in forwarded)
    head = b"GET /mqtt HTTP/1.1\r\nHost: hub\r\n%b\r\nX-Forwarded-For: 9.9.9.9\r\n" % lines
    assert PROXIES.before(client, head) == (address if PROXIES.has(client) else None)


def test_tls_at_the_proxy() -> None:
    """A browser that spoke TLS to the proxy gets cookies that need it."""
    told = (b"x-forwarded-proto", b"https")
    assert PROXIES.behind(scope("127.0.0.1", told))["scheme"] == "https"
    assert PROXIES.behind(scope("203.0.113.7", told))["scheme"] == "http"
    assert PROXIES.behind(scope("127.0.0.1", (told[0], b"gopher")))["scheme"] == "http"


def test_none_by_default() -> None:
    """Without proxies nobody is believed."""
    told = scope("127.0.0.1", (b"x-forwarded-for", b"1.2.3.4"))
    assert Proxies(()).behind(told) is told
