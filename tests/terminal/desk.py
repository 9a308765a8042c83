"""A terminal on a scripted desk: card, keys, line, printer, storage and time obey the test.

For test modules of either interpreter. The host here answers under the keys of `host_keys`.
"""

import os

import terminal
from terminal.app import Application
from terminal.drivers.receipt_printer import PRINTED_OUT
from terminal.flows.outcome import reversal_of
from terminal.flows.wait import PRINTER
from terminal.keys import Keys
from terminal.line import framed
from terminal.message import pack, split_mac, unpack
from terminal.text import later
from tests.terminal.board_aes import aes
from tests.terminal.host_keys import (
    CHECK_VALUE,
    FIRST_SERIAL,
    INITIAL_KEY,
    INITIAL_KEY_ID,
    KEY_BLOCK,
    TRANSPORT_KEY,
    HostKeys,
)

CARD = "9364001234567898"
TRACK2 = CARD + "=29121010000"
SWIPE = b";9364001234567898=29121010000?0\r"
SETTINGS = {
    "terminal_id": "10000001",
    "acceptor_id": "100000000000001",
    "acceptor_name": {"en": "Vafa Shop", "fa": "فروشگاه وفا"},
    "host": "127.0.0.1",
    "port": 8583,
    "tpdu": "6000030000",
    "answer_timeout_ms": 15000,
    "reversal_interval_ms": 5000,
    "locale": "en",
    "receipt_locales": ["en"],
    "card_prefixes": ["936400"],
    "transport_key": TRANSPORT_KEY,
}
SIGN_ON_TAGS = {0x10: "20260824140305", 0x11: "0001", 0x12: "00000100"}
DEVICES = {"reader": "ascii", "keypad": "bytes", "printer": "escpos", "service": "keys"}
OK, NEAR_END, PAPER_OUT = b"\x12", b"\x1e", b"\x72"
# Never in an event, nor in clear in the storage: card, PIN, one-time code, mobile number.
PIN, CODE, MOBILE = "8642", "975318", "09121234567"
SECRETS = (CARD, "=2912", PIN, CODE, MOBILE, MOBILE[1:])


def _prepared():
    """(settings, storage with loaded keys), made once: what does it is gone afterwards, as in a shop."""
    from terminal.settings import check

    class Board:
        random = staticmethod(lambda count: os.urandom(count))
        aes = staticmethod(lambda *arguments: aes(*arguments))
        read = staticmethod(lambda name: None)
        replace = staticmethod(lambda name, data: files.update({name: data}))

    files = {}
    board = Board()
    board.storage = board
    settings = check(SETTINGS)
    Keys(board, settings.transport_key, print).load(KEY_BLOCK, FIRST_SERIAL, CHECK_VALUE)
    return settings, files


_SETTINGS, LOADED = _prepared()
terminal.forget("terminal.settings")


def settings_with(changed):
    """The settings with other values, given as they are after the check."""
    settings = type(_SETTINGS)()
    for values in (_SETTINGS.__dict__, changed):
        for name in values:
            setattr(settings, name, values[name])
    return settings


class Full(OSError):
    """What a full storage raises."""


