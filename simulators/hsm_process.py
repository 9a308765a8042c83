"""The simulated HSM as a child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simulators.service import Service


class HsmProcess(Service):
    """`vafa hsm run` with a settings file and its officers' file. port: 0 takes any free one, which is told
    from then on."""

    def __init__(self, config: Path, officers: Path, port: int = 0) -> None:
        super().__init__("HSM simulator", "ready", port)
        self.config = config
        self.officers = officers

    def arguments(self) -> Sequence[str]:
        place = ("--config", str(self.config), "--officers", str(self.officers), "--port", str(self.port))
        return ("hsm", "run", *place)

    def ready(self, event: Mapping[str, Any]) -> None:
        self.port = int(str(event["ports"]).split()[0])
