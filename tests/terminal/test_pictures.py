"""Screens and receipts have the very dots that were looked at and recorded, on either interpreter."""

import json

from tests.terminal.pictures import RECORDED, digests


def test_every_picture_is_as_recorded():
    with open(RECORDED, "rb") as file:
        recorded = json.loads(str(file.read(), "utf-8"))
    different = []
    for key, digest in digests():
        if recorded.pop(key, None) != digest:
            different.append(key)
    assert not different, ("look at them: pytest tests/ui --ui=test", different)
    assert not recorded, ("these are no more: pytest tests/ui --ui=record", list(recorded))
