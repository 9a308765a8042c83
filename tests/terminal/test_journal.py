"""The journal and the STAN reservation: every state, every cut, every way a storage can fail."""

import os
from binascii import crc32

from terminal.journal import (
    APPROVED,
    DECLINED,
    LAST_STAN,
    NOT_SENT,
    OPEN_RECORDS,
    PRESENTED,
    REVERSED,
    SEGMENT_BYTES,
    SEGMENTS,
    SENT,
    STAN_BLOCK,
    STAN_FILE,
    Journal,
    JournalError,
    Stans,
)
from terminal.security import Seal
from tests.terminal.board_aes import aes

KEY = bytes(range(16))
REQUEST = b"request with 9364001234567890=29121010000"
ANSWER = b"answer, verified"


class Storage:
    """Files in memory. fails: every writing call fails; tears: bytes that a failing append leaves."""

    def __init__(self, files=None):
        self.files = dict(files or {})
        self.fails = False
        self.tears = 0

    def read(self, name):
        return self.files.get(name)

    def append(self, name, data):
        if self.fails:
            self.files[name] = self.files.get(name, b"") + data[: self.tears]
            raise OSError(28)
        self.files[name] = self.files.get(name, b"") + data

    def replace(self, name, data):
        if self.fails:
            raise OSError(28)
        self.files[name] = data

    def remove(self, name):
        if self.fails:
            raise OSError(28)
        self.files.pop(name, None)


class Unreadable(Storage):
    def read(self, name):
        raise OSError(5)


def journal_on(storage, key=KEY, heard=None):
    heard = [] if heard is None else heard
    return Journal(storage, Seal(aes, key, os.urandom), lambda level, what: heard.append(what))


def state_of(journal):
    pending = journal.pending()
    return pending and (pending.stan, pending.state, pending.request, pending.answer)


def raised(call, *arguments):
    try:
        call(*arguments)
    except JournalError as error:
        return str(error)
    return None


def test_each_state_after_a_restart():
    storage = Storage()
    journal = journal_on(storage)
    assert state_of(journal) is None
    journal.begin(7, REQUEST)
    for again in (journal, journal_on(storage)):
        assert state_of(again) == (7, SENT, REQUEST, None)
    journal.approve(7, ANSWER)
    for again in (journal, journal_on(storage)):
        assert state_of(again) == (7, APPROVED, REQUEST, ANSWER)
    journal.close(7, PRESENTED)
    for again in (journal, journal_on(storage)):
        assert state_of(again) is None


def test_each_closing_state():
    for closing in (DECLINED, REVERSED, NOT_SENT):
        storage = Storage()
        journal = journal_on(storage)
        journal.begin(1, REQUEST)
        journal.close(1, closing)
        assert state_of(journal) is None
        assert state_of(journal_on(storage)) is None


def test_states_go_forward_only():
    journal = journal_on(Storage())
    journal.begin(1, REQUEST)
    journal.approve(1, ANSWER)
    for closing in (REVERSED, DECLINED, NOT_SENT):
        try:
            journal.close(1, closing)
        except AssertionError:
            continue
        raise RuntimeError("an approved request was closed as something else")
    assert state_of(journal_on(Storage())) is None


def test_a_cut_at_every_byte_gives_the_last_whole_state():
    storage = Storage()
    journal = journal_on(storage)
    steps = [(0, None)]
    name = SEGMENTS[1]

    def done(state):
        steps.append((len(storage.files[name]), state))

    journal.begin(5, REQUEST)
    done((5, SENT, REQUEST, None))
    journal.approve(5, ANSWER)
    done((5, APPROVED, REQUEST, ANSWER))
    journal.close(5, PRESENTED)
    done(None)
    journal.begin(6, REQUEST)
    done((6, SENT, REQUEST, None))
    journal.close(6, REVERSED)
    done(None)
    assert list(storage.files) == [name]
    whole = storage.files[name]
    for cut in range(len(whole) + 1):
        expected = [state for length, state in steps if length <= cut][-1]
        torn = Storage({name: whole[:cut]})
        again = journal_on(torn)
        assert state_of(again) == expected, cut
        # Life goes on after the cut, and what is written then survives the next restart.
        again.begin(900, b"next")
        assert (again.pending().stan == 900) == (expected is None)
        if expected is not None:
            again.close(expected[0], PRESENTED if expected[1] == APPROVED else REVERSED)
        assert state_of(journal_on(torn)) == (900, SENT, b"next", None), cut


def test_a_damaged_byte_anywhere_never_invents_a_state():
    storage = Storage()
    journal = journal_on(storage)
    journal.begin(5, REQUEST)
    journal.approve(5, ANSWER)
    journal.close(5, PRESENTED)
    whole = storage.files[SEGMENTS[1]]
    possible = (None, (5, SENT, REQUEST, None), (5, APPROVED, REQUEST, ANSWER))
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        assert state_of(journal_on(Storage({SEGMENTS[1]: bytes(damaged)}))) in possible, place


def test_card_data_is_sealed():
    storage = Storage()
    journal = journal_on(storage)
    journal.begin(1, REQUEST)
    journal.approve(1, REQUEST)
    for data in storage.files.values():
        assert b"9364" not in data and b"request" not in data


def test_another_storage_key_is_told_and_stops_nothing():
    storage = Storage()
    journal_on(storage).begin(1, REQUEST)
    heard = []
    journal = journal_on(storage, bytes(16), heard)
    assert state_of(journal) is None
    changed = "was changed, or sealed under another key"
    assert heard == ["journal: the batch " + changed, "journal: STAN 000001 " + changed]


