"""Every host command as one declaration: request and answer, for parsing and for building, and for the
reference page. Nothing is executed here; what a key operand accepts stands in `key_usage`.
"""

from __future__ import annotations

import io
from typing import Any, Final, NamedTuple

from construct import Array, Construct  # type: ignore[import-untyped]

from switch.hsm_sim.compiled import Parser, compiled
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.fields import (
    Account,
    Counted,
    Flag,
    Key,
    MasterKeyPin,
    Part,
    Raw,
    Record,
    Sized,
    SuffixField,
    Text,
    Until,
    Values,
)

SMALLEST_RANDOM, LARGEST_RANDOM = 1, 256  # bytes that N0 gives
FIRMWARE: Final = "SIMULATED"  # nine characters, as long as a real firmware number


class Layout(NamedTuple):
    """One command. warnings: error codes besides 00 that come with the answer's fields. parser: a quicker way
    to read a request of the usual form, see `compiled`."""

    code: str
    title: str
    request: Record
    answer: Record
    warnings: tuple[str, ...]
    note: str
    parser: Parser | None

    def parse_request(self, body: bytes) -> Values:
        """The fields of a request. Raises Refused."""
        if self.parser is not None:
            values = self.parser(body)
            if values is not None:
                return values
        return self.request._parse(io.BytesIO(body), None, "")

    def build_request(self, **fields: Any) -> bytes:
        """A request's body; fields that are not given are left out."""
        names = {field.name for field in self.request.subcons}
        unknown = fields.keys() - names
        assert not unknown, unknown
        stream = io.BytesIO()
        self.request._build(fields, stream, None, "")
        return stream.getvalue()

    def parse_answer(self, body: bytes) -> tuple[str, Values | None, bytes]:
        """Error code, the answer's fields (None after an error), what stands behind them (the trailer)."""
        code = body[:2].decode("ascii")
        stream = io.BytesIO(body[2:])
        if code != "00" and code not in self.warnings:
            return code, None, stream.read()
        fields = self.answer._parse(stream, None, "")
        return code, fields, stream.read()

    def build_answer(self, code: str, fields: dict[str, Any] | None) -> bytes:
        """An answer's body from its error code on."""
        if fields is None:
            return code.encode("ascii")
        if not self.answer.subcons:
            return code.encode("ascii")
        stream = io.BytesIO()
        stream.write(code.encode("ascii"))
        self.answer._build(fields, stream, None, "")
        return stream.getvalue()


COMMANDS: Final[dict[str, Layout]] = {}


def _command(
    code: str,
    title: str,
    request: list[Construct],
    answer: list[Construct],
    *,
    attributes: Record | None = None,
    warnings: tuple[str, ...] = (),
    note: str = "",
) -> None:
    assert code not in COMMANDS, code
    whole = Record(*request, "suffix" / SuffixField(attributes))
    COMMANDS[code] = Layout(code, title, whole, Record(*answer), warnings, note, compiled(whole))


# ------------------------------------------------------------------ parts that many commands share


def _block(key: str) -> Sized:
    """A PIN block under `key`: 16 hex digits, under an AES key 32."""
    return Sized(lambda fields: 32 if fields[key].algorithm == "A" else 16, "16H, under AES 32H")


def _under_source(fields: Any) -> int:
    """Hex digits of a block of the private range: by its format."""
    return 32 if fields.source_format == "48" else 16


def _serial(descriptor: str) -> Sized:
    """A TDES DUKPT key serial number: the descriptor's three digits and five of the counter."""
    return Sized(lambda fields: sum(int(digit, 16) for digit in fields[descriptor]) + 5, "KSN, H")


def _to_base_key(fields: Any) -> bool:
    return bool(fields.destination_flag) or fields.destination.usage == "B0"


def _vector_digits(fields: Any) -> int:
    return 32 if fields.key.algorithm == "A" else 16


def _hex_kind(fields: Any) -> bool:
    return bool(fields.mode == "1")


KCV: Final = Text(6, "H")
PVKI: Final = Text(1, "n")
PVV: Final = Text(4, "n")
FORMAT: Final = Text(2, "n", code="23")
TYPE: Final = Text(3, "H", code="28")
SCHEME: Final = Text(1, "A", code="26")
DESCRIPTOR: Final = Text(3, "H")
VALIDATION: Final = Text(12, "A")
OFFSET: Final = Text(12, "H")
TABLE: Final = Text(16, "H", code="25")
PIN_LENGTH: Final = Text(2, "n")

