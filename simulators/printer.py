"""A receipt printer on a serial port: the mechanics of `paper`; without paper, open, silent, slow at will.

What comes out of it is dots, kept as PNG files where that is wanted. What stands on them in words only the
terminal knows, which tells it in an event: whoever reads the events announces the words here, and they count
as printed when the paper was cut. It knows nothing of receipts' meaning.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from simulators.paper import Mechanism, Receipt
from simulators.serial_port import SerialPort

ROLL_RECEIPTS: Final = 1000  # receipts kept; a printer that runs for days keeps the last ones
KEPT_PICTURES: Final = 100  # as files
WAIT_SECONDS: Final = 60.0  # for paper that must come; only ends a hang


class Printer:
    """The printer at its pty, linked at `link`.

    `paper` False: nothing is printed and the status says paper out; `cover_is_open` likewise. `silent` True:
    what it is asked stays unanswered. `slow_ms`: how long after a question the answer comes. `on_receipt` is
    called with the words of each receipt as it is cut; `pictures`: a directory, made when missing.
    """

    def __init__(
        self, link: Path, on_receipt: Callable[[str], None] | None = None, pictures: Path | None = None
    ) -> None:
        self._port = SerialPort(link, self._receive)
        self._mechanism = Mechanism()
        self._on_receipt = on_receipt
        self._pictures = pictures
        # A printer that is switched on again goes on with the roll: nothing is overwritten.
        self._pictures_before = max((int(path.stem) for path in _kept(pictures)), default=0)
        self._announced = ""
        self._printed = asyncio.Event()
        self.receipts: deque[str] = deque(maxlen=ROLL_RECEIPTS)
        self.paper_of: deque[Receipt] = deque(maxlen=KEPT_PICTURES)
        self.receipts_printed = 0
        self.status_requests = 0
        self.silent = False
        self.slow_ms = 0

    @property
    def paper(self) -> bool:
        """Whether there is paper in it."""
        return self._mechanism.has_paper

    @paper.setter
    def paper(self, there_is: bool) -> None:
        self._mechanism.paper_lines = None if there_is else 0

    @property
    def paper_lines(self) -> int | None:
        """Dots of paper left; None: plenty."""
        return self._mechanism.paper_lines

    @paper_lines.setter
    def paper_lines(self, lines: int | None) -> None:
        self._mechanism.paper_lines = lines

    @property
    def cover_is_open(self) -> bool:
        """Whether the paper can't be moved because the cover is open."""
        return self._mechanism.cover_is_open

    @cover_is_open.setter
    def cover_is_open(self, is_open: bool) -> None:
        self._mechanism.cover_is_open = is_open

    @property
    def picture(self) -> Path | None:
        """The file of the newest receipt."""
        if self._pictures is None or not self.receipts_printed:
            return None
        return self._picture(self.receipts_printed)

    def open(self) -> None:
        """Plug it in. Needs the running event loop."""
        self._port.open()

    def close(self) -> None:
        """Unplug it."""
        self._port.close()

    def announce(self, text: str) -> None:
        """What the next receipt says, in words."""
        self._announced = text

    def tear_off(self) -> int:
        """Take the paper of a receipt that was not finished; how many dots of it there were."""
        return len(self._mechanism.tear_off().lines)

    async def receipt_after(self, count: int) -> str:
        """The newest receipt, as soon as more than `count` have been printed since the start.

        Raises TimeoutError when none comes.
        """
        await self._until(lambda: self.receipts_printed > count, "no receipt was printed")
        return self.receipts[-1]

    async def status_request_after(self, count: int) -> None:
        """Returns as soon as more than `count` questions have come since the start, answered or not.

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
        answers = self._mechanism.feed(data)
        for receipt in self._mechanism.receipts:
            self._cut(receipt)
        self._mechanism.receipts.clear()
        if answers:
            self.status_requests += len(answers)
            self._printed.set()
            if not self.silent:
                asyncio.get_running_loop().call_later(self.slow_ms / 1000, self._port.write, answers)

    def _cut(self, receipt: Receipt) -> None:
        text, self._announced = self._announced, ""
        self.receipts.append(text)
        self.paper_of.append(receipt)
        self.receipts_printed += 1
        if self._pictures is not None:
            self._pictures.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._picture(self.receipts_printed).write_bytes(receipt.png())
            self._picture(self.receipts_printed - KEPT_PICTURES).unlink(missing_ok=True)
        self._printed.set()
        if self._on_receipt is not None:
            self._on_receipt(text)

    def _picture(self, number: int) -> Path:
        assert self._pictures is not None, "pictures are kept"
        return self._pictures / f"{self._pictures_before + number:06d}.png"


def _kept(pictures: Path | None) -> list[Path]:
    """The files of receipts that came out earlier."""
    return [] if pictures is None else [path for path in pictures.glob("*.png") if path.stem.isdecimal()]
