"""The issuing side: puts the verification values of an installation on the cards of the simulation.

Values are made in the HSM that the settings name, under the key of their key store; no key is seen here.
"""

from __future__ import annotations

from collections.abc import Iterable

from simulators.cards import Card
from switch.keys import card_value_keys, check_capable, open_hsm, open_store
from switch.settings import Settings


async def issued(settings: Settings, cards: Iterable[Card]) -> list[Card]:
    """The same cards as this installation issues them; as they are when its program asks for no values.

    Raises KeysError, HsmError.
    """
    program = settings.program
    if not program.checks_cards:
        return list(cards)
    hsm = await open_hsm(settings)
    try:
        check_capable(settings, hsm)
        key, *_before = card_value_keys(open_store(settings))
        return [
            card.with_value(
                await hsm.card_value_generate(key, card.number, card.expiry, card.service_code),
                program.card_value_offset,
            )
            for card in cards
        ]
    finally:
        await hsm.close()