NEW_KEY: Final = Record(
    "usage" / Text(2, "A"),
    "algorithm" / Text(2, "A"),
    "mode" / Text(1, "A"),
    "version" / Text(2, "A"),
    "export" / Text(1, "A"),
    "options" / Text(2, "n"),
)
FORMED_KEY: Final = Record("version" / Text(2, "A"), "options" / Text(2, "n"))
IMPORTED_KEY: Final = Record(
    "usage" / Text(2, "A"),
    "mode" / Text(1, "A"),
    "version" / Text(2, "A"),
    "export" / Text(1, "A"),
    "options" / Text(2, "n"),
)

# ------------------------------------------------------------------ the box itself

_command(
    "NC",
    "Diagnostics",
    [],
    ["check_value" / Text(16, "H"), "firmware" / Text(9, "A")],
    note="The check value is of the LMK that the request means: 6 digits and zeros.",
)
_command(
    "NO",
    "Status",
    ["mode" / Text(2, "n", one_of=("00", "01"))],
    ["status" / Raw()],
    note="00: buffer 1H, network 1n (1 TCP), sockets 2n, firmware 9A, reserved 1n and 4n. "
    "01: 0, for a box that is not certified.",
)
_command("N0", "Random bytes", ["length" / Text(3, "n", code="01")], ["data" / Raw()])
_command("B2", "Echo", ["data" / Counted(4, code="80")], ["data" / Raw()])
_command("RA", "Leave the authorised state", [], [])

# ------------------------------------------------------------------ keys

_command(
    "A0",
    "Generate a key",
    [
        "mode" / Text(1, "A", one_of=("0", "1")),
        "type" / TYPE,
        "scheme" / SCHEME,
        "_mark" / Part(Flag(";"), "mode 1", lambda fields: fields.mode == "1"),
        "flag" / Part(Text(1, "n"), "mode 1", lambda fields: fields.mode == "1"),
        "zmk" / Part(Key(), "mode 1", lambda fields: fields.mode == "1"),
        "zmk_scheme" / Part(SCHEME, "mode 1", lambda fields: fields.mode == "1"),
    ],
    [
        "key" / Key(),
        "exported" / Part(Key(), "mode 1", lambda fields: fields.get("exported") is not None),
        "kcv" / KCV,
    ],
    attributes=NEW_KEY,
    note="flag: 0 ZMK, 1 TMK. # for a key block: usage 2A, algorithm 2A (T2 T3 A1 A2 A3 H5), mode of use 1A, "
    "key version 2A, exportability 1A, optional blocks 00.",
)
_command(
    "A4",
    "Form a key from components",
    [
        "count" / Text(1, "n", code="03"),
        "type" / TYPE,
        "scheme" / SCHEME,
        "components" / Array(lambda fields: int(fields.count), Key()),
    ],
    ["key" / Key(), "kcv" / KCV],
    attributes=FORMED_KEY,
    note="2 to 9 components, which must agree. # for a key block: key version 2A, optional blocks 00.",
)
_command(
    "A6",
    "Import a key",
    ["type" / TYPE, "zmk" / Key(), "key" / Key(), "scheme" / SCHEME],
    ["key" / Key(), "kcv" / KCV],
    attributes=IMPORTED_KEY,
    warnings=("01",),
    note="# for a key without header: usage 2A, mode of use 1A, key version 2A, exportability 1A, "
    "optional blocks 00.",
)
_command(
    "A8",
    "Export a key",
    ["type" / TYPE, "zmk" / Key(), "key" / Key(), "scheme" / SCHEME],
    ["key" / Key(), "kcv" / KCV],
    note="& changes the exportability of the exported block. Scheme R: an X9.143 block (D under AES, B under "
    "TDES).",
)
_command(
    "BU",
    "Key check value",
    [
        "code" / Text(2, "H", code="04"),
        "length" / Text(1, "A", code="05"),
        "key" / Key(),
        "type" / Part(TYPE, "code FF", lambda fields: fields.code == "FF", mark=";"),
        "reserved" / Part(Text(2, "n"), "a KCV kind follows", mark=";"),
        "kind" / Part(Text(1, "n"), "after it", lambda fields: fields.reserved is not None),
    ],
    ["kcv" / Raw()],
    note="length: 0 single, 1 double, 2 triple, F any. kind: 1 = 6 digits, 0 or missing = 16 digits.",
)

