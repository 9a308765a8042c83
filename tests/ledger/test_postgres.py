"""What only PostgreSQL promises: owners of ranges, connections cut at any byte, killed servers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from simulators.postgres_server import PostgresServer
from switch.ledger import (
    Account,
    AccountKind,
    BalanceLoad,
    ConflictError,
    Counter,
    CounterLoad,
    EntryLoad,
    FencedError,
    LedgerUnavailable,
    MemberLoad,
    Scope,
    Unit,
    postgres_connection,
)
from switch.ledger.postgres import PostgresEngine
from switch.ledger.postgres_statements import register_arrays
from tests.ledger.book import PROGRAM, SEAL_KEY, Book, Request, bucket_of_card, replayed, stored
from tests.ledger.conftest import schema_url, shared_server
from tests.ledger.postgres_proxy import Proxy

LOW, HIGH = (0, 127), (128, 255)
LOW_CARD, HIGH_CARD = 1, 4  # buckets 37 and 148
ACTIVATE = Request("activate", 1, LOW_CARD)
EARN = Request("earn", 2, LOW_CARD, points=250, amount=2_500_000)


def test_the_cards_lie_in_the_ranges() -> None:
    assert bucket_of_card(LOW_CARD) <= LOW[1] < bucket_of_card(HIGH_CARD)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return schema_url(tmp_path)


class Owner(Book):
    """A book on a range of buckets."""

    def __init__(self, url: str, buckets: tuple[int, int] = (0, 255)) -> None:
        self.buckets = buckets
        super().__init__(lambda: PostgresEngine(url, SEAL_KEY))

    def open(self) -> None:
        self.engine = self._open_engine()
        self.epoch = self.engine.claim("test", *self.buckets)
        self.forget()

    def sent_until_stored(self, *requests: Request) -> None:
        """What a switch does: after a failure it begins anew and asks the ledger what became of each."""
        while True:
            try:
                self.book(*requests)
                return
            except LedgerUnavailable:
                self.recover()

    def recover(self) -> None:
        """Begin anew as soon as the database answers again."""
        self.engine.rollback()
        while True:
            try:
                self.forget()
                return
            except LedgerUnavailable:
                continue


@pytest.fixture
def owners() -> Iterator[Callable[..., Owner]]:
    made: list[Owner] = []

    def own(url: str, buckets: tuple[int, int] = (0, 255)) -> Owner:
        made.append(Owner(url, buckets))
        return made[-1]

    yield own
    for owner in made:
        owner.engine.close()


# ---------------------------------------------------------------- owners of ranges


def test_two_owners_write_side_by_side(url: str, owners: Callable[..., Owner]) -> None:
    low, high = owners(url, LOW), owners(url, HIGH)
    both = [(low, LOW_CARD, 100), (high, HIGH_CARD, 200)]
    for owner, card, _ in both:
        owner.book(Request("activate", card, card))
    for owner, card, points in both:
        owner.book(Request("earn", 10 + card, card, points=points))
    assert [owner.balance(card) for owner, card, _ in both] == [100, 200]
    issued = BalanceLoad(Account(0, AccountKind.ISSUED, EARN.acceptor, PROGRAM, Unit.POINTS))
    counter = CounterLoad(Counter(Scope.BATCH, "10000001", "000001", "earn"))
    for owner, card, _ in both:
        assert owner.engine.load(issued) == -300
        assert owner.engine.load(counter)[0] == 2  # type: ignore[index]
        start = owner.engine.start()
        assert start.member_counts == {bucket_of_card(card): 1}
        assert start.last_identity == Request("", 10 + card, card).identity
        assert start.key_marks == {Request("", 14, LOW_CARD).serial[:8]: 14}  # whoever answered
    assert sum(head.sequence for head in low.engine.heads()) == 4


def test_two_threads_write_two_ranges_at_once(url: str, owners: Callable[..., Owner]) -> None:
    low, high = owners(url, LOW), owners(url, HIGH)
    failures: list[BaseException] = []

    def play(owner: Owner, card: int) -> None:
        try:
            owner.book(Request("activate", card, card))
            for number in range(60):
                owner.book(Request("earn", card * 1000 + number, card, points=1))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=play, args=pair) for pair in ((low, LOW_CARD), (high, HIGH_CARD))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [low.balance(LOW_CARD), high.balance(HIGH_CARD)] == [60, 60]
    issued = BalanceLoad(Account(0, AccountKind.ISSUED, EARN.acceptor, PROGRAM, Unit.POINTS))
    assert low.engine.load(issued) == -120


def test_owners_never_make_the_same_entry_id(url: str, owners: Callable[..., Owner]) -> None:
    """Also at the same moment, with clocks that stand, and after the buckets were divided otherwise."""
    made: list[int] = []
    number = 0
    for division in ([LOW, HIGH], [(0, 255)], [(0, 99), (100, 255)]):
        books = [owners(url, buckets) for buckets in division]
        for _ in range(3):
            for book in books:
                for card in (LOW_CARD, HIGH_CARD):
                    if book.buckets[0] <= bucket_of_card(card) <= book.buckets[1]:
                        number += 700
                        sent = [Request("activate", number + more, card) for more in range(600)]
                        made += [entry.id for entry in book.book(*sent)]
    assert len(set(made)) == len(made)


def test_an_entry_outside_the_range_is_refused(url: str, owners: Callable[..., Owner]) -> None:
    low = owners(url, LOW)
    low.send(Request("activate", 1, HIGH_CARD))
    with pytest.raises(ConflictError, match="bucket 148, this owner has 0 to 127"):
        low.stage()
    assert low.engine.start().last_entry_id == 0


@pytest.mark.parametrize("taken", [LOW, HIGH, (0, 0), (37, 37), (100, 200)])
def test_whoever_loses_a_bucket_is_fenced_and_the_rest_waits_for_an_owner(
    url: str, owners: Callable[..., Owner], taken: tuple[int, int]
) -> None:
    whole = owners(url)
    whole.book(ACTIVATE)
    part = owners(url, taken)
    whole.send(EARN)
    with pytest.raises(FencedError):
        whole.commit()
    assert part.epoch > whole.epoch
    again = owners(url)
    assert again.epoch > part.epoch
    part.send(Request("activate", 50, next(card for card in range(1, 300) if in_range(card, taken, part))))
    with pytest.raises(FencedError):
        part.commit()
    again.book(EARN)
    assert again.balance(LOW_CARD) == 250


def in_range(card: int, buckets: tuple[int, int], owner: Owner) -> bool:
    return buckets[0] <= bucket_of_card(card) <= buckets[1] and not owner.knows(card)


def test_sums_outlive_every_division_of_the_buckets(url: str, owners: Callable[..., Owner]) -> None:
    """What an owner added up stays where its range began, whoever owns it later."""
    divisions = [[(0, 255)], [LOW, HIGH], [(0, 255)], [(0, 99), (100, 255)], [LOW, HIGH], [(0, 255)]]
    points = number = 0
    marks: dict[bytes, int] = {}
    issued = BalanceLoad(Account(0, AccountKind.ISSUED, EARN.acceptor, PROGRAM, Unit.POINTS))
    counter = CounterLoad(Counter(Scope.BATCH, "10000001", "000001", "earn"))
    for division in divisions:
        for buckets in division:
            owner = owners(url, buckets)
            for card in (LOW_CARD, HIGH_CARD):
                if buckets[0] <= bucket_of_card(card) <= buckets[1]:
                    number += 2
                    points += 7
                    earn = Request("earn", number + 1, card, points=7)
                    owner.book(Request("activate", number, card), earn)
                    marks[earn.serial[:8]] = earn.number
            assert owner.engine.load(issued) == -points
            assert owner.engine.load(counter)[2] == points  # type: ignore[index]
    assert owner.engine.start().key_marks == marks
    assert owner.balance(LOW_CARD) + owner.balance(HIGH_CARD) == points


def test_marks_without_an_entry_are_kept_for_every_later_owner(
    url: str, owners: Callable[..., Owner]
) -> None:
    high = owners(url, HIGH)
    high.stage({b"initial1": 9})
    high.engine.sync()
    low = owners(url, LOW)
    low.stage({b"initial1": 10, b"initial2": 4})
    low.engine.sync()
    low.state.committed()
    low.stage({b"initial1": 8, b"initial2": 5})
    low.engine.sync()
    assert owners(url).engine.start().key_marks == {b"initial1": 10, b"initial2": 5}


# ---------------------------------------------------------------- connections that break


@pytest.fixture
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    made = Proxy(shared_server(), tmp_path_factory.mktemp("proxy"))
    yield made
    made.close()


def test_a_connection_cut_at_any_byte_of_a_commit_is_resolved_by_the_ledger(
    url: str, proxy: Proxy, owners: Callable[..., Owner]
) -> None:
    """Nothing is told as stored before the server's last byte, nothing is stored twice, whichever it is."""
    owner = owners(proxy.url(url))
    owner.book(ACTIVATE)
    owner.book(Request("earn", 5, LOW_CARD, points=1))  # prepares the statement
    proxy.limit()
    owner.book(Request("earn", 6, LOW_CARD, points=1))
    sent, answered = proxy.passed
    points = 2
    lost = found = 0
    cuts = [{"answers": place} for place in range(answered)]
    cuts += [{"requests": place} for place in range(0, sent, max(sent // 40, 1))]
    for number, cut in enumerate(cuts, start=10):
        request = Request("earn", number, LOW_CARD, points=1)
        entry = owner.send(request)
        # The statement is prepared anew after each cut, so that the bytes are those that were counted.
        proxy.limit(**cut)
        with pytest.raises(LedgerUnavailable, match="the connection is lost"):
            owner.commit()
        proxy.limit()
        owner.recover()
        known = owner.engine.load(EntryLoad(request.identity))
        if known is None:
            lost += 1
        else:
            assert known == stored(entry)
            found += 1
        owner.sent_until_stored(request)
        points += 1
        assert owner.balance(LOW_CARD) == points
        owner.book(Request("earn", 10_000 + number, LOW_CARD, points=1))
        points += 1
    assert found
    assert lost
    member = owner.member(LOW_CARD)
    assert replayed(owner.engine, member.id) == owner.engine.load(MemberLoad(member.id))
    assert sum(head.sequence for head in owner.engine.heads()) == points + 1


def test_what_a_lost_connection_has_under_way_is_never_stored_after_a_new_start(
    url: str, owners: Callable[..., Owner]
) -> None:
    """A batch that the server has but can't finish (a lock is in its way) is over before `start` answers."""
    owner = owners(url)
    owner.book(ACTIVATE)
    earn = owner.send(EARN)
    owner.stage()
    staged = owner.engine._staged  # type: ignore[attr-defined]
    late = psycopg.connect(url, autocommit=True)
    register_arrays(late)
    # The connection that was given up: its statement reaches the server only after the owner began anew.
    owner.engine._drop_writer()  # type: ignore[attr-defined]
    owner.recover()
    cursor = psycopg.RawCursor(late)
    assert cursor.execute(staged.statement, staged.parameters).fetchone() == (0,)
    late.close()
    assert owner.engine.load(EntryLoad(EARN.identity)) is None
    owner.book(EARN)
    assert owner.engine.load(EntryLoad(EARN.identity)) == stored(earn)


@pytest.mark.parametrize("victim", ["writer", "reader", "both"])
def test_ended_sessions_are_made_again(url: str, owners: Callable[..., Owner], victim: str) -> None:
    owner = owners(url)
    owner.book(ACTIVATE)
    for number in range(10, 16):
        request = Request("earn", number, LOW_CARD, points=1)
        owner.send(request)
        owner.stage()
        end_sessions(url, owner, victim)
        if victim == "reader":
            owner.engine.sync()
            owner.state.committed()
        else:
            with pytest.raises(LedgerUnavailable, match="the switch goes on by itself"):
                owner.engine.sync()
        if victim != "writer":
            with pytest.raises(LedgerUnavailable, match="the switch goes on by itself"):
                owner.engine.load(EntryLoad(request.identity))
        owner.recover()
        owner.sent_until_stored(request)
    assert owner.balance(LOW_CARD) == 6


def end_sessions(url: str, owner: Owner, victim: str) -> None:
    engine = owner.engine
    assert isinstance(engine, PostgresEngine)
    sessions = {"writer": [engine._writer], "reader": [engine._reader.connection]}
    sessions["both"] = sessions["writer"] + sessions["reader"]
    with psycopg.connect(url, autocommit=True) as connection:
        for session in sessions[victim]:
            assert session is not None
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", (session.info.backend_pid,))


def test_a_deadlock_or_serialization_failure_sends_the_same_batch_again(
    url: str, owners: Callable[..., Owner]
) -> None:
    owner = owners(url)
    owner.book(ACTIVATE)
    owner.send(EARN)
    owner.stage()
    engine = owner.engine
    assert isinstance(engine, PostgresEngine)
    assert engine._writer is not None
    # Repeatable read makes the server refuse a row that changed since: once, as the next try sees it.
    engine._writer.execute("SET default_transaction_isolation = 'serializable'")
    with psycopg.connect(url) as other:
        other.execute("UPDATE owner SET name = 'touched' WHERE first_bucket = 0")
        thread = threading.Thread(target=engine.sync)
        thread.start()
        wait_for_lock(url)
        other.commit()
        thread.join()
    assert isinstance(engine.load(EntryLoad(EARN.identity)), object)
    owner.state.committed()
    assert owner.balance(LOW_CARD) == 250
    owner.book(Request("earn", 3, LOW_CARD, points=1))


def wait_for_lock(url: str) -> None:
    """Until somebody waits for a row."""
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        ).fetchone() == (0,):
            pass


def test_a_session_that_stands_still_is_given_up_and_fenced_when_it_wakes(
    url: str, owners: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = owners(url)
    owner.book(ACTIVATE)
    owner.send(EARN)
    owner.stage()
    engine = owner.engine
    assert isinstance(engine, PostgresEngine)
    assert engine._writer is not None
    asleep = engine._writer.info.backend_pid
    os.kill(asleep, signal.SIGSTOP)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(postgres_connection, "ANSWER_SECONDS", 0.2)
            with pytest.raises(LedgerUnavailable, match="goes on by itself"):
                engine.sync()
        owner.recover()
        assert owner.ask(lambda: owner.state.entry(EARN.identity)) is None
    finally:
        os.kill(asleep, signal.SIGCONT)
    wait_until_ended(url, asleep)  # it has read the batch by then
    assert engine.load(EntryLoad(EARN.identity)) is None
    owner.book(EARN)
    assert owner.balance(LOW_CARD) == 250


def wait_until_ended(url: str, session: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", (session,)
        ).fetchone() != (0,):
            pass


# ---------------------------------------------------------------- servers that die


def test_a_killed_server_loses_nothing_and_repeats_nothing(owners: Callable[..., Owner]) -> None:
    with PostgresServer() as server:
        url = server.schema("ledger")
        owner = owners(url)
        owner.book(ACTIVATE)
        told: list[bytes] = []
        number = 10
        for turn in range(6):
            killer = threading.Timer(0.01 + 0.005 * turn, server.kill)
            killer.start()
            while True:
                requests = [Request("earn", number + more, LOW_CARD, points=1) for more in range(5)]
                try:
                    owner.book(*requests)
                except LedgerUnavailable:
                    break
                told += [request.identity for request in requests]
                number += 5
            killer.join()
            with pytest.raises(LedgerUnavailable, match="goes on by itself"):
                owner.engine.start()
            server.start()
            owner.recover()
            owner.sent_until_stored(*requests)
            told += [request.identity for request in requests]
            number += 5
        assert len(set(told)) == len(told)
        found = owner.engine.load_many([EntryLoad(identity) for identity in told])
        assert None not in found
        assert owner.balance(LOW_CARD) == len(told)
        assert sum(head.sequence for head in owner.engine.heads()) == len(told) + 1
        owner.engine.close()


# ---------------------------------------------------------------- what an operator reads


def test_a_password_is_in_no_text(tmp_path: Path) -> None:
    secret = "s3cretWord"
    for url, said in (
        (
            f"postgresql://vafa:{secret}@/x?host={tmp_path}",
            "the switch goes on by itself when the server answers",
        ),
        (f"postgresql://vafa:{secret}@127.0.0.1:1/x", "the switch goes on by itself when the server answers"),
        (f"postgresql://vafa:{secret}@h:port/x?nonsense", "the connection string of the ledger is none"),
        (f"host=/ password={secret} nonsense", "the connection string of the ledger is none"),
    ):
        with pytest.raises(LedgerUnavailable, match=said) as caught:
            PostgresEngine(url, SEAL_KEY)
        error: BaseException | None = caught.value
        while error is not None:
            assert secret not in str(error)
            assert secret not in repr(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    ("prepared", "said"),
    [
        ("DROP TABLE member", "isn't as this program made it; run `vafa ledger verify`"),
        ("DELETE FROM bucket_head WHERE bucket = 9", "bucket_head has 255 rows of 256"),
        ("UPDATE meta SET value = '2' WHERE name = 'schema'", "the seal key doesn't fit this ledger"),
        ("DELETE FROM meta WHERE name = 'answered'", "meta rows are missing; restore a backup"),
        ("DELETE FROM owner", "the owners' rows don't cover all buckets"),
    ],
)
def test_a_database_that_was_changed_is_told(url: str, prepared: str, said: str) -> None:
    owner = Owner(url)
    owner.book(ACTIVATE)
    owner.engine.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(prepared.encode())
    with pytest.raises(LedgerUnavailable, match=said):
        use(url)


def use(url: str) -> None:
    """A little of everything."""
    with closing(PostgresEngine(url, SEAL_KEY)) as engine:
        engine.claim("test")
        engine.start()
        engine.load(MemberLoad(5))


def test_another_programs_schema_is_left_alone(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (id integer)")
        with pytest.raises(LedgerUnavailable, match="another program's tables are there"):
            PostgresEngine(url, SEAL_KEY)
        assert connection.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


def test_a_schema_that_is_not_there_is_told() -> None:
    with pytest.raises(LedgerUnavailable, match="names no schema that is there"):
        PostgresEngine(shared_server().url("nowhere"), SEAL_KEY)


def test_another_seal_key_is_refused(url: str) -> None:
    PostgresEngine(url, SEAL_KEY).close()
    with pytest.raises(LedgerUnavailable, match="the seal key doesn't fit this ledger"):
        PostgresEngine(url, bytes(32))


def test_a_server_that_forgets_is_refused() -> None:
    with (
        PostgresServer({"fsync": "off"}) as server,
        pytest.raises(LedgerUnavailable, match="fsync is off, so a power failure loses"),
    ):
        PostgresEngine(server.schema("ledger"), SEAL_KEY)


def test_a_commit_waits_for_the_disk_whatever_the_servers_default(
    url: str, owners: Callable[..., Owner]
) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER ROLE vafa SET synchronous_commit = off")
        try:
            engine = owners(url).engine
            assert isinstance(engine, PostgresEngine)
            assert engine._writer is not None
            assert engine._writer.execute("SHOW synchronous_commit").fetchone() == ("on",)
        finally:
            connection.execute("ALTER ROLE vafa RESET synchronous_commit")


def test_what_the_server_refuses_is_the_batchs_fault(url: str, owners: Callable[..., Owner]) -> None:
    """A text that it can't store: nothing is, and the next batch is written."""
    owner = owners(url)
    owner.book(ACTIVATE)
    owner.send(EARN._replace(receipt="\0"))
    with pytest.raises(ConflictError, match="nothing was stored"):
        owner.commit()
    owner.forget()
    owner.book(EARN)
    assert owner.balance(LOW_CARD) == 250


def test_two_switches_make_the_same_new_ledger(url: str) -> None:
    ledgers: list[str] = []
    barrier = threading.Barrier(4)

    def make() -> None:
        barrier.wait()
        engine = PostgresEngine(url, SEAL_KEY)
        ledgers.append(engine.ledger)
        engine.close()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledgers) == 4
    assert len(set(ledgers)) == 1
