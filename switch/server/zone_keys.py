"""The keys that a partner (a bank's host) and we share: MACs, PIN blocks, and the change of both by 0800.

One key set for each direction: what one side sends under, the other receives under. The receiving side
installs a new key before it answers, the sending side uses it only after that answer: no message is ever
under a key that the other side has not got. The receiver goes on accepting the keys before for what is under
way. Messages cross here whole; sockets are the link's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from switch.hsm import KeyNotFound, KeyState, KeyStore, KeyVersion
from switch.hsm.port import Fault, Hsm, HsmError, Key, KeyAlgorithm, KeyUse, MacAlgorithm
from switch.iso8583 import Dialect, Message, Value
from switch.link.matching import answer_mti

APPROVED, MALFUNCTION, UNAVAILABLE, SECURITY_ERROR, FORMAT_ERROR = "00", "96", "91", "63", "30"
CHECK_DIGITS = 6
# Offers whose answers were lost leave keys that nobody sends under; more than this is a partner in trouble.
MOST_ACCEPTED = 8
# Longer than any answer is waited for: after it nothing under the key before can still be under way.
GRACE_S = 300.0


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
    """How a partner changes keys: DE 70 of the message, and the field that carries check value and block."""

    code: str = "161"
    code_field: str = "70"
    key_field: str = "120"


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
        self._offered: dict[str, Key] = {}  # by kind: made, not yet answered
        self._seen: dict[str, dict[int, float]] = {}  # by kind: versions that messages came under, since when

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
        for version in self._accepted(name, MAC, now):
            if await self._hsm.mac_verify(version.key, body, mac, _MAC_ALGORITHMS[version.use]):
                self._follows(MAC, version, now)
                return True
        return False

    def pin_keys(self, now: float) -> tuple[Key, ...]:
        """The keys that a received PIN block may be under, the newest first."""
        return tuple(version.key for version in self._accepted(self._name(PIN, "receive"), PIN, now))

    def pin_came_under(self, key: Key, now: float) -> None:
        """Note that a good PIN block came under this one of `pin_keys`: the ones before it will end."""
        for version in self._store.versions(self._name(PIN, "receive")):
            if version.key == key:
                self._follows(PIN, version, now)

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
        if use is None:
            use = self._use_so_far(kind)
        offered = self._offered.get(kind.name)
        if offered is None or offered.use is not use:
            offered = await self._hsm.generate_key(use, algorithm, exportable=True)
            self._offered[kind.name] = offered
        exported = await self._hsm.export_key(offered, self._store.key(f"zone/{self.partner}/zmk"))
        profile = self._profile
        request = Message(
            "0800",
            {
                **stamp,
                profile.code_field: profile.code,
                profile.key_field: exported.check_value + exported.block,
            },
        )
        signed = await self.sign(request) if self._has(MAC, "send") else request
        answer = await link.request(signed, timeout_s)
        where = f"partner {self.partner}, new {kind.name} key"
        if self._has(MAC, "receive") and not await self.verify(answer, now):
            raise ZoneKeyError(f"{where}: the answer's MAC is wrong; the key so far stays in use")
        if answer.get("39") != APPROVED or answer.get(profile.key_field) != exported.check_value:
            code = answer.text("39") if "39" in answer else "none"
            raise ZoneKeyError(f"{where}: not taken, DE 39 {code}; the key so far stays in use")
        added = self._store.add(self._name(kind, "send"), offered, algorithm, ())
        self._store.save()
        del self._offered[kind.name]
        return added

    # ------------------------------------------------------------ the change, as the side that receives

    def is_change(self, message: Message) -> bool:
        """Whether a received message brings a key."""
        return message.mti == "0800" and message.get(self._profile.code_field) == self._profile.code

    async def take(self, message: Message, now: float) -> Message:
        """Install the key that a message brings; returns the answer, under a MAC where there are MACs. The
        same key again is answered alike."""
        code, check_value = await self._take(message, now)
        fields = {
            path: value
            for path in ("7", "11", "12", "13", "32", "41", "42", self._profile.code_field)
            if (value := message.get(path)) is not None
        }
        fields["39"] = code
        if code == APPROVED:
            fields[self._profile.key_field] = check_value
        answer = Message(answer_mti(message.mti), fields)
        return await self.sign(answer) if self._has(MAC, "send") else answer

    async def _take(self, message: Message, now: float) -> tuple[str, str]:
        brought = message.get(self._profile.key_field)
        if not isinstance(brought, str) or len(brought) <= CHECK_DIGITS:
            return FORMAT_ERROR, ""
        check_value, block = brought[:CHECK_DIGITS], brought[CHECK_DIGITS:]
        kind, use = _of_block(block)
        if kind is None or use is None:
            return FORMAT_ERROR, ""
        try:
            if self._has(MAC, "receive") and not await self.verify(message, now):
                return SECURITY_ERROR, ""
            zone = self._store.key(f"zone/{self.partner}/zmk")
            key = await self._hsm.import_key(block, zone, use)
        except HsmError as error:
            return (UNAVAILABLE if error.fault is Fault.UNAVAILABLE else SECURITY_ERROR), ""
        except KeyNotFound:
            return SECURITY_ERROR, ""
        if key.check_value != check_value:
            return SECURITY_ERROR, ""
        name = self._name(kind, "receive")
        if not (self._has(kind, "receive") and self._store.key(name).check_value == check_value):
            if len(self._accepted(name, kind, now)) >= MOST_ACCEPTED:
                return UNAVAILABLE, ""
            self._store.add(name, key, _algorithm_of(block), ())
            self._store.save()  # on disk before the partner hears yes and sends under it
        return APPROVED, check_value

    # ------------------------------------------------------------ which keys

    def _accepted(self, name: str, kind: Kind, now: float) -> list[KeyVersion]:
        """The versions that a message may come under, newest first. Once messages have come under one for
        GRACE_S, those before it are revoked."""
        versions = [
            version for version in self._store.versions(name) if version.state is not KeyState.REVOKED
        ]
        settled = [number for number, since in self._seen.get(kind.name, {}).items() if now - since > GRACE_S]
        if settled:
            floor = max(settled)
            old = [version for version in versions if version.version < floor]
            for version in old:
                self._store.revoke(name, version.version)
            if old:
                self._store.save()
            versions = [version for version in versions if version.version >= floor]
        return versions[::-1]

    def _follows(self, kind: Kind, version: KeyVersion, now: float) -> None:
        self._seen.setdefault(kind.name, {}).setdefault(version.version, now)

    def _use_so_far(self, kind: Kind) -> KeyUse:
        return self._store.key(self._name(kind, "send")).use if self._has(kind, "send") else kind.uses[0]

    def _has(self, kind: Kind, direction: str) -> bool:
        return any(
            version.state is KeyState.ACTIVE for version in self._store.versions(self._name(kind, direction))
        )

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
