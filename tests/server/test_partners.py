"""A bank's link end to end: a real switch process, a real client of the link, messages of every shipped
mapping."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.partner import DIALECT, SPEECHES, Bank, next_stan, points_of, sent_now
from switch.hsm import InProcessHsm
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.iso8583 import Message
from switch.keys import open_store, read_master_key
from switch.ledger.verify import verify
from switch.link.framing import FrameReader, frame
from switch.link.stream import Client
from switch.server.zone_keys import MAC, PIN, ZoneKeys
from tests.server.partner_kit import (
    BANK,
    COMPONENTS,
    PartneredSwitch,
    components_of,
    connected,
    exchange_keys,
    played,
)
from tests.server.running_switch import ANSWER_DEADLINE_S, TerminalSide, new_card

USUAL = "iso87-ascii"
# By mapping: the other banks of the town, and their DE 32.
OTHERS = {"iso93-bcd": ("NEWER", "627093"), "pos-host-1987": ("SHOPS", "627087")}
OWN_ACCEPTOR = "100000000000001"
SECRET_PIN, WRONG_PIN = "4711", "1147"
RATIO, RATE = 100, 10_000  # rial: a redeemed point pays, an earned one costs

Story = Callable[[Client], Awaitable[None]]


class Town:
    """The switch, the bank with its keys, and a terminal of ours beside it."""

    def __init__(self, switch: PartneredSwitch, bank: Bank) -> None:
        self.switch = switch
        self.bank = bank
        self.terminal = TerminalSide(switch)

    def play(self, story: Story) -> None:
        async def on_a_line() -> None:
            async with connected(self.bank, self.switch) as link:
                await story(link)

        played(on_a_line)

    def card(self, points: int = 0, pin: str = "") -> str:
        """A member's card with so many points, given out by a terminal of ours."""
        if not pin:
            return self.terminal.activated_card(points)
        card = new_card()
        first_pin: Any = lambda at: at.pin_block(pin, card)  # noqa: E731
        assert self.terminal.ask(self.terminal.activation(card, f52=first_pin))["39"] == "00"
        if points:
            assert self.terminal.ask(self.terminal.earn(card, points * RATE))["39"] == "00"
        return card

    def track(self, card: str) -> str:
        return self.switch.track(card)

    def swiped(self, card: str, points: int, **more: Any) -> Message:
        return self.bank.redemption(None, points * RATIO, self.track(card), **more)


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Town]]:
    """One switch; by mapping, the town of the bank that speaks it."""
    directory = tmp_path_factory.mktemp("town")
    more = "".join(
        f'[[partners]]\nname = "{name}"\nport = 0\nacquirers = ["{acquirer}"]\nmapping = "{mapping}"\n'
        f'framing = "{SPEECHES[mapping].framing}"\n'
        for mapping, (name, acquirer) in OTHERS.items()
    )
    switch = PartneredSwitch(
        directory / "switch",
        more,
        {"program.unique_receipts": "true"},
        zones=[name for name, _ in OTHERS.values()],
    )
    banks = {USUAL: Bank(directory, BANK, COMPONENTS)}
    for mapping, (name, acquirer) in OTHERS.items():
        banks[mapping] = Bank(directory, name, components_of(name), acquirer, mapping)

    async def keys() -> None:
        for bank in banks.values():
            async with connected(bank, switch) as link:
                await exchange_keys(bank, switch, link)

    played(keys)
    places = {mapping: Town(switch, bank) for mapping, bank in banks.items()}
    yield places
    for place in places.values():
        place.terminal.line.close()
    assert switch.stop() == 0
    assert verify(switch.settings.ledger_path, switch.settings.seal_key).problems == []


@pytest.fixture
def town(request: pytest.FixtureRequest, towns: dict[str, Town]) -> Town:
    """The usual bank's, or the one of the mapping that a test is played with."""
    return towns[getattr(request, "param", USUAL)]


