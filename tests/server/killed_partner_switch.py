"""A switch that is killed at a moment: an answer to a partner, for one amount, is durable and not yet sent.
`python -m tests.server.killed_partner_switch` takes the arguments of `vafa`."""

from __future__ import annotations

import os
import signal
from typing import Any

from switch.server.partner_link import PartnerLink
from tools.cli import main

FATAL_AMOUNT = "000000660000"


def plant() -> None:
    """kill -9 between commit and answer."""
    under_mac = PartnerLink._under_mac

    async def planted(self: PartnerLink, message: Any, answer: Any) -> Any:
        if message.get("4") == FATAL_AMOUNT and answer.get("37") is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return await under_mac(self, message, answer)

    PartnerLink._under_mac = planted  # type: ignore[method-assign]


if __name__ == "__main__":
    plant()
    main()
