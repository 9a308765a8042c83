"""Card verification values: a track that nobody issued spends nothing, and no value is found by trying."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from switch.defaults import create_defaults
from switch.hsm import InProcessHsm, KeyStore
from switch.hsm.pkcs11 import CAPABILITIES
from switch.hsm.port import Fault, KeyAlgorithm, KeyUse
from switch.iso8583 import Message
from switch.keys import KeysError, SwitchKeys, check_capable, read_master_key
from switch.ledger.verify import verify
from switch.server import card_values
from tests.server.bench import Bench, OnePeer, pin
from tests.server.playing import play
from tests.server.running_switch import new_card
from tests.server.test_member_proofs import PIN, ledger_bytes, member, typed, with_pin
from tools.cli import run

VALUE = slice(-8, -5)  # of the tracks made here: first in eight digits of discretionary data


def with_value(track: str, value: str) -> str:
    return track[:-8] + value + track[-5:]


def wrong_value(track: str, step: int = 1) -> str:
    return with_value(track, f"{(int(track[VALUE]) + step) % 1000:03d}")


def swiped(bench: Bench, card: str, track: str, points: int = 1, **more: Any) -> Message:
    return bench.redemption(card, points, f35=track, **more)


async def code(bench: Bench, message: Message) -> str:
    return (await bench.one(message)).text("39")


def test_an_issued_card_redeems(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        for _ in range(3):
            assert await code(bench, bench.redemption(card, 1)) == "00"
        assert bench.hsm.calls.count("card_value_verify") == 1, "a right value is remembered"
        assert await bench.points(card) == 7

    play(tmp_path, story)


@pytest.mark.parametrize(
    "forged",
    [
        "expiry",
        "service code",
        "value",
        "another card's value",
        "no value",
        "part of a value",
        "only zeros",
        "another key's value",
    ],
)
def test_a_made_up_track_spends_nothing(tmp_path: Path, forged: str) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        good = bench.track(card)
        tracks = {
            "expiry": good.replace("=2912", "=3012"),
            "service code": good.replace("=2912101", "=2912201"),
            "value": wrong_value(good),
            "another card's value": await _of_another(bench, card, good),
            "no value": good[:-8],
            "part of a value": good[:-8] + good[VALUE][:2],
            "only zeros": with_value(good, "000" if good[VALUE] != "000" else "001"),
            "another key's value": await _of_another_key(bench, card, good),
        }
        assert await code(bench, swiped(bench, card, good)) == "00"
        answer = await bench.one(swiped(bench, card, tracks[forged]))
        assert (answer["39"], "48" in answer) == ("82", False), "nobody hears of the balance"
        with_a_pin = swiped(bench, card, tracks[forged], f52=pin(PIN, card))
        assert await code(bench, with_a_pin) == "82", "a PIN makes no card of it"
        assert await code(bench, swiped(bench, card, good)) == "00", "the card itself still does"
        assert await bench.points(card) == 8

    play(tmp_path, story)


async def _of_another(bench: Bench, card: str, good: str) -> str:
    while True:
        value = bench.track(new_card())[VALUE]
        if value != good[VALUE]:
            return with_value(good, value)


async def _of_another_key(bench: Bench, card: str, good: str) -> str:
    hsm = InProcessHsm(read_master_key(bench.settings.hsm.master_key_file))
    while True:
        key = await hsm.generate_key(KeyUse.CARD_VALUE, KeyAlgorithm.TDES_2)
        value = await hsm.card_value_generate(key, card, "2912", "101")
        if value != good[VALUE]:
            return with_value(good, value)


@pytest.mark.parametrize("mode", ["021", "051", "071", "801", "901", "000"])
def test_the_track_is_checked_whatever_the_entry_mode_says(tmp_path: Path, mode: str) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        forged = wrong_value(bench.track(card))
        assert await code(bench, swiped(bench, card, forged, f22=mode)) == "82"
        assert await code(bench, bench.redemption(card, 1, **typed(card, f22=mode))) == "1A", (
            "no track, no card"
        )
        assert await bench.points(card) == 10

    play(tmp_path, story)


def test_a_thousand_tries_do_not_find_a_value(tmp_path: Path) -> None:
    """All come at once and the HSM answers late."""

    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        good = bench.track(card)
        bench.hsm.late.add("card_value_verify")
        payloads = [bench.sealed(swiped(bench, card, wrong_value(good, step))) for step in range(1, 1000)]
        peer = bench.put(payloads)
        await bench.hsm.waiting(999)
        bench.hsm.late.clear()
        bench.hsm.let_go()
        await bench.finished(peer)
        answers = [answer.text("39") for answer in bench.genuine(payloads, peer.answers)]
        assert (answers.count("82"), answers.count("1A")) == (3, 996)
        assert await code(bench, swiped(bench, card, good)) == "1A", "the right one too, from now on"
        assert [what for what, _ in peer.alarms] == ["card verification value wrong"] * 3

    play(tmp_path, story)


def test_a_locked_card_is_worth_its_number_until_the_member_proves_itself(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 20)
        good = bench.track(card)
        for _ in range(3):
            assert await code(bench, swiped(bench, card, wrong_value(good))) == "82"
        await bench.close()
        bench.start()
        assert await code(bench, swiped(bench, card, good)) == "1A"
        assert await code(bench, with_pin(bench, card, 1, "0000")) == "55"
        assert await code(bench, swiped(bench, card, good)) == "1A", "a wrong PIN opens nothing"
        assert await code(bench, with_pin(bench, card, 1)) == "00"
        assert await code(bench, swiped(bench, card, good)) == "00"
        assert await code(bench, swiped(bench, card, wrong_value(good))) == "82", "three new tries"
        await bench.close()
        assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []
        bench.start()

    play(tmp_path, story)


def test_a_locked_card_of_a_member_that_can_prove_nothing_leads_to_a_new_card(tmp_path: Path) -> None:
    """To ask for a PIN that there is none of would lead nowhere; two people take the points along."""

    async def story(bench: Bench) -> None:
        card, new = new_card(), new_card()
        rrn = (await bench.one(bench.activation(card))).text("37")
        assert await code(bench, bench.earn(card, 10)) == "00"
        for _ in range(3):
            assert await code(bench, swiped(bench, card, wrong_value(bench.track(card)))) == "82"
        for more in ({}, {"f52": pin(PIN, card)}, {"f52": pin(PIN, card)}):
            refused = await bench.one(bench.redemption(card, 1, **more))
            assert (refused["39"], refused.text("48.04")) == ("57", "0308")
            assert "48.02" not in refused, "nobody hears of the balance"
        assert await code(bench, bench.redemption(card, 1, **typed(card))) == "1A", "a number says nothing"
        assert await code(bench, bench.earn(card, 5)) == "00"

        new_rrn = (await bench.one(bench.activation(new, f52=pin(PIN, new)))).text("37")
        await bench.close()
        by_two(tmp_path, rrn, -15)
        by_two(tmp_path, new_rrn, 15)
        bench.start()
        assert await bench.points(card) == 0
        assert await code(bench, bench.redemption(new, 15)) == "00"

    play(tmp_path, story)


def test_a_member_with_a_mobile_number_alone_is_asked_for_a_code(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10, mobile="09123456789", f52=None)
        for _ in range(3):
            assert await code(bench, swiped(bench, card, wrong_value(bench.track(card)))) == "82"
        assert await code(bench, bench.redemption(card, 1)) == "1A"

    play(tmp_path, story)


def by_two(directory: Path, rrn: str, points: int) -> None:
    """A correction that one person asks for and another approves."""
    place = ["--data", str(directory)]
    asked = ["--rrn", rrn, "--points", str(points), "--reason", "card-locked", "--by", "Sara Karimi"]
    assert run(["ledger", "correct", *asked, *place]) == 0
    number = "1" if points < 0 else "2"
    assert run(["ledger", "approve", number, "--by", "Reza Ahmadi", *place]) == 0


def test_a_right_card_does_not_start_the_count_over(tmp_path: Path) -> None:
    """Or a thief could try on, two values between any two visits."""

    async def story(bench: Bench) -> None:
        card = await member(bench, 20)
        good = bench.track(card)
        answers = []
        for _ in range(4):
            answers.append(await code(bench, swiped(bench, card, wrong_value(good))))
            answers.append(await code(bench, swiped(bench, card, good)))
        assert answers == ["82", "00", "82", "00", "82", "1A", "1A", "1A"]

    play(tmp_path, story)


def test_a_track_without_a_value_is_no_guess(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 20)
        good = bench.track(card)
        for _ in range(5):
            assert await code(bench, swiped(bench, card, good[:-8])) == "82"
        assert await code(bench, swiped(bench, card, good)) == "00"

    play(tmp_path, story)


def test_what_spends_nothing_is_no_place_to_try_values_at(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        forged = wrong_value(bench.track(card))
        assert await code(bench, bench.earn(card, 1, f35=forged)) == "00"
        assert await code(bench, Message("0100", {**bench.balance(card).fields, "35": forged})) == "00"
        unused = new_card()
        assert await code(bench, bench.activation(unused, f35=wrong_value(bench.track(unused)))) == "00"
        assert "card_value_verify" not in bench.hsm.calls

    play(tmp_path, story)


def test_a_reversal_takes_back_what_the_card_spent(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        spent = bench.redemption(card, 4)
        assert await code(bench, spent) == "00"
        assert await code(bench, bench.reversal_of(spent)) == "00"
        assert await bench.points(card) == 10

    play(tmp_path, story)


def test_a_repeat_of_a_wrong_value_is_no_further_try(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        wrong = swiped(bench, card, wrong_value(bench.track(card)))
        assert [await code(bench, wrong) for _ in range(4)] == ["82"] * 4
        assert await code(bench, bench.redemption(card, 1)) == "00"

    play(tmp_path, story)


def test_a_failed_commit_counts_a_wrong_value_once(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        good = bench.track(card)
        for failure in ("stage", "before"):
            bench.engine.plan = [failure]
            assert await code(bench, swiped(bench, card, wrong_value(good))) == "82"
        assert await code(bench, swiped(bench, card, good)) == "00"
        assert await code(bench, swiped(bench, card, wrong_value(good))) == "82"
        assert await code(bench, swiped(bench, card, good)) == "1A"

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("fault", "expected"), [(Fault.UNAVAILABLE, "91"), (Fault.KEY_DAMAGED, "96"), (Fault.BAD_INPUT, "96")]
)
def test_a_value_that_cannot_be_checked_is_refused_for_the_moment(
    tmp_path: Path, fault: Fault, expected: str
) -> None:
    async def story(bench: Bench) -> None:
        card, known = await member(bench, 10), await member(bench, 10)
        assert await code(bench, bench.redemption(known, 1)) == "00"
        asked = bench.redemption(card, 1)
        bench.hsm.failing["card_value_verify"] = fault
        for _ in range(5):
            assert await code(bench, asked) == expected
        assert await code(bench, bench.redemption(known, 1)) == "00", "it was right before"
        bench.hsm.failing.clear()
        assert await code(bench, asked) == "00", "nothing was stored, no try was counted"

    play(tmp_path, story)


@pytest.mark.parametrize("offset", [1, 5])
def test_the_value_stands_where_the_program_says(tmp_path: Path, offset: int) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        good = bench.track(card)
        assert good[-8 : -8 + offset] == "0" * offset
        assert await code(bench, bench.redemption(card, 1)) == "00"
        value = good[-8 + offset :][:3]
        moved = good[:-8] + (value + "00000000")[:8]
        if moved != good:
            assert await code(bench, swiped(bench, card, moved)) == "82"

    play(tmp_path, story, card_value_offset=offset)


def test_a_program_without_values_takes_every_track(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        assert await code(bench, swiped(bench, card, f"{card}=9912999")) == "00"
        assert "card_value_verify" not in bench.hsm.calls

    play(tmp_path, story, card_values="off")


def test_cards_of_the_key_before_are_still_good_until_it_is_revoked(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        old = bench.track(card)
        hsm = InProcessHsm(read_master_key(bench.settings.hsm.master_key_file))
        store = KeyStore.load(bench.settings.hsm.key_store)
        while True:
            key = await hsm.generate_key(KeyUse.CARD_VALUE, KeyAlgorithm.TDES_2)
            value = await hsm.card_value_generate(key, card, "2912", "101")
            if value != old[VALUE]:
                break
        store.add("card/value", key, KeyAlgorithm.TDES_2, ("test",))
        store.save()
        await bench.close()
        bench.start()
        for track in (old, with_value(old, value)):
            assert await code(bench, swiped(bench, card, track)) == "00"
        store.revoke("card/value", 1)
        store.save()
        await bench.close()
        bench.start()
        assert await code(bench, swiped(bench, card, old)) == "82"
        assert await code(bench, swiped(bench, card, with_value(old, value))) == "00"

    play(tmp_path, story)


def test_no_more_values_are_remembered_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_values, "MOST_KNOWN", 2)

    async def story(bench: Bench) -> None:
        cards = [await member(bench, 10) for _ in range(3)]
        for card in (*cards, cards[2], cards[0]):
            assert await code(bench, bench.redemption(card, 1)) == "00"
        assert bench.hsm.calls.count("card_value_verify") == 4, "the first one was forgotten"

    play(tmp_path, story)


def test_no_track_or_value_is_logged_or_stored(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await member(bench, 10)
        good = bench.track(card)
        peer = OnePeer()
        messages = [swiped(bench, card, wrong_value(good)), bench.redemption(card, 1)]
        await bench.send([bench.sealed(message) for message in messages], peer)
        assert peer.alarms == [("card verification value wrong", {"terminal": "10000001"})]
        said = bench.log.getvalue() + repr(peer.reports) + repr(peer.alarms)
        await bench.close()
        stored = ledger_bytes(tmp_path)
        for track in (good, wrong_value(good)):
            behind = track.partition("=")[2]
            assert behind not in said
            assert behind.encode() not in stored
            assert bytes.fromhex(behind + "0" * (len(behind) % 2)) not in stored
        bench.start()

    play(tmp_path, story)


def test_no_start_without_the_key_or_with_an_hsm_that_cannot(tmp_path: Path) -> None:
    settings = create_defaults(tmp_path)
    unable = SimpleNamespace(capabilities=CAPABILITIES)  # of pkcs11
    with pytest.raises(KeysError, match=r"switch.toml: .*can't check card .* set it to \"off\""):
        check_capable(settings, unable)
    off = replace(settings, program=replace(settings.program, card_values="off"))
    check_capable(off, unable)

    store = KeyStore.load(settings.hsm.key_store)
    store.revoke("card/value", 1)
    with pytest.raises(KeysError, match=r'generate card/value.* or set program.card_values = "off"'):
        SwitchKeys.of(store, settings.terminals, checks_cards=True)
    assert SwitchKeys.of(store, settings.terminals, checks_cards=False).card_values == ()
