"""Whole flows at a terminal that runs, asked for over its control socket: {"do": "play", "script": "void"}.

One at a time; the answer says what became final and what was printed. Card numbers go in, never out.
"""

from __future__ import annotations

import asyncio
from typing import Final

from simulators import flows
from simulators.cards import Card
from simulators.cashier import Cashier
from simulators.control import ControlServer, JsonObject
from simulators.firmware import Terminal
from simulators.process import ProcessEnded
from simulators.readers.magstripe import card_of_request

NAME: Final = "flows"  # of the control socket


class FlowControl:
    """Serves scripts of `simulators.flows` at a terminal, beside what people do there."""

    def __init__(self, terminal: Terminal) -> None:
        self._cashier = Cashier(terminal)
        self._server = ControlServer(terminal.place.control(NAME), self._play)
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """From now on it is served."""
        await self._server.start()

    async def stop(self) -> None:
        """And no more."""
        await self._server.stop()

    async def _play(self, request: JsonObject) -> JsonObject:
        script, values = request.get("script"), request.get("values", {})
        if request.get("do") != "play" or not isinstance(script, str) or script not in flows.SCRIPTS:
            raise ValueError(f"known: do play, script one of {', '.join(sorted(flows.SCRIPTS))}")
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ValueError("values must be an object of strings")
        card, other = _card(request.get("card")), _card(request.get("other"))
        async with self._one_at_a_time:
            try:
                visit = await self._cashier.play(script, card, other, values)
            except KeyError as error:
                raise ValueError(f"{script} needs a value for {error.args[0]}") from None
            except (TimeoutError, ProcessEnded):
                raise ValueError(
                    f"{script}: the terminal did not come so far; its screen: {self._screen()}"
                ) from None
        transactions = [transaction._asdict() for transaction in visit.transactions]
        return {"transactions": transactions, "receipts": list(visit.receipts)}

    def _screen(self) -> str:
        screen = self._cashier.terminal.current_screen
        return "none" if screen is None else " / ".join(screen.lines)


def _card(request: object) -> Card | None:
    return card_of_request(request) if isinstance(request, dict) else None
