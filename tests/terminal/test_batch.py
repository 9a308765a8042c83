"""Batch totals, the queue of offline earns and the journal that joins them: a cut at every byte, held against
a model that knows no storage."""

import os
import sys

import terminal.journal
import terminal.queue
from terminal.batch import AGREED, CLOSE, REPORT, UPLOAD, Batch, counted, following
from terminal.flows.outcome import record_of
from terminal.journal import (
    APPROVED,
    BATCH_FILES,
    DECLINED,
    PRESENTED,
    QUEUED,
    SENT,
    Journal,
    JournalError,
)
from terminal.journal_reading import rejoin
from terminal.message import pack
from terminal.queue import CONTENT_BYTES, FILES, ITEMS, MOST, Queue
from terminal.security import Seal
from tests.terminal.board_aes import aes

# Each byte; where everything is interpreted ten times slower, some: the code is the same.
STRIDE = 1 if sys.implementation.name == "cpython" else 23
DAY = 20260824
MOMENT = b"\x20\x26\x08\x24\x14\x03\x05"


class PlainSeal:
    """Hides nothing, and knows its place: the tests look at storage, not at AES."""

    def close(self, plain, place=b""):
        return place + bytes(plain)

    def open(self, sealed, place=b""):
        if sealed[: len(place)] != place:
            raise ValueError
        return sealed[len(place) :]


class Disk:
    """Files in memory. is_cut: it remembers each writing call, so that a test can cut inside it."""

    def __init__(self, files=None, room=None, is_cut=False):
        self.files = dict(files or {})
        self.is_cut = is_cut
        self.calls = []  # (files before, name, data, whether it is an append); data None: removed
        self.room = room  # writing calls that still succeed; None: all

    def read(self, name):
        return self.files.get(name)

    def append(self, name, data):
        self._call(name, data, True)
        self.files[name] = self.files.get(name, b"") + data

    def replace(self, name, data):
        self._call(name, data, False)
        self.files[name] = data

    def remove(self, name):
        self._call(name, None, False)
        self.files.pop(name, None)

    def _call(self, name, data, is_append):
        if self.room is not None:
            if not self.room:
                raise OSError(28)
            self.room -= 1
        if self.is_cut:
            self.calls.append((dict(self.files), name, data, is_append))

    def cuts(self):
        """All that a power cut can leave behind during the calls so far."""
        for before, name, data, is_append in self.calls:
            yield before
            if not is_append:
                after = dict(before)
                after.pop(name, None) if data is None else after.update({name: data})
                yield after
                continue
            for length in range(1, len(data) + 1, STRIDE):
                after = dict(before)
                after[name] = after.get(name, b"") + data[:length]
                yield after


def counts(record, answer):
    """Numbers stand in the text: b"earn 250", b"ok 3"."""
    if not answer.startswith(b"ok"):
        return None
    return 1, int(record.split()[1]), int(answer.split()[1])


def opened(disk, seal=None, heard=None):
    heard = [] if heard is None else heard
    seal = seal or PlainSeal()

    def log(level, what):
        heard.append(what)

    journal = Journal(disk, seal, log, counts)
    batch = journal.batch
    queue = Queue(disk, seal, log, batch.head, batch.shown)
    rejoin(journal, queue, lambda content: int(content.split()[1]))
    return journal, queue


def seen(journal, queue):
    """What a terminal would do after a restart, without how it is stored."""
    pending = journal.pending()
    batch = journal.batch
    return (
        pending and (pending.stan, pending.state, pending.request, pending.answer, pending.number),
        batch.pack()[:5] + batch.pack()[7:],  # not how many files it lies in
        [queue.item(number) for number in range(queue.head, queue.tail)],
        list(journal.transactions()),
    )


def small_segments(test):
    """Small files, so that few records change them often."""

    def run():
        before = terminal.journal.SEGMENT_BYTES, terminal.queue.ITEMS
        terminal.journal.SEGMENT_BYTES, terminal.queue.ITEMS = 330, 4
        try:
            test()
        finally:
            terminal.journal.SEGMENT_BYTES, terminal.queue.ITEMS = before

    return run


def day_of_trade(journal, queue):
    """Yield after each call that changes something: all kinds of records, over several segments."""
    for number in range(7):
        stan = 10 + number
        journal.begin(stan, b"earn %d" % (100 + number))
        yield
        if number % 4 == 1:
            journal.close(stan, DECLINED)
            yield
            continue
        if number == 4:  # it never left: the same request is queued
            queued = queue.put(b"queued %d" % stan)
            journal.defer(stan, b"queued %d" % stan, queued)
            yield
            journal.told(stan, DAY, 700)
            yield
            continue
        journal.approve(stan, b"ok %d" % number)
        yield
        journal.close(stan, PRESENTED)
        yield
    for number in range(terminal.queue.ITEMS + 1):
        stan = 50 + number
        queued = queue.put(b"queued %d" % stan)
        journal.defer(stan, b"queued %d" % stan, queued)
        yield
        journal.told(stan, DAY, 50)
        yield
    while len(queue):
        number = queue.head
        answer = b"no" if number == 3 else b"ok 2"
        stan = int(queue.item(number).split()[1])
        journal.answered(stan, number, b"late %d" % (10 + number), answer)
        queue.drop()
        yield
    for step in ((CLOSE, 0), (UPLOAD, 3), (REPORT, 0)):
        journal.step(step + (MOMENT, 90 + step[0], AGREED))
        yield
    journal.begin_batch(following(journal.batch.current))
    yield
    journal.begin(95, b"earn 5")
    yield


