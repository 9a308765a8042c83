"""Key blocks: published ones open, another implementation agrees, what the standard forbids is refused."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import key_blocks
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.key_blocks import (
    Header,
    KeyBlockError,
    KeyBlockMacError,
    KeyBlockStrengthError,
    OptionalBlock,
)
from switch.hsm.crypto.macs import tdes_cmac
from tests.hsm.crypto.published import h, rows

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")

KBPK = h("88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6")
KEY = h("3F419E1CB7079442AA37474C2EFBF8B8")
PROTECTION_BYTES = {"A": (16, 24), "B": (16, 24), "C": (16, 24), "D": (16, 24, 32), "E": (16, 24, 32)}
IK = OptionalBlock("IK", "1234567890123456")
PIN_KEY = Header("D", "P0", "A", "B", exportability="E")
INITIAL_KEY = Header("D", "B1", "A", "X", optional=(IK,))


def sealed(header: Header, key: bytes = KEY, protection_key: bytes = KBPK) -> str:
    """A block with a right MAC whatever its header says: what a careless sender would make."""
    binding = key_blocks.BINDINGS[header.version]
    return key_blocks.seal(binding, protection_key, header, key, lambda size: b"\x5a" * size)


def sealed_text(text: str, inside: bytes, version: str = "D") -> str:
    """A block with a right MAC from its header's text (LLLL stands for the length) and its clear inside."""
    binding = key_blocks.BINDINGS[version]
    length = len(text) + 2 * (len(inside) + binding.mac_bytes)
    text = text.replace("LLLL", f"{length:04}")
    enciphering, authenticating = binding.derive(KBPK[: binding.protection_key_bytes[-1]])
    mac = binding.mac(authenticating, text.encode() + inside)
    return text + (binding.encrypt(enciphering, inside, mac) + mac).hex().upper()


INSIDE = (128).to_bytes(2) + KEY + bytes(14)


# ---------------------------------------------------------------- valid


@pytest.mark.parametrize("vector", rows("key_block_d") + rows("key_block"))
def test_published_blocks_open(vector: dict[str, Any]) -> None:
    opened = key_blocks.unwrap(h(vector["protection_key"]), vector["block"])
    assert opened.key == h(vector["key"])
    again = key_blocks.wrap(h(vector["protection_key"]), opened.header, opened.key)
    assert key_blocks.unwrap(h(vector["protection_key"]), again) == opened


@pytest.mark.parametrize("vector", rows("key_block", "refused"))
def test_published_blocks_that_break_the_standard_are_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(KeyBlockError):
        key_blocks.unwrap(h(vector["protection_key"]), vector["block"])


def test_header_of_a_published_block() -> None:
    block = next(row["block"] for row in rows("key_block") if row["source"] == "TR-31:2018 A.7.3.2")
    header, end = key_blocks.parse_header(block)
    assert header == Header(
        "B", "B0", "T", "X", "12", "S", optional=(OptionalBlock("KS", "00604B120F9292800000"),)
    )
    assert end == 40
    assert header.value_of("KS") == "00604B120F9292800000"
    assert header.value_of("IK") is None


KINDS = [("T", 16), ("T", 24), ("A", 16), ("A", 24), ("A", 32), ("H", 16), ("H", 24), ("H", 32)]
BITS = {("T", 16): 80, ("T", 24): 112} | {
    (letter, size): size * 8 for letter, size in KINDS if letter in "AH"
}


def protecting(version: str) -> str:
    return "A" if version in "DE" else "T"


def strong_enough(version: str, protection: bytes) -> list[tuple[str, int]]:
    """What a key of this length may protect."""
    given_bits = BITS[protecting(version), len(protection)]
    return [kind for kind in KINDS if BITS[kind] <= given_bits]


USAGES = {"A": ("P0", "E"), "T": ("P0", "E"), "H": ("M7", "C")}
TEXTS = st.text(string.ascii_letters + string.digits + " .:=+/", max_size=400)


@given(st.sampled_from("ABCDE"), st.data())
def test_what_is_wrapped_unwraps(version: str, data: st.DataObject) -> None:
    protection = bytes(range(1, 1 + data.draw(st.sampled_from(PROTECTION_BYTES[version]))))
    algorithm, size = data.draw(st.sampled_from(strong_enough(version, protection)))
    key = data.draw(st.binary(min_size=size, max_size=size))
    usage, mode = USAGES[algorithm]
    names = data.draw(st.lists(st.sampled_from(("LB", "99", "Z1")), unique=True))
    optional = tuple(OptionalBlock(name, data.draw(TEXTS)) for name in names)
    header = Header(version, usage, algorithm, mode, "c1", "S", optional)
    block = key_blocks.wrap(protection, header, key)
    assert key_blocks.unwrap(protection, block) == (header, key)
    assert len(block) == int(block[1:5])


