"""The ceremony: three components, two or three custodians, letters, and nothing left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from switch.hsm import InProcessHsm
from tests.tools.keys_kit import BOTH, Place, custodians
from tests.tools.kit import Told

NAME = "zone/BANK/zmk"
TWO = custodians("A. Rahimi", "سارا کریمی")
THREE = custodians("A. Rahimi", "S. Karimi", "N. Azadi")
AES = tuple(bytes.fromhex(digits) for digits in ("5A" * 32, "0123456789ABCDEF" * 4, "C7" * 32))
TDES = tuple(bytes.fromhex(digits) for digits in ("5B" * 16, "0123456789ABCDEFFEDCBA9876543210", "C7" * 16))
LETTER = re.compile(
    r"Key component (\d) of 3 .*?Custodian +امانت‌دار +(.*?)\n.*?Algorithm .*?\n\n((?:    [0-9A-F ]+\n)+)\n"
    r"Check value +مقدار کنترل +([0-9A-F]{6})\n",
    re.DOTALL,
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the HSM's next random bytes are."""
    waiting: list[bytes] = []

    async def random(self: InProcessHsm, size: int) -> bytes:
        assert len(waiting[0]) == size
        return waiting.pop(0)

    monkeypatch.setattr(InProcessHsm, "random", random)
    return waiting


def kcv(key: bytes, letter: str = "A") -> str:
    if letter == "A":
        cmac = CMAC(algorithms.AES(key))
        cmac.update(bytes(16))
        return cmac.finalize().hex()[:6].upper()
    cipher = Cipher(TripleDES(key + key[:8]), modes.ECB()).encryptor()
    return cipher.update(bytes(8)).hex()[:6].upper()


def combined(parts: tuple[bytes, ...]) -> bytes:
    return bytes(a ^ b ^ c for a, b, c in zip(*parts, strict=True))


