"""What stands at the board's doors: one class per kind of device, between its driver and the flows.

A row of KINDS says which; only what is fitted is imported. No I/O here and no waiting: the application gives
bytes and time, takes events of flows (see flows.wait) and bytes for the device.
"""

# (door, kind, module of this package, its class). The first kind of a door is what it has when none is given;
# of several troubles the cashier is told the first one's. Without a module: no conversation over a serial
# line, somebody else asks what is fitted.
KINDS = (
    ("reader", "ascii", "reader", "AsciiReader"),
    ("reader", "bits", "reader_bits", "BitsReader"),
    ("tap", "pn532", "tap", "TapReader"),
    ("chip", "ccid", "chip", "ChipReader"),
    ("scanner", "gm65", "scanner", "ScannerDoor"),
    ("scanner", "m3y", "scanner", "ScannerDoor"),
    ("scanner", "gm72", "scanner", "ScannerDoor"),
    ("scanner", "plain", "scanner", "ScannerDoor"),
    ("keypad", "bytes", "keypad", "Keypad"),
    ("printer", "escpos", "printer", "EscPosPrinter"),
    ("service", "keys", "service", "ServicePort"),
    ("till", "columns", "till", "TillDoor"),
    ("till", "fields", "till", "TillDoor"),
    ("modem", "hayes", "modem", "ModemDoor"),
    ("modem", "sim800", "modem", "ModemDoor"),
    ("modem", "m95", "modem", "ModemDoor"),
    ("display", "memory", None, None),
    ("display", "ssd1306", None, None),
    ("display", "st7920", None, None),
    ("line", "tcp", None, None),
)
WITHOUT_PATH = ("display", "line")  # these may have one

MISSING = "missing"  # trouble of a device that isn't plugged in


class Device:
    """What the application asks of a device; one that has nothing to say to a question is as here."""

    trouble = None  # why it can't be used though it is plugged in, a word for the log; None when it can

    def plugged(self, present, now_ms):
        """It came or went; returns events, pairs (kind, value)."""
        return ()

    def feed(self, data, now_ms):
        """Bytes of the device, torn anywhere; returns events."""
        return ()

    def tick(self, now_ms):
        """deadline_ms() has come; returns events."""
        return ()

    def deadline_ms(self):
        """When tick() has something to do; None while nothing is waited for."""

    def wanted(self, kinds, now_ms):
        """Which kinds of events somebody waits for now."""

    def dropped(self):
        """A CARD of this device came when nobody waited for one any more."""

    def to_send(self):
        """Bytes for the device, each once; b"" when there are none."""
        return b""

    def rest(self):
        """Nothing is under way: what was made for a moment may go."""


def row_of(name, kind=None):
    """The row of KINDS; None when there is no such kind at this door. kind None: its first."""
    for row in KINDS:
        if row[0] == name and kind in (None, row[1]):
            return row
    return None


def made(app, name, kind):
    """The Device of a kind at a door; None when nobody talks to it over bytes."""
    _, _, module, made_of = row_of(name, kind)
    if module is None:
        return None
    return getattr(__import__(__name__ + "." + module, None, None, (made_of,)), made_of)(app, kind)
