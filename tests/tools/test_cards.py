"""`vafa cards`: blanks become cards that the switch believes, through the real pcscd; stripes are read
back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from simulators.cards import Card, Deck
from simulators.issuing import issued
from simulators.readers.blank_chip import WRONG_LOADS, BlankChip
from simulators.readers.chip import ChipCard
from simulators.readers.stripe_writer import StripeCard, WriterDesk
from simulators.readers.vpcd import VirtualSlot
from switch.card_issuing import CHIP_KEYS, card_keys, chip_identifier, desk_key
from switch.hsm.port import CardKey
from switch.keys import KeysError, open_hsm, open_store
from tests.tools.keys_kit import BOTH, FOUNDING, Place
from tools import cards_desk
from tools.cards_desk import Personal, has
from tools.cli import CommandError

BATCH_KEY = bytes(range(16, 32))
LONGEST_WAIT_S = 60
OF_RUN = ("--expiry", "3012", "--service", "201")

# pcscd and whoever asks it with a /run/pcscd of their own, so that one which the machine runs is left alone.
SCENE = """\
mkdir -p /run/pcscd && mount -t tmpfs pcscd /run/pcscd || exit 3
pcscd=$1; readers=$2; place=$3; shift 3
"$pcscd" -f -c "$readers" >"$place/daemon" 2>&1 &
daemon=$!
until "$1" -m tools.cli cards readers 2>/dev/null | grep -q vafa; do
    kill -0 $daemon || exit 4
done
"$@"
code=$?
kill $daemon
exit $code
"""


class Direct:
    """A card that needs no reader. left: commands until it is pulled out, None: never."""

    def __init__(self, card: ChipCard, left: int | None = None) -> None:
        self.card = card
        self.left = left

    def exchange(self, command: bytes) -> bytes:
        if self.left is not None:
            if not self.left:
                self.card.reset()
                raise CommandError("the card doesn't answer", 3)  # type: ignore[arg-type]
            self.left -= 1
        return self.card.command(command)


def personal_of(place: Place, number: str, counter: int = 0) -> Personal:
    async def keyed() -> Personal:
        hsm = await open_hsm(place.settings)
        store, identifier = open_store(place.settings), chip_identifier(number)
        keys = await card_keys(hsm, store, desk_key(place.settings), identifier, CHIP_KEYS)
        await hsm.close()
        auth, proof = keys[CardKey.AUTHENTICATION], keys[CardKey.PROOF]
        return Personal(identifier, f"{number}=3012201", auth, proof, counter=counter)

    return asyncio.run(keyed())


# ---------------------------------------------------------------- through the real PC/SC


def in_scene(tmp_path: Path, slot: VirtualSlot, act: Callable[[list[str]], Awaitable[None]]) -> None:
    """Run `act` with the beginning of a command line that has pcscd for itself, the slot being its reader."""
    pcscd = shutil.which("pcscd", path="/usr/sbin")
    driver = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
    assert pcscd, "Debian's pcscd is missing: see tools/system-packages.txt"
    assert driver.exists(), "Debian's vsmartcard-vpcd is missing: see tools/system-packages.txt"

    async def scene() -> None:
        slot.put_in()
        readers = tmp_path / "readers"
        readers.mkdir()
        (readers / "vafa").write_text(
            f'FRIENDLYNAME "vafa"\nDEVICENAME /dev/null:{slot.port:#x}\n'
            f"LIBPATH {driver}\nCHANNELID {slot.port:#x}\n",
            encoding="ascii",
        )
        (tmp_path / "scene").write_text(SCENE, encoding="ascii")
        own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        try:
            await act(
                [*own, "sh", str(tmp_path / "scene"), pcscd, str(readers), str(tmp_path), sys.executable]
            )
        finally:
            slot.take_out()

    asyncio.run(scene())


# Several commands in one process: their exit codes and output as JSON lines.
SEVERAL = """\
import contextlib, io, json, sys
from tools import cli
for arguments, answers in json.loads(sys.argv[1]):
    output, errors = io.BytesIO(), io.StringIO()
    standard = io.TextIOWrapper(output, encoding="utf-8", write_through=True)
    given = io.BytesIO("".join(one + "\\n" for one in answers).encode())
    sys.stdin = io.TextIOWrapper(given, encoding="utf-8")
    with contextlib.redirect_stdout(standard), contextlib.redirect_stderr(errors):
        code = cli.run(arguments)
    print(json.dumps([int(code), output.getvalue().decode(), errors.getvalue()]))
