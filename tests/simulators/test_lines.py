"""The whole application over a modem, on a clock that is handed in: dialled or mobile, first line or backup.

The simulated modem stands at the application's door; behind it the scripted desk's switch, or nobody.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.dial_host import DialHost
from simulators.gprs import Air, GprsModem
from simulators.modem import HayesModem, Number
from simulators.phone_line import MobileNetwork, PhoneLine
from simulators.till import ECR17, Till, TillPort
from terminal.flows.diagnostics import line_state
from terminal.message import pack
from terminal.settings import LINES, MUST, check
from terminal.ui import strings
from tests.terminal.desk import SETTINGS, Desk, approve

ANSWER_TPDU = b"\x60\x00\x00\x00\x03"
DIAL = {"kind": "dial", "numbers": ["1", "2"], "idle_s": 30}
GPRS = {"kind": "gprs", "access_point": "vafa"}
HOST = ("127.0.0.1", 8583)
TIMEOUT_MS = 15000
ON_THE_WAY = ("line_calling", "line_dialling", "line_connecting", "line_stands")


class Switch:
    """The desk's switch, at the far end of a mobile connection: frames with their length."""

    def __init__(self, desk: PhoneDesk) -> None:
        self._desk = desk

    def called(self) -> bytes:
        return b""

    def heard(self, data: bytes) -> bytes:
        answer = self._desk.decide(data[2:])
        return b"" if answer is None else len(answer).to_bytes(2, "big") + answer


class PhoneDesk(Desk):
    """A desk with a modem. `deaf`: the modem's end of the cable is cut."""

    def __init__(self, modem: Any, lines: list[Any], **changed: Any) -> None:
        self.modem = modem
        self.deaf = False
        self.cuts = 1000
        self.answered: dict[bytes, bytes | None] = {}
        self.flips: dict[
            str, int
        ] = {}  # "to host", "to terminal" -> after so many bytes of a call a bit flips
        self.bits_per_second = 0  # of the call, 0: no time passes; ten bits a byte
        self.said: list[str] = []  # first lines of all screens
        kind = "hayes" if isinstance(modem, HayesModem) else "sim800"
        devices = {"reader": "ascii", "keypad": "bytes", "printer": "escpos", "modem": kind}
        super().__init__(devices=devices, lines=check({**SETTINGS, "lines": lines}).lines, **changed)

    def decide(self, message: bytes) -> bytes | None:
        """What the switch says to a message with its TPDU; to the same bytes the same again."""
        if message not in self.answered:
            self.answered[message] = self._decided(message)
        return self.answered[message]

    def _decided(self, message: bytes) -> bytes | None:
        self.connected = True
        Desk.send(self, len(message).to_bytes(2, "big") + message)
        self.connected = False
        if not self._replies:
            return None
        (mti, fields), keys = self._replies.pop(0)
        return ANSWER_TPDU + pack(mti, fields, keys.answer_mac)

    def emit(self, event: Any) -> None:
        super().emit(event)
        if event["event"] == "screen":
            self.said.append(event["lines"][0])

    def run(self) -> None:
        while True:
            super().run()
            data = self.sent.pop("modem", b"")
            self._carry_slowly(len(data))
            said = self._of_modem(data)
            if not said:
                return
            self._carry_slowly(len(said))
            for place in range(0, len(said), self.cuts):
                self.app.heard("modem", said[place : place + self.cuts])

    def _carry_slowly(self, count: int) -> None:
        if self.bits_per_second and count and self.modem.is_online:
            end = self.now + count * 10_000 // self.bits_per_second
            while (due := self.app.deadline_ms()) is not None and due <= end:
                self.now = max(self.now, due)
                self.app.tick()
            self.now = end

    def _of_modem(self, data: bytes) -> bytes:
        if self.deaf:
            return b""
        if isinstance(self.modem, GprsModem):
            return self.modem.feed(data)
        now = self.now / 1000
        if not data:
            return self.modem.pass_time(now)
        was_online = self.modem.is_online
        said = self.modem.feed(self._flipped("to host", data) if was_online else data, now)
        return self._flipped("to terminal", said) if was_online and self.modem.is_online else said

    def _flipped(self, way: str, data: bytes) -> bytes:
        place = self.flips.get(way, -1)
        if place < 0:
            return data
        self.flips[way] = place - len(data)
        return data[:place] + bytes((data[place] ^ 0x10,)) + data[place + 1 :] if place < len(data) else data

    def wait(self, time_ms: int) -> None:
        end = self.now + time_ms
        while True:
            self.run()
            due = None if isinstance(self.modem, GprsModem) or self.deaf else self.modem.due()
            times = [self.app.deadline_ms(), None if due is None else int(due * 1000) + 1]
            coming = [time for time in times if time is not None and time <= end]
            if not coming:
                break
            self.now = max(self.now, min(coming))
            self.app.tick()
        self.now = end