@small_segments
def test_a_cut_at_every_byte_leaves_what_was_before_the_call_or_after_it():
    disk = Disk(is_cut=True)
    journal, queue = opened(disk)
    before = seen(journal, queue)
    cuts = 0
    segments = set()
    for _ in day_of_trade(journal, queue):
        after = seen(journal, queue)
        for files in disk.cuts():
            cuts += 1
            again = opened(Disk(files))
            found = seen(*again)
            assert found in (before, after), (cuts, found, before, after)
        disk.calls = []
        segments.update(disk.files)
        before = after
    assert cuts > 800 // STRIDE
    assert {"batch.0", "batch.1", "journal.0", "journal.1", "queue.0", "queue.1"} <= segments
    assert journal.batch.number == "000002" and not any(name.startswith("batch") for name in disk.files)


@small_segments
def test_after_a_cut_anywhere_life_goes_on_and_nothing_is_lost_or_counted_twice():
    disk = Disk(is_cut=True)
    journal, queue = opened(disk)
    places = []
    for _ in day_of_trade(journal, queue):
        for files in disk.cuts():
            places.append(files)
        disk.calls = []
    for files in places[::37]:
        torn = Disk(files)
        journal, queue = opened(torn)
        kept = [queue.item(number) for number in range(queue.head, queue.tail)]
        total = list(journal.batch.totals.get(1, [0, 0, 0]))
        if len(journal._open) < 4:
            journal.begin(600, b"earn 1000")
            journal.approve(600, b"ok 7")
            total = [total[0] + 1, total[1] + 1000, total[2] + 7]
        number = queue.put(b"queued 601")
        journal.defer(601, b"queued 601", number)
        journal.told(601, DAY, 1)
        again, after = opened(torn)
        assert again.batch.totals.get(1, [0, 0, 0]) == total
        assert [after.item(place) for place in range(after.head, after.tail)] == kept + [b"queued 601"]


@small_segments
def test_a_full_storage_refuses_and_changes_nothing():
    calls = 0
    while True:
        disk = Disk(room=calls)
        try:
            journal, queue = opened(disk)
            before = seen(journal, queue)
            day = day_of_trade(journal, queue)
            while True:
                next(day)
                before = seen(journal, queue)
        except StopIteration:
            break
        except JournalError:
            disk.room = None
            found = seen(*opened(Disk(disk.files)))
            # Closing counts as done and is made up for; all else is as before the call that was refused.
            assert found == before or found[1:] == before[1:]
        calls += 3 if STRIDE == 1 else 20
    assert calls > 40


def test_the_transactions_of_a_batch_are_all_there_in_their_order_over_many_segments():
    disk = Disk()
    seal = Seal(aes, bytes(16), os.urandom)
    journal = opened(disk, seal)[0]
    for number in range(60):
        journal.begin(number + 1, b"earn %d" % number + b" " * 100)
        journal.approve(number + 1, b"ok %d" % number + b" " * 60)
        journal.close(number + 1, PRESENTED)
    again = opened(Disk(disk.files), seal)[0]
    for one in (journal, again):
        found = list(one.transactions())
        assert [int(record.split()[1]) for record, _ in found] == list(range(60))
        assert one.batch.totals == {1: [60, sum(range(60)), sum(range(60))]}
    assert again.batch.files == journal.batch.files > 3
    for name in disk.files:
        assert len(disk.files[name]) <= 4096 and b"earn" not in disk.files[name]


@small_segments
def test_a_full_batch_is_told_before_anything_is_lost():
    journal = opened(Disk())[0]
    stan = 0
    while not journal.is_full:
        stan += 1
        journal.begin(stan, b"earn 1" + b" " * 100)
        journal.approve(stan, b"ok 1")
        journal.close(stan, PRESENTED)
    assert journal.batch.files == BATCH_FILES
    assert len(list(journal.transactions())) == journal.batch.entries == stan
    journal.begin_batch(2)
    assert not journal.is_full and list(journal.transactions()) == []


# ---------------------------------------------------------------- queue


def test_the_queue_takes_as_many_as_it_says_and_then_refuses():
    disk = Disk()
    queue = opened(disk)[1]
    for number in range(MOST):
        assert queue.put(b"item %d" % number) == number
    files = dict(disk.files)
    try:
        queue.put(b"too many")
        raise RuntimeError("a full queue took an item")
    except JournalError as error:
        assert "full" in str(error)
    assert disk.files == files and len(queue) == MOST
    assert len(files) == MOST // ITEMS < FILES
    queue.drop()
    assert queue.put(b"item %d" % MOST) == MOST


