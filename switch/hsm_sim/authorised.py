"""The authorised state: which key management activities two officers have allowed, and until when.

Nothing here reads a clock, a file or a passphrase: `now` is given (seconds, monotonic), and whoever calls
has already checked who the officers are. An activity is `what.key.host`: what is generate, component, import
or export; key is a three-digit key type of the variant LMK or a two-character usage of a key block, or `*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from switch.people import all_different

ACTIONS: Final = ("generate", "component", "import", "export")
LONGEST_MINUTES: Final = 12 * 60  # the real box's longest period; nobody leaves a door open overnight
OFFICERS_NEEDED: Final = 2
# More than all types and usages together; what a host could make us remember stays small.
MOST_ACTIVITIES: Final = 256

_ACTIVITY = re.compile(r"(generate|component|import|export|\*)(?:\.(\*|[0-9A-Za-z]{2,3})(?:\.host)?)?")


class AuthorisationError(ValueError):
    """The officers can't allow this; the text says why and holds no secret."""


def activity_named(text: str) -> str:
    """The full name of an activity as an officer typed it: `export` is `export.*.host`, `export.p0` is
    `export.P0.host`, `*` is everything. Raises AuthorisationError."""
    match = _ACTIVITY.fullmatch(text.strip())
    if match is None:
        raise AuthorisationError(
            f"no activity is called {text.strip()[:40]!r}: "
            f"{', '.join(ACTIONS)} or *, then for one key type .000 or .K0"
        )
    action, key = match.group(1), match.group(2) or "*"
    return f"{action}.{key.upper()}.host"


@dataclass(slots=True)
class AuthorisedState:
    """What is allowed now. Times are of the caller's monotonic clock."""

    _until: dict[str, float] = field(default_factory=dict)

    def authorise(
        self, activities: Iterable[str], officers: tuple[str, ...], minutes: int, now: float
    ) -> tuple[str, ...]:
        """Two officers allow activities for 1 to 720 minutes, or as long as they were allowed already when
        that is longer; returns their full names.

        Raises AuthorisationError: fewer than two officers, the same one twice, no such activity or period.
        """
        if len(officers) < OFFICERS_NEEDED or not all_different(officers):
            raise AuthorisationError("two different officers have to be there")
        if not 1 <= minutes <= LONGEST_MINUTES:
            raise AuthorisationError(f"a period is 1 to {LONGEST_MINUTES} minutes, not {minutes}")
        names = tuple(dict.fromkeys(activity_named(activity) for activity in activities))
        if not names:
            raise AuthorisationError("name at least one activity")
        self._forget_past(now)
        if len(self._until.keys() | set(names)) > MOST_ACTIVITIES:
            raise AuthorisationError(f"more than {MOST_ACTIVITIES} activities at once")
        for name in names:
            self._until[name] = max(self._until.get(name, now), now + minutes * 60)
        return names

    def allows(self, action: str, key: str, now: float) -> bool:
        """Whether `action` on keys of this type or usage is allowed at `now`."""
        return bool(self._until) and now < self._end(action, key.upper(), now)

    def seconds_left(self, name: str, now: float) -> int:
        """How long an activity by its full name is allowed still, by itself or by one that includes it."""
        action, key, _ = name.split(".")
        return int(self._end(action, key, now) - now)

    def _end(self, action: str, key: str, now: float) -> float:
        names = (f"{one}.{other}.host" for one in (action, "*") for other in (key, "*"))
        return max(self._until.get(name, now) for name in names)

    def active(self, now: float) -> dict[str, int]:
        """Activities allowed at `now` and the seconds they are still allowed."""
        self._forget_past(now)
        return {name: int(until - now) for name, until in sorted(self._until.items())}

    def cancel(self) -> None:
        """Nothing is allowed any more (command RA, or an officer's word)."""
        self._until.clear()

    def _forget_past(self, now: float) -> None:
        for name in [name for name, until in self._until.items() if until <= now]:
            del self._until[name]
