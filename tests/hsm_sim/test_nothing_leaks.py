"""Known keys, PINs, card numbers and blocks go through every command, right and wrong; none shows in what is
logged, recorded, counted or printed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import switch.hsm_sim
from switch.hsm_sim.layouts import COMMANDS
from tests.hsm_sim.boxes import HEADER, Box, Message
from tests.hsm_sim.captures import OTHER_SIMULATOR, REAL_BOX

# What only secrets and card numbers look like: long runs of hex digits. Check values (6), LMK ids and key
# types are shorter; an initial key id is public and not among the captures.
LONG_RUN = re.compile(r"[0-9A-Fa-f]{10,}")


def variations(request: str) -> list[str]:
    """The request, cut short, with something wrong in the middle, with too much behind it."""
    middle = 2 + (len(request) - 2) // 2
    wrong = "7" if request[middle : middle + 1] != "7" else "8"
    return [
        request,
        request[: max(len(request) - 1, 2)],
        request[:middle],
        request[:middle] + wrong + request[middle + 1 :],
        request[:middle] + "\xff" + request[middle + 1 :],
        request + "12345678901234567890",
        request.replace("%01", "%02"),
    ]


def test_no_request_shows_in_log_audit_or_counters() -> None:
    box = Box(authorised=True)
    shown, used = [], set()
    for capture in (*REAL_BOX, *OTHER_SIMULATOR):
        for request in variations(capture.request):
            data = request.encode("latin-1")
            _, refusal = box.machine.answer(Message(HEADER, data[:2], data[2:]))
            shown.append(repr(refusal))
            used.add(request[:2])
    text = "\n".join([*shown, repr(box.recorded), repr(box.machine), repr(box.machine.counters)])
    assert used <= set(COMMANDS)
    assert len(box.recorded) > 10
    assert LONG_RUN.findall(re.sub("0x[0-9a-f]+", "", text)) == []  # but for addresses of functions


def test_no_value_that_a_handler_gets_prints_its_secrets() -> None:
    for capture in (*REAL_BOX, *OTHER_SIMULATOR):
        layout = COMMANDS[capture.request[:2]]
        if "B3" in capture.answer[:2]:
            continue  # echo: its data are the host's own
        fields = layout.parse_request(capture.request[2:].encode("latin-1"))
        tokens = [value for value in fields.values() if hasattr(value, "scheme")]
        assert LONG_RUN.findall(repr(tokens)) == []


SECRETS = {"mac", "kcv", "pvv", "cvv", "tag", "verifier", "offset", "pin", "passphrase", "seal", "head"}


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def test_secrets_are_compared_in_constant_time_only() -> None:
    found = []
    for path in sorted(Path(switch.hsm_sim.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                names = {name_of(side) for side in (node.left, *node.comparators)}
                if names & SECRETS:
                    found.append(f"{path.name}:{node.lineno}")
    assert found == []
