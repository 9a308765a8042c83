"""A member's card: another one in its place, blocked, let go; and points to another member's card.

Each is a request as any other: recorded, reversed without an answer, printed.
"""

import terminal
from terminal.flows.dialogue import choose, tell
from terminal.flows.member import card_number, joined
from terminal.flows.trade import (
    Refused,
    asked_fields,
    attempt,
    decided,
    first_proof,
    member_of_program,
    needed_proof,
    points_of,
)
from terminal.message_tables import TAG_OTHER_CARD
from terminal.text import masked
from terminal.ui.strings import pair_of


async def replace(app, flow):
    """Another card takes the place of all that the member has; free. Returns as trade().

    The member is named by the old card or a mobile number, and proved by PIN or code; or a supervisor
    answers for it.
    """
    title = pair_of(flow)
    member = await member_of_program(app, title, "balance")
    other = await other_card(app, title, flow, "new_card")
    proof = await vouched(app, title, member)
    return (await decided(app, flow, member, other, proof))[1]


async def block(app, flow):
    """The card can't be used any more. Returns as trade()."""
    title = pair_of(flow)
    member = await member_of_program(app, title, flow)
    number = card_number(member)
    await choose(app, "block_sure", "#", title, masked(number) if number else "")
    return (await attempt(app, flow, member))[1]


async def unblock(app, flow):
    """The card can be used again; proved as a redemption by a typed number. Returns as trade()."""
    title = pair_of(flow)
    member = await member_of_program(app, title, flow)
    proof = await needed_proof(app, title, member)
    return (await decided(app, flow, member, {}, proof))[1]


async def transfer(app, flow):
    """Points to another member's card. Returns as trade()."""
    title = pair_of(flow)
    member = await member_of_program(app, title, flow)
    other = await other_card(app, title, flow, "other_card")
    more = await asked_fields(app, flow, title, None)
    proof = await first_proof(app, flow, title, member, points_of(more))
    return (await decided(app, flow, member, joined(more, other), proof))[1]


async def other_card(app, title, flow, text):
    """The fields that name the other card, by its number. Raises as member_of_program()."""
    other = await member_of_program(app, title, "replace", text=text)
    number = card_number(other)
    if number is None:  # a tap: it doesn't say its number
        raise Refused(await tell(app, "card_refused"))
    return {48: {TAG_OTHER_CARD: number}}


async def vouched(app, title, member):
    """A Proof that it is the member, or of a supervisor who says so. Raises Cancelled, JournalError."""
    from terminal.flows.proof import ask_voucher

    proof = await ask_voucher(app, title, member)
    terminal.forget("terminal.flows.proof")
    return proof