# ------------------------------------------------------------------ PINs

_BETWEEN_FORMATS = [
    "longest" / PIN_LENGTH,
    "block" / _block("source"),
    "source_format" / FORMAT,
    "destination_format" / FORMAT,
    "account" / Account("source_format", "destination_format"),
]
_UNDER_KEY = ["block" / _block("key"), "format" / FORMAT]
_UNDER_BASE_KEY = [
    "descriptor" / DESCRIPTOR,
    "serial" / _serial("descriptor"),
    "block" / Text(16, "H"),
    "format" / FORMAT,
]
_OTHER_ACCOUNT = "verification_account" / Part(Text(12, "n"), "other digits for the PVV", mark=";")
_TO_PVV = ["pvk" / Key(bare=32), *_UNDER_KEY, "account" / Account("format"), "pvki" / PVKI]
_OFFSET_RULE = ["table" / TABLE, "validation" / VALIDATION]
_TO_OFFSET = [
    "pvk" / Key(),
    *_UNDER_KEY,
    "check_length" / PIN_LENGTH,
    "account" / Account("format"),
    *_OFFSET_RULE,
]
_TRANSLATED = [
    "length" / PIN_LENGTH,
    "block" / Sized(lambda fields: fields.get("_digits", 16), "16H, under AES 32H"),
    "format" / FORMAT,
]

_command(
    "CA",
    "Translate a PIN from TPK to ZPK or to a DUKPT BDK",
    [
        "source" / Key(),
        "destination_flag" / Flag("*~"),
        "destination" / Key(),
        "descriptor" / Part(DESCRIPTOR, "destination BDK", _to_base_key),
        "serial" / Part(_serial("descriptor"), "destination BDK", _to_base_key),
        *_BETWEEN_FORMATS,
    ],
    _TRANSLATED,
)
_command(
    "CC",
    "Translate a PIN from ZPK to ZPK",
    ["source" / Key(), "destination" / Key(), *_BETWEEN_FORMATS],
    _TRANSLATED,
)
_command(
    "G0",
    "Translate a PIN from a DUKPT BDK to ZPK or BDK",
    [
        "source_flag" / Flag("*~"),
        "source" / Key(),
        "destination_flag" / Flag("*~"),
        "destination" / Key(),
        "descriptor" / DESCRIPTOR,
        "serial" / _serial("descriptor"),
        "destination_descriptor" / Part(DESCRIPTOR, "destination BDK", _to_base_key),
        "destination_serial" / Part(_serial("destination_descriptor"), "destination BDK", _to_base_key),
        "block" / Text(16, "H"),
        "source_format" / FORMAT,
        "destination_format" / FORMAT,
        "account" / Account("destination_format"),
        "new_account" / Part(Text(12, "n"), "another card number", mark=";"),
    ],
    _TRANSLATED,
    note="Another card number than the block's own is refused (29).",
)
for _code, _who in (("DC", "terminal"), ("EC", "interchange")):
    _command(
        _code,
        f"Verify a {_who} PIN by its PVV",
        [
            "key" / Key(),
            "pvk" / Key(bare=32),
            *_UNDER_KEY,
            "account" / Account("format"),
            _OTHER_ACCOUNT,
            "pvki" / PVKI,
            "pvv" / PVV,
        ],
        [],
    )
for _code, _who in (("DA", "terminal"), ("EA", "interchange")):
    _command(
        _code,
        f"Verify a {_who} PIN by its IBM 3624 offset",
        [
            "key" / Key(),
            "pvk" / Key(),
            "longest" / PIN_LENGTH,
            *_UNDER_KEY,
            "check_length" / PIN_LENGTH,
            "account" / Account("format"),
            *_OFFSET_RULE,
            "offset" / OFFSET,
        ],
        [],
        warnings=("02",),
    )
