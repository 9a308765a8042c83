"""Commands over data: MAC (M6 M8 GW), data blocks (M0 M2), card verification values (CW CY), and the private
ones for AES DUKPT, HMAC and chip cards.
"""

from __future__ import annotations

from collections.abc import Callable

from switch.hsm.crypto import dukpt_tdes, ntag424, verification
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.ciphers import (
    aes_cbc_decrypt,
    aes_cbc_encrypt,
    aes_ecb_decrypt,
    aes_ecb_encrypt,
    same,
    tdes_cbc_decrypt,
    tdes_cbc_encrypt,
    tdes_ecb_decrypt,
    tdes_ecb_encrypt,
    xor,
)
from switch.hsm.crypto.key_blocks import Header, wrap
from switch.hsm.crypto.macs import algorithm_3, cmac, hmac_sha256, pad_1, pad_2, tdes_cmac
from switch.hsm.crypto.transaction_keys import TransactionKeys
from switch.hsm_sim.call import Answer, Call
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.fields import Token
from switch.hsm_sim.pin_commands import aes_serial, working_key
from switch.hsm_sim.slots import OpenKey

WHOLE, FIRST, MIDDLE, LAST = "0123"
GENERATE = "4"
CMAC = "6"
BINARY, HEX, TEXT = "012"
HEX_DIGITS = b"0123456789ABCDEFabcdef"
MAC_BYTES = 8
CARD_KEYS = "MFAP"


# ------------------------------------------------------------------ M6, M8


def generate_mac(call: Call) -> Answer:
    """M6."""
    request = call.request
    result = _mac_or_chain(call)
    if request.mode in (FIRST, MIDDLE):
        return Answer({"mac": result.hex().upper().encode("ascii")})
    digits = 16 if request.size == "1" else 8
    return Answer({"mac": result.hex().upper()[:digits].encode("ascii")})


def verify_mac(call: Call) -> Answer:
    """M8."""
    request = call.request
    result = _mac_or_chain(call)
    if request.mode in (FIRST, MIDDLE):
        return Answer({"vector": result.hex().upper().encode("ascii")})
    if not same(result.hex().upper()[: len(request.mac)], request.mac):
        raise Refused("01")
    return Answer({"vector": b""})


def _mac_or_chain(call: Call) -> bytes:
    """The MAC of the whole message, or where the chain stands after a part that is not the last."""
    request = call.request
    key = call.key("key", f"algorithm {request.algorithm}", request.type)
    if request.algorithm == "3" and len(key.key) < 16:
        raise Refused("27", "algorithm 3 takes a double length key")
    data = _unpacked(request.data, request.input, "03")
    block = 16 if key.algorithm == "A" else 8
    vector = bytes.fromhex(request.vector) if request.vector is not None else bytes(block)
    if request.mode in (FIRST, MIDDLE):
        if not data or len(data) % block:
            raise Refused("06", f"a part that is not the last has whole blocks of {block} bytes")
        chain_key = key.key[:8] if request.algorithm == "3" else key.key
        return _cbc(key, chain_key, data, vector)[-block:]
    if request.algorithm == CMAC:
        return _cmac(key, data, vector, block)
    padded = _padded(data, request.padding)
    if request.algorithm == "1":
        return _cbc(key, key.key, padded, vector)[-block:]
    body, last = padded[:-8], padded[-8:]
    chained = tdes_cbc_encrypt(key.key[:8], body, vector)[-8:] if body else vector
    return tdes_cbc_encrypt(key.key, last, chained)


def _cmac(key: OpenKey, data: bytes, vector: bytes, block: int) -> bytes:
    plain = cmac if key.algorithm == "A" else tdes_cmac
    if not any(vector):
        return plain(key.key, data)
    if len(data) >= block:  # a chain is carried on by adding where it stands to the first block
        return plain(key.key, xor(data[:block], vector) + data[block:])
    # A last part shorter than a block: padded, with the second subkey (SP 800-38B step 4), then as above.
    subkey = _doubled(_doubled(_cbc(key, key.key, bytes(block), bytes(block))))
    return _cbc(key, key.key, xor(xor(pad_2(data, block), subkey), vector), bytes(block))


def _doubled(subkey: bytes) -> bytes:
    """Twice a block in the field of CMAC (SP 800-38B clause 6.1)."""
    bits = 8 * len(subkey)
    value = int.from_bytes(subkey) << 1
    if value >> bits:
        value ^= 1 << bits | (0x87 if bits == 128 else 0x1B)
    return value.to_bytes(len(subkey))


