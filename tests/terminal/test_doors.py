"""What stands at the doors, on either interpreter: readers that are never spoken to, what is fitted, what a
board file may say. Devices that answer are played in tests/simulators."""

import json
import os
from binascii import hexlify

from terminal.doors import KINDS, made, row_of
from terminal.doors.chip import ChipReader
from terminal.drivers.ccid import framed
from terminal.drivers.codes import member_code
from terminal.flows.wait import BAD_CARD
from terminal.flows.wait import CARD as CARD_READ
from terminal.settings import SettingsError, board
from terminal.ui.strings import pair_of
from tests.terminal.desk import CARD, DEVICES, SWIPE, Desk

PLAIN = {"scanner": "plain"}
# Bits of a head's lines, as its front end sends them.
CARD_LINE, CLOCK, DATA = 1, 8, 16
IDLE = 31


def fitted(more):
    devices = dict(DEVICES)
    devices.update(more)
    return devices


def with_plain_scanner(**options):
    desk = Desk(devices=fitted(PLAIN))
    desk.devices["scanner"].update(options)
    desk.app.device("scanner", True)
    desk.wait(100)
    return desk


def head_bits(text, backwards=False):
    """Bytes of a front end for a track 2 with its sentinels and LRC."""
    bits = [0] * 22
    for letter in text:
        value = ord(letter) - 0x30
        ones = [value >> place & 1 for place in range(4)]
        bits += ones + [1 - sum(ones) % 2]
    bits += [0] * 22
    if backwards:
        bits.reverse()
    said = bytearray((IDLE & ~CARD_LINE,))
    for bit in bits:
        levels = IDLE & ~CARD_LINE & ~(DATA if bit else 0)
        said += bytes((levels, levels & ~CLOCK, levels))
    said.append(IDLE)
    return bytes(said)


def test_stripe_as_bits():
    for backwards in (False, True):
        desk = Desk(devices=fitted({"reader": "bits"}))
        desk.swipe(head_bits(str(SWIPE[:-1], "ascii"), backwards))
        desk.keys("2500000#")
        assert desk.transactions[-1]["approved"]
        assert desk.requests[-1][1][35].startswith(CARD + "=")


def test_a_scanner_that_is_never_spoken_to():
    desk = with_plain_scanner()
    desk.hear("scanner", member_code(CARD).encode() + b"\r\n")
    desk.keys("2500000#")
    assert desk.transactions[-1]["approved"] and desk.requests[-1][1][2] == CARD
    assert desk.sent.get("scanner", b"") == b""


def test_what_a_scanner_sets_before_a_text():
    desk = with_plain_scanner(prefix="#Q")
    desk.app.device("scanner", False)
    desk.app.device("scanner", True)
    desk.wait(100)
    desk.hear("scanner", b"#Q" + member_code(CARD).encode() + b"\r")
    assert desk.screens[-1] == "amount"


def test_a_scan_that_says_nothing_to_us_is_told():
    desk = with_plain_scanner()
    for text, told in ((b"6219861234567890\r", "check"), (b"http://a.example/\r", "kind")):
        desk.hear("scanner", text)
        assert desk.logs[-1] == "scan: " + told and desk.screens[-1] == "message"
        desk.wait(5000)
        assert desk.screens[-1] == "idle"


def test_trouble_of_an_optional_device_is_logged_only():
    desk = with_plain_scanner(optional=True)
    shown = list(desk.screens)
    desk.app.device("scanner", False)
    desk.run()
    assert desk.logs[-1] == "scanner: missing" and not desk.app.usable("scanner")
    assert desk.app.trouble() is None and desk.app.fitted("scanner")
    assert desk.lines.count("No scanner") == 0
    assert [name for name in desk.screens[len(shown) :] if name != "idle"] == []


def test_the_service_port_is_none_of_a_cashiers_business():
    desk = Desk()
    desk.app.device("service", False)
    assert desk.app.trouble() is None


def test_babbling_ends_with_a_pause():
    desk = Desk()
    for _ in range(80):
        desk.hear("reader", b"@" * 100)
        desk.hear("keypad", b"xyz")
        desk.wait(100)
    assert desk.app.trouble() == ("reader", "babbling") and "Reader error" in desk.lines
    desk.hear("keypad", b"@" * 300 + b"C")
    assert not desk.app.usable("keypad") and "swipe" not in desk.screens
    desk.wait(2000)
    assert desk.app.trouble() is None
    desk.earn()
    assert desk.transactions[-1]["approved"]


def test_a_good_swipe_among_babble_counts():
    desk = Desk()
    for _ in range(40):
        desk.hear("reader", b"@" * 100)
    desk.hear("reader", b"\r")
    desk.swipe()
    assert desk.app.usable("reader") and desk.screens[-1] == "amount"


def test_a_key_that_stays_down():
    desk = Desk()
    desk.hear("keypad", b"5" * 200)
    assert desk.app.trouble() == ("keypad", "stuck")
    desk.hear("keypad", b"#")
    assert desk.app.trouble() is None, "another key: it came up again"


def test_each_trouble_has_its_text():
    for door, kind, module, _ in KINDS:
        if module is not None and door != "service":
            assert pair_of("no_" + door) and pair_of("bad_" + door), kind


def test_what_is_not_fitted_is_not_there():
    desk = Desk()
    assert not desk.app.fitted("tap") and not desk.app.usable("tap")
    assert row_of("reader")[1] == "ascii" and row_of("reader", "laser") is None
    assert made(desk.app, "display", "memory") is None


