"""A bank that asks a switch: its own key store and HSM, MACs, PIN blocks, keys by 0800, over a real link.

Simulation only: the bank's HSM is in this process, so its PIN key can be taken out to make a PIN block.
Messages are made and read in the words of `iso87-ascii`; a bank of another mapping says and hears them in its
own, see `Speech`.
"""

from __future__ import annotations

import itertools
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from switch import iso8583
from switch.hsm import InProcessHsm, KeyStore
from switch.hsm.crypto.ciphers import tdes_ecb_encrypt
from switch.hsm.crypto.master_keys import BlockMasterKey
from switch.hsm.crypto.pin_blocks import encode
from switch.hsm.port import KeyAlgorithm, KeyUse
from switch.iso8583 import Message
from switch.keys import read_master_key
from switch.link.client import ClientSettings
from switch.link.framing import framing_named
from switch.link.matching import MatchKey
from switch.link.network import NetworkMessages
from switch.link.stream import Client, Peer
from switch.partners import load
from switch.server.zone_keys import MAC, PIN, Kind, ZoneKeys, ZoneProfile
from switch.settings import Settings

DIALECT: Final = iso8583.load("iso87-ascii")
ACQUIRER: Final = "581672031"
TERMINAL: Final = "70000001"
ACCEPTOR: Final = "700000000000001"
ISO_0: Final = 0
HERE: Final = ZoneInfo("Asia/Tehran")
STANS = itertools.count(1)  # shared, so that no two banks of a test give a number twice in a second
BALANCE, EARN, REDEEM = "310000", "210000", "000000"


class Speech:
    """The words of a mapping: those of `iso87-ascii`."""

    mapping = "iso87-ascii"
    framing = "2be"
    sent = "7"
    network = NetworkMessages()
    profile = ZoneProfile()

    def __init__(self) -> None:
        self.dialect = iso8583.load(self.mapping)

    def said(self, message: Message) -> Message:
        """A message in these words."""
        return message

    def heard(self, answer: Message) -> Message:
        """An answer as `iso87-ascii` would have it."""
        return answer

    def stamp(self) -> dict[str, str]:
        """The time of sending."""
        return {"7": sent_now()}


class PosHostSpeech(Speech):
    """A concentrator's: our reference number is DE 37, DE 63 has tables."""

    mapping = "pos-host-1987"
    framing = "nac"
    profile = ZoneProfile(key_field="62")

    def said(self, message: Message) -> Message:
        fields = dict(message.fields)
        if "63" in fields:
            fields["37"] = fields.pop("63")
        return Message(message.mti, {**fields, "24": "003", "25": "00"})

    def heard(self, answer: Message) -> Message:
        fields = {path: value for path, value in answer.fields.items() if path not in ("24", "25", "63")}
        return Message(answer.mti, {**fields, "63": fields["37"]} if "37" in fields else fields)


class Speech93(Speech):
    """ISO 8583:1993: other MTIs, times, codes, original data, additional amounts."""

    mapping = "iso93-bcd"
    sent = "12"
    # Ours of `iso87-ascii` -> theirs, and back.
    function_codes: ClassVar[dict[str, str]] = {"001": "801", "002": "802", "301": "831", "161": "811"}
    network = NetworkMessages(
        mti="1804",
        code_field="24",
        sign_on="801",
        sign_off="802",
        echo="831",
        approved=("000",),
    )

    def __init__(self) -> None:
        super().__init__()
        codes = load(self.mapping).response_codes
        usual = load(Speech.mapping).response_codes
        self._codes = {"400": "00"} | {theirs: usual[ours] for ours, theirs in [*codes.items()][::-1]}
        self.profile = ZoneProfile("811", "24", "72", "1804", codes)

    def said(self, message: Message) -> Message:
        fields = {path: value for path, value in message.fields.items() if path not in ("13", "70", "90")}
        if "12" in fields and "13" in message:
            fields["12"] = f"{datetime.now(HERE):%y}" + message.text("13") + message.text("12")
        elif "7" in message:
            fields["12"] = local_of(message.text("7"))
        mode = {"01": "6", "02": "2"}.get(message.text("22")[:2], "0") if "22" in message else ""
        if mode:
            fields["22"] = f"000000{mode}00000"
        if "70" in message:
            fields["24"] = self.function_codes.get(message.text("70"), "899")
        if "90" in message:
            data = message.text("90")
            acquirer = data[20:31].lstrip("0")
            fields["56"] = (
                "1"
                + data[1:10]
                + local_of(data[10:20])
                + (f"{len(acquirer):02d}{acquirer}" if acquirer else "")
            )
        mti = "1" + message.mti[1:]
        return Message("1804" if mti == "1800" else mti, fields)

    def heard(self, answer: Message) -> Message:
        fields = {path: value for path, value in answer.fields.items() if path not in ("22", "24")}
        sent = answer.get("12")
        if isinstance(sent, str):
            fields |= {"12": sent[6:], "13": sent[2:6]}
        code = {theirs: ours for ours, theirs in self.function_codes.items()}.get(str(answer.get("24")))
        if code is not None:
            fields["70"] = code
        if "39" in answer:
            fields["39"] = self._codes[answer.text("39")]
        rows = answer.get("54")
        if isinstance(rows, Mapping):
            parts = [part for row in rows.values() if isinstance(row, Mapping) for part in row.values()]
            fields["54"] = "".join(map(str, parts))
        return Message("0" + answer.mti[1:3] + ("0" if answer.mti[3] == "4" else answer.mti[3]), fields)

    def stamp(self) -> dict[str, str]:
        return {"7": sent_now(), "12": f"{datetime.now(HERE):%y%m%d%H%M%S}"}