_command(
    "DG",
    "PVV of a PIN under the LMK",
    [
        "pvk" / Key(bare=32),
        "pin" / MasterKeyPin(after=13),
        "account" / Text(12, "n"),
        "pvki" / PVKI,
        "_mark" / Flag(";"),
    ],
    ["pvv" / PVV],
)
_command(
    "FW",
    "PVV of an enciphered PIN",
    ["type" / TYPE, "key" / Key(), *_TO_PVV],
    ["pvv" / PVV],
)
_command(
    "CU",
    "Verify a PIN and make the PVV of a new one",
    ["type" / TYPE, "key" / Key(), *_TO_PVV, "pvv" / PVV, "new_block" / _block("key")],
    ["pvv" / PVV],
)
_command(
    "DU",
    "Verify a PIN and make the IBM 3624 offset of a new one",
    ["type" / TYPE, "key" / Key(), *_TO_OFFSET, "offset" / OFFSET, "new_block" / _block("key")],
    ["offset" / OFFSET],
    warnings=("02",),
)
_command(
    "BK",
    "IBM 3624 offset of an enciphered PIN",
    ["type" / TYPE, "key" / Key(), *_TO_OFFSET],
    ["offset" / OFFSET],
    warnings=("02",),
)


def _with_mac(fields: Any) -> bool:
    return bool(fields.mac_mode)


_MAC_FLAGS = [
    "mode" / Text(1, "n"),
    "mac_mode" / Flag("0123456789"),
    "mac_method" / Part(Text(1, "n"), "with a MAC", _with_mac),
]
_MAC_TO_VERIFY = [
    "mac" / Part(Text(16, "H"), "with a MAC", _with_mac),
    "data" / Part(Counted(4), "with a MAC", _with_mac),
]
_command(
    "GO",
    "Verify a TDES DUKPT PIN by its IBM 3624 offset",
    [
        *_MAC_FLAGS,
        "bdk" / Key(),
        "pvk" / Key(),
        *_UNDER_BASE_KEY,
        "check_length" / PIN_LENGTH,
        "account" / Text(12, "n"),
        *_OFFSET_RULE,
        "offset" / OFFSET,
        *_MAC_TO_VERIFY,
    ],
    ["mac_result" / Raw()],
    warnings=("01", "02"),
    note="With a MAC the answer ends with a second code, the MAC's.",
)
_command(
    "GQ",
    "Verify a TDES DUKPT PIN by its PVV",
    [
        *_MAC_FLAGS,
        "bdk" / Key(),
        "pvk" / Key(bare=32),
        *_UNDER_BASE_KEY,
        "account" / Text(12, "n"),
        _OTHER_ACCOUNT,
        "pvki" / PVKI,
        "pvv" / PVV,
        *_MAC_TO_VERIFY,
    ],
    ["mac_result" / Raw()],
    warnings=("01",),
    note="As GO.",
)
_command(
    "JA",
    "Random PIN under the LMK",
    ["account" / Text(12, "n"), "length" / Part(PIN_LENGTH, "not 4", lambda fields: True)],
    ["pin" / Raw()],
)
for _code, _who in (("JC", "TPK"), ("JE", "ZPK")):
    _command(
        _code,
        f"Translate a PIN from {_who} to the LMK",
        ["key" / Key(), *_UNDER_KEY, "account" / Account("format")],
        ["pin" / Raw()],
    )
_command(
    "JG",
    "Translate a PIN from the LMK to ZPK",
    ["key" / Key(), "format" / FORMAT, "account" / Account("format"), "pin" / MasterKeyPin(after=0)],
    ["block" / Raw()],
)

# ------------------------------------------------------------------ MAC, data, cards

