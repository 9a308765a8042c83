"""Whatever host and line do, each request ends exactly once and never with another's answer."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from switch.iso8583 import Message
from switch.link.client import ClientLink
from switch.link.core import (
    Abort,
    Action,
    Changed,
    Close,
    Ended,
    LateAnswer,
    Open,
    Received,
    Unsolicited,
    Write,
)
from switch.link.errors import DuplicateInFlight, KeyStillTaken, LinkBusy, LinkDown, LinkError, LinkTimeout
from switch.link.matching import is_answer
from switch.link.states import CONNECTED_STATES, State
from tests.link.exchange import (
    answer_to,
    client_settings,
    of_kind,
    off_wire,
    on_wire,
    purchase,
    server_link,
)
from tests.whole import WHOLE


class LinkInTheWild(RuleBasedStateMachine):
    """A client against a host that answers late, twice, in any order or not at all, on a line that breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.link = ClientLink(
            client_settings(max_in_flight=5, remember_s=1e9, echo_after_s=20.0, echo_timeout_s=5.0),
            uniform=lambda: 0.5,
        )
        self.amount = 0
        self.connected = False  # what the shell would know
        self.opening = False
        self.line: bytes = b""  # from the host, not delivered yet
        self.asked: list[Message] = []  # all that ever reached the host
        self.open: dict[int, Message] = {}
        self.ended: dict[int, Message | LinkError] = {}
        self.late: list[str] = []
        self.do(self.link.start(self.now))

    def do(self, actions: list[Action]) -> None:
        """The shell and the invariants."""
        for action in actions:
            match action:
                case Open():
                    assert not self.connected, "one connection at a time"
                    self.opening = True
                case Write(data):
                    assert self.connected, "written into nothing"
                    self.asked += [message for message in off_wire(data) if not is_answer(message.mti)]
                case Close() | Abort():
                    self.connected = self.opening = False
                    self.line = b""
                case Ended(ticket, outcome):
                    assert ticket not in self.ended, "ended twice"
                    request = self.open.pop(ticket)
                    if isinstance(outcome, Message):
                        assert outcome.text("37") == request.text("4"), "another request's answer"
                    else:
                        assert isinstance(outcome, LinkTimeout | LinkDown)
                    self.ended[ticket] = outcome
                case LateAnswer(request, answer):
                    assert answer.text("37") == request.text("4"), "another request's late answer"
                    assert answer.text("37") not in self.late, "late twice"
                    self.late.append(answer.text("37"))
                case Received() | Unsolicited() | Changed():
                    pass

    def answer(self, request: Message) -> Message:
        """The amount comes back in DE 37, so that every mix-up is seen."""
        more = {"37": request.text("4")} if request.mti != "0800" else {}
        return answer_to(request, **more)

    def arrive(self, size: int) -> None:
        piece, self.line = self.line[:size], self.line[size:]
        self.do(self.link.received(piece, self.now))

    def come_up(self) -> None:
        """The host is there and approves, as soon as it is tried."""
        for _turn in range(100):
            if self.link.is_up:
                return
            if self.opening:
                self.opening, self.connected = False, True
                self.do(self.link.connected(self.now))
            elif self.connected and self.asked and self.asked[-1].mti == "0800" and not self.line:
                self.line = on_wire(self.answer(self.asked[-1]))
                self.arrive(len(self.line))
                if not self.link.is_up:  # it was the echo of an earlier time
                    self.wait()
            else:
                self.arrive(len(self.line))
                if not self.link.is_up:
                    self.wait()
        raise AssertionError("a host that approves, and the link does not come up")

    def wait(self) -> None:
        deadline = self.link.next_deadline()
        assert deadline is not None, "nothing would ever happen again"
        self.now = max(self.now, deadline)
        self.do(self.link.tick(self.now))

    @rule(
        stan=st.integers(1, 7), timeout=st.sampled_from([3.0, 8.0]), up=st.sampled_from([True, True, False])
    )
    def we_ask(self, stan: int, timeout: float, up: bool) -> None:
        if up:
            self.come_up()
        self.amount += 1
        request = purchase(stan, amount=self.amount)
        try:
            ticket, actions = self.link.request(request, self.now, timeout)
        except LinkDown as error:
            self.refused_while_down(error)
        except KeyStillTaken:
            pass
        except DuplicateInFlight:
            assert any(message.text("11") == request.text("11") for message in self.open.values())
        except LinkBusy:
            assert len(self.open) >= 5
        else:
            assert ticket not in self.open
            assert ticket not in self.ended
            self.open[ticket] = request
            self.do(actions)
            return
        self.do(self.link.tick(self.now))

    def refused_while_down(self, error: LinkDown) -> None:
        assert not error.sent
        assert not self.link.is_up

    @rule(back=st.integers(1, 4), repeat=st.booleans())
    def we_ask_again(self, back: int, repeat: bool) -> None:
        """The same transaction once more: allowed when its first sending has ended."""
        done = self.business()
        if not done:
            return
        request = Message("0201" if repeat else "0200", done[-min(back, len(done))].fields)
        try:
            ticket, actions = self.link.request(request, self.now, 5.0)
        except LinkError:
            self.do(self.link.tick(self.now))
        else:
            self.open[ticket] = request
            self.late = [amount for amount in self.late if amount != request.text("4")]
            self.do(actions)

    def business(self) -> list[Message]:
        return [message for message in self.asked if message.mti != "0800"]

    @rule(back=st.integers(1, 6), times=st.sampled_from([1, 1, 2]), size=st.sampled_from([7, 40, 1000]))
    def the_host_answers(self, back: int, times: int, size: int) -> None:
        """Whatever it was ever asked, on this connection or an earlier one."""
        asked = self.business()
        if self.connected and asked:
            self.line += on_wire(*[self.answer(asked[-min(back, len(asked))])] * times)
            self.arrive(size)

    @rule(times=st.integers(1, 2))
    def the_host_answers_its_oldest(self, times: int) -> None:
        if self.connected and self.open:
            self.line += on_wire(*[self.answer(next(iter(self.open.values())))] * times)
            self.arrive(len(self.line))

    @rule(
        message=st.sampled_from(
            [
                purchase(50),
                purchase(51, mti="0240"),
                purchase(52, mti="0420"),
                Message("0800", {"11": "000099", "41": "10000001", "70": "301"}),
                Message("0800", {"11": "000099", "41": "10000001", "70": "002"}),
                Message("0800", {"11": "000099", "41": "10000001", "70": "001"}),
            ]
        )
    )
    def the_host_asks(self, message: Message) -> None:
        if self.connected:
            self.line += on_wire(message)
            self.arrive(len(self.line))

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.link.tick(self.now))

    @rule(
        kind=st.sampled_from(["break", "refuse", "garbage", "stop", "nothing"]),
        garbage=st.binary(max_size=30) | st.just(bytes(6)),
    )
    def trouble(self, kind: str, garbage: bytes) -> None:
        if kind == "break" and self.connected:
            self.connected = False
            self.line = b""
            self.do(self.link.lost(self.now))
        elif kind == "refuse" and self.opening:
            self.opening = False
            self.do(self.link.connect_failed(self.now, "refused"))
        elif kind == "garbage" and self.connected:
            self.line += garbage
            self.arrive(len(self.line))
        elif kind == "stop":
            self.do(self.link.stop(self.now))
            for _turn in range(20):
                if self.link.state is not State.STOPPED:
                    self.wait()
            assert self.link.state is State.STOPPED
            assert not self.connected
            assert not self.open
            self.do(self.link.start(self.now))

    @invariant()
    def what_is_open_here_is_in_flight_there(self) -> None:
        assert len(self.open) <= self.link.in_flight <= len(self.open) + 3
        assert self.connected == (self.link.state in CONNECTED_STATES)
        if self.open:
            assert self.link.next_deadline() is not None

    def teardown(self) -> None:
        """However it went, an hour later everything has ended."""
        self.do(self.link.tick(self.now + 3600.0))
        assert self.open == {}


