"""The terminal's keys on a storage that is cut, full, changed or stolen; the service port that loads them."""

import os
from binascii import unhexlify

from terminal.dukpt import from_initial_key, ones
from terminal.hal.files import Storage
from terminal.injection import LONGEST_PAYLOAD, Service, frame
from terminal.journal import JournalError
from terminal.keys import COUNTER_BLOCK, FILE, Keys, LoadError, NoKey
from terminal.security import Seal
from tests.terminal.board_aes import aes
from tests.terminal.host_keys import (
    BARE_BLOCK,
    CHECK_VALUE,
    FIRST_SERIAL,
    INITIAL_KEY,
    INITIAL_KEY_ID,
    KEY_BLOCK,
)
from tests.terminal.host_keys import TRANSPORT_KEY as TRANSPORT_DIGITS

TRANSPORT_KEY = unhexlify(TRANSPORT_DIGITS)
# Another terminal's initial key of the same base key, its first serial and check value.
OTHER_BLOCK = (
    "D0176B1AX00N0200IK141234567890123457PB0C00000000B71F4853ACA4F652E6274A4CBFAD2D67EBEFCE105E8175CC"
    "8BB6843D72B9DE213A817C547BB3EB0D249ED5791FA045CFF5FAE4A99C91C81F8F21CF0FAB746CC7"
)
OTHER_SERIAL = "123456789012345700000001"
OTHER_CHECK_VALUE = "B75C0C"


class Power(Exception):
    """It has gone."""


class Board:
    """A board with files in memory. cut_after: after so many writings the power goes; fails: all fail."""

    aes = staticmethod(lambda *arguments: aes(*arguments))
    random = staticmethod(lambda count: os.urandom(count))

    def __init__(self, files=None):
        self.files = dict(files or {})
        self.storage = self
        self.writes = 0
        self.fails = False
        self.cut_after = None
        self.cut_late = False  # the power goes just after the last writing, not just before

    def read(self, name):
        return self.files.get(name)

    def replace(self, name, data):
        if self.fails:
            raise OSError(28)
        if self.cut_after == self.writes:
            if self.cut_late:
                self.files[name] = bytes(data)
            raise Power
        self.files[name] = bytes(data)
        self.writes += 1


def keys_on(board, transport_key=TRANSPORT_KEY, heard=None):
    heard = [] if heard is None else heard
    return Keys(board, transport_key, lambda level, what: heard.append(what))


def loaded(serial=FIRST_SERIAL):
    board = Board()
    keys = keys_on(board)
    keys.load(KEY_BLOCK, serial, CHECK_VALUE)
    return board, keys


def counter_of(transmission):
    return int.from_bytes(transmission.serial[8:], "big")


def stored_registers(board):
    """What a thief of storage and transport key would hold."""
    return keys_on(board)._held.registers


def refusal(call, *arguments):
    try:
        call(*arguments)
    except LoadError as error:
        return error.code
    return None


# ---------------------------------------------------------------- counters


def test_serials_begin_at_the_first_and_rise():
    _, keys = loaded()
    serials = [keys.transmission().serial for _ in range(3)]
    assert serials == [INITIAL_KEY_ID + bytes((0, 0, 0, count)) for count in (1, 2, 3)]


def test_the_storage_is_written_before_the_first_counter_of_a_block_is_used():
    board, keys = loaded()
    for count in range(1, 3 * COUNTER_BLOCK):
        counter = counter_of(keys.transmission())
        assert counter == count and stored_registers(board).counter > counter


def test_the_storage_derives_no_key_below_its_bound():
    board, keys = loaded()
    used = [bytes(INITIAL_KEY)]
    for _ in range(2 * COUNTER_BLOCK + 5):
        used.append(bytes(keys.transmission()._key))
    held = stored_registers(board)
    for bit in held.held():
        # a register derives the counters that have its ones and more below: none of them is below the bound
        counter = held.counter >> bit << bit | 1 << bit
        assert counter >= held.counter
        assert bytes(held.register(bit)) not in used
    again = from_initial_key(aes, INITIAL_KEY_ID, bytearray(INITIAL_KEY), held.counter)
    assert again.held() == held.held()
    for bit in held.held():
        assert again.register(bit) == held.register(bit)


def test_power_cut_at_every_writing_never_brings_a_serial_back():
    for late in (False, True):
        board, keys = loaded()
        used = set()
        for cut in range(12):
            board = Board(board.files)
            board.cut_after, board.cut_late = cut % 3, late
            keys = keys_on(board)
            try:
                for _ in range(2 * COUNTER_BLOCK + cut):
                    counter = counter_of(keys.transmission())
                    assert counter not in used and (not used or counter > max(used))
                    used.add(counter)
            except Power:
                pass
        assert len(used) > 10 * COUNTER_BLOCK


