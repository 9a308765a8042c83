"""PINs, one-time codes and mobile numbers in memory, in the store, and the same in both."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from switch.ledger import (
    CardTried,
    CodeCount,
    CodeCountLoad,
    CodesCounted,
    CodeSent,
    CodeSpent,
    CodeTried,
    Credential,
    CredentialLoad,
    EntryLoad,
    Mobile,
    MobileLoad,
    MobileRemoved,
    MobileSet,
    PinSet,
    PinTried,
    Side,
)
from tests.ledger.book import Book, Request, identifier_of

VERIFIER, OTHER, HASH = b"v" * 16, b"w" * 16, b"h" * 16
# What is done one after the other -> what the member then has.
STORY: list[tuple[type[Side], tuple[object, ...], Credential]] = [
    (PinSet, (VERIFIER, b""), Credential(VERIFIER)),
    (PinTried, (1,), Credential(VERIFIER, 1)),
    (PinTried, (2,), Credential(VERIFIER, 2)),
    (CodeSent, (HASH, 5000, 0), Credential(VERIFIER, 2, HASH, 5000)),
    (CodeTried, (1,), Credential(VERIFIER, 2, HASH, 5000, 1)),
    (CodeSpent, (), Credential(VERIFIER, 2)),
    (PinSet, (OTHER, VERIFIER), Credential(OTHER)),
    (CardTried, (2,), Credential(OTHER, card_wrong=2)),
    (CardTried, (0,), Credential(OTHER)),
    (PinSet, (b"", OTHER), Credential()),
]


def change(number: int, kind: type[Side], *values: object) -> Request:
    def sides(member: int) -> Sequence[Side]:
        return [kind(member, *values)]  # type: ignore[arg-type,call-arg]

    return Request("change", number, 1, change=sides)


@pytest.mark.parametrize("together", [True, False])
def test_each_change_is_seen_in_memory_and_in_the_store(book: Book, together: bool) -> None:
    (added,) = book.book(Request("activate", 1, 1))
    for number, (kind, values, expected) in enumerate(STORY, start=2):
        entry = book.send(change(number, kind, *values))
        assert book.ask(lambda: book.state.credential(added.member)) == expected
        if not together:
            book.commit()
            assert book.engine.load(CredentialLoad(added.member)) == expected
            book.restart()
            assert book.engine.load(EntryLoad(entry.identity)) == entry
    book.commit()
    assert book.engine.load(CredentialLoad(added.member)) == Credential()


def test_a_member_is_found_by_its_mobile_number_until_that_is_removed(book: Book) -> None:
    (added,) = book.book(Request("activate", 1, 1))
    mobile = Mobile(b"m" * 16, "98**12", b"sealed")
    assert book.ask(lambda: book.state.member_of(mobile.identifier)) is None
    (entry,) = book.book(change(2, MobileSet, *mobile))
    for _ in range(2):
        assert book.ask(lambda: book.state.member_of(mobile.identifier)) == added.member
        assert book.ask(lambda: book.state.mobile(added.member)) == mobile
        assert book.ask(lambda: book.state.entry(entry.identity)) == entry
        book.restart()
    book.book(change(3, MobileRemoved, mobile.identifier))
    for _ in range(2):
        assert book.ask(lambda: book.state.member_of(mobile.identifier)) is None
        assert book.ask(lambda: book.state.mobile(added.member)) is None
        book.restart()
    assert book.engine.load(MobileLoad(added.member)) is None


def test_codes_are_counted_by_subject(book: Book) -> None:
    book.book(Request("activate", 1, 1))
    assert book.ask(lambda: book.state.code_count("terminal T")) == CodeCount()
    (entry,) = book.book(change(2, CodesCounted, "terminal T", 5000, 1))
    book.book(change(3, CodesCounted, "terminal T", 5000, 2))
    for _ in range(2):
        assert book.ask(lambda: book.state.code_count("terminal T")) == CodeCount(5000, 2)
        assert book.ask(lambda: book.state.code_count("terminal U")) == CodeCount()
        assert book.ask(lambda: book.state.entry(entry.identity)) == entry
        book.restart()
    assert book.engine.load(CodeCountLoad("terminal T")) == CodeCount(5000, 2)


def test_a_mobile_number_names_one_member(book: Book) -> None:
    book.book(Request("activate", 1, 1), Request("activate", 2, 2))
    book.book(change(3, MobileSet, b"m" * 16, "98**12", b"sealed"))
    taken = change(4, MobileSet, b"m" * 16, "98**12", b"sealed")._replace(card=2)
    with pytest.raises(AssertionError):
        book.send(taken)


def test_a_card_identifier_is_no_mobile_number(book: Book) -> None:
    book.book(Request("activate", 1, 1))
    with pytest.raises(AssertionError):
        book.send(change(2, MobileSet, identifier_of(1), "98**12", b"sealed"))


def test_reprs_say_nothing_that_opens_anything() -> None:
    texts = repr([PinSet(1, VERIFIER, OTHER), CodeSent(1, HASH, 5, 0), Credential(VERIFIER, 1, HASH, 5)])
    assert not any(secret in texts for secret in ("vvv", "www", "hhh"))
