"""One counter with a device at every door, and each flow of docs/cashier.md as it is played there.

What is looked at while they are played is the caller's business: here is only what cashier, member, register,
office and bench do. Flows are played in their order: later ones need what earlier ones left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from simulators import keypad
from simulators.campaigns.scene import approved
from simulators.campaigns.shop import HASTE, Shop
from simulators.cards import Card, foreign_card
from simulators.cashier import IDLE, Cashier, Visit
from simulators.counter import AWAY_MS
from simulators.faults import FaultProxy, ResetPeer
from simulators.firmware import ALL_DEVICES, Interpreter, Options, Place, Plugged, Terminal, Transaction
from simulators.phone_line import line_named
from simulators.readers.magstripe import Corruption, SwipeFaults
from simulators.smart_cards import SmartCard, made
from simulators.till import ECR17, FIELDS, Result, Till, TillPort, of_columns, of_fields
from switch.settings import load_for
from terminal.drivers.codes import member_code
from tools import fw_events
from tools.keys_inject import SerialLine

MOBILES = "0912{:07d}", "0935{:07d}"  # of both members, by the number of the counter
PIN, NEW_PIN = "8642", "7531"
MANAGER, NEW_MANAGER = "802466", "135792"
VALUES: Final = {
    "pin": PIN,
    "new_pin": NEW_PIN,
    "manager": MANAGER,
    "points": "10",
}
EARN_RIAL: Final = 2_500_000
REDEEMED: Final = 10
BETWEEN_READINGS: Final = 10  # of a card's counters, more than one sale takes
PATIENCE_S: Final = 20.0  # of the register, with a terminal that is looked at closely
PULLED: Final = ("reader", "tap", "chip", "scanner", "printer")
MORE: Final = "#"  # opens the menu of what is wanted seldom


class Counter:
    """The terminal, what stands around it, and whose cards come.

    first: a member with PIN and mobile number; second: one with a card of every kind; spare: cards that
    nobody has yet.
    """

    def __init__(
        self, shop: Shop, number: int, terminal: Terminal, line: FaultProxy, register: TillPort
    ) -> None:
        self.shop = shop
        self.mobile, self.mobile_of_second = [mobile.format(number) for mobile in MOBILES]
        self.terminal = terminal
        self.line = line
        self.register = register
        self.cashier = Cashier(terminal)
        self.first: Card
        self.second: Card
        self.spare: list[Card] = []
        self.smart: SmartCard
        self.last = Transaction("", False, "", "", "", "", "", "", "")
        self._readings = 0

    async def open(self) -> None:
        """Switch the terminal on; cards are issued."""
        await self.terminal.start()
        self.first, self.second = await self.shop.own_cards()
        self.spare = [*await self.shop.own_cards(), *await self.shop.own_cards()]
        self.smart = await made(load_for(self.shop.data, None), self.shop.data, self.second)
        await self.cashier.wait_until_idle()

    async def play(self, script: str, flow: str = "", **more: object) -> None:
        """A script of simulators.flows; with `flow` its transaction must be approved, and is `last`."""
        card, other = more.pop("card", None), more.pop("other", None)
        values = {**VALUES, "mobile": self.mobile, **{name: str(value) for name, value in more.items()}}
        visit = await self.cashier.play(script, card, other, values)  # type: ignore[arg-type]
        if flow:
            self.last = approved(visit, flow)

    def reading(self) -> int:
        """Where the counters of the second member's card stand now."""
        self._readings += BETWEEN_READINGS
        return self._readings

    async def sell(self, amount: int = EARN_RIAL) -> None:
        """A card was read: the amount, and the result put away."""
        await self.terminal.screen("amount")
        await self.terminal.press(f"{amount}{keypad.ENTER}")
        self.last = approved(await self.ended(), "earn")

    async def spend(self, points: int = REDEEMED) -> None:
        """A card was read: the points, and the result put away."""
        await self.terminal.screen("points")
        await self.terminal.press(f"{points}{keypad.ENTER}")
        self.last = approved(await self.ended(), "redeem")

    async def ended(self) -> Visit:
        """Whatever goes on comes to its end at the idle screen."""
        self.terminal.current_screen = None
        return await self.cashier.wait_until_idle()

    async def asked(self, **request: object) -> bytes:
        """What the register hears to this."""
        make = of_columns if self.register.kind == "columns" else of_fields
        answer = await self.register.ask(make(request))
        assert answer is not None, self.terminal.explain("the register heard nothing")
        return answer


