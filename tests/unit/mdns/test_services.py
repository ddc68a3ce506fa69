"""What is announced of which listener, and names that can't be."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from motehub.config import load_tree
from motehub.contracts import Listener
from motehub.errors import ConfigurationError
from motehub.mdns.services import services
from motehub.mdns.settings import MdnsSettings

FOUR, SIX = ip_address("192.0.2.7"), ip_address("2001:db8::7")


@pytest.mark.parametrize(
    ("host", "at"),
    [
        ("0.0.0.0", (FOUR,)),
        ("", (FOUR, SIX)),
        ("::", (FOUR, SIX)),
        ("192.0.2.7", (FOUR,)),
        ("2001:db8::7", (SIX,)),
        ("127.0.0.1", ()),
        ("hub.example", ()),
    ],
)
def test_a_port_is_announced_where_it_can_be_reached(host: str, at: tuple[object, ...]) -> None:
    """A listener is announced at those addresses of the machine on which it listens."""
    found = services({"mqtt_broker": Listener(host, 1883, tls=False)}, (FOUR, SIX), "1.0")
    assert [one.addresses for one in found] == ([at] if at else [])


def test_a_page_over_tls_is_another_kind_of_service() -> None:
    """With TLS the pages are announced as https, and the hub's own service says so."""
    found = services({"web": Listener("", 8443, tls=True)}, (FOUR,), "1.0")
    assert [one.kind for one in found] == ["_https._tcp.local.", "_motehub._tcp.local."]
    assert dict(found[1].said) == {"path": "/", "version": "1.0", "tls": "1"}


@pytest.mark.parametrize("name", ["", "-hub", "hub.local", "Hub", "h" * 61, "hüb", "hub name"])
def test_a_name_that_is_no_host_name_is_refused(name: str) -> None:
    """The configuration says which names can be, before anything is announced."""
    with pytest.raises(ConfigurationError, match=r"mdns.*is no host name"):
        load_tree({"mdns": {"name": name}}, "x.toml", {})


def test_an_interface_is_an_address() -> None:
    """The name of an interface is refused with a sentence, since addresses are meant."""
    with pytest.raises(ConfigurationError, match="interfaces"):
        load_tree({"mdns": {"interfaces": ["eth0"]}}, "x.toml", {})


def test_it_is_active_unless_switched_off() -> None:
    """The name is answered to by default, where zeroconf is installed."""
    assert MdnsSettings().active
    assert not MdnsSettings(enabled=False).active
