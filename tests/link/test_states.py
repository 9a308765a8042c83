"""The tables of a link's life are whole, and nothing but them decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from switch.link import diagram
from switch.link.errors import LinkError, LocalProtocolError, RemoteProtocolError
from switch.link.states import CONNECTED_STATES, REMOTE_EVENTS, TRANSITIONS, Do, Event, Life, Role, State

PAGE = Path(__file__).resolve().parents[2] / "docs" / "link_states.md"

ROWS = [
    (role, state, event, transition)
    for role, states in TRANSITIONS.items()
    for state, events in states.items()
    for event, transition in events.items()
]
ILLEGAL = [
    (role, state, event)
    for role, states in TRANSITIONS.items()
    for state, events in states.items()
    for event in Event
    if event not in events
]


def life_in(role: Role, state: State) -> Life:
    life = Life(role)
    life.state = state
    return life


@pytest.mark.parametrize(("role", "state", "event", "transition"), ROWS)
def test_a_legal_event_leads_where_the_table_says(role, state, event, transition) -> None:  # type: ignore[no-untyped-def]
    life = life_in(role, state)
    assert life.allows(event)
    assert life.on(event) == transition.actions
    assert life.state is transition.state


@pytest.mark.parametrize(("role", "state", "event"), ILLEGAL)
def test_an_illegal_event_changes_nothing_and_names_who_is_to_blame(
    role: Role, state: State, event: Event
) -> None:
    life = life_in(role, state)
    assert not life.allows(event)
    expected = RemoteProtocolError if event in REMOTE_EVENTS else LocalProtocolError
    with pytest.raises(LinkError, match=f"{event} is not allowed") as caught:
        life.on(event)
    assert type(caught.value) is expected
    assert life.state is state


def test_the_peers_fault_comes_with_the_response_code_to_answer_with() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        life_in(Role.SERVER, State.SIGNING_ON).on(Event.MESSAGE)
    assert caught.value.response_code == "91"


@pytest.mark.parametrize("role", Role)
def test_every_state_is_reached_and_every_state_can_be_stopped(role: Role) -> None:
    table = TRANSITIONS[role]

    def reachable(start: State) -> set[State]:
        seen, todo = {start}, [start]
        while todo:
            for transition in table[todo.pop()].values():
                if transition.state not in seen:
                    seen.add(transition.state)
                    todo.append(transition.state)
        return seen

    assert reachable(State.STOPPED) == set(table)
    assert all(State.STOPPED in reachable(state) for state in table)


@pytest.mark.parametrize("role", Role)
def test_whatever_is_connected_survives_nothing_that_ends_a_connection(role: Role) -> None:
    for state in CONNECTED_STATES:
        for event in (Event.BROKEN, Event.SILENT, Event.UNREADABLE, Event.STOP):
            assert event in TRANSITIONS[role][state], f"{role} {state} {event}"
        assert TRANSITIONS[role][state][Event.BROKEN].state not in CONNECTED_STATES


def test_business_is_done_in_up_alone() -> None:
    for role, state, event, transition in ROWS:
        if event is Event.SEND:
            assert state is State.UP
        if event is Event.MESSAGE and Do.DELIVER in transition.actions:
            assert state is State.UP, role


def test_leaving_a_connection_fails_what_is_in_flight_before_it_is_ended() -> None:
    for role, state, event, transition in ROWS:
        if state in CONNECTED_STATES and transition.state not in CONNECTED_STATES:
            actions = list(transition.actions)
            assert Do.FAIL in actions, f"{role} {state} {event}"
            [end] = [actions.index(do) for do in (Do.CLOSE, Do.ABORT) if do in actions]
            assert actions.index(Do.FAIL) < end


def test_a_client_that_is_down_always_plans_the_next_attempt() -> None:
    for _role, state, event, transition in ROWS:
        if transition.state is State.DOWN:
            assert transition.actions[-1] is Do.BACK_OFF, f"{state} {event}"


def test_the_page_with_the_diagram_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == diagram.page(), (
        "docs/link_states.md is stale: python -m switch.link.diagram > docs/link_states.md"
    )


def test_the_diagram_shows_every_way_from_one_state_to_another() -> None:
    page = diagram.page()
    for _role, state, event, transition in ROWS:
        if transition.state is not state:
            arrows = [line for line in page.splitlines() if f"{state} --> {transition.state}:" in line]
            assert any(event.value in arrow for arrow in arrows)
