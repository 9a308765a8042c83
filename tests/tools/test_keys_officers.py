"""Two officers for every change, and a log that knows what they did: `vafa keys` as a user runs it."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from switch.hsm import KeyState, KeyStore, KeyStoreError
from switch.hsm.port import Key, KeyAlgorithm, KeyUse
from switch.hsm_sim.audit import AuditError, AuditLog
from tests.tools.keys_kit import BOTH, FIRST, FOUNDING, SECOND, Place, custodians
from tools.keys_officers import Officers

GENERATE = ("generate", "zone/BANK/mac-send")
THIRD = ("B. Moradi", "seven green bottles hanging")
# Every command that changes a key or gives one away, with what it needs to come as far as the officers.
CHANGES = {
    "generate": ("generate", "pin/value"),
    "rotate": ("rotate", "zone/BANK/mac-send"),
    "card-value": ("card-value", "--card", "9364001234567890", "--expiry", "2912", "--service", "101"),
    "export": ("export", "zone/BANK/mac-send"),
    "import": ("import", "zone/BANK/mac-receive", "--block", "D0112M6AC00E0000"),
    "revoke": ("revoke", "zone/BANK/mac-send", "--version", "1"),
    "ceremony": ("ceremony", "zone/BANK/zmk", "--enter", *custodians("Z", "Y")),
    "officer add": ("officer", "add"),
    "officer remove": ("officer", "remove", THIRD[0]),
}
# What people may answer who are not two officers, the exit code and what they are told.
NOT_TWO = {
    "the same one twice": ((*FIRST, *FIRST, *FIRST, *FIRST), 1, "one officer can't be both"),
    "the same one by case": ((*FIRST, "a. RAHIMI", FIRST[1], "A.  rahimi ", FIRST[1], *FIRST), 1, "both"),
    "a wrong passphrase": ((FIRST[0], "wrong") * 3, 1, "no first officer: tried three times"),
    "the other's passphrase": ((*FIRST, *(SECOND[0], FIRST[1]) * 3), 1, "no second officer"),
    "nobody known": (("Nobody", FIRST[1]) * 3, 1, "name or passphrase is wrong"),
    "an end after the first": (FIRST, 2, "the answers ended too early"),
    "an end after a name": ((*FIRST, SECOND[0]), 2, "the answers ended too early"),
    "nothing": ((), 2, "the answers ended too early"),
    "empty lines": (("",) * 12, 1, "no first officer"),
}


@pytest.fixture
def prepared(place: Place) -> Place:
    place.form_zone_key()
    place.done(*GENERATE)
    place.done("officer", "add", answers=(*BOTH, *THIRD, THIRD[1]))
    return place


def without_log(place: Place) -> dict[str, bytes]:
    return {path: content for path, content in place.files().items() if "keys.log" not in path}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_changes_without_two_officers(prepared: Place, change: str) -> None:
    before, lines = without_log(prepared), len(prepared.log())
    tried = 0
    for who, (answers, code, says) in NOT_TWO.items():
        told = prepared.keys(*CHANGES[change], answers=answers)
        assert (told.code, told.raw) == (code, b""), who
        assert says in told.err, who
        tried += code == 1
    assert without_log(prepared) == before
    # Whoever tried to be an officer is in the log, whoever went away is not.
    assert [one["what"] for one in prepared.log()[lines:]] == ["not-agreed"] * tried


@pytest.mark.parametrize("change", ["generate", "ceremony"])
def test_nothing_changes_before_officers_are_named(fresh: Place, change: str) -> None:
    fresh.done("log")
    before = fresh.files()
    told = fresh.keys(*CHANGES[change], answers=BOTH)
    assert told.code == 4
    assert "try: name the first two: vafa keys officer add" in told.err
    assert fresh.files() == before


def test_the_first_two_are_named_together(fresh: Place) -> None:
    assert fresh.done("officer", "list").out == ""
    told = fresh.done("officer", "add", answers=FOUNDING)
    assert told.out == f"{FIRST[0]} is an officer\n{SECOND[0]} is an officer\n"
    assert fresh.done("officer", "list").out.splitlines() == [FIRST[0], SECOND[0]]
    kept = b"".join(fresh.files().values())
    for passphrase in (FIRST[1], SECOND[1]):
        assert passphrase.encode() not in kept
        assert json.dumps(passphrase).strip('"').encode() not in kept
    assert (fresh.data / "officers.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ((*FOUNDING[:3], "a.  RAHIMI", SECOND[1], SECOND[1]), "is an officer already"),
        ((SECOND[0], FIRST[1], FIRST[1], "سارا كريمي", SECOND[1], SECOND[1]), "is an officer already"),
        ((*FOUNDING[:3], SECOND[0], FIRST[1], FIRST[1]), "an officer has this passphrase already"),
        ((*FOUNDING[:3], SECOND[0], "short", "short"), "at least 12 characters"),
        ((*FOUNDING[:3], SECOND[0], SECOND[1], SECOND[1] + "x"), "the two passphrases differ"),
        ((*FOUNDING[:3], "a/b", SECOND[1], SECOND[1]), "a name is"),
        ((*FOUNDING[:3], "", SECOND[1], SECOND[1]), "a name has"),
        ((*FOUNDING[:3], "x" * 33, SECOND[1], SECOND[1]), "a name has"),
        (FOUNDING[:3], "the answers ended too early"),
        (FOUNDING[:5], "the answers ended too early"),
    ],
)
def test_one_person_is_not_two(fresh: Place, answers: tuple[str, ...], says: str) -> None:
    told = fresh.keys("officer", "add", answers=answers)
    assert told.code == 2
    assert says in told.err
    assert fresh.done("officer", "list").out == ""
    assert fresh.log() == []


def test_officers_come_and_go_by_two(place: Place) -> None:
    told = place.keys("officer", "remove", FIRST[0], answers=BOTH)
    assert told.code == 2
    assert "fewer than two" in told.err
    place.done("officer", "add", answers=(*BOTH, *THIRD, THIRD[1]))
    assert THIRD[0] in place.done("officer", "list").out
    told = place.keys("officer", "add", answers=(*BOTH, "New One", THIRD[1], THIRD[1]))
    assert (told.code, "this passphrase already" in told.err) == (2, True)
    place.done("officer", "remove", "b. moradi")
    assert place.keys(*GENERATE, answers=(*FIRST, *THIRD * 3)).code == 1
    place.done(*GENERATE)
    added, removed = (one for one in place.log() if "name" in one and "officer_1" in one)
    assert (added["what"], added["name"]) == ("officer-added", THIRD[0])
    assert (removed["what"], removed["name"]) == ("officer-removed", THIRD[0])
    for line in (added, removed):
        assert (line["officer_1"], line["officer_2"]) == (FIRST[0], SECOND[0])


@pytest.mark.parametrize(
    "name",
    ["a.  rahimi", "A. Rahimi ", "A Rahimi", "A.Rahirni", "А. Rahimi", "A. Rahi\u200bmi", "Ａ. Rahimi"],
)
def test_one_officer_is_not_let_in_twice_under_another_spelling(place: Place, name: str) -> None:
    told = place.keys("officer", "add", answers=(*BOTH, name, THIRD[1], THIRD[1]))
    assert told.code == 2
    assert re.search("officer already, or looks like A. Rahimi|one alphabet|nothing else", told.err)
    assert len(place.done("officer", "list").out.splitlines()) == 2


@pytest.mark.parametrize("name", ["А. Rahimi", "A. Rahirni", "A\u200c Rahimi", "A. RAHIMI"])
def test_one_officer_is_not_two_by_another_spelling(place: Place, name: str) -> None:
    told = place.keys(*GENERATE, answers=(*FIRST, *(name, FIRST[1]) * 3))
    assert (told.code, "one officer can't be both" in told.err) == (1, True)


# ---------------------------------------------------------------- hands in the files


def _edit_officers(place: Place) -> None:
    """One officer gives the other one his own passphrase."""
    path = place.data / "officers.json"
    records = json.loads(path.read_text("utf-8"))
    records[SECOND[0]] = records[FIRST[0]]
    path.write_text(json.dumps(records), "utf-8")


def _remove(*names: str) -> Callable[[Place], None]:
    def remove(place: Place) -> None:
        for name in names:
            (place.data / name).unlink()

    return remove


def _edit_log(change: Callable[[list[str]], list[str]]) -> Callable[[Place], None]:
    def edit(place: Place) -> None:
        path = place.data / "keys.log"
        path.write_text("".join(change(path.read_text("ascii").splitlines(keepends=True))), "ascii")

    return edit


def _add_key(place: Place) -> None:
    """A key in the store that nobody agreed to."""
    store = place.store
    token = store.key("pin/verifier").reference
    store.add("pin/value", Key(token, KeyUse.PIN_VALUE, "ABCDEF"), KeyAlgorithm.TDES_2, (FIRST[0], SECOND[0]))
    store.save()


def _change_check_value(place: Place) -> None:
    path = place.data / "keys.json"
    value = place.store.key(GENERATE[1]).check_value
    path.write_text(path.read_text("utf-8").replace(value, "000000"), "utf-8")


def _forget_log_key(place: Place) -> None:
    path = place.data / "keys.json"
    document = json.loads(path.read_text("utf-8"))
    del document["keys"]["keys/log"]
    path.write_text(json.dumps(document), "utf-8")


def _forget_everything(place: Place) -> None:
    """Officers, log and its key: as if nothing had ever been agreed to."""
    _remove("officers.json", "keys.log", "keys.log.head")(place)
    _forget_log_key(place)


TAMPERED = {
    "an officer's passphrase becomes another's": _edit_officers,
    "the officers are gone": _remove("officers.json"),
    "a word of the log is another": _edit_log(
        lambda lines: [lines[0].replace("Rahimi", "Rahim1"), *lines[1:]]
    ),
    "the log's last line is cut": _edit_log(lambda lines: lines[:-1]),
    "the log's last line is half": _edit_log(lambda lines: [*lines[:-1], lines[-1][:40]]),
    "the log's first line is cut": _edit_log(lambda lines: lines[1:]),
    "two lines of the log change places": _edit_log(lambda lines: lines[::-1]),
    "the log is empty": _edit_log(lambda lines: []),
    "the log is gone": _remove("keys.log"),
    "the log's head is gone": _remove("keys.log.head"),
    "log and head are gone": _remove("keys.log", "keys.log.head"),
    "log and officers are gone": _remove("keys.log", "keys.log.head", "officers.json"),
    "the log's key is gone": _forget_log_key,
    "all of it is gone": _forget_everything,
    "a key was put into the store": _add_key,
    "a key's check value is another": _change_check_value,
}


@pytest.mark.parametrize("hand", TAMPERED)
def test_a_hand_in_the_files_is_found(place: Place, hand: str) -> None:
    place.done(*GENERATE)
    TAMPERED[hand](place)
    before = (place.data / "keys.json").read_bytes()
    for command in (("log",), ("officer", "list"), ("officer", "add"), ("generate", "pin/value")):
        told = place.keys(*command, answers=(*FOUNDING, *BOTH))
        assert (told.code, told.raw) == (1, b""), command
        assert "try: " in told.err
    assert json.loads((place.data / "keys.json").read_bytes()).get("keys").keys() - {"keys/log"} == (
        json.loads(before)["keys"].keys() - {"keys/log"}
    )


def test_officers_put_there_before_any_log_are_none(fresh: Place) -> None:
    (fresh.data / "officers.json").write_text("{}", "utf-8")
    told = fresh.keys("officer", "add", answers=FOUNDING)
    assert told.code == 1
    assert "put the true copy back" in told.err


def test_what_was_revoked_stays_revoked(place: Place) -> None:
    place.done(*GENERATE)
    place.done("revoke", GENERATE[1], "--version", "1")
    path = place.data / "keys.json"
    path.write_text(path.read_text("utf-8").replace('"revoked"', '"active"'), "utf-8")
    place.done("officer", "list")
    assert [one.state for one in place.store.versions(GENERATE[1])] == [KeyState.REVOKED]


# ---------------------------------------------------------------- stops and full disks


def test_a_stop_before_new_officers_stand_in_their_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Officers) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Officers, "adopt", stop)
        assert place.keys("officer", "add", answers=(*BOTH, *THIRD, THIRD[1])).code == 130
    assert THIRD[0] in place.done("officer", "list").out
    place.done(*GENERATE, answers=(*THIRD, *SECOND))


def test_a_stop_before_new_officers_are_logged(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: AuditLog, *_: object) -> None:
        raise AuditError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "record", full)
        assert place.keys("officer", "add", answers=(*BOTH, *THIRD, THIRD[1])).code == 4
    assert THIRD[0] not in place.done("officer", "list").out


def test_what_can_t_be_logged_is_not_done(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: AuditLog, *_: object) -> None:
        raise AuditError("no room")

    place.form_zone_key()
    place.done(*GENERATE)
    before = (place.data / "keys.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "record", full)
        for change in ("generate", "rotate", "export", "revoke"):
            told = place.keys(*CHANGES[change], answers=BOTH)
            assert (told.code, told.raw) == (4, b"")
            assert "nothing was changed" in told.err
    assert (place.data / "keys.json").read_bytes() == before


def test_what_can_t_be_stored_is_logged_as_undone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: KeyStore) -> None:
        raise KeyStoreError("no room")

    place.done(*GENERATE)
    before = (place.data / "keys.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(KeyStore, "save", full)
        assert place.keys("rotate", GENERATE[1], answers=BOTH).code == 4
        assert place.keys("revoke", GENERATE[1], "--version", "1", answers=BOTH).code == 4
    assert (place.data / "keys.json").read_bytes() == before
    assert [one["what"] for one in place.log()[-4:]] == ["rotate", "rotate-undone", "revoke", "revoke-undone"]
    assert place.store.key(GENERATE[1])
    place.done("rotate", GENERATE[1])
    assert [one.state.value for one in place.store.versions(GENERATE[1])] == ["retired", "active"]


def test_a_stop_between_log_and_store(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: KeyStore) -> None:
        raise KeyboardInterrupt

    place.done(*GENERATE)
    with monkeypatch.context() as patch:
        patch.setattr(KeyStore, "save", stop)
        assert place.keys("rotate", GENERATE[1], answers=BOTH).code == 130
        assert place.keys("revoke", GENERATE[1], "--version", "1", answers=BOTH).code == 130
    place.done("officer", "list")
    assert [one.state.value for one in place.store.versions(GENERATE[1])] == ["revoked"]
    place.done(*GENERATE)
    assert [one.state.value for one in place.store.versions(GENERATE[1])] == ["revoked", "active"]


def test_one_command_at_a_time(place: Place) -> None:
    with (place.data / "keys.log").open("r") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        told = place.keys(*GENERATE, answers=BOTH)
    assert told.code == 4
    assert "another `vafa keys` works in" in told.err


def test_production_needs_a_real_box(place: Place) -> None:
    settings = place.data / "switch.toml"
    settings.write_text(settings.read_text("utf-8").replace('"test"', '"production"'), "utf-8")
    told = place.keys(*GENERATE, answers=BOTH)
    assert told.code == 4
    assert "production needs a real box" in told.err


def test_no_directory_no_keys(place: Place, tmp_path: Path) -> None:
    place.data = tmp_path / "none"
    told = place.keys("list")
    assert told.code == 4
    assert "vafa switch run" in told.err
    assert not place.data.exists()