def dialled(
    numbers: dict[str, Number] | None = None, lines: list[Any] | None = None, **changed: Any
) -> tuple[PhoneDesk, DialHost]:
    host = DialHost(lambda message: desk.decide(message))
    modem = HayesModem({"1": Number(host, seconds=8)} if numbers is None else numbers)
    for one in modem._numbers.values():
        assert one.subscriber in (None, host) or numbers is not None
    desk = PhoneDesk(modem, lines or [DIAL], **changed)
    return desk, host


def signed_on(desk: PhoneDesk) -> PhoneDesk:
    desk.wait(60_000)
    assert desk.mtis() == ["0800"]
    assert desk.screens[-1] == "idle"
    return desk


def mobile(air: Air | None = None, lines: list[Any] | None = None, **changed: Any) -> PhoneDesk:
    air = air or Air()
    desk = PhoneDesk(GprsModem("sim800", air), lines or [GPRS], **changed)
    air.hosts = {HOST: Switch(desk)}
    return desk


def test_the_page_knows_every_setting_every_text_and_every_wish() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lines.md").read_text("utf-8")
    for kind, rows in LINES.items():
        for name, _, otherwise in rows:
            [row] = [
                line for line in page.split("\n") if line.startswith(f"| {kind} ") and f"`{name}`" in line
            ]
            if otherwise and otherwise is not MUST:
                assert json.dumps(otherwise) in row, row
    for name in strings.names():
        if name.startswith("line_") and name not in ON_THE_WAY:
            title, _, _ = strings.text_of(name, "en").partition("\n")
            assert title in page, name
    for wanted in (PhoneLine("", 0), MobileNetwork("", 0), TillPort(Till(ECR17["message"]))):
        with pytest.raises(ValueError, match="expected one of") as refusal:
            asyncio.run(wanted.control({"do": "dance"}))
        for wish in str(refusal.value).partition("one of ")[2].split(", "):
            assert wish in page, wish


def test_a_sale_over_the_phone_is_dialled_while_the_amount_is_typed() -> None:
    desk, host = dialled()
    signed_on(desk)
    assert not desk.modem.is_online  # nothing was said for a while
    desk.swipe()
    assert desk.modem.dialled == ["1", "1"]
    assert desk.screens[-1] == "amount"
    desk.wait(9000)
    assert desk.modem.is_online
    desk.keys("2500000#")
    assert desk.transactions[-1]["approved"]
    assert desk.mtis() == ["0800", "0200"]
    desk.wait(34_000)
    assert not desk.modem.is_online
    assert host.is_ended


def test_what_a_call_comes_to_is_told_in_words() -> None:
    for result, said in (
        (7, "Number is busy"),
        (3, "No carrier"),
        (8, "Nobody answers"),
        (6, "No dial tone"),
    ):
        desk, _ = dialled({"1": Number(result=result, seconds=2), "2": Number(result=result, seconds=2)})
        desk.wait(100)
        assert desk.screens[-1] == "line"
        desk.wait(12_000)
        assert desk.modem.dialled == ["1", "2"] * 2
        assert said in desk.said
        desk.wait(600_000)
        # Ten minutes, and no dialling without end.
        assert 3 <= len(desk.modem.dialled) / 4 <= 8


def test_the_second_number_answers_when_the_first_is_busy() -> None:
    host = DialHost(lambda message: desk.decide(message))
    desk, _ = dialled({"1": Number(result=7, seconds=2), "2": Number(host, seconds=5)})
    signed_on(desk)
    assert desk.modem.dialled == ["1", "2"]


def test_the_cashier_need_not_wait_for_a_call() -> None:
    desk, host = dialled()
    signed_on(desk)
    desk.modem._numbers = {"1": Number(host, seconds=50)}
    desk.earn()
    assert desk.screens[-1] == "line"
    desk.keys("*")
    desk.wait(5000)
    assert desk.screens[-1] == "idle"
    assert desk.mtis() == ["0800"]


