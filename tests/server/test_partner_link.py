"""A partner's link without sockets: what it says when HSM, keys or ledger are away, and keys by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.partner import ACCEPTOR, ACQUIRER, DIALECT, HERE, Bank
from switch import iso8583
from switch.authorizer import Origin
from switch.hsm import InProcessHsm, KeyStore, KeyStoreError
from switch.hsm.port import Fault, HsmError, KeyAlgorithm, KeyUse
from switch.iso8583 import Message
from switch.link.errors import LinkTimeout
from switch.link.stream import Peer
from switch.loyalty.program import Program, Rules
from switch.partners import Network, load
from switch.server.log import open_log
from switch.server.partner_link import CHANGE_AGAIN_S, Others, PartnerLink
from switch.server.pipeline import Decision, ZoneBlock
from switch.server.zone_keys import MAC, ZoneKeyError, ZoneKeys
from switch.settings import Partner
from switch.settings import load as load_settings
from tests.server.partner_kit import BANK, COMPONENTS

OURS = iso8583.load("vafa")
CARD = "9364001234567898"
NOBODY: Any = None


@dataclass
class Decider:
    """Says what it is told to, and what it was asked."""

    decision: Decision | None = None
    acceptors: dict[str, bool] = field(default_factory=dict)
    asked: list[tuple[str, Origin]] = field(default_factory=list)

    async def decide(
        self, message: Message, operation: str, origin: Origin, block: ZoneBlock | None, *, is_private: bool
    ) -> Decision | None:
        self.asked.append((operation, origin))
        return self.decision


@dataclass
class Clock:
    """Time as the test says."""

    seconds: float = 0.0

    def local(self) -> datetime:
        return datetime.now(HERE) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Ill(InProcessHsm):
    """An HSM that is away for one operation."""

    away: tuple[str, ...] = ()

    async def mac_verify(self, *arguments: Any, **more: Any) -> bool:
        self._check("mac_verify")
        return await super().mac_verify(*arguments, **more)

    async def mac_generate(self, *arguments: Any, **more: Any) -> bytes:
        self._check("mac_generate")
        return await super().mac_generate(*arguments, **more)

    def _check(self, operation: str) -> None:
        if operation in self.away:
            raise HsmError(operation, Fault.UNAVAILABLE)


class Line:
    """A line to the bank without a socket; deaf: nothing is answered."""

    is_up = True

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.deaf = False

    async def request(self, message: Message, timeout_s: float | None = None) -> Message:
        if self.deaf:
            raise LinkTimeout("nothing heard")
        return await self.bank.keys.take(message, 0.0)


class Place:
    """One link with its bank, both with keys."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        path = directory / "switch.toml"
        table = f'[[partners]]\nname = "{BANK}"\nport = 1\nacquirers = ["{ACQUIRER}"]\n'
        path.write_text(f'[keys]\nseal = "{"a" * 64}"\ndirectory = "{"b" * 64}"\n{table}', encoding="utf-8")
        [partner] = load_settings(path).partners
        self.partner: Partner = replace(partner, **changes)
        self.hsm = Ill(bytes(32))
        self.keys_path = directory / "keys.json"
        store = KeyStore.load(self.keys_path)
        zone = self.hsm.form_key(COMPONENTS, KeyUse.ZONE, KeyAlgorithm.AES_256)
        store.add(f"zone/{BANK}/zmk", zone, KeyAlgorithm.AES_256, ("A", "B"))
        store.save()
        self.keys = ZoneKeys(BANK, DIALECT, self.hsm, store)
        self.bank = Bank(directory, BANK, COMPONENTS)
        self.line = Line(self.bank)
        self.decider = Decider()
        self.clock = Clock()
        self.said = directory / "log"
        self.link = PartnerLink(
            self.partner,
            load(self.partner.mapping),
            self.keys,
            OURS,
            self.decider,
            Program((Rules(),)),
            Others(frozenset({"7" * 15})),
            self.clock,
            open_log(self.said.open("w", encoding="utf-8")),
        )
        peers: Sequence[Any] = (self.line,)
        self.link.peers = lambda: peers

    async def with_keys(self) -> Place:
        """MAC keys both ways."""
        await self.link.change_key(MAC)

        class Straight:
            async def request(_self, message: Message, timeout_s: float | None = None) -> Message:
                answer = await self.link.answer(message, NOBODY)
                assert answer is not None
                return answer

        await self.bank.keys.change(MAC, Straight(), {"7": "0101000000", "11": "000001"}, 0.0)
        return self

    async def ask(self, message: Message) -> tuple[str | None, bool]:
        """DE 39 of the answer and whether it has a MAC; None for no answer."""
        answer = await self.link.answer(message, NOBODY)
        return (None, False) if answer is None else (answer.text("39"), "64" in answer or "128" in answer)

    async def ask_signed(self, message: Message) -> tuple[str | None, bool]:
        return await self.ask(await self.bank.keys.sign(message))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return asyncio.run(Place(tmp_path).with_keys())


