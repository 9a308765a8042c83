"""docs/settings.md shows a file that the switch reads, with every key and its true default."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from switch.settings import TABLES, TERMINAL_KEYS, load

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def example() -> str:
    [text] = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert isinstance(text, str)
    return re.sub(r'"(\d+) hexadecimal digits"', lambda found: f'"{"a" * int(found[1])}"', text)


def test_the_example_is_read_and_names_every_key(tmp_path: Path) -> None:
    path = tmp_path / "switch.toml"
    path.write_text(example(), encoding="utf-8")
    load(path)
    document = tomllib.loads(example())
    [terminal] = document.pop("terminals")
    assert set(terminal) == set(TERMINAL_KEYS)
    for name, keys in TABLES.items():
        shown = {key for key in document if key not in TABLES} if name == "" else set(document[name])
        assert shown == set(keys)


def test_the_example_shows_the_defaults() -> None:
    document = tomllib.loads(example())
    for name, keys in TABLES.items():
        for key, rule in keys.items():
            if rule.default is not None:
                shown = document[key] if name == "" else document[name][key]
                assert shown == rule.default, f"{name}.{key}"
