"""`vafa hsm`: run the simulated HSM, make its LMK, and be its officers. Options in, exit codes out; the work
is in `switch.hsm_sim`.

Passphrases and components are asked on the terminal without echo, or read one a line from stdin when it is no
terminal; they are never options, for those show in the process list.
"""

from __future__ import annotations

import getpass
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from switch.hsm_sim import settings as hsm_settings
from switch.hsm_sim.console import ask
from switch.hsm_sim.reference import reference
from switch.hsm_sim.service import CONSOLE_FILE, PortError, StartError, public_keys, sealed_keys, serve
from switch.hsm_sim.settings import ENVIRONMENT_VARIABLE, Settings, SettingsError
from switch.hsm_sim.vault import FILE, Officer, OpenedVault, VaultError, read, seal
from tools.cli import CommandError, ExitCode

app = typer.Typer(no_args_is_help=True, help="A simulated HSM, for everything but production.")

DEFAULT_DATA = Path("data/hsm")
SECONDS = 60  # of a minute
COMPONENTS = 3  # what a ceremony makes

Officers = Annotated[
    Path | None,
    typer.Option(
        "--officers",
        help="File with both officers' names and passphrases, a line each: for a box that nobody attends.",
    ),
]
Data = Annotated[Path, typer.Option(help="Directory of the sealed LMK, audit log and officers' console.")]


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Option(help="TOML file with a table [hsm_simulator] and `environment`.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Directory of LMK, audit log, console. Default: data/hsm.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Listen here. Without TLS loopback only.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen here; 0 takes any free port. Default: 1500.")
    ] = None,
    header: Annotated[
        int | None, typer.Option(min=0, max=255, help="Length of the message header. Default: 4.")
    ] = None,
    test_lmk: Annotated[
        bool, typer.Option("--test-lmk", help="The public test LMKs: 00 variant, 01 TDES, 02 AES key blocks.")
    ] = False,
    authorised: Annotated[
        int, typer.Option(min=0, max=720, help="With --test-lmk: start with everything authorised, minutes.")
    ] = 0,
    default_lmk: Annotated[
        str | None, typer.Option(help="LMK of requests that name none. Default: the first.")
    ] = None,
    lmk_ports: Annotated[
        bool | None, typer.Option("--lmk-ports", help="Also listen on port + 1 + n for LMK n.")
    ] = None,
    allow_format: Annotated[
        list[str] | None, typer.Option(help="A PIN block format translation takes besides 01 47 48: 03, 05.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="The box's certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    tls_clients: Annotated[Path | None, typer.Option(help="Authority of the clients' certificates.")] = None,
    officers: Officers = None,
    environment: Annotated[str | None, typer.Option(help="Where this is; `production` is refused.")] = None,
) -> None:
    """Serve hosts until SIGTERM or Ctrl-C.

    Example: vafa hsm run --test-lmk --port 1500

    Without --test-lmk two officers open the LMK of --data with their passphrases (make it with
    `vafa hsm create`).
    """
    options: dict[str, Any] = {
        "data": data,
        "host": host,
        "port": port,
        "header_bytes": header,
        "test_lmk": test_lmk or None,
        "authorised_minutes": authorised or None,
        "default_lmk": default_lmk,
        "lmk_ports": lmk_ports,
        "allowed_pin_formats": tuple(allow_format) if allow_format else None,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_clients": tls_clients,
        "environment": environment,
    }
    from switch.server.log import open_log  # imported late so that `vafa --help` stays quick

    try:
        told = hsm_settings.from_file(config) if config is not None else Settings()
        settings = hsm_settings.checked(
            hsm_settings.overridden(told, options), os.environ.get(ENVIRONMENT_VARIABLE)
        )
        if settings.test_lmk:
            keys = public_keys(settings.default_lmk)
        else:
            settings = hsm_settings.overridden(settings, {"data": settings.data or DEFAULT_DATA})
            assert settings.data is not None
            keys = sealed_keys(settings.data, _opened(settings.data, officers), settings.default_lmk)
        serve(settings, keys, open_log())
    except PortError as error:
        raise CommandError(
            str(error), ExitCode.NETWORK, "another --port, or stop what listens there"
        ) from None
    except (SettingsError, StartError, VaultError) as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None


@app.command()
def create(
    data: Data = DEFAULT_DATA,
    lmk: Annotated[str, typer.Option(help="The LMK's identifier, two digits.")] = "00",
    officers: Officers = None,
) -> None:
    """Make a random AES LMK and seal it under two officers' passphrases.

    Example: vafa hsm create --data data/hsm
    """
    if not (len(lmk) == 2 and lmk.isascii() and lmk.isdigit()):
        raise CommandError("an LMK identifier is two digits", ExitCode.USAGE)
    if (data / FILE).exists():
        raise CommandError(f"{data / FILE} exists", ExitCode.CONFIGURATION, "an LMK is never overwritten")
    first, second = _officers(officers, twice=True)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        seal(lmk, secrets.token_bytes(32), first, second).write(data / FILE)
    except VaultError as error:
        raise CommandError(str(error), ExitCode.CONFIGURATION) from None
    except OSError as error:
        raise CommandError(
            f"{data}: can't be written ({error.strerror})", ExitCode.CONFIGURATION, "another --data"
        ) from None
    typer.echo(f"LMK {lmk} is sealed in {data / FILE} for {first.name} and {second.name}")


@app.command()
def authorise(
    activities: Annotated[
        list[str], typer.Argument(help="generate, component, import, export or *; then .K0, .002 or nothing.")
    ],
    data: Data = DEFAULT_DATA,
    minutes: Annotated[int, typer.Option(min=1, max=720, help="How long.")] = 15,
    officers: Officers = None,
) -> None:
    """Two officers allow key management activities of a running box. A longer period given before holds.

    Example: vafa hsm authorise export.P0 generate.K0 --minutes 10
    """
    named = [officer._asdict() for officer in _officers(officers)]
    answer = _asked(
        data, {"word": "authorise", "activities": activities, "minutes": minutes, "officers": named}
    )
    longer = {name: left for name, left in answer["authorised"].items() if left > minutes * SECONDS}
    if names := [name for name in answer["authorised"] if name not in longer]:
        typer.echo(f"authorised for {minutes} min: {', '.join(names)}")
    for name, left in longer.items():
        typer.echo(f"authorised for longer before, which holds: {name}, {left} s")


@app.command()
def form(
    usage: Annotated[str, typer.Argument(help="What the key is for: K0, K1, B0, M6 …")],
    algorithm: Annotated[str, typer.Option(help="A1 A2 A3 (AES), T2 T3 (TDES), H5.")] = "A3",
    components: Annotated[int, typer.Option(min=2, max=9, help="How many there are.")] = COMPONENTS,
    data: Data = DEFAULT_DATA,
    officers: Officers = None,
) -> None:
    """Form a key of a running box from clear components; prints it under the LMK, with its check value.

    Example: vafa hsm form K0 --algorithm A3

    The switch takes it by `vafa keys import NAME --token`.
    """
    named = [officer._asdict() for officer in _officers(officers)]
    typed = [_component(number) for number in range(1, components + 1)]
    request = {"usage": usage.upper(), "algorithm": algorithm.upper(), "components": typed, "officers": named}
    answer = _asked(data, {"word": "form", **request})
    typer.echo(answer["key"])
    typer.echo(f"{usage.upper()}: KCV {answer['kcv']}", err=True)


@app.command()
def cancel(data: Data = DEFAULT_DATA) -> None:
    """End the authorised state of a running box.

    Example: vafa hsm cancel
    """
    _asked(data, {"word": "cancel"})
    typer.echo("nothing is authorised any more")


@app.command()
def status(data: Data = DEFAULT_DATA) -> None:
    """What a running box is doing.

    Example: vafa hsm status
    """
    answer = _asked(data, {"word": "status"})
    for identifier, (kind, shown) in answer["lmk"].items():
        default = ", default" if identifier == answer["default"] else ""
        typer.echo(f"LMK {identifier}: {kind}, check value {shown}{default}")
    for name, left in answer["authorised"].items():
        typer.echo(f"authorised: {name}, {left} s")
    for name, count in answer["counters"].items():
        typer.echo(f"{name}: {count}")


@app.command()
def audit(data: Data = DEFAULT_DATA) -> None:
    """Let a running box verify its whole audit log.

    Example: vafa hsm audit
    """
    answer = _asked(data, {"word": "verify-audit"})
    typer.echo(f"{answer['records']} records, nothing changed, nothing missing")


@app.command("reference")
def show_reference() -> None:
    """Print the commands, fields and error codes as docs/hsm_simulator.md has them.

    Example: vafa hsm reference
    """
    typer.echo(reference(), nl=False)


def _asked(data: Path, request: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = ask(data / CONSOLE_FILE, request)
    except OSError as error:
        raise CommandError(
            f"no box answers at {data / CONSOLE_FILE}: {error.strerror or error}",
            ExitCode.NETWORK,
            "start it with vafa hsm run --data, or name its --data here",
        ) from None
    if "error" in answer:
        raise CommandError(answer["error"], ExitCode.NEGATIVE)
    return answer


def _component(number: int) -> str:
    """Hex digits, as typed from a letter: blanks don't count."""
    typed = "".join(_secret(f"Component {number}: ").split())
    try:
        return bytes.fromhex(typed).hex()
    except ValueError:
        raise CommandError(f"component {number} is not hexadecimal", ExitCode.USAGE) from None


def _opened(data: Path, file: Path | None) -> OpenedVault:
    if not (data / FILE).exists():
        raise CommandError(
            f"there is no LMK in {data}",
            ExitCode.CONFIGURATION,
            f"vafa hsm create --data {data}, or vafa hsm run --test-lmk",
        )
    vault = read(data / FILE)
    if file is not None:
        return vault.open(*officers_of(file))
    officers = [Officer(name, _secret(f"Passphrase of {name}: ")) for name in vault.names]
    return vault.open(officers[0], officers[1])


def officers_of(file: Path) -> tuple[Officer, Officer]:
    """The two officers that a file holds: whoever may read it is both. Raises CommandError."""
    try:
        if file.stat().st_mode & 0o077:
            raise CommandError(
                f"{file}: others may read it", ExitCode.CONFIGURATION, f"chmod 600 {file.name}"
            )
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CommandError(f"{file}: can't be read ({reason})", ExitCode.CONFIGURATION) from None
    if len(lines) != 4:
        raise CommandError(
            f"{file}: {len(lines)} lines", ExitCode.CONFIGURATION, "a name and a passphrase each: four lines"
        )
    return Officer(lines[0], lines[1]), Officer(lines[2], lines[3])


def _officers(file: Path | None = None, *, twice: bool = False) -> tuple[Officer, Officer]:
    if file is not None:
        return officers_of(file)
    first, second = (_officer(which, twice) for which in ("First", "Second"))
    return first, second


def _officer(which: str, twice: bool) -> Officer:
    name = _line(f"{which} officer's name: ")
    passphrase = _secret(f"Passphrase of {name}: ")
    if twice and sys.stdin.isatty() and _secret("Once more: ") != passphrase:
        raise CommandError("the two passphrases differ", ExitCode.USAGE)
    return Officer(name, passphrase)


def _line(prompt: str) -> str:
    if sys.stdin.isatty():
        return input(prompt)
    return _next_line()


def _secret(prompt: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    return _next_line()


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise CommandError(
            "stdin ended before two officers were heard",
            ExitCode.USAGE,
            "a name and a passphrase each, one a line",
        )
    return line.rstrip("\n")
