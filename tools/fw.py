"""`vafa fw`: device profiles, and firmware built, signed, flashed and followed by them.

Options in, exit codes out; the work is in the modules beside. Private keys are read where they are used and
kept nowhere; passphrases are asked, never options.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from tools.cli import CommandError, ExitCode, written_to

if TYPE_CHECKING:
    from tools.fw_profile import Profile

app = typer.Typer(help="Firmware for terminals: profiles, builds, signatures, flashing, logs.")

Where = Annotated[
    Path, typer.Option("--profile", help="Profile, or the directory of its terminal.toml.", show_default=True)
]
Out = Annotated[Path | None, typer.Option(help="Where it is built. Default: build/fw/MODEL.")]
Data = Annotated[Path, typer.Option(help="Data directory of the switch that the terminal is of.")]
TerminalId = Annotated[str, typer.Option("--terminal", help="The terminal's id, DE 41.")]
Port = Annotated[Path | None, typer.Option(help="Serial device of the board.")]
To = Annotated[Path | None, typer.Option(help="Directory, for the board that is a process.")]
HERE = Path()
DEFAULT_DATA = Path("data")


@app.callback()
def fw() -> None:
    """Firmware for terminals: profiles, builds, signatures, flashing, logs."""


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Made when missing; terminal.toml goes there.")],
    board: Annotated[str, typer.Option(help="A board, or the path of a board file.")] = "unix",
    model: Annotated[str | None, typer.Option(help="Default: the directory's name.")] = None,
) -> None:
    """Begin a device profile.

    \b
    Example:
      vafa fw init shop-1 --board esp32
    """
    from tools.fw_init import model_of, template
    from tools.fw_profile import PROFILE, board_named

    path = directory / PROFILE
    if directory.exists() and not directory.is_dir():
        raise CommandError(f"{directory}: is no directory", ExitCode.USAGE, "choose another one")
    if path.exists():
        raise CommandError(
            f"{path}: is there already", ExitCode.USAGE, "edit it, or choose another directory"
        )
    name = model_of(model, directory)
    text = template(board_named(board, Path()), name, directory)
    with written_to(path, "choose another directory"):
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    then = f"vafa fw check --profile {quote(str(directory))}"
    typer.echo(f"{path}: a profile for {name} on {board}; next: edit it, {then}")


@app.command()
def check(profile: Where = HERE) -> None:
    """Check a profile and what its firmware takes; every mistake with its line.

    \b
    Example:
      vafa fw check --profile shop-1
    """
    from tools import fw_build

    loaded = _load(profile)
    sizes = fw_build.checked(loaded, fw_build.compiled(loaded))
    devices = ", ".join(f"{door} ({kind})" for door, kind in loaded.kinds.items())
    typer.echo(f"{loaded.path}: {loaded.model} version {loaded.version} on {loaded.board.name}: {devices}")
    typer.echo(f"code {sizes.code_bytes:,}, fonts and strings {sizes.font_bytes:,} bytes: in order")


@app.command()
def build(profile: Where = HERE, out: Out = None) -> None:
    """Build modules, images, bundle, manifest; the same bytes each time.

    \b
    Example:
      vafa fw build --profile shop-1
    """
    _build(_load(profile), out)


@app.command()
def key(
    file: Annotated[Path, typer.Argument(help="Private key, PEM.")],
    make: Annotated[bool, typer.Option("--make", help="Make a new one; asks for its passphrase.")] = False,
    test: Annotated[
        bool, typer.Option("--test", help="With --make: without a passphrase, for tests.")
    ] = False,
) -> None:
    """Show a signing key's public part, as profiles have it; or make one.

    \b
    Example:
      vafa fw key release.pem --make
    """
    from tools import firmware_bundle, fw_keys

    private = fw_keys.made(file, test) if make else fw_keys.read(file)
    typer.echo(firmware_bundle.public_point(private.public_key()).hex().upper())


@app.command()
def sign(
    key: Annotated[Path, typer.Option(help="Private key, PEM; its public part is in the profile.")],
    profile: Where = HERE,
    bundle: Annotated[Path | None, typer.Option(help="Default: the one built of the profile.")] = None,
) -> None:
    """Add one signature to a bundle.

    \b
    Example:
      vafa fw sign --profile shop-1 --key release.pem
    """
    from tools import firmware_bundle, fw_build, fw_keys

    loaded = _load(profile)
    path = bundle or fw_build.place_of(loaded, None) / fw_build.BUNDLE
    number, private = fw_keys.signer(key, loaded)
    signed = fw_keys.signed(path, firmware_bundle.Signer(number, private), loaded)
    with written_to(path, "be its owner, or copy it and give --bundle"):
        path.write_bytes(signed)
        if (path.parent / fw_build.SUMS).is_file():
            fw_build.summed(path.parent)
    left = firmware_bundle.missing(signed)
    state = "complete" if not left else f"{left} more to come"
    typer.echo(f"{path}: signed by key {number}; {state}")


@app.command()
def flash(
    terminal: TerminalId,
    profile: Where = HERE,
    port: Port = None,
    to: To = None,
    data: Data = DEFAULT_DATA,
    out: Out = None,
    interpreter: Annotated[
        Path | None, typer.Option(help="MicroPython itself for an ESP32, to be flashed with the rest.")
    ] = None,
    inject: Annotated[
        Path | None, typer.Option(help="Service port: load the terminal's keys through it afterwards.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="With --inject: it may have keys.")] = False,
    tls: Annotated[
        Path | None,
        typer.Option(help="Directory of the terminal's certificate, as `vafa keys ca tls` makes it."),
    ] = None,
) -> None:
    """Put what was built on a board, with the settings of one terminal.

    \b
    Example:
      vafa fw flash --profile shop-1 --terminal 10000001 --port /dev/ttyUSB0
    """
    from tools import fw_build, fw_flash

    loaded = _load(profile)
    place = fw_build.place_of(loaded, out)
    fw_build.check_built(place, loaded)
    identity = fw_flash.identity_of(data, terminal, tls)
    target = _target(loaded, port, to)
    has_keys = fw_flash.flash(loaded, place, identity, target, interpreter, typer.echo)
    if inject is not None:
        from tools import keys

        keys.inject(terminal=terminal, port=inject, replace=replace, data=data, config=None)
    elif not has_keys:
        typer.echo(fw_flash.told_without_keys(terminal))
    typer.echo(f"terminal {terminal}: flashed")


@app.command()
def ota(
    profile: Where = HERE,
    bundle: Annotated[Path | None, typer.Option(help="Default: the one built of the profile.")] = None,
    group: Annotated[str | None, typer.Option(help="Assign it to this group of terminals at once.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Hand a signed bundle to the switch, which offers it to terminals.

    \b
    Example:
      vafa fw ota --profile shop-1 --group pilot
    """
    from tools import fw_build, fw_keys, fw_ota

    loaded = _load(profile)
    path = bundle or fw_build.place_of(loaded, None) / fw_build.BUNDLE
    fw_keys.check_signed(path, loaded)
    fw_ota.hand_over(path, loaded, group, data)


