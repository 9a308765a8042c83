"""`vafa keys` as a process on a terminal: nothing hidden is shown, nothing is left, a key press ends it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.process import VAFA
from tests.tools.keys_kit import FIRST, SECOND, Console, Place, custodians
from tests.tools.kit import CHECKOUT

NAME = "zone/BANK/zmk"
CLEAR_SCREEN = "\x1b[H\x1b[2J\x1b[3J"
COMPONENT = re.compile(r"^    ([0-9A-F ]{39}(?:\r?\n    [0-9A-F ]{39})?)\r?$", re.MULTILINE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two officers, named at a terminal, with passphrases that cost what they should."""
    place = Place(tmp_path_factory.mktemp("keys"))
    with Console("officer", "add", "--data", place.data) as console:
        for name, passphrase in (FIRST, SECOND):
            console.answer("new officer's name", name)
            console.answer(f"{name}'s passphrase", passphrase)
            console.answer(f"{name}'s passphrase again", passphrase)
        assert console.end() == 0
    assert f"{SECOND[0]} is an officer" in console.screen
    assert FIRST[1] not in console.screen
    assert SECOND[1] not in console.screen
    return place


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where a process would leave things it shouldn't; empty afterwards."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    yield {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["home", "temporary"]


def test_a_ceremony_at_the_terminal(place: Place, elsewhere: dict[str, str]) -> None:
    named = custodians("A. Rahimi", "S. Karimi")
    components = []
    with Console("ceremony", NAME, *named, "--data", place.data, environment=elsewhere) as console:
        console.agree(*FIRST, *SECOND)
        for number, custodian in ((1, "A. Rahimi"), (2, "S. Karimi"), (3, "A. Rahimi")):
            console.answer(f"component {number} of 3: {custodian} alone at the screen, press Enter", "")
            shown = console.answer("when the letter is written down or printed, press Enter", "")
            (digits,) = COMPONENT.findall(shown)
            components.append(bytes.fromhex("".join(digits.split())))
            after = console.answer("type the component from the letter", components[-1].hex())
            assert CLEAR_SCREEN in after
            assert not COMPONENT.search(after)
        assert console.end() == 0
    key = bytes(a ^ b ^ c for a, b, c in zip(*components, strict=True))
    shown = console.screen.replace(" ", "").upper()
    after_letters = console.screen.rpartition(CLEAR_SCREEN)[2]
    for component in components:
        assert component.hex() not in console.screen  # what was typed back was not shown
        assert component.hex(" ", 2).upper()[:19] not in after_letters
        assert not [path for path, content in place.files().items() if holds(content, component)]
    assert key.hex().upper() not in shown
    assert not [path for path, content in place.files().items() if holds(content, key)]
    # The letters give the key once more: it is told to be the one that is in use.
    with Console("ceremony", NAME, "--enter", *named, "--data", place.data, environment=elsewhere) as again:
        again.agree(*FIRST, *SECOND)
        for number, component in enumerate(components, 1):
            again.until(f"component {number} of 3")
            again.answer("press Enter", "")
            again.answer("component", component.hex(" ", 2).upper())
            again.answer("yes or no", "yes")
        assert again.end() == 1
    assert "this is version 1, which is in use already" in " ".join(again.screen.split())
    assert len(place.store.versions(NAME)) == 1
    assert not any(component.hex(" ", 2).upper() in again.screen for component in components)


def holds(content: bytes, secret: bytes) -> bool:
    return secret in content or secret.hex().encode() in content.lower()


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2)])
@pytest.mark.parametrize("question", ["first officer", "passphrase"])
def test_a_key_press_ends_it(place: Place, key: str, code: int, question: str) -> None:
    before = place.files()
    with Console("generate", "pin/value", "--data", place.data) as console:
        if question == "passphrase":
            console.answer("first officer", FIRST[0])
        console.until(f"{question}: ")
        console.type(key)
        assert console.end() == code
        assert "Traceback" not in console.screen
    assert place.files() == before


def test_answers_that_are_not_text(place: Place) -> None:
    ended = subprocess.run(
        [*VAFA, "keys", "generate", "pin/value", "--data", str(place.data)],
        input=b"\xff\xfe\n",
        capture_output=True,
        cwd=CHECKOUT,
        check=False,
    )
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr


def test_a_letter_on_standard_output_that_is_a_file(place: Place, tmp_path: Path) -> None:
    answers = "\n".join((*FIRST, *SECOND, "", "")).encode()
    with (tmp_path / "letters").open("wb") as file:
        ended = subprocess.run(
            [*VAFA, "keys", "ceremony", NAME, *custodians("A", "B"), "--data", str(place.data)],
            input=answers,
            stdout=file,
            stderr=subprocess.PIPE,
            cwd=CHECKOUT,
            check=False,
        )
    assert ended.returncode == 2
    assert b"would stay on the disk" in ended.stderr
    assert (tmp_path / "letters").read_bytes() == b""


def test_no_core_file_and_no_tracer(place: Place) -> None:
    program = (
        "import ctypes, resource; from tools.cli import run; "
        f"code = run(['keys', 'officer', 'list', '--data', {str(place.data)!r}]); "
        "print(code, resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=CHECKOUT, check=True
    )
    assert ended.stdout.splitlines()[-1] == "0 (0, 0) 0"  # PR_GET_DUMPABLE says no