@given(st.sampled_from("ABCD"), st.data())
def test_agrees_with_psec(version: str, data: st.DataObject) -> None:
    protection = bytes(range(1, 1 + data.draw(st.sampled_from(PROTECTION_BYTES[version]))))
    kinds = [kind for kind in strong_enough(version, protection) if kind[0] != "H"]
    algorithm, size = data.draw(st.sampled_from(kinds))
    key = data.draw(st.binary(min_size=size, max_size=size))
    label = data.draw(TEXTS)
    header = Header(version, "D0", algorithm, "B", "00", "E", (OptionalBlock("LB", label),))
    theirs, found = psec.tr31.unwrap(protection, key_blocks.wrap(protection, header, key))
    assert (found, theirs.blocks["LB"], theirs.key_usage) == (key, label, "D0")
    made = psec.tr31.Header(version, "D0", algorithm, "B", "00", "E")
    made.blocks["LB"] = label
    assert key_blocks.unwrap(protection, psec.tr31.wrap(protection, made, key)) == (header, key)


@pytest.mark.parametrize("version", "ABCDE")
def test_a_block_does_not_tell_the_length_of_its_key(version: str) -> None:
    protection = KBPK[: PROTECTION_BYTES[version][-1]]
    for algorithm in "TA" if protecting(version) == "A" else "T":
        sizes = [size for letter, size in KINDS if letter == algorithm]
        header = Header(version, "P0", algorithm, "B")
        assert len({len(key_blocks.wrap(protection, header, bytes(size))) for size in sizes}) == 1


def test_every_block_is_filled_at_random() -> None:
    assert len({key_blocks.wrap(KBPK, PIN_KEY, KEY) for _ in range(20)}) == 20


def test_shorter_and_longer_fill_open_too() -> None:
    for fill in (14, 30, 46, 1006):
        block = sealed_text("DLLLLP0AB00E0000", (128).to_bytes(2) + KEY + bytes(fill))
        assert key_blocks.unwrap(KBPK, block) == (PIN_KEY, KEY)


def test_a_padding_block_comes_only_where_it_is_needed() -> None:
    assert key_blocks.wrap(KBPK, INITIAL_KEY, KEY)[12:36] == "0200IK141234567890123456"
    full = replace(INITIAL_KEY, optional=(IK, OptionalBlock("LB", "12345678")))
    assert key_blocks.wrap(KBPK, full, KEY)[12:14] == "02"


@pytest.mark.parametrize("size", range(40))
def test_every_length_of_optional_blocks_is_filled_up(size: int) -> None:
    for version in "BD":
        protection = KBPK[: PROTECTION_BYTES[version][-1]]
        header = Header(version, "P0", "T", "B", optional=(OptionalBlock("LB", "x" * size),))
        block = key_blocks.wrap(protection, header, KEY)
        assert (key_blocks.parse_header(block)[1] - 16) % key_blocks.BINDINGS[version].cipher_block == 0
        assert key_blocks.unwrap(protection, block).header == header


def test_long_optional_blocks_have_an_extended_length() -> None:
    for size in (251, 252, 1000):
        header = replace(PIN_KEY, optional=(OptionalBlock("LB", "x" * size),))
        block = key_blocks.wrap(KBPK, header, KEY)
        assert block[16:20] == ("LBFF" if size == 251 else "LB00")
        assert key_blocks.unwrap(KBPK, block) == (header, KEY)


def test_an_extended_length_counted_in_characters_opens() -> None:
    for count in ("02", "04"):
        block = sealed_text(f"DLLLLP0AB00E0100LB00{count}0010123456", INSIDE)
        assert key_blocks.unwrap(KBPK, block).header.value_of("LB") == "123456"


def test_check_values_in_optional_blocks() -> None:
    header = replace(
        PIN_KEY,
        optional=(
            OptionalBlock("KC", "01" + check_value(KEY, "A", 10)),
            OptionalBlock("KP", "01" + check_value(KBPK, "A", 10)),
        ),
    )
    assert key_blocks.unwrap(KBPK, key_blocks.wrap(KBPK, header, KEY)) == (header, KEY)


