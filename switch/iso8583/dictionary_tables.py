"""One table of a dictionary file, taken key by key; the mistakes found are gathered with line and remedy.

Here one fault stays one mistake: what was refused is answered with what was probably meant, so that nothing
that follows from it is refused as well. Nothing here knows what a field is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from switch.iso8583.dictionary_keys import ANY_TEXT, Form, Keys
from switch.iso8583.errors import Mistake
from switch.iso8583.toml_lines import KeyLines, KeyPath

_KINDS = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class Findings:
    """The mistakes of one file.

    is_partial: what the file builds upon couldn't be read, so that nothing can be called missing.
    damaged: tables of which a part couldn't be read. own: what the file says itself, nothing merged into it.
    """

    def __init__(
        self, lines: KeyLines, own: Mapping[str, Any], damaged: Collection[KeyPath] = frozenset()
    ) -> None:
        self.is_partial = False
        self._own = own
        self.mistakes: list[Mistake] = []
        self.lines = lines
        self.damaged = damaged

    def refuse(self, path: KeyPath, what: str, remedy: str, word: str = "") -> Mistake:
        """Notes a mistake of the key at `path`; of `word` in its value, when that goes over many lines."""
        line = self.lines.line_of_text(path, word) if word else self.lines.line_of(path)
        # what isn't in the file itself comes of what it is made from
        line = line or self.lines.line_of(("dialect", "extends")) or 1
        mistake = Mistake(line, f"{'.'.join(path)}: {what}", remedy)
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)
        return mistake

    def says(self, path: KeyPath) -> bool:
        """Whether the file itself says what is at `path`, not only what it extends."""
        found: Any = self._own
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        return found is not None

    def is_missing_known(self, path: KeyPath) -> bool:
        """Whether what is missing in the table at `path` may only have not been read."""
        return self.is_partial or path in self.damaged


class Table:
    """A table; `keys` are those it may have, None where names of any kind stand.

    A silent table was refused itself: nothing more is said of it.
    """

    def __init__(
        self,
        findings: Findings,
        path: KeyPath,
        content: Mapping[str, Any],
        keys: Keys | None,
        is_silent: bool = False,
    ) -> None:
        self._findings = findings
        self._keys = keys
        self._is_silent = is_silent
        self._missing: dict[str, Mistake] = {}
        self._taken: set[str] = set()
        self._strangers = [key for key in content if keys is not None and key not in keys]
        self.path = path
        self.content = content
        self.wrong: set[str] = set()  # keys that were refused or are missing

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def refuse(self, key: str, what: str, remedy: str, word: str = "") -> None:
        self.wrong.add(key)
        if not self._is_silent:
            self._findings.refuse((*self.path, key), what, remedy, word)

    def text(self, key: str, form: Form = ANY_TEXT, default: str | None = None) -> str:
        """A text of that form; "" when it is refused."""
        value = self._take(key, str, default)
        if value is None or key not in self.content or re.fullmatch(form.pattern, value):
            return value or ""
        self.refuse(key, f"{value!r} can't stand here", f"write {form.words}")
        return ""

    def choice(
        self,
        key: str,
        choices: Collection[str],
        default: str | None = None,
        elsewhere: Collection[str] = (),
        place: str = "",
    ) -> str:
        """One of the choices; of a wrong one that which was probably meant, or "" when that is unclear.

        elsewhere: what is right, but not in this `place` ("class b"): no slip for one of the choices.
        """
        value = self._take(key, str, default)
        if not value and key not in self.content:
            return ""
        if value in choices:
            return str(value)
        if value is None:
            return ""
        if value in elsewhere:
            told = ", ".join(sorted(choices))
            self.refuse(key, f"{value!r} is not for {place}", f"{place} has {told}")
            return ""
        self.refuse(key, f"{value!r} is unknown", did_you_mean(value, choices))
        return meant(value, choices)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A number in the range; the nearest one, or the highest, when it is refused."""
        value = self._take(key, int, default)
        if value is None:
            return high
        if low <= value <= high:
            return int(value)
        self.refuse(key, f"{value} is out of range", f"write a number from {low} to {high}")
        return low if value < low else high

    def flag(self, key: str, default: bool = False) -> bool:
        return bool(self._take(key, bool, default))

    def items(self, key: str) -> list[Any]:
        return list(self._take(key, list, []) or [])

    def texts(self, key: str, default: list[str] | None = None) -> tuple[str, ...]:
        value = self._take(key, list, default) or []
        if all(isinstance(item, str) for item in value):
            return tuple(value)
        self.refuse(key, "not every item is a text", "write every item in quotation marks")
        return ()

    def table(self, key: str, keys: Keys | None, required: bool = True) -> Table:
        value = self._take(key, dict, None if required else {})
        is_silent = self._is_silent or value is None or (bool(self._strangers) and self._has_slip(key))
        return Table(self._findings, (*self.path, key), value or {}, keys, is_silent)

    def tables(self, key: str, keys: Keys | None, required: bool = True) -> list[tuple[str, Table]]:
        holder = self.table(key, None, required)
        return [(name, holder.table(name, keys)) for name in holder]

    def lacks(self, *either: str) -> None:
        """Notes that one of these keys is missing: that which was mistyped, else the first."""
        self._miss(next((key for key in either if self._has_slip(key)), either[0]))

    def may_lack(self, key: str) -> bool:
        """Whether a key that isn't there is told of elsewhere: mistyped, or lost with its table."""
        return self._is_silent or self._findings.is_missing_known(self.path) or self._has_slip(key)

    def _has_slip(self, key: str) -> bool:
        return any(meant(each, self._keys or {}) == key for each in self._strangers)

    def _is_doubtful(self, key: str) -> bool:
        """Whether the file may have overlaid an inherited key with what was mistyped or lost."""
        may_be = self.path in self._findings.damaged or (self._strangers and self._has_slip(key))
        return bool(may_be) and not self._findings.says((*self.path, key))

    def close(self, keys: Keys | None = None, elsewhere: Mapping[str, str] | None = None) -> None:
        """Notes every key that isn't one. keys: those of this form of the table; elsewhere: key -> where
        another form has it."""
        legal = self._keys if keys is None else keys
        assert legal is not None, "a table of any names has nothing to close"
        assert self._taken <= legal.keys() | (elsewhere or {}).keys(), (
            "every key that is read is in its table"
        )
        for key in self.content:
            if key in legal:
                continue
            if elsewhere and key in elsewhere:
                self.refuse(
                    key, f"{key!r} says nothing here", f"take it away: it belongs to {elsewhere[key]}"
                )
                continue
            # a key that was mistyped is not missing as well
            lost = self._missing.get(meant(key, self._missing))
            if lost is not None and lost in self._findings.mistakes:
                self._findings.mistakes.remove(lost)
            self.refuse(key, f"unknown key {key!r}", did_you_mean(key, legal))

    def _take(self, key: str, kind: type, default: Any) -> Any:
        """The value of a key; None when it is refused, or missing without a default."""
        self._taken.add(key)
        if key not in self.content:
            if default is None:
                self._miss(key)
            return default
        if self._is_doubtful(key):
            self.wrong.add(key)
            return None
        value = self.content[key]
        if type(value) is kind:
            return value
        remedy = f"write {self._keys[key]}" if self._keys else f"write {_KINDS[kind]}"
        self.refuse(key, f"{key!r} is not {_KINDS[kind]}", remedy)
        return None

    def _miss(self, key: str) -> None:
        self.wrong.add(key)
        if self._is_silent or self._findings.is_missing_known(self.path):
            return
        remedy = f"add {self._keys[key]}" if self._keys else f"add {key}"
        self._missing[key] = self._findings.refuse((*self.path, key), f"{key!r} is missing", remedy)


def meant(word: str, known: Collection[str]) -> str:
    """The known word that `word` is probably a slip for; "" when none is near."""
    known = [str(each) for each in known]  # a member of an enumeration as its text
    same = [each for each in known if each.casefold() == word.strip().casefold()]
    return (same or difflib.get_close_matches(word, known, n=1) or [""])[0]


def did_you_mean(word: str, known: Collection[str]) -> str:
    near = meant(word, known)
    return f"did you mean {near!r}?" if near else f"known here: {', '.join(sorted(known)) or 'nothing'}"
