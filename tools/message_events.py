"""What a running host tells, one line an event, written by a thread of its own.

A reader that pauses or leaves, or a full disk, must never stop the host; then lines are lost and counted.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Final

MOST_WAITING: Final = 10_000  # lines; a reader that is further behind gets a count instead
LAST_WORDS_SECONDS: Final = 2.0  # how long an ending host waits for a reader that has stopped

Event = Mapping[str, object]


class EventLines:
    """Events as lines of text, or as JSON objects under a schema, on standard output."""

    def __init__(self, schema: str | None) -> None:
        self._schema = schema
        self._waiting: queue.Queue[Event | None] = queue.Queue(MOST_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._write_all, name="events", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Never blocks, never fails."""
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what is left, as long as somebody reads."""
        try:
            self._waiting.put(None, timeout=LAST_WORDS_SECONDS)
        except queue.Full:
            return
        self._thread.join(LAST_WORDS_SECONDS)

    def _write_all(self) -> None:
        is_read = sys.stdout is not None
        while (event := self._waiting.get()) is not None:
            lost, self._lost = self._lost, 0
            if lost:
                is_read = is_read and _written(self._line({"event": "events lost", "count": lost}))
            is_read = is_read and _written(self._line(event))

    def _line(self, event: Event) -> str:
        if self._schema is not None:
            return json.dumps({"schema": self._schema, **event}, ensure_ascii=False)
        return _text(event)


def _written(line: str) -> bool:
    """Past Python's buffer: a thread that waits in it would hold up the end of the process."""
    left = memoryview(line.encode("utf-8", "replace") + b"\n")
    try:
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
    except OSError:
        return False
    return True


def _text(event: Event) -> str:
    words = [str(event["event"])]
    for name, value in event.items():
        if name == "event":
            continue
        if isinstance(value, Mapping):
            fields = " ".join(f"{path}={content}" for path, content in value.items() if path != "mti")
            words.append(f"| {name} {value.get('mti')} {fields}")
        elif value is True:
            words.append(name)
        elif value is not False:
            words.append(f"{name}={value}")
    return " ".join(words)
