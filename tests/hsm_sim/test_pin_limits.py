"""PIN blocks keep their card and never become weaker; wrong ones are told from malformed ones."""

from __future__ import annotations

import itertools

import pytest

from switch.hsm.crypto import pin_blocks
from switch.hsm.crypto.ciphers import tdes_ecb_decrypt, tdes_ecb_encrypt
from switch.hsm.crypto.dukpt_aes import Usage, initial_key, working_key
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.master_key_pins import open_pin, open_table, seal_pin, seal_table
from switch.hsm_sim.slots import Slot, public_slot
from tests.hsm_sim.boxes import ODD, Box, aes_token, tdes_token

CARD = "4012345678909"
OTHER_CARD = "4012345678917"
ACCOUNT = CARD[:-1]
PIN = "92389"
AES_KEY = bytes(range(16))
ZPK_T, ZPK_A = tdes_token(ODD, "P0", "B"), aes_token(AES_KEY, "P0", "B")
# A TDES and an AES zone key under one LMK, for translation between them.
ZPK_T_UNDER_AES = aes_token(ODD, "P0", "B", algorithm="T")
FORMATS = {"01": 0, "05": 1, "34": 2, "47": 3}
BASE_KEY = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
SERIAL = bytes.fromhex("123456789012345600000001")


def block(code: str, card: str = CARD, pin: str = PIN) -> str:
    if code == "48":
        return pin_blocks.seal_iso_4(AES_KEY, pin, card).hex().upper()
    return tdes_ecb_encrypt(ODD, pin_blocks.encode(FORMATS[code], pin, card)).hex().upper()


def translate(source: str, destination: str, card: str = CARD, box: Box | None = None) -> str:
    keys = [ZPK_A if code == "48" else ZPK_T_UNDER_AES for code in (source, destination)]
    request = f"XGZ{keys[0]}{keys[1]}{source}{destination}{block(source)}{len(card):02d}{card}%02"
    return (box or Box()).ask(request)


def opened(code: str, answer: str, card: str = CARD) -> str:
    data = bytes.fromhex(answer[4:-2])
    if code == "48":
        return pin_blocks.open_iso_4(AES_KEY, data, card)
    return pin_blocks.decode(FORMATS[code], tdes_ecb_decrypt(ODD, data), card)


@pytest.mark.parametrize(("source", "destination"), list(itertools.product(["01", "47", "48"], repeat=2)))
def test_bound_formats_become_each_other_for_the_same_card(source: str, destination: str) -> None:
    answer = translate(source, destination)
    assert answer.startswith("XH00")
    assert answer.endswith(destination)
    assert opened(destination, answer) == PIN


@pytest.mark.parametrize("source", ["01", "47", "48"])
@pytest.mark.parametrize("destination", ["05", "34", "03", "02", "04"])
def test_nothing_becomes_a_format_without_card(source: str, destination: str) -> None:
    assert translate(source, destination) == "XH69"
    if destination != "03":
        assert translate(source, destination, box=Box(allowed_formats=("05", "03"))) == "XH69"


@pytest.mark.parametrize("destination", ["01", "47", "48"])
def test_format_1_is_a_source_only_where_it_is_allowed(destination: str) -> None:
    assert translate("05", destination) == "XH69"
    answer = translate("05", destination, box=Box(allowed_formats=("05",)))
    assert opened(destination, answer) == PIN
    assert translate("34", destination, box=Box(allowed_formats=("05",))) == "XH69"


@pytest.mark.parametrize("source", ["01", "47", "48"])
def test_another_card_number_is_a_bad_block(source: str) -> None:
    assert translate(source, "48", OTHER_CARD.replace("8", "7")) == "XH20"


def test_unknown_formats_are_told_from_disabled_ones() -> None:
    box = Box()
    for code in ("00", "06", "99"):
        assert box.code(f"CC{ZPK_T}{ZPK_T}12{block('01')}{code}01{ACCOUNT}%01") == "23"


def test_g0_gives_no_pin_to_another_card() -> None:
    bdk = tdes_token(ODD, "B0")
    box = Box()
    serial = "A05FFFF9876543210E00001"
    made = box.ask(f"CA{tdes_token(ODD, '71')}{bdk}{serial}12{block('01')}0101{ACCOUNT}%01")
    source = f"G0{bdk}{ZPK_T}{serial}{made[6:-2]}0101{ACCOUNT}"
    assert box.ask(f"{source}%01")[:6] == "G10005"
    assert box.code(f"{source};{ACCOUNT}%01") == "00"
    assert box.code(f"{source};{'1' * 12}%01") == "29"


@pytest.mark.parametrize(("pin", "code"), [("123", "20"), ("1234", "00"), ("1" * 12, "00")])
def test_pins_have_four_to_twelve_digits(pin: str, code: str) -> None:
    fill = f"0{len(pin):X}{pin}".ljust(16, "F")
    clear = int(fill, 16) ^ int(ACCOUNT, 16)
    enciphered = tdes_ecb_encrypt(ODD, clear.to_bytes(8, "big")).hex().upper()
    assert Box().code(f"CC{ZPK_T}{ZPK_T}12{enciphered}0101{ACCOUNT}%01") == code


