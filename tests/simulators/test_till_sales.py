"""The whole application with a cash register, on a clock that is handed in: one sale is one sale, whatever is
cut, lost or pulled out, and the register hears the truth."""

from __future__ import annotations

from typing import Any

import pytest

from simulators.till import ECR17, FIELDS, Result, Till, sale
from terminal.drivers.till import SALE, Asked
from terminal.flows.till import told_of
from terminal.message_tables import TAG_BASKET
from terminal.settings import check
from tests.terminal.desk import DEVICES, PAPER_OUT, SETTINGS, SWIPE, Desk, approve, decline
from tests.terminal.test_more_flows import track_of

TERMINAL = "10000001"
AMOUNT = 2_500_000
LAST = f"{TERMINAL}0G{7:08d}0000".encode()
TOTALS = f"{TERMINAL}0T{7:08d}{0:08d}".encode()
CLOSE = f"{TERMINAL}0C{7:08d}{0:08d}".encode()
STATUS = f"{TERMINAL}0s".encode()


class Register(Desk):
    """A desk with a register on a cable. `cut`: nothing passes."""

    def __init__(self, kind: str = "columns", checks: str = "message", **changed: Any) -> None:
        self.till = Till(ECR17[checks] if kind == "columns" else FIELDS)
        self.cut = False
        given = check({**SETTINGS, "till_check": checks})
        super().__init__(devices={**DEVICES, "till": kind}, till_check=given.till_check, **changed)

    def run(self) -> None:
        while True:
            super().run()
            said = self.sent.pop("till", b"")
            if self.cut or not said:
                return
            answer = self.till.hear(said)
            if self.till.heard and self.till.heard[-1][9:12] == b"E00":
                assert self.files["till"][:1] == b"K"  # kept before it is told
            if answer:
                self.app.heard("till", answer)

    def ask(self, message: bytes) -> None:
        self.till.heard.clear()
        data = self.till.ask(message)
        if not self.cut:
            self.app.heard("till", data)
        self.run()

    def sale(self, code: str = "X", amount: int = AMOUNT, text: str = "A-17") -> None:
        self.ask(sale(TERMINAL, "7", amount, text, code))

    @property
    def result(self) -> Result:
        """What the register heard last."""
        return Result.of(self.till.heard[-1])


def test_a_sale_from_the_register_needs_the_card_alone() -> None:
    desk = Register()
    desk.sale()
    assert (desk.screens[-1], "2,500,000" in str(desk.lines)) == ("till_sale", True)
    desk.swipe()
    mti, fields = desk.requests[-1]
    assert (mti, fields[4], fields[62]) == ("0200", "000002500000", "A-17")
    result = desk.result
    assert (result.code, result.card[-4:], result.entry) == ("00", "7898", "MAG")
    assert (result.stan, result.amount) == (fields[11], "02500000")
    assert [text.strip() for text in desk.till.progress] == ["SWIPE CARD", "PLEASE WAIT"]
    assert len(desk.printed) == 1
    desk.wait(10_000)
    desk.sale(text="A-18")
    desk.swipe()
    assert desk.result.code == "00"
    assert len(desk.transactions) == 2


def test_paying_with_points_says_what_is_left_to_pay() -> None:
    def switch(mti: str, fields: dict[int, Any]) -> Any:
        answer = approve(mti, fields)
        if mti == "0200":
            answer[1][48] = {1: fields[48][1], 2: "000000000150"}
        return answer

    desk = Register(switch=switch)
    desk.sale()
    desk.keys("B")
    desk.swipe()
    desk.keys("100#")
    assert desk.requests[-1][1][4] == "000000010000"
    assert (desk.result.code, desk.result.amount) == ("00", "02490000")


def test_a_bank_card_ends_no_sale_of_the_register() -> None:
    desk = Register()
    desk.sale()
    desk.swipe(track_of("4111111111111111"))
    assert desk.lines[0] == "Card"
    desk.wait(5_000)
    assert desk.screens[-1] == "till_sale"
    desk.swipe()
    assert desk.result.code == "00"
    assert len(desk.transactions) == 1
    desk.wait(10_000)
    desk.sale(text="A-18")
    desk.keys("A4111111111111111#")
    desk.wait(5_000)
    assert desk.result.reason == "NOT DONE"  # the line is up


