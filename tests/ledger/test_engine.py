"""What every engine promises: whole batches or nothing, look-ups from committed data, one owner."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from msgspec import structs

from switch.ledger import (
    FIRST_DUE,
    NEVER,
    Account,
    AccountKind,
    BalanceLoad,
    Batch,
    CardLoad,
    CodeSent,
    CodeSpent,
    CodeTried,
    ConflictError,
    Count,
    Counter,
    CounterLoad,
    Credential,
    DueMember,
    Engine,
    Entry,
    EntryIdLoad,
    EntryLoad,
    FencedError,
    FollowedLoad,
    FollowUp,
    Identified,
    IdentifierKind,
    IdentifierLoad,
    LedgerUnavailable,
    Load,
    MemberLoad,
    Mobile,
    MobileLoad,
    Named,
    Naming,
    OpenHold,
    PinSet,
    PinTried,
    ReversedLoad,
    Scope,
    Side,
    Start,
    State,
    Unit,
    Unnamed,
)
from tests.ledger.book import (
    HOLD_MS,
    PROGRAM,
    START_MS,
    Book,
    Request,
    Terms,
    changed,
    decision,
    due_ids,
    identifier_of,
    masked,
    replayed,
    stored,
)
from tests.ledger.conftest import ENGINES, EngineFactory
from tests.whole import WHOLE

ACTIVATE = Request("activate", 1, card=1)
EARN = Request("earn", 2, card=1, points=250, amount=2_500_000, cashier="07", receipt="A-1")
REDEEM = Request("redeem", 3, card=1, points=100, amount=10_000)
HOLD = Request("hold", 4, card=1, points=40)
ACCEPTOR = EARN.acceptor
MOBILE = Mobile(b"m" * 16, "98**12", b"sealed")
EMPTY = Start(0, b"", b"", "", {}, {})


def store(engine: Engine, batch: Batch, epoch: int) -> None:
    """Both halves: which of them refuses a batch is the engine's affair."""
    engine.stage(batch, epoch)
    engine.sync()


def total(kind: AccountKind, holder: str = "", unit: Unit = Unit.RIAL) -> BalanceLoad:
    return BalanceLoad(Account(0, kind, holder, PROGRAM, unit))


# ---------------------------------------------------------------- look-ups


def test_an_empty_ledger_knows_nothing(book: Book) -> None:
    engine = book.engine
    assert engine.start() == EMPTY
    loads: list[tuple[Load, object]] = [
        (EntryLoad(EARN.identity), None),
        (EntryIdLoad(5), None),
        (ReversedLoad(EARN.identity), False),
        (FollowedLoad(5), FollowUp()),
        (IdentifierLoad(identifier_of(1)), None),
        (MobileLoad(5), None),
        (CardLoad(5), ()),
        (CounterLoad(Counter(Scope.BATCH, "10000001", "000001", "earn")), Count(0, 0, 0)),
        (total(AccountKind.FUND), 0),
    ]
    assert [engine.load(load) for load, _ in loads] == [answer for _, answer in loads]
    assert engine.load_many([load for load, _ in loads]) == [answer for _, answer in loads]
    assert {(head.sequence, head.members) for head in engine.heads()} == {(0, 0)}
    assert due_ids(engine, NEVER) == []
    assert engine.due_holds(2**60, 10) == []


def visit(book: Book) -> tuple[list[Entry], int]:
    """One of everything, committed in one batch; the entries in their order and the member."""
    requests = [
        ACTIVATE,
        EARN,
        REDEEM,
        Request("refund", 5, card=1, points=10, original=REDEEM.identity, amount=1_000),
        HOLD,
        Request("reverse", 6, card=1, original=EARN.identity),
        Request("replace", 7, card=1, other=9),
        Request("redeem", 8, card=1, points=1),
    ]
    entries = book.book(*requests)
    assert [entry.response_code for entry in entries[:-1]] == ["00"] * 7
    assert entries[-1].response_code == "51"  # the card that was replaced is nobody's
    return entries, entries[0].member


