"""The life of a link as tables. Everything that changes a link's state stands here, and nothing else does.

Two rules: the tables alone decide (an event that a state doesn't list is illegal), and this file knows no
bytes, no clock and no socket. What is to be done is named (`Do`); `switch.link.core` does it, in order.
docs/link_states.md is drawn from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from switch.link.errors import LocalProtocolError, RemoteProtocolError


class Role(StrEnum):
    """Which end of the connection we are."""

    CLIENT = "client"  # opens the connection, signs on, opens it again when it breaks
    SERVER = "server"  # one accepted connection; when it ends, the link ends


class State(StrEnum):
    STOPPED = "STOPPED"  # no connection and none wanted
    DOWN = "DOWN"  # no connection; the next attempt waits for its time
    CONNECTING = "CONNECTING"  # TCP and TLS are being set up
    SIGNING_ON = "SIGNING_ON"  # connected; business messages not allowed yet, or not any more
    UP = "UP"
    DRAINING = "DRAINING"  # nothing new; what is under way is brought to its end


class Event(StrEnum):
    START = "start"  # the owner wants the link
    ACCEPTED = "accepted"  # a peer's connection was accepted
    RETRY = "retry"  # the back-off is over
    CONNECTED = "connected"
    CONNECT_FAILED = "connect failed"  # refused, unreachable, TLS not agreed, too slow
    SIGNED_ON = "signed on"  # our sign-on was approved, or none is needed
    SIGN_ON_FAILED = "sign-on failed"  # declined, or not there in time
    PEER_SIGNED_ON = "peer signed on"
    PEER_SIGNED_OFF = "peer signed off"
    NETWORK_MESSAGE = "network message"  # from the peer: echo, keys, whatever is no sign-on and no sign-off
    MESSAGE = "message"  # a business request, advice or notification from the peer
    SEND = "send"  # we send such a one
    SILENT = "silent"  # the peer left our echo, or the line, without a word for too long
    UNREADABLE = "unreadable"  # the peer's bytes can't be followed any further
    BROKEN = "broken"  # the connection ended
    STOP = "stop"  # the owner wants the link ended
    EMPTY = "empty"  # nothing under way any more
    SIGNED_OFF = "signed off"  # our sign-off was answered, or none is needed
    DRAIN_EXPIRED = "drain expired"


class Do(StrEnum):
    OPEN = "open"
    SIGN_ON = "sign on"  # send our sign-on
    AWAIT_SIGN_ON = "await sign-on"  # of the peer, within a time
    BACK_OFF = "back off"  # plan the next attempt
    FORGET_FAILURES = "forget failures"  # the next back-off is a short one again
    DELIVER = "deliver"  # the message goes to the handler
    REFUSE = "refuse"  # the message is answered without the handler
    DEAFEN = "deafen"  # read nothing more
    AWAIT_END = "await end"  # of what is under way, within a time
    SIGN_OFF = "sign off"  # send our sign-off
    FAIL = "fail"  # everything in flight ends: link down
    CLOSE = "close"  # after what is written
    ABORT = "abort"  # at once


class Transition(NamedTuple):
    """The state that follows, and what is to be done then, in this order."""

    state: State
    actions: tuple[Do, ...] = ()


_ENDED = Transition(State.STOPPED, (Do.FAIL, Do.CLOSE))
_CUT = Transition(State.STOPPED, (Do.FAIL, Do.ABORT))
_CUT_AND_RETRY = Transition(State.DOWN, (Do.FAIL, Do.ABORT, Do.BACK_OFF))

TRANSITIONS: Mapping[Role, Mapping[State, Mapping[Event, Transition]]] = {
    Role.CLIENT: {
        State.STOPPED: {
            Event.START: Transition(State.CONNECTING, (Do.OPEN,)),
            Event.STOP: Transition(State.STOPPED),
        },
        State.DOWN: {
            Event.RETRY: Transition(State.CONNECTING, (Do.OPEN,)),
            Event.STOP: Transition(State.STOPPED),
        },
        State.CONNECTING: {
            Event.CONNECTED: Transition(State.SIGNING_ON, (Do.SIGN_ON,)),
            Event.CONNECT_FAILED: Transition(State.DOWN, (Do.ABORT, Do.BACK_OFF)),
            Event.STOP: Transition(State.STOPPED, (Do.ABORT,)),
        },
        State.SIGNING_ON: {
            Event.SIGNED_ON: Transition(State.UP, (Do.FORGET_FAILURES,)),
            Event.SIGN_ON_FAILED: Transition(State.DOWN, (Do.FAIL, Do.CLOSE, Do.BACK_OFF)),
            Event.RETRY: Transition(State.SIGNING_ON, (Do.SIGN_ON,)),
            Event.PEER_SIGNED_ON: Transition(State.SIGNING_ON, (Do.SIGN_ON,)),
            Event.PEER_SIGNED_OFF: Transition(State.SIGNING_ON),
            Event.NETWORK_MESSAGE: Transition(State.SIGNING_ON, (Do.DELIVER,)),
            Event.SILENT: _CUT_AND_RETRY,
            Event.UNREADABLE: _CUT_AND_RETRY,
            Event.BROKEN: _CUT_AND_RETRY,
            Event.STOP: Transition(State.DRAINING, (Do.AWAIT_END,)),
        },
        State.UP: {
            Event.SEND: Transition(State.UP),
            Event.MESSAGE: Transition(State.UP, (Do.DELIVER,)),
            Event.NETWORK_MESSAGE: Transition(State.UP, (Do.DELIVER,)),
            Event.PEER_SIGNED_ON: Transition(State.UP),
            Event.PEER_SIGNED_OFF: Transition(State.SIGNING_ON, (Do.BACK_OFF,)),
            Event.SILENT: _CUT_AND_RETRY,
            Event.UNREADABLE: _CUT_AND_RETRY,
            Event.BROKEN: _CUT_AND_RETRY,
            Event.STOP: Transition(State.DRAINING, (Do.AWAIT_END,)),
        },
        State.DRAINING: {
            Event.SIGNED_ON: Transition(State.DRAINING),
            Event.SIGN_ON_FAILED: Transition(State.DRAINING),
            Event.MESSAGE: Transition(State.DRAINING, (Do.REFUSE,)),
            Event.NETWORK_MESSAGE: Transition(State.DRAINING, (Do.REFUSE,)),
            Event.PEER_SIGNED_ON: Transition(State.DRAINING),
            Event.PEER_SIGNED_OFF: Transition(State.DRAINING),
            Event.EMPTY: Transition(State.DRAINING, (Do.SIGN_OFF,)),
            Event.SIGNED_OFF: _ENDED,
            Event.DRAIN_EXPIRED: _ENDED,
            Event.SILENT: _CUT,
            Event.UNREADABLE: _CUT,
            Event.BROKEN: _CUT,
            Event.STOP: Transition(State.DRAINING),
        },
    },
    Role.SERVER: {
        State.STOPPED: {
            Event.ACCEPTED: Transition(State.SIGNING_ON, (Do.AWAIT_SIGN_ON,)),
            Event.STOP: Transition(State.STOPPED),
        },
        State.SIGNING_ON: {
            Event.SIGNED_ON: Transition(State.UP),
            Event.PEER_SIGNED_ON: Transition(State.UP),
            Event.SIGN_ON_FAILED: _ENDED,
            Event.PEER_SIGNED_OFF: Transition(State.SIGNING_ON),
            Event.NETWORK_MESSAGE: Transition(State.SIGNING_ON, (Do.DELIVER,)),
            Event.SILENT: _CUT,
            Event.UNREADABLE: Transition(State.DRAINING, (Do.DEAFEN, Do.AWAIT_END)),
            Event.BROKEN: _CUT,
            Event.STOP: Transition(State.DRAINING, (Do.AWAIT_END,)),
        },
        State.UP: {
            Event.SEND: Transition(State.UP),
            Event.MESSAGE: Transition(State.UP, (Do.DELIVER,)),
            Event.NETWORK_MESSAGE: Transition(State.UP, (Do.DELIVER,)),
            Event.PEER_SIGNED_ON: Transition(State.UP),
            Event.PEER_SIGNED_OFF: Transition(State.SIGNING_ON, (Do.AWAIT_SIGN_ON,)),
            Event.SILENT: _CUT,
            Event.UNREADABLE: Transition(State.DRAINING, (Do.DEAFEN, Do.AWAIT_END)),
            Event.BROKEN: _CUT,
            Event.STOP: Transition(State.DRAINING, (Do.AWAIT_END,)),
        },
        State.DRAINING: {
            Event.MESSAGE: Transition(State.DRAINING, (Do.REFUSE,)),
            Event.NETWORK_MESSAGE: Transition(State.DRAINING, (Do.REFUSE,)),
            Event.PEER_SIGNED_ON: Transition(State.DRAINING),
            Event.PEER_SIGNED_OFF: Transition(State.DRAINING),
            Event.EMPTY: _ENDED,
            Event.DRAIN_EXPIRED: _ENDED,
            Event.SILENT: _CUT,
            Event.UNREADABLE: Transition(State.DRAINING, (Do.DEAFEN,)),
            Event.BROKEN: _CUT,
            Event.STOP: Transition(State.DRAINING),
        },
    },
}

# Events the peer causes. Where a state doesn't list one, it is the peer's fault, and may be repaired by it:
# "91", not available, is the answer that says "later".
REMOTE_EVENTS: Mapping[Event, str] = {
    Event.MESSAGE: "91",
    Event.NETWORK_MESSAGE: "91",
    Event.PEER_SIGNED_ON: "91",
    Event.PEER_SIGNED_OFF: "91",
}

CONNECTED_STATES = frozenset({State.SIGNING_ON, State.UP, State.DRAINING})


class Life:
    """Where one link stands. It begins STOPPED."""

    __slots__ = ("_table", "role", "state")

    def __init__(self, role: Role) -> None:
        self.role = role
        self.state = State.STOPPED
        self._table = TRANSITIONS[role]

    def on(self, event: Event) -> tuple[Do, ...]:
        """Take the transition of `event`; what is to be done now.

        An illegal event changes nothing and raises: `RemoteProtocolError` when the peer caused it,
        `LocalProtocolError` otherwise.
        """
        transition = self._table[self.state].get(event)
        if transition is None:
            what = f"{event} is not allowed to a {self.role} link that is {self.state}"
            code = REMOTE_EVENTS.get(event)
            raise LocalProtocolError(what) if code is None else RemoteProtocolError(what, code)
        self.state = transition.state
        return transition.actions

    def allows(self, event: Event) -> bool:
        return event in self._table[self.state]