Flow = Callable[[Counter], Awaitable[object]]


def _menu(digit: str) -> Flow:
    async def opened(at: Counter) -> None:
        """What the menu of seldom things has under a digit, begun and left again."""
        terminal = at.terminal
        terminal.forget_events()
        await terminal.press(MORE)
        await terminal.screen("menu")
        await terminal.press(digit)
        shown = await terminal.screen()
        while shown.name != IDLE:
            await terminal.press(keypad.CANCEL)
            shown = await terminal.screen()

    return opened


async def _earn_at_the_reader(at: Counter) -> None:
    await at.play("earn", "earn", card=at.second, amount=EARN_RIAL)


async def _bad_stripe(at: Counter) -> None:
    at.terminal.forget_events()
    await at.terminal.swipe(at.second, SwipeFaults(corrupt=Corruption.BAD_LRC))
    await at.terminal.screen("message")
    await at.terminal.press(keypad.CANCEL)
    await at.terminal.screen(IDLE)


async def _tap(at: Counter) -> None:
    at.terminal.forget_events()
    await at.terminal.ask("tap", **{**at.smart.to_tap(at.reading()), "do": "lay"})
    await at.sell()
    await _lift(at)


async def _tap_to_redeem(at: Counter) -> None:
    at.terminal.forget_events()
    await at.terminal.press(keypad.REDEEM)
    await at.terminal.screen("swipe")
    await at.terminal.ask("tap", **{**at.smart.to_tap(at.reading()), "do": "lay"})
    await at.spend()
    await _lift(at)


async def _lift(at: Counter) -> None:
    await at.terminal.ask("tap", do="lift")
    await asyncio.sleep(AWAY_MS / 1000)  # a hand; the reader sees that it has gone


async def _chip(at: Counter) -> None:
    at.terminal.forget_events()
    await at.terminal.ask("chip", **at.smart.to_insert(at.reading()))
    await at.sell()
    await at.terminal.ask("chip", do="take_out")


async def _chip_to_redeem(at: Counter) -> None:
    at.terminal.forget_events()
    await at.terminal.press(keypad.REDEEM)
    await at.terminal.screen("swipe")
    await at.terminal.ask("chip", **at.smart.to_insert(at.reading()))
    await at.spend()
    await at.terminal.ask("chip", do="take_out")


async def _scan(at: Counter) -> None:
    at.terminal.forget_events()
    assert (await at.terminal.ask("scanner", do="scan", text=member_code(at.second.number)))["read"]
    await at.sell()


async def _pull_each(at: Counter) -> None:
    for name in PULLED:
        at.terminal.forget_events()
        await at.terminal.unplug(name)
        await at.terminal.screen(IDLE)
        await at.terminal.plug(name)
        await at.terminal.screen(IDLE)


async def _without_paper(at: Counter) -> None:
    at.terminal.forget_events()
    at.terminal.printer.paper = False
    await at.terminal.swipe(at.second)
    await at.terminal.screen("amount")
    await at.terminal.press(f"{EARN_RIAL}{keypad.ENTER}")
    await at.terminal.screen("paper")
    at.terminal.printer.paper = True
    await at.terminal.press(keypad.ENTER)
    assert (await at.ended()).receipts


async def _register_sells(at: Counter) -> None:
    at.terminal.forget_events()
    asked = asyncio.create_task(at.asked(do="sale", amount=EARN_RIAL, receipt="A-17"))
    await at.terminal.screen("till_sale")
    await at.terminal.swipe(at.second)
    at.last = approved(await at.ended(), "earn")
    _is_good(at, await asked)


