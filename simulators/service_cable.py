"""The cable between a terminal's service port and the bench where keys are loaded: a null modem of two ptys.

Carries bytes both ways and knows nothing of them; either end may be opened and closed at any time.
"""

from __future__ import annotations

from pathlib import Path

from simulators.serial_port import SerialPort


class ServiceCable:
    """`terminal_end` is what the firmware opens, `bench_end` what a loading tool opens; both are paths."""

    def __init__(self, terminal_end: Path, bench_end: Path) -> None:
        self.bench_end = bench_end
        self._terminal = SerialPort(terminal_end, self._to_bench)
        self._bench = SerialPort(bench_end, self._to_terminal)

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._terminal.open()
        self._bench.open()

    def close(self) -> None:
        """Unplug it."""
        self._terminal.close()
        self._bench.close()

    def _to_bench(self, data: bytes) -> None:
        self._bench.write(data)

    def _to_terminal(self, data: bytes) -> None:
        self._terminal.write(data)
