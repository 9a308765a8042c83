"""Parameters and software as a terminal fetches them: in pieces, beside trade, over cuts of any kind."""

import hashlib
import json
import sys

from terminal import slots
from terminal.downloads import (
    DAMAGED,
    NEWS_MS,
    NO_BUNDLE,
    NOT_NEWER,
    NOT_SIGNED,
    NOT_WELL,
    OTHER_MODEL,
    PARAMETERS,
    REFUSED_PAUSE_MS,
    SOFTWARE,
    STEP_MISSING,
    WRONG_VALUE,
)
from tests.terminal.desk import Desk, approve

VECTORS = "tests/vectors/bundle.json"
# Each write is cut on CPython; on MicroPython, where a signature takes a while, some are.
IS_QUICK = sys.implementation.name == "cpython"
CUT_STEP = 1 if IS_QUICK else 7
CUT_HERE = ("parameters", "parameters.part", "software.offer", "refused", "boot")
GOOD = b'{"receipt_copies": 1, "piece_bytes": 64, "locale": "fa", "not_known_here": [1, 2]}'


class Cut(BaseException):
    """The power is gone."""


class Restart(BaseException):
    """The board starts again."""


def vectors():
    with open(VECTORS) as file:
        return json.loads(file.read())


def bundle(name="good"):
    return bytes.fromhex(vectors()["bundles"][name])


class Slot:
    """Files of a slot; each write counts, and may be the last one."""

    def __init__(self, board, files):
        self._board = board
        self.files = files

    def size(self, name):
        return len(self.files[name]) if name in self.files else None

    def read(self, name):
        return self.files.get(name)

    def piece(self, name, at, count):
        assert count <= 1024
        return self.files[name][at : at + count]

    def append(self, name, data):
        part = self._board.cut_at(len(data))
        self.files[name] = self.files.get(name, b"") + bytes(data[:part])
        self._board.after(part, len(data))

    def remove(self, name):
        self.files.pop(name, None)

    def clear(self):
        for name in list(self.files):
            self._board.after(self._board.cut_at(0), 0)
            del self.files[name]


class Update:
    """Of a desk: slots that outlive it. writes: left before the power goes; None: it stays."""

    model = "desk"
    version = 1
    needed = 1

    def __init__(self):
        self.keys = [bytes.fromhex(vectors()["keys"][0])]
        self.slots = ({}, {})
        self.writes = None
        self.half = False
        self.restarts = 0

    def slot(self, number):
        return Slot(self, self.slots[number])

    def restart(self):
        self.restarts += 1
        raise Restart

    def cut_at(self, length):
        """How much of a write gets there."""
        if self.writes is None:
            return length
        self.writes -= 1
        return length if self.writes >= 0 else length // 2 if self.half else 0

    def after(self, part, length):
        if self.writes is not None and self.writes < 0:
            raise Cut


class Shop(Desk):
    """A desk whose switch offers software and parameters."""

    def __init__(self, switch, files=None, update=None, **options):
        self.update = update
        Desk.__init__(self, files, switch, **options)

    def set_wall(self, moment):
        FILES[0] = self.files
        Desk.set_wall(self, moment)

    def _write(self, name, data):
        FILES[0] = self.files
        if self.update is not None and name in CUT_HERE:
            self.update.after(self.update.cut_at(0), 0)
        Desk._write(self, name, data)


class Switch:
    """Offers contents by kind, in pieces. asked: (code, at) of each; silent_at: answers that are lost."""

    def __init__(self, software=None, parameters=None, version=2):
        self.contents = {"902": software, "901": parameters}
        self.version = version
        self.asked = []
        self.told = None  # tags of the last sign-on
        self.lost = ()
        self.silent = False  # at sign-ons
        self.code = "00"
        self.spoil = None
        self.last = 0

    def offer(self, code):
        content = self.contents[code]
        if content is None:
            return None
        head = self.version.to_bytes(4, "big") + len(content).to_bytes(4, "big")
        return head + hashlib.sha256(content).digest()

    def __call__(self, mti, fields):
        mti, answer = approve(mti, fields)
        if mti != "0810":
            return mti, answer
        tags = fields[48]
        if fields[70] == "001":
            if self.silent:
                return None
            self.told = tags
            for code, tag in (("902", 0x34), ("901", 0x35)):
                offer = self.offer(code)
                if offer is not None and int(tags[0x30 if code == "902" else 0x31]) != self.version:
                    answer[48][tag] = offer
            return mti, answer
        at, count = int(tags[0x32]), int(tags[0x33])
        self.asked.append((fields[70], at))
        if len(self.asked) - 1 in self.lost:
            return None
        answer[39] = self.code
        if self.code == "00":
            piece = self.contents[fields[70]][at : at + count]
            answer[48] = {0x30: "%08d" % self.version, 0x32: tags[0x32]}
            answer[61] = self.spoil(at, piece) if self.spoil else piece
        return mti, answer


