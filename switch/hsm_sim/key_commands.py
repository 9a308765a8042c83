"""Commands of the box itself and of key management: NC NO N0 B2 RA, A0 A4 A6 A8 BU, and the private XE, XY.

What leaves the box, what comes in and what wraps other keys has to be allowed by two officers; every use of
these commands is recorded.
"""

from __future__ import annotations

from typing import Any, Final

from switch.hsm.crypto import dukpt_aes
from switch.hsm.crypto.check_values import check_value
from switch.hsm.crypto.ciphers import has_odd_parity, odd_parity
from switch.hsm.crypto.components import ComponentError, NothingLeft, combined
from switch.hsm.crypto.key_blocks import (
    Header,
    KeyBlockError,
    KeyBlockMacError,
    KeyBlockStrengthError,
    OptionalBlock,
    check_strength,
    unwrap,
    wrap,
)
from switch.hsm.crypto.master_keys import BlockMasterKey, TokenError, unwrap_under_zone, wrap_under_zone
from switch.hsm_sim.call import Answer, Call
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.fields import Token
from switch.hsm_sim.key_usage import BLOCK_USAGES, VARIANT_TYPES, ZONE
from switch.hsm_sim.layouts import FIRMWARE, LARGEST_RANDOM, SMALLEST_RANDOM
from switch.hsm_sim.slots import (
    KEY_BLOCK_TYPE,
    ZONE_BLOCK_ID,
    OpenKey,
    Random,
    token_from,
    unwrapped,
    wrap_block,
)

# Algorithm field of A0 and XY: X9.143 letter, key bytes.
ALGORITHMS: Final = {
    "T2": ("T", 16),
    "T3": ("T", 24),
    "A1": ("A", 16),
    "A2": ("A", 24),
    "A3": ("A", 32),
    "H5": ("H", 32),
}
KEY_BYTES: Final = {"Z": 8, "U": 16, "X": 16, "T": 24, "Y": 24}
COMPONENTS: Final = range(2, 10)
# A component's block carries `c` and its number where the key version stands.
COMPONENT_MARK: Final = "c"
# BU: the two-digit code names a key type without variant; its length flag, the schemes that fit.
LENGTH_FLAGS: Final = {"0": "Z", "1": "UXD", "2": "TY", "F": "ZUXDTYS"}
_NETWORK_TCP: Final = "1"


# ------------------------------------------------------------------ the box itself


def diagnostics(call: Call) -> Answer:
    """NC."""
    return Answer({"check_value": call.slot.check_value.ljust(16, "0"), "firmware": FIRMWARE})


def status(call: Call) -> Answer:
    """NO."""
    if call.request.mode == "01":
        return Answer({"status": b"0"})
    return Answer({"status": f"3{_NETWORK_TCP}64{FIRMWARE}00000".encode("ascii")})


def random_bytes(call: Call) -> Answer:
    """N0."""
    size = int(call.request.length)
    if not SMALLEST_RANDOM <= size <= LARGEST_RANDOM:
        raise Refused("01", f"{SMALLEST_RANDOM} to {LARGEST_RANDOM} bytes")
    return Answer({"data": call.state.random(size)})


def echo(call: Call) -> Answer:
    """B2."""
    return Answer({"data": call.request.data})


def leave_authorised_state(call: Call) -> Answer:
    """RA."""
    return Answer({}, event=call.recorded("authorisation cancelled", {}), cancels_authorisation=True)


# ------------------------------------------------------------------ generate


