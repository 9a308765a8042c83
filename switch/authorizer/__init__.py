"""Decides one request: identity, member, funds, entry. Pure: no socket, file, clock or random number.

`Authorizer.decide(state, request, now)` returns what is to be booked, or raises what must be loaded first;
the caller
does that and asks again.
"""

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