TestLinkInTheWild = LinkInTheWild.TestCase
TestLinkInTheWild.settings = settings(
    stateful_step_count=60, max_examples=150 if WHOLE else 100, suppress_health_check=[HealthCheck.too_slow]
)


@given(st.lists(st.binary(max_size=200), max_size=20), st.lists(st.floats(0, 50), max_size=20))
def test_no_bytes_raise_and_a_server_always_ends(pieces: list[bytes], pauses: list[float]) -> None:
    link = server_link()
    now = 0.0
    for place, piece in enumerate(pieces):
        now += pauses[place] if place < len(pauses) else 0.0
        link.received(piece, now)
    link.stop(now)
    link.tick(now + 3600.0)
    assert link.state is State.STOPPED
    assert link.at_handler == 0


@given(st.data())
def test_a_server_answers_each_message_at_most_once(data: st.DataObject) -> None:
    link = server_link(max_at_handler=3)
    stream = on_wire(*(purchase(stan) for stan in range(1, 9)))
    actions: list[Action] = []
    while stream:
        size = data.draw(st.integers(1, 120))
        actions += link.received(stream[:size], 0.0)
        stream = stream[size:]
    tokens = [received.token for received in of_kind(actions, Received)]
    assert len(set(tokens)) == len(tokens) == 8
    answered = data.draw(st.permutations(tokens))
    written = [link.answer(token, answer_to(purchase(token)), 1.0) for token in [*answered, *answered]]
    assert sum(len(of_kind(actions, Write)) for actions in written) == 8