def test_power_cut_at_every_byte_of_a_writing():
    """On the unix board's files: a replacement is a new file and a renaming; the cut leaves a part of it."""
    path = (os.getenv("TMPDIR") or "/tmp") + "/vafa-keys-" + os.urandom(8).hex()
    os.mkdir(path)
    try:
        board, keys = loaded()
        before = board.files[FILE]
        keys.transmission()
        after = board.files[FILE]
        disk = Board()
        disk.storage = Storage(path)
        for length in range(0, len(after) + 1, 7):
            disk.storage.replace(FILE, before)
            with open(path + "/" + FILE + ".new", "wb") as file:
                file.write(after[:length])
            first = counter_of(keys_on(disk).transmission())
            assert first == 1  # nothing was sent: the writing had not ended
            assert counter_of(keys_on(disk).transmission()) == COUNTER_BLOCK
        disk.storage.remove(FILE)
    finally:
        os.rmdir(path)


def test_a_full_storage_gives_no_key():
    board, keys = loaded()
    board.fails = True
    for _ in range(2):
        try:
            keys.transmission()
        except JournalError:
            continue
        raise AssertionError
    board.fails = False
    assert counter_of(keys.transmission()) == 1


def test_wear_of_ten_thousand_messages():
    board, keys = loaded()
    board.writes = 0
    for _ in range(10000):
        keys.transmission().close()
    assert board.writes <= 10000 // COUNTER_BLOCK + 1
    assert max([len(data) for data in board.files.values()]) < 800


def test_counters_with_more_than_16_ones_are_passed_over_and_the_last_one_ends_it():
    board, keys = loaded("1234567890123456FFFE0000")
    counters = []
    while keys.trouble is None:
        counters.append(counter_of(keys.transmission()))
    assert counters == [0xFFFE0000] + [0xFFFE0000 + (1 << bit) for bit in range(16)] + [0xFFFF0000]
    assert max([ones(counter) for counter in counters]) == 16
    for spent in (keys, keys_on(board)):
        assert spent.trouble == "keys_spent"
        try:
            spent.transmission()
        except NoKey as error:
            assert error.reason == "keys_spent"
        else:
            raise AssertionError


# ---------------------------------------------------------------- at rest


def test_without_the_transport_key_nothing_is_read():
    board, keys = loaded()
    keys.transmission()
    for data in board.files.values():
        for secret in (INITIAL_KEY, keys.storage_key, INITIAL_KEY_ID):
            assert secret not in data
    heard = []
    stranger = keys_on(Board(board.files), bytes(16), heard)
    assert stranger.trouble == "keys_damaged" and stranger.storage_key is None
    assert heard == ["keys: changed, or sealed under another transport key"]


def test_a_changed_bit_is_noticed():
    board, _ = loaded()
    data = board.files[FILE]
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        assert keys_on(Board({FILE: bytes(changed)})).trouble == "keys_damaged"
    for length in range(0, len(data), 9):
        assert keys_on(Board({FILE: data[:length]})).trouble == "keys_damaged"


def test_the_initial_key_is_not_kept():
    board, keys = loaded()
    plain = Seal(aes, TRANSPORT_KEY, os.urandom).open(board.files[FILE], b"keys")
    assert INITIAL_KEY not in plain and keys.storage_key in plain


def test_storage_keys_differ_and_stay():
    board, keys = loaded()
    assert keys.storage_key != loaded()[1].storage_key and len(keys.storage_key) == 16
    assert keys_on(board).storage_key == keys.storage_key
    keys.load(OTHER_BLOCK, OTHER_SERIAL, OTHER_CHECK_VALUE)
    assert keys_on(board).storage_key == keys.storage_key


# ---------------------------------------------------------------- loading


def test_what_is_not_loaded_changes_nothing():
    rows = (
        (KEY_BLOCK[:-1] + "B", FIRST_SERIAL, CHECK_VALUE, "BLOCK"),
        (OTHER_BLOCK, FIRST_SERIAL, OTHER_CHECK_VALUE, "KSN"),
        (KEY_BLOCK, FIRST_SERIAL, "05EF46", "KCV"),
        (KEY_BLOCK, FIRST_SERIAL, "", "KCV"),
        (KEY_BLOCK, FIRST_SERIAL[:-2], CHECK_VALUE, "KSN"),
        (KEY_BLOCK, "zz" * 12, CHECK_VALUE, "KSN"),
        (KEY_BLOCK, "1234567890123456FFFFFFFF", CHECK_VALUE, "KSN"),
    )
    for block, serial, value, code in rows:
        board = Board()
        keys = keys_on(board)
        assert refusal(keys.load, block, serial, value) == code
        assert keys.trouble == "no_keys" and board.files == {} and keys.storage_key is None
    board.fails = True
    try:
        keys.load(KEY_BLOCK, FIRST_SERIAL, CHECK_VALUE)
    except JournalError:
        assert keys.trouble == "no_keys"


