"""Which dialect and framing unknown bytes are in: every shipped one is tried, scored and explained.

A score of 100 is a message that decodes to its last byte and has the fields it must have. Pure.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from switch.iso8583 import DecodeError, Dialect, EncodeError, Message
from switch.link.framing import LENGTH_HEADERS, TPDU_BYTES, Framing, FramingError, framing_named
from tools.message_input import UNFRAMED, tpdu_before

WHOLE: Final = 100
DECODES: Final = 90  # every byte has its place, but presence is against it
PER_PROBLEM: Final = 3  # off a whole decode, for each rule of presence it breaks
LEAST_DECODED: Final = 50  # a whole decode is never worth less
MOST_BROKEN: Final = 45  # a message that breaks off near its end
LONGEST_FRAME_BYTES: Final = 0xFFFF
# More messages of a capture say nothing new about its dialect.
MESSAGES_TRIED: Final = 20
UNFINISHED: Final = "the last frame is longer than what is there"


class Fit(NamedTuple):
    """One dialect in one framing. messages: how many were found; why: what speaks for and against it."""

    dialect: str
    framing: str
    score: int
    messages: int
    decoded: int
    why: str
    first: Message | None


class FramingFault(NamedTuple):
    """A framing that can't cut the bytes, and why."""

    framing: str
    why: str


class Diagnosis(NamedTuple):
    """All fits, the best first; framings that failed stand apart, for no dialect helps there."""

    fits: tuple[Fit, ...]
    framings: tuple[FramingFault, ...]

    @property
    def best(self) -> tuple[Fit, ...]:
        """Fits that decode whole and share the highest score; empty when nothing decodes."""
        if not self.fits or self.fits[0].score < LEAST_DECODED:
            return ()
        return tuple(fit for fit in self.fits if fit.score == self.fits[0].score)


def diagnose(pieces: Sequence[bytes], dialects: Sequence[Dialect]) -> Diagnosis:
    """What `pieces` (each one message or a stream of frames) could be."""
    faults: list[FramingFault] = []
    fits: list[Fit] = []
    for name, messages, is_cut in _cuts(pieces, faults):
        found = [_fit(dialect, name, messages) for dialect in dialects]
        if is_cut:  # only what reads every whole frame speaks for it
            found = [_less_for_cut(fit) for fit in found if fit.score >= LEAST_DECODED]
            if not found:
                faults.append(FramingFault(name.removesuffix("+tpdu"), UNFINISHED))
        fits += found
    ranked = sorted(fits, key=lambda fit: (-fit.score, fit.framing != UNFRAMED and "tpdu" not in fit.framing))
    return Diagnosis(tuple(ranked), tuple(faults))


def diagnose_json(documents: Sequence[Any], dialects: Sequence[Dialect]) -> Diagnosis:
    """Which dialects can write messages that stand as JSON; a fault is told with its path."""
    fits = []
    for dialect in dialects:
        judged = [_judge_json(dialect, document) for document in documents[:MESSAGES_TRIED]]
        if judged:
            fits.append(_summed(dialect, UNFRAMED, judged, len(documents)))
    return Diagnosis(tuple(sorted(fits, key=lambda fit: -fit.score)), ())


def _judge_json(dialect: Dialect, document: Any) -> tuple[int, str, Message | None]:
    try:
        return _judge(dialect, dialect.encode(Message.from_json(json.dumps(document), dialect)))
    except EncodeError as error:
        return _json_score(dialect, document), str(error), None


def _json_score(dialect: Dialect, document: Any) -> int:
    """For a message that can't be written: how many of its fields can."""
    fields = document.get("fields") if isinstance(document, dict) else None
    if not fields or not isinstance(fields, dict):
        return 0
    right = 0
    for path, value in fields.items():
        alone = json.dumps({"mti": document.get("mti"), "fields": {path: value}})
        with contextlib.suppress(EncodeError):
            dialect.encode(Message.from_json(alone, dialect))
            right += 1
    return min(MOST_BROKEN, MOST_BROKEN * right // len(fields))


def _less_for_cut(fit: Fit) -> Fit:
    score = max(LEAST_DECODED, fit.score - PER_PROBLEM)
    return fit._replace(score=score, why=f"{fit.why}; the last frame is cut")


def _cuts(pieces: Sequence[bytes], faults: list[FramingFault]) -> Iterator[tuple[str, list[bytes], bool]]:
    """Framing, messages, and whether the last frame is cut."""
    yield UNFRAMED, list(pieces), False
    if all(map(tpdu_before, pieces)):
        yield f"{UNFRAMED}+tpdu", [data[TPDU_BYTES:] for data in pieces], False
    for name in LENGTH_HEADERS:
        framing = framing_named(name)
        messages: list[tuple[bytes, bool]] = []
        why, is_cut = "", False
        for data in pieces:
            found, why = _cut(framing, data)
            messages += found
            if why:
                break
        if messages and why == UNFINISHED and data is pieces[-1]:
            why, is_cut = "", True
        if not messages or why:
            faults.append(FramingFault(name, why or "only keep-alives"))
            continue
        with_tpdu = sum(has_tpdu for _payload, has_tpdu in messages)
        spelled = f"{name}+tpdu" if with_tpdu == len(messages) else name
        yield spelled, [payload for payload, _tpdu in messages], is_cut


def _cut(framing: Framing, data: bytes) -> tuple[list[tuple[bytes, bool]], str]:
    reader = framing.reader(LONGEST_FRAME_BYTES)
    try:
        frames = reader.feed(data, 0.0)
    except FramingError as error:
        return [(frame.payload, frame.tpdu is not None) for frame in error.frames], str(error)
    unfinished = reader.pending_since is not None
    why = UNFINISHED if unfinished else ""
    return [(frame.payload, frame.tpdu is not None) for frame in frames], why


def _fit(dialect: Dialect, framing: str, messages: Sequence[bytes]) -> Fit:
    judged = [_judge(dialect, data) for data in messages[:MESSAGES_TRIED]]
    return _summed(dialect, framing, judged, len(messages))


def _summed(
    dialect: Dialect, framing: str, judged: Sequence[tuple[int, str, Message | None]], count: int
) -> Fit:
    score = min(points for points, _why, _message in judged)
    decoded = sum(points >= LEAST_DECODED for points, _why, _message in judged)
    # the worst message explains the score
    _points, why, _message = min(judged, key=lambda one: one[0])
    first = judged[0][2]
    return Fit(dialect.name, framing, score, count, decoded, why, first)


def _judge(dialect: Dialect, data: bytes) -> tuple[int, str, Message | None]:
    try:
        message = dialect.decode(data)
    except DecodeError as error:
        return _broken(error, data), str(error), error.partial
    problems = dialect.check(message, mac_required=False)
    name = dialect.name_of(message)
    known = f"decodes whole: {message.mti}{f', {name}' if name else ''}, {len(message.fields)} fields"
    if not dialect.dictionary.messages:
        return DECODES, f"{known}; the dialect has no rules of presence", message
    if not problems:
        return WHOLE, known, message
    first = problems[0]
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    score = max(LEAST_DECODED, DECODES - PER_PROBLEM * len(problems))
    return score, f"{known}; but {first.path}: {first.what}{more}", message


def _broken(error: DecodeError, data: bytes) -> int:
    if error.partial is None or error.path in ("mti", "bitmap"):
        return 0
    return min(MOST_BROKEN, MOST_BROKEN * error.offset // max(1, len(data)))
