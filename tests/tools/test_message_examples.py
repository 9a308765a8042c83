"""The page docs/message_kit.md shows what the commands really print."""

from __future__ import annotations

import re
from pathlib import Path

from simulators.bank_host.rules import ACTIONS, read
from switch.iso8583 import load
from switch.link.framing import FRAMING_SYNONYMS, LENGTH_HEADERS
from tests.tools.message_examples import BLOCK, PAGE, rendered


def test_every_command_prints_what_the_page_shows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(BLOCK.findall(page)) > 8
    assert rendered(page) == page, "run python -m tests.tools.message_examples"


def test_every_verb_is_shown() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for verb in (
        "view",
        "diff",
        "redact",
        "convert",
        "validate",
        "doctor",
        "sample",
        "send",
        "serve",
        "pcap",
    ):
        assert f"vafa message {verb}" in page


def test_the_rules_shown_are_rules(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "rules.toml"
    file.write_text(text, encoding="utf-8")
    rules = read(file, load("iso87-ascii"))
    assert [rule.name for rule in rules.rules] == ["stolen-card", "slow-sometimes"]


def test_every_action_and_framing_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in (*ACTIONS, *FRAMING_SYNONYMS, *(name for name in LENGTH_HEADERS if "inclusive" not in name)):
        assert f"`{name}`" in page
