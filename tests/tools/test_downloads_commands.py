"""`vafa terminal parameters` and `vafa terminal software`: what they take, refuse, and write into the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from switch.registry import history, read
from tests.server.registered import installation
from tests.tools.kit import COMMAND_LINE
from tools import cli
from tools.firmware_bundle import Signer, made

KEYS = [ec.derive_private_key(9000 + number, ec.SECP256R1()) for number in range(2)]
SIGNERS = [Signer(number, key) for number, key in enumerate(KEYS)]
FILES = {"terminal/__init__.mpy": b"", "terminal/main.mpy": b"M\x06" * 400}


class Office:
    """An installation and whoever works there."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.settings = installation(directory / "data")
        self.directory = directory
        self._capsys = capsys
        pems = [
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in KEYS
        ]
        (directory / "vendor.pem").write_bytes(b"".join(pems))

    def ask(self, *words: str | Path) -> tuple[int, str]:
        self._capsys.readouterr()
        data = str(self.settings.data)
        code = cli.run(["terminal", *map(str, words), "--data", data], make=COMMAND_LINE)
        told = self._capsys.readouterr()
        return code, told.out + told.err

    def done(self, *words: str | Path) -> str:
        code, said = self.ask(*words)
        assert code == 0, said
        return said

    def refused(self, *words: str | Path) -> str:
        """What it says; the registry is as it was."""
        before = read(self.settings)
        code, said = self.ask(*words)
        assert code == 2, said
        assert read(self.settings) == before
        return said

    def bundle(self, content: bytes, name: str = "a.bundle") -> tuple[str | Path, ...]:
        (self.directory / name).write_bytes(content)
        keys = self.directory / "vendor.pem"
        return ("software", "add", self.directory / name, "--model", "unix", "--keys", keys, "--needed", "2")


@pytest.fixture
def office(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Office:
    return Office(tmp_path, capsys)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("receipt_copies=3", "receipt_copies: expected 1 or 2"),
        ("receipt_copies=one", "receipt_copies: expected 1 or 2"),
        ("locale=de", 'locale: expected "en" or "fa"'),
        ('receipt_footer={"en": "Thanks"}', "receipt_footer: expected"),
        ('supervisor={"salt": "00", "hash": "00"}', "supervisor: expected"),
        ("colour=red", "colour: no such parameter"),
        ("locale", "expected NAME=VALUE"),
    ],
)
def test_an_error_names_the_parameter(office: Office, typed: str, said: str) -> None:
    assert said in office.refused("parameters", "set", "offline_most=5", typed)


def test_versions_are_made_shown_and_rolled_back_and_the_log_says_by_whom(office: Office) -> None:
    file = office.directory / "all.json"
    file.write_text('{"receipt_copies": 1, "locale": "fa"}')
    office.done("parameters", "set", "--file", file, "--by", "A. Rahimi", "--reason", "short")
    assert "nothing to change" in office.done("parameters", "set", "locale=fa")
    office.done("parameters", "set", "--unset", "locale", "acceptor_name=" + '{"en": "A", "fa": "ب"}')
    assert json.loads(office.done("parameters", "show", "--format", "json"))["values"] == {
        "receipt_copies": 1,
        "acceptor_name": {"en": "A", "fa": "ب"},
    }
    assert "parameters version 3, as version 1" in office.done("parameters", "roll-back")
    assert json.loads(office.done("parameters", "show", "--format", "json"))["values"]["locale"] == "fa"
    rows = json.loads(office.done("parameters", "list", "--format", "json"))
    assert [(row["version"], row["by"] == "A. Rahimi", row["reason"]) for row in rows] == [
        ("3", False, ""),
        ("2", False, ""),
        ("1", True, "short"),
    ]
    assert [change.what for change in history(office.settings).changes] == [
        "parameters set",
        "parameters set",
        "parameters roll-back",
    ]
    assert "no earlier version" in office.refused("parameters", "roll-back", "--group", "kiosks")
    assert "locale: is not set" in office.refused(
        "parameters", "set", "--unset", "locale", "--group", "kiosks"
    )


def test_a_bundle_is_taken_when_a_terminal_would_take_it(office: Office) -> None:
    good = made("unix", 2, 1, FILES, SIGNERS)
    stranger = Signer(1, ec.derive_private_key(77, ec.SECP256R1()))
    for content, said in (
        (good[:-1], "cut short"),
        (good + b"x", "longer than it says"),
        (good[:-1] + b"?", "terminal/main.mpy is damaged"),
        (good[:40] + bytes((good[40] ^ 1,)) + good[41:], "a.bundle: "),
        (made("unix", 2, 1, FILES, SIGNERS[:1]), "too few signatures"),
        (made("unix", 2, 1, FILES, [SIGNERS[0], stranger]), "signature"),
        (made("other", 2, 1, FILES, SIGNERS), "for another model"),
        (b"", "cut short"),
        (b"PK\x03\x04", "not a bundle"),
    ):
        assert said in office.refused(*office.bundle(content))
    office.done(*office.bundle(good))
    for version in (1, 2):
        said = office.refused(*office.bundle(made("unix", version, 0, FILES, SIGNERS)))
        assert "not newer than unix/2, which is there" in said
    office.done("software", "assign", "unix/2", "--share", "10", "--terminal", "10000001")
    office.done("software", "withdraw", "unix/2")
    assert "withdrawn" in office.refused("software", "assign", "unix/2")
    [row] = json.loads(office.done("software", "list", "--format", "json"))
    assert (row["software"], row["withdrawn"], row["groups"]) == ("unix/2", True, [])


def test_terminals_are_put_in_groups(office: Office) -> None:
    office.done("group", "kiosks", "10000001")
    assert json.loads(office.done("show", "10000001", "--format", "json"))["group"] == "kiosks"
    assert json.loads(office.done("show", "10000002", "--format", "json"))["group"] == "default"
    office.done("group", "default", "10000001")
    assert read(office.settings).registry.group_of("10000001").id == "default"
    assert "group: expected" in office.refused("group", "No Such", "10000001")
    assert "no terminal 77777777" in office.refused("group", "kiosks", "10000001", "77777777")
