"""A host that is always the same, and its authority."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from motehub.security.addresses import Host
from motehub.security.authority import Authority


@pytest.fixture
def host() -> Host:
    """A machine on a home network with both families."""
    main = IPv4Address("192.168.7.20")
    return Host(("hub", "hub.local"), (main, IPv6Address("2001:db8:7::20")), main)


@pytest.fixture
def authority(tmp_path: Path, host: Host) -> Authority:
    """An authority that has made nothing yet."""
    return Authority(tmp_path / "data", host)