def generate_key(call: Call) -> Answer:
    """A0."""
    request, random = call.request, call.state.random
    opened = _new_key(call)
    name = opened.usage or request.type
    call.require_officers("generate", name)
    exported = None
    if request.mode == "1":
        if request.flag not in ("0", "1"):
            raise Refused("15", "the flag is 0 for a ZMK, 1 for a TMK")
        zmk = _zmk(call, "000" if request.flag == "0" else "002")
        call.require_officers("export", name)
        exported = _exported(opened, zmk, request.zmk_scheme, random, opened.export)
    token = _kept(call, opened, request.type, request.scheme)
    fields = {"key": token, "exported": exported, "kcv": opened.kcv}
    action = "key generated and exported" if exported else "key generated"
    return Answer(fields, event=call.recorded(action, {"key": name, "kcv": opened.kcv}))


def generate_any(call: Call) -> Answer:
    """XY."""
    request = call.request
    opened = _made(call, request.usage, request.algorithm, None, "00", request.export)
    call.require_officers("generate", opened.usage)
    token = call.state.slots.wrap_block(call.slot, opened, call.state.random)
    event = call.recorded("key generated", {"key": opened.usage, "kcv": opened.kcv})
    return Answer({"key": token, "kcv": opened.kcv}, event=event)


def _new_key(call: Call) -> OpenKey:
    request = call.request
    if request.scheme == "S":
        attributes = _attributes(call)
        _check_no_options(attributes.options)
        return _made(
            call,
            attributes.usage,
            attributes.algorithm,
            attributes.mode,
            attributes.version,
            attributes.export,
        )
    _known_type(request.type)
    size = _size_of(request.scheme)
    return OpenKey(odd_parity(call.state.random(size)), "T")


def _made(call: Call, usage: str, algorithm: str, mode: str | None, version: str, export: str) -> OpenKey:
    """A fresh key for a key block. mode: None takes the usage's own."""
    if usage not in BLOCK_USAGES:
        raise Refused("A6", f"keys of usage {usage} are not made here")
    algorithms, modes, own = BLOCK_USAGES[usage]
    letter, size = ALGORITHMS.get(algorithm, ("", 0))
    if letter not in algorithms:
        raise Refused("A7", f"algorithm {algorithm} is not for usage {usage}")
    mode = mode if mode is not None else own
    if mode not in modes:
        raise Refused("A8", f"mode of use {mode} is not for usage {usage}")
    if export not in ("N", "E", "S"):
        raise Refused("AA", "exportability is N, E or S")
    key = call.state.random(size)
    return OpenKey(odd_parity(key) if letter == "T" else key, letter, usage, mode, version, export)


# ------------------------------------------------------------------ form from components


def form_key(call: Call) -> Answer:
    """A4."""
    request = call.request
    if len(request.components) not in COMPONENTS:
        raise Refused("03", "2 to 9 components")
    block = request.scheme == "S"
    if not block:
        _known_type(request.type)
    parts = [_component(call, token, block) for token in request.components]
    first = parts[0]
    if any(part[1:4] != first[1:4] or len(part.key) != len(first.key) for part in parts):
        raise Refused("A5" if block else "27", "the components do not belong together")
    try:
        key = combined(first.algorithm, [part.key for part in parts])
    except NothingLeft as error:
        raise Refused("11", str(error)) from None
    except ComponentError as error:
        raise Refused("B5", str(error)) from None
    name = first.usage or request.type
    call.require_officers("component", name)
    version = "00"
    if block and call.suffix.attributes is not None:
        _check_no_options(call.suffix.attributes.options)
        version = call.suffix.attributes.version
    formed = first._replace(key=key, version=version)
    token = _kept(call, formed, request.type, request.scheme)
    event = call.recorded("key formed", {"key": name, "components": str(len(parts)), "kcv": formed.kcv})
    return Answer({"key": token, "kcv": formed.kcv}, event=event)


def _component(call: Call, token: Token, block: bool) -> OpenKey:
    slots = call.state.slots
    if not block:
        if token.is_block:
            raise Refused("A1", "the components are key blocks")
        return slots.open_variant(call.slot, token, call.request.type, "10")
    opened = slots.open_block(call.slot, token, strict=call.named)
    if opened.version[0] != COMPONENT_MARK:
        raise Refused("B5", "the key block is no component")
    return opened._replace(version="00")


