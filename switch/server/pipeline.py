"""From a frame to its answer: decode, registry, MAC, key serial, request, decision, one commit for the batch,
answer under a MAC.

Nothing that looks like approval leaves before its commit is durable. While one batch commits the next
gathers; there is no timer. A failed commit drops the ledger's memory, reloads and asks again: nothing is
guessed. What is refused before its identity is known is never stored.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache, partial
from hashlib import blake2b
from typing import NamedTuple, Protocol, TypeGuard, TypeVar

from msgspec import Struct

from switch.authorizer import (
    Authorizer,
    CardCheck,
    Correction,
    Due,
    Elsewhere,
    Limits,
    Need,
    NewCode,
    NewPin,
    Origin,
    PinCheck,
    Refusal,
    Repeat,
    Request,
    Terms,
    TooOld,
)
from switch.authorizer.decide import answer_fields, answer_mti
from switch.authorizer.mobile import Mobiles
from switch.authorizer.proof import CODE_DIGITS, WRONG_CARD
from switch.authorizer.request import (
    NAMES_ORIGINAL,
    NEW_PIN_BLOCK,
    TAP_TAG,
    RequestReader,
    identifying_digits,
    pin_digits,
)
from switch.hsm.port import AtOnce, Direction, DukptPin, Fault, Hsm, HsmError, Key, ZonePin
from switch.iso8583 import DecodeError, Dialect, Message, Value
from switch.keys import BDK_ID_BYTES, SwitchKeys
from switch.ledger import (
    Batch,
    ConflictError,
    CounterLoad,
    Engine,
    Entry,
    FencedError,
    LedgerError,
    Load,
    NotLoaded,
    NotSynced,
    State,
)
from switch.ledger.engine import LedgerSilent
from switch.ledger.model import bucket_of_member
from switch.link.framing import Frame
from switch.registry import counters_of
from switch.server import eager
from switch.server.business_day import BusinessDay
from switch.server.card_proofs import CardProofs
from switch.server.card_values import CardValues
from switch.server.codes import CodeCarrier, CodeCarrierError
from switch.server.downloads import PARAMETERS_PIECE, SOFTWARE_PIECE, Downloads
from switch.server.enciphered import CODE, ENCIPHERED, MOBILE, EncipheredError, opened
from switch.server.log import Log
from switch.server.prefetch import first_loads, late_loads, member_loads, members_of, unseen
from switch.server.quarantine import DIGEST_BYTES, Quarantine
from switch.server.sending import INITIAL_KEY_BYTES, KEY_SET, KeyMarks, Sending, Standing
from switch.settings import NEVER_POINTS, Program, Terminal

FORMAT_ERROR = "30"
NOT_PERMITTED = "58"
SECURITY_ERROR = "63"
INVALID_TRANSACTION = "12"
PIN_UNAVAILABLE = "86"
UNAVAILABLE = "91"
MALFUNCTION = "96"
APPROVED = "00"

# Tags of DE 48 that never come in clear on a line that others can read.
HIDDEN_TAGS = {MOBILE: "mobile number", CODE: "one-time code"}

ORIGINAL_DIGITS = 20  # of DE 90: MTI, STAN, date and time of the original; zeros follow

SIGN_ON, SIGN_OFF, ECHO = "001", "002", "301"
COUNTERS_TAG = "39"  # of DE 48, at sign-on

# One commit carries at most this many entries. What terminals and merchants add up to is written once for
# all, 6 % less work each than with 128, with more it stays so; its statements run on the event loop, 3 ms.
LARGEST_BATCH = 192
# Members with something due that join a batch: a job over a million of them must not be felt.
DUE_PER_BATCH = 16
# A commit that failed is asked again once: a passing fault costs nothing, a lasting one is not hammered at.
TRIES = 2
# A ledger that said nothing is asked again after so long; each time takes as long as a connection may.
LISTEN_INTERVAL_S = 1.0
# Requests that wait for their batch; above it the switch says 91 instead of growing. About 10 MB, half a
# second of work.
LARGEST_QUEUE = 8192
# Above so many a download waits: trade goes first.
QUEUE_FOR_DOWNLOADS = 512
# A decision asks the HSM twice at most; each time somebody was faster in between it asks again.
MOST_NEEDS = 16
_WHOLE_TRACK = re.compile(r"[0-9]{12,19}=[0-9]{7,}")  # ISO/IEC 7813: number, expiry 4, service code 3
_TYPED = "01"  # DE 22: key entry
CODE_RANDOM_BYTES = 8  # so many more than a code needs that none is likelier than another
MEMBER_BYTES = 8  # a member's id as the binding of its PIN verifier
# The HSM's trouble is told so often, per operation and fault.
HSM_LOG_INTERVAL_MS = 10_000
# What the HSM can't do for one request alone, as opposed to being away.
_DAMAGE = (Fault.KEY_DAMAGED, Fault.UNKNOWN_KEY, Fault.KEY_USE)


# Looked up once: an enum's member costs as much as a call.
_REQUEST, _RESPONSE = Direction.REQUEST, Direction.RESPONSE
_JOINED, _AT_OR_BELOW = Standing.JOINED, Standing.AT_OR_BELOW

Found = TypeVar("Found")


class Clock(Protocol):
    """What the pipeline needs to know of time."""

    def now_ms(self) -> int: ...

    def local(self) -> datetime: ...

    def monotonic(self) -> float: ...


class Peer(Protocol):
    """A connection as the pipeline sees it. Every received frame is finished exactly once: answered or
    dropped."""

    @property
    def is_private(self) -> bool:
        """Nobody between us reads along: TLS."""
        ...

    @property
    def certified(self) -> str | None:
        """The terminal (DE 41) that the peer's certificate names; None on a line without certificates."""
        ...

    def answer(self, payload: bytes, tpdu: bytes | None) -> None: ...

    def drop(self) -> None: ...

    def report(self, what: str, **details: str | int) -> None:
        """Log a fault of this peer, each kind once."""
        ...

    def alarm(self, what: str, **details: str | int) -> None:
        """Log what looks like an attack, every time."""
        ...

    def close_after_fault(self) -> None: ...

    def known(self) -> None:
        """The peer has sent a message with a good MAC."""
        ...


class Arrived(NamedTuple):
    """A frame whose MAC is good, and nothing noted of it yet. operation: by the dictionary, or None."""

    peer: Peer
    frame: Frame
    message: Message
    sending: Sending
    operation: str | None

    def __repr__(self) -> str:
        return f"Arrived({self.operation} of terminal {self.sending.terminal})"


class Placing(Protocol):
    """Where a ledger has several owners: brings each frame to its own."""

    def place(self, arrived: Arrived) -> None:
        """Take it. It comes back by `Pipeline.placed` or `unplaced`, or its owner answers it."""
        ...

    def sent_away(self) -> None:
        """A transfer between members is committed whose receiver another owner may have."""
        ...


class _Work(Struct):
    """A request on its way. message: with enciphered tags opened. only_stored: a frame at or below the mark,
    answered only when the ledger has just this sending. found: what the HSM said; refused: it couldn't."""

    sending: Sending
    request: Request
    message: Message
    peer: Peer
    frame: Frame
    only_stored: bool = False
    found: dict[Need, object] = {}  # each gets its own
    refused: str = ""
    parked: bool = False

    def __repr__(self) -> str:
        return f"_Work({self.request!r})"


class ZoneBlock(Protocol):
    """A partner's PIN block."""

    def under(self) -> Sequence[ZonePin]:
        """The block under each key that it may be under, the likeliest first."""
        ...

    def came_under(self, key: Key) -> None:
        """It was a good one under this key."""
        ...


