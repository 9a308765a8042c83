"""The only thing a flow awaits: the next event of certain kinds, or a time.

Whoever drives a flow gets the Wait from its `send()` and gives back the event, a pair (kind, value).
"""

# Kinds; numbers, for the code that tells them apart is everywhere.
CARD = 1  # value: the member's fields (see flows.member), however the card came
BAD_CARD = 2  # value: why not, a word
CHIP = 3  # value: what the chip card in the reader proves (bytes); None when it can't
SCAN = 4  # value: the text (bytes) of a code that is no member's
KEY = 5  # value: one of KEYS
LINE_UP = 6
LINE_DOWN = 7
LINE_NEWS = 8  # what is being done about a line
LINE_REFUSED = 9  # none comes about
MESSAGE = 10  # value: bytes without frame and TPDU, not verified yet
TILL = 11  # value: what the cash register asks, a drivers.till.Asked
PRINTER = 12  # value: how it went, see doors.printer
DEVICE = 13  # a device came or went, or can or can't be used now
KEYS_LOADED = 14  # the terminal was given new keys
TIMEOUT = 15

FOREIGN = "foreign"  # the word of a BAD_CARD that was read, and isn't the program's
KEYS = "0123456789ABCD*#"


class Wait:
    """`kind, value = await Wait(kinds, timeout_ms)`: (TIMEOUT, None) when time is up; None waits for ever."""

    def __init__(self, kinds, timeout_ms=None):
        self.kinds = kinds
        self.timeout_ms = timeout_ms

    def __iter__(self):
        return (yield self)

    __await__ = __iter__  # CPython's name for it; MicroPython takes __iter__