_MAC_HEAD = [
    "mode" / Text(1, "n", one_of=("0", "1", "2", "3"), code="02"),
    "input" / Text(1, "n", one_of=("0", "1", "2"), code="03"),
    "size" / Text(1, "n", one_of=("0", "1")),
    "algorithm" / Text(1, "n", one_of=("1", "3", "6"), code="04"),
    "padding" / Text(1, "n", one_of=("0", "1", "2"), code="09"),
    "type" / Text(3, "H", code="05"),
    "key" / Key(),
    "vector" / Part(Sized(_vector_digits, "16H, AES 32H"), "mode 2 or 3", lambda fields: fields.mode in "23"),
    "data" / Counted(4, code="06"),
]
_MAC_NOTE = (
    "mode: 0 whole message, 1 first, 2 middle, 3 last part. input: 0 binary, 1 hex (the length counts "
    "characters), 2 text. size: 0 = 8, 1 = 16 hex digits. algorithm: 1, 3 (ISO/IEC 9797-1), 6 (CMAC). "
    "padding: 0 none, 1, 2."
)
_command(
    "M6",
    "Generate a MAC",
    _MAC_HEAD,
    ["mac" / Raw()],
    note=_MAC_NOTE + " Modes 1 and 2 answer the chaining value.",
)
_command(
    "M8",
    "Verify a MAC",
    [
        *_MAC_HEAD,
        "mac"
        / Part(
            Sized(lambda fields: 16 if fields.size == "1" else 8, "8H or 16H"),
            "mode 0 or 3",
            lambda fields: fields.mode in "03",
        ),
    ],
    ["vector" / Raw()],
    note=_MAC_NOTE,
)
for _code, _what in (("M0", "Encipher data"), ("M2", "Decipher data")):
    _command(
        _code,
        _what,
        [
            "mode" / Text(2, "n", one_of=("00", "01"), code="02"),
            "input" / Text(1, "n", one_of=("0", "1", "2"), code="03"),
            "output" / Text(1, "n", one_of=("0", "1", "2"), code="04"),
            "type" / Text(3, "H", code="05"),
            "key" / Key(),
            "vector"
            / Part(Sized(_vector_digits, "16H, AES 32H"), "mode 01", lambda fields: fields.mode == "01"),
            "data" / Counted(4, code="06"),
        ],
        [
            "vector"
            / Part(
                Sized(lambda fields: fields.get("_digits", 16), "16H, AES 32H"),
                "mode 01",
                lambda fields: fields.get("vector") is not None,
            ),
            "data" / Counted(4),
        ],
        note="mode: 00 ECB, 01 CBC. Flags as M6; hex lengths count characters. Whole blocks only.",
    )
_command(
    "GW",
    "MAC under TDES DUKPT",
    [
        "mode" / Text(1, "n", one_of=("1", "4")),
        "method" / Text(1, "n", one_of=("1",)),
        "bdk" / Key(),
        "descriptor" / DESCRIPTOR,
        "serial" / _serial("descriptor"),
        "mac" / Part(Text(16, "H"), "mode 1", _hex_kind),
        "data" / Counted(4),
    ],
    ["mac" / Raw()],
    note="mode: 4 generate, 1 verify. method: 1 = 8 bytes, ISO/IEC 9797-1 algorithm 3, padding 1.",
)
_CARD_DATA = ["card" / Until(b";", 12, 19), "expiry" / Text(4, "n"), "service" / Text(3, "n")]
_command(
    "CW",
    "Card verification value",
    ["cvk" / Key(bare=32), *_CARD_DATA],
    ["cvv" / Text(3, "n")],
)
_command(
    "CY",
    "Verify a card verification value",
    ["cvk" / Key(bare=32), "cvv" / Text(3, "n"), *_CARD_DATA],
    [],
)

# ------------------------------------------------------------------ the private range

_MAC_MODE: Final = Text(1, "n", one_of=("1", "4"))
_DIRECTION: Final = Text(1, "n", one_of=("1", "2"))
_AES_SERIAL: Final = Text(24, "H")
_CARD: Final = Counted(2, base=10, kind="n")
_BINDING: Final = Counted(2, kind="H", per=2)
_STATE: Final = Counted(2, kind="H", per=2)
_TAG: Final = Text(16, "H")

# A PIN's source: D, BDK and serial, or Z and a zone key.
_SOURCE = [
    "source" / Text(1, "A", one_of=("D", "Z")),
    "source_key" / Key(),
    "serial" / Part(_AES_SERIAL, "source D", lambda fields: fields.source == "D"),
]
_SOURCE_PIN: Final = Sized(_under_source, "16H, format 48: 32H")
_SOURCE_BLOCK = ["source_format" / FORMAT, "block" / _SOURCE_PIN]