def test_a_key_never_starts_over():
    board, keys = loaded()
    for _ in range(70):
        keys.transmission()
    again = keys_on(board)
    for each in (keys, again):
        assert refusal(each.load, BARE_BLOCK, FIRST_SERIAL, CHECK_VALUE) == "KSN"
        last = counter_of(each.transmission())
        assert each.load(KEY_BLOCK, FIRST_SERIAL, CHECK_VALUE) == CHECK_VALUE  # asked again: already done
        assert counter_of(each.transmission()) == last + 1
    again.load(OTHER_BLOCK, OTHER_SERIAL, OTHER_CHECK_VALUE)
    again = keys_on(board)
    assert refusal(again.load, KEY_BLOCK, FIRST_SERIAL, CHECK_VALUE) == "KSN"
    again.load(KEY_BLOCK, "1234567890123456000000FF", CHECK_VALUE)
    assert counter_of(again.transmission()) == 0xFF


def test_the_settings_key_block_is_taken_once():
    board = Board()
    keys = keys_on(board)
    keys.provide(KEY_BLOCK, FIRST_SERIAL)
    assert counter_of(keys.transmission()) == 1
    again = keys_on(board)
    again.provide(KEY_BLOCK, FIRST_SERIAL)
    assert counter_of(again.transmission()) == COUNTER_BLOCK
    again.load(OTHER_BLOCK, OTHER_SERIAL, OTHER_CHECK_VALUE)
    once_more = keys_on(board)
    once_more.provide(KEY_BLOCK, FIRST_SERIAL)
    assert once_more.transmission().serial == unhexlify(OTHER_SERIAL)
    damaged = keys_on(Board({FILE: b"x" * 100}))
    assert refusal(damaged.provide, KEY_BLOCK, FIRST_SERIAL) == "STORAGE"
    damaged.load(KEY_BLOCK, FIRST_SERIAL, CHECK_VALUE)  # by a person at the port
    assert damaged.trouble is None


# ---------------------------------------------------------------- service port


class Port:
    """The service port of a terminal, asked by its frames."""

    def __init__(self, board=None):
        self.board = board or Board()
        self.logs = []
        self.keys = keys_on(self.board)
        self.service = Service(self.keys, "10000001", lambda level, what: self.logs.append(what))

    def ask(self, payload):
        answer = self.service.feed(frame(payload))
        assert answer[:1] == b"\x02" and answer[-2:-1] == b"\x03"
        text = str(answer[1:-2], "ascii")
        assert answer == frame(text)
        return text

    def inject(self, block=KEY_BLOCK, serial=FIRST_SERIAL, value=CHECK_VALUE, terminal="10000001"):
        return self.ask("|".join(("K1", terminal, serial, value, block)))


def test_injection():
    port = Port()
    said = port.ask("V1?").split("|")
    assert said[:3] == ["V1", "10000001", "empty"] and len(said[3]) == 6
    assert port.inject() == "OK|" + CHECK_VALUE
    assert port.ask("V1?").split("|")[2] == "loaded" and port.service.loaded == 1
    assert port.keys.transmission().serial == unhexlify(FIRST_SERIAL)
    assert port.logs == ["keys: loaded, KSN " + FIRST_SERIAL + ", KCV " + CHECK_VALUE]


def test_injection_refused():
    port = Port()
    rows = (
        (port.inject(terminal="10000002"), "TERMINAL"),
        (port.inject(value="000000"), "KCV"),
        (port.inject(block=KEY_BLOCK[:-1] + "B"), "BLOCK"),
        (port.inject(serial=OTHER_SERIAL), "KSN"),
        (port.inject(serial=""), "KSN"),
        (port.ask("K1"), "COMMAND"),
        (port.ask("K2|10000001"), "COMMAND"),
        (port.ask(""), "COMMAND"),
        (port.ask("V1"), "COMMAND"),
    )
    for said, code in rows:
        assert said.split("|")[:2] == ["ERR", code], said
        assert said.count("|") == 2 and KEY_BLOCK not in said
    port.board.fails = True
    assert port.inject().startswith("ERR|STORAGE|")
    assert port.service.loaded == 0 and port.keys.trouble == "no_keys"
    port.board.fails = False
    assert port.inject().startswith("OK")
    port.keys.transmission()
    assert port.inject() == "OK|" + CHECK_VALUE  # the answer was lost: asked again, done once
    assert port.inject(block=BARE_BLOCK).startswith("ERR|KSN|")  # the same key anew: no
    assert counter_of(port.keys.transmission()) == 2


def test_frames_torn_damaged_and_endless():
    port = Port()
    whole = frame("V1?")
    for cut in range(len(whole)):
        assert port.service.feed(whole[:cut]) == b""
        assert port.service.feed(whole[cut:]).startswith(b"\x02V1|")
    for place in range(1, len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        Port().service.feed(damaged)  # whatever it is taken for, it is no V1?
        assert not Port().service.feed(damaged).startswith(b"\x02V1|")
    assert port.service.feed(b"\x02" + b"A" * 10000).count(b"ERR|LENGTH|") == 1
    assert port.service.feed(b"noise\x02begun" + whole).startswith(b"\x02V1|")
    assert port.service.feed(b"\x02\xff\xfe\x03" + bytes([0xFF ^ 0xFE ^ 3])).startswith(b"\x02ERR|COMMAND|")
    assert len(KEY_BLOCK) + 50 < LONGEST_PAYLOAD
