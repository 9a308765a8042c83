"""What deciding a batch will look up and the memory lacks: asked for together, before the batch is decided.

Only a saving of round trips: whatever is missed here is looked up when a decision asks for it. Each function
names what the answers to the one before lead to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from switch.authorizer import Request
from switch.authorizer.identity import parse_rrn
from switch.authorizer.limits import JUDGED
from switch.authorizer.transfers import place_of_second
from switch.ledger import (
    Entry,
    Followed,
    Identified,
    IdentifierKind,
    Load,
    Member,
    NotLoaded,
    SentTo,
    State,
    of_member,
    of_terminal,
)
from switch.ledger.engine import (
    EVERY_BUCKET,
    CardLoad,
    CodeCountLoad,
    EntryIdLoad,
    EntryLoad,
    FollowedLoad,
    IdentifierLoad,
    LastBatchLoad,
    MemberLoad,
    MobileLoad,
    ReversedLoad,
)
from switch.ledger.model import (
    BUCKETS,
    ENTRY_ID_EPOCH_MS,
    ENTRY_ID_LIMIT,
    ENTRY_IDS_PER_MS,
    bucket_of_member,
)

# These look at nothing beside their member.
_PLAIN = ("earn", "redeem", "hold", "balance")
# Whose reversal looks whether it is still the last that set a status.
_OF_STATUS = ("block", "unblock")


def first_loads(state: State, requests: Iterable[Request]) -> list[Load]:
    """What requests name themselves: identities seen before, reversed before, who the member is, what is
    followed or taken back."""
    owns_all = state.owns(0) and state.owns(BUCKETS - 1)
    loads: list[Load] = []
    for request in requests:
        loads += (
            EntryLoad(request.identity),
            ReversedLoad(request.identity),
            LastBatchLoad(request.terminal),
        )
        if request.original:
            # An uploaded item may be any owner's.
            anywhere = request.operation == "batch_upload" and not owns_all
            bucket = (EVERY_BUCKET,) if anywhere else ()
            loads += (EntryLoad(request.original, *bucket), ReversedLoad(request.original, *bucket))
        loads += (IdentifierLoad(known) for known in (request.identifier, request.other) if known)
        if request.mobile is not None:
            loads.append(IdentifierLoad(request.mobile.identifier))
        if request.follows:
            with suppress(ValueError):  # no reference number of ours; the decision says so
                bucket_there, entry_id = parse_rrn(request.follows)
                loads += (EntryIdLoad(entry_id, bucket_there), FollowedLoad(entry_id, bucket_there))
        if request.operation == "code":
            loads.append(CodeCountLoad(of_terminal(request.terminal)))
    return _missing(state, loads)


def unseen(state: State, requests: Iterable[Request]) -> list[Request]:
    """Those that were not decided before: the others only want their answer again."""
    return [request for request in requests if _entry(state, request.identity) is None]


def members_of(state: State, requests: Iterable[Request]) -> list[Sequence[int]]:
    """Whom each request is about, as far as that is known: its own member first."""
    return [_members(state, request) for request in requests]


def member_loads(
    state: State, requests: Iterable[Request], members: Iterable[Sequence[int]], due: Iterable[int]
) -> list[Load]:
    """The members that were found, and what stands beside the entries that were."""
    loads: list[Load] = [MemberLoad(member) for member in due]
    for request, found in zip(requests, members, strict=True):
        loads += map(MemberLoad, found)
        if request.operation in _PLAIN:
            continue
        if (followed := _followed(state, request)) is not None:
            loads.append(ReversedLoad(followed.identity, followed.bucket))
        if request.operation == "reversal" and (original := _entry(state, request.original)) is not None:
            loads += _of_original(state, original)
        if found:
            loads += _beside_member(request, found[0])
    return _missing(state, loads)


def late_loads(
    state: State,
    requests: Iterable[Request],
    members: Iterable[Sequence[int]],
    due: Iterable[int],
    now_ms: int,
    again_ms: int,
) -> list[Load]:
    """Entries that the members lead to: what opened a hold that has run out, the newest one where that may be
    the same sale or has set a status. again_ms: so long a sale may be the same again; 0: never."""
    loads: list[Load] = []
    oldest = (now_ms - again_ms - ENTRY_ID_EPOCH_MS) * ENTRY_IDS_PER_MS if again_ms else ENTRY_ID_LIMIT
    for member_id in due:
        loads += _run_out(_member(state, member_id), now_ms)
    for request, found in zip(requests, members, strict=True):
        for place, member_id in enumerate(found):
            member = _member(state, member_id)
            if member is None:
                continue
            if member.holds:
                loads += _run_out(member, now_ms)
            if place:
                continue
            sets_status = request.original_operation in _OF_STATUS and request.operation == "reversal"
            if sets_status or (member.last_entry >= oldest and request.operation in JUDGED):
                loads.append(EntryIdLoad(member.last_entry, bucket_of_member(member.id)))
    return _missing(state, loads)


def _of_original(state: State, original: Entry) -> Iterator[Load]:
    """What taking an entry back looks at."""
    yield FollowedLoad(original.id, original.bucket)
    for side in original.sides:
        if isinstance(side, Followed):
            yield FollowedLoad(side.original, original.bucket)
            yield EntryIdLoad(side.original, original.bucket)
        elif isinstance(side, Identified) and side.kind == IdentifierKind.MOBILE:
            yield MobileLoad(side.member)
        elif isinstance(side, SentTo):
            yield EntryIdLoad(original.id, original.bucket)
            to, second = place_of_second(original, original)
            if state.owns(bucket_of_member(to)):
                yield EntryLoad(second, bucket_of_member(to))
                yield MemberLoad(to)


def _beside_member(request: Request, member: int) -> Iterator[Load]:
    """What an operation looks at beside its member."""
    if request.operation == "code":
        yield MobileLoad(member)
        yield CodeCountLoad(of_member(member))
    elif request.operation == "replace":
        yield CardLoad(member)
    elif request.mobile is not None:
        yield MobileLoad(member)


def _run_out(member: Member | None, now_ms: int) -> Iterator[Load]:
    for hold in () if member is None else member.holds:
        if hold.expires_ms <= now_ms:
            assert member is not None
            yield EntryIdLoad(hold.id, bucket_of_member(member.id))


def _members(state: State, request: Request) -> Sequence[int]:
    if not request.follows and not request.other:
        own = _known(state, request.identifier)
        return (own,) if own else ()
    followed = _followed(state, request)
    own = _known(state, request.identifier) if followed is None else followed.member
    return [member for member in (own, _known(state, request.other)) if member]


def _missing(state: State, loads: Iterable[Load]) -> list[Load]:
    missing = [load for load in loads if not state.knows(load)]
    # Loads of two kinds with one key are equal as tuples.
    return list({(type(load), load): load for load in missing}.values())


def _entry(state: State, identity: bytes) -> Entry | None:
    try:
        return state.entry(identity)
    except NotLoaded:
        return None


def _followed(state: State, request: Request) -> Entry | None:
    if not request.follows:
        return None
    try:
        bucket, entry_id = parse_rrn(request.follows)
        return state.entry_of_id(entry_id, bucket)
    except (ValueError, NotLoaded):
        return None


def _known(state: State, identifier: bytes) -> int | None:
    try:
        return state.member_of(identifier) if identifier else None
    except NotLoaded:
        return None


def _member(state: State, member: int | None) -> Member | None:
    try:
        return state.member(member) if member else None
    except NotLoaded:
        return None
