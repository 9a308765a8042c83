"""What the garbage campaign sends: the same for the same seed, and never a message that could be approved."""

from __future__ import annotations

from simulators.campaigns.garbage import attacks
from simulators.cards import Deck
from simulators.faults import Frames, message_type

CARD = Deck(1).draw()


def test_a_seed_gives_the_same_attacks_of_every_kind() -> None:
    first = attacks(7, 90, CARD)
    assert first == attacks(7, 90, CARD)
    assert first != attacks(8, 90, CARD)
    assert len({attack.name for attack in first}) == 9
    assert all(attack.data for attack in first)


def test_forged_messages_are_whole_and_carry_a_card_number_that_a_log_could_leak() -> None:
    (forged,) = {attack for attack in attacks(7, 9, CARD) if attack.name == "a forged MAC"}
    (frame,) = Frames().feed(forged.data)
    assert message_type(frame) == "0200"
    assert CARD.number in frame.hex()