def test_keys_of_other_kinds() -> None:
    for header, key in (
        (Header("D", "M7", "H", "C", optional=(OptionalBlock("HM", "21"),)), bytes(32)),
        (Header("D", "M7", "H", "V"), bytes(48)),
        (Header("D", "S0", "R", "S"), bytes(1191)),
        (Header("D", "10", "A", "N"), bytes(16)),
        (Header("B", "C0", "D", "C"), bytes(8)),
        (Header("D", "P0", "A", "B", reserved="20"), bytes(16)),
    ):
        protection = KBPK if header.version == "D" else KBPK[:24]
        assert key_blocks.unwrap(protection, key_blocks.wrap(protection, header, key)) == (header, key)


# ---------------------------------------------------------------- never under a weaker key


@pytest.mark.parametrize("version", "ABCDE")
@pytest.mark.parametrize(("algorithm", "size"), KINDS)
def test_a_key_goes_under_one_that_is_as_strong_only(version: str, algorithm: str, size: int) -> None:
    usage, mode = USAGES[algorithm]
    header = Header(version, usage, algorithm, mode)
    for protection in (KBPK[:length] for length in PROTECTION_BYTES[version]):
        if (algorithm, size) in strong_enough(version, protection):
            block = key_blocks.wrap(protection, header, KBPK[:size])
            assert key_blocks.unwrap(protection, block).key == KBPK[:size]
            continue
        with pytest.raises(KeyBlockStrengthError, match="bits of security can't go under"):
            key_blocks.wrap(protection, header, KBPK[:size])
        with pytest.raises(KeyBlockStrengthError, match="bits of security can't go under"):
            key_blocks.unwrap(protection, sealed(header, KBPK[:size], protection))


def test_a_changed_block_under_a_weaker_key_is_a_wrong_mac_first() -> None:
    block = sealed(Header("D", "M7", "H", "C"), KBPK, KEY)
    with pytest.raises(KeyBlockMacError):
        key_blocks.unwrap(KEY, block[:-1] + ("0" if block[-1] != "0" else "1"))


# ---------------------------------------------------------------- changed on the way


@pytest.mark.parametrize("version", "ABCDE")
def test_every_changed_bit_is_refused(version: str) -> None:
    protection = KBPK[: PROTECTION_BYTES[version][-1]]
    header = Header(version, "B1", "T", "X", optional=(OptionalBlock("KS", "00604B120F9292800000"),))
    block = key_blocks.wrap(protection, header, KEY)
    for at, character in enumerate(block):
        for bit in range(8):
            changed = block[:at] + chr(ord(character) ^ 1 << bit) + block[at + 1 :]
            with pytest.raises(KeyBlockError):
                key_blocks.unwrap(protection, changed)


@pytest.mark.parametrize("version", "ABCDE")
def test_every_changed_bit_of_the_body_is_a_wrong_mac(version: str) -> None:
    protection = KBPK[: PROTECTION_BYTES[version][-1]]
    block = key_blocks.wrap(protection, Header(version, "P0", "T", "B"), KEY)
    body = h(block[16:])
    for bit in range(len(body) * 8):
        changed = (int.from_bytes(body) ^ 1 << bit).to_bytes(len(body))
        with pytest.raises(KeyBlockMacError):
            key_blocks.unwrap(protection, block[:16] + changed.hex().upper())


@pytest.mark.parametrize(
    ("at", "text"),
    [(5, "D0"), (5, "K1"), (7, "T"), (8, "E"), (8, "N"), (9, "01"), (11, "N"), (11, "S"), (14, "10")],
)
def test_a_header_that_says_another_thing_is_a_wrong_mac(at: int, text: str) -> None:
    block = key_blocks.wrap(KBPK, PIN_KEY, KEY)
    with pytest.raises(KeyBlockMacError):
        key_blocks.unwrap(KBPK, block[:at] + text + block[at + len(text) :])


def test_an_optional_block_that_says_another_thing_is_a_wrong_mac() -> None:
    block = key_blocks.wrap(KBPK, INITIAL_KEY, KEY)
    for at in range(20, 36):
        with pytest.raises(KeyBlockMacError):
            key_blocks.unwrap(KBPK, block[:at] + ("0" if block[at] != "0" else "1") + block[at + 1 :])