class Desk:
    """One terminal. Its surroundings behave well until a test says otherwise. files: LOADED unless given;
    devices: door -> kind, DEVICES unless given."""

    is_blind = False  # whether nothing is drawn

    def __init__(
        self, files=None, switch=None, reachable=True, full=False, read_only=False, devices=None, **changed
    ):
        self.files = dict(LOADED if files is None else files)
        self.full = full
        self.read_only = read_only  # the settings' file
        self.forgotten = 0  # how often its key block was
        self.snapshots = None  # [files after a write, what had been sent, shown and printed by then]
        devices = devices or DEVICES
        self.devices = {name: {"kind": kind, "handshake": True} for name, kind in devices.items()}
        self.sent = {}  # door -> bytes that its device got, but for the printer's
        self.now = 1000
        self.moment = None
        self.screens = []
        self.lines = []  # of the last screen
        self.logs = []
        self.transactions = []
        self.requests = []  # (mti, fields) as the switch got them, without key serial and MAC
        self.serials = []  # of the requests, as they came
        self.told = 0  # events
        self.printed = []  # lines of the receipts that came out
        self.receipt = None  # lines of the last one that the application told
        self.receipts = []  # events of all
        self.asked = 0  # how often the printer was asked for its state
        self.reachable = reachable
        self.connected = False
        self.wanted = self.held = True
        self.takes = None  # bytes that the next sendings take; None: all
        self.switch = switch or approve
        self.paper = OK
        self.draws = None
        self.initial_key = INITIAL_KEY
        self._replies = []
        self._said = []
        self.app = Application(self, settings_with(changed), self)
        if self.is_blind:
            self.app.print = self._print_unseen
        self.app.start()
        self.run()

    # the board

    clock = storage = property(lambda self: self)
    display = property(lambda self: None if self.is_blind else self)
    aes = staticmethod(lambda *arguments: aes(*arguments))
    random = staticmethod(lambda count: os.urandom(count))

    def now_ms(self):
        return self.now

    def set_wall(self, moment):
        self.moment = later(moment, -(self.now // 1000))

    def wall(self):
        return self.moment and later(self.moment, self.now // 1000)

    def read(self, name):
        return self.files.get(name)

    def size(self, name):
        return len(self.files[name]) if name in self.files else None

    def piece(self, name, at, count):
        return self.files[name][at : at + count]

    def append(self, name, data):
        self._write(name, self.files.get(name, b"") + data)

    def replace(self, name, data):
        self._write(name, data)

    def remove(self, name):
        self.files.pop(name, None)

    def forget_given_keys(self):
        if self.read_only:
            raise OSError(30)
        self.forgotten += 1

    def _write(self, name, data):
        if self.full:
            raise Full(28)
        self.files[name] = data
        if self.snapshots is not None:
            done = (len(self.requests), "approved" in self.screens, len(self.printed))
            self.snapshots.append((dict(self.files), done))

    def show(self, canvas):
        if self.draws:
            self.draws()
        assert (canvas.width, canvas.height) == (128, 64)
        return "frame"

    def emit(self, event):
        self.told += 1
        said = str(event)
        for secret in SECRETS:
            assert secret not in said, event["event"]
        if event["event"] == "screen":
            self.screens.append(event["name"])
            self.lines = event["lines"]
        elif event["event"] == "receipt":
            self.receipt = event["lines"]
            self.receipts.append(event)
        elif event["event"] == "log":
            self.logs.append(event["what"])
        elif event["event"] == "transaction":
            self.transactions.append(event)

    def fault(self, error):
        return type(error).__name__

    # the ports

    def connect(self):
        self.wanted = True

    def hang_up(self):
        self.connected = False

    def hold(self, is_wanted):
        self.held = is_wanted
        if not is_wanted:
            self.connected = self.wanted = False

    def send(self, data):
        assert self.connected
        if self.takes is not None:
            return self.takes
        assert data[2:7] == b"\x60\x00\x03\x00\x00"
        body, mac = split_mac(data[7:])
        mti, fields = unpack(data[7:])
        key_set = fields.pop(53)
        assert key_set[0] == 1 and key_set[1:9] == INITIAL_KEY_ID
        keys = HostKeys(key_set[1:], self.initial_key)
        assert not self.serials or keys.serial > self.serials[-1]
        assert fields.pop(128 if 128 in fields else 64) == mac == keys.request_mac(body)
        self.serials.append(keys.serial)
        self.requests.append((mti, fields))
        answer = self.switch(mti, fields)
        if answer is not None:
            self._replies.append((answer, keys))
        return len(data)

    def _carry(self):
        """What the application has for its devices."""
        for name in self.devices:
            if self.app.fitted(name):
                data = self.app.to_send(name)
                while data and name == "printer":
                    self._print(data)
                    data = self.app.to_send(name)
                if data:
                    self.sent[name] = self.sent.get(name, b"") + data

    def _print(self, data):
        """What the printer says to what it gets: how it is, how its paper is, that a receipt came out."""
        if data == b"\x10\x04\x02":
            self.asked += 1
            answer = self.paper and b"\x12"
        elif data == b"\x10\x04\x04":
            answer = self.paper
        elif bytes(data[-3:]) == b"\x1dr\x01":
            self.printed.append(self.receipt)
            answer = b"\0"
        else:
            return  # a strip
        if answer:
            self._said.append(answer)

    # what the test does

    def run(self):
        """Let everything that is under way arrive."""
        while True:
            self._carry()
            if self.wanted and self.held and self.reachable and not self.connected:
                self.wanted = False
                self.connected = True
                self.app.line_up()
            elif self._replies:
                (mti, fields), keys = self._replies.pop(0)
                self.answer(mti, fields, keys.answer_mac)
            elif self._said and self.is_blind:
                self._said.pop(0)
                self.app._deliver(PRINTER, PRINTED_OUT)
            elif self._said:
                self.app.heard("printer", self._said.pop(0))
            else:
                return

    def answer(self, mti, fields, mac=None):
        """The switch says something, now; mac: instead of the answer MAC of the last request."""
        message = pack(mti, fields, mac or self.host_keys().answer_mac)
        self.app.received(framed(message, b"\x60\x00\x00\x00\x03"))

    def wait(self, time_ms):
        end = self.now + time_ms
        while self.app.deadline_ms() is not None and self.app.deadline_ms() <= end:
            self.now = max(self.now, self.app.deadline_ms())
            self.app.tick()
            self.run()
        self.now = end

    def hear(self, name, data):
        """The device at a door says something."""
        self.app.heard(name, data)
        self.run()

    def swipe(self, data=SWIPE):
        self.app.heard("reader", data)
        self.run()

    def keys(self, keys):
        self.app.heard("keypad", keys.encode())
        self.run()

    def lose_line(self):
        self.connected = False
        self.app.line_down()
        self.run()

    def earn(self, keys="2500000#"):
        self.swipe()
        self.keys(keys)

    def host_keys(self, place=-1):
        """The switch's keys for a request that came."""
        return HostKeys(self.serials[place], self.initial_key)

    # what the test sees

    def records(self):
        """The fields of all requests that the journal holds now, as they stand there."""
        pending = self.app.journal.pending()
        return [] if pending is None else [reversal_of(pending.request)]

    def mtis(self):
        return [mti for mti, _ in self.requests]


class BlindDesk(Desk):
    """Nothing is drawn, on the display nor on paper, which always comes out: what isn't about dots takes a
    tenth of the time on MicroPython."""

    is_blind = True

    def _print_unseen(self, strips):
        self.printed.append(self.receipt)
        self._said.append(OK)


def echoes(fields):
    return {number: fields[number] for number in (11, 12, 41) if number in fields}


def approve(mti, fields):
    """A switch that knows every card and has given it 250 points."""
    answer = echoes(fields)
    answer[39] = "00"
    if mti == "0800":
        answer[48] = dict(SIGN_ON_TAGS)
        return "0810", answer
    answer[37] = "0A0000012345"
    answer[48] = {2: "%012d" % 250}
    if fields[3] == "210060" and mti == "0200":
        answer[48].update({1: "%012d" % (int(fields[4]) // 10000), 4: "0101", 5: "%012d" % 10000})
    if fields[3] == "006000":
        answer[48].update({1: fields[48][1], 4: "0102", 5: "%012d" % 100})
    return mti[:2] + chr(ord(mti[2]) + 1) + "0", answer


def decline(code, tags=None):
    def switch(mti, fields):
        return (approve if mti in ("0800", "0420", "0421") else always(code, tags))(mti, fields)

    return switch


def silent(mti, fields):
    """Signs on, reverses, and never answers anything else."""
    return approve(mti, fields) if mti in ("0800", "0420", "0421") else None


def dead(mti, fields):
    return None


def always(code, tags):
    """Answers everything with the same code."""

    def switch(mti, fields):
        answer = echoes(fields)
        answer[39] = code
        if tags:
            answer[48] = tags
        return mti[:2] + "10", answer

    return switch


def changed(fields, values):
    fields = dict(fields)
    fields.update(values)
    return fields
