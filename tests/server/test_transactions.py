"""What a terminal gets for what it sends, over TCP, from a real switch process."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from switch.defaults import read_terminal_settings
from switch.iso8583 import Message
from switch.link.framing import frame
from tests.server.moment import local_moment
from tests.server.running_switch import DIALECT, RunningSwitch, TerminalSide, new_card


def test_sign_on_brings_date_version_and_redemption_ratio(terminal: TerminalSide) -> None:
    before = local_moment().strftime("%Y%m%d%H%M%S")
    answer = terminal.ask(terminal.sign_on())
    assert answer.mti == "0810"
    assert answer["39"] == "00"
    assert before <= answer.text("48.10") <= local_moment().strftime("%Y%m%d%H%M%S")
    assert (answer["48.11"], answer["48.12"]) == ("0001", "00000100")


def test_echo_and_sign_off_are_answered(terminal: TerminalSide) -> None:
    assert terminal.ask(terminal.sign_on("301"))["39"] == "00"
    assert terminal.ask(terminal.sign_on("002"))["39"] == "00"


def test_unknown_network_code_is_an_invalid_transaction(terminal: TerminalSide) -> None:
    assert terminal.ask(terminal.sign_on("999"))["39"] == "12"


def test_a_visit(terminal: TerminalSide) -> None:
    card = new_card()
    activated = terminal.ask(terminal.activation(card))
    assert (activated.mti, activated["39"], activated["48.02"]) == ("0310", "00", "000000000000")
    earned = terminal.ask(terminal.earn(card, 2_500_000))
    assert (earned.mti, earned["39"], earned["48.01"], earned["48.02"]) == (
        "0210",
        "00",
        "000000000250",
        "000000000250",
    )
    assert (earned["48.04"], earned["48.05"]) == ("0101", "000000010000")
    redeemed = terminal.ask(terminal.redemption(card, 100))
    assert (redeemed["39"], redeemed["48.01"], redeemed["48.02"]) == ("00", "000000000100", "000000000150")
    balance = terminal.ask(terminal.balance(card))
    assert (balance.mti, balance["39"], balance["48.02"]) == ("0110", "00", "000000000150")
    rrns = {answer.text("37") for answer in (activated, earned, redeemed, balance)}
    assert len(rrns) == 4
    assert len({rrn[:2] for rrn in rrns}) == 1, "the RRN carries the member's bucket"


def test_answers_echo_only_what_identifies_them(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    request = terminal.earn(card, 10_000)
    answer = terminal.ask(request)
    assert set(answer.fields) == {"11", "12", "37", "39", "41", "48"}
    assert [answer[name] for name in ("11", "12", "41")] == [request[name] for name in ("11", "12", "41")]


def test_earning_rounds_down_and_may_be_nothing(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    assert terminal.ask(terminal.earn(card, 19_999))["48.01"] == "000000000001"
    nothing = terminal.ask(terminal.earn(card, 9_999))
    assert (nothing["39"], nothing["48.01"], nothing["48.02"]) == ("00", "000000000000", "000000000001")


@pytest.mark.parametrize("mti", ["0200", "0220"])
def test_earning_on_nothing_is_an_invalid_amount(terminal: TerminalSide, mti: str) -> None:
    assert terminal.ask(terminal.earn(terminal.activated_card(), 0, mti))["39"] == "13"


def test_another_currency_is_an_invalid_amount(terminal: TerminalSide) -> None:
    assert terminal.ask(terminal.earn(terminal.activated_card(), 10_000, f49="840"))["39"] == "13"


def test_more_points_than_there_are(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=5)
    refused = terminal.ask(terminal.redemption(card, 6))
    assert (refused["39"], refused["48.02"]) == ("51", "000000000005")
    assert terminal.ask(terminal.redemption(card, 5))["39"] == "00"
    assert terminal.points(card) == 0


@pytest.mark.parametrize(
    "change", [{"f4": "000000000401"}, {"f4": "000000000399"}, {"f48": {"01": "000000000000"}}]
)
def test_amount_must_equal_points_times_ratio(terminal: TerminalSide, change: dict[str, object]) -> None:
    card = terminal.activated_card(points=5)
    assert terminal.ask(terminal.redemption(card, 4, **change))["39"] == "13"
    assert terminal.points(card) == 5


def test_a_card_nobody_activated_is_unknown(terminal: TerminalSide) -> None:
    card = new_card()
    for message in (terminal.earn(card, 10_000), terminal.redemption(card, 1), terminal.balance(card)):
        assert terminal.ask(message)["39"] == "14"


@pytest.mark.parametrize("card", ["6219861234567890", "9364001234567890", "936400123"])
def test_cards_of_others_are_not_activated(terminal: TerminalSide, card: str) -> None:
    message = terminal.activation(card, f35=None, f2=card)
    assert terminal.ask(message)["39"] == "14"


def test_an_active_card_is_not_activated_again(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=3)
    assert terminal.ask(terminal.activation(card))["39"] == "21"
    assert terminal.points(card) == 3


def test_typed_and_swiped_card_numbers_are_the_same_member(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    typed = terminal.earn(card, 70_000, f35=None, f2=card, f22="011")
    assert terminal.ask(typed)["48.02"] == "000000000007"
    assert terminal.points(card) == 7


# ---------------------------------------------------------------- the same request again


def test_an_identical_frame_gets_identical_bytes(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    payload = terminal.sealed(terminal.earn(card, 500_000))
    first = terminal.exchange(payload)
    assert [terminal.exchange(payload) for _ in range(3)] == [first] * 3
    assert terminal.points(card) == 50


def test_a_decline_is_remembered_too(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    payload = terminal.sealed(terminal.redemption(card, 10))
    declined = terminal.exchange(payload)
    assert DIALECT.decode(declined)["39"] == "51"
    assert terminal.ask(terminal.earn(card, 500_000))["39"] == "00"
    assert terminal.exchange(payload) == declined
    assert terminal.points(card) == 50


def test_the_same_identity_with_another_content_is_a_duplicate(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    first = terminal.earn(card, 500_000)
    assert terminal.ask(first)["39"] == "00"
    assert terminal.ask(Message("0200", {**first.fields, "4": "000000600000"}))["39"] == "94"
    assert terminal.points(card) == 50


def test_a_repeated_advice_counts_once(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    advice = terminal.earn(card, 500_000, "0220")
    first = terminal.ask(advice)
    assert (first.mti, first["39"]) == ("0230", "00")
    assert terminal.ask(Message("0221", advice.fields)) == first
    assert terminal.points(card) == 50


def test_a_transmission_time_does_not_make_another_transaction(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    advice = terminal.earn(card, 500_000, "0220")
    first = terminal.ask(advice)
    again = terminal.ask(Message("0221", {**advice.fields, "7": local_moment().strftime("%m%d%H%M%S")}))
    assert again == first
    assert terminal.points(card) == 50


def test_the_same_identity_twice_in_one_segment(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    payload = terminal.sealed(terminal.earn(card, 500_000))
    terminal.line.send(frame(payload) * 20)
    answers = {terminal.line.receive().payload for _ in range(20)}
    assert len(answers) == 1
    assert terminal.points(card) == 50


# ---------------------------------------------------------------- reversals


def test_a_reversal_takes_an_earn_back(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=7)
    original = terminal.earn(card, 500_000)
    assert terminal.ask(original)["39"] == "00"
    answer = terminal.ask(terminal.reversal_of(original))
    assert (answer.mti, answer["39"], answer["48.02"]) == ("0430", "00", "000000000007")
    assert terminal.points(card) == 7


def test_a_reversal_gives_redeemed_points_back(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=7)
    original = terminal.redemption(card, 5)
    assert terminal.ask(original)["39"] == "00"
    assert terminal.ask(terminal.reversal_of(original))["39"] == "00"
    assert terminal.points(card) == 7


def test_a_reversal_instead_of_its_original(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=7)
    assert terminal.ask(terminal.reversal_of(terminal.earn(card, 500_000)))["39"] == "00"
    assert terminal.points(card) == 7


def test_a_reversal_before_its_original(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=7)
    original = terminal.earn(card, 500_000)
    assert terminal.ask(terminal.reversal_of(original))["39"] == "00"
    late = terminal.exchange(original_bytes := terminal.sealed(original))
    assert DIALECT.decode(late)["39"] == "94"
    assert terminal.exchange(original_bytes) == late
    assert terminal.points(card) == 7


def test_repeats_and_second_reversals_reverse_once(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=7)
    original = terminal.earn(card, 500_000)
    terminal.ask(original)
    reversal = terminal.reversal_of(original)
    first = terminal.ask(reversal)
    assert terminal.ask(Message("0421", reversal.fields)) == first
    assert terminal.ask(terminal.reversal_of(original))["39"] == "00"
    assert terminal.points(card) == 7


def test_a_repeat_may_arrive_first(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=7)
    original = terminal.earn(card, 500_000)
    terminal.ask(original)
    assert terminal.ask(terminal.reversal_of(original, "0421"))["39"] == "00"
    assert terminal.points(card) == 7


def test_a_declined_original_is_reversed_without_effect(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=7)
    original = terminal.redemption(card, 8)
    assert terminal.ask(original)["39"] == "51"
    assert terminal.ask(terminal.reversal_of(original))["39"] == "00"
    assert terminal.points(card) == 7


def test_an_earn_reversed_after_its_points_were_spent_leaves_a_debt(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    original = terminal.earn(card, 500_000)
    terminal.ask(original)
    assert terminal.ask(terminal.redemption(card, 45))["39"] == "00"
    answer = terminal.ask(terminal.reversal_of(original))
    assert (answer["39"], answer["48.02"], answer["48.03"]) == ("00", "000000000000", "000000000045")
    assert terminal.ask(terminal.redemption(card, 1))["39"] == "51"
    assert terminal.ask(terminal.earn(card, 500_000))["48.02"] == "000000000005"


def test_a_reversed_activation_can_be_done_again(terminal: TerminalSide) -> None:
    card = new_card()
    original = terminal.activation(card)
    assert terminal.ask(original)["39"] == "00"
    assert terminal.ask(terminal.reversal_of(original))["39"] == "00"
    assert terminal.ask(terminal.earn(card, 10_000))["39"] == "78"
    assert terminal.ask(terminal.activation(card))["39"] == "00"
    assert terminal.ask(terminal.earn(card, 10_000))["48.02"] == "000000000001"


def test_an_activation_reversed_before_it_arrives_stays_undone(terminal: TerminalSide) -> None:
    card = new_card()
    original = terminal.activation(card)
    assert terminal.ask(terminal.reversal_of(original))["39"] == "00"
    assert terminal.ask(original)["39"] == "94"
    assert terminal.ask(terminal.balance(card))["39"] == "14"
    assert terminal.ask(terminal.activation(card))["39"] == "00"


def test_a_reversal_of_a_reversal_is_refused(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    original = terminal.earn(card, 500_000)
    terminal.ask(original)
    reversal = terminal.reversal_of(original)
    terminal.ask(reversal)
    data = "0420" + reversal.text("11") + reversal.text("90")[10:]
    assert terminal.ask(terminal.reversal_of(reversal, f90=data))["39"] == "12"
    assert terminal.points(card) == 0


def test_a_reversal_that_names_another_card_changes_nothing(terminal: TerminalSide) -> None:
    card, other = terminal.activated_card(), terminal.activated_card(points=3)
    original = terminal.earn(card, 500_000)
    terminal.ask(original)
    assert terminal.ask(terminal.reversal_of(original, f35=terminal.switch.track(other)))["39"] == "12"
    assert (terminal.points(card), terminal.points(other)) == (50, 3)


def test_a_reversal_that_names_another_operation_changes_nothing(terminal: TerminalSide) -> None:
    card = terminal.activated_card(points=9)
    for original, wrong in (
        (terminal.earn(card, 500_000), "006000"),
        (terminal.redemption(card, 4), "210060"),
        (terminal.earn(card, 10_000, "0220"), "720000"),
    ):
        assert terminal.ask(original)["39"] == "00"
        before = terminal.points(card)
        assert terminal.ask(terminal.reversal_of(original, f3=wrong))["39"] == "12"
        assert terminal.points(card) == before


def test_original_data_end_in_zeros(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    original = terminal.earn(card, 500_000)
    terminal.ask(original)
    data = terminal.reversal_of(original).text("90")
    assert terminal.ask(terminal.reversal_of(original, f90=data[:-1] + "1"))["39"] == "30"
    assert terminal.points(card) == 50


def test_another_terminal_cannot_reverse(terminal: TerminalSide, switch: RunningSwitch) -> None:
    card = terminal.activated_card()
    original = terminal.earn(card, 500_000)
    terminal.ask(original)
    other = TerminalSide(switch, 1)
    assert other.ask(other.reversal_of(original, f41=other.terminal.id))["39"] == "00"
    assert terminal.points(card) == 50
    other.line.close()


# ---------------------------------------------------------------- who may ask, and what is asked


def test_a_bad_mac_is_refused_without_a_mac_and_not_remembered(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    good = terminal.sealed(terminal.earn(card, 500_000))
    bad = good[:-1] + bytes((good[-1] ^ 1,))
    refused = terminal.exchange(bad)
    assert DIALECT.decode(refused)["39"] == "63"
    assert not terminal.is_genuine(refused, good)
    assert terminal.ask(good)["39"] == "00"
    assert terminal.points(card) == 50


def test_every_flipped_byte_is_refused(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    good = terminal.sealed(terminal.earn(card, 500_000))
    for place in range(len(good)):
        changed = good[:place] + bytes((good[place] ^ 0x11,)) + good[place + 1 :]
        side = TerminalSide(
            terminal.switch
        )  # some changes are no message at all: the switch closes that line
        with contextlib.suppress(ConnectionError):
            assert not side.is_genuine(side.exchange(changed), good), f"byte {place}"
        side.line.close()
    assert terminal.points(card) == 0


def test_a_message_without_mac_is_refused(terminal: TerminalSide) -> None:
    card = terminal.activated_card()
    unsealed = terminal.earn(card, 500_000, f53=terminal.keys.transmission().field_53)
    refused = terminal.exchange(DIALECT.encode(unsealed))
    assert DIALECT.decode(refused)["39"] == "63"
    assert terminal.points(card) == 0


@pytest.mark.parametrize("change", [{"f41": "99999999"}, {"f41": "10000010"}, {"f42": "200000000000002"}])
def test_unknown_blocked_and_foreign_terminals_are_not_permitted(
    terminal: TerminalSide, change: dict[str, str]
) -> None:
    request = terminal.sealed(terminal.earn(new_card(), 500_000, **change))
    refused = terminal.exchange(request)
    assert DIALECT.decode(refused)["39"] == "58"
    assert not terminal.is_genuine(refused, request)


@pytest.mark.parametrize("days", [-8, -100, 2, 60])
def test_a_date_outside_the_horizon_is_refused(terminal: TerminalSide, days: int) -> None:
    card = terminal.activated_card()
    day = (local_moment() + timedelta(days=days)).strftime("%m%d")
    assert terminal.ask(terminal.earn(card, 500_000, "0220", f13=day))["39"] == "12"
    assert terminal.points(card) == 0


@pytest.mark.parametrize("days", [-7, -1, 1])
def test_a_date_within_the_horizon_is_taken(terminal: TerminalSide, days: int) -> None:
    card = terminal.activated_card()
    day = (local_moment() + timedelta(days=days)).strftime("%m%d")
    assert terminal.ask(terminal.earn(card, 500_000, "0220", f13=day))["39"] == "00"


@pytest.mark.parametrize("change", [{"f12": "240000"}, {"f12": "126000"}, {"f13": "1332"}, {"f13": "0230"}])
def test_no_time_of_the_calendar_is_refused(terminal: TerminalSide, change: dict[str, str]) -> None:
    assert terminal.ask(terminal.earn(terminal.activated_card(), 500_000, **change))["39"] == "12"


@pytest.mark.parametrize(
    "change", [{"f4": None}, {"f60": None}, {"f35": None}, {"f62": "A", "f90": "0" * 42}]
)
def test_an_incomplete_or_overfull_message_is_a_format_error(
    terminal: TerminalSide, change: dict[str, object]
) -> None:
    assert terminal.ask(terminal.earn(terminal.activated_card(), 500_000, **change))["39"] == "30"


def test_an_unknown_processing_code_is_an_invalid_transaction(terminal: TerminalSide) -> None:
    assert terminal.ask(terminal.earn(terminal.activated_card(), 500_000, f3="990060"))["39"] == "12"


def test_unknown_tags_are_accepted_and_not_copied(terminal: TerminalSide) -> None:
    answer = terminal.ask(terminal.earn(terminal.activated_card(), 500_000, f48={"A7": b"\x01\x02"}))
    assert answer["39"] == "00"
    assert "48.A7" not in answer


def test_a_message_that_breaks_off_after_its_terminal_is_answered_30(terminal: TerminalSide) -> None:
    payload = terminal.sealed(terminal.earn(terminal.activated_card(), 500_000))
    refused = terminal.exchange(payload[:-9])
    assert DIALECT.decode(refused)["39"] == "30"
    assert not terminal.is_genuine(refused, payload)


def test_the_log_knows_no_card_and_no_key(terminal: TerminalSide, switch: RunningSwitch) -> None:
    card = terminal.activated_card(points=2)
    message = terminal.redemption(card, 1)
    terminal.exchange(terminal.sealed(message)[:-1] + b"\x00")
    terminal.exchange(terminal.sealed(terminal.earn(card, 10_000, f4=None)))
    text = repr(switch.log)
    assert card not in text
    assert card[6:12] not in text
    told = read_terminal_settings(switch.settings, terminal.terminal)
    for secret in (told["transport_key"], told["key_block"], switch.settings.seal_key.hex()):
        assert secret.lower() not in text.lower()
