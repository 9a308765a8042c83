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
from typing import Any, cast

import pytest

from switch import iso8583
from switch.hsm import InProcessHsm, KeyNotFound, KeyState, KeyStore, KeyStoreError
from switch.hsm.crypto import dukpt_aes, key_blocks, pin_blocks
from switch.hsm.port import DukptPin, Hsm, Key, KeyAlgorithm, KeyUse, PinFormat, ZonePin
from switch.iso8583 import Message
from switch.link.client import ClientSettings
from switch.link.errors import LinkTimeout
from switch.link.server import ServerSettings
from switch.link.stream import Client, Peer, Server
from switch.server.zone_keys import GRACE_S, MAC, MOST_ACCEPTED, PIN, Kind, ZoneKeyError, ZoneKeys

DIALECT = iso8583.load("iso87-ascii")
PARTNER = "bank"
BASE = bytes(range(16))
HANG_S = 60  # only ends a hang: messages flow without pause
COMPONENTS = [bytes([number]) * 32 for number in (1, 2, 4)]


@dataclass
class Side:
    """One of the two, with its own HSM and store: only the zone key is shared."""

    keys: ZoneKeys
    hsm: InProcessHsm
    path: Path
    now: float = 0.0
    refused: int = 0
    served: int = 0
    lose: list[bool] = field(default_factory=list)
    just_served: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def store(self) -> KeyStore:
        """What is on its disk."""
        return KeyStore.load(self.path)


def side(directory: Path, name: str) -> Side:
    hsm = InProcessHsm(name.encode().ljust(32, b"."))
    store = KeyStore.load(directory / name / "keys.json")
    zone = hsm.form_key(COMPONENTS, KeyUse.ZONE, KeyAlgorithm.AES_256)
    store.add(f"zone/{PARTNER}/zmk", zone, KeyAlgorithm.AES_256, ("A", "B"))
    store.save()
    return Side(ZoneKeys(PARTNER, DIALECT, hsm, store), hsm, store.path)


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
            with pytest.raises(KeyNotFound):  # nothing comes the other way yet
                await here.keys.verify(signed, 0.0)

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
                async with asyncio.timeout(HANG_S):
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
        states = [version.state for version in there.store.versions("zone/bank/mac-receive")]
        assert states == [KeyState.REVOKED, KeyState.ACTIVE]

    asyncio.run(play())


def test_a_pin_goes_to_the_partner_under_the_changed_key(tmp_path: Path) -> None:
    """The PIN of a terminal of ours is verified by the partner, before and after the change."""
    card, serial = "9364001234567897", bytes.fromhex("123456789012345600000001")

    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        await both_ways(here, there)
        parts = [BASE[::-1], bytes(one ^ other for one, other in zip(BASE, BASE[::-1], strict=True))]
        base = here.hsm.form_key(parts, KeyUse.BASE_DERIVATION, KeyAlgorithm.AES_128)
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


@pytest.mark.parametrize("late", [False, True])
def test_a_key_of_ours_sent_back_to_us_is_refused(tmp_path: Path, late: bool) -> None:
    """Before there are MACs, whoever holds the line could make us receive under what we send under."""

    async def play() -> None:
        here, there = side(tmp_path, "here"), side(tmp_path, "there")
        sent: list[Message] = []

        class Mirror:
            async def request(self, message: Message, timeout_s: float | None = None) -> Message:
                sent.append(message)
                if not late:
                    assert (await here.keys.take(message, 0.0))["39"] == "63"
                return await there.keys.take(message, 0.0)

        await here.keys.change(MAC, Mirror(), stamp(1), 0.0)
        assert (await here.keys.take(sent[0], 0.0))["39"] == "63"
        assert not KeyStore.load(here.path).versions("zone/bank/mac-receive")

    asyncio.run(play())


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


# ---------------------------------------------------------------- stops


class Cut(BaseException):
    """The process is killed here. Nothing may catch it."""


