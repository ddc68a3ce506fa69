"""``python -m motehub.backup DIR``: write a back-up of DIR to standard output, as .tar.zst.

The hub starts it for whoever downloads one. It ends when the hub does: its standard input is then
at its end. On standard error it says what there is to be noted of it; on failure one sentence,
and exit status 1.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec

from motehub.backup.archive import copied, write_archive
from motehub.backup.packing import packed
from motehub.errors import MotehubError

_NICENESS: Final = 10


def main() -> int:
    """Write it; return the exit status."""
    # When there is not enough for all, what devices say comes first.
    os.nice(_NICENESS)
    os.umask(0o077)
    threading.Thread(target=_end_with_hub, daemon=True).start()
    folder = Path(sys.argv[1])
    try:
        # A failure until here is said before the first byte.
        with copied(folder, folder) as copies, packed(sys.stdout.buffer, ".tar.zst") as output:
            note = write_archive(copies, output)
        sys.stdout.buffer.flush()
        sys.stderr.write(msgspec.json.encode(note).decode())
    except BrokenPipeError:
        # Nobody wants it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MotehubError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The back-up can't be made: {error.strerror or error}.\n")
        return 1
    return 0


def _end_with_hub() -> None:
    # Not by sys.stdin, whose lock would be held when Python ends.
    os.read(0, 1)
    # Copies that it leaves are removed by the next one.
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
