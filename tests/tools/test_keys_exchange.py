"""Keys made, rotated, given to a partner, taken from one, revoked; psec plays the partner's HSM."""

from __future__ import annotations

import fcntl
import json

import psec
import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from switch.keys import KeysError, SwitchKeys
from tests.tools.keys_kit import BOTH, FIRST, SECOND, ZMK, Place, custodians
from tools.keys_room import NOT_REPLACED

SEND, RECEIVE = "zone/BANK/mac-send", "zone/BANK/mac-receive"
KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
OTHER_ZMK = b"\x77" * 32


@pytest.fixture
def linked(place: Place) -> Place:
    """With a zone key that the partner (psec) knows."""
    place.form_zone_key()
    return place


def kcv(key: bytes) -> str:
    """X9.24-1 annex A for AES."""
    cmac = CMAC(AES(key))
    cmac.update(bytes(16))
    return cmac.finalize().hex()[:6].upper()


def block(
    key: bytes = KEY, usage: str = "M6", mode: str = "C", under: bytes = ZMK, version: str = "D"
) -> str:
    return psec.tr31.wrap(under, psec.tr31.Header(version, usage, "A", mode, "00", "E"), key)


def states(place: Place, name: str) -> list[str]:
    return [one.state.value for one in place.store.versions(name)]


def test_list_shows_versions_and_never_a_key(linked: Place) -> None:
    linked.done("generate", SEND)
    linked.done("rotate", SEND)
    rows = json.loads(linked.done("list", "--format", "json").out)
    mine = [row for row in rows if row["name"] == SEND]
    assert [(row["version"], row["state"]) for row in mine] == [(1, "retired"), (2, "active")]
    assert mine[0]["officers"] == [FIRST[0], SECOND[0]]
    assert mine[0].keys() == {
        "name",
        "version",
        "state",
        "use",
        "algorithm",
        "check_value",
        "created",
        "officers",
    }
    text = linked.done("list").out
    assert f"{SEND:32} v2" in text
    for version in linked.store.versions(SEND):
        assert version.token not in text
    told = linked.keys("list", "--format", "xml")
    assert (told.code, "text or json" in told.err) == (2, True)


def test_an_exported_key_is_the_partner_s(linked: Place) -> None:
    made = linked.done("generate", SEND)
    exported = linked.done("export", SEND)
    header, key = psec.tr31.unwrap(ZMK, exported.out.strip())
    assert (header.version_id, header.key_usage, header.algorithm, header.mode_of_use) == (
        "D",
        "M6",
        "A",
        "C",
    )
    assert kcv(key) in made.out
    assert kcv(key) in exported.err
    assert key.hex() not in (made.out + exported.out + exported.err).lower()
    line = linked.log()[-1]
    assert (line["what"], line["key"], line["check_value"]) == ("export", SEND, kcv(key))
    assert (line["officer_1"], line["officer_2"]) == (FIRST[0], SECOND[0])


def test_a_rotated_key_is_another_and_the_one_before_is_kept(linked: Place) -> None:
    linked.done("generate", "zone/BANK/pin-send", "--algorithm", "aes_256")
    _, first = psec.tr31.unwrap(ZMK, linked.done("export", "zone/BANK/pin-send").out.strip())
    linked.done("rotate", "zone/BANK/pin-send")
    _, second = psec.tr31.unwrap(ZMK, linked.done("export", "zone/BANK/pin-send").out.strip())
    assert len(first) == len(second) == 32
    assert first != second
    assert states(linked, "zone/BANK/pin-send") == ["retired", "active"]


def test_a_partner_s_key_is_taken(linked: Place) -> None:
    told = linked.done("import", RECEIVE, "--block", block())
    assert f"KCV {kcv(KEY)}" in told.out
    assert KEY.hex() not in (told.out + told.err).lower()
    # The block may also come as an answer, before the officers.
    told = linked.done("import", RECEIVE, answers=(block(KEY[::-1]), *BOTH))
    assert f"{RECEIVE} v2: active, AES_128, KCV {kcv(KEY[::-1])}" in told.out
    assert [one["what"] for one in linked.log()[-2:]] == ["import", "import"]