SPEECHES: Final = {speech.mapping: speech for speech in (Speech, Speech93, PosHostSpeech)}


def local_of(sent: str) -> str:
    """YYMMDDhhmmss here of a DE 7, MMDDhhmmss in UTC, of this year; what is no time comes back as it is."""
    year = datetime.now(HERE).year
    try:
        moment = datetime.strptime(f"{year}{sent}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return f"{year % 100:02d}{sent}"
    return f"{moment.astimezone(HERE):%y%m%d%H%M%S}"


class NotGenuine(Exception):
    """An answer without a good MAC: as good as none."""


class Bank:
    """One partner. directory: of its own; components: of the zone key that it shares with the switch;
    mapping: the one whose words it speaks."""

    def __init__(
        self,
        directory: Path,
        name: str,
        components: list[bytes],
        acquirer: str = ACQUIRER,
        mapping: str = "iso87-ascii",
    ) -> None:
        self.name = name
        self.speech = SPEECHES[mapping]()
        self.acquirer = acquirer
        self._master = os.urandom(32)
        self.hsm = InProcessHsm(self._master)
        self.forgets_to_answer = 0  # so many keys are taken without a word
        self.path = directory / f"{name}.keys.json"
        store = KeyStore.load(self.path)
        zone = self.hsm.form_key(components, KeyUse.ZONE, KeyAlgorithm.AES_256)
        store.add(f"zone/{name}/zmk", zone, KeyAlgorithm.AES_256, ("A", "B"))
        store.save()
        self.keys = self._keys(store)
        self.taken = 0  # keys that the switch gave us

    def restart(self) -> None:
        """As after a kill: of its keys it knows what is on its disk."""
        self.keys = self._keys(KeyStore.load(self.path))

    def _keys(self, store: KeyStore) -> ZoneKeys:
        return ZoneKeys(self.name, self.speech.dialect, self.hsm, store, self.speech.profile)

    def client(
        self, port: int, tls: ssl.SSLContext | None = None, report: Callable[[str, str], None] | None = None
    ) -> Client:
        """A link to the switch that isn't started yet."""
        speech = self.speech
        network = replace(
            speech.network,
            fields={"32": self.acquirer},
            stamp=speech.stamp,
            echoed=("7", "11", speech.sent, speech.network.code_field),
        )
        settings = ClientSettings(
            speech.dialect,
            framing=framing_named(speech.framing),
            network=network,
            key=MatchKey(("32", "11", speech.sent), ("11", speech.sent)),
            back_off_first_s=0.05,
        )
        return Client(
            "127.0.0.1",
            port,
            settings,
            tls=tls,
            on_message=self._told,
            report=report or (lambda _what, _why: None),
        )

    async def _told(self, message: Message, _switch: Peer) -> Message | None:
        """What the switch asks of us: to take a key."""
        if not self.keys.is_change(message):
            return None
        answer = await self.keys.take(message, now_s())
        self.taken += self.speech.heard(answer)["39"] == "00"
        if self.forgets_to_answer:
            self.forgets_to_answer -= 1
            self.restart()
            return None
        return answer

    # ------------------------------------------------------------ keys

    async def change_key(self, kind: Kind, link: Client) -> None:
        """Give the switch a new key that we send under; PIN keys are TDES, as ISO-0 blocks need."""
        stamp = {**self.speech.stamp(), "11": next_stan()}
        algorithm = KeyAlgorithm.TDES_2 if kind is PIN else KeyAlgorithm.AES_128
        await self.keys.change(kind, link, stamp, now_s(), algorithm=algorithm)

    async def first_keys(self, link: Client) -> None:
        """Keys of this direction, for a switch that has the zone key alone."""
        for kind in (MAC, PIN):
            await self.change_key(kind, link)

    def pin_block(self, pin: str, card: str) -> bytes:
        """DE 52: ISO 9564-1 format 0 under our PIN key."""
        clear = BlockMasterKey(self._master).unwrap(self.keys.pin_sending_key().reference).key
        return tdes_ecb_encrypt(clear, encode(ISO_0, pin, card))

    # ------------------------------------------------------------ messages

    def fields(self, card: str | None, code: str, **more: Any) -> dict[str, Any]:
        """What every request has; `more` as f4="..." adds or, with None, removes."""
        now = datetime.now(HERE)
        fields: dict[str, Any] = {
            "2": card,
            "3": code,
            "7": f"{now.astimezone(UTC):%m%d%H%M%S}",
            "11": next_stan(),
            "12": now.strftime("%H%M%S"),
            "13": now.strftime("%m%d"),
            "22": "012",
            "32": self.acquirer,
            "41": TERMINAL,
            "42": ACCEPTOR,
            "49": "364",
        }
        fields |= {path[1:]: value for path, value in more.items()}
        return {path: value for path, value in fields.items() if value is not None}

    def balance(self, card: str, **more: Any) -> Message:
        return Message("0100", self.fields(card, BALANCE, **more))

    def earn(self, card: str, amount: int, mti: str = "0200", **more: Any) -> Message:
        return Message(mti, self.fields(card, EARN, **{"f4": f"{amount:012d}", **more}))

    def redemption(self, card: str | None, amount: int, track: str | None = None, **more: Any) -> Message:
        """amount: rial. track: the card was swiped."""
        swiped = {"f35": track, "f22": "022"} if track else {}
        return Message("0200", self.fields(card, REDEEM, **{"f4": f"{amount:012d}", **swiped, **more}))

    def reversal_of(self, original: Message, mti: str = "0420", **more: Any) -> Message:
        kept = {path: original.fields[path] for path in ("2", "3", "4", "22", "32", "41", "42", "49")
                if path in original.fields}  # fmt: skip
        if "35" in original.fields:
            kept["2"] = original.text("35").partition("=")[0]
        now = datetime.now(HERE)
        named = original.mti[:3] + "0" + original.text("11") + original.text("7")
        data = named + original.text("32").zfill(11) + "0" * 11
        fields = {"7": sent_now(), "11": next_stan(), **time_here(now), "90": data}
        return Message(mti, {**kept, **fields, **{path[1:]: value for path, value in more.items()}})

    def again(self, message: Message) -> Message:
        """The repeat of a request or an advice: 0201, 0421."""
        return Message(message.mti[:3] + "1", message.fields)

    # ------------------------------------------------------------ asking

    async def ask(self, link: Client, message: Message, timeout_s: float = 30.0) -> Message:
        """The answer to a message under our MAC, without its own. Raises NotGenuine, LinkError."""
        answer = await link.request(await self.keys.sign(self.speech.said(message)), timeout_s)
        if not await self.keys.verify(answer, now_s()):
            raise NotGenuine(self.speech.heard(answer).text("39"))
        bare = {path: value for path, value in answer.fields.items() if path not in ("64", "128")}
        return self.speech.heard(Message(answer.mti, bare))


def share_zone_key(settings: Settings, partner: str, components: list[bytes]) -> None:
    """Give a switch in tests the zone key that these components make, as a ceremony would."""
    hsm = InProcessHsm(read_master_key(settings.hsm.master_key_file))
    store = KeyStore.load(settings.hsm.key_store)
    zone = hsm.form_key(components, KeyUse.ZONE, KeyAlgorithm.AES_256)
    store.add(f"zone/{partner}/zmk", zone, KeyAlgorithm.AES_256, ("first start",))
    store.save()


def sent_now() -> str:
    """DE 7."""
    return datetime.now(UTC).strftime("%m%d%H%M%S")


def time_here(now: datetime) -> dict[str, str]:
    return {"12": now.strftime("%H%M%S"), "13": now.strftime("%m%d")}


def next_stan() -> str:
    return f"{next(STANS) % 1_000_000:06d}"


def now_s() -> float:
    """The bank's monotonic clock."""
    return datetime.now(UTC).timestamp()


def points_of(answer: Message) -> int:
    """The balance in an answer's DE 54: account 60, amount type 02."""
    data = answer.text("54")
    rows = [data[at : at + 20] for at in range(0, len(data), 20)]
    return next(int(row[8:]) for row in rows if row[:4] == "6002")
