"""The three ways the message kit refuses: a message from outside, a message of ours, a dictionary.

Nothing here ever carries card data: `got` names a length, a place or one byte that is no data, no content.
All can be copied and pickled, as a pool of processes does with what a worker raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from switch.iso8583.message import Message

# DE 39 of ISO 8583:1987; dialects of other versions say their own
FORMAT_ERROR = "30"
INVALID_TRANSACTION = "12"


class DecodeError(ValueError):
    """Bytes that are no valid message.

    path: "mti", "bitmap", a field ("35"), a tag ("48.01") or "message" for the whole.
    offset: byte offset, from the first byte given (header or MTI), of the first byte that is wrong.
    expected, got: words for a person; `got` is free of content by construction.
    response_code: the DE 39 to answer with.
    partial: what was decoded before the error, or None when not even the MTI was readable. Bytes out of step
        put card digits into fields that aren't masked for them: for a person at work, not for a log.
    """

    def __init__(
        self,
        path: str,
        offset: int,
        expected: str,
        got: str,
        response_code: str = FORMAT_ERROR,
        partial: Message | None = None,
    ) -> None:
        super().__init__(f"{path} at byte {offset}: expected {expected}, got {got}")
        self.path = path
        self.offset = offset
        self.expected = expected
        self.got = got
        self.response_code = response_code
        self.partial = partial

    def __reduce__(self) -> tuple[Any, ...]:
        given = (self.path, self.offset, self.expected, self.got, self.response_code, self.partial)
        return type(self), given, self.__dict__

    def moved(self, offset: int, path: str | None = None) -> DecodeError:
        """The same fault at another offset (and path): told by what holds the bytes it was found in."""
        return DecodeError(
            self.path if path is None else path,
            offset,
            self.expected,
            self.got,
            self.response_code,
            self.partial,
        )


class EncodeError(ValueError):
    """A message of ours that the dialect can't carry: `path` as in `DecodeError`, nothing was encoded."""

    def __init__(self, path: str, expected: str, got: str) -> None:
        super().__init__(f"{path}: expected {expected}, got {got}")
        self.path = path
        self.expected = expected
        self.got = got

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.expected, self.got), self.__dict__


class Mistake(NamedTuple):
    """One mistake in a dictionary. `line` counts from 1; None when no line can be named."""

    line: int | None
    what: str
    remedy: str


class DialectError(ValueError):
    """A dictionary that can't be used: every mistake; the first also as `line`, `what`, `remedy`.

    mistakes: those of the file, then those of the files it extends; located: each with its file.
    """

    def __init__(
        self, file: Path, mistakes: Sequence[Mistake], others: Sequence[tuple[Path, Mistake]] = ()
    ) -> None:
        self.located = (*((file, mistake) for mistake in mistakes), *others)
        assert self.located, "an error names at least one mistake"
        super().__init__(
            "\n".join(
                f"{where}{'' if line is None else f':{line}'}: {what}; {remedy}"
                for where, (line, what, remedy) in self.located
            )
        )
        self.mistakes = tuple(mistake for _file, mistake in self.located)
        self.file, (self.line, self.what, self.remedy) = self.located[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.file, self.mistakes[:1], self.located[1:]), self.__dict__
