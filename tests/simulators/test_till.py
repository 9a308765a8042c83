"""A till beside the terminal: ours on a bad cable, and one that others wrote, on a real serial line."""

from __future__ import annotations

import os
import select
import threading
import tty
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transbank.POS.POSIntegrado import POSIntegrado

from simulators.till import ECR17, Result, Till, sale
from terminal.drivers.till import (
    ECR17_CHECKS,
    LAST,
    REVERSE,
    SALE,
    STATUS,
    TOTALS,
    Asked,
    NotTold,
    Sold,
    Told,
)
from terminal.drivers.till_columns import TillColumns
from terminal.drivers.till_fields import DECLINED, WAITS_FOR_CARD, TillFields

TERMINAL = "10000001"
MERCHANT = "100000000000001"
MOMENT = (2026, 11, 22, 15, 20, 30)


def sold(stan: str = "000042", points: int = 250) -> Any:
    one = Sold(True, "", "4589", "MAG", stan, "250V812PDYBK", MOMENT)
    one.amount, one.points, one.balance = 2400, points, 1240
    one.lines = (f"POINTS EARNED {points}", "BALANCE 1240")
    return one


class Cable:
    """Till and terminal; bytes come torn. Time goes on when nothing else does. sales: how many were asked."""

    def __init__(self, check: str, cuts: list[int], till: Till) -> None:
        self.till = till
        self.side: Any = TillColumns(TERMINAL, ECR17_CHECKS[check])
        self.events: list[Any] = []
        self.sales = 0
        self._cuts = cuts
        self._now_ms = 0

    def play(self, to_terminal: bytes, *, answers: bool = True) -> None:
        """Until nobody has anything to say."""
        while True:
            for piece in self._torn(to_terminal):
                self._happened(self.side.feed(piece, self._now_ms), answers)
            said = self.side.to_send()
            to_terminal = b"".join([self.till.hear(piece) for piece in self._torn(said)])
            if not to_terminal:
                to_terminal = self.till.repeat()
            if to_terminal or said:
                continue
            deadline = self.side.deadline_ms()
            if deadline is None:
                return
            self._now_ms = deadline
            self._happened(self.side.tick(deadline), answers)

    def _happened(self, events: list[Any], answers: bool) -> None:
        self.events += events
        for event in events:
            if isinstance(event, Asked) and event.what == SALE:
                self.sales += 1
                if answers:
                    self.side.progress("PLEASE WAIT")
                    one = sold(stan=f"{self.sales:06d}")
                    self.side.keep(one)
                    self.side.tell(self._now_ms, one.lines)
            elif isinstance(event, Asked) and event.what == LAST:
                self.side.tell(self._now_ms)

    def _torn(self, data: bytes) -> list[bytes]:
        pieces, place, turn = [], 0, 0
        while place < len(data):
            count = self._cuts[turn % len(self._cuts)]
            pieces.append(data[place : place + count])
            place, turn = place + count, turn + 1
        return pieces


@given(
    st.sampled_from(sorted(ECR17)),
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_one_sale_is_one_sale_on_a_bad_cable(
    check: str, cuts: list[int], deaf: int, mishears: int, loses_acks: int
) -> None:
    till = Till(ECR17[check], deaf=deaf, mishears=mishears, loses_acks=loses_acks)
    cable = Cable(check, cuts, till)
    cable.play(till.ask(sale(TERMINAL, "7", 2500, "3 APPLES")))
    assert cable.sales == 1
    if any(isinstance(event, NotTold) for event in cable.events):
        # It never heard; it asks, and sends no money again.
        till.deaf = till.mishears = till.loses_acks = 0
        till.heard.clear()
        cable.play(till.ask(f"{TERMINAL}0G{7:08d}0000".encode()))
    assert cable.sales == 1
    result = Result.of(till.heard[-1])
    assert (result.code, result.stan, result.card[-4:]) == ("00", "000001", "4589")
    assert set(till.progress) <= {"PLEASE WAIT         "}
    # The next customer buys the same.
    cable.play(till.ask(sale(TERMINAL, "7", 2500, "3 APPLES")))
    assert cable.sales == 2
    assert Result.of(till.heard[-1]).stan == "000002"


def test_a_busy_terminal_refuses_and_the_sale_goes_on() -> None:
    till = Till(ECR17["message"])
    cable = Cable("message", [1000], till)
    cable.play(till.ask(sale(TERMINAL, "7", 2500)), answers=False)
    other = Till(ECR17["message"])
    cable.till = other
    cable.play(other.ask(f"{TERMINAL}0T{7:08d}{0:08d}".encode()), answers=False)
    cable.side.refuse(TOTALS, "BUSY", 0)
    cable.play(b"", answers=False)
    assert other.heard[-1].startswith(f"{TERMINAL}0T01".encode())
    cable.till = till
    cable.side.keep(sold())
    cable.side.tell(10)
    cable.play(b"")
    assert Result.of(till.heard[-1]).stan == "000042"
    assert isinstance(cable.events[-1], Told)


# ---------------------------------------------------------------- a till that others wrote


class Counter:
    """A terminal on a serial line, in a thread of its own: it approves what it is asked."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.asked: list[Any] = []
        self.side: Any = TillFields(TERMINAL, MERCHANT)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        os.write(self.slave, b"\x00")
        self._thread.join()
        os.close(self.master)
        os.close(self.slave)

    def _run(self) -> None:
        while not self._stopped.is_set():
            readable, _, _ = select.select([self.master], [], [], 1)
            if not readable:
                continue
            for event in self.side.feed(os.read(self.master, 4096), 0):
                if isinstance(event, Asked):
                    self.asked.append(event)
                    self._answer(event)
            os.write(self.master, self.side.to_send())

    def _answer(self, asked: Any) -> None:
        if asked.what == SALE:
            self.side.progress(WAITS_FOR_CARD, 0)
            self.side.keep(sold())
            self.side.tell(0)
        elif asked.what == LAST:
            self.side.tell(0)
        elif asked.what == REVERSE:
            self.side.refuse(DECLINED, 0)
        elif asked.what == TOTALS:
            self.side.tell_totals(3, 7500, 0)


@pytest.fixture
def counter() -> Any:
    one = Counter()
    yield one
    one.stop()


def test_a_till_that_others_wrote_sells_and_asks(counter: Any) -> None:
    till = POSIntegrado()
    assert till.open_port(os.ttyname(counter.slave), 19200)
    till.timeout = 300  # each of them 0.2 s
    assert till.poll()
    answer = till.sale(2500, "A17")
    assert answer["success"] is True
    assert answer["terminal_id"] == TERMINAL
    assert answer["commerce_code"] == MERCHANT
    assert (answer["ticket"], answer["amount"]) == ("A17", "2400")
    assert (answer["last_4_digits"], answer["operation_number"]) == ("4589", "000042")
    assert (answer["real_date"], answer["real_time"]) == ("22112026", "152030")
    again = till.last_sale()
    assert again["operation_number"] == "000042"
    voucher = till.multicode_last_sale(send_voucher=True)["voucher"]
    assert [line.rstrip() for line in voucher] == ["POINTS EARNED 250", "BALANCE 1240"]
    refused = till.refund(42)
    assert refused["success"] is False
    totals = till.totals()
    assert (totals["tx_count"], totals["tx_total"]) == ("3", "7500")
    assert [one.what for one in counter.asked] == [STATUS, SALE, LAST, LAST, REVERSE, TOTALS]
    till.close_port()
