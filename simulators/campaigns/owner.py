"""A ledger's owner without lines: messages in, decided by the real authorizer, committed by the real engine.

Does what `switch.server.pipeline` does between a checked message and its answer, one batch at a time and
under a clock that its caller turns. The HSM's part is left out: cards are right, PINs are not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import partial
from typing import Final, TypeVar

from switch import iso8583
from switch.authorizer import CardCheck, Due, Need, Refusal, Repeat, TooOld
from switch.authorizer.request import RequestReader
from switch.iso8583 import Message
from switch.ledger import FIRST_DUE, Engine, Entry, NotLoaded, State
from switch.server.clock import BUSINESS_ZONE
from switch.server.pipeline import authorizer_of
from switch.settings import Settings

CARD_IS_RIGHT: Final[Mapping[Need, object]] = {CardCheck(): True}
TOO_OLD: Final = Refusal("12")

Found = TypeVar("Found")


class Clock:
    """Local time in Asia/Tehran that stands until it is turned."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def local(self) -> datetime:
        return datetime.fromtimestamp(self.now_ms / 1000, BUSINESS_ZONE)


class Owner:
    """Memory and engine of the one who owns the buckets."""

    def __init__(self, settings: Settings, engine: Engine, clock: Clock) -> None:
        dialect = iso8583.load("vafa")
        program = settings.program
        self.engine = engine
        self.clock = clock
        self._dialect = dialect
        self._reader = RequestReader(
            dialect, program.horizon_days, program.card_prefixes, settings.directory_key
        )
        self._authorizer = authorizer_of(dialect, program, settings.directory_key)
        self.epoch = engine.claim("campaign")
        self.state = State(engine.start())

    def decide(self, message: Message, key_serial: bytes, mac: bytes) -> Entry | Repeat | Refusal:
        """Decide one message and let the next ones see it. key_serial, mac: of this sending."""
        operation = self._dialect.name_of(message)
        assert operation is not None, "campaigns ask for what there is"
        try:
            request = self._reader.read(message, operation, self.clock.local(), key_serial, mac)
        except TooOld:
            return TOO_OLD
        state, now_ms = self.state, self.clock.now_ms
        while True:
            outcome = self._loading(lambda: self._authorizer.decide(state, request, now_ms, CARD_IS_RIGHT))
            if isinstance(outcome, Due):
                self._apply(outcome.entry)
                continue
            if isinstance(outcome, Entry):
                self._apply(outcome)
                second = self._loading(partial(self._authorizer.second_half, state, outcome, now_ms))
                if second is not None:
                    self._apply(second)
                return outcome
            assert isinstance(outcome, Repeat | Refusal), "no PIN and no code is asked for here"
            return outcome

    def settle(self, member: int) -> None:
        """What time brings this member, as the nightly job does it."""
        state = self.state
        today = max(self.clock.local().date().isoformat(), state.business_date)
        entry = self._loading(
            lambda: self._authorizer.due(state, state.member(member), today, self.clock.now_ms)
        )
        if entry is not None:
            self._apply(entry)

    def due(self, most: int) -> list[int]:
        """Members that something is due for."""
        today = max(self.clock.local().date().isoformat(), self.state.business_date)
        due = self.engine.due_members(date.fromisoformat(today).toordinal(), FIRST_DUE, most)
        return [one.member for one in due]

    def forget(self) -> None:
        """Begin anew on what is stored, after a commit failed."""
        self.state = State(self.engine.start())

    def stage(self) -> None:
        """See `Engine.stage`."""
        self.engine.stage(self.state.batch(), self.epoch)

    def sync(self) -> None:
        """See `Engine.sync`."""
        self.engine.sync()
        self.state.committed()

    def _apply(self, entry: Entry) -> None:
        self._loading(lambda: self.state.apply(entry))

    def _loading(self, ask: Callable[[], Found]) -> Found:
        while True:
            try:
                return ask()
            except NotLoaded as missing:
                self.state.fill(missing.load, self.engine.load(missing.load))