def wrong(devices):
    """What is said of a board file with these devices; None when it is taken."""
    path = (os.getenv("TMPDIR") or "/tmp") + "/vafa-board-" + str(hexlify(os.urandom(8)), "ascii")
    with open(path, "w") as file:
        file.write(json.dumps({"settings": "s", "storage": "t", "devices": devices}))
    try:
        board(path)
    except SettingsError as error:
        assert str(error).startswith(path + ": ")
        return str(error)[len(path) + 2 :]
    finally:
        os.remove(path)
    return None


def test_board_files():
    assert wrong({"reader": {"path": "/dev/ttyS1", "baud": 19200, "optional": True}}) is None
    assert wrong({"display": {"kind": "memory"}}) is None
    for devices, told in (
        ([], "devices: expected an object"),
        ({"lamp": {}}, "devices: lamp: expected one of "),
        ({"reader": 5}, "devices: reader: expected an object"),
        ({"reader": {"path": ""}}, "devices: reader: path: expected a path"),
        ({"reader": {"path": "a", "kind": "laser"}}, "devices: reader: kind: expected one of ascii, bits"),
        ({"reader": {"path": "a", "baud": 300}}, "devices: reader: baud: expected one of 9600"),
        ({"tap": {"path": "a", "optional": "no"}}, "devices: tap: optional: expected true or false"),
        ({"scanner": {"path": "a", "prefix": 1}}, "devices: scanner: prefix: expected the letters"),
    ):
        assert wrong(devices).startswith(told), (devices, wrong(devices))


# ---------------------------------------------------------------- the contact reader


class Quiet:
    """An application that only writes down."""

    def __init__(self):
        self.logged = []

    def log(self, level, what):
        self.logged.append(what)


ATR = bytes.fromhex("3b901100")
ATR_T0 = bytes.fromhex("3b055641464131")
# Of the kinds of commands: what a reader may answer; status and error, then data.
CHIP_ANSWERS = {
    0x62: ((0, 0, ATR + b"\x81"), (0, 0, ATR_T0), (0x42, 0xFB, b""), (0x41, 0xFE, b"")),
    0x65: ((1, 0, b""), (2, 0, b"")),
    0x6F: ((0, 0, b"\x90\x00"), (0, 0, b"\x6a\x82"), (0x41, 0xF6, b""), (0x80, 5, b"")),
}


class ContactReader:
    """What a reader on the line says to a door; `door` is that of the contact reader."""

    def __init__(self):
        self.door = ChipReader(Quiet(), "ccid")
        self.now_ms = 0
        self.asked = None  # the command that is open
        self.told = []
        self.plug(True)

    def plug(self, present):
        self.told += self.door.plugged(present, self.now_ms)
        self.hears()

    def hears(self):
        said = self.door.to_send()
        if said:
            self.asked = said[2:12]

    def says(self, data):
        self.told += self.door.feed(data, self.now_ms)
        self.hears()

    def answer(self, number=0):
        """To the open command; b"" when there is none."""
        if self.asked is None:
            return b""
        kind, sequence = self.asked[0], self.asked[6]
        answers = CHIP_ANSWERS[kind]
        status, error, data = answers[number % len(answers)]
        code = 0x81 if kind == 0x65 else 0x80
        return framed(bytes((code, len(data), 0, 0, 0, 0, sequence, status, error, 0)) + data)

    def waits(self):
        due_ms = self.door.deadline_ms()
        if due_ms is not None:
            self.now_ms = max(self.now_ms, due_ms)
            self.told += self.door.tick(self.now_ms)
            self.hears()


def test_a_card_that_bounces_as_it_wakes_up():
    reader = ContactReader()
    reader.door.wanted((CARD_READ,), 0)
    reader.says(reader.answer())
    for _ in range(3):
        reader.waits()
        assert reader.asked[0] == 0x62
        reader.says(b"\x50\x03" + reader.answer())
    reader.waits()
    reader.says(reader.answer(1))
    assert reader.asked[0] == 0x6F
    reader.says(reader.answer(1))
    assert [kind for kind, _ in reader.told] == [BAD_CARD] * 4


def test_notices_and_answers_in_any_order_are_one_command_at_a_time():
    chance = 7
    for _ in range(300):
        reader = ContactReader()
        reader.door.wanted((CARD_READ,), 0)
        for _ in range(40):
            chance = (chance * 1103515245 + 12345) & 0x7FFFFFFF  # the same on each interpreter
            what, number = chance >> 8 & 15, chance >> 12
            if what < 11:
                notice = (b"", b"\x50\x03", b"\x50\x02", b"\x50\x02\x50\x03")[number & 3]
                after = (b"", b"\x50\x03", b"\x50\x02", b"\xc0")[number >> 2 & 3]
                reader.says(notice + reader.answer(number >> 4) + after)
            elif what == 11:
                reader.door.wanted((CARD_READ,) if number & 1 else (), reader.now_ms)
                reader.hears()
            elif what == 12:
                reader.door.prove(b"12345678", reader.now_ms)
            else:
                reader.waits()
        # Whatever it was, the next card is read.
        reader.door.wanted((CARD_READ,), reader.now_ms)
        reader.door.dropped()
        reader.told = []
        reader.says(b"\x50\x02\x50\x03")
        for _ in range(60):
            if not reader.told:
                reader.says(reader.answer(1 if reader.asked and reader.asked[0] == 0x62 else 0))
                reader.waits()
        assert reader.told
