"""``python -m motehub.security``: make the certificates that the hub needs, then end.

Prints one line of JSON, ``{"made": [...], "reason": "..."}``; on failure one sentence on
standard error and exit status 1. With ``--list``, ``--hand-out NAME`` or ``--revoke NAME`` it
does that instead, and prints what :mod:`motehub.contracts` says of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from motehub.contracts import CertificateShape, HandedOut
from motehub.errors import CertificateError, InvalidName
from motehub.security.authority import Authority, Issued


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="motehub.security", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--name", action="append", default=[], metavar="HOST")
    parser.add_argument("--address", action="append", default=[], metavar="IP")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--hand-out", metavar="NAME")
    parser.add_argument("--revoke", metavar="NAME")
    try:
        done = _carry_out(parser.parse_args(arguments))
    except (CertificateError, InvalidName) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    return 0


def _carry_out(options: argparse.Namespace) -> object:
    authority = Authority(options.data)
    if options.list:
        return [_shown(one) for one in authority.list()]
    if options.hand_out is not None:
        return _hand_out(authority, options.hand_out)
    if options.revoke is not None:
        return _shown(authority.revoke(options.revoke))
    return authority.ensure(options.name, options.address)


def _hand_out(authority: Authority, name: str) -> HandedOut:
    """Issue a certificate whose key is nowhere but in the answer."""
    issued = authority.issue_client(name)
    key = issued.file.with_suffix(".key")
    try:
        return HandedOut(
            issued.name,
            issued.file.read_text("ascii"),
            key.read_text("ascii"),
            authority.ca_certificate.read_text("ascii"),
        )
    finally:
        key.unlink()


def _shown(issued: Issued) -> CertificateShape:
    return CertificateShape(
        issued.kind,
        issued.name,
        f"{issued.not_before:%Y-%m-%dT%H:%M:%SZ}",
        f"{issued.not_after:%Y-%m-%dT%H:%M:%SZ}",
        issued.fingerprint,
        list(dict.fromkeys(issued.san)),
    )


if __name__ == "__main__":
    sys.exit(main())
