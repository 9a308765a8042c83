"""The firmware's source as it is compiled: the same behaviour in fewer bytes. Nothing is executed here.

What is written for people stays as it is; what follows from it costs nothing on a terminal. Asserts become
what -O3 keeps. Whole numbers and short texts that are named once and never change stand where they are
used, also in other modules. What a package imports of itself is named from where it stands. Names of values
inside functions, which only calls by keyword would need, get short. Names of functions, classes and
attributes stay: a fault is told by them.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import ascii_letters
from typing import Final, cast

Value = int | str
Constants = Mapping[str, Value]

# A text that is longer than its name by more than this is named: it would stand in each module whole.
TEXT_LONGER: Final = 4
OPERATORS: Final = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.LShift, ast.RShift, ast.BitOr, ast.BitAnd)
# Runs under another name, `__main__`, so it can't say where it stands.
STARTED: Final = frozenset({"main"})
INIT: Final = "__init__.py"


@dataclass(frozen=True, slots=True)
class Package:
    """What is known of all modules together. keywords: names that some call passes arguments by."""

    place: Path
    constants: Mapping[str, Constants]  # full name of a module -> its constants
    keywords: Set[str]

    @property
    def mark(self) -> str:
        """Changes when something does that a module takes from others."""
        told = repr(sorted((name, sorted(values.items())) for name, values in self.constants.items()))
        return hashlib.sha256((told + repr(sorted(self.keywords))).encode()).hexdigest()


def known(package: Path, callers: tuple[Path, ...] = ()) -> Package:
    """What the modules below `package` say of each other. callers: modules elsewhere that call them, or
    set what others here take for constant.

    Raises SyntaxError.
    """
    trees = {_full_name(path, package): _parsed(path) for path in sorted(package.rglob("*.py"))}
    every = (*trees.values(), *map(_parsed, callers))
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
        for node in ast.walk(tree)
        if isinstance(node, ast.Call | ast.ClassDef)
        for keyword in node.keywords
        if keyword.arg is not None
    }
    return Package(package, constants, keywords)


def shrunk(module: Path, package: Package, near: bool = True) -> str:
    """A module of the package as it is compiled. near: whether imports may be told from where they stand.

    Raises SyntaxError.
    """
    tree = ast.parse(module.read_bytes(), str(module))
    name = _full_name(module, package.place)
    own = package.constants.get(name, {})
    _name_constants(tree, own)
    tree = cast(ast.Module, _Folded(_imported_constants(tree, package.constants)).visit(tree))
    tree = cast(ast.Module, _Asserts().visit(tree))
    _shorten(tree, package.keywords)
    if near and name.rpartition(".")[2] not in STARTED:
        _import_from_here(tree, name if module.name == INIT else name.rpartition(".")[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def _full_name(path: Path, package: Path) -> str:
    path = path.relative_to(package.parent)
    return ".".join(path.parent.parts if path.name == INIT else path.with_suffix("").parts)


def _parsed(path: Path) -> ast.Module:
    return _parsed_as_of(path, path.stat().st_mtime_ns)


@cache
def _parsed_as_of(path: Path, changed_ns: int) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


# ---------------------------------------------------------------- asserts


class _Asserts(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        error: ast.expr = ast.Name("AssertionError", ast.Load())
        if node.msg is not None:
            error = ast.Call(error, [node.msg], [])
        return ast.If(ast.UnaryOp(ast.Not(), node.test), [ast.Raise(error, None)], [])


# ---------------------------------------------------------------- constants


def _stored_attributes(tree: ast.Module) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node


def _constants(tree: ast.Module, others: Mapping[str, Constants]) -> dict[str, Value]:
    """Names in capitals that stand for one whole number or text as long as the module lives."""
    imported = _imported_constants(tree, others)
    found = {name: value for name, value in imported.items() if "." not in name}
    stored = Counter(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
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
    if isinstance(node, ast.BinOp) and isinstance(node.op, OPERATORS):
        left, right = _value(node.left, names), _value(node.right, names)
        if isinstance(left, int) and isinstance(right, int):
            expression = ast.Expression(ast.BinOp(ast.Constant(left), node.op, ast.Constant(right)))
            return cast(int, eval(compile(ast.fix_missing_locations(expression), "", "eval")))
    return None


def _name_constants(tree: ast.Module, own: Constants) -> None:
    """`X = 3` becomes `X = const(3)`, first of all: the compiler puts 3 wherever the module says X then."""
    first: list[ast.stmt] = []
    for statement, name in list(_named(tree)):
        value = own.get(name)
        if isinstance(value, int):
            statement.value = ast.Call(ast.Name("const", ast.Load()), [ast.Constant(value)], [])
            first.append(statement)
            tree.body.remove(statement)
    tree.body[:0] = first


def _imported_constants(tree: ast.Module, others: Mapping[str, Constants]) -> dict[str, Value]:
    """Name, or module.NAME, as this module says it -> what it stands for."""
    found: dict[str, Value] = {}
    for node in ast.walk(tree):
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


class _Folded(ast.NodeTransformer):
    """Constants of other modules where they are used; their imports go."""

    def __init__(self, values: Constants) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self._values[node.id]) if node.id in self._values else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in self._values:
            return ast.Constant(self._values[f"{node.value.id}.{node.attr}"])
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


# ---------------------------------------------------------------- names inside functions


def _shorten(tree: ast.Module, keywords: Set[str]) -> None:
    """Arguments whose names are nothing else in this module get one letter."""
    arguments: dict[str, None] = {}
    others = {*keywords, "self", "const", *dir(builtins)}
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            arguments[node.arg] = None
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inner:
            others.add(node.id)
        elif isinstance(node, ast.Attribute):
            others.add(node.attr)  # stands in the module anyway
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
            others.add(node.name or "")
        elif isinstance(node, ast.alias):
            others.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Global | ast.Nonlocal):
            others.update(node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            others.add(node.value)  # a text that stands in the module anyway
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    free = (letter for letter in ascii_letters if letter not in names and letter not in arguments)
    long = [name for name in arguments if name not in others and len(name) > 1]
    short = dict(zip(long, free, strict=False))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.arg = short.get(node.arg, node.arg)
        elif isinstance(node, ast.Name):
            node.id = short.get(node.id, node.id)