in_every_mapping = pytest.mark.parametrize("town", list(SPEECHES), indirect=True)


def bare(message: Message) -> Message:
    """An answer without its MAC."""
    return Message(message.mti, {path: message.fields[path] for path in message.fields if path != "64"})


# ---------------------------------------------------------------- what a bank asks for


@in_every_mapping
def test_balance_earn_redeem_and_reversal(town: Town) -> None:
    card = town.card()
    bank = town.bank

    async def story(link: Client) -> None:
        earned = await bank.ask(link, bank.earn(card, 250_000))
        assert (earned.mti, earned["39"], points_of(earned)) == ("0210", "00", 25)
        assert points_of(await bank.ask(link, bank.balance(card))) == 25
        redemption = town.swiped(card, 10)
        spent = await bank.ask(link, redemption)
        assert (spent["39"], points_of(spent), spent["44"]) == ("00", 15, "0102")
        assert spent["38"] == spent.text("37")[-6:]
        for path in ("3", "4", "7", "11", "12", "13", "32", "41", "42", "49"):
            assert spent[path] == redemption[path], path
        assert "35" not in spent
        back = await bank.ask(link, bank.reversal_of(redemption))
        assert (back.mti, back["39"], points_of(back)) == ("0430", "00", 25)
        assert points_of(await bank.ask(link, bank.balance(card, f3="300000"))) == 25
        financial = Message("0200", bank.balance(card).fields)
        assert points_of(await bank.ask(link, financial)) == 25

    town.play(story)
    assert town.terminal.points(card) == 25


@in_every_mapping
def test_an_advice_earns_and_its_repeat_does_not_earn_again(town: Town) -> None:
    card = town.card()

    async def story(link: Client) -> None:
        advice = town.bank.earn(card, 50_000, "0220")
        first = await town.bank.ask(link, advice)
        again = await town.bank.ask(link, town.bank.again(advice))
        assert (first.mti, first["39"], first) == ("0230", "00", again)

    town.play(story)
    assert town.terminal.points(card) == 5


@in_every_mapping
def test_hold_capture_and_refund_follow_the_switchs_reference(town: Town) -> None:
    card = town.card(100)
    bank = town.bank

    async def story(link: Client) -> None:
        held = await bank.ask(link, Message("0100", town.swiped(card, 40).fields))
        assert (held["39"], points_of(held)) == ("00", 60)
        named = {"f63": held.text("63")}
        capture = bank.redemption(None, 30 * RATIO, **named)
        taken = await bank.ask(link, Message("0220", capture.fields))
        assert (taken["39"], points_of(taken)) == ("00", 70)
        named = {"f63": taken.text("63")}
        refund = Message("0200", {**bank.redemption(None, 10 * RATIO, **named).fields, "3": "200000"})
        given = await bank.ask(link, refund)
        assert (given["39"], points_of(given)) == ("00", 80)
        undone = await bank.ask(link, bank.reversal_of(refund, **named))
        assert (undone["39"], points_of(undone)) == ("00", 70)

    town.play(story)


@in_every_mapping
def test_an_amount_that_is_no_whole_number_of_points_is_declined(town: Town) -> None:
    card = town.card(10)

    async def story(link: Client) -> None:
        odd = town.bank.redemption(None, 150, town.track(card))
        assert (await town.bank.ask(link, odd))["39"] == "13"
        foreign = town.swiped(card, 1, f49="840")
        assert (await town.bank.ask(link, foreign))["39"] == "13"

    town.play(story)
    assert town.terminal.points(card) == 10


# ---------------------------------------------------------------- who may spend


