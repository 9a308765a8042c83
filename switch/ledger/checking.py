"""Checks the entries of some buckets and all that follows from them in those buckets, row by row.

What `switch.ledger.verify` does in each of its processes. It reads one snapshot, believes nothing in it, and
changes nothing. An entry whose seal fits is taken for written by the switch; members, accounts and counters
are then made again by `switch.ledger.book` and `counting` and compared with what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from switch.ledger.book import add_to_accounts, fund_of, member_after
from switch.ledger.counting import Tally
from switch.ledger.engine import Head
from switch.ledger.model import (
    BUCKETS,
    ENTRY_ID_EPOCH_MS,
    ENTRY_IDS_PER_MS,
    Account,
    AccountKind,
    BatchClosed,
    CodesCounted,
    Entry,
    Followed,
    HoldClosed,
    HoldOpened,
    Identified,
    IdentifierKind,
    Member,
    MemberAdded,
    OriginalReversed,
    Unit,
    UploadEnded,
)
from switch.ledger.reading import MEMBER_NUMBER_BITS, TABLES, Damaged, Reading, Row, Store, text_of
from switch.ledger.rows import (
    INITIAL_KEY_BYTES,
    MEMBER_COLUMNS,
    UNREADABLE,
    check_types,
    entry_of,
    member_of,
    member_row,
    packed_row,
)
from switch.ledger.seal import Sealer
from switch.ledger.sorted_runs import RunWriter, Value
from switch.ledger.sqlite import ALL_BUCKETS
from switch.ledger.weighing import WeighedSum

# A report is for people: beyond this the ledger is past naming rows. Counting goes on.
MOST_PROBLEMS = 1_000

# Entries whose counters are gathered before they are weighed: at most 400 bytes each.
TALLIED_AT_ONCE = 100_000

# What reading a row with values of other types or sizes than any ledger stores raises.
WRONG_VALUES = (*UNREADABLE, AttributeError, KeyError, OverflowError, IndexError)
SEAL = 19  # its place in ENTRY_COLUMNS
_ID, _BUCKET, _SEQUENCE, _TERMINAL, _MEMBER = 0, 1, 2, 6, 10
_NO_SEAL = b""


class Problem(NamedTuple):
    """One thing that is wrong: the table or file, its row, and what about it."""

    table: str
    row: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.what}" if self.row else f"{self.table}: {self.what}"


class Findings:
    """Problems by table, each with the key that they are told in the order of."""

    def __init__(self) -> None:
        self.problems: dict[str, list[tuple[int, Problem]]] = {}
        self.found = 0

    def add(self, table: str, at: object, row: object, what: str) -> None:
        """Note a problem. at: place in the table, as far as that is a number."""
        self.found += 1
        noted = self.problems.setdefault(table, [])
        if len(noted) < MOST_PROBLEMS:
            noted.append((at if isinstance(at, int) else 0, Problem(table, str(row), what)))


# How the values of one key come together, for what is checked over all buckets.
def _sum(one: Value, other: Value) -> Value:
    return (one[0] + other[0],)


def _count(one: Value, other: Value) -> Value:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _last(_one: Value, other: Value) -> Value:
    return other


def _highest(one: Value, other: Value) -> Value:
    return max(one, other)


def _all(one: Value, other: Value) -> Value:
    return one + other


COMBINE = {
    "account": _sum,
    "counter": _count,
    "reversed": _all,
    "followed": _last,
    "hold": _last,
    "code_count": _highest,  # the newest entry's: its id comes first
    "batch": _highest,  # of the newest entry that closed it; the end of its upload is later still
    "key_mark": _highest,
}


def _stored_account(account: Any) -> Value:
    bucket, kind, holder, program, unit = account
    return int(kind), holder.encode(), program.encode(), int(unit), bucket


def _stored_counter(counter: Any) -> Value:
    scope, holder, period, operation = counter
    return int(scope), period.encode(), holder.encode(), operation.encode(), ALL_BUCKETS


# Keys as their tables have them, where that is another way than the code does.
_STORED = {"account": _stored_account, "counter": _stored_counter}


class Part(NamedTuple):
    """What one process checks at a time. ledger: its id, or empty when that can't be trusted. newest: the
    last entry that counts towards what is compared over all buckets. sequences: of the last checkpoint.
    directory: for sorted parts. weights: the secret of weighed sums. each_counter: counters are not weighed
    but written to sorted parts."""

    store: Store
    seal_key: bytes
    ledger: str
    first: int
    last: int
    newest: int
    sequences: Sequence[int]
    directory: Path
    weights: bytes
    each_counter: bool = False

    def __repr__(self) -> str:
        return f"Part(buckets {self.first} to {self.last})"


class Checked(NamedTuple):
    """What came of a part. heads: by bucket, at the last checkpoint; None where that isn't known. counters:
    their weighed sum."""

    findings: Findings
    entries: int
    transfers: int
    postings: int
    members: int
    heads: Mapping[int, Head | None]
    counters: int


class Chain:
    """Where one bucket's chain is: the last entry read, its seal as stored and as computed. plain: nothing
    was wrong with it, nor is its beginning unknown. until: its number at the last checkpoint, -1 without."""

    __slots__ = (
        "business_date",
        "computed",
        "entry",
        "jump",
        "members",
        "plain",
        "sequence",
        "stored",
        "until",
    )

    def __init__(self, seal: bytes, sequence: int = 0, entry: int = 0, until: int = -1) -> None:
        self.entry = entry
        self.sequence = sequence
        self.stored = seal
        self.computed = seal
        self.members = 0
        self.business_date = ""
        self.plain = bool(seal)
        self.until = until
        self.jump: tuple[int, int, bytes] | None = None  # entry, sequence, seal behind a gap

    def take(self, entry: int, sequence: int, stored: bytes, computed: bytes) -> None:
        """This entry is the chain's newest."""
        self.entry, self.sequence, self.stored, self.computed = entry, sequence, stored, computed
        self.plain = computed == stored
        self.jump = None

    def leap(self, entry: int, sequence: int, seal: bytes) -> None:
        """This entry lies behind a gap, or was put there: the next one shows which."""
        self.jump = entry, sequence, seal
        self.plain = False

    def end(self) -> None:
        """Nothing follows: what lies behind a gap is the end."""
        if self.jump is not None:
            self.take(*self.jump, self.jump[2])


