"""Damaged and invented messages against every dialect: nothing but a DecodeError may come out.

    python -m tests.iso8583.fuzz --seconds 3600 [--seed 1]

Prints one line a minute and, for the first message that breaks a rule, what reproduces it (exit 1). The rules
are those of `judge`.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from random import Random

from switch import iso8583
from switch.iso8583 import DecodeError, Dialect, Message, Span
from switch.iso8583.dictionary import HEADER
from switch.iso8583.message import EMPTY_SECONDARY
from tests.iso8583 import any_dialect

ROUND = 200  # messages of one dialect before the next one's turn
LONGEST = 4000  # bytes of an invented message
LONGEST_WORDS = 300  # of an error


def corpus(name: str, random: Random) -> list[bytes]:
    """The samples of a dialect and some messages made from its dictionary."""
    one = any_dialect.dialect(name)
    data = [sample.data for sample in iso8583.samples(name)] if name in iso8583.shipped() else []
    return data + [one.encode(any_dialect.message(one, random)) for _ in range(30)]


def damaged(data: bytes, random: Random) -> bytes:
    """`data` after one to four accidents."""
    wounded = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(wounded)) if wounded else 0
        match random.randrange(9):
            case 0 if wounded:
                wounded[place] ^= 1 << random.randrange(8)
            case 1 if wounded:
                wounded[place] = random.choice(
                    b"\x00\xff\x80\x7f 0F9+-_=D\xf0\xf9\xc4\x1f" + bytes([random.randrange(256)])
                )
            case 2:
                del wounded[place : place + random.randint(1, 4)]
            case 3:
                wounded[place:place] = random.randbytes(random.randint(1, 4))
            case 4:
                del wounded[place:]
            case 5:
                wounded[place:place] = wounded[place : place + random.randint(1, 40)]
            case 6 if wounded:  # near the front, where bitmaps and headers stand
                place = random.randrange(min(40, len(wounded)))
                wounded[place] ^= 1 << random.randrange(8)
            case 7:  # a number that grew or shrank
                wounded[place : place + 2] = random.choice(
                    (b"00", b"99", b"\x99\x99", b"\x00\x00", b"\x82\xff", b"1_")
                )
            case _:
                wounded += random.randbytes(random.randint(1, 6))
    return bytes(wounded[:LONGEST])


def invented(random: Random) -> bytes:
    letters = random.choice((bytes(range(256)), b"0123456789", b"0123456789ABCDEF", bytes(range(0xF0, 0xFA))))
    return bytes(random.choices(letters, k=random.randrange(120)))


def judge(one: Dialect, data: bytes) -> str:
    """Asserts all that must hold for any bytes; "decoded" or what was expected instead."""
    spans = one.spans(data)
    assert all(0 <= start <= stop for _path, start, stop in spans)
    try:
        message = one.decode(data)
    except DecodeError as error:
        refused = error
    else:
        _judge_message(one, data, message, spans)
        return "decoded"
    words = f"{refused.path} at byte {refused.offset}: expected {refused.expected}, got {refused.got}"
    assert str(refused) == words
    assert len(words) < LONGEST_WORDS
    assert 0 <= refused.offset <= len(data), "the offset lies in the data"
    assert str(_refused(one, data)) == words, "the reference says the same"
    if refused.partial is not None:
        _look(refused.partial)
    return refused.expected


def _judge_message(one: Dialect, data: bytes, message: Message, spans: list[Span]) -> None:
    assert one.encode(message) == data, "what decodes encodes to the same bytes"
    assert Dialect.encode(one, message) == data
    assert Dialect.decode(one, data) == message
    assert all(stop <= len(data) for _path, _start, stop in spans)
    places = Counter(span.path for span in spans)
    for path, value in message.leaves():
        if path not in (EMPTY_SECONDARY, HEADER) and (value or not isinstance(value, Mapping)):
            assert places[path] == 1, "every value has its place"
    assert all(path == "bitmap" or path in message for path in places), "and every place its value"
    _look(message)
    restored = Message.from_json(message.to_json(reveal=True), one)
    assert restored == message
    assert one.encode(restored) == data
    for problem in one.check(message):
        assert str(problem)
    one.name_of(message)
    one.split_mac(data)


def _refused(one: Dialect, data: bytes) -> DecodeError:
    try:
        Dialect.decode(one, data)
    except DecodeError as error:
        return error
    raise AssertionError("the reference decodes it")


def _look(message: Message) -> None:
    for shown in (repr(message), message.describe(), message.to_json()):
        assert isinstance(shown, str)


def campaign(seconds: float, seed: int) -> int:
    random = Random(seed)
    corpora = {name: corpus(name, random) for name in any_dialect.NAMES}
    counted: Counter[str] = Counter()
    words: set[str] = set()
    end = time.monotonic() + seconds
    told = time.monotonic()
    while time.monotonic() < end:
        for name in any_dialect.NAMES:
            one = any_dialect.dialect(name)
            for _ in range(ROUND):
                data = random.choice(corpora[name])
                data = damaged(data, random) if random.random() < 0.95 else invented(random)
                try:
                    outcome = judge(one, data)
                except Exception:
                    print(f"seed {seed}, dialect {name}, message {data.hex()}", file=sys.stderr)
                    traceback.print_exc()
                    return 1
                counted["decoded" if outcome == "decoded" else "refused"] += 1
                words.add(outcome)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"{dict(counted)}, {len(words)} kinds of refusal", flush=True)
    print(f"{dict(counted)}, {len(words)} kinds of refusal, no other exception")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(campaign(given.seconds, given.seed))
