"""The key store: what it keeps, what it refuses, and that a file is whole or not touched."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from switch.hsm.key_store import KeyNotFound, KeyReused, KeyState, KeyStore, KeyStoreError
from switch.hsm.port import Key, KeyAlgorithm, KeyUse

NOW = datetime(2026, 11, 21, 20, 15, 30, tzinfo=UTC)
BDK = "bdk/0011AABB"
TOKEN = "S10096B0AX00N0000" + "00" * 40
OFFICERS = ("officer one", "officer two")


def clock() -> datetime:
    return NOW


def a_key(use: KeyUse = KeyUse.BASE_DERIVATION, token: str = TOKEN, check_value: str = "A1B2C3") -> Key:
    return Key(token, use, check_value)


def load(path: Path) -> KeyStore:
    return KeyStore.load(path, clock=clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.json"


@pytest.fixture
def store(path: Path) -> KeyStore:
    """A saved store with one BDK."""
    store = load(path)
    store.add(BDK, a_key(), KeyAlgorithm.AES_128, OFFICERS)
    store.save()
    return store


def test_what_is_saved_is_loaded(store: KeyStore, path: Path) -> None:
    loaded = load(path)
    assert loaded.key(BDK) == a_key()
    (version,) = loaded.versions(BDK)
    assert (version.version, version.algorithm, version.state, version.created, version.officers) == (
        1,
        KeyAlgorithm.AES_128,
        KeyState.ACTIVE,
        "2026-11-21T20:15:30+00:00",
        OFFICERS,
    )
    assert loaded.names() == (BDK,)


def test_the_file_is_for_its_owner_alone_and_nothing_lies_beside_it(store: KeyStore, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_new_version_retires_the_one_before_and_both_are_kept(store: KeyStore, path: Path) -> None:
    store.add(BDK, a_key(token=TOKEN + "00", check_value="000002"), KeyAlgorithm.AES_256, OFFICERS)
    store.save()
    loaded = load(path)
    assert [version.state for version in loaded.versions(BDK)] == [KeyState.RETIRED, KeyState.ACTIVE]
    assert loaded.key(BDK).reference == TOKEN + "00"
    assert loaded.versions(BDK)[0].key.reference == TOKEN


def test_a_revoked_key_is_not_given_out_and_stays_revoked(store: KeyStore, path: Path) -> None:
    store.revoke(BDK, 1)
    with pytest.raises(KeyNotFound, match=r"'bdk/0011AABB': version 1 is revoked; make a new one"):
        store.key(BDK)
    with pytest.raises(KeyStoreError, match="revoked and stays so"):
        store.retire(BDK, 1)
    store.save()
    assert load(path).versions(BDK)[0].state is KeyState.REVOKED


def test_a_revoked_key_does_not_come_back_under_any_name(store: KeyStore, path: Path) -> None:
    store.revoke(BDK, 1)
    with pytest.raises(KeyReused, match=r"'bdk/0011AABB': this is version 1, which is revoked"):
        store.add(BDK, a_key(token=TOKEN + "00"), KeyAlgorithm.AES_128, OFFICERS)
    assert [version.state for version in store.versions(BDK)] == [KeyState.REVOKED]
    store.add(BDK, a_key(check_value="FFFFFF"), KeyAlgorithm.AES_128, OFFICERS)
    with pytest.raises(KeyReused, match=f"this is version 1 of '{BDK}', which is revoked and stays so"):
        store.add("bdk/00000001", a_key(), KeyAlgorithm.AES_128, OFFICERS)
    assert not store.versions("bdk/00000001")


def test_a_key_that_was_replaced_does_not_come_back(store: KeyStore) -> None:
    store.add(BDK, a_key(check_value="000002"), KeyAlgorithm.AES_128, OFFICERS)
    with pytest.raises(KeyReused, match="this is version 1, which was replaced"):
        store.add(BDK, a_key(token=TOKEN + "00"), KeyAlgorithm.AES_128, OFFICERS)
    with pytest.raises(KeyReused, match="this is version 2, which is in use already"):
        store.add(BDK, a_key(check_value="000002"), KeyAlgorithm.AES_128, OFFICERS)
    assert [version.state for version in store.versions(BDK)] == [KeyState.RETIRED, KeyState.ACTIVE]


def test_a_partners_key_is_for_one_use(store: KeyStore) -> None:
    store.add("zone/BANK/mac-send", a_key(KeyUse.MAC, check_value="000003"), KeyAlgorithm.AES_128, OFFICERS)
    for name, use in (("zone/BANK/pin-send", KeyUse.PIN), ("zone/BANK/zmk", KeyUse.ZONE)):
        with pytest.raises(KeyReused, match="this is a key of 'zone/BANK/mac-send'"):
            store.add(name, a_key(use, check_value="000003"), KeyAlgorithm.AES_128, OFFICERS)


@pytest.mark.parametrize("officers", [("A", "a "), ("Ali", "Аli"), ("علي", "علی"), ("Ali", "Ali\u200b")])
def test_one_officer_is_not_two(store: KeyStore, officers: tuple[str, ...]) -> None:
    with pytest.raises(KeyStoreError, match="named twice, or two names look alike"):
        store.add(BDK, a_key(check_value="000002"), KeyAlgorithm.AES_128, officers)


@pytest.mark.parametrize(("kind", "use"), [("mac", KeyUse.MAC), ("pin", KeyUse.PIN)])
@pytest.mark.parametrize(("known", "brought"), [("send", "receive"), ("receive", "send")])
def test_a_key_of_one_direction_is_never_that_of_the_other(
    store: KeyStore, kind: str, use: KeyUse, known: str, brought: str
) -> None:
    store.add(f"zone/BANK/{kind}-{known}", a_key(use), KeyAlgorithm.AES_128, OFFICERS)
    store.add(f"zone/BANK/{kind}-{known}", a_key(use, check_value="000001"), KeyAlgorithm.AES_128, OFFICERS)
    for value in ("A1B2C3", "000001"):  # retired or active
        with pytest.raises(KeyReused, match=f"this is a key of 'zone/BANK/{kind}-{known}'"):
            store.add(
                f"zone/BANK/{kind}-{brought}", a_key(use, check_value=value), KeyAlgorithm.AES_128, OFFICERS
            )
    assert not store.versions(f"zone/BANK/{kind}-{brought}")
    store.add(f"zone/OTHER/{kind}-{brought}", a_key(use), KeyAlgorithm.AES_128, OFFICERS)


@pytest.mark.parametrize(
    ("name", "use", "advice"),
    [
        (BDK, KeyUse.BASE_DERIVATION, "vafa keys generate bdk/0011AABB, then vafa keys inject"),
        ("pin/verifier", KeyUse.PIN_VERIFIER, "vafa keys generate pin/verifier"),
        ("zone/BANK/zmk", KeyUse.ZONE, "vafa keys ceremony zone/BANK/zmk"),
        ("transport/10000001", KeyUse.TRANSPORT, "vafa keys ceremony transport/10000001"),
        ("zone/BANK/mac-send", KeyUse.MAC, "vafa keys generate zone/BANK/mac-send"),
        ("zone/BANK/pin-receive", KeyUse.PIN, "vafa keys import zone/BANK/pin-receive"),
    ],
)
def test_the_advice_for_a_key_that_ended_works_for_its_name(
    path: Path, name: str, use: KeyUse, advice: str
) -> None:
    store = load(path)
    store.add(name, a_key(use), KeyAlgorithm.AES_128, OFFICERS)
    store.revoke(name, 1)
    with pytest.raises(KeyNotFound) as missing:
        store.key(name)
    assert advice in str(missing.value)
    assert "rotate" not in str(missing.value)


def test_every_name_is_shown_when_one_is_wrong(store: KeyStore) -> None:
    with pytest.raises(KeyStoreError) as refused:
        store.add("zone/BANK/key", a_key(), KeyAlgorithm.AES_128, OFFICERS)
    for name in ("mac-send", "mac-receive", "pin-send", "pin-receive", "zmk"):
        assert f"zone/<partner>/{name}" in str(refused.value)


def test_a_retired_key_is_not_given_out(store: KeyStore) -> None:
    store.retire(BDK, 1)
    with pytest.raises(KeyNotFound, match="version 1 is retired"):
        store.key(BDK)


def test_a_missing_key_names_file_key_and_what_to_do(store: KeyStore, path: Path) -> None:
    with pytest.raises(KeyNotFound) as missing:
        store.key("pin/verifier")
    assert str(path) in str(missing.value)
    assert "'pin/verifier'" in str(missing.value)
    assert "vafa keys list" in str(missing.value)
    with pytest.raises(KeyNotFound, match=r"no version 2 of 'bdk/0011AABB' \(known: 1\)"):
        store.revoke(BDK, 2)


def test_a_store_without_a_file_says_so(path: Path) -> None:
    with pytest.raises(KeyNotFound, match="no such file yet"):
        load(path).key(BDK)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("bdk/0011AABB", KeyUse.BASE_DERIVATION),
        ("transport/10000001", KeyUse.TRANSPORT),
        ("pin/verifier", KeyUse.PIN_VERIFIER),
        ("pin/value", KeyUse.PIN_VALUE),
        ("card/value", KeyUse.CARD_VALUE),
        ("card/master", KeyUse.CARD_MASTER),
        ("ledger/checkpoint", KeyUse.MAC),
        ("zone/melli/zmk", KeyUse.ZONE),
        ("zone/melli/pin-send", KeyUse.PIN),
        ("zone/melli/pin-receive", KeyUse.PIN),
        ("zone/melli/mac-send", KeyUse.MAC),
        ("zone/melli/mac-receive", KeyUse.MAC_TDES),
        ("zone/melli/mac-receive", KeyUse.MAC_HMAC),
    ],
)
def test_a_name_says_what_its_key_is_for(path: Path, name: str, use: KeyUse) -> None:
    store = load(path)
    store.add(name, a_key(use), KeyAlgorithm.AES_128, OFFICERS)
    assert store.key(name).use is use
    with pytest.raises(KeyStoreError, match="not for DATA"):
        store.add(name, a_key(KeyUse.DATA), KeyAlgorithm.AES_128, OFFICERS)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "bdk/0011aabb",
        "bdk/0011AABB ",
        "bdk/0011AABB\n",
        "transport/1000001",
        "zone//zmk",
        "zone/a/b/zmk",
        "other",
    ],
)
def test_another_name_is_refused_with_the_names_there_are(path: Path, name: str) -> None:
    with pytest.raises(KeyStoreError, match="names are bdk/"):
        load(path).add(name, a_key(), KeyAlgorithm.AES_128, OFFICERS)


@pytest.mark.parametrize(
    ("key", "officers", "what"),
    [
        (a_key(token=""), OFFICERS, "token"),
        (a_key(token="S1 0"), OFFICERS, "token"),
        (a_key(token="S" * 3000), OFFICERS, "token"),
        (a_key(check_value="a1b2c3"), OFFICERS, "check value"),
        (a_key(check_value="A1B2C3D4"), OFFICERS, "check value"),
        (a_key(), ("same", "same"), "twice"),
        (a_key(), ("",), "officers"),
        (a_key(), "officer", "officers"),
    ],
)
def test_what_can_not_be_kept_is_refused(path: Path, key: Key, officers: Any, what: str) -> None:
    with pytest.raises(KeyStoreError, match=what):
        load(path).add(BDK, key, KeyAlgorithm.AES_128, officers)


def test_two_writers_lose_nothing(store: KeyStore, path: Path) -> None:
    other = load(path)
    other.add("pin/verifier", a_key(KeyUse.PIN_VERIFIER), KeyAlgorithm.AES_128, OFFICERS)
    other.save()
    store.revoke(BDK, 1)
    with pytest.raises(KeyStoreError, match="somebody changed the file"):
        store.save()
    assert load(path).names() == (BDK, "pin/verifier")


def test_two_first_writers_lose_nothing(path: Path) -> None:
    first, second = load(path), load(path)
    first.add(BDK, a_key(), KeyAlgorithm.AES_128, OFFICERS)
    first.save()
    with pytest.raises(KeyStoreError, match="somebody changed the file"):
        second.save()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_file_that_others_may_open_is_refused(store: KeyStore, path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyStoreError, match="chmod 600"):
        load(path)


def test_a_write_that_fails_leaves_the_old_file(
    store: KeyStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store.revoke(BDK, 1)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(KeyStoreError, match="No space left"):
        store.save()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def change(document: Any, place: tuple[str | int, ...], value: Any) -> None:
    for step in place[:-1]:
        document = document[step]
    if value is None:
        del document[place[-1]]
    else:
        document[place[-1]] = value


FIRST = ("keys", BDK, 0)


@pytest.mark.parametrize(
    ("place", "value", "error"),
    [
        (("format",), 2, "format 1"),
        (("keys",), [], "nothing else"),
        (("more",), 1, "nothing else"),
        (("keys", BDK), [], "list of versions"),
        (("keys", "stray/name"), [{}], "exactly"),
        ((*FIRST, "version"), 2, "count from 1"),
        ((*FIRST, "version"), True, "count from 1"),
        ((*FIRST, "use"), "PIN", "not for PIN"),
        ((*FIRST, "use"), "P0", "KeyUse is one of"),
        ((*FIRST, "algorithm"), ["AES_128"], "KeyAlgorithm is one of"),
        ((*FIRST, "token"), "S 1", "token is malformed"),
        ((*FIRST, "token"), "S" * 3000, "token is malformed"),
        ((*FIRST, "check_value"), 123456, "check_value is malformed"),
        ((*FIRST, "state"), "lost", "state is one of"),
        ((*FIRST, "state"), [], "state is one of"),
        ((*FIRST, "created"), "yesterday", "created"),
        ((*FIRST, "created"), 5, "created"),
        ((*FIRST, "officers"), "one", "officers"),
        ((*FIRST, "officers"), [1], "officers"),
        ((*FIRST, "officers"), None, "exactly"),
        ((*FIRST, "more"), 1, "exactly"),
    ],
)
def test_a_file_that_is_not_exactly_a_store_is_refused(
    store: KeyStore, path: Path, place: tuple[str | int, ...], value: Any, error: str
) -> None:
    document = json.loads(path.read_bytes())
    change(document, place, value)
    path.write_text(json.dumps(document))
    with pytest.raises(KeyStoreError, match=error) as refused:
        load(path)
    assert TOKEN not in str(refused.value)


def test_two_active_versions_are_refused(store: KeyStore, path: Path) -> None:
    document = json.loads(path.read_bytes())
    document["keys"][BDK].append(document["keys"][BDK][0] | {"version": 2})
    path.write_text(json.dumps(document))
    with pytest.raises(KeyStoreError, match="more than one version is active"):
        load(path)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "line 1"),
        (b"{", "line 1"),
        (b"\xff", "not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b"[]", "format 1"),
        (b'{"format": 1, "keys": {}, "keys": {}}', "stands twice"),
    ],
)
def test_other_content_is_refused(path: Path, content: bytes, error: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyStoreError, match=error):
        load(path)


def test_no_token_is_shown(store: KeyStore) -> None:
    shown = repr(store) + str(store) + repr(store.versions(BDK)) + repr(store.key(BDK))
    assert TOKEN not in shown
