"""Fills a fresh ledger with what a year of visits would have left in it, quickly: messages of terminals that
are read and decided as the switch does it, without lines, MACs and the HSM.

A decision takes longest, so in a large ledger each is booked for several members of one bucket that have
the same history at other terminals. Visits come in rounds: each goes through all members, some at a time and
those in random order, so that a member's entries lie far apart and its lots are of several days. The same
seed gives the same visits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from simulators.cards import PROGRAM_PREFIX, Card, luhn_digit
from switch import iso8583
from switch.authorizer import CardCheck, Need
from switch.authorizer.identity import card_identifier
from switch.authorizer.request import RequestReader
from switch.iso8583 import Message, Value
from switch.ledger import (
    LOTS_PER_ENTRY,
    Entry,
    Identified,
    IdentifierKind,
    LotMove,
    MemberAdded,
    Named,
    NotLoaded,
    OriginalReversed,
    PaidInMoney,
    Recounted,
    Side,
    State,
    Transfer,
)
from switch.ledger.sqlite import SqliteEngine
from switch.server.clock import BUSINESS_ZONE
from switch.server.pipeline import authorizer_of
from switch.settings import Settings

DAYS = 360  # that the visits are spread over, until yesterday
AT_ONCE = 640  # entries of a commit
VISITS_A_ROUND = 2
COHORT = 20_000  # members that visit in the same days
DECISIONS = 10_000
MOST_ALIKE = 50
REDEEM_SHARE = 0.35
SPLIT_SHARE = 0.75  # of redemptions: part of a sale whose other part is paid in money and earns
REVERSED_SHARE = 0.01
DECISIONS_A_TERMINAL = 5_000  # some fourteen a day
FEWEST_TERMINALS = 5
TERMINALS_AN_ACCEPTOR = 3
FIRST_TERMINAL = 50_000_000
SEED = 5
_TERMINAL = slice(8, 16)  # of an identity


class Built(NamedTuple):
    """What was made."""

    entries: int
    transfers: int


def card_of(number: int) -> Card:
    """The card of the member that was added as this number, from 0."""
    body = f"{PROGRAM_PREFIX}{number:09d}"
    return Card(body + luhn_digit(body))


def build(
    settings: Settings,
    members: int,
    transfers: int,
    tell: Callable[[int], None],
    decisions: int = DECISIONS,
) -> Built:
    """Make the ledger of the settings. tell: is told now and then how many transfers it has. decisions: with
    fewer transfers no two members are alike."""
    engine = SqliteEngine(settings.ledger_path, settings.seal_key)
    alike = max(1, min(transfers // decisions, MOST_ALIKE))
    try:
        return _Builder(settings, engine, members, transfers, alike, tell).built()
    finally:
        engine.close()


class _Builder:
    def __init__(
        self,
        settings: Settings,
        engine: SqliteEngine,
        members: int,
        transfers: int,
        alike: int,
        tell: Callable[[int], None],
    ) -> None:
        self._program = settings.program
        self._key = settings.directory_key
        self._engine = engine
        self._wanted = transfers
        self._tell = tell
        self._epoch = engine.claim("benchmark")
        self._state = State(engine.start(), recent_entries=COHORT, cache_generation=2 * COHORT)
        dialect = iso8583.load("vafa")
        self._authorizer = authorizer_of(dialect, self._program, self._key)
        self._reader = RequestReader(
            dialect, self._program.horizon_days, self._program.card_prefixes, self._key
        )
        self._operation = dialect.name_of
        self._random = random.Random(SEED)
        self._alike = alike
        self._members = members // alike  # that decisions are made for
        visits = (members + transfers) // alike
        end = datetime.now(BUSINESS_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        self._begin = self._moment = end - timedelta(days=DAYS)
        self._terminals = max(visits // DECISIONS_A_TERMINAL, FEWEST_TERMINALS)
        self._sent = 0
        self._entries = self._transfers = self._gathered = 0

    def built(self) -> Built:
        told = 0
        for request in self._requests():
            self._send(*request)
            if self._transfers - told >= 100_000:
                told = self._transfers
                self._tell(told)
            if self._transfers >= self._wanted:
                break
        self._commit()
        return Built(self._entries, self._transfers)

    def _requests(self) -> Iterator[tuple[int, str, str, dict[str, Value]]]:
        """Visits for ever: member, MTI, DE 3 and what else the message says."""
        is_first = True
        at_once = COHORT // self._alike
        while True:
            for first in range(0, self._members, at_once):
                cohort = list(range(first, min(first + at_once, self._members)))
                if is_first:
                    for member in cohort:
                        yield member, "0300", "720000", {}
                for _ in range(VISITS_A_ROUND):
                    self._random.shuffle(cohort)
                    for member in cohort:
                        yield member, *self._visit()
            is_first = False

    def _visit(self) -> tuple[str, str, dict[str, Value]]:
        if self._random.random() < REDEEM_SHARE:
            points = self._random.randrange(20, 200)
            amount = points * self._program.rial_per_redeemed_point
            tags = {"01": f"{points:012d}"}
            if self._random.random() < SPLIT_SHARE:
                tags["0A"] = f"{amount + self._paid():012d}"
            return "0200", "006000", {"4": f"{amount:012d}", "48": tags}
        return "0200", "210060", {"4": f"{self._paid():012d}"}

    def _paid(self) -> int:
        """Rial that somebody pays at a till."""
        return self._random.randrange(10, 300) * self._program.rial_per_earned_point

    def _send(self, member: int, mti: str, processing_code: str, fields: dict[str, Value]) -> None:
        message = self._message(member, mti, processing_code, fields)
        entry = self._book(member, message)
        if mti == "0200" and entry.response_code == "00" and self._random.random() < REVERSED_SHARE:
            original = f"0200{message.text('11')}{message.text('13')}{message.text('12')}".ljust(42, "0")
            self._book(member, Message("0420", {**message.fields, "90": original}))

    def _message(self, member: int, mti: str, processing_code: str, fields: dict[str, Value]) -> Message:
        self._sent += 1
        self._moment = self._begin + timedelta(days=DAYS) * (self._transfers / self._wanted)
        terminal = self._sent % self._terminals * self._alike
        values: dict[str, Value] = {
            "3": processing_code,
            "11": f"{self._sent // self._terminals % 999_999 + 1:06d}",
            "12": self._moment.strftime("%H%M%S"),
            "13": self._moment.strftime("%m%d"),
            "22": "021",
            "35": card_of(member * self._alike).track_2,
            "41": _terminal(terminal),
            "42": f"{self._sent % self._terminals // TERMINALS_AN_ACCEPTOR:015d}",
            **fields,
        }
        if mti == "0200":
            values |= {"49": self._program.currency, "60": "000001"}
        return Message(mti, values)

    def _book(self, member: int, message: Message) -> Entry:
        """Decide a message and apply the entry, for every member of the same history."""
        operation = self._operation(message)
        assert operation is not None
        serial = _serial(message.text("41"), self._sent)
        request = self._reader.read(message, operation, self._moment, serial, self._sent.to_bytes(8, "big"))
        now_ms = int(self._moment.timestamp() * 1000)
        found: dict[Need, object] = {}
        while True:
            try:
                decided = self._authorizer.decide(self._state, request, now_ms, found)
            except NotLoaded as missing:
                self._load(missing)
                continue
            if isinstance(decided, CardCheck):
                found[decided] = True
                continue
            assert isinstance(decided, Entry), f"{operation} can be decided"
            self._apply(decided)
            for number in range(1, self._alike):
                self._apply(self._for_another(decided, member * self._alike, number))
            return decided

    def _apply(self, entry: Entry) -> None:
        while True:
            try:
                self._state.apply(entry)
                break
            except NotLoaded as missing:
                self._load(missing)
        self._entries += 1
        self._transfers += len(entry.transfers)
        self._gathered += 1
        if self._gathered == AT_ONCE:
            self._commit()

    def _load(self, missing: NotLoaded) -> None:
        self._state.fill(missing.load, self._engine.load(missing.load))

    def _commit(self) -> None:
        self._engine.stage(self._state.batch(), self._epoch)
        self._engine.sync()
        self._state.committed()
        self._gathered = 0

    # ---------------------------------------------------------------- members of the same history

    def _for_another(self, entry: Entry, card: int, number: int) -> Entry:
        """The entry of the member that came `number` places after this one's, at another terminal of the same
        acceptor. Its answer stays the same: nothing is made of it but its seal."""
        terminal = _terminal(int(entry.terminal) - FIRST_TERMINAL + number)
        member = entry.member + number
        return replace(
            entry,
            id=entry.id + number,
            identity=_other_identity(entry.identity, terminal),
            fingerprint=entry.fingerprint[:-1] + bytes([number]),
            terminal=terminal,
            member=member,
            previous=entry.previous + number if entry.previous else 0,
            transfers=tuple(_other_transfer(transfer, number) for transfer in entry.transfers),
            sides=tuple(_other_side(side, member, terminal) for side in entry.sides),
            key_serial=_serial(terminal, self._sent),
            namings=tuple(self._other_naming(card + number, member) for _ in entry.namings),
        )

    def _other_naming(self, number: int, member: int) -> Named:
        card = card_of(number)
        return Named(card_identifier(card.number, self._key), member, IdentifierKind.CARD, card.masked)


def _terminal(number: int) -> str:
    return f"{FIRST_TERMINAL + number}"


def _serial(terminal: str, sent: int) -> bytes:
    return b"SIZE" + bytes.fromhex(terminal) + sent.to_bytes(4, "big")


def _other_identity(identity: bytes, terminal: str) -> bytes:
    return identity[: _TERMINAL.start] + terminal.encode() + identity[_TERMINAL.stop :]


def _other_transfer(transfer: Transfer, number: int) -> Transfer:
    return replace(
        transfer,
        lots=tuple(
            LotMove(move.account, replace(move.lot, id=move.lot.id + number * LOTS_PER_ENTRY), move.amount)
            for move in transfer.lots
        ),
        reverses=transfer.reverses + number if transfer.reverses else 0,
    )


def _other_side(side: Side, member: int, terminal: str) -> Side:
    if isinstance(side, OriginalReversed):
        return OriginalReversed(_other_identity(side.original, terminal))
    if isinstance(side, Recounted):
        return replace(side, member=member, terminal=terminal)
    assert isinstance(side, MemberAdded | Identified | PaidInMoney), "visits make no other"
    return replace(side, member=member)
