"""A partner and its link without sockets, over a pipeline with a real ledger: messages as bytes, in and
out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulators.partner import ACQUIRER, Bank, now_s, share_zone_key
from switch import iso8583
from switch.hsm.port import Hsm
from switch.iso8583 import DecodeError, Message
from switch.keys import open_store
from switch.link.errors import LinkTimeout
from switch.partners import load
from switch.server.log import open_log
from switch.server.partner_link import Others, PartnerLink
from switch.server.zone_keys import KINDS, ZoneKeys, ZoneProfile
from switch.settings import load as load_settings
from tests.server.bench import Bench
from tests.server.partner_kit import BANK, COMPONENTS
from tests.server.running_switch import new_card

NOBODY: Any = None
TORN = Message("0000", {"39": "no answer"})  # for a partner: it asks again, or takes back


class PartnerBench(Bench):
    """A bench with one partner. mapping: whose words it speaks, or a file of a copy of it. Make it inside a
    running loop, then `exchange_keys`."""

    def __init__(
        self, directory: Path, mapping: str = "iso87-ascii", copy: Path | None = None, **program: Any
    ) -> None:
        self._mapping = load(mapping if copy is None else copy)
        super().__init__(directory, **program)
        share_zone_key(self.settings, BANK, COMPONENTS)
        self.bank = Bank(directory, BANK, COMPONENTS, mapping=mapping)
        self.connect()

    def connect(self) -> None:
        """A link over the pipeline as it is; again after `start`."""
        path = self.settings.source
        table = f'[[partners]]\nname = "{BANK}"\nport = 1\nacquirers = ["{ACQUIRER}"]\n'
        beside = path.with_name("partner.toml")
        beside.write_text(path.read_text(encoding="utf-8") + "\n" + table, encoding="utf-8")
        [partner] = load_settings(beside).partners
        network = self._mapping.network
        profile = ZoneProfile(
            network.key_change,
            network.code_field,
            network.key_field,
            network.mti,
            self._mapping.response_codes,
        )
        hsm: Hsm = self.hsm  # type: ignore[assignment]
        self.link = PartnerLink(
            partner,
            self._mapping,
            ZoneKeys(BANK, self._mapping.dialect, hsm, open_store(self.settings), profile),
            iso8583.load("vafa"),
            self.pipeline,
            self.program.rules,
            Others(frozenset()),
            self.clock,
            open_log(self.log),
        )
        peers: Sequence[Any] = (_ToBank(self.bank),)
        self.link.peers = lambda: peers

    async def exchange_keys(self) -> None:
        """Keys for both directions and kinds."""
        for kind in KINDS:
            await self.change_own_key(kind.name)
            await self.change_banks_key(kind.name)

    async def change_own_key(self, kind: str) -> None:
        """The switch makes a new sending key."""
        await self.link.change_key(next(one for one in KINDS if one.name == kind))

    async def change_banks_key(self, kind: str) -> None:
        """The bank does."""
        straight: Any = self
        await self.bank.change_key(next(one for one in KINDS if one.name == kind), straight)

    # ------------------------------------------------------------ messages

    async def request(self, message: Message, timeout_s: float | None = None) -> Message:
        """As a line's: the answer to a message in the bank's own words. Raises LinkTimeout for none."""
        answer = await self.passed(self.bank.speech.dialect.encode(message))
        if answer is None:
            raise LinkTimeout("no answer")
        return self.bank.speech.dialect.decode(answer)

    async def passed(self, payload: bytes) -> bytes | None:
        """What the switch answers to these bytes."""
        try:
            message = self.link.codec.decode(payload)
        except DecodeError:
            return None
        answer = await self.link.answer(message, NOBODY)
        return None if answer is None else self.link.codec.encode(answer)

    async def said(self, message: Message) -> Message:
        """The answer to a message in the words of `iso87-ascii`. Raises NotGenuine for one without a MAC."""
        straight: Any = self
        return await self.bank.ask(straight, message)

    async def torn(self, message: Message, steps: int) -> Message:
        """As `said` on a line whose end stops everything after so many turns of the loop."""
        asking = asyncio.create_task(self.said(message))
        for _ in range(steps):
            await asyncio.sleep(0)
        if not asking.done():
            asking.cancel()
        await asyncio.wait([asking])
        return TORN if asking.cancelled() else asking.result()

    async def card(self, points: int = 0) -> str:
        """A member's, given out by a terminal of ours."""
        card = new_card()
        assert (await self.one(self.activation(card)))["39"] == "00"
        if points:
            assert (await self.one(self.earn(card, points)))["39"] == "00"
        return card

    def spending(self, card: str, points: int, **more: Any) -> Message:
        """A swiped redemption of so many points."""
        amount = points * self.program.rial_per_redeemed_point
        return self.bank.redemption(None, amount, self.track(card), **more)

    def earning(self, card: str, points: int, **more: Any) -> Message:
        """A purchase that earns so many points."""
        return self.bank.earn(card, points * self.program.rial_per_earned_point, **more)


class _ToBank:
    """A line to the bank without a socket."""

    is_up = True

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    async def request(self, message: Message, timeout_s: float | None = None) -> Message:
        return await self._bank.keys.take(message, now_s())
