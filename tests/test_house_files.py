"""What holds for every file of the project: docstrings, no place or host of one machine, a pinned lock."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("terminal", "switch", "simulators", "tools")

# Put together from pieces, so that this file does not match itself.
MACHINE_DIRECTORIES = ("work", "tmp", "root", "home")
MACHINE_PATH = re.compile(r"(?<![\w.})/])/(?:" + "|".join(MACHINE_DIRECTORIES) + r")/")
REGISTRY_HOSTS = tuple(
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("security", "debian", "org"),
        ("crates", "io"),
    )
)
REGISTRY = re.compile("|".join(re.escape(host) for host in REGISTRY_HOSTS), re.IGNORECASE)


def tracked_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    files = [CHECKOUT / name for name in listing.split("\0") if name]
    return [path for path in files if path.is_file()]


def machine_names_in(text: str) -> list[str]:
    """Lines that name a directory of one machine or the host of a package registry."""
    return [line for line in text.splitlines() if MACHINE_PATH.search(line) or REGISTRY.search(line)]


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    files = tracked_files()
    assert len(files) > 1
    found = {
        str(path.relative_to(CHECKOUT)): lines
        for path in files
        if (lines := machine_names_in(path.read_bytes().decode("utf-8", "replace")))
    }
    assert found == {}


@pytest.mark.parametrize("directory", MACHINE_DIRECTORIES)
@pytest.mark.parametrize("before", ["", '"', "cd ", "path="])
def test_a_planted_machine_path_is_found(directory: str, before: str) -> None:
    assert machine_names_in(f"{before}/{directory}/vafa") != []


@pytest.mark.parametrize("host", REGISTRY_HOSTS)
def test_a_planted_registry_is_found(host: str) -> None:
    assert machine_names_in(f"see https://{host}/simple") != []


@pytest.mark.parametrize("text", ["build/work/a", "{directory}/tmp/b", "at home / at work", "../root/x"])
def test_other_text_is_not_taken_for_a_machine_path(text: str) -> None:
    assert machine_names_in(text) == []


def test_every_module_says_what_lives_there() -> None:
    modules = [path for package in PACKAGES for path in sorted((CHECKOUT / package).rglob("*.py"))]
    silent = [str(path.relative_to(CHECKOUT)) for path in modules if not docstring(path)]
    assert modules
    assert silent == []


def docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_bytes()))


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_lock_pins_every_requirement_by_hash_and_names_no_index() -> None:
    text = (CHECKOUT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    pinned = re.compile(r"[a-z0-9._-]+(?:\[[a-z, ]+\])?==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", re.DOTALL)
    assert [entry for entry in entries if not pinned.match(entry)] == []
    assert not re.search(r"://|--(extra-)?index|--find-links|-f |-i ", text)
    locked = {re.split(r"==|\[", entry)[0] for entry in entries}
    assert declared_requirements() <= locked


def declared_requirements() -> set[str]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        project["build-system"]["requires"],
    ]
    return {re.split(r"[^\w-]", requirement)[0] for group in groups for requirement in group}