def stored(code: str = "00") -> bytes:
    fields = {"11": "000007", "12": "120000", "37": "1A00000ABCDE", "39": code, "41": "70000001"}
    return OURS.encode_body(Message("0210", fields))


def test_what_is_decided_is_answered_under_a_mac_and_what_nobody_can_say_is_not(place: Place) -> None:
    async def play() -> None:
        earn = place.bank.earn(CARD, 10_000)
        for decision, expected in (
            (Decision("00", stored()), ("00", True)),
            (Decision("91"), ("91", True)),
            (Decision("30", path="4", what="digits expected"), ("30", True)),
            (None, (None, False)),
        ):
            place.decider.decision = decision
            assert await place.ask_signed(earn) == expected

    asyncio.run(play())
    [(operation, origin), *_] = place.decider.asked
    assert (operation, origin.partner, origin.acquirer) == ("earn", BANK, ACQUIRER)
    assert '"path": "4"' in place.said.read_text(encoding="utf-8")


def test_an_hsm_that_is_away_is_an_honest_refusal_and_decides_nothing(place: Place) -> None:
    async def play() -> None:
        earn = await place.bank.keys.sign(place.bank.earn(CARD, 10_000))
        place.hsm.away = ("mac_verify",)
        assert await place.ask(earn) == ("91", False)
        assert place.decider.asked == []
        place.hsm.away = ("mac_generate",)
        place.decider.decision = Decision("00", stored())
        assert await place.ask(earn) == (None, False), "an approval without a MAC is none"

    asyncio.run(play())


def test_without_keys_nothing_is_decided_and_the_zone_key_lets_them_come(tmp_path: Path) -> None:
    async def play() -> None:
        bare = Place(tmp_path)
        assert bare.link.missing_keys() == (f"zone/{BANK}/mac-receive", f"zone/{BANK}/mac-send")
        earn = bare.bank.earn(CARD, 10_000)
        forged = Message("0200", {**earn.fields, "64": bytes(8)})
        assert [await bare.ask(message) for message in (earn, forged)] == [("91", False)] * 2
        assert bare.decider.asked == []
        await bare.with_keys()
        assert bare.link.missing_keys() == ()
        bare.decider.decision = Decision("00", stored())
        assert await bare.ask_signed(earn) == ("00", True)

    asyncio.run(play())


def test_an_acceptor_of_ours_is_nobody_elses_and_a_blocked_one_nobodys(tmp_path: Path) -> None:
    async def play() -> None:
        open_to_all = await Place(tmp_path).with_keys()
        open_to_all.decider.decision = Decision("00", stored())
        earn = open_to_all.bank.earn(CARD, 10_000)
        open_to_all.decider.acceptors = {"100000000000001": False}
        assert (await open_to_all.ask_signed(earn))[0] == "00"
        for acceptor in ("100000000000001", "7" * 15):
            assert (await open_to_all.ask_signed(Message("0200", {**earn.fields, "42": acceptor})))[0] == "58"
        open_to_all.decider.acceptors = {ACCEPTOR: True}
        assert (await open_to_all.ask_signed(earn))[0] == "58"

    asyncio.run(play())


def test_a_listed_acceptor_may_be_one_of_our_own_unless_it_is_blocked(tmp_path: Path) -> None:
    async def play() -> None:
        listed = await Place(tmp_path, acceptors=(ACCEPTOR,)).with_keys()
        listed.decider.decision = Decision("00", stored())
        earn = listed.bank.earn(CARD, 10_000)
        for blocked, code in ((False, "00"), (True, "58")):
            listed.decider.acceptors = {ACCEPTOR: blocked}
            assert (await listed.ask_signed(earn))[0] == code

    asyncio.run(play())