@app.command()
def logs(
    port: Annotated[Path, typer.Argument(help="The board's console: the serial device it was flashed by.")],
    as_json: Annotated[bool, typer.Option("--json", help="As they come, one JSON object a line.")] = False,
    count: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0: never.")] = 0,
    kept: Annotated[
        bool,
        typer.Option("--kept", help="What it keeps of before: log and counters, by its service port."),
    ] = False,
    names: Annotated[
        Path | None,
        typer.Option(help="Where what runs there was built, to name faults. Default: what was built last."),
    ] = None,
) -> None:
    """Follow what a terminal says of itself, or read what it keeps.

    \b
    Example:
      vafa fw logs /dev/ttyUSB0
      vafa fw logs /dev/ttyUSB0 --kept
    """
    from tools import fw_build, fw_events, fw_logs

    if names is not None and not (names / fw_build.NAMES).is_file():
        raise CommandError(f"{names}: nothing is built there", ExitCode.USAGE, "vafa fw build")
    known = fw_build.names_in(names) if names else fw_build.last_names()
    if kept:
        fw_events.show(port, as_json, known)
        return

    fw_logs.follow(port, as_json, count, known)


@app.command()
def run(
    terminal: TerminalId,
    profile: Where = HERE,
    port: Port = None,
    to: To = None,
    data: Data = DEFAULT_DATA,
    events: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0: never.")] = 0,
) -> None:
    """Check, build, flash, then follow the logs. A board that is a process gets simulated devices.

    \b
    Example:
      vafa fw run --profile shop-1 --terminal 10000001 --to work/shop-1
    """
    from tools import fw_build, fw_flash, fw_logs

    loaded = _load(profile)
    target = _target(loaded, port, to)
    identity = fw_flash.identity_of(data, terminal)
    if loaded.board.loader is None:
        fw_logs.check_free(identity, data, target)
        fw_logs.play(loaded, _build(loaded, None), target, data, identity, events)
        return
    place = _build(loaded, None)
    if not fw_flash.flash(loaded, place, identity, target, None, typer.echo):
        typer.echo(fw_flash.told_without_keys(terminal))
    fw_logs.follow(target, False, events, fw_build.names_in(place))


def _load(profile: Path) -> Profile:
    from tools import fw_profile

    return fw_profile.load(profile)


def _build(profile: Profile, out: Path | None) -> Path:
    from tools import fw_build

    built = fw_build.build(profile, out)
    typer.echo(fw_build.as_text(profile, built.sizes))
    for path in built.files:
        if path.suffix != ".mpy":
            typer.echo(f"{path.stat().st_size:>9,}  {_shown(path)}")
    return built.place


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _target(profile: Profile, port: Path | None, to: Path | None) -> Path:
    wanted, other = (to, port) if profile.board.loader is None else (port, to)
    if wanted is None or other is not None:
        option = "--to, a directory" if profile.board.loader is None else "--port, its serial device"
        raise CommandError(
            f"a board of kind {profile.board.name} is reached by {option}", ExitCode.USAGE, "give that"
        )
    return wanted
