"""The switch's settings: one TOML file, checked whole before anything starts.

Tables first: each key is declared once with its kind and default. Keys and secrets are read here and
handed on;
they never appear in an error, a repr or a log. Nothing here opens sockets or databases.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from switch.link.framing import FramingNameError, framing_named
from switch.loyalty.limits import (
    AMOUNT,
    CARD,
    MEASURES,
    OPERATIONS,
    PERIODS,
    SCOPES,
    Checks,
    Limit,
)
from switch.loyalty.program import (
    CASH,
    CASH_PRICE,
    EXPIRIES,
    NONE,
    OTHER_UNITS,
    PROPORTIONAL,
    ROLLING,
    SLIDING,
    SPLIT_RETURNS,
    Rules,
)
from switch.loyalty.program import Program as LoyaltyProgram

if TYPE_CHECKING:
    from switch.ledger.opening import Place

SETTINGS_FILE = "switch.toml"
IN_PROCESS, PAYSHIELD, PKCS11 = "in-process", "payshield", "pkcs11"  # adapters of the HSM port
SQLITE, POSTGRES = "sqlite", "postgres"  # engines of the ledger
ALL_BUCKETS = (0, 255)  # of the ledger
REQUIRED, OFF = "required", "off"  # program.card_values
NEVER_POINTS = 999_999_999_999  # the largest redemption a message can carry: none is above it


class SettingsError(Exception):
    """A settings file that can't be used. The text says which file, line and key, what is wrong and what
    to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where terminals connect, and the limits that keep one peer from hurting the others.

    tls_certificate: lines are TLS; tls_clients: the authority whose certificates terminals must show;
    clear_codes: a one-time code may come in clear on a line without TLS.
    """

    host: str
    port: int
    max_connections: int
    max_frame_bytes: int
    max_in_flight: int
    idle_timeout_s: int
    frame_timeout_s: int
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_clients: Path | None = None
    clear_codes: bool = False


@dataclass(frozen=True, slots=True)
class Partner:
    """A bank or another network, with a listener of its own.

    mapping: a shipped one by name, or a file; dialect: the same, "" for the mapping's own; framing: by name,
    see `switch.link.framing`. acquirers: what its DE 32 may be; acceptors: what its DE 42 may be, none: all
    that belong to nobody else here; operations: what it may ask for, none: all that the mapping has.
    needs_mac: messages without a MAC are refused; blocked: all are. change_keys_hours: a sending key older
    than that is changed by 0800; 0: only when somebody says so.
    """

    name: str
    listener: Listener
    mapping: str
    dialect: str
    framing: str
    acquirers: tuple[str, ...]
    acceptors: tuple[str, ...]
    operations: tuple[str, ...]
    needs_mac: bool
    blocked: bool
    change_keys_hours: int


@dataclass(frozen=True, slots=True)
class Program:
    """The loyalty program. versions: its rules, see `switch.loyalty.program`; the rates are the first one's.

    Redemptions above pin_from_points need a PIN or a one-time code, also from a swiped card. pin_tries wrong
    PINs in a row lock; a code lives code_lifetime_s seconds and code_tries wrong tries. card_values: whether
    track 2 must carry the right card verification value, card_value_offset digits behind the service code;
    after card_tries wrong ones a swipe counts as a typed number. In code_period_s seconds a member is sent
    codes_per_member codes at most, and a terminal asks for codes_per_terminal. double_swipe_s,
    unique_receipts, limits: see `switch.loyalty.limits`. One person corrects by at most
    correction_alone_points a day without a second one.
    """

    name: str
    currency: str
    rial_per_earned_point: int
    rial_per_redeemed_point: int
    card_prefixes: tuple[str, ...]
    horizon_days: int
    pin_from_points: int = NEVER_POINTS
    pin_tries: int = 3
    code_lifetime_s: int = 120
    code_tries: int = 3
    hold_minutes: int = 60
    replaced_hours: int = 24
    versions: tuple[Rules, ...] = ()

    @property
    def rules(self) -> LoyaltyProgram:
        """All versions, the first one with the two rates."""
        first, *later = self.versions or (Rules(),)
        first = replace(
            first,
            rial_per_earned_point=self.rial_per_earned_point,
            rial_per_redeemed_point=self.rial_per_redeemed_point,
        )
        return LoyaltyProgram((first, *later), dict(self.units))

    card_values: str = REQUIRED
    card_value_offset: int = 0
    card_tries: int = 3
    codes_per_member: int = 5
    codes_per_terminal: int = 60
    code_period_s: int = 3600
    double_swipe_s: int = 0
    unique_receipts: bool = False
    correction_alone_points: int = 0
    limits: tuple[Limit, ...] = ()
    units: tuple[tuple[str, Rules], ...] = ()

    @property
    def checks(self) -> Checks:
        """What is looked at before an earn or a redemption is approved."""
        return Checks(self.limits, self.double_swipe_s * 1000, self.unique_receipts)

    @property
    def checks_cards(self) -> bool:
        return self.card_values == REQUIRED


@dataclass(frozen=True, slots=True)
class Terminal:
    """A registered terminal (DE 41) of an acceptor (DE 42). initial_key_id: BDK id and derivation id (8
    bytes) that its key serials begin with. acceptor_blocked: so are all terminals of its acceptor."""

    id: str
    acceptor: str
    blocked: bool
    initial_key_id: bytes
    acceptor_blocked: bool = False


@dataclass(frozen=True, slots=True)
class HsmSettings:
    """Where keys live. Of the last groups only those of the adapter count; a path that isn't given is None.

    in-process: master_key_file. payshield: host to tls_key. pkcs11: module to user_pin_file.
    """

    adapter: str
    key_store: Path
    master_key_file: Path
    host: str
    port: int
    connections: int
    header_bytes: int
    timeout_ms: int
    master_key_id: str
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    module: Path | None
    token_label: str
    user_pin_file: Path | None


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where the ledger is kept. url or url_file: PostgreSQL's connection string, which may hold a password.
    archive: a directory that every committed batch is copied to. buckets: first and last one that this
    process owns, of the ledger's 256; several processes share a PostgreSQL ledger."""

    engine: str = SQLITE
    buckets: tuple[int, int] = ALL_BUCKETS
    url: str = field(default="", repr=False)
    url_file: Path | None = None
    archive: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the switch is told. `data` is the directory that holds the ledger, or what goes with it."""

    source: Path
    environment: str
    data: Path
    listener: Listener
    program: Program
    hsm: HsmSettings
    terminals: tuple[Terminal, ...]
    seal_key: bytes = field(repr=False)
    directory_key: bytes = field(repr=False)
    registry: Path | None = None  # where the registry is; None: in `data`
    partners: tuple[Partner, ...] = ()
    ledger: LedgerSettings = LedgerSettings()

    def with_buckets(self, buckets: str = "") -> Settings:
        """The same for an owner of these buckets, "first-last"; empty: of those that it has. Raises
        SettingsError when a process with a part of the ledger can't be what the settings say."""
        ledger = self.ledger
        if buckets:
            try:
                ledger = replace(ledger, buckets=_buckets(buckets))
            except ValueError:
                raise SettingsError(
                    f"buckets {buckets}: first and last are expected, like 0-127; there are 0 to 255"
                ) from None
        if ledger.buckets == ALL_BUCKETS:
            return replace(self, ledger=ledger)
        if ledger.engine != POSTGRES:
            what = f'of a SQLite ledger one process owns all; use ledger.engine "{POSTGRES}", or leave it out'
        elif ledger.archive is not None:
            what = "ledger.archive would hold this part alone; let PostgreSQL archive, see docs/owners.md"
        else:
            return replace(self, ledger=ledger)
        raise SettingsError(f"{self.source}: ledger.buckets {ledger.buckets[0]}-{ledger.buckets[1]}: {what}")

    @property
    def is_production(self) -> bool:
        return self.environment == PRODUCTION

    @property
    def ledger_path(self) -> Path:
        return self.data / "ledger.sqlite"

    @property
    def ledger_place(self) -> Place:
        """Where the ledger is, ready to be opened."""
        from switch.ledger.opening import EngineKind, Place  # here: whoever needs no ledger starts quicker

        ledger = self.ledger
        return Place(EngineKind(ledger.engine), self.ledger_path, ledger.url, ledger.url_file)

    @property
    def checkpoint_path(self) -> Path:
        return self.data / "ledger.checkpoints"

    @property
    def owner_path(self) -> Path:
        """The socket where the other switches of a shared ledger find this one."""
        return self.data / "switch.sock"

    @property
    def registry_path(self) -> Path:
        """Merchants and terminals, changed while switches run."""
        return (self.registry or self.data) / "registry.jsonl"

    @property
    def registry_log_path(self) -> Path:
        """Every change of the registry, sealed."""
        return (self.registry or self.data) / "registry.log"

    @property
    def lock_path(self) -> Path:
        """Locked by the switch that serves this directory."""
        return self.data / "switch.lock"

    @property
    def quarantine_path(self) -> Path:
        """Where a switch notes what it decides, see `switch.server.quarantine`."""
        return self.data / "requests.under-way"

    @property
    def port_path(self) -> Path:
        """Where a running switch writes the port that it listens on."""
        return self.data / "switch.port"

    @property
    def code_outbox_path(self) -> Path:
        """Where a test switch leaves one-time codes instead of sending them."""
        return self.data / "codes.outbox"


