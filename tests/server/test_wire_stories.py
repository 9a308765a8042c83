"""The stories of `tests.authorizer.test_stories` again, told to a switch by terminals: a real process that is
killed overnight, lines that break, frames that come twice, answers that nobody reads. What the ledger's
commands say at the end is what the rules say.

`python -m tests.server.test_wire_stories FIRST LAST STEPS` plays more seeds.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from switch.iso8583 import Message
from switch.link.framing import frame
from tests.authorizer.plain import Card, Sale, Town, Version
from tests.authorizer.shop import ACCOUNTS, DAY_MS
from tests.authorizer.test_stories import CARDS, HOLD_MS, Story
from tests.server.moment import local_moment
from tests.server.running_switch import RunningSwitch, TerminalSide, new_card
from tools.ledger import app

CODES = {
    "earn": "210060",
    "redeem": "006000",
    "hold": "006000",
    "capture": "006000",
    "refund": "200060",
    "return": "206000",
    "transfer": "406060",
    "balance": "306000",
    "block": "730000",
}
TOTALS = ("earn", "redeem", "hold", "capture", "refund", "return", "void", "transfer")  # tags 01 to 08
MTI = {"hold": "0100", "balance": "0100", "capture": "0220", "block": "0300"}


@dataclass(eq=False)
class Answered:
    """An answer, with what stood in the request."""

    operation: str
    message: Message
    answer: Message

    @property
    def response_code(self) -> str:
        return self.answer.text("39")


class WireShop:
    """The doors of `tests.authorizer.shop.Shop` that a story uses, on a switch process."""

    def __init__(self, directory: Path, version: Version, chance: random.Random) -> None:
        os.environ["DAYS_AHEAD"] = "0"
        changes = {
            "rial_per_earned_point": str(version.step),
            "points_per_step": str(version.per_step),
            "smallest_purchase": str(version.smallest),
            "largest_award": str(version.cap),
            "rial_per_redeemed_point": str(version.ratio),
            "price": str(version.price),
            "pending_days": str(version.pending),
            "expiry": '"rolling"' if version.lasts else '"none"',
            "expiry_days": str(version.lasts),
            "reopen_days": str(version.reopen),
        }
        named = {f"program.{name}": value for name, value in changes.items()}
        self.switch = RunningSwitch(directory, named, "tests.server.shifted_switch")
        self.side = TerminalSide(self.switch)
        self.chance = chance
        self.first = local_moment().date()
        self.day = 0
        self.now_ms = 0
        self.numbers = {card: new_card() for card in CARDS}
        self.cards: dict[str, str] = {}
        self.played: Counter[str] = Counter()
        self.reversed: list[Answered] = []
        self.counted: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0, 0])

    def activate(self, card: str) -> None:
        answer = self.side.ask(self.side.activation(self.numbers[card]))
        assert answer["39"] == "00"
        self.cards[card] = answer.text("37")

    def later(self, days: int = 0, ms: int = 0) -> None:
        """Another day: the switch stops, killed or not, and starts with its clock ahead."""
        self.now_ms += days * DAY_MS + ms
        if not days:
            return
        self.day += days
        self.side.line.close()
        if self.chance.random() < 0.5:
            self.switch.kill()
        else:
            assert self.switch.stop() == 0
        os.environ["DAYS_AHEAD"] = str(self.day)
        self.switch.start()
        self.side = TerminalSide(self.switch)

    # ------------------------------------------------------------ asking

    def request(self, operation: str, card: str = "", **more: Any) -> Any:
        """Some values of a request; `identifier` is how another request names the card."""
        return SimpleNamespace(operation=operation, card=card, more=more, identifier=card)

    def message(self, operation: str, card: str, **more: Any) -> Message:
        day = date.fromordinal(more["transaction_day"]) if "transaction_day" in more else self.today
        fields: dict[str, Any] = {"f13": day.strftime("%m%d"), "f60": f"{more.get('batch', 1):06d}"}
        tags = {}
        if operation not in ("transfer", "balance", "block"):
            fields |= {"f4": f"{more.get('amount', 0):012d}", "f49": "364"}
        if "points" in more:
            tags["01"] = f"{more['points']:012d}"
        if more.get("sale_amount"):
            tags["0A"] = f"{more['sale_amount']:012d}"
        if "other" in more:
            tags["0B"] = self.numbers[more["other"]]
        if "follows" in more:
            fields |= {"f37": more["follows"], "f35": None, "f22": None}
        if tags:
            fields["f48"] = tags
        code = CODES.get(operation) or "02" + more["accounts"]
        mti = more.get("mti", MTI.get(operation, "0200"))
        return Message(mti, self.side.fields(self.numbers[card or CARDS[0]], code, **fields))

    @property
    def today(self) -> date:
        return self.first + timedelta(days=self.day)

    def decide(self, asked: Any) -> Answered:
        message = self.message(asked.operation, asked.card, **asked.more)
        return self.count(Answered(asked.operation, message, self.ask(message)))

    def count(self, answered: Answered, sign: int = 1) -> Answered:
        """As a terminal counts its batch: by what it sent and what it was answered."""
        if answered.operation in TOTALS and answered.response_code == "00":
            amount = int(answered.message.text("4")) if "4" in answered.message else 0
            more = (1, amount, int(answered.answer.text("48.01")))
            total = self.counted[int(answered.message.text("60")), answered.operation]
            total[:] = [there + sign * one for there, one in zip(total, more, strict=True)]
        return answered

    def close(self, batch: int) -> str:
        """The response code of a batch's close with what was counted."""
        totals = {}
        for number, operation in enumerate(TOTALS, start=1):
            entries, amount, points = self.counted[batch, operation]
            totals[f"{number:02d}"] = f"{entries:06d}{amount:016d}{points:016d}"
        fields = {"f13": self.today.strftime("%m%d"), "f22": None, "f35": None}
        of_batch = {"f60": f"{batch:06d}", "f63": totals}
        close = self.side.fields(self.numbers[CARDS[0]], "920000", **fields, **of_batch)
        return self.ask(Message("0500", close)).text("39")

    def ask(self, message: Message) -> Message:
        """The answer, whatever happens to lines and frames on the way."""
        payload = self.side.sealed(message)
        what = self.chance.choice(["plain"] * 6 + ["twice", "torn", "unread"])
        self.played[what] += 1
        if what == "torn":
            self.side.line.send(frame(payload)[: self.chance.randrange(1, len(payload))])
            self._new_line()
        if what == "unread":
            self.side.line.send(frame(payload))
            self._new_line()
        if what == "twice":
            self.side.line.send(frame(payload) * 2)
            first = self.side.line.receive().payload
            assert first == self.side.line.receive().payload
        return self.side.ask(payload)

    def _new_line(self) -> None:
        self.side.line.close()
        self.side = TerminalSide(self.switch)

    def follow(self, operation: str, original: Answered, amount: int, **more: Any) -> Answered:
        if operation == "void":
            more["accounts"] = ACCOUNTS[original.operation]
        follows = original.answer.text("37")
        message = self.message(operation, "", amount=amount, follows=follows, **more)
        return self.count(Answered(operation, message, self.ask(message)))

    def reverse(self, original: Answered, card: str = "", **more: Any) -> Answered:
        del card, more
        message = self.side.reversal_of(original.message, f13=self.today.strftime("%m%d"))
        answered = Answered("reversal", message, self.ask(message))
        if answered.response_code == "00" and original not in self.reversed:
            self.reversed.append(original)
            self.count(original, -1)
        return answered

    def unanswered(self, message: Message) -> None:
        """Sent, and the terminal never hears of it: it reverses."""
        self.side.line.send(frame(self.side.sealed(message)))
        self._new_line()
        reversal = self.side.reversal_of(message)
        assert self.ask(reversal)["39"] == "00"
        if self.chance.random() < 0.5:
            assert self.ask(Message("0421", reversal.fields))["39"] == "00"
        self.played["unanswered"] += 1


