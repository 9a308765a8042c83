"""The matrix of keys: presses once however they bounce, holds, ghosts, keys that are stuck."""

from terminal.drivers.keypad import KEYS, LONG_MS, SCAN_MS, STEADY_MS, STUCK_MS, Held, Keypad, Pressed


class Bench:
    def __init__(self):
        self.driver = Keypad()
        self.now_ms = 0

    def seen(self, lines, for_ms):
        """The same wires for a while; what was told."""
        told = []
        end = self.now_ms + for_ms
        while self.now_ms < end:
            told += self.driver.scan(lines, self.now_ms)
            self.now_ms += SCAN_MS
        return [(type(event).__name__, event.key) for event in told]


NONE = (0, 0, 0, 0)


def wires(*keys):
    """What is seen while these keys are down, with the ways round that a matrix without diodes has."""
    closed = {(row, KEYS[row].index(key)) for key in keys for row in range(4) if key in KEYS[row]}
    lines = []
    for row in range(4):
        reached = {("row", row)}
        while True:
            more = {
                ("column", column)
                for kind, line in reached
                if kind == "row"
                for r, column in closed
                if r == line
            }
            more |= {
                ("row", r)
                for kind, line in reached
                if kind == "column"
                for r, column in closed
                if column == line
            }
            if more <= reached:
                break
            reached |= more
        lines.append(sum([1 << column for kind, column in reached if kind == "column"]))
    return tuple(lines)


def test_every_key_once():
    for row in KEYS:
        for key in row:
            bench = Bench()
            assert bench.seen(wires(key), 200) == [("Pressed", key)]
            assert bench.seen(NONE, 100) == []
            assert bench.seen(wires(key), 200) == [("Pressed", key)]


def test_bounces_are_one_press():
    bench = Bench()
    told = []
    for _ in range(6):
        told += bench.seen(wires("5"), STEADY_MS - SCAN_MS) + bench.seen(NONE, SCAN_MS)
    assert told == []
    assert bench.seen(wires("5"), 100) == [("Pressed", "5")]
    for _ in range(6):
        told += bench.seen(NONE, SCAN_MS) + bench.seen(wires("5"), SCAN_MS)
    assert told == []


def test_one_after_the_other_without_letting_go():
    bench = Bench()
    assert bench.seen(wires("1"), 100) == [("Pressed", "1")]
    assert bench.seen(wires("1", "2"), 100) == [("Pressed", "2")]
    assert bench.seen(wires("2"), 100) == []
    assert bench.seen(wires("2", "9"), 100) == [("Pressed", "9")]


def test_two_at_once_and_ghosts_are_none():
    bench = Bench()
    assert bench.seen(wires("1", "5"), 200) == []
    bench = Bench()
    assert bench.seen(wires("1"), 100) == [("Pressed", "1")]
    assert bench.seen(wires("1", "2"), 100) == [("Pressed", "2")]
    assert bench.seen(wires("1", "2", "4"), 100) == []  # looks as if 5 were down too
    assert bench.seen(wires("1"), 100) == []


def test_held_and_stuck():
    bench = Bench()
    told = bench.seen(wires("*"), STUCK_MS + 1000)
    assert told == [("Pressed", "*"), ("Held", "*"), ("Stuck", "*")]
    assert bench.seen(NONE, 100) == []
    assert bench.seen(wires("*"), LONG_MS // 2) == [("Pressed", "*")]


def test_keys_are_not_shown():
    assert (repr(Pressed("1")), repr(Held("1"))) == ("Pressed(hidden)", "Held(hidden)")