def test_the_standard_commands_take_format_48_with_the_whole_card_number() -> None:
    answer = Box().ask(f"CC{ZPK_A}{ZPK_A}12{block('48')}4848{CARD};%02")
    assert answer[:6] == "CD0005"
    assert pin_blocks.open_iso_4(AES_KEY, bytes.fromhex(answer[6:-2]), CARD) == PIN
    assert Box().code(f"CC{ZPK_T_UNDER_AES}{ZPK_T_UNDER_AES}12{block('01')}0148{CARD};%02") == "A7"


def terminal_block(pin: str = PIN) -> str:
    key = working_key(initial_key(BASE_KEY, SERIAL[:8]), SERIAL, Usage.PIN)
    return pin_blocks.seal_iso_4(key, pin, CARD).hex().upper()


def test_the_verifier_knows_its_pin_and_nothing_else() -> None:
    box = Box()
    source = f"D{aes_token(BASE_KEY, 'B0', 'X')}{SERIAL.hex().upper()}{aes_token(AES_KEY, '10', 'C')}"
    tail = f"48{{}}{len(CARD)}{CARD}{{}}"
    verifier = box.ask(f"XI{source}{tail.format(terminal_block(), '03AB12CD')}%02")[4:]
    assert len(verifier) == 32
    checks = {
        "right": (tail.format(terminal_block(), "03AB12CD"), "00"),
        "wrong PIN": (tail.format(terminal_block("92380"), "03AB12CD"), "01"),
        "another member": (tail.format(terminal_block(), "03AB12CE"), "01"),
        "bad block": (tail.format("0" * 32, "03AB12CD"), "20"),
    }
    for name, (fields, code) in checks.items():
        assert box.code(f"XK{source}{fields}{verifier}%02") == code, name
    assert box.code(f"XI{source}{tail.format(terminal_block(), '00')}%02") == "15"


def test_a_counter_that_no_terminal_uses_is_refused() -> None:
    for counter in ("00000000", "FFFFFFFF", "0001FFFF"):
        request = f"XA41{aes_token(BASE_KEY, 'B0', 'X')}1234567890123456{counter}0004data%02"
        assert Box().code(request) == "15"


@pytest.mark.parametrize("kind", ["variant", "tdes", "aes"])
@pytest.mark.parametrize("pin", ["1234", "00000", "0123456789012"[:12]])
def test_a_pin_under_the_lmk_opens_for_its_account_only(kind: str, pin: str) -> None:
    slot = public_slot("00", kind)
    sealed = seal_pin(slot, pin, ACCOUNT)
    assert len(sealed) == len(pin) + 1
    assert sealed != "0" + pin
    assert open_pin(slot, sealed, ACCOUNT) == pin
    # One digit of redundancy: of wrong accounts some one in nine opens it, to another PIN mostly.
    opened_for = [account for number in range(40) if opens(slot, sealed, account := f"{number:012d}")]
    assert len(opened_for) < 20


def opens(slot: Slot, sealed: str, account: str) -> bool:
    try:
        open_pin(slot, sealed, account)
    except Refused as refusal:
        return refusal.code != "14"
    return True


def test_a_random_pin_goes_to_a_zone_and_back() -> None:
    box = Box()
    made = box.ask(f"JA{ACCOUNT}06%01")
    assert len(made) == 4 + 7
    sent = box.ask(f"JG{ZPK_T}01{ACCOUNT}{made[4:]}%01")
    assert box.ask(f"JE{ZPK_T}{sent[4:]}01{ACCOUNT}%01")[4:] == made[4:]


@pytest.mark.parametrize("kind", ["variant", "tdes", "aes"])
def test_a_decimalisation_table_must_be_one(kind: str) -> None:
    slot = public_slot("00", kind)
    assert open_table(slot, seal_table(slot, "0123456789012345")) == "0123456789012345"
    for weak in ("0" * 16, "0123456012345601", "0000012345678901"):
        with pytest.raises(Refused, match=r"^25 "):
            open_table(slot, seal_table(slot, weak))


def test_the_captured_table_is_the_usual_one() -> None:
    assert seal_table(public_slot("01", "tdes"), "0123456789012345") == "709F26B22464E96A"


@pytest.mark.parametrize("command", ["CA", "CC"])
@pytest.mark.parametrize(
    ("longest", "digits", "code"),
    [(4, 6, "24"), (5, 6, "24"), (6, 6, "00"), (4, 4, "00"), (11, 12, "24"), (3, 4, "15"), (13, 4, "15")],
)
def test_a_pin_longer_than_the_request_allows_is_refused(
    command: str, longest: int, digits: int, code: str
) -> None:
    source = tdes_token(ODD, "71" if command == "CA" else "P0")
    enciphered = block("01", pin="123456789012"[:digits])
    request = f"{command}{source}{ZPK_T}{longest:02d}{enciphered}0101{ACCOUNT}%01"
    assert Box().code(request) == code


@pytest.mark.parametrize(("longest", "code"), [(4, "24"), (5, "01")])
def test_a_pin_that_is_verified_by_its_offset_is_as_long_as_the_request_allows(
    longest: int, code: str
) -> None:
    table = "709F26B22464E96A"
    keys = f"{ZPK_T}{tdes_token(ODD, 'V1')}"
    request = f"EA{keys}{longest:02d}{block('01')}0104{ACCOUNT}{table}12345678901N1234FFFFFFFF%01"
    assert Box().code(request) == code
