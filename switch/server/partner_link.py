"""One partner's messages: who may ask for what, MACs, PIN blocks, keys by 0800. The pipeline decides.

The MAC comes first: without a good one nothing is looked up, stored or answered under a MAC. Knows the link's
messages and not its sockets. A log line names partner, path and problem, never a value.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from switch.authorizer import Origin, Original
from switch.authorizer.identity import dated
from switch.handshakes import Allowance
from switch.hsm import KeyStoreError, KeyVersion
from switch.hsm.port import Fault, HsmError, Key, PinFormat, ZonePin
from switch.iso8583 import DecodeError, Dialect, Message
from switch.link.errors import LinkError
from switch.link.matching import answer_mti, wants_answer
from switch.link.stream import Peer
from switch.loyalty.program import Program
from switch.partners import Asked, PartnerMapping, Translator, Untranslatable
from switch.partners.mapping import ACQUIRER, RESPONSE_CODE, REVERSAL, STAN
from switch.partners.mapping import Clock as PartnersClock
from switch.server.log import Log
from switch.server.pipeline import (
    APPROVED,
    FORMAT_ERROR,
    INVALID_TRANSACTION,
    MALFUNCTION,
    NOT_PERMITTED,
    PIN_UNAVAILABLE,
    SECURITY_ERROR,
    UNAVAILABLE,
    Decision,
    ZoneBlock,
)
from switch.server.zone_keys import KINDS, MAC, Kind, ZoneKeyError, ZoneKeys
from switch.settings import Partner

NETWORK_CLASS = "8"
LAST_STAN = 999_999
# A change of keys by the clock that failed is tried again after so long: the partner may be away for hours.
CHANGE_AGAIN_S = 300.0
PIN_FORMATS: Mapping[str, PinFormat] = {
    "iso-0": PinFormat.ISO_0,
    "iso-3": PinFormat.ISO_3,
    "iso-4": PinFormat.ISO_4,
}


# Of a partner's settings what its listener and its lines are made of.
OF_A_START = ("listener", "framing")


class Clock(Protocol):
    """What a partner's link needs to know of time."""

    def local(self) -> datetime: ...

    def monotonic(self) -> float: ...


class Decider(Protocol):
    """The pipeline, as a partner's link sees it. acceptors: those of our own terminals, and whether they are
    blocked."""

    @property
    def acceptors(self) -> Mapping[str, bool]: ...

    async def decide(
        self, message: Message, operation: str, origin: Origin, block: ZoneBlock | None, *, is_private: bool
    ) -> Decision | None: ...


class Malformed(Message):
    """What was understood of a request that doesn't decode: enough to answer it."""

    __slots__ = ("error",)

    def __init__(self, partial: Message, error: DecodeError) -> None:
        super().__init__(partial.mti, partial.fields, is_partial=True)
        self.error = error


