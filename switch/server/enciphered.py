"""Personal tags of lines without TLS: DE 48 tag 20 opened, its tags put where they belong. And what a tapped
card enciphered, tag 15.

From there on a message reads as if the tags had come in clear; nothing here keeps or tells a value.
"""

from __future__ import annotations

from collections.abc import Mapping

from switch.authorizer.request import TAP_TAG
from switch.hsm.port import Direction, Fault, Hsm, HsmError
from switch.iso8583 import DecodeError, Dialect, Message
from switch.server.card_proofs import CardProofs
from switch.server.sending import Sending

ENCIPHERED, MOBILE, CODE = "20", "07", "06"  # tags of DE 48

# The content is itself DE 48: it is read as that of a message that has no other field.
_HEAD = bytes.fromhex("0100" + f"{1 << (64 - 48):016x}")


class EncipheredError(ValueError):
    """The data can't be opened or read. The text says why, free of content."""


async def opened(
    dialect: Dialect, hsm: Hsm, sending: Sending, message: Message, cards: CardProofs
) -> Message:
    """The message with its enciphered tags in clear and its tap opened. Raises EncipheredError, HsmError."""
    if f"48.{ENCIPHERED}" in message:
        message = await _in_clear(dialect, hsm, sending, message)
    tap = message.get(f"48.{TAP_TAG}")
    return await cards.tapped(message, tap) if isinstance(tap, bytes) else message


async def _in_clear(dialect: Dialect, hsm: Hsm, sending: Sending, message: Message) -> Message:
    data = message[f"48.{ENCIPHERED}"]
    assert isinstance(data, bytes)
    try:
        clear = await hsm.dukpt_decrypt(sending.base_key, sending.serial, data, Direction.REQUEST)
    except HsmError as error:
        if error.fault is not Fault.BAD_INPUT:
            raise
        raise EncipheredError("not enciphered under this key serial") from None
    try:
        inside = dialect.decode(_HEAD + bytes.fromhex(f"{len(clear):04d}") + clear).fields["48"]
    except DecodeError as error:
        raise EncipheredError(f"{error.path}: expected {error.expected}") from None
    outside = message.fields["48"]
    assert isinstance(inside, Mapping)
    assert isinstance(outside, Mapping)
    if ENCIPHERED in inside or not inside.keys().isdisjoint(outside):
        raise EncipheredError("a tag stands twice")
    tags = {**outside, **inside}
    del tags[ENCIPHERED]
    return Message(message.mti, {**message.fields, "48": tags})