@pytest.mark.parametrize("version", "ABCDE")
def test_every_truncation_and_extension_is_refused(version: str) -> None:
    protection = KBPK[: PROTECTION_BYTES[version][-1]]
    block = key_blocks.wrap(protection, Header(version, "P0", "T", "B"), KEY)
    for end in range(len(block)):
        with pytest.raises(KeyBlockError):
            key_blocks.unwrap(protection, block[:end])
        cut = block[:1] + f"{end:04}" + block[5:end]
        with pytest.raises(KeyBlockError):
            key_blocks.unwrap(protection, cut)
    for more in ("0", "00", "0" * 16, "0" * 32, "\n", " "):
        with pytest.raises(KeyBlockError):
            key_blocks.unwrap(protection, block + more)
        with pytest.raises(KeyBlockError):
            key_blocks.unwrap(protection, f"{block[:1]}{len(block + more):04}{block[5:]}{more}")


def test_another_protection_key_is_a_wrong_mac() -> None:
    block = key_blocks.wrap(KBPK, PIN_KEY, KEY)
    for other in (KBPK[::-1], KBPK[:16], KBPK[:24], bytes(32)):
        with pytest.raises(KeyBlockMacError):
            key_blocks.unwrap(other, block)


@pytest.mark.parametrize(
    ("version", "size"),
    [(v, s) for v in "ABC" for s in (8, 15, 32)] + [(v, s) for v in "DE" for s in (8, 17, 33)],
)
def test_protection_keys_of_other_lengths_are_refused(version: str, size: int) -> None:
    header = Header(version, "P0", "T", "B")
    block = key_blocks.wrap(KBPK[: PROTECTION_BYTES[version][0]], header, KEY)
    with pytest.raises(KeyBlockError, match="protection key has"):
        key_blocks.unwrap(bytes(size), block)
    with pytest.raises(KeyBlockError, match="protection key has"):
        key_blocks.wrap(bytes(size), header, KEY)


# ---------------------------------------------------------------- malformed

BLOCK = key_blocks.wrap(KBPK, PIN_KEY, KEY, lambda size: b"\x5a" * size)


@pytest.mark.parametrize("version", ["F", "d", "0", "1", "R", "S", " ", "Ａ"])
def test_unknown_versions_are_refused(version: str) -> None:
    with pytest.raises(KeyBlockError, match=r"version is one of|printable ASCII"):
        key_blocks.unwrap(KBPK, version + BLOCK[1:])


@pytest.mark.parametrize(
    "length", ["0000", "0143", "0145", "144 ", " 144", "+144", "014A", "-144", "9999", "0²44"]
)
def test_a_wrong_length_field_is_refused(length: str) -> None:
    with pytest.raises(KeyBlockError):
        key_blocks.unwrap(KBPK, BLOCK[:1] + length + BLOCK[5:])


def test_hex_is_upper_case_and_even() -> None:
    at = next(index for index in range(16, len(BLOCK)) if BLOCK[index].isalpha())
    with pytest.raises(KeyBlockError, match="pairs of upper case hex"):
        key_blocks.unwrap(KBPK, BLOCK[:16] + BLOCK[16:].lower())
    with pytest.raises(KeyBlockError, match="pairs of upper case hex"):
        key_blocks.unwrap(KBPK, BLOCK[:at] + BLOCK[at].lower() + BLOCK[at + 1 :])
    with pytest.raises(KeyBlockError, match="pairs of upper case hex"):
        key_blocks.unwrap(KBPK, "D0143" + BLOCK[5:-1])
    with pytest.raises(KeyBlockError, match="pairs of upper case hex"):
        key_blocks.unwrap(KBPK, BLOCK[:-1] + "G")


@pytest.mark.parametrize("character", ["\0", "\n", "\x7f", "é", "٠", "０", "\ud800"])
def test_other_characters_are_refused(character: str) -> None:
    for at in (0, 1, 5, 8, 14, 15, 20, len(BLOCK) - 1):
        with pytest.raises(KeyBlockError):
            key_blocks.unwrap(KBPK, BLOCK[:at] + character + BLOCK[at + 1 :])


