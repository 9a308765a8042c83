"""Card numbers as people type or copy them."""

import pytest

from tools.ledger_statement import card_number


def test_card_numbers_as_typed() -> None:
    assert card_number("4111-1111 1111-1111") == "4111111111111111"
    assert card_number("۴۱۱۱ ۱۱۱۱ ١١١١ 1111") == "4111111111111111"
    for wrong in ("", "4111 1111", "4111111111111111=2912"):
        with pytest.raises(ValueError) as caught:
            card_number(wrong)
        assert "4111" not in str(caught.value)