def _is_good(at: Counter, answer: bytes) -> None:
    code = Result.of(answer).code if at.register.kind == "columns" else answer.split(b"|")[1].decode("ascii")
    assert code == "00", f"the register heard {answer!r}"


async def _register_voids(at: Counter) -> None:
    at.terminal.forget_events()
    answer = await at.asked(do="void", stan=at.last.stan)
    await at.ended()
    assert answer


def _register(what: str) -> Flow:
    async def asks(at: Counter) -> None:
        await at.asked(do=what)

    return asks


async def _register_closes(at: Counter) -> None:
    at.terminal.forget_events()
    await at.asked(do="close")
    await at.ended()


async def _earn_offline(at: Counter) -> None:
    await at.line.unplug()
    visit = await at.cashier.earn(at.second, EARN_RIAL)
    assert visit.of("queued") is not None, at.terminal.explain("the earn was not kept")


async def _queue_sent(at: Counter) -> None:
    at.terminal.forget_events()
    await at.line.plug_in()
    assert (await at.terminal.transaction("advice")).approved
    await at.cashier.wait_until_idle()


async def _lost_answer(at: Counter) -> None:
    lost = at.line.add(ResetPeer(message_types=frozenset({"0210"}), times=1))
    approved(await at.cashier.earn(at.second, EARN_RIAL), "reversal")
    at.line.remove(lost)


async def _change_manager(at: Counter) -> None:
    terminal = at.terminal
    terminal.forget_events()
    await terminal.press(f"{MORE}0")
    await terminal.screen("manager_code")
    await terminal.press(f"{MANAGER}{keypad.ENTER}")
    await terminal.screen("manager")
    await terminal.press("4")
    await terminal.screen("manager_new")
    await terminal.press(f"{MANAGER}{keypad.ENTER}")
    await terminal.screen("manager_new_again")
    await terminal.press(f"{MANAGER}{keypad.ENTER}")
    await at.ended()


async def _foreign_card(at: Counter) -> None:
    visit = await at.cashier.play("earn_amount_first", foreign_card(), None, VALUES)
    assert visit == Visit((), ())


async def _events_read(at: Counter) -> None:
    def read() -> None:
        with SerialLine(at.terminal.place.service_bench) as line:
            assert list(fw_events.events(line))
            assert fw_events.counters(line)["boots"] == 1

    await asyncio.to_thread(read)


def _script(
    script: str, flow: str = "", who: str = "second", other: int | None = None, **more: object
) -> Flow:
    """A script with the first or second member's card, or a spare one by its number."""

    async def played(at: Counter) -> None:
        card = at.spare[int(who)] if who.isdigit() else getattr(at, who)
        await at.play(script, flow, card=card, other=None if other is None else at.spare[other], **more)

    return played


async def _enrol(at: Counter) -> None:
    await at.play("enrol", "activate", card=at.second, mobile=at.mobile_of_second)


async def _activate(at: Counter) -> None:
    approved(await at.cashier.activate(at.spare[3]), "activate")


async def _return_by_reference(at: Counter) -> None:
    await at.play("earn", "earn", card=at.second, amount=EARN_RIAL)
    await at.play("return_by_reference", "return", rrn=at.last.rrn, amount=EARN_RIAL)


async def _refund_by_reference(at: Counter) -> None:
    await at.play("redeem", "redeem", card=at.second)
    await at.play("refund_by_reference", "refund", rrn=at.last.rrn, amount=1_000)


async def _transfer(at: Counter) -> None:
    await at.play("transfer", "transfer", card=at.first, other=at.second)