class PartnerCodec:
    """A dialect whose undecodable requests come through as `Malformed`, so that they are answered. use: what
    is decoded and encoded from now on is of this dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def use(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def encode(self, message: Message) -> bytes:
        return self._dialect.encode(message)

    def decode(self, data: bytes) -> Message:
        try:
            return self._dialect.decode(data)
        except DecodeError as error:
            partial = error.partial
            if partial is None or STAN not in partial or not wants_answer(partial.mti):
                raise
            return Malformed(partial, error)


class Others(NamedTuple):
    """What belongs to other partners. acceptors: of all others that list theirs."""

    acceptors: frozenset[str]


class PartnerLink:
    """One partner. peers: who is connected now."""

    def __init__(
        self,
        partner: Partner,
        mapping: PartnerMapping,
        keys: ZoneKeys,
        ours: Dialect,
        decider: Decider,
        program: Program,
        others: Others,
        clock: Clock,
        log: Log,
    ) -> None:
        self.partner = partner
        self.keys = keys
        self._is_blocked = partner.blocked
        self.peers: Callable[[], Sequence[Peer]] = tuple
        self.mapping = mapping
        self.codec = PartnerCodec(mapping.dialect)
        self._ours = ours
        self._translator = Translator(mapping, ours)
        self._decider = decider
        self._program = program
        self._others = others
        self._clock = clock
        self._log = log.bind(partner=partner.name)
        self._allowance = Allowance()
        self._operations = _operations(partner, mapping)
        self._is_private = partner.listener.tls_certificate is not None
        self._stan = random.randrange(LAST_STAN)
        self._change_again_at: dict[Kind, float] = {}

    def use(self, partner: Partner, mapping: PartnerMapping, others: Others) -> None:
        """From the next message on these count, but for what needs a start, see `waits_for_a_start`."""
        self._others = others
        kept = {name: getattr(self.partner, name) for name in OF_A_START}
        self.partner = replace(partner, **kept)
        if not self._of_a_start(mapping):
            self.mapping = mapping
            self.codec.use(mapping.dialect)
            self.keys.use(mapping.dialect)
            self._translator = Translator(mapping, self._ours)
        self._operations = _operations(self.partner, self.mapping)

    def waits_for_a_start(self, partner: Partner, mapping: PartnerMapping) -> tuple[str, ...]:
        """Names of what differs from these and can't be changed under lines that stand."""
        waiting = [name for name in OF_A_START if getattr(partner, name) != getattr(self.partner, name)]
        return (*waiting, *self._of_a_start(mapping))

    def _of_a_start(self, mapping: PartnerMapping) -> tuple[str, ...]:
        """What of a mapping is another than now, and told when the lines were made."""
        now = self.mapping
        is_known_otherwise = (mapping.identity, mapping.sent_digits) != (now.identity, now.sent_digits)
        identity = ("mapping (its [identity])",) if is_known_otherwise else ()
        return identity + (("mapping (its [network])",) if mapping.network != now.network else ())

    @property
    def is_blocked(self) -> bool:
        """By the settings, or by an operator."""
        return self._is_blocked

    def block(self, is_blocked: bool) -> None:
        """Refuse the partner from its next message on, or no more, as an operator says. What the settings
        block stays so."""
        is_blocked |= self.partner.blocked
        if is_blocked != self._is_blocked:
            self._is_blocked = is_blocked
            self._log.warning("partner blocked" if is_blocked else "partner unblocked", by="an operator")

    # ------------------------------------------------------------ what comes

    async def answer(self, message: Message, peer: Peer) -> Message | None:
        """The answer to one message of the partner; None: none is given."""
        if not wants_answer(message.mti):
            return None
        if isinstance(message, Malformed):
            error = message.error
            self._tell("malformed message", path=error.path, offset=error.offset, expected=error.expected)
            return self._short(message)
        if self._is_blocked:
            self._tell("message of a blocked partner", mti=message.mti)
            return self._translator.refusal(message, NOT_PERMITTED)
        if message.mti[1] == NETWORK_CLASS:
            return await self._network(message)
        refused = await self._mac_refused(message)
        if refused:  # never under a MAC: somebody else could have asked, for an answer to keep
            return self._translator.refusal(message, refused)
        answer = await self._decided(message)
        return None if answer is None else await self._under_mac(message, answer)

    def _short(self, message: Malformed) -> Message:
        """Bytes out of step may stand in any field: told back is only what the partner knows it by."""
        known_by = (self.mapping.identity.sent, STAN, ACQUIRER)
        fields = {path: value for path in known_by if (value := message.fields.get(path))}
        code = self.mapping.response_codes[FORMAT_ERROR]
        return Message(answer_mti(message.mti), {**fields, RESPONSE_CODE: code})

    async def _mac_refused(self, message: Message) -> str:
        """Empty when the message may be believed, else the response code."""
        keys = self.keys
        if not self.partner.needs_mac and not keys.carries_mac(message):
            return ""
        for direction in ("receive", "send"):
            if not keys.has(MAC, direction):
                self._tell("key missing", key=f"zone/{self.partner.name}/mac-{direction}")
                return UNAVAILABLE
        try:
            good = await keys.verify(message, self._clock.monotonic())
        except HsmError as error:
            return self._hsm_failed(error)
        if good:
            return ""
        self._tell("bad MAC", mti=message.mti)
        return SECURITY_ERROR

    async def _under_mac(self, message: Message, answer: Message) -> Message | None:
        """An answer that can't have its MAC is none; the partner reverses."""
        if not self.partner.needs_mac and not self.keys.carries_mac(message):
            return answer
        try:
            return await self.keys.sign(answer)
        except HsmError as error:
            self._hsm_failed(error)
        except (KeyStoreError, ValueError) as error:
            self._log.error("answer can't be sent", mti=answer.mti, error=str(error))
        return None

    # ------------------------------------------------------------ transactions

    async def _decided(self, message: Message) -> Message | None:
        translator = self._translator
        try:
            asked = translator.asked(message, self._clock.local(), self._ratio)
        except Untranslatable as error:
            self._tell("message refused", path=error.path, problem=error.what)
            return translator.refusal(message, error.response_code)
        problem = self._not_permitted(asked)
        if problem:
            self._alarm("partner not permitted", problem=problem)
            return translator.refusal(message, NOT_PERMITTED)
        block = self._block(asked)
        if asked.pin_block and block is None:
            self._tell("key missing", key=f"zone/{self.partner.name}/pin-receive")
            return translator.refusal(message, PIN_UNAVAILABLE)
        named = None if asked.original is None else Original(*asked.original)
        origin = Origin(self.partner.name, asked.acquirer, message.mti, asked.sent, message.fields, named)
        decision = await self._decider.decide(
            asked.message, asked.operation, origin, block, is_private=self._is_private
        )
        if decision is None:
            return None
        if decision.what:
            path = translator.path_of(asked.operation, decision.path)
            self._tell("message refused", path=path, problem=decision.what)
        if not decision.body:
            return translator.refusal(message, decision.code)
        return translator.answer(message, decision.body)

    def _not_permitted(self, asked: Asked) -> str:
        """Why the partner may not say this, or empty."""
        partner = self.partner
        acquirers = [asked.acquirer] + ([] if asked.original is None else [asked.original.acquirer])
        if any(one.lstrip("0") not in partner.acquirers for one in acquirers):
            return "another's acquirer"
        if asked.operation not in self._operations:
            return f"operation {asked.operation}"
        acceptor = asked.message.get("42")
        if not isinstance(acceptor, str):
            return ""  # incomplete: that is said by whoever decides
        own = self._decider.acceptors
        if own.get(acceptor):
            return "acceptor blocked"
        if partner.acceptors:
            return "" if acceptor in partner.acceptors else "another's acceptor"
        return "another's acceptor" if acceptor in own or acceptor in self._others.acceptors else ""

    def _block(self, asked: Asked) -> ZoneBlock | None:
        if not asked.pin_block or not self.mapping.pin_format:
            return None
        now = self._clock.monotonic()
        block = _Block(self.keys, asked.pin_block, PIN_FORMATS[self.mapping.pin_format], now)
        return block if block.under() else None

    def _ratio(self, local_date: str) -> int:
        """Rial that a point pays on a local date; of one that is none, today's: it is refused later."""
        today = self._clock.local().date()
        try:
            day = dated(local_date, today)
        except ValueError:
            day = today
        return self._program.on(day.toordinal()).rial_per_redeemed_point

    # ------------------------------------------------------------ 0800

    async def _network(self, message: Message) -> Message | None:
        network = self.mapping.network
        if self.keys.is_change(message):
            return await self._take_key(message)
        code = message.get(network.code_field)
        if self.keys.carries_mac(message):
            refused = await self._mac_refused(message)
            if refused:
                return self._translator.refusal(message, refused)
        known = code in (network.sign_on, network.sign_off, network.echo)
        if code in (network.sign_on, network.sign_off):
            self._log.info("partner signed on" if code == network.sign_on else "partner signed off")
        answer = self._translator.refusal(message, APPROVED if known else INVALID_TRANSACTION)
        fields = dict(answer.fields)
        if isinstance(code, str):
            fields[network.code_field] = code
        answer = Message(answer.mti, fields)
        return await self._under_mac(message, answer) if self.keys.carries_mac(message) else answer

    async def _take_key(self, message: Message) -> Message | None:
        try:
            answer = await self.keys.take(message, self._clock.monotonic())
        except HsmError as error:
            self._hsm_failed(error)
            return None
        code = answer.text(RESPONSE_CODE)
        if code == self.mapping.response_codes[APPROVED]:
            told = answer.text(self.mapping.network.key_field)
            self._log.info("zone key taken", check_value=told)
        else:
            self._alarm("zone key refused", response_code=code)
        return answer

    async def change_key(self, kind: Kind) -> KeyVersion:
        """Change our sending key over one of the partner's lines. Raises ZoneKeyError."""
        where = f"partner {self.partner.name}, new {kind.name} key"
        peers = [peer for peer in self.peers() if peer.is_up]
        if self._is_blocked or not peers:
            why = "it is blocked" if self._is_blocked else "no line to it is up; wait until it connects"
            raise ZoneKeyError(f"{where}: {why}")
        if not self.keys.has_zone_key():
            name = f"zone/{self.partner.name}/zmk"
            raise ZoneKeyError(f"{where}: there is no {name}; vafa keys ceremony {name}")
        self._stan = self._stan % LAST_STAN + 1
        stamp = {**sent_at(self._clock.local(), self.mapping), STAN: f"{self._stan:06d}"}
        try:
            added = await self.keys.change(kind, peers[-1], stamp, self._clock.monotonic())
        except (LinkError, HsmError, KeyStoreError, ValueError) as error:
            raise ZoneKeyError(f"{where}: {error}; the key so far stays in use") from None
        self._log.info(
            "zone key changed", kind=kind.name, version=added.version, check_value=added.check_value
        )
        return added

    async def change_old_keys(self) -> None:
        """Change the sending keys that are older than the settings allow."""
        hours = self.partner.change_keys_hours
        if not hours or self._is_blocked:
            return
        now, at = self._clock.local(), self._clock.monotonic()
        for kind in KINDS:
            since = self.keys.sending_since(kind)
            if since is None or now - since < timedelta(hours=hours):
                continue
            if at < self._change_again_at.get(kind, 0.0):
                continue
            self._change_again_at[kind] = at + CHANGE_AGAIN_S
            try:
                await self.change_key(kind)
            except ZoneKeyError as error:
                self._log.error("zone key not changed", kind=kind.name, error=str(error))

    def missing_keys(self) -> tuple[str, ...]:
        """Names of the keys without which the partner is refused."""
        if not self.partner.needs_mac:
            return ()
        return tuple(
            f"zone/{self.partner.name}/mac-{direction}"
            for direction in ("receive", "send")
            if not self.keys.has(MAC, direction)
        )

    # ------------------------------------------------------------ told

    def told_by_link(self, what: str, why: str) -> None:
        """What the link has to say of a line."""
        self._tell(what, reason=why)

    def _hsm_failed(self, error: HsmError) -> str:
        self._tell("HSM failed", error=str(error))
        return UNAVAILABLE if error.fault in (Fault.UNAVAILABLE, Fault.UNSUPPORTED) else MALFUNCTION

    def _tell(self, what: str, **details: str | int) -> None:
        """A warning; of a partner that makes the same mistake all day, a few."""
        left_out = self._allowance.take(self._clock.monotonic())
        if left_out is not None:
            self._log.warning(what, left_out=left_out, **details)

    def _alarm(self, what: str, **details: str | int) -> None:
        self._log.error(what, alarm=True, **details)


def sent_at(now: datetime, mapping: PartnerMapping) -> dict[str, str]:
    """The time of sending as the partner's messages have it. now: with its zone."""
    at = now if mapping.identity.clock is PartnersClock.LOCAL else now.astimezone(UTC)
    return {mapping.identity.sent: at.strftime("%y%m%d%H%M%S")[-mapping.sent_digits :]}


def _operations(partner: Partner, mapping: PartnerMapping) -> frozenset[str]:
    """What the partner may ask for. It may always take back."""
    return frozenset({REVERSAL, *(partner.operations or (one.name for one in mapping.operations))})


class _Block:
    """A PIN block under one of the keys that the partner sends under."""

    def __init__(self, keys: ZoneKeys, block: bytes, pin_format: PinFormat, now: float) -> None:
        self._keys = keys
        self._block = block
        self._format = pin_format
        self._now = now

    def __repr__(self) -> str:
        return "_Block(hidden)"

    def under(self) -> tuple[ZonePin, ...]:
        return tuple(ZonePin(key, self._block, self._format) for key in self._keys.pin_keys(self._now))

    def came_under(self, key: Key) -> None:
        self._keys.pin_came_under(key, self._now)
