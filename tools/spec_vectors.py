"""`vafa spec vectors`: sample messages as JSON that a codec in any language can be tested against.

The good ones are the samples that stand beside a dialect; the bad ones are made from them by rule, and the
error to expect is what our own reference decoder says. Nothing here is random: a dialect always gives the
same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from switch import iso8583
from switch.iso8583 import DecodeError, Dialect, Sample
from tools.spec_examples import Example, leaves

SCHEMA = "vafa-vectors/1"
# A byte that no digit, length, tag count or printable character is: most fields refuse it at once.
WRONG_BYTE = 0xFF


def shipped_names() -> Sequence[str]:
    """The dialects that have samples."""
    return tuple(iso8583.shipped())


class WrongSample(ValueError):
    """A sample that isn't what its dialect makes of it; free of content."""


def judge_samples(dialect: Dialect, samples: Sequence[Sample]) -> None:
    """`WrongSample` for the first that doesn't decode, or not to the values it says."""
    for sample in samples:
        try:
            document = dialect.decode(sample.data).to_document(reveal=True)
        except DecodeError as error:
            raise WrongSample(f"sample {sample.name!r} is no message of {dialect.name}: {error}") from None
        if sample.document and sample.document != document:
            raise WrongSample(f"sample {sample.name!r} says other values than its bytes do")


def vectors_text(dialect: Dialect, samples: Sequence[Example]) -> str:
    """The vectors of `dialect` as JSON text, made from its samples."""
    content = {
        "schema": SCHEMA,
        "dialect": dialect.name,
        "version": dialect.version,
        "valid": [_valid(dialect, sample) for sample in samples],
        "invalid": [bad.as_json() for bad in invalid(dialect, samples)],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


class Invalid(NamedTuple):
    """Bytes that must be refused, and how."""

    name: str
    data: bytes
    error: DecodeError

    def as_json(self) -> dict[str, Any]:
        error = {
            "path": self.error.path,
            "offset": self.error.offset,
            "expected": self.error.expected,
            "got": self.error.got,
            "response_code": self.error.response_code,
        }
        return {"name": self.name, "hex": self.data.hex().upper(), "error": error}


def invalid(dialect: Dialect, samples: Sequence[Example]) -> Iterator[Invalid]:
    """Every way of breaking that the rules find in `samples`, each path once per rule."""
    seen: set[str] = set()
    for sample in samples:
        data = bytes.fromhex(sample.hex)
        for name, attempt in broken(dialect, data):
            if name in seen:
                continue
            error = _refusal(dialect, attempt)
            if error is not None:
                seen.add(name)
                yield Invalid(name, attempt, error)


def broken(dialect: Dialect, data: bytes) -> Iterator[tuple[str, bytes]]:
    """`data` broken by each rule, with the rule's name; some of it may still be a message."""
    yield "nothing at all", b""
    yield "a byte too many", data + b"\x00"
    for path, start, stop in leaves(dialect, data):
        yield f"{path}: cut off within", data[: stop - 1]
        wrong = bytes((WRONG_BYTE,))
        yield f"{path}: first byte 0xFF", data[:start] + wrong + data[start + 1 :]
        yield f"{path}: last byte 0xFF", data[: stop - 1] + wrong + data[stop:]


def _refusal(dialect: Dialect, data: bytes) -> DecodeError | None:
    try:
        dialect.decode(data)
    except DecodeError as error:
        return error
    return None


def _valid(dialect: Dialect, sample: Example) -> dict[str, Any]:
    data = bytes.fromhex(sample.hex)
    return {
        "name": sample.name,
        "hex": data.hex().upper(),
        "message": dialect.decode(data).to_document(reveal=True),
    }
