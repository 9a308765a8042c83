"""`vafa merchant` and `vafa terminal` on a data directory: what they print, refuse and leave untouched."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from simulators.process import VAFA
from simulators.terminal_keys import TerminalKeys
from switch.defaults import create_defaults, read_terminal_settings
from switch.keys import base_key_name
from switch.registry import history, registered_terminals
from switch.settings import load
from tests.tools.keys_kit import BOTH, FOUNDING, Place, quick_and_open
from tests.tools.kit import COMMAND_LINE, Told
from tools import cli

SHOP, BOOKS = "100000000000001", "100000000000002"
CARD = "9364001234567898"


class Office:
    """A fresh data directory and whoever works in it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        create_defaults(data)
        self.settings = load(data / "switch.toml")

    def vafa(self, capsys: pytest.CaptureFixture[str], *words: str | Path) -> Told:
        capsys.readouterr()
        code = cli.run([*map(str, words), "--data", str(self.data)], make=COMMAND_LINE)
        out, err = capsys.readouterr()
        return Told(code, out.encode(), err)

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.data.rglob("*")) if path.is_file()}


class Desk:
    """The same, one call a command."""

    def __init__(self, office: Office, capsys: pytest.CaptureFixture[str]) -> None:
        self.office = office
        self.settings = office.settings
        self._capsys = capsys

    def ask(self, *words: str | Path) -> Told:
        return self.office.vafa(self._capsys, *words)

    def done(self, *words: str | Path) -> Told:
        told = self.ask(*words)
        assert told.code == 0, told.err
        return told

    def refused(self, code: int, *words: str | Path) -> str:
        """What it says; nothing has changed."""
        before = self.office.files()
        told = self.ask(*words)
        assert (told.code, told.raw) == (code, b"")
        assert self.office.files() == before
        return told.err


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(Office(tmp_path / "data"), capsys)


@pytest.fixture
def books(desk: Desk) -> Desk:
    """With a merchant and its terminal 10000011."""
    desk.done("merchant", "add", BOOKS, "--name-en", "City Books", "--name-fa", "کتاب شهر")
    desk.done("terminal", "add", "10000011", "--merchant", BOOKS)
    return desk


def test_a_terminal_is_registered_with_all_that_its_firmware_needs(books: Desk) -> None:
    [added] = [one for one in registered_terminals(books.settings) if one.id == "10000011"]
    told = read_terminal_settings(books.settings, added)
    assert (told["terminal_id"], told["acceptor_id"]) == ("10000011", BOOKS)
    assert told["acceptor_name"] == {"en": "City Books", "fa": "کتاب شهر"}
    assert bytes.fromhex(told["key_serial"])[:8] == added.initial_key_id
    assert TerminalKeys.of(told)
    bdk = base_key_name(books.settings.terminals[0].initial_key_id)
    assert base_key_name(added.initial_key_id) == bdk
    assert "transport/10000011" in books.done("keys", "list").out


def test_lists_and_pages(books: Desk) -> None:
    books.done("terminal", "block", "10000011", "--reason", "stolen", "--by", "A. Rahimi")
    books.done("merchant", "block", SHOP)
    listed = books.done("terminal", "list", "--format", "json").document
    assert len(listed) == 11
    assert listed[0]["state"] == "merchant blocked"
    assert (listed[10]["terminal"], listed[10]["state"], listed[10]["reason"]) == (
        "10000011",
        "blocked",
        "stolen",
    )
    only = books.done("terminal", "list", "--merchant", BOOKS, "--blocked")
    assert only.out == f"10000011  {BOOKS}  blocked           (stolen)\n"
    shown = books.done("terminal", "show", "10000011", "--format", "json").document
    user = pwd.getpwuid(os.getuid()).pw_name
    assert [(one["what"], one["by"], one["user"], one["reason"]) for one in shown["history"]] == [
        ("terminal add", user, user, ""),
        ("terminal block", "A. Rahimi", user, "stolen"),
    ]
    persian = books.done("merchant", "show", BOOKS, "--locale", "fa").out
    assert "کتاب شهر / City Books" in persian
    assert "وضعیت" in persian
    merchants = books.done("merchant", "list", "--format", "json").document
    assert [(one["merchant"], one["state"], len(one["terminals"])) for one in merchants] == [
        (SHOP, "blocked", 10),
        (BOOKS, "in service", 1),
    ]
    assert [
        one["merchant"] for one in books.done("merchant", "list", "--blocked", "--format", "json").document
    ] == [SHOP]