# ------------------------------------------------------------------ import, export


def import_key(call: Call) -> Answer:
    """A6."""
    request = call.request
    zmk = _zmk(call, "000")
    opened = _brought(call, zmk)
    name = opened.usage or request.type
    call.require_officers("import", name)
    code = "00"
    if opened.algorithm == "T" and not has_odd_parity(opened.key):
        code, opened = "01", opened._replace(key=odd_parity(opened.key))
    token = _kept(call, opened, request.type, request.scheme)
    event = call.recorded("key imported", {"key": name, "kcv": opened.kcv, "result": code})
    return Answer({"key": token, "kcv": opened.kcv}, code, event)


def _brought(call: Call, zmk: OpenKey) -> OpenKey:
    """The key under the ZMK, with the attributes it will have here."""
    request = call.request
    token: Token = request.key
    if token.scheme == "S":
        opened = unwrapped(_zone_block_key(zmk), token)
        if token.value[14:16] != ZONE_BLOCK_ID:
            raise Refused("A3", "a key block under a ZMK names no LMK")
    elif token.scheme == "R":
        opened = _opened_x9_143(zmk, token)
    else:
        if zmk.algorithm != "T":
            raise Refused("27", "only a TDES ZMK protects keys without a header")
        text = "X" + token.value if token.scheme == "D" else token.text
        opened = OpenKey(unwrap_under_zone(zmk.key, text), "T")
    _check_strength(zmk, opened)
    if request.scheme != "S":
        if token.is_block and opened.usage != _known_type(request.type)[1]:
            raise Refused("A6", f"usage {opened.usage} is not key type {request.type}")
        return opened
    if not token.is_block:
        attributes = _attributes(call)
        _check_no_options(attributes.options)
        opened = opened._replace(
            usage=attributes.usage,
            mode=attributes.mode,
            version=attributes.version,
            export=attributes.export,
        )
    elif call.suffix.attributes is not None and call.suffix.attributes.usage != opened.usage:
        raise Refused("A6", "the block's header says another usage")
    _check_attributes(opened)
    return opened


def _opened_x9_143(zmk: OpenKey, token: Token) -> OpenKey:
    try:
        header, key = unwrap(zmk.key, token.value)
    except KeyBlockMacError:
        raise Refused("A4", "the key block's MAC is wrong") from None
    except KeyBlockStrengthError as error:
        raise Refused("27", _own_words(error)) from None
    except (KeyBlockError, ValueError) as error:
        raise Refused("83", _own_words(error)) from None
    return OpenKey(key, header.algorithm, header.usage, header.mode, header.key_version, header.exportability)


def export_key(call: Call) -> Answer:
    """A8."""
    request = call.request
    token: Token = request.key
    zmk = _zmk(call, "000")
    if token.is_block:
        opened = call.state.slots.open_block(call.slot, token, strict=call.named)
        if request.type != KEY_BLOCK_TYPE:
            raise Refused("28", f"a key block goes with type {KEY_BLOCK_TYPE}")
    else:
        _known_type(request.type)
        opened = call.state.slots.open_variant(call.slot, token, request.type, "11")
    name = opened.usage or request.type
    if request.type == "000":
        raise Refused("29", "a ZMK does not leave under another ZMK")
    call.require_officers("export", name)
    export = call.suffix.export if call.suffix.export is not None else opened.export
    moved = _exported(opened, zmk, request.scheme, call.state.random, export, request.type)
    event = call.recorded("key exported", {"key": name, "kcv": opened.kcv, "scheme": request.scheme})
    return Answer({"key": moved, "kcv": opened.kcv}, event=event)