@pytest.mark.parametrize("keys", ["*", ""])
def test_the_cashier_cancels_or_nobody_comes_and_the_register_is_told(keys: str) -> None:
    desk = Register()
    desk.sale()
    desk.keys(keys)
    desk.wait(0 if keys else 100_000)
    assert (desk.result.code, desk.result.reason) == ("01", "CANCELLED" if keys else "NO CARD")
    assert desk.mtis() == ["0800"]
    assert desk.screens[-1] == "idle"


def test_the_next_sale_waits_while_the_receipt_of_the_one_before_is_printed() -> None:
    desk = Register()
    desk.sale()
    desk.paper = PAPER_OUT
    desk.swipe()
    assert (desk.result.code, desk.screens[-1]) == ("00", "paper")
    desk.sale(text="A-18")
    assert desk.till.heard == []
    desk.keys("*")
    desk.wait(5_000)
    assert desk.screens[-1] == "till_sale"
    desk.swipe()
    assert desk.result.code == "00"
    assert [fields[62] for mti, fields in desk.requests if mti == "0200"] == ["A-17", "A-18"]


def test_what_the_switch_refuses_is_said_in_words() -> None:
    desk = Register(switch=decline("14"))
    desk.sale()
    desk.swipe()
    desk.wait(10_000)
    assert desk.result.code == "01"
    assert desk.result.reason


def test_no_answer_is_taken_back_and_the_register_is_told_so() -> None:
    desk = Register(switch=lambda mti, fields: approve(mti, fields) if mti != "0200" else None)
    desk.sale()
    desk.swipe()
    assert desk.till.heard == []
    desk.wait(60_000)
    assert desk.mtis() == ["0800", "0200", "0420"]
    assert desk.result.code == "01"


def test_a_register_that_is_pulled_out_in_the_middle_asks_when_it_is_back() -> None:
    desk = Register()
    desk.sale()
    desk.cut = True
    desk.app.device("till", False)
    desk.swipe()
    assert desk.transactions[-1]["approved"]
    desk.wait(30_000)
    assert desk.screens[-1] == "idle"
    desk.cut = False
    desk.app.device("till", True)
    desk.ask(LAST)
    assert (desk.result.code, desk.result.stan) == ("00", desk.requests[-1][1][11])
    assert len(desk.transactions) == 1


@pytest.mark.parametrize("comes_to", ["approved", "refused", "no line"])
def test_a_power_cut_at_any_write_and_the_register_hears_the_truth_of_this_sale(comes_to: str) -> None:
    first = Register()
    first.sale()
    first.swipe()
    first.wait(10_000)
    before = first.result.stan
    switch = decline("14") if comes_to == "refused" else approve
    desk = Register(files=first.files, switch=switch)
    desk.snapshots = []
    if comes_to == "no line":
        desk.reachable = False
        desk.lose_line()
    desk.sale()
    desk.swipe()
    desk.wait(20_000)
    assert desk.result.code == ("01" if comes_to == "refused" else "00")
    heard = set()
    for files, (sent, _, _) in desk.snapshots:
        later = Register(files=files, switch=switch)
        later.wait(30_000)
        later.ask(LAST)
        told = later.result
        if files["till"] == first.files["till"]:
            assert told.stan == before  # the sale hadn't begun
            continue
        assert told.stan != before
        sent_later = set(later.mtis())
        if comes_to == "no line":
            is_booked = bool(sent_later & {"0220", "0221"})
        else:
            is_booked = sent > 1 and "0420" not in sent_later
        assert (told.code == "00") == (is_booked and comes_to != "refused"), (sent, later.mtis(), told)
        heard.add(told.code)
        again = Register(files=later.files, switch=switch)
        again.ask(LAST)
        assert again.result == told
    assert heard == ({"01"} if comes_to == "refused" else {"00", "01"})


def test_an_earn_that_waits_for_a_line_is_a_sale_whose_points_follow() -> None:
    desk = Register(kind="fields")
    desk.reachable = False
    desk.lose_line()
    desk.ask(b"0200|2500000|A-17|||1|")
    desk.swipe()
    desk.wait(20_000)
    assert desk.till.heard[-1].split(b"|")[:2] == [b"0210", b"00"]
    desk.ask(b"0280|1|")
    assert b"POINTS FOLLOW" in desk.till.heard[-1]
    assert desk.till.heard[-1].split(b"|")[6:10:3] == [b"2500000", b"7898"]
    desk.reachable = True
    desk.wait(60_000)
    [advice] = [fields for mti, fields in desk.requests if mti == "0220"]
    assert advice[62] == "A-17"