class ChainCheck:
    """Follows the chains of some buckets and names what doesn't fit.

    After a wrong row it goes on from what is stored, so one edit is one problem. A row whose number is too
    high lies behind a gap when the next one follows it, and was put there when the next one doesn't.
    """

    def __init__(self, sealer: Sealer, chains: Mapping[int, Chain], findings: Findings) -> None:
        self._sealer = sealer
        self._chains = chains
        self._findings = findings

    def follows(self, row: Row) -> bool:
        """Whether the row is part of its bucket's chain, be it edited; else it was reported."""
        bucket, sequence, seal = row[_BUCKET], row[_SEQUENCE], row[SEAL]
        chain = self._chains.get(bucket) if isinstance(bucket, int) else None
        if chain is None:
            self._add(row, "there is no such bucket")
            return False
        if not isinstance(sequence, int) or not isinstance(seal, bytes):
            self._add(row, "its number or seal has a type that no ledger stores")
            return False
        if row[_ID] <= chain.entry:
            self._add(row, f"its id isn't above that of entry {chain.entry}")
        if sequence != chain.sequence + 1:
            if chain.jump is not None and sequence == chain.jump[1] + 1:
                chain.take(*chain.jump, chain.jump[2])
            elif not self._is_renumbered(chain, row):
                return self._report_gap(chain, row)
            else:
                self._add(row, f"its number was changed: it was {chain.sequence + 1}")
                chain.take(row[_ID], chain.sequence + 1, seal, seal)
                return True
        computed = self._seal(chain, row)
        if computed != seal:
            self._add(row, "its seal does not match: the entry was changed")
        chain.take(row[_ID], sequence, seal, computed)
        return True

    def _seal(self, chain: Chain, row: Row) -> bytes:
        """The seal that this row should have; none when it can't be sealed at all."""
        seal: bytes = row[SEAL]
        if not chain.stored:
            return seal  # the ledger's id was changed: first entries can't be checked
        try:
            packed = packed_row(row[:SEAL])
        except WRONG_VALUES:
            return _NO_SEAL
        computed = self._sealer.entry(chain.stored, packed)
        if computed != seal and chain.computed != chain.stored and chain.computed:
            # The entry before was reported; whether its seal or its values were changed shows here.
            other = self._sealer.entry(chain.computed, packed)
            if other == seal:
                return other
        return computed

    def _is_renumbered(self, chain: Chain, row: Row) -> bool:
        row = (*row[:_SEQUENCE], chain.sequence + 1, *row[_SEQUENCE + 1 :])
        return bool(chain.stored) and self._seal(chain, row) == row[SEAL]

    def _report_gap(self, chain: Chain, row: Row) -> bool:
        sequence = row[_SEQUENCE]
        missing = sequence - chain.sequence - 1
        if missing < 0:
            self._add(row, f"is out of order: it follows number {chain.sequence} of its bucket")
            return False
        after = f"after entry {chain.entry}" if chain.entry else "from the beginning"
        self._add(row, f"{missing} before it missing in bucket {row[_BUCKET]}, {after}")
        chain.leap(row[_ID], sequence, row[SEAL])
        return True

    def _add(self, row: Row, what: str) -> None:
        self._findings.add("entry", row[_ID], entry_name(row), what)


