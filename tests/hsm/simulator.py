"""`vafa hsm run` as a process of its own, and certificates for it and its clients."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from switch.tls import Peer, Role
from tools.keys_authority import issue, open_authority, paths

AES_MASTER_KEY_ID = "02"  # of --test-lmk
START_DEADLINE_S = 60.0  # only a hanging simulator is this slow
CERTIFICATE_DAYS = 2
KEPT_LINES = 200  # of what it said last


class RunningSimulator:
    """The simulator with the public test keys and everything authorised; port 0: one of its choice."""

    def __init__(self, *options: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "tools.cli", "hsm", "run", "--test-lmk"]
        self._process = subprocess.Popen(
            [*command, "--port", str(port), "--authorised", "720", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: deque[str] = deque(maxlen=KEPT_LINES)
        self.port = self._listening()
        self._reading = threading.Thread(target=self._read_on, daemon=True)
        self._reading.start()

    @property
    def process_id(self) -> int:
        return self._process.pid

    def _listening(self) -> int:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line)
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "listening":
                return int(event["port"])
        raise AssertionError(f"the simulator didn't start: {self.said}")

    def _read_on(self) -> None:
        """Its log: a pipe that nobody reads fills up, and the box would wait for ever."""
        assert self._process.stdout is not None
        self.said.extend(self._process.stdout)

    def __enter__(self) -> RunningSimulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=START_DEADLINE_S)
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Certificates:
    """A test authority with a box and a switch."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority, _ = open_authority(directory, now)
        issue(directory, authority, Peer(Role.HSM, "box"), ["localhost"], now, CERTIFICATE_DAYS)
        issue(directory, authority, Peer(Role.SWITCH, "main"), [], now, CERTIFICATE_DAYS)
        trusted = paths(directory, "authority")[0]
        certificate, key = paths(directory, "hsm-box")
        self.of_the_box = (
            "--tls-certificate",
            str(certificate),
            "--tls-key",
            str(key),
            "--tls-clients",
            str(trusted),
        )
        self.of_the_switch = (trusted, *paths(directory, "switch-main"))