def updated(switch, files=None, update=None, **options):
    """(desk or None, update) after all was fetched: the terminal wants to start again."""
    update = update or Update()
    desk = None
    try:
        desk = Shop(switch, files, update, **options)
        desk.wait(60000)
    except Restart:
        pass
    return desk, update


# ---------------------------------------------------------------- parameters


def test_parameters_are_fetched_in_pieces_and_used():
    switch = Switch(parameters=GOOD)
    desk = Shop(switch, piece_bytes=32)
    desk.wait(100)
    assert desk.app.downloads.version == 2
    assert [at for _, at in switch.asked] == [0, 32, 64]
    settings = desk.app.settings
    assert (settings.receipt_copies, settings.piece_bytes, settings.locale) == (1, 64, "fa")
    assert settings.offline_most == 50 and settings.terminal_id == "10000001"
    assert switch.told[0x31] == "00000002"  # it has signed on again
    assert "parameters.part" not in desk.files
    again = Shop(switch, desk.files)
    assert again.app.settings.receipt_copies == 1 and len(switch.asked) == 3


def test_a_wrong_value_refuses_the_whole_version_and_keeps_the_one_before():
    before = Shop(Switch(parameters=GOOD))
    for content, what in (
        (b'{"receipt_copies": 3, "locale": "en"}', "receipt_copies: expected 1 or 2"),
        (b'{"entry_modes": ["swipe", "smell"]}', "entry_modes"),
        (b'{"receipt_copies": 1', "expected JSON"),
        (b"[]", "expected an object"),
        (b'{"x": "' + b"y" * 3100 + b'"}', "too long"),
    )[: None if IS_QUICK else 3]:
        switch = Switch(parameters=content, version=3)
        desk = Shop(switch, before.files)
        desk.wait(100)
        assert [said for said in desk.logs if what in said], (what, desk.logs)
        assert desk.app.downloads.version == 2 and desk.app.settings.receipt_copies == 1
        assert switch.told[0x37] == "00000003%02d" % WRONG_VALUE
        count = len(switch.asked)
        desk = Shop(switch, desk.files)
        assert len(switch.asked) == count  # not fetched again


def test_parameters_that_came_damaged():
    switch = Switch(parameters=GOOD)
    switch.spoil = lambda at, piece: piece[:-1] + b"?"
    desk = Shop(switch)
    assert desk.app.downloads.refused(PARAMETERS) == (2, DAMAGED)
    assert desk.app.downloads.version == 0 and desk.app.settings.receipt_copies == 2


def test_kept_parameters_that_were_changed_are_not_used():
    desk = Shop(Switch(parameters=GOOD))
    kept = desk.files["parameters"]
    for changed in (kept[:-1] + b"!", kept.replace(b'bytes": 64', b'bytes": 65'), b""):
        assert changed != kept
        desk.files["parameters"] = changed
        desk = Shop(approve, desk.files)
        assert desk.app.downloads.version == 0 and desk.app.settings.receipt_copies == 2
        assert desk.app.settings.piece_bytes == 512


def test_a_way_to_name_members_that_the_parameters_leave_out():
    desk = Shop(Switch(parameters=b'{"entry_modes": ["tap", "typed"]}'))
    desk.wait(100)
    desk.swipe()
    assert desk.screens[-1] == "message", desk.screens
    desk.wait(10000)
    desk.earn()
    assert not desk.transactions and set(desk.mtis()) == {"0800"}
    others = Shop(Switch(parameters=b'{"entry_modes": ["swipe"]}'))
    others.wait(100)
    others.earn()
    assert others.transactions[-1]["approved"]


