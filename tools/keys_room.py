"""Where `vafa keys` works: the HSM, the key store, the officers and the sealed log of one data directory.

Every change is agreed to by two officers, stored, and written into the log; a refusal changes nothing. Only
check values are shown, never a key.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from switch.hsm import InProcessHsm, KeyNotFound, KeyStore, KeyStoreError, KeyVersion
from switch.hsm.port import ExportedKey, Fault, Hsm, HsmError, Key, KeyAlgorithm, KeyUse
from switch.hsm_sim.audit import AuditError, AuditEvent, AuditLog
from tools.cli import CommandError, ExitCode
from tools.keys_officers import Officers

LOG_KEY = "keys/log"
LOG_FILE = "keys.log"
OFFICERS_FILE = "officers.json"
LOG_KEY_PARTS = 4  # MACs of 8 bytes that make the log's 32-byte seal key
# A terminal that lost its counters begins anew above all that it may have used: at the next multiple.
COUNTER_STEP = 1 << 16
LAST_COUNTER = 0xFFFF0000

Result = TypeVar("Result")


class Injection(NamedTuple):
    """What a terminal is loaded with. serial: its first KSN, 24 hex digits."""

    terminal: str
    serial: str
    exported: ExportedKey


class KeyRoom:
    """Opened for one command. Raises CommandError for whatever an officer can act on."""

    def __init__(self, hsm: Hsm, store: KeyStore, officers: Officers, log: AuditLog, log_path: Path) -> None:
        self.hsm = hsm
        self.store = store
        self.officers = officers
        self._log = log
        self._log_path = log_path

    @classmethod
    async def open(cls, hsm: Hsm, store: KeyStore, directory: Path) -> KeyRoom:
        """The room of a data directory; makes the log's key when there is none."""
        try:
            key = store.key(LOG_KEY)
        except KeyNotFound:
            key = await _ask(hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
            _store(lambda: store.add(LOG_KEY, key, KeyAlgorithm.AES_128, ()))
            _store(store.save)
        parts = [
            await _ask(hsm.mac_generate(key, b"seal key of the key log %d" % i)) for i in range(LOG_KEY_PARTS)
        ]
        try:
            log = AuditLog(directory / LOG_FILE, b"".join(parts))
        except AuditError as error:
            raise CommandError(
                f"{directory / LOG_FILE}: {error}",
                ExitCode.CONFIGURATION,
                "somebody changed the log of key changes: find out who, and put the true copy back",
            ) from None
        return cls(hsm, store, Officers(directory / OFFICERS_FILE), log, directory / LOG_FILE)

    def close(self) -> None:
        self._log.close()

    def record(self, what: str, officers: Sequence[str], **details: str) -> None:
        """Write one line of the log: who did what to which key. Durable when it returns."""
        named = {f"officer_{number}": name for number, name in enumerate(officers, 1)}
        try:
            self._log.record(AuditEvent(what, {**details, **named}), datetime.now(UTC))
        except AuditError as error:
            raise CommandError(str(error), ExitCode.CONFIGURATION, "make room on the disk") from None

    def log_lines(self) -> list[str]:
        """The log's lines as they stand; they were verified when the room was opened."""
        return self._log_path.read_text("ascii").splitlines()

    # ------------------------------------------------------------ changes

    async def generate(
        self, name: str, use: KeyUse, algorithm: KeyAlgorithm, officers: Sequence[str], *, exportable: bool
    ) -> KeyVersion:
        """A new version of a name, made in the HSM."""
        key = await _ask(self.hsm.generate_key(use, algorithm, exportable=exportable))
        return self.keep("generate", name, key, algorithm, officers)

    async def take(
        self,
        name: str,
        block: str,
        under: str,
        use: KeyUse,
        algorithm: KeyAlgorithm,
        officers: Sequence[str],
    ) -> KeyVersion:
        """A new version of a name out of a partner's key block. algorithm: as agreed with the partner."""
        key = await _ask(self.hsm.import_key(block, self.key(under), use))
        return self.keep("import", name, key, algorithm, officers, under=under)

    async def give(self, name: str, under: str, officers: Sequence[str]) -> ExportedKey:
        """The active version as a block for a partner."""
        exported = await _ask(self.hsm.export_key(self.key(name), self.key(under)))
        self.record("export", officers, key=name, under=under, check_value=exported.check_value)
        return exported

    async def form(
        self,
        name: str,
        use: KeyUse,
        algorithm: KeyAlgorithm,
        components: Sequence[bytes],
        custodians: Sequence[str],
        officers: Sequence[str],
    ) -> KeyVersion:
        """A new version of a name out of its components."""
        if not isinstance(self.hsm, InProcessHsm):
            raise CommandError(
                "this HSM takes key components at its own console only",
                ExitCode.CONFIGURATION,
                "form the key there and import its token",
            )
        key = self.hsm.form_key(components, use, algorithm)
        return self.keep("ceremony", name, key, algorithm, officers, custodians=", ".join(custodians))

    def revoke(self, name: str, version: int, officers: Sequence[str]) -> KeyVersion:
        """Never used again."""
        revoked = _store(lambda: self.store.revoke(name, version))
        _store(self.store.save)
        self.record("revoke", officers, key=name, version=str(version), check_value=revoked.check_value)
        return revoked

    async def derive(self, terminal: str, initial_key_id: bytes, last_counter: int) -> Injection:
        """A terminal's initial key under its transport key, and the first KSN it may use.

        last_counter: the highest that the switch has seen of this terminal, 0 for none.
        """
        counter = 1 if last_counter == 0 else (last_counter // COUNTER_STEP + 1) * COUNTER_STEP
        if counter > LAST_COUNTER:
            raise CommandError(
                f"terminal {terminal} has used up its key serial numbers",
                ExitCode.CONFIGURATION,
                "register another initial_key_id for it",
            )
        base = self.key(f"bdk/{initial_key_id[:4].hex().upper()}")
        exported = await _ask(
            self.hsm.derive_initial_key(base, initial_key_id, self.key(f"transport/{terminal}"))
        )
        return Injection(terminal, (initial_key_id + counter.to_bytes(4, "big")).hex().upper(), exported)

    def key(self, name: str) -> Key:
        """The active version of a name."""
        return _store(lambda: self.store.key(name))

    def keep(
        self, what: str, name: str, key: Key, algorithm: KeyAlgorithm, officers: Sequence[str], **details: str
    ) -> KeyVersion:
        added = _store(lambda: self.store.add(name, key, algorithm, officers))
        _store(self.store.save)
        self.record(
            what,
            officers,
            key=name,
            version=str(added.version),
            algorithm=algorithm.name,
            check_value=added.check_value,
            **details,
        )
        return added


_REMEDIES = {
    Fault.UNKNOWN_KEY: "this HSM has another master key than the one the store was made under",
    Fault.KEY_DAMAGED: "the key block was changed on its way, or it is under another zone key",
    Fault.KEY_USE: "use a key and a name that are meant for this",
    Fault.NOT_AUTHORISED: "two officers have to open the HSM's authorised state first",
    Fault.BAD_INPUT: "check the block: one line, as the partner gave it",
    Fault.UNSUPPORTED: "do it at the HSM's own console",
    Fault.UNAVAILABLE: "check that the HSM runs and where the settings say it is",
}


async def _ask(operation: Coroutine[Any, Any, Result]) -> Result:
    """An HSM operation's result, its failure as an error that an officer can act on."""
    try:
        return await operation
    except HsmError as error:
        code = ExitCode.NETWORK if error.fault is Fault.UNAVAILABLE else ExitCode.NEGATIVE
        raise CommandError(f"the HSM refused: {error}", code, _REMEDIES.get(error.fault, "")) from None


def _store(change: Callable[[], Result]) -> Result:
    try:
        return change()
    except KeyStoreError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
