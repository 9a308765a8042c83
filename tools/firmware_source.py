"""The firmware's source as it is compiled: the same behaviour in fewer bytes. Nothing is executed here.

What is written for people stays as it is; what follows from it costs nothing on a terminal. Asserts become
what -O3 keeps, without their words: a fault is told by its function. Whole numbers and short texts that are
named once and never change stand where they are used, also in other modules, and their names go unless
somebody still says them. What a package imports of
itself is named from where it stands. Names that nobody outside can say get short, see tools.firmware_names;
`restored` tells a fault by the names that people know.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, cast

from tools import firmware_names

Value = int | str
Constants = Mapping[str, Value]

# A text that is longer than its name by more than this is named: it would stand in each module whole.
TEXT_LONGER: Final = 4
# MicroPython keeps shorter texts once, however often they are said; longer ones stand wherever they are said.
TEXT_ONCE: Final = 10
OPERATORS: Final = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.LShift, ast.RShift, ast.BitOr, ast.BitAnd)
# Runs under another name, `__main__`, so it can't say where it stands.
STARTED: Final = frozenset({"main"})
# Module and function of a fault in an event, and in a traceback, whose lines the firmware has not.
FAULT_PLACE: Final = r'( at terminal/|File \\?")([\w/]+)(\.py, |\\?",(?: line \d+,)? in )(\w+)'
INIT: Final = "__init__.py"


@dataclass(frozen=True, slots=True)
class Package:
    """What is known of all modules together."""

    place: Path
    constants: Mapping[str, Constants]  # full name of a module -> its constants
    keywords: Set[str]  # names that some call passes arguments by
    said: Set[str]  # names of constants that somebody says where no value can stand instead
    kept: Set[str]  # private names that others say
    attributes: Mapping[str, firmware_names.Names]  # full name of a module -> its private attributes
    families: Set[str]  # modules whose attributes are named together with others'
    short: Set[str]  # attributes that are short by themselves

    @property
    def mark(self) -> str:
        """Changes when something does that a module takes from others."""
        constants = sorted((name, sorted(values.items())) for name, values in self.constants.items())
        names = [sorted(names) for names in (self.keywords, self.said, self.kept, self.short)]
        together = [sorted(self.attributes[name].items()) for name in sorted(self.families)]
        return hashlib.sha256(repr((constants, names, together)).encode()).hexdigest()


class Small(NamedTuple):
    """A module as it is compiled. functions: what they are called there -> as people know them."""

    source: str
    functions: dict[str, str]


def known(package: Path, callers: tuple[Path, ...] = ()) -> Package:
    """What the modules below `package` say of each other. callers: modules elsewhere that call them, or
    set what others here take for constant.

    Raises SyntaxError.
    """
    trees = {_full_name(path, package): _parsed(path) for path in sorted(package.rglob("*.py"))}
    outside = [*map(_parsed, callers)]
    every = (*trees.values(), *outside)
    assigned = {node.attr for tree in every for node in _stored_attributes(tree)}
    constants: dict[str, dict[str, Value]] = {name: {} for name in trees}
    size = -1
    while size != (size := sum(map(len, constants.values()))):  # constants are made of others' constants
        for name, tree in trees.items():
            constants[name] = {
                key: value for key, value in _constants(tree, constants).items() if key not in assigned
            }
    keywords = {
        keyword.arg
        for tree in every
        for node in firmware_names.nodes(tree)
        if isinstance(node, ast.Call | ast.ClassDef)
        for keyword in node.keywords
        if keyword.arg is not None
    }
    kept = firmware_names.kept(trees.values()).union(*map(firmware_names.private, outside))
    said = {
        name for tree in trees.values() for name in _said_still(tree, _imported_constants(tree, constants))
    }
    for tree in outside:
        said |= _said_still(tree, _values(tree, constants))
    return Package(
        package,
        constants,
        keywords,
        {name for name in said if name.isupper()},
        kept,
        firmware_names.attributes(trees, kept),
        firmware_names.families(trees),
        firmware_names.short(trees),
    )


def shrunk(module: Path, package: Package, near: bool = True) -> Small:
    """A module of the package as it is compiled. near: whether imports may be told from where they stand.

    Raises SyntaxError.
    """
    parsed = _parsed(module)
    tree = copy.deepcopy(parsed)
    name = _full_name(module, package.place)
    own = package.constants.get(name, {})
    _name_constants(tree, own, package.said)
    tree = cast(ast.Module, _Folded(_imported_constants(parsed, package.constants)).visit(tree))
    _name_content(tree, package.said)
    tree = cast(ast.Module, _Asserts().visit(tree))
    attributes = package.attributes.get(name, {})
    functions = firmware_names.shorten(tree, attributes, package.kept, package.keywords)
    if near and name.rpartition(".")[2] not in STARTED:
        _import_from_here(tree, name if module.name == INIT else name.rpartition(".")[0])
    return Small(ast.unparse(ast.fix_missing_locations(tree)), functions)


def valued(module: Path, package: Package) -> str:
    """A caller's source with the package's constants where it says them; each line stays where it is.

    Raises SyntaxError.
    """
    tree = ast.parse(module.read_bytes(), str(module))
    values = _values(tree, package.constants)
    lines = module.read_bytes().splitlines(keepends=True)
    for node in sorted(
        _replaceable(tree, values), key=lambda node: (node.lineno, node.col_offset), reverse=True
    ):
        folded: ast.AST | None = _Folded(values).visit(copy.deepcopy(node))
        new = ast.unparse(folded or ast.Pass())
        if new.startswith("-"):
            new = f"({new})"
        first, last = node.lineno - 1, cast(int, node.end_lineno) - 1
        before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
        lines[first : last + 1] = [before + new.encode() + b"\n" * (last - first) + after]
    return b"".join(lines).decode()


def restored(line: str, names: Mapping[str, Mapping[str, str]]) -> str:
    """What a terminal said, with a function's own name where a fault is told. names: module, as a traceback
    of the terminal calls it, -> its functions."""

    def own(match: re.Match[str]) -> str:
        before, module, between, function = match.groups()
        return f"{before}{module}{between}{names.get(module, {}).get(function, function)}"

    return re.sub(FAULT_PLACE, own, line)


def _full_name(path: Path, package: Path) -> str:
    path = path.relative_to(package.parent)
    return ".".join(path.parent.parts if path.name == INIT else path.with_suffix("").parts)


def _parsed(path: Path) -> ast.Module:
    return _parsed_as_of(path, path.stat().st_mtime_ns)


@cache
def _parsed_as_of(path: Path, changed_ns: int) -> ast.Module:
    tree = ast.parse(path.read_bytes(), str(path))
    tree.body = [part for statement in tree.body for part in _apart(statement)]
    return tree


# ---------------------------------------------------------------- asserts


class _Asserts(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        error = ast.Name("AssertionError", ast.Load())
        return ast.If(ast.UnaryOp(ast.Not(), node.test), [ast.Raise(error, None)], [])


# ---------------------------------------------------------------- constants


def _stored_attributes(tree: ast.Module) -> Iterator[ast.Attribute]:
    for node in firmware_names.nodes(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node


def _apart(statement: ast.stmt) -> list[ast.Assign] | list[ast.stmt]:
    """`A, B = range(2)` and `A, B = 3, 4` name one thing each."""
    match statement:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            pass
        case ast.Assign(
            targets=[ast.Tuple(elts=targets)], value=ast.Call(func=ast.Name("range"), args=limits)
        ) if all(isinstance(limit, ast.Constant) for limit in limits):
            numbers = range(*(cast(int, cast(ast.Constant, limit).value) for limit in limits))
            values = [ast.Constant(number) for number in numbers]
        case _:
            return [statement]
    if len(targets) != len(values) or not all(isinstance(value, ast.Constant) for value in values):
        return [statement]
    return [
        ast.fix_missing_locations(ast.copy_location(ast.Assign([target], value), statement))
        for target, value in zip(targets, values, strict=True)
    ]


def _constants(tree: ast.Module, others: Mapping[str, Constants]) -> dict[str, Value]:
    """Names in capitals that stand for one whole number or text as long as the module lives."""
    imported = _imported_constants(tree, others)
    found = {name: value for name, value in imported.items() if "." not in name}
    stored = Counter(
        node.id
        for node in firmware_names.nodes(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    for statement, name in _named(tree):
        value = _value(statement.value, found)
        if value is not None and stored[name] == 1:
            found[name] = value
    return found


def _named(tree: ast.Module) -> Iterator[tuple[ast.Assign, str]]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name) and target.id.isupper():
                yield statement, target.id


def _value(node: ast.expr, names: Constants) -> Value | None:
    if isinstance(node, ast.Constant) and type(node.value) in (int, str):
        return cast(Value, node.value)
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, names)
        return -value if isinstance(value, int) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, OPERATORS):
        left, right = _value(node.left, names), _value(node.right, names)
        if isinstance(left, int) and isinstance(right, int):
            expression = ast.Expression(ast.BinOp(ast.Constant(left), node.op, ast.Constant(right)))
            return cast(int, eval(compile(ast.fix_missing_locations(expression), "", "eval")))
    return None


def _said(value: Value) -> ast.expr:
    if isinstance(value, int) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def _name_constants(tree: ast.Module, own: Constants, said: Set[str]) -> None:
    """`X = 3` becomes `X = const(3)`, first of all: the compiler puts 3 wherever the module says X then."""
    numbers = {name: _said(value) for name, value in own.items() if isinstance(value, int)}
    _name_first(tree, numbers, said)


def _name_content(tree: ast.Module, said: Set[str]) -> None:
    """Other values that never change, where they are said once only, or take no more room than their name."""
    stored = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not _is_load(node))
    loaded = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and _is_load(node))
    fixed: dict[str, ast.expr] = {}
    for statement, name in _named(tree):
        value = statement.value
        if stored[name] != 1 or name in said or not _is_fixed(value):
            continue
        is_short = (
            isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value) <= TEXT_ONCE
        )
        if is_short or loaded[name] == 1:
            fixed[name] = value
    _name_first(tree, fixed, said)


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _is_fixed(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return all(_is_fixed(part) for part in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, int | str | bytes)


def _name_first(tree: ast.Module, values: Mapping[str, ast.expr], said: Set[str]) -> None:
    """Of a name that nobody outside says nothing stays: the compiler drops those with an underscore."""
    first: dict[str, ast.stmt] = {}
    for statement, name in list(_named(tree)):
        if name in values:
            statement.value = ast.Call(ast.Name("const", ast.Load()), [values[name]], [])
            first[name] = statement
            tree.body.remove(statement)
    tree.body[:0] = first.values()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in first and node.id not in said:
            node.id = f"_{node.id}"


def _imported_constants(tree: ast.Module, others: Mapping[str, Constants]) -> dict[str, Value]:
    """Name, or module.NAME, as this module says it -> what it stands for."""
    found: dict[str, Value] = {}
    for node in firmware_names.nodes(tree):
        if not isinstance(node, ast.ImportFrom) or node.module is None or node.level:
            continue
        for alias in node.names:
            said = alias.asname or alias.name
            value = others.get(node.module, {}).get(alias.name)
            if value is not None and alias.name.isupper():
                found[said] = value
            for name, of_module in others.get(f"{node.module}.{alias.name}", {}).items():
                found[f"{said}.{name}"] = of_module
    return {
        said: value
        for said, value in found.items()
        if isinstance(value, int) or len(value) <= len(said.rpartition(".")[2]) + TEXT_LONGER
    }


def _values(tree: ast.Module, others: Mapping[str, Constants]) -> dict[str, Value]:
    """As _imported_constants, for `valued`: but for what it says in texts, whose places are not told, and
    what it calls something of its own."""
    kept: set[str] = set()
    for node in firmware_names.nodes(tree):
        match node:
            case ast.JoinedStr():
                kept.update(ast.unparse(part) for part in ast.walk(node) if isinstance(part, ast.expr))
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                kept.add(name)
    return {name: value for name, value in _imported_constants(tree, others).items() if name not in kept}


def _replaceable(tree: ast.Module, values: Constants) -> Iterator[ast.expr | ast.stmt]:
    for node in firmware_names.nodes(tree):
        match node:
            case ast.Name(id=name) if name in values:
                yield node
            case ast.Attribute(value=ast.Name(id=module), attr=name) if f"{module}.{name}" in values:
                yield node
            case ast.ImportFrom(names=names) if any((one.asname or one.name) in values for one in names):
                yield node


def _said_still(tree: ast.Module, values: Constants) -> set[str]:
    """What a module says of others, or as a text, once constants stand where they are used."""
    found = firmware_names.texts(tree)
    for node in firmware_names.nodes(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if f"{module}.{name}" in values:
                pass
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.alias(name=name, asname=asname) if (asname or name) not in values:
                found.update((name, asname or name))
    return found


class _Folded(ast.NodeTransformer):
    """Constants of other modules where they are used; their imports go."""

    def __init__(self, values: Constants) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _said(self._values[node.id]) if node.id in self._values else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in self._values:
            return _said(self._values[f"{node.value.id}.{node.attr}"])
        return cast(ast.expr, self.generic_visit(node))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        node.names = [alias for alias in node.names if (alias.asname or alias.name) not in self._values]
        return node if node.names else None


# ---------------------------------------------------------------- imports


def _import_from_here(tree: ast.Module, package: str) -> None:
    """`from terminal.flows.wait import Wait` in a module of flows becomes `from .wait import Wait`."""
    here = package.split(".")
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.level or node.module is None:
            continue
        there = node.module.split(".")
        if there[0] != here[0]:
            continue
        shared = 0
        while shared < min(len(here), len(there)) and here[shared] == there[shared]:
            shared += 1
        node.level = len(here) - shared + 1
        node.module = ".".join(there[shared:]) or None
