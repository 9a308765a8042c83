"""A process that commits batch after batch and tells each one when it is durable, until it is killed.

python -m tests.ledger.committing DIRECTORY: a line per commit, the identities in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from switch.ledger.checkpoint import CheckpointFile
from switch.ledger.sqlite import SqliteEngine
from tests.ledger.book import SEAL_KEY, Book, Request

CARDS = 50


def checkpoint_mac(data: bytes) -> bytes:
    return bytes(sum(data[place::8]) % 256 for place in range(8))


def main(directory: Path) -> None:
    engine = SqliteEngine(directory / "ledger.sqlite", SEAL_KEY)
    book = Book(lambda: engine)
    checkpoints = CheckpointFile(directory / "ledger.checkpoints", checkpoint_mac)
    number = sum(head.sequence for head in book.engine.heads())
    while True:
        for _ in range(number % 7 + 1):
            number += 1
            card = number % CARDS
            if not book.knows(card):
                book.send(Request("activate", number, card))
            elif number % 5 == 0:
                book.send(
                    Request("reverse", number, card, original=Request("earn", number - CARDS, card).identity)
                )
            else:
                book.send(Request("earn", number, card, points=number))
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