def test_doing_it_again_is_no_mistake_and_no_change(books: Desk) -> None:
    again = (
        ("merchant", "add", BOOKS, "--name-en", "City Books", "--name-fa", "کتاب شهر"),
        ("terminal", "add", "10000011", "--merchant", BOOKS),
        ("terminal", "unblock", "10000011"),
        ("merchant", "unblock", BOOKS),
        ("terminal", "assign", "10000011", "--merchant", BOOKS),
    )
    before = books.office.files()
    for words in again:
        assert books.done(*words).out.endswith(": nothing to change\n")
        told = books.done(*words, "--format", "json").document
        assert (told["change"], told["changed"], len(told["unchanged"])) == (None, [], 1)
    assert books.office.files() == before


def test_several_at_once_all_or_none(books: Desk) -> None:
    said = books.refused(2, "terminal", "block", "10000001", "99999999", "10000002")
    assert "no terminal 99999999 is registered" in said
    assert "try: add it: vafa terminal add" in said
    told = books.done("terminal", "block", "10000001", "۱۰۰۰۰۰۰۲", "--format", "json").document
    assert told == {
        "what": "terminal block",
        "change": "3",
        "changed": ["10000001", "10000002"],
        "unchanged": [],
        "notes": [],
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("merchant", "add"), 2, "no merchant is named"),
        (("merchant", "add", BOOKS), 2, "has no name"),
        (("merchant", "add", "12", "--name-en", "x"), 2, "expected 15 letters or digits"),
        (("merchant", "add", BOOKS, "--name-en", "x", "--category", "12"), 2, "expected four digits"),
        (("merchant", "add", BOOKS, "--name-en", f"card {CARD}"), 2, "looks like a card number"),
        (("merchant", "block", BOOKS), 2, f"no merchant {BOOKS}"),
        (("terminal", "block", "10000001", "--reason", f"lost card {CARD}"), 2, "looks like a card number"),
        (("terminal", "block", "10000001", "--reason", "x" * 201), 2, "200 at most"),
        (("terminal", "block", "10000001", "--by", "?"), 2, "--by: a name is letters"),
        (("terminal", "add", "10000011"), 2, "merchant: expected 15"),
        (("terminal", "add", "10000001", "--merchant", BOOKS), 2, "move it: vafa terminal assign 10000001"),
        (("terminal", "add", "10000011", "--merchant", SHOP, "--initial-key-id", "0A"), 2, "16 hexadecimal"),
        (
            ("terminal", "add", "10000011", "--merchant", SHOP, "--initial-key-id", "0A0B0C0D00000001"),
            2,
            "bdk/0A0B",
        ),
        (
            ("terminal", "add", "10000011", "--merchant", SHOP, "--bdk", "0A0B0C0D"),
            2,
            "bdk/0A0B0C0D is not in",
        ),
        (("terminal", "show", "99999999"), 2, "no terminal 99999999"),
        (("merchant", "show", BOOKS), 2, "no merchant"),
        (("terminal", "list", "--merchant", BOOKS), 2, "no merchant"),
        (("terminal", "add", "--file", "absent.csv"), 2, "absent.csv: can't be read"),
        (("terminal", "add", "10000011", "--file", "absent.csv"), 2, "exclude each other"),
    ],
)
def test_what_is_refused_changes_nothing(desk: Desk, words: tuple[str, ...], code: int, said: str) -> None:
    told = desk.refused(code, *words)
    assert said in told
    assert "try: " in told
    assert CARD not in told


# ---------------------------------------------------------------- many at once


