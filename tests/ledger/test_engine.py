"""What every engine promises: whole batches or nothing, look-ups from committed data, one owner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from switch.ledger import (
    Account,
    AccountKind,
    BalanceLoad,
    ConflictError,
    Entry,
    EntryLoad,
    FencedError,
    IdentifierLoad,
    Member,
    MemberLoad,
    MemberStatus,
    MemberStatusSet,
    ReversedLoad,
    Start,
    Unit,
)
from tests.ledger.book import START_MS, Book, Request, identifier_of, masked, member_account
from tests.ledger.conftest import ENGINES, EngineFactory

ACTIVATE = Request("activate", 1, card=1)
EARN = Request("earn", 2, card=1, points=250)
REDEEM = Request("redeem", 3, card=1, points=100)


def changed(entry: Entry, **changes: object) -> Entry:
    return replace(entry, **changes)  # type: ignore[arg-type]


def test_an_empty_ledger_knows_nothing(book: Book) -> None:
    assert book.engine.start() == Start(0, b"", b"", {})
    assert book.engine.load(EntryLoad(EARN.identity)) is None
    assert book.engine.load(ReversedLoad(EARN.identity)) is False
    assert book.engine.load(IdentifierLoad(identifier_of(1))) is None
    assert book.engine.load(BalanceLoad(member_account(1))) == 0
    assert {(head.sequence, head.members) for head in book.engine.heads()} == {(0, 0)}


def test_committed_entries_come_back_as_they_were(book: Book) -> None:
    reversal = Request("reverse", 4, card=1, original=EARN.identity)
    entries = book.book(ACTIVATE, EARN, REDEEM, reversal)
    assert [book.engine.load(EntryLoad(entry.identity)) for entry in entries] == entries
    assert [len(entry.transfers) for entry in entries] == [0, 1, 1, 1]
    assert entries[3].transfers[0].reverses == entries[1].id
    member = entries[0].member
    assert book.engine.load(IdentifierLoad(identifier_of(1))) == member
    assert book.engine.load(MemberLoad(member)) == Member(member, MemberStatus.ACTIVE, masked(1))
    assert book.engine.load(BalanceLoad(member_account(member))) == -100
    assert book.engine.load(ReversedLoad(EARN.identity)) is True
    marks = {EARN.serial[:8]: 4}
    start = Start(entries[3].id, reversal.identity, EARN.identity, {member >> 40: 1}, marks)
    assert book.engine.start() == start


def test_an_acceptors_account_is_read_as_one_sum_over_all_buckets(book: Book) -> None:
    for card in (1, 2, 3):
        book.send(Request("activate", card, card))
        book.send(Request("earn", 10 + card, card, points=card * 100))
        book.send(Request("redeem", 20 + card, card, points=card * 10))
    entries = book.commit()
    assert len({entry.bucket for entry in entries}) == 3
    for kind, total in ((AccountKind.ISSUED, -600), (AccountKind.REDEEMED, 60)):
        account = Account(0, kind, "100000000000001", "vafa", Unit.POINTS)
        assert book.engine.load(BalanceLoad(account)) == total


def test_a_staged_batch_is_not_seen_before_it_is_synced(book: Book) -> None:
    entries = [book.send(ACTIVATE), book.send(EARN)]
    book.engine.stage(entries, book.epoch)
    assert book.engine.load(EntryLoad(EARN.identity)) is None
    assert book.engine.start().last_entry_id == 0
    book.engine.sync()
    assert book.engine.load(EntryLoad(EARN.identity)) == entries[1]


def test_a_rolled_back_batch_leaves_nothing_and_can_be_staged_again(book: Book) -> None:
    entries = [book.send(ACTIVATE), book.send(EARN)]
    book.engine.stage(entries, book.epoch)
    book.engine.rollback()
    assert book.engine.start() == Start(0, b"", b"", {})
    book.engine.commit(entries, book.epoch)
    assert book.engine.load(EntryLoad(EARN.identity)) == entries[1]


def test_a_closed_engine_has_forgotten_what_was_only_staged(
    book: Book, engine_factory: EngineFactory
) -> None:
    book.book(ACTIVATE)
    book.engine.stage([book.send(EARN)], book.epoch)
    book.engine.close()
    assert engine_factory().load(EntryLoad(EARN.identity)) is None


@pytest.mark.parametrize(
    "clash",
    [
        {"identity": EARN.identity},
        {"id": 1},
        {"sides": "activation"},
    ],
    ids=["identity", "entry id", "member"],
)
def test_a_batch_that_contradicts_the_ledger_is_refused_whole(book: Book, clash: dict[str, object]) -> None:
    activation, earn = book.book(ACTIVATE, EARN)
    heads = book.engine.heads()
    good = book.send(REDEEM)
    clash = {"id": earn.id} if "id" in clash else clash
    clash = {"sides": activation.sides} if "sides" in clash else clash
    bad = changed(good, **{"id": good.id + 1, "identity": b"another identity...", **clash})
    with pytest.raises(ConflictError):
        book.engine.commit([good, bad], book.epoch)
    assert book.engine.load(EntryLoad(REDEEM.identity)) is None
    assert book.engine.heads() == heads
    assert book.engine.load(BalanceLoad(member_account(activation.member))) == 250
    book.engine.commit([good], book.epoch)
    assert book.engine.load(BalanceLoad(member_account(activation.member))) == 150


def test_the_same_identity_twice_in_one_batch_is_refused_whole(book: Book) -> None:
    first = book.send(ACTIVATE)
    with pytest.raises(ConflictError):
        book.engine.commit([first, changed(first, id=first.id + 1, sides=())], book.epoch)
    assert book.engine.start() == Start(0, b"", b"", {})


def test_a_reversal_of_what_is_reversed_is_refused(book: Book) -> None:
    book.book(ACTIVATE, EARN)
    (reversal,) = book.book(Request("reverse", 9, card=1, original=EARN.identity))
    again = changed(reversal, id=reversal.id + 1, identity=b"another reversal...")
    with pytest.raises(ConflictError):
        book.engine.commit([again], book.epoch)


def test_a_status_change_of_nobody_is_refused(book: Book) -> None:
    activation = book.book(ACTIVATE)[0]
    change = book.send(Request("activate", 2, card=1))
    sides = (MemberStatusSet(activation.member + 1, MemberStatus.INACTIVE),)
    with pytest.raises(ConflictError):
        book.engine.commit([changed(change, sides=sides)], book.epoch)


def test_only_the_newest_owner_writes(book: Book, engine_factory: EngineFactory) -> None:
    book.book(ACTIVATE)
    successor = engine_factory()
    epoch = successor.claim("successor")
    assert epoch == book.epoch + 1
    earn = book.send(EARN)
    with pytest.raises(FencedError):
        book.engine.commit([earn], book.epoch)
    assert successor.load(EntryLoad(EARN.identity)) is None
    successor.commit([earn], epoch)
    with pytest.raises(FencedError):
        book.engine.stage([book.send(REDEEM)], book.epoch)


def test_an_owner_who_was_never_claimed_writes_nothing(book: Book) -> None:
    with pytest.raises(FencedError):
        book.engine.commit([book.send(ACTIVATE)], book.epoch + 1)


def test_a_successor_goes_on_where_the_ledger_ends(book: Book, engine_factory: EngineFactory) -> None:
    before = book.book(ACTIVATE, EARN)
    successor = Book(engine_factory, now_ms=START_MS - 86_400_000)
    assert successor.balance(1) == 250
    (after,) = successor.book(REDEEM)
    assert after.id > before[1].id
    assert successor.balance(1) == 150
    (head,) = [head for head in successor.engine.heads() if head.sequence]
    assert (head.sequence, head.members) == (3, 1)


def test_an_owner_that_comes_back_follows_what_its_successor_wrote(
    book: Book, engine_factory: EngineFactory
) -> None:
    book.book(ACTIVATE, EARN)
    Book(engine_factory).book(REDEEM)
    returned = Book(lambda: book.engine)
    assert returned.balance(1) == 150
    returned.book(Request("earn", 4, card=1, points=1))
    (head,) = [head for head in returned.engine.heads() if head.sequence]
    assert head.sequence == 4


def test_heads_are_different_in_two_ledgers_with_the_same_entries(
    book: Book, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["engine_factory"]
    other = Book(lambda: ENGINES[kind](tmp_path_factory.mktemp("other")))
    assert book.book(ACTIVATE, EARN) == other.book(ACTIVATE, EARN)
    assert not {head.seal for head in book.engine.heads()} & {head.seal for head in other.engine.heads()}
    other.engine.close()
