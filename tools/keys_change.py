"""`vafa keys change`: asks the switch that runs here to change a partner's key by message, and waits.

The switch does it; two officers agree to it and the log says so. No key passes through here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from switch.settings import Settings
from tools.cli import CommandError, ExitCode

# The switch looks once a second and waits 15 s for the partner's answer; twice that, and somebody is told.
WAIT_S = 35.0
LOOK_S = 0.1


def check_changeable(settings: Settings, name: str) -> tuple[str, str]:
    """Partner and kind of a sending key that can be changed by message. Raises CommandError."""
    _zone, _, rest = name.partition("/")
    partner, _, key = rest.partition("/")
    kind, _, direction = key.partition("-")
    if not name.startswith("zone/") or direction != "send":
        raise CommandError(
            f"{name} is no key that is changed by message",
            ExitCode.USAGE,
            "name zone/PARTNER/mac-send or pin-send: the partner changes the others",
        )
    if partner not in [one.name for one in settings.partners]:
        raise CommandError(
            f"no partner {partner!r} in {settings.source}", ExitCode.USAGE, "see vafa partner list"
        )
    return partner, kind


def asked(settings: Settings, partner: str, kind: str) -> Path:
    """Ask for the change; where the outcome will stand."""
    # Here, for no other command of keys needs the switch's own parts.
    from switch.server.partners import CHANGES, DONE

    directory = settings.data / CHANGES
    place = directory / f"{partner}.{kind}"
    outcome = place.with_name(place.name + DONE)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        outcome.unlink(missing_ok=True)
        place.touch()
    except OSError as error:
        raise CommandError(
            f"{directory}: can't be written ({error.strerror})",
            ExitCode.CONFIGURATION,
            "check its permissions",
        ) from None
    return outcome


def outcome_of(
    outcome: Path, *, sleep: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """What became of it. Raises CommandError: it was refused, or nobody took it up."""
    from switch.server.partners import DONE

    until = now() + WAIT_S
    while not outcome.exists():
        if now() > until:
            outcome.with_name(outcome.name.removesuffix(DONE)).unlink(missing_ok=True)
            raise CommandError(
                "the switch said nothing about it", ExitCode.NETWORK, "look into its log before you ask again"
            )
        sleep(LOOK_S)
    told = json.loads(outcome.read_text(encoding="utf-8"))
    outcome.unlink()
    if "error" in told:
        raise CommandError(told["error"], ExitCode.NEGATIVE, "the key so far stays in use; ask again later")
    assert isinstance(told, dict)
    return told