"""


def test_a_blank_becomes_a_card_through_the_real_pcscd(fresh: Place, tmp_path: Path) -> None:
    number = Deck().draw().number
    blank = BlankChip(BATCH_KEY)
    with socket.create_server(("127.0.0.1", 0)) as free:
        slot = VirtualSlot(free.getsockname()[1], blank)
    (tmp_path / "batch").write_text(BATCH_KEY.hex() + "\n", encoding="ascii")
    (tmp_path / "cards").write_text(number + "\n", encoding="ascii")
    data = ["--data", str(fresh.data)]
    first = ["--reader", "vafa 00 00"]  # vpcd has two slots
    files = ["--batch-key", str(tmp_path / "batch"), "--cards", str(tmp_path / "cards")]
    commands = [
        (["keys", "officer", "add", *data], FOUNDING),  # in that process, whose hashing is the real one
        (["cards", "read", *first], []),
        (["cards", "issue", *first, *files, *OF_RUN, "--counter", "41", "--json", *data], BOTH),
        (["cards", "read", "--json", *first], []),
        (["cards", "verify", *first, *data], []),
        (["cards", "issue", *first, *files, *OF_RUN, *data], BOTH),
        (["cards", "verify", "--reader", "other", *data], []),
    ]
    said: list[tuple[int, str, str]] = []

    async def act(scene: list[str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *scene, "-c", SEVERAL, json.dumps(commands), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), LONGEST_WAIT_S)
        said.extend(json.loads(line) for line in output.splitlines())

    in_scene(tmp_path, slot, act)
    shown = Card(number).masked
    codes = [code for code, _, _ in said]
    assert codes == [0, 1, 0, 0, 0, 1, 3], said
    assert "personalized first" in said[1][2] or "status 6A82" in said[1][2]
    assert json.loads(said[2][1]) == {"card": shown, "genuine": True}
    assert json.loads(said[3][1]) == {"card": shown, "member": b"\x01fa".hex().upper()}
    assert said[4][1] == f"{shown}  genuine\n"
    assert "status 6985" in said[5][2], "a card that is done takes nothing any more"
    assert "no reader named 'other'" in said[6][2]
    assert all(number not in text for _, *texts in said for text in texts)
    assert (blank.is_finished, blank.counter) == (True, 43), "two cryptograms after the counter given"
    assert [one["what"] for one in fresh.log()][-2:] == ["cards-issued", "cards-issued"]


def test_without_two_officers_no_card_is_made(place: Place, tmp_path: Path) -> None:
    (tmp_path / "batch").write_text(BATCH_KEY.hex(), encoding="ascii")
    before = place.files()
    arguments = ["--batch-key", str(tmp_path / "batch"), "--card", Deck().draw().number, *OF_RUN]
    told = place.command("cards", "issue", *arguments, answers=BOTH[:2])
    assert told.code != 0
    changed = {name for name, content in place.files().items() if before.get(name) != content}
    assert all(name.endswith("keys.log") for name in changed)


# ---------------------------------------------------------------- conversations


def test_a_card_torn_out_while_it_is_made_is_made_again(place: Place) -> None:
    number = Deck().draw().number
    personal = personal_of(place, number, counter=7)
    whole = 1 + 2 * len(cards_desk.loads_of(personal))
    for left in range(whole):
        blank = BlankChip(BATCH_KEY)
        with pytest.raises(CommandError, match="doesn't answer"):
            has(Direct(blank, left), cards_desk.personalize(BATCH_KEY, personal))
        assert not blank.is_finished
        has(Direct(blank), cards_desk.personalize(BATCH_KEY, personal))
        assert has(Direct(blank), cards_desk.read()) == (number, b"\x01fa")
        assert has(Direct(blank), cards_desk.say(bytes(16)))[0] == 8


def test_a_load_is_of_one_card_and_moment(place: Place) -> None:
    personal = personal_of(place, Deck().draw().number)
    heard: list[bytes] = []

    class Tapped(Direct):
        def exchange(self, command: bytes) -> bytes:
            heard.append(command)
            return super().exchange(command)

    has(Tapped(BlankChip(BATCH_KEY)), cards_desk.personalize(BATCH_KEY, personal))
    assert not any(key in b"".join(heard) for key in (personal.proof, personal.authentication))
    other = BlankChip(BATCH_KEY)
    for command in heard:
        answer = other.command(command)
        assert command[:2] != b"\x80\xe2" or answer == b"\x69\x82"
    assert other.loads == 0


def test_whoever_has_another_batchs_key_makes_no_card_and_no_more_tries(place: Place) -> None:
    personal = personal_of(place, Deck().draw().number)
    blank = BlankChip(BATCH_KEY)
    for _ in range(WRONG_LOADS):
        with pytest.raises(CommandError, match="status 6982"):
            has(Direct(blank), cards_desk.personalize(bytes(16), personal))
    with pytest.raises(CommandError, match="status 6985"):
        has(Direct(blank), cards_desk.personalize(BATCH_KEY, personal))


def test_the_desks_key_is_its_own(place: Place) -> None:
    path = place.data / "cards" / "desk.json"
    assert path.stat().st_mode & 0o077 == 0
    path.write_text(json.dumps({"transport_key": "00" * 16}), encoding="ascii")
    with pytest.raises(KeysError, match="not the one that the key store has"):
        personal_of(place, Deck().draw().number)
    path.unlink()
    with pytest.raises(KeysError, match="no transport key"):
        personal_of(place, Deck().draw().number)


# ---------------------------------------------------------------- stripes


class WaitingDesk(WriterDesk):
    """Tells when the device waits for a card."""

    def __init__(self, link: Path) -> None:
        super().__init__(link)
        self.waits = asyncio.Event()

    def _received(self, data: bytes) -> None:
        super()._received(data)
        if self.device.is_waiting:
            self.waits.set()


def test_a_stripe_is_written_and_read_back(fresh: Place, tmp_path: Path) -> None:
    number = Deck().draw().number
    [expected] = asyncio.run(issued(fresh.settings, [Card(number, "3012", service_code="201")]))
    added = "".join(f"{one}\n" for one in FOUNDING).encode()  # in a process, whose hashing is the real one
    subprocess.run(
        [sys.executable, "-m", "tools.cli", "keys", "officer", "add", "--data", str(fresh.data)],
        input=added,
        check=True,
        capture_output=True,
    )
    plastic = StripeCard.holding(None, None, None)

    async def act() -> tuple[int, bytes, bytes]:
        desk = WaitingDesk(tmp_path / "writer")
        desk.open()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tools.cli", "cards", "stripe", "--port", str(tmp_path / "writer"),
            "--card", number, *OF_RUN, "--data", str(fresh.data),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin
        assert process.stderr
        process.stdin.write("".join(f"{one}\n" for one in BOTH).encode())
        said = b""
        for words in (b"through the writer", b"read it back"):
            while words not in said:
                more = await asyncio.wait_for(process.stderr.read(512), LONGEST_WAIT_S)
                assert more, said.decode()
                said += more
            await asyncio.wait_for(desk.waits.wait(), LONGEST_WAIT_S)
            desk.waits.clear()
            desk.swipe(plastic)
        output, rest = await asyncio.wait_for(process.communicate(), LONGEST_WAIT_S)
        desk.close()
        assert process.returncode is not None
        return process.returncode, output, said + rest

    code, output, errors = asyncio.run(act())
    assert code == 0, errors.decode()
    assert output.decode() == f"{expected.masked}  written\n"
    assert plastic.texts[1] == expected.track_2
    assert number.encode() not in output + errors