@in_every_mapping
def test_a_typed_number_needs_a_pin_and_a_swipe_its_card_value(town: Town) -> None:
    card = town.card(50, SECRET_PIN)
    bank = town.bank

    async def story(link: Client) -> None:
        typed = await bank.ask(link, bank.redemption(card, 1000))
        assert (typed["39"], "54" in typed) == ("55", False)
        right = await bank.ask(link, bank.redemption(card, 1000, f52=bank.pin_block(SECRET_PIN, card)))
        assert (right["39"], points_of(right)) == ("00", 40)
        track = town.track(card)
        at = track.index("=") + 8  # behind expiry and service code
        forged = track[:at] + f"{(int(track[at : at + 3]) + 1) % 1000:03d}" + track[at + 3 :]
        assert (await bank.ask(link, bank.redemption(None, 1000, forged)))["39"] == "05"
        typed_track = town.swiped(card, 10, f22="012")
        assert (await bank.ask(link, typed_track))["39"] == "30"

    town.play(story)
    assert town.terminal.points(card) == 40


def test_wrong_pins_lock_and_a_bad_block_looks_the_same(town: Town) -> None:
    card = town.card(50, SECRET_PIN)
    bank = town.bank

    async def story(link: Client) -> None:
        blocks = [bank.pin_block(WRONG_PIN, card), bytes(range(8)), bank.pin_block(WRONG_PIN, card)]
        for block in blocks:
            assert (await bank.ask(link, bank.redemption(card, 1000, f52=block)))["39"] == "55"
        right = bank.pin_block(SECRET_PIN, card)
        assert (await bank.ask(link, bank.redemption(card, 1000, f52=right)))["39"] == "75"

    town.play(story)


@in_every_mapping
def test_a_pin_block_under_the_key_before_is_understood_while_it_is_under_way(town: Town) -> None:
    card = town.card(50, SECRET_PIN)
    bank = town.bank

    async def story(link: Client) -> None:
        before = bank.pin_block(SECRET_PIN, card)
        await bank.change_key(PIN, link)
        after = bank.pin_block(SECRET_PIN, card)
        assert after != before
        for block in (before, after):
            assert (await bank.ask(link, bank.redemption(card, 100, f52=block)))["39"] == "00"

    town.play(story)


def test_a_key_that_an_operator_puts_into_the_store_counts_without_a_start(town: Town) -> None:
    settings, bank, event = town.switch.settings, town.bank, "partners' keys in force"
    card = town.card()
    operators = InProcessHsm(read_master_key(settings.hsm.master_key_file))
    beside = ZoneKeys(BANK, DIALECT, operators, open_store(settings))

    class Office:
        async def request(self, message: Message, timeout_s: float | None = None) -> Message:
            return await beside.take(message, 0.0)

    async def story(link: Client) -> None:
        told = len([line for line in town.switch.log if line["event"] == event])
        await bank.keys.change(MAC, Office(), {"7": sent_now(), "11": next_stan()}, 0.0)
        await asyncio.to_thread(town.switch.events, "event", event, told + 1)
        assert (await bank.ask(link, bank.balance(card)))["39"] == "00"

    town.play(story)


# ---------------------------------------------------------------- once and for all


def test_the_same_message_gets_the_same_answer_and_is_booked_once(town: Town) -> None:
    card = town.card(50)
    bank = town.bank

    async def story(link: Client) -> None:
        redemption = town.swiped(card, 10)
        signed = await bank.keys.sign(redemption)
        answers = [await link.request(signed) for _ in range(2)]
        assert answers[0] == answers[1], "to the byte, MAC and all"
        assert await bank.ask(link, bank.again(redemption)) == bare(answers[0])
        other = Message("0200", {**redemption.fields, "4": "000000000500"})
        async with connected(bank, town.switch) as careless:  # one that knows nothing of the first
            refused = await bank.ask(careless, other)
        assert (refused["39"], "54" in refused) == ("94", False)

    town.play(story)
    assert town.terminal.points(card) == 40


