"""The whole matrix: every operand of every command against every usage, algorithm and mode. Only the cells
that the table allows are accepted; each wrong cell is refused with the code of its kind."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from switch.hsm.crypto.dukpt_aes import Usage, initial_key, working_key
from switch.hsm_sim.key_usage import BLOCK_USAGES, OPERANDS, Operand
from tests.hsm_sim.boxes import ODD, TDES, VARIANT, Box, aes_token, tdes_token

KEY_16 = bytes(range(16))
MODES = "BCDEGNVX"
REFUSED_USE = {"A6", "A7", "A8"}
SERIAL = "123456789012345600000001"
TDES_SERIAL = "A05FFFF9876543210E00001"
PAN = "4012345678909"

TDES_GOOD = {"ZPK": "P0", "TPK": "71", "PVK": "V2", "IBM": "V1", "CVK": "C0", "BDK": "B0", "ZMK": "K0"}


def t(usage: str, mode: str = "N") -> str:
    return tdes_token(ODD, usage, mode)


def a(usage: str, mode: str = "N", key: bytes = KEY_16) -> str:
    return aes_token(key, usage, mode)


class Request(NamedTuple):
    """A request that would do with a right key at `{}`. aes: under the AES LMK."""

    text: str
    aes: bool = False


TABLE = "709F26B22464E96A"
BLOCK = "0" * 16
PIN_TAIL = f"{BLOCK}01400000123456"
OFFSET_TAIL = f"12{BLOCK}0104400000123456{TABLE}12345678901N1234FFFFFFFF%01"
REQUESTS: dict[tuple[str, str], Request] = {
    ("A0", "zmk"): Request("A01FFFS0{}R%01#P0T2B00E00"),
    ("A6", "zmk"): Request(f"A6FFF{{}}{TDES.wrap(TDES.unwrap(t('P0')).header, ODD)}S%01"),
    ("A8", "zmk"): Request(f"A8FFF{{}}{t('P0')}R%01"),
    ("CA", "source"): Request(f"CA{{}}{t('P0')}12{BLOCK}0101400000123456%01"),
    ("CA", "destination"): Request(f"CA{t('71')}{{}}12{BLOCK}0101400000123456%01"),
    ("CC", "source"): Request(f"CC{{}}{t('P0')}12{BLOCK}0101400000123456%01"),
    ("CC", "destination"): Request(f"CC{t('P0')}{{}}12{BLOCK}0101400000123456%01"),
    ("G0", "source"): Request(f"G0{{}}{t('P0')}{TDES_SERIAL}{BLOCK}0101400000123456%01"),
    ("G0", "destination"): Request(f"G0{t('B0')}{{}}{TDES_SERIAL}{BLOCK}0101400000123456%01"),
    ("DC", "key"): Request(f"DC{{}}{t('V2')}{PIN_TAIL}11234%01"),
    ("DC", "pvk"): Request(f"DC{t('71')}{{}}{PIN_TAIL}11234%01"),
    ("EC", "key"): Request(f"EC{{}}{t('V2')}{PIN_TAIL}11234%01"),
    ("EC", "pvk"): Request(f"EC{t('P0')}{{}}{PIN_TAIL}11234%01"),
    ("DA", "key"): Request(f"DA{{}}{t('V1')}{OFFSET_TAIL}"),
    ("DA", "pvk"): Request(f"DA{t('71')}{{}}{OFFSET_TAIL}"),
    ("EA", "key"): Request(f"EA{{}}{t('V1')}{OFFSET_TAIL}"),
    ("EA", "pvk"): Request(f"EA{t('P0')}{{}}{OFFSET_TAIL}"),
    ("DG", "pvk"): Request("DG{}012344000001234561%01"),
    ("FW", "key"): Request(f"FWFFF{{}}{t('V2')}{PIN_TAIL}1%01"),
    ("FW", "pvk"): Request(f"FWFFF{t('P0')}{{}}{PIN_TAIL}1%01"),
    ("CU", "key"): Request(f"CUFFF{{}}{t('V2')}{PIN_TAIL}11234{BLOCK}%01"),
    ("CU", "pvk"): Request(f"CUFFF{t('P0')}{{}}{PIN_TAIL}11234{BLOCK}%01"),
    ("DU", "key"): Request(
        f"DUFFF{{}}{t('V1')}{BLOCK}0104400000123456{TABLE}12345678901N1234FFFFFFFF{BLOCK}%01"
    ),
    ("DU", "pvk"): Request(
        f"DUFFF{t('P0')}{{}}{BLOCK}0104400000123456{TABLE}12345678901N1234FFFFFFFF{BLOCK}%01"
    ),
    ("BK", "key"): Request(f"BKFFF{{}}{t('V1')}{BLOCK}0104400000123456{TABLE}12345678901N%01"),
    ("BK", "pvk"): Request(f"BKFFF{t('P0')}{{}}{BLOCK}0104400000123456{TABLE}12345678901N%01"),
    ("GO", "bdk"): Request(
        f"GO0{{}}{t('V1')}{TDES_SERIAL}{BLOCK}0104400000123456{TABLE}12345678901N1234FFFFFFFF%01"
    ),
    ("GO", "pvk"): Request(
        f"GO0{t('B0')}{{}}{TDES_SERIAL}{BLOCK}0104400000123456{TABLE}12345678901N1234FFFFFFFF%01"
    ),
    ("GQ", "bdk"): Request(f"GQ0{{}}{t('V2')}{TDES_SERIAL}{PIN_TAIL}11234%01"),
    ("GQ", "pvk"): Request(f"GQ0{t('B0')}{{}}{TDES_SERIAL}{PIN_TAIL}11234%01"),
    ("JC", "key"): Request(f"JC{{}}{PIN_TAIL}%01"),
    ("JE", "key"): Request(f"JE{{}}{PIN_TAIL}%01"),
    ("JG", "key"): Request("JG{}0140000012345601234%01"),
    ("M6", "key algorithm 1"): Request("M600111FFF{}0004data%01"),
    ("M6", "key algorithm 3"): Request("M600131FFF{}0004data%01"),
    ("M6", "key algorithm 6"): Request("M600160FFF{}0004data%01"),
    ("M8", "key algorithm 1"): Request("M800111FFF{}0004data0123456789ABCDEF%01"),
    ("M8", "key algorithm 3"): Request("M800131FFF{}0004data0123456789ABCDEF%01"),
    ("M8", "key algorithm 6"): Request("M800160FFF{}0004data0123456789ABCDEF%01"),
    ("M0", "key"): Request("M00000FFF{}0010data0123456789AB%01"),
    ("M2", "key"): Request("M20000FFF{}0010data0123456789AB%01"),
    ("GW", "bdk"): Request(f"GW41{{}}{TDES_SERIAL}0004data%01"),
    ("CW", "cvk"): Request("CW{}4000001234567899;2512101%01"),
    ("CY", "cvk"): Request("CY{}1234000001234567899;2512101%01"),
    ("XA", "bdk"): Request(f"XA41{{}}{SERIAL}0004data%02", True),
    ("XC", "bdk"): Request(f"XC01{{}}{SERIAL}0004data%02", True),
    ("XE", "bdk"): Request(f"XE{{}}1234567890123456{a('K1')}%02", True),
    ("XE", "kbpk"): Request(f"XE{a('B0')}1234567890123456{{}}%02", True),
    ("XG", "source_key D"): Request(f"XGD{{}}{SERIAL}{a('P0')}4848{BLOCK}{BLOCK}13{PAN}%02", True),
    ("XG", "source_key Z"): Request(f"XGZ{{}}{a('P0')}4848{BLOCK}{BLOCK}13{PAN}%02", True),
    ("XG", "destination"): Request(f"XGZ{a('P0')}{{}}4848{BLOCK}{BLOCK}13{PAN}%02", True),
    ("XI", "source_key D"): Request(f"XID{{}}{SERIAL}{a('10')}48{BLOCK}{BLOCK}13{PAN}02ABCD%02", True),
    ("XI", "source_key Z"): Request(f"XIZ{{}}{a('10')}48{BLOCK}{BLOCK}13{PAN}02ABCD%02", True),
    ("XI", "verifier_key"): Request(f"XIZ{a('P0')}{{}}48{BLOCK}{BLOCK}13{PAN}02ABCD%02", True),
    ("XK", "source_key D"): Request(
        f"XKD{{}}{SERIAL}{a('10')}48{BLOCK}{BLOCK}13{PAN}02ABCD{BLOCK}{BLOCK}%02", True
    ),
    ("XK", "source_key Z"): Request(f"XKZ{{}}{a('10')}48{BLOCK}{BLOCK}13{PAN}02ABCD{BLOCK}{BLOCK}%02", True),
    ("XK", "verifier_key"): Request(f"XKZ{a('P0')}{{}}48{BLOCK}{BLOCK}13{PAN}02ABCD{BLOCK}{BLOCK}%02", True),
    ("XW", "source_key D"): Request(
        f"XWD{{}}{SERIAL}{aes_token(ODD, 'V2', algorithm='T')}48{BLOCK}{BLOCK}13{PAN}11234%02", True
    ),
    ("XW", "source_key Z"): Request(
        f"XWZ{{}}{aes_token(ODD, 'V2', algorithm='T')}48{BLOCK}{BLOCK}13{PAN}11234%02", True
    ),
    ("XW", "pvk"): Request(f"XWZ{a('P0')}{{}}48{BLOCK}{BLOCK}13{PAN}11234%02", True),
    ("XM", "master"): Request(f"XM{{}}{BLOCK}{BLOCK}{BLOCK}0000%02", True),
    ("XS", "master"): Request(f"XS{{}}{BLOCK}{BLOCK}{BLOCK}{BLOCK}{BLOCK}%02", True),
    ("X0", "master"): Request(f"X0{{}}0411223344556600000001{BLOCK}{BLOCK}{BLOCK}%02", True),
    ("X2", "master"): Request(f"X2{{}}F04112233445566{a('K1')}%02", True),
    ("X2", "kbpk"): Request(f"X2{a('11')}F04112233445566{{}}%02", True),
    ("XO", "master"): Request(f"XO{{}}04112233445566{BLOCK}{BLOCK}%02", True),
    ("XQ", "master"): Request(f"XQ{{}}0411223344556610{BLOCK}{BLOCK}{BLOCK * 4}%02", True),
    ("XU", "key generate"): Request("XU4{}0004data%02", True),
    ("XU", "key verify"): Request(f"XU1{{}}{BLOCK}0004data%02", True),
}
# A destination that is a BDK is another case of the same operand: both are what the operand accepts.
SECOND_CASES = {(code, "destination"): (code, "destination BDK") for code in ("CA", "G0")}
# A sealed state can't be made up for every key: that the key was accepted shows in what is refused next.
MALFORMED_BEHIND_THE_KEY = {("XQ", "master")}


def usages() -> list[str]:
    return sorted({*BLOCK_USAGES, "B1", "K2", "M0", "99"})


def allowed(operand: Operand, usage: str, algorithm: str, mode: str) -> bool:
    return usage in operand.usages and algorithm in operand.algorithms and mode in operand.modes


def token(usage: str, algorithm: str, mode: str, aes: bool) -> str:
    if aes:
        return aes_token(ODD if algorithm == "T" else KEY_16, usage, mode, algorithm=algorithm)
    return tdes_token(ODD, usage, mode)


def request_for(request: Request, usage: str, algorithm: str, mode: str) -> str:
    """The request with a key of this kind; a TDES zone key carries format 01 where an AES key carries 48."""
    text = request.text
    if algorithm == "T" and text[2:5] == "Z{}":
        at = text.index(f"48{BLOCK}{BLOCK}") - (2 if text.startswith("XG") else 0)
        text = text[:at] + "01" + text[at + 2 :].replace(f"{BLOCK}{BLOCK}13", f"{BLOCK}13", 1)
    return text.format(token(usage, algorithm, mode, request.aes))


def test_every_operand_has_its_row() -> None:
    assert REQUESTS.keys() | set(SECOND_CASES.values()) == OPERANDS.keys()


@pytest.mark.parametrize("place", REQUESTS, ids=lambda place: " ".join(place))
def test_only_the_allowed_cells_are_accepted(place: tuple[str, str]) -> None:
    request, box = REQUESTS[place], Box(authorised=True)
    accepted = refused = 0
    for usage in usages():
        if place in SECOND_CASES and usage in OPERANDS[SECOND_CASES[place]].usages:
            continue  # changes what the request looks like; has its own test
        for algorithm in "ATH" if request.aes else "T":
            for mode in MODES if usage in OPERANDS[place].usages else "N":
                code = box.code(request_for(request, usage, algorithm, mode))
                cell = (place, usage, algorithm, mode, code)
                if allowed(OPERANDS[place], usage, algorithm, mode):
                    assert code not in REFUSED_USE | {"41"}, cell
                    assert (code == "15") is (place in MALFORMED_BEHIND_THE_KEY), cell
                    accepted += 1
                else:
                    assert code in REFUSED_USE, cell
                    refused += 1
    assert accepted
    assert refused


@pytest.mark.parametrize("place", SECOND_CASES, ids=lambda place: " ".join(place))
def test_a_destination_that_is_a_base_key_must_be_one_that_derives(place: tuple[str, str]) -> None:
    box = Box()
    source = t("71") if place[0] == "CA" else t("B0")
    for mode in MODES:
        serials = TDES_SERIAL if place[0] == "CA" else TDES_SERIAL * 2
        longest = "12" if place[0] == "CA" else ""
        code = box.code(f"{place[0]}{source}{t('B0', mode)}{serials}{longest}{BLOCK}0101400000123456%01")
        assert (code == "A8") is (mode not in "NX"), (mode, code)


VARIANT_TYPES = ("000", "001", "002", "003", "008", "009", "109", "402", "00A", "00B", "30B")
# Keys under the variant LMK carry no header: another type is another master key, and the parity shows it.
VARIANT_REQUESTS = {
    "001": ("CC{}" + VARIANT.wrap(ODD, "001", "U") + f"12{BLOCK}0101400000123456", "10"),
    "002": ("JC{}" + PIN_TAIL, "10"),
    "402": ("CW{}4000001234567899;2512101", "10"),
    "009": (f"GW41{{}}{TDES_SERIAL}0004data", "10"),
    "003": ("M600131003{}0004data", "10"),
    "008": ("M600131008{}0004data", "10"),
    "00B": ("M0000000B{}0010data0123456789AB", "10"),
}


@pytest.mark.parametrize("right", VARIANT_REQUESTS)
def test_a_key_of_another_type_is_a_parity_error_under_the_variant_lmk(right: str) -> None:
    text, wrong = VARIANT_REQUESTS[right]
    box = Box()
    for key_type in VARIANT_TYPES:
        code = box.code(text.format(VARIANT.wrap(ODD, key_type, "U")))
        if key_type == right:
            assert code in ("00", "20"), (key_type, code)
        else:
            assert code == wrong, (key_type, code)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("M600131001{}0004data", "05"),
        ("M00000009{}0010data0123456789AB", "05"),
        (f"FW009{{}}{VARIANT.wrap(ODD, '002', 'U')}{PIN_TAIL}1", "28"),
    ],
)
def test_a_key_type_that_a_command_has_no_use_for_is_refused(request_: str, code: str) -> None:
    assert Box().code(request_.format(VARIANT.wrap(ODD, "001", "U"))) == code


def test_one_changed_character_of_a_key_block_never_opens_it() -> None:
    box = Box(authorised=True)
    good = a("P0")
    for at in range(1, len(good)):
        changed = good[:at] + ("0" if good[at] != "0" else "1") + good[at + 1 :]
        code = box.code(f"BUFFF{changed};FFF;001%02")
        assert code in ("A4", "83", "A1", "A3", "15"), (at, code)
    assert any(event.what == "damaged key token" for event in box.recorded)


def test_a_key_block_of_another_lmk_is_refused() -> None:
    box = Box()
    assert box.code(f"BUFFF{tdes_token(ODD, 'P0', lmk='02')};FFF;001%01") == "A3"
    assert box.code(f"BUFFF{t('P0')};FFF;001%02") == "A1"
    assert box.code(f"BUFFF{aes_token(KEY_16, 'P0', lmk='01')};FFF;001%01") == "A1"
    assert box.code(f"BUFFF{t('P0')};FFF;001%00") == "A1"
    assert box.code(f"BUFFF{t('P0')};FFF;001%07") == "13"
    assert box.code(f"BUFF1{VARIANT.wrap(ODD, '001', 'U')};001;001%01") == "A1"


def test_without_an_lmk_identifier_a_block_chooses_its_own_lmk() -> None:
    box = Box()
    assert box.code(f"BUFFF{t('P0')};FFF;001") == "00"
    assert box.code(f"BUFFF{a('P0')};FFF;001") == "00"
    assert box.code(f"BUFFF{aes_token(KEY_16, 'P0', lmk='00')};FFF;001") == "00"
    assert box.code(f"BUFF1{VARIANT.wrap(ODD, '001', 'U')};001;001") == "00"
    assert box.ask("NC", default="02") != box.ask("NC", default="00")


def test_a_published_key_block_under_the_aes_test_lmk_is_opened() -> None:
    block = (
        "S10096P0TE00E0000CF29A901B5B5DA7028693D4BE058A7B366D3CD2F5862D94E97BCD6D9F28B414A377052CE7A04D821"
    )
    assert Box().code(f"BUFFF{block};FFF;001") == "00"
    assert Box().code(f"BUFFF{block[:-1]}2;FFF;001") == "A4"


def test_a_tdes_lmk_protects_no_aes_key() -> None:
    assert Box(authorised=True).code("A00FFFS%01#P0A1B00E00") == "A7"


def test_the_mac_of_one_direction_is_none_of_the_other() -> None:
    box, bdk = Box(), a("B0")
    key_id = bytes.fromhex(SERIAL)[:8]
    made = box.ask(f"XA41{bdk}{SERIAL}0004data%02")
    key = working_key(initial_key(KEY_16, key_id), bytes.fromhex(SERIAL), Usage.MAC_GENERATION)
    from switch.hsm.crypto.macs import cmac

    assert made == "XB00" + cmac(key, b"data").hex().upper()[:16]
    assert box.code(f"XA11{bdk}{SERIAL}{made[4:]}0004data%02") == "00"
    assert box.code(f"XA12{bdk}{SERIAL}{made[4:]}0004data%02") == "01"


def test_no_repr_shows_a_key() -> None:
    box = Box()
    box.code(f"BUFFF{t('P0')};FFF;001")
    shown = repr(box.state.slots["01"]) + repr(box.state) + repr(box.machine)
    assert not re.search(ODD.hex(), shown, re.IGNORECASE)
    assert ODD not in shown.encode("latin-1", "replace")
