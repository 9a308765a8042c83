"""What `vafa hsm run` is told: one table `[hsm_simulator]` of a TOML file, overridden by options; and the one
thing a simulator must refuse, to be part of production.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from switch.hsm_sim.pin_commands import SOURCES_IF_ALLOWED

TABLE: Final = "hsm_simulator"
PRODUCTION: Final = "production"
DEVELOPMENT: Final = "development"
ENVIRONMENT_VARIABLE: Final = "VAFA_ENVIRONMENT"


class SettingsError(Exception):
    """What was told can't be used. The text says what, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """port 0 takes any free port. data: directory of the sealed LMK, audit log and console; None keeps
    nothing on disk (public test LMKs only)."""

    environment: str = DEVELOPMENT
    host: str = "127.0.0.1"
    port: int = 1500
    header_bytes: int = 4
    max_connections: int = 2048
    idle_timeout_s: int = 3600
    frame_timeout_s: int = 10
    lmk_ports: bool = False
    default_lmk: str = ""
    allowed_pin_formats: tuple[str, ...] = ()
    data: Path | None = None
    test_lmk: bool = False
    authorised_minutes: int = 0
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_clients: Path | None = None


# key of the table: kind, smallest and largest of numbers
_NUMBERS: Final = {
    "port": (0, 65535),
    "header_bytes": (0, 255),
    "max_connections": (1, 65535),
    "idle_timeout_s": (1, 7 * 24 * 3600),
    "frame_timeout_s": (1, 600),
}
_TEXTS: Final = ("host", "default_lmk")
_PATHS: Final = ("data", "tls_certificate", "tls_key", "tls_clients")


def from_file(path: Path) -> Settings:
    """The settings of a TOML file: `environment` and the table; other tables are others' business.
    Raises SettingsError."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    table = content.get(TABLE, {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: [{TABLE}] must be a table")
    values: dict[str, Any] = {key: _value(path, key, value) for key, value in table.items()}
    environment = content.get("environment", DEVELOPMENT)
    if not isinstance(environment, str):
        raise SettingsError(f"{path}: environment must be a string")
    return Settings(environment=environment, **values)


def _value(path: Path, key: str, value: Any) -> Any:
    place = f"{path}: [{TABLE}] {key}"
    if key in _NUMBERS:
        return _number(place, value, *_NUMBERS[key])
    if key in _TEXTS and isinstance(value, str):
        return value
    if key in _PATHS and isinstance(value, str):
        return path.parent / value
    if key == "lmk_ports" and isinstance(value, bool):
        return value
    if key == "allowed_pin_formats" and isinstance(value, list):
        return tuple(str(one) for one in value)
    known = sorted([*_NUMBERS, *_TEXTS, *_PATHS, "lmk_ports", "allowed_pin_formats"])
    if key not in known:
        raise SettingsError(f"{place} is not known; known are {', '.join(known)}")
    raise SettingsError(f"{place}: {type(value).__name__} is not what belongs here")


def _number(place: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingsError(f"{place} must be {least} to {most}")
    return value


def overridden(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """The settings with every option that was given (is not None)."""
    return replace(settings, **{key: value for key, value in options.items() if value is not None})


def checked(settings: Settings, environment_variable: str | None) -> Settings:
    """The settings, if a simulator may run with them. environment_variable: what VAFA_ENVIRONMENT says.
    Raises SettingsError."""
    for environment in (settings.environment, environment_variable or ""):
        if environment.strip().casefold() == PRODUCTION:
            raise SettingsError(
                "a simulated HSM does not run where environment is production: "
                "it protects keys by software only; connect the switch to a real HSM there"
            )
    for name, (least, most) in _NUMBERS.items():
        _number(name, getattr(settings, name), least, most)
    unknown = set(settings.allowed_pin_formats) - SOURCES_IF_ALLOWED
    if unknown:
        raise SettingsError(
            f"PIN block format {', '.join(sorted(unknown))} can't be allowed, only "
            f"{', '.join(sorted(SOURCES_IF_ALLOWED))}"
        )
    if settings.authorised_minutes and not settings.test_lmk:
        raise SettingsError("only a box with public test LMKs starts authorised; use vafa hsm authorise")
    tls = (settings.tls_certificate, settings.tls_key, settings.tls_clients)
    if any(tls) and not all(tls):
        raise SettingsError(
            "TLS needs all three: the box's certificate, its key, and the authority of its clients"
        )
    if not any(tls) and not _is_loopback(settings.host):
        raise SettingsError(
            f"without TLS the simulator listens on loopback only, not on {settings.host}: "
            "give --tls-certificate, --tls-key and --tls-clients"
        )
    return settings


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
