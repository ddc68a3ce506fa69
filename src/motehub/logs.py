"""Structured log lines: ``time level event key=value …``, one a line."""

from __future__ import annotations

import enum
import logging
from typing import TextIO

import structlog


class LogLevel(enum.Enum):
    """How important a log line is, from the least to the most."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def set_up_logs(stream: TextIO, level: LogLevel = LogLevel.INFO) -> None:
    """Write log lines of ``level`` and above to ``stream``."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.name]
        ),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
