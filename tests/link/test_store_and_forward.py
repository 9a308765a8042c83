"""What was put is kept, goes out in order, as a repeat the second time, and ends with an outcome."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from switch.link.store_and_forward import (
    DEAD_BYTES_WORTH_COMPACTING,
    UNSEALED,
    FileStorage,
    ForwardRules,
    QueueDamaged,
    QueueFull,
    QueueUnavailable,
    Seal,
    Sending,
    Stage,
    StoreAndForward,
)
from tests.link.exchange import CARD, DIALECT, purchase


class Memory:
    """A storage that can be cut: `fails` is told before each write and may raise or store a part."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.appends = 0
        self.replacements = 0
        self.broken = False
        self.half = False  # a failing append leaves half of it

    def read(self) -> bytes:
        return self.data

    def append(self, data: bytes) -> None:
        if self.broken:
            self.data += data[: len(data) // 2] if self.half else b""
            raise OSError(28, "No space left on device")
        self.data += data
        self.appends += 1

    def replace(self, data: bytes) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.data = data
        self.replacements += 1


def queue(storage: Memory | None = None, **rules: object) -> StoreAndForward:
    return StoreAndForward(storage or Memory(), UNSEALED, ForwardRules(**rules))  # type: ignore[arg-type]


def taken(forward: StoreAndForward, now: int) -> Sending:
    sending = forward.take(now)
    assert sending is not None
    return sending


def stages(forward: StoreAndForward) -> list[tuple[int, Stage]]:
    return [(outcome.number, outcome.stage) for outcome in forward.outcomes()]


# ---------------------------------------------------------------- the way of one message


def test_a_message_leaves_is_answered_and_its_outcome_stays_until_acknowledged() -> None:
    forward = queue()
    number = forward.put("10000001", b"advice", 1000)
    assert taken(forward, 1000) == Sending(number, b"advice", 1, False)
    assert forward.take(1000) is None
    assert forward.answered(number, "00", 2000) is Stage.ANSWERED
    [outcome] = forward.outcomes()
    assert outcome == (number, "10000001", b"advice", Stage.ANSWERED, "00", 1, 1000, 2000)
    forward.acknowledge(number)
    assert forward.outcomes() == []
    assert forward.metrics.size == forward.metrics.bytes == 0


def test_an_unanswered_message_goes_out_again_later_as_a_repeat() -> None:
    forward = queue(retry_delay_ms=1000, retry_delay_longest_ms=3000)
    number = forward.put("t", b"x", 0)
    now, waits = 0, []
    for attempt in range(1, 6):
        sending = taken(forward, now)
        assert (sending.attempt, sending.repeat) == (attempt, attempt > 1)
        forward.unanswered(number, now)
        assert forward.take(now) is None
        at = forward.next_at()
        assert at is not None
        waits.append(at - now)
        now = at
    assert waits == [1000, 2000, 3000, 3000, 3000]
    assert forward.metrics.retried == 4


@pytest.mark.parametrize("code", ["91", "96", "ZZ", None])
def test_a_code_that_means_later_is_tried_again(code: str | None) -> None:
    forward = queue(retry_delay_ms=1000)
    number = forward.put("t", b"x", 0)
    taken(forward, 0)
    assert forward.answered(number, code, 0) is Stage.SENT
    assert taken(forward, 1000).repeat


def test_any_other_code_refuses_it() -> None:
    forward = queue()
    number = forward.put("t", b"x", 0)
    taken(forward, 0)
    assert forward.answered(number, "58", 5) is Stage.REFUSED
    assert forward.outcomes()[0].response_code == "58"
    assert forward.metrics.discarded == 1


def test_it_is_given_up_after_so_many_attempts() -> None:
    forward = queue(maximum_attempts=2, retry_delay_ms=10)
    number = forward.put("t", b"x", 0)
    taken(forward, 0)
    assert forward.unanswered(number, 0) is Stage.SENT
    taken(forward, 10)
    assert forward.answered(number, "91", 10) is Stage.EXHAUSTED
    assert forward.outcomes()[0].response_code == "91"


def test_it_is_given_up_when_too_old_sent_or_not() -> None:
    forward = queue(expire_after_ms=60_000)
    first = forward.put("a", b"x", 0)
    second = forward.put("b", b"y", 10)
    taken(forward, 20)
    assert forward.next_at() == 20
    forward.unanswered(first, 20)
    forward.expire(59_999)
    assert forward.outcomes() == []
    forward.expire(60_010)
    assert stages(forward) == [(first, Stage.EXPIRED), (second, Stage.EXPIRED)]
    assert forward.metrics.expired == 2


def test_an_answer_that_is_under_way_still_counts_when_the_message_is_too_old() -> None:
    forward = queue(expire_after_ms=100)
    number = forward.put("t", b"x", 0)
    taken(forward, 50)
    forward.expire(500)
    assert forward.is_open(number)
    assert forward.answered(number, "00", 501) is Stage.ANSWERED
    other = forward.put("t", b"x", 600)
    taken(forward, 650)
    assert forward.unanswered(other, 9000) is Stage.EXPIRED


def test_an_attempt_of_which_nothing_left_does_not_count() -> None:
    forward = queue(maximum_attempts=1, retry_delay_ms=10)
    number = forward.put("t", b"x", 0)
    taken(forward, 0)
    forward.not_sent(number, 0)
    assert taken(forward, 10) == Sending(number, b"x", 1, False)
    assert (forward.metrics.sent, forward.metrics.retried) == (1, 0)


# ---------------------------------------------------------------- order


def test_messages_of_one_key_leave_in_order_one_at_a_time() -> None:
    forward = queue(retry_delay_ms=1000)
    a1, a2, b1 = (forward.put(key, key.encode(), 0) for key in ("a", "a", "b"))
    assert taken(forward, 0).number == a1
    assert taken(forward, 0).number == b1
    assert forward.take(0) is None
    forward.unanswered(a1, 0)
    assert forward.take(999) is None  # a2 does not overtake
    assert taken(forward, 1000).number == a1
    forward.answered(a1, "00", 1000)
    assert taken(forward, 1000).number == a2


@pytest.mark.parametrize("end", ["refused", "expired", "exhausted"])
def test_the_next_one_goes_when_the_one_before_it_is_given_up(end: str) -> None:
    forward = queue(expire_after_ms=100 if end == "expired" else None, maximum_attempts=1)
    first = forward.put("a", b"1", 0)
    second = forward.put("a", b"2", 90)
    taken(forward, 0)
    if end == "refused":
        forward.answered(first, "12", 100)
    else:
        forward.unanswered(first, 100)
    assert taken(forward, 100).number == second


def test_a_pause_between_messages_and_a_limit_on_those_outstanding() -> None:
    forward = queue(inter_message_delay_ms=50, maximum_outstanding=2)
    for key in "abc":
        forward.put(key, b"x", 0)
    taken(forward, 0)
    assert forward.take(49) is None
    assert forward.next_at() == 50
    second = taken(forward, 50)
    assert forward.take(100) is None
    assert forward.next_at() is None
    forward.answered(second.number, "00", 100)
    assert taken(forward, 100).number == 3


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    forward = queue(inter_message_delay_ms=50, retry_delay_ms=1000, retry_delay_longest_ms=1000)
    number = forward.put("a", b"x", 10_000_000)
    forward.put("b", b"y", 10_000_000)
    taken(forward, 10_000_000)
    forward.unanswered(number, 10_000_000)
    assert forward.take(1_000) is None
    assert taken(forward, 1_050).number == 2
    assert taken(forward, 2_000).number == number


# ---------------------------------------------------------------- room


def test_a_full_queue_says_so_and_counts_outcomes_that_nobody_took_note_of() -> None:
    forward = queue(capacity=2)
    first = forward.put("a", b"x", 0)
    forward.put("b", b"y", 0)
    with pytest.raises(QueueFull, match="2 messages"):
        forward.put("c", b"z", 0)
    taken(forward, 0)
    forward.answered(first, "00", 0)
    with pytest.raises(QueueFull):
        forward.put("c", b"z", 0)
    forward.acknowledge(first)
    forward.put("c", b"z", 0)
    assert forward.metrics.full == 2


def test_bytes_are_bounded_too_and_several_are_stored_whole_or_not_at_all() -> None:
    forward = queue(capacity_bytes=100)
    with pytest.raises(QueueFull):
        forward.put_all([("a", b"x" * 40), ("a", b"y" * 60)], 0)
    assert forward.metrics.size == 0
    assert forward.put_all([("a", b"x" * 40), ("a", b"y" * 40)], 0) == [1, 2]


def test_the_file_does_not_grow_with_what_is_over() -> None:
    storage = Memory()
    forward = queue(storage)
    for now in range(2_000):
        number = forward.put("t", b"x" * 100, now)
        taken(forward, now)
        forward.answered(number, "00", now)
        forward.acknowledge(number)
        assert len(storage.data) < DEAD_BYTES_WORTH_COMPACTING + 2_000
    assert storage.replacements < 20
    assert queue(Memory(storage.data)).put("t", b"x", 0) == 2_001  # numbers are never given twice


# ---------------------------------------------------------------- restarts, cuts, damage


def test_everything_is_there_after_a_restart() -> None:
    storage = Memory()
    forward = queue(storage, retry_delay_ms=1000)
    numbers = [forward.put(key, key.encode() * 3, 7) for key in "abcd"]
    taken(forward, 10)
    forward.answered(taken(forward, 10).number, "00", 11)
    forward.answered(taken(forward, 10).number, "58", 12)
    again = queue(Memory(storage.data))
    assert stages(again) == [(numbers[1], Stage.ANSWERED), (numbers[2], Stage.REFUSED)]
    assert again.outcomes() == forward.outcomes()
    first, fresh = taken(again, 20), taken(again, 20)
    assert first == Sending(numbers[0], b"aaa", 2, True)  # it may have arrived
    assert fresh == Sending(numbers[3], b"ddd", 1, False)


def history(storage: Memory) -> list[tuple[int, dict[int, Stage]]]:
    """A life of a queue: after each step, how long the file was and where each message stood."""
    forward = queue(storage, retry_delay_ms=10, maximum_attempts=2)
    steps = [(len(storage.data), {})]
    known: dict[int, Stage] = {}

    def note(number: int, stage: Stage | None) -> None:
        known[number] = stage if stage is not None else known.pop(number)
        steps.append((len(storage.data), dict(known)))

    for key in ("a", "a", "b"):
        note(forward.put(key, key.encode() * 5, 0), Stage.QUEUED)
    note(taken(forward, 0).number, Stage.SENT)
    note(taken(forward, 0).number, Stage.SENT)
    note(1, forward.answered(1, "00", 5))
    note(taken(forward, 5).number, Stage.SENT)
    forward.not_sent(2, 5)
    note(2, Stage.QUEUED)
    forward.unanswered(3, 5)
    note(taken(forward, 15).number, Stage.SENT)
    note(taken(forward, 15).number, Stage.SENT)
    note(3, forward.unanswered(3, 20))
    forward.acknowledge(1, 3)
    known.pop(1)
    known.pop(3)
    steps.append((len(storage.data), dict(known)))
    note(2, forward.answered(2, "58", 25))
    return steps


def test_a_cut_at_every_byte_loses_at_most_the_write_it_cut() -> None:
    storage = Memory()
    steps = history(storage)
    assert storage.replacements == 1  # all of it in one file
    for cut in range(len(storage.data) + 1):
        survived = queue(Memory(storage.data[:cut]))
        expected = [known for size, known in steps if size <= cut][-1] if cut >= steps[0][0] else {}
        if cut < steps[1][0]:
            expected = {}
        found = {outcome.number: outcome.stage for outcome in survived.outcomes()}
        while (sending := survived.take(10**9)) is not None:
            found[sending.number] = Stage.SENT if sending.repeat else Stage.QUEUED
            survived.answered(sending.number, "00", 10**9)
        assert found == expected, f"cut at {cut}"
        # And it goes on from there, on a whole file.
        number = survived.put("z", b"after", 10**9)
        assert queue(Memory(survived._storage.data)).is_open(number)  # type: ignore[attr-defined]


def test_garbage_behind_a_cut_is_a_torn_tail_too() -> None:
    storage = Memory()
    forward = queue(storage)
    forward.put("a", b"x", 0)
    whole = storage.data
    forward.put("b", b"y" * 50, 0)
    torn = whole + bytes(len(storage.data) - len(whole))  # the size got through, the bytes did not
    survived = queue(Memory(torn))
    assert survived.metrics.size == 1
    assert survived.metrics.tail_bytes_dropped == len(torn) - len(whole)


def test_damage_that_no_power_cut_makes_is_refused_at_every_byte() -> None:
    storage = Memory()
    forward = queue(storage)
    sizes = []
    for key in "abc":
        forward.put(key, key.encode() * 20, 0)
        sizes.append(len(storage.data))
    for place in range(sizes[1]):
        damaged = bytearray(storage.data)
        damaged[place] ^= 0x40
        with pytest.raises(QueueDamaged):
            queue(Memory(bytes(damaged)))


def test_a_write_that_fails_changes_nothing_and_the_next_good_one_mends_the_file() -> None:
    storage = Memory()
    forward = queue(storage)
    first = forward.put("a", b"x", 0)
    storage.broken = storage.half = True
    with pytest.raises(QueueUnavailable, match="No space left"):
        forward.put("b", b"y" * 99, 0)
    with pytest.raises(QueueUnavailable):
        forward.take(0)
    assert forward.metrics.size == 1
    assert queue(Memory(storage.data)).metrics.size == 1
    storage.broken = False
    sending = taken(forward, 0)
    assert sending == Sending(first, b"x", 1, False)
    storage.broken = True
    with pytest.raises(QueueUnavailable):
        forward.answered(first, "00", 1)
    forward.postpone(first, 1)
    storage.broken = False
    assert taken(forward, 10_000).repeat
    forward.answered(first, "00", 10_000)
    assert stages(queue(Memory(storage.data))) == [(first, Stage.ANSWERED)]


# ---------------------------------------------------------------- the seal, the file


def sealed() -> Seal:
    key = AESGCM(secrets.token_bytes(16))

    def encrypt(plain: bytes) -> bytes:
        nonce = secrets.token_bytes(12)
        return nonce + key.encrypt(nonce, plain, None)

    return Seal(encrypt, lambda content: key.decrypt(content[:12], content[12:], None))


def test_no_card_number_stands_in_the_file(tmp_path: Path) -> None:
    content = DIALECT.encode(purchase(1, mti="0220"))
    storage = FileStorage(tmp_path / "queue")
    seal = sealed()
    forward = StoreAndForward(storage, seal)
    forward.put(CARD, content, 0)  # even when the card is the key
    sending = taken(forward, 0)
    forward.unanswered(sending.number, 0)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for form in (CARD.encode(), bytes.fromhex(CARD), content[10:20]):
        assert form not in written
    assert StoreAndForward(storage, seal).take(10**6) == Sending(1, content, 2, True)
    forward.answered(1, "00", 1)
    for shown in (repr(sending), repr(forward.outcomes()), str(forward.metrics)):
        assert CARD not in shown
        assert repr(content)[2:20] not in shown


def test_a_queue_of_another_key_is_refused_and_kept(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "queue")
    StoreAndForward(storage, sealed()).put("a", b"x", 0)
    before = (tmp_path / "queue").read_bytes()
    with pytest.raises(QueueDamaged, match="another key"):
        StoreAndForward(storage, sealed())
    assert (tmp_path / "queue").read_bytes() == before


def test_one_process_holds_the_file(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "queue")
    with pytest.raises(QueueUnavailable, match="another process holds it"):
        FileStorage(tmp_path / "queue")
    storage.close()
    FileStorage(tmp_path / "queue").close()


def test_a_file_that_was_being_written_anew_is_thrown_away(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "queue")
    StoreAndForward(storage, UNSEALED).put("a", b"x", 0)
    storage.close()
    (tmp_path / "queue.new").write_bytes(b"half of")
    assert StoreAndForward(FileStorage(tmp_path / "queue"), UNSEALED).metrics.size == 1
    assert not (tmp_path / "queue.new").exists()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(QueueUnavailable, match="No such file"):
        FileStorage(tmp_path / "missing" / "queue")


# ---------------------------------------------------------------- any life


class AnyQueue(RuleBasedStateMachine):
    """Any order of puts, sendings, answers, failing disks and restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Memory()
        self.now = 0
        self.rules = {"retry_delay_ms": 100, "maximum_attempts": 3, "expire_after_ms": 5_000, "capacity": 12}
        self.forward = queue(self.storage, **self.rules)
        self.lines: dict[str, list[int]] = {}  # what is open, in order
        self.all: dict[int, bytes] = {}
        self.done: set[int] = set()
        self.out: dict[int, str] = {}
        self.sent_before: set[int] = set()

    @rule(key=st.sampled_from("ab"), size=st.integers(0, 30))
    def put(self, key: str, size: int) -> None:
        try:
            number = self.forward.put(key, bytes(size), self.now)
        except (QueueFull, QueueUnavailable):
            return
        assert number not in self.all
        self.all[number] = bytes(size)
        self.lines.setdefault(key, []).append(number)

    @rule()
    def take(self) -> None:
        try:
            sending = self.forward.take(self.now)
        except QueueUnavailable:
            return
        finally:
            self.see_ends()
        if sending is None:
            return
        [key] = [key for key, line in self.lines.items() if sending.number in line]
        assert self.lines[key][0] == sending.number, "overtaken"
        assert sending.number not in self.out
        assert sending.content == self.all[sending.number]
        assert sending.repeat or sending.number not in self.sent_before, "sent twice as new"
        self.sent_before.add(sending.number)
        self.out[sending.number] = key

    @rule(data=st.data(), code=st.sampled_from(["00", "91", "58", "none"]))
    def hear(self, data: st.DataObject, code: str) -> None:
        if not self.out:
            return
        number = data.draw(st.sampled_from(sorted(self.out)))
        try:
            if code == "none":
                self.forward.unanswered(number, self.now)
            else:
                self.forward.answered(number, code, self.now)
        except QueueUnavailable:
            self.forward.postpone(number, self.now)
        del self.out[number]
        self.see_ends()

    @rule(step=st.sampled_from([1, 150, 3_000]))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule()
    def acknowledge(self) -> None:
        outcomes = self.forward.outcomes()
        try:
            self.forward.acknowledge(*(outcome.number for outcome in outcomes))
        except QueueUnavailable:
            return
        self.done |= {outcome.number for outcome in outcomes}

    @rule(half=st.booleans())
    def the_disk_fills(self, half: bool) -> None:
        self.storage.broken, self.storage.half = True, half

    @rule()
    def the_disk_has_room(self) -> None:
        self.storage.broken = False

    @rule()
    def restart(self) -> None:
        self.storage.broken = False
        self.forward = queue(self.storage, **self.rules)
        self.out.clear()
        self.see_ends()

    def see_ends(self) -> None:
        ended = {outcome.number for outcome in self.forward.outcomes()}
        for line in self.lines.values():
            line[:] = [number for number in line if number not in ended]

    @invariant()
    def every_message_is_somewhere(self) -> None:
        ended = [outcome.number for outcome in self.forward.outcomes()]
        assert len(set(ended)) == len(ended)
        for number in self.all:
            places = (self.forward.is_open(number), number in ended, number in self.done)
            assert sum(places) == 1, f"{number}: open, ended, done = {places}"
        assert self.forward.metrics.outstanding == len(self.out)

    def teardown(self) -> None:
        """Nothing is stuck: with a disk and a host, everything ends."""
        self.storage.broken = False
        for number in self.out:
            self.forward.unanswered(number, self.now)
        for _message in self.all:
            self.now += 1
            at = self.forward.next_at()
            self.now = self.now if at is None else max(at, self.now)
            sending = self.forward.take(self.now)
            if sending is not None:
                self.forward.answered(sending.number, "00", self.now)
        assert self.forward.metrics.size == 0


TestAnyQueue = AnyQueue.TestCase
TestAnyQueue.settings = settings(stateful_step_count=50)
