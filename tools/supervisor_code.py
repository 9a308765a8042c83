"""`vafa terminal supervisor-code`: a supervisor's code as terminals' settings and parameters have it.

The code is asked for, twice, and shown nowhere; only salt and hash leave.
"""

from __future__ import annotations

import json
import os

import typer

from terminal.flows.supervisor import LONGEST, SALT_BYTES, SHORTEST, hashed
from terminal.text import is_digits, latin_digits
from tools.cli import CommandError, ExitCode


def supervisor_code() -> None:
    """Make the `supervisor` setting of a code: 4 to 8 digits, asked for without showing them.

    Example: vafa terminal supervisor-code > supervisor.json
    """
    code = latin_digits(typer.prompt("code", hide_input=True, confirmation_prompt=True, err=True))
    if not is_digits(code) or not SHORTEST <= len(code) <= LONGEST:
        raise CommandError(
            f"a supervisor's code has {SHORTEST} to {LONGEST} digits",
            ExitCode.USAGE,
            "vafa terminal supervisor-code",
        )
    salt = os.urandom(SALT_BYTES)
    found = hashed(bytearray(int(digit) for digit in code), salt)
    typer.echo(json.dumps({"supervisor": {"salt": salt.hex(), "hash": found.hex()}}))