def test_the_queue_goes_round_its_files_for_ever():
    disk = Disk()
    queue = opened(disk)[1]
    number = 0
    while number < FILES * ITEMS + 50:
        for _ in range(20):
            queue.put(b"item %d" % number)
            number += 1
        while len(queue) > 3:
            assert queue.item(queue.head) == b"item %d" % queue.head
            queue.drop()
        queue = Queue(disk, PlainSeal(), lambda level, what: None, queue.head, queue.head)
        assert queue.tail == number
    assert len(disk.files) <= 3


def test_items_are_sealed_and_stay_below_the_largest_piece_of_memory():
    disk = Disk()
    seal = Seal(aes, bytes(16), os.urandom)
    queue = Queue(disk, seal, print, 0, 0)
    longest = CONTENT_BYTES - 16 - 8 - 16
    for _ in range(ITEMS):
        queue.put(b"9364001234567898" + bytes(longest - 16))
    (data,) = disk.files.values()
    assert len(data) <= 4096 and b"9364" not in data
    try:
        queue.put(bytes(400))
        raise RuntimeError("too long an item was taken")
    except JournalError:
        pass


def test_a_damaged_item_is_told_and_the_others_stay():
    disk = Disk()
    heard = []
    queue = Queue(disk, PlainSeal(), lambda level, what: heard.append(what), 0, 0)
    for number in range(ITEMS + 3):
        queue.put(b"item %d" % number)
    damaged = bytearray(disk.files["queue.0"])
    damaged[len(damaged) // 2] ^= 1
    disk.files["queue.0"] = bytes(damaged)
    again = Queue(disk, PlainSeal(), lambda level, what: heard.append(what), 0, 0)
    assert again.tail == ITEMS + 3 and len(heard) == 1
    kept = [again.item(number) for number in range(again.tail)]
    assert None in kept and kept[0] == b"item 0" and kept[-1] == b"item %d" % (ITEMS + 2)
    assert any("item" in what for what in heard[1:])


# ---------------------------------------------------------------- what counts as what


def record(mti, code, amount="000000010000"):
    fields = {3: code, 4: amount, 11: "000007", 12: "140305", 13: "0824", 41: "10000001"}
    fields.update({42: "100000000000001", 49: "364", 60: "000001", 37: "0A0000012345"})
    return record_of(mti, fields, 8, (2026, 8, 24, 14, 3, 5))


def answer(code="00", points=3):
    return pack("0210", {11: "000007", 12: "140305", 39: code, 41: "10000001", 48: {1: "%012d" % points}})


def test_each_kind_of_transaction_has_its_total():
    cases = (
        ("0200", "210060", 1),
        ("0220", "210060", 1),
        ("0200", "006000", 2),
        ("0100", "006000", 3),
        ("0220", "006000", 4),
        ("0200", "200060", 5),
        ("0200", "206000", 6),
        ("0200", "020060", 7),
        ("0200", "026000", 7),
        ("0200", "406060", 8),
    )
    for mti, code, tag in cases:
        assert counted(record(mti, code), answer()) == (tag, 10000, 3), (mti, code)
        assert counted(record(mti, code), answer("12")) is None
    for mti, code in (("0100", "306000"), ("0300", "720000"), ("0300", "700000")):
        assert counted(record(mti, code), answer()) is None, (mti, code)


def test_totals_are_written_as_the_switch_reads_them():
    batch = Batch()
    batch.count((1, 10**15, 250))
    batch.count((1, 5, 50))
    batch.count((7, 5, 50))
    batch.count(None)
    assert batch.totals_field() == {
        1: "000002" + "%016d" % (10**15 + 5) + "%016d" % 300,
        7: "000001" + "%016d" % 5 + "%016d" % 50,
    }
    assert batch.entries == 3
    again = Batch()
    again.unpack(batch.pack())
    assert again.totals == batch.totals and again.step is None


def test_the_day_of_queued_earns_begins_anew_with_the_day():
    batch = Batch()
    batch.queued(0, DAY, 100)
    batch.queued(1, DAY, 50)
    assert (batch.day_count, batch.day_amount, batch.shown) == (2, 150, 2)
    batch.queued(2, DAY + 1, 7)
    assert (batch.day_count, batch.day_amount) == (1, 7)


def test_a_request_that_was_queued_is_never_reversed_after_a_cut():
    disk = Disk()
    journal, queue = opened(disk)
    journal.begin(5, b"earn 100")
    number = queue.put(b"queued 5")
    journal.defer(5, b"queued 5", number)
    assert journal.pending().state == QUEUED
    journal.told(5, DAY, 100)
    assert journal.pending() is None
    assert opened(Disk(disk.files))[0].pending() is None
    journal.begin(6, b"earn 100")
    journal.approve(6, b"ok 1")
    assert opened(Disk(disk.files))[0].pending().state == APPROVED != SENT
