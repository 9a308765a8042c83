"""An owner that is killed at a moment: a partner's request that another process handed over, of one amount,
is durable and not answered. `python -m tests.server.killed_owner_switch` takes the arguments of `vafa`."""

from __future__ import annotations

import os
import signal
from typing import Any

from switch.server import forwarding
from tests.server.killed_partner_switch import FATAL_AMOUNT
from tools.cli import main


def plant() -> None:
    """kill -9 between commit and answer."""
    decide_for = forwarding.decide_for

    class Deadly:
        """Instead of the line to the other process."""

        def say(self, reply: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    async def planted(line: Any, asked: Any, decider: Any) -> None:
        fatal = asked.fields.get("4") == FATAL_AMOUNT
        await decide_for(Deadly() if fatal else line, asked, decider)  # type: ignore[arg-type]

    forwarding.decide_for = planted


if __name__ == "__main__":
    plant()
    main()
