"""MACs in parts are MACs of the whole; what a direction, a format or a length changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto.macs import algorithm_1, algorithm_3, cmac, hmac_sha256, tdes_cmac
from tests.hsm_sim.boxes import ODD, Box, aes_token, tdes_token
from tests.hsm_sim.captures import BDK, PVK_VISA

AES_KEY = bytes(range(16))
# (algorithm of the request, key token, block bytes, the MAC itself)
KINDS = {
    "1": (f"1{{}}{tdes_token(ODD, 'M1')}", 8, lambda data: algorithm_1(ODD, data)),
    "3": (f"3{{}}{tdes_token(ODD, 'M3')}", 8, lambda data: algorithm_3(ODD, data)),
    "6 AES": (f"6{{}}{aes_token(AES_KEY, 'M6')}", 16, lambda data: cmac(AES_KEY, data)),
    "6 TDES": (f"6{{}}{aes_token(ODD, 'M6', algorithm='T')}", 8, lambda data: tdes_cmac(ODD, data)),
}


def part(box: Box, kind: str, mode: str, vector: str, data: bytes) -> str:
    head, _, _ = KINDS[kind]
    request = f"M6{mode}01{head.format('1FFF')}{vector}{len(data):04X}".encode() + data
    answer = box.ask(request)
    assert answer.startswith("M700"), answer
    return answer[4:]


@pytest.mark.parametrize("kind", KINDS)
@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_message_in_parts_has_the_mac_of_the_whole(kind: str, data: bytes, drawn: st.DataObject) -> None:
    box, (_, block, whole) = Box(), KINDS[kind]
    blocks = (len(data) - 1) // block  # the last part keeps at least one byte
    first = drawn.draw(st.integers(min_value=0, max_value=blocks))
    middle = drawn.draw(st.integers(min_value=first, max_value=blocks))
    if first == 0:
        made = part(box, kind, "0", "", data)
    else:
        vector = part(box, kind, "1", "", data[: first * block])
        if middle > first:
            vector = part(box, kind, "2", vector, data[first * block : middle * block])
        made = part(box, kind, "3", vector, data[middle * block :])
    assert made == whole(data).hex().upper()[:16]


@given(st.binary(max_size=200))
def test_hex_text_and_binary_are_one_message(data: bytes) -> None:
    box, token = Box(), aes_token(AES_KEY, "M6")
    packed = data.hex().upper()
    as_hex = box.ask(f"M60116{'0'}FFF{token}{len(packed):04X}{packed}%02")
    as_binary = box.ask(f"M60016{'0'}FFF{token}{len(data):04X}".encode() + data + b"%02")
    assert as_hex == as_binary == "M700" + cmac(AES_KEY, data).hex().upper()[:16]


@given(st.binary(max_size=60))
def test_deciphered_data_is_what_was_enciphered(data: bytes) -> None:
    box, serial = Box(), "123456789012345600000003"
    bdk = aes_token(AES_KEY, "B0")
    sealed = box.ask(f"XC01{bdk}{serial}{len(data):04X}".encode() + data + b"%02").encode("latin-1")
    opened = box.ask(f"XC11{bdk}{serial}".encode() + sealed[4:] + b"%02").encode("latin-1")
    assert opened == b"XD00" + f"{len(data):04X}".encode() + data
    other_way = box.ask(f"XC12{bdk}{serial}".encode() + sealed[4:] + b"%02").encode("latin-1")
    assert other_way != opened


def test_data_blocks_chain_over_requests() -> None:
    box, token = Box(), aes_token(AES_KEY, "D0")
    data = bytes(range(64))
    whole = box.ask(f"M00101FFF{token}{'0' * 32}0040".encode() + data + b"%02")
    first = box.ask(f"M00101FFF{token}{'0' * 32}0020".encode() + data[:32] + b"%02")
    second = box.ask(f"M00101FFF{token}{first[4:36]}0020".encode() + data[32:] + b"%02")
    assert first[40:] + second[40:] == whole[40:]
    back = box.ask(f"M20110FFF{token}{'0' * 32}0080{whole[40:]}%02").encode("latin-1")
    assert back[36:] == b"0040" + data


@pytest.mark.parametrize("length", ["0000", "0007", "FFFF"])
def test_data_that_are_no_whole_blocks_are_refused(length: str) -> None:
    token = tdes_token(ODD, "D0")
    assert Box().code(f"M00000FFF{token}{length}{'x' * int(length, 16)}"[:60000]) == "06"


def test_hmac_is_verified_by_the_same_key_only() -> None:
    box, key = Box(), bytes(32)
    token = aes_token(key, "M7", algorithm="H")
    tag = hmac_sha256(key, b"data").hex().upper()[:16]
    assert box.ask(f"XU4{token}0004data%02") == f"XV00{tag}"
    assert box.ask(f"XU1{token}{tag}0004data%02") == "XV00"
    assert box.code(f"XU1{token}{tag}0004Data%02") == "01"
    other = aes_token(bytes(31) + b"\1", "M7", algorithm="H")
    assert box.code(f"XU1{other}{tag}0004data%02") == "01"


def test_a_dukpt_pin_may_be_verified_together_with_a_mac() -> None:
    box, serial = Box(), "A05FFFF000001315240003A"
    tag = box.ask(f"GW41{BDK}{serial}0004data%01")[4:]
    pvv = next(
        number for number in map("{:04d}".format, range(10000)) if box.code(gq(serial, number, "")) == "00"
    )
    assert box.ask(gq(serial, pvv, tag)) == "GR0000"
    assert box.ask(gq(serial, pvv, "0" * 16)) == "GR0001"
    wrong = f"{(int(pvv) + 1) % 10000:04d}"
    assert box.ask(gq(serial, wrong, tag)) == "GR0100"
    assert box.ask(gq(serial, wrong, "")) == "GR01"


def gq(serial: str, pvv: str, tag: str) -> str:
    """A captured block's PIN against a PVV, with a MAC over `data` when there is a tag."""
    mac = f"{tag}0004data" if tag else ""
    modes = "011" if tag else "0"
    return f"GQ{modes}{BDK}{PVK_VISA}{serial}741311DA9D5D6C32016000000000001{pvv}{mac}%01"


