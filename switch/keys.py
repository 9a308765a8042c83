"""The switch's keys: opens the HSM and the key store that the settings name, finds the keys by their names.

Keys stay references; nothing here sees a clear one. Who makes keys is `switch.defaults` and `vafa keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from switch.hsm import KeyState, KeyStore, KeyStoreError
from switch.hsm.port import Capability, Hsm, HsmError, Key
from switch.settings import IN_PROCESS, OFF, PAYSHIELD, REQUIRED, HsmSettings, Settings, Terminal

if TYPE_CHECKING:
    import ssl

PIN_VERIFIER = "pin/verifier"
CARD_VALUE = "card/value"
CHECKPOINT = "ledger/checkpoint"
CARD_MASTER = "card/master"
BDK_ID_BYTES = 4  # the first ones of an initial key id


class KeysError(Exception):
    """HSM or keys can't be used. The text says what is wrong and what to do; it holds no key."""


def base_key_name(initial_key_id: bytes) -> str:
    """Name of the BDK that a terminal's keys come from."""
    return f"bdk/{initial_key_id[:BDK_ID_BYTES].hex().upper()}"


def transport_key_name(terminal: str) -> str:
    """Name of the key that a terminal's initial key travels under."""
    return f"transport/{terminal}"


@dataclass(frozen=True, slots=True)
class SwitchKeys:
    """What a running switch works with. base_keys: by BDK id (4 bytes). card_values: what the cards' values
    may be made with, the newest first; empty when nobody asks for them. card_masters: what the keys of chip
    and contactless cards come from, the newest first; empty when there is none."""

    base_keys: Mapping[bytes, Key]
    pin_verifier: Key
    checkpoint: Key
    card_values: tuple[Key, ...] = ()
    card_masters: tuple[Key, ...] = ()

    @classmethod
    def of(cls, store: KeyStore, terminals: Iterable[Terminal], *, checks_cards: bool = False) -> SwitchKeys:
        """The keys that these terminals, and cards with values, need. Raises KeysError, which names the first
        one missing."""
        try:
            names = {
                one.initial_key_id[:BDK_ID_BYTES]: base_key_name(one.initial_key_id) for one in terminals
            }
            base_keys = {bdk_id: store.key(name) for bdk_id, name in names.items()}
            cards = card_value_keys(store) if checks_cards else ()
            return cls(
                base_keys, store.key(PIN_VERIFIER), store.key(CHECKPOINT), cards, card_master_keys(store)
            )
        except KeyStoreError as error:
            raise KeysError(str(error)) from None


def base_keys_of(
    store: KeyStore, terminals: Iterable[Terminal], known: Mapping[bytes, Key]
) -> tuple[dict[bytes, Key], set[str]]:
    """The base keys of terminals that were registered meanwhile: those known, which stay, and new ones; and
    the names of those that the key store hasn't."""
    base_keys, missing = dict(known), set()
    for bdk_id in {one.initial_key_id[:BDK_ID_BYTES] for one in terminals} - known.keys():
        try:
            base_keys[bdk_id] = store.key(base_key_name(bdk_id))
        except KeyStoreError:
            missing.add(base_key_name(bdk_id))
    return base_keys, missing


def card_value_keys(store: KeyStore) -> tuple[Key, ...]:
    """The key that cards get their verification values from now, then those of cards made before, for a card
    lives for years. Raises KeysError."""
    try:
        made_with = store.key(CARD_VALUE)
    except KeyStoreError as error:
        raise KeysError(
            f'{error}, or set program.card_values = "{OFF}" when the cards of this program have no'
            " verification value: a made-up track 2 then passes for a card"
        ) from None
    before = [one.key for one in reversed(store.versions(CARD_VALUE)) if one.state is KeyState.RETIRED]
    return made_with, *before


def card_master_keys(store: KeyStore) -> tuple[Key, ...]:
    """What the keys of chip and contactless cards come from: the one that cards are made with now, then those
    of cards that are still out. Empty when there is none."""
    if CARD_MASTER not in store.names():
        return ()
    before = [one.key for one in reversed(store.versions(CARD_MASTER)) if one.state is KeyState.RETIRED]
    return store.key(CARD_MASTER), *before


def open_store(settings: Settings) -> KeyStore:
    """The key store that the settings name. Raises KeysError."""
    try:
        return KeyStore.load(settings.hsm.key_store)
    except KeyStoreError as error:
        raise KeysError(str(error)) from None


