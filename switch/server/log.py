"""The switch's log: one JSON object a line on stderr. The last thing before writing hides card numbers and
keys.

Never log a message's fields; log what happened, to which terminal, with which code.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import Any, TextIO

from switch.iso8583.masks import mask_text

# Made here and by the sockets, never of a message: a time must not be starred for looking like a card number.
OUR_OWN = ("timestamp", "peer", "host", "data")


class Log:
    """Writes events: a name and what belongs to it, as a line each, whole ones also from several threads.

    Written out here because it is imported by every start of a switch: the libraries for this bring consoles,
    colours and tracebacks, a fifth of a second of them.
    """

    def __init__(self, stream: TextIO, level: int, bound: Mapping[str, Any], lock: Lock) -> None:
        self._stream = stream
        self._level = level
        self._bound = bound
        self._lock = lock

    def bind(self, **fields: Any) -> Log:
        """The same log, with `fields` in each of its lines."""
        return Log(self._stream, self._level, {**self._bound, **fields}, self._lock)

    def info(self, event: str, **fields: Any) -> None:
        """What is as it should be and worth knowing."""
        self._write(logging.INFO, "info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What somebody should look at when there is time."""
        self._write(logging.WARNING, "warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """What somebody must look at."""
        self._write(logging.ERROR, "error", event, fields)

    def critical(self, event: str, **fields: Any) -> None:
        """What somebody must look at now."""
        self._write(logging.CRITICAL, "critical", event, fields)

    def _write(self, level: int, name: str, event: str, fields: Mapping[str, Any]) -> None:
        if level < self._level:
            return
        said = {**self._bound, **fields, "event": event, "level": name, "timestamp": _now()}
        line = json.dumps(
            {key: _scrubbed(key, value) for key, value in said.items()}, ensure_ascii=False, default=str
        )
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def open_log(stream: TextIO | None = None, level: int = logging.INFO) -> Log:
    """The logger of a switch process. Times are UTC, ISO 8601."""
    log = Log(stream or sys.stderr, level, {}, Lock())
    for name in ("asyncio", "concurrent.futures", "psycopg"):
        library = logging.getLogger(name)
        library.handlers = [_Library(log)]
        library.propagate = False
    return log


class _Library(logging.Handler):
    """What a library of Python's own wants to say, as a line of this log."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever reads it has gone: that stops no library
            self._log.warning("library", name=record.name, what=record.getMessage())


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _scrubbed(key: str, value: Any) -> Any:
    if key in OUR_OWN or isinstance(value, bool | int | float | None):
        return value
    return mask_text(value if isinstance(value, str) else str(value))
