"""The end of a link that was accepted: one connection of a peer, which may have to sign on. Pure, like the
core.

`switch.link.stream.Server` runs many of them on a listening socket. The switch's own server is another one
(switch/server): its terminals are many, short of words and checked by MAC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from switch.iso8583 import Message
from switch.link.core import Action, Link, LinkSettings
from switch.link.states import Event, Role


@dataclass(frozen=True, slots=True)
class ServerSettings(LinkSettings):
    """`LinkSettings` and what only the accepting end needs.

    sign_on_required: business messages before the peer's sign-on are answered "unavailable", and a peer that
    doesn't sign on within sign_on_timeout_s is let go. Without it every connection is up at once.
    sign_on: makes the answer to a sign-on (DE 39 decides whether the peer is signed on); without, all are
    approved. Pure: it must not wait.
    """

    idle_timeout_s: float | None = 300.0
    sign_on_required: bool = False
    sign_on: Callable[[Message], Message] | None = None


class ServerLink(Link):
    """One accepted connection."""

    settings: ServerSettings

    def __init__(self, settings: ServerSettings, next_stan: Callable[[], int] | None = None) -> None:
        super().__init__(Role.SERVER, settings, next_stan)

    def accepted(self, now: float) -> list[Action]:
        """The connection is there, TLS included. Once: an ended link stays ended."""
        assert not self.counters.connections, "one link, one connection"
        self._begin_connection(now)
        self._on(Event.ACCEPTED, now)
        return self._done(now)

    def _await_sign_on(self, now: float) -> None:
        if self.settings.sign_on_required and self._network.sign_on is not None:
            self._timers[Event.SIGN_ON_FAILED] = now + self.settings.sign_on_timeout_s
        else:
            self._on(Event.SIGNED_ON, now)

    def _sign_on_answer(self, message: Message) -> Message:
        make = self.settings.sign_on
        answer = super()._sign_on_answer(message) if make is None else make(message)
        if self._network.approves(answer):
            self.counters.sign_ons += 1
        return answer