def test_the_power_fails_at_each_write_of_parameters():
    for cut in range(0, 12, CUT_STEP):
        update = Update()
        update.writes = cut
        switch = Switch(parameters=GOOD)
        files = None
        try:
            desk = Shop(switch, None, update, piece_bytes=48)
            files = desk.files
        except Cut:
            files = FILES[0]
        update.writes = None
        desk = Shop(switch, files, update, piece_bytes=48)
        assert desk.app.downloads.version == 2, cut


# ---------------------------------------------------------------- software


def is_whole(update, number=1):
    return update.slots[number].get("terminal/app.mpy") == bundle()[-1540:-640]


def test_software_is_fetched_checked_and_put_on_trial():
    switch = Switch(software=bundle())
    _, update = updated(switch)
    assert is_whole(update) and update.restarts == 1
    assert sorted(update.slots[1]) == [
        "TABLE",
        "WHOLE",
        "terminal/__init__.mpy",
        "terminal/app.mpy",
        "terminal/flows/idle.mpy",
        "terminal/ui/fonts/small.mpy",
    ]
    assert switch.told[0x30] == "00000001" and switch.told[0x38] == "desk"
    # Its start: it is told, and with the sign-on it is well.
    files = FILES[0]
    store = Store(files)
    assert slots.started(store) == 1
    desk = Shop(switch, store.files, update)
    assert switch.told[0x30] == "00000002"
    assert slots.read(desk).newest == 2 and not slots.read(desk).is_on_trial
    assert not desk.app.downloads.is_on_trial


def test_a_version_that_never_signs_on_gives_way_and_is_told():
    switch = Switch(software=bundle())
    _, update = updated(switch)
    store = Store(FILES[0])
    assert [slots.started(store) for _ in range(4)] == [1, 1, 1, 0]
    desk = Shop(switch, store.files, update)
    assert switch.told[0x30] == "00000001"
    assert switch.told[0x36] == "00000002%02d" % NOT_WELL
    count = len(switch.asked)
    desk.wait(60000)
    assert len(switch.asked) == count
    # Nor after another one was refused, whatever a switch offers.
    desk.app.downloads.refuse(SOFTWARE, 5, NOT_SIGNED)
    Shop(switch, desk.files, update).wait(60000)
    assert switch.told[0x36] == "00000005%02d" % NOT_SIGNED and len(switch.asked) == count


def test_software_on_trial_that_can_not_sign_on_starts_again():
    _, update = updated(Switch(software=bundle()))
    store = Store(FILES[0])
    slots.started(store)
    try:
        Shop(approve, store.files, update, reachable=False).wait(3600000)
    except Restart:
        assert update.restarts == 2
    else:
        raise AssertionError("it waits for ever")


def test_what_is_not_for_this_terminal_is_refused_told_and_not_fetched_again():
    good = bundle()
    for content, version, reason in (
        (bundle("other model"), 2, OTHER_MODEL),
        (bundle("old"), 5, NOT_NEWER),
        (bundle("step"), 9, STEP_MISSING),
        (bundle("stranger"), 2, NOT_SIGNED),
        (good[:40] + bytes((good[40] ^ 1,)) + good[41:], 2, None),
        (good[:-1] + bytes((good[-1] ^ 1,)), 2, DAMAGED),
        (good[:100], 2, NO_BUNDLE),
        (good + b"x", 2, NO_BUNDLE),
        (b"something else", 2, NO_BUNDLE),
    )[: None if IS_QUICK else 2]:
        switch = Switch(software=content, version=version)
        desk, update = updated(switch)
        assert update.restarts == 0 and not update.slots[1], reason
        refused = desk.app.downloads.refused(SOFTWARE)
        assert refused[0] == version and (reason is None or refused[1] == reason), (refused, reason)
        assert switch.told[0x36] == "%08d%02d" % refused
        assert [said for said in desk.logs if "refused: " in said]
        count = len(switch.asked)
        desk.wait(60000)
        assert len(switch.asked) == count