@in_every_mapping
def test_two_lines_that_send_the_same_at_once_hear_the_same(town: Town) -> None:
    card = town.card(50)
    bank = town.bank

    async def story(link: Client) -> None:
        async with connected(bank, town.switch) as other:
            redemption = town.swiped(card, 10)
            for _ in range(4):
                first, second = await asyncio.gather(
                    bank.ask(link, redemption), bank.ask(other, bank.again(redemption))
                )
                assert first == second
                assert points_of(first) == 40

    town.play(story)
    assert town.terminal.points(card) == 40


@in_every_mapping
def test_a_decline_stays_one(town: Town) -> None:
    card = town.card(5)
    bank = town.bank

    async def story(link: Client) -> None:
        redemption = town.swiped(card, 10)
        assert (await bank.ask(link, redemption))["39"] == "51"
        assert (await bank.ask(link, bank.earn(card, 100 * RATE)))["39"] == "00"
        assert (await bank.ask(link, bank.again(redemption)))["39"] == "51"

    town.play(story)


@in_every_mapping
def test_a_reversal_that_comes_first_declines_its_original(town: Town) -> None:
    card = town.card(50)
    bank = town.bank

    async def story(link: Client) -> None:
        redemption = town.swiped(card, 10)
        reversal = bank.reversal_of(redemption)
        assert (await bank.ask(link, reversal))["39"] == "00"
        assert (await bank.ask(link, bank.again(reversal)))["39"] == "00"
        assert (await bank.ask(link, redemption))["39"] == "94"
        # Another one of the same original, and one of something nobody ever asked for.
        assert (await bank.ask(link, bank.reversal_of(redemption)))["39"] == "00"
        never = town.swiped(card, 1, f3="990000")
        assert (await bank.ask(link, bank.reversal_of(never, f3="990000")))["39"] == "00"

    town.play(story)
    assert town.terminal.points(card) == 50


@in_every_mapping
def test_a_reversal_of_another_card_or_operation_takes_nothing_back(town: Town) -> None:
    card, other = town.card(50), town.card(50)
    bank = town.bank

    async def story(link: Client) -> None:
        redemption = town.swiped(card, 10)
        assert (await bank.ask(link, redemption))["39"] == "00"
        assert (await bank.ask(link, bank.reversal_of(redemption, f2=other)))["39"] == "12"
        assert (await bank.ask(link, bank.reversal_of(redemption, f3="210000")))["39"] == "12"
        assert points_of(await bank.ask(link, bank.balance(card))) == 40

    town.play(story)


def test_what_is_older_than_the_horizon_is_refused_and_not_remembered(town: Town) -> None:
    card = town.card()
    bank = town.bank
    old = datetime.now(UTC) - timedelta(days=9)

    async def story(link: Client) -> None:
        for more in (
            {"f7": old.strftime("%m%d%H%M%S")},
            {"f13": old.strftime("%m%d")},
            {"f7": "1332000000"},
        ):
            refused = await bank.ask(link, bank.earn(card, 100_000, **more))
            assert (refused["39"], "37" in refused) == ("12", False)

    town.play(story)
    assert town.terminal.points(card) == 0


def test_a_till_receipt_of_a_merchant_earns_once_whoever_brings_it(town: Town) -> None:
    card = town.card()
    bank = town.bank

    async def story(link: Client) -> None:
        receipt = f"R{next_stan()}"
        assert (await bank.ask(link, bank.earn(card, 10_000, f62=receipt)))["39"] == "00"
        again = await bank.ask(link, bank.earn(card, 10_000, f62=receipt))
        assert (again["39"], again["44"]) == ("94", "0602")
        elsewhere = bank.earn(card, 10_000, f62=receipt, f42="700000000000002")
        assert (await bank.ask(link, elsewhere))["39"] == "00"

    town.play(story)


# ---------------------------------------------------------------- who may ask


