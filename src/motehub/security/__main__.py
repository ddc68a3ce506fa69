"""``python -m motehub.security``: make the certificates that the hub needs, then end.

Prints one line of JSON, ``{"made": [...], "reason": "..."}``; on failure one sentence on
standard error and exit status 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from motehub.errors import CertificateError
from motehub.security.authority import Authority


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="motehub.security", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--name", action="append", default=[], metavar="HOST")
    parser.add_argument("--address", action="append", default=[], metavar="IP")
    options = parser.parse_args(arguments)
    try:
        done = Authority(options.data).ensure(options.name, options.address)
    except CertificateError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