def _padded(data: bytes, method: str) -> bytes:
    if method == "1":
        return pad_1(data)
    if method == "2":
        return pad_2(data)
    if not data or len(data) % 8:
        raise Refused("06", "without padding the data are whole blocks")
    return data


def _cbc(key: OpenKey, secret: bytes, data: bytes, vector: bytes) -> bytes:
    if key.algorithm == "A":
        return aes_cbc_encrypt(secret, data, vector)
    return tdes_cbc_encrypt(secret, data, vector)


def _unpacked(data: bytes, form: str, code: str) -> bytes:
    """The bytes that data stand for. code: given when they are not hex."""
    if form != HEX:
        return data
    if len(data) % 2 or data.translate(None, HEX_DIGITS):
        raise Refused(code, "the data are not whole bytes in hex")
    return bytes.fromhex(data.decode("ascii"))


# ------------------------------------------------------------------ M0, M2


def encipher_data(call: Call) -> Answer:
    """M0."""
    return _data_block(call, enciphering=True)


def decipher_data(call: Call) -> Answer:
    """M2."""
    return _data_block(call, enciphering=False)


_Cipher = Callable[[bytes, bytes, bytes], bytes]
_MODES: dict[tuple[str, bool, bool], _Cipher] = {
    # mode of the request, AES, enciphering
    ("00", False, True): lambda key, data, _: tdes_ecb_encrypt(key, data),
    ("00", False, False): lambda key, data, _: tdes_ecb_decrypt(key, data),
    ("00", True, True): lambda key, data, _: aes_ecb_encrypt(key, data),
    ("00", True, False): lambda key, data, _: aes_ecb_decrypt(key, data),
    ("01", False, True): tdes_cbc_encrypt,
    ("01", False, False): tdes_cbc_decrypt,
    ("01", True, True): aes_cbc_encrypt,
    ("01", True, False): aes_cbc_decrypt,
}


def _data_block(call: Call, *, enciphering: bool) -> Answer:
    request = call.request
    key = call.key("key", key_type=request.type)
    aes = key.algorithm == "A"
    block = 16 if aes else 8
    data = _unpacked(request.data, request.input, "35")
    if not data or len(data) % block:
        raise Refused("06", f"the data are whole blocks of {block} bytes")
    vector = bytes.fromhex(request.vector) if request.vector is not None else bytes(block)
    if len(vector) != block:
        raise Refused("15", "the vector is as long as a block")
    done = _MODES[(request.mode, aes, enciphering)](key.key, data, vector)
    fields: dict[str, object] = {"vector": None}
    if request.mode == "01":
        chain = done if enciphering else data
        fields = {"vector": chain[-block:].hex().upper(), "_digits": 2 * block}
    packed = done.hex().upper().encode("ascii") if request.output == HEX else done
    if len(packed) > 0xFFFF:
        raise Refused("06", "the result is longer than its length field can say")
    return Answer({**fields, "data": packed})


# ------------------------------------------------------------------ GW


def dukpt_mac(call: Call) -> Answer:
    """GW: the MAC request key, ISO/IEC 9797-1 algorithm 3, padding 1."""
    request = call.request
    key = working_key(call.key("bdk"), request.serial, dukpt_tdes.Use.MAC_REQUEST)
    return _generated_or_verified(call, algorithm_3(key, request.data))


def _generated_or_verified(call: Call, tag: bytes) -> Answer:
    if call.request.mode == GENERATE:
        return Answer({"mac": tag[:MAC_BYTES].hex().upper().encode("ascii")})
    if not same(tag[:MAC_BYTES], bytes.fromhex(call.request.mac)):
        raise Refused("01")
    return Answer({"mac": b""})


# ------------------------------------------------------------------ CW, CY


def card_value(call: Call) -> Answer:
    """CW."""
    return Answer({"cvv": _card_value(call)})


def verify_card_value(call: Call) -> Answer:
    """CY."""
    if not same(_card_value(call), call.request.cvv):
        raise Refused("01")
    return Answer({})


def _card_value(call: Call) -> str:
    request, key = call.request, call.key("cvk")
    if len(key.key) != 16:
        raise Refused("27", "a CVK is a key pair")
    try:
        return verification.cvv(key.key, request.card, request.expiry, request.service)
    except ValueError:
        raise Refused("15", "card number, expiry and service code don't make a value") from None


# ------------------------------------------------------------------ private