BAD_HEADERS = [
    ({"usage": "ZZ"}, "usage"),
    ({"usage": "p0"}, "usage"),
    ({"usage": "0A"}, "usage"),
    ({"algorithm": "X"}, "algorithm"),
    ({"algorithm": "a"}, "algorithm"),
    ({"algorithm": "R"}, "can't have algorithm R"),
    ({"algorithm": "H"}, "can't have algorithm H"),
    ({"usage": "M7", "mode": "C"}, "can't have algorithm A"),
    ({"usage": "M3", "mode": "C"}, "can't have algorithm A"),
    ({"usage": "M0", "mode": "G"}, "can't have algorithm A"),
    ({"usage": "S0", "mode": "S"}, "can't have algorithm A"),
    ({"usage": "D1"}, "can't have algorithm A"),
    ({"usage": "K3"}, "can't have algorithm A"),
    ({"usage": "M6", "mode": "B"}, "mode of use"),
    ({"usage": "B1", "mode": "B"}, "mode of use"),
    ({"usage": "P0", "mode": "G"}, "mode of use"),
    ({"usage": "P1", "mode": "B"}, "mode of use"),
    ({"usage": "I0", "mode": "B"}, "mode of use"),
    ({"usage": "C0", "mode": "E"}, "mode of use"),
    ({"usage": "E0", "mode": "S"}, "mode of use"),
    ({"usage": "E6", "mode": "T"}, "mode of use"),
    ({"mode": "Z"}, "mode of use"),
    ({"mode": "b"}, "mode of use"),
    ({"key_version": "-1"}, "letters and digits|key version"),
    ({"exportability": "X"}, "exportability"),
    ({"exportability": "e"}, "exportability"),
    ({"reserved": "01"}, "key context"),
    ({"reserved": "30"}, "key context"),
    ({"reserved": "FF"}, "key context"),
]


@pytest.mark.parametrize(("change", "message"), BAD_HEADERS)
def test_headers_that_mean_nothing_are_refused(change: dict[str, Any], message: str) -> None:
    header = replace(PIN_KEY, **change)
    with pytest.raises(KeyBlockError, match=message):
        key_blocks.wrap(KBPK, header, KEY)
    with pytest.raises(KeyBlockError, match=message):
        key_blocks.unwrap(KBPK, sealed(header))


