"""Where the snippets for a first reading lead, and what names do to them."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Final

import pytest

from motehub.contracts import Listener
from motehub.web.snippets import Reach, Snippet, fingerprint, parse_origin, snippets

CA: Final = """-----BEGIN CERTIFICATE-----
bm8gY2VydGlmaWNhdGUsIGJ1dCBsb25nIGVub3VnaCBmb3IgbW9yZSB0aGFuIG9uZSBsaW5lIG9m
IHRleHQgaW4gQmFzZTY0
-----END CERTIFICATE-----
"""
PORTS: Final = {
    "dht_stream": Listener("0.0.0.0", 8090, tls=True),
    "mqtt_broker": Listener("0.0.0.0", 1883, tls=False),
    "mqtt_broker_tls": Listener("0.0.0.0", 8883, tls=True),
    "web": Listener("0.0.0.0", 8080, tls=False),
}
SECURE: Final = {**PORTS, "web": Listener("0.0.0.0", 8443, tls=True)}


def made(
    origin: str, device: str = "attic", *, ports: dict[str, Listener] = PORTS, web_ca: bool = False
) -> dict[str, Snippet]:
    reach = Reach(ports, ("pi.local", "localhost"), ("192.168.1.20",), CA, web_ca)
    return {one.id: one for one in snippets(reach, parse_origin(origin), device)}


def code(snippet: Snippet) -> str:
    assert snippet.code is not None
    return snippet.code


def test_the_address_is_the_one_that_the_browser_used() -> None:
    """A name that leads a browser here leads devices here, to the ports that are open."""
    found = made("http://pi.local:8080")
    assert "curl http://pi.local:8080/api/v1/readings" in code(found["curl"])
    assert "-h pi.local -p 1883" in code(found["mosquitto_pub"])
    assert "-connect pi.local:8090" in code(found["openssl"])
    assert "-verify_hostname pi.local" in code(found["openssl"])
    assert not any(one.local for one in found.values())


def test_localhost_is_nobody_elses_address() -> None:
    """Who looks on the hub's own machine gets the address that devices need."""
    for origin in ("http://localhost:8080", "http://127.0.0.1:9999", "http://[::1]:8080"):
        found = made(origin)
        assert "http://192.168.1.20:8080/" in code(found["curl"])
        assert 'HUB = "192.168.1.20";' in code(found["esp32_records"])


def test_what_listens_on_one_address_is_reached_there() -> None:
    """A port on this machine only is said to be one."""
    ports = {**PORTS, "dht_stream": Listener("127.0.0.1", 8090, tls=True)}
    found = made("http://pi.local:8080", ports=ports)
    assert "-connect 127.0.0.1:8090" in code(found["openssl"])
    assert found["openssl"].local
    assert not found["curl"].local


def test_a_name_that_the_certificate_lacks_is_not_verified_against_it() -> None:
    """Where TLS must fit, devices get an address that it covers; elsewhere the name stays."""
    found = made("http://hub.example:8080")
    assert "-h hub.example" in code(found["mosquitto_pub"])
    assert "-connect 192.168.1.20:8090" in code(found["openssl"])


def test_behind_a_proxy_the_web_is_where_the_proxy_is() -> None:
    """The origin of the page is what devices post to, and it is trusted as the web is."""
    found = made("https://hub.example")
    assert "curl https://hub.example/api/v1/readings" in code(found["curl"])
    assert "--cacert" not in code(found["curl"])
    assert "requests.post" in code(found["micropython"])


def test_a_web_port_with_the_hubs_certificate_is_verified() -> None:
    """With web.tls = "auto" every snippet brings the certificate along."""
    found = made("https://pi.local:8443", ports=SECURE, web_ca=True)
    assert "--cacert ca.crt https://pi.local:8443/" in code(found["curl"])
    assert CA in code(found["curl"])
    assert "cadata=HUB_CA" in code(found["raspberry_pi"])
    assert "wrap_socket" in code(found["micropython"])
    other = made("https://hub.example:8443", ports=SECURE, web_ca=True)
    assert "https://192.168.1.20:8443/" in code(other["curl"])


def test_what_is_off_has_no_code() -> None:
    """Instead it has the section that switches it on."""
    found = made("http://pi.local:8080", ports={"web": PORTS["web"]})
    assert {one.id: one.section for one in found.values() if one.code is None} == {
        "esp32_records": "transport.dht_stream",
        "esp32_mqtt": "transport.mqtt_broker",
        "mosquitto_pub": "transport.mqtt_broker",
        "openssl": "transport.dht_stream",
    }


@pytest.mark.parametrize("device", ["it's", 'say "hi"', "$(reboot)", "a\\n", "été 🌡", "{{port}}"])
def test_names_are_only_names(device: str) -> None:
    """Whatever a device is called, it is one text in each language."""
    found = made("http://pi.local:8080", device)
    words = shlex.split(code(found["curl"]))
    assert json.loads(words[words.index("-d") + 1])["device"] == device
    words = shlex.split(code(found["mosquitto_pub"]))
    assert words[words.index("-t") + 1] == f"readings/{device}/temperature"
    for id_ in ("raspberry_pi", "micropython"):
        texts = {one.value for one in ast.walk(ast.parse(code(found[id_])))
                 if isinstance(one, ast.Constant)}  # fmt: skip
        assert device in texts
    line = next(one for one in code(found["esp32_mqtt"]).splitlines() if "TOPIC =" in one)
    assert json.loads(line.partition("= ")[2].rstrip(";")) == f"readings/{device}/temperature"


@pytest.mark.parametrize(
    "text",
    ["", "hub", "ftp://hub", "http://", "http://a/b", "http://u@h", "http://a b", "http://h:x"],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    """Only what a browser calls an origin is put into code."""
    with pytest.raises(ValueError, match=r".+"):
        parse_origin(text)


def test_the_fingerprint_is_openssls() -> None:
    """It has the form in which other programs show it."""
    digits = fingerprint(CA).split(":")
    assert len(digits) == 32
    assert all(len(one) == 2 and one == one.upper() for one in digits)
