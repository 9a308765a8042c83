"""What each key operand of each command accepts: usages and modes of a key block, key types of the variant
LMK. Only this table decides it; the matrix test walks over it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ENCIPHER, DECIPHER = frozenset("BNE"), frozenset("BND")
GENERATE, VERIFY = frozenset("CNG"), frozenset("CNV")
DERIVE: Final = frozenset("XN")
ANY: Final = frozenset("BCDEGNSTVXY")

T, A, H = frozenset("T"), frozenset("A"), frozenset("H")
BOTH: Final = T | A

ZONE: Final = frozenset({"K0", "52"})
TRANSPORT: Final = ZONE | {"K1", "51"}
TERMINAL_PIN: Final = frozenset({"P0", "71"})
ZONE_PIN: Final = frozenset({"P0", "72"})
ANY_PIN: Final = TERMINAL_PIN | ZONE_PIN
PVV_KEY: Final = frozenset({"V2", "V0"})
OFFSET_KEY: Final = frozenset({"V1", "V0"})
CARD_VALUE: Final = frozenset({"C0", "12", "13"})
BASE: Final = frozenset({"B0"})
DATA: Final = frozenset({"D0", "21", "22", "23"})
PIN_VERIFIER: Final = frozenset({"10"})  # ours
CARD_MASTER: Final = frozenset({"11"})  # ours
MAC_BY_ALGORITHM: Final = {"1": frozenset({"M1"}), "3": frozenset({"M3"}), "6": frozenset({"M6"})}


class Operand(NamedTuple):
    """A key operand. types: key types of the variant LMK, () where only key blocks are taken; with more than
    one the request says which. wrong: given for bad parity; wrong_type: for a key type not listed."""

    usages: frozenset[str]
    modes: frozenset[str]
    algorithms: frozenset[str]
    types: tuple[str, ...] = ()
    wrong: str = "10"
    wrong_type: str = "28"


_PVK = Operand(PVV_KEY, VERIFY, T, ("002",), "11")
_PVK_MAKES = Operand(PVV_KEY, GENERATE, T, ("002",), "10")
_IBM = Operand(OFFSET_KEY, VERIFY, T, ("002",), "11")
_IBM_MAKES = Operand(OFFSET_KEY, GENERATE, T, ("002",), "11")
_BDK = Operand(BASE, DERIVE, T, ("009",), "10")
_AES_BDK = Operand(BASE, DERIVE, A)
_EITHER_PIN = Operand(ANY_PIN, DECIPHER, BOTH, ("001", "002"), "10")
_MAC_TYPES = ("003", "008")
_DATA_TYPES = ("00A", "00B", "30B")
_CARD = Operand(CARD_MASTER, DERIVE, A)

# (command, operand): a name after the operand is the case it holds for.
OPERANDS: Final[dict[tuple[str, str], Operand]] = {
    ("A0", "zmk"): Operand(TRANSPORT, ENCIPHER, BOTH, ("000", "002"), "10"),
    ("A6", "zmk"): Operand(ZONE | {"51"}, DECIPHER, BOTH, ("000",), "10"),
    ("A8", "zmk"): Operand(TRANSPORT, ENCIPHER, BOTH, ("000",), "10"),
    ("CA", "source"): Operand(TERMINAL_PIN, DECIPHER, BOTH, ("002",), "10"),
    ("CA", "destination"): Operand(ZONE_PIN, ENCIPHER, BOTH, ("001",), "11"),
    ("CA", "destination BDK"): Operand(BASE, DERIVE, T, ("009",), "11"),
    ("CC", "source"): Operand(ZONE_PIN, DECIPHER, BOTH, ("001",), "10"),
    ("CC", "destination"): Operand(ZONE_PIN, ENCIPHER, BOTH, ("001",), "11"),
    ("G0", "source"): _BDK,
    ("G0", "destination"): Operand(ZONE_PIN, ENCIPHER, BOTH, ("001",), "11"),
    ("G0", "destination BDK"): Operand(BASE, DERIVE, T, ("009",), "11"),
    ("DC", "key"): Operand(TERMINAL_PIN, DECIPHER, BOTH, ("002",), "10"),
    ("DC", "pvk"): _PVK,
    ("EC", "key"): Operand(ZONE_PIN, DECIPHER, BOTH, ("001",), "10"),
    ("EC", "pvk"): _PVK,
    ("DA", "key"): Operand(TERMINAL_PIN, DECIPHER, BOTH, ("002",), "10"),
    ("DA", "pvk"): _IBM,
    ("EA", "key"): Operand(ZONE_PIN, DECIPHER, BOTH, ("001",), "10"),
    ("EA", "pvk"): _IBM,
    ("DG", "pvk"): _PVK_MAKES,
    ("FW", "key"): _EITHER_PIN,
    ("FW", "pvk"): _PVK_MAKES,
    ("CU", "key"): _EITHER_PIN,
    ("CU", "pvk"): Operand(PVV_KEY, VERIFY & GENERATE, T, ("002",), "11"),
    ("DU", "key"): _EITHER_PIN,
    ("DU", "pvk"): Operand(OFFSET_KEY, VERIFY & GENERATE, T, ("002",), "11"),
    ("BK", "key"): _EITHER_PIN,
    ("BK", "pvk"): _IBM_MAKES,
    ("GO", "bdk"): _BDK,
    ("GO", "pvk"): _IBM,
    ("GQ", "bdk"): _BDK,
    ("GQ", "pvk"): _PVK,
    ("JC", "key"): Operand(TERMINAL_PIN, DECIPHER, BOTH, ("002",), "10"),
    ("JE", "key"): Operand(ZONE_PIN, DECIPHER, BOTH, ("001",), "10"),
    ("JG", "key"): Operand(ZONE_PIN, ENCIPHER, BOTH, ("001",), "11"),
    ("M6", "key algorithm 1"): Operand(MAC_BY_ALGORITHM["1"], GENERATE, T, _MAC_TYPES, "10", "05"),
    ("M6", "key algorithm 3"): Operand(MAC_BY_ALGORITHM["3"], GENERATE, T, _MAC_TYPES, "10", "05"),
    ("M6", "key algorithm 6"): Operand(MAC_BY_ALGORITHM["6"], GENERATE, BOTH, _MAC_TYPES, "10", "05"),
    ("M8", "key algorithm 1"): Operand(MAC_BY_ALGORITHM["1"], VERIFY, T, _MAC_TYPES, "10", "05"),
    ("M8", "key algorithm 3"): Operand(MAC_BY_ALGORITHM["3"], VERIFY, T, _MAC_TYPES, "10", "05"),
    ("M8", "key algorithm 6"): Operand(MAC_BY_ALGORITHM["6"], VERIFY, BOTH, _MAC_TYPES, "10", "05"),
    ("M0", "key"): Operand(DATA, ENCIPHER, BOTH, _DATA_TYPES, "10", "05"),
    ("M2", "key"): Operand(DATA, DECIPHER, BOTH, _DATA_TYPES, "10", "05"),
    ("GW", "bdk"): _BDK,
    ("CW", "cvk"): Operand(CARD_VALUE, GENERATE, T, ("402",), "10"),
    ("CY", "cvk"): Operand(CARD_VALUE, VERIFY, T, ("402",), "10"),
    ("XA", "bdk"): _AES_BDK,
    ("XC", "bdk"): _AES_BDK,
    ("XE", "bdk"): _AES_BDK,
    ("XE", "kbpk"): Operand(frozenset({"K1"}), ENCIPHER, A),
    ("XG", "source_key D"): _AES_BDK,
    ("XG", "source_key Z"): Operand(ZONE_PIN, DECIPHER, BOTH),
    ("XG", "destination"): Operand(ZONE_PIN, ENCIPHER, BOTH),
    ("XI", "source_key D"): _AES_BDK,
    ("XI", "source_key Z"): Operand(ZONE_PIN, DECIPHER, BOTH),
    ("XI", "verifier_key"): Operand(PIN_VERIFIER, GENERATE, A),
    ("XK", "source_key D"): _AES_BDK,
    ("XK", "source_key Z"): Operand(ZONE_PIN, DECIPHER, BOTH),
    ("XK", "verifier_key"): Operand(PIN_VERIFIER, VERIFY, A),
    ("XW", "source_key D"): _AES_BDK,
    ("XW", "source_key Z"): Operand(ZONE_PIN, DECIPHER, BOTH),
    ("XW", "pvk"): Operand(PVV_KEY, VERIFY, T),
    ("XM", "master"): _CARD,
    ("XS", "master"): _CARD,
    ("X0", "master"): _CARD,
    ("X2", "master"): _CARD,
    ("X2", "kbpk"): Operand(frozenset({"K1"}), ENCIPHER, A),
    ("XO", "master"): _CARD,
    ("XQ", "master"): _CARD,
    ("XU", "key generate"): Operand(frozenset({"M7"}), GENERATE, H),
    ("XU", "key verify"): Operand(frozenset({"M7"}), VERIFY, H),
}

# ------------------------------------------------------------------ keys by type and usage

# Key types of the variant LMK that can be made, imported and exported here; what a key is when it leaves or
# comes as a key block.
VARIANT_TYPES: Final[dict[str, tuple[str, str, str]]] = {
    # type: name, usage, mode of use
    "000": ("zone master key", "K0", "B"),
    "001": ("zone PIN key", "P0", "B"),
    "002": ("terminal master, terminal PIN or PIN verification key", "P0", "B"),
    "003": ("terminal authentication key", "M3", "C"),
    "008": ("zone authentication key", "M3", "C"),
    "009": ("base derivation key, type 1", "B0", "X"),
    "109": ("issuer master key, application cryptograms", "E0", "N"),
    "209": ("issuer master key, secure messaging integrity", "E1", "N"),
    "309": ("issuer master key, secure messaging confidentiality", "E1", "N"),
    "402": ("card verification key", "C0", "N"),
    "00A": ("zone encryption key", "D0", "B"),
    "00B": ("data encryption key", "D0", "B"),
    "30B": ("terminal encryption key", "D0", "B"),
}

# Usages of key blocks made here: their algorithms and the modes a key of it may get.
BLOCK_USAGES: Final[dict[str, tuple[frozenset[str], str, str]]] = {
    # usage: algorithms, modes, the mode XY gives
    "K0": (BOTH, "BDEN", "B"),
    "K1": (BOTH, "BDEN", "B"),
    "51": (BOTH, "BDEN", "B"),
    "52": (BOTH, "BDEN", "B"),
    "B0": (BOTH, "NX", "X"),
    "P0": (BOTH, "BDEN", "B"),
    "71": (BOTH, "BDEN", "B"),
    "72": (BOTH, "BDEN", "B"),
    "M1": (T, "CGVN", "C"),
    "M3": (T, "CGVN", "C"),
    "M6": (BOTH, "CGVN", "C"),
    "M7": (H, "CGVN", "C"),
    "D0": (BOTH, "BDEN", "B"),
    "21": (BOTH, "BDEN", "B"),
    "22": (BOTH, "BDEN", "B"),
    "23": (BOTH, "BDEN", "B"),
    "V0": (T, "CGVN", "C"),
    "V1": (T, "CGVN", "C"),
    "V2": (T, "CGVN", "C"),
    "C0": (T, "CGVN", "C"),
    "12": (T, "CGVN", "C"),
    "13": (T, "CGVN", "C"),
    "E0": (BOTH, "NX", "X"),
    "E1": (BOTH, "NX", "X"),
    "E2": (BOTH, "NX", "X"),
    "10": (A, "CGVN", "C"),
    "11": (A, "NX", "X"),
}

# What two officers must allow before a host may do it. Whoever can make or bring in a key that wraps others
# could lead keys out; whatever leaves, leaves for good; components come from people.
WRAPPING: Final = frozenset({"000", "K0", "K1", "51", "52"})


def needs_officers(action: str, key: str) -> bool:
    """Whether `action` (see authorised.ACTIONS) on this key type or usage has to be authorised."""
    return action in ("component", "export") or key in WRAPPING
