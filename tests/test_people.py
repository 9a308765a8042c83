"""One person is one however the name is typed, and a name that only looks like another is that one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch.people import LONGEST_NAME, UnusableName, all_different, check_name, same_person

ZERO_WIDTH = (
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u00ad",
    "\u200e",
    "\u202e",
    "\u2066",
    "\u034f",
)

ONE_PERSON = [
    ("Ali Rezaei", "ali  rezaei"),
    ("Ali Rezaei", "ALI REZAEI"),
    ("Ali Rezaei", "Ali Rezaei "),
    ("Ali Rezaei", "\tAli Rezaei\n"),
    ("Ali Rezaei", "Ali\u00a0Rezaei"),
    ("Ali Rezaei", "Ali\u2003Rezaei"),
    ("Ali Rezaei", "AliRezaei"),
    ("Ali Rezaei", "Ali-Rezaei"),
    ("Ali Rezaei", "Ali.Rezaei"),
    ("Ali Rezaei", "Ali_Rezaei"),
    ("A. Rahimi", "A Rahimi"),
    ("Ali", "Ａｌｉ"),  # full width
    ("Ali", "𝐀𝐥𝐢"),  # mathematical
    ("Ali", "AIi"),  # a capital I
    ("Ali", "A1i"),
    ("Ali", "A|i"),
    ("Ali", "Аli"),  # a Cyrillic A
    ("Anna", "Аnna"),
    ("Anna", "Αnna"),  # a Greek A
    ("apex", "арех"),  # Cyrillic as a whole
    ("Moradi", "M0radi"),
    ("Karim", "Karirn"),
    ("Ali", "Alı"),  # dotless
    ("Zoe", "Zoë"),
    ("Zoe\u0308", "ZOË"),
    ("STRASSE", "Straße"),
    ("علي", "علی"),  # Arabic and Persian ye
    ("كريمي", "کریمی"),  # kaf and ye
    ("على", "علی"),  # alef maksura
    ("رضا", "رضـا"),  # stretched
    ("احمد", "أحمد"),  # hamza
    ("آرش", "ارش"),
    ("فاطمة", "فاطمه"),
    ("رضائی", "رضايی"),
    ("علی‌رضا", "علی رضا"),  # a zero-width non-joiner, a blank
    ("علی‌رضا", "علیرضا"),
    ("مُحمد", "محمد"),  # a vowel sign
    ("Officer 1", "Officer ۱"),  # Persian and Arabic digits
    ("Officer 1", "Officer ١"),
    *(("Ali Rezaei", f"Ali{mark} Rezaei") for mark in ZERO_WIDTH),
    *(("Ali Rezaei", f"{mark}Ali Rezaei{mark}") for mark in ZERO_WIDTH),
]
DIFFERENT = [
    ("Ali Rezaei", "Ali Rezaeian"),
    ("A. Rahimi", "S. Rahimi"),
    ("علی رضایی", "علی رحیمی"),
    ("Officer 1", "Officer 2"),
    ("Anna", "Hanna"),
    ("سارا", "ساره"),
    ("Ali", "علی"),
]


@pytest.mark.parametrize(("one", "other"), ONE_PERSON)
def test_spellings_of_one_person(one: str, other: str) -> None:
    assert same_person(one, other)
    assert same_person(other, one)
    assert not all_different(["Somebody Else", one, other])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_people_stay_different(one: str, other: str) -> None:
    assert not same_person(one, other)
    assert all_different([one, other])


@given(st.text(max_size=40))
def test_everybody_is_one_person(name: str) -> None:
    assert same_person(name, name)
    assert same_person(name, f" {name}\u200b")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("A. Rahimi", "A. Rahimi"),
        ("  A.   Rahimi ", "A. Rahimi"),
        ("سارا کریمی", "سارا کریمی"),
        ("سارا كريمي", "سارا کریمی"),
        ("علی‌رضا", "علی رضا"),
        ("Zoe\u0308", "Zoë"),
        ("O_2-b", "O_2-b"),
        ("م" * LONGEST_NAME, "م" * LONGEST_NAME),
    ],
)
def test_a_name_is_kept_as_it_should_be_written(name: str, kept: str) -> None:
    assert check_name(name) == kept


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "1 to 32"),
        (" \u200c ", "1 to 32"),
        ("م" * (LONGEST_NAME + 1), "not 33"),
        ("Аli", "one alphabet"),
        ("Αnna", "one alphabet"),
        ("علیX", "one alphabet"),
        ("Ali رضایی", "one alphabet"),
        ("A\u200bli", "nothing else"),
        ("Ali\u202e", "nothing else"),
        ("A|i", "nothing else"),
        ("-Ali", "nothing else"),
        (".", "nothing else"),
        ("Ali\x00", "nothing else"),
        ("Ali\x1b[2J", "nothing else"),
        ("Ali, Reza", "nothing else"),
        ("محُمد", "nothing else"),
        ("😀", "nothing else"),
    ],
)
def test_what_is_no_name(name: str, says: str) -> None:
    with pytest.raises(UnusableName, match=says):
        check_name(name)
