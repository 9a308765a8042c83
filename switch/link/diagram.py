"""Draws the tables of `switch.link.states`: `python -m switch.link.diagram > docs/link_states.md`.

The page is made from the tables alone; nothing in it is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from switch.link.states import REMOTE_EVENTS, TRANSITIONS, Event, Role, State, Transition

_HEAD = """\
# The states of a link

Made from the tables in `switch/link/states.py` by `python -m switch.link.diagram > docs/link_states.md`; a
test says when this page is stale. How to use a link: [links.md](links.md).

An event that a state does not list is illegal. One of the peer's ({remote})
is then answered "not available" (DE 39 = 91) and counted; any other is a mistake of our own program
(`LocalProtocolError`).
The actions of a transition are done in the order given.
"""

_TITLES = {
    Role.CLIENT: "The end that connects",
    Role.SERVER: "The end that was connected to",
}


def page() -> str:
    """The whole of docs/link_states.md."""
    remote = ", ".join(event.value for event in Event if event in REMOTE_EVENTS)
    parts = [_HEAD.format(remote=remote)]
    for role, title in _TITLES.items():
        parts += [f"## {title}\n", _diagram(role), _table(role)]
    return "\n".join(parts)


def _diagram(role: Role) -> str:
    """Mermaid: one arrow per pair of states, with the events that lead along it; loops stay in the table."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.STOPPED}"]
    arrows: dict[tuple[State, State], list[str]] = {}
    for state, event, transition in _rows(role):
        if transition.state is not state:
            arrows.setdefault((state, transition.state), []).append(event.value)
    lines += [f"    {start} --> {end}: {', '.join(events)}" for (start, end), events in arrows.items()]
    return "\n".join([*lines, "```", ""])


def _table(role: Role) -> str:
    lines = ["| state | event | next | actions |", "|---|---|---|---|"]
    for state, event, transition in _rows(role):
        actions = ", ".join(transition.actions)
        lines.append(f"| {state} | {event.value} | {transition.state} | {actions} |")
    return "\n".join([*lines, ""])


def _rows(role: Role) -> Iterator[tuple[State, Event, Transition]]:
    for state, events in TRANSITIONS[role].items():
        for event, transition in events.items():
            yield state, event, transition


if __name__ == "__main__":
    sys.stdout.write(page())