def test_old_keys_are_changed_by_the_clock_and_a_failure_is_tried_again_later(tmp_path: Path) -> None:
    async def play() -> None:
        place = await Place(tmp_path, change_keys_hours=24).with_keys()

        def versions() -> int:
            return len(KeyStore.load(tmp_path / "keys.json").versions(f"zone/{BANK}/mac-send"))

        await place.link.change_old_keys()
        assert versions() == 1
        place.clock.seconds = 24 * 3600 + 1
        place.line.deaf = True
        await place.link.change_old_keys()
        place.line.deaf = False
        await place.link.change_old_keys()
        assert versions() == 1, "not at once again"
        place.clock.seconds += CHANGE_AGAIN_S
        await place.link.change_old_keys()
        assert versions() == 2
        known = KeyStore.load(place.bank.path).key(f"zone/{BANK}/mac-receive").check_value
        assert known == KeyStore.load(tmp_path / "keys.json").key(f"zone/{BANK}/mac-send").check_value

    asyncio.run(play())
    assert "nothing heard" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_key_can_not_be_changed_without_a_line_or_for_a_blocked_partner(place: Place) -> None:
    async def play() -> None:
        place.link.block(True)
        with pytest.raises(ZoneKeyError, match="it is blocked"):
            await place.link.change_key(MAC)
        place.link.block(False)
        nobody: tuple[Peer, ...] = ()
        place.link.peers = lambda: nobody
        with pytest.raises(ZoneKeyError, match="no line to it is up"):
            await place.link.change_key(MAC)

    asyncio.run(play())


def test_keys_that_others_put_into_the_store_count_when_it_is_read_again(place: Place) -> None:
    """As `vafa keys import` does beside a running switch."""

    async def play() -> None:
        place.decider.decision = Decision("00", stored())
        beside = ZoneKeys(BANK, DIALECT, place.hsm, KeyStore.load(place.keys_path))

        class Beside:
            async def request(_self, message: Message, timeout_s: float | None = None) -> Message:
                return await beside.take(message, 0.0)

        await place.bank.keys.change(MAC, Beside(), {"7": "0101000000", "11": "000002"}, 0.0)
        earn = place.bank.earn(CARD, 10_000)
        assert await place.ask_signed(earn) == ("63", False)
        place.keys.reload()
        assert await place.ask_signed(earn) == ("00", True)
        place.keys_path.write_text("{}", encoding="utf-8")
        with pytest.raises(KeyStoreError):
            place.keys.reload()
        assert await place.ask_signed(earn) == ("00", True)

    asyncio.run(play())


def test_what_counts_from_the_next_message_and_what_needs_a_start(place: Place) -> None:
    mapping, limited = load("iso87-ascii"), replace(place.partner, operations=("balance",), framing="ascii4")
    other = replace(
        mapping, network=Network(echo="302"), response_codes={**mapping.response_codes, "58": "03"}
    )
    none = Others(frozenset())

    async def play() -> None:
        place.decider.decision = Decision("00", stored())
        earn = place.bank.earn(CARD, 10_000)
        place.link.use(limited, mapping, none)
        assert place.link.waits_for_a_start(limited, mapping) == ("framing",)
        assert (await place.ask_signed(earn))[0] == "58"
        place.link.use(place.partner, other, none)
        assert place.link.waits_for_a_start(place.partner, other) == ("mapping (its [network])",)
        assert (await place.ask_signed(earn))[0] == "00"
        assert (await place.ask_signed(Message("0200", {**earn.fields, "32": "627412"})))[0] == "58"
        place.link.use(replace(place.partner, acquirers=("627412",)), replace(other, network=Network()), none)
        assert (await place.ask_signed(earn))[0] == "03"

    asyncio.run(play())


def test_notifications_and_answers_are_not_answered(place: Place) -> None:
    async def play() -> None:
        for mti in ("0240", "0210", "0810"):
            assert await place.ask(Message(mti, place.bank.earn(CARD, 1).fields)) == (None, False)

    asyncio.run(play())
    assert place.decider.asked == []


def test_the_log_holds_no_card(place: Place) -> None:
    async def play() -> None:
        await place.ask(place.bank.earn(CARD, 10_000))
        await place.ask_signed(place.bank.earn(CARD, 10_000, f32="627412"))
        await place.ask_signed(place.bank.earn(CARD, 10_000, f49="IRR"))

    asyncio.run(play())
    said = place.said.read_text(encoding="utf-8")
    assert "bad MAC" in said
    assert CARD not in said
