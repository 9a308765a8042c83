"""The real switch as a child process: started, killed, restarted on the same port, its log kept.

Reads only what the switch says on stderr; knows nothing of its insides.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from simulators.process import VAFA, Process

READY_SECONDS: Final = 180.0  # only a switch that hangs is this slow, also on a busy machine


class SwitchProcess:
    """One switch on the data directory. `on_log` gets each line of its log, across restarts. options: of
    `vafa switch run`, beside those; environment: added to ours."""

    def __init__(
        self,
        data: Path,
        port: int = 0,
        on_log: Callable[[str], None] | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self._environment = environment
        self._options = options
        self.host = ""
        self.port = port
        self.starts = 0
        self._on_log = on_log
        self._process: Process | None = None
        self._listening: asyncio.Event | None = None

    @property
    def is_running(self) -> bool:
        """False before the start, after a stop, and when it ended by itself."""
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int:
        """Process id of the running switch."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it listens. Raises ProcessEnded with its last words when it does not."""
        assert not self.is_running, "it runs already"
        listening = self._listening = asyncio.Event()
        place = ["--data", str(self.data), "--port", str(self.port), *self._options]
        arguments = [*VAFA, "switch", "run", *place]
        self._process = await Process.start(
            "switch", arguments, environment=self._environment, on_stderr=self._logged
        )
        await self._process.ready(listening, READY_SECONDS)
        self.starts += 1

    async def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        await self._process.kill()

    async def restart(self) -> None:
        """Start again on the port it had."""
        await self.start()

    async def stop(self) -> int:
        """SIGTERM and wait; its exit code."""
        assert self._process is not None
        return await self._process.stop()

    async def ended(self) -> int:
        """Returns when it ends by itself; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    def explain(self, what: str) -> str:
        """`what` happened to it, with its last log lines."""
        return self._process.explain(what) if self._process is not None else f"switch {what}"

    def _logged(self, line: str) -> None:
        if self._on_log is not None:
            self._on_log(line)
        if self._listening is None or self._listening.is_set():
            return
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and event.get("event") == "listening":
            self.host, self.port = str(event["host"]), int(event["port"])
            self._listening.set()