def _exported(
    opened: OpenKey, zmk: OpenKey, scheme: str, random: Random, export: str, key_type: str = ""
) -> Token:
    """A key under a ZMK. export: what the exported block will say. Raises Refused."""
    if opened.export == "N":
        raise Refused("29", "the key must not leave")
    if opened.export and _RANK.get(export, 9) > _RANK[opened.export]:
        raise Refused("AA", "exporting can't make a key more exportable")
    if zmk.algorithm == "T" and opened.algorithm != "T":
        raise Refused("A7", "a TDES key protects TDES keys only")
    _check_strength(zmk, opened)
    if scheme in ("S", "R"):
        if not opened.usage:
            _, usage, mode = _known_type(key_type)
            opened = opened._replace(usage=usage, mode=mode, export="S")
            export = export or "N"
        if scheme == "S":
            if zmk.usage not in ZONE and zmk.usage:
                raise Refused("A6", "key blocks of this box's kind go under a zone master key")
            return wrap_block(_zone_block_key(zmk), opened._replace(export=export), ZONE_BLOCK_ID, random)
        return _wrapped_x9_143(opened, zmk, export, random)
    if opened.export == "E":
        raise Refused("29", "the key leaves as a key block only")
    if opened.algorithm != "T" or zmk.algorithm != "T":
        raise Refused("A7", "only TDES keys leave without a header")
    if zmk.usage and zmk.usage not in ZONE:
        raise Refused("A6", "keys without a header go under a zone master key")
    if scheme not in KEY_BYTES:
        raise Refused("26", "the key scheme is Z, U, T, X, Y, S or R")
    try:
        return token_from(wrap_under_zone(zmk.key, opened.key, scheme))
    except TokenError:
        raise Refused("27", "the scheme does not fit the key's length") from None


_RANK: Final = {"N": 0, "E": 1, "S": 2}
# Usages of payShield's own and what X9.143 calls them.
_X9_143: Final = {
    "51": "K0",
    "52": "K0",
    "71": "P0",
    "72": "P0",
    "21": "D0",
    "22": "D0",
    "23": "D0",
    "12": "C0",
    "13": "C0",
}


def _wrapped_x9_143(opened: OpenKey, zmk: OpenKey, export: str, random: Random) -> Token:
    """`R` and the X9.143 block: version D under AES, B under TDES."""
    header = Header(
        "D" if zmk.algorithm == "A" else "B",
        _X9_143.get(opened.usage, opened.usage),
        opened.algorithm,
        opened.mode,
        opened.version,
        export,
    )
    try:
        return Token("R", wrap(zmk.key, header, opened.key, random))
    except (KeyBlockError, ValueError) as error:
        raise Refused("83", _own_words(error)) from None


def initial_key(call: Call) -> Answer:
    """XE."""
    request = call.request
    base, kbpk = call.key("bdk"), call.key("kbpk")
    if len(kbpk.key) < len(base.key):
        raise Refused("27", "the transport key is shorter than the initial key")
    key = dukpt_aes.initial_key(base.key, bytes.fromhex(request.initial_key_id))
    identity = OptionalBlock("IK", request.initial_key_id.upper())
    header = Header("D", "B1", "A", "X", "00", "N", (identity,))
    block = wrap(kbpk.key, header, key, call.state.random)
    kcv = check_value(key, "A")
    event = call.recorded("initial key derived", {"terminal": request.initial_key_id, "kcv": kcv})
    return Answer({"block": Token("R", block), "kcv": kcv}, event=event)


# ------------------------------------------------------------------ check value


