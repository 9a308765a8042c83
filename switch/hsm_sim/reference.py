"""The reference of host commands, made from the layouts, the key table and the error codes, as Markdown."""

from __future__ import annotations

from typing import Any, Final

from switch.hsm_sim.errors import ERRORS
from switch.hsm_sim.fields import Part, Record
from switch.hsm_sim.key_usage import OPERANDS, Operand
from switch.hsm_sim.layouts import COMMANDS, Layout

BEGIN: Final = "<!-- made by `vafa hsm reference`: begin -->"
END: Final = "<!-- made by `vafa hsm reference`: end -->"


def reference() -> str:
    """Commands with their fields, what their key operands accept, error codes."""
    lines = ["### Commands", ""]
    for layout in COMMANDS.values():
        lines += _command(layout)
    lines += ["### Keys that the operands accept", ""]
    lines += ["| Command | Operand | Key block usage | Modes | Algorithms | Variant LMK type | Wrong |"]
    lines += ["|---|---|---|---|---|---|---|"]
    lines += [_operand(code, name, operand) for (code, name), operand in OPERANDS.items()]
    lines += ["", "### Error codes", "", "| Code | Meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in ERRORS.items()]
    return "\n".join(lines) + "\n"


def _command(layout: Layout) -> list[str]:
    request = _fields(layout.request)[:-1]  # what may follow every request is told once, above
    answer = _fields(layout.answer)
    lines = [f"**{layout.code}** {layout.title}", ""]
    lines += [f"- request: {', '.join(request) or 'nothing'}"]
    lines += [f"- answer: {', '.join(answer) or 'nothing'}"]
    if layout.warnings:
        lines += [f"- codes that come with the answer's fields: 00, {', '.join(layout.warnings)}"]
    if layout.note:
        lines += [f"- {layout.note}"]
    return [*lines, ""]


def _fields(struct: Record) -> list[str]:
    return [text for field in struct.subcons if (text := _field(field))]


def _field(renamed: Any) -> str:
    name = str(renamed.name)
    field = renamed.subcon
    if name.startswith("_"):
        return f"`{_shape(field)}`"
    when = f" ({field.when})" if isinstance(field, Part) else ""
    return f"{name.replace('_', ' ')} `{_shape(field)}`{when}"


def _shape(field: Any) -> str:
    shape = str(getattr(field, "shape", "")) or "k, that many"
    return shape.replace("[[", "[").replace("]]", "]")


def _operand(code: str, name: str, operand: Operand) -> str:
    cells = (
        code,
        name.replace("_", " "),
        " ".join(sorted(operand.usages)),
        " ".join(sorted(operand.modes)),
        " ".join(sorted(operand.algorithms)),
        " ".join(operand.types) or "none",
        operand.wrong,
    )
    return f"| {' | '.join(cells)} |"