def test_without_a_good_mac_nothing_is_stored_and_nothing_is_said_under_one(town: Town) -> None:
    card = town.card()
    bank = town.bank

    async def story(link: Client) -> None:
        earn = bank.earn(card, 10_000)
        signed = await bank.keys.sign(earn)
        answer = await bank.ask(link, bank.balance(card))
        of_ours = (await bank.keys.sign(bank.balance(card)))["64"]
        forgeries = [
            earn,
            Message("0200", {**signed.fields, "64": bytes(8)}),
            Message("0200", {**signed.fields, "64": of_ours}),
            Message("0200", {**signed.fields, "4": "000000990000"}),
            Message("0200", {**earn.fields, "128": signed["64"]}),
        ]
        for forged in forgeries:
            async with connected(bank, town.switch) as forger:
                refused = await forger.request(forged)
            assert (refused["39"], "64" in refused, "128" in refused) == ("63", False, False)
        assert answer["39"] == "00"
        assert (await bank.ask(link, earn))["39"] == "00", "no forged decline stands in its way"

    town.play(story)
    assert town.terminal.points(card) == 1
    assert town.switch.events("event", "bad MAC")


def test_a_partner_speaks_for_itself_alone(town: Town) -> None:
    card = town.card(50)
    bank = town.bank

    async def story(link: Client) -> None:
        redemption = town.swiped(card, 10)
        assert (await bank.ask(link, redemption))["39"] == "00"
        elsewhere = bank.reversal_of(redemption)
        data = elsewhere.text("90")
        others = [
            bank.earn(card, 10_000, f32="627412"),
            bank.earn(card, 10_000, f42=OWN_ACCEPTOR),
            Message("0420", {**elsewhere.fields, "90": data[:20] + "00000627412" + data[31:]}),
        ]
        for message in others:
            refused = await bank.ask(link, message)
            assert (refused["39"], "37" in refused) == ("58", False)
        assert points_of(await bank.ask(link, bank.balance(card))) == 40

    town.play(story)
    told = town.switch.events("event", "partner not permitted")
    assert {line["problem"] for line in told} == {"another's acquirer", "another's acceptor"}
    assert all(line["alarm"] for line in told)


def test_a_terminal_of_the_partner_is_none_of_ours_with_the_same_name(town: Town) -> None:
    """Nor does a terminal's identity stand in the way of the same numbers from a partner."""
    card = town.card()
    of_terminal = town.terminal.earn(card, 10_000)
    assert town.terminal.ask(of_terminal)["39"] == "00"

    async def story(link: Client) -> None:
        same = {f"f{path}": of_terminal.text(path) for path in ("11", "12", "13", "41")}
        assert (await town.bank.ask(link, town.bank.earn(card, 10_000, **same)))["39"] == "00"

    town.play(story)
    assert town.terminal.points(card) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"f3": "990000"}, "12"),
        ({"f7": None}, "30"),
        ({"f32": None}, "30"),
        ({"f2": None}, "30"),
        ({"f42": None}, "30"),
        ({"f49": "IRR"}, "30"),
        ({"f2": "9364001234567899"}, "14"),
    ],
)
def test_what_is_incomplete_or_unknown_gets_a_clear_answer(
    town: Town, changes: dict[str, Any], code: str
) -> None:
    card = town.card()

    async def story(link: Client) -> None:
        message = town.bank.earn(card, 10_000, **changes)
        message = Message(
            "0200", {path: value for path, value in message.fields.items() if value is not None}
        )
        if "7" in message and "32" in message:
            assert (await town.bank.ask(link, message))["39"] == code
            return
        # The link can't match an answer without them: look at the bytes.
        answer = await asyncio.to_thread(
            raw, town.switch.partner_port, DIALECT.encode(await town.bank.keys.sign(message))
        )
        assert answer["39"] == code

    town.play(story)