_command(
    "XA",
    "MAC under AES DUKPT",
    [
        "mode" / _MAC_MODE,
        "direction" / _DIRECTION,
        "bdk" / Key(),
        "serial" / _AES_SERIAL,
        "mac" / Part(_TAG, "mode 1", _hex_kind),
        "data" / Counted(4),
    ],
    ["mac" / Raw()],
    note="mode: 4 generate, 1 verify. direction: 1 request, 2 response. AES-CMAC, left 8 bytes.",
)
_command(
    "XC",
    "Data under AES DUKPT",
    [
        "mode" / Text(1, "n", one_of=("0", "1")),
        "direction" / _DIRECTION,
        "bdk" / Key(),
        "serial" / _AES_SERIAL,
        "data" / Counted(4),
    ],
    ["data" / Counted(4)],
    note="mode: 0 encipher, 1 decipher. AES-CBC, zero vector, ISO/IEC 9797-1 padding 2.",
)
_command(
    "XE",
    "A terminal's initial key",
    ["bdk" / Key(), "initial_key_id" / Text(16, "H"), "kbpk" / Key()],
    ["block" / Key(), "kcv" / KCV],
    note="R and an X9.143 D block, usage B1, with the id in optional block IK. kbpk: usage K1, no zone key.",
)
_command(
    "XG",
    "Translate a PIN",
    [
        *_SOURCE,
        "destination" / Key(),
        "source_format" / FORMAT,
        "destination_format" / FORMAT,
        "block" / _SOURCE_PIN,
        "card" / _CARD,
    ],
    ["block" / Sized(lambda fields: fields.get("_digits", 16), "16H, format 48: 32H"), "format" / FORMAT],
)
_command(
    "XI",
    "PIN verifier",
    [*_SOURCE, "verifier_key" / Key(), *_SOURCE_BLOCK, "card" / _CARD, "binding" / _BINDING],
    ["verifier" / Text(32, "H")],
)
_command(
    "XK",
    "Verify a PIN by its verifier",
    [
        *_SOURCE,
        "verifier_key" / Key(),
        *_SOURCE_BLOCK,
        "card" / _CARD,
        "binding" / _BINDING,
        "verifier" / Text(32, "H"),
    ],
    [],
    note="01 is a wrong PIN, 20 a bad block.",
)
_command(
    "XW",
    "Verify a PIN by its PVV",
    [*_SOURCE, "pvk" / Key(), *_SOURCE_BLOCK, "card" / _CARD, "pvki" / PVKI, "pvv" / PVV],
    [],
)
_command(
    "XM",
    "Verify a card's tap (NTAG 424 DNA, SUN)",
    ["master" / Key(), "enciphered" / Text(32, "H"), "mac" / _TAG, "mirrored" / Counted(4)],
    ["identifier" / Text(14, "H"), "counter" / Text(6, "H")],
)
_command(
    "XS",
    "Open a tap of a card whose link holds enciphered file data",
    ["master" / Key(), "enciphered" / Text(32, "H"), "mac" / _TAG, "file_data" / Text(32, "H")],
    ["identifier" / Text(14, "H"), "counter" / Text(6, "H"), "file" / Text(32, "H")],
    note="The MAC is of the letters of file_data and `&m=`. 01 is not genuine: nothing is opened.",
)
_command(
    "X0",
    "Verify a chip card's cryptogram",
    [
        "master" / Key(),
        "identifier" / Text(14, "H"),
        "counter" / Text(8, "H"),
        "challenge" / Text(32, "H"),
        "cryptogram" / _TAG,
    ],
    [],
)
_command(
    "X2",
    "A key of one card, for whoever issues it",
    ["master" / Key(), "kind" / Text(1, "A"), "identifier" / Text(14, "H"), "kbpk" / Key()],
    ["block" / Key(), "kcv" / KCV],
    note="kind: M meta, F file, A authentication, P proof. R and a D block, usage 14. kbpk: usage K1.",
)
_command(
    "XO",
    "First step of AuthenticateEV2First",
    ["master" / Key(), "identifier" / Text(14, "H"), "enciphered" / Text(32, "H")],
    ["to_card" / Text(64, "H"), "state" / _STATE],
)
_command(
    "XQ",
    "Second step of AuthenticateEV2First",
    ["master" / Key(), "identifier" / Text(14, "H"), "state" / _STATE, "enciphered" / Text(64, "H")],
    [],
)
_command(
    "XU",
    "HMAC-SHA-256, left 8 bytes",
    ["mode" / _MAC_MODE, "key" / Key(), "mac" / Part(_TAG, "mode 1", _hex_kind), "data" / Counted(4)],
    ["mac" / Raw()],
    note="mode: 4 generate, 1 verify.",
)
_command(
    "XY",
    "Generate a key of any usage",
    ["usage" / Text(2, "A"), "algorithm" / Text(2, "A"), "export" / Text(1, "A")],
    ["key" / Key(), "kcv" / KCV],
    note="usage: X9.143, or our own 10 (PIN verifier) and 11 (card master). algorithm: A1 A2 A3 T2 T3 H5.",
)


def layout_of(command: bytes) -> Layout:
    """The layout of a request's two command bytes. Raises Refused 68."""
    layout = COMMANDS.get(command.decode("latin-1"))
    if layout is None:
        raise Refused("68", "unknown command")
    return layout
