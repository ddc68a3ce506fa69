"""Structured log lines, ``time level event key=value …``: one event a line, on ``logging``.

The field's usual package for this imports so much that it would be a fifth of the writer
process (docs/decisions/0002-dependencies.md).
"""

from __future__ import annotations

import enum
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

_FIELDS: Final = "structured_fields"
_PLAIN: Final = re.compile(r"[\w.:/+@%\[\]-]+")


class LogLevel(enum.Enum):
    """How important a log line is, from the least to the most."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Logger:
    """Logs events with fields: ``logger.info("device accepted", name="greenhouse")``."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        """Log what only someone who looks for a fault wants to know."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Log what the owner may want to know later."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what the owner may have to look at."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Log what keeps the hub from doing its work."""
        self._log(logging.ERROR, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, object]) -> None:
        self._logger.log(level, event, extra={_FIELDS: fields})


class OccasionalLogger:
    """Logs an event at once, and then at most every ten seconds, with the number left out."""

    def __init__(
        self, logger: Logger, clock: Callable[[], float] = time.monotonic, seconds: float = 10.0
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._seconds = seconds
        self._last: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()

    def info(self, event: str, **fields: object) -> None:
        """Log what the owner may want to know later."""
        if self._is_due(event, fields):
            self._logger.info(event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what the owner may have to look at."""
        if self._is_due(event, fields):
            self._logger.warning(event, **fields)

    def _is_due(self, event: str, fields: dict[str, object]) -> bool:
        now = self._clock()
        if now - self._last.get(event, -self._seconds) < self._seconds:
            self._left_out[event] += 1
            return False
        self._last[event] = now
        if left_out := self._left_out.pop(event, 0):
            fields["left_out"] = left_out
        return True


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return the fields of a line."""
    fields: dict[str, object] = getattr(record, _FIELDS, {})
    return fields


class LineFormatter(logging.Formatter):
    """Writes a record as ``time level event key=value …``; odd values are quoted as in JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the stack trace of an unexpected exception in a field."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, object] = {"event": record.getMessage(), "logger": record.name}
        fields |= fields_of(record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        words = (f"{key}={_quoted(str(value))}" for key, value in fields.items())
        return " ".join([time.replace("+00:00", "Z"), record.levelname.lower(), *words])


def set_up_logs(stream: TextIO, level: LogLevel = LogLevel.INFO) -> None:
    """Write log lines of ``level`` and above to ``stream``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(handlers=[handler], level=level.name, force=True)


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    # JSON leaves C1 and bidirectional controls as they are; on a terminal they act.
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)
