"""Requests of partners: told apart by their own words, and their terminals from ours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switch import iso8583
from switch.authorizer import Origin, Original, Request, TooOld
from switch.authorizer.identity import IDENTITY_BYTES, identity_of, partner_identity
from switch.authorizer.request import OUTSIDE_BATCHES, RequestReader
from switch.iso8583 import Message

CARD = "9364001234567897"
NOW = datetime(2026, 3, 10, 12, 0, 0)
READER = RequestReader(iso8583.load("vafa"), 7, ("936400",), b"k")
DAYS = st.dates(date(2020, 1, 1), date(2080, 1, 1))
DIGITS = st.text("0123456789", min_size=6, max_size=6)


@dataclass(frozen=True)
class Sent:
    """An earn as a partner sends it."""

    mti: str = "0200"
    acquirer: str = "581672031"
    sent: str = "0310083000"
    card: str = CARD
    amount: str = "000000250000"
    more: dict[str, Any] = field(default_factory=dict)
    original: Original | None = None

    def read(self, now: datetime = NOW) -> Request:
        fields = {
            "2": self.card,
            "3": "210060",
            "4": self.amount,
            "11": "000007",
            "12": "120000",
            "13": "0310",
            "22": "012",
            "41": "10000001",
            "42": "100000000000001",
            "49": "364",
            "60": "000001",
        }
        content = {**fields, "7": self.sent, "32": self.acquirer, **self.more}
        origin = Origin("BANK", self.acquirer, self.mti, self.sent, content, self.original)
        return READER.read_partners(Message("0200", fields), "earn", now, origin)


def test_identity_is_made_of_the_partners_own_words() -> None:
    first = Sent().read()
    assert first.identity == partner_identity(date(2026, 3, 10), "083000", "2", "581672031", "000007")
    others = [
        Sent(acquirer="581672032"),
        Sent(sent="0310083001"),
        Sent(sent="0309083000"),
        Sent(mti="0100"),
    ]
    assert len({first.identity, *(other.read().identity for other in others)}) == 5
    assert Sent(mti="0201").read().identity == first.identity
    assert Sent(acquirer="00581672031").read().identity == first.identity, "zeros before it say nothing"


def test_fingerprint_covers_all_but_what_belongs_to_one_sending() -> None:
    first = Sent().read().fingerprint
    of_a_sending = {"52": b"12345678", "53": "2000000000000000", "64": bytes(8), "128": bytes(8)}
    assert Sent(mti="0201").read().fingerprint == first
    for path, value in of_a_sending.items():
        assert Sent(more={path: value}).read().fingerprint == first, path
    for other in (Sent(amount="000000250001"), Sent(more={"48": "x"}), Sent(more={"37": "000000000001"})):
        assert other.read().fingerprint != first


def test_a_partners_terminal_is_none_of_ours_and_in_no_batch() -> None:
    request = Sent().read()
    assert (request.terminal, request.acceptor) == ("BANK/10000001", "100000000000001")
    assert request.batch == OUTSIDE_BATCHES
    assert request.bucket_without_member == request.identifier[0]


def test_the_original_is_named_by_mti_stan_time_and_acquirer() -> None:
    named = Original("0200", "000007", "0310083000", "581672031")
    assert Sent(original=named).read().original == Sent().read().identity
    for other in (
        named._replace(mti="0100"),
        named._replace(stan="000008"),
        named._replace(sent="0310083001"),
        named._replace(acquirer="581672032"),
    ):
        assert Sent(original=other).read().original != Sent().read().identity
    with pytest.raises(TooOld):
        Sent(original=named._replace(sent="0302083000")).read()


@pytest.mark.parametrize("sent", ["0302083000", "0312083000", "0230083000", "0310250000", "0310086000"])
def test_a_time_of_sending_outside_the_horizon_or_no_time_is_refused(sent: str) -> None:
    with pytest.raises(TooOld):
        Sent(sent=sent).read()


def test_the_year_of_the_sending_is_the_nearest() -> None:
    late = replace(Sent(), sent="1231235959", more={})
    at = partner_identity(date(2026, 12, 31), "235959", "2", "581672031", "000007")
    request = READER.read_partners(
        Message("0100", {"2": CARD, "3": "306000", "11": "000007", "12": "000500", "13": "0101", "22": "012",
                         "41": "10000001", "42": "100000000000001"}),
        "balance",
        datetime(2027, 1, 1, 0, 5),
        Origin("BANK", "581672031", "0200", late.sent, {}),
    )  # fmt: skip
    assert request.identity == at
    assert request.batch == 0


@given(DAYS, DIGITS, st.text("0123456789", min_size=1, max_size=11), st.sampled_from("12345"))
def test_no_partners_identity_is_a_terminals(day: date, stan: str, acquirer: str, mti_class: str) -> None:
    identity = partner_identity(day, "123456", mti_class, acquirer, stan)
    assert len(identity) == IDENTITY_BYTES
    terminal = identity_of(day, "123456", mti_class, "10000001", stan)
    assert identity[:8] == terminal[:8]
    assert not any(chr(byte).isprintable() for byte in identity[8:10])


def test_nothing_personal_is_in_what_is_printed() -> None:
    origin = Origin("BANK", "581672031", "0200", "0310083000", {"2": CARD})
    assert CARD not in repr(origin)
    assert CARD not in repr(Sent().read())