class MemberCheck:
    """Makes members again from their entries. An entry that can't be true is named, and its member from then
    on is not compared: what follows would only repeat it."""

    def __init__(self, findings: Findings) -> None:
        self.members: dict[int, Member] = {}
        self.wrong: dict[object, int] = {}  # member: the entry that broke it
        self._findings = findings

    def apply(self, row: Row, entry: Entry) -> None:
        """Let an entry change its member."""
        member = entry.member
        if member in self.wrong:
            return
        try:
            self.members[member] = member_after(self.members.get(member), entry)
        except WRONG_VALUES as error:
            self.breaks(row, f"breaks the books: {_told(error)}", entry.member)

    def breaks(self, row: Row, what: str, member: object) -> None:
        """This entry is wrong; its member can't be followed any more."""
        self._findings.add("entry", row[_ID], entry_name(row), what)
        if member:
            self.wrong[member] = row[_ID]
            if isinstance(member, int):
                self.members.pop(member, None)

    def compare(self, member: int, row: Row | None) -> None:
        """Hold a stored row against the member."""
        made = self.members.get(member)
        if member in self.wrong:
            what = f"can't be checked: entry {self.wrong[member]} of it is wrong"
        elif row is None:
            what = "is missing"
        elif made is None:
            what = "was added: no entry adds this member"
        else:
            wanted = member_row(made)
            if wanted == row and list(map(type, row)) == list(map(_plain, wanted)):
                return
            what = _member_difference(made, row)
        self._findings.add("member", member, member, what)