def test_segments_change_and_stay_small():
    storage = Storage()
    journal = journal_on(storage)
    used = set()
    for stan in range(1, 100):
        journal.begin(stan, REQUEST)
        assert state_of(journal_on(storage)) == (stan, SENT, REQUEST, None)
        journal.approve(stan, ANSWER)
        assert state_of(journal_on(storage)) == (stan, APPROVED, REQUEST, ANSWER)
        journal.close(stan, PRESENTED)
        assert state_of(journal_on(storage)) is None
        assert len(storage.files) == 1
        used.update(storage.files)
        for data in storage.files.values():
            assert len(data) <= SEGMENT_BYTES
    assert used == set(SEGMENTS)


def test_a_cut_between_new_segment_and_removal_of_the_old_one():
    storage = Storage()
    journal = journal_on(storage)
    stan = 0
    while list(storage.files) in ([], [SEGMENTS[1]]):
        before = dict(storage.files)
        stan += 1
        journal.begin(stan, REQUEST)
        after = dict(storage.files)
        journal.close(stan, REVERSED)
    both = Storage(before)
    both.files.update(after)
    assert len(both.files) == 2
    assert state_of(journal_on(both)) == (stan, SENT, REQUEST, None)
    assert list(both.files) == [SEGMENTS[0]]


def test_a_full_storage_lets_nothing_begin():
    storage = Storage()
    journal = journal_on(storage)
    storage.fails = True
    assert raised(journal.begin, 1, REQUEST)
    assert state_of(journal) is None
    storage.fails = False
    journal.begin(2, REQUEST)
    assert state_of(journal_on(storage)) == (2, SENT, REQUEST, None)


def test_an_approval_that_could_not_be_written_can_be_written_later():
    for tears in (0, 1, 7, 40):
        storage = Storage()
        journal = journal_on(storage)
        journal.begin(1, REQUEST)
        storage.fails = True
        storage.tears = tears
        assert raised(journal.approve, 1, ANSWER)
        assert state_of(journal) == (1, SENT, REQUEST, None)
        assert raised(journal.approve, 1, ANSWER)
        assert state_of(journal_on(Storage(storage.files))) == (1, SENT, REQUEST, None)
        storage.fails = False
        journal.approve(1, ANSWER)
        assert state_of(journal_on(storage)) == (1, APPROVED, REQUEST, ANSWER)


def test_closing_on_a_full_storage_is_told_and_made_up_for_later():
    storage = Storage()
    heard = []
    journal = journal_on(storage, heard=heard)
    journal.begin(1, REQUEST)
    journal.approve(1, ANSWER)
    storage.fails = True
    journal.close(1, PRESENTED)
    assert state_of(journal) is None and len(heard) == 1
    assert state_of(journal_on(Storage(storage.files))) == (1, APPROVED, REQUEST, ANSWER)
    storage.fails = False
    journal.begin(2, REQUEST)
    assert state_of(journal_on(storage)) == (2, SENT, REQUEST, None)


def test_bounds():
    journal = journal_on(Storage())
    assert raised(journal.begin, 1, bytes(2000))
    for stan in range(OPEN_RECORDS):
        journal.begin(1 + stan, REQUEST)
    assert raised(journal.begin, 99, REQUEST)


def test_a_storage_that_can_not_be_read_is_an_error_not_an_empty_journal():
    assert raised(journal_on, Unreadable())


def stans_on(storage, heard=None):
    heard = [] if heard is None else heard
    return Stans(storage, os.urandom, lambda level, what: heard.append(what))


def test_stans_count_and_never_come_twice_over_restarts():
    storage = Storage()
    taken = []
    for rounds in range(10):
        stans = stans_on(storage)
        taken += [stans.take() for _ in range(rounds * 30)]
    assert taken[:30] == list(range(1, 31))
    assert taken[30:90] == list(range(1 + STAN_BLOCK, 61 + STAN_BLOCK))
    assert len(taken) == len(set(taken))


def test_a_stan_is_reserved_before_it_is_given_out():
    storage = Storage()
    storage.fails = True
    stans = stans_on(storage)
    assert raised(stans.take)
    storage.fails = False
    assert stans.take() == 1
    storage.fails = True
    for expected in range(2, STAN_BLOCK + 1):
        assert stans.take() == expected
    assert raised(stans.take)
    assert raised(stans.take)
    storage.fails = False
    assert stans.take() == STAN_BLOCK + 1


def test_stans_begin_again_after_the_last_one():
    storage = Storage()
    stans = stans_on(storage)
    stans.take()
    digits = b"%06d" % (LAST_STAN - 10)
    storage.files[STAN_FILE] = digits + (crc32(digits) & 0xFFFFFFFF).to_bytes(4, "big")
    stans = stans_on(storage)
    storage.fails = True
    assert raised(stans.take)
    storage.fails = False
    assert [stans.take() for _ in range(STAN_BLOCK + 1)] == list(range(1, STAN_BLOCK + 2))
    assert stans_on(storage).take() == 2 * STAN_BLOCK + 1


def test_a_damaged_reservation_is_told_and_gives_valid_stans():
    for data in (b"", b"000065", b"000065xxxx", b"junk" * 10):
        heard = []
        stans = stans_on(Storage({STAN_FILE: data}), heard)
        assert len(heard) == 1
        assert 1 <= stans.take() <= LAST_STAN