def table(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("comma", [",", ";"])
def test_a_whole_list_is_registered_in_one_change(books: Desk, tmp_path: Path, mark: str, comma: str) -> None:
    rows = ["terminal,merchant,note", f"10000021,{BOOKS},till 1", "", f"۱۰۰۰۰۰۲۲,{SHOP},"]
    path = table(tmp_path / "list.csv", mark + "\r\n".join(rows).replace(",", comma))
    told = books.done("terminal", "add", "--file", path)
    assert told.out == "terminal 10000021: registered\nterminal 10000022: registered\n"
    assert len(history(books.settings).changes) == 3
    assert books.done("terminal", "add", "--file", path).out.count("nothing to change") == 2


def test_merchants_come_in_a_list_too(desk: Desk, tmp_path: Path) -> None:
    path = table(tmp_path / "m.csv", f"merchant,name_fa,category\n{BOOKS},کتاب شهر,۵۹۴۲\n{SHOP},فروشگاه,\n")
    desk.done("merchant", "add", "--file", path)
    listed = desk.done("merchant", "list", "--format", "json").document
    assert [(one["name_fa"], one["category"]) for one in listed] == [("فروشگاه", ""), ("کتاب شهر", "5942")]


def test_every_mistake_of_a_list_is_told_by_its_line_and_nothing_is_done(books: Desk, tmp_path: Path) -> None:
    rows = [
        "terminal,merchant,initial_key_id",
        f"10000021,{BOOKS},",
        f"1000002,{BOOKS},",
        "10000022,999999999999999,",
        f"10000021,{BOOKS},",
        f"10000023,{BOOKS},xyz",
        f"10000011,{SHOP},",
    ]
    said = books.refused(2, "terminal", "add", "--file", table(tmp_path / "list.csv", "\n".join(rows)))
    assert "list.csv: 5 mistakes, nothing was changed:" in said
    for line, what in (
        (3, "terminal: expected 8 letters or digits (DE 41), got '1000002'"),
        (4, "no merchant"),
        (5, "terminal 10000021 stands twice"),
        (6, "initial_key_id: expected 16 hexadecimal digits"),
        (7, "terminal 10000011 is registered, of merchant"),
    ):
        assert f"  line {line}: {what}" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: no column 'terminal'"),
        ("terminal\n10000021\n", ":1: no column 'merchant'"),
        ("terminal,merchant,colour\n", ":1: unknown column 'colour'"),
        ("terminal,merchant,terminal\n", ":1: a column stands twice"),
        ("terminal,merchant\n", ": no rows"),
        (
            f"terminal,merchant\n10000021\n10000022,{SHOP},x\n",
            "line 3: 3 values, the first line has 2 columns",
        ),
        ('terminal,merchant\n"10000021,x\n', ":2: "),
    ],
)
def test_a_file_that_is_no_list(desk: Desk, tmp_path: Path, text: str, said: str) -> None:
    assert said in desk.refused(2, "terminal", "add", "--file", table(tmp_path / "list.csv", text))


# ---------------------------------------------------------------- verify


def test_verify_says_that_all_is_as_written(books: Desk) -> None:
    for kind in ("terminal", "merchant"):
        assert (
            "2 changes, registry and log are as they were written" in books.done(kind, "list", "--verify").out
        )
    told = books.done("terminal", "list", "--verify", "--format", "json")
    assert len(told.document) == 11


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda log: log.replace(b"City", b"Pity"), "line 1 was changed"),
        (lambda log: log.split(b"\n", 1)[1], "line 1 was changed, or lines before it are missing"),
        (lambda log: log[: log.index(b"\n") + 1], "its last line is missing"),
        (lambda log: log[:-40], "its last line is missing"),
        (lambda log: b"", "lines are cut off at the end: 0 of 2"),
        (lambda log: log + b"{}\n", "line 3 is no change"),
    ],
)
def test_verify_finds_what_was_edited_or_cut(books: Desk, tamper: object, said: str) -> None:
    path = books.settings.registry_log_path
    path.write_bytes(tamper(path.read_bytes()))  # type: ignore[operator]
    told = books.ask("terminal", "list", "--verify")
    assert told.code == 1
    assert f"registry.log: {said}" in told.err
    assert "try: " in told.err


