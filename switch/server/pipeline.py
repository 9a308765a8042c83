"""From a frame to its answer: decode, MAC, registry, request, decision, one commit for the batch, answer
under a MAC.

Nothing that looks like approval leaves before its commit is durable. While one batch commits the next
gathers; there
is no timer. A failed commit drops the ledger's memory, reloads and asks again: nothing is guessed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import structlog

from switch.authorizer import Authorizer, Refusal, Repeat, Request, TooOld
from switch.authorizer.decide import answer_fields, answer_mti
from switch.authorizer.request import RequestReader
from switch.hsm import StaticKeyHsm
from switch.iso8583 import DecodeError, Dialect, Message
from switch.ledger import Engine, Entry, FencedError, LedgerError, NotLoaded, State
from switch.link.framing import Frame
from switch.server import eager
from switch.settings import Program, Terminal

FORMAT_ERROR = "30"
NOT_PERMITTED = "58"
SECURITY_ERROR = "63"
INVALID_TRANSACTION = "12"
UNAVAILABLE = "91"
MALFUNCTION = "96"
APPROVED = "00"

ORIGINAL_DIGITS = 20  # of DE 90: MTI, STAN, date and time of the original; zeros follow

SIGN_ON, SIGN_OFF, ECHO = "001", "002", "301"

# One commit carries at most this many entries: its statements run on the event loop, about 2 ms at this size.
LARGEST_BATCH = 128
# A commit that failed is asked again once: a passing fault costs nothing, a lasting one is not hammered at.
TRIES = 2
# Requests that wait for their batch; above it the switch says 91 instead of growing. About 10 MB, half a
# second of work.
LARGEST_QUEUE = 8192


class Clock(Protocol):
    """What the pipeline needs to know of time."""

    def now_ms(self) -> int: ...

    def local(self) -> datetime: ...


class Peer(Protocol):
    """A connection as the pipeline sees it. Every received frame is finished exactly once: answered or
    dropped."""

    def answer(self, payload: bytes, tpdu: bytes | None) -> None: ...

    def drop(self) -> None: ...

    def report(self, what: str, **details: str | int) -> None:
        """Log a fault of this peer, each kind once."""
        ...

    def close_after_fault(self) -> None: ...

    def known(self) -> None:
        """The peer has sent a message with a good MAC."""
        ...


@dataclass(frozen=True, slots=True)
class _Work:
    peer: Peer
    tpdu: bytes | None
    request: Request


@dataclass(slots=True)
class _Batch:
    """Requests that are decided and committed together. in_doubt: a commit failed, maybe after it was
    stored."""

    work: list[_Work]
    tries: int = 1
    in_doubt: bool = False


class _Answer(NamedTuple):
    peer: Peer
    tpdu: bytes | None
    terminal: str
    body: bytes  # encoded, without its MAC


def request_key(terminal: str) -> str:
    """Name of the key that a terminal's requests are MACed under."""
    return f"terminal/{terminal}/request"


def answer_key(terminal: str) -> str:
    """Name of the key that the answers to a terminal are MACed under."""
    return f"terminal/{terminal}/answer"


