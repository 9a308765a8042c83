"""Decides one request: identity, member, funds, entry. Pure: no socket, file, clock or random number.

`Authorizer.decide(state, request, now)` returns what is to be booked, or raises what must be loaded first;
the caller
does that and asks again.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from switch.authorizer.corrections import Correction
    from switch.authorizer.decide import Authorizer, Due, Elsewhere, Refusal, Repeat
    from switch.authorizer.outcome import Terms
    from switch.authorizer.proof import CardCheck, Limits, Need, NewCode, NewPin, PinCheck
    from switch.authorizer.request import Origin, Original, Request, TooOld

__all__ = [
    "Authorizer",
    "CardCheck",
    "Correction",
    "Due",
    "Elsewhere",
    "Limits",
    "Need",
    "NewCode",
    "NewPin",
    "Origin",
    "Original",
    "PinCheck",
    "Refusal",
    "Repeat",
    "Request",
    "Terms",
    "TooOld",
]

# Where they are. Imported when asked for: what reads a ledger needs identities of here, and nothing else.
_HOMES = {
    "corrections": ("Correction",),
    "decide": ("Authorizer", "Due", "Elsewhere", "Refusal", "Repeat"),
    "outcome": ("Terms",),
    "proof": ("CardCheck", "Limits", "Need", "NewCode", "NewPin", "PinCheck"),
    "request": ("Origin", "Original", "Request", "TooOld"),
}


def __getattr__(name: str) -> Any:
    """One of the above, from its module."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(name)