# What is traded over and over, whatever came before.
TRADE: Final[Mapping[str, Flow]] = {
    "earn": _earn_at_the_reader,
    "balance": _script("balance", "balance"),
    "redeem": _script("redeem", "redeem"),
    "earn, amount first": _script("earn_amount_first", "earn", amount=900_000),
    "split": _script("split", "split", sale=2_000_000),
    "void": _script("void", "void"),
    "return": _script("return", "return", amount=100_000),
    "refund": _script("refund", "refund", amount=1_000),
}
DEVICES: Final[Mapping[str, Flow]] = {
    "tap": _tap,
    "tap to redeem": _tap_to_redeem,
    "chip": _chip,
    "chip to redeem": _chip_to_redeem,
    "scan": _scan,
    "register: sale": _register_sells,
    "register: void": _register_voids,
}
FLOWS: Final[Mapping[str, Flow]] = {
    "cashier": _script("cashier"),
    "enrol with PIN": _script("enrol_with_pin", "activate", "first"),
    "enrol": _enrol,
    "activate": _activate,
    "earn by mobile": _script("earn_by_mobile", "earn", amount=6_000_000),
    "earn": _earn_at_the_reader,
    "balance": _script("balance", "balance"),
    "redeem": _script("redeem", "redeem"),
    "refund": _script("refund", "refund", amount=1_000),
    "earn, amount first": _script("earn_amount_first", "earn", amount=900_000),
    "return": _script("return", "return", amount=100_000),
    "split": _script("split", "split", sale=2_000_000),
    "void": _script("void", "void"),
    "redeem by number": _script("redeem_by_number", "redeem", "first"),
    "balance by mobile": _script("balance_by_mobile", "balance"),
    "return by reference": _return_by_reference,
    "refund by reference": _refund_by_reference,
    "last receipt again": _script("copy"),
    "bad stripe": _bad_stripe,
    "foreign card": _foreign_card,
    **DEVICES,
    "register: last": _register("last"),
    "register: totals": _register("totals"),
    "register: status": _register("status"),
    "devices pulled out": _pull_each,
    "no paper": _without_paper,
    "earn offline": _earn_offline,
    "queue sent": _queue_sent,
    "lost answer": _lost_answer,
    "change PIN": _script("pin_change", "pin_change", "first"),
    "transfer": _transfer,
    "block": _script("block", "block", "first"),
    "unblock": _script("unblock", "unblock", "first", pin=NEW_PIN),
    "another card": _script("replace", "replace", "first", 0, pin=NEW_PIN),
    "manager's code chosen": _script("choose_manager"),
    "another card, by the manager": _script("replace_by_manager", "replace", "0", 1),
    "manager's code changed": _change_manager,
    "state and test": _script("test"),
    "training": _script("training"),
    "training: earn": _script("earn", amount=EARN_RIAL),
    "training: redeem": _script("redeem"),
    "training ended": _script("end_training"),
    "events read": _events_read,
    "register: close": _register_closes,
    **{f"under {digit} of the menu": _menu(digit) for digit in "0123456789A"},
    "earn before the close": _earn_at_the_reader,
    "batch close": _script("close_batch"),
}


@contextlib.asynccontextmanager
async def counter(
    shop: Shop,
    number: int,
    interpreter: Interpreter,
    update: Mapping[str, object],
    line: str = "tcp",
) -> AsyncIterator[Counter]:
    """A counter of an open shop, switched off at the end. line: how the terminal reaches the switch; one with
    a modem has the other kind of register, too."""
    proxy = FaultProxy(shop.switch.host, shop.switch.port)
    await proxy.start()
    settings: dict[str, object] = {**HASTE, "answer_timeout_ms": 15000, "port": proxy.port}
    by_columns = line == "tcp"
    till = Till(ECR17["message"] if by_columns else FIELDS)
    register = TillPort(till, "columns" if by_columns else "fields")
    register.repeat_s = PATIENCE_S
    further: dict[str, Plugged] = {"till": register}
    if line != "tcp":
        modem = line_named(line, "127.0.0.1", proxy.port)
        further["modem"] = modem
        settings["lines"] = [modem.line]
    options = Options(settings, reader_pace=0, devices=ALL_DEVICES, update=update, further=further)
    terminal = Terminal(Place(shop.data, str(10_000_001 + number)), interpreter, options)
    try:
        yield Counter(shop, number, terminal, proxy, register)
    finally:
        await terminal.stop()
        await proxy.stop()
