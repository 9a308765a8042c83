"""The simulated HSM as a child process: started, killed, started again on the same port.

Reads only what it says on stderr; what lies in its directory is the business of whoever made it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

from simulators.process import VAFA, Process

READY_SECONDS: Final = 60.0  # a cold machine, and two passphrases to stretch


class HsmProcess:
    """`vafa hsm run` with a settings file and its officers' file. port: 0 takes any free one,
    which is told from then on."""

    def __init__(self, config: Path, officers: Path, port: int = 0) -> None:
        self.config = config
        self.officers = officers
        self.port = port
        self._process: Process | None = None
        self._ready: asyncio.Event | None = None

    @property
    def is_running(self) -> bool:
        """False before the start, after a stop, and when it ended by itself."""
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int:
        """Process id of the running one."""
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How the last one ended (minus the signal's number), None while it runs."""
        assert self._process is not None
        return self._process.returncode

    async def start(self) -> None:
        """Start it and wait until hosts can connect. Raises ProcessEnded with its last words."""
        assert not self.is_running, "it runs already"
        ready = self._ready = asyncio.Event()
        arguments = [*VAFA, "hsm", "run", "--config", str(self.config), "--officers", str(self.officers)]
        self._process = await Process.start(
            "HSM simulator", [*arguments, "--port", str(self.port)], on_stderr=self._logged
        )
        await self._process.ready(ready, READY_SECONDS)

    async def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        await self._process.kill()

    async def stop(self) -> None:
        """SIGTERM and wait, when it runs."""
        if self.is_running:
            assert self._process is not None
            await self._process.stop()

    async def ended(self) -> int:
        """Returns when it ends by itself; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    def explain(self, what: str) -> str:
        """`what` happened to it, with its last log lines."""
        return self._process.explain(what) if self._process is not None else f"HSM simulator {what}"

    def _logged(self, line: str) -> None:
        if self._ready is None or self._ready.is_set():
            return
        try:
            event = json.loads(line)
        except ValueError:
            return
        if isinstance(event, dict) and event.get("event") == "ready":
            self.port = int(str(event["ports"]).split()[0])
            self._ready.set()
