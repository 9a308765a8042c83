"""Whatever a request is answered has a text, for cashier and member, in both languages."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from switch.authorizer import batches, limits, outcome, proof
from switch.server import pipeline
from tests.authorizer.shop import DIALECT

ANSWERING: tuple[ModuleType, ...] = (outcome, proof, batches, limits)
OF_PIPELINE = ("NOT_PERMITTED", "SECURITY_ERROR", "PIN_UNAVAILABLE", "UNAVAILABLE", "MALFUNCTION")


def constants(pattern: str) -> set[str]:
    """Texts of this form that the modules which decide answers name, or have in a table."""
    found = {str(getattr(pipeline, name)) for name in OF_PIPELINE}
    for module in ANSWERING:
        for name, value in vars(module).items():
            if name.startswith("__"):
                continue
            in_table = value.values() if isinstance(value, dict) else [value]
            for one in in_table:
                found |= {
                    part for part in (one if isinstance(one, tuple) else (one,)) if isinstance(part, str)
                }
    return {text for text in found if re.fullmatch(pattern, text)}


@pytest.mark.parametrize(
    ("pattern", "table", "least"),
    [("[0-9][0-9A-Z]", "response_codes", 22), ("0[1-6](?!00)[0-9]{2}", "reasons", 33)],
)
def test_every_code_and_reason_has_its_texts(pattern: str, table: str, least: int) -> None:
    texts = getattr(DIALECT, table)
    used = constants(pattern)
    assert len(used) >= least, "they are found"
    for code in used:
        title = texts[code] if table == "reasons" else texts[code].title
        assert title.en, code
        assert re.search("[\u0600-\u06ff]", title.fa), code
        assert not re.search("[a-zA-Z0-9]", title.fa.replace("{0}", "")), code
        assert ("{0}" in title.en) == ("{0}" in title.fa), code