class Points:
    """The places where a side may be killed: around each call of its HSM, each write of its store, each
    message. `left`: how many are passed before it is; None: it lives."""

    def __init__(self) -> None:
        self.left: int | None = None

    def pass_one(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Cut


class CutHsm:
    """An HSM whose every call waits before and after, as one behind a network does."""

    def __init__(self, hsm: InProcessHsm, points: Points) -> None:
        self._hsm, self._points = hsm, points

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            self._points.pass_one()
            await asyncio.sleep(0)
            result = await getattr(self._hsm, name)(*arguments, **named)
            self._points.pass_one()
            return result

        return call


class Mortal:
    """A side that can be killed and comes back with what is on its disk."""

    def __init__(self, directory: Path, name: str) -> None:
        self.points = Points()
        self._made = side(directory, name)
        self.hsm = CutHsm(self._made.hsm, self.points)
        self.keys = self._made.keys
        self.start()

    def start(self) -> None:
        self.keys = ZoneKeys(PARTNER, DIALECT, cast(Hsm, self.hsm), self.store)

    @property
    def store(self) -> KeyStore:
        return self._made.store

    async def offer(self, kind: Kind, other: Mortal, stan: int, now: float) -> str:
        """Change a key; who was killed meanwhile is running again afterwards: "here", "there", or ""."""
        killed = []

        class Wire:
            async def request(wire, message: Message, timeout_s: float | None = None) -> Message:
                self.points.pass_one()
                try:
                    answer = await other.keys.take(message, now)
                    other.points.pass_one()
                except Cut:
                    other.start()
                    killed.append("there")
                    raise LinkTimeout("no answer") from None
                self.points.pass_one()
                return answer

        try:
            await self.keys.change(kind, Wire(), stamp(stan), now)
        except Cut:
            self.start()
            killed.append("here")
        except LinkTimeout:
            pass
        self.points.left = other.points.left = None
        return "".join(killed)


@pytest.fixture
def mortals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Mortal, Mortal]:
    """Two who share MAC and PIN keys in both directions."""
    here, there = Mortal(tmp_path, "here"), Mortal(tmp_path, "there")
    points = {one.store.path: one.points for one in (here, there)}
    save = KeyStore.save

    def cut_save(self: KeyStore) -> None:
        points[self.path].pass_one()
        save(self)
        points[self.path].pass_one()

    monkeypatch.setattr(KeyStore, "save", cut_save)

    async def first_keys() -> None:
        for number, kind in enumerate((MAC, PIN)):
            await here.offer(kind, there, 1 + number, 0.0)
            await there.offer(kind, here, 3 + number, 0.0)

    asyncio.run(first_keys())
    return here, there


async def understand_each_other(here: Mortal, there: Mortal, stan: int, now: float) -> None:
    """Messages and PINs of both sides come through."""
    for one, other in ((here, there), (there, here)):
        assert await other.keys.verify(await one.keys.sign(purchase(stan)), now)
        sending = one.keys.pin_sending_key().check_value
        (key,) = [key for key in other.keys.pin_keys(now) if key.check_value == sending]
        other.keys.pin_came_under(key, now)


@pytest.mark.parametrize("kind", [MAC, PIN], ids=["mac", "pin"])
@pytest.mark.parametrize("victim", ["here", "there"])
def test_whoever_is_killed_anywhere_no_message_is_lost(
    mortals: tuple[Mortal, Mortal], kind: Kind, victim: str
) -> None:
    here, there = mortals
    mortal = here if victim == "here" else there

    async def play() -> None:
        now, stan = 1.0, 100
        for place in range(100):
            under_way = await here.keys.sign(purchase(stan)), await there.keys.sign(purchase(stan))
            mortal.points.left = place
            killed = await here.offer(kind, there, stan, now)
            assert await there.keys.verify(under_way[0], now)
            assert await here.keys.verify(under_way[1], now)
            # For longer than a key lives that was passed over, then once more after a stop of both.
            for seconds in (0.0, 1.0, GRACE_S, GRACE_S + 2, 3 * GRACE_S):
                await understand_each_other(here, there, stan, now + seconds)
            here.start()
            there.start()
            await understand_each_other(here, there, stan, now)
            now, stan = now + 4 * GRACE_S, stan + 1
            if not killed:
                break
            assert killed == victim
        assert 8 <= place < 99, "not the number of places where it can be killed"
        # And the next change works, with nothing of the many left in the way.
        before = here.store.key(f"zone/bank/{kind.name}-send").check_value
        assert await here.offer(kind, there, stan, now) == ""
        after = here.store.key(f"zone/bank/{kind.name}-send").check_value
        assert before != after == there.store.key(f"zone/bank/{kind.name}-receive").check_value
        await understand_each_other(here, there, stan, now)

    asyncio.run(play())


