"""A chip card proves a request: it is asked when all of the request stands, and put in again when it was not
read.

What it says is of that one request; nothing of it is kept.
"""

from terminal.flows.dialogue import CANCEL, ENTRY_MS, Cancelled
from terminal.flows.member import card_number, challenge_of, has_chip, proven
from terminal.flows.wait import BAD_CARD, CARD, CHIP, KEY, TIMEOUT, Wait

PROVING_MS = 8000  # a card takes half a second; the door says CHIP when it knows that nothing will come


async def with_proof(app, fields):
    """The fields of a request with its chip card's proof. Raises Cancelled."""
    while True:
        app.prove(challenge_of(fields))
        _, proof = await Wait((CHIP,), PROVING_MS)
        if proof:
            return proven(fields, proof)
        app.log("info", "chip: nothing proved")
        await again(app, card_number(fields))


async def again(app, number):
    """Have the card with this number put in again; another one won't do. Raises Cancelled."""
    while True:
        app.screens.show("message", text="chip_again")
        kind, value = await Wait((CARD, BAD_CARD, KEY), ENTRY_MS)
        if kind == TIMEOUT or (kind == KEY and value == CANCEL):
            raise Cancelled
        if kind == CARD and has_chip(value) and card_number(value) == number:
            return