@pytest.mark.parametrize("reopened", [False, True])
def test_what_was_committed_comes_back_from_every_look_up(book: Book, reopened: bool) -> None:
    entries, member = visit(book)
    known = book.member(9)
    if reopened:
        book.restart()
    expected: list[tuple[Load, object]] = [
        *((EntryLoad(entry.identity), stored(entry)) for entry in entries),
        *((EntryIdLoad(entry.id), stored(entry)) for entry in entries),
        (EntryIdLoad(entries[-1].id + 1), None),
        (MemberLoad(member), known),
        (ReversedLoad(EARN.identity), True),
        (ReversedLoad(REDEEM.identity), False),
        (FollowedLoad(entries[2].id), FollowUp(1_000, 10, False)),
        (FollowedLoad(entries[1].id), FollowUp(2_500_000, 250, True)),
        (FollowedLoad(entries[0].id), FollowUp()),
        (IdentifierLoad(identifier_of(9)), member),
        (IdentifierLoad(identifier_of(1)), None),
        (CardLoad(member), ((identifier_of(9), masked(9)),)),
        (MobileLoad(member), None),
        (total(AccountKind.RECEIVABLE, ACCEPTOR), 0),
        (total(AccountKind.PAYABLE, ACCEPTOR), 9_000),
        (total(AccountKind.ISSUED, ACCEPTOR, Unit.POINTS), 0),
        (total(AccountKind.REDEEMED, ACCEPTOR, Unit.POINTS), 90),
    ]
    engine = book.engine
    assert engine.load_many([load for load, _ in expected]) == [answer for _, answer in expected]
    assert [engine.load(load) for load, _ in expected] == [answer for _, answer in expected]
    assert known.wallets[0].balance == -130
    assert known.holds[0].id == entries[4].id
    last = Request("", 8, card=1)
    marks = {last.serial[:8]: last.number}
    start = Start(entries[-1].id, last.identity, EARN.identity, "2026-09-21", {37: 1}, marks)
    assert engine.start() == start
    (head,) = [head for head in engine.heads() if head.sequence]
    assert (head.sequence, head.members) == (8, 1)


def test_a_member_that_is_not_there_is_a_contradiction(book: Book) -> None:
    with pytest.raises(LedgerUnavailable, match=r"member 5 is missing; run `vafa ledger verify`"):
        book.engine.load(MemberLoad(5))


def test_counters_add_up_over_batches(book: Book) -> None:
    book.book(ACTIVATE, EARN, Request("earn", 10, 1, points=5, amount=50_000, cashier="07"))
    book.book(Request("earn", 11, 1, points=7, amount=70_000, batch=2), REDEEM, HOLD)
    book.book(Request("reverse", 12, 1, original=EARN.identity), Request("redeem", 13, 1, points=1_000))
    day = "2026-09-21"
    expected = {
        Counter(Scope.BATCH, "10000001", "000001", "earn"): Count(2, 2_550_000, 255),
        Counter(Scope.BATCH, "10000001", "000002", "earn"): Count(1, 70_000, 7),
        Counter(Scope.TERMINAL, "10000001", day, "earn"): Count(3, 2_620_000, 262),
        Counter(Scope.ACCEPTOR, ACCEPTOR, day, "redeem"): Count(1, 10_000, 100),
        Counter(Scope.ACCEPTOR, ACCEPTOR, day, "activate"): Count(1, 0, 0),
        Counter(Scope.ACCEPTOR, ACCEPTOR, day, "hold"): Count(1, 0, 40),
        Counter(Scope.ACCEPTOR, ACCEPTOR, day, "earn.reversal"): Count(1, 0, 250),
        Counter(Scope.CASHIER, f"{ACCEPTOR}/07", day, "earn"): Count(2, 2_550_000, 255),
        Counter(Scope.RECEIPT, ACCEPTOR, "A-1", "earn"): Count(1, 2_500_000, 250),
        Counter(Scope.RECEIPT, ACCEPTOR, "A-2", "earn"): Count(0, 0, 0),
    }
    loads = [CounterLoad(counter) for counter in expected]
    assert dict(zip(expected, book.engine.load_many(loads), strict=True)) == expected
    assert {counter: book.ask(lambda c=counter: book.state.counter(c)) for counter in expected} == expected  # type: ignore[misc]


def test_an_acceptors_account_is_read_as_one_sum_over_all_buckets(book: Book) -> None:
    for card in (1, 2, 3):
        book.send(Request("activate", card, card))
        book.send(Request("earn", 10 + card, card, points=card * 100))
        book.send(Request("redeem", 20 + card, card, points=card * 10))
    entries = book.commit()
    assert len({entry.bucket for entry in entries}) == 3
    for kind, points in ((AccountKind.ISSUED, -600), (AccountKind.REDEEMED, 60)):
        assert book.engine.load(total(kind, ACCEPTOR, Unit.POINTS)) == points