def _unheard(why: str) -> None:
    """For whoever does not ask how the HSM's connections are."""


async def open_hsm(settings: Settings, on_change: Callable[[str], None] = _unheard) -> Hsm:
    """The HSM that the settings name, connected. Raises KeysError, also for a simulated one in production.

    on_change: of an HSM behind a network, why its last connection was lost, and "" when there is one again.
    """
    hsm = await _connected(settings.hsm, on_change)
    try:
        status = await hsm.status()
    except HsmError as error:
        await hsm.close()
        raise KeysError(f"{settings.source}: hsm.adapter: {error}; check [hsm]") from None
    if status.simulated and settings.is_production:
        await hsm.close()
        raise KeysError(
            f"{settings.source}: the HSM is a simulated one ({status.firmware}); production needs a real box:"
            " set [hsm]"
        )
    return hsm


def check_capable(settings: Settings, hsm: Hsm) -> None:
    """That the HSM can do what the program asks for. Raises KeysError."""
    if settings.program.checks_cards and Capability.CARD_VALUE not in hsm.capabilities:
        raise KeysError(
            f'{settings.source}: hsm.adapter "{settings.hsm.adapter}" can\'t check card verification values,'
            f' and program.card_values is "{REQUIRED}"; use another HSM, or set it to "{OFF}": a made-up'
            " track 2 then passes for a card"
        )


async def _connected(settings: HsmSettings, on_change: Callable[[str], None]) -> Hsm:
    # Adapters, and what they stand on, are imported where one is opened: most commands open none.
    if settings.adapter == IN_PROCESS:
        from switch.hsm import InProcessHsm

        return InProcessHsm(read_master_key(settings.master_key_file))
    if settings.adapter == PAYSHIELD:
        from switch.hsm import PayShieldHsm

        hsm = PayShieldHsm(
            settings.host,
            settings.port,
            tls=_tls(settings),
            connections=settings.connections,
            header_bytes=settings.header_bytes,
            timeout_s=settings.timeout_ms / 1000,
            master_key_id=settings.master_key_id,
            on_change=on_change,
        )
        try:
            await hsm.start()
        except HsmError as error:
            raise KeysError(f"{error}; check that the HSM runs there, or hsm.host and hsm.port") from None
        return hsm
    return _token(settings)


def _token(settings: HsmSettings) -> Hsm:
    from switch.hsm.pkcs11 import Pkcs11Hsm

    assert settings.module is not None
    assert settings.user_pin_file is not None
    user_pin = read_private(settings.user_pin_file, "hsm.user_pin_file").strip()
    return Pkcs11Hsm(settings.module, settings.token_label, user_pin, timeout_s=settings.timeout_ms / 1000)


def _tls(settings: HsmSettings) -> ssl.SSLContext | None:
    if settings.tls_ca is None:
        return None
    from switch import tls

    try:
        return tls.client_context(settings.tls_ca, settings.tls_certificate, settings.tls_key)
    except tls.TlsError as error:
        raise KeysError(str(error)) from None


@contextmanager
def checkpoint_mac(settings: Settings) -> Iterator[Callable[[bytes], bytes]]:
    """What the HSM does with the bytes of a checkpoint, for a tool without a running loop. Raises KeysError;
    the function raises HsmError."""
    import asyncio

    with asyncio.Runner() as runner:
        hsm = runner.run(open_hsm(settings))
        try:
            key = SwitchKeys.of(open_store(settings), ()).checkpoint
            yield lambda data: runner.run(hsm.mac_generate(key, data))
        finally:
            runner.run(hsm.close())


def read_master_key(path: Path) -> bytes:
    """The master key of the in-process adapter: 64 hexadecimal digits in a file of its own. Raises
    KeysError."""
    text = read_private(path, "hsm.master_key_file").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise KeysError(f"{path}: expected 64 hexadecimal digits; restore the file, no key opens without it")
    return key


def read_private(path: Path, setting: str) -> str:
    """A file that only its owner may read. Raises KeysError."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeysError(f"{path}: others may read it; chmod 600 {path.name}")
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise KeysError(f"{path}: can't be read ({error.strerror}); check {setting}") from None
    except UnicodeDecodeError:
        raise KeysError(f"{path}: is not text; check {setting}") from None
