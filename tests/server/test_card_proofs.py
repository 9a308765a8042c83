"""Taps and chip cards: what they say counts once, for this transaction alone; changed, it is nobody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulators.cards import Deck
from simulators.readers.chip import ChipCard
from simulators.readers.ntag424 import Ntag424, TapKeys
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.hsm.crypto.ntag424 import authentication_key, chip_identifier, file_key, meta_key, proof_key
from switch.hsm.port import Fault
from switch.iso8583 import Message
from switch.keys import CARD_MASTER, open_store, read_master_key
from switch.ledger.verify import verify
from switch.server.card_proofs import challenge_of
from terminal.drivers.chip_card import prove, read_chip, read_tap
from terminal.flows.member import by_tap, pin_digits
from terminal.flows.member import challenge_of as asked_of
from tests.server.bench import Bench, enciphered, pin
from tests.server.playing import play
from tests.server.test_card_values import code
from tests.server.test_member_proofs import PIN, ledger_bytes

UID = bytes.fromhex("04A1B2C3D4E5F6")


def master_of(bench: Bench) -> bytes:
    """The clear master of cards, as only whoever has the in-process box's file can tell it."""
    key = open_store(bench.settings).key(CARD_MASTER)
    return BlockMasterKey(read_master_key(bench.settings.hsm.master_key_file)).unwrap(key.reference).key


def new_number() -> str:
    return Deck().draw().number


def tag_of(bench: Bench, number: str, uid: bytes = UID, counter: int = 0) -> Ntag424:
    return Ntag424(uid, master_of(bench), number, counter=counter)


def chip_of(bench: Bench, number: str, counter: int = 0) -> ChipCard:
    master, identifier = master_of(bench), chip_identifier(number)
    key, proof = authentication_key(master, identifier), proof_key(master, identifier)
    return ChipCard(identifier, number + "=2912101", key, proof_key=proof, counter=counter)


def said(card: Any, conversation: Any) -> Any:
    command = next(conversation)
    try:
        while True:
            command = conversation.send(card.command(command))
    except StopIteration as end:
        return end.value


def tapped(tag: Ntag424) -> bytes:
    """One tap as 48.15."""
    tap: bytes = by_tap(said(tag, read_tap()))[48][0x15]
    return tap


def with_tap(message: Message, tap: bytes, **more: Any) -> Message:
    fields = {name: value for name, value in message.fields.items() if name not in ("2", "35")}
    tags = {**dict(fields.get("48") or {}), "15": tap}  # type: ignore[arg-type]
    return Message(message.mti, {**fields, "22": "071", "48": tags, **more})


def inserted(message: Message, number: str) -> Message:
    """As a terminal makes it before the chip is asked."""
    fields = {name: value for name, value in message.fields.items() if name != "35"}
    return Message(message.mti, {**fields, "2": number, "22": "051"})


def with_proof(message: Message, proof: bytes) -> Message:
    tags = {**dict(message.fields.get("48") or {}), "16": proof}  # type: ignore[arg-type]
    return Message(message.mti, {**message.fields, "48": tags})


def proved(message: Message, chip: ChipCard) -> Message:
    number = said(chip, read_chip())
    asked = inserted(message, number)
    return with_proof(asked, said(chip, prove(challenge_of(asked))))


async def tapping_member(bench: Bench, points: int = 0, tag: Ntag424 | None = None) -> Ntag424:
    """A contactless card, activated with a PIN by a tap; it holds points."""
    tag = tag or tag_of(bench, new_number())
    tap = tapped(tag)
    digits = pin_digits({48: {0x15: tap}})
    assert await code(bench, with_tap(bench.activation("", f52=pin(PIN, digits)), tap)) == "00"
    if points:
        assert await code(bench, with_tap(bench.earn("", points), tapped(tag))) == "00"
    return tag


async def chip_member(bench: Bench, points: int = 0) -> tuple[ChipCard, str]:
    number = new_number()
    chip = chip_of(bench, number)
    assert await code(bench, proved(bench.activation("", f52=pin(PIN, number)), chip)) == "00"
    if points:
        assert await code(bench, proved(bench.earn("", points), chip)) == "00"
    return chip, number


def balance(bench: Bench, tap: bytes, number: int = 0) -> Message:
    return with_tap(bench.message("0100", "306000", None, number), tap)