class Decision(NamedTuple):
    """What a partner's request came to. code: DE 39. body: the answer as it is stored, in our dialect and
    without MAC; empty for a refusal that nobody remembers. path, what: the fault in the request."""

    code: str
    body: bytes = b""
    path: str = ""
    what: str = ""

    def __repr__(self) -> str:
        return f"Decision({self.code})"


@dataclass(slots=True)
class _PartnerWork:
    """A partner's request on its way: as `_Work`, but it has no key serial, and who asked makes the answer of
    the decision."""

    request: Request
    message: Message = field(repr=False)
    block: ZoneBlock | None
    told: asyncio.Future[Decision | None]
    decision: Decision | None = field(default=None, repr=False)
    only_stored: bool = False
    found: dict[Need, object] = field(default_factory=dict, repr=False)
    refused: str = ""
    parked: bool = False

    def tell(self, decision: Decision | None) -> None:
        """None: nobody can say. Who asked may have gone meanwhile."""
        if not self.told.done():
            self.told.set_result(decision)


@dataclass(slots=True)
class _Unstored:
    """A sending whose answer makes no entry. It goes out when its mark is durable: the frame, sent again
    after a restart, must not be new."""

    sending: Sending
    message: Message = field(repr=False)
    body: bytes = field(repr=False)


class _Portion:
    """Members that a job wants settled. done: True when all are, False when one couldn't be."""

    __slots__ = ("done", "left")

    def __init__(self, members: int) -> None:
        self.left = members
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def settled(self) -> None:
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(True)

    def failed(self) -> None:
        if not self.done.done():
            self.done.set_result(False)


class _Due(NamedTuple):
    """A member with something due, on its own: nobody asked, nobody is answered. correction: what people
    decided for it. sent: bucket and id of another owner's entry that sends it something."""

    member: int
    portion: _Portion
    correction: Correction | None = None
    sent: tuple[int, int] | None = None


_Item = _Work | _PartnerWork | _Unstored | _Due


@dataclass(slots=True)
class _Batch:
    """Requests that are decided and committed together. in_doubt: a commit failed, maybe after it was
    stored."""

    work: list[_Item]
    tries: int = 1
    in_doubt: bool = False
    sends_away: bool = False
    partners: list[_PartnerWork] = field(default_factory=list)  # decided, to be told
    # How far deciding came, when the memory lacked something that a ledger behind a network has.
    at: int = 0
    answers: list[_Answer] = field(default_factory=list)
    marks: dict[bytes, int] = field(default_factory=dict)
    begun: Entry | None = None  # applied, and what has to follow it is not

    def begin_anew(self) -> None:
        """Nothing of it is decided."""
        self.at, self.begun, self.sends_away = 0, None, False
        for gathered in (self.partners, self.answers, self.marks):
            gathered.clear()

    def part_with_parked(self) -> None:
        """What waits for the HSM leaves: it comes again by itself."""
        decided = [item for item in self.work[: self.at] if not _is_parked(item)]
        self.work = decided + [item for item in self.work[self.at :] if not _is_parked(item)]
        self.at = len(decided)


class _Delivery(NamedTuple):
    """A one-time code and the sealed mobile number it goes to. instead: the answer when it can't."""

    mobile: bytes
    code: str
    instead: bytes

    def __repr__(self) -> str:
        return "_Delivery(hidden)"


class _Replay:
    """A decision: neither fresh nor stored."""


class _Answer(Struct, frozen=True):
    """body: encoded, without its MAC. delivery: what goes out before it. replayed: the peer whose frame is
    refused without a MAC. is_bare: no MAC comes to it."""

    sending: Sending
    body: bytes
    delivery: _Delivery | None = None
    replayed: Peer | None = None
    is_bare: bool = False


