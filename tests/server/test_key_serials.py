"""Key serials, MACs and identities: a sending counts once, and nobody speaks for another terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulators.terminal_keys import Transmission
from switch.hsm.port import Fault
from switch.iso8583 import Message
from switch.ledger.verify import verify
from tests.server.bench import UNPROVEN, Bench, OnePeer, hidden
from tests.server.playing import play
from tests.server.running_switch import DIALECT, new_card

REPLAYED = "key serial used before"
NOT_PERMITTED = "terminal not permitted"


async def active_card(bench: Bench) -> str:
    card = new_card()
    assert (await bench.one(bench.activation(card)))["39"] == "00"
    return card


async def refused(bench: Bench, payload: bytes, peer: OnePeer | None = None) -> str:
    """The response code of an answer without a good MAC."""
    peer = await bench.send([payload], peer)
    [answer] = peer.answers
    message = DIALECT.decode(answer)
    assert "64" not in message
    return message.text("39")


def ways_to_damage(payload: bytes) -> dict[str, bytes]:
    body, mac = payload[:-8], payload[-8:]
    bit_64 = payload[:9] + bytes((payload[9] & 0xFE,)) + payload[10:-8]
    return {
        "zero": body + bytes(8),
        "moved": body + mac[1:] + mac[:1],
        "reversed": body + mac[::-1],
        "dropped": bit_64,
        "half": body + mac[:4] + bytes(4),
    }


# ---------------------------------------------------------------- MAC


@pytest.mark.parametrize("way", ["zero", "moved", "reversed", "dropped", "half"])
def test_a_damaged_mac_is_refused_and_costs_the_terminal_nothing(tmp_path: Path, way: str) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        entries = bench.pipeline.committed_entries
        good = bench.sealed(bench.earn(card, 5))
        assert await refused(bench, ways_to_damage(good)[way]) == "63"
        assert bench.pipeline.committed_entries == entries
        peer = await bench.send([good])
        assert bench.genuine([good], peer.answers)[0]["39"] == "00", "the same serial is still good"

    play(tmp_path, story)


def test_a_truncated_message_is_no_message(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        good = bench.sealed(bench.earn(card, 5))
        for length in range(4, len(good)):
            peer = await bench.send([good[:length]])
            assert not any(bench.is_genuine(answer, good) for answer in peer.answers), length
        assert await bench.points(card) == 0

    play(tmp_path, story)


def test_every_flipped_bit_of_every_byte_is_refused(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        entries = bench.pipeline.committed_entries
        good = bench.sealed(bench.redemption(card, 5, hidden("123456"), f52=bytes(16)))
        for place in range(len(good)):
            for bit in range(8):
                changed = good[:place] + bytes((good[place] ^ 1 << bit,)) + good[place + 1 :]
                peer = await bench.send([changed])
                for answer in peer.answers:
                    assert not bench.is_genuine(answer, good), (place, bit)
                    assert DIALECT.decode(answer)["39"] in ("30", "58", "63")
        assert bench.pipeline.committed_entries == entries, "nothing refused was stored"
        peer = await bench.send([good])
        assert bench.genuine([good], peer.answers)[0]["39"] == "30"

    play(tmp_path, story)


def test_a_request_mac_is_no_answer_mac(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        at = bench.keys[0].transmission()
        payload = bench.sealed(bench.balance(await active_card(bench)), at=bench.keys[0].transmission())
        [answer] = (await bench.send([payload])).answers
        body, mac = DIALECT.split_mac(answer)
        assert mac is not None
        used = bench.keys[0].at(int.from_bytes(DIALECT.decode(payload)["53"][-4:]))  # type: ignore[arg-type]
        assert mac == used.answer_mac(body)
        assert mac != used.request_mac(body)
        assert mac != at.answer_mac(body), "it is of this very sending"

    play(tmp_path, story)


def test_an_answer_sent_back_is_no_request(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        payload = bench.sealed(bench.balance(await active_card(bench)))
        [answer] = (await bench.send([payload])).answers
        peer = await bench.send([answer])
        assert peer.answers == []
        assert [what for what, _ in peer.reports] == ["not a request"]

    play(tmp_path, story)


# ---------------------------------------------------------------- serials


def test_an_old_serial_is_refused_with_an_alarm(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        late = bench.keys[0].transmission()
        assert (await bench.one(bench.earn(card, 5)))["39"] == "00"
        peer = OnePeer()
        assert await refused(bench, bench.sealed(bench.earn(card, 7), late), peer) == "63"
        assert peer.alarms == [(REPLAYED, {"terminal": "10000001"})]
        assert await bench.points(card) == 5

    play(tmp_path, story)


def test_a_serial_used_for_other_bytes_is_refused_with_an_alarm(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        at = bench.keys[0].transmission()
        first = bench.sealed(bench.earn(card, 5), at)
        await bench.send([first])
        peer = OnePeer()
        assert await refused(bench, bench.sealed(bench.earn(card, 7), at), peer) == "63"
        assert len(peer.alarms) == 1
        assert await bench.points(card) == 5

    play(tmp_path, story)


def test_the_same_frame_gets_the_same_bytes_whenever_it_comes(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        old = bench.sealed(bench.earn(card, 5))
        [first] = (await bench.send([old])).answers
        newer = bench.sealed(bench.earn(card, 7))
        [second] = (await bench.send([newer])).answers
        peer = await bench.send([newer, old, newer, old])
        assert sorted(peer.answers) == sorted([first, second] * 2)
        assert peer.alarms == []
        await bench.close()
        bench.start()
        peer = await bench.send([old, newer])
        assert sorted(peer.answers) == sorted([first, second]), "after a restart too"
        assert await bench.points(card) == 12

    play(tmp_path, story)


def test_a_frame_that_repeats_one_in_flight_shares_its_answer(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        payload = bench.sealed(bench.earn(card, 5))
        bench.hsm.late.add("dukpt_mac_generate")
        peer, other = bench.put([payload] * 3), bench.put([payload] * 2)
        await bench.hsm.waiting(1)
        bench.hsm.late.clear()
        bench.hsm.let_go()
        await bench.finished(peer)
        await bench.finished(other)
        assert len(set(peer.answers + other.answers)) == 1
        assert (len(peer.answers), len(other.answers)) == (3, 2)
        assert await bench.points(card) == 5

    play(tmp_path, story)


def test_what_was_answered_without_an_entry_is_not_new_after_a_restart(tmp_path: Path) -> None:
    """An echo, a refusal and what waited for an HSM: each answer's serial is on the disk before it leaves."""

    async def story(bench: Bench) -> None:
        terminal = bench.settings.terminals[0]
        card = await active_card(bench)
        echo = Message("0800", {"11": "000900", "41": terminal.id, "42": terminal.acceptor, "70": "301"})
        first = bench.sealed(echo)
        assert bench.genuine([first], (await bench.send([first])).answers)[0]["39"] == "00"
        assert len((await bench.send([first])).answers) == 1
        await bench.close()
        bench.start()
        peer = OnePeer()
        assert await refused(bench, first, peer) == "63"
        assert len(peer.alarms) == 1
        fields = bench.earn(card, 5).fields
        incomplete = bench.sealed(Message("0200", {name: fields[name] for name in fields if name != "60"}))
        assert bench.genuine([incomplete], (await bench.send([incomplete])).answers)[0]["39"] == "30"
        await bench.close()
        bench.start()
        assert await refused(bench, incomplete) == "63"
        assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []

    play(tmp_path, story)


