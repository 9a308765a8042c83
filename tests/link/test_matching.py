"""A request ends once, and never with the answer of another."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from switch.iso8583 import Message
from switch.link.errors import DuplicateInFlight, KeyStillTaken, LinkBusy
from switch.link.matching import (
    Duplicate,
    InFlight,
    Late,
    Matched,
    MatchKey,
    Unsolicited,
    answer_mti,
    fingerprint,
    is_answer,
    repeat_mti,
    wants_answer,
)
from tests.link.exchange import CARD, answer_to, purchase


@pytest.mark.parametrize(
    ("request_mti", "answer"),
    [
        ("0100", "0110"),
        ("0200", "0210"),
        ("0201", "0210"),
        ("0220", "0230"),
        ("0221", "0230"),
        ("0421", "0430"),
        ("0302", "0312"),
        ("0303", "0312"),
        ("1804", "1814"),
        ("2160", "2170"),
    ],
)
def test_the_mti_of_an_answer(request_mti: str, answer: str) -> None:
    assert answer_mti(request_mti) == answer
    assert wants_answer(request_mti)
    assert is_answer(answer)
    assert not is_answer(request_mti)
    assert not wants_answer(answer)


def test_a_notification_wants_no_answer() -> None:
    assert not wants_answer("0240")
    assert not is_answer("0240")


@pytest.mark.parametrize(
    ("first", "repeat"), [("0220", "0221"), ("0420", "0421"), ("0222", "0223"), ("0421", "0421")]
)
def test_the_mti_of_a_repeat(first: str, repeat: str) -> None:
    assert repeat_mti(first) == repeat


def test_answers_in_any_order_find_their_requests() -> None:
    flights = InFlight()
    requests = [purchase(stan) for stan in range(1, 6)]
    tickets = [flights.add(request, 15.0, 0.0) for request in requests]
    for place in (3, 0, 4, 1, 2):
        found = flights.answer(answer_to(requests[place]), 1.0)
        assert found == Matched(tickets[place], requests[place], answer_to(requests[place]))
    assert len(flights) == 0


@pytest.mark.parametrize(
    "other",
    [
        purchase(2),
        purchase(1, terminal="10000002"),
        purchase(1, mti="0100"),
        Message("0200", {**purchase(1).fields, "12": "103001"}),
    ],
    ids=["DE 11", "DE 41", "class", "DE 12"],
)
def test_each_part_of_the_key_tells_requests_apart(other: Message) -> None:
    flights = InFlight()
    mine = flights.add(purchase(1), 15.0, 0.0)
    his = flights.add(other, 15.0, 0.0)
    found = flights.answer(answer_to(other), 1.0)
    assert isinstance(found, Matched)
    assert found.ticket == his
    found = flights.answer(answer_to(purchase(1)), 1.0)
    assert isinstance(found, Matched)
    assert found.ticket == mine


def test_a_duplicate_key_in_flight_is_an_error_and_leaves_the_first_alone() -> None:
    flights = InFlight()
    ticket = flights.add(purchase(1), 15.0, 0.0)
    with pytest.raises(DuplicateInFlight, match="0220 11=000001 12=103000 41=10000001 is in flight already"):
        flights.add(purchase(1, mti="0220"), 15.0, 0.0)
    found = flights.answer(answer_to(purchase(1)), 1.0)
    assert isinstance(found, Matched)
    assert found.ticket == ticket


def test_an_answer_of_another_function_is_nobodys() -> None:
    flights = InFlight()
    flights.add(purchase(1), 15.0, 0.0)
    advice_answer = answer_to(purchase(1, mti="0220"))
    assert flights.answer(advice_answer, 1.0) == Unsolicited(advice_answer)
    assert len(flights) == 1


def test_a_partners_own_key() -> None:
    def request(stan: str, acquirer: str = "504321") -> Message:
        return Message("0200", {"7": "0521103000", "11": stan, "32": acquirer})

    flights = InFlight(MatchKey(("32", "11", "7")))
    first = flights.add(request("000001"), 15.0, 0.0)
    flights.add(request("000001", "509999"), 15.0, 0.0)
    with pytest.raises(DuplicateInFlight):
        flights.add(request("000001"), 15.0, 0.0)
    found = flights.answer(Message("0210", {**request("000001").fields, "39": "00"}), 1.0)
    assert isinstance(found, Matched)
    assert found.ticket == first


def test_a_network_answer_needs_no_time() -> None:
    flights = InFlight()
    ticket = flights.add(Message("0800", {"11": "000001", "12": "103000", "41": "1", "70": "301"}), 15.0, 0.0)
    found = flights.answer(Message("0810", {"11": "000001", "39": "00", "41": "1"}), 1.0)
    assert isinstance(found, Matched)
    assert found.ticket == ticket


def test_a_request_without_any_key_field_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the fields"):
        InFlight().add(Message("0200", {"3": "000000"}), 15.0, 0.0)


def test_the_number_in_flight_is_bounded() -> None:
    flights = InFlight(maximum=2)
    flights.add(purchase(4), 15.0, 0.0, beyond_limit=True)
    flights.add(purchase(1), 15.0, 0.0)
    flights.add(purchase(2), 15.0, 0.0)
    with pytest.raises(LinkBusy, match="2 requests in flight"):
        flights.add(purchase(3), 15.0, 0.0)
    flights.add(purchase(3), 15.0, 0.0, beyond_limit=True)


def test_deadlines_come_in_their_order() -> None:
    flights = InFlight()
    late = flights.add(purchase(1), 30.0, 0.0)
    early = flights.add(purchase(2), 10.0, 0.0)
    assert flights.next_deadline() == 10.0
    assert flights.expire(9.9) == []
    assert [ended.ticket for ended in flights.expire(10.0)] == [early]
    assert flights.next_deadline() == 30.0
    assert [ended.ticket for ended in flights.expire(99.0)] == [late]
    assert flights.next_deadline() is None


def test_an_answered_request_leaves_no_deadline_behind() -> None:
    flights = InFlight()
    for stan in range(1, 1000):
        flights.add(purchase(stan), 15.0, 0.0)
        flights.answer(answer_to(purchase(stan)), 0.0)
    assert flights.next_deadline() is None
    assert flights.expire(100.0) == []


def test_a_late_answer_comes_once_with_its_request() -> None:
    flights = InFlight()
    request, answer = purchase(1), answer_to(purchase(1))
    flights.add(request, 15.0, 0.0)
    flights.expire(15.0)
    assert flights.answer(answer, 16.0) == Late(request, answer)
    assert flights.answer(answer, 17.0) == Duplicate(answer)


def test_a_second_answer_is_no_late_one() -> None:
    """Taken for late, it would reverse a transaction that was approved."""
    flights = InFlight()
    flights.add(purchase(1), 15.0, 0.0)
    flights.answer(answer_to(purchase(1)), 1.0)
    assert isinstance(flights.answer(answer_to(purchase(1)), 2.0), Duplicate)


def test_an_abandoned_request_is_answered_late() -> None:
    flights = InFlight()
    ticket = flights.add(purchase(1), 15.0, 0.0)
    assert flights.abandon(ticket, 1.0) is not None
    assert flights.abandon(ticket, 1.0) is None
    assert isinstance(flights.answer(answer_to(purchase(1)), 2.0), Late)


def test_another_transaction_can_not_take_a_key_whose_answer_may_still_come() -> None:
    flights = InFlight()
    flights.add(purchase(1, amount=5000), 15.0, 0.0)
    flights.expire(15.0)
    with pytest.raises(KeyStillTaken, match="give this one its own"):
        flights.add(purchase(1, amount=90), 40.0, 16.0)
    flights.add(purchase(1, amount=90), 500.0, 15.0 + 300.0)


def test_the_same_transaction_may_be_sent_again_and_takes_either_answer() -> None:
    flights = InFlight()
    flights.add(purchase(1, mti="0220"), 15.0, 0.0)
    flights.expire(15.0)
    again = flights.add(purchase(1, mti="0221"), 40.0, 16.0)
    found = flights.answer(answer_to(purchase(1, mti="0220")), 17.0)
    assert isinstance(found, Matched)
    assert found.ticket == again
    assert isinstance(flights.answer(answer_to(purchase(1, mti="0220")), 18.0), Duplicate)


def test_what_is_remembered_is_bounded() -> None:
    flights = InFlight(remember_maximum=10)
    for stan in range(1, 12):
        flights.add(purchase(stan), 15.0, 0.0)
    flights.expire(15.0)
    assert isinstance(flights.answer(answer_to(purchase(1)), 16.0), Unsolicited)
    assert isinstance(flights.answer(answer_to(purchase(2)), 16.0), Late)


def test_what_changes_with_a_transmission_is_not_in_the_fingerprint() -> None:
    one = purchase(1, mti="0220")
    again = Message("0221", {**one.fields, "7": "0521103100", "64": b"12345678"})
    assert fingerprint(one) == fingerprint(again)
    assert fingerprint(one) != fingerprint(purchase(1, mti="0220", amount=1001))
    assert fingerprint(one) != fingerprint(purchase(1, mti="0200"))


def test_no_error_shows_a_card_number() -> None:
    flights = InFlight(MatchKey(("2", "11")))
    flights.add(purchase(1), 15.0, 0.0)
    with pytest.raises(DuplicateInFlight) as caught:
        flights.add(purchase(1), 15.0, 0.0)
    assert CARD not in str(caught.value)
    assert "11=000001" in str(caught.value)


class Flights(RuleBasedStateMachine):
    """Few keys, many transactions, answers of all of them in any order, any number of times."""

    def __init__(self) -> None:
        super().__init__()
        self.flights = InFlight(maximum=4, remember_s=1e9)  # longer than this world lasts
        self.now = 0.0
        self.amount = 0
        self.open: dict[int, Message] = {}
        self.closed: dict[int, str] = {}
        self.sent: list[Message] = []

    @rule(stan=st.integers(1, 5), timeout=st.sampled_from([5.0, 15.0]))
    def send(self, stan: int, timeout: float) -> None:
        self.amount += 1
        request = purchase(stan, amount=self.amount)
        taken = stan in {int(message.text("11")) for message in self.open.values()}
        try:
            ticket = self.flights.add(request, self.now + timeout, self.now)
        except KeyStillTaken:
            assert not taken
        except DuplicateInFlight:
            assert taken
        except LinkBusy:
            assert len(self.open) == 4
            assert not taken
        else:
            assert not taken
            assert ticket not in self.open
            assert ticket not in self.closed
            self.open[ticket] = request
            self.sent.append(request)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def an_answer_comes(self, data: st.DataObject) -> None:
        """The amount travels along, so that a mix-up is seen."""
        request = data.draw(st.sampled_from(self.sent[-8:]))
        answer = answer_to(request, **{"37": request.text("4")})
        found = self.flights.answer(answer, self.now)
        if isinstance(found, Matched):
            assert found.request is self.open.pop(found.ticket)
            assert found.request.text("4") == answer.text("37"), "another request's answer"
            self.closed[found.ticket] = "answered"
        elif isinstance(found, Late):
            assert found.request.text("4") == answer.text("37"), "another request's late answer"

    @rule(seconds=st.sampled_from([1.0, 4.0, 16.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for ended in self.flights.expire(self.now):
            assert self.open.pop(ended.ticket) is ended.request
            self.closed[ended.ticket] = "timeout"

    @rule()
    def the_connection_breaks(self) -> None:
        tickets = [ended.ticket for ended in self.flights.end_all(self.now)]
        assert tickets == sorted(self.open)
        for ticket in tickets:
            del self.open[ticket]
            self.closed[ticket] = "lost"

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.flights) == len(self.open)


TestFlights = Flights.TestCase
TestFlights.settings = settings(stateful_step_count=40)