# What is done to a member one after the other -> what it then can prove itself with.
CHANGES: list[tuple[Callable[[int], Side], Credential]] = [
    (lambda member: PinSet(member, b"v" * 16), Credential(b"v" * 16)),
    (lambda member: PinTried(member, 1), Credential(b"v" * 16, 1)),
    (lambda member: CodeSent(member, b"h" * 16, 5000, 0), Credential(b"v" * 16, 1, b"h" * 16, 5000)),
    (lambda member: CodeTried(member, 2), Credential(b"v" * 16, 1, b"h" * 16, 5000, 2)),
    (lambda member: CodeSpent(member), Credential(b"v" * 16, 1)),
    (lambda member: PinSet(member, b"w" * 16, b"v" * 16), Credential(b"w" * 16)),
    (lambda member: PinSet(member, b"", b"w" * 16), Credential()),
]


@pytest.mark.parametrize("together", [True, False])
def test_each_change_of_a_credential_is_seen_in_memory_and_in_the_store(book: Book, together: bool) -> None:
    (added,) = book.book(ACTIVATE)
    for number, (change, expected) in enumerate(CHANGES, start=2):
        book.send(Request("change", number, 1, change=lambda member, change=change: [change(member)]))  # type: ignore[misc]
        assert book.member(1).credential == expected
        if not together:
            book.commit()
            book.restart()
            assert book.member(1).credential == expected
    if together:
        book.commit()
    assert book.engine.load(MemberLoad(added.member)) == book.member(1)


def named(book: Book, number: int, *namings: Naming) -> None:
    """An entry of card 1's member that does nothing but these namings."""
    sides = [Identified(naming.member, naming.kind, added=isinstance(naming, Named)) for naming in namings]

    def decide() -> None:
        request = Request("change", number, 1, change=lambda _: sides)
        entry = decision(book.state, request, book.member(1), book.now_ms)
        book.state.apply(changed(entry, namings=namings))

    book.ask(decide)


def test_a_member_is_found_by_its_mobile_number_until_another_takes_its_place(book: Book) -> None:
    (added,) = book.book(ACTIVATE)
    mobile, other = IdentifierKind.MOBILE, Mobile(b"o" * 16, "98**13", b"other")
    named(book, 2, Named(MOBILE.identifier, added.member, mobile, MOBILE.masked, MOBILE.sealed))
    assert book.ask(lambda: book.state.mobile(added.member)) == MOBILE
    book.commit()
    book.restart()
    assert book.ask(lambda: book.state.member_of(MOBILE.identifier)) == added.member
    named(
        book,
        3,
        Unnamed(MOBILE.identifier, added.member, mobile),
        Named(other.identifier, added.member, mobile, other.masked, other.sealed),
    )
    for _ in range(2):
        assert book.ask(lambda: book.state.mobile(added.member)) == other
        assert book.ask(lambda: book.state.member_of(MOBILE.identifier)) is None
        book.commit()
        assert book.engine.load(MobileLoad(added.member)) == other
        book.restart()
    named(book, 4, Unnamed(other.identifier, added.member, mobile))
    book.commit()
    assert book.engine.load_many([MobileLoad(added.member), IdentifierLoad(other.identifier)]) == [None, None]


# ---------------------------------------------------------------- what is due


def test_members_are_found_on_the_day_that_something_ends_or_begins(book: Book) -> None:
    for card in (1, 2, 3, 4):
        book.send(Request("activate", card, card))
    book.send(Request("earn", 11, 1, points=5, terms=Terms(lasts=10)))
    book.send(Request("earn", 12, 2, points=5, terms=Terms(lasts=-20)))
    book.send(Request("earn", 13, 3, points=5, terms=Terms(pending_days=5)))
    book.send(Request("earn", 14, 4, points=5))
    book.commit()
    members = {card: book.member(card).id for card in (1, 2, 3)}
    day, engine = book.day, book.engine
    assert due_ids(engine, day + 4) == []
    assert due_ids(engine, day + 5) == [members[3]]
    assert due_ids(engine, day + 10) == [members[3]]
    assert due_ids(engine, day + 11) == sorted([members[1], members[3]])
    assert due_ids(engine, day + 21) == sorted(members.values())
    first, second, third = engine.due_members(day + 21, FIRST_DUE, 3)
    assert {first, second, third} == {
        DueMember(day + after, members[card]) for card, after in ((1, 11), (2, 21), (3, 5))
    }
    assert engine.due_members(day + 21, FIRST_DUE, 2) == [first, second]
    assert engine.due_members(day + 21, second, 2) == [third]
    assert engine.due_members(day + 21, third, 2) == []


