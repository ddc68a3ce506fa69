"""Services that Apprise knows; the package is an extra, and imported only when it is needed."""

from __future__ import annotations

import logging
from typing import Any, Final

from motehub.alerting.mail import NotDelivered
from motehub.alerting.plan import Apprise
from motehub.alerting.wording import OVER, Wording

_KINDS: Final = {"critical": "failure", "warning": "warning", "info": "info", OVER: "success"}
_INSTALL: Final = "the package apprise is not installed: pip install 'motehub[notify]'"


class Notifier:
    """One service, by its address; ``language`` is that of its messages, "" for the usual one.

    What it says of failures goes to the log of this process.
    """

    def __init__(self, settings: Apprise) -> None:
        self._settings = settings
        self.language = settings.language
        self._service: Any = None

    def send(self, wording: Wording, severity: str) -> None:
        """Send a message of that severity, or of what is ``OVER``.

        Raises:
            NotDelivered: the service has not taken it, or Apprise is not installed.
        """
        service = self._open()
        said = _Said()
        logger = logging.getLogger("apprise")
        logger.addHandler(said)
        try:
            good = service.notify(
                body=wording.text, title=wording.subject, notify_type=_KINDS[severity]
            )
        # What the plug-ins of a hundred services may raise is not known. The message stays in the
        # outbox and is tried again.
        except Exception as error:
            raise NotDelivered(f"Apprise failed: {error!r}") from error
        finally:
            logger.removeHandler(said)
        if not good:
            raise NotDelivered(f"the service has not taken it. {said.last}")

    def _open(self) -> Any:
        if self._service is None:
            try:
                import apprise
            except ImportError as error:
                raise NotDelivered(_INSTALL) from error
            service = apprise.Apprise()
            if not service.add(self._settings.url):
                raise NotDelivered("Apprise does not know such an address: see url of [[notify]]")
            self._service = service
        return self._service


class _Said(logging.Handler):
    """Keeps the last warning, which says why."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()[:200]