def test_a_block_with_any_character_changed_is_refused(linked: Place) -> None:
    good = block()
    before = (linked.data / "keys.json").read_bytes()
    for place, character in enumerate(good):
        changed = good[:place] + ("1" if character != "1" else "2") + good[place + 1 :]
        told = linked.keys("import", RECEIVE, "--block", changed, answers=BOTH)
        assert told.code in (1, 2), place
        assert "try: " in told.err
    for wrong in (
        "",
        "D",
        good[:-1],
        good + "0",
        good.lower(),
        "nonsense",
        "ب" * 40,
        good.replace("D", "Z", 1),
    ):
        assert linked.keys("import", RECEIVE, "--block", wrong, answers=BOTH).code in (1, 2), wrong
    assert (linked.data / "keys.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "brought", "options", "says"),
    [
        (RECEIVE, block(usage="P0", mode="B"), (), "key use"),
        (RECEIVE, block(usage="D0", mode="B"), (), "key use"),
        ("zone/BANK/pin-receive", block(), (), "key use"),
        (RECEIVE, block(under=OTHER_ZMK), (), "key damaged"),
        (RECEIVE, block(), ("--algorithm", "tdes_2"), "--algorithm 'tdes_2'"),
        (RECEIVE, block(), ("--use", "mac_tdes"), "the block holds no TDES_2 key"),
        (RECEIVE, block(), ("--use", "pin"), "--use 'pin'"),
        (RECEIVE, block(), ("--under", "zone/OTHER/zmk"), "travels under zone/BANK/zmk"),
        (RECEIVE, block(), ("--under", "pin/verifier"), "travels under zone/BANK/zmk"),
        ("zone/OTHER/mac-receive", block(), (), "no key 'zone/OTHER/zmk'"),
        ("pin/value", block(), (), "under which zone key?"),
        ("pin/value", block(), ("--under", "pin/verifier"), "is no zone key"),
        ("zone/BANK/key", block(), (), "no key is called"),
        ("../keys", block(), (), "no key is called"),
        ("bdk/0000", block(), (), "no key is called"),
    ],
)
def test_a_block_for_something_else_is_refused(
    linked: Place, name: str, brought: str, options: tuple[str, ...], says: str
) -> None:
    before = (linked.data / "keys.json").read_bytes()
    told = linked.keys("import", name, "--block", brought, *options, answers=BOTH)
    assert told.code in (1, 2, 4)
    assert says in told.err
    assert (linked.data / "keys.json").read_bytes() == before


def test_the_hsm_s_own_token_is_taken(linked: Place) -> None:
    """How a key that was formed at an HSM's console comes into the store."""
    linked.done("generate", "zone/OTHER/mac-send")
    made = linked.store.versions("zone/OTHER/mac-send")[0]
    token = made.token
    told = linked.done("import", RECEIVE, "--token", "--block", token)
    assert made.check_value in told.out
    for wrong, name in ((token, "zone/BANK/pin-send"), (token[:-1] + "!", RECEIVE), (block(), RECEIVE)):
        assert linked.keys("import", name, "--token", "--block", wrong, answers=BOTH).code == 1
    assert linked.keys("import", RECEIVE, "--token", "--under", "zone/BANK/zmk", answers=BOTH).code == 2


@pytest.mark.parametrize("name", ["pin/verifier", "ledger/checkpoint", "transport/10000001", "keys/log"])
def test_our_own_keys_never_leave(linked: Place, name: str) -> None:
    told = linked.keys("export", name, "--under", "zone/BANK/zmk", answers=BOTH)
    assert (told.code, told.raw) == (2, b"")
    assert "never leaves the HSM" in told.err