def test_a_piece_that_is_lost_is_asked_for_again_and_only_that():
    switch = Switch(software=bundle())
    switch.lost = (1, 3)
    update = Update()
    try:
        Shop(switch, None, update, piece_bytes=300).wait(600000)
    except Restart:
        pass
    assert is_whole(update)
    places = [at for _, at in switch.asked]
    assert len(places) == len(set(places)) + 2


def test_a_card_goes_before_a_piece():
    switch = Switch(software=bundle())
    switch.lost = range(1, 1000)
    desk = Shop(switch, None, Update(), piece_bytes=128)
    assert len(switch.asked) == 2  # the second one is on its way
    desk.earn()
    assert desk.transactions[-1]["approved"]
    switch.lost = ()
    try:
        desk.wait(60000)
    except Restart:
        pass
    assert is_whole(desk.update) and switch.asked[2] == switch.asked[1]


def test_a_sale_between_two_pieces_of_a_bundle_that_is_refused():
    switch = Switch(software=bundle("stranger"))
    switch.lost = range(1, 1000)
    desk = Shop(switch, None, Update(), piece_bytes=128)
    assert "Update 0 %" in desk.lines[1]
    desk.earn()
    switch.lost = ()
    desk.wait(60000)
    assert not [said for said in desk.logs if "fault" in said], desk.logs
    assert desk.app.downloads.refused(SOFTWARE) == (2, NOT_SIGNED)
    assert "Update" not in desk.lines[1]


def test_what_is_new_is_noticed_while_nobody_is_there_and_no_call_is_made_for_it():
    switch = Switch()
    desk = Shop(switch)
    desk.wait(NEWS_MS - 1000)
    assert desk.mtis() == ["0800"]
    switch.contents["901"] = GOOD
    switch.silent = True
    desk.wait(2000)
    desk.earn()  # nobody waits for the answer
    assert desk.transactions[-1]["approved"] and desk.app.downloads.version == 0
    switch.silent = False
    desk.wait(REFUSED_PAUSE_MS)
    assert desk.app.downloads.version == 2
    asked = len(desk.requests)
    desk.reachable = False
    desk.lose_line()
    desk.wait(2 * NEWS_MS)
    assert len(desk.requests) == asked


def test_nothing_starts_while_somebody_is_at_the_terminal():
    switch = Switch(software=bundle())
    desk = Shop(switch, None, Update())
    for _ in range(2 if IS_QUICK else 1):
        desk.wait(4000)
        desk.earn()
    assert desk.update.restarts == 0
    try:
        desk.wait(10000)
    except Restart:
        pass
    assert desk.update.restarts == 1


def test_a_version_that_the_switch_has_no_more():
    switch = Switch(software=bundle())
    switch.code = "24"
    desk = Shop(switch, None, Update())
    desk.wait(20000)
    assert len(switch.asked) == 1
    switch.contents["902"] = None
    desk.wait(3600000)
    assert len(switch.asked) == 1 and switch.told is not None


def test_the_power_fails_at_each_write_of_software():
    good = bundle()
    for half in (False, True) if IS_QUICK else (True,):
        cut = 0
        while True:
            update = Update()
            update.slots[1]["left/over.mpy"] = b"of the version before"
            update.writes = cut
            update.half = half
            switch = Switch(software=good)
            try:
                Shop(switch, None, update).wait(10000)
            except Cut:
                pass
            except Restart:
                break  # no write is left to cut
            update.writes = None
            store = Store(FILES[0])
            assert slots.started(store) in (0, 1)
            if not slots.read(store).is_on_trial:
                try:
                    Shop(switch, store.files, update).wait(10000)
                except Restart:
                    pass
            assert is_whole(update) and "left/over.mpy" not in update.slots[1], cut
            assert slots.read(Store(FILES[0])).is_on_trial, cut
            cut += CUT_STEP
        assert cut > 8, cut


# What the last desk's storage holds, whatever it ended by.
FILES = [None]


class Store:
    """Files for `terminal.slots`, as a board's boot sees them."""

    def __init__(self, files):
        self.files = dict(files)

    def read(self, name):
        return self.files.get(name)

    def replace(self, name, data):
        self.files[name] = data
