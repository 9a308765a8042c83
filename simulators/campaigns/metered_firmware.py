"""The firmware with a meter beside it, on MicroPython: `-m metered_firmware MODE WHAT --board BOARD.json`.

Tells after each flow what the heap held: loaded code, and everything else at rest and at most. Looked at is
whenever the firmware uses its board, so in the middle of a message and of a receipt too. Nothing of the
firmware is changed but who makes its board. WHAT: "terminal.main", or "terminal.boot", which starts it. MODE:
"meter"; or "holes" and a file of module names: all code is loaded first, then the heap is cut up so that
nothing above the largest allowed allocation fits anywhere.
"""

import asyncio
import builtins
import gc
import sys

# The interpreter's own: it loads these parts when they are first used.
_OWN = (asyncio.Event, asyncio.wait_for, asyncio.TimeoutError)
gc.collect()
_BEFORE = gc.mem_alloc()

CLOSELY = 200  # times at rest, more than all flows have
FIRMWARE = "terminal.main"
RESTART = "restart: "  # begins what the log says last
LARGEST_ALLOCATION = 4096
HEADER_BYTES = 64  # of a bytearray, beside its bytes; lands in the same hole
MOST_HOLES = 4096  # pins; a heap of some MiB has fewer

_costs = {}  # full name of a module -> bytes that loading it left in the heap
_nested = [0]
_import = builtins.__import__


def metered_import(name, *rest):
    """As __import__; notes what the module itself took, without those it imports."""
    if name in sys.modules:
        return _import(name, *rest)
    gc.collect()
    before = gc.mem_alloc()
    known = set(sys.modules)
    _nested.append(0)
    try:
        return _import(name, *rest)
    finally:
        gc.collect()
        took = gc.mem_alloc() - before
        within = _nested.pop()
        _nested[-1] += took
        for loaded in sys.modules:
            if loaded not in known and loaded not in _costs:
                _costs[loaded] = 0  # a package on the way to the one that was asked for
        _costs[name] = took - within


class Meter:
    """rest, peak: bytes of the heap that are no loaded code."""

    def __init__(self):
        self.peak = 0
        self.closely = CLOSELY  # so often at rest it is still looked at whenever the board is used

    def code(self):
        return sum([_costs[name] for name in _costs if name in sys.modules])

    def look(self):
        gc.collect()
        data = gc.mem_alloc() - self.code() - _BEFORE
        self.peak = max(self.peak, data)
        return data

    def watched(self, call):
        """The same function, looked at afterwards."""

        def call_and_look(*arguments):
            result = call(*arguments)
            if self.closely:
                self.look()
            return result

        return call_and_look


def main():
    mode = sys.argv.pop(1)
    modules = sys.argv.pop(1) if mode == "holes" else None
    what = sys.argv.pop(1)
    load = metered_import if mode == "meter" else _import

    def import_and_prepare(name, *rest):
        global _BEFORE
        is_first = name == FIRMWARE and name not in sys.modules
        if is_first:
            _costs.clear()
            gc.collect()
            _BEFORE = gc.mem_alloc()  # with what started it, which is code
        module = load(name, *rest)
        if is_first:
            if mode == "meter":
                meter(sys.modules[name])
            else:
                load_all(modules)
                cut_up()
        return module

    builtins.__import__ = import_and_prepare
    return __import__(what, None, None, ("start",)).start(sys.argv[2])


def meter(firmware):
    """Have a meter look whenever the firmware uses its board."""
    from terminal.hal.files import SlotFiles

    meter = Meter()
    SlotFiles.append = meter.watched(SlotFiles.append)

    class Board(firmware.Board):
        """The board, looked at when it is used."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            for name in ("append", "replace"):
                setattr(self.storage, name, meter.watched(getattr(self.storage, name)))
            self.aes = meter.watched(self.aes)
            self._emit, self.emit = self.emit, self.told

        def told(self, event):
            self._emit(event)
            is_idle = event.get("event") == "screen" and event.get("name") == "idle"
            if is_idle or event.get("what", "").startswith(RESTART):
                rest = meter.look()
                self._emit({"event": "memory", "rest": rest, "peak": meter.peak, "code": meter.code()})
                meter.peak = 0
                meter.closely = max(0, meter.closely - 1)
            elif meter.closely:
                meter.look()

    firmware.Board = Board


def load_all(path):
    """Load every module named in a file, a line each, and keep it: no code comes into the heap later."""
    import terminal

    with open(path) as names:
        for name in names:
            __import__(name.strip())
    terminal.forget = lambda name: None


def cut_up():
    """Leave holes of LARGEST_ALLOCATION and nothing larger: fill the heap, give every other piece back."""
    global _pins
    gc.collect()
    _pins = [None] * MOST_HOLES
    last = _filled(0, LARGEST_ALLOCATION - HEADER_BYTES)
    kept = last
    for size in (1024, 256, 64):  # what is left between the modules, so that it joins no hole
        kept = _filled(kept, size)
    for place in range(0, last, 2):
        _pins[place] = None
    gc.collect()
    for size, fits in ((LARGEST_ALLOCATION - HEADER_BYTES, True), (LARGEST_ALLOCATION + HEADER_BYTES, False)):
        try:
            bytearray(size)
        except MemoryError:
            if fits:
                raise
        else:
            assert fits, "the heap isn't cut up"


def _filled(place, size):
    """Pieces of this size from this place of the pins on, until none fits; returns the place behind."""
    try:
        while place < MOST_HOLES:
            _pins[place] = bytearray(size)
            place += 1
    except MemoryError:
        pass
    return place


if __name__ == "__main__":
    sys.exit(main())
