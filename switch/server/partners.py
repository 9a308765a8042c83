"""All partners of a switch: a listener for each, its keys, what is asked of a running switch about them.

Composition only: messages are `partner_link`'s, lines `switch.link`'s. What an operator asks for comes as a
file in the data directory, counts once, and is answered with another one.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

from switch import iso8583
from switch.defaults import write_private
from switch.handshakes import Allowance, Handshakes
from switch.hsm import KeyStoreError
from switch.hsm.port import Hsm
from switch.keys import open_store
from switch.link.framing import framing_named
from switch.link.matching import MatchKey
from switch.link.network import NetworkMessages
from switch.link.server import ServerSettings
from switch.link.stream import Peer as LinePeer
from switch.link.stream import Server
from switch.partners.mapping import ACQUIRER, STAN
from switch.server.log import Log
from switch.server.partner_files import PartnerFiles, Served, stamp
from switch.server.partner_link import Clock, Decider, Others, PartnerLink
from switch.server.zone_keys import KINDS, ZoneKeyError, ZoneKeys, ZoneProfile
from switch.settings import Partner, Settings, SettingsError
from switch.tls import Role, peer_of

LISTEN_BACKLOG = 64  # a bank opens a few lines
# How often it is looked whether an operator asked for something, and whether a key has become old.
INTERVAL_S = 1.0
# In the data directory: PARTNER.KIND asks for a new sending key, PARTNER.KIND.done says what became of it.
CHANGES = "zone-changes"
DONE = ".done"
# In the data directory: a file with a partner's name blocks it.
BLOCKED = "blocked-partners"


class Entrance(NamedTuple):
    """Where one partner connects: bound, not listening yet; its TLS, if any."""

    listening: socket.socket
    context: ssl.SSLContext | None


class _Open(NamedTuple):
    link: PartnerLink
    server: Server
    listening: asyncio.Server | None
    handshakes: Handshakes | None


class Partners:
    """The partners of the settings. files: what these say. Raises KeysError."""

    def __init__(
        self,
        settings: Settings,
        files: PartnerFiles,
        hsm: Hsm,
        decider: Decider,
        clock: Clock,
        log: Log,
    ) -> None:
        self._directory = settings.data / CHANGES
        self._blocked = settings.data / BLOCKED
        self._log = log
        self._open: list[_Open] = []
        ours = iso8583.load("vafa")
        program = settings.program.rules
        self._links: list[PartnerLink] = []
        self._files = files
        self._key_store = settings.hsm.key_store
        self._key_store_seen = stamp(self._key_store)
        for partner, mapping in files.served:
            network = mapping.network
            profile = ZoneProfile(
                network.key_change,
                network.code_field,
                network.key_field,
                network.mti,
                mapping.response_codes,
            )
            keys = ZoneKeys(partner.name, mapping.dialect, hsm, open_store(settings), profile)
            others = _others(partner, files.served)
            self._links.append(
                PartnerLink(partner, mapping, keys, ours, decider, program, others, clock, log)
            )

    async def listen(self, entrances: Sequence[Entrance]) -> None:
        """Accept partners from now on. entrances: in the order of the settings."""
        for link, entrance in zip(self._links, entrances, strict=True):
            partner = link.partner
            link.block((self._blocked / partner.name).exists())
            server = Server(
                _link_settings(link),
                link.answer,
                maximum_connections=partner.listener.max_connections,
                admit=_admission(link, self._log),
                report=link.told_by_link,
            )
            link.peers = lambda server=server: server.peers  # type: ignore[misc]
            listening, handshakes = None, None
            if entrance.context is None:
                listening = await asyncio.get_running_loop().create_server(
                    server.protocol, sock=entrance.listening, backlog=LISTEN_BACKLOG
                )
            else:
                entrance.listening.listen(LISTEN_BACKLOG)
                handshakes = _handshakes(entrance.context, partner, server, self._log)
                handshakes.serve(entrance.listening)
            self._open.append(_Open(link, server, listening, handshakes))
            self._log.info(
                "partner listening",
                partner=partner.name,
                host=partner.listener.host,
                port=entrance.listening.getsockname()[1],
                tls=entrance.context is not None,
                blocked=link.is_blocked,
            )
            for name in link.missing_keys():
                self._log.error("key missing", alarm=True, partner=partner.name, key=name)

    async def run(self) -> None:
        """For ever: what files say now; changes of keys, by the clock and as an operator asks."""
        if not self._links:
            return
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self._follow_files()
            self._follow_key_store()
            for link in self._links:
                link.block((self._blocked / link.partner.name).exists())
                await self._change_as_asked(link)
                await link.change_old_keys()

    async def stop(self) -> None:
        """Accept nobody any more and bring every line to its end."""
        for one in self._open:
            if one.listening is not None:
                one.listening.close()
            if one.handshakes is not None:
                one.handshakes.close()
        await asyncio.gather(*(one.server.stop() for one in self._open))

    async def _follow_files(self) -> None:
        """Take what the settings and mappings say now into use: all of it, or nothing."""
        if not self._files.has_changed():
            return
        before = {one.partner.name: one for one in self._files.served}
        try:
            served = await asyncio.to_thread(self._files.read)
        except SettingsError as error:
            self._log.error("partners' settings not usable", alarm=True, reason=str(error))
            return
        by_name = {one.partner.name: one for one in served}
        for name in before.keys() ^ by_name.keys():
            self._log.warning("partner's settings wait for a start", partner=name, what="name")
        for link in self._links:
            now = by_name.get(link.partner.name)
            if now is None:
                continue
            link.use(*now, _others(now.partner, served))
            waiting = link.waits_for_a_start(*now)
            if waiting:
                what = ", ".join(waiting)
                self._log.warning("partner's settings wait for a start", partner=now.partner.name, what=what)
        self._log.info("partners' settings in force", partners=[link.partner.name for link in self._links])

    def _follow_key_store(self) -> None:
        """Take keys that `vafa keys` made or ended into use."""
        seen = stamp(self._key_store)
        if seen == self._key_store_seen:
            return
        self._key_store_seen = seen
        for link in self._links:
            try:
                link.keys.reload()
            except KeyStoreError as error:
                self._log.error("key store not usable", alarm=True, reason=str(error))
                return
        self._log.info("partners' keys in force")

    async def _change_as_asked(self, link: PartnerLink) -> None:
        for kind in KINDS:
            asked = self._directory / f"{link.partner.name}.{kind.name}"
            try:
                asked.unlink()  # it counts once
            except OSError:
                continue
            try:
                added = await link.change_key(kind)
            except ZoneKeyError as error:
                self._log.error("zone key not changed", partner=link.partner.name, error=str(error))
                outcome = {"error": str(error)}
            else:
                outcome = {"version": str(added.version), "check_value": added.check_value}
            try:
                write_private(asked.with_name(asked.name + DONE), json.dumps(outcome) + "\n")
            except OSError as error:
                self._log.error("outcome not written", partner=link.partner.name, error=error.strerror)


def _others(partner: Partner, served: Sequence[Served]) -> Others:
    return Others(
        frozenset(
            acceptor
            for one in served
            if one.partner.name != partner.name
            for acceptor in one.partner.acceptors
        )
    )


def _link_settings(link: PartnerLink) -> ServerSettings:
    partner, mapping = link.partner, link.mapping
    limits = partner.listener
    codes = mapping.response_codes
    return ServerSettings(
        codec=link.codec,
        framing=framing_named(partner.framing),
        network=NetworkMessages(
            mti=mapping.network.mti,
            code_field=mapping.network.code_field,
            echoed=("7", "11", "12", "24", "32", "33", "41", mapping.network.code_field),
            approved=(codes["00"],),
            unavailable=codes["91"],
            failed=codes["96"],
        ),
        key=MatchKey((ACQUIRER, STAN, mapping.identity.sent), (STAN, mapping.identity.sent)),
        max_frame_bytes=limits.max_frame_bytes,
        max_at_handler=limits.max_in_flight,
        idle_timeout_s=float(limits.idle_timeout_s),
        frame_timeout_s=float(limits.frame_timeout_s),
        answer_network=False,  # sign-on and echo carry MACs too
        answer_keep_alives=True,
    )


def _admission(link: PartnerLink, log: Log) -> Callable[[LinePeer], bool]:
    """Whether a line is the partner's: where certificates are asked for, by what its one says."""
    partner = link.partner

    def admit(peer: LinePeer) -> bool:
        if partner.listener.tls_clients is None:
            return True
        holder = peer_of(peer.certificate)
        if holder is not None and (holder.role, holder.name) == (Role.PARTNER, partner.name):
            return True
        log.error(
            "partner not permitted",
            alarm=True,
            partner=partner.name,
            peer=peer.name,
            problem="another's certificate",
        )
        return False

    return admit


def _handshakes(context: ssl.SSLContext, partner: Partner, server: Server, log: Log) -> Handshakes:
    lines = Allowance()

    def failed(peer: str, reason: str) -> None:
        left_out = lines.take(asyncio.get_running_loop().time())
        if left_out is not None:
            log.warning(
                "TLS handshake failed", partner=partner.name, peer=peer, reason=reason, left_out=left_out
            )

    return Handshakes(context, float(partner.listener.frame_timeout_s), server.protocol, failed)
