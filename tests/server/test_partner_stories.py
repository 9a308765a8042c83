"""Stories of a partner that makes every mistake there is, against a model of a few lines: what is asked
again, taken back early, late, twice or by a stranger, forged, cut short, sent under an old key; while lines
tear, commits fail, keys change and the switch is started again.

`python -m tests.server.test_partner_stories FIRST LAST STEPS` plays more seeds.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from simulators.partner import Bank, NotGenuine
from switch.iso8583 import Message
from switch.ledger.verify import verify
from switch.link.errors import LinkTimeout
from switch.partners import shipped
from tests.server.partner_bench import TORN, PartnerBench

SEEDS, STEPS = range(3), 60
CARDS = 3
MOST_POINTS = 30
MOST_KEYS = 3  # of one kind: a receiver takes a few more at most
EARN, REDEEM, BALANCE, REVERSAL = "earn", "redeem", "balance", "reversal"

Key = tuple[str, ...]


@dataclass(frozen=True)
class Wish:
    """A message, and what the model has to know of it. of: what it takes back; is_strange: another's card or
    operation stands in it."""

    message: Message
    kind: str
    card: str
    points: int = 0
    of: Wish | None = None
    is_strange: bool = False

    @property
    def key(self) -> Key:
        """What tells it apart."""
        return self.message.mti[1], *(self.message.text(path) for path in ("7", "11", "32"))

    @property
    def content(self) -> dict[str, object]:
        """What has to be the same when it comes again."""
        return {path: value for path, value in self.message.fields.items() if path != "7"}


@dataclass
class Model:
    """What the switch has to say."""

    points: dict[str, int]  # by card; a debt is negative
    decided: dict[Key, tuple[Wish, str]] = field(default_factory=dict)
    taken_back: set[Key] = field(default_factory=set)

    def code(self, wish: Wish) -> str:
        """DE 39 for a good message; what it changes is changed."""
        if wish.key in self.decided:
            first, code = self.decided[wish.key]
            return code if first.content == wish.content else "94"
        code = self._decide(wish)
        self.decided[wish.key] = wish, code
        return code

    def _decide(self, wish: Wish) -> str:
        if wish.of is not None:
            return self._take_back(wish, wish.of)
        if wish.key in self.taken_back:
            return "94"
        if wish.kind == REDEEM and wish.points > self.points[wish.card]:
            return "51"
        self.points[wish.card] += {EARN: wish.points, REDEEM: -wish.points}.get(wish.kind, 0)
        return "00"

    def _take_back(self, wish: Wish, original: Wish) -> str:
        if original.kind == REVERSAL:
            return "12"
        known = self.decided.get(original.key)
        if known is not None and wish.is_strange:
            return "12"
        if original.key in self.taken_back:
            return "00"
        self.taken_back.add(original.key)
        if known is not None and known[1] == "00":
            first = known[0]
            self.points[first.card] -= {EARN: first.points, REDEEM: -first.points}.get(first.kind, 0)
        return "00"


class Story:
    """One partner's day. Raises AssertionError where the switch isn't the model's."""

    def __init__(self, bench: PartnerBench, cards: list[str], chance: random.Random) -> None:
        self.bench = bench
        self.bank: Bank = bench.bank
        self.cards = cards
        self.chance = chance
        self.model = Model(dict.fromkeys(cards, 0))
        self.sent: list[Wish] = []  # what the switch has decided
        self.frames: list[tuple[Wish, bytes]] = []  # as they went out
        self.unsent: list[Wish] = []  # what is only known by its reversal
        self.keys = dict.fromkeys(("own mac", "banks mac", "banks pin"), 0)
        self.told: list[str] = []
        self.steps: dict[Callable[[], Awaitable[None]], int] = {
            self.something_new: 10,
            self.the_same_again: 4,
            self.an_old_frame: 2,
            self.a_reversal: 5,
            self.an_early_reversal: 2,
            self.what_was_taken_back_early: 2,
            self.a_strangers_reversal: 3,
            self.other_bytes: 3,
            self.a_wrong_mac: 2,
            self.another_banks: 2,
            self.half_a_frame: 2,
            self.a_torn_line: 4,
            self.a_failing_ledger: 2,
            self.many_at_once: 3,
            self.a_new_key: 1,
            self.a_new_start: 1,
        }

    async def play(self, steps: int) -> None:
        for step in self.chance.choices(list(self.steps), list(self.steps.values()), k=steps):
            self.told.append(step.__name__)
            await step()

    async def check(self) -> None:
        """Every card has the model's points, at a terminal of ours too."""
        for card, points in self.model.points.items():
            answer = await self.bench.one(self.bench.balance(card))
            owed = int(answer.text("48.03")) if "48.03" in answer else 0
            assert int(answer.text("48.02")) - owed == points

    # ------------------------------------------------------------ wishes

    def new(self) -> Wish:
        card, points = self.chance.choice(self.cards), self.chance.randint(1, MOST_POINTS)
        kind = self.chance.choice((EARN, EARN, REDEEM, REDEEM, BALANCE))
        if kind == EARN:
            message = self.bench.earning(card, points, mti=self.chance.choice(("0200", "0220")))
        elif kind == REDEEM:
            message = self.bench.spending(card, points)
        else:
            message = self.bank.balance(card)
        return Wish(message, kind, card, points)

    def reversal(self, original: Wish) -> Wish:
        message = self.bank.reversal_of(original.message, self.chance.choice(("0420", "0400", "0421")))
        return Wish(message, REVERSAL, original.card, of=original)

    def any_sent(self) -> Wish | None:
        return self.chance.choice(self.sent) if self.sent else None

    async def ask(self, wish: Wish) -> None:
        """Ask, and hold the answer against the model."""
        self.frames.append((wish, await self.payload(wish.message)))
        self.judge(wish, await self.bench.said(wish.message))

    async def payload(self, message: Message) -> bytes:
        speech = self.bank.speech
        return speech.dialect.encode(await self.bank.keys.sign(speech.said(message)))

    def judge(self, wish: Wish, answer: Message) -> None:
        known = self.model.decided.get(wish.key)
        expected = self.model.code(wish)
        assert answer["39"] == expected, (wish.kind, answer["39"], expected)
        for path in ("7", "11", "32", "41"):
            if path != "7" or self.bank.speech.sent == "7":
                assert answer[path] == wish.message[path]
        if known is None:
            self.sent.append(wish)
            if expected in ("00", "51") and wish.kind != REVERSAL:
                assert shown(answer) == self.model.points[wish.card]

    # ------------------------------------------------------------ steps

    async def something_new(self) -> None:
        await self.ask(self.new())

    async def the_same_again(self) -> None:
        wish = self.any_sent()
        if wish is not None:
            again = self.bank.again(wish.message) if self.chance.random() < 0.7 else wish.message
            await self.ask(Wish(again, wish.kind, wish.card, wish.points, wish.of, wish.is_strange))

    async def an_old_frame(self) -> None:
        """To the byte as it went out, maybe under a key before."""
        if self.frames:
            wish, payload = self.chance.choice(self.frames)
            answer = await self.bench.passed(payload)
            assert answer is not None
            self.judge(wish, self.bank.speech.heard(self.bank.speech.dialect.decode(answer)))

    async def a_reversal(self) -> None:
        original = self.any_sent()
        if original is not None:
            await self.ask(self.reversal(original))

    async def an_early_reversal(self) -> None:
        original = self.new()
        self.unsent.append(original)
        await self.ask(self.reversal(original))

    async def what_was_taken_back_early(self) -> None:
        if self.unsent:
            await self.ask(self.unsent.pop())

    async def a_strangers_reversal(self) -> None:
        original = self.any_sent() if self.chance.random() < 0.8 else self.new()
        if original is None or original.kind == REVERSAL:
            return
        wish = self.reversal(original)
        if self.chance.random() < 0.5:
            other = self.chance.choice([card for card in self.cards if card != original.card])
            change = {"2": other}
        else:
            change = {"3": {EARN: "000000", REDEEM: "210000", BALANCE: "210000"}[original.kind]}
            if original.kind == BALANCE and original.message.mti[1] == "1":
                change = {"3": "000000"}  # a hold
        message = Message(wish.message.mti, {**wish.message.fields, **change})
        if original.key not in self.model.decided:
            self.unsent.append(original)
        await self.ask(Wish(message, REVERSAL, original.card, of=original, is_strange=True))

    async def other_bytes(self) -> None:
        wish = self.any_sent()
        if wish is None:
            return
        paths = [path for path in ("4", "2", "42") if path in wish.message.fields]
        path = self.chance.choice(paths)
        other = {"4": "000000010000", "42": "700000000000009"}
        other["2"] = self.chance.choice([card for card in self.cards if card != wish.message.get("2")])
        message = Message(wish.message.mti, {**wish.message.fields, path: other[path]})
        await self.ask(Wish(message, wish.kind, wish.card, wish.points, wish.of, wish.is_strange))

    async def a_wrong_mac(self) -> None:
        message = self.any_sent() if self.chance.random() < 0.5 else None
        payload = bytearray(await self.payload((message or self.new()).message))
        payload[-self.chance.randint(1, 8)] ^= 1 << self.chance.randrange(8)
        if self.bank.speech.dialect.dictionary.name == "iso87-ascii":  # its MAC stands in hexadecimal
            payload[-16:] = b"0123456789ABCDEF"
        answer = await self.bench.passed(bytes(payload))
        assert answer is not None
        heard = self.bank.speech.heard(self.bank.speech.dialect.decode(answer))
        assert (heard["39"], "64" in heard, "128" in heard) == ("63", False, False)

    async def another_banks(self) -> None:
        wish = self.any_sent() or self.new()
        message = Message(wish.message.mti, {**wish.message.fields, "32": "627412"})
        assert (await self.bench.said(message))["39"] == "58"

    async def half_a_frame(self) -> None:
        payload = await self.payload(self.new().message)
        answer = await self.bench.passed(payload[: self.chance.randrange(len(payload))])
        if answer is not None:
            heard = self.bank.speech.heard(self.bank.speech.dialect.decode(answer))
            assert (heard["39"], "64" in heard, "128" in heard) == ("30", False, False)

    async def a_torn_line(self) -> None:
        wish = self.new() if self.chance.random() < 0.6 else self.reversal(self.any_sent() or self.new())
        if wish.of is not None and wish.of.key not in self.model.decided:
            self.unsent.append(wish.of)
        answer = await self.bench.torn(wish.message, self.chance.randrange(12))
        if answer is TORN:
            answer = await self.bench.said(self.bank.again(wish.message))
        self.judge(wish, answer)

    async def a_failing_ledger(self) -> None:
        """Before its commit or after it, once or until the switch gives up; then it is asked again."""
        self.bench.engine.plan = [self.chance.choice(("before", "after", "stage", "conflict"))]
        self.bench.engine.plan *= self.chance.randint(1, 2)
        wish = self.new()
        answer = TORN
        with suppress(LinkTimeout):
            answer = await self.bench.said(wish.message)
        self.bench.engine.plan = []
        if answer is TORN or answer["39"] == "91":
            answer = await self.bench.said(self.bank.again(wish.message))
        self.judge(wish, answer)

    async def many_at_once(self) -> None:
        """Of one card each, and one of them three times."""
        wishes = [self.new() for _ in range(4)]
        wishes = list({wish.card: wish for wish in wishes}.values())
        twice = self.chance.choice(wishes)
        messages = [wish.message for wish in wishes] + [self.bank.again(twice.message), twice.message]
        answers = await asyncio.gather(*(self.bench.said(message) for message in messages))
        for wish, answer in zip([*wishes, twice, twice], answers, strict=True):
            self.judge(wish, answer)

    async def a_new_key(self) -> None:
        which = self.chance.choice(list(self.keys))
        if self.keys[which] < MOST_KEYS:
            self.keys[which] += 1
            whose, kind = which.split()
            await (self.bench.change_own_key if whose == "own" else self.bench.change_banks_key)(kind)

    async def a_new_start(self) -> None:
        await self.bench.close()
        self.bench.start()
        self.bench.connect()