class Pipeline:
    """Owns the ledger's memory and its one writer. Runs on one event loop.

    clear_codes: one-time codes may come in clear on a line without TLS. placing: where the engine's owner has
    not all buckets.
    after_commit: called when a batch is durable and answered.
    stop: called with a reason when going on would be unsafe (the ledger has another owner, an invariant
    broke).
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        program: Program,
        terminals: tuple[Terminal, ...],
        directory_key: bytes,
        hsm: Hsm,
        keys: SwitchKeys,
        codes: CodeCarrier | None,
        clear_codes: bool,
        engine: Engine,
        epoch: int,
        clock: Clock,
        log: Log,
        writer: Executor,
        quarantine: Quarantine,
        after_commit: Callable[[], None],
        stop: Callable[[str], None],
        placing: Placing | None = None,
        downloads: Downloads | None = None,
        keep_counters: Callable[[str, dict[str, int], datetime], None] | None = None,
    ) -> None:
        self._dialect = dialect
        self._keep_counters = keep_counters
        self._downloads = downloads
        self._placing = placing
        self._program = program
        self.register(terminals, keys.base_keys)
        self._requests = RequestReader(dialect, program.horizon_days, program.card_prefixes, directory_key)
        self._mobiles = Mobiles(directory_key)
        self._hsm = hsm
        self._at_once = hsm if isinstance(hsm, AtOnce) else None
        self._keys = keys
        self._codes = codes
        self._hidden_tags = {tag: what for tag, what in HIDDEN_TAGS.items() if tag != CODE or not clear_codes}
        self._engine = engine
        self._epoch = epoch
        self._clock = clock
        self._log = log
        self._writer = writer
        self._quarantine = quarantine
        self._is_remote: bool = getattr(engine, "is_remote", False)
        self._after_commit = after_commit
        self._stop = stop
        self._authorizer = authorizer_of(dialect, program, directory_key)
        self._card_values = CardValues(hsm, keys.card_values, program.card_value_offset, directory_key)
        self._card_proofs = CardProofs(hsm, keys.card_masters)
        start = engine.start()
        self._state: State | None = State(start)  # None: to be read again
        self._day = BusinessDay(start.business_date, clock.local().date(), clock.monotonic())
        self._newest = start.business_date
        self._newest_day = date.fromisoformat(self._newest) if self._newest else date.min
        self._marks = KeyMarks(start.key_marks)
        self._turns: dict[str, asyncio.Future[None]] = {}
        self._hsm_told_ms: dict[tuple[str, Fault], int] = {}
        self._queue: deque[_Work | _PartnerWork | _Unstored] = deque()
        self._due: deque[_Due] = deque()
        self._committing = False
        self._stopped = False
        self._is_silent = False  # nobody answers where the ledger is: who asks is refused at once
        self._listening: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.committed_entries = 0

    # ------------------------------------------------------------ in

    def register(self, terminals: Iterable[Terminal], base_keys: Mapping[bytes, Key]) -> None:
        """From the next frame on these terminals are the registered ones. base_keys: by BDK id; a terminal
        whose own is not there is refused."""
        self._terminals = {terminal.id: terminal for terminal in terminals}
        # Whose terminals they are, and whether it is blocked.
        self.acceptors = {one.acceptor: one.acceptor_blocked for one in self._terminals.values()}
        self._base_keys = base_keys

    def receive(self, peer: Peer, frame: Frame) -> None:
        """Take one frame. Its peer hears `answer` or `drop` for it exactly once, later."""
        try:
            message = self._dialect.decode(frame.payload)
        except DecodeError as error:
            self._malformed(peer, frame, error)
            return
        fields = message.fields
        if not _is_request(message.mti) or "41" not in fields or "11" not in fields:
            peer.report("not a request", mti=message.mti)
            peer.drop()
            peer.close_after_fault()
            return
        body, mac = self._dialect.split_mac(frame.payload)
        sending = self._sender(peer, frame, message, mac or b"")
        if sending is None:
            return
        if self._at_once is None or sending.terminal in self._turns:
            eager.start(self._authenticate(peer, frame, message, sending, body), self._tasks)
        else:
            refused = self._mac_refused_now(self._at_once, sending, body)
            self._authenticated(peer, frame, message, sending, refused)

    def _authenticated(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, refused: str
    ) -> None:
        """The MAC is checked. refused: why the frame goes no further, or empty."""
        if refused:
            if refused == SECURITY_ERROR:
                peer.report("bad MAC", terminal=sending.terminal)
            self._refuse_unauthenticated(peer, frame, message, refused)
            return
        operation = self._dialect.name_of(message)
        if self._placing is None:
            self._place(peer, frame, message, sending, operation)
            return
        arrived = Arrived(peer, frame, message, sending, operation)
        if self._is_silent:
            self.unplaced(arrived)
            return
        mark = getattr(peer, "known_mark", None)
        if mark is None:
            peer.known()
            self._placing.place(arrived)
        else:
            self.placed(arrived, mark)

    def placed(self, arrived: Arrived, mark: int) -> None:
        """Go on with a frame of an own bucket. mark: the highest counter of its key that any owner had
        committed when it arrived."""
        self._marks.learn(arrived.sending.initial_key, mark)
        self._place(*arrived)

    def unplaced(self, arrived: Arrived) -> None:
        """Refuse a frame whose owner can't be asked: nothing was done."""
        self._refuse_unauthenticated(arrived.peer, arrived.frame, arrived.message, UNAVAILABLE)

    async def opened(self, arrived: Arrived) -> Message:
        """A frame's message with its enciphered tags opened. Raises EncipheredError, HsmError."""
        return await opened(self._dialect, self._hsm, arrived.sending, arrived.message, self._card_proofs)

    def identities_of(self, arrived: Arrived, message: Message) -> tuple[bytes, ...]:
        """Identity of a frame's request and of what it takes back; none of what is refused unread."""
        operation = arrived.operation
        if operation is None or self._first_problem(message, operation) is not None:
            return ()
        try:
            request = self._requests.read(message, operation, self._on_ledgers_day(self._clock.local()))
        except TooOld:
            return ()
        return (request.identity, request.original) if request.original else (request.identity,)

    def _place(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, operation: str | None
    ) -> None:
        """The frame belongs here: its key serial counts from now on."""
        standing = self._marks.place(sending)
        if standing is _JOINED:
            return
        peer.known()
        if standing is _AT_OR_BELOW and operation in (None, "network"):
            self._replayed(peer, frame, message)
        elif operation is None:
            self._refuse(sending, message, INVALID_TRANSACTION)
        elif "48" in message.fields:
            self._authentic(peer, frame, message, sending, operation, standing)
        else:
            self._checked(peer, frame, message, sending, operation, standing)

    def _sender(self, peer: Peer, frame: Frame, message: Message, mac: bytes) -> Sending | None:
        """Who sends, when key serial, DE 41, DE 42 and certificate name one terminal in service; else None,
        and the frame is refused."""
        fields = message.fields
        name, key_serial, acceptor = str(fields["41"]), fields.get("53"), fields.get("42")
        if type(key_serial) is not bytes:
            peer.report("message incomplete", terminal=name, path="53", problem="mandatory, missing")
            self._refuse_unauthenticated(peer, frame, message, FORMAT_ERROR)
            return None
        serial = key_serial[1:]
        terminal = self._terminals.get(name)
        if terminal is None:
            problem = "not registered"
        elif terminal.blocked:
            problem = "blocked"
        elif terminal.acceptor_blocked:
            problem = "acceptor blocked"
        elif acceptor != terminal.acceptor and acceptor is not None:
            problem = "another acceptor's"
        elif key_serial[0] != KEY_SET or serial[:INITIAL_KEY_BYTES] != terminal.initial_key_id:
            problem = "another terminal's key serial"
        elif (certified := peer.certified) is not None and certified != name:
            problem = "another terminal's certificate"
        elif (base_key := self._base_keys.get(serial[:BDK_ID_BYTES])) is None:
            problem = "its BDK is not in the key store"
        else:
            return Sending(name, base_key, serial, mac, peer, frame.tpdu)
        peer.alarm("terminal not permitted", terminal=name, problem=problem)
        self._refuse_unauthenticated(peer, frame, message, NOT_PERMITTED)
        return None

    async def _authenticate(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, body: bytes
    ) -> None:
        """Check the MAC with an HSM that may wait. A terminal's frames take their turn, however it
        answers."""
        before = self._turns.get(sending.terminal)
        turn = self._turns[sending.terminal] = asyncio.get_running_loop().create_future()
        try:
            refused = await self._mac_refused(sending, body)
            if before is not None:
                await before
            self._authenticated(peer, frame, message, sending, refused)
        finally:
            turn.set_result(None)
            if self._turns[sending.terminal] is turn:
                del self._turns[sending.terminal]

    async def _mac_refused(self, sending: Sending, body: bytes) -> str:
        """Empty when the MAC is good, else the response code."""
        if not sending.mac:
            return SECURITY_ERROR
        try:
            good = await self._hsm.dukpt_mac_verify(
                sending.base_key, sending.serial, body, sending.mac, _REQUEST
            )
        except HsmError as error:
            return self._mac_not_checked(error)
        return "" if good else SECURITY_ERROR

    def _mac_refused_now(self, hsm: AtOnce, sending: Sending, body: bytes) -> str:
        """As `_mac_refused`, by an HSM that never waits: a third of what a message costs until its batch."""
        if not sending.mac:
            return SECURITY_ERROR
        try:
            good = hsm.dukpt_mac_verify_now(sending.base_key, sending.serial, body, sending.mac, _REQUEST)
        except HsmError as error:
            return self._mac_not_checked(error)
        return "" if good else SECURITY_ERROR

    def _mac_not_checked(self, error: HsmError) -> str:
        if error.fault is Fault.BAD_INPUT:  # a counter that no terminal uses
            return SECURITY_ERROR
        return self._hsm_failed(error)

    def _authentic(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, operation: str, standing: Standing
    ) -> None:
        """A message with tags whose MAC is good: enciphered ones and taps are opened first."""
        tags = message.fields["48"]
        if not peer.is_private:
            for tag, what in self._hidden_tags.items():
                if tag in tags:
                    peer.report(f"{what} in clear", terminal=sending.terminal)
                    self._refuse_standing(peer, frame, message, sending, standing, FORMAT_ERROR)
                    return
        if ENCIPHERED in tags or TAP_TAG in tags:
            eager.start(self._open(peer, frame, message, sending, operation, standing), self._tasks)
        else:
            self._checked(peer, frame, message, sending, operation, standing)

    async def _open(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, operation: str, standing: Standing
    ) -> None:
        try:
            message = await opened(self._dialect, self._hsm, sending, message, self._card_proofs)
        except EncipheredError as error:
            peer.report("enciphered data not opened", terminal=sending.terminal, problem=str(error))
            self._refuse_standing(peer, frame, message, sending, standing, FORMAT_ERROR)
        except HsmError as error:
            self._refuse_standing(peer, frame, message, sending, standing, self._hsm_failed(error))
        else:
            self._checked(peer, frame, message, sending, operation, standing)

    def _refuse_standing(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, standing: Standing, code: str
    ) -> None:
        """Refuse with this code, unless the frame's key serial was used before: that says nothing under a
        MAC."""
        if standing is _AT_OR_BELOW:
            self._replayed(peer, frame, message)
        else:
            self._refuse(sending, message, code)

    def _checked(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, operation: str, standing: Standing
    ) -> None:
        """Whole, and of an operation that there is?"""
        problem = self._first_problem(message, operation)
        if problem is not None:
            path, what, code = problem
            peer.report("message incomplete", terminal=sending.terminal, path=path, problem=what)
            self._refuse_standing(peer, frame, message, sending, standing, code)
        elif operation == "network":
            self._network(sending, message)
        elif operation == "code" and self._codes is None:
            self._log.error("one-time codes can't be sent: no carrier", terminal=sending.terminal)
            self._refuse_standing(peer, frame, message, sending, standing, UNAVAILABLE)
        else:
            self._transaction(peer, frame, message, sending, operation, standing)

    def _first_problem(
        self, message: Message, operation: str, *, mac_required: bool = True
    ) -> tuple[str, str, str] | None:
        """Path, what is wrong and the response code; None when the message is complete."""
        if problems := self._dialect.check(message, mac_required=mac_required):
            first = problems[0]
            return first.path, first.what, first.response_code
        track = message.fields.get("35")
        if isinstance(track, str):
            # What can be typed is no card that was there: its number without expiry and service code.
            if not _WHOLE_TRACK.fullmatch(track):
                return "35", "expiry and service code expected", FORMAT_ERROR
            if str(message.fields.get("22", "")).startswith(_TYPED):
                return "22", "a typed number travels in 2", FORMAT_ERROR
        if operation in NAMES_ORIGINAL and message.text("90")[ORIGINAL_DIGITS:].strip("0"):
            return "90", "zeros expected", FORMAT_ERROR
        return None

    def _transaction(
        self, peer: Peer, frame: Frame, message: Message, sending: Sending, operation: str, standing: Standing
    ) -> None:
        now = self._clock.local()
        today = now.date()
        if today != self._day.believed and not self._day.is_believed(today, self._clock.monotonic()):
            if standing is _AT_OR_BELOW:
                self._refuse_unauthenticated(peer, frame, message, UNAVAILABLE)
            else:
                self._refuse(sending, message, UNAVAILABLE)
            return
        try:
            now = self._on_ledgers_day(now)
            request = self._requests.read(message, operation, now, sending.serial, sending.mac)
        except TooOld:
            self._refuse_standing(peer, frame, message, sending, standing, INVALID_TRANSACTION)
            return
        if len(self._queue) >= LARGEST_QUEUE:
            self._refuse(sending, message, UNAVAILABLE)
            return
        if not self._quarantine.is_empty and self._is_quarantined(request):
            self._refuse(sending, message, MALFUNCTION)
            return
        work = _Work(sending, request, message, peer, frame, standing is _AT_OR_BELOW)
        if operation == "redeem" and "35" in message and self._card_values.is_known(message.text("35")):
            work.found[CardCheck()] = True  # or every redemption would be decided twice
        self._enqueue(work)

    async def decide(
        self, message: Message, operation: str, origin: Origin, block: ZoneBlock | None, *, is_private: bool
    ) -> Decision | None:
        """Decide a partner's request, whose MAC is good; the decision when it is durable, None when nobody
        can say what became of it. message: in our dialect; is_private: as of a `Peer`."""
        request = self.partners_request(message, operation, origin, is_private=is_private)
        if isinstance(request, Decision):
            return request
        return await self.decided(request, message, block)

    def partners_request(
        self, message: Message, operation: str, origin: Origin, *, is_private: bool
    ) -> Request | Decision:
        """The request in a partner's message, see `decide`; or the refusal of one that isn't looked up."""
        if not is_private:
            for tag, what in self._hidden_tags.items():
                if f"48.{tag}" in message:
                    return Decision(FORMAT_ERROR, path=f"48.{tag}", what=f"{what} in clear")
        problem = self._first_problem(message, operation, mac_required=False)
        if problem is not None:
            path, what, code = problem
            return Decision(code, path=path, what=what)
        now = self._clock.local()
        if self._stopped or not self._day.is_believed(now.date(), self._clock.monotonic()):
            return Decision(UNAVAILABLE)
        try:
            return self._requests.read_partners(message, operation, self._on_ledgers_day(now), origin)
        except TooOld as error:
            return Decision(INVALID_TRANSACTION, path="13", what=str(error))

    async def decided(self, request: Request, message: Message, block: ZoneBlock | None) -> Decision | None:
        """Decide what `partners_request` made of a message; as `decide`."""
        if len(self._queue) >= LARGEST_QUEUE:
            return Decision(UNAVAILABLE)
        if not self._quarantine.is_empty and self._is_quarantined(request):
            return Decision(MALFUNCTION)
        told: asyncio.Future[Decision | None] = asyncio.get_running_loop().create_future()
        work = _PartnerWork(request, message, block, told)
        if "35" in message and self._card_values.is_known(message.text("35")):
            work.found[CardCheck()] = True
        self._enqueue(work)
        return await told

    def _enqueue(self, work: _Work | _PartnerWork | _Unstored) -> None:
        if self._stopped or self._is_silent:
            self._say_unavailable(work)
            return
        self._queue.append(work)
        if not self._committing:
            self._wake()

    def _wake(self) -> None:
        if not self._committing:
            self._committing = True
            self._idle.clear()
            # Frames that arrived in the same turn of the loop join the batch.
            asyncio.get_running_loop().call_soon(self._next_batch)

    def _is_quarantined(self, request: Request) -> bool:
        """Whether the process stopped on it too often; whoever is suspected gets a name."""
        digest = request.fingerprint
        if self._quarantine.is_suspect(digest):
            self._quarantine.tell(digest, request.terminal, request.operation)
        if not self._quarantine.is_held(digest):
            return False
        self._log.error(
            "request quarantined: the process stopped on it",
            alarm=True,
            terminal=request.terminal,
            operation=request.operation,
            digest=digest.hex(),
        )
        return True

    # ------------------------------------------------------------ what time brings

    def day_now(self) -> str | None:
        """The business date, YYYY-MM-DD; None while the clock is not believed."""
        today = self._clock.local().date()
        if not self._day.is_believed(today, self._clock.monotonic()):
            return None
        newest = "" if self._state is None else self._state.business_date
        return max(today.isoformat(), newest)

    def _on_ledgers_day(self, now: datetime) -> datetime:
        """The time of day that the clock says, on its day or, when it was set back, on the ledger's: what
        terminals send today is not of a far future, and a reversal of it not refused."""
        state = self._state
        if state is not None and state.business_date != self._newest:
            self._newest = state.business_date
            self._newest_day = date.fromisoformat(self._newest)
        return now if now.date() >= self._newest_day else datetime.combine(self._newest_day, now.timetz())

    def confirm_day(self, confirmed: date) -> bool:
        """An operator says which day it is; False when the clock says another."""
        return self._day.confirm(confirmed, self._clock.local().date(), self._clock.monotonic())

    async def settle(self, members: Sequence[int]) -> bool:
        """Decide and store what is due for these members, beside the requests, a few in each batch.

        False when that failed: the ledger is away, the clock not believed, the switch stops.
        """
        portion = _Portion(len(members))
        for member in members:
            digest = _digest_of_due(member)
            if self._quarantine.is_held(digest):
                self._log.error(
                    "member quarantined: the process stopped on what is due for it",
                    alarm=True,
                    member=member,
                    digest=digest.hex(),
                )
                portion.settled()
            else:
                self._due.append(_Due(member, portion))
        if self._due:
            self._wake()
        return await portion.done

    async def correct(self, correction: Correction) -> Entry | None:
        """Book a correction; its entry, also when it was booked before, or None when it can't be booked.

        Raises LedgerError: it isn't known whether it was; hand it in again.
        """
        if self._quarantine.is_held(_digest_of_due(correction.member)):
            raise LedgerError(f"member {correction.member} is quarantined: nothing is booked for it")
        portion = _Portion(1)
        self._due.append(_Due(correction.member, portion, correction))
        self._wake()
        if not await portion.done or self._state is None:
            raise LedgerError("the correction isn't booked yet; it is tried again")
        try:
            return self._state.entry(correction.identity)
        except NotLoaded as missing:
            ask = partial(self._engine.load, missing.load)
            found = await self._remotely(ask) if self._is_remote else ask()
        assert found is None or isinstance(found, Entry)
        return found

    async def take_in(self, member: int, bucket: int, entry: int) -> bool:
        """End what this entry of another owner has begun at a member of ours; harmless when that is done.
        False when it isn't known to be."""
        if self._quarantine.is_held(_digest_of_due(member)):
            return False
        portion = _Portion(1)
        self._due.append(_Due(member, portion, sent=(bucket, entry)))
        self._wake()
        return await portion.done

    # ------------------------------------------------------------ decide and commit

    def _next_batch(self) -> None:
        if not self._queue and not self._due:
            self._committing = False
            self._idle.set()
            return
        self._begin(_Batch(self._gathered()))

    def _gathered(self) -> list[_Item]:
        """What the next batch is of. Whatever a process stopped on before is a batch of its own."""
        queue, due = self._queue, self._due
        if self._quarantine.is_empty:
            work: list[_Item] = [queue.popleft() for _ in range(min(len(queue), LARGEST_BATCH))]
            work += [due.popleft() for _ in range(min(len(due), DUE_PER_BATCH))]
            return work
        work = []
        for waiting, most in ((queue, LARGEST_BATCH), (due, LARGEST_BATCH + DUE_PER_BATCH)):
            while waiting and len(work) < most:
                if self._quarantine.is_suspect(_digest_of(waiting[0])):
                    return work or [waiting.popleft()]
                work.append(waiting.popleft())
        return work

    def _begin(self, batch: _Batch) -> None:
        batch.begin_anew()
        if self._is_silent:
            self._give_up(batch)
        elif self._is_remote and not self._stopped:
            eager.start(self._fetch(batch), self._tasks)
        else:
            self._try(batch)

    async def _fetch(self, batch: _Batch) -> None:
        """Ask a ledger behind a network for what the batch will look at, in three round trips at most, then
        try it."""
        try:
            if self._state is None:
                self._state = State(await self._remotely(self._engine.start))
            else:
                self._state.forget_lent()
            requests = [item.request for item in batch.work if isinstance(item, _Work | _PartnerWork)]
            due = [item.member for item in batch.work if isinstance(item, _Due)]
            loads = first_loads(self._state, requests) + self._counter_loads(self._state, requests)
            await self._fill(self._state, loads)
            requests = unseen(self._state, requests)
            members = members_of(self._state, requests)
            await self._fill(self._state, member_loads(self._state, requests, members, due))
            again_ms = self._program.checks.double_swipe_ms
            late = late_loads(self._state, requests, members, due, self._clock.now_ms(), again_ms)
            await self._fill(self._state, late)
        except LedgerError as error:
            self._failed(batch, error)
            return
        self._try(batch)

    async def _fetch_lacking(self, batch: _Batch, load: Load) -> None:
        """Ask for what deciding the batch came upon, and what its other requests would come upon, then go on
        with it."""
        assert self._state is not None
        try:
            await self._fill(self._state, [load, *self._lacking(self._state, batch, load)])
        except LedgerError as error:
            self._failed(batch, error)
            return
        self._try(batch)

    def _lacking(self, state: State, batch: _Batch, known: Load) -> Iterable[Load]:
        """What else the requests behind the one that stopped would look up next. Deciding changes nothing."""
        loads: dict[tuple[type[Load], Load], Load] = {}
        now_ms = self._clock.now_ms()
        for item in batch.work[batch.at + 1 :]:
            if isinstance(item, _Work | _PartnerWork) and not item.only_stored:
                try:
                    self._authorizer.decide(state, item.request, now_ms, item.found)
                except NotLoaded as missing:
                    loads[type(missing.load), missing.load] = missing.load
                except Exception:
                    continue  # told when its turn comes
        loads.pop((type(known), known), None)
        return loads.values()

    def _counter_loads(self, state: State, requests: Iterable[Request]) -> list[Load]:
        counters = {one: None for asked in requests for one in self._authorizer.counters_of(asked)}
        return [load for load in map(CounterLoad, counters) if not state.knows(load)]

    async def _fill(self, state: State, loads: Sequence[Load]) -> None:
        if loads:
            values = await self._remotely(partial(self._engine.load_many, loads))
            for load, value in zip(loads, values, strict=True):
                state.fill(load, value)

    async def _remotely(self, ask: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._writer, ask)

    def _try(self, batch: _Batch) -> None:
        """Decide a batch on the memory and commit what it changes; its answers follow the commit."""
        if self._stopped:
            self._give_up(batch)
            return
        try:
            changes, answers = self._decide(batch)
            self._quarantine.nothing_under_way()
            if changes is not None:
                self._engine.stage(changes, self._epoch)
        except NotLoaded as missing:
            self._quarantine.nothing_under_way()
            batch.part_with_parked()
            eager.start(self._fetch_lacking(batch, missing.load), self._tasks)
            return
        except LedgerError as error:
            self._quarantine.nothing_under_way()
            self._failed(batch, error)
            return
        except Exception as error:
            self._broken(batch, error)
            return
        if changes is None:
            self._finish(batch, answers)
            asyncio.get_running_loop().call_soon(self._next_batch)
            return
        stored = len(changes.entries)
        future = asyncio.get_running_loop().run_in_executor(self._writer, self._engine.sync)
        future.add_done_callback(lambda done: self._synced(done, batch, stored, answers))

    def _decide(self, batch: _Batch) -> tuple[Batch | None, list[_Answer]]:
        """What to store (None: nothing) and the answers of what can be decided now; what waits for the HSM
        leaves the batch. Raises NotLoaded where a ledger is behind a network: fill it in and go on."""
        if self._state is None:
            self._state = State(self._engine.start())
        answers, marks = batch.answers, batch.marks
        now_ms = self._clock.now_ms()
        waiting = False
        for place, item in enumerate(batch.work[batch.at :], batch.at):
            batch.at = place
            if isinstance(item, _Unstored):
                answers.append(_Answer(item.sending, item.body))
                _raise(marks, item.sending)
                continue
            if isinstance(item, _Due):
                self._decide_due(self._state, item, now_ms)
                continue
            outcome = self._decide_one(self._state, batch, item, now_ms)
            if self._placing is not None:
                batch.sends_away |= _sends_away(outcome)
            if isinstance(item, _PartnerWork):
                waiting |= outcome is None
                self._decided(item, outcome, batch.partners)
                continue
            if isinstance(outcome, Entry):
                if outcome.response_code == WRONG_CARD:
                    item.peer.alarm("card verification value wrong", terminal=outcome.terminal)
                delivery = self._delivery(item, outcome) if outcome.operation == "code" else None
                answers.append(_Answer(item.sending, outcome.answer, delivery))
            elif outcome is None:
                waiting = True
            elif isinstance(outcome, Repeat):
                answers.append(_Answer(item.sending, outcome.entry.answer))
                if not _is_of(outcome.entry, item.sending):
                    _raise(marks, item.sending)
            elif isinstance(outcome, Refusal):
                answers.append(_Answer(item.sending, self._refused_body(item.message, outcome.response_code)))
                _raise(marks, item.sending)
            elif isinstance(outcome, Elsewhere):  # its card was given to another member on the way
                body = self._unauthenticated(item.message, UNAVAILABLE)
                answers.append(_Answer(item.sending, body, is_bare=True))
            else:
                body = self._unauthenticated(item.message, SECURITY_ERROR)
                answers.append(_Answer(item.sending, body, replayed=item.peer))
        if waiting:
            batch.part_with_parked()
        changes = self._state.batch(marks)
        return (changes if changes.entries or marks else None), answers

    def _decided(
        self,
        item: _PartnerWork,
        outcome: Entry | Repeat | Refusal | Elsewhere | _Replay | None,
        partners: list[_PartnerWork],
    ) -> None:
        """Keep what a partner's request came to until it is durable."""
        if isinstance(outcome, Refusal):
            item.decision = Decision(outcome.response_code)
        elif isinstance(outcome, Elsewhere):
            item.decision = Decision(UNAVAILABLE)
        elif isinstance(outcome, Entry | Repeat):
            entry = outcome.entry if isinstance(outcome, Repeat) else outcome
            item.decision = Decision(entry.response_code, entry.answer)
            if isinstance(outcome, Entry) and entry.response_code == WRONG_CARD:
                self._log.error("card verification value wrong", alarm=True, terminal=entry.terminal)
        else:
            return  # it waits for the HSM
        partners.append(item)

    def _decide_one(
        self, state: State, batch: _Batch, item: _Work | _PartnerWork, now_ms: int
    ) -> Entry | Repeat | Refusal | Elsewhere | _Replay | None:
        """Decide one request, loading what the memory lacks, and let the next ones see its entry. None: it
        waits for the HSM. Begun again after NotLoaded it goes on where it was."""
        request = item.request
        self._quarantine.begin(request.fingerprint)
        if batch.begun is not None:
            return self._followed(state, batch, batch.begun, now_ms)
        while True:
            try:
                if item.only_stored:
                    assert isinstance(item, _Work), "a partner's message has no key serial"
                    stored = state.entry(request.identity)
                    return Repeat(stored) if _is_of(stored, item.sending) else _Replay()
                if item.refused:
                    return Refusal(item.refused)
                outcome = self._authorizer.decide(state, request, now_ms, item.found)
            except NotLoaded as missing:
                self._supply(state, missing)
                continue
            except AssertionError:
                raise
            except Exception as error:
                # A defect, but only of this request: deciding changes nothing.
                where = where_of(error)
                self._log.error(
                    "decision failed", terminal=request.terminal, error=type(error).__name__, at=where
                )
                return Refusal(MALFUNCTION)
            if isinstance(outcome, Entry):
                self._apply(state, outcome)
                if outcome.sides:  # else there is nothing that another entry would have to follow
                    return self._followed(state, batch, outcome, now_ms)
                return outcome
            if isinstance(outcome, Due):
                self._apply(state, outcome.entry)
            elif not isinstance(outcome, PinCheck | NewPin | NewCode | CardCheck):
                return outcome
            elif not self._asked(item, outcome):
                return None

    def _followed(self, state: State, batch: _Batch, entry: Entry, now_ms: int) -> Entry:
        batch.begun = entry
        self._follow(state, entry, now_ms)
        batch.begun = None
        return entry

    def _follow(self, state: State, entry: Entry, now_ms: int) -> None:
        """Let what has to follow an entry at another member of ours do so."""
        receiver = self._loading(state, partial(self._authorizer.receiver, state, entry))
        if not receiver or not state.owns(bucket_of_member(receiver)):
            return
        ask = partial(self._authorizer.second_half, state, entry, now_ms)
        while (second := self._loading(state, ask)) is not None:
            self._apply(state, second)

    def _decide_due(self, state: State, item: _Due, now_ms: int) -> None:
        """Settle one member, if something is due still."""
        day = self.day_now()
        if day is None:
            item.portion.failed()
            return
        self._quarantine.begin(_digest_of_due(item.member))
        member = self._loading(state, partial(state.member, item.member))
        entry = self._loading(state, partial(self._authorizer.due, state, member, day, now_ms))
        if entry is not None:
            self._apply(state, entry)
        if item.correction is not None:
            ask = partial(self._authorizer.corrected, state, item.correction, day, now_ms)
            entry = self._loading(state, ask)
            if entry is not None:
                self._apply(state, entry)
        if item.sent is not None:
            bucket, entry_id = item.sent
            entry = self._loading(state, partial(state.entry_of_id, entry_id, bucket))
            if entry is not None:
                self._follow(state, entry, now_ms)

    def _apply(self, state: State, entry: Entry) -> None:
        """Let the next decisions see this entry."""
        while True:
            try:
                state.apply(entry)
            except NotLoaded as missing:
                self._supply(state, missing)
            else:
                return

    def _loading(self, state: State, ask: Callable[[], Found]) -> Found:
        """What `ask` says, once the memory has what it lacks."""
        while True:
            try:
                return ask()
            except NotLoaded as missing:
                self._supply(state, missing)

    def _supply(self, state: State, missing: NotLoaded) -> None:
        """What the memory lacks, from a ledger that answers at once. One behind a network is never waited for
        on the event loop: the batch comes back when it is known."""
        if self._is_remote:
            raise missing
        state.fill(missing.load, self._engine.load(missing.load))

    def _synced(self, done: asyncio.Future[None], batch: _Batch, stored: int, answers: list[_Answer]) -> None:
        error = done.exception()
        if error is None:
            assert self._state is not None
            self._state.committed()
            self.committed_entries += stored
            if batch.sends_away and self._placing is not None:
                self._placing.sent_away()
            self._finish(batch, answers)
            self._after_commit()
            self._next_batch()
            return
        batch.in_doubt |= not isinstance(error, ConflictError | FencedError)  # those say: nothing was stored
        if isinstance(error, LedgerError):
            self._failed(batch, error)
        else:
            self._broken(batch, error)

    def _finish(self, batch: _Batch, answers: list[_Answer]) -> None:
        """All of the batch is decided and durable."""
        if not self._quarantine.is_empty:
            for item in batch.work:
                self._quarantine.passed(_digest_of(item))
        for item in reversed(batch.work):
            if not isinstance(item, _Due):
                break
            item.portion.settled()
        self._release(answers)
        for partners in batch.partners:
            partners.tell(partners.decision)

    def _failed(self, batch: _Batch, error: LedgerError) -> None:
        """Nothing is stored, or nobody knows: forget the memory, read the ledger again, ask once more."""
        self._log.error("ledger unavailable", error=str(error), requests=len(batch.work))
        self._state = None
        try:
            self._engine.rollback()
        except LedgerError as second:
            self._log.error("ledger unavailable", error=str(second), requests=len(batch.work))
        if isinstance(error, FencedError):
            self._stopped = True
            self._give_up(batch)
            self._stop("the ledger has another owner")
        elif isinstance(error, NotSynced):
            self._stopped = True
            self._give_up(batch)
            self._stop("the disk failed to make the ledger durable")
        elif isinstance(error, LedgerSilent):
            self._fall_silent(batch)
        elif batch.tries == TRIES:
            self._give_up(batch)
        else:
            batch.tries += 1
            self._begin(batch)

    def _fall_silent(self, batch: _Batch) -> None:
        """Refuse at once what waits and what comes, until the ledger is heard of again. The batch that found
        out waits for the first time it is asked."""
        self._is_silent = True
        self._log.error("ledger silent: refusing until it answers", alarm=True)
        waiting: _Batch | None = batch
        if batch.tries == TRIES:
            waiting = None
            self._give_up(batch)
        batch.tries += 1
        while self._queue:
            self._say_unavailable(self._queue.popleft())
        while self._due:
            self._due.popleft().portion.failed()
        self._listening = asyncio.get_running_loop().create_task(self._listen(waiting))

    async def _listen(self, waiting: _Batch | None) -> None:
        """Ask the ledger again and again, until it says something, whatever that is."""
        try:
            while True:
                try:
                    self._state = State(await self._remotely(self._engine.start))
                except LedgerSilent:
                    if waiting is not None:
                        self._give_up(waiting)
                        waiting = None
                    await asyncio.sleep(LISTEN_INTERVAL_S)
                except LedgerError:
                    break  # who asks next is told at once
                else:
                    break
        except asyncio.CancelledError:
            if waiting is not None:
                self._give_up(waiting)
            raise
        self._is_silent = False
        self._log.info("ledger heard of again")
        if waiting is not None:
            self._begin(waiting)

    def _broken(self, batch: _Batch, error: BaseException) -> None:
        """An invariant does not hold: stop this process rather than go on with a ledger it can't trust."""
        self._stopped = True
        self._quarantine.broke([_digest_of(item) for item in batch.work], self._clock.now_ms())
        self._log.critical("invariant broken", error=type(error).__name__, at=where_of(error))
        self._give_up(batch)
        self._stop("an invariant of the ledger broke")

    def _give_up(self, batch: _Batch) -> None:
        """Nothing is said under a MAC: the terminal reverses. 91 is for whoever reads a trace; where
        something may have been booked nothing is said at all."""
        for item in batch.work:
            if isinstance(item, _Due):
                item.portion.failed()
            elif isinstance(item, _PartnerWork):
                item.tell(None if batch.in_doubt else Decision(UNAVAILABLE))
            elif batch.in_doubt:
                item.sending.drop()
            else:
                self._say_unavailable(item)
        asyncio.get_running_loop().call_soon(self._next_batch)

    # ------------------------------------------------------------ the HSM

    def _asked(self, item: _Work | _PartnerWork, need: Need) -> bool:
        """Ask the HSM for what a decision needs. False: it takes its time, the request will come again."""
        if len(item.found) >= MOST_NEEDS:
            item.refused = PIN_UNAVAILABLE
            return True
        eager.start(self._ask(item, need), self._tasks)
        item.parked = need not in item.found and not item.refused
        return not item.parked

    async def _ask(self, item: _Work | _PartnerWork, need: Need) -> None:
        try:
            if isinstance(item, _PartnerWork):
                item.found[need] = await self._found_for_partner(item, need)
            else:
                item.found[need] = await self._found(item, need)
        except HsmError as error:
            item.refused = self._hsm_failed(
                error, UNAVAILABLE if isinstance(need, CardCheck) else PIN_UNAVAILABLE
            )
        if item.parked:
            item.parked = False
            self._enqueue(item)

    async def _found(self, item: _Work, need: Need) -> object:
        """What the HSM says to a need. A bad block is no fault here: it counts like a wrong PIN."""
        if isinstance(need, NewCode):
            drawn = await self._hsm.random(CODE_RANDOM_BYTES)
            return f"{int.from_bytes(drawn, 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}d}"
        sending, message = item.sending, item.message
        if isinstance(need, CardCheck):
            if item.request.shown is not None:
                return await self._card_proofs.is_right(message)
            return await self._card_values.is_right(message.text("35"))
        in_tag = isinstance(need, NewPin) and need.in_tag
        block = message[f"48.{NEW_PIN_BLOCK}" if in_tag else "52"]
        assert isinstance(block, bytes)
        pin = DukptPin(sending.base_key, sending.serial, block)
        digits = pin_digits(message)
        binding = need.member.to_bytes(MEMBER_BYTES, "big")
        key = self._keys.pin_verifier
        try:
            if isinstance(need, PinCheck):
                return await self._hsm.pin_verify(pin, digits, key, binding, need.verifier)
            return await self._hsm.pin_verifier(pin, digits, key, binding)
        except HsmError as error:
            if error.fault is not Fault.BAD_PIN_BLOCK:
                raise
            return False if isinstance(need, PinCheck) else None

    async def _found_for_partner(self, item: _PartnerWork, need: Need) -> object:
        """As `_found`, of a block under a zone key. Under another key than its own a block is a bad one."""
        if isinstance(need, CardCheck):
            if item.request.shown is not None:  # partners' terminals know nothing of our chips
                return False
            return await self._card_values.is_right(item.message.text("35"))
        assert isinstance(need, PinCheck), "partners set no PINs and send no codes"
        assert item.block is not None, "no check without a block"
        binding = need.member.to_bytes(MEMBER_BYTES, "big")
        digits = identifying_digits(item.message)
        for pin in item.block.under():
            try:
                right = await self._hsm.pin_verify(
                    pin, digits, self._keys.pin_verifier, binding, need.verifier
                )
            except HsmError as error:
                if error.fault is not Fault.BAD_PIN_BLOCK:
                    raise
                continue
            if right:
                item.block.came_under(pin.key)
            return right
        return False

    def _hsm_failed(self, error: HsmError, unavailable: str = UNAVAILABLE) -> str:
        """Log it, not too often; the transient response code for the request."""
        now_ms = self._clock.now_ms()
        kind = (error.operation, error.fault)
        if now_ms - self._hsm_told_ms.get(kind, -HSM_LOG_INTERVAL_MS) >= HSM_LOG_INTERVAL_MS:
            self._hsm_told_ms[kind] = now_ms
            self._log.error("HSM failed", error=str(error), alarm=error.fault in _DAMAGE)
        return unavailable if error.fault in (Fault.UNAVAILABLE, Fault.UNSUPPORTED) else MALFUNCTION

    # ------------------------------------------------------------ out

    def _delivery(self, item: _Work, entry: Entry) -> _Delivery | None:
        """What a decided request for a one-time code has delivered before its answer goes out."""
        if entry.response_code != APPROVED:
            return None
        assert self._state is not None
        mobile = self._state.mobile(entry.member)
        code = item.found[NewCode(entry.member)]
        assert mobile is not None
        assert isinstance(code, str)
        return _Delivery(mobile.sealed, code, self._refused_body(item.message, UNAVAILABLE))

    def _say_unavailable(self, item: _Work | _PartnerWork | _Unstored) -> None:
        """91 without a MAC: under one, the frame's mark would have to be durable."""
        if isinstance(item, _PartnerWork):
            item.tell(Decision(UNAVAILABLE))
            return
        item.sending.finish(self._unauthenticated(item.message, UNAVAILABLE))

    def _refused_body(self, message: Message, code: str) -> bytes:
        return self._dialect.encode_body(_refusing(message, code))

    def _unauthenticated(self, message: Message, code: str) -> bytes:
        return self._dialect.encode(_refusing(message, code))

    def _release(self, answers: list[_Answer]) -> None:
        at_once = self._at_once
        for answer in answers:
            if at_once is None or answer.delivery is not None or answer.replayed or answer.is_bare:
                eager.start(self._send(answer), self._tasks)
                continue
            sending = answer.sending
            try:
                mac = at_once.dukpt_mac_generate_now(sending.base_key, sending.serial, answer.body, _RESPONSE)
            except HsmError as error:
                self._unsendable(sending, error)
            else:
                sending.finish(answer.body + mac)

    async def _send(self, answer: _Answer) -> None:
        """Answer under the response key of the request's key serial."""
        sending, body = answer.sending, answer.body
        if answer.replayed is not None:
            answer.replayed.alarm("key serial used before", terminal=sending.terminal)
        if answer.replayed is not None or answer.is_bare:
            sending.finish(body)
            return
        if answer.delivery is not None and not await self._delivered(sending, answer.delivery):
            body = answer.delivery.instead
        try:
            mac = await self._hsm.dukpt_mac_generate(sending.base_key, sending.serial, body, _RESPONSE)
        except HsmError as error:
            self._unsendable(sending, error)
        else:
            sending.finish(body + mac)

    def _unsendable(self, sending: Sending, error: HsmError) -> None:
        """An answer without a MAC is none; the terminal reverses."""
        self._hsm_failed(error)
        sending.drop()

    async def _delivered(self, sending: Sending, delivery: _Delivery) -> bool:
        assert self._codes is not None
        try:
            await self._codes.send(self._mobiles.open(delivery.mobile), delivery.code)
        except (CodeCarrierError, ValueError) as error:
            self._log.error("one-time code not sent", terminal=sending.terminal, error=str(error))
            return False
        return True

    def _refuse(self, sending: Sending, message: Message, code: str) -> None:
        """Answer under a MAC, remembering no more than the key serial: for messages whose MAC was good."""
        self._enqueue(_Unstored(sending, message, self._refused_body(message, code)))

    def _refuse_unauthenticated(self, peer: Peer, frame: Frame, message: Message, code: str) -> None:
        """Answer without a MAC: a terminal takes it for no answer, a person reading a trace sees why."""
        peer.answer(self._unauthenticated(message, code), frame.tpdu)

    def _replayed(self, peer: Peer, frame: Frame, message: Message) -> None:
        peer.alarm("key serial used before", terminal=message.text("41"))
        self._refuse_unauthenticated(peer, frame, message, SECURITY_ERROR)

    def _malformed(self, peer: Peer, frame: Frame, error: DecodeError) -> None:
        peer.report("malformed message", path=error.path, offset=error.offset, expected=error.expected)
        partial = error.partial
        if partial is not None and _is_request(partial.mti) and "41" in partial and "11" in partial:
            self._refuse_unauthenticated(peer, frame, partial, FORMAT_ERROR)
            return
        peer.drop()
        peer.close_after_fault()

    def _network(self, sending: Sending, message: Message) -> None:
        code = message.text("70")
        if code in (PARAMETERS_PIECE, SOFTWARE_PIECE):
            self._piece(sending, message, code)
            return
        if code not in (SIGN_ON, SIGN_OFF, ECHO):
            self._refuse(sending, message, INVALID_TRANSACTION)
            return
        if code == SIGN_ON and self.day_now() is None:
            self._refuse(sending, message, UNAVAILABLE)  # terminals take their date from the answer
            return
        fields: dict[str, Value] = {
            **answer_fields(message.text("11"), _time_of(message), message.text("41"), APPROVED)
        }
        if code == SIGN_ON:
            tags: dict[str, str | bytes] = {**self._sign_on_tags()}
            if self._downloads is not None:
                tags.update(self._downloads.at_sign_on(message.text("41"), _tags_of(message)))
            fields["48"] = tags
            self._log.info("terminal signed on", terminal=message.text("41"), **self._counters(message))
        body = self._dialect.encode_body(Message(answer_mti(message.mti), fields))
        self._enqueue(_Unstored(sending, message, body))

    def _counters(self, message: Message) -> dict[str, int]:
        """What the terminal counted, kept for whoever looks at it; nothing depends on it."""
        digits = _tags_of(message).get(COUNTERS_TAG)
        if not isinstance(digits, str):
            return {}
        counters = counters_of(digits)
        if self._keep_counters is not None:
            try:
                self._keep_counters(message.text("41"), counters, self._clock.local())
            except OSError as error:
                self._log.warning("counters of a terminal can't be kept", error=str(error))
        return counters

    def _piece(self, sending: Sending, message: Message, code: str) -> None:
        """A piece of what the terminal downloads. Nothing of it is stored but the key serial's mark."""
        if self._downloads is None or len(self._queue) >= QUEUE_FOR_DOWNLOADS:
            self._refuse(sending, message, UNAVAILABLE)
            return
        response_code, tags, piece = self._downloads.piece(code, message.text("41"), _tags_of(message))
        fields: dict[str, Value] = {
            **answer_fields(message.text("11"), _time_of(message), message.text("41"), response_code)
        }
        if piece:
            fields["48"] = {**tags}
            fields["61"] = piece
        body = self._dialect.encode_body(Message(answer_mti(message.mti), fields))
        self._enqueue(_Unstored(sending, message, body))

    def _sign_on_tags(self) -> dict[str, str]:
        now = self._on_ledgers_day(self._clock.local())
        rules = self._program.rules.on(now.toordinal())
        tags = {
            "10": now.strftime("%Y%m%d%H%M%S"),
            "11": f"{self._dialect.version:04d}",
            "12": f"{rules.rial_per_redeemed_point:08d}",
        }
        if self._program.pin_from_points < NEVER_POINTS:
            tags["13"] = f"{self._program.pin_from_points:012d}"
        return tags

    # ------------------------------------------------------------ life

    async def drain(self) -> None:
        """Wait until every accepted request is committed and answered."""
        if self._listening is not None:
            self._listening.cancel()
        while self._tasks or not self._idle.is_set():
            await self._idle.wait()
            if self._tasks:
                await asyncio.wait(set(self._tasks))


