"""Where `vafa keys` works: the HSM, the key store, the officers and the sealed log of one data directory.

Every change is agreed to by two officers and written into the log before it is stored; a refusal changes
nothing. Only check values are shown, never a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from switch.hsm import InProcessHsm, KeyNotFound, KeyReused, KeyState, KeyStore, KeyStoreError, KeyVersion
from switch.hsm.port import ExportedKey, Fault, Hsm, HsmError, Key, KeyAlgorithm, KeyUse
from switch.hsm_sim.audit import AuditError, AuditEvent, AuditLog
from tools.cli import CommandError, ExitCode
from tools.keys_inject import Injection
from tools.keys_officers import OFFICERS_NEEDED, Change, Officers

LOG_KEY = "keys/log"
LOG_FILE = "keys.log"
OFFICERS_FILE = "officers.json"
LOG_KEY_PARTS = 4  # MACs of 8 bytes that make the log's 32-byte seal key
OFFICERS_CHANGED = ("officer-added", "officer-removed")
UNDONE = "-undone"  # behind what was logged and could not be stored
OFFERED, LOADED = "inject-offered", "injected"
# A terminal may have sent what never arrived, and one that lost its storage starts anew: the first counter
# it gets is the next multiple of this above all that the switch has seen and all that was ever offered.
COUNTER_STEP = 1 << 16
LAST_COUNTER = 0xFFFF0000

_EXPORTED_NAME = re.compile(r"zone/[^/]+/(?:pin|mac)-(?:send|receive)")
# Keys that other keys or records hang on, by the beginning of their names, and what to do instead.
NOT_REPLACED = {
    "bdk/": "its id is in all its terminals' serials: generate one with a new id and register terminals with"
    " that; if somebody knows the key, revoke it with --force, generate it again, inject all its terminals",
    "pin/verifier": "all members' PINs are verified under it; revoke it if somebody knows it, generate it"
    " again: members set new PINs",
    "pin/value": "the PVVs on the cards were made under it: issue new cards",
    "card/master": "the keys in the members' cards come from it: issue new cards",
    "transport/": "its terminal holds the same one since it was flashed; see docs/keys.md to change both",
    "ledger/checkpoint": "the checkpoints written so far carry its MAC: it stays",
    LOG_KEY: "the log's seals are made under it: it stays",
}
NOT_REVOKED = ("ledger/checkpoint", LOG_KEY)

Result = TypeVar("Result")
Record = dict[str, Any]


class KeyRoom:
    """Opened for one command; a second one is refused meanwhile. Raises CommandError for whatever an officer
    can act on. `is_serving`: a switch runs with these keys."""

    def __init__(
        self, hsm: Hsm, store: KeyStore, log: AuditLog, directory: Path, *, is_serving: bool
    ) -> None:
        self.hsm = hsm
        self.store = store
        self.is_serving = is_serving
        self._log = log
        self._log_path = directory / LOG_FILE
        records = self.log_records()
        self._check_store(records)
        digests = [str(one["file"]) for one in records if one["what"] in OFFICERS_CHANGED]
        self.officers = Officers(directory / OFFICERS_FILE, digests[-1] if digests else None)

    @classmethod
    async def open(cls, hsm: Hsm, store: KeyStore, directory: Path, *, is_serving: bool = False) -> KeyRoom:
        """The room of a data directory; makes the log and its key when there are none."""
        if not store.versions(LOG_KEY):
            _refuse_without_key(directory / LOG_FILE)
            made = await ask(hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
            with _storing():
                store.add(LOG_KEY, made, KeyAlgorithm.AES_128, ())
                store.save()
        with _storing():
            key = store.key(LOG_KEY)
        parts = [
            await ask(hsm.mac_generate(key, b"seal key of the key log %d" % i)) for i in range(LOG_KEY_PARTS)
        ]
        log = _opened(directory / LOG_FILE, b"".join(parts))
        try:
            return cls(hsm, store, log, directory, is_serving=is_serving)
        except BaseException:
            log.close()
            raise

    def close(self) -> None:
        self._log.close()

    def _check_store(self, records: Iterable[Record]) -> None:
        """Keys that officers are said to have made are in the log, and what was revoked stays so."""
        made: dict[tuple[str, str], str] = {}
        revoked: set[tuple[str, str]] = set()
        for record in records:
            if record["what"] == "export" or "key" not in record:
                continue
            version = record["key"], record["version"]
            if record["what"].startswith("revoke"):
                (revoked.discard if record["what"].endswith(UNDONE) else revoked.add)(version)
            else:
                made[version] = record["check_value"]
        for known in [one for name in self.store.names() for one in self.store.versions(name)]:
            version = known.name, str(known.version)
            if len(known.officers) >= OFFICERS_NEEDED and made.get(version) != known.check_value:
                raise _tampered(self._log_path, f"it knows nothing of {known.name} v{known.version}")
            if version in revoked and known.state is not KeyState.REVOKED:
                # A stop between log and store, or somebody's hand: it was revoked.
                with _storing():
                    self.store.revoke(known.name, known.version)
                    self.store.save()

    def record(self, what: str, officers: Sequence[str], **details: str) -> None:
        """Write one line of the log: who did what to which key. Durable when it returns."""
        named = {f"officer_{number}": name for number, name in enumerate(officers, 1)}
        try:
            self._log.record(
                AuditEvent(what, {name: _escaped(one) for name, one in {**details, **named}.items()}),
                datetime.now(UTC),
            )
        except AuditError as error:
            raise CommandError(
                str(error), ExitCode.CONFIGURATION, "nothing was changed; make room on the disk"
            ) from None

    def log_records(self) -> list[Record]:
        """What the log says, the oldest first; it was verified when the room was opened."""
        lines = self._log_path.read_text("ascii").splitlines()
        return [
            {name: value if name == "n" else _unescaped(value) for name, value in json.loads(line).items()}
            for line in lines
        ]

    # ------------------------------------------------------------ changes

    def change_officers(self, what: str, change: Change) -> None:
        """Officers as `change` has them; they count from the log's line on."""
        self.officers.stage(change)
        self.record(what, change.agreed, name=", ".join(change.names), file=change.digest)
        self.officers.adopt()

    def is_active(self, name: str) -> bool:
        """Whether a name has a key that is used."""
        return any(version.state is KeyState.ACTIVE for version in self.store.versions(name))

    def check_replaceable(self, name: str) -> None:
        """That nothing hangs on the active version, if there is one. Raises CommandError."""
        for prefix, instead in NOT_REPLACED.items():
            if name.startswith(prefix) and (self.is_active(name) or name == LOG_KEY):
                raise CommandError(f"{name} can't be replaced", ExitCode.USAGE, instead)

    async def generate(
        self, name: str, use: KeyUse, algorithm: KeyAlgorithm, officers: Sequence[str], what: str
    ) -> KeyVersion:
        """A new version of a name, made in the HSM. Zone keys can be given to the partner; all others stay
        in the HSM for good."""
        exportable = _EXPORTED_NAME.fullmatch(name) is not None
        key = await ask(self.hsm.generate_key(use, algorithm, exportable=exportable))
        return self._keep(what, name, key, algorithm, officers)

    async def take(
        self,
        name: str,
        block: str,
        under: str | None,
        use: KeyUse,
        algorithm: KeyAlgorithm,
        officers: Sequence[str],
    ) -> KeyVersion:
        """A new version of a name out of a partner's key block, or of the HSM's own token (under: None).
        algorithm: as agreed; its length is hidden in a block."""
        if under is None:
            key = Key(block, use, await ask(self.hsm.check_value(Key(block, use, ""))))
            return self._keep("import", name, key, algorithm, officers)
        key = await ask(self.hsm.import_key(block, self.key(under), use))
        return self._keep("import", name, key, algorithm, officers, under=under)

    async def give(self, name: str, under: str, officers: Sequence[str]) -> ExportedKey:
        """The active version as a block for a partner."""
        exported = await ask(self.hsm.export_key(self.key(name), self.key(under)))
        self.record("export", officers, key=name, under=under, check_value=exported.check_value)
        return exported

    def check_forming(self) -> None:
        """That this HSM takes components here. Raises CommandError."""
        if not isinstance(self.hsm, InProcessHsm):
            raise CommandError(
                "this HSM takes key components at its own console only",
                ExitCode.CONFIGURATION,
                "form the key there and take its token: vafa keys import NAME --token",
            )

    def form(
        self,
        name: str,
        use: KeyUse,
        algorithm: KeyAlgorithm,
        components: Sequence[bytes],
        custodians: Sequence[str],
        officers: Sequence[str],
    ) -> KeyVersion:
        """A new version of a name out of its components."""
        assert isinstance(self.hsm, InProcessHsm)
        try:
            key = self.hsm.form_key(components, use, algorithm)
        except HsmError as error:
            told = refused(error)
            if error.fault is Fault.BAD_INPUT:
                told = CommandError(str(told), told.code, "nothing was made; begin again with new ones")
            raise told from None
        named = {f"custodian_{number}": one for number, one in enumerate(custodians, 1)}
        return self._keep("ceremony", name, key, algorithm, officers, **named)

    def revoke(self, name: str, version: int, officers: Sequence[str]) -> KeyVersion:
        """Never used again."""
        with _storing():
            revoked = self.store.revoke(name, version)
        self._save("revoke", revoked, officers)
        return revoked

    async def derive(
        self, terminal: str, initial_key_id: bytes, last_counter: int, officers: Sequence[str]
    ) -> Injection:
        """A terminal's initial key under its transport key, and the first KSN it may use; noted as offered.

        last_counter: the highest that the switch has seen of this terminal, 0 for none.
        """
        identifier = initial_key_id.hex().upper()
        offered = (one["ksn"] for one in self.log_records() if one["what"] == OFFERED)
        highest = max([last_counter, *(int(ksn[16:], 16) for ksn in offered if ksn.startswith(identifier))])
        counter = (highest // COUNTER_STEP + 1) * COUNTER_STEP
        if counter > LAST_COUNTER:
            raise CommandError(
                f"terminal {terminal} has used up its key serial numbers",
                ExitCode.CONFIGURATION,
                "register another initial_key_id for it",
            )
        base = self.key(f"bdk/{identifier[:8]}")
        exported = await ask(
            self.hsm.derive_initial_key(base, initial_key_id, self.key(f"transport/{terminal}"))
        )
        serial = f"{identifier}{counter:08X}"
        self.record(OFFERED, officers, terminal=terminal, ksn=serial, check_value=exported.check_value)
        return Injection(terminal, serial, exported)

    def key(self, name: str) -> Key:
        """The active version of a name."""
        with _storing():
            return self.store.key(name)

    def _keep(
        self, what: str, name: str, key: Key, algorithm: KeyAlgorithm, officers: Sequence[str], **details: str
    ) -> KeyVersion:
        with _storing():
            added = self.store.add(name, key, algorithm, officers)
        self._save(what, added, officers, algorithm=algorithm.name, **details)
        return added

    def _save(self, what: str, version: KeyVersion, officers: Sequence[str], **details: str) -> None:
        """First the log, then the store: nothing changes unlogged."""
        named = {"key": version.name, "version": str(version.version), "check_value": version.check_value}
        self.record(what, officers, **named, **details)
        try:
            with _storing():
                self.store.save()
        except CommandError:
            self.record(what + UNDONE, (), **named)
            raise


def _opened(path: Path, key: bytes) -> AuditLog:
    try:
        return AuditLog(path, key)
    except AuditError as error:
        if isinstance(error.__context__, BlockingIOError):
            raise CommandError(
                f"another `vafa keys` works in {path.parent}", ExitCode.CONFIGURATION, "wait for its end"
            ) from None
        raise _tampered(path, str(error)) from None
    except OSError as error:
        raise CommandError(
            f"{path}: can't be written ({error.strerror})", ExitCode.CONFIGURATION, "check its permissions"
        ) from None


def _refuse_without_key(path: Path) -> None:
    if path.exists() and path.stat().st_size:
        raise _tampered(path, f"its key {LOG_KEY} is gone from the key store")


# The log takes ASCII only; names are in any letters.
def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _unescaped(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape")


def _tampered(path: Path, what: str) -> CommandError:
    return CommandError(
        f"{path}: {what}",
        ExitCode.NEGATIVE,
        "somebody changed the log of key changes: find out who, and put the true copy back",
    )


_REMEDIES = {
    Fault.UNKNOWN_KEY: "this HSM has another master key than the one the key was made under",
    Fault.KEY_DAMAGED: "the key block was changed on its way, or it is under another zone key",
    Fault.KEY_USE: "use a key and a name that are meant for this",
    Fault.NOT_AUTHORISED: "two officers have to open the HSM's authorised state first",
    Fault.BAD_INPUT: "give the block as the partner gave it, in one line",
    Fault.UNSUPPORTED: "do it at the HSM's own console",
    Fault.UNAVAILABLE: "check that the HSM runs and where the settings say it is",
}


async def ask(operation: Coroutine[Any, Any, Result]) -> Result:
    """An HSM operation's result, its failure as an error that an officer can act on."""
    try:
        return await operation
    except HsmError as error:
        raise refused(error) from None


def refused(error: HsmError) -> CommandError:
    code = ExitCode.NETWORK if error.fault is Fault.UNAVAILABLE else ExitCode.NEGATIVE
    return CommandError(f"the HSM refused: {error}", code, _REMEDIES.get(error.fault, ""))


@contextmanager
def _storing() -> Iterator[None]:
    """What the key store refuses, as an error that an officer can act on."""
    try:
        yield
    except KeyReused as error:
        raise CommandError(
            str(error),
            ExitCode.NEGATIVE,
            "nothing was changed; have a fresh key made. Keys are told by 6-digit check values: if this is"
            " surely another key, it is the one in 16 million that has the same, and a fresh one helps too",
        ) from None
    except KeyStoreError as error:
        again = "" if isinstance(error, KeyNotFound) else "nothing was changed; begin again"
        raise CommandError(str(error), ExitCode.CONFIGURATION, again) from None
