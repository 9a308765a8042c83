"""Printed receipts read back, in both languages."""

from __future__ import annotations

import pytest

from simulators.cards import Deck
from simulators.drawing import Watcher, draw_receipt
from simulators.firmware import Screen
from simulators.receipts import Receipt, UnreadableReceipt, read_receipt
from simulators.wallet import KEPT_CARDS, Wallet

ENGLISH = """\
           Vafa Shop
       LAST TRANSACTION
         Redeem points
--------------------------------
Terminal                10000001
Date         2026-11-22 00:49:52
STAN                      000008
RRN                 DF0X43RME3NK
Card            936400******6660
--------------------------------
Amount              120,000 rial
Points redeemed            1,200
1 point pays 100 rial
Balance                        0
Debt                          35
--------------------------------
"""
PERSIAN = """\
          فروشگاه وفا
           ماندهٔ امتیاز
--------------------------------
پایانه                  ۱۰۰۰۰۰۰۱
تاریخ        ۱۴۰۵/۰۹/۰۱ ۰۰:۴۹:۵۲
شمارهٔ پیگیری              ۰۰۰۰۰۸
شمارهٔ مرجع          DF0X43RME3NK
کارت            ۹۳۶۴۰۰******۶۶۶۰
--------------------------------
ماندهٔ امتیاز              ۱٬۱۵۰
--------------------------------
"""


def test_an_english_receipt() -> None:
    assert read_receipt(ENGLISH) == Receipt(
        "en", "redeem", True, "10000001", "000008", "DF0X43RME3NK", 1200, 0, 35
    )


def test_a_persian_receipt_whose_title_is_also_a_label() -> None:
    assert read_receipt(PERSIAN) == Receipt(
        "fa", "balance", False, "10000001", "000008", "DF0X43RME3NK", 0, 1150, 0
    )


@pytest.mark.parametrize(
    ("paper", "error"),
    [
        ("", "names no flow"),
        ("shopping list\nbread", "names no flow"),
        (ENGLISH.replace("RRN ", "XXX "), "has no rrn"),
        (ENGLISH.replace("Balance ", "Bal "), "has no balance"),
    ],
)
def test_other_paper_is_refused(paper: str, error: str) -> None:
    with pytest.raises(UnreadableReceipt, match=error):
        read_receipt(paper)


def test_a_drawn_receipt_keeps_every_line() -> None:
    drawn = draw_receipt(ENGLISH)
    for line in ENGLISH.splitlines():
        assert line in drawn


def test_a_typed_amount_is_drawn_as_it_came_and_as_it_ended() -> None:
    drawings: list[str] = []
    watcher = Watcher(drawings.append)
    for name, line in (
        ("amount", "0"),
        ("amount", "2"),
        ("amount", "25"),
        ("processing", "wait"),
        ("idle", "shop"),
    ):
        watcher.screen(Screen(name, ("title", line), ""))
    assert len(drawings) == 4
    assert "│ 0" in drawings[0]
    assert "│ 25" in drawings[1]


def test_the_wallet_keeps_the_newest_cards_for_its_owner_only(tmp_path) -> None:
    wallet = Wallet(tmp_path)
    assert wallet.top() is None
    cards = Deck(1).hand(KEPT_CARDS + 3)
    for card in cards:
        wallet.put(card)
    assert wallet.top() == cards[-1]
    assert wallet.cards() == cards[-KEPT_CARDS:]
    wallet.put(cards[-2])
    assert wallet.top() == cards[-2]
    assert len(wallet.cards()) == KEPT_CARDS
    file = tmp_path / "run" / "wallet.json"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("damaged")
    assert wallet.top() is None
