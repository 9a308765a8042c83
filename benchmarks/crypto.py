"""The HSM's cryptography beside its peers, and what one transaction costs: one process, slice by slice.

    python -m benchmarks.crypto [--slices 40]

Every contender gives the same bytes before anything is measured. A slice is some milliseconds of one
contender; contenders take turns, so that a busy machine troubles all of them alike, and a ratio compares the
medians of one run. Time is the thread's processor time. No peer has AES DUKPT or a public CMAC: ours stand
beside the same steps on psec's AES. psec keeps no parents of earlier counters. pydukpt knows TDES only.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import psec
import pydukpt
from cryptography.utils import CryptographyDeprecationWarning

from benchmarks.slices import Contender, asked_for, measure
from switch.hsm.crypto import dukpt_aes, dukpt_tdes, macs, pin_blocks
from switch.hsm.crypto.ciphers import same
from switch.hsm.crypto.dukpt_aes import Deriver, Usage
from switch.hsm.crypto.transaction_keys import TransactionKeys

SLICES = 40
TARGET_US = 15.0  # the whole cryptography of one transaction
TARGET_CMACS = 10.6  # the same, on the machine that the target is for: one CMAC takes 1.42 us there

BASE_KEY = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
TDES_BASE_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
INITIAL_KEY_ID = bytes.fromhex("1234567890123456")
TDES_SERIAL = bytes.fromhex("FFFF9876543210E00055")  # four ones
CARD, PIN = "9364001234567890", "1234"
REQUEST, ANSWER = bytes(range(120)), bytes(range(90))  # about as long as the reference earn and its answer
USAGES = (Usage.PIN, Usage.MAC_GENERATION, Usage.MAC_VERIFICATION)
MAC_BYTES = 8
FIRST_COUNTER = 0x00A5_A500  # eight ones: parents enough to walk through on the first transaction
RUN = 256  # transactions of one terminal, one after another


class Request:
    """One request as it comes in: key serial, PIN block and MAC, made by the terminal's side."""

    def __init__(self, counter: int) -> None:
        self.serial = INITIAL_KEY_ID + counter.to_bytes(4)
        initial = dukpt_aes.initial_key(BASE_KEY, INITIAL_KEY_ID)
        pin_key, mac_key, _answer_key = (
            dukpt_aes.working_key(initial, self.serial, usage) for usage in USAGES
        )
        self.block = pin_blocks.seal_iso_4(pin_key, PIN, CARD)
        self.mac = macs.cmac(mac_key, REQUEST)[:MAC_BYTES]


def transaction(keys: TransactionKeys, request: Request) -> bytes:
    """All of the cryptography that one request and its answer take."""
    serial = request.serial
    assert same(keys.request_mac(serial, REQUEST)[:MAC_BYTES], request.mac)
    assert keys.open_pin(serial, request.block, CARD) == PIN
    answer = keys.response_mac(serial, ANSWER)[:MAC_BYTES]
    keys.forget(serial)
    return answer


def peer_aes_dukpt(initial: bytes, serial: bytes) -> list[bytes]:
    """The receiver's derivation by psec's AES, with the derivation data written out."""
    key, reached, counter = initial, 0, int.from_bytes(serial[8:])
    for place in range(31, -1, -1):
        if counter >> place & 1:
            reached |= 1 << place
            data = bytes.fromhex("0101800000020080") + serial[4:8] + reached.to_bytes(4)
            key = psec.aes.encrypt_aes_ecb(key, data)
    heads = ("0101100000020080", "0101200000020080", "0101200100020080")
    return [psec.aes.encrypt_aes_ecb(key, bytes.fromhex(head) + serial[4:]) for head in heads]


def peer_cmac(key: bytes, data: bytes) -> bytes:
    """AES-CMAC out of what psec has in public: an AES-CBC-MAC and one AES block for the subkey (whole blocks
    are no rarer in it than in ours: it is spared the padding)."""
    subkey = int.from_bytes(psec.aes.encrypt_aes_ecb(key, bytes(16)))
    doublings = 2 if len(data) % 16 or not data else 1
    for _ in range(doublings):
        subkey = (subkey << 1 & (1 << 128) - 1) ^ (0x87 if subkey >> 127 else 0)
    if doublings == 2:
        data = data + b"\x80" + bytes(-(len(data) + 1) % 16)
    last = (int.from_bytes(data[-16:]) ^ subkey).to_bytes(16)
    return psec.mac.generate_cbc_mac(key, data[:-16] + last, 1, 16, psec.mac.Algorithm.AES)