def key_check_value(call: Call) -> Answer:
    """BU."""
    request = call.request
    token: Token = request.key
    if request.length not in LENGTH_FLAGS:
        raise Refused("05", "the length flag is 0, 1, 2 or F")
    if token.is_block:
        if request.code != "FF" or request.type not in (KEY_BLOCK_TYPE, None):
            raise Refused("04", "a key block goes with code FF and type FFF")
        opened = call.state.slots.open_block(call.slot, token, strict=call.named)
    else:
        if token.scheme not in LENGTH_FLAGS[request.length]:
            raise Refused("05", "the key has another length")
        key_type = request.type if request.code == "FF" else f"0{request.code}"
        if key_type is None or (key_type not in VARIANT_TYPES and request.code == "FF"):
            raise Refused("28", "no such key type")
        if key_type not in VARIANT_TYPES:
            raise Refused("04", "no such key type code")
        opened = call.state.slots.open_variant(call.slot, token, key_type, "10")
    name = opened.usage or (request.type if request.code == "FF" else f"0{request.code}")
    if request.kind == "1":
        return Answer({"kcv": opened.kcv.encode("ascii")})
    if request.kind not in (None, "0"):
        raise Refused("15", "the KCV kind is 0 or 1")
    # More digits than six are known plaintext under the key: only while two officers allow it.
    if not call.state.authorised.allows("generate", name, call.state.clock()):
        raise Refused("17", f"16 digits need generate.{name}.host")
    digits = check_value(opened.key, opened.algorithm, 16)
    return Answer({"kcv": digits.encode("ascii")}, event=call.recorded("long check value", {"key": name}))


# ------------------------------------------------------------------ shared


def _kept(call: Call, opened: OpenKey, key_type: str, scheme: str) -> Token:
    """The key as the host will hold it."""
    if scheme == "S":
        if key_type != KEY_BLOCK_TYPE:
            raise Refused("28", f"a key block goes with type {KEY_BLOCK_TYPE}")
        return call.state.slots.wrap_block(call.slot, opened, call.state.random)
    _size_of(scheme)
    if opened.algorithm != "T":
        raise Refused("A7", "a variant LMK keeps TDES keys only")
    return call.state.slots.wrap_variant(call.slot, opened.key, key_type, scheme)


def _check_attributes(opened: OpenKey) -> None:
    if opened.usage not in BLOCK_USAGES:
        raise Refused("A6", f"keys of usage {opened.usage} are not kept here")
    algorithms, modes, _ = BLOCK_USAGES[opened.usage]
    if opened.algorithm not in algorithms:
        raise Refused("A7", "the algorithm does not fit the usage")
    if opened.mode not in modes and opened.mode != "N":
        raise Refused("A8", "the mode of use does not fit the usage")
    if opened.export not in _RANK:
        raise Refused("AA", "exportability is N, E or S")


def _attributes(call: Call) -> Any:
    if call.suffix.attributes is None:
        raise Refused("15", "a key block needs its attributes behind #")
    return call.suffix.attributes


def _check_no_options(count: str) -> None:
    if count != "00":
        raise Refused("AB", "optional blocks are not made here")


def _known_type(key_type: str) -> tuple[str, str, str]:
    if key_type.upper() not in VARIANT_TYPES:
        raise Refused("28", "no such key type")
    return VARIANT_TYPES[key_type.upper()]


def _check_strength(zmk: OpenKey, moved: OpenKey) -> None:
    """A key travels under one that is at least as strong."""
    try:
        check_strength(zmk.algorithm, len(zmk.key), moved.algorithm, len(moved.key))
    except KeyBlockStrengthError as error:
        raise Refused("27", _own_words(error)) from None


def _size_of(scheme: str) -> int:
    if scheme not in KEY_BYTES:
        raise Refused("26", "the key scheme is Z, U, T, X, Y or S")
    return KEY_BYTES[scheme]


def _zmk(call: Call, key_type: str) -> OpenKey:
    """key_type: under the variant LMK."""
    return call.key("zmk", key_type=None if call.request.zmk.is_block else key_type)


def _zone_block_key(zmk: OpenKey) -> BlockMasterKey:
    try:
        return BlockMasterKey(zmk.key, "1" if zmk.algorithm == "A" else "0")
    except ValueError:
        raise Refused("27", "the ZMK is too short for key blocks") from None


def _own_words(error: Exception) -> str:
    """The crypto package's errors name fields and lengths only."""
    return str(error)
