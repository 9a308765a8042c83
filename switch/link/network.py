"""Network management (MTI x8xx): the messages a link sends and answers on its own account.

Pure: STANs and times are handed in. What goes beyond sign-on, sign-off and echo is the handler's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from switch.iso8583 import Message, Value
from switch.link.matching import answer_mti

RESPONSE_CODE = "39"


def time_fields(moment: datetime) -> dict[str, str]:
    """DE 7 (UTC), 12 and 13 (local) of a `moment` with a time zone: a `stamp` for `NetworkMessages`."""
    return {
        "7": moment.astimezone(UTC).strftime("%m%d%H%M%S"),
        "12": moment.strftime("%H%M%S"),
        "13": moment.strftime("%m%d"),
    }


@dataclass(frozen=True, slots=True)
class NetworkMessages:
    """How the partner's network messages look. The defaults are ISO 8583:1987's.

    mti: of our requests. code_field: the field that says what a message is for.
    sign_on, sign_off, echo: its values; None = this link has no such message.
    fields: what all of ours carry beside code and DE 11 ({"41": "10000001"}); stamp: the same, asked for at
    each sending, for times (see `time_fields`).
    echoed: what an answer brings back from its request, as far as it was there.
    approved: values of DE 39 that mean yes; the first is what we answer with.
    unavailable, failed: DE 39 for messages that are refused, or whose handler failed.
    """

    mti: str = "0800"
    code_field: str = "70"
    sign_on: str | None = "001"
    sign_off: str | None = "002"
    echo: str | None = "301"
    fields: Mapping[str, Value] = field(default_factory=dict)
    stamp: Callable[[], Mapping[str, Value]] | None = None
    echoed: tuple[str, ...] = ("7", "11", "12", "24", "32", "33", "41", "70")
    approved: tuple[str, ...] = ("00",)
    unavailable: str = "91"
    failed: str = "96"

    def request(self, code: str, stan: int) -> Message:
        """One of ours. `stan`: 1 to 999999."""
        fields = dict(self.fields)
        if self.stamp is not None:
            fields.update(self.stamp())
        fields["11"] = f"{stan:06d}"
        fields[self.code_field] = code
        return Message(self.mti, fields)

    def answer(self, request: Message, response_code: str) -> Message:
        """The plain answer to any request: what is echoed, and DE 39."""
        fields = {path: value for path in self.echoed if (value := request.get(path)) is not None}
        fields[RESPONSE_CODE] = response_code
        return Message(answer_mti(request.mti), fields)

    def approves(self, answer: Message) -> bool:
        return answer.get(RESPONSE_CODE) in self.approved
