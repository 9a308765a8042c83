"""AES-128 DUKPT, PIN blocks and key blocks on both AES: published examples, other people's blocks, damage."""

import os
from binascii import hexlify, unhexlify

from terminal.dukpt import (
    DATA_ENCRYPTION,
    LAST_COUNTER,
    MAC_GENERATION,
    MAC_VERIFICATION,
    PIN_ENCRYPTION,
    Transmission,
    derive,
    from_initial_key,
    ones,
    usable,
)
from terminal.hal.aes import aes as plain_aes
from terminal.key_block import KeyBlockError, unwrap
from terminal.pin import pin_block
from tests.terminal.board_aes import aes as board_aes
from tests.terminal.host_keys import BARE_BLOCK, INITIAL_KEY, INITIAL_KEY_ID, KEY_BLOCK, HostKeys
from tests.terminal.host_keys import TRANSPORT_KEY as TRANSPORT_DIGITS

# Counter, derivation key, PIN, MAC request, MAC answer and data key: X9.24-3 annex B, AES-128, and beyond it.
DERIVED = (
    (
        0x00000001,
        "4f21b565bad9835e112b6465635eae44",
        "af8cb133a78f8dc2d1359f18527593fb",
        "a2dc23de6fde0824a2bc321e08e4b8b7",
        "dbb463945b286c07cd3ad82ee96fd9c9",
        "a35c412efd41fdb98b69797c02dcd08f",
    ),
    (
        0x00000007,
        "a8253ceed9ac042c54f75d35c8352278",
        "6ecf912f3b18ca11a7a27bb60705fd09",
        "baa08ca263c69525bc6b1ba8f4275d69",
        "03130a11aad3f068f8d373ddde93e400",
        "0fa8f1f0a2dd7b1005a862d77cded698",
    ),
    (
        0x0001FFFE,
        "e21e8c8d347f8561a2be752daa85a111",
        "ddf7e08a84b5478c498d007c743bf762",
        "6d7623ad652734b8fae1b6e093eace3d",
        "537a671f58e213c7f144bebe1b8a89c2",
        "8e4e5d5e0f01c54f01f4aca1c8f8edce",
    ),
    (
        0x80000000,
        "9dc56486499a2e857fdefc4740641ea8",
        "c784867d9db4d8204eea2183fd704a9a",
        "98a4392ab6db87c081d2cded6c1f0bae",
        "8001cdbfff7b36b4e4e1063bdd2f36bd",
        "237fb69c1ead497438383a3931332dfd",
    ),
    (
        0xFFFF0000,
        "f6ba59389bd14a9855be9727e7c52e3c",
        "27efac1d158632588f4ac69e45c247c4",
        "ae558babc206d303fdf68b1181f228c6",
        "d7a870ea05de3aaf0f965337e580d809",
        "08878bfcc45ca5aef6a1ab40bac882b5",
    ),
)
# Format 4 under one key with the random half 0 to 7: PIN, card number, block.
PIN_KEY = unhexlify("c1d0f8fb4958670dba40ab1f3752ef0d")
PIN_BLOCKS = (
    ("1234", "9364001234567898", "11e60db03112c9dc4f28237929c2df2f"),
    ("123456789012", "9364001234567898", "eb03806f1d49636071d1400c5611dc81"),
    ("12345", "12345678", "2a394b536bfb1fd3f5aaefc27c238b23"),
    ("0000", "1234567890123456789", "0f758627a1f73ecd078bfcb62f6b363c"),
    ("1234", "432198765432109870", "2234f263c70845aef92f52f4c6468166"),
)
TRANSPORT_KEY = unhexlify(TRANSPORT_DIGITS)
# The same key with mode N; what must not be taken.
UNRESTRICTED_BLOCK = (
    "D0176B1AN00N0200IK141234567890123456PB0C00000000759958030FD2889B3C113299FE1A328DF1CBC5D612F2E25C"
    "FE6C5B5D13EEADC25E4CFC0417E253FB6962C5FB585FB718EDCB96A8DFF4B97665E3C89C88437E3B"
)
BASE_KEY_BLOCK = (
    "D0144B0AX00N00003B015B5ACC5512DF4BB49E680D3A282549C6D8BA2109029EA3543798BCEBBDE5983B8A9BBA81A79E"
    "15A687D784A9D31C5DF13A06EAB82572223936D657D95AFB"
)
LONG_KEY_BLOCK = (
    "D0144B1AX00N0000E2E86024AE9FA785A422651EBEE3DEFBC5591625989829B10D893300C847204C8309F7B267C85E5F"
    "9D5B63D1C192AABF0B712AE37B561B15E1D344AC45CF2CD9"
)


def registers_at(counter, aes=board_aes):
    return from_initial_key(aes, INITIAL_KEY_ID, bytearray(INITIAL_KEY), counter)


def test_published_keys():
    for aes in (plain_aes, board_aes):
        for counter, derivation, pin, request, answer, data in DERIVED:
            taken, key = registers_at(counter, aes).take()
            assert (taken, hexlify(key)) == (counter, derivation.encode())
            usages = (PIN_ENCRYPTION, pin), (MAC_GENERATION, request), (MAC_VERIFICATION, answer)
            for usage, expected in usages + ((DATA_ENCRYPTION, data),):
                assert hexlify(derive(aes, key, usage, INITIAL_KEY_ID, counter)) == expected.encode()


