"""The commands shown in docs/partners.md, run for real. `python -m tests.tools.partner_examples` writes what
they print into the page again; a test says when it is stale.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from simulators.partner import ACCEPTOR, TERMINAL
from tests import forked
from tests.server.partner_kit import PartneredSwitch
from tests.server.running_switch import TerminalSide
from tests.tools.keys_examples import BLOCK, COMMAND, _environment
from tests.tools.kit import CHECKOUT

PAGE = CHECKOUT / "docs" / "partners.md"
CARD = "9364001234567898"
POINTS = 25
TRIAL = '\n[[partners]]\nname = "TRIAL"\nport = 0\nacquirers = ["627001"]\nmac = "off"\n'
BALANCE = f"""\
{{"mti": "0100", "fields": {{"2": "{CARD}", "3": "310000", "7": "0101000000", "11": "000000", "22": "012",
 "32": "627001", "41": "{TERMINAL}", "42": "{ACCEPTOR}", "49": "364"}}}}
"""
SHOWN_PORTS = {"TRIAL": "8600", "BANK": "8601"}
# The check value differs from run to run.
VOLATILE = ((re.compile(r"KCV [0-9A-F]{6}"), "KCV 4F2A91"),)


def rendered(page: str) -> str:
    """The page with the output of every command as it is now."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        switch = PartneredSwitch(directory / "data", TRIAL)
        try:
            side = TerminalSide(switch)
            for request in (side.activation(CARD), side.earn(CARD, POINTS * 10_000)):
                assert side.ask(request)["39"] == "00"
            side.line.close()
            (directory / "balance.json").write_text(BALANCE, encoding="utf-8")
            return BLOCK.sub(lambda block: _run(block[1], directory, switch), page)
        finally:
            switch.stop()


def _run(block: str, directory: Path, switch: PartneredSwitch) -> str:
    ports = {shown: str(switch.port_of(partner)) for partner, shown in SHOWN_PORTS.items()}
    output = ""
    for command in COMMAND.findall(block):
        used = command.replace(SHOWN_PORTS["TRIAL"], ports[SHOWN_PORTS["TRIAL"]])
        ended = forked.shown(used, directory, _environment(directory))
        told = ended.stdout
        for pattern, instead in VOLATILE:
            told = pattern.sub(instead, told)
        for partner, shown in SHOWN_PORTS.items():  # the settings say 0: any free one
            told = told.replace(f"{partner}  127.0.0.1:0 ", f"{partner}  127.0.0.1:{shown} ")
        output += f"$ {command}\n{told}"
    return f"```console\n{output}```"


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
