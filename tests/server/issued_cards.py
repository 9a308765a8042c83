"""Cards as an installation issues them, for tests with or without a running loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from simulators.cards import Card
from simulators.issuing import issued
from switch.hsm.inputs import TRACK_CARD_DIGITS
from switch.settings import Settings

MOST_KEPT = 4096


def issued_card(settings: Settings, number: str, **changes: str) -> Card:
    """The installation's card of this number; one too short for a value has none.

    changes: of the Card before it is issued.
    """
    if len(number) < TRACK_CARD_DIGITS:
        return Card(number, **changes)
    return _issued(settings, Card(number, **changes))


@lru_cache(maxsize=MOST_KEPT)
def _issued(settings: Settings, card: Card) -> Card:
    with ThreadPoolExecutor(max_workers=1) as thread:  # a loop may run in this one
        [made] = thread.submit(lambda: asyncio.run(issued(settings, [card]))).result()
    return made