HMAC_KEY = {"usage": "M7", "algorithm": "H", "mode": "C"}
SIGNING_KEY = {"usage": "S0", "algorithm": "E", "mode": "S"}
BASE_KEY = {"usage": "B0", "mode": "X"}
TDES_BASE_KEY = {"usage": "B0", "algorithm": "T", "mode": "X"}
BAD_TIME_FORMS = (
    "yesterday",
    "",
    "20200818221218",
    "20200818221218z",
    "2020081822121800",
    "202008182212180Z",
    "20200818T221218Z",
    "2020-08-18 22:12:18Z",
    "2020-08-18T22:12:18",
    "2020-08-18T22:12:18.2Z",
    "2020-08-18T22:12:18+00:00",
    "2018-06-18T20:42:39.22",
)
NO_TIMES = (
    "20201318221218Z",
    "20200018221218Z",
    "20200832221218Z",
    "20210229221218Z",
    "20200818241218Z",
    "20200818226018Z",
    "20200818221299Z",
    "00000818221218Z",
    "2020-02-30T22:12:18Z",
    "2020-08-18T25:12:18.22Z",
)
AES_CHECK, TDES_CHECK = check_value(KEY, "A", 10), check_value(KEY, "T")
BAD_OPTIONAL = [
    ({"usage": "B1", "mode": "X"}, "KS", "00604B120F9292800000", "KS is for TDES DUKPT"),
    ({"usage": "B0", "mode": "X"}, "KS", "00604B120F9292800000", "KS is for TDES DUKPT"),
    ({}, "IK", "1234567890123456", "IK is for AES DUKPT"),
    ({"usage": "B1", "algorithm": "T", "mode": "X"}, "IK", "1234567890123456", "IK is for AES DUKPT"),
    ({"usage": "B1", "mode": "X"}, "IK", "12345678901234", "not the form"),
    ({"usage": "B1", "mode": "X"}, "IK", "123456789012345678", "not the form"),
    ({"usage": "B1", "mode": "X"}, "IK", "12345678901234ab", "not the form"),
    ({"usage": "B0", "algorithm": "T", "mode": "X"}, "KS", "VM9A", "not the form"),
    ({"usage": "B0", "algorithm": "T", "mode": "X"}, "KS", "", "not the form"),
    *((TDES_BASE_KEY, "KS", "0" * size, "not the form") for size in (14, 15, 17, 18, 19, 21, 24)),
    (TDES_BASE_KEY, "KS", "00604b120f9292800000", "not the form"),
    ({}, "KS", "00604B120F9292800000", "KS is for TDES DUKPT"),
    (TDES_BASE_KEY, "BI", "0112345678", "BI is for DUKPT"),
    ({"usage": "B0", "mode": "X"}, "BI", "00604B120F92", "BI is for DUKPT"),
    ({}, "BI", "0112345678", "BI is for DUKPT"),
    ({"usage": "B0", "mode": "X"}, "BI", "0212345678", "not the form"),
    ({"usage": "B0", "mode": "X"}, "BI", "01123456", "not the form"),
    ({}, "HM", "21", "HM is for HMAC"),
    *(
        (HMAC_KEY, "HM", bad, "not the form")
        for bad in ("99", "11", "18", "26", "28", "34", "38", "42", "00")
    ),
    *((HMAC_KEY, "HM", bad, "not the form") for bad in ("", "2", "2A", "021", "SHA256")),
    (HMAC_KEY, "KC", "0108793E25AB", "KC is for AES and TDES"),
    (SIGNING_KEY, "KC", "0108793E25AB", "KC is for AES and TDES"),
    ({}, "KC", "01" + "0" * 10, "another check value"),
    ({}, "KC", "00" + TDES_CHECK, "check value is of kind 01"),
    ({}, "KC", "00" + AES_CHECK[:6], "check value is of kind 01"),
    ({}, "KP", "00" + check_value(KBPK, "A", 6), "check value is of kind 01"),
    ({}, "KC", "01" + AES_CHECK[:3], "not the form"),
    ({}, "KC", "01", "not the form"),
    ({}, "KC", "00" + TDES_CHECK + "00", "not the form"),
    ({}, "KC", "01" + AES_CHECK.lower(), "not the form"),
    ({}, "PK", "02" + AES_CHECK, "not the form"),
    ({}, "PK", "00" + AES_CHECK, "not the form"),
    ({}, "KP", "", "not the form"),
    ({}, "KC", "01" + AES_CHECK + "00", "not the form"),
    ({}, "KC", "02" + AES_CHECK, "not the form"),
    ({}, "KC", "", "not the form"),
    ({}, "KP", "01" + AES_CHECK, "another check value"),
    ({"algorithm": "T"}, "KC", "00" + TDES_CHECK[::-1], "another check value"),
    *(({}, name, bad, "not the form") for name in ("TS", "TC") for bad in BAD_TIME_FORMS),
    *(({}, name, bad, "no time that ever was") for name in ("TS", "TC") for bad in NO_TIMES),
    *(({}, "WP", bad, "not the form") for bad in ("004", "010", "00", "0000", "", "00A", "001 ")),
    *((SIGNING_KEY, "AL", bad, "not the form") for bad in ("0102", "0001", "01", "010", "")),
    ({}, "AL", "0101", "AL is for asymmetric"),
    *(({}, "KV", bad, "not the form") for bad in ("12345", "123", "", "12-4", "12 4")),
    *((BASE_KEY, "DA", bad, "not the form") for bad in ("01P0AB", "", "01", "02P0ABE", "P0ABE", "01P0AB-")),
    (BASE_KEY, "DA", "01ZZABE", "DA: key usage"),
    (BASE_KEY, "DA", "01P0XBE", "DA: algorithm"),
    (BASE_KEY, "DA", "01P0ACE", "DA: a key with usage P0 can't have mode"),
    (BASE_KEY, "DA", "01M7ACE", "DA: a key with usage M7 can't have algorithm A"),
    (BASE_KEY, "DA", "01P0ABX", "DA: exportability"),
    (BASE_KEY, "DA", "01P0ABEM0TGX", "DA: exportability"),
    ({}, "DA", "01P0ABE", "DA is for keys that others are derived from"),
    ({}, "CT", "00MIIB", "CT is for asymmetric"),
    *((SIGNING_KEY, "CT", bad, "not the form") for bad in ("", "00", "03MIIB", "MIIB")),
    *((SIGNING_KEY, "CT", bad, "in base64") for bad in ("00MII", "00MI*B", "00====", "01MII", "00MIIB ")),
    (SIGNING_KEY, "CT", "02MIIB", "format and length"),
    (SIGNING_KEY, "CT", "02020004MIIB", "format and length"),
    (SIGNING_KEY, "CT", "02000008MIIB", "cut off"),
    (SIGNING_KEY, "CT", "02000004MIIB000008MIIB", "format and length|cut off"),
    (SIGNING_KEY, "CT", "02000003MII", "in base64"),
    (SIGNING_KEY, "CT", "02000000", "in base64"),
]


