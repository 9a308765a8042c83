"""A process that commits batch after batch and tells each one when it is durable, until it is killed.

python -m tests.ledger.committing DIRECTORY: a line per commit, the identities in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book, Request, Terms

CARDS = 49  # so that every card meets every operation


def checkpoint_mac(data: bytes) -> bytes:
    return bytes(sum(data[place::8]) % 256 for place in range(8))


def request(book: Book, number: int) -> Request:
    """The next of a member's requests: what it does follows from its number."""
    card = number % CARDS
    rounds = 3 if number % 5 == 0 else 1  # that ago, the card earned
    earn = Request("earn", max(number - rounds * CARDS, 0), card).identity
    if not book.knows(card):
        return Request("activate", number, card)
    if number % 5 == 0:
        return Request("reverse", number, card, original=earn)
    if number % 5 == 1:
        return Request("hold", number, card, points=number % 100)
    if number % 5 == 2:
        return Request("return", number, card, points=3, original=earn)
    return Request("earn", number, card, points=number, terms=Terms(lasts=number % 7))


def main(directory: Path) -> None:
    engine = SqliteEngine(directory / "ledger.sqlite", SEAL_KEY)
    book = Book(lambda: engine)
    checkpoints = CheckpointFile(directory / "ledger.checkpoints", checkpoint_mac)
    number = sum(head.sequence for head in book.engine.heads())
    while True:
        for _ in range(number % 7 + 1):
            number += 1
            book.send(request(book, number))
        book.now_ms += 3_000_000
        entries = book.commit()
        print(" ".join(entry.identity.hex() for entry in entries), flush=True)
        if number % 11 == 0:
            made = checkpoints.append(book.engine.heads(), book.now_ms)
            if made is not None:
                book.engine.note_checkpoint(made.number, made.mac)
        if engine.checkpoint_due:
            engine.checkpoint()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
