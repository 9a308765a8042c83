"""PINs and one-time codes: when they are asked for, what a wrong one costs, that nobody gets more tries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from switch.hsm.port import Fault
from switch.iso8583 import Message
from switch.ledger.verify import verify
from tests.server.bench import UNPROVEN, Bench, OnePeer, enciphered, hidden, pin
from tests.server.playing import play
from tests.server.running_switch import new_card

PIN, WRONG = "4711", "4712"
MOBILE = "989121234567"


async def member(bench: Bench, points: int = 0, **more: Any) -> str:
    """A new active card with a PIN and, with mobile=..., a mobile number; it holds points."""
    card = new_card()
    mobile = more.pop("mobile", None)
    tags = {"20": enciphered(bytes.fromhex("07") + _bcd(mobile))} if mobile else None
    fields: dict[str, Any] = {"f52": pin(PIN, card), "f48": tags, **more}
    assert (await bench.one(bench.activation(card, **fields)))["39"] == "00"
    if points:
        assert (await bench.one(bench.earn(card, points)))["39"] == "00"
    return card


def _bcd(digits: str) -> bytes:
    data = bytes.fromhex(digits + "F" * (len(digits) % 2))
    return bytes((len(data),)) + data


def typed(card: str, **more: Any) -> dict[str, Any]:
    return {"f35": None, "f2": card, "f22": "011", **more}


def with_pin(bench: Bench, card: str, points: int, digits: str = PIN) -> Message:
    return bench.redemption(card, points, f52=pin(digits, card))


def ledger_bytes(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.glob("ledger*"))


async def codes(bench: Bench, messages: list[Message]) -> list[str]:
    return [answer.text("39") for answer in await bench.ask(messages)]


# ---------------------------------------------------------------- when a proof is asked for


def test_a_swiped_card_needs_a_pin_above_the_programs_limit_only(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        assert (await bench.one(bench.redemption(card, 10)))["39"] == "00"
        refused = await bench.one(bench.redemption(card, 11))
        assert refused["39"] == "1A"
        assert "48" not in refused, "nobody hears of the balance"
        assert (await bench.one(with_pin(bench, card, 11)))["39"] == "00"
        assert (await bench.one(with_pin(bench, card, 1, WRONG)))["39"] == "55", (
            "a wrong PIN is never let pass"
        )
        assert await bench.points(card) == 79

    play(tmp_path, story, pin_from_points=10)


def test_without_a_limit_a_swipe_is_enough(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        assert (await bench.one(bench.redemption(card, 100)))["39"] == "00"

    play(tmp_path, story)


def test_a_typed_card_number_never_redeems_without_a_proof(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        refused = await bench.one(bench.redemption(card, 1, **typed(card)))
        assert (refused["39"], "48" in refused) == ("1A", False)
        assert (await bench.one(bench.redemption(card, 1, **typed(card, f52=pin(PIN, card)))))["39"] == "00"
        assert (await bench.one(bench.earn(card, 1, **typed(card))))["39"] == "00"

    play(tmp_path, story)


def test_a_mobile_number_names_the_member_and_never_redeems_without_a_proof(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100, mobile=MOBILE)
        named = bytes.fromhex("07") + _bcd(MOBILE)
        plain = {"f35": None, "f22": "011"}
        earn = bench.earn(card, 5, **plain, f48={"20": enciphered(named)})
        assert (await bench.one(earn))["48.02"] == "000000000105"
        refused = await bench.one(bench.redemption(None, 1, {"20": enciphered(named)}, f22="011"))
        assert (refused["39"], "48" in refused) == ("1A", False)
        assert (await bench.one(bench.code_request(None, f48={"20": enciphered(named)})))["39"] == "00"
        [(to, code)] = bench.post.sent
        assert to == MOBILE
        inside = bytes.fromhex("0603" + code) + named
        assert (await bench.one(bench.redemption(None, 5, {"20": enciphered(inside)})))["39"] == "00"
        by_pin = bench.redemption(None, 5, {"20": enciphered(named)}, f52=pin(PIN, MOBILE))
        assert (await bench.one(by_pin))["39"] == "00", "a block over the digits that were sent"
        assert await bench.points(card) == 95

    play(tmp_path, story)


def test_a_member_without_a_pin_is_asked_for_a_code(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, f52=None)
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "1A"
        assert await bench.points(card) == 10

    play(tmp_path, story)


def test_pin_and_code_at_once_are_two_guesses_and_refused(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        both = bench.redemption(card, 1, hidden("123456"), f52=pin(PIN, card))
        assert (await bench.one(both))["39"] == "30"
        assert await bench.points(card) == 10

    play(tmp_path, story)


def test_sign_on_tells_the_limit(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        terminal = bench.settings.terminals[0]
        fields = {"11": "000999", "41": terminal.id, "42": terminal.acceptor, "70": "001"}
        answer = await bench.one(Message("0800", fields))
        assert answer["48.13"] == "000000000010"

    play(tmp_path, story, pin_from_points=10)


# ---------------------------------------------------------------- wrong PINs


def test_three_wrong_pins_lock_until_a_reset(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100, mobile=MOBILE)
        tries = [await bench.one(with_pin(bench, card, 1, WRONG)) for _ in range(3)]
        assert [answer["39"] for answer in tries] == ["55"] * 3
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "75", "the right one too"
        locked = bench.pin_change(card, "1234", f52=pin(PIN, card))
        assert (await bench.one(locked))["39"] == "75"
        assert (await bench.one(bench.code_request(card)))["39"] == "00"
        reset = bench.pin_change(card, "1234", tags=hidden(bench.post.sent[-1][1]))
        assert (await bench.one(reset))["39"] == "00"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "55"
        assert (await bench.one(with_pin(bench, card, 1, "1234")))["39"] == "00"
        assert await bench.points(card) == 99

    play(tmp_path, story)


def test_a_right_pin_starts_the_count_over(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        for _ in range(4):
            for _ in range(2):
                assert (await bench.one(with_pin(bench, card, 1, WRONG)))["39"] == "55"
            assert (await bench.one(with_pin(bench, card, 1)))["39"] == "00"

    play(tmp_path, story)


def test_wrong_pin_and_bad_block_are_answered_and_counted_alike(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        wrong = with_pin(bench, card, 1, WRONG)
        other_card = bench.redemption(card, 1, f52=pin(PIN, "9364009999999999"))
        noise = bench.redemption(card, 1, f52=bytes(range(16)))
        answers = [await bench.one(message) for message in (wrong, other_card, noise)]
        bodies = set()
        for answer in answers:
            fields = {name: value for name, value in answer.fields.items() if name not in ("11", "12", "37")}
            bodies.add(repr(sorted(fields.items())))
        assert len(bodies) == 1
        assert answers[0]["39"] == "55"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "75"

    play(tmp_path, story)


@pytest.mark.parametrize("waits", [False, True])
def test_fifty_guesses_in_flight_are_three(tmp_path: Path, waits: bool) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        guesses = [with_pin(bench, card, 1, f"{number:04d}") for number in range(50)]
        payloads = [bench.sealed(message) for message in guesses]
        if waits:
            bench.hsm.late.add("pin_verify")
        peer = bench.put(payloads)
        if waits:
            await bench.hsm.waiting(50)
            bench.hsm.late.clear()
            bench.hsm.let_go()
        await bench.finished(peer)
        answers = [answer.text("39") for answer in bench.genuine(payloads, peer.answers)]
        assert sorted(answers) == ["55"] * 3 + ["75"] * 47
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "75"

    play(tmp_path, story)


def test_the_right_pin_among_fifty_guesses_comes_too_late_after_three(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        digits = ["0001", "0002", "0003", *[PIN] * 47]
        answers = await codes(bench, [with_pin(bench, card, 1, one) for one in digits])
        assert answers == ["55"] * 3 + ["75"] * 47
        assert await bench.points(card) == 100

    play(tmp_path, story)


def test_a_repeat_is_never_a_guess(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        wrong = with_pin(bench, card, 1, WRONG)
        first = await bench.one(wrong)
        for digits in (WRONG, PIN, "0000", PIN):
            again = Message("0201", {**wrong.fields, "52": pin(digits, card)})
            answer = await bench.one(Message("0200", again.fields))
            assert answer == first, "the stored answer, whatever PIN comes with it"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "00"

    play(tmp_path, story)


def test_an_identical_frame_is_never_a_guess_even_in_flight(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        payload = bench.sealed(with_pin(bench, card, 1, WRONG))
        bench.hsm.late.add("pin_verify")
        peer = bench.put([payload] * 20)
        await bench.hsm.waiting(1)
        bench.hsm.late.clear()
        bench.hsm.let_go()
        await bench.finished(peer)
        assert len(peer.answers) == 20
        assert len(set(peer.answers)) == 1
        assert bench.hsm.calls.count("pin_verify") == 1
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "00"

    play(tmp_path, story)


def test_a_failed_commit_counts_a_guess_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        for failure in ("stage", "before", "after"):
            bench.engine.plan = [failure]
            assert (await bench.one(with_pin(bench, card, 1, WRONG)))["39"] == "55"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "75"

    play(tmp_path, story)


def test_tries_and_verifier_survive_a_restart_and_are_verified(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100, mobile=MOBILE)
        for _ in range(2):
            assert (await bench.one(with_pin(bench, card, 1, WRONG)))["39"] == "55"
        await bench.close()
        bench.start()
        assert (await bench.one(with_pin(bench, card, 1, WRONG)))["39"] == "55"
        await bench.close()
        bench.start()
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "75"
        assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.UNAVAILABLE, "86"),
        (Fault.UNSUPPORTED, "86"),
        (Fault.KEY_DAMAGED, "96"),
        (Fault.BAD_INPUT, "96"),
    ],
)
def test_a_pin_that_cannot_be_checked_is_refused_for_the_moment(
    tmp_path: Path, fault: Fault, code: str
) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100)
        asked = with_pin(bench, card, 1)
        bench.hsm.failing["pin_verify"] = fault
        for _ in range(5):
            assert (await bench.one(asked))["39"] == code
        bench.hsm.failing.clear()
        assert (await bench.one(asked))["39"] == "00", "nothing was stored, no try was counted"
        assert [line["alarm"] for line in bench.lines if line["event"] == "HSM failed"] == [
            fault is Fault.KEY_DAMAGED
        ]

    play(tmp_path, story)


# ---------------------------------------------------------------- PIN: first, changed, taken back


def test_a_pin_is_changed_with_the_one_of_now(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        assert (await bench.one(bench.pin_change(card, "123456")))["39"] == "1A"
        assert (await bench.one(bench.pin_change(card, "123456", f52=pin(WRONG, card))))["39"] == "55"
        assert (await bench.one(bench.pin_change(card, "123456", f52=pin(PIN, card))))["39"] == "00"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "55"
        assert (await bench.one(with_pin(bench, card, 1, "123456")))["39"] == "00"

    play(tmp_path, story)


def test_guessing_by_pin_changes_is_counted_too(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        changes = [bench.pin_change(card, "1234", f52=pin(f"{number:04d}", card)) for number in range(5)]
        assert await codes(bench, changes) == ["55", "55", "55", "75", "75"]

    play(tmp_path, story)


def test_a_bad_new_block_changes_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        change = bench.pin_change(card, "1234", "9364009999999999", f52=pin(PIN, card))
        assert (await bench.one(change))["39"] == "30"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "00"

    play(tmp_path, story)


def test_a_first_pin_in_a_bad_block_activates_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = new_card()
        assert (await bench.one(bench.activation(card, f52=bytes(16))))["39"] == "55"
        assert (await bench.one(bench.balance(card)))["39"] == "14"

    play(tmp_path, story)


def test_a_pin_change_is_not_taken_back(tmp_path: Path) -> None:
    """The old PIN may be the stolen one, and its return would give three more tries."""

    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        change = bench.pin_change(card, "1234", f52=pin(PIN, card))
        assert (await bench.one(change))["39"] == "00"
        for _ in range(3):
            assert (await bench.one(with_pin(bench, card, 1, WRONG)))["39"] == "55"
        assert (await bench.one(without_tags(bench.reversal_of(change))))["39"] == "12"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "75"
        assert (await bench.one(with_pin(bench, card, 1, "1234")))["39"] == "75"

    play(tmp_path, story)


def test_a_supervisor_answers_for_a_member_whose_card_is_replaced_and_for_nothing_else(
    tmp_path: Path,
) -> None:
    async def story(bench: Bench) -> None:
        card, other = await member(bench, 10), new_card()
        replace = bench.message("0300", "750000", card, f48={"0B": other}, **typed(card))
        assert (await bench.one(replace))["39"] == "1A"
        wrong = {"f48": {"0B": other, "17": "01"}, "f52": pin(WRONG, card)}
        assert (await bench.one(bench.message("0300", "750000", card, **typed(card, **wrong))))["39"] == "55"
        vouched = typed(card, f48={"0B": other, "17": "01"})
        assert (await bench.one(bench.message("0300", "750000", card, **vouched)))["39"] == "00"
        assert (await bench.one(bench.balance(card)))["39"] == "14"
        assert await bench.points(other) == 10
        assert (await bench.one(bench.redemption(other, 1)))["39"] == "57", "not before some hours"
        assert (await bench.one(bench.message("0300", "730000", other)))["39"] == "00"
        unblock = bench.message("0300", "740000", other, f48={"17": "01"})
        assert (await bench.one(unblock))["39"] == "30"
        assert (await bench.one(bench.redemption(other, 1, {"17": "01"})))["39"] == "30"

    play(tmp_path, story)


@pytest.mark.parametrize("since", ["an earn", "a debt", "a new PIN", "a first PIN"])
def test_an_activation_is_not_taken_back_from_a_member_who_has_something(tmp_path: Path, since: str) -> None:
    """Or whoever holds the terminal takes account, PIN and mobile number over."""

    async def story(bench: Bench) -> None:
        card = new_card()
        first_pin = None if since == "a first PIN" else pin(PIN, card)
        activation = bench.activation(card, f52=first_pin)
        assert (await bench.one(activation))["39"] == "00"
        if since == "a new PIN":
            assert (await bench.one(bench.pin_change(card, "1234", f52=pin(PIN, card))))["39"] == "00"
        elif since == "a first PIN":
            again = bench.activation(card, f52=pin(PIN, card))
            assert (await bench.one(again))["39"] == "21"
            assert (await bench.one(bench.earn(card, 5)))["39"] == "00"
        else:
            earn = bench.earn(card, 5)
            assert (await bench.one(earn))["39"] == "00"
            if since == "a debt":
                assert (await bench.one(with_pin(bench, card, 5)))["39"] == "00"
                assert (await bench.one(bench.reversal_of(earn)))["39"] == "00"
        before = await bench.one(bench.balance(card))
        assert (await bench.one(without_tags(bench.reversal_of(activation))))["39"] == "12"
        assert (await bench.one(bench.balance(card)))["48"] == before["48"]
        assert (await bench.one(bench.activation(card, f52=pin("9999", card))))["39"] == "21"

    play(tmp_path, story)


def without_tags(reversal: Message) -> Message:
    return Message("0420", {name: value for name, value in reversal.fields.items() if name != "48"})


@pytest.mark.parametrize(
    ("track", "mode"),
    [("{}", "021"), ("{}=", "021"), ("{}=0000000"[:-1], "021"), ("{}=2912101000000001", "011")],
)
def test_a_typed_number_in_track_2_is_no_card(tmp_path: Path, track: str, mode: str) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        message = bench.redemption(card, 1, f35=track.format(card), f22=mode)
        assert (await bench.one(message))["39"] == "30"
        assert await bench.points(card) == 10

    play(tmp_path, story)


def test_a_reversed_activation_leaves_neither_pin_nor_mobile_number(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = new_card()
        tags = {"20": enciphered(bytes.fromhex("07") + _bcd(MOBILE))}
        first = bench.activation(card, f52=pin(WRONG, card), f48=tags)
        assert (await bench.one(first))["39"] == "00"
        reversal = bench.reversal_of(first)
        fields = {name: value for name, value in reversal.fields.items() if name != "48"}
        assert (await bench.one(Message("0420", fields)))["39"] == "00"
        other = await member(bench, mobile=MOBILE)
        assert (await bench.one(bench.activation(card, f52=pin(PIN, card))))["39"] == "00"
        assert (await bench.one(bench.earn(card, 5)))["39"] == "00"
        assert (await bench.one(with_pin(bench, card, 1)))["39"] == "00"
        assert (await bench.one(bench.code_request(card)))["39"] == "12", "the number is the other's now"
        assert (await bench.one(bench.code_request(other)))["39"] == "00"

    play(tmp_path, story)


def test_a_mobile_number_belongs_to_one_member(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        await member(bench, mobile=MOBILE)
        card = new_card()
        tags = {"20": enciphered(bytes.fromhex("07") + _bcd(MOBILE))}
        refused = await bench.one(bench.activation(card, f48=tags))
        assert (refused["39"], refused["48.04"]) == ("12", "0301")
        assert (await bench.one(bench.balance(card)))["39"] == "14"

    play(tmp_path, story)


# ---------------------------------------------------------------- one-time codes


def test_a_code_is_good_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        assert (await bench.one(bench.code_request(card, **typed(card))))["39"] == "00"
        [(to, code)] = bench.post.sent
        assert to == MOBILE
        assert (await bench.one(bench.redemption(card, 1, hidden(code), **typed(card))))["39"] == "00"
        assert (await bench.one(bench.redemption(card, 1, hidden(code), **typed(card))))["39"] == "1A"
        assert await bench.points(card) == 9

    play(tmp_path, story)


def test_three_wrong_codes_and_it_is_worth_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        await bench.one(bench.code_request(card))
        code = bench.post.sent[-1][1]
        wrong = f"{(int(code) + 1) % 10**6:06d}"
        tries = [bench.redemption(card, 1, hidden(digits)) for digits in (wrong, wrong, wrong, code)]
        assert await codes(bench, tries) == ["55", "55", "55", "75"]
        assert (await bench.one(bench.code_request(card)))["39"] == "75", "no three tries more at once"
        bench.clock.ahead_ms = 120_000
        assert (await bench.one(bench.redemption(card, 1, hidden(code))))["39"] == "1A"
        assert (await bench.one(bench.code_request(card)))["39"] == "00"
        good = bench.post.sent[-1][1]
        assert (await bench.one(bench.redemption(card, 1, hidden(good))))["39"] == "00"

    play(tmp_path, story)


def test_a_new_code_does_not_give_new_tries_while_the_old_one_lives(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        answers = []
        for number in range(5):
            await bench.one(bench.code_request(card))
            answers.append((await bench.one(bench.redemption(card, 1, hidden(f"{number:06d}"))))["39"])
        assert answers == ["55", "55", "55", "75", "75"]

    play(tmp_path, story)


def test_a_code_expires(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        await bench.one(bench.code_request(card))
        bench.clock.ahead_ms = 119_000
        code = bench.post.sent[-1][1]
        assert (await bench.one(bench.redemption(card, 1, hidden(code))))["39"] == "00"
        await bench.one(bench.code_request(card))
        bench.clock.ahead_ms += 120_001
        code = bench.post.sent[-1][1]
        assert (await bench.one(bench.redemption(card, 1, hidden(code))))["39"] == "1A"

    play(tmp_path, story)


def test_a_code_belongs_to_its_member(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        mine = await member(bench, 10, mobile=MOBILE)
        other = await member(bench, 10, mobile="989121234568")
        await bench.ask([bench.code_request(mine), bench.code_request(other)])
        sent = dict(bench.post.sent)
        stolen = bench.redemption(other, 1, hidden(sent[MOBILE]))
        assert (await bench.one(stolen))["39"] == "55"

    play(tmp_path, story)


def test_a_code_goes_out_only_after_it_is_stored(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        bench.engine.plan = ["stage", "stage"]
        assert await bench.one(bench.code_request(card)) is UNPROVEN
        assert bench.post.sent == []
        bench.engine.plan = ["before"]
        assert (await bench.one(bench.code_request(card)))["39"] == "00"
        [(_, code)] = bench.post.sent
        assert (await bench.one(bench.redemption(card, 1, hidden(code))))["39"] == "00"

    play(tmp_path, story)


def test_a_repeated_request_sends_no_second_code(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        request = bench.code_request(card)
        assert [answer["39"] for answer in await bench.ask([request])] == ["00"]
        assert (await bench.one(request))["39"] == "00"
        assert len(bench.post.sent) == 1

    play(tmp_path, story)


def test_without_a_number_or_a_carrier_no_code_is_sent(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        refused = await bench.one(bench.code_request(card))
        assert (refused["39"], refused["48.04"]) == ("12", "0302")
        other = await member(bench, 10, mobile=MOBILE)
        bench.post.fails = True
        assert (await bench.one(bench.code_request(other)))["39"] == "91"
        assert any(line["event"] == "one-time code not sent" for line in bench.lines)

    play(tmp_path, story)


def test_a_switch_without_a_carrier_says_so(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        assert (await bench.one(bench.code_request(card)))["39"] == "91"
        assert any("no carrier" in line["event"] for line in bench.lines)

    play(tmp_path, story, codes=False)


def test_a_member_is_sent_so_many_codes_in_a_period(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card, other = await member(bench, 10, mobile=MOBILE), await member(bench, 10, mobile="989121234568")
        answers = await codes(bench, [bench.code_request(card) for _ in range(20)])
        assert sorted(answers) == ["00"] * 3 + ["65"] * 17
        assert len(bench.post.sent) == 3
        refused = await bench.one(bench.code_request(card, **typed(card)))
        assert (refused["48.04"], refused["48.05"]) == ("0303", f"{60:012d}")
        from_elsewhere = await bench.one(bench.code_request(card, number=1))
        assert from_elsewhere["48.04"] == "0303", "whoever asks"
        assert (await bench.one(bench.code_request(other)))["39"] == "00"
        code = bench.post.sent[2][1]
        assert (await bench.one(bench.redemption(card, 1, hidden(code))))["39"] == "00", "the last"
        bench.clock.ahead_ms = 3_599_000
        assert (await bench.one(bench.code_request(card)))["48.05"] == f"{1:012d}"
        bench.clock.ahead_ms = 3_600_000
        assert (await bench.one(bench.code_request(card)))["39"] == "00"

    play(tmp_path, story, codes_per_member=3)


def test_a_terminal_asks_for_so_many_codes_in_a_period(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        cards = [await member(bench, 1, mobile=f"98912123456{n}") for n in range(5)]
        answers = await codes(bench, [bench.code_request(card) for card in cards])
        assert answers == ["00"] * 4 + ["65"]
        assert len(bench.post.sent) == 4
        assert (await bench.one(bench.code_request(cards[4])))["48.04"] == "0304"
        assert (await bench.one(bench.code_request(cards[4], number=1)))["39"] == "00", "another terminal"
        bench.clock.ahead_ms = 3_600_000
        assert (await bench.one(bench.code_request(cards[4])))["39"] == "00"

    play(tmp_path, story, codes_per_terminal=4)


def test_counts_of_codes_survive_a_restart_and_are_verified(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        bench.engine.plan = ["before"]
        for _ in range(2):
            assert (await bench.one(bench.code_request(card)))["39"] == "00"
        await bench.close()
        bench.start()
        assert (await bench.one(bench.code_request(card)))["39"] == "65"
        await bench.close()
        assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []
        bench.start()

    play(tmp_path, story, codes_per_member=2)


def test_a_request_that_sends_nothing_is_not_counted(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        without, card = await member(bench, 10), await member(bench, 10, mobile=MOBILE)
        unknown = new_card()
        asked = [bench.code_request(one) for one in (without, unknown) for _ in range(3)]
        assert await codes(bench, asked) == ["12"] * 3 + ["14"] * 3
        request = bench.code_request(card)
        assert [(await bench.one(request))["39"] for _ in range(3)] == ["00"] * 3, "one request, repeated"
        assert (await bench.one(bench.code_request(card)))["39"] == "65"

    play(tmp_path, story, codes_per_terminal=1)


# ---------------------------------------------------------------- personal data


@pytest.mark.parametrize("operation", ["redeem", "pin_change"])
def test_a_code_in_clear_is_refused_on_a_plain_line(tmp_path: Path, operation: str) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        await bench.one(bench.code_request(card))
        code = {"06": bench.post.sent[-1][1]}
        if operation == "redeem":
            clear = bench.redemption(card, 1, code)
        else:
            clear = bench.pin_change(card, "1234", tags=code)
        assert (await bench.one(clear))["39"] == "30"
        peer = OnePeer()
        await bench.send([bench.sealed(clear)], peer)
        assert peer.reports == [("one-time code in clear", {"terminal": "10000001"})]
        assert (await bench.one(clear, private=True))["39"] == "00", "TLS hides it"

    play(tmp_path, story)


def test_terminals_that_cannot_encipher_are_let_in_by_the_settings(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        await bench.one(bench.code_request(card))
        clear = bench.redemption(card, 1, {"06": bench.post.sent[-1][1]})
        assert (await bench.one(clear))["39"] == "00"
        mobile = bench.activation(new_card(), f48={"07": "989121234568"})
        assert (await bench.one(mobile))["39"] == "30", "a mobile number is another matter"

    play(tmp_path, story, clear_codes=True)


def test_a_code_names_nobody(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        await bench.one(bench.code_request(card))
        code = bench.post.sent[-1][1]
        assert (await bench.one(bench.redemption(None, 1, hidden(code))))["39"] == "30"
        both = {"20": enciphered(bytes.fromhex("0603" + code + "07") + _bcd(MOBILE))}
        assert (await bench.one(bench.redemption(card, 1, both)))["39"] == "30", "card and mobile number"
        assert (await bench.one(bench.redemption(None, 1, both)))["39"] == "00"

    play(tmp_path, story)


def test_a_mobile_number_in_clear_is_refused_on_a_plain_line(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = new_card()
        clear = bench.activation(card, f48={"07": MOBILE})
        assert (await bench.one(clear))["39"] == "30"
        assert (await bench.one(clear, private=True))["39"] == "00"

    play(tmp_path, story)


@pytest.mark.parametrize(
    "inside",
    [
        bytes.fromhex("0706989121234567") + bytes.fromhex("0706989121234567"),
        bytes.fromhex("2010") + bytes(16),
        bytes.fromhex("07"),
        bytes.fromhex("0703989121"),
        b"",
    ],
)
def test_enciphered_data_that_holds_no_tags_are_refused(tmp_path: Path, inside: bytes) -> None:
    async def story(bench: Bench) -> None:
        message = bench.code_request(None, f48={"20": enciphered(inside)})
        assert (await bench.one(message))["39"] == "30"
        other_key = bench.keys[1].transmission().enciphered(bytes.fromhex("0706989121234567"))
        assert (await bench.one(bench.code_request(None, f48={"20": other_key})))["39"] == "30"

    play(tmp_path, story)


def test_an_advice_sent_again_under_another_serial_is_the_same_transaction(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile=MOBILE)
        tags = {"20": enciphered(bytes.fromhex("07") + _bcd(MOBILE))}
        advice = bench.earn(card, 5, f35=None, f48=tags)
        advice = Message("0220", advice.fields)
        first = await bench.one(advice)
        assert first["39"] == "00"
        assert await bench.one(Message("0221", advice.fields)) == first
        assert await bench.points(card) == 15

    play(tmp_path, story)


def test_nothing_secret_is_logged_or_stored(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 100, mobile=MOBILE)
        await bench.ask([with_pin(bench, card, 1, WRONG), with_pin(bench, card, 1)])
        await bench.one(bench.code_request(card))
        code = bench.post.sent[-1][1]
        await bench.one(bench.redemption(card, 1, hidden(code)))
        peer = OnePeer()
        await bench.send([bench.sealed(with_pin(bench, card, 1))[:-1] + b"\0"], peer)
        said = bench.log.getvalue() + repr(peer.reports) + repr(peer.alarms)
        await bench.close()
        stored = ledger_bytes(tmp_path)
        for secret in (card, MOBILE, code):
            assert secret not in said
            assert secret.encode() not in stored
            if secret != code:  # three bytes come up by chance among so many
                assert bytes.fromhex(secret) not in stored
        bench.start()

    play(tmp_path, story)
