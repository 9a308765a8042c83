"""Where a partner's request goes on a ledger of several owners, and what is said when they go away. No
sockets, no ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from switch.authorizer import Origin
from switch.authorizer.identity import rrn_of
from switch.hsm.port import Key, KeyUse, PinFormat, ZonePin
from switch.iso8583 import Message
from switch.ledger import LedgerUnavailable
from switch.ledger.postgres_owners import Place, Sought, Whereabouts
from switch.server import forwarding_partners
from switch.server.forwarding_link import Asked, Decided
from switch.server.forwarding_partners import AGAIN_S, WATCHED_S, Seen, SharedDecider, decide_for
from switch.server.pipeline import Decision

HERE, THERE = 5, 200  # buckets
CARD = b"a card"
MEMBER_THERE = THERE << 40 | 1
YES, NO = Decision("00", b"yes"), Decision("51", b"no")
TORN, UNSENT = "torn", "unsent"
MESSAGE = Message("0200", {"2": "9364001234567898"})


def identity(seconds: int, tail: bytes = b"2") -> bytes:
    return b"\x20\x26\x11\x22\x10\x00" + bytes([seconds]) + tail.ljust(12, b"\0")


def asked(number: int = 0, **changes: Any) -> Any:
    """What the authorizer would read of a message."""
    named = {"identity": identity(number), "original": b"", "identifier": CARD, "follows": ""}
    return SimpleNamespace(**{**named, "bucket_without_member": HERE, **changes})


class Ledger:
    """What a look into it finds."""

    def __init__(self) -> None:
        self.in_ledger: dict[bytes, int] = {}
        self.reversed: dict[bytes, int] = {}
        self.looked_up: list[bytes] = []
        self.member: int | None = MEMBER_THERE
        self.is_away = False

    def look(self, identifiers: Sequence[bytes], initial_keys: Sequence[bytes]) -> Whereabouts:
        if self.is_away:
            raise LedgerUnavailable("away")
        return Whereabouts((), tuple(self.member for _ in identifiers), ())

    def places_of(self, sought: Sequence[Sought]) -> list[Place]:
        self.looked_up += [one.identity for one in sought]
        return [Place(self.in_ledger.get(one.identity), self.reversed.get(one.identity)) for one in sought]


class World:
    """Other owners and the ledger, as a test says. replies: of the owner there, one after the other."""

    def __init__(self, *replies: Any) -> None:
        self.replies: Iterator[Any] = iter(replies)
        self.questions: list[tuple[int, Asked]] = []
        self.decided_here: list[Any] = []
        self.here: list[Decision | None] = []
        self.ledger = Ledger()
        self.is_asked = asyncio.Event()
        self.seconds = 0.0
        self.acceptors: dict[str, bool] = {}
        self._requests: dict[str, Any] = {}
        world: Any = self
        ledger: Any = self.ledger
        self.decider = SharedDecider(world, ledger, world, lambda: self.seconds)

    async def ask_for(self, request: Any, block: Any = None) -> Decision | None:
        """Decide it."""
        name = str(len(self._requests))
        self._requests[name] = request
        origin = Origin("BANK", "1", "0200", "1122100000", {})
        return await self.decider.decide(MESSAGE, name, origin, block, is_private=False)

    # what Forwarding is

    def owns(self, bucket: int) -> bool:
        return bucket < 128

    def is_owner(self, owners: object) -> bool:
        return True

    def next_number(self) -> int:
        return len(self.questions)

    def tell(self, what: str, **details: object) -> None: ...

    async def look(self, ask: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        return ask()

    def ask(self, bucket: int, question: Asked, told: Any, unsent: Callable[[], None]) -> None:
        self.questions.append((bucket, question))
        self.is_asked.set()
        reply = next(self.replies)
        if reply == UNSENT:
            unsent()
        elif callable(reply):
            reply(told)
        else:
            told(None if reply == TORN else reply)

    # what the pipeline is

    def partners_request(self, message: Message, operation: str, origin: Origin, *, is_private: bool) -> Any:
        return self._requests[operation]

    async def decided(self, request: Any, message: Message, block: Any) -> Decision | None:
        self.decided_here.append(request)
        return self.here.pop(0) if self.here else YES


def played(story: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(play())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding_partners, "AGAIN_INTERVAL_S", 0)


def said(decision: Decision, under: int | None = None) -> Decided:
    return Decided(0, True, *decision, under)


# ---------------------------------------------------------------- where it goes


@pytest.mark.parametrize(
    ("member", "changes", "in_ledger", "expected"),
    [
        (MEMBER_THERE, {}, {}, THERE),
        (None, {}, {}, HERE),
        (MEMBER_THERE, {"identifier": b""}, {}, HERE),
        (None, {"follows": rrn_of(THERE, 7)}, {}, THERE),
        (MEMBER_THERE, {"follows": "no reference"}, {}, THERE),
        (MEMBER_THERE, {}, {identity(0): HERE}, HERE),
        (None, {}, {identity(0): THERE}, THERE),
        (None, {"original": identity(9, b"4")}, {identity(9, b"4"): THERE}, THERE),
        (None, {"original": identity(9, b"4")}, {identity(0): HERE, identity(9, b"4"): THERE}, HERE),
        (None, {"follows": rrn_of(HERE, 7), "original": identity(9)}, {identity(9): THERE}, THERE),
    ],
)
def test_it_goes_where_it_was_decided_or_what_it_is_about_lies(
    member: int | None, changes: dict[str, Any], in_ledger: dict[bytes, int], expected: int
) -> None:
    async def story() -> None:
        world = World(said(YES))
        world.ledger.member, world.ledger.in_ledger = member, in_ledger
        assert await world.ask_for(asked(**changes)) == YES
        assert [bucket for bucket, _ in world.questions] == ([THERE] if expected == THERE else [])
        assert len(world.decided_here) == (expected == HERE)

    played(story)


def test_it_goes_where_its_reversal_came_first_and_a_reversal_where_its_card_leads() -> None:
    async def story() -> None:
        world = World(said(NO))
        world.ledger.member, world.ledger.reversed = None, {identity(0): THERE, identity(9): THERE}
        assert await world.ask_for(asked()) == NO
        assert await world.ask_for(asked(1, original=identity(9))) == YES
        assert len(world.questions) == len(world.decided_here) == 1

    played(story)


def test_what_is_refused_unread_goes_nowhere() -> None:
    async def story() -> None:
        world = World()
        assert await world.ask_for(NO) == NO
        assert world.questions == world.decided_here == []

    played(story)


# ---------------------------------------------------------------- who goes away


def test_an_owner_that_was_never_asked_is_an_honest_no() -> None:
    async def story() -> None:
        world = World(UNSENT, said(YES))
        assert await world.ask_for(asked()) == Decision("91")
        world.ledger.is_away = True
        assert await world.ask_for(asked(1)) == Decision("91")
        world.ledger.is_away = False
        assert await world.ask_for(asked()) == YES

    played(story)


@pytest.mark.parametrize("silence", [TORN, Decided(0, known=False)])
def test_what_nobody_can_say_is_asked_again_with_the_same_words(silence: Any) -> None:
    async def story() -> None:
        world = World(silence, UNSENT, said(Decision("91")), said(Decision("96")), silence, said(NO))
        assert await world.ask_for(asked()) == NO, "and what isn't remembered is no answer meanwhile"
        questions = [question for _, question in world.questions]
        assert len({question.number for question in questions}) == len(questions) == 6
        assert len({(one.mti, str(one.fields), one.operation, str(one.origin)) for one in questions}) == 1
        assert world.ledger.looked_up.count(identity(0)) == 6, "it may be in the ledger now, wherever"

    played(story)


def test_after_a_while_nothing_is_said() -> None:
    async def story() -> None:
        world = World(TORN, TORN, said(YES))
        asking = world.ask_for(asked())

        def late(told: Any) -> None:
            world.seconds += AGAIN_S + 1
            told(None)

        world.replies = iter([TORN, late])
        assert await asking is None

    played(story)


def test_what_this_process_cannot_say_is_asked_again_here() -> None:
    async def story() -> None:
        world = World()
        world.ledger.member, world.here = None, [None, NO]
        assert await world.ask_for(asked()) == NO
        assert len(world.decided_here) == 2

    played(story)


# ---------------------------------------------------------------- one at a time


def test_the_same_identity_and_its_reversal_wait_for_each_other_and_others_do_not() -> None:
    async def story() -> None:
        waiting: list[Any] = []
        world = World(waiting.append, said(YES), said(NO), said(Decision("94")))
        first = asyncio.create_task(world.ask_for(asked(1)))
        again = asyncio.create_task(world.ask_for(asked(1)))
        reversal = asyncio.create_task(world.ask_for(asked(2, original=identity(1))))
        await world.is_asked.wait()
        other = await world.ask_for(asked(3))
        assert other == YES
        assert len(world.questions) == 2
        assert [task.done() for task in (first, again, reversal)] == [False] * 3
        waiting[0](said(YES))
        assert [await first, await again, await reversal] == [YES, NO, Decision("94")]

    played(story)


# ---------------------------------------------------------------- what is looked up


def test_what_is_later_than_all_that_came_for_a_while_is_new_once() -> None:
    now = [0.0]
    seen = Seen(lambda: now[0])
    assert not seen.is_new("BANK", identity(5))
    now[0] = WATCHED_S - 1
    assert not seen.is_new("BANK", identity(3))
    now[0] = WATCHED_S + 1
    assert not seen.is_new("BANK", identity(5, b"another")), "as late as one of an earlier process may be"
    assert not seen.is_new("BANK", identity(4))
    assert seen.is_new("BANK", identity(6))
    assert not seen.is_new("BANK", identity(6))
    assert not seen.is_new("OTHER", identity(7)), "another one's clock"


def test_what_is_as_old_as_a_forgotten_one_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding_partners, "MOST_REMEMBERED", 2)
    now = [0.0]
    seen = Seen(lambda: now[0])
    seen.is_new("BANK", identity(0))
    now[0] = WATCHED_S + 1
    assert [seen.is_new("BANK", identity(number)) for number in (1, 2, 3, 4)] == [True] * 4
    assert not seen.is_new("BANK", identity(2, b"another"))
    assert seen.is_new("BANK", identity(5))


def test_only_what_may_have_come_before_is_looked_up() -> None:
    async def story() -> None:
        world = World(*[said(YES)] * 5)
        await world.ask_for(asked(1))
        world.seconds = WATCHED_S + 1
        world.ledger.looked_up.clear()
        await world.ask_for(asked(2))
        await world.ask_for(asked(3, original=identity(4)))
        assert world.ledger.looked_up == []
        await world.ask_for(asked(4))
        await world.ask_for(asked(5, original=identity(2)))
        assert world.ledger.looked_up == [identity(4), identity(2)]

    played(story)


# ---------------------------------------------------------------- PINs, at the owner


def pins() -> tuple[ZonePin, ...]:
    return tuple(
        ZonePin(Key(f"key {number}", KeyUse.PIN, "ABCDEF"), bytes(8), PinFormat.ISO_0) for number in range(2)
    )


def test_the_key_that_a_pin_came_under_is_told_back() -> None:
    came: list[Key] = []
    block = SimpleNamespace(under=pins, came_under=came.append)

    async def story() -> None:
        world = World(said(YES, 1), said(YES))
        await world.ask_for(asked(), block)
        await world.ask_for(asked(1), block)
        assert [question.pins for _, question in world.questions] == [pins()] * 2
        assert came == [pins()[1].key]

    played(story)


def test_an_owner_decides_with_the_handed_block_and_says_what_it_knows() -> None:
    replies: list[Decided] = []
    line: Any = SimpleNamespace(say=replies.append)
    origin = Origin("BANK", "1", "0200", "1122100000", {})
    question = Asked(7, MESSAGE.mti, dict(MESSAGE.fields), "redeem", origin, pins(), private=True)

    class Owner:
        decision: Decision | None = YES

        async def decide(
            self, message: Message, operation: str, origin: Origin, block: Any, *, is_private: bool
        ) -> Decision | None:
            assert (message, operation, is_private) == (MESSAGE, "redeem", True)
            assert "key" not in repr(block)
            block.came_under(block.under()[1].key)
            return self.decision

    async def story() -> None:
        owner: Any = Owner()
        await decide_for(line, question, owner)
        owner.decision = None
        await decide_for(line, question, owner)

    played(story)
    assert replies == [Decided(7, True, "00", b"yes", "", "", 1), Decided(7, known=False)]
