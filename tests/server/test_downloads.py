"""What terminals are offered and sent: by group, model, share and version; and what they say of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

import switch.server.told as told
from switch.iso8583 import Message
from switch.registry import (
    LARGEST_SHARE,
    Bundle,
    ChangeRefused,
    Rollout,
    keep_content,
    read,
)
from switch.registry.downloads import KEPT_VERSIONS, directory_of
from switch.server.downloads import (
    PARAMETERS_OFFER,
    PARAMETERS_PIECE,
    SOFTWARE_OFFER,
    SOFTWARE_PIECE,
    TOLD_FILE,
    Downloads,
)
from switch.server.log import open_log
from switch.server.told import Told, ToldFile, read_told
from tests.server.registered import change, installation
from tests.server.running_switch import DIALECT, RunningSwitch, TerminalSide

FIRST, SECOND = "10000001", "10000002"
MODEL = "unix"
OLD = {"30": "00000001", "31": "00000000", "38": MODEL}
SOFTWARE = bytes(range(256)) * 5


class Office:
    """An installation, what its switch offers, and its log."""

    def __init__(self, directory: Path) -> None:
        self.settings = installation(directory)
        self.stream = io.StringIO()
        self.downloads = Downloads(self.settings, open_log(self.stream))

    def look(self) -> None:
        """The switch sees what the registry says now."""
        self.downloads.adopt(self.downloads.read(read(self.settings).registry))

    def parameters(self, group: str, content: bytes) -> None:
        digest = keep_content(self.settings, content)
        change(self.settings, lambda draft: draft.set_parameters(group, digest, len(content)))
        self.look()

    def software(self, version: int, model: str = MODEL, content: bytes = SOFTWARE) -> None:
        digest = keep_content(self.settings, content)
        bundle = Bundle(model, version, 0, digest, len(content))
        change(self.settings, lambda draft: draft.add_bundle(bundle))

    def roll_out(self, rollout: Rollout, group: str = "default") -> None:
        change(self.settings, lambda draft: draft.roll_out(group, rollout))
        self.look()

    def offered(self, terminal: str = FIRST, **told: str) -> dict[str, int]:
        """Versions by tag."""
        tags = {**OLD, **{name.removeprefix("t"): value for name, value in told.items()}}
        offers = self.downloads.at_sign_on(terminal, tags)
        return {tag: int.from_bytes(offer[:4]) for tag, offer in offers.items()}

    def said(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "data")


def test_parameters_of_its_group_are_offered_until_it_has_or_refused_them(office: Office) -> None:
    assert office.offered() == {}
    office.parameters("default", b"{}")
    office.parameters("kiosks", b'{"locale":"fa"}')
    assert office.offered() == {PARAMETERS_OFFER: 1}
    assert office.offered(t31="00000001") == {}
    change(office.settings, lambda draft: draft.put_in_group(FIRST, "kiosks"))
    office.look()
    assert office.offered(t31="00000001") == {PARAMETERS_OFFER: 2}
    assert office.offered(t37="0000000202") == {}
    change(office.settings, lambda draft: draft.put_in_group(FIRST, "default"))
    office.look()
    assert office.offered(t31="00000002") == {PARAMETERS_OFFER: 1}  # another group's, if older
    assert office.downloads.at_sign_on(FIRST, {}) == {}  # firmware of before downloads


def test_an_offer_names_version_length_and_digest(office: Office) -> None:
    office.software(7)
    office.roll_out(Rollout(MODEL, 7))
    offer = office.downloads.at_sign_on(FIRST, OLD)[SOFTWARE_OFFER]
    assert offer == (7).to_bytes(4) + len(SOFTWARE).to_bytes(4) + sha256(SOFTWARE).digest()


def test_software_is_for_its_model_and_newer(office: Office) -> None:
    office.software(3)
    office.roll_out(Rollout(MODEL, 3))
    assert office.offered() == {SOFTWARE_OFFER: 3}
    assert office.offered(t38="vafa-rp2") == {}
    assert office.offered(t30="00000003") == {}
    assert office.offered(t30="00000004") == {}
    assert office.offered(t36="0000000308") == {}
    assert office.offered(t36="0000000208") == {SOFTWARE_OFFER: 3}
    change(office.settings, lambda draft: draft.withdraw(f"{MODEL}/3"))
    office.look()
    assert office.offered() == {}


def test_a_share_grows_and_who_is_named_has_it_anyway(office: Office) -> None:
    terminals = [f"{number:08d}" for number in range(400)]
    before: set[str] = set()
    for share in (0, 10, 50, 90, LARGEST_SHARE):
        rollout = Rollout(MODEL, 2, share)
        reached = {one for one in terminals if rollout.reaches(one)}
        assert before <= reached
        assert abs(len(reached) / 4 - share) < 8
        before = reached
    assert [one for one in terminals if Rollout(MODEL, 2, 0, (FIRST,)).reaches(one)] == []
    assert Rollout(MODEL, 2, 0, (FIRST,)).reaches(FIRST)


def test_a_content_comes_in_pieces_whatever_their_size(office: Office) -> None:
    office.software(2)
    office.roll_out(Rollout(MODEL, 2))
    for size in (64, 512, 900, 9999):
        got = b""
        while len(got) < len(SOFTWARE):
            tags = {"30": "00000002", "32": f"{len(got):08d}", "33": f"{size:04d}", "38": MODEL}
            code, echoed, piece = office.downloads.piece(SOFTWARE_PIECE, FIRST, tags)
            assert (code, echoed) == ("00", {"30": "00000002", "32": tags["32"]})
            assert 0 < len(piece) <= min(size, 900)
            got += piece
        assert got == SOFTWARE
        tags["32"] = f"{len(got):08d}"
        assert office.downloads.piece(SOFTWARE_PIECE, FIRST, tags) == ("29", {}, b"")


def test_only_what_is_offered_to_a_terminal_is_given(office: Office) -> None:
    office.software(2)
    office.roll_out(Rollout(MODEL, 2, 0, (SECOND,)))
    office.parameters("default", b"{}")

    def code(kind: str, terminal: str, **tags: str) -> str:
        named = {name.removeprefix("t"): value for name, value in tags.items()}
        return office.downloads.piece(kind, terminal, named)[0]

    good = {"t30": "00000002", "t32": "00000000", "t38": MODEL}
    assert code(SOFTWARE_PIECE, SECOND, **good) == "00"
    assert code(SOFTWARE_PIECE, FIRST, **good) == "24"
    assert code(SOFTWARE_PIECE, SECOND, **{**good, "t30": "00000003"}) == "24"
    assert code(SOFTWARE_PIECE, SECOND, **{**good, "t38": "vafa-rp2"}) == "24"
    for missing in good:
        rest = {name: value for name, value in good.items() if name != missing}
        assert code(SOFTWARE_PIECE, SECOND, **rest) == "30"
    assert code(PARAMETERS_PIECE, FIRST, t31="00000001", t32="00000000") == "00"
    assert code(PARAMETERS_PIECE, FIRST, t31="00000002", t32="00000000") == "24"
    assert code(PARAMETERS_PIECE, FIRST, t31="00000001", t32="00000002") == "29"
    assert code(PARAMETERS_PIECE, FIRST, t31="00000001") == "30"


def test_a_content_that_was_changed_or_is_gone_is_never_offered(office: Office) -> None:
    office.parameters("default", b'{"locale":"fa"}')
    [path] = directory_of(office.settings).iterdir()
    for content in (b'{"locale":"en"}', b"", None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        again = Office(office.settings.data)
        again.look()
        assert again.offered() == {}
        alarm = again.said()[0]
        assert (alarm["event"], alarm["alarm"]) == ("download not usable", True)
        again.look()
        assert len(again.said()) == 1


def test_what_terminals_say_is_kept_and_a_refusal_is_told_once(office: Office) -> None:
    for _ in range(2):
        office.downloads.at_sign_on(FIRST, {**OLD, "36": "0000000208"})
    office.downloads.at_sign_on(SECOND, {**OLD, "30": "00000002"})
    [told] = office.said()
    assert (told["event"], told["terminal"]) == ("software refused by a terminal", FIRST)
    assert (told["version"], told["reason"]) == (2, "it did not start")
    lines = (directory_of(office.settings) / "told.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        [FIRST, MODEL, 1, 0, [2, 8], None],
        [SECOND, MODEL, 2, 0, None, None],
    ]
    again = Office(office.settings.data)
    again.downloads.at_sign_on(FIRST, {**OLD, "36": "0000000208"})
    assert again.said() == []


def test_switches_of_one_directory_know_what_was_told_to_the_other(office: Office) -> None:
    other = Office.__new__(Office)
    other.settings, other.stream = office.settings, io.StringIO()
    other.downloads = Downloads(other.settings, open_log(other.stream))
    path = directory_of(office.settings) / TOLD_FILE
    newer = {**OLD, "31": "00000005"}
    for at, tags in ((office, OLD), (other, newer), (office, OLD)):
        at.downloads.at_sign_on(FIRST, tags)
        assert read_told(path)[FIRST].parameters == int(tags["31"])
    for at in (office, other):
        at.downloads.at_sign_on(SECOND, {**OLD, "36": "0000000208"})
    assert len(office.said()) + len(other.said()) == 1


def test_what_terminals_say_takes_room_for_each_terminal_and_not_for_each_sign_on(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "LEAST_BYTES", 2000)
    path = directory_of(office.settings) / TOLD_FILE
    files = [ToldFile(path), ToldFile(path)]
    expected = {}
    for number in range(600):
        terminal = f"{number % 10:08d}"
        expected[terminal] = Told(MODEL, number, 0, (number, 8), None)
        files[number % 2].note(terminal, expected[terminal])
        assert path.stat().st_size <= 4 * 10 * 60
    assert read_told(path) == expected
    assert [one.name for one in path.parent.iterdir()] == [TOLD_FILE]
    path.write_bytes(path.read_bytes()[:-9])  # torn: the one before counts
    found = read_told(path)
    assert [one for one in expected if found[one] != expected[one]] == [terminal]


def test_versions_only_rise_and_a_roll_back_is_a_new_one(office: Office) -> None:
    contents = [f'{{"receipt_copies":{number}}}'.encode() for number in (1, 2)]
    for number in range(KEPT_VERSIONS + 4):
        office.parameters("default", contents[number % 2])
        office.parameters("default", contents[number % 2])  # the same again is no new one
    registry = read(office.settings).registry
    versions = [one.version for one in registry.groups["default"].parameters]
    assert versions == list(range(5, KEPT_VERSIONS + 5))


def test_what_can_not_be_rolled_out(office: Office) -> None:
    office.software(2)
    with pytest.raises(ChangeRefused, match="no software unix/3"):
        office.roll_out(Rollout(MODEL, 3))
    with pytest.raises(ChangeRefused, match="no terminal 77777777"):
        office.roll_out(Rollout(MODEL, 2, 0, ("77777777",)))
    with pytest.raises(ChangeRefused, match="0 to 100"):
        office.roll_out(Rollout(MODEL, 2, 101))
    with pytest.raises(ChangeRefused, match="unix/2 is there"):
        office.software(2, content=b"another")
    change(office.settings, lambda draft: draft.withdraw("unix/2"))
    with pytest.raises(ChangeRefused, match="withdrawn"):
        office.roll_out(Rollout(MODEL, 2))


# ---------------------------------------------------------------- over a line


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningSwitch]:
    switch = RunningSwitch(tmp_path / "data")
    yield switch
    if switch.process.poll() is None:
        switch.kill()


def test_a_running_switch_offers_and_answers_under_a_mac(running: RunningSwitch) -> None:
    content = b'{"piece_bytes":600}'
    digest = keep_content(running.settings, content)
    change(running.settings, lambda draft: draft.set_parameters("default", digest, len(content)))
    running.events("event", "registry in force")
    side = TerminalSide(running)

    def asked(code: str, tags: dict[str, str]) -> Message:
        message = side.sign_on(code)
        return DIALECT.decode(side.exchange(Message("0800", {**message.fields, "48": tags})))

    answer = asked("001", {"31": "00000000"})
    offer = answer["48.35"]
    assert isinstance(offer, bytes)
    assert offer[8:].hex() == digest
    answer = asked("901", {"31": "00000001", "32": "00000002", "33": "0005"})
    assert (answer.text("39"), answer["61"]) == ("00", content[2:7])
    assert "64" in answer.fields
    answer = asked("901", {"31": "00000002", "32": "00000000"})
    assert answer.text("39") == "24"
    assert "64" in answer.fields
    assert "61" not in answer.fields
    assert asked("902", {"30": "00000002", "32": "00000000", "38": "unix"}).text("39") == "24"
