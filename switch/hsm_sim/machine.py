"""The box without its sockets: the one way from a request's bytes to the answer's.

Whatever happens, a request gets exactly one answer; no exception leaves `answer`. What is logged and recorded
of a request is its command, its size and the error code, never a field of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from construct import ConstructError  # type: ignore[import-untyped]

from switch.hsm_sim.audit import AuditError, AuditEvent
from switch.hsm_sim.call import Answer, Call, State
from switch.hsm_sim.errors import TAMPERING, Refused
from switch.hsm_sim.fields import TRAILER_MARK, Suffix
from switch.hsm_sim.framing import LARGEST_MESSAGE_BYTES, Message, answer_command, frame
from switch.hsm_sim.handlers import HANDLERS
from switch.hsm_sim.layouts import Layout, layout_of
from switch.hsm_sim.usual import FORM_BYTES, Act, Usual

# Damaged tokens recorded in one minute: an attacker at the port must not fill the disk.
MOST_TAMPERING_RECORDS_A_MINUTE: Final = 20

Audit = Callable[[AuditEvent], None]


def _no_audit(event: AuditEvent) -> None:
    """For a box that keeps no log (tests, the public test LMKs)."""


class Refusal(NamedTuple):
    """For the log: a request that was answered with an error."""

    command: str
    code: str
    detail: str
    size: int


@dataclass(slots=True)
class Machine:
    """One box. audit: called before the answer to what must be recorded; when it fails the answer is 41.
    counters: requests and errors since the start, for the console."""

    state: State
    audit: Audit = _no_audit
    counters: Counter[str] = field(default_factory=Counter)
    _tampering_minute: int = -1
    _tampering_records: int = 0
    _usual: dict[bytes, Act] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._usual = Usual(self.state).acts

    def answer(self, message: Message, default: str | None = None) -> tuple[bytes, Refusal | None]:
        """The framed answer to one request, and what to log of it. default: the LMK of the port."""
        header, command, asked = message
        usual = self._usual.get(command + asked[:FORM_BYTES])
        if usual is not None:
            try:
                answered = usual.answered(asked)
            except (ValueError, Refused):  # left to the handlers, who say what is wrong
                answered = None
            if answered is not None:
                self.counters[usual.name] += 1
                return frame(header, usual.command, answered), None
        body, refusal = self._body(message, default if default is not None else self.state.slots.default)
        return frame(message.header, answer_command(message.command), body), refusal

    def _body(self, message: Message, default: str) -> tuple[bytes, Refusal | None]:
        trailer = b""
        try:
            layout = layout_of(message.command)
            request = layout.parse_request(message.body)
            suffix: Suffix = request.suffix
            if suffix.trailer is not None:
                trailer = TRAILER_MARK + suffix.trailer
            answer = self._execute(layout, request, suffix, default)
            body = layout.build_answer(answer.code, answer.fields) + trailer
            room = LARGEST_MESSAGE_BYTES - len(message.header) - len(message.command)
            if len(body) > room:
                raise Refused("15", "the answer would not fit a frame")
            self.counters[layout.code] += 1
            return body, None
        except Refused as error:
            code, detail = error.code, error.detail
        except AuditError:
            code, detail = "41", "the audit log can't be written"
        except ConstructError as error:
            code, detail = "15", type(error).__name__
        except Exception as error:
            # A defect of ours. Its text may hold anything, its kind and place in the code can't.
            code, detail = "41", f"internal error {type(error).__name__}{_place(error)}"
        self.counters[f"error {code}"] += 1
        command = message.command.decode("ascii", "replace")
        if not command.isalnum():
            command = "??"
        return code.encode("ascii") + trailer, self._refusal(command, code, detail, len(message.body))

    def _execute(self, layout: Layout, request: Any, suffix: Suffix, default: str) -> Answer:
        slot = self.state.slots.choose(suffix.master_key, request, default)
        call = Call(self.state, layout.code, request, suffix, slot, suffix.master_key is not None)
        answer = HANDLERS[layout.code](call)
        if answer.event is not None:
            self.audit(answer.event)
        if answer.cancels_authorisation:
            self.state.authorised.cancel()
        return answer

    def _refusal(self, command: str, code: str, detail: str, size: int) -> Refusal:
        if code in TAMPERING:
            minute = int(self.state.clock() // 60)
            if minute != self._tampering_minute:
                self._tampering_minute, self._tampering_records = minute, 0
            self._tampering_records += 1
            if self._tampering_records <= MOST_TAMPERING_RECORDS_A_MINUTE:
                try:
                    self.audit(AuditEvent("damaged key token", {"command": command, "result": code}))
                except AuditError:
                    self.counters["audit failed"] += 1
        return Refusal(command, code, detail, size)


def _place(error: BaseException) -> str:
    """Module and line where an exception was raised, without anything of the data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
