"""The commands shown in docs/registry.md, run for real. `python -m tests.tools.registry_examples` writes what
they print into the page again; a test says when it is stale.
"""

from __future__ import annotations

import re

from tests.tools import keys_examples
from tests.tools.kit import CHECKOUT

PAGE = CHECKOUT / "docs" / "registry.md"
# What differs from run to run beside what differs in the examples of the keys.
VOLATILE = (
    (re.compile(r"1[34]\d\d/\d\d/\d\d \d\d:\d\d"), "1405/06/10 08:30"),
    (re.compile(r"^(initial key     )[0-9A-F]{8}", re.MULTILINE), r"\g<1>0A0B0C0D"),
    (re.compile(r"(by A\. Rahimi) \(\S+\)"), r"\1 (operator)"),
)


def rendered(page: str) -> str:
    """The page with the output of every command as it is now."""
    page = keys_examples.rendered(page)
    for pattern, instead in VOLATILE:
        page = pattern.sub(instead, page)
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
