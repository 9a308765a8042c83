"""The keys that a partner (a bank's host) and we share: MACs, PIN blocks, and the change of both by 0800.

One key set for each direction: what one side sends under, the other receives under. The receiving side has
a new key on its disk before it answers; the sending side, after the answer, on its own before it uses it: no
message is ever under a key that the other side has not got, wherever either stops. The receiver goes on
accepting the keys before for what is under way. Messages cross here whole; sockets are the link's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar

from switch.hsm import KeyNotFound, KeyReused, KeyState, KeyStore, KeyStoreError, KeyVersion
from switch.hsm.port import Fault, Hsm, HsmError, Key, KeyAlgorithm, KeyUse, MacAlgorithm
from switch.iso8583 import Dialect, Message, Value
from switch.link.matching import answer_mti

APPROVED, MALFUNCTION, UNAVAILABLE, SECURITY_ERROR, FORMAT_ERROR = "00", "96", "91", "63", "30"
CHECK_DIGITS = 6
# Offers whose answers were lost leave keys that nobody sends under; more than this is a partner in trouble.
MOST_ACCEPTED = 8
# Longer than any answer is waited for: after it nothing under the key before can still be under way.
GRACE_S = 300.0


Result = TypeVar("Result")


class Kind(NamedTuple):
    """What a key of a zone is for; its names end in -send and -receive."""

    name: str
    uses: tuple[KeyUse, ...]


MAC = Kind("mac", (KeyUse.MAC, KeyUse.MAC_TDES, KeyUse.MAC_HMAC))
PIN = Kind("pin", (KeyUse.PIN,))
KINDS = (MAC, PIN)

_MAC_ALGORITHMS = {
    KeyUse.MAC: MacAlgorithm.CMAC,
    KeyUse.MAC_TDES: MacAlgorithm.RETAIL,
    KeyUse.MAC_HMAC: MacAlgorithm.HMAC_SHA_256,
}


class ZoneKeyError(Exception):
    """A partner's key can't be changed or used. Text: partner, kind and why; never a key."""


@dataclass(frozen=True, slots=True)
class ZoneProfile:
    """How a partner changes keys: DE 70 of the message, and the field that carries check value and block.
    mti: of the message; codes: ours -> their DE 39."""

    code: str = "161"
    code_field: str = "70"
    key_field: str = "120"
    mti: str = "0800"
    codes: Mapping[str, str] = field(default_factory=dict)

    def said(self, code: str) -> str:
        """Their DE 39 of a code of ours."""
        return self.codes.get(code, code)


class Requester(Protocol):
    """A link: `switch.link.stream.Client`, or a peer of a server."""

    async def request(self, message: Message, timeout_s: float | None = None) -> Message: ...


class ZoneKeys:
    """One partner's keys, named `zone/<partner>/…` in the key store."""

    def __init__(
        self, partner: str, dialect: Dialect, hsm: Hsm, store: KeyStore, profile: ZoneProfile | None = None
    ) -> None:
        self.partner = partner
        self._dialect = dialect
        self._hsm = hsm
        self._store = store
        self._profile = ZoneProfile() if profile is None else profile
        self._offered: dict[str, tuple[Key, KeyAlgorithm]] = {}  # by kind: made, not yet answered
        self._changing = asyncio.Lock()
        # By name and version: when messages came under it first and last; since when it is known here.
        self._came: dict[str, dict[int, tuple[float, float]]] = {}
        self._known: dict[str, dict[int, float]] = {}

    def use(self, dialect: Dialect) -> None:
        """From the next message on messages are of this dialect."""
        self._dialect = dialect

    def reload(self) -> None:
        """Take what others changed in the store. Raises KeyStoreError, and nothing is changed."""
        self._store = KeyStore.load(self._store.path)

    # ------------------------------------------------------------ what there is

    def has(self, kind: Kind, direction: str) -> bool:
        """Whether there is a key in use. direction: "send" or "receive"."""
        return any(
            version.state is KeyState.ACTIVE for version in self._store.versions(self._name(kind, direction))
        )

    def has_zone_key(self) -> bool:
        """Whether keys can be changed by message at all."""
        return any(
            version.state is KeyState.ACTIVE for version in self._store.versions(f"zone/{self.partner}/zmk")
        )

    def sending_since(self, kind: Kind) -> datetime | None:
        """Since when the sending key is in use; None without one."""
        for version in self._store.versions(self._name(kind, "send")):
            if version.state is KeyState.ACTIVE:
                return datetime.fromisoformat(version.created)
        return None

    def carries_mac(self, message: Message) -> bool:
        """Whether a message has a MAC, good or not."""
        return len(self._without_mac(message)) < len(message.fields)

    # ------------------------------------------------------------ messages

    async def sign(self, message: Message) -> Message:
        """The message with its MAC under our sending key. Raises HsmError, KeyNotFound."""
        key = self._store.key(self._name(MAC, "send"))
        fields = self._without_mac(message)
        body = self._dialect.encode_body(Message(message.mti, fields))
        mac = await self._hsm.mac_generate(key, body, _MAC_ALGORITHMS[key.use])
        return Message(message.mti, {**fields, self._mac_field(fields): mac})

    async def verify(self, message: Message, now: float) -> bool:
        """Whether a received message has a good MAC: under the active receiving key, or one just before it.

        now: monotonic seconds. Raises HsmError, KeyNotFound.
        """
        fields = self._without_mac(message)
        mac = message.get(self._mac_field(fields))
        if not isinstance(mac, bytes) or len(fields) + 1 != len(message.fields):
            return False
        body = self._dialect.encode_body(Message(message.mti, fields))
        name = self._name(MAC, "receive")
        self._store.key(name)
        for version in self._accepted(name, now):
            if await self._hsm.mac_verify(version.key, body, mac, _MAC_ALGORITHMS[version.use]):
                self._follows(name, version.version, now)
                return True
        return False

    def pin_keys(self, now: float) -> tuple[Key, ...]:
        """The keys that a received PIN block may be under, the newest first."""
        return tuple(version.key for version in self._accepted(self._name(PIN, "receive"), now))

    def pin_came_under(self, key: Key, now: float) -> None:
        """Note that a good PIN block came under this one of `pin_keys`: the ones before it will end."""
        name = self._name(PIN, "receive")
        for version in self._store.versions(name):
            if version.key == key:
                self._follows(name, version.version, now)

    def pin_sending_key(self) -> Key:
        """The key for PIN blocks to this partner. Raises KeyNotFound."""
        return self._store.key(self._name(PIN, "send"))

    # ------------------------------------------------------------ the change, as the side that sends under it

    async def change(
        self,
        kind: Kind,
        link: Requester,
        stamp: Mapping[str, str],
        now: float,
        *,
        algorithm: KeyAlgorithm = KeyAlgorithm.AES_128,
        use: KeyUse | None = None,
        timeout_s: float | None = None,
    ) -> KeyVersion:
        """Make a new sending key, give it to the partner by 0800, and send under it once the partner has it.

        stamp: the fields of this one message, DE 7 and 11 at least. now: monotonic seconds. Without a clear
        answer the key so far stays in use and the next call offers the same new one again. Raises
        ZoneKeyError, LinkError, HsmError.
        """
        async with self._changing:
            offered = await self._offer(kind, algorithm, use)
            exported = await self._hsm.export_key(offered, self._store.key(f"zone/{self.partner}/zmk"))
            profile = self._profile
            brought = {
                profile.code_field: profile.code,
                profile.key_field: exported.check_value + exported.block,
            }
            request = Message(profile.mti, {**stamp, **brought})
            signed = await self.sign(request) if self.has(MAC, "send") else request
            answer = await link.request(signed, timeout_s)
            where = f"partner {self.partner}, new {kind.name} key"
            if self.has(MAC, "receive") and not await self.verify(answer, now):
                raise ZoneKeyError(f"{where}: the answer's MAC is wrong; the key so far stays in use")
            if (
                answer.get("39") != profile.said(APPROVED)
                or answer.get(profile.key_field) != exported.check_value
            ):
                del self._offered[kind.name]  # refused for good; the next call makes another one
                code = answer.text("39") if "39" in answer else "none"
                raise ZoneKeyError(f"{where}: not taken, DE 39 {code}; the key so far stays in use")
            added = self._stored(
                lambda store: store.add(self._name(kind, "send"), *self._offered[kind.name], ())
            )
            del self._offered[kind.name]
            return added

    async def _offer(self, kind: Kind, algorithm: KeyAlgorithm, use: KeyUse | None) -> Key:
        """The new key: the one offered before without an answer, if it is of the same sort."""
        if use is None:
            use = self._use_so_far(kind)
        if kind.name in self._offered:
            key, its_algorithm = self._offered[kind.name]
            if (key.use, its_algorithm) == (use, algorithm):
                return key
        key = await self._hsm.generate_key(use, algorithm, exportable=True)
        try:  # before the partner has it: afterwards it has to be stored
            self._store.check_fresh(self._name(kind, "send"), key.check_value)
        except KeyReused:
            raise ZoneKeyError(
                f"partner {self.partner}, new {kind.name} key: its check value was there before; change again"
            ) from None
        self._offered[kind.name] = key, algorithm
        return key

    # ------------------------------------------------------------ the change, as the side that receives

    def is_change(self, message: Message) -> bool:
        """Whether a received message brings a key."""
        return (
            message.mti == self._profile.mti and message.get(self._profile.code_field) == self._profile.code
        )

    async def take(self, message: Message, now: float) -> Message:
        """Install the key that a message brings; returns the answer, under a MAC where there are MACs. The
        same key again is answered alike."""
        code, check_value = await self._take(message, now)
        fields = {
            path: value
            for path in ("7", "11", "12", "13", "32", "41", "42", self._profile.code_field)
            if (value := message.get(path)) is not None
        }
        fields["39"] = self._profile.said(code)
        if code == APPROVED:
            fields[self._profile.key_field] = check_value
        answer = Message(answer_mti(message.mti), fields)
        return await self.sign(answer) if self.has(MAC, "send") else answer

    async def _take(self, message: Message, now: float) -> tuple[str, str]:
        brought = message.get(self._profile.key_field)
        if not isinstance(brought, str) or len(brought) <= CHECK_DIGITS:
            return FORMAT_ERROR, ""
        check_value, block = brought[:CHECK_DIGITS], brought[CHECK_DIGITS:]
        kind, use = _of_block(block)
        if kind is None or use is None:
            return FORMAT_ERROR, ""
        try:
            if self.has(MAC, "receive") and not await self.verify(message, now):
                return SECURITY_ERROR, ""
            zone = self._store.key(f"zone/{self.partner}/zmk")
            key = await self._hsm.import_key(block, zone, use)
        except HsmError as error:
            return (UNAVAILABLE if error.fault is Fault.UNAVAILABLE else SECURITY_ERROR), ""
        except KeyNotFound:
            return SECURITY_ERROR, ""
        if key.check_value != check_value:
            return SECURITY_ERROR, ""
        offered = self._offered.get(kind.name)
        if offered is not None and offered[0].check_value == check_value:
            return SECURITY_ERROR, ""  # our own offer sent back
        name = self._name(kind, "receive")
        try:
            return self._installed(name, key, _algorithm_of(block), now), check_value
        except KeyReused:
            return SECURITY_ERROR, ""  # our own key sent back
        except KeyStoreError:
            return MALFUNCTION, ""

    def _installed(self, name: str, key: Key, algorithm: KeyAlgorithm, now: float) -> str:
        """Make a key the newest that is received under, on disk when it returns; the response code."""
        known = [version for version in self._store.versions(name) if version.check_value == key.check_value]
        if known:
            # The one in use: a repeated offer. An older one: somebody plays an old message again.
            return APPROVED if known[-1].state is KeyState.ACTIVE else SECURITY_ERROR
        accepted = [version.version for version in self._accepted(name, now)]
        passed_over = [number for number in accepted if self._is_passed_over(name, number)]
        if len(accepted) - len(passed_over) >= MOST_ACCEPTED:
            return UNAVAILABLE

        def install(store: KeyStore) -> None:
            for number in passed_over:
                store.revoke(name, number)
            store.add(name, key, algorithm, ())

        self._stored(install)  # before the partner hears yes and sends under it
        self._accepted(name, now)
        return APPROVED

    def _is_passed_over(self, name: str, number: int) -> bool:
        """Whether the partner went on under an older key when it could no longer hear our yes to this one."""
        since = self._known[name][number]
        came = self._came.get(name, {})
        return any(last - since > GRACE_S for older, (_, last) in came.items() if older < number)

    # ------------------------------------------------------------ which keys

    def _accepted(self, name: str, now: float) -> list[KeyVersion]:
        """The versions that a message may come under, newest first. Once messages have come under one for
        GRACE_S, those before it are revoked."""
        came = self._came.get(name, {})
        floor = max((number for number, (first, _) in came.items() if now - first > GRACE_S), default=0)
        usable = [one for one in self._store.versions(name) if one.state is not KeyState.REVOKED]
        ended = [one.version for one in usable if one.version < floor]
        if ended:
            # Housekeeping: when the disk refuses, a message is none the worse for it.
            with suppress(KeyStoreError):
                self._stored(lambda store: [store.revoke(name, number) for number in ended])
        accepted = [one for one in usable if one.version >= floor]
        for one in accepted:
            self._known.setdefault(name, {}).setdefault(one.version, now)
        return accepted[::-1]

    def _follows(self, name: str, number: int, now: float) -> None:
        """Note that a good message came under a version."""
        came = self._came.setdefault(name, {})
        first, _ = came.get(number, (now, now))
        came[number] = first, now

    def _stored(self, edit: Callable[[KeyStore], Result]) -> Result:
        """Change the store on the disk and only then here. Read again first: other partners' keys and
        `vafa keys` change the same file. Raises KeyStoreError, and nothing is changed."""
        fresh = KeyStore.load(self._store.path)
        result = edit(fresh)
        fresh.save()
        self._store = fresh
        return result

    def _use_so_far(self, kind: Kind) -> KeyUse:
        return self._store.key(self._name(kind, "send")).use if self.has(kind, "send") else kind.uses[0]

    def _name(self, kind: Kind, direction: str) -> str:
        return f"zone/{self.partner}/{kind.name}-{direction}"

    def _without_mac(self, message: Message) -> dict[str, Value]:
        rule = self._dialect.dictionary.mac
        if rule is None:
            raise ZoneKeyError(
                f"dialect {self._dialect.dictionary.name} has no MAC; add mac to its [dialect]"
            )
        macs = {str(rule.primary), str(rule.secondary)}
        return {path: value for path, value in message.fields.items() if path not in macs}

    def _mac_field(self, fields: dict[str, Value]) -> str:
        rule = self._dialect.dictionary.mac
        assert rule is not None
        return str(rule.secondary if any(int(path) > 64 for path in fields) else rule.primary)


def _of_block(block: str) -> tuple[Kind | None, KeyUse | None]:
    """What a block's header says its key is for (X9.143: characters 6 and 7)."""
    for kind in KINDS:
        for use in kind.uses:
            if block[5:7] == use.value:
                return kind, use
    return None, None


def _algorithm_of(block: str) -> KeyAlgorithm:
    """The algorithm of a block's header (its 8th character); how long the key is, only the HSM knows."""
    by_letter = {"T": KeyAlgorithm.TDES_2, "H": KeyAlgorithm.HMAC_256}
    return by_letter.get(block[7:8], KeyAlgorithm.AES_128)
