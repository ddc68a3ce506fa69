"""The process that sends webhooks: follows the journal into an outbox, and empties that.

The hub starts it as ``python -m motehub.webhook DIR``, with what is sent where in the environment,
since that holds secrets. The hub tells it of each commit. How that goes, and how it reports:
:mod:`motehub.following`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from motehub.errors import NewerSchema, OwnerError, StorageError
from motehub.following import WEBHOOK_PLAN, Hub, Report, begin, tell, tell_all
from motehub.journals.sqlite import SqliteLogReader
from motehub.webhooks.endpoints import Plan
from motehub.webhooks.service import WebhookService

_TRY_SECONDS: Final = 1.0


def main() -> None:
    """Send until the hub is gone."""
    begin()
    plan = msgspec.json.decode(os.environ[WEBHOOK_PLAN], type=Plan)
    hub = Hub()
    service = _open(Path(sys.argv[1]), plan, hub)
    if service is None:
        sys.exit(1)
    tell(Report(service.consumer.position))
    done = service.run(hub, tell_all)
    # Threads that wait for a receiver are left: what they send is sent again.
    sys.stdout.flush()
    os._exit(0 if done else 1)


def _open(folder: Path, plan: Plan, hub: Hub) -> WebhookService | None:
    """Open journal and outbox, waiting for storage that fails; None when that is for the owner."""
    while hub.lives:
        try:
            reader = SqliteLogReader(folder)
            return WebhookService(folder, plan, reader, reader.journal())
        except (NewerSchema, OwnerError) as error:
            tell(Report(0, trouble=str(error), fatal=True))
            return None
        except StorageError as error:
            tell(Report(0, trouble=str(error)))
            hub.pause(_TRY_SECONDS)
    return None


if __name__ == "__main__":
    main()
