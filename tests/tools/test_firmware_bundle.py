"""Bundles made by the declaration and read by the device: whole, changed at each byte, cut, older,
foreign."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.bundle import (
    LONGEST_TABLE,
    BundleError,
    Table,
    is_right,
    parts,
    read_table,
    table_length,
)
from tools.firmware_bundle import SIGNATURE, TABLE, Signer, _signature, made, public_point, read

KEYS = [ec.derive_private_key(1000 + number, ec.SECP256R1()) for number in range(3)]
POINTS = [public_point(key.public_key()) for key in KEYS]
SIGNERS = [Signer(number, key) for number, key in enumerate(KEYS)]
FILES = {"terminal/app.mpy": b"\x4d\x06" * 300, "terminal/ui/fonts/small.mpy": b"M" * 77, "version": b"8"}
MODEL = "vafa-esp32"
BUNDLE = made(MODEL, 8, 5, FILES, SIGNERS[:2])
TABLE_BYTES = len(BUNDLE) - sum(map(len, FILES.values()))


def reading(data: bytes) -> Callable[[int, int], bytes]:
    """As a storage reads: never more than it has, and never much at once."""

    def read(at: int, count: int) -> bytes:
        assert count <= 512
        return data[at : at + count]

    return read


def taken(data: bytes, *, model: str = MODEL, newest: int = 7, needed: int = 2) -> Table:
    """As a device takes it: the table first, then each file."""
    read = reading(data)
    table = read_table(read, len(data), model, newest, POINTS, needed)
    for part in parts(read):
        at = table.table_length + part.at
        if not is_right(part, reading(data[at : at + part.length])):
            raise BundleError(f"{part.name} is damaged")
    if table.length != len(data):
        raise BundleError("length")
    return table  # type: ignore[no-any-return]


def refused(data: bytes, **options: object) -> str:
    with pytest.raises(BundleError) as error:
        taken(data, **options)  # type: ignore[arg-type]
    return str(error.value)


def test_a_bundle_is_taken_and_says_what_it_holds() -> None:
    table = taken(BUNDLE)
    assert (table.model, table.version, table.replaces) == (MODEL, 8, 5)
    assert [part.name for part in parts(reading(BUNDLE))] == sorted(FILES)
    assert table_length(reading(BUNDLE), len(BUNDLE), 3) == TABLE_BYTES < LONGEST_TABLE
    declared = read(BUNDLE)
    assert declared.content == b"".join(FILES[name] for name in sorted(FILES))
    assert [one.name for one in declared.table.files] == sorted(FILES)
    assert repr(SIGNERS[1]) == "Signer(1)"


def test_every_changed_byte_is_found() -> None:
    for place in [*range(0, TABLE_BYTES, 13), *range(TABLE_BYTES, len(BUNDLE), 61), len(BUNDLE) - 1]:
        changed = bytearray(BUNDLE)
        changed[place] ^= 0x01
        refused(bytes(changed))


def test_every_cut_is_found() -> None:
    for length in range(0, len(BUNDLE), 29):
        refused(BUNDLE[:length])
        if length < TABLE_BYTES:
            assert table_length(reading(BUNDLE[:length]), length, 3) in (None, TABLE_BYTES)
    refused(BUNDLE + b"\x00")


def test_not_for_this_device() -> None:
    assert refused(BUNDLE, model="vafa-rp2") == "for another model"
    assert refused(BUNDLE, newest=8) == "not newer"
    assert refused(BUNDLE, newest=9) == "not newer"
    assert refused(BUNDLE, newest=4) == "a version between is needed"
    assert taken(BUNDLE, newest=5).version == 8


def test_signatures_that_do_not_count() -> None:
    stranger = ec.derive_private_key(9999, ec.SECP256R1())
    assert refused(made(MODEL, 8, 5, FILES, SIGNERS[:1])) == "too few signatures"
    assert refused(made(MODEL, 8, 5, FILES, [SIGNERS[0], SIGNERS[0]])) == "signature"
    assert refused(made(MODEL, 8, 5, FILES, [SIGNERS[0], Signer(1, stranger)])) == "signature"
    assert refused(made(MODEL, 8, 5, FILES, [SIGNERS[0], Signer(7, KEYS[1])])) == "signature"
    assert taken(made(MODEL, 8, 5, FILES, [SIGNERS[2], SIGNERS[0]])).version == 8
    assert taken(made(MODEL, 8, 5, FILES, SIGNERS)).version == 8


def test_names_stand_in_order_so_none_stands_twice() -> None:
    first, second = (TABLE.build(read(made(MODEL, 8, 5, {name: b"x"}, SIGNERS)).table) for name in "ab")
    signed = first[:29] + bytes((1, 2)) + second[31:] + first[31:]
    bundle = signed + SIGNATURE.build({"key": 0, "r_and_s": _signature(KEYS[0], signed)}) + b"xx"
    assert refused(bundle, needed=1) == "names out of order"


@pytest.mark.parametrize(
    "name",
    ["../app.mpy", "/etc/passwd", "a//b", "terminal/./x", "APP.MPY", "x y", "terminal/..", "a\\b", "x" * 49],
)
def test_names_lead_nowhere_else(name: str) -> None:
    assert refused(made(MODEL, 8, 5, {name: b"x"}, SIGNERS[:2])) == "name"


def test_what_can_not_be_made_is_told() -> None:
    for model, version, replaces, files in (
        ("x" * 17, 8, 5, FILES),
        (MODEL, 5, 5, FILES),
        (MODEL, 2**32, 5, FILES),
        (MODEL, 8, 5, {}),
    ):
        with pytest.raises(ValueError, match="a "):
            made(model, version, replaces, files, SIGNERS)


@settings(max_examples=80)
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_refused_and_nothing_else_happens(data: bytes, begins_well: bool) -> None:
    refused(BUNDLE[:31] + data if begins_well else data)
