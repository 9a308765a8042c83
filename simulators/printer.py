"""A receipt printer on a serial port: takes UTF-8 text, answers the ESC/POS paper status request, and can
be out of paper, silent or slow.

What it collects is paper: text as it was sent. It knows nothing of receipts' meaning.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from simulators.serial_port import SerialPort

# DLE EOT 4, real-time transmission of the roll paper sensor status (ESC/POS).
STATUS_REQUEST: Final = b"\x10\x04\x04"
PAPER_OK: Final = b"\x12"
PAPER_OUT: Final = b"\x72"
ROLL_RECEIPTS: Final = 1000  # receipts kept; a printer that runs for days keeps the last ones
WAIT_SECONDS: Final = 60.0  # for paper that must come; only ends a hang
MAXIMUM_RECEIPT_BYTES: Final = 16 * 1024  # more without a status request is not a receipt


class Printer:
    """The printer at its pty, linked at `link`.

    `paper` False: text is swallowed and the status says paper out. `silent` True: the text is printed and the
    status request stays unanswered. `slow_ms`: how long after the request the status comes.
    `on_receipt` is called with each receipt as it is printed.
    """

    def __init__(self, link: Path, on_receipt: Callable[[str], None] | None = None) -> None:
        self._port = SerialPort(link, self._receive)
        self._pending = bytearray()
        self._on_receipt = on_receipt
        self._printed = asyncio.Event()
        self.receipts: deque[str] = deque(maxlen=ROLL_RECEIPTS)
        self.receipts_printed = 0
        self.status_requests = 0
        self.paper = True
        self.silent = False
        self.slow_ms = 0

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    def tear_off(self) -> str:
        """Take the paper of a receipt that was not finished; the text printed so far."""
        text = self._pending.decode("utf-8", "replace")
        self._pending.clear()
        return text

    async def receipt_after(self, count: int) -> str:
        """The newest receipt, as soon as more than `count` have been printed since the start.

        Raises TimeoutError when none comes.
        """
        await self._until(lambda: self.receipts_printed > count, "no receipt was printed")
        return self.receipts[-1]

    async def status_request_after(self, count: int) -> None:
        """Returns as soon as more than `count` status requests have come since the start, answered or not.

        Raises TimeoutError when none comes.
        """
        await self._until(lambda: self.status_requests > count, "the printer was not asked for its paper")

    async def _until(self, happened: Callable[[], bool], otherwise: str) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not happened():
                    self._printed.clear()
                    await self._printed.wait()
        except TimeoutError:
            raise TimeoutError(f"{otherwise} within {WAIT_SECONDS:g} s") from None

    def _receive(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(STATUS_REQUEST)) >= 0:
            text = bytes(self._pending[:end])
            del self._pending[: end + len(STATUS_REQUEST)]
            self._status_requested(text)
        if len(self._pending) > MAXIMUM_RECEIPT_BYTES:
            del self._pending[:-MAXIMUM_RECEIPT_BYTES]

    def _status_requested(self, text: bytes) -> None:
        if text.strip() and self.paper:
            receipt = text.decode("utf-8", "replace")
            self.receipts.append(receipt)
            self.receipts_printed += 1
            if self._on_receipt is not None:
                self._on_receipt(receipt)
        self.status_requests += 1
        self._printed.set()
        if not self.silent:
            asyncio.get_running_loop().call_later(self.slow_ms / 1000, self._send_status)

    def _send_status(self) -> None:
        self._port.write(PAPER_OK if self.paper else PAPER_OUT)