@settings(max_examples=6)
@given(st.integers(1, 12), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.booleans())
def test_a_bad_line_asks_again_and_books_once(
    cuts: int, mishears: int, spoils: int, forgets: int, says_ready: bool
) -> None:
    desk, host = dialled(lines=[{**DIAL, "invites": says_ready}])
    host.says_ready = says_ready
    signed_on(desk)
    desk.cuts = cuts
    host.mishears, host.spoils = mishears, spoils
    host.forgets = forgets if forgets + mishears < 3 else 0
    desk.earn()
    desk.wait(30_000)
    earned = [fields[11] for mti, fields in desk.requests if mti == "0200"]
    assert len(set(earned)) == 1  # a message that was sent again is the same
    done = [one["flow"] for one in desk.transactions]
    assert done in (["earn"], ["reversal"])
    assert ("0420" in desk.mtis()) == (done == ["reversal"])


@pytest.mark.parametrize("way", ["to host", "to terminal"])
def test_a_bit_that_flips_anywhere_books_once_or_takes_it_back(way: str) -> None:
    for place in (0, 1, 2, 3, 60, 84, 86):
        desk, host = dialled()
        signed_on(desk)
        desk.swipe()
        desk.wait(9000)
        desk.flips = {way: place}
        desk.keys("2500000#")
        desk.wait(200_000)
        assert desk.flips[way] < 0
        told = [(one["flow"], one["approved"]) for one in desk.transactions]
        assert told in ([("earn", True)], [("reversal", True)]), (place, told)
        assert ("0420" in desk.mtis()) == (told == [("reversal", True)])
        assert len({fields[11] for mti, fields in desk.requests if mti == "0200"}) <= 1
        assert host.heard_messages


def test_a_sale_at_2400_bits_a_second_takes_less_than_two_seconds_of_the_line() -> None:
    desk, host = dialled()
    signed_on(desk)
    desk.bits_per_second = 2400
    desk.swipe()
    desk.wait(9000)
    before = desk.now
    desk.keys("2500000#")
    assert desk.transactions[-1]["approved"]
    assert 500 < desk.now - before < 2000
    assert len(host.heard_messages) == 2  # sign-on and sale: nobody was so slow that it was sent again


def test_a_call_that_ends_at_any_byte_of_the_answer_is_reversed_or_booked() -> None:
    outcomes = set()
    for count in (1, 2, 3, 60, 114, 115, 116, 117, 200):
        desk, host = dialled()
        signed_on(desk)
        desk.modem._numbers = {"1": Number(host, seconds=8, drops_after=count)}
        desk.swipe()
        desk.wait(9000)
        desk.keys("2500000#")
        desk.modem._numbers = {"1": Number(host, seconds=8)}
        desk.wait(120_000)
        told = [(one["flow"], one["approved"]) for one in desk.transactions]
        assert told in ([("earn", True)], [("reversal", True)]), (count, told)
        assert ("0420" in desk.mtis()) == (told == [("reversal", True)])
        outcomes.add(told[0][0])
        assert desk.app.journal.pending() is None
    assert outcomes == {"earn", "reversal"}


def test_what_certainly_did_not_leave_is_not_reversed() -> None:
    desk, _ = dialled()
    signed_on(desk)
    desk.modem._numbers = {"1": Number(result=7), "2": Number(result=7)}
    desk.earn()
    desk.wait(10_000)
    assert desk.mtis() == ["0800"]
    assert desk.app.journal.pending() is None


def test_a_modem_that_is_pulled_out_while_the_answer_comes() -> None:
    desk, host = dialled(switch=lambda mti, fields: approve(mti, fields) if mti != "0200" else None)
    signed_on(desk)
    desk.earn()
    desk.wait(9000)
    assert desk.mtis() == ["0800", "0200"]
    desk.app.device("modem", False)
    desk.deaf = True
    desk.run()
    assert "reversal" in desk.screens
    desk.wait(60_000)
    assert "line: dial: silent" in desk.logs
    desk.deaf = False
    desk.modem = HayesModem({"1": Number(host)})
    desk.app.device("modem", True)
    desk.wait(400_000)
    assert desk.mtis() == ["0800", "0200", "0420"]
    assert desk.screens[-1] == "idle"


