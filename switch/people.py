"""Names of people who control each other: how they are written, and whether two could be one person's.

A pure leaf. A name is never judged by its code points: who wants to be two people has a keyboard with two
letters that look the same. Two names that could be one are one; a person can always give a fuller name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import combinations

LONGEST_NAME = 32  # characters; what fits a letter, a log line and a screen
_BETWEEN = " .-_"  # stands between the parts of a name, and makes no other name
_ALPHABETS = ("LATIN", "ARABIC", "CYRILLIC", "GREEK", "ARMENIAN", "HEBREW", "GEORGIAN")

_WRITTEN = str.maketrans("يىك", "ییک")  # Arabic keyboards' letters in a Persian name
_ALIKE = str.maketrans("ةۀ", "هه")
# Joins and breaks between letters: a Persian name may have one (U+200C); it is a blank for us.
_BLANKS = str.maketrans(dict.fromkeys("\u200c\u00ad\u2010\u2011\u2012\u2013", " "))
_STRETCHED = "\u0640"  # lengthens an Arabic word, and is no letter of it
# Letters that look like a Latin one: what is on keyboards, out of all that Unicode TR 39 has.
_LOOKS = {
    ord(letter): latin
    for letters, latins in (
        ("аеорсухіјѕһԁԛԝѵ", "aeopcyxijshdqwv"),  # Cyrillic
        ("АВЕКМНОРСТХУІЈЅԌ", "ABEKMHOPCTXYIJSG"),
        ("αορνικυχτ", "aopvikuxt"),  # Greek
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("օոսց", "onug"),  # Armenian
        ("ıȷɡɑ", "ijga"),  # Latin of other kinds
    )
    for letter, latin in zip(letters, latins, strict=True)
}
_SHAPES = str.maketrans("I1|0", "lllo")
_SHAPED = (("rn", "m"), ("vv", "w"))


class UnusableName(ValueError):
    """No name for a person. Text: what is wrong with it, and what to do."""


def spelled(name: str) -> str:
    """The name as it is kept: composed letters, Persian forms of Arabic letters, single blanks."""
    return " ".join(unicodedata.normalize("NFKC", name).translate(_BLANKS).translate(_WRITTEN).split())


def check_name(name: str) -> str:
    """The name as it is kept. Raises UnusableName for one with other signs than letters, digits and what
    stands between them, and for one of two alphabets."""
    kept = spelled(name)
    if not 1 <= len(kept) <= LONGEST_NAME:
        raise UnusableName(f"a name has 1 to {LONGEST_NAME} characters, not {len(kept)}")
    if not kept[0].isalnum() or not all(sign.isalnum() or sign in _BETWEEN for sign in kept):
        raise UnusableName("a name is letters, digits, blanks, dots, hyphens; nothing else, seen or unseen")
    found = {alphabet for alphabet in map(_alphabet, filter(str.isalpha, kept)) if alphabet}
    if len(found) > 1:
        raise UnusableName("a name is of one alphabet: some of its letters only look like the others")
    return kept


def same_person(name: str, other: str) -> bool:
    """Whether two spellings could be one person: by case, blanks and signs, composed letters and accents,
    digits, Arabic and Persian keyboards, letters of other alphabets that look alike, unseen characters."""
    one, two = _letters(name), _letters(other)
    return one.casefold() == two.casefold() or _shape(one) == _shape(two)


def all_different(names: Iterable[str]) -> bool:
    """Whether no two of the names could be one person."""
    return not any(same_person(one, other) for one, other in combinations(names, 2))


def _alphabet(letter: str) -> str:
    words = unicodedata.name(letter, "").split()
    return next((word for word in words if word in _ALPHABETS), words[0] if words else "?")


def _letters(name: str) -> str:
    """Letters and digits alone, without accents, in the alphabet they look like."""
    bare = unicodedata.normalize("NFKD", name).translate(_WRITTEN).translate(_ALIKE).translate(_LOOKS)
    kept = (sign for sign in bare if sign == "|" or (sign.isalnum() and sign != _STRETCHED))
    return "".join(str(unicodedata.digit(sign, sign)) for sign in kept)


def _shape(letters: str) -> str:
    """What letters and digits look like in a careless font."""
    shape = letters.translate(_SHAPES)
    for pair, alike in _SHAPED:
        shape = shape.replace(pair, alike)
    return shape.casefold()