class WireStory(Story):
    """A story on a switch process: what a card holds is what its answers say."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.chooser = random.Random(seed)
        version = Version(
            step=self.chooser.choice([1_000, 10_000, 3_333]),
            per_step=self.chooser.choice([1, 3]),
            smallest=self.chooser.choice([0, 20_000]),
            cap=self.chooser.choice([0, 50]),
            ratio=self.chooser.choice([1, 100, 130]),
            price=self.chooser.choice([0, 333, 1_001, 100_000]),
            pending=self.chooser.choice([0, 0, 2]),
            lasts=self.chooser.choice([0, 4, 9]),
            reopen=self.chooser.choice([0, 3, 30]),
        )
        self.shop: Any = WireShop(directory, version, random.Random(seed))
        self.town = Town([version], HOLD_MS)
        self.sales = []
        self.entries: dict[int, Any] = {}
        self.blocks: dict[str, Any] = {}
        self.told = []
        self.codes = Counter()
        self.at: dict[tuple[str, date], int] = {}

    def begin(self) -> None:
        for card in CARDS:
            self.shop.activate(card)
            self.town.cards[card] = Card()

    @property
    def today(self) -> int:
        return int(self.shop.today.toordinal())

    def acceptor(self) -> str:
        return str(self.shop.side.terminal.acceptor)

    def rrn(self, entry: Any) -> str:
        return str(entry.answer.text("37"))

    def check(self, what: str, entry: Any, expected: str) -> None:
        self.told.append(f"{what} -> {entry.response_code}")
        self.codes[what.split()[0], entry.response_code] += 1
        assert entry.response_code == expected, f"{what}: {entry.response_code}, expected {expected}"
        tags = entry.answer.fields.get("48") or {}
        words = what.split()
        card = next((word for word in words if word in CARDS), "")
        if "02" in tags and card:
            self.agrees(card, tags, what)

    def check_late(self, entry: Any, back: int) -> None:
        """No answer tells it."""

    def agrees(self, card: str, tags: Mapping[str, str], what: str) -> None:
        told = self.town.cards[card]
        waiting = told.has("waiting")
        found = tuple(int(tags.get(tag, "0")) for tag in ("02", "03", "0C", "0D"))
        assert found == (max(told.balance, 0), told.debt, waiting, told.held), f"{what}, {card}"

    def reverse(self, sale: Sale | None) -> None:
        """What lies within the horizon, by its own date."""
        if sale is not None:
            of_day = self.entries[sale.number].message.text("13")
            days = [(self.shop.today - timedelta(days=back)).strftime("%m%d") for back in range(8)]
            if of_day in days:
                super().reverse(sale)

    def do_block(self) -> None:
        """A block can be taken back within the horizon."""
        days = [(self.shop.today - timedelta(days=back)).strftime("%m%d") for back in range(8)]
        blocked = [card for card in CARDS if self.town.cards[card].status == "blocked"]
        if all(self.blocks[card].message.text("13") in days for card in blocked):
            super().do_block()

    def do_days(self) -> None:
        if self.chooser.random() < 0.7:  # a night costs a second
            return
        self.evening()
        self.shop.later(days=self.chooser.choice([1, 1, 2, 5]))
        for card in CARDS:
            self.settled(card)
            entry = self.shop.decide(self.shop.request("balance", card))
            self.check(f"balance {card}", entry, "00")

    def evening(self) -> None:
        for card in CARDS:
            self.at[card, self.shop.today] = self.town.cards[card].balance

    def do_minutes(self) -> None:
        """No hour passes here; a terminal loses answers instead."""
        card = self.chooser.choice(CARDS)
        self.settled(card)
        for operation, more in (
            ("earn", {"amount": 500_000}),
            ("redeem", {"points": 1, "amount": self.town.versions[0].ratio}),
            ("hold", {"points": 1, "amount": self.town.versions[0].ratio}),
        ):
            self.shop.unanswered(self.shop.message(operation, card, **more))

    def do_before(self) -> None:
        card = self.chooser.choice(CARDS)
        self.settled(card)
        message = self.shop.message("earn", card, amount=50_000)
        early = Answered("reversal", message, self.shop.ask(self.shop.side.reversal_of(message)))
        self.check("before", early, "00")
        self.check("late", Answered("earn", message, self.shop.ask(message)), "94")

    def do_again(self) -> None:
        """What was decided is decided once; other bytes under its name are refused."""
        if not self.entries:
            return
        entry = self.entries[self.chooser.choice(list(self.entries))]
        if entry.message.text("13") != self.shop.today.strftime("%m%d"):
            return
        assert self.shop.ask(entry.message) == entry.answer
        if "4" in entry.message:
            other = Message(entry.message.mti, {**entry.message.fields, "4": "000000000007"})
            assert self.shop.ask(other)["39"] == "94"

    # ------------------------------------------------------------ what the ledger's commands say

    def ends_as_told(self) -> None:
        for card in CARDS:
            self.settled(card)
            entry = self.shop.decide(self.shop.request("balance", card))
            self.check(f"balance {card}", entry, "00")
        self.evening()
        assert [self.shop.close(batch) for batch in (1, 2, 3)] == ["00"] * 3, "a batch has what was counted"
        self.shop.side.line.close()
        assert self.shop.switch.stop() == 0
        data = str(self.shop.switch.directory)
        assert "as it was written" in vafa("verify", "--data", data)
        members = {}
        for card, rrn in self.shop.cards.items():
            told = json.loads(vafa("statement", "--rrn", rrn, "--format", "json", "--data", data))
            members[str(told["member"])] = card
        left: dict[tuple[str, str], int] = defaultdict(int)
        for row in csv.DictReader(io.StringIO(vafa("export", "lots", "--data", data))):
            left[members[row["member"]], row["state"]] += int(row["amount"])
        for card, held in self.town.cards.items():
            found = [left[card, state] for state in ("open", "pending", "held")]
            assert found == [held.has(), held.has("waiting"), held.held], card
        for (card, day), balance in self.at.items():
            told = json.loads(
                vafa(
                    "balance",
                    "--rrn",
                    self.shop.cards[card],
                    "--at",
                    day.isoformat(),
                    "--format",
                    "json",
                    "--data",
                    data,
                )
            )
            assert balance == sum(int(wallet["balance"]) for wallet in told["wallets"]), (card, day)


def vafa(*arguments: str) -> str:
    """What `vafa ledger` says."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def play(seed: int, steps: int, directory: Path) -> Counter[str]:
    story = WireStory(seed, directory)
    try:
        story.begin()
        for _ in range(steps):
            story.step()
        story.ends_as_told()
    except BaseException:
        print(f"seed {seed}", *story.town.versions, *story.told, sep="\n")
        raise
    finally:
        if story.shop.switch.process.poll() is None:
            story.shop.switch.kill()
    return story.shop.played + Counter({f"{what} {code}": n for (what, code), n in story.codes.items()})


@pytest.mark.parametrize("seed", [1])
def test_terminals_and_ledger_tell_the_story_that_the_rules_tell(seed: int, tmp_path: Path) -> None:
    play(seed, 60, tmp_path)


if __name__ == "__main__":
    played: Counter[str] = Counter()
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        with tempfile.TemporaryDirectory() as place:
            played += play(number, int(sys.argv[3]), Path(place))
    print(*sorted(played.items()), sep="\n")
