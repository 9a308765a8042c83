"""The end of a link that opens it: connects, signs on, tries again when it breaks. Pure, like the core.

`switch.link.stream.Client` runs it on sockets.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from switch.link.core import DOUBLINGS_MAXIMUM, Action, Link, LinkSettings, Open
from switch.link.states import CONNECTED_STATES, Event, Role, State


@dataclass(frozen=True, slots=True)
class ClientSettings(LinkSettings):
    """`LinkSettings` and what only the opening end needs. Times are seconds.

    connect_timeout_s: for TCP and TLS together.
    back_off_first_s, back_off_longest_s: the n-th attempt in a row that fails is followed by a wait drawn
    evenly between 0 and first x 2^(n-1), at most the longest ("full jitter": a thousand clients of one host
    that went down don't come back in one second).
    """

    echo_after_s: float | None = 60.0
    connect_timeout_s: float = 10.0
    back_off_first_s: float = 0.5
    back_off_longest_s: float = 60.0


class ClientLink(Link):
    """One link to a host. `uniform`: random numbers in [0, 1), for the back-off.

    link = ClientLink(ClientSettings(dialect))
    link.start(now)                 -> [Changed(CONNECTING), Open()]
    link.connected(now)             -> [Changed(SIGNING_ON), Write(0800)]
    link.received(data, now)        -> [Changed(UP)]
    link.request(message, now)      -> ticket, [Write(...)]
    link.received(data, now)        -> [Ended(ticket, answer)]
    """

    settings: ClientSettings

    def __init__(
        self,
        settings: ClientSettings,
        uniform: Callable[[], float] = random.random,
        next_stan: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(Role.CLIENT, settings, next_stan)
        self._uniform = uniform
        self._failures_running = 0

    def start(self, now: float) -> list[Action]:
        """Begin: the link is wanted from now on, until `stop`. `LocalProtocolError` when it is already."""
        self._catch_up(now)
        self._failures_running = 0
        self._on(Event.START, now)
        return self._done(now)

    def connected(self, now: float) -> list[Action]:
        """The connection that `Open` asked for is there, TLS included."""
        self._catch_up(now)
        if self.state is State.CONNECTING:
            self._begin_connection(now)
            self._on(Event.CONNECTED, now)
        return self._done(now)

    def connect_failed(self, now: float, why: str) -> list[Action]:
        """The connection that `Open` asked for can't be had."""
        self._catch_up(now)
        if self.state is State.CONNECTING:
            self._on(Event.CONNECT_FAILED, now, why)
        return self._done(now)

    def _open(self, now: float) -> None:
        self._timers[Event.CONNECT_FAILED] = now + self.settings.connect_timeout_s
        self._out.append(Open())

    def _sign_on(self, now: float) -> None:
        self._timers.pop(Event.RETRY, None)
        if Event.SIGN_ON_FAILED in self._own.values():
            return  # one is under way
        code = self._network.sign_on
        if code is None:
            self._on(Event.SIGNED_ON, now)
        else:
            self._send_own(code, Event.SIGN_ON_FAILED, self.settings.sign_on_timeout_s, now)

    def _back_off(self, now: float) -> None:
        self._failures_running += 1
        self.counters.failures += self.state not in CONNECTED_STATES
        settings = self.settings
        doublings = min(self._failures_running - 1, DOUBLINGS_MAXIMUM)
        ceiling = min(settings.back_off_longest_s, settings.back_off_first_s * 2**doublings)
        self._timers[Event.RETRY] = now + self._uniform() * ceiling

    def _forget_failures(self, now: float) -> None:
        self._failures_running = 0
