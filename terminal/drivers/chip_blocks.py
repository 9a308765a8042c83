"""What goes through a contact reader: commands cut into T=1 blocks or T=0 commands, answers put
together again.

ISO/IEC 7816-3: answer to reset (8), T=0 (10), T=1 (11). Each is a generator: it yields what the reader
is to carry, is sent what the card said to it, and returns the answer to the command. Raises BlockError.
"""

from terminal.drivers import exclusive_or

LONGEST_ATR = 33
FIELD = 254  # bytes of a T=1 block that we take
_FIRST_FIELD = 32  # of a block, before anybody says otherwise
TRIES = 3  # of one block
LONGEST_ANSWER = 260

_MORE = 0x20
_RESYNC, _FIELD_SIZE, _ABORT, _WAIT = 0xC0, 0xC1, 0xC2, 0xC3
_RESPONSE = 0x20


class BlockError(Exception):
    """The card can't be understood. what: in a word or two."""

    def __init__(self, what):
        super().__init__(what)
        self.what = what


class Reset:
    """What an answer to reset says. protocol: 0 or 1, what the card speaks first; field: bytes of a
    T=1 block that it takes; history: its historical bytes."""

    def __init__(self, atr):
        if not 2 <= len(atr) <= LONGEST_ATR or atr[0] not in (0x3B, 0x3F):
            raise BlockError("atr")
        self.protocol = 0
        self.field = _FIRST_FIELD
        self.is_crc = False
        self.history = b""
        try:
            self._read(atr)
        except IndexError:
            raise BlockError("atr")

    def _read(self, atr):
        has, place, level, offered = atr[1] >> 4, 2, 1, None
        protocols = []
        while has:
            for bit in (1, 2, 4):
                if has & bit:
                    if offered == 1 and level > 2 and bit == 1:
                        self.field = atr[place]
                    if offered == 1 and level > 2 and bit == 4:
                        self.is_crc = bool(atr[place] & 1)
                    place += 1
            if not has & 8:
                break
            offered, has = atr[place] & 0x0F, atr[place] >> 4
            protocols.append(offered)
            place += 1
            level += 1
        length = atr[1] & 0x0F
        self.history = bytes(atr[place : place + length])
        if len(self.history) != length:
            raise BlockError("atr")
        self.protocol = protocols[0] if protocols else 0
        if self.protocol not in (0, 1):
            raise BlockError("protocol")
        if not 1 <= self.field <= FIELD:
            raise BlockError("atr")
        if protocols != [0] * len(protocols) and exclusive_or(atr[1:]):
            raise BlockError("atr")


def link_of(atr):
    """The way to talk to a card with this answer to reset: an object whose exchange(command) is a
    generator."""
    reset = Reset(atr)
    return Blocks(reset.field) if reset.protocol else Commands()


class Commands:
    """T=0: a command at a time, as the reader carries it; data out, then data in."""

    def exchange(self, command):
        """Yields what to carry; returns data and status. Le after data is fetched as the card tells."""
        if len(command) < 4:
            raise BlockError("command")
        if len(command) == 4:
            command += b"\x00"
        elif len(command) > 5 and len(command) == 6 + command[4]:
            command = command[:-1]  # what comes back is asked for afterwards
        answer = yield command
        if not 2 <= len(answer) <= LONGEST_ANSWER:
            raise BlockError("answer")
        return answer


class Blocks:
    """T=1: blocks with sequence bits, chained both ways, repeated when they were damaged."""

    def __init__(self, field):
        self._field = field
        self._sent = 0  # our next block's bit
        self._expected = 0  # the card's
        self._is_announced = False

    def exchange(self, command):
        """Yields blocks; returns data and status."""
        if not self._is_announced:
            yield from self._announced()
        pieces = [command[at : at + self._field] for at in range(0, len(command), self._field)]
        for place, piece in enumerate(pieces):
            more = place + 1 < len(pieces)
            block = yield from self._delivered(self._information(piece, more), more)
            self._sent ^= 1
        answer = b""
        while True:
            if block[1] & 0x40 != self._expected << 6:
                raise BlockError("sequence")
            self._expected ^= 1
            answer += block[3:-1]
            if len(answer) > LONGEST_ANSWER:
                raise BlockError("length")
            if not block[1] & _MORE:
                break
            if not block[2]:
                raise BlockError("length")  # a chain of nothing has no end
            block = yield from self._delivered(self._acknowledgement(0), False)
        if len(answer) < 2:
            raise BlockError("answer")
        return answer

    def _announced(self):
        """Tell the card how long its blocks may be."""
        for _ in range(TRIES):
            block = yield _block(_FIELD_SIZE, bytes((FIELD,)))
            if _is_whole(block) and block[1] == _FIELD_SIZE | _RESPONSE:
                break
        self._is_announced = True  # a card that doesn't say so keeps to short ones

    def _information(self, piece, more):
        return _block(self._sent << 6 | (_MORE if more else 0), piece)

    def _acknowledgement(self, fault):
        return _block(0x80 | self._expected << 4 | fault)

    def _delivered(self, block, more):
        """Say this block until the card has it. Returns the card's information block, or, with more
        to come, its acknowledgement."""
        tries = TRIES
        say = block
        waits = 0
        while True:
            answer = yield say
            if not _is_whole(answer):
                tries -= 1
                say = self._acknowledgement(1)
            elif answer[1] & 0xC0 == 0xC0:
                waits += 1
                say = self._supervised(answer)
                if waits > 32 * TRIES:
                    raise BlockError("waits")
            elif not answer[1] & 0x80:
                if more:
                    raise BlockError("sequence")
                return answer
            elif more and answer[1] >> 4 & 1 != self._sent:
                return answer
            else:
                tries -= 1
                say = block  # it wants it again
            if not tries:
                yield _block(_RESYNC)
                self._sent = self._expected = 0
                raise BlockError("damaged")

    def _supervised(self, block):
        kind = block[1]
        if kind == _FIELD_SIZE and len(block) == 5 and 1 <= block[3] <= FIELD:
            self._field = block[3]
        elif kind == _ABORT or kind & _RESPONSE:
            raise BlockError("aborted")
        return _block(kind | _RESPONSE, block[3:-1])


def _block(kind, data=b""):
    block = bytes((0, kind, len(data))) + data
    return block + bytes((exclusive_or(block),))


def _is_whole(block):
    if len(block) < 4 or block[0] != 0 or len(block) != 4 + block[2]:
        return False
    return exclusive_or(block) == 0