def test_a_backup_call_when_the_held_line_does_not_come_about() -> None:
    desk, _host = dialled(lines=[{"kind": "tcp"}, DIAL])
    desk.run()
    assert desk.mtis() == ["0800"]
    assert desk.modem.dialled == []
    desk.reachable = False
    desk.lose_line()
    desk.earn()
    desk.wait(20_000)
    assert desk.modem.dialled == ["1"]
    assert desk.transactions[-1]["approved"]
    assert desk.held is False  # one line at a time
    desk.wait(40_000)
    assert desk.held is True
    desk.reachable = True
    desk.wanted = True
    desk.run()
    desk.earn()
    assert [one["flow"] for one in desk.transactions] == ["earn", "earn"]
    assert desk.modem.dialled == ["1"]


def test_personal_data_is_enciphered_when_any_line_is_without_tls() -> None:
    for lines, is_open in (
        ([{"kind": "tcp"}], True),
        ([{"kind": "tcp"}, DIAL], False),
        ([DIAL, {"kind": "tcp"}], False),
        ([DIAL], False),
    ):
        desk, _ = dialled(lines=lines, tls=("ca", "certificate", "key"))
        desk.wait(15_000)
        desk.keys("C09121234567#")
        desk.wait(15_000)
        mti, fields = desk.requests[-1]
        assert mti == "0100"
        assert (0x07 in fields[48]) == is_open
        assert (0x20 in fields[48]) != is_open


# ---------------------------------------------------------------- mobile


def test_a_sale_over_the_air() -> None:
    desk = mobile(Air(boots=2, weak=1, searching=2))
    signed_on(desk)
    desk.wait(300_000)
    assert desk.app.line_carrier() == " gprs 17/31"  # the last one heard, also while there is no connection
    assert line_state(desk.app)[0][0].endswith(" gprs 17/31")
    desk.earn()
    desk.wait(1000)
    assert desk.transactions[-1]["approved"]
    desk.wait(300_000)
    desk.earn()
    desk.wait(1000)
    assert [one["approved"] for one in desk.transactions] == [True, True]
    assert desk.modem.commands.count("AT+CIICR") == 1  # the network stayed up


@pytest.mark.parametrize(
    ("air", "said"),
    [
        (Air(sim=1000), "No SIM card"),
        (Air(sim_state="SIM PIN"), "SIM is locked"),
        (Air(sim_state="SIM PUK"), "SIM is locked"),
        (Air(weak=1000), "No signal"),
        (Air(searching=1000), "No network"),
        (Air(registration=3), "SIM refused"),
        (Air(activates=False), "No mobile data"),
        (Air(attaches=False), "No mobile data"),
        (Air(is_fitted=False), "Modem silent"),
    ],
)
def test_what_the_air_is_like_is_told_in_words(air: Air, said: str) -> None:
    desk = mobile(air)
    desk.wait(140_000)
    assert desk.mtis() == []
    assert said in desk.said


def test_the_pin_of_the_sim_is_given_once_in_its_life() -> None:
    air = Air(sim_state="SIM PIN", sim_pin="4711")
    desk = mobile(air, [{**GPRS, "pin": "4711"}])
    signed_on(desk)
    air = Air(sim_state="SIM PIN", sim_pin="4711")
    desk = mobile(air, [{**GPRS, "pin": "0815"}])
    desk.wait(300_000)
    assert "SIM PIN wrong" in desk.said
    desk = mobile(air, [{**GPRS, "pin": "0815"}], files=desk.files)
    desk.wait(300_000)
    assert [one for one in desk.modem.commands if "0815" in one] == []
    desk = mobile(air, [{**GPRS, "pin": "4711"}], files=desk.files)
    signed_on(desk)


def test_the_network_takes_the_connection_away_before_the_answer() -> None:
    for what in ("drop", "deactivate"):
        desk = mobile(switch=lambda mti, fields: approve(mti, fields) if mti != "0200" else None)
        signed_on(desk)
        desk.earn()
        desk.wait(100)
        assert desk.mtis() == ["0800", "0200"]
        desk.app.heard("modem", getattr(desk.modem, what)())
        desk.run()
        desk.wait(60_000)
        assert desk.mtis() == ["0800", "0200", "0420"]
        assert [(one["flow"], one["approved"]) for one in desk.transactions] == [("reversal", True)]


def test_a_modem_that_says_nothing_of_what_it_was_given() -> None:
    desk = mobile()
    signed_on(desk)
    desk.modem.air.loses_send = 1
    desk.earn()
    desk.wait(TIMEOUT_MS + 60_000)
    assert desk.mtis() == ["0800", "0420"]  # it may have left: only the modem knows
    assert [(one["flow"], one["approved"]) for one in desk.transactions] == [("reversal", True)]
