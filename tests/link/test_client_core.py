"""The connecting end by hand: no socket, no waiting, hours in milliseconds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from switch.iso8583 import EncodeError, Message
from switch.link.client import ClientLink
from switch.link.core import (
    FAULTS_MAXIMUM,
    Abort,
    Action,
    Changed,
    Close,
    LateAnswer,
    Open,
    Received,
    Report,
    Unsolicited,
    Write,
)
from switch.link.errors import DuplicateInFlight, LinkBusy, LinkDown, LinkTimeout, LocalProtocolError
from switch.link.framing import DEFAULT_FRAMING, framing_named
from switch.link.network import NetworkMessages, time_fields
from switch.link.states import State
from tests.link.exchange import (
    CARD,
    DIALECT,
    NETWORK,
    answer_to,
    bring_up,
    client,
    client_settings,
    client_up,
    next_tick,
    of_kind,
    off_wire,
    on_wire,
    outcomes,
    purchase,
    written,
)

ECHO = Message("0800", {"11": "000077", "41": "10000001", "70": "301"})
SIGN_OFF = Message("0800", {"11": "000078", "41": "10000001", "70": "002"})
SIGN_ON = Message("0800", {"11": "000079", "41": "10000001", "70": "001"})


def states(actions: list[Action]) -> list[State]:
    return [changed.state for changed in of_kind(actions, Changed)]


# ---------------------------------------------------------------- coming up


def test_a_link_is_up_when_its_sign_on_is_approved() -> None:
    link = client()
    assert states(link.start(0.0)) == [State.CONNECTING]
    [sign_on] = written(link.connected(1.0))
    assert (sign_on.mti, sign_on.text("70"), sign_on.text("41")) == ("0800", "001", "10000001")
    assert link.state is State.SIGNING_ON
    answer = answer_to(sign_on)
    assert states(link.received(on_wire(answer), 2.0)) == [State.UP]
    assert link.sign_on_answer == answer


def test_nothing_is_sent_before_the_link_is_up() -> None:
    link = client()
    for step in (lambda: None, lambda: link.start(0.0), lambda: link.connected(0.0)):
        step()
        with pytest.raises(LinkDown, match="0200 11=000001 12=103000 41=10000001 not sent") as caught:
            link.request(purchase(1), 0.0)
        assert not caught.value.sent
        assert link.in_flight <= 1


def test_without_a_sign_on_the_link_is_up_at_once() -> None:
    link = client(network=NetworkMessages(sign_on=None))
    link.start(0.0)
    assert states(link.connected(0.0)) == [State.SIGNING_ON, State.UP]


@pytest.mark.parametrize("how", ["declined", "silent"])
def test_a_failed_sign_on_closes_and_is_tried_again_later(how: str) -> None:
    link = client()
    link.start(0.0)
    [sign_on] = written(link.connected(0.0))
    actions = link.received(on_wire(answer_to(sign_on, "58")), 1.0) if how == "declined" else link.tick(30.0)
    [changed] = of_kind(actions, Changed)
    assert changed.state is State.DOWN
    assert ("declined with 58" in changed.why) == (how == "declined")
    assert of_kind(actions, Close)
    _at, actions = next_tick(link)
    assert of_kind(actions, Open)


def test_back_off_doubles_up_to_the_longest_and_is_forgotten_when_up() -> None:
    link = client(uniform=1.0, back_off_first_s=1.0, back_off_longest_s=10.0)
    now, waits = 0.0, []
    link.start(now)
    for _attempt in range(7):
        link.connect_failed(now, "refused")
        at, actions = next_tick(link)
        assert of_kind(actions, Open)
        waits.append(at - now)
        now = at
    assert waits == [1, 2, 4, 8, 10, 10, 10]
    bring_up(link, now)
    link.lost(now)
    assert next_tick(link)[0] - now == 1


def test_a_host_that_is_away_for_a_year_is_still_tried() -> None:
    link = client(back_off_longest_s=60.0)
    link.start(0.0)
    now = 0.0
    for _attempt in range(3000):
        link.connect_failed(now, "refused")
        now, actions = next_tick(link)
        assert of_kind(actions, Open)
    assert now > 2900 * 60


@pytest.mark.parametrize("drawn", [0.0, 0.25, 0.999])
def test_back_off_is_drawn_over_its_whole_length(drawn: float) -> None:
    link = client(uniform=drawn, back_off_first_s=8.0)
    link.start(0.0)
    link.connect_failed(100.0, "refused")
    deadline = link.next_deadline()
    assert deadline == 100.0 + drawn * 8.0


def test_a_connection_that_takes_too_long_is_given_up() -> None:
    link = client(connect_timeout_s=10.0)
    link.start(0.0)
    actions = link.tick(10.0)
    assert of_kind(actions, Abort)
    assert link.state is State.DOWN
    assert link.connected(10.1) == []  # too late


def test_starting_twice_is_our_own_mistake() -> None:
    link = client()
    link.start(0.0)
    with pytest.raises(LocalProtocolError, match="start is not allowed to a client link that is CONNECTING"):
        link.start(0.0)


# ---------------------------------------------------------------- requests


def test_a_request_ends_with_its_answer() -> None:
    link = client_up()
    ticket, actions = link.request(purchase(1), 0.0)
    assert written(actions) == [purchase(1)]
    assert outcomes(link.received(on_wire(answer_to(purchase(1))), 1.0)) == {ticket: answer_to(purchase(1))}
    assert link.in_flight == 0


def test_answers_are_matched_however_the_bytes_are_cut() -> None:
    link = client_up()
    tickets = [link.request(purchase(stan), 0.0)[0] for stan in range(1, 4)]
    stream = on_wire(*(answer_to(purchase(stan)) for stan in (2, 3, 1)))
    ended: dict[int, object] = {}
    for at in range(len(stream)):
        ended |= outcomes(link.received(stream[at : at + 1], 1.0))
    assert ended == {tickets[stan - 1]: answer_to(purchase(stan)) for stan in (1, 2, 3)}


def test_a_request_without_answer_ends_in_a_timeout_and_its_answer_is_late() -> None:
    link = client_up()
    ticket, _actions = link.request(purchase(1), 0.0, 5.0)
    assert outcomes(link.tick(4.9)) == {}
    [outcome] = outcomes(link.tick(5.0)).values()
    assert isinstance(outcome, LinkTimeout)
    assert CARD not in str(outcome)
    late = link.received(on_wire(answer_to(purchase(1))), 6.0)
    assert late == [LateAnswer(purchase(1), answer_to(purchase(1)))]
    assert of_kind(link.received(on_wire(answer_to(purchase(1))), 7.0), LateAnswer) == []
    assert (link.counters.timeouts, link.counters.late, link.counters.duplicates) == (1, 1, 1)
    assert ticket


def test_an_answer_after_the_deadline_is_late_even_if_nobody_looked_at_the_clock() -> None:
    link = client_up()
    ticket, _actions = link.request(purchase(1), 0.0, 5.0)
    actions = link.received(on_wire(answer_to(purchase(1))), 60.0)
    assert isinstance(outcomes(actions)[ticket], LinkTimeout)
    assert len(of_kind(actions, LateAnswer)) == 1


def test_a_broken_connection_ends_everything_in_flight_as_sent() -> None:
    link = client_up()
    tickets = [link.request(purchase(stan), 0.0)[0] for stan in (1, 2)]
    actions = link.lost(1.0, "connection reset")
    ended = outcomes(actions)
    assert list(ended) == tickets
    for outcome in ended.values():
        assert isinstance(outcome, LinkDown)
        assert outcome.sent
        assert "connection reset" in str(outcome)
    assert states(actions) == [State.DOWN]
    with pytest.raises(LinkDown, match=r"DOWN.*connection reset"):
        link.request(purchase(3), 1.0)


def test_an_answer_on_the_next_connection_is_late() -> None:
    link = client_up()
    link.request(purchase(1), 0.0)
    link.lost(1.0)
    now, _actions = next_tick(link)
    bring_up(link, now)
    assert len(of_kind(link.received(on_wire(answer_to(purchase(1))), now), LateAnswer)) == 1


def test_half_an_answer_of_the_last_connection_is_not_put_before_the_next() -> None:
    link = client_up()
    link.received(on_wire(answer_to(purchase(1)))[:9], 0.5)
    link.lost(1.0)
    now, _actions = next_tick(link)
    bring_up(link, now)
    ticket, _actions = link.request(purchase(2), now)
    assert list(outcomes(link.received(on_wire(answer_to(purchase(2))), now))) == [ticket]


def test_limits_and_duplicates_are_told_before_anything_is_sent() -> None:
    link = client_up(max_in_flight=2)
    link.request(purchase(1), 0.0)
    sent = link.counters.bytes_out
    with pytest.raises(DuplicateInFlight):
        link.request(purchase(1), 0.0)
    link.request(purchase(2), 0.0)
    with pytest.raises(LinkBusy):
        link.request(purchase(3), 0.0)
    with pytest.raises(EncodeError):
        link.request(Message("0200", {"11": "1"}), 0.0)
    with pytest.raises(ValueError, match="asks for no answer"):
        link.request(purchase(4, mti="0240"), 0.0)
    assert link.counters.requests == 1 + 2  # the sign-on and two of ours
    assert link.counters.bytes_out == sent + len(on_wire(purchase(2)))


def test_an_abandoned_request_gives_no_end_and_a_late_answer() -> None:
    link = client_up(echo_after_s=None)
    ticket, _actions = link.request(purchase(1), 0.0)
    assert link.abandon(ticket, 1.0) == []
    assert link.tick(100.0) == []
    assert of_kind(link.received(on_wire(answer_to(purchase(1))), 100.0), LateAnswer)


def test_an_answer_that_nobody_asked_for() -> None:
    link = client_up()
    assert link.received(on_wire(answer_to(purchase(9))), 1.0) == [Unsolicited(answer_to(purchase(9)))]


def test_a_tpdu_goes_before_every_message() -> None:
    framing = framing_named("2be+tpdu=6000030000")
    link = client(framing=framing)
    link.start(0.0)
    [write] = of_kind(link.connected(0.0), Write)
    assert write.data[2:7].hex() == "6000030000"


# ---------------------------------------------------------------- messages of the host


def test_the_hosts_echo_is_answered_in_every_connected_state() -> None:
    link = client()
    link.start(0.0)
    [sign_on] = written(link.connected(0.0))
    [answer] = written(link.received(on_wire(ECHO), 0.0))
    assert (answer.mti, answer.text("39"), answer.text("11")) == ("0810", "00", "000077")
    link.received(on_wire(answer_to(sign_on)), 0.0)
    assert len(written(link.received(on_wire(ECHO), 1.0))) == 1
    link.request(purchase(1), 1.0)
    link.stop(2.0)
    assert link.state is State.DRAINING
    assert written(link.received(on_wire(ECHO), 2.5))[0].text("39") == "00"


def test_a_request_of_the_host_goes_to_the_handler_and_its_answer_back() -> None:
    link = client_up()
    [received] = of_kind(link.received(on_wire(purchase(5)), 1.0), Received)
    assert received.message == purchase(5)
    assert written(link.answer(received.token, answer_to(purchase(5)), 2.0)) == [answer_to(purchase(5))]
    assert link.answer(received.token, answer_to(purchase(5)), 2.0) == []


def test_a_sign_off_of_the_host_stops_business_until_we_have_signed_on_again() -> None:
    link = client_up(back_off_first_s=4.0)
    ticket, _actions = link.request(purchase(1), 0.0)
    actions = link.received(on_wire(SIGN_OFF), 1.0)
    assert states(actions) == [State.SIGNING_ON]
    assert written(actions)[0].text("39") == "00"
    with pytest.raises(LinkDown):
        link.request(purchase(2), 1.0)
    assert list(outcomes(link.received(on_wire(answer_to(purchase(1))), 2.0))) == [ticket]
    actions = link.tick(5.0)
    [sign_on] = written(actions)
    assert states(link.received(on_wire(answer_to(sign_on)), 6.0)) == [State.UP]


def test_a_sign_on_of_the_host_after_its_sign_off_brings_ours_at_once() -> None:
    link = client_up(back_off_first_s=60.0)
    link.received(on_wire(SIGN_OFF), 1.0)
    answer, sign_on = written(link.received(on_wire(SIGN_ON), 2.0))
    assert (answer.mti, sign_on.mti, sign_on.text("70")) == ("0810", "0800", "001")
    assert len(written(link.received(on_wire(SIGN_ON), 3.0))) == 1  # ours is under way


def test_a_business_request_before_the_sign_on_is_refused_and_noted() -> None:
    link = client()
    link.start(0.0)
    link.connected(0.0)
    actions = link.received(on_wire(purchase(1)), 1.0)
    assert [message.text("39") for message in written(actions)] == ["91"]
    assert of_kind(actions, Received) == []
    assert of_kind(actions, Report)
    assert link.counters.refused == 1


# ---------------------------------------------------------------- what is no message


def test_a_message_that_does_not_decode_is_noted_and_the_link_goes_on() -> None:
    link = client_up()
    ticket, _actions = link.request(purchase(1), 0.0)
    broken = DEFAULT_FRAMING.frame(b"\x02\x10" + b"\xff" * 12)
    actions = link.received(broken + on_wire(answer_to(purchase(1))), 1.0)
    assert list(outcomes(actions)) == [ticket]
    [report] = of_kind(actions, Report)
    assert report.what == "message that doesn't decode"
    assert link.counters.undecodable == 1


def test_a_host_that_speaks_another_language_is_left() -> None:
    link = client_up()
    broken = DEFAULT_FRAMING.frame(b"\x02\x10" + b"\xff" * 12)
    for _message in range(FAULTS_MAXIMUM - 1):
        link.received(broken, 1.0)
    assert link.state is State.UP
    actions = link.received(broken, 1.0)
    assert of_kind(actions, Abort)
    assert link.state is State.DOWN


def test_bad_framing_ends_the_connection_after_the_frames_before_it() -> None:
    link = client_up()
    ticket, _actions = link.request(purchase(1), 0.0)
    actions = link.received(on_wire(answer_to(purchase(1))) + b"\xff\xff", 1.0)
    assert outcomes(actions) == {ticket: answer_to(purchase(1))}
    assert of_kind(actions, Abort)
    assert link.state is State.DOWN


def test_a_frame_that_does_not_end_ends_the_connection() -> None:
    link = client_up(frame_timeout_s=10.0, echo_after_s=None)
    link.received(b"\x00", 1.0)
    assert link.next_deadline() == 11.0
    assert of_kind(link.tick(11.0), Abort)


@pytest.mark.parametrize("answers", [True, False])
def test_keep_alives(answers: bool) -> None:
    link = client_up(answer_keep_alives=answers)
    keep_alive = DEFAULT_FRAMING.keep_alive()
    actions = link.received(keep_alive * 5, 1.0)
    assert [write.data for write in of_kind(actions, Write)] == [keep_alive] * answers
    assert link.received(keep_alive, 1.5) == []  # two that both answer would never stop
    assert len(link.received(keep_alive, 2.0)) == answers
    assert link.counters.keep_alives == 7


# ---------------------------------------------------------------- a silent line


def test_a_line_on_which_nothing_is_heard_is_asked() -> None:
    link = client_up(echo_after_s=60.0, echo_timeout_s=15.0)
    assert link.next_deadline() == 60.0
    [echo] = written(link.tick(60.0))
    assert echo.text("70") == "301"
    assert link.received(on_wire(answer_to(echo)), 61.0) == []
    assert link.next_deadline() == 121.0
    assert link.counters.echoes == 1


def test_any_message_puts_the_echo_off() -> None:
    link = client_up(echo_after_s=60.0)
    link.received(on_wire(answer_to(purchase(1))), 50.0)
    assert link.tick(60.0) == []
    assert link.next_deadline() == 110.0


def test_an_unanswered_echo_ends_the_connection_and_a_new_one_is_tried() -> None:
    link = client_up(echo_after_s=60.0, echo_timeout_s=15.0)
    ticket, _actions = link.request(purchase(1), 59.0, 60.0)
    link.tick(60.0)
    actions = link.tick(75.0)
    assert states(actions) == [State.DOWN]
    assert of_kind(actions, Abort)
    assert isinstance(outcomes(actions)[ticket], LinkDown)
    assert of_kind(next_tick(link)[1], Open)


def test_a_host_that_answers_everything_but_echoes_is_alive() -> None:
    link = client_up(echo_after_s=60.0, echo_timeout_s=15.0)
    link.tick(60.0)
    link.received(on_wire(answer_to(purchase(9))), 70.0)
    assert link.tick(75.0) == []
    assert link.is_up
    assert link.counters.echoes_unanswered == 1


def test_a_day_of_silence_and_echoes_takes_no_time() -> None:
    link = client_up(echo_after_s=30.0)
    now = 0.0
    while now < 86_400:
        now, actions = next_tick(link)
        [echo] = written(actions)
        link.received(on_wire(answer_to(echo)), now)
    assert link.is_up
    assert link.counters.echoes == 2880


# ---------------------------------------------------------------- ending


def test_stopping_waits_for_answers_then_signs_off_and_closes() -> None:
    link = client_up()
    ticket, _actions = link.request(purchase(1), 0.0)
    assert states(link.stop(1.0)) == [State.DRAINING]
    with pytest.raises(LinkDown, match="DRAINING"):
        link.request(purchase(2), 1.0)
    actions = link.received(on_wire(answer_to(purchase(1))), 2.0)
    assert list(outcomes(actions)) == [ticket]
    [sign_off] = written(actions)
    assert sign_off.text("70") == "002"
    actions = link.received(on_wire(answer_to(sign_off)), 3.0)
    assert states(actions) == [State.STOPPED]
    assert of_kind(actions, Close)
    assert link.next_deadline() is None


def test_draining_ends_in_time() -> None:
    link = client_up(drain_timeout_s=20.0)
    ticket, _actions = link.request(purchase(1), 0.0, 500.0)
    link.stop(1.0)
    actions = link.tick(21.0)
    assert isinstance(outcomes(actions)[ticket], LinkDown)
    assert link.state is State.STOPPED
    assert of_kind(actions, Close)


def test_a_request_of_the_host_is_refused_while_draining() -> None:
    link = client_up()
    link.request(purchase(1), 0.0)
    link.stop(1.0)
    [answer] = written(link.received(on_wire(purchase(5)), 2.0))
    assert answer.text("39") == "91"


@pytest.mark.parametrize("stage", ["stopped", "down", "connecting", "signing on"])
def test_a_link_that_is_not_up_stops_at_once(stage: str) -> None:
    link = client()
    if stage != "stopped":
        link.start(0.0)
    if stage == "down":
        link.connect_failed(0.0, "refused")
    if stage == "signing on":
        link.connected(0.0)
    actions = link.stop(0.1)
    assert link.state is State.STOPPED
    assert bool(of_kind(actions, Abort) or of_kind(actions, Close)) == (stage in ("connecting", "signing on"))
    assert link.next_deadline() is None


def test_a_stopped_link_can_be_started_again() -> None:
    link = client()
    link.start(0.0)
    link.stop(1.0)
    link.start(2.0)
    bring_up(link, 3.0)


# ---------------------------------------------------------------- network messages


def test_a_stamp_is_asked_for_at_each_sending() -> None:
    moment = datetime(2025, 5, 21, 10, 30, 0, tzinfo=timezone(timedelta(hours=3.5)))
    network = NetworkMessages(fields=NETWORK.fields, stamp=lambda: time_fields(moment))
    link = client(network=network)
    link.start(0.0)
    [sign_on] = written(link.connected(0.0))
    assert [sign_on.text(path) for path in ("7", "12", "13")] == ["0521070000", "103000", "0521"]


def test_our_own_stans_give_way_to_the_owners() -> None:
    taken = Message("0800", {"11": "000007", "41": "10000001", "42": "100000000000001", "70": "161"})
    numbers = iter([1, 7, 8])
    link = ClientLink(client_settings(echo_after_s=60.0), next_stan=lambda: next(numbers))
    link.start(0.0)
    bring_up(link, 0.0)
    link.request(taken, 50.0)
    [echo] = written(link.tick(60.0))
    assert echo.text("11") == "000008"


def test_no_action_shows_what_it_carries() -> None:
    link = client_up()
    _ticket, actions = link.request(purchase(1), 0.0)
    actions += link.received(on_wire(answer_to(purchase(9))), 1.0)
    actions += link.tick(15.0)
    actions += link.received(on_wire(answer_to(purchase(1))), 16.0)
    assert len(actions) == 4
    assert CARD not in repr(actions)
    assert CARD.encode().hex() not in repr(actions)
    assert off_wire(on_wire(purchase(1)))[0].text("2") == CARD
    assert DIALECT.encode(purchase(1)).hex() not in repr(actions)


def test_an_echo_under_way_takes_no_room_from_the_owners_requests() -> None:
    link = client_up(max_in_flight=2, echo_after_s=10.0)
    assert len(written(link.tick(10.0))) == 1
    link.request(purchase(1), 10.0)
    link.request(purchase(2), 10.0)
    with pytest.raises(LinkBusy):
        link.request(purchase(3), 10.0)
