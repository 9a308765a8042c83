"""A ledger in which a transfer between members is half done."""

from __future__ import annotations

from switch.ledger import AccountKind, Entry, Posting, Transfer, TransferKind, Unit
from switch.ledger.lots import fund_change, spend
from tests.ledger.book import PROGRAM, Book, Request, changed, decision
from tests.ledger.files import Files


def send_away(files: Files) -> None:
    """7 points have left member 1."""
    book = Book(files.open)
    book.book(Request("activate", 1, 1), Request("activate", 2, 2), Request("earn", 3, 1, points=50))
    member = book.member(1)
    wallet = member.wallet(PROGRAM, Unit.POINTS)
    moves = spend(wallet, 7)
    fund = fund_change(wallet, member.holds, moves)
    postings = (
        Posting(AccountKind.MEMBER, "", Unit.POINTS, -7),
        Posting(AccountKind.IN_TRANSIT, "", Unit.POINTS, 7),
        Posting(AccountKind.FUND, "", Unit.RIAL, fund),
        Posting(AccountKind.MARGIN, "", Unit.RIAL, -fund),
    )
    transfer = Transfer(TransferKind.TRANSFER_OUT, PROGRAM, Unit.POINTS, postings, moves)

    def decide() -> Entry:
        entry = changed(
            decision(book.state, Request("change", 4, 1, change=lambda _: ()), member, book.now_ms),
            transfers=(transfer,),
            operation="transfer",
        )
        book.state.apply(entry)
        return entry

    book.ask(decide)
    book.commit()
    book.engine.close()
