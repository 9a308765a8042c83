"""The switch's log: one JSON object a line on stderr. The last thing before writing hides card numbers and
keys.

Never log a message's fields; log what happened, to which terminal, with which code.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from switch.iso8583.masks import mask_text

# Made here and by the sockets, never of a message: a time must not be starred for looking like a card number.
OUR_OWN = ("timestamp", "peer", "host", "data")


def open_log(stream: TextIO | None = None, level: int = logging.INFO) -> structlog.stdlib.BoundLogger:
    """The logger of a switch process. Times are UTC, ISO 8601."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _scrub,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    for name in ("asyncio", "concurrent.futures", "psycopg"):
        library = logging.getLogger(name)
        library.handlers = [_Library(logger)]
        library.propagate = False
    return logger


class _Library(logging.Handler):
    """What a library of Python's own wants to say, as a line of this log."""

    def __init__(self, logger: structlog.stdlib.BoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        self._logger.warning("library", name=record.name, what=record.getMessage())


def _scrub(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if key in OUR_OWN:
            continue
        if isinstance(value, str):
            event[key] = mask_text(value)
        elif not isinstance(value, bool | int | float | None):
            event[key] = mask_text(str(value))
    return event
