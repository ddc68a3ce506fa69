"""The names and addresses under which this machine can be reached, from the kernel alone.

Nothing is sent to another machine and no name server is asked, so it works, and is quick, with
no network at all. Linux lists every interface; elsewhere only the addresses of the default
routes are known.
"""

from __future__ import annotations

import array
import contextlib
import ipaddress
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from motehub.errors import CertificateError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Documentation addresses (RFC 5737, RFC 3849): never on a real interface, always off-link.
_ELSEWHERE = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8::1"}

# From linux/sockios.h, linux/if.h and linux/if_addr.h.
_SIOCGIFCONF = 0x8912
_SIOCGIFFLAGS = 0x8913
_IFF_UP_AND_RUNNING = 0x1 | 0x40
_IFREQ_NAME = 16
_IFREQ_SIZE = _IFREQ_NAME + (24 if struct.calcsize("P") == 8 else 16)
_MOST_ADDRESSES = 256

# An address that is temporary (RFC 8981) changes every day; one that failed its duplicate check,
# is deprecated or is still tentative should not be dialled.
_IFA_TEMPORARY, _IFA_DADFAILED, _IFA_DEPRECATED, _IFA_TENTATIVE = 0x01, 0x08, 0x20, 0x40
_IFA_UNSUITABLE = _IFA_TEMPORARY | _IFA_DADFAILED | _IFA_DEPRECATED | _IFA_TENTATIVE

HOST_NAME = re.compile(
    r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}", re.IGNORECASE
)


class Host(msgspec.Struct, frozen=True):
    """Where this machine can be reached.

    ``names`` are host names, ``addresses`` those of the LAN (no loopback, no link-local), the
    main one of each family first; ``main`` is the IPv4 address of the default route, ``None``
    when there is none.
    """

    names: tuple[str, ...]
    addresses: tuple[Address, ...]
    main: ipaddress.IPv4Address | None


def this_host() -> Host:
    """Return the names and addresses of this machine as they are now; never raises."""
    main = _towards_elsewhere(socket.AF_INET)
    main6 = _towards_elsewhere(socket.AF_INET6)
    found: list[Address] = []
    for address in (main, *_ipv4_addresses(), main6, *_ipv6_addresses()):
        if address is not None and _is_reachable(address) and address not in found:
            found.append(address)
    return Host(
        names=_names(socket.gethostname()),
        addresses=tuple(found),
        main=next((a for a in found if a == main and a.version == 4), None),
    )


def _names(hostname: str) -> tuple[str, ...]:
    """Return ``hostname``, its first label and that label in ``.local`` (RFC 6762, mDNS)."""
    hostname = hostname.strip().rstrip(".").lower()
    short = hostname.partition(".")[0]
    if not short or short == "localhost":
        return ("localhost",)
    return tuple(dict.fromkeys((hostname, short, f"{short}.local", "localhost")))


def _is_reachable(address: Address) -> bool:
    """Tell whether another machine of the LAN could dial ``address``."""
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


def _towards_elsewhere(family: socket.AddressFamily) -> Address | None:
    """Return the address from which this machine would talk to the world; sends nothing.

    Connecting a UDP socket makes the kernel choose a route and a source address, no more.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[family], 9))
            return ipaddress.ip_address(probe.getsockname()[0])
    except OSError:
        return None


def _ipv4_addresses() -> Iterator[Address]:
    """Yield the IPv4 addresses of all interfaces that are up and have a carrier (Linux)."""
    if sys.platform != "linux":
        return
    import fcntl

    space = array.array("B", bytes(_IFREQ_SIZE * _MOST_ADDRESSES))
    start, _ = space.buffer_info()
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, _SIOCGIFCONF, struct.pack("iP", len(space), start))
        used = struct.unpack("iP", answer)[0]
        for at in range(0, used, _IFREQ_SIZE):
            request = space[at : at + _IFREQ_SIZE].tobytes()
            # struct sockaddr_in after the name: family, port, then the four bytes.
            address = ipaddress.IPv4Address(request[_IFREQ_NAME + 4 : _IFREQ_NAME + 8])
            if _is_running(probe, request[:_IFREQ_NAME]):
                yield address


def _is_running(probe: socket.socket, interface: bytes) -> bool:
    """Tell whether an interface is up and connected; a bridge with no member is not."""
    import fcntl

    try:
        answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, interface.ljust(_IFREQ_SIZE, b"\0"))
    except OSError:
        return False
    flags: int = struct.unpack_from("H", answer, _IFREQ_NAME)[0]
    return flags & _IFF_UP_AND_RUNNING == _IFF_UP_AND_RUNNING


def _ipv6_addresses(table: Path = Path("/proc/net/if_inet6")) -> Iterator[Address]:
    """Yield the lasting IPv6 addresses of all interfaces, from the kernel's own table (Linux)."""
    try:
        lines = table.read_text("ascii").splitlines()
    except OSError:
        return
    for line in lines:
        # address, interface index, prefix length, scope, flags, interface name
        fields = line.split()
        if len(fields) == 6 and not int(fields[4], 16) & _IFA_UNSUITABLE:
            yield ipaddress.IPv6Address(bytes.fromhex(fields[0]))


def parse_address(text: str) -> Address:
    """Return an IP address; raise CertificateError when ``text`` is none."""
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        raise CertificateError(f"{text!r} is not an IPv4 or IPv6 address.") from None


def parse_host_name(text: str) -> str:
    """Return a host name in ASCII and lower case; raise CertificateError when ``text`` is none."""
    try:
        name = text.strip().rstrip(".").lower().encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if len(name) > 253 or not HOST_NAME.fullmatch(name):
        raise CertificateError(f"{text!r} is not a host name: use letters, digits, '-' and dots.")
    return name