def shown(answer: Message) -> int:
    """What DE 54 says: points, a debt is negative."""
    data = answer.text("54")
    rows = {data[at : at + 4]: int(data[at + 8 : at + 20]) for at in range(0, len(data), 20)}
    return rows["6002"] - rows.get("6003", 0)


async def play(directory: Path, seed: int, steps: int) -> None:
    """One story, with the mapping and all else drawn from the seed."""
    chance = random.Random(seed)
    bench = PartnerBench(directory / "data", shipped()[seed % len(shipped())])
    await bench.exchange_keys()
    story = Story(bench, [await bench.card() for _ in range(CARDS)], chance)
    try:
        await story.play(steps)
        await story.check()
    except (AssertionError, KeyError, NotGenuine) as error:
        raise AssertionError(f"seed {seed}, step {len(story.told)} ({story.told[-1]}): {error!r}") from error
    await bench.close()
    assert verify(bench.settings.ledger_path, bench.settings.seal_key).problems == []
    said = bench.log.getvalue()
    assert [card for card in story.cards if card in said] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_a_partner_does_the_switch_says_what_the_model_says(tmp_path: Path, seed: int) -> None:
    asyncio.run(play(tmp_path, seed, STEPS))


if __name__ == "__main__":
    first, last, steps = map(int, sys.argv[1:])
    for seed in range(first, last):
        with tempfile.TemporaryDirectory() as name:
            asyncio.run(play(Path(name), seed, steps))
