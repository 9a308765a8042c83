"""The accepting end by hand: who may speak when, how much, and what a misbehaving peer gets."""

from __future__ import annotations

import pytest

from switch.iso8583 import Message
from switch.link.core import (
    FAULTS_MAXIMUM,
    Abort,
    Action,
    Changed,
    Close,
    HoldReading,
    Received,
    Report,
    Write,
)
from switch.link.errors import LinkDown
from switch.link.framing import DEFAULT_FRAMING, framing_named
from switch.link.network import NetworkMessages
from switch.link.states import State
from tests.link.exchange import (
    DIALECT,
    NETWORK,
    answer_to,
    next_tick,
    of_kind,
    on_wire,
    outcomes,
    purchase,
    server_link,
    written,
)


def network(code: str, stan: int = 77) -> Message:
    return Message("0800", {"11": f"{stan:06d}", "41": "10000001", "70": code})


SIGN_ON, SIGN_OFF, ECHO, KEY = (network(code) for code in ("001", "002", "301", "161"))


def states(actions: list[Action]) -> list[State]:
    return [changed.state for changed in of_kind(actions, Changed)]


def received(actions: list[Action]) -> list[Message]:
    return [each.message for each in of_kind(actions, Received)]


def test_without_a_sign_on_every_connection_is_up() -> None:
    link = server_link()
    assert link.state is State.UP
    [at_handler] = of_kind(link.received(on_wire(purchase(1)), 1.0), Received)
    assert written(link.answer(at_handler.token, answer_to(purchase(1)), 2.0)) == [answer_to(purchase(1))]


def test_business_waits_for_the_peers_sign_on() -> None:
    link = server_link(sign_on_required=True)
    assert link.state is State.SIGNING_ON
    actions = link.received(on_wire(purchase(1), ECHO), 1.0)
    assert [message.text("39") for message in written(actions)] == ["91", "00"]
    actions = link.received(on_wire(SIGN_ON, purchase(2)), 2.0)
    assert states(actions) == [State.UP]
    assert [message.mti for message in written(actions)] == ["0810"]
    assert received(actions) == [purchase(2)]
    assert link.counters.sign_ons == 1


def test_a_peer_that_does_not_sign_on_is_let_go() -> None:
    link = server_link(sign_on_required=True, sign_on_timeout_s=30.0)
    link.received(on_wire(ECHO), 29.0)
    actions = link.tick(30.0)
    assert states(actions) == [State.STOPPED]
    assert of_kind(actions, Close)


def test_the_owner_decides_who_signs_on_and_what_the_answer_brings() -> None:
    def judge(request: Message) -> Message:
        good = request.get("41") == "10000001"
        return Message(
            "0810", {"11": request.text("11"), "39": "00" if good else "58", "41": request.text("41")}
        )

    link = server_link(sign_on_required=True, sign_on=judge)
    stranger = Message("0800", {"11": "000001", "41": "99999999", "70": "001"})
    actions = link.received(on_wire(stranger), 1.0)
    assert written(actions)[0].text("39") == "58"
    assert link.state is State.SIGNING_ON
    assert written(link.received(on_wire(SIGN_ON), 1.0))[0].text("39") == "00"
    assert link.state is State.UP


def test_a_sign_off_ends_business_until_the_next_sign_on() -> None:
    link = server_link(sign_on_required=True)
    link.received(on_wire(SIGN_ON), 0.0)
    actions = link.received(on_wire(SIGN_OFF, purchase(1)), 1.0)
    assert [message.text("39") for message in written(actions)] == ["00", "91"]
    link.received(on_wire(SIGN_ON), 2.0)
    assert received(link.received(on_wire(purchase(2)), 3.0)) == [purchase(2)]


def test_other_network_messages_reach_the_handler_even_before_the_sign_on() -> None:
    link = server_link(sign_on_required=True)
    assert received(link.received(on_wire(KEY), 0.0)) == [KEY]


def test_all_network_messages_can_be_the_handlers() -> None:
    link = server_link(answer_network=False)
    assert received(link.received(on_wire(SIGN_ON, ECHO, SIGN_OFF), 0.0)) == [SIGN_ON, ECHO, SIGN_OFF]


def test_the_tpdu_of_an_answer_is_swapped() -> None:
    link = server_link(framing=framing_named("2be+tpdu"))
    request = framing_named("2be+tpdu=6000030011").frame(DIALECT.encode(purchase(1)))
    [at_handler] = of_kind(link.received(request, 0.0), Received)
    [write] = of_kind(link.answer(at_handler.token, answer_to(purchase(1)), 0.0), Write)
    assert write.data[2:7].hex() == "6000110003"


def test_reading_stops_at_the_limit_and_goes_on_below_it() -> None:
    link = server_link(max_at_handler=2)
    actions = link.received(on_wire(*(purchase(stan) for stan in (1, 2, 3))), 0.0)
    tokens = [each.token for each in of_kind(actions, Received)]
    assert len(tokens) == 3  # what was read already is not thrown away
    assert of_kind(actions, HoldReading) == [HoldReading(True)]
    assert of_kind(link.answer(tokens[0], None, 0.0), HoldReading) == []
    assert of_kind(link.answer(tokens[1], None, 0.0), HoldReading) == [HoldReading(False)]