def test_a_frame_that_the_ledger_could_not_take_gets_no_answer_that_counts(tmp_path: Path) -> None:
    """Under a MAC the terminal would believe that nothing is booked; sent again after a restart it would."""

    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        frame = bench.sealed(bench.earn(card, 5))
        bench.engine.plan = ["stage", "stage"]
        assert bench.genuine([frame], (await bench.send([frame])).answers) == [UNPROVEN]

    play(tmp_path, story)


def test_marks_survive_a_restart(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        late = bench.keys[0].transmission()
        assert (await bench.one(bench.earn(card, 5)))["39"] == "00"
        await bench.close()
        bench.start()
        assert await refused(bench, bench.sealed(bench.earn(card, 7), late)) == "63"
        assert (await bench.one(bench.earn(card, 7)))["39"] == "00"
        assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []

    play(tmp_path, story)


@pytest.mark.parametrize("counter", [0x0001FFFF, 0xFFFFFFFF, 0x7FFFFFFF, 0])
def test_a_counter_that_no_terminal_uses_is_refused(tmp_path: Path, counter: int) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        serial = bench.keys[0].initial_key_id + counter.to_bytes(4)
        message = bench.earn(card, 5, f53=b"\x01" + serial)
        body = DIALECT.encode_body(message)
        assert await refused(bench, body + bytes(8)) == "63"
        assert (await bench.one(bench.earn(card, 5)))["39"] == "00", "and is no mark"

    play(tmp_path, story)


def test_a_forged_frame_raises_no_mark(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        serial = bench.keys[0].initial_key_id + (0x00F00000).to_bytes(4)
        forged = DIALECT.encode_body(bench.earn(card, 5, f53=b"\x01" + serial)) + bytes(8)
        assert await refused(bench, forged) == "63"
        assert (await bench.one(bench.earn(card, 5)))["39"] == "00"

    play(tmp_path, story)


def test_a_slow_hsm_does_not_turn_the_order_of_a_terminals_frames(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        payloads = [bench.sealed(bench.earn(card, 1)) for _ in range(10)]
        bench.hsm.late.add("dukpt_mac_verify")
        peer = bench.put(payloads)
        await bench.hsm.waiting(10)
        bench.hsm.late.clear()
        bench.hsm.let_go()
        await bench.finished(peer)
        assert [answer["39"] for answer in bench.genuine(payloads, peer.answers)] == ["00"] * 10
        assert peer.alarms == []
        assert await bench.points(card) == 10

    play(tmp_path, story)


# ---------------------------------------------------------------- whose terminal


def other_terminals_message(bench: Bench, card: str) -> dict[str, bytes]:
    """Terminal 10000002's keys under somebody else's name, or the other way round."""
    at: Transmission = bench.keys[1].transmission()
    another = bench.earn(card, 5, f42="200000000000002")
    unset = bench.keys[0].transmission()
    set_2 = bench.earn(card, 5)
    body = DIALECT.encode_body(Message(set_2.mti, {**set_2.fields, "53": b"\x02" + unset.serial}))
    return {
        "another terminal's id": bench.sealed(bench.earn(card, 5), at),
        "another merchant's id": bench.sealed(another),
        "an unknown terminal": bench.sealed(
            Message("0200", {**bench.earn(card, 5).fields, "41": "99999999"}), unset
        ),
        "another key set": body + unset.request_mac(body),
    }


@pytest.mark.parametrize(
    "who", ["another terminal's id", "another merchant's id", "an unknown terminal", "another key set"]
)
def test_valid_keys_speak_for_their_own_terminal_only(tmp_path: Path, who: str) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        entries = bench.pipeline.committed_entries
        peer = OnePeer()
        assert await refused(bench, other_terminals_message(bench, card)[who], peer) == "58"
        assert [what for what, _ in peer.alarms] == [NOT_PERMITTED]
        assert bench.pipeline.committed_entries == entries
        assert await bench.points(card) == 0

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("certified", "code"), [("10000001", None), (None, None), ("10000002", "58"), ("", "58")]
)
def test_a_certificate_names_the_terminal_too(
    tmp_path: Path, certified: str | None, code: str | None
) -> None:
    async def story(bench: Bench) -> None:
        payload = bench.sealed(bench.balance(await active_card(bench)))
        peer = OnePeer(private=True, certified=certified)
        if code is None:
            await bench.send([payload], peer)
            assert bench.genuine([payload], peer.answers)[0]["39"] == "00"
        else:
            assert await refused(bench, payload, peer) == code
            assert [what for what, _ in peer.alarms] == [NOT_PERMITTED]

    play(tmp_path, story)


def test_a_forged_decline_never_takes_somebodys_identity(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        true = bench.earn(card, 5)
        forged = Message(true.mti, {**true.fields, "4": "000000000001"})
        for at in (bench.keys[1].transmission(), bench.keys[0].at(0x00100000)):
            payload = bench.sealed(forged, at)
            await bench.send([payload[:-1] + bytes((payload[-1] ^ 1,))])
        assert (await bench.one(true))["39"] == "00"
        assert await bench.points(card) == 5

    play(tmp_path, story)


# ---------------------------------------------------------------- the HSM's trouble


@pytest.mark.parametrize(
    ("fault", "code"), [(Fault.UNAVAILABLE, "91"), (Fault.KEY_DAMAGED, "96"), (Fault.UNKNOWN_KEY, "96")]
)
def test_a_mac_that_cannot_be_checked_declines_nothing(tmp_path: Path, fault: Fault, code: str) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        payload = bench.sealed(bench.earn(card, 5))
        bench.hsm.failing["dukpt_mac_verify"] = fault
        assert await refused(bench, payload) == code
        bench.hsm.failing.clear()
        peer = await bench.send([payload])
        assert bench.genuine([payload], peer.answers)[0]["39"] == "00"
        told = [line for line in bench.lines if line["event"] == "HSM failed"]
        assert [line["alarm"] for line in told] == [fault is not Fault.UNAVAILABLE]

    play(tmp_path, story)


def test_an_answer_that_cannot_be_sealed_is_none_and_can_be_had_later(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        card = await active_card(bench)
        payload = bench.sealed(bench.earn(card, 5))
        bench.hsm.failing["dukpt_mac_generate"] = Fault.UNAVAILABLE
        assert (await bench.send([payload])).answers == []
        bench.hsm.failing.clear()
        peer = await bench.send([payload])
        assert bench.genuine([payload], peer.answers)[0]["39"] == "00"
        assert await bench.points(card) == 5

    play(tmp_path, story)
