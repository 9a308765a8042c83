"""Loading keys over the service port: frames STX payload ETX LRC, the payload ASCII, one answer to each.

V1?                                             -> V1|terminal id|empty or loaded|transport key's check value
K1|terminal id|first KSN|check value|key block  -> OK|check value, or ERR|code|what
E1?|number                                      -> E1|number|moment|level|text: the log's oldest event from
                                                   that number on; E1 alone: none. Ask with the next.
C1?                                             -> C1|boots=12|...: the counters of terminal.event_log

LRC: XOR of payload and ETX. The block is under the transport key, so the wire learns nothing. Loaded when the
port first says something.
"""

from terminal.journal import JournalError
from terminal.keys import LoadError
from terminal.text import is_digits

STX, ETX = 0x02, 0x03
_NUMBER_DIGITS = 12
LONGEST_PAYLOAD = 640  # the longest key block and its head; more is not for us

_OUTSIDE, _INSIDE, _CHECK = range(3)


def frame(payload):
    """The bytes of an ASCII payload on the wire."""
    data = payload.encode()
    return bytes([STX]) + data + bytes([ETX, lrc(data)])


def lrc(payload):
    """Of payload and ETX."""
    check = ETX
    for byte in payload:
        check ^= byte
    return check


class Service:
    """feed() bytes as they come; it returns the answers. loaded: how often keys were taken."""

    def __init__(self, keys, terminal_id, log, events=None):
        self.loaded = 0
        self._keys = keys
        self._terminal_id = terminal_id
        self._log = log
        self._events = events
        self._payload = bytearray()
        self._state = _OUTSIDE

    @property
    def is_between_frames(self):
        """Whether nothing was begun that is not ended."""
        return self._state == _OUTSIDE

    def feed(self, data):
        """Answers (bytes, often none) to what has come whole."""
        answers = b""
        for byte in data:
            payload = self._take(byte)
            if payload is not None:
                answers += frame(payload)
        return answers

    def _take(self, byte):
        """The answer when this byte ends a frame, else None. A new STX drops what was begun."""
        if self._state == _CHECK:
            payload, self._payload = self._payload, bytearray()
            self._state = _OUTSIDE
            if byte != lrc(payload):
                return "ERR|LRC|the frame was damaged; send it again"
            return self._answered(payload)
        if byte == STX:
            self._payload = bytearray()
            self._state = _INSIDE
        elif self._state == _INSIDE and byte == ETX:
            self._state = _CHECK
        elif self._state == _INSIDE:
            self._payload.append(byte)
            if len(self._payload) > LONGEST_PAYLOAD:
                self._payload = bytearray()
                self._state = _OUTSIDE
                return "ERR|LENGTH|the frame is too long"
        return None

    def _answered(self, payload):
        for byte in payload:
            if not 0x20 <= byte <= 0x7E:
                return "ERR|COMMAND|expected ASCII"
        parts = str(payload, "ascii").split("|")
        if parts == ["V1?"]:
            state = "loaded" if self._keys.storage_key else "empty"
            return "|".join(("V1", self._terminal_id, state, self._keys.transport_check_value))
        if self._events is not None:
            is_number = len(parts) == 2 and is_digits(parts[1]) and len(parts[1]) <= _NUMBER_DIGITS
            if parts[0] == "E1?" and is_number:
                line = self._events.first_from(int(parts[1]))
                return "E1" if line is None else "E1|" + line
            if parts == ["C1?"]:
                from terminal.event_log import COUNTERS

                pairs = zip(COUNTERS, self._events.counters)
                return "|".join(["C1"] + ["%s=%d" % pair for pair in pairs])
        if parts[0] != "K1" or len(parts) != 5:
            return "ERR|COMMAND|expected V1?, E1?, C1? or K1 with terminal, KSN, check value and key block"
        _, terminal_id, serial, check_value, block = parts
        if terminal_id != self._terminal_id:
            return "ERR|TERMINAL|these keys are for another terminal"
        try:
            value = self._keys.load(block, serial, check_value)
        except LoadError as error:
            self._log("warning", "keys: not loaded: " + str(error))
            return "ERR|" + error.code + "|" + str(error)
        except JournalError as error:
            self._log("error", str(error))
            return "ERR|STORAGE|" + str(error)
        self.loaded += 1
        self._log("info", "keys: loaded, KSN " + serial + ", KCV " + value)
        return "OK|" + value