@pytest.mark.parametrize("seed", range(3))
def test_any_series_of_stops_and_changes(mortals: tuple[Mortal, Mortal], seed: int) -> None:
    drawn = random.Random(seed)

    async def play() -> None:
        now = 1.0
        changed = 0
        for stan in range(100, 220):
            one, other = drawn.sample(mortals, 2)
            kind = drawn.choice((MAC, PIN))
            old = await one.keys.sign(purchase(stan))
            drawn.choice(mortals).points.left = drawn.choice((None, drawn.randrange(25)))
            changed += not await one.offer(kind, other, stan, now)
            assert await other.keys.verify(old, now)
            for mortal in mortals:
                mortal.points.left = None
                if drawn.random() < 0.1:
                    mortal.start()
            await understand_each_other(*mortals, stan, now)
            now += drawn.choice((0.0, 1.0, GRACE_S / 2, GRACE_S + 1, 2 * GRACE_S))
        assert changed > 30

    asyncio.run(play())


def test_offers_that_nobody_took_make_room(mortals: tuple[Mortal, Mortal]) -> None:
    """A partner whose answers are lost and who starts again each time, for longer than any list is."""
    here, there = mortals

    async def play() -> None:
        now = 1.0
        for stan in range(100, 100 + 3 * MOST_ACCEPTED):
            here.points.left = 7  # somewhere after the message left
            assert await here.offer(PIN, there, stan, now)
            await understand_each_other(here, there, stan, now)
            now += 2 * GRACE_S
            await understand_each_other(here, there, stan, now)
            now += 1
            assert len(there.keys.pin_keys(now)) <= MOST_ACCEPTED
        assert await here.offer(PIN, there, 999, now) == ""

    asyncio.run(play())


def test_too_many_offers_at_once_are_put_off_and_nothing_is_given_up(mortals: tuple[Mortal, Mortal]) -> None:
    here, there = mortals

    async def play() -> None:
        in_use = here.keys.pin_sending_key().check_value
        for stan in range(100, 100 + 2 * MOST_ACCEPTED):
            made = await here.hsm.generate_key(KeyUse.PIN, KeyAlgorithm.AES_128, exportable=True)
            block = await here.hsm.export_key(made, here.store.key("zone/bank/zmk"))
            offer = Message("0800", {**stamp(stan), "70": "161", "120": block.check_value + block.block})
            answer = await there.keys.take(await here.keys.sign(offer), 1.0)
        assert answer["39"] == "91"
        assert in_use in [key.check_value for key in there.keys.pin_keys(1.0)]

    asyncio.run(play())


def test_an_old_change_played_again_brings_no_key_back(mortals: tuple[Mortal, Mortal]) -> None:
    here, there = mortals
    sent: list[Message] = []

    class Tapped:
        async def request(self, message: Message, timeout_s: float | None = None) -> Message:
            sent.append(message)
            return await there.keys.take(message, 1.0)

    async def play() -> None:
        for stan in (100, 101):
            await here.keys.change(PIN, Tapped(), stamp(stan), 1.0)
        newest = there.keys.pin_keys(1.0)
        assert (await there.keys.take(sent[0], 1.0))["39"] == "63"
        assert (await there.keys.take(sent[1], 1.0))["39"] == "00"  # the one in use: a repeat
        assert there.keys.pin_keys(1.0) == newest

    asyncio.run(play())


