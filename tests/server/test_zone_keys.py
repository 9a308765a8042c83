"""Zone keys between a partner and us: over real connections, while messages flow, with lost answers."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from switch import iso8583
from switch.hsm import InProcessHsm, KeyState, KeyStore
from switch.hsm.crypto import dukpt_aes, pin_blocks
from switch.hsm.port import DukptPin, KeyAlgorithm, KeyUse, PinFormat, ZonePin
from switch.iso8583 import Message
from switch.link.client import ClientSettings
from switch.link.errors import LinkTimeout
from switch.link.server import ServerSettings
from switch.link.stream import Client, Peer, Server
from switch.server.zone_keys import GRACE_S, MAC, PIN, ZoneKeyError, ZoneKeys

DIALECT = iso8583.load("iso87-ascii")
PARTNER = "bank"
BASE = bytes(range(16))
COMPONENTS = [bytes([number]) * 32 for number in (1, 2, 4)]


@dataclass
class Side:
    """One of the two, with its own HSM and store: only the zone key is shared."""

    keys: ZoneKeys
    hsm: InProcessHsm
    store: KeyStore
    now: float = 0.0
    refused: int = 0
    served: int = 0
    lose: list[bool] = field(default_factory=list)
    just_served: asyncio.Event = field(default_factory=asyncio.Event)


def side(directory: Path, name: str) -> Side:
    hsm = InProcessHsm(name.encode().ljust(32, b"."))
    store = KeyStore.load(directory / name / "keys.json")
    zone = hsm.form_key(COMPONENTS, KeyUse.ZONE, KeyAlgorithm.AES_256)
    store.add(f"zone/{PARTNER}/zmk", zone, KeyAlgorithm.AES_256, ("A", "B"))
    return Side(ZoneKeys(PARTNER, DIALECT, hsm, store), hsm, store)


def stamp(stan: int) -> dict[str, str]:
    return {"7": datetime.now(UTC).strftime("%m%d%H%M%S"), "11": f"{stan:06d}"}


def purchase(stan: int) -> Message:
    return Message("0200", {"3": "000000", "4": "000000001000", **stamp(stan), "41": "10000001"})


async def serve(ours: Side, message: Message, peer: Peer) -> Message | None:
    if ours.keys.is_change(message):
        answer = await ours.keys.take(message, ours.now)
        return None if ours.lose and ours.lose.pop() else answer
    if not await ours.keys.verify(message, ours.now):
        ours.refused += 1
        return Message("0210", {"11": message.text("11"), "39": "63", "41": "10000001"})
    ours.served += 1
    ours.just_served.set()
    return await ours.keys.sign(Message("0210", {**message.fields, "39": "00", "64": b"\0" * 8}))


@asynccontextmanager
async def linked(here: Side, there: Side) -> AsyncIterator[Client]:
    async def on_message(message: Message, peer: Peer) -> Message | None:
        return await serve(there, message, peer)

    async def on_own(message: Message, client: Client) -> Message | None:
        return await serve(here, message, client)

    async with (
        Server(ServerSettings(DIALECT), on_message) as server,
        Client("127.0.0.1", server.port, ClientSettings(DIALECT), on_message=on_own) as client,
    ):
        await client.up(30)
        yield client


def active(store: KeyStore, name: str) -> str:
    return store.key(f"zone/{PARTNER}/{name}").check_value


def test_first_keys_and_messages_under_them(tmp_path: Path) -> None:
    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        async with linked(here, there) as client:
            await here.keys.change(MAC, client, stamp(1), 0.0)
            assert active(here.store, "mac-send") == active(there.store, "mac-receive")
            signed = await here.keys.sign(purchase(2))
            assert await there.keys.verify(signed, 0.0)
            assert (
                not await here.keys.verify(signed, 0.0)
                if here.store.versions("zone/bank/mac-receive")
                else True
            )
        # What was agreed is on the disk of both.
        for one in (here, there):
            again = KeyStore.load(one.store.path)
            assert again.names() == one.store.names()

    asyncio.run(play())


async def both_ways(here: Side, there: Side) -> None:
    """Exchange MAC keys in both directions, without a line between them."""

    class Straight:
        def __init__(self, receiver: Side) -> None:
            self._receiver = receiver

        async def request(self, message: Message, timeout_s: float | None = None) -> Message:
            wire = DIALECT.encode(message)
            return DIALECT.decode(DIALECT.encode(await self._receiver.keys.take(DIALECT.decode(wire), 0.0)))

    await here.keys.change(MAC, Straight(there), stamp(1), 0.0)
    await there.keys.change(MAC, Straight(here), stamp(2), 0.0)


@pytest.mark.parametrize("seed", range(2))
def test_no_message_is_lost_while_keys_change(tmp_path: Path, seed: int) -> None:
    """Twelve changes under a stream of messages, every third answer to a change lost."""
    drawn = random.Random(seed)

    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        await both_ways(here, there)
        async with linked(here, there) as client:
            stop = asyncio.Event()
            good = 0

            async def talk(first: int) -> None:
                nonlocal good
                stan = first
                while not stop.is_set():
                    stan += 1
                    answer = await client.request(await here.keys.sign(purchase(stan)))
                    assert answer["39"] == "00"
                    assert await here.keys.verify(answer, here.now)
                    good += 1

            talking = [asyncio.create_task(talk(100_000 * number)) for number in range(1, 6)]
            changes = 0
            for number in range(12):
                there.lose = [drawn.random() < 1 / 3]
                there.just_served.clear()
                await there.just_served.wait()
                try:
                    await here.keys.change(MAC, client, stamp(10 + number), here.now, timeout_s=0.05)
                    changes += 1
                except LinkTimeout:
                    continue
                here.now += 60
                there.now += 60
            stop.set()
            await asyncio.gather(*talking)
            assert changes >= 3
            assert there.refused == 0
            assert good == there.served

    asyncio.run(play())


def test_an_offer_without_answer_leaves_the_key_in_use(tmp_path: Path) -> None:
    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        await both_ways(here, there)
        before = active(here.store, "mac-send")
        async with linked(here, there) as client:
            there.lose = [True]
            with pytest.raises(LinkTimeout):
                await here.keys.change(MAC, client, stamp(5), 0.0, timeout_s=0.05)
            assert active(here.store, "mac-send") == before
            installed = active(there.store, "mac-receive")
            assert installed != before
            assert await there.keys.verify(await here.keys.sign(purchase(6)), 0.0)
            # Asked again, the same key goes out: the partner has it already and says yes.
            await here.keys.change(MAC, client, stamp(7), 0.0)
            assert active(here.store, "mac-send") == installed == active(there.store, "mac-receive")

    asyncio.run(play())


def test_the_key_before_ends_when_messages_have_come_under_the_new_one(tmp_path: Path) -> None:
    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        await both_ways(here, there)
        old = await here.keys.sign(purchase(1))
        async with linked(here, there) as client:
            await here.keys.change(MAC, client, stamp(5), 0.0)
        fresh = await here.keys.sign(purchase(2))
        assert await there.keys.verify(old, 1000.0)  # nothing has come under the new one: the old one lives
        assert await there.keys.verify(fresh, 1000.0)
        assert await there.keys.verify(old, 1000.0 + GRACE_S)
        assert not await there.keys.verify(old, 1001.0 + GRACE_S)
        assert await there.keys.verify(fresh, 1001.0 + GRACE_S)
        states = [
            version.state for version in KeyStore.load(there.store.path).versions("zone/bank/mac-receive")
        ]
        assert states == [KeyState.REVOKED, KeyState.ACTIVE]

    asyncio.run(play())


def test_a_pin_goes_to_the_partner_under_the_changed_key(tmp_path: Path) -> None:
    """The PIN of a terminal of ours is verified by the partner, before and after the change."""
    card, serial = "9364001234567897", bytes.fromhex("123456789012345600000001")

    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        await both_ways(here, there)
        base = here.hsm.form_key([BASE, bytes(16)], KeyUse.BASE_DERIVATION, KeyAlgorithm.AES_128)
        entered = DukptPin(base, serial, _pin_block(serial, card, "1234"))
        verifying = await there.hsm.generate_key(KeyUse.PIN_VERIFIER, KeyAlgorithm.AES_128)
        verifier = b""
        async with linked(here, there) as client:
            for number in range(2):
                await here.keys.change(PIN, client, stamp(5 + number), 0.0)
                key = here.keys.pin_sending_key()
                block = await here.hsm.pin_translate(entered, card, key, PinFormat.ISO_4)
                received = there.keys.pin_keys(0.0)[0]
                assert received.check_value == key.check_value
                pin = ZonePin(received, block)
                if not verifier:
                    verifier = await there.hsm.pin_verifier(pin, card, verifying, b"member")
                assert await there.hsm.pin_verify(pin, card, verifying, b"member", verifier)
                there.keys.pin_came_under(received, 0.0)
        assert len(there.keys.pin_keys(1.0)) == 2
        assert len(there.keys.pin_keys(1.0 + GRACE_S)) == 1

    asyncio.run(play())


def _pin_block(serial: bytes, card: str, pin: str) -> bytes:
    initial = dukpt_aes.initial_key(BASE, serial[:8])
    working = dukpt_aes.working_key(initial, serial, dukpt_aes.Usage.PIN, dukpt_aes.Algorithm.AES_128)
    return pin_blocks.seal_iso_4(working, pin, card, os.urandom)


def test_a_forged_change_is_refused(tmp_path: Path) -> None:
    """Once there are MACs, a change without one, or with a wrong one, installs nothing."""

    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        await both_ways(here, there)
        before = active(there.store, "mac-receive")
        made = await here.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128, exportable=True)
        block = await here.hsm.export_key(made, here.store.key("zone/bank/zmk"))
        plain = Message("0800", {**stamp(9), "70": "161", "120": block.check_value + block.block})
        assert (await there.keys.take(plain, 0.0))["39"] == "63"
        signed = await here.keys.sign(plain)
        forged = Message("0800", {**signed.fields, "128": bytes(8)})
        assert (await there.keys.take(forged, 0.0))["39"] == "63"
        bent = "F" if block.block[-1] != "F" else "0"
        damaged = await here.keys.sign(
            Message("0800", {**plain.fields, "120": block.check_value + block.block[:-1] + bent})
        )
        assert (await there.keys.take(damaged, 0.0))["39"] == "63"
        wrong_check = await here.keys.sign(Message("0800", {**plain.fields, "120": "000000" + block.block}))
        assert (await there.keys.take(wrong_check, 0.0))["39"] == "63"
        assert active(there.store, "mac-receive") == before
        answer = await there.keys.take(signed, 0.0)
        assert answer["39"] == "00"
        assert active(there.store, "mac-receive") == block.check_value

    asyncio.run(play())


def test_an_answer_with_a_wrong_mac_changes_nothing(tmp_path: Path) -> None:
    class Forger:
        async def request(self, message: Message, timeout_s: float | None = None) -> Message:
            brought = message.text("120")
            return Message("0810", {**stamp(1), "39": "00", "70": "161", "120": brought[:6], "128": bytes(8)})

    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        await both_ways(here, there)
        before = active(here.store, "mac-send")
        with pytest.raises(ZoneKeyError, match="MAC is wrong"):
            await here.keys.change(MAC, Forger(), stamp(5), 0.0)
        assert active(here.store, "mac-send") == before

    asyncio.run(play())