# ---------------------------------------------------------------- taps


def test_a_tap_activates_earns_redeems_and_tells_the_balance(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        assert await code(bench, with_tap(bench.redemption("", 4), tapped(tag))) == "00"
        answer = await bench.one(balance(bench, tapped(tag)))
        assert (answer["39"], int(answer.text("48.02"))) == ("00", 6)
        await bench.close()
        assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []
        bench.start()
        assert await code(bench, balance(bench, tapped(tag))) == "00", "its counter is read again"
        kept = ledger_bytes(bench.settings.data)
        assert UID not in kept
        assert UID.hex().encode() not in kept

    play(tmp_path, story)


def test_a_taps_card_is_the_same_member_as_its_stripe(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        number = new_number()
        assert await code(bench, bench.activation(number)) == "00"
        assert await code(bench, with_tap(bench.earn("", 7), tapped(tag_of(bench, number)))) == "00"
        assert await bench.points(number) == 7

    play(tmp_path, story)


def test_one_reading_counts_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        tap = tapped(tag)
        first = with_tap(bench.redemption("", 1), tap)
        assert await code(bench, first) == "00"
        assert await code(bench, first) == "00", "the same transaction gets its stored answer"
        for again in (bench.redemption("", 1), bench.earn("", 1), bench.message("0100", "306000", None)):
            assert await code(bench, with_tap(again, tap)) == "82"
        assert int((await bench.one(balance(bench, tapped(tag)))).text("48.02")) == 9

    play(tmp_path, story)


def test_an_older_reading_counts_no_more(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        older, newer = tapped(tag), tapped(tag)
        assert await code(bench, with_tap(bench.redemption("", 1), newer)) == "00"
        assert await code(bench, with_tap(bench.redemption("", 1), older)) == "82"
        late = with_tap(bench.earn("", 1), older)
        late = Message("0220", late.fields)
        assert await code(bench, late) == "00", "a queued earn is of a sale that was before"
        assert await code(bench, with_tap(bench.redemption("", 1), newer)) == "82", "and spends no reading"

    play(tmp_path, story)


def test_a_reading_with_which_nothing_was_done_is_its_terminals(tmp_path: Path) -> None:
    """It is asked for a PIN and shows the tap again beside it; elsewhere the tap is worth nothing."""

    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        tap = tapped(tag)
        assert await code(bench, with_tap(bench.redemption("", 10), tap)) == "1A"
        elsewhere = bench.message("0100", "306000", None, number=1)
        assert await code(bench, with_tap(elsewhere, tap)) == "82"
        digits = pin_digits({48: {0x15: tap}})
        with_pin = with_tap(bench.redemption("", 10, f52=pin(PIN, digits)), tap)
        assert await code(bench, with_pin) == "00"
        assert await code(bench, balance(bench, tap)) == "82"

    play(tmp_path, story, pin_from_points=5)


def test_a_pin_beside_a_tap_is_made_over_that_tap(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        tap = tapped(tag)
        other = pin_digits({48: {0x15: tapped(tag)}})
        wrong = with_tap(bench.redemption("", 10, f52=pin(PIN, other)), tap)
        assert await code(bench, wrong) == "55"

    play(tmp_path, story, pin_from_points=5)


@pytest.mark.parametrize("byte", [0, 7, 15, 16, 24, 31, 32, 39])
def test_a_tap_with_a_flipped_bit_is_nobodys(tmp_path: Path, byte: int) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        tap = bytearray(tapped(tag))
        tap[byte] ^= 1 << byte % 8
        for message in (bench.redemption("", 1), bench.earn("", 1), bench.activation("")):
            answer = await bench.one(with_tap(message, bytes(tap)))
            assert (answer["39"], "48" in answer) == ("82", False)
        assert await code(bench, with_tap(bench.redemption("", 1), tapped(tag))) == "00"

    play(tmp_path, story)


def test_parts_of_two_cards_taps_make_none(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        mine = await tapping_member(bench, 10)
        other = tag_of(bench, new_number(), UID[::-1])
        foreign = Ntag424(UID, bytes(16), new_number())
        for tag in (other, foreign):
            one, two = tapped(mine), tapped(tag)
            for mixed in (one[:16] + two[16:], one[:32] + two[32:], two[:16] + one[16:], two[:32] + one[32:]):
                assert await code(bench, with_tap(bench.redemption("", 1), mixed)) == "82"
        assert await code(bench, with_tap(bench.redemption("", 1), tapped(foreign))) == "82"
        assert await code(bench, with_tap(bench.redemption("", 1), tapped(other))) == "14", "genuine, unknown"

    play(tmp_path, story)


def test_a_thief_of_one_cards_keys_has_one_card(tmp_path: Path) -> None:
    """A card whose own keys leaked says another's number under them: to the HSM it is still that card."""

    async def story(bench: Bench) -> None:
        await tapping_member(bench, 10)
        leaked = TapKeys(meta_key(master_of(bench)), file_key(master_of(bench), UID[::-1]))
        forged = Ntag424(UID, leaked, new_number())
        assert await code(bench, with_tap(bench.redemption("", 1), tapped(forged))) == "82"

    play(tmp_path, story)


def test_three_replays_make_it_a_typed_number(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        old = tapped(tag)
        assert await code(bench, with_tap(bench.redemption("", 1), tapped(tag))) == "00"
        for _ in range(3):
            assert await code(bench, with_tap(bench.redemption("", 1), old)) == "82"
        tap = tapped(tag)
        assert await code(bench, with_tap(bench.redemption("", 1), tap)) == "1A", "genuine, but locked"
        digits = pin_digits({48: {0x15: tap}})
        assert await code(bench, with_tap(bench.redemption("", 1, f52=pin(PIN, digits)), tap)) == "00"
        assert await code(bench, with_tap(bench.redemption("", 1), tapped(tag))) == "00", "proved, and open"

    play(tmp_path, story)


def test_a_tap_is_reversed_by_the_tap_that_it_was(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        message = with_tap(bench.redemption("", 4), tapped(tag))
        assert await code(bench, message) == "00"
        assert await code(bench, bench.reversal_of(message)) == "00"
        assert int((await bench.one(balance(bench, tapped(tag)))).text("48.02")) == 10
        assert await code(bench, message) == "00", "the stored answer"
        unknown = with_tap(bench.redemption("", 4), tapped(tag))
        assert await code(bench, bench.reversal_of(unknown)) == "00"
        assert await code(bench, unknown) == "94", "its reversal came first"

    play(tmp_path, story)


def test_the_tap_belongs_to_the_transaction(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        message = with_tap(bench.redemption("", 1), tapped(tag))
        assert await code(bench, message) == "00"
        other = with_tap(Message(message.mti, {**message.fields, "48": {"01": f"{1:012d}"}}), tapped(tag))
        assert await code(bench, other) == "94", "the same numbers with another tap are another transaction"

    play(tmp_path, story)


def test_a_tap_may_be_enciphered_beside_a_code(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        tap = tapped(tag)
        hidden = enciphered(b"\x15\x28" + tap)
        message = bench.message("0100", "306000", None, f48={"20": hidden}, f22="071")
        assert await code(bench, message) == "00"
        twice = with_tap(bench.message("0100", "306000", None, f48={"20": hidden}), tap)
        assert await code(bench, twice) == "30"

    play(tmp_path, story)


def test_a_box_that_is_away_says_so_and_nothing_is_spent(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        tag = await tapping_member(bench, 10)
        tap = tapped(tag)
        for fault, answer in (
            (Fault.UNAVAILABLE, "91"),
            (Fault.UNSUPPORTED, "91"),
            (Fault.KEY_DAMAGED, "96"),
        ):
            bench.hsm.failing["tap_open"] = fault
            assert await code(bench, with_tap(bench.redemption("", 1), tap)) == answer
        del bench.hsm.failing["tap_open"]
        assert await code(bench, with_tap(bench.redemption("", 1), tap)) == "00"

    play(tmp_path, story)


# ---------------------------------------------------------------- chip cards


def test_a_chip_card_activates_earns_and_redeems(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        chip, number = await chip_member(bench, 10)
        assert await code(bench, proved(bench.redemption("", 4), chip)) == "00"
        assert await code(bench, inserted(bench.redemption("", 4), number)) == "1A", "no proof, no card"
        assert int((await bench.one(proved(bench.message("0100", "306000", None), chip))).text("48.02")) == 6

    play(tmp_path, story)


@pytest.mark.parametrize("changed", ["4", "11", "12", "41", "48.01", "2", "counter", "cryptogram", "code"])
def test_a_chips_proof_is_of_one_transaction_alone(tmp_path: Path, changed: str) -> None:
    """Whatever is changed after the card said it: who has a captured proof has nothing."""

    async def story(bench: Bench) -> None:
        chip, number = await chip_member(bench, 10)
        _, other_number = await chip_member(bench, 10)
        good = proved(bench.redemption("", 1), chip)
        fields, tags = dict(good.fields), dict(good["48"])  # type: ignore[arg-type]
        proof = bytearray(bytes(tags["16"]))  # type: ignore[arg-type]
        if changed == "4":
            fields["4"], tags["01"] = f"{2 * int(good.text('4')):012d}", f"{2:012d}"
        elif changed == "48.01":
            tags["01"] = f"{2:012d}"
        elif changed == "11":
            fields["11"] = f"{int(good.text('11')) + 500:06d}"
        elif changed == "12":
            fields["12"] = "000000" if good["12"] != "000000" else "000001"
        elif changed == "41":
            second = bench.settings.terminals[1]
            fields |= {"41": second.id, "42": second.acceptor}
        elif changed == "2":
            fields["2"] = other_number
        elif changed == "code":
            fields |= {"3": "210060"}
            del tags["01"]
        else:
            proof[3 if changed == "counter" else 11] ^= 1
            tags["16"] = bytes(proof)
        forged = Message(good.mti, {**fields, "48": tags})
        assert await code(bench, forged) == "82"
        assert await code(bench, proved(bench.redemption("", 1), chip)) == "00", "the card itself still does"
        assert await bench.points(number) == 9

    play(tmp_path, story)


def test_a_chips_counter_only_rises(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        chip, number = await chip_member(bench, 10)
        kept = proved(bench.redemption("", 1), chip)
        assert await code(bench, proved(bench.redemption("", 1), chip)) == "00"
        assert await code(bench, kept) == "82", "held back until the card was used again"
        clone = chip_of(bench, number)  # starts to count anew
        assert await code(bench, proved(bench.redemption("", 1), clone)) == "82"
        assert await bench.points(number) == 9

    play(tmp_path, story)


def test_three_wrong_cryptograms_lock_the_chip(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        chip, number = await chip_member(bench, 10)
        for _ in range(3):
            message = inserted(bench.redemption("", 1), number)
            assert await code(bench, with_proof(message, bytes((0, 0, 1, 0)) + bytes(8))) == "82"
        assert await code(bench, proved(bench.redemption("", 1), chip)) == "1A"
        with_pin = proved(bench.redemption("", 1, f52=pin(PIN, number)), chip)
        assert await code(bench, with_pin) == "00"
        assert await code(bench, proved(bench.redemption("", 1), chip)) == "00"

    play(tmp_path, story)


def test_chip_and_tap_of_one_card_count_apart(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        chip, number = await chip_member(bench, 10)
        tag = tag_of(bench, number, counter=500)
        assert await code(bench, with_tap(bench.redemption("", 1), tapped(tag))) == "00"
        assert await code(bench, proved(bench.redemption("", 1), chip)) == "00"

    play(tmp_path, story)


def test_a_proof_of_a_card_that_nobody_has_says_nothing_of_it(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        number = new_number()
        assert await code(bench, proved(bench.redemption("", 1), chip_of(bench, number))) == "14"
        message = inserted(bench.redemption("", 1), number)
        assert await code(bench, with_proof(message, bytes(12))) == "82"

    play(tmp_path, story)


def test_terminal_and_switch_ask_a_chip_the_same() -> None:
    fields = {
        "3": "406060",
        "4": "000000010000",
        "11": "000123",
        "12": "140305",
        "13": "0824",
        "41": "10000001",
    }
    for tags in (
        {},
        {"01": "000000000100"},
        {"0B": "9364001234567898"},
        {"01": "000000000100", "0B": "1" * 19},
    ):
        for left_out in ("", "4"):
            told = {name: value for name, value in fields.items() if name != left_out}
            there: dict[int, Any] = {int(name): value for name, value in told.items()}
            there[48] = {int(tag, 16): value for tag, value in tags.items()}
            assert challenge_of(Message("0200", {**told, "48": tags})) == asked_of(there)