def test_a_genuine_card_is_told_from_others() -> None:
    """The example of NXP's AN12196 has keys of its own; this card has ours."""
    from switch.hsm.crypto import ntag424
    from switch.hsm.crypto.ciphers import aes_cbc_encrypt, aes_ecb_encrypt

    box, master = Box(), bytes(range(16))
    token, identifier = aes_token(master, "11"), bytes.fromhex("04112233445566")
    picc = ntag424.Picc(identifier, 0x000123)
    plain = b"\xc7" + identifier + (0x123).to_bytes(3, "little") + bytes(5)
    enciphered = aes_cbc_encrypt(ntag424.meta_key(master), plain).hex().upper()
    tag = ntag424.sun_mac(ntag424.file_key(master, identifier), picc).hex().upper()
    assert box.ask(f"XM{token}{enciphered}{tag}0000%02") == "XN0004112233445566000123"
    assert box.code(f"XM{token}{enciphered}{'0' * 16}0000%02") == "01"
    key, random_b = ntag424.authentication_key(master, identifier), bytes(range(16, 32))
    first = box.ask(f"XO{token}{identifier.hex()}{aes_ecb_encrypt(key, random_b).hex()}%02")
    assert first[:4] == "XP00"
    state = first[68:]
    assert int(state[:2], 16) * 2 == len(state) - 2
    assert box.code(f"XQ{token}{identifier.hex()}{state}{'00' * 32}%02") == "01"
    assert box.code(f"XQ{token}{identifier.hex()}{state[:-2]}00{'00' * 32}%02") == "15"


def test_an_initial_key_leaves_only_under_its_transport_key() -> None:
    from switch.hsm.crypto import dukpt_aes, key_blocks

    box, base, transport = Box(), bytes(range(16)), bytes(range(32, 48))
    request = f"XE{aes_token(base, 'B0')}1234567890123456{aes_token(transport, 'K1')}%02"
    answer = box.ask(request)
    header, key = key_blocks.unwrap(transport, answer[5:-6])
    assert (header.version, header.usage, header.value_of("IK")) == ("D", "B1", "1234567890123456")
    assert key == dukpt_aes.initial_key(base, bytes.fromhex("1234567890123456"))
    assert [event.what for event in box.recorded] == ["initial key derived"]
    long_base = aes_token(bytes(32), "B0")
    assert box.code(f"XE{long_base}1234567890123456{aes_token(transport, 'K1')}%02") == "27"