def authorizer_of(dialect: Dialect, program: Program, key: bytes) -> Authorizer:
    """The authorizer of a program. key: the directory key."""
    return Authorizer(
        dialect,
        Terms(
            program.name,
            program.currency,
            program.rules,
            program.hold_minutes * 60_000,
            program.replaced_hours * 3_600_000,
            program.checks,
        ),
        program.pin_from_points,
        Limits(
            pin_tries=program.pin_tries,
            code_tries=program.code_tries,
            code_lifetime_ms=program.code_lifetime_s * 1000,
            card_tries=program.card_tries if program.checks_cards else 0,
            codes_per_member=program.codes_per_member,
            codes_per_terminal=program.codes_per_terminal,
            code_period_ms=program.code_period_s * 1000,
            shown_tries=program.card_tries,
        ),
        key,
    )


def _is_parked(item: _Item) -> bool:
    """Whether it waits for the HSM, which will bring it back."""
    return isinstance(item, _Work | _PartnerWork) and item.parked


def _sends_away(outcome: object) -> bool:
    """Whether a decision was of a transfer between members, just now or before."""
    if type(outcome) is Repeat:
        outcome = outcome.entry
    return type(outcome) is Entry and outcome.operation.startswith("transfer")


def _digest_of(item: _Item) -> bytes:
    """What the quarantine knows it by; empty for what isn't decided."""
    if isinstance(item, _Work | _PartnerWork):
        return item.request.fingerprint
    return _digest_of_due(item.member) if isinstance(item, _Due) else b""