def test_a_partner_s_key_goes_to_no_other_partner(linked: Place) -> None:
    linked.form_zone_key("OTHER", OTHER_ZMK)
    linked.done("generate", SEND)
    for under in ("zone/OTHER/zmk", "transport/10000001"):
        told = linked.keys("export", SEND, "--under", under, answers=BOTH)
        assert (told.code, told.raw) == (2, b"")
    # The zone key itself goes to nobody.
    told = linked.keys("export", "zone/BANK/zmk", answers=BOTH)
    assert (told.code, told.raw) == (1, b"")
    assert linked.log()[-1]["what"] == "generate"


def test_a_key_that_others_hang_on_is_not_replaced(linked: Place) -> None:
    """Nor generated again, nor imported or formed over the one in use; the reason says what to do."""
    linked.done("generate", "pin/value")
    bdk = f"bdk/{linked.settings.terminals[0].initial_key_id[:4].hex().upper()}"
    in_use = [bdk, *(name for name in linked.store.names() if name.startswith(tuple(NOT_REPLACED)))]
    assert {name.split("/")[0] for name in in_use} >= {name.split("/")[0] for name in NOT_REPLACED}
    before = (linked.data / "keys.json").read_bytes()
    for name in in_use:
        reason = next(why for prefix, why in NOT_REPLACED.items() if name.startswith(prefix))
        for command in (
            ("rotate", name),
            ("import", name, "--under", "zone/BANK/zmk", "--block", block()),
            ("ceremony", name, "--enter", "--custodian", "A", "--custodian", "B"),
        ):
            told = linked.keys(*command, answers=BOTH)
            assert told.code == 2, command
            assert f"try: {reason}" in told.err
        assert linked.keys("generate", name, answers=BOTH).code == 2
    assert (linked.data / "keys.json").read_bytes() == before


def test_a_key_that_somebody_else_needs_is_formed_never_made(linked: Place) -> None:
    for command in (
        ("rotate", "zone/BANK/zmk"),
        ("generate", "zone/NEW/zmk"),
        ("generate", "transport/2000000A"),
    ):
        told = linked.keys(*command, answers=BOTH)
        assert told.code == 2
        assert "vafa keys ceremony" in told.err
    assert linked.keys("rotate", "zone/NEW/pin-send", answers=BOTH).code == 2


def test_revoked_for_good(linked: Place) -> None:
    linked.done("generate", SEND)
    linked.done("rotate", SEND)
    for version in ("0", "3", "x"):
        assert linked.keys("revoke", SEND, "--version", version, answers=BOTH).code == 2
    linked.done("revoke", SEND, "--version", "2")
    assert states(linked, SEND) == ["retired", "revoked"]
    told = linked.keys("revoke", SEND, "--version", "2", answers=BOTH)
    assert (told.code, "is revoked" in told.err) == (2, True)
    assert linked.keys("export", SEND, answers=BOTH).code == 4
    assert linked.keys("rotate", SEND, answers=BOTH).code == 2
    linked.done("generate", SEND)
    assert states(linked, SEND) == ["retired", "revoked", "active"]
    for name in ("keys/log", "ledger/checkpoint"):
        assert linked.keys("revoke", name, "--version", "1", answers=BOTH).code == 2


def test_a_bdk_that_somebody_knows_is_made_anew(linked: Place) -> None:
    bdk = f"bdk/{linked.settings.terminals[0].initial_key_id[:4].hex().upper()}"
    before = linked.files()
    told = linked.keys("revoke", bdk, "--version", "1", answers=BOTH)
    assert told.code == 2
    for terminal in linked.settings.terminals:
        assert terminal.id in told.err
    assert "the switch does not start" in told.err
    assert "--force" in told.err
    assert linked.files() == before
    told = linked.done("revoke", bdk, "--version", "1", "--force")
    assert "the switch does not start" in told.err
    with pytest.raises(KeysError, match=f"vafa keys generate {bdk}"):
        SwitchKeys.of(linked.store, linked.settings.terminals)
    linked.done("generate", bdk)
    assert states(linked, bdk) == ["revoked", "active"]
    assert SwitchKeys.of(linked.store, linked.settings.terminals).base_keys


