"""The process that sends webhooks, killed between a 2xx and the note of it.

``python -m tests.fault.webhook_killed DIR`` is ``python -m motehub.webhook DIR`` until then.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from motehub.webhook import main
from motehub.webhooks.outbox import Outbox


def die(*_: Any, **__: Any) -> None:
    """Stand for ``Outbox.delivered``, which is called once the whole answer has come."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Outbox.delivered = die  # type: ignore[method-assign]
    main()