def test_a_member_whose_due_is_done_is_not_found_again(book: Book) -> None:
    book.book(ACTIVATE, Request("earn", 2, 1, points=5, terms=Terms(lasts=10)))
    book.pass_days(11)
    (member,) = due_ids(book.engine, book.day)
    entry = book.due(member)
    assert entry is not None
    assert book.due(member) is None
    book.commit()
    assert due_ids(book.engine, NEVER - 1) == []
    assert book.engine.load(total(AccountKind.EXPIRED, "", Unit.POINTS)) == 5


def test_holds_that_ran_out_are_found_until_they_are_closed(book: Book) -> None:
    other = Request("hold", 21, 2, points=10)
    book.book(ACTIVATE, EARN, Request("activate", 20, 2), Request("earn", 22, 2, points=50))
    (first,) = book.book(HOLD)
    book.now_ms += 1_000
    (second,) = book.book(other)
    holds = [OpenHold(entry.id, entry.member, entry.decided_ms + HOLD_MS) for entry in (first, second)]
    due = book.engine.due_holds
    assert due(holds[0].expires_ms - 1, 10) == []
    assert due(holds[0].expires_ms, 10) == holds[:1]
    assert due(holds[1].expires_ms, 10) == holds
    assert due(holds[1].expires_ms, 1) == holds[:1]
    book.book(Request("capture", 30, 1, points=40, original=HOLD.identity))
    assert due(2**60, 10) == holds[1:]
    book.book(
        Request("hold", 31, 1, points=1),
        Request("release", 32, 1, original=Request("hold", 31, 1).identity),
        Request("release", 33, 2, original=other.identity),
    )
    assert due(2**60, 10) == []


# ---------------------------------------------------------------- batches


def test_a_staged_batch_is_not_seen_before_it_is_synced(book: Book) -> None:
    book.send(ACTIVATE)
    earn = book.send(EARN)
    book.stage()
    assert book.engine.load(EntryLoad(EARN.identity)) is None
    assert book.engine.start() == EMPTY
    assert {head.sequence for head in book.engine.heads()} == {0}
    book.engine.sync()
    assert book.engine.load(EntryLoad(EARN.identity)) == stored(earn)


def test_a_rolled_back_batch_leaves_nothing_and_can_be_staged_again(book: Book) -> None:
    book.book(ACTIVATE, EARN)
    heads = book.engine.heads()
    redeem = book.send(REDEEM)
    book.stage()
    book.engine.rollback()
    book.engine.rollback()
    assert book.engine.heads() == heads
    assert book.engine.load(EntryLoad(REDEEM.identity)) is None
    book.commit()
    assert book.engine.load(EntryLoad(REDEEM.identity)) == stored(redeem)
    assert book.engine.load(MemberLoad(redeem.member)) == book.member(1)


def test_a_closed_engine_has_forgotten_what_was_only_staged(
    book: Book, engine_factory: EngineFactory
) -> None:
    book.book(ACTIVATE)
    book.send(EARN)
    book.stage()
    book.engine.close()
    book.engine.close()
    assert engine_factory().load(EntryLoad(EARN.identity)) is None


def test_only_one_batch_is_open_at_a_time(book: Book) -> None:
    book.send(ACTIVATE)
    book.stage()
    with pytest.raises(AssertionError, match="one batch at a time"):
        book.stage()


