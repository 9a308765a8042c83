"""The real switch as a child process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulators.service import Service


class SwitchProcess(Service):
    """One switch on the data directory. options: of `vafa switch run`, beside those; on_log and environment:
    see Service."""

    def __init__(
        self,
        data: Path,
        port: int = 0,
        on_log: Callable[[str], None] | None = None,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("switch", "listening", port, on_log, environment)
        self.data = data
        self.host = ""
        self._options = options

    def arguments(self) -> Sequence[str]:
        return ("switch", "run", "--data", str(self.data), "--port", str(self.port), *self._options)

    def ready(self, event: Mapping[str, Any]) -> None:
        self.host, self.port = str(event["host"]), int(event["port"])
