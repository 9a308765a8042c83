"""Several real switch processes on one real PostgreSQL ledger: whichever a terminal is connected to, its
request is decided once, by the owner of its bucket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from switch.authorizer.identity import card_identifier, parse_rrn
from switch.iso8583 import Message
from switch.ledger.model import AccountKind
from switch.ledger.postgres_reading import PostgresStore
from switch.ledger.verify import verify
from switch.link.framing import frame
from switch.registry import keep_content
from switch.registry.downloads import directory_of
from switch.server.downloads import TOLD_FILE
from switch.server.told import read_told
from switch.settlement.corrections import APPROVED, FILE_NAME, ask, settle
from tests.ledger.conftest import shared_server
from tests.server.bench import enciphered, pin
from tests.server.registered import change
from tests.server.running_switch import DIALECT, TerminalSide
from tests.server.sharing import ALL, HIGH, LOW, Owner, Sharing

POINTS = 1_000  # of a card to begin with
MOST_ASKED = 2_000  # balances until something must have happened: some seconds of work for the switch


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> Sharing:
    home = tmp_path_factory.mktemp("owners")
    return Sharing(home, shared_server().schema("owners"))


@pytest.fixture(scope="module")
def owners(sharing: Sharing) -> Iterator[tuple[Owner, Owner]]:
    """One of each half. The last test ends both."""
    low, high = Owner(sharing, LOW), Owner(sharing, HIGH)
    yield low, high
    for owner in (low, high):
        owner.process.kill()


@pytest.fixture
def desks(owners: tuple[Owner, Owner]) -> Iterator[tuple[TerminalSide, TerminalSide]]:
    """A terminal at each process."""
    sides = TerminalSide(owners[0], 0), TerminalSide(owners[1], 1)
    yield sides
    for side in sides:
        side.line.close()


def active(desk: TerminalSide, sharing: Sharing, buckets: str, points: int = POINTS) -> str:
    card = sharing.card_in(buckets)
    assert desk.ask(desk.activation(card))["39"] == "00"
    rate = desk.switch.settings.program.rial_per_earned_point
    if points:
        assert desk.ask(desk.earn(card, points * rate))["39"] == "00"
    return card


def follow_up(
    desk: TerminalSide, card: str, code: str, rrn: str, amount: int, mti: str = "0200", **more: Any
) -> Message:
    money = {"f4": f"{amount:012d}", "f49": "364", "f60": "000001", "f35": None, "f22": None, "f37": rrn}
    return Message(mti, desk.fields(card, code, **money, **more))


def transfer(desk: TerminalSide, card: str, other: str, points: int) -> Message:
    return Message(
        "0200", desk.fields(card, "406060", f48={"01": f"{points:012d}", "0B": other}, f60="000001")
    )


def until_points(desk: TerminalSide, card: str, points: int) -> None:
    """Wait for what another owner does in a moment."""
    for _ in range(MOST_ASKED):
        if desk.points(card) == points:
            return
    raise AssertionError(f"never {points} points, but {desk.points(card)}")


def in_transit(sharing: Sharing) -> set[int]:
    with closing(PostgresStore(sharing.url).open()) as reading:
        return {row[-1] for row in reading.table("account") if row[0] == AccountKind.IN_TRANSIT} - {0}


# ---------------------------------------------------------------- requests find their owner


@pytest.mark.parametrize("buckets", [LOW, HIGH])
def test_every_operation_works_at_either_process(
    desks: tuple[TerminalSide, TerminalSide], sharing: Sharing, buckets: str
) -> None:
    first, second = desks
    ratio = first.switch.settings.program.rial_per_redeemed_point
    card = active(first, sharing, buckets)
    other_desk_sees = second.points(card)
    assert other_desk_sees == POINTS
    redeemed = second.ask(second.redemption(card, 100))
    assert (redeemed["39"], redeemed["48.02"]) == ("00", f"{POINTS - 100:012d}")
    assert parse_rrn(redeemed.text("37"))[0] == sharing.bucket_of(card)
    assert second.ask(follow_up(second, card, "200060", redeemed.text("37"), 40 * ratio))["39"] == "00"
    assert first.points(card) == POINTS - 60
    held = first.ask(Message("0100", {**first.redemption(card, 50).fields, "3": "006000"}))
    assert held["39"] == "00"
    tags = {"01": f"{30:012d}"}
    captured = first.ask(follow_up(first, card, "006000", held.text("37"), 30 * ratio, "0220", f48=tags))
    assert captured["39"] == "00"
    assert second.points(card) == POINTS - 90
    earn = first.earn(card, 50 * first.switch.settings.program.rial_per_earned_point)
    earned = first.ask(earn)
    assert first.ask(first.reversal_of(earn))["39"] == "00"
    assert first.ask(first.reversal_of(earn))["39"] == "00"  # again, under a new number
    assert earned["48.01"] == f"{50:012d}"
    sale = second.earn(card, 10 * first.switch.settings.program.rial_per_earned_point)
    done = second.ask(sale)
    voided = second.ask(follow_up(second, card, "020060", done.text("37"), int(sale.text("4"))))
    assert voided["39"] == "00"
    assert first.points(card) == POINTS - 90
    assert second.ask(Message("0300", second.fields(card, "730000")))["39"] == "00"
    assert first.ask(first.redemption(card, 1))["39"] != "00"  # blocked, wherever


def test_an_early_reversal_and_its_original_meet_wherever_they_arrive(
    desks: tuple[TerminalSide, TerminalSide], owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    desk = desks[0]
    elsewhere = TerminalSide(owners[1], 0)  # the same terminal, connected to the other process
    for buckets in (LOW, HIGH):
        card = active(desk, sharing, buckets)
        earn = desk.earn(card, 1_000_000)
        assert elsewhere.ask(elsewhere.reversal_of(earn))["39"] == "00"
        assert desk.ask(earn)["39"] == "94"
        assert desk.points(card) == POINTS


def test_a_reference_number_that_nothing_has_is_declined_in_its_bucket(
    desks: tuple[TerminalSide, TerminalSide], sharing: Sharing
) -> None:
    desk = desks[0]
    card = active(desk, sharing, LOW)
    for rrn, bucket in (("F00000000001", 0xF0), ("100000000001", 0x10), ("ZZ0000000001", None)):
        answer = desk.ask(follow_up(desk, card, "206000", rrn, 10_000, f2=card))
        assert answer["39"] == "25"
        if bucket is not None:
            assert parse_rrn(answer.text("37"))[0] == bucket


# ---------------------------------------------------------------- once


def test_a_frame_sent_to_both_processes_at_once_is_decided_once(
    desks: tuple[TerminalSide, TerminalSide], owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    desk = desks[0]
    elsewhere = TerminalSide(owners[1], 0)
    for buckets in (LOW, HIGH):
        card = active(desk, sharing, buckets)
        sent = desk.sealed(desk.earn(card, 1_000_000))
        for side in (desk, elsewhere):
            side.line.send(frame(sent))
        answers = {side.line.receive().payload for side in (desk, elsewhere)}
        assert len(answers) == 1
        assert desk.is_genuine(answers.pop(), sent)
        again = elsewhere.exchange(sent)  # and later: the latest one still shares its answer
        assert elsewhere.is_genuine(again, sent)
        assert desk.points(card) == POINTS + 100


def test_a_key_serial_counts_once_over_all_processes(
    desks: tuple[TerminalSide, TerminalSide], owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    desk = desks[0]
    elsewhere = TerminalSide(owners[1], 0)
    low, high = active(desk, sharing, LOW), active(desk, sharing, HIGH)
    at = desk.keys.transmission()
    used = desk.sealed(desk.earn(low, 1_000_000), at)
    assert desk.is_genuine(desk.exchange(used), used)
    newer = desk.keys.transmission()
    assert DIALECT.decode(desk.exchange(desk.sealed(desk.earn(low, 1_000_000), newer)))["39"] == "00"
    for side in (desk, elsewhere):
        for serial in (at, newer):  # old, and the newest again: the other owner has seen neither
            refused = DIALECT.decode(side.exchange(side.sealed(side.earn(high, 1_000_000), serial)))
            assert refused["39"] == "63"
            assert "64" not in refused
    assert [desk.points(card) for card in (low, high)] == [POINTS + 200, POINTS]


def test_each_piece_of_a_download_may_come_from_another_process(
    desks: tuple[TerminalSide, TerminalSide], owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    content = bytes(range(256)) * 4
    digest = keep_content(sharing.settings, content)
    before = [len(owner.events("event", "registry in force", 0)) for owner in owners]
    change(sharing.settings, lambda draft: draft.set_parameters("default", digest, len(content)))
    for owner, count in zip(owners, before, strict=True):
        owner.events("event", "registry in force", count + 1)
    sides = (desks[0], TerminalSide(owners[1], 0))

    def asked(side: TerminalSide, code: str, tags: dict[str, str]) -> Message:
        fields = {**side.sign_on(code).fields, "48": tags}
        return DIALECT.decode(side.exchange(Message("0800", fields)))

    got = b""
    while len(got) < len(content):
        side = sides[len(got) // 200 % 2]
        answer = asked(side, "901", {"31": "00000001", "32": f"{len(got):08d}", "33": "0200"})
        piece = answer["61"]
        assert isinstance(piece, bytes)
        got += piece
    assert got == content
    for side, version in ((sides[0], "00000000"), (sides[1], "00000001"), (sides[0], "00000000")):
        offered = "48.35" in asked(side, "001", {"31": version})
        assert offered == (version == "00000000")
        told = read_told(directory_of(sharing.settings) / TOLD_FILE)
        assert told[side.terminal.id].parameters == int(version)
    sides[1].line.close()


# ---------------------------------------------------------------- between owners


def test_points_go_to_a_member_of_the_other_owner_and_back(
    desks: tuple[TerminalSide, TerminalSide], sharing: Sharing
) -> None:
    first, second = desks
    for desk, here, there in ((first, LOW, HIGH), (second, LOW, HIGH), (first, HIGH, LOW)):
        sender, receiver = active(desk, sharing, here), active(desk, sharing, there)
        sent = transfer(desk, sender, receiver, 300)
        assert desk.ask(sent)["39"] == "00"
        assert desk.points(sender) == POINTS - 300
        until_points(desk, receiver, POINTS + 300)
        assert second.ask(second.redemption(receiver, POINTS + 200))["39"] == "00"
        assert desk.ask(desk.reversal_of(sent))["39"] == "00"
        assert desk.points(sender) == POINTS
        until_points(desk, receiver, -200)  # what was spent is owed
    assert not in_transit(sharing)


def test_what_the_other_owner_changed_is_seen_at_once(
    desks: tuple[TerminalSide, TerminalSide], sharing: Sharing
) -> None:
    desk, other = desks
    sender, receiver = active(desk, sharing, LOW), sharing.card_in(HIGH)
    assert desk.ask(transfer(desk, sender, receiver, 1))["39"] == "12"  # nobody's card
    assert other.ask(other.activation(receiver))["39"] == "00"
    assert desk.ask(transfer(desk, sender, receiver, 1))["39"] == "00"
    assert other.ask(Message("0300", other.fields(receiver, "730000")))["39"] == "00"
    assert desk.ask(transfer(desk, sender, receiver, 1))["39"] == "12"  # blocked


def test_a_batch_is_closed_with_what_both_owners_booked(
    desks: tuple[TerminalSide, TerminalSide], owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    desk = TerminalSide(owners[0], 2)
    rate = desk.switch.settings.program.rial_per_earned_point
    cards = [active(desk, sharing, buckets, 0) for buckets in (LOW, HIGH)]
    earned = [desk.earn(card, 100 * rate) for card in cards]
    assert [desk.ask(one)["39"] for one in earned] == ["00", "00"]
    undone = desk.earn(cards[1], 7 * rate)
    assert desk.ask(undone)["39"] == "00"
    assert desk.ask(desk.reversal_of(undone))["39"] == "00"

    def close(entries: int, code: str = "920000") -> Message:
        fields = {key: value for key, value in desk.fields(cards[0], code).items() if key not in ("22", "35")}
        if entries:
            fields["63"] = {"01": f"{entries:06d}{200 * rate:016d}{200:016d}"}
        return Message("0500", {**fields, "60": "000001"})

    differs = desk.ask(close(3))
    assert (differs["39"], differs["63.01"]) == ("95", f"{2:06d}{200 * rate:016d}{200:016d}")
    for original, code in [(one, "00") for one in earned] + [(desk.earn(cards[0], 100 * rate), "25")]:
        named = original.mti + original.text("11") + original.text("13") + original.text("12")
        item = {**desk.fields(cards[0], "210060"), **original.fields, "90": named.ljust(42, "0")}
        item["11"] = f"{next(desk._stans):06d}"
        kept = {name: value for name, value in item.items() if name not in ("22", "35")}
        assert desk.ask(Message("0320", kept))["39"] == code  # looked for in every bucket
    assert desk.ask(close(0, "960000"))["39"] == "00"
    for card in cards:  # closed for both owners
        assert desk.ask(desk.earn(card, rate))["39"] == "12"
        assert desk.ask(desk.earn(card, rate, f60="000002"))["39"] == "00"


def test_a_replaced_card_leads_to_its_member_and_its_old_requests_to_where_they_were_decided(
    desks: tuple[TerminalSide, TerminalSide], sharing: Sharing
) -> None:
    desk, other = desks
    old, new = sharing.card_in(LOW), sharing.card_in(HIGH)
    assert desk.ask(desk.activation(old, f52=pin("4711", old)))["39"] == "00"
    asked = desk.sealed(desk.balance(new))
    unknown = desk.exchange(asked)
    assert DIALECT.decode(unknown)["39"] == "14"  # by the owner of that card's own bucket
    earn = desk.earn(old, 1_000_000)
    assert desk.ask(earn)["39"] == "00"
    replaced = Message("0300", desk.fields(old, "750000", f48={"0B": new}, f52=pin("4711", old)))
    assert desk.ask(replaced)["39"] == "00"
    assert (desk.points(new), other.points(new)) == (100, 100)
    assert other.ask(other.balance(old))["39"] == "14"
    # That card is nobody's now, and what is reversed is known: no early reversal.
    assert desk.ask(desk.reversal_of(earn))["39"] == "12"
    assert desk.points(new) == 100
    assert desk.exchange(asked) == unknown


def test_an_early_reversal_is_known_though_its_card_was_given_to_another_owners_member(
    desks: tuple[TerminalSide, TerminalSide], sharing: Sharing
) -> None:
    desk, other = desks
    old, new, newest = sharing.card_in(LOW), sharing.card_in(HIGH), sharing.card_in(HIGH)
    assert desk.ask(desk.activation(old, f52=pin("4711", old)))["39"] == "00"

    def replaced(card: str, by: str) -> None:
        asked = Message("0300", desk.fields(card, "750000", f48={"0B": by}, f52=pin("4711", card)))
        assert desk.ask(asked)["39"] == "00"

    early = desk.earn(new, 1_000_000)
    assert desk.ask(desk.reversal_of(early))["39"] == "00"  # nobody's card yet: at its own bucket's owner
    replaced(old, new)
    late = desk.ask(early)
    assert late["39"] == "94"
    assert desk.ask(early) == late  # however often
    advice = Message("0220", desk.earn(new, 2_000_000).fields)
    assert desk.ask(desk.reversal_of(advice))["39"] == "00"  # where the card leads to now
    replaced(new, newest)  # and is nobody's again
    assert desk.ask(Message("0221", advice.fields))["39"] == "94"
    assert (desk.points(newest), other.points(newest)) == (0, 0)


def test_a_mobile_number_leads_to_its_member_from_either_process(
    desks: tuple[TerminalSide, TerminalSide], sharing: Sharing
) -> None:
    desk, other = desks
    for number, buckets in (("989121234567", LOW), ("989121234568", HIGH)):
        card = sharing.card_in(buckets)
        named = {"20": enciphered(bytes.fromhex("0706") + bytes.fromhex(number))}
        assert desk.ask(desk.activation(card, f48=named))["39"] == "00"
        for side in (desk, other):
            by_mobile: dict[str, Any] = {"f35": None, "f22": "011", "f48": named}
            assert side.ask(side.earn(card, 1_000_000, **by_mobile))["39"] == "00"
        assert desk.points(card) == 200


def test_a_correction_is_booked_by_the_members_owner(
    desks: tuple[TerminalSide, TerminalSide], owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    desk, low = desks[0], owners[0]
    for buckets in (LOW, HIGH):
        card = active(desk, sharing, buckets)
        with closing(PostgresStore(sharing.url).open()) as reading:
            named = reading.identified(card_identifier(card, sharing.settings.directory_key))
        assert named is not None
        member = int(named[1])
        path, now_ms = low.directory / FILE_NAME, int(time.time() * 1000)
        asked = ask(path, sharing.settings.seal_key, member, 50, "GOODWILL", "ada", now_ms, 0)
        settle(path, sharing.settings.seal_key, asked.asked.number, APPROVED, "grace", now_ms)
        until_points(desk, card, POINTS + 50)


# ---------------------------------------------------------------- owners come and go


def test_while_an_owner_is_away_its_members_get_an_honest_no_and_the_others_are_served(
    desks: tuple[TerminalSide, TerminalSide], owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    desk, high = desks[0], owners[1]
    here, there = active(desk, sharing, LOW), active(desk, sharing, HIGH)
    high.kill()
    refused = DIALECT.decode(desk.exchange(desk.sealed(desk.earn(there, 1_000_000))))
    assert refused["39"] == "91"
    assert "64" not in refused
    assert desk.points(here) == POINTS
    high.start()
    assert desk.points(there) == POINTS


def test_what_a_killed_owner_began_is_ended_by_the_next_and_a_frozen_one_never_writes_again(
    owners: tuple[Owner, Owner], sharing: Sharing
) -> None:
    low, high = owners
    desk = TerminalSide(low, 0)
    sender, receiver = active(desk, sharing, LOW), active(desk, sharing, HIGH)
    high.freeze()
    assert desk.ask(transfer(desk, sender, receiver, 300))["39"] == "00"
    low.kill()
    desk.line.close()
    assert in_transit(sharing)

    everything = Owner(sharing, ALL)  # takes over what both had
    desk = TerminalSide(everything, 0)
    until_points(desk, receiver, POINTS + 300)
    high.thaw()
    stale = TerminalSide(high, 1)
    stale.line.send(frame(stale.sealed(stale.earn(receiver, 1_000_000))))
    assert high.ended() == 1
    assert high.events("event", "stopping")[-1]["reason"] == "the ledger has another owner"
    assert desk.points(receiver) == POINTS + 300
    assert not in_transit(sharing)

    again = Owner(sharing, LOW)  # a part of it: the owner of all is none any more
    assert everything.ended() == 1
    desk = TerminalSide(again, 0)
    assert desk.points(sender) == POINTS - 300
    nobodys = DIALECT.decode(desk.exchange(desk.sealed(desk.balance(receiver))))
    assert nobodys["39"] == "91"
    assert "64" not in nobodys
    assert again.stop() == 0
    report = verify(PostgresStore(sharing.url), sharing.settings.seal_key)
    assert (report.problems, report.warnings) == ([], [])