def test_registers_give_the_same_keys_wherever_they_begin():
    one_by_one = registers_at(1)
    keys = {}
    for _ in range(330):
        counter, key = one_by_one.take()
        keys[counter] = bytes(key)
    assert sorted(keys) == list(range(1, 331))
    for begin in (1, 2, 63, 64, 200):
        for jump in (begin, begin + 1, 256, 320):
            registers = registers_at(begin).later(max(begin, jump))
            for _ in range(10):
                counter, key = registers.take()
                assert keys[counter] == bytes(key)


def test_a_key_is_given_out_once_and_its_elders_are_forgotten():
    registers = registers_at(1)
    ancestors = {bytes(INITIAL_KEY)}
    for _ in range(200):
        counter, key = registers.take()
        ancestors.add(bytes(key))
        assert registers.counter == counter + 1
        held = [bytes(registers.register(bit)) for bit in registers.held()]
        assert not ancestors.intersection(held) and len(held) <= 32


def test_counters_with_more_than_16_ones_are_passed_over():
    for first, expected in (
        (0x0000FFFF, (0x0000FFFF, 0x00010000, 0x00010001)),
        (0x0001FFFE, (0x0001FFFE, 0x00020000, 0x00020001)),
        (0x7FFF8000, (0x7FFF8000, 0x80000000, 0x80000001)),
        (0xFFFEFFFF, (0xFFFF0000,)),
    ):
        registers = registers_at(usable(first))
        for counter in expected:
            assert registers.take()[0] == counter and ones(counter) <= 16
    assert registers.counter > LAST_COUNTER and usable(LAST_COUNTER) > LAST_COUNTER


def test_the_keys_of_a_message():
    counter, key = registers_at(5).take()
    transmission = Transmission(board_aes, INITIAL_KEY_ID, counter, key, os.urandom)
    host = HostKeys(transmission.serial)
    assert transmission.serial == INITIAL_KEY_ID + b"\x00\x00\x00\x05"
    assert transmission.mac(b"request") == host.request_mac(b"request")
    block = transmission.pin_block(bytearray((1, 2, 3, 4)), "9364001234567898")
    assert host.pin_of(block, "9364001234567898") == "1234"
    assert host.data_of(transmission.encipher(b"989121234567")) == b"989121234567"
    transmission.close()
    assert key == bytes(16)
    right = host.answer_mac(b"answer")
    assert transmission.verify(b"answer", right)
    for wrong in (host.request_mac(b"answer"), right[:-1], b"", bytes(8), None):
        assert not transmission.verify(b"answer", wrong)
    assert not transmission.verify(b"Answer", right)


def test_format_4():
    for aes in (plain_aes, board_aes):
        for pin, card, block in PIN_BLOCKS:
            digits = bytearray([int(digit) for digit in pin])
            made = pin_block(aes, PIN_KEY, digits, card, lambda count: bytes(range(count)))
            assert hexlify(made) == block.encode()


def test_equal_pins_look_different():
    blocks = [pin_block(board_aes, PIN_KEY, bytearray(4), "9364001234567898", os.urandom) for _ in range(2)]
    assert blocks[0] != blocks[1]


def test_pins_of_another_length_are_refused():
    for length in (0, 3, 13):
        try:
            pin_block(board_aes, PIN_KEY, bytearray(length), "9364001234567898", os.urandom)
        except ValueError:
            continue
        raise AssertionError(length)


def test_key_blocks():
    for aes in (plain_aes, board_aes):
        for block in (KEY_BLOCK, BARE_BLOCK, UNRESTRICTED_BLOCK):
            key, optional = unwrap(aes, TRANSPORT_KEY, block, "B1")
            assert key == INITIAL_KEY
            assert optional.get("IK", "1234567890123456") == "1234567890123456"


def refused(block, transport_key=TRANSPORT_KEY):
    try:
        unwrap(board_aes, transport_key, block, "B1")
    except KeyBlockError as error:
        return str(error)
    return ""


def test_key_blocks_that_must_be_refused():
    rows = (
        (BASE_KEY_BLOCK, "usage"),
        (LONG_KEY_BLOCK, "128"),
        ("", "version"),
        ("D", "version"),
        ("B" + BARE_BLOCK[1:], "version"),
        (BARE_BLOCK[:-2], "length"),
        (BARE_BLOCK + "00", "length"),
        (BARE_BLOCK.lower(), "version"),
        ("D" + BARE_BLOCK[1:].lower(), "usage"),
        (BARE_BLOCK[:16] + BARE_BLOCK[16:].lower(), "hexadecimal"),
        ("D0016B1AX00N0000", "length of the key"),
        ("D0020B1AX00N0100IK00", "optional"),
        ("D0020B1AX00N0100IKZZ", "hexadecimal"),
        ("کلید", "ASCII"),
    )
    for block, why in rows:
        assert why in refused(block), (block, refused(block))
    assert "transport" in refused(BARE_BLOCK, bytes(16))


def test_a_key_block_with_any_bit_changed_is_refused():
    for place in range(len(KEY_BLOCK)):
        for bit in range(7):
            block = KEY_BLOCK[:place] + chr(ord(KEY_BLOCK[place]) ^ 1 << bit) + KEY_BLOCK[place + 1 :]
            if bit < 6 and place % 16 and bit:
                continue  # every place with two bits, each sixteenth with all: the slow AES has to do it too
            assert refused(block), (place, bit)