def _digest_of_due(member: int) -> bytes:
    return blake2b(b"due" + member.to_bytes(MEMBER_BYTES, "big"), digest_size=DIGEST_BYTES).digest()


def _raise(marks: dict[bytes, int], sending: Sending) -> None:
    marks[sending.initial_key] = max(sending.counter, marks.get(sending.initial_key, 0))


def _is_of(entry: Entry | None, sending: Sending) -> TypeGuard[Entry]:
    """Whether an entry is what this very sending was decided to."""
    return entry is not None and sending.is_same(entry.key_serial, entry.request_mac)


@lru_cache(maxsize=256)  # a dialect has some thirty; what else comes is refused
def _is_request(mti: str) -> bool:
    return mti[0] == "0" and mti[1] in "123458" and mti[2] in "02" and mti[3] in "01"


def _refusing(message: Message, code: str) -> Message:
    fields = answer_fields(message.text("11"), _time_of(message), message.text("41"), code)
    return Message(answer_mti(message.mti), fields)


def _tags_of(message: Message) -> Mapping[str, object]:
    tags = message.fields.get("48")
    return tags if isinstance(tags, dict) else {}


def _time_of(message: Message) -> str:
    return message.text("12") if "12" in message else "000000"


def where_of(error: BaseException) -> str:
    """File and line of a failure, without any value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        "" if trace is None else f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
    )