def test_a_registry_edited_by_hand_is_found_by_every_command(books: Desk) -> None:
    path = books.settings.registry_path
    path.write_bytes(path.read_bytes().replace(b"City", b"Pity"))
    for words in (
        ("terminal", "list"),
        ("terminal", "show", "10000011"),
        ("merchant", "list", "--verify"),
        ("terminal", "block", "10000011"),
    ):
        assert "registry.jsonl: the file was changed by hand" in books.refused(1, *words)


# ---------------------------------------------------------------- with the other commands


def test_assign_tells_the_firmware_and_says_what_is_left(books: Desk) -> None:
    told = books.done("terminal", "assign", "10000011", "--merchant", SHOP)
    assert told.out == "terminal 10000011: assigned\n"
    assert "note: terminal 10000011: whether a batch is open is not known here" in told.err
    path = books.office.data / "terminals" / "10000011.json"
    assert json.loads(path.read_text("utf-8"))["acceptor_id"] == SHOP


def test_check_config_shows_what_is_in_force(books: Desk) -> None:
    books.done("merchant", "block", BOOKS)
    told = books.done("switch", "check-config").out
    assert f"terminal 10000011 of acceptor {BOOKS}, initial key" in told
    assert "acceptor blocked" in told


def test_a_network_may_have_no_terminal_in_its_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    office = Office(tmp_path / "data")
    path = office.data / "switch.toml"
    path.write_text(path.read_text("utf-8").split("[[terminals]]")[0], "utf-8")
    assert load(path).terminals == ()
    for words in (
        ("merchant", "add", BOOKS, "--name-en", "City Books"),
        ("terminal", "add", "10000011", "--merchant", BOOKS),
        ("switch", "check-config"),
    ):
        told = office.vafa(capsys, *words)
        assert told.code == 0, told.err


def test_keys_commands_know_registered_terminals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with quick_and_open():
        place = Place(tmp_path / "data")
        place.done("officer", "add", answers=FOUNDING)
        office = Office(place.data)
        for words in (
            ("merchant", "add", BOOKS, "--name-en", "City Books"),
            ("terminal", "add", "10000011", "--merchant", BOOKS),
        ):
            assert office.vafa(capsys, *words).code == 0
        bdk = base_key_name(place.settings.terminals[0].initial_key_id)
        told = place.keys("revoke", bdk, "--version", "1", answers=BOTH)
        assert told.code == 2
        assert "and 1 more" in told.err
        told = place.keys("inject", "--terminal", "99999999", "--port", "absent", answers=BOTH)
        assert "register it: vafa terminal add 99999999" in told.err
        told = place.keys("inject", "--terminal", "10000011", "--port", "absent", answers=BOTH)
        assert "check --port" in told.err
        assert office.vafa(capsys, "merchant", "block", BOOKS).code == 0
        told = place.keys("inject", "--terminal", "10000011", "--port", "absent", answers=BOTH)
        assert (told.code, f"merchant {BOOKS} is blocked" in told.err) == (1, True)


def test_in_production_keys_are_the_officers_work(desk: Desk) -> None:
    path = desk.office.data / "switch.toml"
    path.write_text(path.read_text("utf-8").replace('"test"', '"production"'), "utf-8")
    told = desk.done("terminal", "add", "10000011", "--merchant", SHOP)
    assert "no transport key yet: vafa keys ceremony transport/10000011" in told.err
    assert "load keys: vafa keys inject --terminal 10000011" in told.err
    known = json.loads((desk.office.data / "terminals" / "10000011.json").read_text("utf-8"))
    assert known["acceptor_id"] == SHOP
    assert not {"transport_key", "key_block"} & known.keys()


def test_the_command_is_a_process_too(desk: Desk) -> None:
    ended = subprocess.run(
        [*VAFA, "terminal", "block", "99999999", "--data", str(desk.office.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: no terminal 99999999 is registered\ntry: add it: vafa terminal add\n"
