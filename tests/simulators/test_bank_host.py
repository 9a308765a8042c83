"""What a rule, an amount or a network code gets from the bank host, and that nothing told is unmasked."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.bank_host.host import BankHost, Close, Reaction, Send, answer_mti
from simulators.bank_host.rules import HostRules, RulesError, names_in, read
from simulators.bank_host.server import told
from switch.iso8583 import Message, Value, load

VAFA = load("vafa")
NOW = datetime(2026, 11, 21, 20, 45, 14)
CARD = "9364001234567898"
EARN: dict[str, Value] = {
    "2": CARD,
    "3": "210060",
    "4": "000002500000",
    "11": "000004",
    "12": "204514",
    "13": "1121",
    "22": "012",
    "41": "10000001",
    "42": "100000000000001",
    "48": {"7F": b"private"},
    "49": "364",
    "52": bytes(16),
    "60": "000001",
}


def request(mti: str = "0200", **changes: Value) -> bytes:
    """The earn with fields changed: `f4` is field 4."""
    fields = EARN | {name[1:]: value for name, value in changes.items()}
    return VAFA.encode(Message(mti, {path: value for path, value in fields.items() if value != ""}))


def rules_of(directory: Path, text: str) -> HostRules:
    file = directory / "rules.toml"
    file.write_text(text, encoding="utf-8")
    return read(file, VAFA)


def host_with(directory: Path, text: str) -> BankHost:
    return BankHost(VAFA, rules_of(directory, text))


def answer(reaction: Reaction) -> Message:
    (action,) = reaction.actions
    assert isinstance(action, Send)
    assert action.framed
    message = VAFA.decode(action.data)
    assert message == reaction.answer
    return message


# ---------------------------------------------------------------- without rules


def test_a_request_is_approved_with_its_own_fields_and_nothing_secret() -> None:
    said = answer(BankHost(VAFA, HostRules()).receive(request(), NOW))
    assert said.mti == "0210"
    assert dict(said.fields) == {
        "11": "000004",
        "12": "204514",
        "37": "263250000001",
        "38": "000001",
        "39": "00",
        "41": "10000001",
    }
    assert VAFA.check(said, mac_required=False) == []


@pytest.mark.parametrize("code", ["00", "05", "13", "51", "54", "91"])
def test_the_last_two_digits_of_the_amount_are_the_answer(code: str) -> None:
    reaction = BankHost(VAFA, HostRules()).receive(request(f4=f"0000025000{code}"), NOW)
    assert answer(reaction)["39"] == code
    assert ("38" in answer(reaction)) == (code == "00")


def test_an_amount_that_ends_in_68_is_never_answered() -> None:
    reaction = BankHost(VAFA, HostRules()).receive(request(f4="000000000068"), NOW)
    assert reaction.actions == ()
    assert told(reaction)["silent"] is True
    assert told(reaction)["decided_by"] == "magic amount 68: no answer"


def test_a_reversal_is_answered_whatever_its_amount() -> None:
    data = request("0420", f4="000000000068", f49="", f52="", f90="0200" + "0" * 38)
    assert answer(BankHost(VAFA, HostRules()).receive(data, NOW))["39"] == "00"


def test_magic_can_be_switched_off(tmp_path: Path) -> None:
    host = host_with(tmp_path, "[host]\nmagic_amounts = false")
    assert answer(host.receive(request(f4="000000000051"), NOW))["39"] == "00"
    assert answer(host.receive(request(f4="000000000068"), NOW))["39"] == "00"


@pytest.mark.parametrize(
    ("mti", "answered"),
    [
        ("0100", "0110"),
        ("0201", "0210"),
        ("0220", "0230"),
        ("0221", "0230"),
        ("0420", "0430"),
        ("1804", "1814"),
        ("0202", "0212"),
        ("0203", "0212"),
        ("0260", "0270"),
        ("0210", None),
        ("0240", None),
        ("", None),
        ("02", None),
    ],
)
def test_mti_of_the_answer(mti: str, answered: str | None) -> None:
    assert answer_mti(mti) == answered


def test_answers_and_notifications_get_nothing() -> None:
    data = VAFA.encode(Message("0210", {"11": "000004", "39": "00", "41": "10000001"}))
    assert BankHost(VAFA, HostRules()).receive(data, NOW).actions == ()


NETWORK: dict[str, Value] = {"11": "000001", "41": "10000001", "42": "100000000000001"}


def network(code: str) -> bytes:
    return VAFA.encode(Message("0800", {**NETWORK, "70": code}))


@pytest.mark.parametrize(
    ("code", "by"), [("001", "sign-on"), ("002", "sign-off"), ("301", "echo"), ("161", "network management")]
)
def test_network_messages_are_approved(code: str, by: str) -> None:
    reaction = BankHost(VAFA, HostRules()).receive(network(code), NOW)
    assert reaction.decided_by == by
    assert dict(answer(reaction).fields) == {"11": "000001", "39": "00", "41": "10000001"}


def test_where_sign_on_is_required_nothing_goes_before_it(tmp_path: Path) -> None:
    host = host_with(tmp_path, '[host]\nsign_on = "required"')
    assert answer(host.receive(request(), NOW))["39"] == "91"
    host.receive(network("001"), NOW)
    assert answer(host.receive(request(), NOW))["39"] == "00"
    host.receive(network("002"), NOW)
    assert answer(host.receive(request(), NOW))["39"] == "91"


def test_a_broken_request_is_answered_with_what_decoded() -> None:
    reaction = BankHost(VAFA, HostRules()).receive(request()[:-1], NOW)
    assert answer(reaction)["39"] == "30"
    assert answer(reaction)["11"] == "000004"
    assert reaction.request is None
    assert "60 at byte" in reaction.fault


@given(st.binary(max_size=80))
def test_any_bytes_get_an_answer_or_none(data: bytes) -> None:
    reaction = BankHost(VAFA, HostRules()).receive(data, NOW)
    assert len(reaction.actions) <= 1


# ---------------------------------------------------------------- rules

ACTIONS = (
    ('action = "drop"', ()),
    ('action = "close"', (Close(0),)),
    ('action = "close"\ndelay_ms = 7', (Close(7),)),
)


@pytest.mark.parametrize(("text", "actions"), ACTIONS)
def test_silence_in_several_ways(tmp_path: Path, text: str, actions: tuple[Close, ...]) -> None:
    assert host_with(tmp_path, f"[rules.one]\n{text}").receive(request(), NOW).actions == actions


def test_answers_late_twice_or_cut(tmp_path: Path) -> None:
    def sent(text: str) -> list[Send]:
        actions = host_with(tmp_path, f"[rules.one]\n{text}").receive(request(), NOW).actions
        assert all(isinstance(action, Send) for action in actions)
        return [action for action in actions if isinstance(action, Send)]

    (plain,) = sent('answer.39 = "05"')
    assert sent('answer.39 = "05"\naction = "late"') == [plain._replace(delay_ms=20_000)]
    assert sent('answer.39 = "05"\naction = "late"\ndelay_ms = 5') == [plain._replace(delay_ms=5)]
    assert sent('answer.39 = "05"\ndelay_ms = 40') == [plain._replace(delay_ms=40)]
    assert sent('answer.39 = "05"\naction = "duplicate"') == [plain, plain]
    assert sent('answer.39 = "05"\naction = "truncate"') == [plain._replace(data=plain.data[:-1])]
    (garbage,) = sent('action = "garbage"')
    (noise,) = sent('action = "noise"')
    assert (garbage.framed, noise.framed) == (True, False)
    assert garbage.data == noise.data, "both come from the seed"
    with pytest.raises(ValueError, match="mti at byte 0"):
        VAFA.decode(garbage.data)


MATCHES = (
    ('match.mti = "0200"', True),
    ('match.mti = "02?0"', True),
    ('match.mti = "0100"', False),
    ('match.mti = ["0100", "0200"]', True),
    ('match.2 = "936400*"', True),
    ('match.2 = "936400"', False),
    ('match.2 = "1*"', False),
    ("match.4 = { min = 2500000, max = 2500000 }", True),
    ("match.4 = { min = 2500001 }", False),
    ("match.4 = { max = 2499999 }", False),
    ('match.48.7F = "70*"', True),
    ('match."48.7F" = "70726976617465"', True),
    ('match.38 = "*"', False),
    ('match.2 = { min = 1 }\nmatch.41 = "2*"', False),
    ("match.41 = { min = 10000001 }", True),
    ('absent = ["35", "38"]', True),
    ('absent = ["2"]', False),
    ('match.62 = "[9]"', False),
)


@pytest.mark.parametrize(("text", "fits"), MATCHES)
def test_what_a_rule_fits(tmp_path: Path, text: str, fits: bool) -> None:
    host = host_with(tmp_path, f'[rules.one]\nanswer.39 = "57"\n{text}')
    assert answer(host.receive(request(), NOW))["39"] == ("57" if fits else "00")


def test_the_first_rule_that_fits_decides_and_wears_out(tmp_path: Path) -> None:
    host = host_with(
        tmp_path,
        '[rules.first]\nanswer.39 = "91"\ntimes = 2\n[rules.second]\nmatch.mti = "0200"\nanswer.39 = "05"',
    )
    codes = [answer(host.receive(request(), NOW))["39"] for _ in range(4)]
    assert codes == ["91", "91", "05", "05"]


def test_chance_comes_from_the_seed(tmp_path: Path) -> None:
    text = '[host]\nseed = 7\n[rules.one]\nchance = 0.5\nanswer.39 = "91"'
    runs = []
    for _ in range(2):
        host = host_with(tmp_path, text)
        runs.append([answer(host.receive(request(), NOW))["39"] for _ in range(40)])
    assert runs[0] == runs[1]
    assert 5 < runs[0].count("91") < 35


def test_fields_are_set_copied_and_taken_away(tmp_path: Path) -> None:
    host = host_with(
        tmp_path,
        '[rules.one]\nremove = ["12"]\n'
        'answer.38 = "ABC123"\nanswer.37 = "{11}{13}00"\nanswer.mti = "0230"\n'
        'answer.48 = { 01 = "000000000250", 7E = "00FF" }',
    )
    said = answer(host.receive(request(), NOW))
    assert said.mti == "0230"
    assert dict(said.fields) == {
        "11": "000004",
        "37": "000004112100",
        "38": "ABC123",
        "39": "00",
        "41": "10000001",
        "48": {"01": "000000000250", "7E": b"\x00\xff"},
    }


def test_an_answer_the_dialect_can_not_carry_is_told_and_not_sent(tmp_path: Path) -> None:
    reaction = host_with(tmp_path, '[rules.one]\nanswer.38 = "{4}"').receive(request(), NOW)
    assert reaction.actions == ()
    assert "no answer can be made: 38: expected 6 characters" in reaction.fault


def test_new_rules_are_followed_and_the_sign_on_stays(tmp_path: Path) -> None:
    host = host_with(tmp_path, '[host]\nsign_on = "required"')
    host.receive(network("001"), NOW)
    host.use(rules_of(tmp_path, '[host]\nsign_on = "required"\n[rules.one]\nanswer.39 = "05"'))
    assert answer(host.receive(request(), NOW))["39"] == "05"


# ---------------------------------------------------------------- mistakes

MISTAKES = (
    ("[host]\nport = 99999", "rules.toml:2: host.port: no such number; write a whole number from 0 to 65535"),
    ("[host]\nprot = 1", "rules.toml:2: host.prot: unknown key 'prot'; did you mean 'port'?"),
    ("[rule.x]", "rules.toml:1: rule: unknown key 'rule'; did you mean 'rules'?"),
    ('\n[rules.x]\naction = "drpo"', "rules.toml:3: rules.x.action: no action 'drpo'; did you mean 'drop'?"),
    (
        '[rules.x]\nmatch.5 = "1"',
        "rules.toml:2: rules.x.match.5: vafa has no field 5; name a field by its number",
    ),
    ("[rules.x]\nmatch.4 = 5", "rules.toml:2: rules.x.match.4: no condition"),
    ('[rules.x]\nmatch.4 = { min = "5" }', "rules.toml:2: rules.x.match.4: no condition"),
    (
        "[rules.x]\nanswer.39 = 5",
        "rules.toml:2: rules.x.answer.39: no text; write the value in quotation marks",
    ),
    ("[rules.x]\nchance = 2", "rules.toml:2: rules.x.chance: not a chance"),
    ("[rules.x]\ntimes = 0", "rules.toml:2: rules.x.times: no such number; write a whole number from 1"),
    ('[rules.x]\nremove = "38"', "rules.toml:2: rules.x.remove: not a list of fields"),
    ('[rules.x]\nabsent = ["5"]', "rules.toml:2: rules.x.absent.5: vafa has no field 5"),
    ("[rules]\nx = 1", "rules.toml:2: rules.x: not a table; write [rules.x]"),
    ('[host]\nframing = "2b"', "rules.toml:2: host.framing: no framing '2b'; did you mean '2be'"),
    (
        '[host]\nsign_on = "maybe"',
        "rules.toml:2: host.sign_on: 'maybe' is unknown; write optional or required",
    ),
    ("[host\n", "rules.toml:1: no TOML"),
)


NEVER_ANSWERED = (
    ("iso87-ascii", 'answer.39 = "5"', "answer.39: no answer can carry it: 39: expected 2 characters, got 1"),
    ("iso87-ascii", 'answer.4 = "12"', "answer.4: no answer can carry it: 4: expected 12 characters, got 2"),
    ("iso87-ascii", 'answer.48.ZZ = "1"', "answer.48.ZZ: 48 has no parts in iso87-ascii; write answer.48 ="),
    ("iso87-ascii", 'answer.63 = "{11} {nope}"', "answer.63: iso87-ascii has no field nope; name a field"),
    ("iso87-ascii", 'answer.63 = "{200}"', "answer.63: iso87-ascii has no field 200; name a field"),
    ("iso87-ascii", 'answer.mti = "21"', "answer.mti: no answer can carry it: mti: expected 4"),
    ("vafa", 'answer.48.01 = "x"', "answer.48.01: no answer can carry it: 48.01: expected"),
)


@pytest.mark.parametrize(("dialect", "text", "words"), NEVER_ANSWERED)
def test_an_answer_that_can_never_be_made_is_refused_at_once(
    tmp_path: Path, dialect: str, text: str, words: str
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(f"[rules.x]\n{text}\n")
    with pytest.raises(RulesError) as caught:
        read(file, load(dialect))
    assert f"rules.toml:2: rules.x.{words}" in str(caught.value)
    assert len(caught.value.mistakes) == 1


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_named_with_its_line_and_a_remedy(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of(tmp_path, text)
    assert words in str(caught.value)


def test_all_mistakes_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of(tmp_path, '[rules.a]\naction = "x"\n[rules.b]\nchance = 3')
    assert [mistake.line for mistake in caught.value.mistakes] == [2, 4]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="No such file"):
        read(tmp_path / "none.toml", VAFA)


def test_a_dialect_file_stands_beside_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[host]\ndialect = "mine.toml"\nframing = "ascii4"')
    assert names_in(file) == (str(tmp_path / "mine.toml"), "ascii4")


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize(
    "data",
    [
        request(),
        request(f2="", f35=CARD + "=29121010000012345678"),
        request(f62=f"card {CARD}"),
        request(f48={"7F": bytes.fromhex(CARD)}),
        request()[:-1],
        request(f62=CARD)[:-1],
    ],
)
def test_nothing_told_shows_a_card_number(data: bytes) -> None:
    line = json.dumps(told(BankHost(VAFA, HostRules()).receive(data, NOW)))
    assert CARD not in line
    assert CARD[6:12] not in line


def test_a_mistake_with_a_card_number_is_masked(tmp_path: Path) -> None:
    with pytest.raises(RulesError) as caught:
        rules_of(tmp_path, f'[rules.x]\naction = "{CARD}"')
    assert CARD not in str(caught.value)
