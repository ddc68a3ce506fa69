"""The host's names and addresses come from the kernel alone."""

import ipaddress
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from motehub.security import addresses
from motehub.security.addresses import this_host

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="interfaces are listed on Linux only")


def test_every_address_is_one_of_this_machine() -> None:
    """A socket can be bound to each address that is reported."""
    for address in this_host().addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))


def test_only_addresses_that_others_can_dial() -> None:
    """Loopback and link-local addresses are left out, and none comes twice."""
    found = this_host().addresses
    assert not [a for a in found if a.is_loopback or a.is_link_local or a.is_unspecified]
    assert len(set(found)) == len(found)


def test_main_address_is_the_first() -> None:
    """The main address, where there is one, is an IPv4 address at the head of the list."""
    host = this_host()
    if host.main is None:
        assert not any(a == host.main for a in host.addresses)
    else:
        assert host.addresses[0] == host.main


def test_names() -> None:
    """A full name also gives its first label, that label in .local, and localhost."""
    full = ("hub.example.org", "hub", "hub.local", "localhost")
    assert addresses._names("Hub.example.org.") == full
    assert addresses._names("hub") == ("hub", "hub.local", "localhost")
    assert addresses._names("localhost.localdomain") == ("localhost",)


def test_ipv6_table(tmp_path: Path) -> None:
    """Temporary, deprecated and tentative addresses are left out of the kernel's table."""
    table = tmp_path / "if_inet6"
    table.write_text(
        "20010db8000000000000000000000001 02 40 00 80     eth0\n"
        "20010db8000000000000000000000002 02 40 00 01     eth0\n"
        "20010db8000000000000000000000003 02 40 00 20     eth0\n"
        "20010db8000000000000000000000004 02 40 00 c0     eth0\n"
    )
    assert list(addresses._ipv6_addresses(table)) == [ipaddress.ip_address("2001:db8::1")]


def test_no_ipv6(tmp_path: Path) -> None:
    """A kernel without IPv6 has no table, which is no error."""
    assert list(addresses._ipv6_addresses(tmp_path / "missing")) == []


@LINUX
def test_without_any_network() -> None:
    """In a network namespace of its own, with every interface down, nothing fails."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs the unshare program")
    isolated = [unshare, "--map-root-user", "--net"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us make a network namespace")
    program = "from motehub.security.addresses import this_host as h; print(h())"
    done = subprocess.run(
        [*isolated, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "addresses=(), main=None" in done.stdout


@LINUX
def test_agrees_with_the_ip_program() -> None:
    """Every global IPv4 address that the kernel's own tool shows on a live interface is found."""
    ip = shutil.which("ip")
    if ip is None:
        pytest.skip("needs the ip program")
    shown = subprocess.run(
        [ip, "-4", "-o", "address", "show", "up", "scope", "global"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    links = subprocess.run([ip, "-o", "link"], capture_output=True, text=True, check=True).stdout
    idle = {
        line.split(": ")[1].split("@")[0] for line in links.splitlines() if "NO-CARRIER" in line
    }
    fields = [line.split() for line in shown.splitlines()]
    expected = {
        ipaddress.ip_address(field[3].partition("/")[0]) for field in fields if field[1] not in idle
    }
    assert expected == {a for a in this_host().addresses if a.version == 4}