def test_a_full_disk_changes_nothing_on_either_side(
    mortals: tuple[Mortal, Mortal], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = mortals
    save, full = KeyStore.save, {"here": False, "there": False}

    def failing(self: KeyStore) -> None:
        if full[self.path.parent.name]:
            raise KeyStoreError("no room")
        save(self)

    monkeypatch.setattr(KeyStore, "save", failing)

    async def play() -> None:
        for name, error in (("there", ZoneKeyError), ("here", KeyStoreError)):
            assert await here.offer(PIN, there, 99, 1.0) == ""
            await understand_each_other(here, there, 99, 1.0)
            before = here.keys.pin_sending_key().check_value
            full[name] = True
            with pytest.raises(error):
                await here.offer(PIN, there, 100, 1.0)
            assert here.keys.pin_sending_key().check_value == before
            await understand_each_other(here, there, 101, 1.0)
            # Nor does a message suffer when a key's end can't be written.
            await understand_each_other(here, there, 102, 2.0 + GRACE_S)
            full[name] = False
            here.start()
            there.start()
            await understand_each_other(here, there, 103, 3.0)
        assert await here.offer(PIN, there, 104, 4.0) == ""

    asyncio.run(play())


def test_what_vafa_keys_changed_meanwhile_stays(mortals: tuple[Mortal, Mortal]) -> None:
    here, there = mortals

    async def play() -> None:
        store = here.store
        store.add("pin/verifier", Key("S1", KeyUse.PIN_VERIFIER, "ABCDEF"), KeyAlgorithm.AES_128, ("A", "B"))
        store.save()
        assert await here.offer(MAC, there, 100, 1.0) == ""
        assert here.store.key("pin/verifier").check_value == "ABCDEF"

    asyncio.run(play())


def test_two_changes_at_once_are_two_changes(mortals: tuple[Mortal, Mortal]) -> None:
    here, there = mortals

    async def play() -> None:
        await asyncio.gather(*(here.offer(MAC, there, stan, 1.0) for stan in (100, 101)))
        assert len({one.check_value for one in here.store.versions("zone/bank/mac-send")}) == 3
        await understand_each_other(here, there, 102, 1.0)

    asyncio.run(play())


def test_another_sort_of_key_is_not_the_one_offered_before(mortals: tuple[Mortal, Mortal]) -> None:
    here, there = mortals

    class Deaf:
        async def request(self, message: Message, timeout_s: float | None = None) -> Message:
            raise LinkTimeout("no answer")

    async def play() -> None:
        with pytest.raises(LinkTimeout):
            await here.keys.change(PIN, Deaf(), stamp(100), 1.0)
        brought: list[int] = []
        zone = bytes(a ^ b ^ c for a, b, c in zip(*COMPONENTS, strict=True))

        class Wire:
            async def request(self, message: Message, timeout_s: float | None = None) -> Message:
                brought.append(len(key_blocks.unwrap(zone, message.text("120")[6:]).key))
                return await there.keys.take(message, 1.0)

        added = await here.keys.change(PIN, Wire(), stamp(101), 1.0, algorithm=KeyAlgorithm.AES_256)
        assert added.algorithm is KeyAlgorithm.AES_256
        await here.keys.change(PIN, Wire(), stamp(102), 1.0)
        assert brought == [32, 16]

    asyncio.run(play())


def test_a_key_that_was_refused_is_not_offered_again(mortals: tuple[Mortal, Mortal]) -> None:
    here, there = mortals
    offered: list[str] = []

    class Moody:
        async def request(self, message: Message, timeout_s: float | None = None) -> Message:
            offered.append(message.text("120"))
            if len(offered) > 1:
                return await there.keys.take(message, 1.0)
            return await there.keys.sign(Message("0810", {**stamp(100), "39": "63", "70": "161"}))

    async def play() -> None:
        with pytest.raises(ZoneKeyError, match="DE 39 63"):
            await here.keys.change(PIN, Moody(), stamp(100), 1.0)
        await here.keys.change(PIN, Moody(), stamp(101), 1.0)
        assert offered[0][:6] != offered[1][:6]

    asyncio.run(play())
