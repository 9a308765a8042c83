"""The LMK at rest opens for two officers together and for nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from switch.hsm_sim.vault import Officer, Vault, VaultError, read, seal

ANNA, BABAK = Officer("anna", "correct horse battery"), Officer("babak", "staple of the second kind")
MASTER_KEY = bytes(range(32))


@pytest.fixture(scope="module", autouse=True)
def cheap() -> Iterator[None]:
    """Derivations that cost nothing; what a shipped one costs is held by the test of `vafa hsm create`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("switch.hsm_sim.vault.SCRYPT_N", 4)
        yield


@pytest.fixture(scope="module")
def vault(cheap: None) -> Vault:
    return seal("00", MASTER_KEY, ANNA, BABAK)


def test_both_officers_open_it_in_either_order(vault: Vault) -> None:
    assert vault.open(ANNA, BABAK).master_key == MASTER_KEY
    assert vault.open(BABAK, ANNA).officers == ("anna", "babak")


@pytest.mark.parametrize(
    "officers",
    [
        (ANNA, Officer("babak", "wrong passphrase!")),
        (Officer("anna", "wrong passphrase!"), BABAK),
        (Officer("anna", BABAK.passphrase), Officer("babak", ANNA.passphrase)),
        (ANNA, Officer("clara", BABAK.passphrase)),
        (ANNA, ANNA),
        (ANNA, Officer("Anna", "another passphrase")),
        (ANNA, Officer("an-na", "another passphrase")),
        (ANNA, Officer("babak", ANNA.passphrase)),
    ],
    ids=[
        "second wrong",
        "first wrong",
        "swapped",
        "stranger",
        "twice",
        "same name",
        "look-alike",
        "same passphrase",
    ],
)
def test_nobody_else_opens_it(vault: Vault, officers: tuple[Officer, Officer]) -> None:
    with pytest.raises(VaultError) as caught:
        vault.open(*officers)
    for officer in officers:
        assert officer.passphrase not in str(caught.value)


def test_the_file_holds_neither_key_nor_passphrase_and_is_the_owners(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "hsm.json"
    vault.write(path)
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    for secret in (MASTER_KEY.hex(), ANNA.passphrase, BABAK.passphrase):
        assert secret not in text
    assert read(path).open(ANNA, BABAK).master_key == MASTER_KEY
    with pytest.raises(VaultError, match="never overwritten"):
        vault.write(path)


@pytest.mark.parametrize("field", ["lmk", "sealed", "nonce", "scrypt", "format"])
def test_a_changed_file_does_not_open(vault: Vault, tmp_path: Path, field: str) -> None:
    path = tmp_path / "hsm.json"
    vault.write(path)
    content = json.loads(path.read_text())
    changed = {"lmk": "01", "sealed": "00" * 48, "nonce": "00" * 12, "scrypt": [2, 8, 1], "format": 2}
    path.write_text(json.dumps({**content, field: changed[field]}))
    with pytest.raises(VaultError):
        read(path).open(ANNA, BABAK)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', "\0"])
def test_another_file_is_no_vault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hsm.json"
    path.write_text(text)
    with pytest.raises(VaultError, match="is no sealed LMK"):
        read(path)


@pytest.mark.parametrize("name", ["anna", "ANNA", "anna ", "an na", "an-na", "Anna."])
def test_one_officer_does_not_seal_as_two(name: str) -> None:
    with pytest.raises(VaultError, match="look alike"):
        seal("00", MASTER_KEY, ANNA, Officer(name, "another passphrase"))


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(VaultError, match="at least 12"):
        seal("00", MASTER_KEY, ANNA, Officer("babak", "short"))


def test_no_repr_shows_a_passphrase_or_key(vault: Vault) -> None:
    shown = repr(ANNA) + repr(vault) + repr(vault.open(ANNA, BABAK))
    assert ANNA.passphrase not in shown
    assert MASTER_KEY.hex() not in shown
    assert repr(MASTER_KEY) not in shown
