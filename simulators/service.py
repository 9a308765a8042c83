"""A `vafa` command that serves until it is stopped, as a child process: started, killed, started again on the
port it had, its log kept.

Reads only what it says on stderr, knows nothing of its insides. What lies in its directory is the business
of whoever made it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from simulators.process import VAFA, Process

READY_SECONDS: Final = 180.0  # only one that hangs is this slow, also on a busy machine


class Service:
    """One such process. name: for messages. ready_event: its log line that tells that it can be used; the
    whole line goes to `ready`. on_log: gets each line, across restarts. environment: added to ours."""

    def __init__(
        self,
        name: str,
        ready_event: str,
        port: int = 0,
        on_log: Callable[[str], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self.starts = 0
        self._name = name
        self._ready_event = ready_event
        self._on_log = on_log
        self._environment = environment
        self._process: Process | None = None
        self._is_ready: asyncio.Event | None = None

    def arguments(self) -> Sequence[str]:
        """What stands behind `vafa` at the next start."""
        raise NotImplementedError

    def ready(self, event: Mapping[str, Any]) -> None:
        """Take what the line says of where it is reached."""
        raise NotImplementedError

    @property
    def is_running(self) -> bool:
        """False before the start, after a stop, and when it ended by itself."""
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int:
        """Process id of the running one."""
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        """How the last one ended (minus the signal's number), None while it runs."""
        return self._started.returncode

    @property
    def _started(self) -> Process:
        assert self._process is not None, "it was never started"
        return self._process

    async def start(self) -> None:
        """Start it, after the first time on the port it had, and wait until it is ready. Raises ProcessEnded
        with its last words."""
        assert not self.is_running, "it runs already"
        is_ready = self._is_ready = asyncio.Event()
        self._process = await Process.start(
            self._name,
            [*VAFA, *self.arguments()],
            environment=self._environment,
            on_stderr=self._logged,
        )
        await self._process.ready(is_ready, READY_SECONDS)
        self.starts += 1

    async def kill(self) -> None:
        """kill -9."""
        await self._started.kill()

    async def stop(self) -> int:
        """SIGTERM and wait, when it runs; its exit code."""
        return await self._started.stop()

    async def ended(self) -> int:
        """Returns when it ends by itself; its exit code."""
        return await self._started.wait()

    def explain(self, what: str) -> str:
        """`what` happened to it, with its last log lines."""
        return f"{self._name} {what}" if self._process is None else self._process.explain(what)

    def _logged(self, line: str) -> None:
        if self._on_log is not None:
            self._on_log(line)
        if self._is_ready is None or self._is_ready.is_set():
            return
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and event.get("event") == self._ready_event:
            self.ready(event)
            self._is_ready.set()
