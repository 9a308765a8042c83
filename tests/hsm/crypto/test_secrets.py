"""Keys stay inside: no repr, copy or pickle of what holds one, and one comparison for all secrets."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

import pytest

import switch.hsm.crypto
from switch.hsm.crypto.ciphers import AesPlace
from switch.hsm.crypto.dukpt_aes import Deriver, Usage
from switch.hsm.crypto.key_blocks import Header, Unwrapped
from switch.hsm.crypto.macs import KeyedCmac
from switch.hsm.crypto.master_keys import BlockMasterKey, VariantMasterKeys
from switch.hsm.crypto.ntag424 import Session
from switch.hsm.crypto.pin_verifier import PinVerifier
from switch.hsm.crypto.transaction_keys import TransactionKeys

SOURCES = sorted(Path(switch.hsm.crypto.__file__).parent.glob("*.py"))
KEY = bytes.fromhex("5EC2E75EC2E75EC2E75EC2E75EC2E75E")
SECRET_NAMES = ("mac", "kcv", "pvv", "cvv", "tag", "verifier", "check_value", "digest")

HOLDERS = [
    AesPlace(bytearray(KEY)),
    KeyedCmac(KEY),
    Deriver(KEY),
    BlockMasterKey(KEY, "1"),
    VariantMasterKeys([KEY] * 20),
    PinVerifier(KEY),
    TransactionKeys(KEY),
]


def shows_the_key(text: str) -> bool:
    return any(shown in text for shown in (KEY.hex(), KEY.hex().upper(), repr(KEY)[2:-1], str(list(KEY))))


@pytest.mark.parametrize(
    "holder", [*HOLDERS, Unwrapped(Header("D", "P0", "A", "B"), KEY), Session(KEY, KEY, KEY)]
)
def test_no_repr_shows_a_key(holder: object) -> None:
    assert not shows_the_key(f"{holder!r} {holder} {[holder]!r}")


@pytest.mark.parametrize("holder", HOLDERS)
def test_no_key_is_pickled_or_copied(holder: object) -> None:
    for store in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied or stored"):
            store(holder)


@pytest.mark.parametrize("holder", HOLDERS)
def test_no_holder_of_a_key_has_a_dictionary(holder: object) -> None:
    assert not hasattr(holder, "__dict__")


def test_a_deriver_with_parents_shows_none() -> None:
    deriver = Deriver(KEY)
    deriver.working_keys(bytes(8) + b"\0\0\0\x07", (Usage.PIN,))
    assert repr(deriver) == "Deriver(hidden)"


def compared_secrets(tree: ast.AST) -> list[str]:
    """Names compared by == or != that are secrets by their name; lengths of them are none."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(one, (ast.Eq, ast.NotEq)) for one in node.ops):
            for side in (node.left, *node.comparators):
                name = getattr(side, "attr", getattr(side, "id", ""))
                if isinstance(side, ast.Call):
                    name = getattr(side.func, "attr", getattr(side.func, "id", ""))
                if any(part in SECRET_NAMES for part in (name, *name.split("_"))):
                    found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_secrets_are_compared_in_constant_time_only(source: Path) -> None:
    assert compared_secrets(ast.parse(source.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "text", ["mac == x", "x != pvv", "a.tag == b", "cmac(k, d) == mac", "expected_mac == y"]
)
def test_the_check_sees_what_it_should(text: str) -> None:
    assert compared_secrets(ast.parse(text))


def test_the_check_leaves_lengths_alone() -> None:
    assert compared_secrets(ast.parse("len(mac) == 8 and same(mac, other)")) == []