def test_while_the_terminal_is_busy_the_register_waits_a_little() -> None:
    desk = Register()
    desk.keys("C")
    desk.sale()
    assert desk.till.heard == []
    desk.keys("*")
    assert desk.screens[-1] == "till_sale"
    desk.keys("*")
    desk.keys("C")
    desk.sale(text="A-18")
    desk.wait(25_000)
    assert (desk.result.code, desk.result.reason) == ("01", "BUSY")
    # The sale that is under way is not disturbed by another one.
    desk.wait(100_000)
    desk.sale(text="A-19")
    desk.ask(sale(TERMINAL, "8", 1, "B-1"))
    assert desk.result.reason == "BUSY"
    desk.swipe()
    assert desk.result.code == "00"


@pytest.mark.parametrize(
    ("text", "receipt", "basket"),
    [
        ("A-17;bread=120000;milk=2380000", "A-17", "bread=120000;milk=2380000"),
        (" bread=120000 ; milk=2380000 ", "0000007", "bread=120000;milk=2380000"),
        ("A-17;" + ";".join(f"item{number}=10000000" for number in range(7)), "A-17", None),
    ],
)
def test_the_register_says_what_it_sold(text: str, receipt: str, basket: str | None) -> None:
    desk = Register()
    desk.sale(text=text)
    desk.swipe()
    fields = desk.requests[-1][1]
    assert fields[62].lstrip("0") == receipt.lstrip("0")
    assert fields[48][TAG_BASKET] == (basket or text.partition(";")[2])
    assert TAG_BASKET not in desk.requests[0][1].get(48, {})


def test_items_that_are_too_many_are_left_out_whole_and_an_earn_that_waits_has_none() -> None:
    told = told_of(Asked(SALE, AMOUNT, "7", ";".join(f"item{number}=10000000" for number in range(9))))
    assert told[48][TAG_BASKET] == ";".join(f"item{number}=10000000" for number in range(8))
    desk = Register(kind="fields")
    desk.reachable = False
    desk.lose_line()
    desk.ask(b"0200|2500000|A-17|bread=120000||1|")
    desk.swipe()
    desk.wait(20_000)
    assert desk.till.heard[-1].split(b"|")[:2] == [b"0210", b"00"]
    desk.reachable = True
    desk.wait(60_000)
    [advice] = [fields for mti, fields in desk.requests if mti == "0220"]
    assert (advice[62], TAG_BASKET in advice.get(48, {})) == ("A-17", False)


def test_a_full_storage_is_told_before_anything_is_sent() -> None:
    desk = Register()
    desk.full = True
    desk.sale()
    assert desk.result.reason == "STORAGE ERROR"
    assert desk.mtis() == ["0800"]


def test_status_totals_and_void() -> None:
    desk = Register()
    desk.ask(STATUS)
    assert desk.till.heard[-1][9:10] == b"s"
    desk.sale()
    desk.swipe()
    stan = desk.result.stan
    rrn = desk.transactions[-1]["rrn"]
    desk.wait(10_000)
    desk.ask(TOTALS)
    assert desk.till.heard[-1][9:28] == b"T00" + b"%016d" % AMOUNT
    desk.ask(f"{TERMINAL}0S{7:08d}{stan}00".encode())
    desk.wait(10_000)
    mti, fields = desk.requests[-1]
    assert (mti, fields[3][:2], fields[37]) == ("0200", "02", rrn)
    assert desk.result.code == "00"
    desk.ask(f"{TERMINAL}0S{7:08d}99999900".encode())
    desk.wait(10_000)
    assert desk.result.code == "01"


def test_the_profile_with_pipes() -> None:
    desk = Register("fields")
    desk.ask(b"0100")
    desk.ask(b"0200|2500000|A-17|||1|")
    desk.swipe()
    said = [str(message, "ascii").split("|") for message in desk.till.heard]
    assert [fields[:2] for fields in said[:-1]] == [["0900", "78"], ["0900", "82"]]
    assert said[-1][:5] == ["0210", "00", SETTINGS["acceptor_id"], TERMINAL, "A-17"]
    assert said[-1][6] == "2500000"
    assert desk.requests[-1][1][62] == "A-17"
    later = Register("fields", files=desk.files)
    later.ask(b"0280|1|")
    assert later.till.heard[-1].startswith(b"0290|00|")
    assert b"TO PAY" in later.till.heard[-1]


def test_a_card_is_passed_before_the_register_is_heard() -> None:
    desk = Register()
    desk.app.heard("reader", SWIPE)
    desk.keys("1")
    desk.sale()
    assert desk.screens[-1] == "amount"
    desk.keys("**")
    assert desk.screens[-1] == "till_sale"
