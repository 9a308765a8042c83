"""The only thing a flow awaits: the next event of certain kinds, or a time.

Whoever drives a flow gets the Wait from its `send()` and gives back the event, a pair (kind, value).
"""

CARD = "card"  # value: the member's fields (see flows.member), however the card came
BAD_CARD = "bad_card"  # value: why not, a word
FOREIGN = "foreign"  # a BAD_CARD that was read, and isn't the program's
CHIP = "chip"  # value: what the chip card in the reader proves (bytes); None when it can't
SCAN = "scan"  # value: the text (bytes) of a code that is no member's
KEY = "key"  # value: one of KEYS
LINE_UP = "line_up"
LINE_DOWN = "line_down"
LINE_NEWS = "line_news"  # what is being done about a line
LINE_REFUSED = "line_refused"  # none comes about
MESSAGE = "message"  # value: bytes without frame and TPDU, not verified yet
TILL = "till"  # value: what the cash register asks, a drivers.till.Asked
PRINTER = "printer"  # value: how it went, see doors.printer
DEVICE = "device"  # a device came or went, or can or can't be used now
KEYS_LOADED = "keys_loaded"  # the terminal was given new keys
TIMEOUT = "timeout"

KEYS = "0123456789ABCD*#"


class Wait:
    """`kind, value = await Wait(kinds, timeout_ms)`: (TIMEOUT, None) when time is up; None waits for ever."""

    def __init__(self, kinds, timeout_ms=None):
        self.kinds = kinds
        self.timeout_ms = timeout_ms

    def __iter__(self):
        return (yield self)

    __await__ = __iter__  # CPython's name for it; MicroPython takes __iter__