@pytest.mark.parametrize(("change", "name", "data", "message"), BAD_OPTIONAL)
def test_optional_blocks_that_mean_nothing_are_refused(
    change: dict[str, Any], name: str, data: str, message: str
) -> None:
    header = replace(PIN_KEY, **change, optional=(OptionalBlock(name, data),))
    with pytest.raises(KeyBlockError, match=message):
        key_blocks.wrap(KBPK, header, KEY)
    with pytest.raises(KeyBlockError, match=message):
        key_blocks.unwrap(KBPK, sealed(header))


GOOD_OPTIONAL = [
    *((HMAC_KEY, "HM", f"{number}") for number in (10, *range(20, 26), *range(30, 34), 40, 41)),
    *(
        ({}, name, good)
        for name in ("TS", "TC")
        for good in (
            "20200229221218Z",
            "2020081822121899Z",
            "2020-08-18T22:12:18Z",
            "2020-08-18T22:12:18.22Z",
        )
    ),
    *(({}, "WP", f"00{number}") for number in range(4)),
    (SIGNING_KEY, "AL", "0100"),
    (SIGNING_KEY, "AL", "0101"),
    (SIGNING_KEY, "CT", "00TUlJQg=="),
    (SIGNING_KEY, "CT", "01TUlJQg=="),
    (SIGNING_KEY, "CT", "02000008TUlJQg==010004MIIB"),
    (BASE_KEY, "BI", "0112345678"),
    (TDES_BASE_KEY, "BI", "00FFFF987654"),
    (BASE_KEY, "DA", "01P0TENM0TGN"),
    (BASE_KEY, "IK", "1234567812345678"),
    (TDES_BASE_KEY, "KS", "12345678901234600000"),
    (TDES_BASE_KEY, "KC", "01" + tdes_cmac(KEY, bytes(8)).hex().upper()[:10]),
    (TDES_BASE_KEY, "KC", "00" + TDES_CHECK[:2]),
    ({}, "KC", "01" + AES_CHECK[:2]),
    ({}, "PK", "00FFFFFF"),
    ({}, "KV", "01ab"),
    ({}, "LB", "any text: 100 %"),
]


@pytest.mark.parametrize(("change", "name", "data"), GOOD_OPTIONAL)
def test_optional_blocks_that_the_standard_knows_open(change: dict[str, Any], name: str, data: str) -> None:
    header = replace(PIN_KEY, **change, optional=(OptionalBlock(name, data),))
    assert key_blocks.unwrap(KBPK, key_blocks.wrap(KBPK, header, KEY)) == (header, KEY)


BAD_OPTIONAL_TEXTS = [
    ("01", "LBFE", "impossible length"),
    ("0A", "", "not two digits"),
    ("-1", "", "letters and digits"),
    ("01", "", "hex digits|impossible|name is two"),
    ("00", "LB10123456789012", "pairs of upper case hex"),
    ("02", "LB10123456789012", "hex digits|name is two|impossible|no multiple"),
    ("99", "LB10123456789012", "hex digits|name is two|impossible"),
    ("01", "LB03" + "0" * 12, "impossible length"),
    ("01", "LB01" + "0" * 12, "impossible length"),
    ("01", "LBFF" + "0" * 12, "impossible length"),
    ("01", "LB1g" + "0" * 12, "hex digits"),
    ("01", "LB1a" + "0" * 22, "hex digits"),
    ("01", "lb10" + "0" * 12, "two capitals or digits"),
    ("01", "L 10" + "0" * 12, "two capitals or digits"),
    ("01", "LB0000" + "0" * 10, "4 digits"),
    ("01", "LB0001" + "0" * 10, "4 digits"),
    ("01", "LB0008" + "0" * 10, "4 digits"),
    ("01", "LB00020009" + "0" * 6, "impossible length"),
    ("01", "LB0002FFFF" + "0" * 6, "impossible length"),
    ("01", "LB000200XX" + "0" * 6, "hex digits"),
    ("01", "LB0C12345678", "no multiple of 16"),
    ("02", "LB0C12345678LB14" + "0" * 16, "comes twice"),
    ("02", "LB0C12345678PB05" + "0", "no multiple of 16"),
    ("02", "PB0C12345678LB14" + "0" * 16, "PB is the last"),
    ("02", "LB10123456789012" + "PB10" + "0" * 12, "fills up the header"),
    ("02", "LB0C12345678" + "PB24" + "0" * 32, "fills up the header"),
    ("01", "PB10" + "0" * 12, "fills up the header"),
]