def peer_tdes_dukpt() -> bytes:
    ipek = pydukpt.derive_ipek(TDES_BASE_KEY, TDES_SERIAL)
    return bytes(pydukpt.pin_key(pydukpt.derive_key(ipek, TDES_SERIAL)))


def our_tdes_dukpt() -> bytes:
    initial = dukpt_tdes.initial_key(TDES_BASE_KEY, TDES_SERIAL)
    return dukpt_tdes.working_key(initial, TDES_SERIAL, dukpt_tdes.Use.PIN)


def contenders() -> list[Contender]:
    """Everything that is measured, after all have shown that they agree."""
    deriver, transactions = Deriver(BASE_KEY), TransactionKeys(BASE_KEY)
    initial = dukpt_aes.initial_key(BASE_KEY, INITIAL_KEY_ID)
    serials = [INITIAL_KEY_ID + (FIRST_COUNTER + step).to_bytes(4) for step in range(RUN)]
    requests = [Request(FIRST_COUNTER + step) for step in range(RUN)]
    ours, theirs = itertools.cycle(serials), itertools.cycle(serials)
    coming = itertools.cycle(requests)
    keyed = macs.KeyedCmac(BASE_KEY)
    sealed = pin_blocks.seal_iso_4(BASE_KEY, PIN, CARD)
    _agree(deriver, initial, serials, keyed, sealed)
    return [
        ("cmac", "psec", lambda: peer_cmac(BASE_KEY, REQUEST)),
        ("cmac", "vafa", lambda: macs.cmac(BASE_KEY, REQUEST)),
        ("cmac, kept key", "vafa", lambda: keyed.mac(REQUEST)),
        ("aes dukpt, 3 keys", "psec", lambda: peer_aes_dukpt(initial, next(theirs))),
        ("aes dukpt, 3 keys", "vafa", lambda: deriver.working_keys(next(ours), USAGES)),
        ("format 4 decode", "psec", lambda: psec.pinblock.decipher_pinblock_iso_4(BASE_KEY, sealed, CARD)),
        ("format 4 decode", "vafa", lambda: pin_blocks.open_iso_4(BASE_KEY, sealed, CARD)),
        ("tdes dukpt", "pydukpt", peer_tdes_dukpt),
        ("tdes dukpt", "vafa", our_tdes_dukpt),
        ("whole transaction", "vafa", lambda: transaction(transactions, next(coming))),
    ]


def _agree(
    deriver: Deriver, initial: bytes, serials: list[bytes], keyed: macs.KeyedCmac, sealed: bytes
) -> None:
    for size in (0, 16, len(REQUEST)):
        mac = macs.cmac(BASE_KEY, REQUEST[:size])
        assert peer_cmac(BASE_KEY, REQUEST[:size]) == keyed.mac(REQUEST[:size]) == mac
    for serial in serials:
        assert list(deriver.working_keys(serial, USAGES)) == peer_aes_dukpt(initial, serial)
    assert psec.pinblock.decipher_pinblock_iso_4(BASE_KEY, sealed, CARD) == PIN
    assert peer_tdes_dukpt() == our_tdes_dukpt()


def ratios(times: dict[tuple[str, str], float]) -> Iterator[str]:
    for what, against in (
        ("cmac", "psec"),
        ("aes dukpt, 3 keys", "psec"),
        ("format 4 decode", "psec"),
        ("tdes dukpt", "pydukpt"),
    ):
        yield f"{what} {times[what, against] / times[what, 'vafa']:.1f}x {against}"


def main() -> None:
    slices = asked_for(__doc__, SLICES)
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # psec's way to TDES
    times = measure(contenders(), slices)
    for line in ratios(times):
        print(line)
    whole = times["whole transaction", "vafa"]
    print(
        f"whole transaction {whole:.1f} us, target {TARGET_US:.0f} us:"
        f" {whole / times['cmac', 'vafa']:.1f} AES-CMACs, target {TARGET_CMACS}"
    )
    print(f"\nmedians of {slices} slices:")
    for (what, who), microseconds in times.items():
        print(f"  {what:<18} {who:<8} {microseconds:7.2f} us")


if __name__ == "__main__":
    main()
