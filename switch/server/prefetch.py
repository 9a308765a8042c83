"""What deciding a batch will look up and the memory lacks: asked for together, before the batch is decided.

Only a saving of round trips: whatever is missed here is looked up when a decision asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from switch.authorizer import Request
from switch.authorizer.identity import parse_rrn
from switch.ledger import Load, NotLoaded, State
from switch.ledger.engine import (
    EntryIdLoad,
    EntryLoad,
    IdentifierLoad,
    LastBatchLoad,
    MemberLoad,
    ReversedLoad,
)


def first_loads(state: State, requests: Iterable[Request]) -> list[Load]:
    """Identities seen before, reversed before, who the member is, what is followed or taken back."""
    loads: list[Load] = []
    for request in requests:
        wanted: list[Load] = [EntryLoad(request.identity), ReversedLoad(request.identity)]
        wanted.append(LastBatchLoad(request.terminal))
        if request.original:
            wanted += (EntryLoad(request.original), ReversedLoad(request.original))
        wanted += (IdentifierLoad(known) for known in (request.identifier, request.other) if known)
        if request.follows:
            with suppress(ValueError):  # no reference number of ours; the decision says so
                bucket, entry_id = parse_rrn(request.follows)
                wanted.append(EntryIdLoad(entry_id, bucket))
        loads += wanted
    return _missing(state, loads)


def member_loads(state: State, requests: Sequence[Request], due: Iterable[int]) -> list[Load]:
    """The members that were found."""
    members = dict.fromkeys(due)
    for request in requests:
        for identifier in (request.identifier, request.other):
            if identifier and (member := _known(state, identifier)):
                members[member] = None
        if request.follows and (member := _followed_member(state, request.follows)):
            members[member] = None
    return _missing(state, [MemberLoad(member) for member in members])


def _missing(state: State, loads: Iterable[Load]) -> list[Load]:
    # Loads of two kinds with one key are equal as tuples.
    once = {(type(load), load): load for load in loads}
    return [load for load in once.values() if not state.knows(load)]


def _followed_member(state: State, rrn: str) -> int | None:
    try:
        bucket, entry_id = parse_rrn(rrn)
        entry = state.entry_of_id(entry_id, bucket)
    except (ValueError, NotLoaded):
        return None
    return None if entry is None else entry.member


def _known(state: State, identifier: bytes) -> int | None:
    try:
        return state.member_of(identifier)
    except NotLoaded:
        return None