@pytest.mark.parametrize(("count", "text", "message"), BAD_OPTIONAL_TEXTS)
def test_malformed_optional_blocks_are_refused(count: str, text: str, message: str) -> None:
    block = sealed_text(f"DLLLLP0AB00E{count}00{text}", INSIDE)
    with pytest.raises(KeyBlockError, match=message):
        key_blocks.unwrap(KBPK, block)


def test_a_padding_block_takes_any_printable_fill() -> None:
    block = sealed_text("DLLLLP0AB00E0200LB0812 4PB08~ z!", INSIDE)
    assert key_blocks.unwrap(KBPK, block).header.value_of("LB") == "12 4"


@pytest.mark.parametrize(
    "optional",
    [
        (OptionalBlock("PB", "0000"),),
        (OptionalBlock("LB", "a"), OptionalBlock("LB", "b")),
        (OptionalBlock("L", "a"),),
        (OptionalBlock("lb", "a"),),
        (OptionalBlock("LB", "é"),),
        (OptionalBlock("LB", "a\n"),),
        (OptionalBlock("LB", "x" * 9990),),
        tuple(OptionalBlock(f"{number:02}", "") for number in range(100)),
    ],
)
def test_optional_blocks_that_can_not_be_written_are_refused(optional: tuple[OptionalBlock, ...]) -> None:
    with pytest.raises(KeyBlockError):
        key_blocks.wrap(KBPK, replace(PIN_KEY, optional=optional), KEY)


# ---------------------------------------------------------------- wrong inside


@pytest.mark.parametrize("bits", [0, 1, 127, 129, 120, 136, 64, 192 + 8, 240, 241, 256, 0xFFFF])
@pytest.mark.parametrize("version", "DE")
def test_key_lengths_that_can_not_be_are_refused(version: str, bits: int) -> None:
    inside = bits.to_bytes(2) + bytes(30)
    with pytest.raises(KeyBlockError, match=r"key length|can't have") as caught:
        key_blocks.unwrap(KBPK, sealed_text(f"{version}LLLLP0AB00E0000", inside, version))
    assert not isinstance(caught.value, KeyBlockMacError)


@pytest.mark.parametrize(
    ("algorithm", "size"), [("A", 8), ("A", 17), ("T", 8), ("T", 32), ("D", 16), ("A", 0), ("T", 0)]
)
def test_keys_of_another_length_than_their_algorithm_are_refused(algorithm: str, size: int) -> None:
    header = replace(PIN_KEY, algorithm=algorithm)
    with pytest.raises(KeyBlockError, match="can't have"):
        key_blocks.wrap(KBPK, header, bytes(size))
    inside = (size * 8).to_bytes(2) + bytes(46)
    with pytest.raises(KeyBlockError, match="can't have"):
        key_blocks.unwrap(KBPK, sealed_text(f"DLLLLP0{algorithm}B00E0000", inside))


def test_an_inside_that_is_no_whole_block_is_refused() -> None:
    for size in (0, 8, 24):
        text = f"D{16 + 2 * (size + 16):04}P0AB00E0000"
        with pytest.raises(KeyBlockError, match="whole number of cipher blocks"):
            key_blocks.unwrap(KBPK, text + "00" * (size + 16))


@given(st.text(max_size=200))
def test_any_text_is_refused_cleanly(text: str) -> None:
    with pytest.raises(KeyBlockError):
        key_blocks.unwrap(KBPK, text)


@given(st.text(string.ascii_uppercase + string.digits, max_size=120))
def test_any_text_behind_a_version_is_refused_cleanly(text: str) -> None:
    for version in "ABCDE":
        block = f"{version}{len(text) + 5:04}{text}"
        with pytest.raises(KeyBlockError):
            key_blocks.unwrap(KBPK[:16], block)


def test_no_error_carries_key_material() -> None:
    secrets = (KEY.hex(), KBPK.hex(), KEY.hex().upper(), KBPK.hex().upper())
    for broken in (
        lambda: key_blocks.unwrap(KBPK[::-1], BLOCK),
        lambda: key_blocks.wrap(KBPK, replace(PIN_KEY, algorithm="T"), KEY + KEY),
        lambda: key_blocks.wrap(KBPK, replace(PIN_KEY, optional=(OptionalBlock("KC", "01AAAAAA"),)), KEY),
    ):
        with pytest.raises(KeyBlockError) as caught:
            broken()
        assert not any(secret in f"{caught.value!r} {caught.value}" for secret in secrets)
