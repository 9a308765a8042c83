"""The options that `vafa merchant` and `vafa terminal` have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.registry_change import Format
from tools.registry_words import Locale

Data = Annotated[Path | None, typer.Option(help="The switch's data directory. Default: data.")]
Config = Annotated[Path | None, typer.Option(help="The switch's settings file.")]
Printed = Annotated[Format, typer.Option("--format", help="How to print it.")]
Language = Annotated[Locale, typer.Option("--locale", help="Language of the text.")]
By = Annotated[str | None, typer.Option(help="Who is answerable for it. Default: the system's user.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the log.")]
MerchantId = Annotated[str, typer.Argument(metavar="MERCHANT", help="DE 42: 15 letters or digits.")]
MerchantIds = Annotated[list[str], typer.Argument(metavar="MERCHANT...", help="DE 42: 15 letters or digits.")]
TerminalId = Annotated[str, typer.Argument(metavar="TERMINAL", help="DE 41: 8 letters or digits.")]
TerminalIds = Annotated[list[str], typer.Argument(metavar="TERMINAL...", help="DE 41: 8 letters or digits.")]
Blocked = Annotated[bool, typer.Option("--blocked", help="Only those that are refused.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Hold the registry against its log, which is sealed line by line.")
]
Update = Annotated[bool, typer.Option("--update", help="Change what is registered with other particulars.")]
