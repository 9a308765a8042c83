"""Registries for tests: an installation's settings without keys or ledger, records to draw, changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from switch.registry import (
    Author,
    Bundle,
    Draft,
    Group,
    InForce,
    Merchant,
    Parameters,
    Rollout,
    TerminalRecord,
    changing,
)
from switch.registry.records import spelled
from switch.settings import Settings, load

SHOP, OTHER = "100000000000001", "100000000000002"
BDK = bytes.fromhex("0A0B0C0D")
NOON = datetime(2026, 10, 2, 12, 0, tzinfo=ZoneInfo("Asia/Tehran"))
TWO_TERMINALS = "".join(
    f'[[terminals]]\nid = "{10000000 + number}"\nacceptor = "{SHOP}"\n'
    f'initial_key_id = "0A0B0C0D{10000000 + number}"\n'
    for number in (1, 2)
)


def installation(directory: Path, terminals: str = TWO_TERMINALS) -> Settings:
    """Settings with two terminals of SHOP."""
    directory.mkdir(exist_ok=True)
    path = directory / "switch.toml"
    path.write_text(f'[keys]\nseal = "{"5a" * 32}"\ndirectory = "{"d1" * 32}"\n\n{terminals}', "utf-8")
    return load(path)


def change(
    settings: Settings, make: Callable[[Draft], object], what: str = "test", reason: str = ""
) -> InForce:
    """Make one change."""
    with changing(settings) as session:
        make(session.draft)
        return session.commit(what, Author("A. Rahimi", "operator", reason, NOON))


def add(terminal: str, merchant: str = SHOP) -> Callable[[Draft], object]:
    return lambda draft: draft.add_terminal(terminal, merchant, bdk_id=BDK)


_texts = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=20).map(spelled)
_ids = st.text("0123456789ABCxyz", min_size=8, max_size=8)
_merchant_ids = st.text("0123456789ABCxyz", min_size=15, max_size=15)
merchants = st.builds(
    Merchant,
    _merchant_ids,
    _texts,
    _texts,
    _texts,
    st.sampled_from(["", "5942", "0001"]),
    st.booleans(),
    _texts,
)
terminals = st.builds(
    TerminalRecord,
    _ids,
    _merchant_ids,
    st.binary(min_size=8, max_size=8),
    st.booleans(),
    _texts,
    _texts,
    st.lists(st.binary(min_size=8, max_size=8), max_size=2).map(tuple),
    st.just("") | _merchant_ids,
    st.sampled_from(["", "kiosks"]),
)
_digests = st.sampled_from(["00" * 32, "5a" * 32])
_versions = st.integers(1, 99_999_999)
_models = st.sampled_from(["unix", "vafa-esp32"])
bundles = st.builds(Bundle, _models, _versions, _versions, _digests, st.integers(1, 9999), st.booleans())
groups = st.builds(
    Group,
    st.sampled_from(["default", "kiosks", "a"]),
    st.lists(st.builds(Parameters, _versions, _digests, st.integers(1, 3072)), max_size=3).map(tuple),
    st.lists(
        st.builds(Rollout, _models, _versions, st.integers(0, 100), st.lists(_ids, max_size=2).map(tuple)),
        max_size=2,
    ).map(tuple),
)