class PartCheck:
    """One part: the entries of its buckets from beginning to end, then what follows from them."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._findings = Findings()
        sealer = Sealer(part.seal_key)
        self._sealer = sealer
        buckets = range(part.first, part.last + 1)
        self._chains = {
            bucket: Chain(
                sealer.genesis(part.ledger, bucket) if part.ledger else _NO_SEAL,
                until=part.sequences[bucket] if part.sequences else -1,
            )
            for bucket in buckets
        }
        self._chain_check = ChainCheck(sealer, self._chains, self._findings)
        self._members = MemberCheck(self._findings)
        self._heads: dict[int, Head | None] = {
            bucket: Head(0, self._chains[bucket].stored, 0) if part.sequences[bucket] == 0 else None
            for bucket in buckets
            if part.sequences
        }
        self._runs = {
            table: RunWriter(part.directory, f"{table}.{part.first:03d}", combine, _STORED.get(table, tuple))
            for table, combine in COMBINE.items()
        }
        self._tally = Tally()
        self._counters = WeighedSum(part.weights)
        self._marks: dict[bytes, int] = {}
        self._within: dict[Account, int] = {}  # up to part.newest
        self._beyond: dict[Account, int] = {}
        self._found_by: dict[int, list[int]] = {}  # member: cards, mobile numbers
        self._entries = self._transfers = self._postings = 0

    def run(self) -> Checked:
        """Check. Raises Damaged, LedgerUnavailable."""
        reading = self._part.store.open()
        checks = (
            ("entry", self._check_entries),
            ("bucket_head", self._check_heads),
            ("member", self._check_members),
            ("directory", self._check_directory),
        )
        try:
            for table, check in checks:
                try:
                    check(reading)
                except Damaged as error:
                    self._findings.add(table, 0, "", f"is damaged, reading it stopped: {error}")
                except WRONG_VALUES as error:
                    what = f"holds values that no ledger stores: {_told(error)}"
                    self._findings.add(table, 0, "", what)
        finally:
            reading.close()
        self._check_sums()
        for account, balance in self._within.items():
            self._runs["account"].add(account, (balance,))
        for initial_key, mark in self._marks.items():
            self._runs["key_mark"].add((initial_key,), (mark,))
        self._take_tally()
        for runs in self._runs.values():
            runs.write()
        return Checked(
            self._findings,
            self._entries,
            self._transfers,
            self._postings,
            sum(chain.members for chain in self._chains.values()),
            self._heads,
            self._counters.value(),
        )

    def _take_tally(self) -> None:
        add = self._runs["counter"].add if self._part.each_counter else self._counters.add
        for counter, count in self._tally.take():
            add(counter, count)

    # ---------------------------------------------------------------- entries

    def _check_entries(self, reading: Reading) -> None:
        part, chains, follows = self._part, self._chains, self._chain_check.follows
        entry_seal, apply = self._sealer.entry, self._apply
        for self._entries, row in enumerate(reading.entries(part.first, part.last), start=1):
            bucket, seal = row[_BUCKET], row[SEAL]
            values: Any = row[:SEAL]
            chain = chains.get(bucket)
            try:
                # Nearly all; whatever isn't as it should be takes the other way.
                if (
                    chain is not None
                    and row[_SEQUENCE] == chain.sequence + 1
                    and row[_ID] > chain.entry
                    and chain.plain
                    and entry_seal(chain.stored, packed_row(values)) == seal
                ):
                    chain.entry = row[_ID]
                    chain.sequence += 1
                    chain.stored = chain.computed = seal
                elif follows(row):
                    check_types(values)
                    chain = chains[bucket]
                else:
                    continue
                apply(row, entry_of(values), chain)
            except WRONG_VALUES as error:
                self._members.breaks(row, f"can't be read: {_told(error)}", row[_MEMBER])
            if chain is not None and chain.sequence == chain.until:
                self._heads[bucket] = Head(chain.sequence, seal, chain.members)
            if not self._entries % TALLIED_AT_ONCE:
                self._take_tally()
        for chain in chains.values():
            chain.end()

    def _apply(self, row: Row, entry: Entry, chain: Chain) -> None:
        if entry.business_date != chain.business_date:
            if entry.business_date < chain.business_date:
                what = f"its business date is before {chain.business_date}, which had begun"
                self._findings.add("entry", row[_ID], entry_name(row), what)
            else:
                chain.business_date = entry.business_date
        if entry.id < (entry.decided_ms - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS:
            what = f"was decided {_moment(entry.decided_ms)}, after its id was made"
            self._findings.add("entry", row[_ID], entry_name(row), what)
        within = entry.id <= self._part.newest
        transfers = entry.transfers
        if transfers:
            self._transfers += len(transfers)
            for transfer in transfers:
                self._postings += len(transfer.postings)
            add_to_accounts(self._within if within else self._beyond, entry, ALL_BUCKETS)
        if entry.sides:
            self._apply_sides(row, entry, chain, within)
        if entry.member:
            self._members.apply(row, entry)
        if not within:
            return
        self._tally.add(entry)
        serial = entry.key_serial
        if serial:
            initial_key = serial[:INITIAL_KEY_BYTES]
            mark = int.from_bytes(serial[INITIAL_KEY_BYTES:], "big")
            if mark > self._marks.get(initial_key, -1):
                self._marks[initial_key] = mark

    def _apply_sides(self, row: Row, entry: Entry, chain: Chain, within: bool) -> None:
        for side in entry.sides:
            if isinstance(side, MemberAdded):
                chain.members += 1
                if side.member != (entry.bucket << MEMBER_NUMBER_BITS) + chain.members:
                    what = f"adds member {side.member}, which is not the next of its bucket"
                    self._findings.add("entry", row[_ID], entry_name(row), what)
            elif isinstance(side, Identified):
                found_by = self._found_by.setdefault(side.member, [0, 0])
                found_by[side.kind != IdentifierKind.CARD] += 1 if side.added else -1
            elif within:
                if isinstance(side, OriginalReversed):
                    self._runs["reversed"].add((side.original,), (entry.id,))
                elif isinstance(side, Followed):
                    value = (side.amount, side.units, int(side.ended))
                    self._runs["followed"].add((side.original,), value)
                elif isinstance(side, HoldOpened):
                    self._runs["hold"].add((entry.id,), (side.member, side.expires_ms))
                elif isinstance(side, HoldClosed):
                    self._runs["hold"].add((side.hold,), ())
                elif isinstance(side, CodesCounted):
                    counted = (entry.id, side.since_ms, side.sent)
                    self._runs["code_count"].add((side.subject.encode(),), counted)
                elif isinstance(side, BatchClosed):
                    key = side.terminal.encode(), side.batch
                    self._runs["batch"].add(key, (entry.id, int(side.differs), 0))
                elif isinstance(side, UploadEnded):
                    key = side.terminal.encode(), side.batch
                    self._runs["batch"].add(key, (side.closed, 1, entry.id))

    # ---------------------------------------------------------------- what follows

    def _check_heads(self, reading: Reading) -> None:
        part = self._part
        stored = {}
        for bucket, *values in reading.table("bucket_head"):
            if isinstance(bucket, int) and part.first <= bucket <= part.last:
                stored[bucket] = values
            elif part.first == 0 and not (isinstance(bucket, int) and 0 <= bucket < BUCKETS):
                self._findings.add("bucket_head", bucket, bucket, "was added")
        for bucket, chain in self._chains.items():
            head = stored.get(bucket)
            if head is None:
                what = "is missing"
            elif head[0] != chain.sequence:
                what = (
                    f"says {head[0]} entries, there are {chain.sequence}: it was changed, or entries were"
                    " cut off"
                )
            elif head[2] != chain.members:
                what = f"says {head[2]} members, there are {chain.members}"
            elif head[1] != chain.stored and chain.stored:
                what = "its seal is not that of the last entry: one of them was changed"
            else:
                continue
            self._findings.add("bucket_head", bucket, bucket, what)

    def _check_members(self, reading: Reading) -> None:
        part, check = self._part, self._members
        made = sorted({*check.members, *(member for member in check.wrong if isinstance(member, int))})
        waiting = iter(made)
        wanted = next(waiting, None)
        for row in reading.members(part.first, part.last):
            while wanted is not None and wanted < row[0]:
                check.compare(wanted, None)
                wanted = next(waiting, None)
            check.compare(row[0], row)
            if wanted == row[0]:
                wanted = next(waiting, None)
        while wanted is not None:
            check.compare(wanted, None)
            wanted = next(waiting, None)

    def _check_directory(self, reading: Reading) -> None:
        part = self._part
        found: dict[int, list[int]] = {}
        for row in reading.directory(part.first, part.last):
            if not row_fits(self._sealer, "directory", row):
                what = "its seal does not match: it was changed or added"
                self._findings.add("directory", row[1], f"of member {row[1]}", what)
            if isinstance(row[1], int):
                found.setdefault(row[1], [0, 0])[row[2] != IdentifierKind.CARD] += 1
        for member in sorted({*found, *self._found_by}):
            should, are = self._found_by.get(member, [0, 0]), found.get(member, [0, 0])
            for wanted, there, name in zip(should, are, ("cards", "mobile numbers"), strict=True):
                if wanted != there:
                    what = f"has {there} {name}, by the entries {wanted}: a row is missing or was put there"
                    self._findings.add("directory", member, f"of member {member}", what)

    def _check_sums(self) -> None:
        """Nothing comes from nowhere, and the fund holds what the lots are worth."""
        if self._findings.found:
            return  # what is wrong already would only be told again
        sums: dict[tuple[str, Unit], int] = {}
        funds: dict[str, int] = {}
        for accounts in (self._within, self._beyond):
            for (_bucket, kind, _holder, program, unit), balance in accounts.items():
                sums[program, unit] = sums.get((program, unit), 0) + balance
                if kind is AccountKind.FUND:
                    funds[program] = funds.get(program, 0) + balance
        worth: dict[str, int] = {}
        for member in self._members.members.values():
            for wallet in member.wallets:
                key = wallet.program, wallet.unit
                sums[key] = sums.get(key, 0) + wallet.balance + wallet.pending + wallet.held
            for program in {wallet.program for wallet in member.wallets}:
                # A member at a time: the parts of a rial are each member's own.
                worth[program] = worth.get(program, 0) + fund_of((member,), program)
        first, last = self._part.first, self._part.last
        for (program, unit), total in sorted(sums.items()):
            if total:
                what = f"its {unit.name.lower()} sum to {total} over all accounts, not to 0"
                self._findings.add("account", first, f"{program} buckets {first} to {last}", what)
        for program in sorted(funds.keys() | worth.keys()):
            holds, should = funds.get(program, 0), worth.get(program, 0)
            if holds != should:
                what = f"the fund holds {holds} rial, the members' lots are worth {should}"
                self._findings.add("account", first, f"fund {program} buckets {first} to {last}", what)


def check_part(part: Part) -> Checked:
    """Check one part, in whatever process this is. Raises Damaged, LedgerUnavailable."""
    return PartCheck(part).run()


def row_fits(sealer: Sealer, table: str, row: Row) -> bool:
    """Whether the seal of a row beside the chains fits; texts may come as bytes."""
    names, texts = TABLES[table].columns, TABLES[table].texts
    values = [text_of(value) if name in texts else value for name, value in zip(names, row, strict=True)]
    try:
        return bool(sealer.row(table, values[:-1]) == row[-1])
    except (KeyError, UnicodeError):  # a value of another type, a text that isn't UTF-8
        return False


def entry_name(row: Row) -> str:
    """How a report names an entry."""
    return f"{row[_ID]} (terminal {row[_TERMINAL] or '-'}, bucket {row[_BUCKET]}, number {row[_SEQUENCE]})"


def _member_difference(made: Member, row: Row) -> str:
    """What a stored member row has that the member's entries didn't make."""
    wanted = member_row(made)
    names = [name for name, one, other in zip(MEMBER_COLUMNS, wanted, row, strict=True) if one != other]
    parts = [
        f"{name} is {there}, by the entries {should}"
        for name, should, there in zip(MEMBER_COLUMNS, wanted, row, strict=True)
        if name in names and name != "body"
    ]
    if "body" in names:
        try:
            parts += _body_differences(made, member_of(row))
        except WRONG_VALUES as error:
            parts.append(f"its wallets can't be read: {_told(error)}")
    return "; ".join(parts) or "its row was changed"


def _body_differences(made: Member, stored: Member) -> list[str]:
    parts = []
    should = {(wallet.program, wallet.unit): wallet for wallet in made.wallets}
    there = {(wallet.program, wallet.unit): wallet for wallet in stored.wallets}
    for key in sorted(should.keys() | there.keys()):
        one, other = should.get(key), there.get(key)
        if one == other:
            continue
        balances = [
            f"{name} {0 if other is None else getattr(other, name)}, by the entries"
            f" {0 if one is None else getattr(one, name)}"
            for name in ("balance", "pending", "held")
            if (0 if other is None else getattr(other, name)) != (0 if one is None else getattr(one, name))
        ]
        parts.append(f"wallet {key[0]} {key[1].name.lower()}: {', '.join(balances) or 'its lots differ'}")
    names = [
        name for name in ("holds", "usage", "credential") if getattr(made, name) != getattr(stored, name)
    ]
    parts += (f"{name} not as the entries made it" for name in names)
    return parts or ["its packed row was changed"]


def _plain(value: object) -> type:
    """The type that an integer enumeration is stored as."""
    return int if isinstance(value, int) else type(value)


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _moment(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"at {ms} ms"
