"""Messages and conditions of a dictionary file: which fields stand where. Read when the fields are.

What refers to a field or a condition that isn't there is one mistake, however often it is named. Nothing here
looks at a message.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from switch.iso8583 import dictionary_keys as keys
from switch.iso8583.dictionary import HEADER, Condition, Field, MessageRule, Text
from switch.iso8583.dictionary_tables import Findings, Table
from switch.iso8583.dictionary_values import start_problem, value_problem
from switch.iso8583.toml_lines import KeyPath

ANY = "*"
_Tests = tuple[tuple[str, str, tuple[str, ...]], ...]


class Known:
    """The fields of the dialect, as far as they can be told.

    doubtful: paths that stand in the file, or did in what was lost of it, but can't be read: nothing can be
    said of what refers to them. unsound: fields with a mistake. are_all: False when there may be fields that
    nobody read.
    """

    def __init__(
        self,
        fields: Mapping[int, Field],
        header: Mapping[str, Field],
        doubtful: Collection[str],
        unsound: Collection[str],
        are_all: bool,
    ) -> None:
        self.are_all = are_all
        self._unsound = unsound
        self._fields = fields
        self._header = header
        self._doubtful = doubtful

    def field_at(self, path: str) -> Field | None:
        first, *steps = path.split(".")
        if first == HEADER:
            found = self._header.get(steps.pop(0)) if steps else None
        else:
            found = self._fields.get(int(first)) if re.fullmatch("[1-9][0-9]{0,2}", first) else None
        for step in steps:
            found = found.children.get(step) if found is not None else None
        return found

    def may_be(self, path: str) -> bool:
        steps = path.split(".")
        return not self.are_all or any(
            ".".join(steps[:size]) in self._doubtful for size in range(1, len(steps) + 1)
        )

    def is_sound(self, path: str) -> bool:
        return path not in self._unsound


class RuleReader:
    """Reads [conditions] and [messages] of one file; `tell` names what they refer to and isn't there.

    removed: what the file takes away from the one it extends; None: that isn't clear.
    """

    def __init__(self, findings: Findings, known: Known, removed: Collection[str] | None) -> None:
        self._findings = findings
        self._known = known
        self._removed = removed
        self._conditions: dict[str, Condition] = {}
        self._strange_fields: dict[str, list[tuple[KeyPath, str]]] = {}  # -> where, as which path
        self._strange_conditions: dict[str, list[KeyPath]] = {}
        self._doubts_conditions = findings.is_partial

    def conditions(self, root: Table) -> dict[str, Condition]:
        for number, table in root.tables("conditions", keys.CONDITION, required=False):
            if not re.fullmatch(r"[1-9][0-9]{0,2}", number):
                self._findings.refuse(table.path, f"no condition can be number {number!r}", "use 1 to 999")
                self._doubts_conditions = True
                continue
            self._conditions[number] = self._condition(number, table)
        self._doubts_conditions |= "conditions" in root.wrong or any(
            path[:1] == ("conditions",) for path in self._findings.damaged
        )
        return self._conditions

    def messages(self, root: Table) -> tuple[MessageRule, ...]:
        rules, judged = [], []
        for name, table in root.tables("messages", keys.MESSAGE, required=False):
            rule = self._message(name, table)
            rules.append(rule)
            if "processing_code" not in table.wrong and (
                rule.processing_code or not table.may_lack("processing_code")
            ):
                judged.append(rule)
        self._refuse_ambiguous(judged)
        return tuple(rules)

    def tell(self) -> None:
        """Notes each field and condition that isn't there, once."""
        for path, named in self._strange_fields.items():
            if not self._known.may_be(path):
                self._tell_field(path, named)
        if self._doubts_conditions:
            return
        for number, places in self._strange_conditions.items():
            what = f"there is no condition C{number}{self._others(places)}"
            self._findings.refuse(places[0], what, f"add [conditions.{number}]")

    def _tell_field(self, path: str, named: list[tuple[KeyPath, str]]) -> None:
        places = [place for place, _path in named]
        first = places[0]
        if self._findings.lines.line_of(first[:2]) is None:  # said by what this file extends
            gone = next(
                (name for name in self._removed or () if f"fields.{path}.".startswith(f"{name}.")), None
            )
            if gone is not None:
                what = f"{gone} is taken away, but {'.'.join(first)} still names {path}"
                remedy = f"take {'.'.join(first[:2])} away too, or write it anew"
                self._findings.refuse(("dialect", "remove"), what, remedy, gone)
                return
        what = f"{path!r} is no field of this dialect{self._others(places)}"
        self._findings.refuse(first, what, "define it or take it away", named[0][1])

    def _others(self, places: list[KeyPath]) -> str:
        if len(places) == 1:
            return ""
        found = {self._findings.lines.line_of(place) for place in places[1:]}
        lines = ", ".join(str(line) for line in sorted(line for line in found if line is not None))
        return f", named {len(places)} times" + (f" (also on line {lines})" if lines else "")

    # ------------------------------------------------------------ conditions

    def _condition(self, number: str, table: Table) -> Condition:
        text = title(table, "text")
        otherwise = table.choice("otherwise", ("optional", "absent"), default="optional")
        asked = [key for key in keys.TESTS if key in table]
        groups = [tests] if (tests := self._tests(table)) else []
        for place, group in enumerate(table.items("any")):
            if not isinstance(group, dict):
                table.refuse("any", "not every item is a table of tests", f"write {keys.CONDITION['any']}")
                continue
            inner = Table(self._findings, (*table.path, "any"), group, keys.TESTS)
            tests = self._tests(inner)
            inner.close()
            if not tests and not inner.wrong:
                table.refuse("any", f"item {place + 1} tests nothing", "add present, absent or equals")
            groups.append(tests)
        table.close()
        is_said = asked or table.wrong - {"text", "otherwise"} or ("any" in table and table.content["any"])
        if not groups and not is_said and table.path not in self._findings.damaged:
            self._findings.refuse(
                table.path, "the condition tests nothing", "add present, absent, equals or any"
            )
        return Condition(number, text, tuple(groups), otherwise or "optional")

    def _tests(self, table: Table) -> _Tests:
        tests: list[tuple[str, str, tuple[str, ...]]] = []
        for how in ("present", "absent"):
            if how not in table:
                continue
            paths = table.texts(how, default=[])
            if not paths and how not in table.wrong:
                table.refuse(how, f"{how!r} names no field", f"write {keys.TESTS[how]}")
            for path in paths:
                tests.append((path, how, ()))
                self._refer_from_test((*table.path, how), path)
        for how in ("equals", "not", "starts"):
            if how not in table:
                continue
            asked = table.table(how, None)
            if not asked.content and how not in table.wrong:
                table.refuse(how, f"{how!r} names no field", f"write {keys.TESTS[how]}")
            for path in asked:
                is_one = isinstance(asked.content[path], str)
                values = (asked.text(path),) if is_one else asked.texts(path)
                if not values and path not in asked.wrong:
                    asked.refuse(path, "no value to compare with", f"write {keys.TESTS[how]}")
                tests.append((path, how, values))
                self._refer_from_test(asked.path, path)
                self._judge_values(asked, path, how, values)
        return tuple(tests)

    def _judge_values(self, asked: Table, path: str, how: str, values: tuple[str, ...]) -> None:
        field = self._known.field_at(path)
        if path == "mti":
            form = "[0-9]{1,4}" if how == "starts" else "[0-9]{4}"
            bad = [value for value in values if not re.fullmatch(form, value)]
            if bad and path not in asked.wrong:
                asked.refuse(path, f"no MTI is {bad[0]!r}", "write four digits")
            return
        if field is None or path in asked.wrong or not self._known.is_sound(path):
            return
        if field.is_composite:
            asked.refuse(path, "a composite has no value of its own", "test one of its parts")
            return
        for value in values:
            if how == "starts" and (problem := start_problem(field, value)):
                what = f"{path} never starts with {value!r}: {problem}"
                asked.refuse(path, what, "write what its values can begin with")
            elif how != "starts" and (problem := value_problem(field, value)):
                asked.refuse(path, f"{path} is never {value!r}: {problem}", "write a value it can have")

    # ------------------------------------------------------------ messages

    def _message(self, name: str, table: Table) -> MessageRule:
        mtis = table.texts("mti")
        code = None
        if "processing_code" in table:
            code = table.text("processing_code", keys.PROCESSING_CODE)
        named = [("mandatory", path) for path in table.texts("mandatory", self._mandatory_default(table))]
        optional = table.texts("optional", default=[])
        named += [("optional", path) for path in optional if path != ANY]
        mandatory = [path for key, path in named if key == "mandatory"]
        optionals = list(optional)
        conditional: dict[str, str] = {}
        echoed: list[str] = []
        for key, form in (("conditional", keys.CONDITIONAL), ("presence", keys.PRESENCE)):
            asked = table.table(key, None, required=False)
            for path in asked:
                how = asked.text(path, form)
                named.append((key, path))
                if how in ("M", "ME"):
                    mandatory.append(path)
                    echoed += [path] if how == "ME" else []
                elif how == "O":
                    optionals.append(path)
                elif how:
                    conditional[path] = how[1:]
                    if how[1:] not in self._conditions:
                        self._strange_conditions.setdefault(how[1:], []).append((*asked.path, path))
        groups = self._one_of(table)
        named += [("one_of", path) for group in groups for path in group]
        rule = MessageRule(
            name,
            title(table),
            mtis,
            code,
            tuple(mandatory),
            tuple(optionals),
            groups,
            conditional,
            tuple(echoed),
        )
        table.close()
        self._judge_mtis(table, mtis)
        for key, path in named:
            self._refer(
                (*table.path, key, path) if key in ("conditional", "presence") else (*table.path, key), path
            )
        self._refuse_named_twice(table, named)
        return rule

    def _mandatory_default(self, table: Table) -> list[str] | None:
        others = ("presence", "conditional")
        return [] if any(key in table or table.may_lack(key) for key in others) else None

    def _judge_mtis(self, table: Table, mtis: tuple[str, ...]) -> None:
        if not mtis and "mti" not in table.wrong:
            table.refuse("mti", "the message has no MTI", f"write {keys.MESSAGE['mti']}")
        for mti in dict.fromkeys(mtis):
            if not re.fullmatch("[0-9]{4}", mti):
                table.refuse("mti", f"{mti!r} is no MTI", "write four digits", mti)
            elif mtis.count(mti) > 1:
                table.refuse("mti", f"{mti!r} stands twice", "name it once", mti)

    def _refuse_named_twice(self, table: Table, named: list[tuple[str, str]]) -> None:
        seen: dict[str, str] = {}
        for key, path in named:
            first = seen.setdefault(path, key)
            if self._removed is None and not self._findings.says((*table.path, first)):
                continue  # it may be of a message that was to be taken away
            if (first, path) != (key, path) or named.count((key, path)) > 1:
                where = f"{path!r} is named twice" + (f", in {first} too" if first != key else "")
                table.refuse(key, where, "name it once", path)

    def _one_of(self, table: Table) -> tuple[tuple[str, ...], ...]:
        groups = table.items("one_of")
        if not all(
            isinstance(group, list) and all(isinstance(path, str) for path in group) for group in groups
        ):
            table.refuse("one_of", "not every item is a list of texts", 'write like [["2", "35"]]')
            return ()
        if any(len(group) < 2 for group in groups):
            table.refuse("one_of", "a choice of less than two fields", 'write like [["2", "35"]]')
        return tuple(tuple(group) for group in groups)

    def _refer_from_test(self, place: KeyPath, path: str) -> None:
        if path != "mti":
            self._refer(place, path)

    def _refer(self, place: KeyPath, path: str) -> None:
        steps = path.split(".")
        for size in range(2 if steps[0] == HEADER and steps[1:] else 1, len(steps) + 1):
            outer = ".".join(steps[:size])
            if self._known.field_at(outer) is None:
                self._strange_fields.setdefault(outer, []).append((place, path))
                return

    def _refuse_ambiguous(self, rules: list[MessageRule]) -> None:
        for place, rule in enumerate(rules):
            for other in rules[:place]:
                shared = [mti for mti in dict.fromkeys(rule.mtis) if mti in other.mtis]
                if self._removed is None and self._findings.lines.line_of(("messages", other.name)) is None:
                    continue  # it may be one that was to be taken away
                if shared and _are_alike(rule.processing_code, other.processing_code):
                    self._findings.refuse(
                        ("messages", rule.name, "mti"),
                        f"{', '.join(shared)} with this processing code is also {other.name!r}",
                        "give each its own processing code",
                    )


def title(table: Table, key: str = "title") -> Text:
    """The text in both languages under `key`."""
    texts = table.table(key, keys.TEXT)
    both = Text(texts.text("en"), texts.text("fa"))
    texts.close()
    return both


def _are_alike(code: str | None, other: str | None) -> bool:
    """Whether neither of two processing codes is the more exact one for some value of field 3."""
    if code is None or other is None:
        return True
    if ANY in (code, other):
        return code == other
    return code.count(ANY) == other.count(ANY) and all(
        first == second or ANY in (first, second) for first, second in zip(code, other, strict=True)
    )