def aes_dukpt_mac(call: Call) -> Answer:
    """XA."""
    request = call.request
    keys, serial = _aes_transaction(call)
    if request.direction == "1":
        return _generated_or_verified(call, keys.request_mac(serial, request.data))
    answer = _generated_or_verified(call, keys.response_mac(serial, request.data))
    if request.mode == GENERATE:  # the transaction is over
        keys.forget(serial)
    return answer


def aes_dukpt_data(call: Call) -> Answer:
    """XC."""
    request = call.request
    keys, serial = _aes_transaction(call)
    from_terminal = request.direction == "1"
    if request.mode == "0":
        done = keys.encrypt(serial, request.data, from_terminal=from_terminal)
        if len(done) > 0xFFFF:
            raise Refused("15", "too long to pad")
        return Answer({"data": done})
    try:
        return Answer({"data": keys.decrypt(serial, request.data, from_terminal=from_terminal)})
    except ValueError:
        raise Refused("15", "the data are not what this key enciphered") from None


def _aes_transaction(call: Call) -> tuple[TransactionKeys, bytes]:
    """The keys that a request's serial belongs to, and that serial, which terminals use. Raises Refused."""
    base = call.key("bdk")
    return call.state.transactions(base.key), aes_serial(call)


def hmac(call: Call) -> Answer:
    """XU."""
    key = call.key("key", "generate" if call.request.mode == GENERATE else "verify")
    return _generated_or_verified(call, hmac_sha256(key.key, call.request.data))


def verify_tap(call: Call) -> Answer:
    """XM."""
    request, master = call.request, _card_master(call)
    enciphered, tag = bytes.fromhex(request.enciphered), bytes.fromhex(request.mac)
    picc = ntag424.verify_tap(master, enciphered, tag, request.mirrored)
    if picc is None:
        raise Refused("01")
    return Answer({"identifier": picc.identifier.hex().upper(), "counter": f"{picc.counter:06X}"})


def open_tap(call: Call) -> Answer:
    """XS."""
    request, master = call.request, _card_master(call)
    enciphered, tag = bytes.fromhex(request.enciphered), bytes.fromhex(request.mac)
    opened = ntag424.open_tap(master, enciphered, tag, bytes.fromhex(request.file_data))
    if opened is None:
        raise Refused("01")
    picc, clear = opened
    said = {"identifier": picc.identifier.hex().upper(), "counter": f"{picc.counter:06X}"}
    return Answer({**said, "file": clear.hex().upper()})


def verify_cryptogram(call: Call) -> Answer:
    """X0."""
    request, master = call.request, _card_master(call)
    if not ntag424.verify_cryptogram(
        master,
        bytes.fromhex(request.identifier),
        int(request.counter, 16),
        bytes.fromhex(request.challenge),
        bytes.fromhex(request.cryptogram),
    ):
        raise Refused("01")
    return Answer({})


def card_key(call: Call) -> Answer:
    """X2."""
    request, master = call.request, _card_master(call)
    kbpk = call.key("kbpk")
    if request.kind not in CARD_KEYS:
        raise Refused("15", "kind is M, F, A or P")
    key = ntag424.card_key(master, request.kind, bytes.fromhex(request.identifier))
    block = wrap(
        kbpk.key, Header("D", ntag424.CARD_KEY_USAGE, "A", "N", "00", "N", ()), key, call.state.random
    )
    kcv = check_value(key, "A")
    event = call.recorded("card key made", {"kind": request.kind, "kcv": kcv})
    return Answer({"block": Token("R", block), "kcv": kcv}, event=event)


def card_challenge(call: Call) -> Answer:
    """XO."""
    request, master = call.request, _card_master(call)
    to_card, state = ntag424.challenge(
        master, bytes.fromhex(request.identifier), bytes.fromhex(request.enciphered), call.state.random
    )
    return Answer({"to_card": to_card.hex().upper(), "state": state.hex().upper()})


def card_confirm(call: Call) -> Answer:
    """XQ."""
    request, master = call.request, _card_master(call)
    try:
        genuine = ntag424.confirm(
            master,
            bytes.fromhex(request.identifier),
            bytes.fromhex(request.state),
            bytes.fromhex(request.enciphered),
        )
    except ValueError:
        raise Refused("15", "the state was not made for this card") from None
    if not genuine:
        raise Refused("01")
    return Answer({})


def _card_master(call: Call) -> bytes:
    key = call.key("master").key
    if len(key) != 16:
        raise Refused("27", "a card master key has 16 bytes")
    return key
