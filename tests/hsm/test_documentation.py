"""docs/hsm.md says what the adapters offer and how they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.hsm.payshield import MOST_IN_FLIGHT, STANDARD
from switch.hsm.pkcs11 import LABEL_PREFIX
from switch.hsm.port import Capability, Fault, KeyUse
from tests.hsm.boxes import OFFERED

PAGE = (Path(__file__).parent.parent.parent / "docs" / "hsm.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| ") and (cells := [cell.strip() for cell in line.strip("|").split("|")])
}


@pytest.mark.parametrize("capability", Capability)
def test_the_table_says_what_each_adapter_offers(capability: Capability) -> None:
    said = [cell.split()[0] == "yes" for cell in ROWS[str(capability.name)]]
    assert said == [capability in OFFERED[name] for name in ("in-process", "payshield", "pkcs11")]


@pytest.mark.parametrize("capability", Capability)
def test_the_table_says_what_needs_the_private_range(capability: Capability) -> None:
    assert ("¹" in ROWS[str(capability.name)][1]) is (capability not in STANDARD)


def test_every_fault_is_explained() -> None:
    assert {fault.value for fault in Fault} <= ROWS.keys()


def test_figures_and_names_are_those_of_the_code() -> None:
    assert f"At most {MOST_IN_FLIGHT} calls" in PAGE
    for use in (KeyUse.MAC, KeyUse.MAC_HMAC, KeyUse.BASE_DERIVATION):
        assert f"`{LABEL_PREFIX}{use.name}`" in PAGE
