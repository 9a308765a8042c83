"""What is answered on the short way is answered as the handlers answer it, whatever is done to a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.hsm.crypto import dukpt_aes, macs, pin_blocks, verification
from switch.hsm.crypto.dukpt_aes import Usage
from switch.hsm.crypto.pin_verifier import PinVerifier
from switch.hsm_sim.framing import answer_command
from switch.hsm_sim.usual import Usual
from tests.hsm_sim.boxes import BDK, ODD, Box, aes_token, tdes_token

SERIAL = bytes.fromhex("1234567890123456000A0001")
TOO_MANY_ONES = SERIAL[:8] + bytes.fromhex("0001FFFF")
CARD, PIN, BINDING = "9364001234567890", "1234", b"member"
DATA = b"\x02\x00 a request, %02\x19"
INITIAL = dukpt_aes.initial_key(BDK, SERIAL[:8])
PIN_KEY, REQUEST_KEY, RESPONSE_KEY = (
    dukpt_aes.working_key(INITIAL, SERIAL, usage)
    for usage in (Usage.PIN, Usage.MAC_GENERATION, Usage.MAC_VERIFICATION)
)
MAC = macs.cmac(REQUEST_KEY, DATA)[:8].hex().upper()
ANSWER_MAC = macs.cmac(RESPONSE_KEY, DATA)[:8].hex().upper()
BLOCK = pin_blocks.seal_iso_4(PIN_KEY, PIN, CARD).hex().upper()
VERIFYING = aes_token(bytes(16), "10", "V")
VERIFIER = PinVerifier(bytes(16)).make(PIN, BINDING).hex().upper()
BASE, CARD_KEY = aes_token(BDK, "B0", "X"), tdes_token(ODD, "C0", "V")
VALUE = verification.cvv(ODD, CARD, "3012", "101")

COUNTED = b"%04X" % len(DATA) + DATA
PIN_PARTS = f"{VERIFYING}48{BLOCK}{len(CARD)}{CARD}{len(BINDING):02X}{BINDING.hex()}{VERIFIER}%02"
USUAL = {
    "request": f"XA11{BASE}{SERIAL.hex()}{MAC}".encode() + COUNTED + b"%02",
    "response": f"XA42{BASE}{SERIAL.hex()}".encode() + COUNTED + b"%02",
    "pin": f"XKD{BASE}{SERIAL.hex()}{PIN_PARTS}".encode(),
    "card": f"CY{CARD_KEY}{VALUE}{CARD};3012101%01".encode(),
}
# Right in form, and not to be answered 00 for all that.
WRONG = {
    "MAC": f"XA11{BASE}{SERIAL.hex()}{'0' * 16}".encode() + COUNTED + b"%02",
    "answer's MAC for a request": f"XA11{BASE}{SERIAL.hex()}{ANSWER_MAC}".encode() + COUNTED + b"%02",
    "counter": f"XA42{BASE}{TOO_MANY_ONES.hex()}".encode() + COUNTED + b"%02",
    "PIN": USUAL["pin"].replace(VERIFIER.encode(), b"0" * 32),
    "card of the block": USUAL["pin"].replace(CARD.encode(), b"9364001234567891"),
    "card value": f"CY{CARD_KEY}{(int(VALUE) + 1) % 1000:03d}{CARD};3012101%01".encode(),
    "key for another use": USUAL["response"].replace(BASE.encode(), aes_token(BDK, "M6", "C").encode()),
    "key damaged": USUAL["response"].replace(BASE.encode(), BASE[:-1].encode() + b"!"),
    "key of another LMK by its own word": USUAL["response"].replace(
        BASE.encode(), aes_token(BDK, "B0", "X", lmk="01").encode()
    ),
    "LMK of another kind": USUAL["response"][:-2] + b"01",
    "LMK that is none": USUAL["response"][:-2] + b"77",
    "more behind the fields": USUAL["response"] + b"0",
}

BOX = Box()
ON_THE_SHORT_WAY = Usual(BOX.state)


def agree(request: bytes) -> bool:
    """Whether the short way took the request; the handlers then answer alike. With a trailer a request is
    theirs."""
    quick = ON_THE_SHORT_WAY.answer(request[:2], request[2:])
    if quick is None:
        return False
    slowly = BOX.ask(request + b"\x19END").encode("latin-1")
    assert slowly == answer_command(request[:2]) + quick + b"\x19END"
    return True


@pytest.mark.parametrize("name", USUAL)
def test_usual_requests_take_the_short_way(name: str) -> None:
    assert agree(USUAL[name])
    assert BOX.code(USUAL[name]) == "00"


def test_the_mac_is_the_terminals_own() -> None:
    assert BOX.ask(USUAL["response"]) == f"XB00{ANSWER_MAC}"


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_left_to_the_handlers(name: str) -> None:
    assert not agree(WRONG[name])
    assert BOX.code(WRONG[name]) != "00"


@pytest.mark.parametrize("name", USUAL)
@given(st.data())
def test_requests_changed_anywhere_are_answered_alike_or_left(name: str, data: st.DataObject) -> None:
    request = USUAL[name]
    at = data.draw(st.integers(min_value=2, max_value=len(request)))
    change = data.draw(st.one_of(st.binary(max_size=3), st.text("0123456789ABCDEFabcdef ;%S", max_size=3)))
    added = change if isinstance(change, bytes) else change.encode()
    until = data.draw(st.sampled_from((at, at + len(added), at + 1, len(request))))
    agree(request[:at] + added + request[until:])


def test_requests_cut_short_anywhere_are_left() -> None:
    for request in USUAL.values():
        for end in range(2, len(request)):
            assert not agree(request[:end])
