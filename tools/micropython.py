"""The real MicroPython this project runs on: found on PATH, or unpacked from Debian's own packages.

Everything else starts `.tools/bin/micropython` and does not care which of the two it is. Nothing is ever
installed into the system, no mirror address is written here (the machine's own apt configuration names it),
and only what carries the Debian archive's signature is unpacked.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

OLDEST_VERSION = (1, 25)  # first with the asyncio, cryptolib and .mpy behaviour the firmware is written for
SUITE = "trixie"  # the first Debian release with MicroPython, 1.25.0
PACKAGES = ("micropython", "libc6", "libffi8", "libmbedcrypto16", "libmbedtls21", "libmbedx509-7")
KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")  # newer name first
KEYRING_DIRECTORY = Path("/usr/share/keyrings")
ARCHIVES_TRIED = 3  # configured mirrors tried before giving up; a machine rarely has more than one
COMMAND_TIMEOUT_SECONDS = 300  # index and packages are 15 MB together; also an end for a mirror that hangs
START_TIMEOUT_SECONDS = 20  # a MicroPython that starts at all starts in milliseconds

CHECKOUT = Path(__file__).resolve().parent.parent

# Fields of `apt-get indextargets`, joined by a character that no address holds.
_INDEX_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
_VERSION_PROGRAM = "import sys; print('%d.%d' % sys.implementation[1][:2])"

# Both wrappers are found by their own place, so a checkout can be moved.
_WRAPPER_UNPACKED = """\
#!/bin/sh
# MicroPython from Debian packages, with the loader and libraries it was built for.
root=$(dirname -- "$(readlink -f -- "$0")")/../micropython
exec "$root/{loader}" --library-path "$root/{libraries}" "$root/usr/bin/micropython" "$@"
"""
_WRAPPER_SYSTEM = """\
#!/bin/sh
# MicroPython that this machine has on its PATH.
exec {executable} "$@"
"""

# Everything of the machine's apt configuration holds (proxies, certificates) but its sources, pins and state.
_APT_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State "{work}/state";
Dir::State::lists "{work}/state/lists";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
Dir::Log "{work}/log";
"""


class MicroPythonMissing(Exception):
    """No MicroPython could be found or provided; the message says what was tried and what to install."""


class Archive(NamedTuple):
    """One package archive the machine is configured for, as `apt-get indextargets` tells it."""

    address: str
    release: str
    component: str


def rank_archives(index_targets: str, codename: str) -> list[str]:
    """Addresses of the machine's main Debian archive, likeliest first, each once.

    `index_targets`: lines in `_INDEX_FORMAT`; `codename`: the running release (VERSION_CODENAME). Security,
    update and third-party archives do not hold other suites and are left out: only archives that carry the
    release itself in component main count, and one whose path ends in "debian" comes first.
    """
    rows = [line.split("|") for line in index_targets.splitlines()]
    archives = [Archive(*row) for row in rows if len(row) == len(Archive._fields)]
    releases = {codename, "stable", "oldstable", "testing", "unstable", "sid"} - {""}
    main = [archive for archive in archives if archive.component == "main" and archive.release in releases]
    unique = list(dict.fromkeys(archive.address for archive in main))
    return sorted(unique, key=lambda address: not urlsplit(address).path.rstrip("/").endswith("debian"))


def version_of(executable: Path) -> tuple[int, int] | None:
    """(major, minor) that this MicroPython says of itself; None when it does not run or talks nonsense."""
    try:
        answer = subprocess.run(
            [executable, "-c", _VERSION_PROGRAM],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_SECONDS,
            check=True,
        )
        major, minor = answer.stdout.strip().split(".")
        return int(major), int(minor)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def usable(executable: Path) -> bool:
    """Whether it runs and is new enough."""
    version = version_of(executable)
    return version is not None and version >= OLDEST_VERSION


def provide(checkout: Path = CHECKOUT) -> Path:
    """Path of a working MicroPython wrapper of this checkout, made now if need be; else MicroPythonMissing.

    Safe when several processes ask at once: one makes it, the others wait and use it.
    """
    tools = checkout / ".tools"
    wrapper = tools / "bin" / "micropython"
    if usable(wrapper):
        return wrapper
    tools.mkdir(exist_ok=True)
    with _locked(tools / "micropython.lock"):
        if usable(wrapper):
            return wrapper
        system = _on_path(os.environ, tools)
        if system is not None:
            _say(f"MicroPython: using {system}")
            _write_wrapper(wrapper, _WRAPPER_SYSTEM.format(executable=shlex.quote(str(system))))
        else:
            _unpack_from_debian(tools, wrapper)
        if not usable(wrapper):
            raise MicroPythonMissing(f"{wrapper} was made but does not run; remove {tools} and try again")
    return wrapper


def _on_path(environment: Mapping[str, str], tools: Path) -> Path | None:
    """A new enough `micropython` on PATH that is not our own wrapper."""
    for directory in environment.get("PATH", "").split(os.pathsep):
        found = shutil.which("micropython", path=directory) if directory else None
        if found and not Path(found).resolve().is_relative_to(tools.resolve()) and usable(Path(found)):
            return Path(found).resolve()
    return None


