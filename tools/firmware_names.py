"""Names that nobody outside can say, made short: what begins with an underscore, and arguments.

A private attribute is shortened alike in all modules whose classes inherit from each other, a private
function or value in its module. What a caller, another module, a text or another object's user says too
keeps its name, and so do classes: an error is told by its class. Which function a short name stands for is
told by `functions`.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import cache
from keyword import iskeyword
from string import ascii_letters
from typing import Final

Names = Mapping[str, str]  # as the source says it -> as it is compiled

FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
LETTERS: Final = 2  # of a short name, at the most
SCOPES: Final = (*FUNCTIONS, ast.Lambda)
PLAIN: Final = (ast.Name, ast.alias, ast.ExceptHandler)
DOCUMENTED: Final = (ast.Module, ast.ClassDef, *FUNCTIONS)


@cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """All of a tree that nobody changes: it is gone through often."""
    return tuple(ast.walk(tree))


def is_private(name: str) -> bool:
    """Whether by its name it is its module's own."""
    return name.startswith("_") and not name.startswith("__") and len(name) > 1


# ---------------------------------------------------------------- what keeps its name


def texts(tree: ast.Module) -> set[str]:
    """Words of all texts but docstrings: by them things may be asked for."""
    documentation = {
        id(node.body[0].value)
        for node in nodes(tree)
        if isinstance(node, DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return {
        word
        for node in nodes(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
        for word in re.findall(r"\w+", node.value)
    }


def private(tree: ast.Module) -> set[str]:
    """Private names that a module outside says, in any way."""
    found = texts(tree)
    for node in nodes(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return {name for name in found if is_private(name)}


def kept(trees: Iterable[ast.Module]) -> set[str]:
    """Private names that a text or the user of another object says, or that stand for more than one thing."""
    found: set[str] = set()
    for tree in trees:
        found |= texts(tree)
        for node in nodes(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="self") | ast.Call(func=ast.Name(id="super"))):
                    pass
                case ast.Attribute(attr=str(name)) | ast.ExceptHandler(name=str(name)):
                    found.add(name)
                case ast.keyword(arg=str(name)):
                    found.add(name)
                case ast.alias(name=name, asname=asname):
                    found.update((name, asname or name))
                case ast.ClassDef(name=name):
                    own = set(_class_level(node))
                    said = {part.id for part in _outside_functions(node) if isinstance(part.ctx, ast.Load)}
                    found |= {name, *(own & said)}
    return {name for name in found if is_private(name)}


def _class_level(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        if isinstance(statement, FUNCTIONS):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _outside_functions(node: ast.AST) -> Iterator[ast.Name]:
    """Names said where a class is made, not where its functions run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Name):
            yield child
        elif isinstance(child, FUNCTIONS):
            for outer in (*child.decorator_list, *child.args.defaults, *child.args.kw_defaults):
                if outer is not None:
                    yield from (part for part in ast.walk(outer) if isinstance(part, ast.Name))
        else:
            yield from _outside_functions(child)


# ---------------------------------------------------------------- attributes


def attributes(trees: Mapping[str, ast.Module], keep: Set[str]) -> dict[str, Names]:
    """Short names of private attributes and methods, by module. A short one is nobody's name otherwise, and
    one object has it once: so modules share them whose classes no class inherits from together."""
    taken = short(trees)
    lines = _lines(trees)
    found: dict[str, Names] = {}
    for group in _families(trees):
        owners: dict[str, set[str]] = defaultdict(set)
        for module in group:
            for name in _own_attributes(trees[module]) - keep:
                owners[name].add(module)
        given: dict[str, set[str]] = {module: set(taken) for module in group}
        shorter: dict[str, str] = {}
        for name in sorted(owners, key=lambda name: (-len(owners[name]), name)):
            having = [module for module in group if lines[module] & owners[name]]
            shorter[name] = next(
                one for one in _letters() if not any(one in given[module] for module in having)
            )
            for module in having:
                given[module].add(shorter[name])
        found.update(dict.fromkeys(group, shorter))
    return found


def short(trees: Mapping[str, ast.Module]) -> set[str]:
    """Attributes that are so short by themselves that a private one could get their name."""
    found = {name for tree in trees.values() for name in _methods(tree)}
    for tree in trees.values():
        found |= {node.attr for node in nodes(tree) if isinstance(node, ast.Attribute)}
    return {name for name in found if len(name) <= LETTERS}


def families(trees: Mapping[str, ast.Module]) -> set[str]:
    """Modules whose short names hang on other modules' names."""
    return {module for group in _families(trees) if len(group) > 1 for module in group}


def _letters() -> Iterator[str]:
    yield from ascii_letters
    for pair in itertools.product(ascii_letters, repeat=LETTERS):
        if not iskeyword("".join(pair)):
            yield "".join(pair)


def _methods(tree: ast.Module) -> Iterator[str]:
    for node in nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _class_level(node)


def _own_attributes(tree: ast.Module) -> set[str]:
    found = set(_methods(tree))
    found |= {node.attr for node in nodes(tree) if isinstance(node, ast.Attribute)}
    return {name for name in found if is_private(name)}


def _families(trees: Mapping[str, ast.Module]) -> list[list[str]]:
    """Modules together whose classes inherit from each other's; each module once."""
    family = {module: {module} for module in trees}
    for line in _lines(trees).values():
        joined = {one for module in line for one in family[module]}
        for one in joined:
            family[one] = joined
    return [sorted(group) for group in {id(group): group for group in family.values()}.values()]


def _lines(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Of each module: it, and those that its classes inherit from, however far."""
    lines = {module: {module} for module in trees}
    for module, tree in trees.items():
        bases = [base for node in nodes(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
        lines[module].update(other for base in bases for other in _said_of(base, module, trees))
    size = 0
    while size != (size := sum(map(len, lines.values()))):
        for line in lines.values():
            line.update(*(lines[other] for other in tuple(line)))
    return lines


def _said_of(base: ast.expr, module: str, trees: Mapping[str, ast.Module]) -> Iterator[str]:
    """Modules that a base class may come from: those that an import of its name leads through."""
    name = base.id if isinstance(base, ast.Name) else ast.unparse(base).partition(".")[0]
    for node in nodes(trees[module]):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                if (alias.asname or alias.name) != name:
                    continue
                for other in (node.module, f"{node.module}.{alias.name}"):
                    if other in trees and other != module:
                        yield other
                        if isinstance(base, ast.Name):
                            yield from _said_of(ast.Name(alias.name), other, trees)


# ---------------------------------------------------------------- one module


def shorten(tree: ast.Module, own: Names, keep: Set[str], keywords: Set[str]) -> dict[str, str]:
    """Shorten what is private in a module, and its arguments. own: of its attributes; keep, keywords: names
    of functions and values, and of arguments, that stay. Returns what functions are called now -> before."""
    functions = _shorten_attributes(tree, own)
    _shorten_arguments(tree, keywords)
    return {**functions, **_shorten_own(tree, keep, set(functions))}


def _shorten_attributes(tree: ast.Module, own: Names) -> dict[str, str]:
    functions = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            node.attr = own.get(node.attr, node.attr)
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, FUNCTIONS) and statement.name in own:
                    functions[own[statement.name]] = statement.name
                    statement.name = own[statement.name]
                elif isinstance(statement, ast.Assign):
                    for target in statement.targets:
                        _rename(target, own)
    return functions


def _rename(tree: ast.AST, names: Names) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)


def _shorten_own(tree: ast.Module, keep: Set[str], taken: Set[str]) -> dict[str, str]:
    """Functions and values of the module itself; a function by no name that a method has got."""
    functions = {statement.name for statement in tree.body if isinstance(statement, FUNCTIONS)}
    values = {
        node.id
        for statement in tree.body
        if not isinstance(statement, (*FUNCTIONS, ast.ClassDef))
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not _is_const(statement)
    }
    together: dict[str, set[str]] = defaultdict(set)  # name -> all that is said in the same places
    for place in _places(tree):
        names = _names_in(place)
        for name in names:
            together[name] |= names
    short: dict[str, str] = {}
    level = _names_outside(tree) | functions | values
    for name in sorted({name for name in functions | values if is_private(name) and name not in keep}):
        own = taken if name in functions else frozenset()
        free = (
            letters
            for letters in _letters()
            if letters not in together[name] and letters not in level and letters not in own
        )
        short[name] = next(free)
        level.add(short[name])
        for other in [*together[name]]:
            together[other].add(short[name])
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = short.get(node.id, node.id)
        elif isinstance(node, ast.Global):
            node.names = [short.get(name, name) for name in node.names]
    for statement in tree.body:
        if isinstance(statement, FUNCTIONS):
            statement.name = short.get(statement.name, statement.name)
    return {short[name]: name for name in functions if name in short}


def _is_const(statement: ast.stmt) -> bool:
    """`X = const(3)`, which nothing is left of."""
    return (
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "const"
    )


def _places(tree: ast.Module) -> Iterator[ast.AST]:
    """Functions that stand in no other one."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, SCOPES):
                yield child
            else:
                waiting.append(child)


def _names_in(*places: ast.AST) -> set[str]:
    found: set[str] = set()
    for place in places:
        for node in ast.walk(place):
            match node:
                case ast.Name(id=name) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                    found.add(name)
                case ast.alias(name=name, asname=asname):
                    found.add((asname or name).partition(".")[0])
                case ast.Global(names=names) | ast.Nonlocal(names=names):
                    found.update(names)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    found.add(name)
    return found


def _names_outside(tree: ast.Module) -> set[str]:
    """Names of the module itself: what is said in no function."""
    inner = {id(part) for place in _places(tree) for part in ast.walk(place)}
    return _names_in(*(node for node in ast.walk(tree) if id(node) not in inner and isinstance(node, PLAIN)))


# ---------------------------------------------------------------- arguments


def _shorten_arguments(tree: ast.Module, keywords: Set[str]) -> None:
    """Arguments whose names are nothing else in this module get letters: each the first one that no function
    with it has already."""
    stay = _no_mere_arguments(tree) | keywords
    arguments: dict[str, None] = {}
    together: dict[str, set[str]] = defaultdict(set)
    for place in _places(tree):
        names = _names_in(place)
        for node in ast.walk(place):
            if isinstance(node, ast.arg) and node.arg not in stay and len(node.arg) > 1:
                arguments[node.arg] = None
        for name in names:
            together[name] |= names
    short: dict[str, str] = {}
    for name in arguments:
        free = (letter for letter in ascii_letters if letter not in together[name])
        letter = next(free, None)
        if letter is None:
            continue
        short[name] = letter
        for other in [*together[name]]:
            together[other].add(letter)
    for place in _places(tree):
        for node in ast.walk(place):
            if isinstance(node, ast.arg):
                node.arg = short.get(node.arg, node.arg)
            elif isinstance(node, ast.Name):
                node.id = short.get(node.id, node.id)


def _no_mere_arguments(tree: ast.Module) -> set[str]:
    """Names that something else than an argument or a function's own value has, too."""
    found = {"self", "const", *dir(builtins), *_names_outside(tree)}
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add((asname or name).partition(".")[0])
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                found.update(names)
    return found