def test_a_handler_that_fails_is_told_to_the_peer() -> None:
    link = server_link()
    [at_handler] = of_kind(link.received(on_wire(purchase(1)), 0.0), Received)
    [answer] = written(link.answer_failed(at_handler.token, 0.0))
    assert (answer.mti, answer.text("39"), answer.text("11")) == ("0210", "96", "000001")


def test_a_failing_handler_of_a_notification_answers_nothing() -> None:
    link = server_link()
    [at_handler] = of_kind(link.received(on_wire(purchase(1, mti="0240")), 0.0), Received)
    assert link.answer_failed(at_handler.token, 0.0) == []


def test_an_answer_that_can_not_be_encoded_is_told_as_a_failure() -> None:
    link = server_link()
    [at_handler] = of_kind(link.received(on_wire(purchase(1)), 0.0), Received)
    actions = link.answer(at_handler.token, Message("0210", {"39": "approved"}), 0.0)
    assert [message.text("39") for message in written(actions)] == ["96"]
    assert of_kind(actions, Report)


def test_a_silent_peer_is_let_go_but_not_while_its_request_is_at_the_handler() -> None:
    link = server_link(idle_timeout_s=300.0)
    [at_handler] = of_kind(link.received(on_wire(purchase(1)), 0.0), Received)
    assert link.tick(1000.0) == []
    link.answer(at_handler.token, answer_to(purchase(1)), 1000.0)
    actions = link.tick(1000.0)
    assert states(actions) == [State.STOPPED]
    assert of_kind(actions, Abort)


def test_half_a_frame_is_waited_for_so_long() -> None:
    link = server_link(frame_timeout_s=15.0)
    link.received(on_wire(purchase(1))[:20], 1.0)
    at, actions = next_tick(link)
    assert at == 16.0
    assert of_kind(actions, Abort)


def test_after_bad_framing_what_came_before_is_still_answered() -> None:
    link = server_link()
    actions = link.received(on_wire(purchase(1)) + b"\xff\xff\xff", 0.0)
    [at_handler] = of_kind(actions, Received)
    assert of_kind(actions, HoldReading) == [HoldReading(True)]
    assert link.state is State.DRAINING
    assert link.received(on_wire(purchase(2)), 0.5) == []  # deaf
    actions = link.answer(at_handler.token, answer_to(purchase(1)), 1.0)
    assert written(actions) == [answer_to(purchase(1))]
    assert of_kind(actions, Close)
    assert link.state is State.STOPPED


def test_a_peer_that_speaks_another_language_is_left() -> None:
    link = server_link()
    broken = DEFAULT_FRAMING.frame(b"\x02\x10" + b"\xff" * 12)
    actions = link.received(broken * (FAULTS_MAXIMUM + 5), 0.0)
    assert link.counters.undecodable == FAULTS_MAXIMUM
    assert len(of_kind(actions, Report)) == 1  # a peer can't fill a log
    assert link.state is State.STOPPED


def test_a_server_asks_its_peer_too() -> None:
    link = server_link()
    ticket, actions = link.request(purchase(9), 0.0)
    assert written(actions) == [purchase(9)]
    assert outcomes(link.received(on_wire(answer_to(purchase(9))), 1.0)) == {ticket: answer_to(purchase(9))}


def test_a_lost_peer_ends_what_it_was_asked() -> None:
    link = server_link()
    ticket, _actions = link.request(purchase(9), 0.0)
    [outcome] = outcomes(link.lost(1.0)).values()
    assert isinstance(outcome, LinkDown)
    assert link.state is State.STOPPED
    assert ticket


def test_stopping_brings_answers_to_their_end() -> None:
    link = server_link()
    [at_handler] = of_kind(link.received(on_wire(purchase(1)), 0.0), Received)
    assert states(link.stop(1.0)) == [State.DRAINING]
    assert [message.text("39") for message in written(link.received(on_wire(purchase(2)), 1.5))] == ["91"]
    actions = link.answer(at_handler.token, answer_to(purchase(1)), 2.0)
    assert written(actions) == [answer_to(purchase(1))]
    assert states(actions) == [State.STOPPED]


def test_a_handler_that_never_answers_does_not_hold_up_the_end() -> None:
    link = server_link(drain_timeout_s=20.0)
    link.received(on_wire(purchase(1)), 0.0)
    link.stop(1.0)
    at, actions = next_tick(link)
    assert at == 21.0
    assert states(actions) == [State.STOPPED]


@pytest.mark.parametrize("code", ["831", "801"])
def test_the_network_messages_of_1993_are_a_matter_of_settings(code: str) -> None:
    messages = NetworkMessages(
        mti="1804", code_field="24", sign_on="801", echo="831", approved=("800",), echoed=("11", "24")
    )
    request = Message("1804", {"11": "000001", "24": code})
    assert messages.answer(request, "800") == Message("1814", {"11": "000001", "24": code, "39": "800"})
    assert messages.approves(Message("1814", {"39": "800"}))
    assert not messages.approves(Message("1814", {}))
    assert NETWORK.request("301", 7).text("11") == "000007"