def _unpack_from_debian(tools: Path, wrapper: Path) -> None:
    for command in ("apt-get", "dpkg", "dpkg-deb"):
        if shutil.which(command) is None:
            raise _missing(f"this machine has no {command}, so Debian's packages can't be unpacked either")
    keyring = _keyring()
    try:
        targets = _output(["apt-get", "indextargets", "--format", _INDEX_FORMAT, "Created-By: Packages"])
    except subprocess.SubprocessError as failure:
        raise _missing(f"apt does not tell its archives: {_last_words(failure)}") from failure
    addresses = rank_archives(targets, _running_release())[:ARCHIVES_TRIED]
    if not addresses:
        raise _missing("apt is configured for no Debian archive")
    failures = []
    for address in addresses:
        _say(f"MicroPython: unpacking Debian {SUITE} packages from {_shown(address)} into {tools}")
        with tempfile.TemporaryDirectory(prefix="micropython-", dir=tools) as work:
            try:
                root = _download(Path(work), address, keyring)
            except subprocess.SubprocessError as failure:
                failures.append(f"{_shown(address)}: {_last_words(failure)}")
                continue
            _install(root, tools, wrapper)
            return
    raise _missing("no configured archive gave the packages: " + "; ".join(failures))


def _download(work: Path, address: str, keyring: Path) -> Path:
    """Fetch PACKAGES of SUITE, signatures checked by apt, and unpack them; returns the unpacked root."""
    for directory in ("state/lists/partial", "cache/archives/partial", "log", "packages", "root"):
        (work / directory).mkdir(parents=True)
    (work / "state/status").touch()  # nothing is installed as far as this apt knows: it always offers SUITE's
    (work / "sources.list").write_text(f"deb [signed-by={keyring}] {address} {SUITE} main\n")
    configuration = work / "apt.conf"
    configuration.write_text(_APT_CONFIGURATION.format(work=work))
    apt = ["apt-get", "-c", str(configuration), "-qq"]
    _output([*apt, "-oAPT::Update::Error-Mode=any", "update"])
    _output([*apt, "download", *PACKAGES], cwd=work / "packages")
    for package in sorted((work / "packages").glob("*.deb")):
        _output(["dpkg-deb", "-x", str(package), str(work / "root")])
    return work / "root"


def _install(root: Path, tools: Path, wrapper: Path) -> None:
    """Move the unpacked root to its place by one rename, then the wrapper."""
    loader = _only(root, ("usr/lib64/ld-linux*.so.*", "usr/lib/ld-linux*.so.*", "usr/lib/*/ld-linux*.so.*"))
    libraries = _only(root, ("usr/lib/*/libc.so.6",)).parent
    place = tools / "micropython"
    if place.exists():  # a half-removed or broken one: out of the way first, deleted after
        shutil.rmtree(place)
    root.chmod(0o755)
    root.rename(place)
    _write_wrapper(
        wrapper,
        _WRAPPER_UNPACKED.format(loader=loader.relative_to(root), libraries=libraries.relative_to(root)),
    )


def _only(root: Path, patterns: tuple[str, ...]) -> Path:
    for pattern in patterns:
        found = sorted(root.glob(pattern))
        if found:
            return found[0]
    raise _missing(f"the unpacked packages hold no {patterns[0]}")


def _write_wrapper(wrapper: Path, text: str) -> None:
    """Whole or not at all: others may be starting it right now."""
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    new = wrapper.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o755)
    new.replace(wrapper)


def _keyring() -> Path:
    for name in KEYRINGS:
        if (KEYRING_DIRECTORY / name).is_file():
            return KEYRING_DIRECTORY / name
    raise _missing(f"{KEYRING_DIRECTORY} has no Debian archive keyring (package debian-archive-keyring)")


def _running_release() -> str:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return ""
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("VERSION_CODENAME", "").strip('"')


def _output(command: list[str], cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=True,
    ).stdout


def _shown(address: str) -> str:
    """An address as it may be printed: a private mirror's address can hold a password."""
    scheme, separator, rest = address.rpartition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rpartition("@")[2] + slash + path


def _last_words(failure: subprocess.SubprocessError) -> str:
    if isinstance(failure, subprocess.CalledProcessError):
        lines = [line for line in str(failure.stderr).splitlines() if line.strip()]
        return lines[-1] if lines else f"{failure.cmd[0]} ended with {failure.returncode}"
    return str(failure)


def _missing(reason: str) -> MicroPythonMissing:
    oldest = ".".join(str(part) for part in OLDEST_VERSION)
    return MicroPythonMissing(
        f"no MicroPython {oldest} or newer: none on PATH, and {reason}.\n"
        f"Install one (Debian 13 and newer: apt-get install micropython; elsewhere: the unix port of "
        f"MicroPython) so that `micropython` is on PATH, then try again."
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Print the wrapper's path; 0, or 4 when there is no MicroPython to be had."""
    try:
        print(provide())
    except MicroPythonMissing as missing:
        _say(f"error: {missing}")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
