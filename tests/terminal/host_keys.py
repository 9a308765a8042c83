"""A terminal's initial key and what the switch derives from it, for test modules of either interpreter.

The published example key of X9.24-3 under a transport key of the tests: no secret.
"""

from binascii import unhexlify

from terminal.dukpt import DATA_ENCRYPTION, MAC_GENERATION, MAC_VERIFICATION, PIN_ENCRYPTION, derive
from terminal.hal.crypto import CBC, ECB
from terminal.pin import card_field
from terminal.security import Cmac, unpadded
from tests.terminal.board_aes import aes

TRANSPORT_KEY = "33" * 16
INITIAL_KEY = unhexlify("1273671EA26AC29AFA4D1084127652A1")
INITIAL_KEY_ID = unhexlify("1234567890123456")
FIRST_SERIAL = "123456789012345600000001"
CHECK_VALUE = "05EF45"
# Usage B1, its id in the optional block IK.
KEY_BLOCK = (
    "D0176B1AX00N0200IK141234567890123456PB0C0000000049B9626B819B5B04A492D202BCDFFBD1B604112CBCAFA694"
    "6D8A2CB17ACD10201753F5F9A68F6CDE78282CB94D1EEA152DFDE83A08C9E218B27125179FDD1A1A"
)
# The same key without optional blocks.
BARE_BLOCK = (
    "D0144B1AX00N0000706D2A1AEBE3E6060B449C7C2D5C769829485E5D8F86E80DCB3F70F1212CC0C59D502A3EC169989A"
    "27B8F16516B0AD4D8CC701AB094C917EADEB5C4A098FFDAA"
)


class HostKeys:
    """What the switch derives for one serial (12 bytes), straight from the initial key."""

    def __init__(self, serial, initial_key=INITIAL_KEY):
        self.serial = serial
        self._counter = int.from_bytes(serial[8:], "big")
        key, path = initial_key, 0
        for bit in range(31, -1, -1):
            if self._counter >> bit & 1:
                path |= 1 << bit
                key = derive(aes, key, 0x8000, serial[:8], path)
        self._key = key

    def _working(self, usage):
        return derive(aes, self._key, usage, self.serial[:8], self._counter)

    def request_mac(self, data):
        return Cmac(aes, self._working(MAC_GENERATION)).tag(data)[:8]

    def answer_mac(self, data):
        return Cmac(aes, self._working(MAC_VERIFICATION)).tag(data)[:8]

    def pin_of(self, block, card):
        """The digits in a format 4 block."""
        key = self._working(PIN_ENCRYPTION)
        first = bytes([one ^ other for one, other in zip(aes(key, ECB).decrypt(block), card_field(card))])
        field = bytes(aes(key, ECB).decrypt(first)).hex()
        assert field[0] == "4"
        length = int(field[1], 16)
        assert field[2 + length : 16] == "a" * (14 - length)
        return field[2 : 2 + length]

    def data_of(self, enciphered):
        return unpadded(aes(self._working(DATA_ENCRYPTION), CBC, bytes(16)).decrypt(enciphered))