def raw(port: int, payload: bytes) -> Message:
    """One frame and its answer on a plain socket."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_DEADLINE_S) as line:
        line.sendall(frame(payload))
        reader = FrameReader()
        while True:
            data = line.recv(65536)
            assert data, "closed instead of answered"
            for received in reader.feed(data, 0.0):
                return DIALECT.decode(received.payload)


def test_a_message_that_does_not_decode_is_answered_with_what_is_known_of_it(town: Town) -> None:
    good = DIALECT.encode(Message("0200", town.bank.fields("9364001234567897", "210000", f4="0" * 12)))
    answer = raw(town.switch.partner_port, good[:-3])
    assert (answer.mti, answer["39"]) == ("0210", "30")
    assert set(answer.fields) <= {"7", "11", "32", "39"}
    assert town.switch.events("event", "malformed message")[-1]["path"]


def test_sign_on_echo_and_what_nobody_knows(town: Town) -> None:
    async def story(link: Client) -> None:
        for code, told in (("001", "00"), ("301", "00"), ("002", "00"), ("999", "12")):
            network = Message("0800", {"7": sent_now(), "11": next_stan(), "70": code})
            answer = await link.request(network)
            assert (answer["39"], answer["70"], "128" in answer) == (told, code, False)
            network = Message("0800", {"7": sent_now(), "11": next_stan(), "70": code})
            assert (await town.bank.ask(link, network))["39"] == told
        network = Message("0800", {"7": sent_now(), "11": next_stan(), "70": "301", "128": bytes(8)})
        assert (await link.request(network))["39"] == "63"

    town.play(story)


# ---------------------------------------------------------------- torn lines


def test_a_line_that_tears_loses_no_answer(town: Town) -> None:
    """Half a frame asks for nothing; a whole one is decided though nobody hears the answer."""
    card = town.card(50)
    bank = town.bank
    port = town.switch.partner_port

    async def story(link: Client) -> None:
        redemption = town.swiped(card, 10)
        payload = DIALECT.encode(await bank.keys.sign(redemption))
        for sent in (frame(payload)[:-7], frame(payload)):
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.sendall(sent)
        answer = await bank.ask(link, bank.again(redemption))
        assert (answer["39"], points_of(answer)) == ("00", 40)

    town.play(story)
    assert town.terminal.points(card) == 40


def test_garbage_ends_its_own_line_only(town: Town) -> None:
    async def story(link: Client) -> None:
        with socket.create_connection(("127.0.0.1", town.switch.partner_port)) as line:
            line.settimeout(ANSWER_DEADLINE_S)
            line.sendall(b"\xff" * 64)
            assert line.recv(1) == b""
        assert (await town.bank.ask(link, town.bank.balance(town.card())))["39"] == "00"

    town.play(story)


# ---------------------------------------------------------------- secrets


def test_nothing_secret_is_in_the_log_or_in_a_file(town: Town) -> None:
    card = town.card(50, SECRET_PIN)
    bank = town.bank
    block = bank.pin_block(SECRET_PIN, card)

    async def story(link: Client) -> None:
        await bank.ask(link, bank.redemption(card, 1000, f52=block))
        await bank.ask(link, town.swiped(card, 1))
        await link.request(bank.earn(card, 10_000))
        await bank.ask(link, bank.earn(card, 10_000, f32="627412"))
        await bank.ask(link, bank.earn(card, 10_000, f49="IRR"))

    town.play(story)
    settings = town.switch.settings
    master = BlockMasterKey(read_master_key(settings.hsm.master_key_file))
    store = open_store(settings)
    zone = [version for name in store.names() if name.startswith("zone/") for version in store.versions(name)]
    keys = [master.unwrap(version.token).key for version in zone]
    assert len(keys) >= 5
    hidden = [card.encode(), bytes.fromhex(card), town.track(card).encode(), block, block.hex().encode()]
    hidden += [*keys, *(key.hex().encode() for key in keys)]
    places = {str(path): path.read_bytes() for path in Path(settings.data).rglob("*") if path.is_file()}
    places["the log"] = repr(town.switch.log).encode()
    assert str(settings.ledger_path) in places
    for where, content in places.items():
        assert [secret for secret in hidden if secret in content or secret in content.lower()] == [], where