def test_a_bdk_that_no_terminal_has_is_revoked_without_a_word(linked: Place) -> None:
    linked.done("generate", "bdk/FFFFFFFF")
    assert not linked.done("revoke", "bdk/FFFFFFFF", "--version", "1").err.count("terminals registered")


def test_a_revoked_key_is_not_taken_again(linked: Place) -> None:
    linked.done("generate", SEND)
    exported = linked.done("export", SEND).out.strip()
    linked.done("revoke", SEND, "--version", "1")
    before = (linked.data / "keys.json").read_bytes()
    told = linked.keys("import", SEND, "--block", exported, answers=BOTH)
    assert (told.code, "revoked" in told.err, "one in 16 million" in told.err) == (1, True, True)
    assert (linked.data / "keys.json").read_bytes() == before
    assert linked.log()[-1]["what"] == "revoke"


def test_a_key_that_was_replaced_or_is_in_use_is_not_taken_again(linked: Place) -> None:
    linked.done("import", RECEIVE, "--block", block())
    for says in ("version 1, which is in use already", "version 1, which was replaced"):
        before = (linked.data / "keys.json").read_bytes()
        told = linked.keys("import", RECEIVE, "--block", block(), answers=BOTH)
        assert (told.code, says in told.err) == (1, True), told.err
        assert (linked.data / "keys.json").read_bytes() == before
        linked.done("import", RECEIVE, "--block", block(KEY[::-1] if "in use" in says else KEY[1:] + b"\1"))


def test_a_revoked_key_comes_back_under_no_name(linked: Place) -> None:
    """Another partner's would let its first owner speak as that one."""
    linked.done("import", RECEIVE, "--block", block())
    linked.done("revoke", RECEIVE, "--version", "1")
    other = "zone/OTHER/mac-receive"
    answers = tuple(part.hex() for part in (OTHER_ZMK, b"\x11" * 32, b"\x22" * 32))
    entered = tuple(answer for component in answers for answer in ("", component, "yes"))
    linked.done("ceremony", "zone/OTHER/zmk", "--enter", *custodians("A", "B"), answers=(*BOTH, *entered))
    zmk = bytes(a ^ b ^ c for a, b, c in zip(OTHER_ZMK, b"\x11" * 32, b"\x22" * 32, strict=True))
    told = linked.keys("import", other, "--block", block(under=zmk), answers=BOTH)
    assert (told.code, f"version 1 of '{RECEIVE}', which is revoked" in told.err) == (1, True), told.err
    assert not linked.store.versions(other)


def test_a_key_is_of_one_direction_only(linked: Place) -> None:
    linked.done("generate", SEND)
    exported = linked.done("export", SEND).out.strip()
    told = linked.keys("import", RECEIVE, "--block", exported, answers=BOTH)
    assert (told.code, f"a key of '{SEND}'" in told.err, "one in 16 million" in told.err) == (1, True, True)
    assert not linked.store.versions(RECEIVE)


def test_the_help_names_every_name(linked: Place) -> None:
    shown = "".join(linked.done("import", "--help", answers=()).out.split())  # lines end inside names
    for name in ("mac-send", "mac-receive", "pin-send", "pin-receive", "zmk"):
        assert f"zone/<partner>/{name}" in shown


@pytest.mark.parametrize("serving", [True, False])
def test_a_running_switch_is_told_of(linked: Place, serving: bool) -> None:
    with linked.settings.lock_path.open("a") as lock:
        if serving:
            fcntl.flock(lock, fcntl.LOCK_EX)
        told = linked.done("generate", SEND)
    assert ("works with this from its next start" in told.err) == serving