class Pipeline:
    """Owns the ledger's memory and its one writer. Runs on one event loop.

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
        hsm: StaticKeyHsm,
        engine: Engine,
        epoch: int,
        clock: Clock,
        log: structlog.stdlib.BoundLogger,
        writer: Executor,
        after_commit: Callable[[], None],
        stop: Callable[[str], None],
    ) -> None:
        self._dialect = dialect
        self._program = program
        self._terminals = {terminal.id: terminal for terminal in terminals}
        self._requests = RequestReader(dialect, program.horizon_days, program.card_prefixes, directory_key)
        self._hsm = hsm
        self._engine = engine
        self._epoch = epoch
        self._clock = clock
        self._log = log
        self._writer = writer
        self._after_commit = after_commit
        self._stop = stop
        self._authorizer = Authorizer(
            dialect,
            program.name,
            program.currency,
            program.rial_per_earned_point,
            program.rial_per_redeemed_point,
        )
        self._state: State | None = State(engine.start())  # None: to be read again
        self._queue: deque[_Work] = deque()
        self._committing = False
        self._stopped = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.committed_entries = 0

    # ------------------------------------------------------------ in

    def receive(self, peer: Peer, frame: Frame) -> None:
        """Take one frame. Its peer hears `answer` or `drop` for it exactly once, later."""
        eager.start(self._receive(peer, frame), self._tasks)

    async def _receive(self, peer: Peer, frame: Frame) -> None:
        try:
            message = self._dialect.decode(frame.payload)
        except DecodeError as error:
            self._malformed(peer, frame, error)
            return
        if not _is_request(message.mti) or "41" not in message or "11" not in message:
            peer.report("not a request", mti=message.mti)
            peer.drop()
            peer.close_after_fault()
            return
        terminal = self._terminals.get(message.text("41"))
        if terminal is None or terminal.blocked or message.get("42") not in (None, terminal.acceptor):
            peer.report("terminal not permitted", terminal=message.text("41"))
            self._refuse_unauthenticated(peer, frame, message, NOT_PERMITTED)
            return
        body, mac = self._dialect.split_mac(frame.payload)
        if mac is None or not await self._hsm.mac_verify(request_key(terminal.id), body, mac):
            peer.report("bad MAC", terminal=terminal.id)
            self._refuse_unauthenticated(peer, frame, message, SECURITY_ERROR)
            return
        peer.known()
        operation = self._dialect.name_of(message)
        if operation is None:
            await self._refuse(peer, frame.tpdu, message, INVALID_TRANSACTION)
        elif problems := self._dialect.check(message):
            first = problems[0]
            peer.report("message incomplete", terminal=terminal.id, path=first.path, problem=first.what)
            await self._refuse(peer, frame.tpdu, message, first.response_code)
        elif operation == "network":
            await self._network(peer, frame.tpdu, message)
        elif operation == "reversal" and message.text("90")[ORIGINAL_DIGITS:].strip("0"):
            peer.report("message incomplete", terminal=terminal.id, path="90", problem="zeros expected")
            await self._refuse(peer, frame.tpdu, message, FORMAT_ERROR)
        else:
            await self._transaction(peer, frame.tpdu, message, body, operation)

    async def _transaction(
        self, peer: Peer, tpdu: bytes | None, message: Message, body: bytes, operation: str
    ) -> None:
        try:
            request = self._requests.read(message, body, operation, self._clock.local())
        except TooOld:
            await self._refuse(peer, tpdu, message, INVALID_TRANSACTION)
            return
        if len(self._queue) >= LARGEST_QUEUE or self._stopped:
            await self._refuse(peer, tpdu, message, UNAVAILABLE)
            return
        self._queue.append(_Work(peer, tpdu, request))
        if not self._committing:
            self._committing = True
            self._idle.clear()
            # Frames that arrived in the same turn of the loop join the batch.
            asyncio.get_running_loop().call_soon(self._next_batch)

    # ------------------------------------------------------------ decide and commit

    def _next_batch(self) -> None:
        if not self._queue:
            self._committing = False
            self._idle.set()
            return
        work = [self._queue.popleft() for _ in range(min(len(self._queue), LARGEST_BATCH))]
        self._try(_Batch(work))

    def _try(self, batch: _Batch) -> None:
        """Decide a batch on the memory and commit what it changes; its answers follow the commit."""
        if self._stopped:
            self._give_up(batch)
            return
        try:
            entries, answers = self._decide(batch.work)
            if entries:
                self._engine.stage(entries, self._epoch)
        except LedgerError as error:
            self._failed(batch, error)
            return
        except AssertionError as error:
            self._broken(batch, error)
            return
        if not entries:
            self._release(answers)
            asyncio.get_running_loop().call_soon(self._next_batch)
            return
        future = asyncio.get_running_loop().run_in_executor(self._writer, self._engine.sync)
        future.add_done_callback(lambda done: self._synced(done, batch, entries, answers))

    def _decide(self, work: Sequence[_Work]) -> tuple[list[Entry], list[_Answer]]:
        if self._state is None:
            self._state = State(self._engine.start())
        entries: list[Entry] = []
        answers: list[_Answer] = []
        now_ms = self._clock.now_ms()
        for item in work:
            outcome = self._decide_one(self._state, item.request, now_ms)
            if isinstance(outcome, Entry):
                entries.append(outcome)
                answers.append(_Answer(item.peer, item.tpdu, item.request.terminal, outcome.answer))
            elif isinstance(outcome, Repeat):
                answers.append(_Answer(item.peer, item.tpdu, item.request.terminal, outcome.entry.answer))
            else:
                answers.append(self._refusal(item, outcome.response_code))
        return entries, answers

    def _decide_one(self, state: State, request: Request, now_ms: int) -> Entry | Repeat | Refusal:
        """Decide one request, loading what the memory lacks, and let the next ones see its entry."""
        while True:
            try:
                outcome = self._authorizer.decide(state, request, now_ms)
            except NotLoaded as missing:
                state.fill(missing.load, self._engine.load(missing.load))
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
            try:
                if isinstance(outcome, Entry):
                    state.apply(outcome)
                return outcome
            except NotLoaded as missing:
                state.fill(missing.load, self._engine.load(missing.load))

    def _synced(
        self, done: asyncio.Future[None], batch: _Batch, entries: list[Entry], answers: list[_Answer]
    ) -> None:
        error = done.exception()
        if error is None:
            assert self._state is not None
            self._state.committed(entries)
            self.committed_entries += len(entries)
            self._release(answers)
            self._after_commit()
            self._next_batch()
            return
        batch.in_doubt = True
        if isinstance(error, LedgerError):
            self._failed(batch, error)
        else:
            self._broken(batch, error)

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
        elif batch.tries == TRIES:
            self._give_up(batch)
        else:
            batch.tries += 1
            self._try(batch)

    def _broken(self, batch: _Batch, error: BaseException) -> None:
        """An invariant does not hold: stop this process rather than go on with a ledger it can't trust."""
        self._stopped = True
        self._log.critical("invariant broken", error=type(error).__name__, at=where_of(error))
        self._give_up(batch)
        self._stop("an invariant of the ledger broke")

    def _give_up(self, batch: _Batch) -> None:
        """91 says that nothing was booked. Where that isn't certain nothing is said: the terminal
        reverses."""
        if batch.in_doubt:
            for item in batch.work:
                item.peer.drop()
        else:
            self._release([self._refusal(item, UNAVAILABLE) for item in batch.work])
        asyncio.get_running_loop().call_soon(self._next_batch)

    def _refusal(self, item: _Work, code: str) -> _Answer:
        request = item.request
        fields = answer_fields(request.stan, request.local_time, request.terminal, code)
        body = self._dialect.encode_body(Message(answer_mti(request.mti), fields))
        return _Answer(item.peer, item.tpdu, request.terminal, body)

    # ------------------------------------------------------------ out

    def _release(self, answers: list[_Answer]) -> None:
        eager.start(self._send(answers), self._tasks)

    async def _send(self, answers: list[_Answer]) -> None:
        for answer in answers:
            mac = await self._hsm.mac_generate(answer_key(answer.terminal), answer.body)
            answer.peer.answer(answer.body + mac, answer.tpdu)

    async def _refuse(self, peer: Peer, tpdu: bytes | None, message: Message, code: str) -> None:
        """Answer under a MAC, without remembering: for messages whose MAC was good."""
        fields = answer_fields(message.text("11"), _time_of(message), message.text("41"), code)
        body = self._dialect.encode_body(Message(answer_mti(message.mti), fields))
        await self._send([_Answer(peer, tpdu, message.text("41"), body)])

    def _refuse_unauthenticated(self, peer: Peer, frame: Frame, message: Message, code: str) -> None:
        """Answer without a MAC: a terminal takes it for no answer, a person reading a trace sees why."""
        fields = answer_fields(message.text("11"), _time_of(message), message.text("41"), code)
        peer.answer(self._dialect.encode(Message(answer_mti(message.mti), fields)), frame.tpdu)

    def _malformed(self, peer: Peer, frame: Frame, error: DecodeError) -> None:
        peer.report("malformed message", path=error.path, offset=error.offset, expected=error.expected)
        partial = error.partial
        if partial is not None and _is_request(partial.mti) and "41" in partial and "11" in partial:
            self._refuse_unauthenticated(peer, frame, partial, FORMAT_ERROR)
            return
        peer.drop()
        peer.close_after_fault()

    async def _network(self, peer: Peer, tpdu: bytes | None, message: Message) -> None:
        code = message.text("70")
        if code not in (SIGN_ON, SIGN_OFF, ECHO):
            await self._refuse(peer, tpdu, message, INVALID_TRANSACTION)
            return
        fields = answer_fields(message.text("11"), _time_of(message), message.text("41"), APPROVED)
        if code == SIGN_ON:
            fields["48"] = {
                "10": self._clock.local().strftime("%Y%m%d%H%M%S"),
                "11": f"{self._dialect.version:04d}",
                "12": f"{self._program.rial_per_redeemed_point:08d}",
            }
            self._log.info("terminal signed on", terminal=message.text("41"))
        body = self._dialect.encode_body(Message(answer_mti(message.mti), fields))
        await self._send([_Answer(peer, tpdu, message.text("41"), body)])

    # ------------------------------------------------------------ life

    async def drain(self) -> None:
        """Wait until every accepted request is committed and answered."""
        while self._tasks or not self._idle.is_set():
            await self._idle.wait()
            if self._tasks:
                await asyncio.wait(set(self._tasks))


def _is_request(mti: str) -> bool:
    return mti[0] == "0" and mti[1] in "12348" and mti[2] in "02" and mti[3] in "01"


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
