"""Messages for the tests of links, and a core driven by hand on a clock of its own."""

from __future__ import annotations

from typing import Any, TypeVar

from switch import iso8583
from switch.iso8583 import Message
from switch.link.client import ClientLink, ClientSettings
from switch.link.core import Action, Ended, Link, Write
from switch.link.framing import DEFAULT_FRAMING
from switch.link.matching import answer_mti
from switch.link.network import NetworkMessages
from switch.link.server import ServerLink, ServerSettings
from switch.link.states import State

DIALECT = iso8583.load("vafa")
CARD = "9364001234567897"
TERMINAL = "10000001"
NETWORK = NetworkMessages(fields={"41": TERMINAL, "42": "100000000000001"}, echoed=("11", "12", "41"))

Kind = TypeVar("Kind")


def purchase(stan: int, *, mti: str = "0200", amount: int = 1000, terminal: str = TERMINAL) -> Message:
    return Message(
        mti,
        {
            "2": CARD,
            "3": "210060",
            "4": f"{amount:012d}",
            "11": f"{stan:06d}",
            "12": "103000",
            "13": "0521",
            "41": terminal,
        },
    )


def answer_to(request: Message, code: str = "00", **more: str) -> Message:
    echoed = {path: value for path in ("11", "12", "41") if (value := request.get(path)) is not None}
    return Message(answer_mti(request.mti), {**echoed, "39": code, **more})


def on_wire(*messages: Message) -> bytes:
    return b"".join(DEFAULT_FRAMING.frame(DIALECT.encode(message)) for message in messages)


def off_wire(data: bytes) -> list[Message]:
    return [DIALECT.decode(one.payload) for one in DEFAULT_FRAMING.reader().feed(data, 0.0)]


def of_kind(actions: list[Action], kind: type[Kind]) -> list[Kind]:
    return [action for action in actions if isinstance(action, kind)]


def written(actions: list[Action]) -> list[Message]:
    """The messages that these actions send."""
    return off_wire(b"".join(action.data for action in of_kind(actions, Write)))


def outcomes(actions: list[Action]) -> dict[int, object]:
    return {ended.ticket: ended.outcome for ended in of_kind(actions, Ended)}


def client_settings(**changes: Any) -> ClientSettings:
    return ClientSettings(**{"codec": DIALECT, "network": NETWORK, **changes})


def server_settings(**changes: Any) -> ServerSettings:
    return ServerSettings(**{"codec": DIALECT, "network": NETWORK, **changes})


def client(uniform: float = 1.0, **changes: Any) -> ClientLink:
    return ClientLink(client_settings(**changes), lambda: uniform)


def client_up(now: float = 0.0, uniform: float = 1.0, **changes: Any) -> ClientLink:
    link = client(uniform, **changes)
    link.start(now)
    bring_up(link, now)
    return link


def bring_up(link: ClientLink, now: float) -> None:
    """From CONNECTING to UP, with a host that approves."""
    [sign_on] = written(link.connected(now))
    link.received(on_wire(answer_to(sign_on)), now)
    assert link.state is State.UP


def server_link(now: float = 0.0, **changes: Any) -> ServerLink:
    link = ServerLink(server_settings(**changes))
    link.accepted(now)
    return link


def next_tick(link: Link) -> tuple[float, list[Action]]:
    """Let time pass to the next deadline."""
    at = link.next_deadline()
    assert at is not None, "nothing would ever happen again"
    return at, link.tick(at)