# ---------------------------------------------------------------- what a file may hold


class _Key(NamedTuple):
    kind: Callable[[Any], Any]
    expected: str
    default: Any = None  # None: the key must be given


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _optional_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _buckets(value: Any) -> tuple[int, int]:
    if not isinstance(value, str) or not (found := re.fullmatch(r"(\d{1,3})-(\d{1,3})", value, re.ASCII)):
        raise ValueError
    first, last = int(found[1]), int(found[2])
    if not 0 <= first <= last <= ALL_BUCKETS[1]:
        raise ValueError
    return first, last


def _choice(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return check


def _integer(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError
        return value

    return check


def _hexadecimal(size: int) -> Callable[[Any], bytes]:
    def check(value: Any) -> bytes:
        if not isinstance(value, str) or not re.fullmatch(f"[0-9A-Fa-f]{{{2 * size}}}", value):
            raise ValueError
        return bytes.fromhex(value)

    return check


def _characters(size: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(f"[0-9A-Za-z]{{{size}}}", value):
            raise ValueError
        return value

    return check


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _prefixes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    for prefix in value:
        if not isinstance(prefix, str) or not re.fullmatch("[0-9]{1,12}", prefix):
            raise ValueError
    return tuple(value)


def _texts(pattern: str, *, may_be_empty: bool) -> Callable[[Any], tuple[str, ...]]:
    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not (value or may_be_empty):
            raise ValueError
        for text in value:
            if not isinstance(text, str) or not re.fullmatch(pattern, text):
                raise ValueError
        return tuple(value)

    return check


def _partner_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9A-Za-z_-]{1,32}", value):
        raise ValueError
    return value


def _initial_key_id(value: Any) -> bytes:
    return _hexadecimal(8)(value)


def _two_digits(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{2}", value):
        raise ValueError
    return value


def _day(value: Any) -> int:
    if isinstance(value, str):
        value = date.fromisoformat(value)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError
    return value.toordinal()


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{3}", value):
        raise ValueError
    return value


def _one_of(choices: Iterable[str]) -> str:
    return " or ".join(f'"{choice}"' for choice in choices)


SECRET = "hexadecimal digits"
CONNECTION = "a connection string (postgresql://user@host:port/database)"
UNTOLD = (SECRET, CONNECTION)  # what is wrong with these is told without what stands there
_POINTS = "a whole number from 0 to 999999999999"
_DAYS = "days, 0 to 36500"
# One version of a program's rules; those of [program] itself are version 1, [[program.versions]] change some.
RULES: dict[str, _Key] = {
    "rial_per_earned_point": _Key(_integer(1, 10**12), "a whole number from 1", 10_000),
    "points_per_step": _Key(_integer(1, 10**6), "a whole number from 1 to 1000000", 1),
    "smallest_purchase": _Key(_integer(0, 10**12), "rial, from 0", 0),
    "largest_award": _Key(_integer(0, NEVER_POINTS), f"{_POINTS}; 0: no cap", 0),
    "rial_per_redeemed_point": _Key(_integer(1, 99_999_999), "a whole number from 1 to 99999999", 100),
    "smallest_redemption": _Key(_integer(1, NEVER_POINTS), "points, from 1", 1),
    "largest_redemption": _Key(_integer(0, NEVER_POINTS), f"{_POINTS}; 0: no cap", 0),
    "price": _Key(_integer(0, 10**9), "rial per 1000 points, 0 to 1000000000", 100_000),
    "pending_days": _Key(_integer(0, 36_500), _DAYS, 0),
    "expiry": _Key(_choice(*EXPIRIES), " or ".join(f'"{name}"' for name in EXPIRIES), NONE),
    "expiry_days": _Key(_integer(0, 36_500), _DAYS, 0),
    "expiry_months": _Key(_integer(0, 1_200), "months, 0 to 1200", 0),
    "expiry_years": _Key(_integer(0, 100), "years, 0 to 100", 0),
    "reopen_days": _Key(_integer(0, 36_500), _DAYS, 30),
    "priority": _Key(_integer(0, 1_000), "a whole number from 0 to 1000", 0),
    "correction_price": _Key(_integer(0, 10**9), "rial per 1000 points, 0 to 1000000000", 100_000),
    "split_return": _Key(_choice(*SPLIT_RETURNS), _one_of(SPLIT_RETURNS), PROPORTIONAL),
}
# Of [program.units.stamps], .cash and .tickets; they have no versions.
UNIT_KEYS: dict[str, _Key] = {
    name: RULES[name]
    for name in ("expiry", "expiry_days", "expiry_months", "expiry_years", "reopen_days", "priority")
}
UNIT_PRICES = {unit: CASH_PRICE if unit == CASH else 0 for unit in OTHER_UNITS}
VERSION_KEYS: dict[str, _Key] = {
    "number": _Key(_integer(2, 10**6), "a whole number from 2"),
    "starts": _Key(_day, "a day, YYYY-MM-DD"),
}
# One of [[program.limits]].
LIMIT_KEYS: dict[str, _Key] = {
    "scope": _Key(_choice(*SCOPES), _one_of(SCOPES)),
    "period": _Key(_choice(*PERIODS), _one_of(PERIODS)),
    "operation": _Key(_choice(*OPERATIONS), _one_of(OPERATIONS)),
    "measure": _Key(_choice(*MEASURES), _one_of(MEASURES)),
    "most": _Key(_integer(0, NEVER_POINTS), "a whole number from 0 to 999999999999"),
}
_FILE = "a file, relative to this one"
_OPTIONAL_FILE = 'a file, relative to this one, or "" for none'
LEDGER_FILES = ("url_file", "archive")
LISTENER_FILES = ("tls_certificate", "tls_key", "tls_clients")
HSM_FILES = (
    "key_store",
    "master_key_file",
    "tls_ca",
    "tls_certificate",
    "tls_key",
    "module",
    "user_pin_file",
)
# What an adapter can't do without.
ADAPTER_NEEDS = {IN_PROCESS: (), PAYSHIELD: (), PKCS11: ("module", "token_label", "user_pin_file")}
TEST, PRODUCTION = "test", "production"
TABLES: dict[str, dict[str, _Key]] = {
    "": {"environment": _Key(_choice(TEST, PRODUCTION), '"test" or "production"', TEST)},
    "ledger": {
        "directory": _Key(_text, "a directory, relative to this file", "."),
        "engine": _Key(_choice(SQLITE, POSTGRES), f'"{SQLITE}" or "{POSTGRES}"', SQLITE),
        "url": _Key(_optional_text, f'{CONNECTION}, or "" for none', ""),
        "url_file": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "archive": _Key(_optional_text, 'a directory, relative to this file, or "" for none', ""),
        "buckets": _Key(_buckets, 'first and last bucket of this process, like "0-127"', "0-255"),
    },
    "registry": {
        "directory": _Key(_optional_text, 'a directory, relative to this file, or "" for the ledger\'s', "")
    },
    "listener": {
        "host": _Key(_text, "an address to listen on", "127.0.0.1"),
        "port": _Key(_integer(0, 65535), "a port number, 0 for any free one", 8583),
        # A peer costs a few kilobytes; past this the longest idle stranger is let go.
        "max_connections": _Key(_integer(1, 100_000), "a whole number from 1 to 100000", 4096),
        # Our longest message is below 400 bytes; more is garbage or another protocol.
        "max_frame_bytes": _Key(_integer(64, 65535), "a whole number from 64 to 65535", 2048),
        # A peer that sends without waiting is paused, so it can't fill our memory.
        "max_in_flight": _Key(_integer(1, 10_000), "a whole number from 1 to 10000", 64),
        "idle_timeout_s": _Key(_integer(1, 86_400), "seconds, 1 to 86400", 300),
        "frame_timeout_s": _Key(_integer(1, 3600), "seconds, 1 to 3600", 10),
        "tls_certificate": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "tls_key": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "tls_clients": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "clear_codes": _Key(_boolean, "true or false", False),
    },
    "program": {
        "name": _Key(_text, "a name", "vafa"),
        "currency": _Key(_currency, "three digits, ISO 4217", "364"),
        **RULES,
        "card_prefixes": _Key(_prefixes, 'a list of digit strings, e.g. ["936400"]', ["936400"]),
        "horizon_days": _Key(_integer(1, 180), "days, 1 to 180", 7),
        "pin_from_points": _Key(_integer(0, NEVER_POINTS), f"points, 0 to {NEVER_POINTS}", NEVER_POINTS),
        # More would make a four-digit PIN worth guessing.
        "pin_tries": _Key(_integer(1, 9), "a whole number from 1 to 9", 3),
        "code_lifetime_s": _Key(_integer(10, 3600), "seconds, 10 to 3600", 120),
        "code_tries": _Key(_integer(1, 9), "a whole number from 1 to 9", 3),
        "hold_minutes": _Key(_integer(1, 525_600), "minutes, 1 to 525600", 60),
        # Long enough for the member to notice that somebody else had his card replaced.
        "replaced_hours": _Key(_integer(0, 8_760), "hours, 0 to 8760", 24),
        "card_values": _Key(_choice(REQUIRED, OFF), f'"{REQUIRED}" or "{OFF}"', REQUIRED),
        # Track 2 has 37 characters: behind a number of 16 digits, expiry and service code 13 digits are left.
        "card_value_offset": _Key(_integer(0, 10), "a whole number from 0 to 10", 0),
        # A value has three digits: each try finds it with one in a thousand.
        "card_tries": _Key(_integer(1, 9), "a whole number from 1 to 9", 3),
        # Each code is three guesses in a million, a message to pay for, and a nuisance to the member.
        "codes_per_member": _Key(_integer(1, 1000), "a whole number from 1 to 1000", 5),
        # A busy till; more is somebody who goes through other people's numbers.
        "codes_per_terminal": _Key(_integer(1, 100_000), "a whole number from 1 to 100000", 60),
        "code_period_s": _Key(_integer(60, 86_400), "seconds, 60 to 86400", 3600),
        # An hour: later the cashier doesn't remember.
        "double_swipe_s": _Key(_integer(0, 3600), "seconds, 0 to 3600; 0: never asked", 0),
        "unique_receipts": _Key(_boolean, "true or false", False),
        "correction_alone_points": _Key(_integer(0, NEVER_POINTS), f"{_POINTS}; 0: nobody corrects alone", 0),
    },
    "hsm": {
        "adapter": _Key(
            _choice(IN_PROCESS, PAYSHIELD, PKCS11), f'"{IN_PROCESS}", "{PAYSHIELD}" or "{PKCS11}"', IN_PROCESS
        ),
        "key_store": _Key(_text, _FILE, "keys.json"),
        "master_key_file": _Key(_text, _FILE, "hsm-master.key"),
        "host": _Key(_text, "the address of the HSM", "127.0.0.1"),
        "port": _Key(_integer(1, 65535), "a port number", 1500),
        "connections": _Key(_integer(1, 64), "a whole number from 1 to 64", 2),
        "header_bytes": _Key(_integer(1, 99), "a whole number from 1 to 99", 4),
        "timeout_ms": _Key(_integer(10, 60_000), "milliseconds, 10 to 60000", 2000),
        "master_key_id": _Key(_two_digits, "two digits", "00"),
        "tls_ca": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "tls_certificate": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "tls_key": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "module": _Key(_optional_text, _OPTIONAL_FILE, ""),
        "token_label": _Key(_optional_text, "the token's label", ""),
        "user_pin_file": _Key(_optional_text, _OPTIONAL_FILE, ""),
    },
    "keys": {
        "seal": _Key(_hexadecimal(32), f"64 {SECRET}"),
        "directory": _Key(_hexadecimal(32), f"64 {SECRET}"),
    },
}
# One of [[partners]]; what it shares with [listener] has other defaults.
PARTNER_KEYS: dict[str, _Key] = {
    "name": _Key(_partner_name, "up to 32 letters, digits, _ and -, as in its keys' names"),
    "host": TABLES["listener"]["host"],
    "port": TABLES["listener"]["port"]._replace(default=None),
    "mapping": _Key(_text, "a shipped mapping's name, or a file ending in .toml", "iso87-ascii"),
    "dialect": _Key(_optional_text, "a shipped dialect's name, a file, or \"\" for the mapping's", ""),
    "framing": _Key(_text, 'a framing, e.g. "2be", "nac", "ascii4"', "2be"),
    "acquirers": _Key(
        _texts("[1-9][0-9]{0,10}", may_be_empty=False), 'a list of DE 32, e.g. ["581672031"], no zeros before'
    ),
    "acceptors": _Key(_texts("[!-~ ]{15}", may_be_empty=True), "a list of DE 42, 15 characters each", []),
    "operations": _Key(_texts("[a-z_]+", may_be_empty=True), 'a list, e.g. ["balance", "earn"]', []),
    "mac": _Key(_choice(REQUIRED, OFF), f'"{REQUIRED}" or "{OFF}"', REQUIRED),
    "blocked": _Key(_boolean, "true or false", False),
    # A bank changes its keys once a day, or when somebody tells it to.
    "change_keys_hours": _Key(_integer(0, 8_760), "hours, 0 to 8760; 0: never by itself", 0),
    # A bank keeps a few lines open; more is a client that never closes.
    "max_connections": _Key(_integer(1, 512), "a whole number from 1 to 512", 16),
    "max_frame_bytes": _Key(_integer(64, 65535), "a whole number from 64 to 65535", 4096),
    "max_in_flight": _Key(_integer(1, 10_000), "a whole number from 1 to 10000", 256),
    "idle_timeout_s": TABLES["listener"]["idle_timeout_s"],
    "frame_timeout_s": TABLES["listener"]["frame_timeout_s"],
    **{name: TABLES["listener"][name] for name in LISTENER_FILES},
}
TERMINAL_KEYS: dict[str, _Key] = {
    "id": _Key(_characters(8), "8 letters or digits (DE 41)"),
    "acceptor": _Key(_characters(15), "15 letters or digits (DE 42)"),
    "blocked": _Key(_boolean, "true or false", False),
    "initial_key_id": _Key(_initial_key_id, "16 digits or letters A to F: BDK id, derivation id"),
}
# Keys that earlier versions had, and what came for them.
_LOADED_NOW = "remove it and give initial_key_id: terminals have DUKPT keys now, see vafa keys inject"
FORMER_KEYS = {
    "keys.checkpoint": "remove it and move ledger.checkpoints away, which carries it: the key is in the key"
    " store now, see vafa keys generate ledger/checkpoint",
    "terminals.mac_request_key": _LOADED_NOW,
    "terminals.mac_answer_key": _LOADED_NOW,
}


def load(path: Path) -> Settings:
    """Read and check a settings file. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: can't be read ({error.strerror}); check --config") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None

    reader = _Reader(path, text)
    terminals = document.pop("terminals", [])
    partners = document.pop("partners", [])
    program = document.get("program")
    versions, limits, units = (
        program.pop(name, empty) if isinstance(program, dict) else empty
        for name, empty in (("versions", []), ("limits", []), ("units", {}))
    )
    values = {name: reader.table(name, document, keys) for name, keys in TABLES.items()}
    values["program"]["versions"] = _versions(path, reader, values["program"], versions)
    values["program"]["limits"] = _limits(path, reader, limits)
    values["program"]["units"] = _units(path, reader, units)
    if not isinstance(terminals, list):
        raise SettingsError(f"{path}: terminals: expected tables, [[terminals]], or none: vafa terminal add")
    registered = [
        Terminal(**reader.keys(f"terminals[{i}]", row, TERMINAL_KEYS)) for i, row in enumerate(terminals)
    ]
    seen: set[str | bytes] = set()
    for terminal in registered:
        if terminal.id in seen:
            raise SettingsError(f"{path}: terminal {terminal.id} stands twice; remove one")
        if terminal.initial_key_id in seen:
            raise SettingsError(
                f"{path}: terminal {terminal.id}: another one has this initial_key_id; give each its own"
            )
        seen |= {terminal.id, terminal.initial_key_id}
    return Settings(
        source=path,
        environment=values[""]["environment"],
        data=(path.parent / values["ledger"]["directory"]).resolve(),
        listener=_listener(path, values["listener"]),
        program=Program(**{name: values["program"][name] for name in Program.__dataclass_fields__}),
        hsm=_hsm_settings(path, values["hsm"]),
        terminals=tuple(registered),
        seal_key=values["keys"]["seal"],
        directory_key=values["keys"]["directory"],
        registry=(path.parent / values["registry"]["directory"]).resolve()
        if values["registry"]["directory"]
        else None,
        partners=_partners(path, reader, partners, values[""]["environment"]),
        ledger=_ledger(path, values["ledger"]),
    ).with_buckets()


def _versions(path: Path, reader: _Reader, program: dict[str, Any], tables: Any) -> tuple[Rules, ...]:
    """The rules of [program] and those that change them later."""
    if not isinstance(tables, list):
        raise SettingsError(f"{path}: program.versions: expected tables, [[program.versions]]")
    versions = [Rules(**{name: program[name] for name in RULES})]
    for number, table in enumerate(tables):
        name = f"program.versions[{number}]"
        inherited = {key: rule._replace(default=program[key]) for key, rule in RULES.items()}
        versions.append(Rules(**reader.keys(name, table, {**VERSION_KEYS, **inherited})))
    for rules in versions:
        problem = _expiry_problem(rules)
        if problem:
            raise SettingsError(f"{path}: program version {rules.number}: {problem}")
    for before, rules in pairwise(versions):
        if rules.number <= before.number or rules.starts <= before.starts:
            raise SettingsError(
                f"{path}: program version {rules.number}: number and starts must be above those of version"
                f" {before.number}"
            )
    return tuple(versions)


def _limits(path: Path, reader: _Reader, tables: Any) -> tuple[Limit, ...]:
    if not isinstance(tables, list):
        raise SettingsError(f"{path}: program.limits: expected tables, [[program.limits]]")
    limits = []
    for number, table in enumerate(tables):
        name = f"program.limits[{number}]"
        limit = Limit(**reader.keys(name, table, LIMIT_KEYS))
        if (limit.scope, limit.measure) == (CARD, AMOUNT):
            raise SettingsError(f"{path}: {name}: a card's rial isn't counted; limit its points or its count")
        limits.append(limit)
    return tuple(limits)


def _units(path: Path, reader: _Reader, tables: Any) -> tuple[tuple[str, Rules], ...]:
    if not isinstance(tables, dict) or not tables.keys() <= set(OTHER_UNITS):
        expected = ", ".join(f"[program.units.{name}]" for name in OTHER_UNITS)
        raise SettingsError(f"{path}: program.units: expected {expected}")
    found = []
    for unit, table in tables.items():
        price = UNIT_PRICES[unit]
        keys = {**UNIT_KEYS, "correction_price": RULES["correction_price"]._replace(default=price)}
        rules = Rules(**reader.keys(f"program.units.{unit}", table, keys))
        problem = _expiry_problem(rules)
        if not problem and unit == CASH and rules.correction_price != CASH_PRICE:
            problem = f"correction_price is {CASH_PRICE}: cash credit is worth what it says"
        if problem:
            raise SettingsError(f"{path}: program.units.{unit}: {problem}")
        found.append((unit, rules))
    return tuple(found)


def _expiry_problem(rules: Rules) -> str:
    if rules.expiry == ROLLING and not rules.expiry_days + rules.expiry_months:
        return 'expiry "rolling" needs expiry_days or expiry_months'
    if rules.expiry == SLIDING and not rules.expiry_days:
        return 'expiry "sliding" needs expiry_days'
    return ""


def _ledger(path: Path, values: dict[str, Any]) -> LedgerSettings:
    engine, given = values["engine"], [name for name in ("url", "url_file") if values[name]]
    if engine == SQLITE and given:
        raise SettingsError(
            f'{path}: ledger.{given[0]}: names a PostgreSQL database and ledger.engine is "{SQLITE}"; set it'
            f' to "{POSTGRES}", or remove ledger.{given[0]}'
        )
    if engine == POSTGRES and len(given) != 1:
        raise SettingsError(
            f'{path}: ledger.engine "{POSTGRES}" needs ledger.url, or ledger.url_file where the connection'
            " string has a password: give one of them"
        )
    files = _as_files(path, {name: values[name] for name in LEDGER_FILES}, LEDGER_FILES)
    if files["archive"] is not None and files["archive"].is_file():
        raise SettingsError(f"{path}: ledger.archive: {files['archive']} is a file; name a directory")
    return LedgerSettings(engine=engine, url=values["url"], buckets=values["buckets"], **files)


def _partners(path: Path, reader: _Reader, tables: Any, environment: str) -> tuple[Partner, ...]:
    """The partners, none with what is another's."""
    if not isinstance(tables, list):
        raise SettingsError(f"{path}: partners: expected tables, [[partners]]")
    partners = [
        _partner(
            path, f"partners[{number}]", reader.keys(f"partners[{number}]", table, PARTNER_KEYS), environment
        )
        for number, table in enumerate(tables)
    ]
    for one, other in combinations(partners, 2):
        if one.name == other.name:
            raise SettingsError(f"{path}: partner {one.name} stands twice; give each a name of its own")
        shared = sorted({*one.acquirers} & {*other.acquirers}) + sorted({*one.acceptors} & {*other.acceptors})
        if shared:
            raise SettingsError(
                f"{path}: partners {one.name} and {other.name} both have {shared[0]}; an acquirer and an"
                " acceptor belong to one partner"
            )
    return tuple(partners)


def _partner(path: Path, name: str, values: dict[str, Any], environment: str) -> Partner:
    try:
        framing_named(values["framing"])
    except FramingNameError as error:
        raise SettingsError(f"{path}: {name}.framing: {error}") from None
    if values["mac"] == OFF and environment == PRODUCTION and not values["tls_clients"]:
        raise SettingsError(
            f'{path}: {name}.mac: "{OFF}" in production needs tls_clients, or anybody on the line speaks for'
            " the partner"
        )
    for key in ("mapping", "dialect"):
        if values[key].endswith(".toml"):
            values[key] = str((path.parent / values[key]).resolve())
    own = {key: values[key] for key in Listener.__dataclass_fields__ if key in values}
    return Partner(
        name=values["name"],
        listener=_listener(path, own, name),
        mapping=values["mapping"],
        dialect=values["dialect"],
        framing=values["framing"],
        acquirers=values["acquirers"],
        acceptors=values["acceptors"],
        operations=values["operations"],
        needs_mac=values["mac"] == REQUIRED,
        blocked=values["blocked"],
        change_keys_hours=values["change_keys_hours"],
    )


def _listener(path: Path, values: dict[str, Any], name: str = "listener") -> Listener:
    if bool(values["tls_certificate"]) != bool(values["tls_key"]):
        raise SettingsError(f"{path}: {name}.tls_certificate and {name}.tls_key: give both or none")
    if values["tls_clients"] and not values["tls_certificate"]:
        raise SettingsError(f"{path}: {name}.tls_clients: needs {name}.tls_certificate and tls_key")
    return Listener(**_as_files(path, values, LISTENER_FILES))


def _as_files(path: Path, values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """These values as files seen from the settings file; None for those not given."""
    files = {name: (path.parent / values[name]).resolve() if values[name] else None for name in names}
    return {**values, **files}


def _hsm_settings(path: Path, values: dict[str, Any]) -> HsmSettings:
    for name in ADAPTER_NEEDS[values["adapter"]]:
        if not values[name]:
            raise SettingsError(f'{path}: hsm.{name} is missing: hsm.adapter "{values["adapter"]}" needs it')
    return HsmSettings(**_as_files(path, values, HSM_FILES))


class _Reader:
    """Reads declared keys out of parsed tables and says exactly where a wrong one stands."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def table(self, name: str, document: dict[str, Any], keys: dict[str, _Key]) -> dict[str, Any]:
        if name == "":
            table = {key: value for key, value in document.items() if key not in TABLES}
        else:
            table = document.get(name, {})
        return self.keys(name, table, keys)

    def keys(self, name: str, table: Any, keys: dict[str, _Key]) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise SettingsError(f"{self._path}: {name}: expected a table, [{name}]")
        for key in table:
            if key not in keys:
                raise SettingsError(f"{self._where(key)}: {self._strange(name, key, keys)}")
        values: dict[str, Any] = {}
        for key, rule in keys.items():
            if key not in table and rule.default is None:
                raise SettingsError(
                    f"{self._path}: {self._dotted(name, key)} is missing: give {rule.expected}"
                )
            value = table.get(key, rule.default)
            try:
                values[key] = rule.kind(value)
            except ValueError:
                untold = any(kind in rule.expected for kind in UNTOLD)
                got = "" if untold else f", got {value!r}"
                raise SettingsError(
                    f"{self._where(key)}: {self._dotted(name, key)}: expected {rule.expected}{got}"
                ) from None
        return values

    def _strange(self, name: str, key: str, keys: Iterable[str]) -> str:
        remedy = FORMER_KEYS.get(self._dotted(name.partition("[")[0], key))
        if remedy:
            return f"{self._dotted(name, key)} is a key of an earlier version; {remedy}"
        return f"unknown key {self._dotted(name, key)}; known: {', '.join(keys)}"

    def _dotted(self, name: str, key: str) -> str:
        return f"{name}.{key}" if name else key

    def _where(self, key: str) -> str:
        for number, line in enumerate(self._lines, start=1):
            if re.match(rf'\s*\[?\[?"?{re.escape(key)}"?\s*[\]=]', line):
                return f"{self._path}:{number}"
        return str(self._path)


def load_for(data: Path | None, config: Path | None) -> Settings:
    """The settings that `--data` and `--config` mean: a file as given, or those that a data directory holds.

    With both, the file's settings are used on the given directory.
    """
    if config is not None:
        settings = load(config)
        if data is None:
            return settings
        return replace(settings, data=data.resolve())
    directory = data if data is not None else Path("data")
    path = directory / SETTINGS_FILE
    if not path.exists():
        raise SettingsError(f"{path}: no settings here; start with: vafa switch run --data {directory}")
    return load(path)
