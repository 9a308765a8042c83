"""The issuing side: puts the verification values of an installation on the cards of the simulation.

Values are made in the HSM that the settings name, under the key of their key store; no key is seen here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from simulators.cards import Card
from switch.keys import KeysError, card_value_keys, check_capable, open_hsm, open_store
from switch.settings import Settings


async def issued(settings: Settings, cards: Iterable[Card]) -> list[Card]:
    """The same cards as this installation issues them; as they are when its program asks for no values.

    Raises KeysError, also in production, where two officers have to agree to a card's value; HsmError.
    """
    program = settings.program
    if not program.checks_cards:
        return list(cards)
    if settings.is_production:
        raise KeysError(
            f"{settings.source}: made-up cards get no verification values in production; vafa keys card-value"
            " makes those of real cards"
        )
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


def issue_of(settings: Settings) -> str:
    """A name for what decides a card's value here: the key and where the value stands. A card written under
    this name is good without another look into the HSM; the name tells nothing of the key. Empty when there
    are no values. Raises KeysError."""
    program = settings.program
    if not program.checks_cards:
        return ""
    key, *_before = card_value_keys(open_store(settings))
    return hashlib.sha256(f"{program.card_value_offset} {key.reference}".encode("ascii")).hexdigest()[:16]