def test_two_batches_are_as_one(
    engine_factory: EngineFactory, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    together, apart = two_ledgers(engine_factory, tmp_path_factory, request)
    requests = [ACTIVATE, EARN, HOLD, REDEEM, Request("capture", 5, 1, points=15, original=HOLD.identity)]
    together.book(*requests)
    for one in requests:
        apart.book(one)
    loads: list[Load] = [EntryLoad(one.identity) for one in requests]
    loads += [MemberLoad(together.member(1).id), total(AccountKind.FUND), total(AccountKind.MARGIN)]
    assert together.engine.load_many(loads) == apart.engine.load_many(loads)
    assert together.engine.start() == apart.engine.start()
    apart.engine.close()


def test_an_empty_batch_changes_nothing(book: Book) -> None:
    book.book(ACTIVATE)
    start, heads = book.engine.start(), book.engine.heads()
    book.commit()
    book.engine.stage(Batch([]), book.epoch)
    book.engine.sync()
    assert (book.engine.start(), book.engine.heads()) == (start, heads)


def test_answers_without_an_entry_raise_marks(book: Book) -> None:
    book.book(ACTIVATE)
    mark = ACTIVATE.serial[:8]
    for answered, expected in (
        ({b"initial1": 70}, {b"initial1": 70, mark: 1}),
        ({b"initial1": 69, mark: 9}, {b"initial1": 70, mark: 9}),
        ({b"initial1": 71, b"initial2": 3}, {b"initial1": 71, b"initial2": 3, mark: 9}),
    ):
        book.stage(answered)
        book.engine.sync()
        book.state.committed()
        assert book.engine.start().key_marks == expected
    book.book(EARN._replace(number=20))
    book.book(EARN._replace(number=10))  # sent earlier, decided later
    book.restart()
    assert book.engine.start().key_marks == {b"initial1": 71, b"initial2": 3, mark: 20}


# ---------------------------------------------------------------- contradictions


@pytest.mark.parametrize(
    "clash",
    [{"identity": EARN.identity}, {"id": 1}, {"member": 1}],
    ids=["identity", "entry id", "member changed meanwhile"],
)
def test_a_batch_that_contradicts_the_store_is_refused_whole(book: Book, clash: dict[str, object]) -> None:
    entries = book.book(ACTIVATE, EARN)
    fresh = book.send(Request("activate", 10, card=2))
    late = book.send(REDEEM)
    batch = book.state.batch()
    if "identity" in clash:
        wrong = changed(late, identity=EARN.identity)
    elif "id" in clash:
        wrong = changed(late, id=entries[0].id)
    else:
        wrong = changed(late, previous=entries[0].id)
    with pytest.raises(ConflictError):
        store(book.engine, Batch([fresh, wrong], batch.members, batch.accounts), book.epoch)
    book.forget()
    assert book.engine.load(EntryLoad(fresh.identity)) is None
    assert book.engine.load(IdentifierLoad(identifier_of(2))) is None
    assert book.balance(1) == 250
    book.book(REDEEM)
    assert book.balance(1) == 150


def test_the_same_identity_twice_in_one_batch_is_refused_whole(book: Book) -> None:
    first = book.send(ACTIVATE)
    members = book.state.batch().members
    with pytest.raises(ConflictError):
        store(book.engine, Batch([first, changed(first, id=first.id + 1, namings=())], members), book.epoch)
    assert book.engine.start() == EMPTY


def test_a_reversal_of_what_is_reversed_is_refused(book: Book) -> None:
    early = Request("reverse", 9, card=5, original=Request("earn", 8, 5).identity)  # nobody's card
    (reversal,) = book.book(early)
    again = changed(reversal, id=reversal.id + 1, identity=b"another reversal...")
    with pytest.raises(ConflictError):
        store(book.engine, Batch([again]), book.epoch)
    assert book.engine.load(EntryLoad(again.identity)) is None


@pytest.mark.parametrize("card", [1, 257], ids=["the same card", "the same member"])
def test_a_member_or_a_name_is_added_once(book: Book, card: int) -> None:
    (activation,) = book.book(ACTIVATE)
    before = book.engine.load(MemberLoad(activation.member))
    book.state, book.now_ms = State(EMPTY), book.now_ms + 1_000  # an owner who missed it
    book.state.fill(IdentifierLoad(identifier_of(card)), None)
    assert book.send(Request("activate", 50, card)).member == activation.member
    with pytest.raises(ConflictError):
        store(book.engine, book.state.batch(), book.epoch)
    assert book.engine.load(MemberLoad(activation.member)) == before
    assert book.engine.load(IdentifierLoad(identifier_of(257))) is None


def test_a_member_that_is_not_there_is_not_changed(book: Book) -> None:
    book.book(ACTIVATE)
    block = book.send(Request("block", 2, 1))
    missing = block.member + 1
    member = structs.replace(book.member(1), id=missing)
    with pytest.raises(ConflictError):
        store(book.engine, Batch([changed(block, member=missing)], {missing: member}), book.epoch)
    with pytest.raises(LedgerUnavailable, match="is missing"):
        book.engine.load(MemberLoad(missing))


# ---------------------------------------------------------------- owners


def test_only_the_newest_owner_writes(book: Book, engine_factory: EngineFactory) -> None:
    book.book(ACTIVATE)
    successor = engine_factory()
    epoch = successor.claim("successor")
    assert epoch == book.epoch + 1
    earn = book.send(EARN)
    with pytest.raises(FencedError):
        store(book.engine, book.state.batch(), book.epoch)
    assert successor.load(EntryLoad(EARN.identity)) is None
    successor.stage(book.state.batch(), epoch)
    successor.sync()
    assert successor.load(EntryLoad(EARN.identity)) == stored(earn)
    with pytest.raises(FencedError):
        store(book.engine, book.state.batch(), book.epoch)


def test_an_owner_who_was_never_claimed_writes_nothing(book: Book) -> None:
    book.send(ACTIVATE)
    with pytest.raises(FencedError):
        store(book.engine, book.state.batch(), book.epoch + 1)
    assert book.engine.start() == EMPTY


def test_a_successor_goes_on_where_the_ledger_ends(book: Book, engine_factory: EngineFactory) -> None:
    before = book.book(ACTIVATE, EARN)
    successor = Book(engine_factory, now_ms=START_MS - 86_400_000)
    assert successor.balance(1) == 250
    (after,) = successor.book(REDEEM)
    assert after.id > before[1].id
    assert after.business_date == before[1].business_date
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


# ---------------------------------------------------------------- ledgers


def two_ledgers(
    engine_factory: EngineFactory,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> tuple[Book, Book]:
    kind = request.node.callspec.params["engine_factory"]
    return Book(engine_factory), Book(lambda: ENGINES[kind](tmp_path_factory.mktemp("other")))


def test_heads_are_different_in_two_ledgers_with_the_same_entries(
    engine_factory: EngineFactory, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    one, other = two_ledgers(engine_factory, tmp_path_factory, request)
    assert one.book(ACTIVATE, EARN) == other.book(ACTIVATE, EARN)
    assert one.engine.ledger != other.engine.ledger
    assert not {head.seal for head in one.engine.heads()} & {head.seal for head in other.engine.heads()}
    other.engine.close()


OPERATIONS: Sequence[tuple[str, int]] = (
    ("earn", 50),
    ("redeem", 20),
    ("hold", 5),
    ("capture", 5),
    ("refund", 5),
    ("return", 5),
    ("reverse", 5),
    ("block", 1),
    ("unblock", 4),
)
LASTS = (0, 0, 3, 10, -2, -7)


def random_request(chooser: random.Random, number: int, before: Sequence[Request]) -> Request:
    (operation,) = chooser.choices([name for name, _ in OPERATIONS], [weight for _, weight in OPERATIONS])
    earlier = chooser.choice(before)
    follows = operation in ("capture", "refund", "return", "reverse")
    return Request(
        operation,
        number,
        card=earlier.card,
        points=chooser.randrange(1, 100),
        original=earlier.identity if follows else b"",
        acceptor=f"10000000000000{chooser.randrange(3)}",
        unit=earlier.unit if follows else chooser.choice([Unit.POINTS, Unit.STAMPS, Unit.CASH]),
        terms=Terms(
            price=chooser.choice([0, 1_000, 99_999]),
            pending_days=chooser.choice([0, 0, 2]),
            lasts=chooser.choice(LASTS),
            priority=chooser.randrange(2),
        ),
        amount=chooser.randrange(1_000),
        receipt=chooser.choice(["", "r"]),
    )


def test_thousands_of_entries_come_back_as_they_were(book: Book) -> None:
    chooser = random.Random(5)
    cards = range(1, 300)
    sent = [Request("activate", card, card) for card in cards]
    book.book(*sent)
    entries: list[Entry] = []
    while len(entries) < (10_000 if WHOLE else 2_500):
        for _ in range(chooser.randrange(1, 200)):
            request = random_request(chooser, len(sent) + 1, sent[-600:])
            book.send(request)
            sent.append(request)
        entries += book.commit()
        book.now_ms += chooser.randrange(0, 20_000_000)
    members = [book.member(card) for card in cards]
    book.restart()
    engine = book.engine
    for at in range(0, len(entries), 500):  # no switch asks for more at once
        some = entries[at : at + 500]
        assert engine.load_many([EntryLoad(entry.identity) for entry in some]) == list(map(stored, some))
    assert engine.load_many([MemberLoad(member.id) for member in members]) == members
    assert [replayed(engine, member.id) for member in members] == members
    operations = {entry.operation for entry in entries if entry.transfers}
    assert operations >= {"earn", "redeem", "hold", "capture", "refund", "return", "due", "earn.reversal"}
    holds = {hold.id for member in members for hold in member.holds}
    assert {hold.id for hold in engine.due_holds(2**60, 100_000)} == holds
    due = sorted(member.id for member in members if member.due < NEVER)
    assert due_ids(engine, NEVER - 1) == due
