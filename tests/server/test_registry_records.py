"""What may be registered, what is refused, and what is in force beside the settings' own terminals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from switch.registry import ChangeRefused, Draft, Merchant, Registry, RegistryError, in_force
from switch.settings import Terminal
from tests.server.registered import BDK, OTHER, SHOP

CONFIGURED = Terminal("10000001", SHOP, False, BDK + bytes.fromhex("10000001"))
BOOKS = Merchant(OTHER, name_en="City Books")


def draft_of(*made: Draft, settings: tuple[Terminal, ...] = (CONFIGURED,)) -> Draft:
    registry = Registry()
    for one in made:
        registry = registry.with_records(one.changed, 1, "")
    return Draft(registry, settings)


def in_force_after(draft: Draft, settings: tuple[Terminal, ...] = (CONFIGURED,)) -> dict[str, Terminal]:
    return {one.id: one for one in in_force(settings, Registry().with_records(draft.changed, 1, ""))}


def test_an_empty_registry_leaves_the_settings_as_they_are() -> None:
    assert in_force((CONFIGURED,), Registry()) == (CONFIGURED,)


def test_a_terminal_is_added_beside_them() -> None:
    draft = draft_of()
    assert draft.add_merchant(BOOKS)
    assert draft.add_terminal("10000011", OTHER, bdk_id=BDK)
    found = in_force_after(draft)
    assert found["10000001"] == CONFIGURED
    assert found["10000011"] == Terminal("10000011", OTHER, False, BDK + bytes.fromhex("10000011"))


@pytest.mark.parametrize("terminal", ["10000011", "10000001"])
def test_block_and_unblock(terminal: str) -> None:
    draft = draft_of()
    draft.add_terminal("10000011", SHOP, bdk_id=BDK)
    assert draft.block_terminal(terminal, "stolen")
    assert in_force_after(draft)[terminal].blocked
    assert draft.terminal(terminal).reason == "stolen"
    assert not draft.block_terminal(terminal, "")
    assert draft.terminal(terminal).reason == "stolen"
    assert draft.unblock_terminal(terminal)
    assert not draft.unblock_terminal(terminal)
    assert not in_force_after(draft)[terminal].blocked
    assert draft.terminal(terminal).reason == ""


def test_a_blocked_merchant_blocks_all_its_terminals_and_only_those() -> None:
    draft = draft_of()
    draft.add_merchant(BOOKS)
    draft.add_terminal("10000011", OTHER, bdk_id=BDK)
    assert draft.block_merchant(SHOP, "contract ended")
    assert {name: one.acceptor_blocked for name, one in in_force_after(draft).items()} == {
        "10000001": True,
        "10000011": False,
    }
    assert draft.assign("10000011", SHOP)
    assert in_force_after(draft)["10000011"].acceptor_blocked
    assert draft.unblock_merchant(SHOP)
    assert not any(one.acceptor_blocked for one in in_force_after(draft).values())


def test_a_moved_terminal_keeps_its_key() -> None:
    draft = draft_of()
    draft.add_merchant(BOOKS)
    assert draft.assign("10000001", OTHER)
    assert in_force_after(draft)["10000001"] == replace(CONFIGURED, acceptor=OTHER)
    assert not draft.assign("10000001", OTHER)
    assert draft.assign("10000001", SHOP)
    assert in_force_after(draft)["10000001"] == CONFIGURED


def test_blocked_by_either_is_blocked_and_the_settings_block_ends_there() -> None:
    blocked = (replace(CONFIGURED, blocked=True),)
    draft = draft_of(settings=blocked)
    with pytest.raises(ChangeRefused, match=r"blocked in switch\.toml; set blocked = false there"):
        draft.unblock_terminal("10000001")
    draft.assign("10000001", SHOP)
    assert in_force_after(draft, blocked)["10000001"].blocked


def test_settings_that_contradict_the_registry_are_refused() -> None:
    draft = draft_of()
    draft.add_merchant(BOOKS)
    draft.assign("10000001", OTHER)
    registry = Registry().with_records(draft.changed, 1, "")
    agreeing = replace(CONFIGURED, acceptor=OTHER)
    assert in_force((agreeing,), registry) == (agreeing,)
    with pytest.raises(RegistryError, match=r"10000001: acceptor 300000000000003 in switch.toml, merchant 1"):
        in_force((replace(CONFIGURED, acceptor="300000000000003"),), registry)
    with pytest.raises(
        RegistryError, match="another initial_key_id than the registry, 0A0B0C0D10000001; wri"
    ):
        in_force((replace(CONFIGURED, initial_key_id=bytes(8)),), registry)
    twin = Terminal("10000009", SHOP, False, CONFIGURED.initial_key_id)
    with pytest.raises(RegistryError, match="10000001 has the initial_key_id 0A0B0C0D10000001 of 10000009"):
        in_force((twin,), registry)


def test_a_terminal_that_the_settings_name_later_can_still_be_moved() -> None:
    draft = draft_of(settings=())
    draft.add_merchant(BOOKS)
    draft.add_merchant(Merchant(SHOP, name_en="Shop"))
    draft.add_terminal("10000001", SHOP, bdk_id=BDK)
    later = draft_of(draft)
    assert later.assign("10000001", OTHER)
    registry = Registry().with_records((*draft.changed, *later.changed), 2, "")
    assert in_force((CONFIGURED,), registry)[0].acceptor == OTHER


def test_adding_again_changes_nothing_and_otherwise_is_refused() -> None:
    draft = draft_of()
    draft.add_merchant(BOOKS)
    draft.add_terminal("10000011", OTHER, bdk_id=BDK, note="till 1")
    again = draft_of(draft)
    assert not again.add_merchant(BOOKS)
    assert not again.add_terminal("10000011", OTHER, bdk_id=BDK, note="till 1")
    assert not again.add_terminal("10000001", SHOP)
    assert again.changed == ()
    with pytest.raises(ChangeRefused, match="is registered with other particulars"):
        again.add_merchant(replace(BOOKS, city="Tehran"))
    with pytest.raises(
        ChangeRefused, match=f"10000011 is registered, of merchant {OTHER}; move it: vafa term"
    ):
        again.add_terminal("10000011", SHOP)
    with pytest.raises(ChangeRefused, match="another initial_key_id"):
        again.add_terminal("10000011", OTHER, initial_key_id=bytes(8))
    with pytest.raises(ChangeRefused, match="another note"):
        again.add_terminal("10000011", OTHER, note="till 2")
    with pytest.raises(ChangeRefused, match=r"in switch\.toml; change it there"):
        again.add_terminal("10000001", SHOP, initial_key_id=bytes(8), update=True)
    assert again.changed == ()


def test_updates_keep_what_blocks_and_never_give_a_key_id_twice() -> None:
    draft = draft_of()
    draft.add_merchant(BOOKS)
    draft.block_merchant(OTHER, "unpaid")
    assert draft.add_merchant(replace(BOOKS, city="Tehran"), update=True)
    assert (draft.merchant(OTHER).blocked, draft.merchant(OTHER).city) == (True, "Tehran")
    draft.add_terminal("10000011", OTHER, bdk_id=BDK)
    first = draft.terminal("10000011").initial_key_id
    assert draft.add_terminal("10000011", OTHER, initial_key_id=b"\1" * 8, note="n", update=True)
    later = draft_of(draft)
    with pytest.raises(ChangeRefused, match="is or was that of terminal 10000011"):
        later.add_terminal("10000012", OTHER, initial_key_id=first)
    with pytest.raises(ChangeRefused, match="is or was that of terminal 10000001"):
        later.add_terminal("10000012", OTHER, initial_key_id=CONFIGURED.initial_key_id)
    assert later.terminal("10000011").former == (first,)


def test_allotted_key_ids_differ_whatever_the_ids_are() -> None:
    draft = draft_of(settings=())
    draft.add_merchant(BOOKS)
    names = ["10000001", "ABCDEF01", "abcdef01", "aBcDeF01", "KIOSK-01".replace("-", "0"), "zzzzzzzz"]
    for name in names:
        draft.add_terminal(name, OTHER, bdk_id=BDK)
    key_ids = {draft.terminal(name).initial_key_id for name in names}
    assert len(key_ids) == len(names)
    assert {key_id[:4] for key_id in key_ids} == {BDK}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda draft: draft.add_terminal("1", SHOP, bdk_id=BDK), "expected 8 letters or digits"),
        (lambda draft: draft.add_terminal("۱۰۰۰۰۰۱۱", SHOP, bdk_id=BDK), "expected 8 letters or digits"),
        (
            lambda draft: draft.add_terminal("10000011", "9" * 15, bdk_id=BDK),
            "no merchant .* is registered; add",
        ),
        (lambda draft: draft.add_terminal("10000011", "9", bdk_id=BDK), "expected 15 letters or digits"),
        (lambda draft: draft.block_terminal("99999999", ""), "no terminal 99999999 is registered; add it"),
        (lambda draft: draft.assign("99999999", SHOP), "no terminal 99999999"),
        (lambda draft: draft.assign("10000001", "9" * 15), "no merchant"),
        (lambda draft: draft.block_merchant("9" * 15, ""), "no merchant"),
        (lambda draft: draft.add_merchant(Merchant(OTHER)), "has no name"),
        (lambda draft: Merchant(OTHER, "x", category="12"), "expected four digits"),
        (lambda draft: Merchant(OTHER, "x" * 61), "61 characters, 60 at most"),
        (lambda draft: Merchant(OTHER, "a\u202eb"), "can't be seen"),
        (lambda draft: draft.block_terminal("10000001", "a\nb"), "can't be seen"),
        (lambda draft: draft.block_terminal("10000001", "x" * 201), "200 at most"),
    ],
)
def test_a_refused_change_leaves_nothing_behind(change: object, said: str) -> None:
    draft = draft_of()
    with pytest.raises(ChangeRefused, match=said):
        change(draft)  # type: ignore[operator]
    assert draft.changed == ()