def typed_back(parts: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(answer for part in parts for answer in ("", "", part.hex()))


def from_letters(parts: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(answer for part in parts for answer in ("", part.hex().upper(), "yes"))


def versions(place: Place) -> int:
    return len(place.store.versions(NAME))


@pytest.mark.parametrize(
    ("named", "keepers"),
    [(TWO, ["A. Rahimi", "سارا کریمی", "A. Rahimi"]), (THREE, ["A. Rahimi", "S. Karimi", "N. Azadi"])],
)
def test_a_key_of_three_components(
    place: Place, drawn: list[bytes], named: list[str], keepers: list[str]
) -> None:
    drawn += AES
    told = place.done("ceremony", NAME, *named, answers=(*BOTH, *typed_back(AES)))
    letters = LETTER.findall(told.out)
    assert [(number, custodian) for number, custodian, _, _ in letters] == list(
        zip("123", keepers, strict=True)
    )
    for part, (_, _, digits, check_value) in zip(AES, letters, strict=True):
        assert bytes.fromhex("".join(digits.split())) == part
        assert check_value == kcv(part)
        assert f"check value {kcv(part)}" in told.out
    assert f"the key      check value {kcv(combined(AES))}" in told.out
    assert place.store.key(NAME).check_value == kcv(combined(AES))
    for number in "۱۲۳":
        assert f"جزء {number} از ۳ کلید" in told.out
    assert told.out.count("در پاکت مهروموم") == 3
    assert told.out.count("\f") == 3  # each letter on a sheet of its own
    line = place.log()[-1]
    assert line["what"] == "ceremony"
    assert line["check_value"] == kcv(combined(AES))
    assert [line[f"custodian_{number}"] for number in range(1, len(named) // 2 + 1)] == named[1::2]
    assert line["officer_1"] != line["officer_2"]


def test_the_letters_give_the_same_key_again_which_is_in_use(place: Place, drawn: list[bytes]) -> None:
    drawn += AES
    made = place.done("ceremony", NAME, *TWO, answers=(*BOTH, *typed_back(AES)))
    digits = tuple(letter[2].replace("\n", "") for letter in LETTER.findall(made.out))
    answers = tuple(answer for one in digits for answer in ("", one, "بله"))
    before = place.store.versions(NAME)
    again = place.keys("ceremony", NAME, "--enter", *TWO, answers=(*BOTH, *answers))
    assert again.code != 0
    assert "this is version 1, which is in use already" in again.err
    assert place.store.versions(NAME) == before
    told = re.findall(r"component \d  check value ([0-9A-F]+)", made.out)
    assert len(told) == 3
    assert all(f"check value {check_value}" in again.err for check_value in told)
    assert not LETTER.search(again.out + again.err)


def test_components_of_a_tdes_key_have_odd_parity(place: Place, drawn: list[bytes]) -> None:
    drawn += (bytes(range(64, 80)), bytes(range(0, 32, 2)), b"\x55" * 16)
    even = tuple(drawn)
    odd = tuple(bytes(byte ^ (byte.bit_count() + 1 & 1) for byte in part) for part in even)
    told = place.done("ceremony", NAME, "--algorithm", "tdes_2", *TWO, answers=(*BOTH, *typed_back(odd)))
    for part, letter in zip(odd, LETTER.findall(told.out), strict=True):
        assert bytes.fromhex(letter[2].replace(" ", "")) == part
        assert all(byte.bit_count() % 2 for byte in part)
        assert letter[3] == kcv(part, "T")
    key = combined(odd)
    assert place.store.key(NAME).check_value == kcv(key, "T")


def test_a_wrong_digit_of_a_tdes_component_is_noticed(place: Place) -> None:
    wrong = TDES[0].hex()[:-1] + "a"
    told = place.done(
        "ceremony",
        NAME,
        "--algorithm",
        "TDES_2",
        "--enter",
        *TWO,
        answers=(*BOTH, "", wrong, TDES[0].hex(), "yes", *from_letters(TDES[1:])),
    )
    assert "parity is wrong" in told.err
    assert place.store.key(NAME).check_value == kcv(combined(TDES), "T")


@pytest.mark.parametrize("twice", [(0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 0, 0)])
def test_the_same_component_twice_is_refused(place: Place, twice: tuple[int, ...]) -> None:
    before = (place.data / "keys.json").read_bytes()
    answers = from_letters(tuple(AES[number] for number in twice))
    told = place.keys("ceremony", NAME, "--enter", *TWO, answers=(*BOTH, *answers))
    assert told.code in (1, 2)  # asked again, until tries or answers end
    assert "this component was entered already" in told.err
    assert (place.data / "keys.json").read_bytes() == before


@pytest.mark.parametrize(
    ("algorithm", "empty", "others"), [("AES_256", bytes(32), AES[1:]), ("TDES_2", b"\1" * 16, TDES[1:])]
)
def test_an_empty_component_is_refused(
    place: Place, algorithm: str, empty: bytes, others: tuple[bytes, ...]
) -> None:
    """A custodian of nothing: the key would be two people's alone."""
    before = (place.data / "keys.json").read_bytes()
    answers = ("", empty.hex(), empty.hex(), empty.hex(), *from_letters(others))
    told = place.keys("ceremony", NAME, "--enter", "--algorithm", algorithm, *TWO, answers=(*BOTH, *answers))
    assert (told.code, "this component is empty" in told.err) == (1, True)
    assert (place.data / "keys.json").read_bytes() == before


def test_after_the_same_component_twice_the_right_one_is_taken(place: Place) -> None:
    answers = (*from_letters(AES[:1]), "", AES[0].hex(), AES[1].hex(), "yes", *from_letters(AES[2:]))
    place.done("ceremony", NAME, "--enter", *TWO, answers=(*BOTH, *answers))
    assert place.store.key(NAME).check_value == kcv(combined(AES))


@pytest.mark.parametrize("first", [AES[1].hex(), "not hex", AES[0].hex()[:-2], "", AES[0].hex() + "00"])
def test_a_component_is_typed_again(place: Place, drawn: list[bytes], first: str) -> None:
    drawn += AES
    answers = list(typed_back(AES))
    answers.insert(2, first)
    told = place.done("ceremony", NAME, *TWO, answers=(*BOTH, *answers))
    assert "that is not what the letter says" in told.err
    assert first not in told.err or not first


def test_a_check_value_that_is_not_the_letter_s(place: Place) -> None:
    wrong = ("", AES[1].hex(), "no", AES[0].hex(), "y")
    place.done("ceremony", NAME, "--enter", *TWO, answers=(*BOTH, *wrong, *from_letters(AES[1:])))
    assert place.store.key(NAME).check_value == kcv(combined(AES))


@pytest.mark.parametrize(
    "answers",
    [
        ("", "", "00" * 32, "00" * 32, "00" * 32),
        (*typed_back(AES[:2]), "", "", "1", "2", "3"),
        typed_back(AES[:2]),
        (*typed_back(AES[:2]), "", ""),
        ("",),
    ],
)
def test_a_ceremony_that_is_not_finished_makes_nothing(
    place: Place, drawn: list[bytes], answers: tuple[str, ...]
) -> None:
    drawn += AES
    before = place.files()
    told = place.keys("ceremony", NAME, *TWO, answers=(*BOTH, *answers))
    assert told.code in (1, 2)
    assert "begin again" in told.err
    assert place.files() == before


@pytest.mark.parametrize(
    "answers", [("", "x", "y", "z"), ("", AES[0].hex(), "no") * 3, (*from_letters(AES[:2]), "")]
)
def test_entering_that_is_not_finished_makes_nothing(place: Place, answers: tuple[str, ...]) -> None:
    before = place.files()
    assert place.keys("ceremony", NAME, "--enter", *TWO, answers=(*BOTH, *answers)).code in (1, 2)
    assert place.files() == before


def test_components_that_cancel_each_other_out(place: Place) -> None:
    parts = (AES[0], AES[1], bytes(a ^ b for a, b in zip(*AES[:2], strict=True)))
    told = place.keys("ceremony", NAME, "--enter", *TWO, answers=(*BOTH, *from_letters(parts)))
    assert (told.code, versions(place)) == (1, 0)
    assert "cancel each other out" in told.err


@pytest.mark.parametrize(
    "named",
    [
        custodians("Alone"),
        custodians("A. Rahimi", "a.  RAHIMI"),
        custodians("علي", "علی"),
        custodians("علی‌رضا", "علیرضا"),
        custodians("A. Rahimi", "А. Rahimi"),  # the second begins in Cyrillic
        custodians("A. Rahimi", "A. Rahimi\u200b"),
        custodians("A. Rahimi", "A. Rahirni"),
        custodians("A. Rahimi", "Вabak"),  # Cyrillic again: its only owner knows whom it stands for
        custodians("A. Rahimi", "B\x1b[2Jabak"),
        custodians("A", "B", "C", "D"),
        custodians("A", " "),
        custodians("A", "B", "A"),
        [],
    ],
)
def test_custodians_are_two_or_three_people(place: Place, named: list[str]) -> None:
    before = place.files()
    told = place.keys("ceremony", NAME, *named, answers=(*BOTH, *typed_back(AES)))
    assert (told.code, told.raw) == (2, b"")
    assert place.files() == before


@pytest.mark.parametrize(
    "options",
    [
        ("bdk/0A0B0C0D", "--algorithm", "tdes_3"),
        (NAME, "--algorithm", "hmac_256"),
        (NAME, "--algorithm", "rot13"),
        (NAME, "--use", "mac"),
        ("zone/BANK/nothing",),
    ],
)
def test_what_can_t_be_formed_is_said_before_anybody_types(place: Place, options: tuple[str, ...]) -> None:
    told = place.keys("ceremony", *options, *TWO, answers=())
    assert told.code == 2
    assert "two officers have to agree" not in told.err


def test_a_bdk_is_formed_too(place: Place, drawn: list[bytes]) -> None:
    parts = tuple(part[:16] for part in AES)
    drawn += parts
    told = place.done("ceremony", "bdk/0A0B0C0D", *TWO, answers=(*BOTH, *typed_back(parts)))
    assert f"bdk/0A0B0C0D v1: active, AES_128, KCV {kcv(combined(parts))}" in told.out


# ---------------------------------------------------------------- where letters go


def test_no_letter_goes_into_a_file(place: Place, tmp_path: Path) -> None:
    before = place.files()
    letters = tmp_path / "letters"
    letters.write_bytes(b"")
    link = tmp_path / "link"
    link.symlink_to(letters)
    for path in (letters, link):
        told = place.keys("ceremony", NAME, "--letters", path, *TWO, answers=BOTH)
        assert told.code == 2
        assert "would stay on the disk" in told.err
    for path in (tmp_path / "absent", tmp_path):
        assert place.keys("ceremony", NAME, "--letters", path, *TWO, answers=BOTH).code == 4
    assert letters.read_bytes() == b""
    assert not (tmp_path / "absent").exists()
    assert place.files() == before


@pytest.fixture
def printer(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe to a printer, and what came to it."""
    path = tmp_path / "printer"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, descriptor
    os.close(descriptor)


def test_letters_go_to_a_printer_and_nowhere_else(
    place: Place,
    drawn: list[bytes],
    printer: tuple[Path, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    drawn += AES
    path, descriptor = printer
    told = place.done("ceremony", NAME, "--letters", path, *TWO, answers=(*BOTH, *typed_back(AES)))
    sheets = os.read(descriptor, 65536).decode().split("\f")
    assert len(sheets) == 4
    for part, sheet in zip(AES, sheets, strict=False):
        (letter,) = LETTER.findall(sheet)
        assert bytes.fromhex("".join(letter[2].split())) == part
    assert not left_in(told, place)
    assert list(temporary.iterdir()) == []


def left_in(told: Told, place: Place) -> list[str]:
    """Where a component or the key stands that should stand nowhere."""
    secrets = [*AES, combined(AES)]
    forms = [form for one in secrets for form in (one, one.hex().encode(), one.hex().upper().encode())]
    forms += [one.hex().upper()[:16].encode() for one in secrets] + [
        one.hex(" ", 2).upper().encode() for one in secrets
    ]
    texts = {"stdout": told.raw, "stderr": told.err.encode(), **place.files()}
    texts |= {"environment": Path("/proc/self/environ").read_bytes(), "log": repr(place.log()).encode()}
    return [name for name, text in texts.items() if any(form in text for form in forms)]


def test_what_is_looked_for_would_be_found(place: Place) -> None:
    for planted in (AES[0], AES[1].hex().encode(), combined(AES).hex().upper().encode()):
        (place.data / "planted").write_bytes(b"x" + planted)
        assert left_in(Told(0, b"", ""), place) == [str(place.data / "planted")]
    assert left_in(Told(0, AES[2].hex(" ", 2).upper().encode(), ""), place)[0] == "stdout"


def test_a_printer_that_breaks_ends_the_ceremony(place: Place, drawn: list[bytes]) -> None:
    drawn += AES
    before = place.files()
    told = place.keys("ceremony", NAME, "--letters", "/dev/full", *TWO, answers=(*BOTH, *typed_back(AES)))
    assert told.code == 4
    assert "can't be printed" in told.err
    assert place.files() == before
